//! A line of the log for a request: ids, names of the configuration, outcome and figures. Nothing that a client wrote.

use tollgate_core::{entry::Entry, id::RequestId, usage::Usage};

use crate::{config::LogRequests, telemetry::genai::error_type};

/// An attempt that ended. `key` is the public id.
pub(super) fn attempt(which: LogRequests, key: &str, entry: &Entry) {
    let has_failed = error_type(entry.outcome).is_some();
    match which {
        LogRequests::Nothing => return,
        LogRequests::Failures if !has_failed => return,
        LogRequests::Failures | LogRequests::All => {}
    }
    let admission = &entry.admission;
    let sum = |count: fn(&Usage) -> u64| entry.lines.iter().map(|line| count(&line.usage)).fold(0, u64::saturating_add);
    let charge = entry.charge().map_or_else(|| "unpriced".to_owned(), |charge| charge.to_string());
    // A macro for each level: the level of an event is a constant.
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                request_id = %admission.id.request_id,
                attempt = admission.id.attempt,
                key,
                customer_id = %admission.customer_id,
                model = admission.model,
                target = admission.target,
                endpoint = admission.endpoint,
                stream = admission.stream,
                outcome = entry.outcome.name(),
                usage_source = entry.usage_source.name(),
                status = entry.status,
                elapsed_ms = entry.elapsed_us / 1000,
                first_byte_ms = entry.first_byte_us.map(|us| us / 1000),
                input_tokens = sum(|usage| usage.input_total()),
                output_tokens = sum(|usage| usage.output),
                charge_usd = charge,
                "attempt"
            )
        };
    }
    if has_failed { line!(warn) } else { line!(info) }
}

/// A request that never came to an attempt. `key` is the public id, `model` a public one, where they are known.
pub(super) fn refused(
    which: LogRequests,
    request_id: RequestId,
    key: Option<&str>,
    model: Option<&str>,
    status: u16,
    code: &'static str,
) {
    let is_ours = status >= 500;
    match which {
        LogRequests::Nothing => {}
        LogRequests::Failures | LogRequests::All if is_ours => {
            tracing::warn!(%request_id, key, model, outcome = "refused", status, code, "request");
        }
        LogRequests::Failures => {}
        LogRequests::All => tracing::info!(%request_id, key, model, outcome = "refused", status, code, "request"),
    }
}
