//! A wire between a gateway and its Postgres that can be slow, lose the word that a commit was done, or fall silent.

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
    let asks = tokio::spawn(pass_questions(from_client, to_server, Arc::clone(&behaviour), Arc::clone(&doomed)));
    pass_answers(from_server, to_client, behaviour, doomed).await;
    asks.abort();
}

async fn pass_questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    behaviour: Arc<Behaviour>,
    doomed: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..read];
        sleep(Duration::from_millis(behaviour.delay_ms.load(Ordering::Relaxed))).await;
        while behaviour.silent.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(20)).await;
        }
        let is_commit = bytes.windows(6).any(|window| window == b"COMMIT");
        if is_commit && behaviour.acks_to_lose.load(Ordering::Relaxed) > 0 {
            behaviour.acks_to_lose.fetch_sub(1, Ordering::Relaxed);
            doomed.store(true, Ordering::Relaxed);
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn pass_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    behaviour: Arc<Behaviour>,
    doomed: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..read];
        // `CommandComplete` of the commit: the server has done it.
        if doomed.load(Ordering::Relaxed) && bytes.windows(6).any(|window| window == b"COMMIT") {
            behaviour.acks_lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        while behaviour.silent.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(20)).await;
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
