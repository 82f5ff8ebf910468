//! A scripted worker as a process of its own: it takes the options of the real one, and plays the ways in which a process
//! can be a nuisance.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::sleep,
};

use super::FakeWorker;

/// A scripted worker.
#[derive(Debug, Parser)]
#[command(name = "tollgate-fake-worker")]
struct Options {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Stops when standard input ends.
    #[arg(long)]
    exit_with_parent: bool,
    /// Loads for so long before it takes requests.
    #[arg(long, default_value_t = 0)]
    load_ms: u64,
    /// Ends by itself, with status 3, after so long.
    #[arg(long)]
    die_after_ms: Option<u64>,
    /// Does not end on SIGTERM.
    #[arg(long)]
    ignore_term: bool,
    /// Does not end when standard input does.
    #[arg(long)]
    ignore_parent: bool,
    /// On SIGTERM it still waits for its standard input to end.
    #[arg(long)]
    linger: bool,
    /// Answers nothing from the beginning.
    #[arg(long)]
    hang: bool,
    /// As the real worker has them: `serve`, and what it serves and how.
    command: Option<String>,
    #[arg(long)]
    model: Option<String>,
    #[arg(long)]
    engine_threads: Option<u32>,
}

/// Runs until told to end.
///
/// # Errors
/// When the options are wrong, the address is taken, or it shall die.
pub async fn run(args: impl IntoIterator<Item = String>) -> io::Result<()> {
    let options = Options::try_parse_from(args).map_err(io::Error::other)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let worker = FakeWorker::bind(options.listen)?;
    writeln!(io::stderr(), "listening on {}", worker.root_url())?;
    worker.set_hangs(options.hang);
    if options.load_ms > 0 {
        worker.set_status("loading");
    }
    let loads = async {
        sleep(Duration::from_millis(options.load_ms)).await;
        worker.set_status("ok");
        std::future::pending::<()>().await;
    };
    let dies = async {
        match options.die_after_ms {
            Some(ms) => sleep(Duration::from_millis(ms)).await,
            None => std::future::pending().await,
        }
    };
    let told = async {
        loop {
            terminate.recv().await;
            if !options.ignore_term {
                return;
            }
        }
    };
    tokio::select! {
        () = loads => Ok(()),
        () = dies => Err(io::Error::other("dies as asked")),
        () = told, if !options.linger => Ok(()),
        () = parent_gone(options.exit_with_parent && !options.ignore_parent) => Ok(()),
    }
}

async fn parent_gone(watched: bool) {
    if !watched {
        return std::future::pending().await;
    }
    let (gone, told) = oneshot::channel();
    // Blocked for as long as the parent lives.
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while io::stdin().read(&mut bytes).is_ok_and(|read| read > 0) {}
        gone.send(())
    });
    let _sender_ended = told.await;
}
