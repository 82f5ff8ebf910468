//! A socket whose peer must go on reading: when nothing can be written for too long, writing fails, and what waited behind it
//! ends and is recorded. A body that is not asked for its next piece could not notice by itself. It says what is read and flushed,
//! from which others tell how long its peer may be silent.

use std::{
    cell::RefCell,
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

/// Pieces of so many bytes in all, or fewer, are written as one. To copy them costs less than to have the kernel gather them.
const TOGETHER_BYTES_MAX: usize = 4096;

thread_local! {
    /// Where pieces are put together: one place a thread, whose sockets write one after the other.
    static TOGETHER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(TOGETHER_BYTES_MAX));
}

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
        let socket = Pin::new(&mut self.socket);
        let tried = match pieces {
            [piece] => socket.poll_write(context, piece),
            _ if pieces.iter().map(|piece| piece.len()).sum::<usize>() > TOGETHER_BYTES_MAX => {
                socket.poll_write_vectored(context, pieces)
            }
            _ => TOGETHER.with_borrow_mut(|together| {
                together.clear();
                pieces.iter().for_each(|piece| together.extend_from_slice(piece));
                socket.poll_write(context, together)
            }),
        };
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
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn pieces_come_whole_and_in_order_however_long_they_are_and_however_little_is_taken_at_once() {
        for lengths in [[0, 3, 0], [1, 2, 3], [4000, 96, 0], [4000, 96, 1], [3, 9000, 5], [5000, 5000, 5000]] {
            let pieces = b"abc".iter().copied().zip(lengths);
            let pieces: Vec<Vec<u8>> = pieces.map(|(byte, length)| vec![byte; length]).collect();
            let whole = pieces.concat();
            let (near, mut far) = duplex(1500);
            let mut near = Unstalled::new(near, Duration::from_secs(5), Arc::default());
            let sent = tokio::spawn(async move {
                let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
                let mut left = slices.as_mut_slice();
                IoSlice::advance_slices(&mut left, 0);
                while !left.is_empty() {
                    let taken = poll_fn(|cx| Pin::new(&mut near).poll_write_vectored(cx, left)).await.unwrap();
                    assert!(taken > 0);
                    IoSlice::advance_slices(&mut left, taken);
                }
            });
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.unwrap();
            sent.await.unwrap();
            assert!(received == whole, "{lengths:?}: {} of {} bytes", received.len(), whole.len());
        }
    }

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
