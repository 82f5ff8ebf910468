//! The pure rules of the gateway: money, usage, prices, the journal's records, keys and training recovery.
//!
//! Knows no clock, no randomness, no database, no network, and no floating-point number.

pub mod counters;
pub mod decimal;
pub mod entry;
pub mod entry_row;
pub mod estimate;
pub mod exact;
pub mod id;
pub mod key;
pub mod money;
mod nil_default;
#[cfg(feature = "openapi")]
mod openapi;
pub mod orphan;
pub mod price;
pub mod pricing_context;
pub mod receipt;
pub mod record;
pub mod recovery;
pub mod usage;
pub mod worker_cost;
