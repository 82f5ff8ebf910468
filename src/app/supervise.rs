//! Keeps a task of the gateway alive: one that panics is started again, counted and told.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// Pause before a task that panicked is started again.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// Runs what `make` makes until it ends by itself; after a panic it is made anew. Aborting the handle ends both.
pub(super) fn keep_alive<Task>(
    name: &'static str,
    panics: Arc<AtomicU64>,
    mut make: impl FnMut() -> Task + Send + 'static,
) -> JoinHandle<()>
where
    Task: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            // Goes with this task.
            let mut alone = JoinSet::new();
            alone.spawn(make());
            match alone.join_next().await {
                Some(Err(error)) if error.is_panic() => {
                    panics.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(task = name, "a task panicked, which is a defect; it is started again");
                    sleep(RESTART_WAIT).await;
                }
                _ => return,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_until_it_ends_by_itself() {
        let (panics, runs) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&runs);
        let kept = keep_alive("test", Arc::clone(&panics), move || {
            let run = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(run >= 2, "on purpose") }
        });
        kept.await.unwrap();
        assert_eq!((panics.load(Ordering::Relaxed), runs.load(Ordering::Relaxed)), (2, 3));
    }

    #[tokio::test]
    async fn a_task_that_is_aborted_does_not_live_on() {
        let alive = Arc::new(());
        let held = Arc::downgrade(&alive);
        let kept = keep_alive("test", Arc::default(), move || {
            let alive = Arc::clone(&alive);
            async move {
                std::future::pending::<()>().await;
                drop(alive);
            }
        });
        tokio::task::yield_now().await;
        kept.abort();
        assert!(kept.await.unwrap_err().is_cancelled());
        while held.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
