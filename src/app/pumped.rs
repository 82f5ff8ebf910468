//! Bodies of HTTP/2: a client that closes one stream's window keeps its connection in good health, and its body would not be asked
//! for the next piece for ever. A task asks instead, and gives up a client that takes nothing for too long.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{BoxError, body::Body};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::TaskTracker;

type Piece = Result<Frame<Bytes>, BoxError>;

/// What a client reads: pieces that the task has taken.
struct Pumped {
    pieces: mpsc::Receiver<Piece>,
    /// Bytes that are still to come, where that is known: it becomes the answer's length.
    left: Option<u64>,
}

impl HttpBody for Pumped {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Piece>> {
        let piece = ready!(self.pieces.poll_recv(context));
        if let Some(Ok(frame)) = &piece
            && let Some(data) = frame.data_ref()
        {
            let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.left = self.left.map(|left| left.saturating_sub(bytes));
        }
        Poll::Ready(piece)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The same body, read by a task of its own. When its client takes no piece for `stall_max`, or is gone, the body is dropped and
/// records its end; the client is told of a break, never of an end.
pub(super) fn pumped(mut body: Body, stall_max: Duration, tasks: &TaskTracker) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let left = body.size_hint().exact();
    // One piece waits: nothing is read ahead of what the client takes.
    let (pieces, taken) = mpsc::channel(1);
    tasks.spawn(async move {
        loop {
            let piece = tokio::select! {
                piece = body.frame() => piece,
                () = pieces.closed() => return,
            };
            let Some(piece) = piece else { return };
            let is_broken = piece.is_err();
            let sent = timeout(stall_max, pieces.send(piece.map_err(Into::into))).await;
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(_gone)) => return,
                // What it reads when it reads again is what waits, and a break behind it.
                Err(_stalled) => return give_up(body, pieces).await,
            }
            if is_broken {
                return;
            }
        }
    });
    Body::new(Pumped { pieces: taken, left })
}

/// Lets go of the body at once, and of the client when it reads again or leaves.
async fn give_up(body: Body, pieces: mpsc::Sender<Piece>) {
    drop(body);
    // A client that has left already has nothing to be told.
    let _gone = pieces.send(Err("the client did not read".into())).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Never ends; says how many pieces were taken, and when it is dropped.
    struct Endless {
        asked: Arc<AtomicUsize>,
        _alive: Arc<()>,
    }

    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Piece>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
        }
    }

    #[tokio::test]
    async fn a_body_that_nobody_reads_is_let_go_and_one_that_is_read_slowly_is_not() {
        let tasks = TaskTracker::new();
        let (asked, alive) = (Arc::<AtomicUsize>::default(), Arc::new(()));
        let body = Body::new(Endless { asked: Arc::clone(&asked), _alive: Arc::clone(&alive) });
        let mut body = pumped(body, Duration::from_millis(300), &tasks);
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert_eq!(Arc::strong_count(&alive), 2, "it was read within the time");
        assert!(asked.load(Ordering::Relaxed) < 10, "nothing is read ahead");
        for _ in 0..200 {
            if Arc::strong_count(&alive) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(Arc::strong_count(&alive), 1, "it was not let go");
        // What waited comes, and then a break: never a clean end.
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        tasks.close();
        tokio::time::timeout(Duration::from_secs(10), tasks.wait()).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_leaves_takes_the_body_with_it_and_a_whole_body_comes_whole() {
        let tasks = TaskTracker::new();
        let alive = Arc::new(());
        drop(pumped(
            Body::new(Endless { asked: Arc::default(), _alive: Arc::clone(&alive) }),
            Duration::from_secs(60),
            &tasks,
        ));
        let whole = pumped(Body::from("a whole answer"), Duration::from_secs(60), &tasks);
        assert_eq!(whole.size_hint().exact(), Some(14));
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "a whole answer");
        tasks.close();
        tokio::time::timeout(Duration::from_secs(10), tasks.wait()).await.unwrap();
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
