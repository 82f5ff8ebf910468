//! A wire between a gateway and its Postgres that can be slow, lose the word that a commit was done, fall silent, or die
//! without a word, as with a machine that was cut off.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::sleep,
};

/// A lone `Sync`, by which a pool asks whether a connection is alive.
const PING_BYTES: usize = 5;

/// What the wire does.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// Pause before each piece that goes to the server, milliseconds.
    pub(crate) delay_ms: AtomicU64,
    /// The next so many commits reach the server, and their answers reach nobody: both ends are cut.
    pub(crate) acks_to_lose: AtomicU64,
    /// Commits whose answers were lost.
    pub(crate) acks_lost: AtomicU64,
    /// Nothing passes, and nobody is told.
    pub(crate) silent: AtomicBool,
    /// A connection over which something is asked now is dead for ever: no byte passes any more, and its client is never told.
    /// The server's side is gone at once.
    pub(crate) never_again: AtomicBool,
    /// Connections that died so.
    pub(crate) died: AtomicU64,
}

/// A wire that listens.
pub(crate) struct Wire {
    pub(crate) port: u16,
    pub(crate) behaviour: Arc<Behaviour>,
}

impl Wire {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let behaviour = Arc::new(Behaviour::default());
        let shared = Arc::clone(&behaviour);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = SocketAddr::from(([127, 0, 0, 1], server));
                let Ok(server) = TcpStream::connect(server).await else { continue };
                tokio::spawn(join(client, server, Arc::clone(&shared)));
            }
        });
        Self { port, behaviour }
    }

    /// A URL of the server with this wire's port.
    pub(crate) fn through(&self, url: &str) -> String {
        let (before, rest) = url.rsplit_once(':').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        format!("{before}:{}/{database}", self.port)
    }
}

async fn join(client: TcpStream, server: TcpStream, behaviour: Arc<Behaviour>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // A commit is on its way whose answer is to be lost.
    let doomed = Arc::new(AtomicBool::new(false));
    let dead = Arc::new(AtomicBool::new(false));
    let asks = Questions {
        from: from_client,
        to: to_server,
        behaviour: Arc::clone(&behaviour),
        doomed: Arc::clone(&doomed),
        dead: Arc::clone(&dead),
    };
    let asks = tokio::spawn(asks.pass());
    let to_client = pass_answers(from_server, to_client, behaviour, doomed).await;
    if dead.load(Ordering::Acquire) {
        // The server's end is gone; towards the client nothing is closed while it waits.
        let _ended = asks.await;
    } else {
        asks.abort();
    }
    drop(to_client);
}

struct Questions {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    behaviour: Arc<Behaviour>,
    doomed: Arc<AtomicBool>,
    dead: Arc<AtomicBool>,
}

impl Questions {
    async fn pass(mut self) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = self.from.read(&mut buffer).await {
            let bytes = &buffer[..read];
            sleep(Duration::from_millis(self.behaviour.delay_ms.load(Ordering::Relaxed))).await;
            while self.behaviour.silent.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(20)).await;
            }
            // Not of a ping: what it finds alive dies of the question behind it.
            if self.behaviour.never_again.load(Ordering::Relaxed) && bytes.len() > PING_BYTES {
                return self.die().await;
            }
            let is_commit = bytes.windows(6).any(|window| window == b"COMMIT");
            if is_commit && self.behaviour.acks_to_lose.load(Ordering::Relaxed) > 0 {
                self.behaviour.acks_to_lose.fetch_sub(1, Ordering::Relaxed);
                self.doomed.store(true, Ordering::Relaxed);
            }
            if self.to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }

    /// Takes what the client sends, for ever, and gives it to nobody.
    async fn die(mut self) {
        self.behaviour.died.fetch_add(1, Ordering::Relaxed);
        self.dead.store(true, Ordering::Release);
        // The server hears the end and closes: that ends the answers.
        let _gone = self.to.shutdown().await;
        let mut buffer = vec![0; 1 << 16];
        while let Ok(1..) = self.from.read(&mut buffer).await {}
    }
}

/// Gives the way to the client back when there are no more answers.
async fn pass_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    behaviour: Arc<Behaviour>,
    doomed: Arc<AtomicBool>,
) -> OwnedWriteHalf {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..read];
        // `CommandComplete` of the commit: the server has done it.
        if doomed.load(Ordering::Relaxed) && bytes.windows(6).any(|window| window == b"COMMIT") {
            behaviour.acks_lost.fetch_add(1, Ordering::Relaxed);
            return to;
        }
        while behaviour.silent.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(20)).await;
        }
        if to.write_all(bytes).await.is_err() {
            return to;
        }
    }
    to
}
