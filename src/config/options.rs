//! The list of what may be written in a configuration: one row an option. Help, schema and "did you mean" come from it.

use super::{dialect::ProviderDialect, known::KeyHeader};

/// What an option's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number, at least 0.
    Count,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `address:port`.
    Address,
    /// `env:NAME` or `file:PATH`.
    Secret,
    /// Decimal text of US dollars, such as `"1200.00"`.
    Usd,
    /// `YYYY-MM-DD`.
    Date,
    /// Decimal text, at least 0, such as `"0.05"`.
    Decimal,
    /// A list of `{ provider, model }`.
    Targets,
    /// A list of texts.
    Texts,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionRow {
    /// `section.key`, or `table[].key` for a repeated table, or `table[].list[].key` for a list of tables within one.
    pub path: &'static str,
    /// Its form.
    pub kind: Kind,
    /// One line of help.
    pub doc: &'static str,
}

const fn row(path: &'static str, kind: Kind, doc: &'static str) -> OptionRow {
    OptionRow { path, kind, doc }
}

/// Every option, in the order of `config.default.toml`.
pub const OPTIONS: &[OptionRow] = &[
    row("server.listen", Kind::Address, "Data plane: where applications send their requests"),
    row("server.admin_listen", Kind::Address, "Admin plane: health, the break-even page, /admin/v1"),
    row("server.tls_cert", Kind::Text, "File of the data plane's certificate chain, PEM; empty: plain HTTP"),
    row("server.tls_key", Kind::Text, "File of that certificate's private key, PEM"),
    row("server.data_dir", Kind::Text, "Folder for the database, the journal and the secrets made on first start"),
    row("server.body_bytes_max", Kind::Count, "Largest request body, in bytes"),
    row(
        "server.request_timeout_ms",
        Kind::Count,
        "Longest wait for an upstream's answer, and longest silence inside one",
    ),
    row(
        "server.idle_timeout_ms",
        Kind::Count,
        "Longest silence of a client between two requests of an HTTP/1.1 connection",
    ),
    row("server.shutdown_grace_ms", Kind::Count, "Time that running requests get to finish on SIGTERM"),
    row(
        "store.url",
        Kind::Text,
        "sqlite://PATH, postgres://USER@HOST/DATABASE, env:NAME or file:PATH; empty: tollgate.db in server.data_dir",
    ),
    row("store.entries_keep_days", Kind::Count, "Days before entries are moved to a sealed file; 0: never"),
    row("store.archive_dir", Kind::Text, "Folder of those files; empty: archive/ in server.data_dir"),
    row("store.migrate", Kind::OneOf(&["start", "manual"]), "Who brings the schema up to date"),
    row("journal.dir", Kind::Text, "Folder of the journal; empty: journal/ in server.data_dir"),
    row(
        "journal.durability",
        Kind::OneOf(&["fsync", "relaxed"]),
        "Whether an answer ends only when its entry is on disk",
    ),
    row("journal.replica", Kind::Text, "Name of this gateway among replicas"),
    row("journal.in_flight_max", Kind::Count, "Requests that may be under way at once"),
    row("journal.segment_bytes", Kind::Count, "Size of a segment file, in bytes"),
    row("journal.disk_bytes_max", Kind::Count, "Most bytes that this replica's journal may take; 0: no limit"),
    row("admin.token", Kind::Secret, "Bearer token of the admin plane; empty: admin-token in server.data_dir"),
    row("keys.pepper", Kind::Secret, "Pepper of the key hashes; empty: pepper in server.data_dir"),
    row("limits.requests_per_minute", Kind::Count, "Default for keys; 0: no limit"),
    row("limits.tokens_per_minute", Kind::Count, "Default for keys; 0: no limit"),
    row("limits.concurrent_requests", Kind::Count, "Default for keys; 0: no limit"),
    row("prices.dir", Kind::Text, "Folder of price tables; empty: pricing/, else the shipped ones"),
    row("prices.unpriced", Kind::OneOf(&["refuse", "record"]), "What happens to a model without a price"),
    row("recovery.basis", Kind::OneOf(&["revenue", "margin"]), "What pays back training"),
    row("drain.streams_max", Kind::Count, "Answers read on at once after their client has left"),
    row("drain.ms_max", Kind::Count, "Longest such reading, in milliseconds"),
    row("drain.bytes_max", Kind::Count, "Most bytes of such a reading"),
    row("batches.poll_ms_min", Kind::Count, "First wait before a provider is asked whether a batch is done"),
    row("batches.poll_ms_max", Kind::Count, "Longest such wait; it grows with the age of the batch"),
    row("telemetry.log_format", Kind::OneOf(&["json", "text"]), "Form of the log on standard error"),
    row("telemetry.log_requests", Kind::OneOf(&["failures", "all", "none"]), "Which requests get a line of the log"),
    row("telemetry.otlp_endpoint", Kind::Text, "Base URL of an OpenTelemetry collector; empty: nothing is sent"),
    row("telemetry.otlp_protocol", Kind::OneOf(&["http/protobuf", "http/json"]), "Form of what is sent to it"),
    row("telemetry.otlp_headers", Kind::Secret, "name=value,name=value: headers of what is sent to it"),
    row("telemetry.sample_ratio", Kind::Decimal, "Share of the traces that begin here and are recorded, 0 to 1"),
    row("telemetry.service_name", Kind::Text, "Name of this service in traces and metrics"),
    row("telemetry.metrics_interval_ms", Kind::Count, "Between two reports of metrics to the collector"),
    row(
        "provider[].name",
        Kind::Text,
        "Name, as targets and price tables use it; what is known by it need not be written",
    ),
    row("provider[].like", Kind::Text, "Name in the catalogue of what it is like, when its own is another"),
    row("provider[].dialect", Kind::OneOf(ProviderDialect::NAMES), "Wire protocol of the provider"),
    row("provider[].base_url", Kind::Text, "Base of its endpoints, such as https://api.openai.com/v1"),
    row("provider[].api_key", Kind::Secret, "Its key"),
    row("provider[].key_header", Kind::OneOf(KeyHeader::NAMES), "Where it wants the key"),
    row("provider[].api_version", Kind::Text, "Azure's version in the query; with it, paths go by deployments"),
    row("provider[].aws_region", Kind::Text, "Region of Bedrock; empty: AWS_REGION"),
    row("provider[].aws_access_key_id", Kind::Secret, "Signs requests to Bedrock, where there is no api_key"),
    row("provider[].aws_secret_access_key", Kind::Secret, "Belongs to it"),
    row("provider[].aws_session_token", Kind::Secret, "Belongs to it, when it is temporary"),
    row("provider[].quirks", Kind::Texts, "Habits instead of the catalogue's: no_stream_options, vertex_paths"),
    row("provider[].on_disconnect", Kind::OneOf(&["drain", "cancel"]), "What happens upstream when a client leaves"),
    row("provider[].drain_ms_max", Kind::Count, "Overrides drain.ms_max"),
    row("provider[].allow_private", Kind::Flag, "May be on a private or loopback address"),
    row("model[].name", Kind::Text, "Public name"),
    row("model[].strategy", Kind::OneOf(&["ordered"]), "How targets are chosen"),
    row("model[].targets", Kind::Targets, "Where it goes: [{ provider = \"...\", model = \"...\" }]"),
    row("model[].retries", Kind::Count, "Further attempts after a failure, before the first byte"),
    row("model[].timeout_ms", Kind::Count, "Overrides server.request_timeout_ms"),
    row("worker[].name", Kind::Text, "Name, as targets use it; shares its names with the providers"),
    row("worker[].url", Kind::Text, "Where the worker listens, such as http://127.0.0.1:9200"),
    row("worker[].models", Kind::Texts, "Models that it serves; each is public unless a [[model]] has its name"),
    row("worker[].device_usd_per_hour", Kind::Decimal, "What its device costs an hour"),
    row("worker[].device_watts", Kind::Decimal, "What the whole device draws under load"),
    row("worker[].device_idle_watts", Kind::Decimal, "What it draws when idle"),
    row("worker[].usd_per_kwh", Kind::Decimal, "Price of energy"),
    row("worker[].pue", Kind::Decimal, "Energy bought for each unit that the device draws, at least 1"),
    row("worker[].valid_from", Kind::Date, "First day, UTC, of these figures; empty: since ever"),
    row("worker[].rates[].valid_from", Kind::Date, "First day, UTC, of later figures; what is left out stays as above"),
    row("worker[].rates[].device_usd_per_hour", Kind::Decimal, "What its device costs an hour from then on"),
    row("worker[].rates[].device_watts", Kind::Decimal, "What the whole device draws under load from then on"),
    row("worker[].rates[].device_idle_watts", Kind::Decimal, "What it draws when idle from then on"),
    row("worker[].rates[].usd_per_kwh", Kind::Decimal, "Price of energy from then on"),
    row("worker[].rates[].pue", Kind::Decimal, "Energy bought for each unit that the device draws from then on"),
    row("worker[].spawn", Kind::Texts, "Program and arguments that run it"),
    row("training[].model", Kind::Text, "Public model name"),
    row("training[].name", Kind::Text, "Name of the run; one per model"),
    row("training[].cost_usd", Kind::Usd, "What the run cost"),
    row("training[].in_service", Kind::Date, "First day on which revenue counts"),
];

/// The option of a path.
#[must_use]
pub fn find(path: &str) -> Option<&'static OptionRow> {
    OPTIONS.iter().find(|row| row.path == path)
}

/// The nearest of `known` to a mistyped word, if it is near enough to suggest.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .map(|(_, candidate)| candidate)
}
