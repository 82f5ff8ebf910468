//! The worker's integration tests: the shipped model behind real sockets, and the real process.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops there")]

mod answers;
mod harness;
mod parameters;
mod process;
mod soak;
