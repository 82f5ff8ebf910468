//! Tollgate: an inference gateway that meters, prices, bills and limits every token.
//!
//! ARCHITECTURE.md names each module's rank; a module uses `tollgate_core` and modules of strictly lower rank.

pub mod accounts;
pub mod admission;
pub mod app;
pub mod billing;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod failpoint;
pub mod fleet;
pub mod http;
pub mod journal;
pub mod metering;
pub mod objects;
pub mod otlp;
pub mod posting;
pub mod proxy;
pub mod reports;
pub mod routing;
pub mod shard;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod workers;
