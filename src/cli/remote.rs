//! The commands that are one request to the admin API, and how their answers are shown.

use std::path::PathBuf;

use http::Method;
use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::{
        Billing, Cli, Command, CustomersCommand, DeadLettersCommand, JournalCommand, KeyCreateArgs, KeysCommand,
        PricesCommand, ReplicasCommand, RequestsCommand, TrainingAddArgs, TrainingCommand, WorkersCommand,
    },
    connect::{list, segment, send},
    table::{Column, render, render_object},
    workers,
};

/// One request and how to show its answer.
struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    show: Show,
}

enum Show {
    /// `data` of the answer as a table.
    Rows(Vec<Column>),
    /// The answer as `name: value` lines.
    Object,
    /// A new key: the only time it is shown.
    Key,
    /// Text as it comes.
    Text,
    /// An audit, verification or adoption: a finding unless `differences` is empty and nothing is missing or left out.
    Findings,
    /// Economics: a paragraph a model.
    Economics,
    /// Workers: a row each, in units for people.
    Workers,
}

/// Runs an admin command.
pub(super) fn run(cli: &Cli, command: &Command) -> Result<Output, CliError> {
    let call = call(command)?;
    let text = match call.show {
        Show::Rows(_) | Show::Workers => list(cli, &call.path)?,
        _ => send(cli, vec![(call.method, call.path, call.body)])?.pop().unwrap_or_default(),
    };
    Ok(show(&call.show, cli.json, text))
}

fn get(path: impl Into<String>, show: Show) -> Call {
    Call { method: Method::GET, path: path.into(), body: None, show }
}

fn post(path: impl Into<String>, body: Value, show: Show) -> Call {
    Call { method: Method::POST, path: path.into(), body: Some(body), show }
}

const CUSTOMER_COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("NAME", "name"),
    ("EXTERNAL ID", "external_id"),
    ("BILLING", "billing"),
    ("PRICE BOOK", "price_book"),
    ("CREATED", "created_at"),
];
const KEY_COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("PUBLIC ID", "public_id"),
    ("NAME", "name"),
    ("CUSTOMER", "customer_id"),
    ("RPM", "requests_per_minute"),
    ("TPM", "tokens_per_minute"),
    ("CONCURRENT", "concurrent_requests"),
    ("STATUS", "status"),
];
const TRAINING_COLUMNS: &[Column] =
    &[("MODEL", "model"), ("NAME", "name"), ("COST USD", "cost_usd"), ("IN SERVICE", "in_service"), ("FROM", "source")];
const PRICE_COLUMNS: &[Column] =
    &[("VERSION", "id"), ("KIND", "kind"), ("FOR", "for"), ("VALID FROM", "valid_from"), ("PRICES", "summary")];

const HISTORY_COLUMNS: &[Column] = &[
    ("VERSION", "id"),
    ("VALID FROM", "valid_from"),
    ("RECORDED", "recorded_at"),
    ("IN FORCE", "in_force"),
    ("SOURCE", "source"),
];
const REPLICA_COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("STATUS", "status"),
    ("HOST", "host"),
    ("PROCESS", "pid"),
    ("STARTED", "started_at"),
    ("RENEWED", "renewed_at"),
];
const DEAD_LETTER_COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("CUSTOMER", "customer_id"),
    ("MODEL", "model"),
    ("ADMITTED", "admitted_at"),
    ("REPLICA", "replica"),
    ("REASON", "reason"),
];

fn call(command: &Command) -> Result<Call, CliError> {
    Ok(match command {
        Command::Customers(CustomersCommand::List) => get("/admin/v1/customers", Show::Rows(CUSTOMER_COLUMNS.to_vec())),
        Command::Customers(CustomersCommand::Show { id }) => {
            get(format!("/admin/v1/customers/{}", segment(id)), Show::Object)
        }
        Command::Customers(CustomersCommand::Create { name, external_id, billing, price_book }) => {
            let billing = match billing {
                Billing::Postpaid => "postpaid",
                Billing::Prepaid => "prepaid",
            };
            let body =
                json!({ "name": name, "external_id": external_id, "billing": billing, "price_book": price_book });
            post("/admin/v1/customers", body, Show::Object)
        }
        Command::Keys(KeysCommand::List { customer }) => {
            let query = customer.as_ref().map_or_else(String::new, |id| format!("?customer={}", segment(id)));
            get(format!("/admin/v1/keys{query}"), Show::Rows(KEY_COLUMNS.to_vec()))
        }
        Command::Keys(KeysCommand::Show { id }) => get(format!("/admin/v1/keys/{}", segment(id)), Show::Object),
        Command::Keys(KeysCommand::Create(args)) => post("/admin/v1/keys", key_body(args), Show::Key),
        Command::Keys(KeysCommand::Rotate { id, grace }) => {
            post(format!("/admin/v1/keys/{}/rotate", segment(id)), json!({ "grace_seconds": grace }), Show::Key)
        }
        Command::Keys(KeysCommand::Revoke { id }) => {
            post(format!("/admin/v1/keys/{}/revoke", segment(id)), json!({}), Show::Object)
        }
        Command::Prices(PricesCommand::Show { filter }) => {
            let query = filter.as_ref().map_or_else(String::new, |filter| format!("?for={}", segment(filter)));
            get(format!("/admin/v1/prices{query}"), Show::Rows(PRICE_COLUMNS.to_vec()))
        }
        Command::Prices(PricesCommand::History { of }) => {
            get(format!("/admin/v1/prices/history?for={}", segment(of)), Show::Rows(HISTORY_COLUMNS.to_vec()))
        }
        Command::Prices(PricesCommand::Publish { force }) => {
            post("/admin/v1/prices/publish", json!({ "force": force }), Show::Object)
        }
        Command::Rerate(args) => {
            let body = json!({
                "from": args.from, "to": args.to, "customer_id": args.customer, "model": args.model, "apply": args.apply,
            });
            post("/admin/v1/rerate", body, Show::Object)
        }
        Command::Usage(args) => {
            let mut path = format!("/admin/v1/usage?by={}", segment(&args.by));
            for (name, value) in [("from", &args.from), ("to", &args.to)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", segment(value)));
                }
            }
            get(path, Show::Rows(usage_columns(&args.by)))
        }
        Command::Requests(RequestsCommand::Show { id }) => {
            get(format!("/admin/v1/requests/{}", segment(id)), Show::Object)
        }
        Command::Statement(args) => {
            let format = if args.csv { "&format=csv" } else { "" };
            let path = format!(
                "/admin/v1/statements?customer={}&month={}{format}",
                segment(&args.customer),
                segment(&args.month)
            );
            get(path, if args.csv { Show::Text } else { Show::Object })
        }
        Command::Training(TrainingCommand::List) => {
            get("/admin/v1/training-runs", Show::Rows(TRAINING_COLUMNS.to_vec()))
        }
        Command::Training(TrainingCommand::Add(args)) => add_training(args)?,
        Command::Economics => get("/admin/v1/economics", Show::Economics),
        Command::Workers(WorkersCommand::List) => get("/admin/v1/workers", Show::Workers),
        Command::Audit { archive } => get(audit_path(archive), Show::Findings),
        Command::Replicas(ReplicasCommand::List) => get("/admin/v1/replicas", Show::Rows(REPLICA_COLUMNS.to_vec())),
        Command::DeadLetters(DeadLettersCommand::List) => {
            get("/admin/v1/dead-letters", Show::Rows(DEAD_LETTER_COLUMNS.to_vec()))
        }
        Command::DeadLetters(DeadLettersCommand::Retry { id }) => {
            post(format!("/admin/v1/dead-letters/{}/retry", segment(id)), json!({}), Show::Object)
        }
        Command::Journal(JournalCommand::Verify { .. }) => get("/admin/v1/journal/verify", Show::Findings),
        Command::Journal(JournalCommand::Adopt { dir, replica, keep }) => {
            // The gateway has another working folder than this command.
            let dir = std::path::absolute(dir).map_err(|error| CliError::Failed(error.to_string()))?;
            let body = json!({ "dir": dir, "replica": replica, "keep": keep });
            post("/admin/v1/journal/adopt", body, Show::Findings)
        }
        Command::Journal(JournalCommand::Inspect { .. })
        | Command::Serve
        | Command::Up(_)
        | Command::Check
        | Command::Doctor { .. }
        | Command::Init { .. }
        | Command::Config(_)
        | Command::Prices(
            PricesCommand::Check { .. }
            | PricesCommand::Schema
            | PricesCommand::Diff(_)
            | PricesCommand::Convert(_)
            | PricesCommand::Quote(_)
            | PricesCommand::Import(_),
        )
        | Command::Migrate
        | Command::Backup { .. }
        | Command::Restore { .. } => {
            return Err(CliError::Usage("not an admin command".to_owned()));
        }
    })
}

/// The gateway reads the files itself, wherever it was started.
fn audit_path(archives: &[PathBuf]) -> String {
    if archives.is_empty() {
        return "/admin/v1/audit".to_owned();
    }
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string();
    let lines = archives.iter().map(absolute).collect::<Vec<_>>().join("\n");
    format!("/admin/v1/audit?archives={}", segment(&lines))
}

fn add_training(args: &TrainingAddArgs) -> Result<Call, CliError> {
    let Some(file) = &args.from else {
        let name = args.name.as_deref().unwrap_or("training");
        let body = json!({
            "model": args.model, "name": name, "cost_usd": args.cost_usd, "in_service": args.in_service,
        });
        return Ok(post("/admin/v1/training-runs", body, Show::Object));
    };
    // As it stands in the file, so that its hash is the file's.
    let receipt =
        std::fs::read_to_string(file).map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
    let body = json!({
        "receipt": receipt, "scale": args.scale, "model": args.model, "name": args.name, "in_service": args.in_service,
    });
    Ok(post("/admin/v1/training-runs/from-receipt", body, Show::Object))
}

fn key_body(args: &KeyCreateArgs) -> Value {
    json!({
        "customer_id": args.customer,
        "name": args.name,
        "requests_per_minute": args.rpm,
        "tokens_per_minute": args.tpm,
        "concurrent_requests": args.concurrency,
        "models": if args.models.is_empty() { None } else { Some(&args.models) },
        "expires_at": args.expires,
    })
}

fn usage_columns(by: &str) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for part in by.split(',') {
        columns.push(match part.trim() {
            "key" => ("KEY", "key_id"),
            "customer" => ("CUSTOMER", "customer_id"),
            "target" => ("TARGET", "target"),
            "day" => ("DAY", "day"),
            _ => ("MODEL", "model"),
        });
    }
    columns.extend([
        ("REQUESTS", "requests"),
        ("INPUT", "input_uncached"),
        ("CACHE READ", "cache_read"),
        ("OUTPUT", "output"),
        ("COST USD", "cost_usd"),
        ("CHARGE USD", "charge_usd"),
        ("UNPRICED", "unpriced"),
    ]);
    columns
}

fn show(how: &Show, as_json: bool, text: String) -> Output {
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let rows = value.get("data").and_then(Value::as_array);
    let finding = matches!(how, Show::Findings) && has_findings(&value);
    let shown = match how {
        Show::Text => text,
        // A list of rows, whole.
        _ if as_json => rows.map_or_else(|| pretty(&value), |rows| pretty(&Value::Array(rows.clone()))),
        Show::Rows(columns) => render(rows.map_or(&[], Vec::as_slice), columns),
        Show::Object | Show::Findings => render_object(&value),
        Show::Key => format!("{}\n\nThis is the only time that the key is shown.", render_object(&value)),
        Show::Economics => economics(&value),
        Show::Workers => workers::table(rows.map_or(&[], Vec::as_slice)),
    };
    Output { text: shown, finding }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn has_findings(value: &Value) -> bool {
    let count = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
    let differences = value.get("differences").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    differences || ["missing", "damaged", "kept", "living"].iter().any(|name| count(name) > 0)
}

fn economics(value: &Value) -> String {
    let models = value.get("models").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut parts: Vec<String> = models
        .iter()
        .map(|model| {
            let mut shown = model.clone();
            if let Some(fields) = shown.as_object_mut() {
                fields.remove("days");
            }
            render_object(&shown)
        })
        .collect();
    let others = value.get("without_training").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !others.is_empty() {
        let columns = [
            ("MODEL WITHOUT TRAINING", "model"),
            ("REVENUE USD", "revenue_usd"),
            ("COST USD", "cost_usd"),
            ("MARGIN USD", "margin_usd"),
        ];
        parts.push(render(others, &columns));
    }
    let workers = value.get("workers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !workers.is_empty() {
        let columns = [
            ("WORKER", "name"),
            ("UTILISATION", "utilisation"),
            ("INFERENCE COST USD", "inference_cost_usd"),
            ("IDLE COST USD (APART)", "idle_cost_usd"),
        ];
        parts.push(render(workers, &columns));
    }
    if parts.is_empty() {
        "No training runs and no revenue yet: add a run with `tollgate training add`.".to_owned()
    } else {
        parts.join("\n\n")
    }
}
