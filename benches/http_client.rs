//! What one upstream request in clear costs with the gateway's client and with reqwest (hyper-util), over loopback.
//!
//! Prints microseconds per request: CPU of the client's thread, and wall clock. The server has a thread of its own and
//! its CPU is not counted. Rounds alternate between the clients; the median round and the spread are printed.

use std::{error::Error, fs, future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tollgate::{
    clock::Clock,
    config::known::KeyHeader,
    upstream::{
        client::{Call, UpstreamClient},
        credentials::Credentials,
    },
};

const ROUNDS: usize = 9;
const REQUESTS_PER_ROUND: u32 = 2000;
const WARM_UP_REQUESTS: u32 = 500;
const REQUEST_BYTES: usize = 2048;
const ANSWER_BYTES: usize = 1024;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let (tell, address) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || serve(&tell));
    let address = address.recv()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(compare(address))
}

/// Answers every request with the same bytes, on a thread of its own.
fn serve(tell: &std::sync::mpsc::SyncSender<SocketAddr>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        tell.send(listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let service = service_fn(|request: Request<Incoming>| async {
                request.into_body().collect().await?;
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(vec![b'x'; ANSWER_BYTES]))))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service));
        }
    })
}

async fn compare(address: SocketAddr) -> Result<(), Failure> {
    let body = Bytes::from(vec![b'y'; REQUEST_BYTES]);
    let ours = UpstreamClient::new();
    let key = Credentials::key(KeyHeader::Bearer, "sk-bench");
    let uri: Uri = format!("http://{address}/v1/chat/completions").parse()?;
    let theirs =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).tcp_nodelay(true).build()?;
    let url = uri.to_string();

    let by_ours = || async {
        let headers = HeaderMap::new();
        let mut call = Call { method: Method::POST, uri: &uri, headers, body: body.clone(), connected: None };
        let response = ours.call(&mut call, Some(&key), true, 0).await?;
        Ok(response.into_body().collect().await?.to_bytes().len())
    };
    let by_theirs = || async {
        let response = theirs.post(&url).bearer_auth("sk-bench").body(body.clone()).send().await?;
        Ok(response.bytes().await?.len())
    };
    measure(WARM_UP_REQUESTS, by_ours).await?;
    measure(WARM_UP_REQUESTS, by_theirs).await?;
    let (mut http1, mut reqwest) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        http1.push(measure(REQUESTS_PER_ROUND, by_ours).await?);
        reqwest.push(measure(REQUESTS_PER_ROUND, by_theirs).await?);
    }
    print("ours", http1);
    print("reqwest", reqwest);
    Ok(())
}

/// CPU and wall clock of one request, the mean of so many in sequence.
async fn measure<F, Fut>(requests: u32, send: F) -> Result<(Duration, Duration), Failure>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<usize, Failure>>,
{
    let clock = Clock::system();
    let cpu = thread_cpu()?;
    for _ in 0..requests {
        if send().await? != ANSWER_BYTES {
            return Err("an answer of the wrong length".into());
        }
    }
    Ok((thread_cpu()?.saturating_sub(cpu) / requests, clock.monotonic() / requests))
}

/// CPU time of this thread; Linux only.
fn thread_cpu() -> Result<Duration, Failure> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(stat.split(' ').next().unwrap_or_default().parse()?))
}

#[expect(clippy::print_stdout, reason = "the figures are the purpose of this program")]
fn print(name: &str, rounds: Vec<(Duration, Duration)>) {
    let (mut cpu, mut wall): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    cpu.sort();
    wall.sort();
    println!("{name:>10}: cpu {} us/request, wall {} us/request", spread(&cpu), spread(&wall));
}

/// Median, least and most, in microseconds.
fn spread(sorted: &[Duration]) -> String {
    let at = |place: usize| sorted.get(place).copied().unwrap_or_default().as_nanos() as f64 / 1000.0;
    format!("{:.1} ({:.1} to {:.1})", at(sorted.len() / 2), at(0), at(sorted.len().saturating_sub(1)))
}
