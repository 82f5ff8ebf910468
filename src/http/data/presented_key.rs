//! The key of a request, from wherever the SDK of its dialect puts it. It is never logged and never passed on.

use axum::http::{HeaderMap, HeaderName, header};

/// The key: `Authorization: Bearer`, `x-api-key`, `x-goog-api-key`, `api-key`, or `?key=`.
pub(super) fn presented_key<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let bearer = || {
        let value = text(header::AUTHORIZATION)?;
        let (scheme, key) = value.split_once(' ')?;
        // An empty one, as SDKs send without a key of their own, hides none of the others.
        (scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty()).then_some(key)
    };
    bearer()
        .or_else(|| text(HeaderName::from_static("x-api-key")))
        .or_else(|| text(HeaderName::from_static("x-goog-api-key")))
        .or_else(|| text(HeaderName::from_static("api-key")))
        .or_else(|| parameter(query, "key"))
        .filter(|key| !key.is_empty())
}

/// A parameter of a query, as it stands there: keys of ours and words of the dialects need no escapes.
pub(super) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}
