//! Answers one request: reads its body, writes its log row, chooses what to play.

use std::{future, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH},
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use crate::{
    answer::{self, Endpoint, Turn},
    control, dialect,
    kept::{self, Broken},
    log::{Arrival, Guard, Log},
    play::{Play, Steps},
    reply::{self, EVENTS, HTML, JSON, SOUND},
    request::Asked,
    route,
    script::{Fault, Redirect},
    serve::State,
    spoken::Spoken,
    stream::{Events, Step},
};

/// The largest request body in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Where a scripted redirect points.
const REDIRECTED: &str = "/v1/redirected";
/// Models with this prefix do not exist.
const MISSING_PREFIX: &str = "no-such-";

/// Reads one request whole and answers it by its script.
pub(crate) async fn respond(request: Request<Incoming>, state: &State) -> Response<Play> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    if let Some((status, text)) = control::answer(state, &parts.method, path, query, &body) {
        let unlogged = Guard(Log::default().arrived(Arrival::default(), Bytes::new()));
        return reply::whole(unlogged, status, JSON, text, 0, false);
    }
    let mut arrival = Arrival {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        body_bytes: u64::try_from(body.len()).unwrap_or(u64::MAX),
        authorized_with: authorized_with(&parts.headers),
        signed_at: parts.headers.get("x-amz-date").and_then(|value| value.to_str().ok()).map(str::to_owned),
        traceparent: joined(&parts.headers, "traceparent"),
        tracestate: joined(&parts.headers, "tracestate"),
        header_names: header_names(&parts.headers),
        ..Arrival::default()
    };
    let Some((endpoint, in_path)) = route::endpoint(&parts.method, path) else {
        let below = path.strip_prefix("/v1/").unwrap_or_default().trim_end_matches('/');
        let (path_parts, behaviour) = (below.split('/').collect(), &state.defaults);
        let asked = kept::Asked { method: &parts.method, path: path_parts, query, body: &body, behaviour };
        if let Some(told) = state.kept.answer(&asked) {
            return about_kept(Guard(state.log.arrived(arrival, body)), told).await;
        }
        let guard = Guard(state.log.arrived(arrival, body));
        return elsewhere(guard, &parts.method, path);
    };
    let form = route::is_form(&parts.headers);
    let read = if form { Ok(Asked::of_form(&body)) } else { Asked::parse(&body) }.and_then(|mut asked| {
        asked.model = in_path.or(asked.model);
        let own = asked.script()?;
        check(endpoint, &asked)?;
        if endpoint == Endpoint::Responses {
            state.kept.goes_on(&body)?;
        }
        Ok((asked, own))
    });
    let (asked, own) = match read {
        Ok(read) => read,
        Err(message) => {
            let guard = Guard(state.log.arrived(arrival, body));
            let text = answer::error(&message, "invalid_request_error", None, None);
            return reply::whole(guard, StatusCode::BAD_REQUEST, JSON, text, 0, false);
        }
    };
    // An invocation is what its body is.
    let endpoint = match endpoint {
        Endpoint::Invoke if asked.input_text.is_some() => Endpoint::InvokeEmbed,
        other => other,
    };
    let mut turn = Turn::new(endpoint, &asked, state.defaults.script_for(own));
    turn.alt_sse = query.split('&').any(|pair| pair == "alt=sse");
    arrival.model = asked.model;
    arrival.user = asked.user;
    arrival.stream = turn.stream;
    arrival.include_usage = turn.include_usage;
    arrival.usage_told = turn.usage_told();
    let row = state.log.arrived(arrival, body.clone());
    turn.name_it(row.n());
    if endpoint == Endpoint::Responses {
        turn.id = state.kept.name_response(&body);
    }
    play(Guard(row), turn, state).await
}

/// Tells what is kept, maybe not to its end.
async fn about_kept(guard: Guard, told: kept::Told) -> Response<Play> {
    let half = told.body.slice(..told.body.len() / 2);
    let step = match told.broken {
        Some(Broken::Never) => return never(guard).await,
        Some(Broken::Stall) => Step::Stall,
        Some(Broken::Cut) => Step::Cut,
        Some(Broken::Compressed) => {
            let mut response = reply::whole(guard, told.status, JSON, told.body, 0, false);
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            return response;
        }
        Some(Broken::Gone | Broken::Damaged) | None => {
            return reply::whole(guard, told.status, JSON, told.body, 0, false);
        }
    };
    let length = told.body.len();
    let steps = vec![Step::Send { bytes: half, chunks: 0, usage: false }, step];
    let mut response = reply::head(guard, told.status, JSON, false, Steps::Known(steps.into_iter()));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn check(endpoint: Endpoint, asked: &Asked) -> Result<(), String> {
    let missing = match endpoint {
        _ if asked.model.as_deref().is_none_or(str::is_empty) => "you must provide a model parameter",
        Endpoint::Chat if !asked.has_messages() => "Missing required parameter: 'messages'.",
        Endpoint::Completions if !asked.has_prompt() => "Missing required parameter: 'prompt'.",
        Endpoint::Embeddings if asked.input.is_none() => "Missing required parameter: 'input'.",
        _ => return Ok(()),
    };
    Err(missing.to_owned())
}

/// Plays the script of a well-formed request.
async fn play(guard: Guard, turn: Turn, state: &State) -> Response<Play> {
    let script = &turn.script;
    let before_ms = script.first_delay_ms.unwrap_or(0);
    let between_ms =
        if turn.stream { 0 } else { script.gap_ms.unwrap_or(0).saturating_mul(turn.chunks.saturating_sub(1)) };
    let delay_ms = before_ms.saturating_add(between_ms);
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    if turn.model.starts_with(MISSING_PREFIX) {
        return reply::whole(guard, StatusCode::NOT_FOUND, JSON, answer::error_for(404, None), 0, false);
    }
    match &script.redirect {
        Some(Redirect::To(location)) => return reply::redirect(guard, location),
        Some(Redirect::Here(true)) => return reply::redirect(guard, &format!("http://{}{REDIRECTED}", state.address)),
        Some(Redirect::Here(false)) | None => {}
    }
    match script.fault() {
        Some(Fault::NeverAnswer) => never(guard).await,
        Some(Fault::Status) => reply::refused(guard, turn.endpoint, script),
        Some(Fault::Html) => {
            let page = Bytes::from_static(b"<!DOCTYPE html><html><body><h1>Just a moment...</h1></body></html>");
            reply::whole(guard, StatusCode::OK, HTML, page, 0, false)
        }
        Some(Fault::Empty) => {
            reply::whole(guard, StatusCode::OK, if turn.stream { EVENTS } else { JSON }, Bytes::new(), 0, false)
        }
        _ if turn.stream && !turn.endpoint.is_first() => {
            let one_byte = script.one_byte == Some(true);
            let kind = dialect::framing(&turn).content_type();
            reply::head(guard, StatusCode::OK, kind, one_byte, Steps::Spoken(Box::new(Spoken::new(turn))))
        }
        _ if turn.endpoint == Endpoint::Speech => {
            reply::whole(guard, StatusCode::OK, SOUND, Bytes::from_static(&[0xff, 0xf3, 0x44, 0xc4, 0, 1, 2]), 1, false)
        }
        _ if turn.stream => {
            let one_byte = script.one_byte == Some(true);
            let mut response =
                reply::head(guard, StatusCode::OK, EVENTS, one_byte, Steps::Stream(Box::new(Events::new(turn))));
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        }
        fault => plain(guard, &turn, fault),
    }
}

/// Waits for ever; only a closed connection ends it.
async fn never(guard: Guard) -> Response<Play> {
    future::pending::<()>().await;
    reply::whole(guard, StatusCode::OK, JSON, Bytes::new(), 0, false)
}

fn plain(guard: Guard, turn: &Turn, fault: Option<Fault>) -> Response<Play> {
    let text = turn.plain();
    let half = text.slice(..text.len() / 2);
    let broken = match fault {
        Some(Fault::Stall) => Step::Stall,
        Some(Fault::Cut) => Step::Cut,
        Some(Fault::CleanCut) => return reply::whole(guard, StatusCode::OK, JSON, half, 0, false),
        Some(Fault::ErrorMidStream) => {
            return reply::whole(
                guard,
                StatusCode::OK,
                JSON,
                answer::error_for(500, turn.script.code.as_deref()),
                0,
                false,
            );
        }
        _ => {
            let mut response =
                reply::whole(guard, StatusCode::OK, JSON, text, turn.chunks, turn.usage_told().is_some());
            for (name, count) in dialect::usage_headers(turn) {
                response.headers_mut().insert(name, HeaderValue::from(count));
            }
            return response;
        }
    };
    let steps = vec![Step::Send { bytes: half, chunks: 0, usage: false }, broken];
    let mut response = reply::head(guard, StatusCode::OK, JSON, false, Steps::Known(steps.into_iter()));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}

/// Every path that gives no content.
fn elsewhere(guard: Guard, method: &Method, path: &str) -> Response<Play> {
    let model = path.strip_prefix("/v1/models/");
    match (method, path, model) {
        (&Method::GET, "/v1/models", _) => reply::whole(guard, StatusCode::OK, JSON, answer::models(), 0, false),
        (&Method::GET, _, Some(name)) if !name.starts_with(MISSING_PREFIX) => {
            reply::whole(guard, StatusCode::OK, JSON, answer::model(name), 0, false)
        }
        (&Method::GET, _, Some(_)) => {
            reply::whole(guard, StatusCode::NOT_FOUND, JSON, answer::error_for(404, None), 0, false)
        }
        _ => {
            let message = format!("Unknown request URL: {method} {path}.");
            let text = answer::error(&message, "invalid_request_error", None, Some("unknown_url"));
            reply::whole(guard, StatusCode::NOT_FOUND, JSON, text, 0, false)
        }
    }
}

/// The key, from wherever a dialect puts it, or a signature.
fn authorized_with(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let signature = || text(AUTHORIZATION.as_str()).filter(|value| value.starts_with("AWS4-"));
    let key = bearer
        .or_else(signature)
        .or_else(|| text("x-api-key"))
        .or_else(|| text("x-goog-api-key"))
        .or_else(|| text("api-key"));
    key.map(str::to_owned)
}

fn joined(headers: &HeaderMap, name: &str) -> String {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}

fn header_names(headers: &HeaderMap) -> Vec<String> {
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    names.sort();
    names
}
