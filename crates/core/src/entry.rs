//! The entry: the books' word on one attempt. Immutable; a correction is another entry that names it.
//!
//! The codec is CBOR with numbered fields: a reader skips fields that it does not know and reads absent ones as none,
//! so that older and newer builds read each other's journals. Numbers are never reused.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    counters::Counters,
    estimate::TextEstimate,
    id::{AttemptId, CustomerId, KeyId},
    money::NanoUsd,
    pricing_context::PricingContext,
    usage::Usage,
    worker_cost::WorkerTime,
};

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The model finished by itself.
    #[n(0)]
    Complete,
    /// Stopped at the output maximum.
    #[n(1)]
    Length,
    /// The model or its filter declined.
    #[n(2)]
    Refusal,
    /// The prompt was blocked.
    #[n(3)]
    Blocked,
    /// The model paused for the client to continue.
    #[n(4)]
    PauseTurn,
    /// The result comes later.
    #[n(5)]
    Pending,
    /// The upstream stopped early.
    #[n(6)]
    Truncated,
    /// The client left before the end.
    #[n(7)]
    ClientDisconnect,
    /// The upstream reported an error inside a stream.
    #[n(8)]
    ErrorMidStream,
    /// The upstream refused for rate.
    #[n(9)]
    RateLimited,
    /// The upstream failed or was not reached.
    #[n(10)]
    UpstreamError,
    /// The upstream's body is not of its dialect.
    #[n(11)]
    InvalidBody,
    /// The gateway refused after it had opened the attempt.
    #[n(12)]
    Refused,
    /// The gateway died; resolved by recovery.
    #[n(13)]
    Interrupted,
    /// The gateway was stopped and cut the rest.
    #[n(14)]
    Shutdown,
}

impl Outcome {
    /// The name in the store, reports and HTTP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Length => "length",
            Self::Refusal => "refusal",
            Self::Blocked => "blocked",
            Self::PauseTurn => "pause_turn",
            Self::Pending => "pending",
            Self::Truncated => "truncated",
            Self::ClientDisconnect => "client_disconnect",
            Self::ErrorMidStream => "error_mid_stream",
            Self::RateLimited => "rate_limited",
            Self::UpstreamError => "upstream_error",
            Self::InvalidBody => "invalid_body",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Where the usage numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// The provider's last word.
    #[n(0)]
    ProviderFinal,
    /// Reported, but contradicted; `flags` say how.
    #[n(1)]
    ProviderFinalSuspect,
    /// The provider's last cumulative count before a cut.
    #[n(2)]
    ProviderPartial,
    /// Response headers.
    #[n(3)]
    ProviderHeaders,
    /// The published rules of [`crate::estimate`].
    #[n(4)]
    Estimated,
    /// Counters of the request (pictures, characters).
    #[n(5)]
    CountedUnits,
    /// Known later.
    #[n(6)]
    Deferred,
    /// Nothing was used, so nothing is billed.
    #[n(7)]
    NotBilled,
}

impl UsageSource {
    /// The name in the store, reports and HTTP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProviderFinal => "provider_final",
            Self::ProviderFinalSuspect => "provider_final_suspect",
            Self::ProviderPartial => "provider_partial",
            Self::ProviderHeaders => "provider_headers",
            Self::Estimated => "estimated",
            Self::CountedUnits => "counted_units",
            Self::Deferred => "deferred",
            Self::NotBilled => "not_billed",
        }
    }
}

/// What was known of an attempt when it was admitted; written before any byte goes upstream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Admission {
    /// The attempt.
    #[n(0)]
    pub id: AttemptId,
    /// Who pays.
    #[n(1)]
    pub customer_id: CustomerId,
    /// The key that was used.
    #[n(2)]
    pub key_id: KeyId,
    /// The dialect that the client spoke, such as `openai`.
    #[n(3)]
    pub dialect: String,
    /// The path that the client called.
    #[n(4)]
    pub endpoint: String,
    /// The public model name.
    #[n(5)]
    pub model: String,
    /// `provider/model`, where the attempt goes.
    #[n(6)]
    pub target: String,
    /// Whether the client asked for a stream.
    #[n(7)]
    pub stream: bool,
    /// Admission time in microseconds since 1970 UTC: decides price versions and the billing period.
    #[n(8)]
    pub admitted_at_us: i64,
    /// Price version of the cost table in force.
    #[n(9)]
    pub cost_price_version: Option<String>,
    /// Price version of the customer's book in force.
    #[n(10)]
    pub charge_price_version: Option<String>,
    /// Input estimate in tokens (the published rule), billed if nothing better becomes known.
    #[n(11)]
    pub input_estimate: u64,
    /// What the SDK sent as end user; recorded, never trusted.
    #[n(12)]
    pub end_user: Option<String>,
    /// `x-tollgate-tags`, sorted.
    #[n(13)]
    pub tags: Option<Vec<(String, String)>>,
}

/// One priced line of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Line {
    /// The model that served, as the upstream said.
    #[n(0)]
    pub billed_model: String,
    /// Tokens.
    #[n(1)]
    pub usage: Usage,
    /// What we pay; none when unpriced.
    #[n(2)]
    pub cost: Option<NanoUsd>,
    /// What the customer owes; none when unpriced.
    #[n(3)]
    pub charge: Option<NanoUsd>,
    /// The worker's time; none when no worker of ours served.
    #[n(4)]
    pub worker: Option<WorkerTime>,
    /// What else picked its prices.
    #[n(5)]
    #[cbor(with = "crate::nil_default", has_nil)]
    pub context: PricingContext,
    /// Price version of its cost, where it is not the admission's (another model served).
    #[n(6)]
    pub cost_price_version: Option<String>,
    /// Price version of its charge, where it is not the admission's.
    #[n(7)]
    pub charge_price_version: Option<String>,
    /// Rates for which another price stood, by their bits ([`crate::price::Rate::bit`]).
    #[n(8)]
    #[cbor(with = "crate::nil_default", has_nil)]
    pub price_fallbacks: u32,
    /// Units that were counted and have no price, by their bits ([`crate::price::Unit::bit`]): the amounts are those of all
    /// else.
    #[n(9)]
    #[cbor(with = "crate::nil_default", has_nil)]
    pub unpriced_units: u32,
}

impl Line {
    /// True when it has no cost or no charge, or units that are in neither.
    #[must_use]
    pub const fn is_unpriced(&self) -> bool {
        self.cost.is_none() || self.charge.is_none() || self.unpriced_units != 0
    }
}

/// Why an entry is no attempt: it corrects the prices of one. Its lines hold differences, and no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Correction {
    /// The entry that it corrects, of the same request.
    #[n(0)]
    pub of: AttemptId,
    /// When, microseconds since 1970 UTC.
    #[n(1)]
    pub at_us: i64,
    /// The corrected entry was unpriced until now, and is not any more.
    #[n(2)]
    pub settles: bool,
}

/// The flag of an entry in which something has no cost or no charge.
pub const UNPRICED: &str = "unpriced";

/// The flag of an entry with a line that another model served for which there is no price: it costs what the target's does.
pub const PRICED_AS_TARGET: &str = "priced_as_target";

/// The flag of an entry of which the provider says that it cost another amount than its price table.
pub const COST_DIFFERS: &str = "cost_differs";

/// Attempt numbers from here on are those of corrections.
pub const CORRECTIONS_FROM: u16 = 0x8000;

/// The books' word on one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// As admitted.
    #[n(0)]
    pub admission: Admission,
    /// How it ended.
    #[n(1)]
    pub outcome: Outcome,
    /// Where the numbers come from.
    #[n(2)]
    pub usage_source: UsageSource,
    /// Reasons for suspicion and notes, such as `parts_clamped`.
    #[n(3)]
    pub flags: Vec<String>,
    /// Priced lines; empty when nothing was used.
    #[n(4)]
    pub lines: Vec<Line>,
    /// Wall clock at the end, microseconds since 1970 UTC.
    #[n(5)]
    pub ended_at_us: i64,
    /// Monotonic duration from admission to end, microseconds.
    #[n(6)]
    pub elapsed_us: u64,
    /// Monotonic duration from admission to the first byte for the client, microseconds.
    #[n(7)]
    pub first_byte_us: Option<u64>,
    /// The upstream's HTTP status; none when no answer came.
    #[n(8)]
    pub status: Option<u16>,
    /// The upstream's own usage object, at most 16 KiB, kept for re-rating.
    #[n(9)]
    pub raw_usage: Option<String>,
    /// The total as the upstream reported it.
    #[n(10)]
    pub reported_total: Option<u64>,
    /// The cost as the upstream reported it, decimal text of USD.
    #[n(11)]
    pub reported_cost_usd: Option<String>,
    /// Units beside tokens; they are priced with the first line.
    #[n(12)]
    #[cbor(with = "crate::nil_default", has_nil)]
    pub counters: Counters,
    /// This entry corrects another one; none: it is an attempt's own.
    #[n(13)]
    pub corrects: Option<Correction>,
    /// How the output of the first line was estimated; none where it was reported, and where the attempt was recovered.
    #[n(14)]
    pub output_estimate: Option<TextEstimate>,
}

impl Entry {
    /// Sum of the lines' costs; none when a line is unpriced or the sum does not fit.
    #[must_use]
    pub fn cost(&self) -> Option<NanoUsd> {
        self.lines.iter().try_fold(NanoUsd::ZERO, |sum, line| sum.checked_add(line.cost?).ok())
    }

    /// Sum of the lines' charges; none when a line is unpriced or the sum does not fit.
    #[must_use]
    pub fn charge(&self) -> Option<NanoUsd> {
        self.lines.iter().try_fold(NanoUsd::ZERO, |sum, line| sum.checked_add(line.charge?).ok())
    }

    /// True when something of a line has no cost or no charge.
    #[must_use]
    pub fn is_unpriced(&self) -> bool {
        self.lines.iter().any(Line::is_unpriced)
    }
}
