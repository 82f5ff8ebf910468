//! An upstream that costs little: fixed answers in the OpenAI dialect, one thread, HTTP/1.1.
//!
//! A plain answer has 700 bytes and a usage object. A stream has `--chunks` content events, `--gap-us` apart, the first at once; then
//! finish, usage when it was asked for, and `[DONE]`. A request whose body has `bench-hold` gets one event and then silence.

use std::{
    io::{self, Write},
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use clap::Parser;
use memchr::memmem;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep, sleep_until},
};
use tollgate_bench::wire::{Extent, Wire};

/// A fast upstream for benches.
#[derive(Debug, Parser)]
struct Options {
    /// Address to listen on; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Content events of a stream.
    #[arg(long, default_value_t = 100)]
    chunks: u32,
    /// Microseconds between two of them.
    #[arg(long, default_value_t = 10_000)]
    gap_us: u64,
}

/// Held connections wait for new ones; the longest silence.
const HOLD: Duration = Duration::from_secs(3600);
const BACKLOG: u32 = 4096;

const PLAIN: &str = concat!(
    r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"#,
    r#""model":"gpt-4.1-nano-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":"A gateway adds a few"#,
    r#" microseconds of work to a call, and in return everything that was used is counted once.","refusal":null,"#,
    r#""annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":25,"#,
    r#""total_tokens":44,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":"#,
    r#"{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"#,
    r#""service_tier":"default","system_fingerprint":"fp_0123456789"}"#
);
const EVENT: &str = concat!(
    r#"data: {"id":"chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG","object":"chat.completion.chunk","created":1741570283,"#,
    r#""model":"gpt-4.1-nano-2025-04-14","service_tier":"default","system_fingerprint":"fp_0123456789","#
);
/// What a model says, token by token; of different lengths, as tokens are.
const WORDS: [&str; 8] = [" a", " gateway", " that", " counts", ",", " every", " token", " once"];

fn main() -> io::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(&options))
}

async fn serve(options: &Options) -> io::Result<()> {
    let listener = listen(options.listen)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    io::stdout().flush()?;
    let answers = Rc::new(Answers::new(options));
    loop {
        let (stream, _) = listener.accept().await?;
        let answers = Rc::clone(&answers);
        tokio::task::spawn_local(async move {
            // A peer that broke off is gone; there is nobody to tell.
            let _gone = answer(stream, &answers).await;
        });
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Everything that is sent, ready to be written.
struct Answers {
    plain: Vec<u8>,
    /// Head and first event.
    begin: Vec<u8>,
    events: Vec<Vec<u8>>,
    /// What comes behind the content, without usage and with it.
    ends: [Vec<u8>; 2],
    chunks: u32,
    gap: Duration,
}

impl Answers {
    fn new(options: &Options) -> Self {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\n";
        let plain = format!("{head}content-length: {}\r\n\r\n{PLAIN}", PLAIN.len());
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        let mut begin = head.as_bytes().to_vec();
        begin.extend(chunk(&event(r#""delta":{"role":"assistant","content":"","refusal":null}"#, "null")));
        let content = |word: &&str| chunk(&event(&format!("\"delta\":{{\"content\":\"{word}\"}}"), "null"));
        let finish = event("\"delta\":{}", "\"stop\"");
        let usage = format!(
            "{EVENT}\"choices\":[],\"usage\":{{\"prompt_tokens\":19,\"completion_tokens\":{0},\"total_tokens\":{1},\
             \"prompt_tokens_details\":{{\"cached_tokens\":0,\"audio_tokens\":0}},\"completion_tokens_details\":{{\
             \"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}}}}\n\n",
            options.chunks,
            options.chunks + 19
        );
        let done = "data: [DONE]\n\n";
        let end = |text: String| [chunk(&text).as_slice(), b"0\r\n\r\n"].concat();
        Self {
            plain: plain.into_bytes(),
            begin,
            events: WORDS.iter().map(content).collect(),
            ends: [end(format!("{finish}{done}")), end(format!("{finish}{usage}{done}"))],
            chunks: options.chunks.max(1),
            gap: Duration::from_micros(options.gap_us),
        }
    }
}

fn event(delta: &str, finish: &str) -> String {
    format!("{EVENT}\"choices\":[{{\"index\":0,{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]}}\n\n")
}

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

async fn answer(stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut wire = Wire::new(stream)?;
    while let Some(head) = wire.head().await? {
        let Extent::Length(length) = head.extent else { return Err(io::ErrorKind::InvalidData.into()) };
        let body = wire.body(length).await?;
        let has = |what: &str| memmem::find(body, what.as_bytes()).is_some();
        let (streams, with_usage, holds) = (has("\"stream\":true"), has("\"include_usage\":true"), has("bench-hold"));
        if !streams {
            wire.write(&answers.plain).await?;
        } else if holds {
            wire.write(&answers.begin).await?;
            tokio::select! {
                () = sleep(HOLD) => {}
                gone = wire.readable() => gone?,
            }
            return Ok(());
        } else {
            stream_events(&mut wire, answers, with_usage).await?;
        }
    }
    Ok(())
}

async fn stream_events(wire: &mut Wire, answers: &Answers, with_usage: bool) -> io::Result<()> {
    wire.write(&answers.begin).await?;
    let mut due = Instant::now();
    // The first event has come already.
    for event in answers.events.iter().cycle().take(usize::try_from(answers.chunks).unwrap_or(1) - 1) {
        due += answers.gap;
        sleep_until(due).await;
        wire.write(event).await?;
    }
    due += answers.gap;
    sleep_until(due).await;
    let [without, with] = &answers.ends;
    wire.write(if with_usage { with } else { without }).await
}
