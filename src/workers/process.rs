//! One process of a worker: started, watched, ended in bounded time, never left behind.
//!
//! It holds the write end of the worker's standard input and writes nothing: when the gateway dies, however it dies, the
//! pipe closes, and a worker started with `--exit-with-parent` ends.

use std::{io, process::ExitStatus, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, ChildStdin},
    task::JoinSet,
    time::timeout,
};

use super::{command::Launch, output::log_lines};

/// After a process has ended, its last lines are waited for so long.
const LAST_LINES_MAX: Duration = Duration::from_millis(200);

/// A running worker; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// Held, never written; let go when it is to end.
    stdin: Option<ChildStdin>,
    lines: JoinSet<()>,
}

impl Process {
    /// Starts the worker named `name`.
    pub(super) fn start(launch: &Launch, name: &str) -> io::Result<Self> {
        let mut child = launch.command().spawn()?;
        let mut lines = JoinSet::new();
        log_lines(&mut lines, name, child.stdout.take());
        log_lines(&mut lines, name, child.stderr.take());
        Ok(Self { stdin: child.stdin.take(), child, lines })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it ends by itself. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it: SIGTERM, and SIGKILL for one that is still there after `stop_max`.
    pub(super) async fn stop(mut self, stop_max: Duration) {
        self.terminate();
        // A reader of its standard input may be what it waits for.
        drop(self.stdin.take());
        if timeout(stop_max, self.child.wait()).await.is_err() {
            tracing::warn!(pid = self.child.id(), "a worker did not end in time and is killed");
            if let Err(error) = self.child.kill().await {
                tracing::error!(%error, "a worker could not be killed");
            }
        }
        self.last_lines().await;
    }

    /// Lets the log have what it said last.
    pub(super) async fn last_lines(mut self) {
        let all = async { while self.lines.join_next().await.is_some() {} };
        // Whoever else holds the pipes open is not waited for.
        let _late = timeout(LAST_LINES_MAX, all).await;
    }

    /// The process is not reaped before [`Child::wait`] has returned, so its number is still its own.
    fn terminate(&self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::TERM)) {
            tracing::warn!(%error, "a worker could not be told to end");
        }
    }
}
