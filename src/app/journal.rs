//! The journal as the configuration wants it.

use crate::{
    config::Config,
    journal::{Durability, Options},
};

/// Where and how this gateway keeps its journal.
pub(super) fn journal_options(config: &Config) -> Options {
    let configured = &config.journal;
    Options {
        segment_bytes: configured.segment_bytes,
        durability: if configured.fsync { Durability::Fsync } else { Durability::Relaxed },
        in_flight_max: configured.in_flight_max,
        disk_bytes_max: configured.disk_bytes_max,
        ..Options::new(configured.dir.clone(), configured.replica.clone())
    }
}
