//! What lets a request in at an upstream: a key in the header where it wants it, or a signature.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::sigv4;
use crate::config::known::KeyHeader;

/// A provider's key or keys; never logged.
#[derive(Clone)]
pub enum Credentials {
    /// A key, sent along.
    Key(Key),
    /// Keys that sign.
    Signature(sigv4::Credentials),
}

/// The header that a key is sent in.
#[derive(Clone)]
pub struct Key {
    name: HeaderName,
    /// Marked as secret; none: the key cannot stand in a header.
    value: Option<HeaderValue>,
}

impl Credentials {
    /// A key, sent along where the provider wants it.
    #[must_use]
    pub fn key(place: KeyHeader, key: &str) -> Self {
        let mut value = match place {
            KeyHeader::Bearer => HeaderValue::from_str(&format!("Bearer {key}")),
            KeyHeader::XApiKey | KeyHeader::XGoogApiKey | KeyHeader::ApiKey => HeaderValue::from_str(key),
        };
        if let Ok(value) = &mut value {
            value.set_sensitive(true);
        }
        Self::Key(Key { name: HeaderName::from_static(place.name()), value: value.ok() })
    }

    /// Puts what lets the request in into its headers; false when that cannot be done.
    #[must_use]
    pub fn insert(&self, uri: &Uri, headers: &mut HeaderMap, body: &[u8], now_us: i64) -> bool {
        match self {
            Self::Key(Key { name, value }) => match value {
                Some(value) => {
                    headers.insert(name, value.clone());
                    true
                }
                None => false,
            },
            Self::Signature(keys) => sigv4::sign(keys, &Method::POST, uri, headers, body, now_us).is_ok(),
        }
    }
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
            assert!(Credentials::key(place, "secret").insert(&uri, &mut headers, b"", 0));
            let (found, value) = headers.iter().next().unwrap();
            assert_eq!((found.as_str(), value.is_sensitive(), headers.len()), (name, true, 1));
            assert_eq!(value, expected);
        }
        let broken = Credentials::key(KeyHeader::Bearer, "a\nb");
        assert!(!broken.insert(&uri, &mut HeaderMap::new(), b"", 0));
    }
}
