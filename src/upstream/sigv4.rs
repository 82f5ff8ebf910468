//! Signs requests to AWS (Signature Version 4, docs/adr/0010): a signature over method, path, query, some headers and the
//! body, good for a few minutes around the time that it names.
//!
//! Signed are `host`, `content-type` and every `x-amz-` header: what others add on the way changes nothing.

use std::fmt::Write as _;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Whose signature, and where it is good.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Public name of the secret.
    pub access_key_id: String,
    /// The secret, which never leaves.
    pub secret_access_key: String,
    /// Of temporary credentials; sent along.
    pub session_token: Option<String>,
    /// Such as `us-east-1`.
    pub region: String,
    /// Such as `bedrock`.
    pub service: &'static str,
}

/// Shows whose they are, never the secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({} in {})", self.access_key_id, self.region)
    }
}

/// A request that cannot be signed: no host, a header that is no ASCII text, or a time that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request cannot be signed")]
pub struct Unsignable;

/// Adds a signature, and the headers that belong to it. `uri` is absolute and written as it is sent.
///
/// # Errors
/// [`Unsignable`].
pub fn sign(
    credentials: &Credentials,
    method: &Method,
    uri: &Uri,
    headers: &mut HeaderMap,
    body: &[u8],
    unix_us: i64,
) -> Result<(), Unsignable> {
    let time = Timestamp::from_microsecond(unix_us).map_err(|_| Unsignable)?.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = time.get(..8).ok_or(Unsignable)?;
    headers.insert(X_AMZ_DATE, HeaderValue::from_str(&time).map_err(|_| Unsignable)?);
    headers.remove(X_AMZ_SECURITY_TOKEN);
    if let Some(token) = &credentials.session_token {
        let mut value = HeaderValue::from_str(token).map_err(|_| Unsignable)?;
        value.set_sensitive(true);
        headers.insert(X_AMZ_SECURITY_TOKEN, value);
    }
    let signed = signed_headers(uri, headers)?;
    let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let request = canonical_request(method, uri, &signed, &names, body);
    let scope = format!("{day}/{}/{}/aws4_request", credentials.region, credentials.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
    let signature = hex::encode(signature(credentials, day, &to_sign)?);
    let told = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id
    );
    let mut value = HeaderValue::from_str(&told).map_err(|_| Unsignable)?;
    value.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, value);
    Ok(())
}

/// Names and values, sorted by name.
fn signed_headers(uri: &Uri, headers: &HeaderMap) -> Result<Vec<(String, String)>, Unsignable> {
    let mut signed = vec![("host".to_owned(), host(uri)?)];
    for name in headers.keys() {
        if *name != header::CONTENT_TYPE && !name.as_str().starts_with("x-amz-") {
            continue;
        }
        let mut values = Vec::new();
        for value in headers.get_all(name) {
            values.push(value.to_str().map_err(|_| Unsignable)?.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        signed.push((name.as_str().to_owned(), values.join(",")));
    }
    signed.sort_unstable();
    Ok(signed)
}

/// The host as the client sends it: with a port unless it is the scheme's own.
fn host(uri: &Uri) -> Result<String, Unsignable> {
    let host = uri.host().ok_or(Unsignable)?;
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    Ok(match uri.port_u16() {
        Some(port) if port != usual => format!("{host}:{port}"),
        _ => host.to_owned(),
    })
}

fn canonical_request(method: &Method, uri: &Uri, signed: &[(String, String)], names: &str, body: &[u8]) -> String {
    let headers = signed.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a text cannot fail.
        let _written = writeln!(text, "{name}:{value}");
        text
    });
    let (path, query) = (canonical_path(uri.path()), canonical_query(uri.query().unwrap_or_default()));
    format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{}", hex::encode(Sha256::digest(body)))
}

/// The path as it is sent, without dot segments and empty ones, escaped once more.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut canonical = String::with_capacity(path.len() + 16);
    for segment in &segments {
        canonical.push('/');
        escape(segment, &mut canonical);
    }
    if canonical.is_empty() || path.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

fn escape(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => {
                let _written = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// The query's pairs, sorted; they are escaped already.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn signature(credentials: &Credentials, day: &str, to_sign: &str) -> Result<[u8; 32], Unsignable> {
    let secret = format!("AWS4{}", credentials.secret_access_key);
    let mut key = keyed(secret.as_bytes(), day)?;
    for step in [credentials.region.as_str(), credentials.service, "aws4_request", to_sign] {
        key = keyed(&key, step)?;
    }
    Ok(key)
}

fn keyed(key: &[u8], text: &str) -> Result<[u8; 32], Unsignable> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Unsignable)?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
            region: "us-east-1".into(),
            service: "service",
        }
    }

    /// 2015-08-30T12:36:00Z, the time of AWS's published examples.
    const EXAMPLE_US: i64 = 1_440_938_160_000_000;

    fn signature_of(uri: &str, method: &Method) -> String {
        let mut headers = HeaderMap::new();
        sign(&credentials(), method, &uri.parse().unwrap(), &mut headers, b"", EXAMPLE_US).unwrap();
        assert!(headers[header::AUTHORIZATION].is_sensitive());
        headers[header::AUTHORIZATION].to_str().unwrap().rsplit_once('=').unwrap().1.to_owned()
    }

    #[test]
    fn the_published_examples_come_out() {
        for (uri, method, expected) in [
            (
                "https://example.amazonaws.com/",
                Method::GET,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                Method::GET,
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "https://example.amazonaws.com/",
                Method::POST,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            assert_eq!(signature_of(uri, &method), expected, "{method} {uri}");
        }
    }

    #[test]
    fn a_model_id_is_escaped_twice_and_dots_do_not_climb() {
        let path = "/model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/converse";
        assert_eq!(canonical_path(path), "/model/anthropic.claude-3-5-sonnet-20241022-v2%253A0/converse");
        assert_eq!(canonical_path("/a/./b//../c/"), "/a/c/");
        assert_eq!(canonical_path(""), "/");
    }

    #[test]
    fn what_a_client_sent_does_not_pass_for_our_token_and_what_proxies_add_is_not_signed() {
        let uri: Uri = "http://localhost:9/model/x/converse".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(X_AMZ_SECURITY_TOKEN, HeaderValue::from_static("theirs"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        sign(&credentials(), &Method::POST, &uri, &mut headers, b"{}", EXAMPLE_US).unwrap();
        assert!(!headers.contains_key(X_AMZ_SECURITY_TOKEN));
        let told = headers[header::AUTHORIZATION].to_str().unwrap();
        assert!(told.contains("SignedHeaders=host;x-amz-date,"), "{told}");
        assert_eq!(host(&uri), Ok("localhost:9".to_owned()));
    }

    #[test]
    fn what_cannot_be_signed_is_refused_and_a_secret_is_never_shown() {
        let uri: Uri = "https://x/".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(sign(&credentials(), &Method::POST, &uri, &mut headers, b"", 0), Err(Unsignable));
        let relative: Uri = "/x".parse().unwrap();
        assert_eq!(sign(&credentials(), &Method::POST, &relative, &mut HeaderMap::new(), b"", 0), Err(Unsignable));
        let broken = Credentials { session_token: Some("a\nb".into()), ..credentials() };
        assert_eq!(sign(&broken, &Method::POST, &uri, &mut HeaderMap::new(), b"", 0), Err(Unsignable));
        assert_eq!(format!("{:?}", credentials()), "Credentials(AKIDEXAMPLE in us-east-1)");
    }
}
