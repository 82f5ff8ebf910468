//! What lets a request in at an upstream: a key in the header where it wants it, or a signature.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::sigv4;
use crate::config::known::KeyHeader;

/// A provider's key or keys; never logged.
#[derive(Clone)]
pub enum Credentials {
    /// A key, sent along.
    Key(KeyHeader, String),
    /// Keys that sign.
    Signature(sigv4::Credentials),
}

impl Credentials {
    /// Puts what lets the request in into its headers; false when that cannot be done.
    #[must_use]
    pub fn insert(&self, uri: &Uri, headers: &mut HeaderMap, body: &[u8], now_us: i64) -> bool {
        match self {
            Self::Key(place, key) => insert_key(*place, headers, key),
            Self::Signature(keys) => sigv4::sign(keys, &Method::POST, uri, headers, body, now_us).is_ok(),
        }
    }
}

fn insert_key(place: KeyHeader, headers: &mut HeaderMap, key: &str) -> bool {
    let text = match place {
        KeyHeader::Bearer => HeaderValue::from_str(&format!("Bearer {key}")),
        KeyHeader::XApiKey | KeyHeader::XGoogApiKey | KeyHeader::ApiKey => HeaderValue::from_str(key),
    };
    let name = match place {
        KeyHeader::Bearer => header::AUTHORIZATION,
        KeyHeader::XApiKey | KeyHeader::XGoogApiKey | KeyHeader::ApiKey => HeaderName::from_static(place.name()),
    };
    let Ok(mut value) = text else { return false };
    value.set_sensitive(true);
    headers.insert(name, value);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_where_it_is_wanted_and_nowhere_else() {
        let uri: Uri = "https://x/".parse().unwrap();
        for (place, name, expected) in [
            (KeyHeader::Bearer, "authorization", "Bearer secret"),
            (KeyHeader::XApiKey, "x-api-key", "secret"),
            (KeyHeader::XGoogApiKey, "x-goog-api-key", "secret"),
            (KeyHeader::ApiKey, "api-key", "secret"),
        ] {
            let mut headers = HeaderMap::new();
            assert!(Credentials::Key(place, "secret".into()).insert(&uri, &mut headers, b"", 0));
            let (found, value) = headers.iter().next().unwrap();
            assert_eq!((found.as_str(), value.is_sensitive(), headers.len()), (name, true, 1));
            assert_eq!(value, expected);
        }
        let broken = Credentials::Key(KeyHeader::Bearer, "a\nb".into());
        assert!(!broken.insert(&uri, &mut HeaderMap::new(), b"", 0));
    }
}
