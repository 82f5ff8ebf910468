//! A load generator that costs little: one thread, HTTP/1.1 over loopback, every answer checked.
//!
//! Prints `begin` when the measured window begins and one line of JSON when it ends: what was answered inside it. `hold` opens
//! streams, prints how many stand, and keeps them until its input closes.

use std::{
    cell::{Cell, RefCell},
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use clap::{Parser, ValueEnum};
use memchr::memmem;
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};
use tollgate_bench::wire::{Chunks, Extent, Wire};

/// A load generator for benches.
#[derive(Debug, Parser)]
struct Options {
    /// Where to.
    #[arg(long)]
    address: SocketAddr,
    /// Path of the requests.
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// A header, as `name: value`; may be given several times.
    #[arg(long)]
    header: Vec<String>,
    /// File of the requests' body.
    #[arg(long)]
    body: PathBuf,
    /// How.
    #[arg(long, value_enum)]
    mode: Mode,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// Requests a second, of mode `rate`.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds before the window.
    #[arg(long, default_value_t = 1.0)]
    warm: f64,
    /// Seconds of the window.
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// Streams begin spread over so many milliseconds.
    #[arg(long, default_value_t = 1000)]
    spread_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Each connection asks again as soon as it has its answer.
    Closed,
    /// Requests begin at fixed times, whatever became of those before.
    Rate,
    /// As closed, with streams.
    Stream,
    /// Opens a stream on each connection, and keeps it.
    Hold,
}

/// An answer may take so long.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The runtime's timer rings within so long after the time that was asked for: what is later than that is waiting.
const TIMER_SLACK: Duration = Duration::from_millis(2);
/// Stands in every content event, and in no other.
const CONTENT: &[u8] = b"\"finish_reason\":null";
/// Holders connect at most so many at once.
const CONNECTING_MAX: usize = 64;

struct Load {
    address: SocketAddr,
    mode: Mode,
    request: Vec<u8>,
    started: Instant,
    begin: Instant,
    end: Instant,
    tally: RefCell<Tally>,
}

/// What was seen inside the window.
#[derive(Default)]
struct Tally {
    ok: u64,
    failed: u64,
    first_failure: String,
    /// Content events.
    chunks: u64,
    /// Microseconds from the request to the whole answer, and to its first event.
    whole_us: Vec<u64>,
    first_us: Vec<u64>,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    if !options.address.ip().is_loopback() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "only loopback addresses are loaded"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, run(&options))
}

async fn run(options: &Options) -> io::Result<()> {
    let body = std::fs::read(&options.body)?;
    let mut request = format!("POST {} HTTP/1.1\r\nhost: {}\r\n", options.path, options.address);
    request.push_str("content-type: application/json\r\naccept: */*\r\n");
    for header in &options.header {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let started = Instant::now();
    let begin = started + Duration::from_secs_f64(options.warm);
    let load = Rc::new(Load {
        address: options.address,
        mode: options.mode,
        request: [request.as_bytes(), &body].concat(),
        started,
        begin,
        end: begin + Duration::from_secs_f64(options.secs),
        tally: RefCell::default(),
    });
    if options.mode == Mode::Hold {
        return hold(&load, options.connections).await;
    }
    let next = Rc::new(Cell::new(0));
    let tasks: Vec<_> = (0..options.connections)
        .map(|number| {
            let (load, next) = (Rc::clone(&load), Rc::clone(&next));
            let (rate, spread) = (options.rate, Duration::from_millis(options.spread_ms));
            let delay = spread * number / options.connections;
            tokio::task::spawn_local(async move {
                match load.mode {
                    Mode::Rate => at_a_rate(&load, &next, rate).await,
                    Mode::Stream => {
                        sleep_until(Instant::now() + delay).await;
                        in_a_loop(&load).await;
                    }
                    Mode::Closed | Mode::Hold => in_a_loop(&load).await,
                }
            })
        })
        .collect();
    sleep_until(load.begin).await;
    say("begin")?;
    sleep_until(load.end).await;
    say(&load.tally.borrow_mut().report(options.secs))?;
    // What is under way is read to its end, so that nobody has to clean up behind us.
    for task in tasks {
        task.await?;
    }
    Ok(())
}

async fn in_a_loop(load: &Load) {
    let mut wire = None;
    while Instant::now() < load.end {
        ask(load, &mut wire, Instant::now()).await;
    }
}

async fn at_a_rate(load: &Load, next: &Cell<u32>, rate: u32) {
    let mut wire = None;
    loop {
        let number = next.replace(next.get() + 1);
        let due = load.started + Duration::from_secs(1) * number / rate;
        if due >= load.end {
            return;
        }
        sleep_until(due).await;
        ask(load, &mut wire, Instant::now().min(due + TIMER_SLACK)).await;
    }
}

/// Asks once; `from` is when its time begins. A broken connection is made again the next time.
async fn ask(load: &Load, wire: &mut Option<Wire>, from: Instant) {
    let answered = timeout(ANSWER_MAX, load.answer(wire)).await;
    let now = Instant::now();
    let failed = match answered {
        Ok(Ok(first)) => {
            load.tally.borrow_mut().answered(load, from, first, now);
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "no answer in time".to_owned(),
    };
    *wire = None;
    load.tally.borrow_mut().failed(failed);
    tokio::time::sleep(Duration::from_millis(20)).await;
}

impl Load {
    async fn answer(&self, wire: &mut Option<Wire>) -> io::Result<Option<Instant>> {
        let wire = match wire {
            Some(wire) => wire,
            absent @ None => absent.insert(Wire::new(TcpStream::connect(self.address).await?)?),
        };
        wire.write(&self.request).await?;
        let head = wire.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
        match head.extent {
            Extent::Length(length) => {
                let body = wire.body(length).await?;
                if head.status != 200 || memmem::find(body, b"\"usage\"").is_none() {
                    return Err(io::Error::other(format!("status {}: {}", head.status, String::from_utf8_lossy(body))));
                }
                Ok(None)
            }
            Extent::Chunked if head.status == 200 => self.events(wire).await.map(Some),
            Extent::Chunked => Err(io::Error::other(format!("status {}", head.status))),
        }
    }

    /// Reads a stream to its end; says when its first event came.
    async fn events(&self, wire: &mut Wire) -> io::Result<Instant> {
        let (mut chunks, mut text) = (Chunks::default(), Vec::with_capacity(4096));
        let (mut first, mut has_usage, mut is_done) = (None, false, false);
        let mut goes_on = true;
        while goes_on {
            goes_on = wire.chunks(&mut chunks, &mut text).await?;
            let now = Instant::now();
            first = first.or(Some(now));
            let whole = memmem::rfind(&text, b"\n\n").map_or(0, |at| at + 2);
            let events = text.get(..whole).unwrap_or_default();
            let seen = memmem::find_iter(events, CONTENT).count();
            has_usage = has_usage || memmem::find(events, b"\"completion_tokens\"").is_some();
            is_done = is_done || memmem::find(events, b"[DONE]").is_some();
            text.drain(..whole);
            if (self.begin..self.end).contains(&now) {
                self.tally.borrow_mut().chunks += u64::try_from(seen).unwrap_or(0);
            }
        }
        let complete = has_usage && is_done && text.is_empty();
        first.filter(|_| complete).ok_or_else(|| io::Error::other("a stream without usage or end"))
    }
}

impl Tally {
    fn answered(&mut self, load: &Load, from: Instant, first: Option<Instant>, now: Instant) {
        if !(load.begin..load.end).contains(&from) {
            return;
        }
        if let Some(first) = first {
            self.first_us.push(micros(first - from));
        }
        if now < load.end {
            self.ok += 1;
            self.whole_us.push(micros(now - from));
        }
    }

    fn failed(&mut self, why: String) {
        self.failed += 1;
        if self.first_failure.is_empty() {
            self.first_failure = why;
        }
    }

    fn report(&mut self, secs: f64) -> String {
        let (whole, first) = (percentiles(&mut self.whole_us), percentiles(&mut self.first_us));
        json!({
            "ok": self.ok, "failed": self.failed, "first_failure": self.first_failure, "chunks": self.chunks,
            "secs": secs, "whole_us": whole, "first_us": first,
        })
        .to_string()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn percentiles(sorted: &mut [u64]) -> serde_json::Value {
    sorted.sort_unstable();
    let at = |per_mille: usize| sorted.get((sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1)));
    json!({ "count": sorted.len(), "p50": at(500), "p99": at(990), "max": sorted.last() })
}

/// Opens streams, a few at a time, and keeps them.
async fn hold(load: &Rc<Load>, connections: u32) -> io::Result<()> {
    let room = Rc::new(tokio::sync::Semaphore::new(CONNECTING_MAX));
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (load, room) = (Rc::clone(load), Rc::clone(&room));
            tokio::task::spawn_local(async move {
                let _turn = room.acquire().await.map_err(io::Error::other)?;
                let mut wire = Wire::new(TcpStream::connect(load.address).await?)?;
                wire.write(&load.request).await?;
                let head = wire.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
                let (mut chunks, mut text) = (Chunks::default(), Vec::new());
                if head.status != 200 || !wire.chunks(&mut chunks, &mut text).await? {
                    return Err(io::Error::other(format!("status {}", head.status)));
                }
                Ok(wire)
            })
        })
        .collect();
    let mut held = Vec::new();
    let mut failed = 0;
    for task in tasks {
        match timeout(ANSWER_MAX, task).await {
            Ok(Ok(Ok(wire))) => held.push(wire),
            _ => failed += 1,
        }
    }
    say(&json!({ "held": held.len(), "failed": failed }).to_string())?;
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin().lock(), &mut io::sink())).await??;
    drop(held);
    Ok(())
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
