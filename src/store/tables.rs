//! The tables that make up the books, as they are written out and read back: everything but what a process says of
//! itself while it runs.

use super::copy_text::{Column, Kind};

/// A table.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// In the order of the file.
    pub(super) columns: &'static [Column],
    /// Rows are written in the order of these columns, so that the same books give the same bytes.
    pub(super) key: &'static str,
}

impl Table {
    /// `a, b, c`
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// Entries, which are written by the day, too.
pub(super) const ENTRIES: Table = Table {
    name: "entries",
    columns: &[
        ("request_id", Kind::Id),
        ("attempt", Kind::Integer),
        ("replica", Kind::Text),
        ("boot_id", Kind::Id),
        ("sequence", Kind::Integer),
        ("customer_id", Kind::Id),
        ("key_id", Kind::Id),
        ("model", Kind::Text),
        ("target", Kind::Text),
        ("outcome", Kind::Text),
        ("usage_source", Kind::Text),
        ("admitted_at_us", Kind::Integer),
        ("cost_nanousd", Kind::Integer),
        ("charge_nanousd", Kind::Integer),
        ("unpriced", Kind::Flag),
        ("body", Kind::Bytes),
    ],
    key: "request_id, attempt",
};

/// In an order in which a row comes behind those that it refers to.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "customers",
        columns: &[
            ("id", Kind::Id),
            ("name", Kind::Text),
            ("external_id", Kind::Text),
            ("billing", Kind::Text),
            ("price_book", Kind::Text),
            ("created_at_us", Kind::Integer),
        ],
        key: "id",
    },
    Table {
        name: "keys",
        columns: &[
            ("id", Kind::Id),
            ("customer_id", Kind::Id),
            ("public_id", Kind::Text),
            ("name", Kind::Text),
            ("secret_hash", Kind::Bytes),
            ("requests_per_minute", Kind::Integer),
            ("tokens_per_minute", Kind::Integer),
            ("concurrent_requests", Kind::Integer),
            ("models", Kind::Text),
            ("expires_at_us", Kind::Integer),
            ("revoked_at_us", Kind::Integer),
            ("created_at_us", Kind::Integer),
            ("rotated_from", Kind::Id),
        ],
        key: "id",
    },
    Table {
        name: "price_versions",
        columns: &[("id", Kind::Text), ("kind", Kind::Text), ("body", Kind::Text), ("recorded_at_us", Kind::Integer)],
        key: "id",
    },
    Table {
        name: "price_sets",
        columns: &[
            ("number", Kind::Integer),
            ("digest", Kind::Text),
            ("versions", Kind::Text),
            ("published_by", Kind::Text),
            ("published_at_us", Kind::Integer),
        ],
        key: "number",
    },
    ENTRIES,
    Table {
        name: "rollups_hourly",
        columns: &[
            ("hour_us", Kind::Integer),
            ("customer_id", Kind::Id),
            ("key_id", Kind::Id),
            ("model", Kind::Text),
            ("target", Kind::Text),
            ("requests", Kind::Integer),
            ("attempts", Kind::Integer),
            ("input_uncached", Kind::Integer),
            ("cache_read", Kind::Integer),
            ("cache_write_5m", Kind::Integer),
            ("cache_write_1h", Kind::Integer),
            ("cache_write_unspecified", Kind::Integer),
            ("output", Kind::Integer),
            ("reasoning", Kind::Integer),
            ("cost_nanousd", Kind::Integer),
            ("charge_nanousd", Kind::Integer),
            ("unpriced", Kind::Integer),
            ("estimated", Kind::Integer),
            ("worker_busy_us", Kind::Integer),
        ],
        key: "hour_us, customer_id, key_id, model, target",
    },
    Table {
        name: "cursors",
        columns: &[
            ("replica", Kind::Text),
            ("boot_id", Kind::Id),
            ("sequence", Kind::Integer),
            ("closed", Kind::Flag),
            ("counted_from", Kind::Integer),
            ("opened", Kind::Integer),
            ("ended", Kind::Integer),
            ("voided", Kind::Integer),
            ("resolved", Kind::Integer),
            ("again", Kind::Integer),
            ("entries", Kind::Integer),
            ("buried", Kind::Integer),
            ("archived", Kind::Integer),
            ("missing", Kind::Integer),
        ],
        key: "replica, boot_id",
    },
    Table {
        name: "training_runs",
        columns: &[
            ("id", Kind::Id),
            ("model", Kind::Text),
            ("name", Kind::Text),
            ("cost_nanousd", Kind::Integer),
            ("in_service", Kind::Text),
            ("source", Kind::Text),
            ("recorded_at_us", Kind::Integer),
        ],
        key: "id",
    },
    Table {
        name: "worker_hours",
        columns: &[
            ("worker", Kind::Text),
            ("worker_id", Kind::Text),
            ("hour_us", Kind::Integer),
            ("model", Kind::Text),
            ("model_sha256", Kind::Text),
            ("engine_threads", Kind::Integer),
            ("uptime_us", Kind::Integer),
            ("busy_us", Kind::Integer),
            ("requests", Kind::Integer),
        ],
        key: "worker, worker_id, hour_us",
    },
    Table {
        name: "dead_letters",
        columns: &[
            ("request_id", Kind::Id),
            ("attempt", Kind::Integer),
            ("replica", Kind::Text),
            ("boot_id", Kind::Id),
            ("sequence", Kind::Integer),
            ("reason", Kind::Text),
            ("body", Kind::Bytes),
            ("buried_at_us", Kind::Integer),
        ],
        key: "request_id, attempt",
    },
    Table { name: "pins", columns: &[("name", Kind::Text), ("value", Kind::Text)], key: "name" },
    Table {
        name: "archives",
        columns: &[
            ("day", Kind::Integer),
            ("part", Kind::Integer),
            ("entries", Kind::Integer),
            ("first_hour_us", Kind::Integer),
            ("last_hour_us", Kind::Integer),
            ("sha256", Kind::Text),
            ("file", Kind::Text),
            ("archived_at_us", Kind::Integer),
        ],
        key: "day, part",
    },
    Table {
        name: "sealed_orphans",
        columns: &[
            ("request_id", Kind::Id),
            ("attempt", Kind::Integer),
            ("replica", Kind::Text),
            ("boot_id", Kind::Id),
        ],
        key: "request_id, attempt",
    },
    Table {
        name: "objects",
        columns: &[
            ("id", Kind::Id),
            ("kind", Kind::Text),
            ("provider", Kind::Text),
            ("upstream_id", Kind::Text),
            ("customer_id", Kind::Id),
            ("key_id", Kind::Id),
            ("request_id", Kind::Id),
            ("model", Kind::Text),
            ("target", Kind::Text),
            ("price_book", Kind::Text),
            ("detail", Kind::Text),
            ("created_at_us", Kind::Integer),
            ("deleted_at_us", Kind::Integer),
            ("finished_at_us", Kind::Integer),
            ("metered_at_us", Kind::Integer),
            ("result_lines", Kind::Integer),
            ("polled_at_us", Kind::Integer),
            ("poll_after_us", Kind::Integer),
        ],
        key: "id",
    },
];

/// Tables that are no part of the books: counters of changes, who is alive, and what the migrations say of themselves.
#[cfg(test)]
pub(super) const NOT_BOOKS: &[&str] = &["changes", "replicas", "_sqlx_migrations"];
