//! The running gateway: started in order, stopped in reverse.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{SignalKind, signal},
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tollgate_core::id::BootId;

use super::{
    AppError, Books,
    files::admin_socket,
    journal::journal_options,
    listener::{Stopper, serve},
};
use crate::{
    admission::keyring::Keyring,
    config::Config,
    entropy,
    http::{
        admin::{self, Access, Running},
        data,
    },
    journal::Journal,
    posting::{direct::keep_rescued, live::Poster, recover::keep_recovering},
    proxy::{Proxy, Settings, keys::reload},
    routing::Routes,
};

/// After the grace, cut requests get so long to record their ends.
const RECORD_MAX: Duration = Duration::from_secs(5);
/// The last posting gets so long; what is left is posted by the next start.
const POST_MAX: Duration = Duration::from_secs(10);

/// A running gateway.
pub struct Gateway {
    /// Where applications send requests.
    pub address: SocketAddr,
    /// Where the admin plane listens.
    pub admin_address: SocketAddr,
    /// Bearer token of the admin plane.
    pub admin_token: String,
    /// The request path, for tests that look inside.
    pub proxy: Arc<Proxy>,
    books: Books,
    stopper: Stopper,
    listeners: Vec<JoinHandle<()>>,
    poster: JoinHandle<()>,
    /// Tasks with nothing of their own to finish; ended when all is recorded and posted.
    helpers: Vec<AbortHandle>,
    stop_posting: CancellationToken,
    grace: Duration,
    socket: PathBuf,
}

/// Runs a gateway until SIGTERM or SIGINT.
///
/// # Errors
/// [`AppError`] when it cannot start.
pub async fn run(config: Config) -> Result<(), AppError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let gateway = Gateway::start(&config).await?;
    tracing::info!(address = %gateway.address, admin_address = %gateway.admin_address, "tollgate is ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new requests, running ones get their grace");
    tokio::select! {
        () = gateway.stop() => {}
        // A second signal does not wait; recovery resolves what is open.
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

impl Gateway {
    /// Opens books and journal, posts what earlier runs left, and listens.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn start(config: &Config) -> Result<Self, AppError> {
        let books = Books::open(config).await?;
        let admin_token = books.data_dir.admin_token(config)?;
        let clock = books.accounts.clock.clone();
        let keyring = Arc::new(Keyring::new(books.accounts.pepper, clock.clone()));
        reload(&keyring, &books.accounts.store, config.limits).await?;
        let routes = Routes::build(config, &books.catalog.load())?;
        let boot_id = BootId::new(u64::try_from(clock.unix_us() / 1000).unwrap_or(0), &entropy::random()?);
        let journal = Journal::open(journal_options(config), boot_id)?;
        let settings = Settings {
            body_bytes_max: config.server.body_bytes_max,
            refuse_unpriced: config.prices.refuse_unpriced,
            drain_streams_max: config.drain.streams_max,
            drain_bytes_max: config.drain.bytes_max,
        };
        let catalog = Arc::clone(&books.catalog);
        let proxy =
            Arc::new(Proxy::new(clock.clone(), Arc::clone(&keyring), catalog, routes, journal.clone(), settings));
        let stop_posting = CancellationToken::new();
        let (store, replica) = (books.accounts.store.clone(), config.journal.replica.clone());
        let mut helpers = Vec::new();
        if let Some(rescued) = journal.rescued() {
            helpers.push(tokio::spawn(keep_rescued(rescued, store.clone(), replica.clone(), boot_id)).abort_handle());
        }
        let recovering = {
            let (store, journal, stop) = (store.clone(), journal.clone(), stop_posting.clone());
            let (dir, replica) = (config.journal.dir.clone(), replica.clone());
            async move { keep_recovering(store, journal, &dir, &replica, stop).await }
        };
        helpers.push(tokio::spawn(recovering).abort_handle());
        let poster = Poster::new(store, journal, replica, clock);
        let poster = tokio::spawn(poster.run(stop_posting.clone()));
        let running = Running { keyring, limits: config.limits, proxy: Arc::clone(&proxy) };
        let state = books.admin_state(Some(running));

        let stopper = Stopper::default();
        let data_listener = bind(config.server.listen).await?;
        let admin_listener = bind(config.server.admin_listen).await?;
        let (address, admin_address) = (data_listener.local_addr()?, admin_listener.local_addr()?);
        let socket = admin_socket(books.data_dir.path());
        let unix_listener = bind_socket(&socket)?;
        let listeners = vec![
            tokio::spawn(serve(data_listener, data::router(Arc::clone(&proxy)), stopper.clone())),
            tokio::spawn(serve(
                admin_listener,
                admin::router(state.clone(), Access::Token(admin_token.clone())),
                stopper.clone(),
            )),
            tokio::spawn(serve(unix_listener, admin::router(state, Access::Trusted), stopper.clone())),
        ];
        Ok(Self {
            address,
            admin_address,
            admin_token,
            proxy,
            books,
            stopper,
            listeners,
            poster,
            helpers,
            stop_posting,
            grace: Duration::from_millis(config.server.shutdown_grace_ms),
            socket,
        })
    }

    /// Stops: no new connections, grace for what runs, the rest cut and recorded, journal flushed, entries posted.
    pub async fn stop(self) {
        self.proxy.stop();
        self.stopper.stop.cancel();
        for listener in self.listeners {
            // A listener that panicked has nothing left to stop.
            let _ended = listener.await;
        }
        self.stopper.connections.close();
        if timeout(self.grace, self.stopper.connections.wait()).await.is_err() {
            tracing::warn!("the grace is over; the rest is cut and recorded");
            self.stopper.cut.cancel();
            self.stopper.connections.wait().await;
        }
        let all_recorded = async {
            while self.proxy.journal.in_flight() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if timeout(RECORD_MAX, all_recorded).await.is_ok() {
            self.proxy.journal.shut_down().await;
        } else {
            tracing::warn!("attempts without an end are left to recovery");
        }
        self.stop_posting.cancel();
        if timeout(POST_MAX, self.poster).await.is_err() {
            tracing::warn!("not all entries were posted; the next start goes on with them");
        }
        self.helpers.iter().for_each(AbortHandle::abort);
        // Gone already when the folder was removed.
        let _gone = std::fs::remove_file(&self.socket);
        self.books.close().await;
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address: address.to_string(), source })
}

/// The socket of a process that died is in the way; the folder's lock says that nobody listens on it.
fn bind_socket(path: &std::path::Path) -> Result<UnixListener, AppError> {
    let failed = |source| AppError::Listen { address: path.display().to_string(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}
