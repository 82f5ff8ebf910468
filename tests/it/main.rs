//! The integration tests: one binary, real parts, sentences for names.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test that cannot go on stops there")]

mod admin;
mod architecture;
mod bad_input;
mod books;
mod commands;
mod crash;
mod disconnects;
mod faults;
mod harness;
mod journal;
mod limits;
mod load;
mod metering_fixtures;
mod process;
mod requests;
mod setting;
mod shared;
