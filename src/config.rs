//! Parses defaults, file and environment into typed structs and reports all mistakes at once. Knows no other module.
//!
//! `config.default.toml`, embedded, is the default; [`options`] is the list of what may be written.

pub mod dialect;
pub mod known;
pub mod load;
pub mod options;
pub mod schema;
pub mod secret;
mod source;
pub mod store_url;

use std::{net::SocketAddr, path::PathBuf};

use tollgate_core::{money::NanoUsd, worker_cost::DeviceRate};

use self::{dialect::ProviderDialect, known::KeyHeader, secret::Secret, store_url::StoreUrl};

/// The commented default configuration.
pub const DEFAULT_TOML: &str = include_str!("../config.default.toml");

/// Everything that can be configured, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[store]`
    pub store: Store,
    /// `[journal]`
    pub journal: Journal,
    /// `[admin] token`; none: the file in the data folder.
    pub admin_token: Option<Secret>,
    /// `[keys] pepper`; none: the file in the data folder.
    pub pepper: Option<Secret>,
    /// `[limits]`
    pub limits: Limits,
    /// `[prices]`
    pub prices: Prices,
    /// `[recovery] basis`
    pub recovery_basis: RecoveryBasis,
    /// `[drain]`
    pub drain: Drain,
    /// `[batches]`
    pub batches: Batches,
    /// `[telemetry]`
    pub telemetry: Telemetry,
    /// `[[provider]]`
    pub providers: Vec<Provider>,
    /// `[[worker]]`
    pub workers: Vec<Worker>,
    /// `[[model]]`
    pub models: Vec<Model>,
    /// `[[training]]`
    pub trainings: Vec<Training>,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Data plane address.
    pub listen: SocketAddr,
    /// Admin plane address.
    pub admin_listen: SocketAddr,
    /// Certificate of the data plane; none: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Data folder.
    pub data_dir: PathBuf,
    /// Largest request body.
    pub body_bytes_max: usize,
    /// Longest wait for, and silence within, an upstream's answer.
    pub request_timeout_ms: u64,
    /// Longest silence of a client between two requests of a connection.
    pub idle_timeout_ms: u64,
    /// Time to finish on SIGTERM.
    pub shutdown_grace_ms: u64,
}

/// `[server] tls_cert` and `tls_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, PEM.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// `[store]`
#[derive(Clone, Debug)]
pub struct Store {
    /// Which database.
    pub url: StoreUrl,
    /// True when a start brings the schema up to date; false when `tollgate migrate` does.
    pub migrate_at_start: bool,
    /// Days for which entries are kept before they are moved to a file; 0: for ever.
    pub entries_keep_days: u32,
    /// Folder of those files.
    pub archive_dir: PathBuf,
}

impl Store {
    /// A database with the defaults beside it.
    #[must_use]
    pub fn new(url: StoreUrl) -> Self {
        Self { url, migrate_at_start: true, entries_keep_days: 0, archive_dir: "archive".into() }
    }
}

/// `[journal]`
#[derive(Clone, Debug)]
pub struct Journal {
    /// Folder of all replicas' boots.
    pub dir: PathBuf,
    /// True for "fsync", false for "relaxed".
    pub fsync: bool,
    /// Name of this gateway among replicas.
    pub replica: String,
    /// Requests under way at once.
    pub in_flight_max: usize,
    /// Size of a segment file.
    pub segment_bytes: u64,
    /// The most that this replica's files may take; 0: no limit.
    pub disk_bytes_max: u64,
}

/// `[limits]`: none means no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Requests per minute of a key.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute of a key.
    pub tokens_per_minute: Option<u64>,
    /// Requests of a key under way at once.
    pub concurrent_requests: Option<u32>,
}

/// `[prices]`
#[derive(Clone, Debug)]
pub struct Prices {
    /// Folder of tables; none: `pricing/` if it exists, else the shipped tables.
    pub dir: Option<PathBuf>,
    /// True when a model without a price is refused.
    pub refuse_unpriced: bool,
}

/// What pays back training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryBasis {
    /// Accumulated revenue.
    Revenue,
    /// Accumulated revenue less inference cost.
    Margin,
}

/// `[batches]`: how often a provider is asked whether one is done.
#[derive(Clone, Copy, Debug)]
pub struct Batches {
    /// First wait; it grows with the batch's age ...
    pub poll_ms_min: u64,
    /// ... up to this.
    pub poll_ms_max: u64,
}

/// `[drain]`: bounds of reading on for clients that have left.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Streams at once.
    pub streams_max: usize,
    /// Milliseconds each.
    pub ms_max: u64,
    /// Bytes each.
    pub bytes_max: u64,
}

/// `[telemetry]`
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// The log is JSON lines; false: text.
    pub log_json: bool,
    /// Which requests get a line of the log.
    pub log_requests: LogRequests,
    /// Where spans and GenAI metrics go; none: nowhere.
    pub otlp: Option<Otlp>,
}

/// Which requests get a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRequests {
    /// None.
    Nothing,
    /// Those that failed for a reason that is not the client's.
    Failures,
    /// Every attempt, and every refusal.
    All,
}

/// An OpenTelemetry collector.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// Base of its paths, without a slash at the end.
    pub endpoint: String,
    /// JSON instead of protobuf.
    pub is_json: bool,
    /// Share of the traces that begin here, from 0 to 1.
    pub sample_ratio: f64,
    /// `name=value,name=value`: sent with every message.
    pub headers: Option<Secret>,
    /// Name of this service.
    pub service_name: String,
    /// Between two reports of metrics.
    pub metrics_interval_ms: u64,
}

/// `[[provider]]`
#[derive(Clone, Debug)]
pub struct Provider {
    /// Name, as targets and price tables use it.
    pub name: String,
    /// What it speaks.
    pub dialect: ProviderDialect,
    /// Base of its endpoints, such as `https://api.openai.com/v1`, without a slash at the end.
    pub base_url: String,
    /// Its key.
    pub api_key: Option<Secret>,
    /// Where it wants the key.
    pub key_header: KeyHeader,
    /// Keys that sign requests instead.
    pub aws: Option<AwsKeys>,
    /// Takes `stream_options`, and needs them to tell usage in a stream.
    pub stream_options: bool,
    /// How its paths are made.
    pub paths: Paths,
    /// Reads on when a client leaves; false: cancels.
    pub drain_on_disconnect: bool,
    /// Longest such reading; none: `[drain] ms_max`.
    pub drain_ms_max: Option<u64>,
    /// May be on a private or loopback address.
    pub allow_private: bool,
}

impl Provider {
    /// Everything secret that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let aws = self
            .aws
            .iter()
            .flat_map(|keys| [Some(&keys.access_key_id), Some(&keys.secret_access_key), keys.session_token.as_ref()]);
        self.api_key.iter().chain(aws.flatten())
    }
}

/// Keys of an AWS account.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// `aws_access_key_id`
    pub access_key_id: Secret,
    /// `aws_secret_access_key`
    pub secret_access_key: Secret,
    /// `aws_session_token`, of temporary ones.
    pub session_token: Option<Secret>,
    /// `aws_region`
    pub region: String,
}

/// How paths below a provider's base are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// As the dialect says.
    Plain,
    /// Azure's older ones: `/openai/deployments/{model}`, and a version in the query.
    Deployments {
        /// Such as `2024-10-21`.
        api_version: String,
    },
    /// Vertex's: behind the publisher, without a version.
    Vertex,
}

/// `[[worker]]`: a local candle worker, always allowed to be on a private address, priced by its device's time.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Name, as targets use it; no provider has it.
    pub name: String,
    /// Where it listens, such as `http://127.0.0.1:9200`, without a slash at the end: `/health`, `/ready`, `/metrics`.
    pub root_url: String,
    /// Base of its OpenAI endpoints: `root_url` with `/v1`.
    pub base_url: String,
    /// Models that it serves, at least one.
    pub models: Vec<String>,
    /// What its device costs, ascending by `valid_from`, at least one.
    pub rates: Vec<DatedRate>,
    /// Program and arguments that run it; none: somebody else runs it.
    pub spawn: Option<Vec<String>>,
}

/// What a device costs from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatedRate {
    /// First day, UTC; none: since ever.
    pub valid_from: Option<jiff::civil::Date>,
    /// The figures.
    pub rate: DeviceRate,
}

/// `[[model]]`
#[derive(Clone, Debug)]
pub struct Model {
    /// Public name.
    pub name: String,
    /// Where it goes, in order.
    pub targets: Vec<Target>,
    /// Further attempts after a failure before the first byte.
    pub retries: u32,
    /// Overrides `request_timeout_ms`.
    pub timeout_ms: Option<u64>,
}

/// One of a model's targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of a provider or worker.
    pub provider: String,
    /// Its name of the model.
    pub model: String,
}

/// `[[training]]`
#[derive(Clone, Debug)]
pub struct Training {
    /// Public model name.
    pub model: String,
    /// Name of the run.
    pub name: String,
    /// What it cost.
    pub cost: NanoUsd,
    /// First day on which revenue counts.
    pub in_service: jiff::civil::Date,
}

/// A mistake in a configuration, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `tollgate.toml:12`, or the name of an environment variable.
    pub place: String,
    /// What is wrong and what to write.
    pub what: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
