//! The worker's integration tests: the shipped model behind real sockets, and the real process.

mod answers;
mod harness;
mod parameters;
mod process;
mod soak;
