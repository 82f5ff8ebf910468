//! The command line of the worker, and the life of its process.

use std::{
    io::IsTerminal, net::SocketAddr, os::unix::process::CommandExt, path::PathBuf, process::Command, sync::Arc,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use tokio::{
    io::AsyncReadExt,
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    engine::{Engine, EngineOptions},
    http::{Server, router},
    model::{self, LoadError, LoadOptions},
    train::{self, TrainArgs, TrainError},
};

/// Read once by the tensor library, before its first use: more than one compute thread would wait by spinning, and be
/// many times slower beside a busy neighbour.
const ONE_THREAD: [&str; 2] = ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"];
/// How often a draining worker looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// Cancelled requests get so long to end.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Parser)]
#[command(name = "tollgate-worker", version, about = "Serves one model on this machine's processor")]
struct Cli {
    #[command(subcommand)]
    command: WorkerCommand,
}

#[derive(Debug, Subcommand)]
enum WorkerCommand {
    /// Serve a model
    Serve(ServeArgs),
    /// Train the small model that the project ships
    Train(TrainArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// A folder (config.json, model.safetensors, tokenizer.json), a GGUF file, or `shipped`
    #[arg(long, default_value = model::SHIPPED)]
    model: String,
    /// How requests call it [default: the name of folder or file]
    #[arg(long, value_name = "NAME")]
    model_id: Option<String>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9200", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Engine threads, each with one compute thread [default: the processors of this machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    engine_threads: Option<u32>,
    /// Requests that one engine thread goes round
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    sequences_max: u16,
    /// Requests that wait; one more is refused with 429
    #[arg(long, default_value_t = 64, value_name = "N")]
    queue_max: usize,
    /// Prompt tokens of one step: others wait so long, and so long takes a cancellation
    #[arg(long, default_value_t = 64, value_name = "TOKENS", value_parser = clap::value_parser!(u16).range(1..))]
    prefill_chunk_tokens: u16,
    /// Lowers the context of the model
    #[arg(long, default_value_t = 8192, value_name = "TOKENS")]
    context_tokens_max: usize,
    /// A file with a chat template, for a model that brings none
    #[arg(long, value_name = "FILE")]
    chat_template: Option<PathBuf>,
    /// Largest request body
    #[arg(long, default_value_t = 8 * 1024 * 1024, value_name = "BYTES")]
    body_bytes_max: usize,
    /// On SIGTERM running requests get so long; the rest is cancelled, with exact usage
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    drain_ms_max: u64,
    /// Stop when standard input ends: whoever holds it open has died
    #[arg(long)]
    exit_with_parent: bool,
}

/// Why the worker does not run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The address.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The operating system.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// Loading broke off.
    #[error("loading the model broke off")]
    LoadingPanicked,
}

/// Parses the command line and runs what it says.
///
/// # Errors
/// [`WorkerError`], for `main` to print.
pub fn run() -> Result<(), WorkerError> {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("TOLLGATE_WORKER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    one_compute_thread()?;
    match cli.command {
        WorkerCommand::Serve(args) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let served = runtime.block_on(serve(args));
            // A reading of standard input that nobody ends would be waited for.
            runtime.shutdown_background();
            served
        }
        WorkerCommand::Train(args) => Ok(train::run(&args)?),
    }
}

/// Starts this program anew with one compute thread a thread, unless it was started so.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
fn one_compute_thread() -> std::io::Result<()> {
    if ONE_THREAD.iter().all(|name| std::env::var_os(name).is_some()) {
        return Ok(());
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    for name in ONE_THREAD {
        if std::env::var_os(name).is_none() {
            command.env(name, "1");
        }
    }
    Err(command.exec())
}

async fn serve(args: ServeArgs) -> Result<(), WorkerError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| WorkerError::Listen(args.listen, error))?;
    tracing::info!(address = %listener.local_addr()?, model = args.model, "listening; the model is being loaded");
    let server = Arc::new(Server::new(args.body_bytes_max));
    let (stopped, stop) = tokio::sync::watch::channel(());
    let listening = axum::serve(listener, router(Arc::clone(&server))).with_graceful_shutdown(async move {
        let mut stop = stop;
        // The sender is dropped when all requests have ended.
        while stop.changed().await.is_ok() {}
    });
    let listening = tokio::spawn(listening.into_future());
    let engine = tokio::task::spawn_blocking({
        let (options, sizes) = (args.load_options(), args.engine_options());
        move || load(&options, sizes)
    });
    let told_to_stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = parent_gone(args.exit_with_parent) => {}
        }
    };
    tokio::pin!(told_to_stop);
    tokio::select! {
        engine = engine => server.loaded(engine.map_err(|_| WorkerError::LoadingPanicked)??),
        () = &mut told_to_stop => return Ok(()),
    }
    told_to_stop.await;
    drain(&server, Duration::from_millis(args.drain_ms_max)).await;
    drop(stopped);
    // Callers that keep idle connections open are not waited for.
    let _elapsed = tokio::time::timeout(Duration::from_secs(1), listening).await;
    Ok(())
}

fn load(options: &LoadOptions, sizes: EngineOptions) -> Result<Engine, WorkerError> {
    let begun = crate::clock::now();
    let model = model::load(options)?;
    tracing::info!(
        model = model.info.id,
        sha256 = model.info.sha256,
        architecture = model.info.architecture,
        context_tokens_max = model.info.context_tokens_max,
        engine_threads = sizes.threads,
        load_ms = crate::clock::micros(crate::clock::now().saturating_duration_since(begun)) / 1000,
        "the model is loaded"
    );
    Ok(Engine::start(Arc::new(model), sizes)?)
}

/// No new requests; running ones get their time, then they are cancelled and end with their usage.
async fn drain(server: &Server, at_most: Duration) {
    server.drain();
    tracing::info!(under_way = server.under_way(), "stopping");
    let done = async {
        while server.under_way() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    tokio::pin!(done);
    if tokio::time::timeout(at_most, &mut done).await.is_err() {
        server.cancel_all();
        if tokio::time::timeout(CANCEL_WAIT, done).await.is_err() {
            tracing::error!(under_way = server.under_way(), "requests did not end");
        }
    }
}

/// Resolves when standard input ends, if that is watched.
async fn parent_gone(watched: bool) {
    if !watched {
        return std::future::pending().await;
    }
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    while matches!(input.read(&mut ignored).await, Ok(read) if read > 0) {}
    tracing::info!("standard input has ended: the parent is gone");
}

impl ServeArgs {
    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            model: self.model.clone(),
            id: self.model_id.clone(),
            context_tokens_max: self.context_tokens_max,
            chat_template: self.chat_template.clone(),
        }
    }

    fn engine_options(&self) -> EngineOptions {
        let processors =
            || std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1));
        EngineOptions {
            threads: self.engine_threads.unwrap_or_else(processors),
            sequences_max: usize::from(self.sequences_max),
            queue_max: self.queue_max,
            prefill_chunk_tokens: usize::from(self.prefill_chunk_tokens),
        }
    }
}
