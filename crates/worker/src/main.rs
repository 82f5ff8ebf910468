//! `tollgate-worker`: only parses and dispatches.

use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    match tollgate_worker::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nowhere_to_say_it = writeln!(std::io::stderr(), "tollgate-worker: {error}");
            ExitCode::from(1)
        }
    }
}
