//! Read models: usage, one request, economics. Never writes.

pub mod economics;
pub mod request;
pub mod usage;
pub mod workers;
