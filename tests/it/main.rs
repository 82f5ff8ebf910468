//! The integration tests: one binary, real parts, sentences for names.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::too_many_arguments,
    reason = "a test that cannot go on stops there"
)]

mod admin;
mod architecture;
mod bad_input;
mod books;
mod commands;
mod crash;
mod disconnects;
mod faults;
mod harness;
mod limits;
mod metering_fixtures;
mod receipts;
mod requests;
mod shared;
mod up;
mod worker_config;
mod worker_money;
mod worker_time;
mod workers;
