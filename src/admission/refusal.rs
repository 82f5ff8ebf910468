//! Why a request may not start. Says nothing of HTTP: each dialect maps it in `http`.

use std::time::Duration;

/// A request was refused before any work was done for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No key was sent.
    #[error("You did not provide an API key. Send it in the Authorization header: `Authorization: Bearer tg-...`.")]
    MissingKey,
    /// The key is not one of ours, or its secret is wrong; which of the two is not told.
    #[error(
        "Incorrect API key provided. Check that it is the whole key (tg-, 12 characters, -, 64 characters) and that it belongs to this gateway."
    )]
    InvalidKey,
    /// The key was revoked.
    #[error("This API key has been revoked. Ask the operator of this gateway for a new one.")]
    RevokedKey,
    /// The key is past its expiry.
    #[error("This API key has expired. Ask the operator of this gateway for a new one.")]
    ExpiredKey,
    /// The key may not use the model.
    #[error("This API key may not use the model `{0}`.")]
    ModelNotAllowed(String),
    /// Too many requests in a minute.
    #[error("Rate limit reached for requests: limit {limit} per minute. Try again in {}.", seconds(.retry_after))]
    Requests {
        /// Requests per minute.
        limit: u32,
        /// When the next one may start.
        retry_after: Duration,
    },
    /// Too many tokens in a minute.
    #[error("Rate limit reached for tokens: limit {limit} per minute, requested {requested}. Try again in {}.", seconds(.retry_after))]
    Tokens {
        /// Tokens per minute.
        limit: u64,
        /// Tokens that this request reserves.
        requested: u64,
        /// When enough will be there.
        retry_after: Duration,
    },
    /// One request is larger than a whole minute's tokens.
    #[error("Request too large: about {requested} tokens, and this key may use {limit} per minute. Shorten the input.")]
    TooLargeForKey {
        /// Tokens per minute.
        limit: u64,
        /// Tokens of the input estimate.
        requested: u64,
    },
    /// Too many requests at once.
    #[error("Too many concurrent requests: this key may have {limit} under way at once. Wait for one to finish.")]
    Concurrency {
        /// Requests at once.
        limit: u32,
    },
}

impl Refusal {
    /// A stable word for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MissingKey | Self::InvalidKey | Self::RevokedKey | Self::ExpiredKey => "invalid_api_key",
            Self::ModelNotAllowed(_) => "model_not_allowed",
            Self::Requests { .. } | Self::Tokens { .. } | Self::TooLargeForKey { .. } => "rate_limit_exceeded",
            Self::Concurrency { .. } => "concurrency_limit_exceeded",
        }
    }

    /// When trying again may help; none when it does not.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Requests { retry_after, .. } | Self::Tokens { retry_after, .. } => Some(*retry_after),
            Self::Concurrency { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

fn seconds(wait: &Duration) -> String {
    format!("{}.{:03}s", wait.as_secs(), wait.subsec_millis())
}
