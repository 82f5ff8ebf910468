//! The admin plane: health, the break-even page, and the books under `/admin/v1`. A data key is never valid here.

mod auth;
mod books;
mod customers;
mod dead_letters;
mod health;
mod journal;
mod keys;
pub mod metrics;
mod page;
mod prices;
mod problem;
mod replicas;
mod workers;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};

use crate::{
    accounts::Accounts,
    admission::keyring::Keyring,
    catalog::CatalogHandle,
    config::{Limits, RecoveryBasis, Worker},
    fleet::lease::LeaseState,
    posting::state::PostingState,
    proxy::Proxy,
};

/// Largest price file or list of questions.
const PRICE_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the admin plane works on.
#[derive(Clone)]
pub struct AdminState {
    /// Customers, keys, training runs, and with them store and clock.
    pub accounts: Accounts,
    /// Prices.
    pub catalog: Arc<CatalogHandle>,
    /// What pays back training.
    pub basis: RecoveryBasis,
    /// Local workers of the configuration.
    pub workers: Arc<[Worker]>,
    /// Folder of the journal.
    pub journal_dir: PathBuf,
    /// Folder of the price tables; none: the default one.
    pub prices_dir: Option<PathBuf>,
    /// Under which name this gateway publishes prices.
    pub replica: String,
    /// One who changes prices at a time.
    pub prices_lock: Arc<tokio::sync::Mutex<()>>,
    /// Of a running gateway; none when only its books are open.
    pub running: Option<Running>,
}

/// The parts of a running gateway that admin commands reach into.
#[derive(Clone)]
pub struct Running {
    /// Keys in memory, reloaded when they change.
    pub keyring: Arc<Keyring>,
    /// Defaults of their limits.
    pub limits: Limits,
    /// For health and metrics.
    pub proxy: Arc<Proxy>,
    /// How far the books are.
    pub posting: Arc<PostingState>,
    /// Whether the replica's name is ours.
    pub lease: Arc<LeaseState>,
    /// Tasks that panicked and were started again.
    pub panics: Arc<AtomicU64>,
    /// What a page of metrics does not ask anew each time.
    pub remembered: Arc<metrics::Remembered>,
}

/// Who may call.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever reaches the router: the socket's file permissions are the guard, or this very process calls.
    Trusted,
    /// Bearers of this token, and browsers that signed in with it.
    Token(String),
}

/// The routes of the admin plane.
pub fn router(state: AdminState, access: Access) -> Router {
    let api = Router::new()
        .route("/customers", get(customers::list).post(customers::create))
        .route("/customers/{id}", get(customers::show))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", get(keys::show))
        .route("/keys/{id}/rotate", post(keys::rotate))
        .route("/keys/{id}/revoke", post(keys::revoke))
        .route("/prices", get(books::prices))
        .route("/prices/history", get(prices::history))
        .route("/prices/publish", post(prices::publish))
        .route("/rerate", post(prices::rerate))
        .route("/prices/quote", post(prices::quotes).layer(DefaultBodyLimit::max(PRICE_BODY_BYTES_MAX)))
        .route("/prices/import", post(prices::import).layer(DefaultBodyLimit::max(PRICE_BODY_BYTES_MAX)))
        .route("/usage", get(books::usage))
        .route("/requests/{id}", get(books::request))
        .route("/statements", get(books::statement))
        .route("/training-runs", get(books::training_runs).post(books::add_training))
        .route("/training-runs/from-receipt", post(books::add_training_from_receipt))
        .route("/economics", get(books::economics))
        .route("/workers", get(workers::list))
        .route("/audit", get(books::audit))
        .route("/replicas", get(replicas::list))
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/{id}/retry", post(dead_letters::retry))
        .route("/journal/verify", get(journal::verify))
        .route("/journal/adopt", post(journal::adopt))
        .fallback(problem::not_found);
    let guarded = Router::new()
        .nest("/admin/v1", api)
        .route("/", get(page::break_even))
        .route("/metrics", get(metrics::metrics))
        .layer(middleware::from_fn_with_state(Arc::new(access.clone()), auth::require));
    Router::new()
        .merge(guarded)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/style.css", get(page::style))
        .merge(auth::sign_in_routes(access))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .with_state(state)
}
