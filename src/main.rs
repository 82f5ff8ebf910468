//! The `tollgate` command: parses and dispatches.

fn main() -> std::process::ExitCode {
    tollgate::cli::main()
}
