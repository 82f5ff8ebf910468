//! The command line, as clap sees it.

mod prices;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(super) use self::prices::{PriceConvertArgs, PriceFormat, PriceImportArgs, PricesCommand, QuoteArgs, QuoteDialect};

/// An inference gateway that meters, prices, bills and limits every token, and shows when training is earned back.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about)]
pub(super) struct Cli {
    /// Configuration file [default: tollgate.toml, if it exists]
    #[arg(long, global = true, env = "TOLLGATE_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Admin address of a gateway elsewhere, such as http://127.0.0.1:8081
    #[arg(long, global = true, env = "TOLLGATE_ADMIN_URL", value_name = "URL")]
    pub(super) admin_url: Option<String>,
    /// Its admin token
    #[arg(long, global = true, env = "TOLLGATE_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(super) admin_token: Option<String>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway
    Serve,
    /// Run the gateway with the shipped model on a local worker, a demo customer and key, and say how to use it
    Up(UpArgs),
    /// Validate configuration and price tables, start nothing
    Check,
    /// Look at everything that a gateway needs, say what to do where something is wrong; exit 1 on a finding
    Doctor {
        /// Only ask the gateway on this data folder whether it is ready, as a container's health check does
        #[arg(long)]
        ready: bool,
    },
    /// Write a commented configuration
    Init {
        /// Where to write it
        #[arg(default_value = "tollgate.toml")]
        path: PathBuf,
    },
    /// The effective configuration, or its schema for editors
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Who pays
    #[command(subcommand)]
    Customers(CustomersCommand),
    /// API keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Price tables in force
    #[command(subcommand)]
    Prices(PricesCommand),
    /// Tokens, cost and charge, grouped
    Usage(UsageArgs),
    /// The books' word on one request
    #[command(subcommand)]
    Requests(RequestsCommand),
    /// What a customer owes for a month
    Statement(StatementArgs),
    /// Training runs: fixed costs to be earned back
    #[command(subcommand)]
    Training(TrainingCommand),
    /// Revenue, cost, margin and break-even per model
    Economics,
    /// Local workers: what they are, whether they take requests, what their time came to
    #[command(subcommand)]
    Workers(WorkersCommand),
    /// Recompute the books from their entries; exit 1 on any difference
    Audit {
        /// A sealed file of entries that were moved out of the store; may be given several times
        #[arg(long, value_name = "FILE")]
        archive: Vec<PathBuf>,
    },
    /// Price past entries again after a correction of prices: says what would change, and changes it with --apply
    Rerate(RerateArgs),
    /// Gateways on the same store
    #[command(subcommand)]
    Replicas(ReplicasCommand),
    /// Entries that the store refused for what they are
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Bring the database's schema up to date
    Migrate,
    /// Write the books into a new folder; a gateway may run meanwhile
    Backup {
        /// The folder
        dir: PathBuf,
    },
    /// Fill an empty database from a backup; its engine may be another one
    Restore {
        /// The folder of the backup
        dir: PathBuf,
    },
    /// The journal on disk
    #[command(subcommand)]
    Journal(JournalCommand),
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// Data plane address [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<String>,
    /// Admin plane address [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) admin_listen: Option<String>,
    /// Program of the worker: looked for beside this one, then in PATH
    #[arg(long, value_name = "PROGRAM", default_value = "tollgate-worker")]
    pub(super) worker: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Effective values and where each came from
    Show,
    /// JSON schema for editors
    Schema,
}

#[derive(Debug, Subcommand)]
pub(super) enum CustomersCommand {
    /// Create a customer
    Create {
        /// Name
        name: String,
        /// Your own id of the customer; unique
        #[arg(long)]
        external_id: Option<String>,
        /// How the customer pays
        #[arg(long, value_enum, default_value = "postpaid")]
        billing: Billing,
        /// Price book
        #[arg(long, default_value = "default")]
        price_book: String,
    },
    /// List customers
    List,
    /// Show one customer
    Show {
        /// Customer id
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Billing {
    Postpaid,
    Prepaid,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Create a key; it is shown once
    Create(KeyCreateArgs),
    /// List keys
    List {
        /// Only of this customer
        #[arg(long)]
        customer: Option<String>,
    },
    /// Show one key
    Show {
        /// Key id
        id: String,
    },
    /// Replace a key by a new one with the same limits
    Rotate {
        /// Key id
        id: String,
        /// Seconds for which the old key still works
        #[arg(long, default_value_t = 0)]
        grace: u64,
    },
    /// Revoke a key, at once
    Revoke {
        /// Key id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct KeyCreateArgs {
    /// Customer id
    #[arg(long)]
    pub(super) customer: String,
    /// Name
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Requests per minute
    #[arg(long)]
    pub(super) rpm: Option<u32>,
    /// Tokens per minute
    #[arg(long)]
    pub(super) tpm: Option<u64>,
    /// Requests under way at once
    #[arg(long)]
    pub(super) concurrency: Option<u32>,
    /// Public models that it may use, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub(super) models: Vec<String>,
    /// When it stops working, RFC 3339
    #[arg(long)]
    pub(super) expires: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct UsageArgs {
    /// Any of key, customer, model, target, day, separated by commas
    #[arg(long, default_value = "model")]
    pub(super) by: String,
    /// From this time on, RFC 3339 or a day
    #[arg(long)]
    pub(super) from: Option<String>,
    /// Before this time, RFC 3339 or a day
    #[arg(long)]
    pub(super) to: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct RerateArgs {
    /// Admitted from this time on, RFC 3339
    #[arg(long)]
    pub(super) from: Option<String>,
    /// Admitted before this time, RFC 3339
    #[arg(long)]
    pub(super) to: Option<String>,
    /// Only of this customer
    #[arg(long)]
    pub(super) customer: Option<String>,
    /// Only of this public model
    #[arg(long)]
    pub(super) model: Option<String>,
    /// Book the differences
    #[arg(long)]
    pub(super) apply: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum RequestsCommand {
    /// Show one request
    Show {
        /// The x-tollgate-request-id of its answer
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct StatementArgs {
    /// Customer id
    #[arg(long)]
    pub(super) customer: String,
    /// Month, such as 2026-11 (UTC)
    #[arg(long)]
    pub(super) month: String,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TrainingCommand {
    /// Add a training run: its cost as a figure, or from the receipt that its trainer wrote
    Add(TrainingAddArgs),
    /// List training runs
    List,
}

#[derive(Debug, Args)]
pub(super) struct TrainingAddArgs {
    /// Public model [with --from: the receipt's]
    #[arg(long, required_unless_present = "from")]
    pub(super) model: Option<String>,
    /// Name of the run; one per model [default: training; with --from: the receipt's]
    #[arg(long)]
    pub(super) name: Option<String>,
    /// What it cost, in US dollars
    #[arg(long, required_unless_present = "from", conflicts_with = "from")]
    pub(super) cost_usd: Option<String>,
    /// First day on which revenue counts [with --from: today]
    #[arg(long, required_unless_present = "from")]
    pub(super) in_service: Option<String>,
    /// Training receipt; its cost is recomputed, and one that does not add up is refused
    #[arg(long, value_name = "RECEIPT.JSON")]
    pub(super) from: Option<PathBuf>,
    /// Multiplies the receipt's cost, for demonstrations; the run says so
    #[arg(long, requires = "from", conflicts_with = "cost_usd")]
    pub(super) scale: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkersCommand {
    /// List workers
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum ReplicasCommand {
    /// List them
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// List them
    List,
    /// Post one after all
    Retry {
        /// Its id, such as req_….0
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    /// Read every record; exit 1 when one is missing or damaged
    Verify {
        /// A journal, one replica's folder or one boot's [default: the configured journal]
        dir: Option<PathBuf>,
    },
    /// Print records, without anything that a client or provider put in
    Inspect {
        /// A journal, one replica's folder or one boot's [default: the configured journal]
        dir: Option<PathBuf>,
        /// Only of this request
        #[arg(long, value_name = "ID")]
        request: Option<String>,
        /// The last so many
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Post a lost replica's journal from its volume; exit 1 when a record is missing or damaged, or a boot is in use
    Adopt {
        /// A journal, one replica's folder or one boot's
        dir: PathBuf,
        /// Whose it was, when its folders do not say so
        #[arg(long)]
        replica: Option<String>,
        /// Leave the folders where they are
        #[arg(long)]
        keep: bool,
    },
}
