//! Why a request got no answer from an upstream. Says nothing of HTTP bodies: each dialect maps it in `http`.

use std::time::Duration;

use crate::{
    admission::refusal::Refusal, config::dialect::ProviderDialect, journal::error::JournalError,
    upstream::request::error::RequestError,
};

/// One request's failure, as the client may be told.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The body is not a request of its dialect.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The query is none that the path takes.
    #[error("{0}")]
    Query(String),
    /// Admission said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No public model has that name.
    #[error("The model `{0}` does not exist on this gateway. GET /v1/models lists those that do.")]
    UnknownModel(String),
    /// The model's targets speak another dialect than the client; the gateway translates nothing.
    #[error(
        "The model `{model}` is served by a provider of the {} dialect and cannot be called in the {} dialect: this gateway does not translate. Call it with an SDK of the {} dialect.",
        .spoken.name(), .called.name(), .spoken.name()
    )]
    OtherDialect {
        /// Public model.
        model: String,
        /// What its targets speak.
        spoken: ProviderDialect,
        /// What was called.
        called: ProviderDialect,
    },
    /// What the request goes on with is kept by a provider that does not serve the model.
    #[error(
        "The model `{0}` cannot go on with what the request refers to, because that is kept elsewhere. Call the model that made it, or send the whole input."
    )]
    KeptElsewhere(String),
    /// No file, batch, response or conversation of this customer has that id.
    #[error("No {kind} found with id '{id}'.")]
    NotKept {
        /// What it was taken for.
        kind: &'static str,
        /// As the client sent it.
        id: String,
        /// The parameter that has it; none: the path.
        param: Option<&'static str>,
    },
    /// What was asked cannot be done as things stand.
    #[error("{0}")]
    NotNow(&'static str),
    /// The store does not answer, and without it nobody knows whose an id is.
    #[error("The gateway cannot look up or keep ids at the moment. Try again shortly.")]
    StoreDown,
    /// Something that costs money may have been made, or not: to send it again by itself could make it twice.
    #[error(
        "The provider did not say whether this was made. Look in the list before making it again: it may appear there, and cost."
    )]
    MaybeMade,
    /// Results of a batch of this model would have no price.
    #[error("The model `{0}` has no price for batches on this gateway, so it is not served in one.")]
    UnpricedBatch(String),
    /// No provider keeps what was to be made.
    #[error("{0}")]
    NoKeeper(&'static str),
    /// The model has no price.
    #[error(
        "The model `{0}` has no price on this gateway, so it is not served. The operator can add a [[price]] for it and a rule in the customer's price book, then restart; `tollgate check` tells what is missing."
    )]
    Unpriced(String),
    /// Something that the request asks for has no price.
    #[error(
        "`{name}` is billed by `{unit}`, for which the model `{model}` has no price on this gateway, so the request is not served. Leave it out, or ask the operator to add `{unit}` to the usd_per_unit of the model's [[price]] (and of the book's rule, where that has prices of its own)."
    )]
    UnpricedNeed {
        /// Public model.
        model: String,
        /// The tool or the path.
        name: String,
        /// The field that names it.
        field: Option<&'static str>,
        /// What it is billed by, as price files name it.
        unit: &'static str,
    },
    /// So many requests are under way that no room is left to record another.
    #[error("The gateway is at its limit of requests under way. Try again shortly.")]
    Full,
    /// The journal cannot write.
    #[error("The gateway cannot record requests at the moment, so it serves none.")]
    JournalDown,
    /// The gateway is stopping.
    #[error("The gateway is shutting down. Try again.")]
    ShuttingDown,
    /// The model's workers take no requests at the moment.
    #[error("The model `{0}` is not available at the moment: its worker is starting or down. Try again shortly.")]
    WorkerUnavailable(String),
    /// The model's worker has a full queue.
    #[error("The model `{model}` is busy: its queue is full. Try again later.")]
    WorkerBusy {
        /// Public model.
        model: String,
        /// When the worker asked to be tried again.
        retry_after: Option<Duration>,
    },
    /// No target answered.
    #[error("The upstream could not be reached.")]
    Unreachable,
    /// The upstream was silent for too long.
    #[error("The upstream did not answer in time.")]
    UpstreamTimeout,
    /// The upstream answered with an error.
    #[error("{message}")]
    Upstream {
        /// Status for the client.
        status: u16,
        /// What the upstream said, if that may be told.
        message: String,
        /// Its error type.
        kind: Option<String>,
        /// Its error code.
        code: Option<String>,
        /// Its parameter.
        param: Option<String>,
        /// When it asked to be tried again.
        retry_after: Option<Duration>,
    },
    /// The upstream's answer is not of its dialect.
    #[error("The upstream's answer is not of its dialect ({0}).")]
    InvalidUpstreamBody(&'static str),
    /// Our credentials for the upstream were refused; the client's key is fine.
    #[error("The upstream refused this gateway's credentials. The operator must check the provider's api_key.")]
    UpstreamCredentials,
}

impl ProxyError {
    /// A stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Upstream { code: Some(code), .. } => code,
            _ => self.class(),
        }
    }

    /// [`Self::code`], but for what an upstream wrote: a word of a fixed list.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Request(error) => error.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Query(_) => "invalid_query",
            Self::UnknownModel(_) => "model_not_found",
            Self::OtherDialect { .. } => "model_of_other_dialect",
            Self::Unpriced(_) | Self::UnpricedBatch(_) => "model_unpriced",
            Self::UnpricedNeed { .. } => "unit_unpriced",
            Self::KeptElsewhere(_) => "kept_elsewhere",
            Self::NotKept { param: Some("previous_response_id"), .. } => "previous_response_not_found",
            Self::NotKept { .. } => "not_found",
            Self::NotNow(_) => "conflict",
            Self::StoreDown => "store_unavailable",
            Self::MaybeMade => "maybe_made",
            Self::NoKeeper(_) => "unsupported_endpoint",
            Self::Full => "gateway_full",
            Self::JournalDown => "journal_unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::WorkerUnavailable(_) => "worker_unavailable",
            Self::WorkerBusy { .. } => "worker_busy",
            Self::Unreachable => "upstream_unreachable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::Upstream { .. } => "upstream_error",
            Self::InvalidUpstreamBody(_) => "upstream_invalid_body",
            Self::UpstreamCredentials => "upstream_credentials",
        }
    }

    /// True when no attempt was made, so that no entry tells of the request.
    #[must_use]
    pub const fn is_before_any_attempt(&self) -> bool {
        match self {
            Self::Request(_) | Self::Refused(_) | Self::UnknownModel(_) | Self::OtherDialect { .. } => true,
            Self::Unpriced(_) | Self::UnpricedNeed { .. } | Self::Full | Self::JournalDown | Self::ShuttingDown => true,
            Self::WorkerUnavailable(_) | Self::Query(_) | Self::UnpricedBatch(_) | Self::NoKeeper(_) => true,
            Self::KeptElsewhere(_) | Self::NotKept { .. } | Self::NotNow(_) | Self::StoreDown | Self::MaybeMade => true,
            Self::WorkerBusy { .. } | Self::Unreachable | Self::UpstreamTimeout | Self::Upstream { .. } => false,
            Self::InvalidUpstreamBody(_) | Self::UpstreamCredentials => false,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.retry_after().is_some(),
            Self::Full | Self::JournalDown | Self::ShuttingDown | Self::Unreachable | Self::UpstreamTimeout => true,
            Self::WorkerUnavailable(_) | Self::WorkerBusy { .. } => true,
            Self::Upstream { status, .. } => matches!(status, 408 | 409 | 429 | 500..),
            Self::InvalidUpstreamBody(_) => true,
            Self::NotNow(_) | Self::StoreDown => true,
            Self::Request(_) | Self::Query(_) | Self::UnknownModel(_) | Self::OtherDialect { .. } => false,
            Self::KeptElsewhere(_) | Self::NotKept { .. } | Self::NoKeeper(_) | Self::UnpricedBatch(_) => false,
            Self::Unpriced(_) | Self::UnpricedNeed { .. } | Self::UpstreamCredentials | Self::MaybeMade => false,
        }
    }
}

impl From<JournalError> for ProxyError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full { .. } => Self::Full,
            _ => Self::JournalDown,
        }
    }
}
