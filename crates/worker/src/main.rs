//! `tollgate-worker`: only parses and dispatches.
fn main() {}
