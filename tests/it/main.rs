//! The integration tests: one binary, real parts, sentences for names.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test that cannot go on stops there")]

mod admin;
mod architecture;
mod backup;
mod bad_input;
mod books;
mod cluster;
mod commands;
mod crash;
mod disconnects;
mod faults;
mod fleet;
mod harness;
mod journal;
mod limits;
mod load;
mod metering_fixtures;
mod postgres_faults;
mod prices;
mod process;
mod receipts;
mod requests;
mod rerate;
mod retention;
mod setting;
mod shared;
mod store_conformance;
mod store_model;
mod store_schema;
mod up;
mod wire;
mod worker_config;
mod worker_money;
mod worker_time;
mod workers;
