//! Decides whether a request may start: key, scope, rate, concurrency.
//!
//! Works on a snapshot of the keys in memory; asks no database. What it grants is a value whose Drop gives it back.

pub mod gate;
pub mod keyring;
pub mod rate;
pub mod refusal;
pub mod tokens;
