//! Reads the journal forward, posts entries and rollups to the store, resolves orphans of dead boots.
//!
//! At its own pace, behind the answers. Idempotent by attempt: what was posted before changes nothing.

pub mod direct;
pub mod live;
pub mod recover;
pub mod ship;
pub mod state;
mod tracker;
