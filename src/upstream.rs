//! Provider adapters by dialect: request edits, send, classify outcomes, sniff the stream.

pub mod client;
pub mod dialect;
pub mod event_stream;
pub mod outcome;
pub mod request;
pub mod sigv4;
pub mod sniff;
pub mod usage;
pub mod worker;
