//! `tollgate up`: starts everything, says how to use it, runs until Ctrl-C.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use serde_json::json;

use super::{
    CliError, Output,
    args::{Cli, UpArgs},
    local::lines,
};
use crate::{
    app::{
        Signals,
        up::{Demo, MODEL, add_worker, log_file},
    },
    config::{
        Config,
        load::{Loaded, environment, load},
    },
    telemetry::{self, Logs},
};

/// Where the demonstration lives when nothing else is said.
const DATA_DIR: &str = "data/demo";
/// A log larger than this is laid aside at the next start.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(cli: &Cli, args: &UpArgs) -> Result<Output, CliError> {
    let config = config(cli, args)?;
    let data_dir = &config.server.data_dir;
    let log = open_log(data_dir).map_err(|error| CliError::Failed(format!("{}: {error}", data_dir.display())))?;
    let logs = telemetry::init_file(environment().get("TOLLGATE_LOG").map_or("info", String::as_str), log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(error.to_string()))?;
    runtime.block_on(up(cli, &config, &logs)).map_err(|error| {
        CliError::Failed(format!("{}\nThe log is {}.", super::chain(&error), log_file(data_dir).display()))
    })?;
    Ok(Output::ok(""))
}

async fn up(cli: &Cli, config: &Config, logs: &Logs) -> Result<(), crate::app::AppError> {
    let mut signals = Signals::listen()?;
    let demo = Demo::start(config).await?;
    demo.gateway.proxy.observers.outlets.watch(logs.dropped());
    let ready = tokio::select! {
        ready = demo.ready() => ready,
        () = signals.next() => {
            demo.gateway.stop_unless(&mut signals).await;
            return Ok(());
        }
    };
    if ready.is_ok() {
        let text = if cli.json { for_scripts(&demo, config) } else { for_people(&demo, config) };
        // Whoever started us and reads nothing wants us to run, too.
        let _closed = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
        signals.next().await;
    }
    demo.gateway.stop_unless(&mut signals).await;
    Ok(ready?)
}

/// As for `serve`, but for the addresses of the command line, a data folder of its own, and the worker.
fn config(cli: &Cli, args: &UpArgs) -> Result<Config, CliError> {
    let mut environment = environment();
    let given = [("TOLLGATE_SERVER__LISTEN", &args.listen), ("TOLLGATE_SERVER__ADMIN_LISTEN", &args.admin_listen)];
    for (name, value) in given {
        if let Some(value) = value {
            environment.insert(name.to_owned(), value.clone());
        }
    }
    let mut loaded = read(cli, &environment)?;
    let is_default =
        |option: &str| loaded.effective.iter().any(|value| value.option == option && value.from == "default");
    if is_default("server.data_dir") {
        environment.insert("TOLLGATE_SERVER__DATA_DIR".to_owned(), DATA_DIR.to_owned());
        loaded = read(cli, &environment)?;
    }
    add_worker(&mut loaded.config, &args.worker).map_err(|error| CliError::Failed(super::chain(&error)))?;
    Ok(loaded.config)
}

fn read(cli: &Cli, environment: &BTreeMap<String, String>) -> Result<Loaded, CliError> {
    load(cli.config.as_deref(), environment).map_err(|mistakes| lines(&mistakes))
}

/// Only ours to read, as everything in the data folder.
fn open_log(data_dir: &Path) -> io::Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let path = log_file(data_dir);
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        fs::rename(&path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn curl(demo: &Demo) -> String {
    let body =
        format!("{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"What is break-even?\"}}]}}");
    format!(
        "curl http://{}/v1/chat/completions -H \"Authorization: Bearer {}\" -H \"Content-Type: application/json\" -d '{body}'",
        demo.gateway.address, demo.key
    )
}

fn dashboard(demo: &Demo) -> String {
    format!("http://{}/?token={}", demo.gateway.admin_address, demo.gateway.admin_token)
}

fn for_people(demo: &Demo, config: &Config) -> String {
    let (training, data_dir) = (&demo.training, config.server.data_dir.display());
    format!(
        "\nTollgate runs. A small model of its own answers, on this machine's processor: no account, no network.\n\
         Prices are illustrative. Its training cost {} USD by its receipt, and is booked x {} so that there is a way to go.\n\n  \
         Base URL   http://{}/v1\n  Model      {MODEL}\n  Demo key   {}\n  Break-even {}\n\nPaste this:\n\n  {}\n\n\
         Every request moves the break-even page. Ctrl-C stops; books and log are in {data_dir}.\n\
         Commands find this gateway by its folder: TOLLGATE_SERVER__DATA_DIR={data_dir} tollgate workers list\n",
        training.receipt_cost_usd,
        training.scale,
        demo.gateway.address,
        demo.key,
        dashboard(demo),
        curl(demo),
    )
}

fn for_scripts(demo: &Demo, config: &Config) -> String {
    json!({
        "base_url": format!("http://{}/v1", demo.gateway.address),
        "model": MODEL,
        "key": demo.key,
        "dashboard_url": dashboard(demo),
        "admin_url": format!("http://{}", demo.gateway.admin_address),
        "curl": curl(demo),
        "data_dir": config.server.data_dir,
        "log": log_file(&config.server.data_dir),
    })
    .to_string()
}
