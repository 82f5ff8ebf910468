//! Long runs of everything that may happen to a gateway; each scenario prints one line for docs/reliability.md:
//! `torture: scenario, runs, lost, doubled, wrong, recovery_ms_max`. `make torture` collects them.
//!
//! A scenario of another kind is a module here, one test each, that ends with [`report`].
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on stops there, and the report goes to standard output"
)]

#[path = "../it/cluster.rs"]
mod cluster;
mod effort;
mod fleet;
mod kill;
#[path = "../it/load.rs"]
mod load;
mod points;
mod postgres;
#[path = "../it/process.rs"]
mod process;
#[path = "../it/replicas.rs"]
mod replicas;
#[path = "../it/setting.rs"]
mod setting;
#[path = "../it/wire.rs"]
mod wire;

/// Prints a scenario's line, and fails when something was lost, doubled or wrong.
fn report(scenario: &str, runs: u64, verdict: &load::Verdict, recovery_ms_max: u128) {
    let load::Verdict { lost, doubled, wrong, .. } = verdict;
    println!("{scenario}: {verdict:?}");
    println!("torture: {scenario}, {runs}, {lost}, {doubled}, {wrong}, {recovery_ms_max}");
    assert_eq!((*lost, *doubled, *wrong), (0, 0, 0), "{scenario}");
}
