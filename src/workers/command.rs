//! How a worker is started: which program, with which arguments, in which environment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use crate::config::Worker;

/// Variables of ours that a worker gets, if they are set. Never a secret: provider keys stay here.
const PASSED: &[&str] =
    &["PATH", "HOME", "TMPDIR", "LANG", "TZ", "RUST_BACKTRACE", "LD_LIBRARY_PATH", "TOLLGATE_WORKER_LOG"];
/// Our log wants plain lines.
const PLAIN_LINES: (&str, &str) = ("NO_COLOR", "1");
/// Threads inside one matrix product: the engine's own threads are the parallel ones, and pools that spin while they wait
/// would take the processor from them.
const ONE_THREAD: &[&str] = &["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"];

/// A start of a worker, spelled out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Launch {
    /// Beside our own executable if it is there, else a name that PATH resolves.
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// Everything that its environment holds.
    pub(super) env: Vec<(String, String)>,
}

impl Launch {
    /// The start of a worker that is to be spawned; none when somebody else runs it. `beside` is the folder of our own
    /// executable, `environment` our own environment.
    pub(super) fn of(worker: &Worker, beside: Option<&Path>, environment: &BTreeMap<String, String>) -> Option<Self> {
        let (program, args) = worker.spawn.as_ref()?.split_first()?;
        let mut args = args.to_vec();
        if !has(&args, "--listen") {
            args.extend(["--listen".to_owned(), address(&worker.root_url)?]);
        }
        if !has(&args, "--exit-with-parent") {
            args.push("--exit-with-parent".to_owned());
        }
        let passed = PASSED.iter().filter_map(|name| Some(((*name).to_owned(), environment.get(*name)?.clone())));
        let one_thread = ONE_THREAD.iter().map(|name| {
            let threads = environment.get(*name).cloned().unwrap_or_else(|| "1".to_owned());
            ((*name).to_owned(), threads)
        });
        let plain_lines = [(PLAIN_LINES.0.to_owned(), PLAIN_LINES.1.to_owned())];
        let env = passed.chain(one_thread).chain(plain_lines).collect();
        Some(Self { program: resolve(program, beside), args, env })
    }

    /// The command: in a process group of its own, so that Ctrl-C at a terminal reaches the gateway alone, which then ends
    /// its workers in order; with a standard input that ends when the gateway does.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

fn has(args: &[String], flag: &str) -> bool {
    args.iter().any(|arg| arg.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
}

/// A name without a slash is looked for beside our own executable first: what was built together runs together.
fn resolve(program: &str, beside: Option<&Path>) -> PathBuf {
    let near = beside.filter(|_| !program.contains('/')).map(|folder| folder.join(program));
    near.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(program))
}

/// `HOST:PORT` of a worker's URL.
pub(super) fn address(root_url: &str) -> Option<String> {
    let uri: axum::http::Uri = root_url.parse().ok()?;
    let host = match uri.host()? {
        "localhost" => "127.0.0.1",
        host => host,
    };
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(spawn: &[&str], root_url: &str) -> Worker {
        Worker {
            name: "w".to_owned(),
            root_url: root_url.to_owned(),
            base_url: format!("{root_url}/v1"),
            models: vec!["m".to_owned()],
            rates: Vec::new(),
            spawn: Some(spawn.iter().map(|text| (*text).to_owned()).collect()),
        }
    }

    fn args(spawn: &[&str], root_url: &str) -> Vec<String> {
        Launch::of(&worker(spawn, root_url), None, &BTreeMap::new()).unwrap().args
    }

    #[test]
    fn the_address_comes_from_the_url_unless_it_is_given() {
        let asked = args(&["w", "serve"], "http://localhost:9200");
        assert_eq!(asked, ["serve", "--listen", "127.0.0.1:9200", "--exit-with-parent"]);
        let given = args(&["w", "--listen=0.0.0.0:1", "--exit-with-parent"], "http://127.0.0.1:9200");
        assert_eq!(given, ["--listen=0.0.0.0:1", "--exit-with-parent"]);
        let alike = args(&["w", "--listener", "x"], "http://[::1]");
        assert_eq!(alike, ["--listener", "x", "--listen", "[::1]:80", "--exit-with-parent"]);
    }

    #[test]
    fn a_worker_gets_no_secret_and_one_thread_a_product() {
        let environment = [("OPENAI_API_KEY", "sk-secret"), ("PATH", "/bin"), ("RAYON_NUM_THREADS", "2")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let launch = Launch::of(&worker(&["w"], "http://127.0.0.1:1"), None, &environment).unwrap();
        let env: Vec<String> = launch.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["PATH=/bin", "CANDLE_NUM_THREADS=1", "RAYON_NUM_THREADS=2", "NO_COLOR=1"]);
    }

    #[test]
    fn a_program_is_looked_for_beside_ours_first_and_a_path_is_taken_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("near"), "").unwrap();
        let found = |program: &str| resolve(program, Some(dir.path()));
        assert_eq!(found("near"), dir.path().join("near"));
        assert_eq!(found("far"), PathBuf::from("far"));
        assert_eq!(found("./near"), PathBuf::from("./near"));
    }
}
