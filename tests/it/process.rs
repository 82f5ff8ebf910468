//! The gateway as a process of its own, for tests that kill it, and commands against it.

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use serde_json::Value;

/// A running `tollgate serve`.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// With more in its environment. What it logs is in a file beside its configuration.
    pub(crate) fn start(config: &Path, env: &[(&str, &str)]) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(config.with_extension("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(["--config", config.to_str().unwrap(), "serve"])
            .envs(env.iter().copied())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Runs a command that answers in JSON.
pub(crate) fn cli(config: &Path, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["--config", config.to_str().unwrap(), "--json"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{args:?}: {error}: {text} {}", String::from_utf8_lossy(&output.stderr)))
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub(crate) async fn wait_until_ready(client: &reqwest::Client, admin: u16) {
    for _ in 0..800 {
        if let Ok(response) = client.get(format!("http://127.0.0.1:{admin}/readyz")).send().await
            && response.status().is_success()
            && !response.text().await.unwrap().contains("starting")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the gateway was not ready within twenty seconds");
}
