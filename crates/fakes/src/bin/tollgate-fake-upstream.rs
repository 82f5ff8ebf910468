//! Runs the scripted upstream by itself, for demos and for tests in other languages.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tollgate_fakes::{
    FakeUpstream,
    script::{Defaults, Script},
};

/// A scripted upstream in the OpenAI dialect.
#[derive(Debug, Parser)]
#[command(name = "tollgate-fake-upstream", version)]
struct Options {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Content chunks of an answer [default: 8].
    #[arg(long)]
    chunks: Option<u64>,
    /// Wait between content chunks, in milliseconds.
    #[arg(long, default_value_t = 0)]
    gap_ms: u64,
    /// Wait before the response headers, in milliseconds.
    #[arg(long, default_value_t = 0)]
    first_delay_ms: u64,
    /// Script for requests that bring none, as JSON in the form of `x_fake`.
    #[arg(long)]
    script: Option<String>,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let script = options.script.map(|json| Script::parse(json.as_bytes())).transpose();
    let script = script.map_err(|message| io::Error::new(io::ErrorKind::InvalidInput, message))?;
    let Options { chunks, gap_ms, first_delay_ms, .. } = options;
    let mut terminated = signal(SignalKind::terminate())?;
    let upstream = FakeUpstream::bind(options.listen, Defaults { chunks, gap_ms, first_delay_ms, script }).await?;
    writeln!(io::stdout().lock(), "listening on {}", upstream.base_url())?;
    tokio::select! {
        _ = terminated.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
