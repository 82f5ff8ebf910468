//! The only place that asks for randomness.

/// A seed for a request that names none.
#[must_use]
pub fn seed() -> u64 {
    u64::from_le_bytes(random())
}

/// A name for a request that has none.
#[must_use]
pub fn request_id() -> String {
    hex::encode(random::<16>())
}

/// Bytes of the operating system's randomness; zeros if it has none to give, which repeats and harms nothing here.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks for randomness")]
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        tracing::warn!("the operating system gives no randomness");
    }
    bytes
}
