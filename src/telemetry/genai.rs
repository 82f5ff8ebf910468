//! OpenTelemetry's names for what generative models do, and its metrics of them, kept only when a collector gets them.
//!
//! Names are those of the GenAI semantic conventions (schema `gen-ai/1.42.0`, in development there).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use prometheus::{Histogram, HistogramOpts, HistogramVec, core::Collector, proto::MetricFamily};
use tollgate_core::entry::{Entry, Outcome};

/// Tokens of one side of an operation; by the conventions' own bounds.
pub const TOKEN_USAGE: &str = "gen_ai.client.token.usage";
/// From sending to the end.
pub const OPERATION_DURATION: &str = "gen_ai.client.operation.duration";
/// Until the first part of an answer.
pub const TIME_TO_FIRST_TOKEN: &str = "gen_ai.server.time_to_first_token";

/// Labels as Prometheus's crate wants them, and what they are called here.
pub const ATTRIBUTES: &[(&str, &str)] = &[
    ("operation", "gen_ai.operation.name"),
    ("provider", "gen_ai.provider.name"),
    ("model", "gen_ai.request.model"),
    ("token_type", "gen_ai.token.type"),
    ("error", "error.type"),
];

const TOKEN_BOUNDS: &[f64] = &[
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0,
    67108864.0,
];
const DURATION_BOUNDS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST_TOKEN_BOUNDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Combinations of path, provider and model at most; those beyond are not reported. All come from the configuration.
const SERIES_MAX: usize = 4096;

/// The operation of a path.
#[must_use]
pub fn operation(path: &str) -> &'static str {
    match path {
        "/v1/completions" | "/api/generate" => "text_completion",
        "/v1/embeddings" | "/api/embed" | "/v2/embed" => "embeddings",
        _ if path.ends_with("mbedContent") || path.ends_with("mbedContents") => "embeddings",
        _ if path.starts_with("/v1beta/") => "generate_content",
        "/v1/images/generations" | "/v1/images/edits" => "image_generation",
        "/v1/audio/speech" => "speech",
        "/v1/audio/transcriptions" => "transcription",
        "/v1/moderations" => "moderation",
        "/v1/rerank" | "/v2/rerank" => "rerank",
        _ => "chat",
    }
}

/// A provider's name in the conventions; the configured one where they have none.
#[must_use]
pub fn provider_name(provider: &str) -> &str {
    match provider {
        "gemini" => "gcp.gemini",
        "vertex" => "gcp.vertex_ai",
        "bedrock" => "aws.bedrock",
        "azure" => "azure.ai.openai",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        other => other,
    }
}

/// What an outcome is as an error; none when the operation did what it was to do.
#[must_use]
pub const fn error_type(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Complete
        | Outcome::Length
        | Outcome::Refusal
        | Outcome::Blocked
        | Outcome::PauseTurn
        | Outcome::Pending
        | Outcome::ClientDisconnect => None,
        Outcome::Truncated
        | Outcome::ErrorMidStream
        | Outcome::RateLimited
        | Outcome::UpstreamError
        | Outcome::InvalidBody
        | Outcome::Refused
        | Outcome::Interrupted
        | Outcome::Shutdown => Some(outcome.name()),
    }
}

/// The conventions' metrics.
pub struct GenAi {
    token_usage: HistogramVec,
    duration: HistogramVec,
    first_token: HistogramVec,
    /// By path, provider and model, joined.
    series: ArcSwap<HashMap<String, Arc<Series>>>,
    growing: Mutex<()>,
}

struct Series {
    input: Histogram,
    output: Histogram,
    /// Of operations that did what they were to do.
    duration: Histogram,
    first_token: Histogram,
}

impl GenAi {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// When a name is malformed, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let vector = |name: &str, labels: &[&str], bounds: &[f64]| {
            HistogramVec::new(HistogramOpts::new(name.replace('.', "_"), name).buckets(bounds.to_vec()), labels)
        };
        Ok(Self {
            token_usage: vector(TOKEN_USAGE, &["operation", "provider", "model", "token_type"], TOKEN_BOUNDS)?,
            duration: vector(OPERATION_DURATION, &["operation", "provider", "model", "error"], DURATION_BOUNDS)?,
            first_token: vector(TIME_TO_FIRST_TOKEN, &["operation", "provider", "model"], FIRST_TOKEN_BOUNDS)?,
            series: ArcSwap::default(),
            growing: Mutex::default(),
        })
    }

    /// Counts an attempt that ended after so many seconds at its upstream.
    pub fn ended(&self, entry: &Entry, seconds: f64) {
        let admission = &entry.admission;
        let (provider, model) = admission.target.split_once('/').unwrap_or(("", &admission.target));
        let (operation, provider) = (operation(&admission.endpoint), provider_name(provider));
        let Some(series) = self.series([operation, provider, model]) else { return };
        match error_type(entry.outcome) {
            None => series.duration.observe(seconds),
            // Rare, and found under a lock of its own.
            Some(error) => self.duration.with_label_values(&[operation, provider, model, error]).observe(seconds),
        }
        if let Some(first_byte_us) = entry.first_byte_us {
            series.first_token.observe(std::time::Duration::from_micros(first_byte_us).as_secs_f64());
        }
        for line in &entry.lines {
            let shown = |count: u64| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
            series.input.observe(shown(line.usage.input_total()));
            series.output.observe(shown(line.usage.output));
        }
    }

    /// Everything that is counted here; a family's help is its name in the conventions.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        [&self.token_usage, &self.duration, &self.first_token].iter().flat_map(|vector| vector.collect()).collect()
    }

    fn series(&self, labels: [&str; 3]) -> Option<Arc<Series>> {
        let key = labels.join("\n");
        if let Some(series) = self.series.load().get(&key) {
            return Some(Arc::clone(series));
        }
        let _one_at_a_time = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.series.load_full();
        if let Some(series) = known.get(&key) {
            return Some(Arc::clone(series));
        }
        if known.len() >= SERIES_MAX {
            return None;
        }
        let [operation, provider, model] = labels;
        let series = Arc::new(Series {
            input: self.token_usage.with_label_values(&[operation, provider, model, "input"]),
            output: self.token_usage.with_label_values(&[operation, provider, model, "output"]),
            duration: self.duration.with_label_values(&[operation, provider, model, ""]),
            first_token: self.first_token.with_label_values(&labels),
        });
        let mut grown = HashMap::clone(&known);
        grown.insert(key, Arc::clone(&series));
        self.series.store(Arc::new(grown));
        Some(series)
    }
}
