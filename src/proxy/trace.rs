//! A traced request's spans: one of the request, which ends with the last of what works for it, and one of each attempt.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use axum::http::{HeaderMap, Method};
use tollgate_core::{
    entry::{Entry, Outcome},
    id::RequestId,
};

use crate::{
    clock::Clock,
    telemetry::{
        context::{TRACEPARENT, TRACESTATE, header},
        genai::{error_type, operation, provider_name},
        trace::{Place, Span, Tracer, Value},
    },
};

/// A traced request. Shared by its answer and its attempts; when the last of them is gone its span is told.
pub struct RequestTrace {
    tracer: Arc<Tracer>,
    clock: Clock,
    place: Place,
    request_id: RequestId,
    method: Method,
    path: &'static str,
    began: Moment,
    /// Its key was good.
    has_entered: AtomicBool,
    model: OnceLock<String>,
    told: OnceLock<(u16, &'static str)>,
}

/// A moment by both clocks: one to show, one to measure by.
#[derive(Clone, Copy)]
struct Moment {
    unix_us: i64,
    monotonic: std::time::Duration,
}

impl Moment {
    fn now(clock: &Clock) -> Self {
        Self { unix_us: clock.unix_us(), monotonic: clock.monotonic() }
    }

    /// Now, microseconds since 1970, never before this moment.
    fn end_us(self, clock: &Clock) -> i64 {
        let passed = clock.monotonic().saturating_sub(self.monotonic);
        self.unix_us.saturating_add(i64::try_from(passed.as_micros()).unwrap_or(i64::MAX))
    }
}

impl RequestTrace {
    /// None when the request is not to be recorded.
    pub(super) fn begin(
        tracer: &Arc<Tracer>,
        clock: &Clock,
        request_id: RequestId,
        (method, path): (&Method, &'static str),
        headers: &HeaderMap,
    ) -> Option<Arc<Self>> {
        let place = tracer.begin(request_id.bytes(), headers)?;
        Some(Arc::new(Self {
            tracer: Arc::clone(tracer),
            clock: clock.clone(),
            place,
            request_id,
            method: method.clone(),
            path,
            began: Moment::now(clock),
            has_entered: AtomicBool::new(false),
            model: OnceLock::new(),
            told: OnceLock::new(),
        }))
    }

    /// The client's key is good: that it records its part is a reason to record ours.
    pub(super) fn entered(&self) {
        self.has_entered.store(true, Ordering::Relaxed);
    }

    /// The request is for this public model.
    pub(super) fn names(&self, model: &str) {
        let _named_before = self.model.set(model.to_owned());
    }

    /// What the client was told.
    pub(super) fn told(&self, status: u16, code: &'static str) {
        let _told_before = self.told.set((status, code));
    }

    /// Makes the attempt's span the parent of what the upstream records.
    pub(super) fn tell_upstream(&self, attempt: u16, headers: &mut HeaderMap) {
        if let Some(value) = header(self.place.trace_id, self.place.attempt_span_id(attempt)) {
            headers.insert(TRACEPARENT, value);
        }
        if self.place.state.is_empty() {
            // Words on a trace that is not this one.
            headers.remove(TRACESTATE);
        }
    }
}

impl Drop for RequestTrace {
    fn drop(&mut self) {
        // A stranger's word is none: it would fill the trace store of whoever pays for it.
        if self.place.parent_id.is_some() && !self.has_entered.load(Ordering::Relaxed) {
            return;
        }
        let mut attributes: Vec<(&'static str, Value)> = vec![
            ("http.request.method", self.method.to_string().into()),
            ("http.route", self.path.into()),
            ("tollgate.request_id", self.request_id.to_string().into()),
        ];
        attributes.extend(self.model.take().map(|model| ("tollgate.model", model.into())));
        let told = self.told.get().copied();
        let mut is_error = false;
        if let Some((status, code)) = told {
            attributes.push(("http.response.status_code", u64::from(status).into()));
            attributes.push(("tollgate.code", code.into()));
            is_error = status >= 500;
            if is_error {
                attributes.push(("error.type", code.into()));
            }
        }
        self.tracer.ended(Span {
            trace_id: self.place.trace_id,
            span_id: self.place.span_id,
            parent_id: self.place.parent_id,
            state: std::mem::take(&mut self.place.state),
            is_server: true,
            name: format!("{} {}", self.method, self.path),
            began_us: self.began.unix_us,
            ended_us: self.began.end_us(&self.clock),
            attributes,
            is_error,
        });
    }
}

/// One attempt of a traced request.
pub(super) struct AttemptTrace {
    request: Arc<RequestTrace>,
    began: Moment,
}

impl AttemptTrace {
    pub(super) fn begin(request: &Arc<RequestTrace>) -> Self {
        Self { request: Arc::clone(request), began: Moment::now(&request.clock) }
    }

    /// The attempt has ended as its entry says.
    pub(super) fn ended(&self, entry: &Entry) {
        let request = &self.request;
        let admission = &entry.admission;
        let model = admission.target.split_once('/').map_or(admission.target.as_str(), |(_, model)| model);
        request.tracer.ended(Span {
            trace_id: request.place.trace_id,
            span_id: request.place.attempt_span_id(admission.id.attempt),
            parent_id: Some(request.place.span_id),
            state: request.place.state.clone(),
            is_server: false,
            name: format!("{} {model}", operation(&admission.endpoint)),
            began_us: self.began.unix_us,
            ended_us: self.began.end_us(&request.clock),
            attributes: attributes(entry, model),
            is_error: error_type(entry.outcome).is_some(),
        });
    }
}

fn attributes(entry: &Entry, model: &str) -> Vec<(&'static str, Value)> {
    let admission = &entry.admission;
    let provider = admission.target.split_once('/').map_or("", |(provider, _)| provider);
    let mut attributes: Vec<(&'static str, Value)> = vec![
        ("gen_ai.operation.name", operation(&admission.endpoint).into()),
        ("gen_ai.provider.name", provider_name(provider).to_owned().into()),
        ("gen_ai.request.model", model.to_owned().into()),
        ("gen_ai.request.stream", Value::Flag(admission.stream)),
        ("tollgate.request_id", admission.id.request_id.to_string().into()),
        ("tollgate.attempt", u64::from(admission.id.attempt).into()),
        ("tollgate.model", admission.model.clone().into()),
        ("tollgate.provider", provider.to_owned().into()),
        ("tollgate.outcome", entry.outcome.name().into()),
        ("tollgate.usage_source", entry.usage_source.name().into()),
    ];
    if let Some(line) = entry.lines.first() {
        attributes.push(("gen_ai.response.model", line.billed_model.clone().into()));
    }
    let sum = |count: fn(&tollgate_core::usage::Usage) -> u64| -> u64 {
        entry.lines.iter().map(|line| count(&line.usage)).fold(0, u64::saturating_add)
    };
    if !entry.lines.is_empty() {
        attributes.push(("gen_ai.usage.input_tokens", sum(|usage| usage.input_total()).into()));
        attributes.push(("gen_ai.usage.output_tokens", sum(|usage| usage.output).into()));
        let parts: [(&'static str, u64); 3] = [
            ("gen_ai.usage.cache_read.input_tokens", sum(|usage| usage.cache_read)),
            ("gen_ai.usage.cache_creation.input_tokens", sum(written)),
            ("gen_ai.usage.reasoning.output_tokens", sum(|usage| usage.reasoning)),
        ];
        attributes.extend(parts.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, count.into())));
    }
    let reason = match entry.outcome {
        Outcome::Complete => Some("stop"),
        Outcome::Length => Some("length"),
        Outcome::Refusal | Outcome::Blocked => Some("content_filter"),
        _ => None,
    };
    attributes.extend(reason.map(|reason| ("gen_ai.response.finish_reasons", Value::Listed(reason))));
    if let Some(first_byte_us) = entry.first_byte_us {
        let seconds = std::time::Duration::from_micros(first_byte_us).as_secs_f64();
        attributes.push(("gen_ai.response.time_to_first_chunk", Value::Float(seconds)));
    }
    attributes.extend(entry.status.map(|status| ("http.response.status_code", u64::from(status).into())));
    attributes.extend(error_type(entry.outcome).map(|error| ("error.type", error.into())));
    let money = [("tollgate.cost_nanousd", entry.cost()), ("tollgate.charge_nanousd", entry.charge())];
    attributes.extend(money.into_iter().filter_map(|(name, sum)| Some((name, Value::Int(sum?.get())))));
    attributes
}

fn written(usage: &tollgate_core::usage::Usage) -> u64 {
    usage.cache_write_5m.saturating_add(usage.cache_write_1h).saturating_add(usage.cache_write_unspecified)
}
