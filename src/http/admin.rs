//! The admin plane: health, the break-even page, and the books under `/admin/v1`. A data key is never valid here.

mod auth;
mod books;
mod customers;
mod dead_letters;
mod health;
mod journal;
mod keys;
mod lists;
pub mod metrics;
pub mod openapi;
mod page;
mod prices;
mod problem;
mod replicas;
mod workers;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
};

use axum::{Router, extract::DefaultBodyLimit, middleware, routing::get};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
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
    /// When the data plane's certificate ends, seconds since 1970 UTC; 0: not known. None: no TLS.
    pub certificate_ends: Option<Arc<AtomicI64>>,
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
    let (api, _) = described().split_for_parts();
    let guarded = Router::new()
        .nest("/admin/v1", api.fallback(problem::not_found))
        .route("/", get(page::break_even))
        .route("/metrics", get(metrics::metrics))
        .layer(middleware::from_fn_with_state(Arc::new(access.clone()), auth::require));
    Router::new()
        .merge(guarded)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/style.css", get(page::style))
        .route("/openapi.json", get(openapi::document_json))
        .merge(auth::sign_in_routes(access))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::wrong_method)
        .with_state(state)
}

/// The routes under `/admin/v1`, and what OpenAPI says of them.
fn described() -> OpenApiRouter<AdminState> {
    let large = DefaultBodyLimit::max(PRICE_BODY_BYTES_MAX);
    OpenApiRouter::new()
        .routes(routes!(customers::list, customers::create))
        .routes(routes!(customers::show))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(books::prices))
        .routes(routes!(prices::history))
        .routes(routes!(prices::publish))
        .routes(routes!(prices::quotes).layer(large))
        .routes(routes!(prices::import).layer(large))
        .routes(routes!(prices::rerate))
        .routes(routes!(books::usage))
        .routes(routes!(books::request))
        .routes(routes!(books::statement))
        .routes(routes!(books::training_runs, books::add_training))
        .routes(routes!(books::add_training_from_receipt))
        .routes(routes!(books::economics))
        .routes(routes!(workers::list))
        .routes(routes!(books::audit))
        .routes(routes!(replicas::list))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::retry))
        .routes(routes!(journal::verify))
        .routes(routes!(journal::adopt))
}
