//! The arguments of `tollgate prices`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PricesCommand {
    /// Every price version and rule in force
    Show {
        /// Only those for which this is part of the name, such as openai/gpt-5
        filter: Option<String>,
    },
    /// Every version of one price that was ever kept
    History {
        /// provider/model, or book:name/model
        of: String,
    },
    /// Put the price files of this configuration into force for all gateways on the store
    Publish {
        /// Take prices that are a thousand times off the ones before
        #[arg(long)]
        force: bool,
    },
    /// Validate a folder of price tables, print every mistake with its file and line, change nothing
    Check {
        /// The folder [default: the configured one]
        dir: Option<PathBuf>,
    },
    /// The JSON schema of price tables, for editors
    Schema,
    /// What an import would change, row by row
    Diff(PriceImportArgs),
    /// Make price tables of this project's form from a file of another one
    Convert(PriceConvertArgs),
    /// Take prices from a file of another project
    Import(PriceImportArgs),
    /// What usage costs by the prices in force
    Quote(QuoteArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PriceImportArgs {
    /// What kind of file it is
    #[arg(long, value_enum)]
    pub(in crate::cli) from: PriceFormat,
    /// The file
    pub(in crate::cli) file: PathBuf,
    /// Our cost (`cost`), or the price book of that name
    #[arg(long, default_value = "cost", value_name = "cost|BOOK")]
    pub(in crate::cli) into: String,
    /// Say what would change, row by row, and change nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// Take prices that are a thousand times off the ones before
    #[arg(long)]
    pub(in crate::cli) force: bool,
    /// What changes applies from this time on, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) valid_from: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PriceConvertArgs {
    /// What kind of file it is
    #[arg(long, value_enum)]
    pub(in crate::cli) from: PriceFormat,
    /// Providers, as the file names them, separated by commas: each becomes a file
    #[arg(long, value_delimiter = ',', required = true)]
    pub(in crate::cli) providers: Vec<String>,
    /// The day of the file, which becomes the day on which its prices were recorded
    #[arg(long, value_name = "DAY")]
    pub(in crate::cli) day: String,
    /// A file of LiteLLM's that completes them: service tiers, long prompts and caches of models whose prices are the same
    /// in both, and names that have a price of their own there
    #[arg(long, value_name = "FILE", requires = "complete_as", requires = "complete_day")]
    pub(in crate::cli) complete_from: Option<PathBuf>,
    /// What that file is called in the tables, such as `litellm 1.109.1`
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) complete_as: Option<String>,
    /// The day of that file
    #[arg(long, value_name = "DAY")]
    pub(in crate::cli) complete_day: Option<String>,
    /// The file
    pub(in crate::cli) file: PathBuf,
    /// The folder that the tables are written to
    pub(in crate::cli) dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum PriceFormat {
    GenaiPrices,
    Litellm,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct QuoteArgs {
    /// Read questions from standard input: a JSON object a line, of provider, model, at, usage, counters, context
    #[arg(long, required = true)]
    pub(in crate::cli) stdin: bool,
    /// In whose terms usage is told
    #[arg(long, value_enum, default_value = "tollgate")]
    pub(in crate::cli) usage_dialect: QuoteDialect,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum QuoteDialect {
    Tollgate,
    GenaiPrices,
}
