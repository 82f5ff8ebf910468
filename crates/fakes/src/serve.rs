//! Accepts connections and holds what they share.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

use crate::{
    kept::Kept,
    log::Log,
    respond::respond,
    script::{Behaviour, Defaults},
};

/// Connections that may wait to be accepted: a load test opens thousands at once.
const BACKLOG: u32 = 16_384;

/// What the connections of one server share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
    pub(crate) defaults: Behaviour,
    pub(crate) kept: Kept,
}

impl State {
    pub(crate) fn new(address: SocketAddr, defaults: Defaults) -> Self {
        Self { address, log: Log::default(), defaults: Behaviour::new(defaults), kept: Kept::default() }
    }
}

pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Runs until it is dropped, which closes every connection.
pub(crate) async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => { connections.spawn(connection(socket, Arc::clone(&state))); }
                // Out of file descriptors, most likely: give some time to come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(socket: TcpStream, state: Arc<State>) {
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(respond(request, &state).await) }
    });
    // An error here is a client that left or a scripted cut: both are in the log.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}
