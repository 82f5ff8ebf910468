//! How long an upstream asks to wait, wherever it says so.

use std::time::Duration;

use axum::http::HeaderMap;
use jiff::fmt::rfc2822::DateTimeParser;

use super::body::ErrorBody;

/// Longest wait that is told on: a limit of a day ends within it.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// What is longer is no wait, but a time of day or a mistake.
const BELIEVED_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// `retry-after-ms`, then `retry-after` as seconds or a date, then what Google writes into the body.
pub(super) fn retry_after(headers: &HeaderMap, told: &ErrorBody, now_us: i64) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let ms = text("retry-after-ms").and_then(|ms| seconds(ms, 1000.0));
    let after = || text("retry-after").and_then(|after| seconds(after, 1.0).or_else(|| until(after, now_us)));
    let delay = || told.retry_delay().and_then(|delay| seconds(delay.strip_suffix('s')?, 1.0));
    let wait = ms.or_else(after).or_else(delay)?;
    Some(wait.min(WAIT_MAX))
}

/// A number of so many to a second; none when it is negative, no number or too large to be meant.
fn seconds(text: &str, in_a_second: f64) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(text.parse::<f64>().ok()? / in_a_second).ok()?;
    Some(wait).filter(|wait| *wait <= BELIEVED_MAX)
}

/// The time until a date of HTTP; none when it has passed.
fn until(date: &str, now_us: i64) -> Option<Duration> {
    let at_us = DateTimeParser::new().parse_timestamp(date).ok()?.as_microsecond();
    let wait = Duration::from_micros(u64::try_from(at_us.checked_sub(now_us)?).ok()?);
    Some(wait).filter(|wait| *wait <= BELIEVED_MAX)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    /// Sun, 15 Jun 2025 15:06:40 GMT
    const NOW_US: i64 = 1_750_000_000_000_000;

    fn wait_ms(headers: &[(&'static str, &'static str)], body: &str) -> Option<u128> {
        let pairs =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        retry_after(&pairs.collect(), &ErrorBody::parse(body.as_bytes()), NOW_US).map(|wait| wait.as_millis())
    }

    #[test]
    fn a_wait_is_read_in_every_form_that_providers_write() {
        for (name, value, expected) in [
            ("retry-after", "7", Some(7000)),
            ("retry-after", "0.25", Some(250)),
            ("retry-after", " 1.5 ", Some(1500)),
            ("retry-after", "Sun, 15 Jun 2025 15:07:10 GMT", Some(30_000)),
            ("retry-after-ms", "1500", Some(1500)),
            ("retry-after-ms", "12.5", Some(12)),
            ("retry-after", "200000", Some(86_400_000)),
            // Nothing that can be waited for.
            ("retry-after", "Sun, 15 Jun 2025 15:06:10 GMT", None),
            ("retry-after", "-1", None),
            ("retry-after", "NaN", None),
            ("retry-after", "inf", None),
            ("retry-after", "1e300", None),
            ("retry-after", "1750000000", None),
            ("retry-after", "soon", None),
            ("retry-after-ms", "-5", None),
        ] {
            assert_eq!(wait_ms(&[(name, value)], ""), expected, "{name}: {value}");
        }
        assert_eq!(wait_ms(&[("retry-after", "2"), ("retry-after-ms", "1500")], ""), Some(1500));
        assert_eq!(wait_ms(&[("retry-after", "2"), ("retry-after-ms", "x")], ""), Some(2000));
    }

    #[test]
    fn a_wait_that_google_writes_into_the_body_is_read() {
        let body = |delay: &str| {
            format!(
                r#"{{"error":{{"code":429,"details":[{{"@type":"type.googleapis.com/google.rpc.QuotaFailure"}},
                    {{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":{delay}}}]}}}}"#
            )
        };
        assert_eq!(wait_ms(&[], &body(r#""12.5s""#)), Some(12_500));
        assert_eq!(wait_ms(&[], &format!("[{}]", body(r#""34s""#))), Some(34_000));
        assert_eq!(wait_ms(&[("retry-after", "2")], &body(r#""34s""#)), Some(2000));
        for delay in [r#""-3s""#, "7", r#""7""#, r#""s""#] {
            assert_eq!(wait_ms(&[], &body(delay)), None, "{delay}");
        }
    }
}
