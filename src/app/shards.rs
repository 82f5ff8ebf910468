//! The data plane's threads: each has a runtime of its own and the connections that it was dealt, which stay with it.
//!
//! A request never changes threads: its client, its upstream and its timers wake the thread that it runs on, and no other
//! (ADR 0017 has what that saves). What is slow or long (books, batches, telemetry) has the other runtime.

use std::{
    io, net,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

use super::{
    listener::{ACCEPT_PAUSE, Stopper, connection},
    tls::Handshake,
};
use crate::{http::answers::Answers, journal::Journal, shard};

/// Shorter than any time limit of a request.
const TICK: Duration = Duration::from_millis(250);

/// The threads. They end when this is dropped, and what still runs on them with them.
pub(super) struct Shards {
    /// By number.
    shards: Vec<Shard>,
    running: TaskTracker,
    end: CancellationToken,
}

/// One thread, as the one who deals sees it.
struct Shard {
    dealt: mpsc::UnboundedSender<Dealt>,
    open: Arc<AtomicUsize>,
}

/// A connection, not yet of any runtime. There are as many at most as a process may have files open.
struct Dealt {
    stream: net::TcpStream,
    /// Its place among the shard's.
    open: OpenConnection,
    /// Its place among all: a shutdown waits for those that were dealt and not taken, too.
    _running: TaskTrackerToken,
}

/// Counts a connection as long as it lives.
struct OpenConnection(Arc<AtomicUsize>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection is served with.
#[derive(Clone)]
pub(super) struct Service<A> {
    /// What answers.
    pub(super) plane: A,
    /// Tells it to end.
    pub(super) stopper: Stopper,
    /// With TLS, or none.
    pub(super) tls: Option<TlsAcceptor>,
    /// How long it may ask nothing between two requests.
    pub(super) idle: Duration,
}

impl Shards {
    /// Starts a thread for each processor.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(super) fn start(service: &Service<impl Answers>, journal: &Journal) -> io::Result<Self> {
        let end = CancellationToken::new();
        let mut shards = Vec::new();
        for number in 0..shard::count() {
            let (dealt, taken) = mpsc::unbounded_channel();
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let (service, journal, end) = (service.clone(), journal.clone(), end.clone());
            thread::Builder::new().name(format!("data-{number}")).spawn(move || {
                shard::begin(number);
                runtime.block_on(async move {
                    tokio::spawn(journal.tell_this_thread());
                    tokio::spawn(tick());
                    drop(journal);
                    tokio::select! {
                        () = end.cancelled() => {}
                        () = take(taken, &service) => end.cancelled().await,
                    }
                });
                // Nothing that runs on here is waited for.
                runtime.shutdown_background();
            })?;
            shards.push(Shard { dealt, open: Arc::default() });
        }
        Ok(Self { shards, running: service.stopper.connections.clone(), end })
    }

    /// Accepts connections until told to stop, and gives each to the shard that has the fewest.
    pub(super) async fn deal(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            if let Err(error) = accepted.and_then(|(stream, _)| self.give(stream)) {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn give(&self, stream: TcpStream) -> io::Result<()> {
        // Without it a chunk of a stream waits for the acknowledgement of the one before. A peer that is gone already needs none.
        let _gone = stream.set_nodelay(true);
        let mut stream = stream.into_std()?;
        let mut shards: Vec<&Shard> = self.shards.iter().collect();
        shards.sort_by_key(|shard| shard.open.load(Ordering::Relaxed));
        for shard in shards {
            shard.open.fetch_add(1, Ordering::Relaxed);
            let open = OpenConnection(Arc::clone(&shard.open));
            match shard.dealt.send(Dealt { stream, open, _running: self.running.token() }) {
                Ok(()) => return Ok(()),
                // Its thread has panicked; the others go on.
                Err(refused) => stream = refused.0.stream,
            }
        }
        Err(io::Error::other("no thread of the data plane is left"))
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// Wakes the thread now and then, for no reason but that the next timer is never far away: a runtime that is given a timer which
/// is sooner than all others writes to itself to be woken in time, and requests have several.
async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

/// Serves connections as they come.
async fn take(mut dealt: mpsc::UnboundedReceiver<Dealt>, service: &Service<impl Answers>) {
    while let Some(Dealt { stream, open, _running }) = dealt.recv().await {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be served");
                continue;
            }
        };
        let Service { plane, stopper, tls, idle } = service.clone();
        let tasks = stopper.connections.clone();
        match tls {
            None => tasks.spawn(async move {
                connection(stream, plane, stopper, idle).await;
                drop(open);
            }),
            Some(acceptor) => tasks.spawn(async move {
                connection(Handshake::new(stream, acceptor), plane, stopper, idle).await;
                drop(open);
            }),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::{Router, routing::get};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tollgate_core::id::BootId;

    use super::*;
    use crate::journal::Options;

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let bytes = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..bytes]).rsplit("\r\n\r\n").next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_thread_that_has_ended_gets_no_connection_and_the_others_do() {
        let tasks = TaskTracker::new();
        let ((ended, nobody), (dealt, mut taken)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        drop(nobody);
        let shards = [ended, dealt].map(|dealt| Shard { dealt, open: Arc::default() }).into();
        let shards = Shards { shards, running: tasks.clone(), end: CancellationToken::new() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        shards.give(listener.accept().await.unwrap().0).unwrap();
        let open: Vec<_> = shards.shards.iter().map(|shard| shard.open.load(Ordering::Relaxed)).collect();
        assert_eq!(open, [0, 1]);
        // Dealt and not taken, it is waited for.
        tasks.close();
        assert!(futures_util::poll!(Box::pin(tasks.wait())).is_pending());
        drop(taken.try_recv().unwrap());
        tasks.wait().await;
        drop(taken);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(shards.give(listener.accept().await.unwrap().0).is_err());
    }

    #[tokio::test]
    async fn connections_are_dealt_evenly_and_stay_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path().to_owned(), "one".to_owned());
        let journal = Journal::open(options, BootId::new(1, &[1; 10])).unwrap();
        let where_am_i =
            || async { shard::current().map_or_else(|| "nowhere".to_owned(), |number| number.to_string()) };
        let router = Router::new().route("/", get(where_am_i));
        let stopper = Stopper::default();
        let shards = Shards::start(
            &Service { plane: router, stopper: stopper.clone(), tls: None, idle: Duration::from_secs(5) },
            &journal,
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dealing = tokio::spawn(Arc::new(shards).deal(listener, stopper.stop.clone()));
        let mut kept = Vec::new();
        let mut dealt = BTreeMap::<String, usize>::new();
        for _ in 0..3 * shard::count() {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let first = ask(&mut stream).await;
            assert_eq!(ask(&mut stream).await, first);
            *dealt.entry(first).or_default() += 1;
            kept.push(stream);
        }
        let even: BTreeMap<String, usize> = (0..shard::count()).map(|number| (number.to_string(), 3)).collect();
        assert_eq!(dealt, even);
        stopper.stop.cancel();
        dealing.await.unwrap();
        // The threads ended with the last who holds them, and their connections with them.
        for mut stream in kept {
            assert_eq!(stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
        }
    }
}
