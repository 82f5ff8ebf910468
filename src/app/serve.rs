//! The running gateway: started in order, stopped in reverse.

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener},
    signal::unix::{Signal, SignalKind, signal},
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tollgate_core::id::BootId;

use super::{
    AppError, Books,
    files::admin_socket,
    join::join,
    journal::journal_options,
    listener::{Stopper, serve},
    shards::{Service, Shards},
    supervise::keep_alive,
    tls::{self, Certificate},
    upkeep::Upkeep,
    watch::Watch,
};
use crate::{
    admission::keyring::Keyring,
    clock::Clock,
    config::Config,
    entropy,
    http::{
        admin::{self, Access, Running},
        data::DataPlane,
    },
    journal::Journal,
    objects::{self, Objects, Patience as ObjectPatience},
    otlp::Otlp,
    posting::{direct::keep_rescued, live::Poster, recover::keep_recovering, state::PostingState},
    proxy::{
        Proxy, Settings,
        keys::reload,
        observer::{Collected, Observers},
    },
    routing::Routes,
    telemetry::{Logs, metrics::Metrics, outlet::Outlets},
    workers::{Patience, Workers, board::Board},
};

/// After the grace, cut requests get so long to record their ends.
const RECORD_MAX: Duration = Duration::from_secs(5);
/// The last posting gets so long; what is left is posted by the next start.
const POST_MAX: Duration = Duration::from_secs(10);
/// The same while the store takes nothing.
const POST_MAX_WITHOUT_STORE: Duration = Duration::from_secs(2);
/// Sending the last telemetry takes at most so long.
const OTLP_MAX: Duration = Duration::from_secs(3);
/// Giving the name back takes at most so long; else it runs out by itself.
const LEASE_MAX: Duration = Duration::from_secs(2);

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
    objects: Arc<Objects>,
    books: Books,
    workers: Workers,
    stopper: Stopper,
    listeners: Vec<JoinHandle<()>>,
    /// Where requests run.
    shards: Arc<Shards>,
    posting: Arc<PostingState>,
    poster: JoinHandle<()>,
    /// Tasks with nothing of their own to finish; ended when all is recorded and posted.
    helpers: Vec<AbortHandle>,
    stop_posting: CancellationToken,
    lease: JoinHandle<()>,
    stop_lease: CancellationToken,
    /// Tasks that only look on: they end when told to, and nothing waits for them.
    stop_watching: CancellationToken,
    /// Sends telemetry; none: nobody gets it.
    otlp: Option<JoinHandle<()>>,
    stop_otlp: CancellationToken,
    grace: Duration,
    socket: PathBuf,
}

/// SIGTERM and SIGINT, heard from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// When the operating system does not let us.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs a gateway until SIGTERM or SIGINT.
///
/// # Errors
/// [`AppError`] when it cannot start.
pub async fn run(config: Config, logs: &Logs) -> Result<(), AppError> {
    let mut signals = Signals::listen()?;
    let gateway = Gateway::start(&config).await?;
    gateway.proxy.observers.outlets.watch(logs.dropped());
    signals.next().await;
    gateway.stop_unless(&mut signals).await;
    Ok(())
}

impl Gateway {
    /// Opens books and journal, posts what earlier runs left, and listens.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn start(config: &Config) -> Result<Self, AppError> {
        Self::start_on(Books::open(config).await?, config).await
    }

    /// The same on books that are open already.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn start_on(books: Books, config: &Config) -> Result<Self, AppError> {
        let certificate = config.server.tls.as_ref().map(Certificate::read).transpose()?.map(Arc::new);
        let admin_token = books.data_dir.admin_token(config)?;
        let clock = books.accounts.clock.clone();
        let keyring = Arc::new(Keyring::new(books.accounts.pepper, clock.clone()));
        reload(&keyring, &books.accounts.store, config.limits).await?;
        let boot_id = BootId::new(u64::try_from(clock.unix_us() / 1000).unwrap_or(0), &entropy::random()?);
        let lease = join(&books, config, boot_id).await?;
        let routes = Routes::build(config, &books.catalog.load())?;
        let journal = Journal::open(journal_options(config), boot_id)?;
        let settings = Settings {
            body_bytes_max: config.server.body_bytes_max,
            refuse_unpriced: config.prices.refuse_unpriced,
            drain_streams_max: config.drain.streams_max,
            drain_bytes_max: config.drain.bytes_max,
        };
        let (observers, otlp) = observers(config, &clock)?;
        let catalog = Arc::clone(&books.catalog);
        let board = Arc::new(Board::new(&config.workers, clock.unix_us()));
        let proxy = Proxy::new(
            clock.clone(),
            Arc::clone(&keyring),
            catalog,
            routes,
            journal.clone(),
            Arc::clone(&board),
            settings,
            observers,
        );
        let proxy = Arc::new(proxy);
        let stop_posting = CancellationToken::new();
        let (store, replica) = (books.accounts.store.clone(), config.journal.replica.clone());
        let mut helpers = Vec::new();
        if let Some(rescued) = journal.rescued() {
            helpers.push(tokio::spawn(keep_rescued(rescued, store.clone(), replica.clone(), boot_id)).abort_handle());
        }
        let panics = Arc::<AtomicU64>::default();
        let recovering = {
            let (store, journal, stop) = (store.clone(), journal.clone(), stop_posting.clone());
            let (dir, replica) = (config.journal.dir.clone(), replica.clone());
            move || {
                let (store, journal, stop, dir, replica) =
                    (store.clone(), journal.clone(), stop.clone(), dir.clone(), replica.clone());
                async move { keep_recovering(store, journal, &dir, &replica, stop).await }
            }
        };
        helpers.push(keep_alive("recovery", Arc::clone(&panics), recovering).abort_handle());
        let posting = Arc::<PostingState>::default();
        let poster = {
            let (clock, posting, stop) = (clock.clone(), Arc::clone(&posting), stop_posting.clone());
            let make = move || {
                let state = Arc::clone(&posting);
                Poster::new(store.clone(), journal.clone(), replica.clone(), clock.clone(), state).run(stop.clone())
            };
            keep_alive("posting", Arc::clone(&panics), make)
        };
        let stop_watching = CancellationToken::new();
        let patience = ObjectPatience {
            answer: Duration::from_millis(config.server.request_timeout_ms),
            poll_first: Duration::from_millis(config.batches.poll_ms_min),
            poll_most: Duration::from_millis(config.batches.poll_ms_max),
        };
        let (objects, queue) = Objects::new(Arc::clone(&proxy), books.accounts.store.clone(), patience);
        let objects = Arc::new(objects);
        let binding = {
            let store = books.accounts.store.clone();
            move || objects::keep_binding(queue.clone(), store.clone())
        };
        helpers.push(keep_alive("binding of ids", Arc::clone(&panics), binding).abort_handle());
        let polling = {
            let (objects, stop) = (Arc::clone(&objects), stop_watching.clone());
            move || objects::keep_polling(Arc::clone(&objects), stop.clone())
        };
        helpers.push(keep_alive("polling of batches", Arc::clone(&panics), polling).abort_handle());
        let watch = {
            let (store, proxy, stop) = (books.accounts.store.clone(), Arc::clone(&proxy), stop_watching.clone());
            let (prices, config, lock) = (books.own_prices.clone(), config.clone(), Arc::clone(&books.prices_lock));
            move || {
                let (proxy, lock) = (Arc::clone(&proxy), Arc::clone(&lock));
                Watch::new(store.clone(), proxy, prices.clone(), config.clone(), lock).run(stop.clone())
            }
        };
        keep_alive("watch over changes", Arc::clone(&panics), watch);
        let (lease_state, stop_lease) = (lease.state(), CancellationToken::new());
        let lease = tokio::spawn(lease.keep(stop_lease.clone()));
        let upkeep = {
            let (store, clock, stop) = (books.accounts.store.clone(), clock.clone(), stop_watching.clone());
            let config = config.store.clone();
            move || Upkeep::new(store.clone(), clock.clone(), &config).run(stop.clone())
        };
        keep_alive("upkeep", Arc::clone(&panics), upkeep);
        let stop_otlp = CancellationToken::new();
        let otlp = otlp.map(|otlp| tokio::spawn(otlp.run(stop_otlp.clone())));
        let running = Running {
            keyring,
            limits: config.limits,
            proxy: Arc::clone(&proxy),
            posting: Arc::clone(&posting),
            lease: lease_state,
            panics,
            remembered: Arc::default(),
            certificate_ends: certificate.as_ref().map(|certificate| certificate.ends()),
        };
        let state = books.admin_state(Some(running));

        let stopper = Stopper::default();
        let data_listener = bind(config.server.listen, "listen").await?;
        let admin_listener = bind(config.server.admin_listen, "admin_listen").await?;
        let (address, admin_address) = (data_listener.local_addr()?, admin_listener.local_addr()?);
        let socket = admin_socket(books.data_dir.path());
        let unix_listener = bind_socket(&socket)?;
        let plane = DataPlane::new(Arc::clone(&proxy), Arc::clone(&objects), books.accounts.store.clone());
        let tls = match certificate {
            None => None,
            Some(certificate) => {
                tokio::spawn(Arc::clone(&certificate).keep_current(stop_watching.clone()));
                Some(tls::acceptor(certificate)?)
            }
        };
        let idle = Duration::from_millis(config.server.idle_timeout_ms);
        let service = Service { plane, stopper: stopper.clone(), tls, idle };
        let shards = Arc::new(Shards::start(&service, &proxy.journal)?);
        let listeners = vec![
            tokio::spawn(Arc::clone(&shards).deal(data_listener, stopper.stop.clone())),
            tokio::spawn(serve(
                admin_listener,
                admin::router(state.clone(), Access::Token(admin_token.clone())),
                stopper.clone(),
            )),
            tokio::spawn(serve(unix_listener, admin::router(state, Access::Trusted), stopper.clone())),
        ];
        // Last, so that a gateway that cannot start leaves no process behind.
        let workers = Workers::start(&config.workers, &board, &books.accounts.store, &clock, Patience::default());
        tracing::info!(%address, %admin_address, "tollgate is ready");
        Ok(Self {
            address,
            admin_address,
            admin_token,
            proxy,
            objects,
            books,
            workers,
            stopper,
            listeners,
            shards,
            posting,
            poster,
            helpers,
            stop_posting,
            lease,
            stop_lease,
            stop_watching,
            otlp,
            stop_otlp,
            grace: Duration::from_millis(config.server.shutdown_grace_ms),
            socket,
        })
    }

    /// Stops, at once when a further signal comes: what is open then is left to recovery.
    pub async fn stop_unless(self, signals: &mut Signals) {
        tracing::info!("stopping: no new requests, running ones get their grace");
        tokio::select! {
            () = self.stop() => {}
            () = signals.next() => {}
        }
    }

    /// Stops: no new connections, grace for what runs, the rest cut and recorded, workers ended, journal flushed, entries
    /// posted.
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
            if timeout(RECORD_MAX, self.stopper.connections.wait()).await.is_err() {
                tracing::warn!("a connection does not end; it is left behind");
            }
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
        self.objects.flush().await;
        // Every span has ended.
        self.stop_otlp.cancel();
        // Nothing asks them any more; their last counters are booked.
        self.workers.stop().await;
        self.stop_watching.cancel();
        self.stop_posting.cancel();
        // A store that is away is not waited for: the journal has everything.
        let post_max = if self.posting.failing_for(self.books.accounts.clock.monotonic()).is_some() {
            POST_MAX_WITHOUT_STORE
        } else {
            POST_MAX
        };
        let mut poster = self.poster;
        if timeout(post_max, &mut poster).await.is_err() {
            poster.abort();
            tracing::warn!("not all entries were posted; the next start goes on with them");
        }
        if let Some(mut otlp) = self.otlp
            && timeout(OTLP_MAX, &mut otlp).await.is_err()
        {
            otlp.abort();
        }
        self.helpers.iter().for_each(AbortHandle::abort);
        // Last but for the store: until here the name is ours.
        self.stop_lease.cancel();
        let mut lease = self.lease;
        if timeout(LEASE_MAX, &mut lease).await.is_err() {
            lease.abort();
        }
        // Gone already when the folder was removed.
        let _gone = std::fs::remove_file(&self.socket);
        self.books.close().await;
        // After the store: connections to a database that requests opened are theirs.
        drop(self.shards);
    }
}

/// Who looks on at requests, and what sends to a collector, if there is one.
fn observers(config: &Config, clock: &Clock) -> Result<(Observers, Option<Otlp>), AppError> {
    let outlets = Arc::<Outlets>::default();
    let replica = &config.journal.replica;
    let otlp = config.telemetry.otlp.as_ref();
    let otlp = otlp.map(|otlp| Otlp::new(otlp, replica, Arc::clone(&outlets), clock.clone())).transpose()?;
    let collected =
        otlp.as_ref().map(|otlp| Collected { tracer: Arc::clone(&otlp.tracer), genai: Arc::clone(&otlp.genai) });
    let (metrics, log) = (Arc::new(Metrics::new()?), config.telemetry.log_requests);
    Ok((Observers { metrics, outlets, collected, log, clock: clock.clone() }, otlp))
}

/// `option` is the key of `[server]` that says the address.
async fn bind(address: SocketAddr, option: &'static str) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { address, option, source })
}

/// The socket of a process that died is in the way; the folder's lock says that nobody listens on it.
fn bind_socket(path: &std::path::Path) -> Result<UnixListener, AppError> {
    let failed = |source| AppError::Socket { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}
