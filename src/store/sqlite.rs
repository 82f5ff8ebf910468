//! The embedded engine's statements, one file per aggregate.

pub mod customers;
pub mod entries;
pub mod keys;
pub mod prices;
pub mod rollups;
mod row;
pub mod training;
