//! A socket whose peer must go on reading: when nothing can be written for too long, writing fails, and what waited behind it
//! ends and is recorded. A body that is not asked for its next piece could not notice by itself. It says what is read and flushed,
//! from which others tell how long its peer may be silent.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::turns::Turns;

/// The socket.
pub(super) struct Unstalled<S> {
    socket: S,
    stall_max: Duration,
    turns: Arc<Turns>,
    /// Since the last piece was taken: when it is over. None while nothing waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstalled<S> {
    pub(super) const fn new(socket: S, stall_max: Duration, turns: Arc<Turns>) -> Self {
        Self { socket, stall_max, turns, waiting: None }
    }

    /// What came of an attempt to write: it may wait for so long and no longer.
    fn bounded<T>(&mut self, tried: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            self.waiting = None;
            return tried;
        }
        let stall_max = self.stall_max;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        match waiting.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                // Asked again, it says so again.
                waiting.as_mut().reset(Instant::now());
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let tried = Pin::new(&mut self.socket).poll_read(context, buffer);
        if tried.is_pending() {
            self.turns.read_nothing();
        } else if buffer.filled().len() > before {
            self.turns.read();
        }
        tried
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.bounded(tried, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        self.bounded(tried, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.socket).poll_flush(context);
        if tried.is_ready() {
            self.turns.flushed();
        }
        self.bounded(tried, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tried = Pin::new(&mut self.socket).poll_shutdown(context);
        self.bounded(tried, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_given_up_and_one_that_reads_slowly_is_not() {
        let (near, far) = duplex(8);
        let mut near = Unstalled::new(near, Duration::from_millis(200), Arc::default());
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(far);

        let (near, mut far) = duplex(8);
        let mut near = Unstalled::new(near, Duration::from_millis(200), Arc::default());
        let reader = tokio::spawn(async move {
            let mut bytes = [0; 4];
            // Longer in all than anybody may stall.
            for _ in 0..16 {
                sleep(Duration::from_millis(25)).await;
                far.read_exact(&mut bytes).await.unwrap();
            }
        });
        near.write_all(&[0; 64]).await.unwrap();
        reader.await.unwrap();
    }
}
