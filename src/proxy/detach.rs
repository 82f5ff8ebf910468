//! A future that runs to its end even when nobody waits for it any more.
//!
//! A server drops a handler when its client leaves. What was opened in the journal must still be closed, so from that
//! point on the work is wrapped here: dropped early, it goes on by itself, and knows that its client has gone.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::task::AtomicWaker;

/// Tells work whether its client is still there.
#[derive(Debug, Default)]
pub struct ClientGone(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    is_gone: AtomicBool,
    /// Who waits for it: one step of the work at a time.
    work: AtomicWaker,
}

impl ClientGone {
    /// True once the client has left.
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.is_gone.load(Ordering::Acquire)
    }

    /// Resolves when the client has left. One may wait for it at a time.
    pub async fn left(&self) {
        poll_fn(|cx| {
            self.0.work.register(cx.waker());
            if self.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Told {
    fn tell(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.work.wake();
    }
}

/// Runs `work` to its end, in the background if the waiter is dropped.
pub struct DetachOnDrop<F: Future + Send + 'static>
where
    F::Output: Send,
{
    work: Option<Pin<Box<F>>>,
    gone: Arc<Told>,
}

impl<F: Future + Send + 'static> DetachOnDrop<F>
where
    F::Output: Send,
{
    /// Wraps the work that `make` builds around the sign that its client has left.
    pub fn new(make: impl FnOnce(ClientGone) -> F) -> Self {
        let gone = Arc::<Told>::default();
        Self { work: Some(Box::pin(make(ClientGone(Arc::clone(&gone))))), gone }
    }
}

impl<F: Future + Send + 'static> Future for DetachOnDrop<F>
where
    F::Output: Send,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = self.work.as_mut() else { return Poll::Pending };
        let output = std::task::ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(output)
    }
}

impl<F: Future + Send + 'static> Drop for DetachOnDrop<F>
where
    F::Output: Send,
{
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.gone.tell();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                // Bounded: every step of the work has a time limit of its own.
                runtime.spawn(async move { drop(work.await) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_whose_waiter_left_still_ends_and_knows_it() {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let mut work = DetachOnDrop::new(|gone| async move {
            wait.await.unwrap();
            tx.send(gone.get()).unwrap();
        });
        assert!(futures_util::poll!(&mut work).is_pending());
        drop(work);
        go.send(()).unwrap();
        assert!(rx.await.unwrap());
    }

    #[tokio::test]
    async fn work_that_waits_for_its_client_to_leave_is_woken_at_once() {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let mut work = DetachOnDrop::new(|gone| async move {
            gone.left().await;
            tx.send(()).unwrap();
        });
        assert!(futures_util::poll!(&mut work).is_pending());
        drop(work);
        rx.await.unwrap();
    }

    #[tokio::test]
    async fn work_that_was_awaited_runs_once_and_sees_its_client() {
        assert!(!DetachOnDrop::new(|gone| async move { gone.get() }).await);
    }
}
