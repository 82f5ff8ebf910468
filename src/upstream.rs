//! Provider adapters by dialect: request edits, send, classify outcomes, sniff the stream.

pub mod body;
pub mod client;
pub mod credentials;
pub mod dialect;
pub mod endpoint;
mod guarded;
pub mod headers;
pub mod outcome;
pub mod request;
pub mod sigv4;
pub mod sniff;
pub mod target;
pub mod usage;
pub mod worker;
