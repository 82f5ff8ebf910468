//! API keys: `tg-<12 character public id>-<secret>`; only a keyed hash of the secret is ever stored.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Characters of the public id.
pub const PUBLIC_ID_LEN: usize = 12;
/// Characters of the secret: 256 bits as hexadecimal.
pub const SECRET_LEN: usize = 64;

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// HMAC-SHA-256 of a secret under the pepper.
pub type SecretHash = [u8; 32];

/// A key as presented by a client, split but not yet believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PresentedKey<'a> {
    /// Names the row to look up.
    pub public_id: &'a str,
    /// Proves that the caller may use it. Never logged.
    pub secret: &'a str,
}

impl<'a> PresentedKey<'a> {
    /// Splits `tg-…-…`; none when the text is not of that form.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (public_id, secret) = text.strip_prefix("tg-")?.split_once('-')?;
        let plain = |s: &str| s.bytes().all(|b| b.is_ascii_alphanumeric());
        (public_id.len() == PUBLIC_ID_LEN && secret.len() == SECRET_LEN && plain(public_id) && plain(secret))
            .then_some(Self { public_id, secret })
    }
}

/// A new key: its public id, its secret, and the text that is shown once.
pub struct NewKey {
    /// Twelve characters, stored in the clear.
    pub public_id: String,
    /// 64 hexadecimal characters, never stored.
    pub secret: String,
}

impl NewKey {
    /// Makes a key from 44 random bytes: 12 for the public id, 32 for the secret.
    #[must_use]
    pub fn from_random(public: &[u8; PUBLIC_ID_LEN], secret: &[u8; 32]) -> Self {
        let letter = |byte: &u8| ALPHABET.get(usize::from(byte & 31)).copied().map_or('a', char::from);
        Self { public_id: public.iter().map(letter).collect(), secret: hex::encode(secret) }
    }

    /// The whole key, as the customer receives it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("tg-{}-{}", self.public_id, self.secret)
    }
}

/// The stored form of a secret.
#[must_use]
pub fn hash_secret(pepper: &[u8; 32], secret: &str) -> SecretHash {
    // HMAC pads a key shorter than the block of 64 bytes with zeros; doing it here leaves no error to handle.
    let mut block = [0_u8; 64];
    for (slot, byte) in block.iter_mut().zip(pepper) {
        *slot = *byte;
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    mac.update(secret.as_bytes());
    mac.finalize().into_bytes().into()
}

/// Compares in constant time.
#[must_use]
pub fn hashes_equal(a: &SecretHash, b: &SecretHash) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_reads_back() {
        let key = NewKey::from_random(&[200; 12], &[7; 32]);
        let text = key.text();
        let presented = PresentedKey::parse(&text);
        assert!(presented.is_some_and(|p| p.public_id == key.public_id && p.secret == key.secret));
    }

    #[test]
    fn what_is_not_a_key_is_not_parsed() {
        for text in ["", "tg-", "sk-abc", "tg-short-00", "tg-abcdefghijkl-zz", "tg-abcdefghijkl"] {
            assert!(PresentedKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn another_pepper_or_secret_gives_another_hash() {
        let hash = hash_secret(&[1; 32], "s");
        assert!(hashes_equal(&hash, &hash_secret(&[1; 32], "s")));
        assert!(!hashes_equal(&hash, &hash_secret(&[2; 32], "s")));
        assert!(!hashes_equal(&hash, &hash_secret(&[1; 32], "t")));
    }
}
