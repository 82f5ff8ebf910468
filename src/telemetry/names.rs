//! The one list of metrics: name, kind, labels and meaning. docs/operations.md shows it; a test holds both together.
//!
//! A label's values come from the configuration or from a fixed list, never from what a client wrote. No label names a
//! key or a customer.

/// What a metric's number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// As Prometheus reads it; the unit comes last.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels, in their order.
    pub labels: &'static [&'static str],
    /// One line of help.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Described {
    Described { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Described {
    Described { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Described {
    Described { name, kind: Kind::Histogram, labels, help }
}

macro_rules! metrics {
    ($($constant:ident = $described:expr;)*) => {
        $(#[doc = "See its help."] pub const $constant: Described = $described;)*
        /// All of them, in the order in which they are shown.
        pub const ALL: &[Described] = &[$($constant),*];
    };
}

metrics! {
    BUILD_INFO = gauge("tollgate_build_info", &["version"], "1, with the version of this build");
    REQUESTS = counter("tollgate_requests_total", &["model", "status", "code"],
        "Requests by public model (empty: none was found), class of the status that the client got (gone: it left before), and code (ok, or the error's)");
    ATTEMPTS = counter("tollgate_attempts_total", &["model", "provider", "outcome"],
        "Attempts at an upstream that ended, by outcome");
    TOKENS = counter("tollgate_tokens_total", &["model", "kind"],
        "Tokens of ended attempts, by exclusive bucket: their sum is all tokens");
    USAGE_SOURCE = counter("tollgate_usage_source_total", &["source"],
        "Ended attempts by where their usage comes from; provider_final is exact");
    CHARGE = counter("tollgate_charge_usd_total", &["model"], "What customers owe for ended attempts, US dollars");
    COST = counter("tollgate_cost_usd_total", &["model", "provider"], "What ended attempts cost us, US dollars");
    UNPRICED = counter("tollgate_unpriced_total", &[], "Attempts that ended without a price; `tollgate rerate` prices them");
    PRICED_AS_TARGET = counter("tollgate_priced_as_target_total", &[],
        "Attempts that another model served for which there is no price; they cost what the target's does");
    COST_DIFFERS = counter("tollgate_cost_differs_total", &[],
        "Attempts of which the provider says that they cost another amount than its price table");
    UPSTREAM_SECONDS = histogram("tollgate_upstream_seconds", &["model", "provider"],
        "From the moment an attempt goes upstream to its end");
    FIRST_BYTE_SECONDS = histogram("tollgate_first_byte_seconds", &["model", "provider"],
        "From the admission of a request to the first byte of its answer");
    JOURNAL_SYNC_SECONDS = histogram("tollgate_journal_sync_seconds", &[],
        "Group commits of the journal: write and sync");
    IN_FLIGHT = gauge("tollgate_requests_in_flight", &[], "Attempts that hold room in the journal");
    IN_FLIGHT_MAX = gauge("tollgate_requests_in_flight_max", &[], "The most that may be under way at once");
    RELEASED_BEFORE_DURABLE = counter("tollgate_released_before_durable_total", &[],
        "Answers that ended before their entry was known to be durable");
    DRAINED = counter("tollgate_drained_total", &[], "Answers read on after their client left");
    DRAIN_REFUSED = counter("tollgate_drain_refused_total", &[], "Answers cut because too many were being read on");
    TASK_PANICS = counter("tollgate_task_panics_total", &[],
        "Tasks that panicked and were started again; each is a defect");
    JOURNAL_DURABLE_SEQUENCE = gauge("tollgate_journal_durable_sequence", &[], "Highest durable sequence of this boot");
    JOURNAL_POISONED = gauge("tollgate_journal_poisoned", &[], "1 when the journal cannot write");
    JOURNAL_REFUSING = gauge("tollgate_journal_refusing", &[], "1 when the journal takes no new requests");
    JOURNAL_DISK_BYTES = gauge("tollgate_journal_disk_bytes", &[], "Bytes that the journal takes on its disk");
    JOURNAL_DISK_BYTES_MAX = gauge("tollgate_journal_disk_bytes_max", &[], "Its quota; 0: none");
    JOURNAL_MISSING_RECORDS = gauge("tollgate_journal_missing_records", &[],
        "Records that were durable and are missing, as the quarantine says");
    JOURNAL_DAMAGED_REGIONS = gauge("tollgate_journal_damaged_regions", &[],
        "Damaged regions of journals, as the quarantine says");
    JOURNAL_ABANDONED_SEGMENTS = counter("tollgate_journal_abandoned_segments_total", &[],
        "Segments given up after a failure to write");
    JOURNAL_DIRECT_INSERTS = counter("tollgate_journal_direct_inserts_total", &[],
        "Entries that went straight into the store because the journal was poisoned");
    JOURNAL_LAG = gauge("tollgate_journal_lag_entries", &[],
        "Records that are durable in the journal and not in the books yet");
    POSTED = counter("tollgate_posted_total", &[], "Entries that this process has put into the books");
    POSTING_FAILURES = counter("tollgate_posting_failures_total", &[], "Batches that the store did not take at once");
    STORE_UP = gauge("tollgate_store_up", &[], "1 when the store answers");
    STORE_FAILING_SECONDS = gauge("tollgate_store_failing_seconds", &[],
        "For how long the store has taken nothing; 0: it does");
    USAGE_GAP = gauge("tollgate_usage_gap_total", &[], "Events that the books cannot account for; must be 0");
    DEAD_LETTERS = gauge("tollgate_dead_letters", &[], "Entries that the store refused and that wait to be posted");
    UNPRICED_ENTRIES = gauge("tollgate_unpriced_entries", &[],
        "Entries of the books without a price that no correction has settled");
    AUDIT_DIFFERENCES = gauge("tollgate_audit_differences", &[],
        "Differences that the last audit of this process found; absent before the first");
    AUDIT_DOUBLED = gauge("tollgate_audit_double_billed_requests", &[],
        "Requests that the last audit found charged more than once; absent before the first");
    AUDIT_TIME = gauge("tollgate_audit_timestamp_seconds", &[],
        "When the last audit of this process ended, since 1970; absent before the first");
    TRAINING_RECOVERED = gauge("tollgate_training_recovered_ratio", &["model"],
        "Share of a model's training cost that is back by [recovery] basis");
    WORKER_READY = gauge("tollgate_worker_ready", &["worker"], "1 when the worker takes requests");
    WORKER_RESTARTS = counter("tollgate_worker_restarts_total", &["worker"], "Starts of the worker after its first");
    WORKER_QUEUED = gauge("tollgate_worker_queued", &["worker"], "Requests that wait in the worker");
    REPLICA_NAME_LOST = gauge("tollgate_replica_name_lost", &[], "1 when another process has taken this gateway's name");
    CERTIFICATE_ENDS = gauge("tollgate_certificate_end_timestamp_seconds", &[],
        "When the first certificate of the data plane's chain ends, seconds since 1970; 0: no TLS");
    OTLP_SENT = counter("tollgate_otlp_sent_total", &["signal"], "Spans and metric reports that the collector took");
    OTLP_DROPPED = counter("tollgate_otlp_dropped_total", &["signal"],
        "Spans and metric reports given up: the queue was full, or the collector did not take them");
    LOG_LINES_DROPPED = counter("tollgate_log_lines_dropped_total", &[],
        "Log lines given up because standard error was not read");
}
