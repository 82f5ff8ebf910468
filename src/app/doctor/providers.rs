//! Providers, workers and the collector: found, reached, secure, and letting us in. Asks for a list of models, which costs nothing.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::Finding;
use crate::{
    clock::Clock,
    config::{Config, Paths, Provider, dialect::ProviderDialect},
    upstream::{
        client::{SendError, UpstreamClient},
        credentials::Credentials,
    },
};

/// An answer is waited for so long.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A clock that is further off than this from a provider's own is told.
const SKEW_MAX_S: i64 = 60;
const ANTHROPIC_VERSION: (&str, HeaderValue) = ("anthropic-version", HeaderValue::from_static("2023-06-01"));

/// `is_running`: a gateway runs, and with it the workers that it starts.
pub(super) async fn examine(config: &Config, clock: &Clock, is_running: bool, checks: &mut Vec<Finding>) {
    let client = UpstreamClient::new();
    let found = join_all(config.providers.iter().map(|provider| examine_one(&client, provider, clock))).await;
    checks.extend(found.into_iter().flatten());
    for worker in &config.workers {
        if worker.spawn.is_some() && !is_running {
            let what = format!("{} is started with the gateway, which does not run", worker.name);
            checks.push(Finding::note("workers", what, "start the gateway, then `tollgate workers list`"));
            continue;
        }
        let Ok(uri) = format!("{}/health", worker.root_url).parse() else { continue };
        let asked = timeout(ANSWER_MAX, client.get(&uri, true)).await;
        let what = match asked {
            Ok(Ok(response)) if response.status().is_success() => {
                checks.push(Finding::ok("workers", format!("{} answers at {}", worker.name, worker.root_url)));
                continue;
            }
            Ok(Ok(response)) => format!("{} answers with status {}", worker.name, response.status().as_u16()),
            Ok(Err(error)) => format!("{} at {}: {error}", worker.name, worker.root_url),
            Err(_elapsed) => format!("{} does not answer within {} s", worker.name, ANSWER_MAX.as_secs()),
        };
        checks.push(Finding::bad("workers", what, "start it, or correct its url; docs/worker.md says how"));
    }
    if let Some(otlp) = &config.telemetry.otlp {
        checks.push(collector(&client, &otlp.endpoint).await);
    }
}

async fn collector(client: &UpstreamClient, endpoint: &str) -> Finding {
    let Ok(uri) = endpoint.parse() else {
        return Finding::bad("collector", format!("{endpoint} is no URL"), "correct telemetry.otlp_endpoint");
    };
    match timeout(ANSWER_MAX, client.get(&uri, true)).await {
        // Whatever it says to a question that it has no answer for: it is there.
        Ok(Ok(_)) => Finding::ok("collector", format!("{endpoint} answers")),
        Ok(Err(error)) => {
            let advice =
                "start it, or correct telemetry.otlp_endpoint; requests go on, telemetry is given up and counted";
            Finding::bad("collector", format!("{endpoint}: {error}"), advice)
        }
        Err(_elapsed) => Finding::bad("collector", format!("{endpoint} does not answer"), "look after it"),
    }
}

async fn examine_one(client: &UpstreamClient, provider: &Provider, clock: &Clock) -> Vec<Finding> {
    let name = &provider.name;
    let bad = |what: String, advice: &str| vec![Finding::bad("providers", format!("{name}: {what}"), advice)];
    let Ok(uri) = models_uri(provider).parse::<Uri>() else {
        return bad("its base_url is no URL".to_owned(), "correct base_url of its [[provider]]");
    };
    let key = match provider.api_key.as_ref().map(crate::config::secret::Secret::read).transpose() {
        Ok(key) => key,
        // Told by the check of the configuration.
        Err(_) => return Vec::new(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if provider.dialect == ProviderDialect::Anthropic {
        headers.insert(ANTHROPIC_VERSION.0, ANTHROPIC_VERSION.1);
    }
    let credentials = key.map(|key| Credentials::key(provider.key_header, &key));
    let asked = client.ask(&uri, credentials.as_ref(), provider.allow_private, headers);
    let response = match timeout(ANSWER_MAX, asked).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            let (what, advice) = classified(&error);
            return bad(what, advice);
        }
        Err(_elapsed) => {
            let what = format!("no answer within {} s", ANSWER_MAX.as_secs());
            return bad(what, "look after the way there: a firewall that says nothing, a proxy, the provider itself");
        }
    };
    let mut findings = vec![answered(provider, response.status())];
    findings.extend(skew(name, response.headers(), clock.unix_us()));
    findings
}

/// Where a list of models is had.
fn models_uri(provider: &Provider) -> String {
    let base = &provider.base_url;
    if let Paths::Deployments { api_version } = &provider.paths {
        return format!("{base}/openai/models?api-version={api_version}");
    }
    match provider.dialect {
        ProviderDialect::OpenAi => format!("{base}/models"),
        ProviderDialect::Anthropic | ProviderDialect::Cohere if base.ends_with("/v1") => format!("{base}/models"),
        ProviderDialect::Anthropic | ProviderDialect::Cohere => format!("{base}/v1/models"),
        ProviderDialect::Gemini if base.ends_with("/v1beta") || base.ends_with("/v1") => format!("{base}/models"),
        ProviderDialect::Gemini => format!("{base}/v1beta/models"),
        ProviderDialect::Ollama => format!("{base}/api/tags"),
        // Its models are listed elsewhere; that it answers at all is something.
        ProviderDialect::Bedrock => format!("{base}/"),
    }
}

/// What an error of TLS says; one of them is told by a server that speaks without.
const OF_TLS: &[&str] = &["certificate", "tls", "handshake", "corrupt message", "fatal alert"];

/// What kept us from it, by its class: dns, connect, tls.
fn classified(error: &SendError) -> (String, &'static str) {
    let text = error.to_string();
    let lower = text.to_ascii_lowercase();
    let (class, advice) = match error {
        SendError::PrivateAddress => ("private", "set allow_private = true on its [[provider]] if that is meant"),
        SendError::Unbuildable => ("key", "its key has characters that no header takes"),
        _ if lower.contains("dns") || lower.contains("lookup") || lower.contains("name or service") => {
            ("dns", "its host has no address: correct base_url, or look after the resolver")
        }
        _ if OF_TLS.iter().any(|word| lower.contains(word)) => {
            ("tls", "no secure connection: look for a proxy in between, a wrong host name, or a wrong clock")
        }
        SendError::Connect(_) => ("connect", "nothing answers there: correct base_url, or open the firewall"),
        SendError::Broken(_) => ("broken", "it broke off: is http and https mixed up in base_url?"),
    };
    (format!("{class}: {text}"), advice)
}

fn answered(provider: &Provider, status: StatusCode) -> Finding {
    let name = &provider.name;
    let what = |text: &str| format!("{name}: {text} (status {})", status.as_u16());
    match status {
        _ if status.is_success() => Finding::ok("providers", what("answers and lets us in")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if provider.dialect == ProviderDialect::Bedrock => {
            Finding::ok("providers", what("answers; its keys are not tried"))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Finding::bad("providers", what("refuses our key"), "set another api_key for its [[provider]]")
        }
        StatusCode::TOO_MANY_REQUESTS => {
            Finding::note("providers", what("answers, and is at the limit of our account"), "raise the limit there")
        }
        _ if status.is_server_error() => Finding::bad("providers", what("fails"), "look at its status page; try again"),
        _ if status.is_redirection() => {
            Finding::bad("providers", what("sends us elsewhere"), "redirects are never followed: correct base_url")
        }
        _ => Finding::note("providers", what("answers, and has no list of models there"), "try a request"),
    }
}

/// The clock by a provider's own, when it says one.
fn skew(name: &str, headers: &HeaderMap, now_us: i64) -> Option<Finding> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    let skew_s = now_us / 1_000_000 - theirs;
    (skew_s.abs() > SKEW_MAX_S).then(|| {
        let what = format!("this clock is {skew_s} s ahead of {name}'s");
        Finding::bad("clock", what, "keep it in step (NTP): prices, periods and signatures go by it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_by_a_providers_own() {
        let mut headers = HeaderMap::new();
        headers.insert(header::DATE, HeaderValue::from_static("Tue, 15 Nov 1994 08:12:31 GMT"));
        let then_us = 784_887_151_000_000;
        assert_eq!(skew("p", &headers, then_us), None);
        assert_eq!(skew("p", &headers, then_us - 60_000_000), None);
        assert!(skew("p", &headers, then_us + 61_000_000).unwrap().what.contains("61 s ahead"));
        assert!(skew("p", &HeaderMap::new(), 0).is_none());
    }
}
