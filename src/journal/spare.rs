//! Keeps one spare segment ready, so that rotation does not wait for zeros to reach the disk.
//!
//! While no spare can be made, new permits are refused: what is running then has the whole current segment for its ends.

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::journal::{
    segment::{self, NewSegment, SegmentFactory},
    writer::Health,
};

/// How long after a failure the next try comes, unless the writer asks earlier.
const RETRY: Duration = Duration::from_secs(1);

/// The writer's end of the helper thread.
pub(super) struct Spares {
    ready: Option<Receiver<io::Result<NewSegment>>>,
    stopping: Arc<AtomicBool>,
    helper: Option<JoinHandle<()>>,
}

struct Helper {
    factory: Arc<dyn SegmentFactory>,
    dir: PathBuf,
    segment_bytes: u64,
    health: Arc<Health>,
    stopping: Arc<AtomicBool>,
    // A rendezvous: the helper holds one finished segment and waits until it is taken.
    ready: SyncSender<io::Result<NewSegment>>,
}

impl Spares {
    /// Starts the helper; its first segment has the number `index`.
    pub(super) fn start(
        factory: Arc<dyn SegmentFactory>,
        dir: PathBuf,
        segment_bytes: u64,
        index: u64,
        health: Arc<Health>,
    ) -> io::Result<Self> {
        let (ready_tx, ready) = sync_channel(0);
        let stopping = Arc::new(AtomicBool::new(false));
        let helper = Helper { factory, dir, segment_bytes, health, stopping: Arc::clone(&stopping), ready: ready_tx };
        let helper = std::thread::Builder::new().name("journal-spare".to_owned()).spawn(move || helper.run(index))?;
        Ok(Self { ready: Some(ready), stopping, helper: Some(helper) })
    }

    /// Takes the spare; waits when it is still being made.
    ///
    /// # Errors
    /// Why it could not be made. The next call asks for another try.
    pub(super) fn take(&self) -> io::Result<NewSegment> {
        let gone = || io::Error::other("the spare segment thread is gone");
        if let Some(helper) = &self.helper {
            helper.thread().unpark();
        }
        self.ready.as_ref().ok_or_else(gone)?.recv().map_err(|_| gone())?
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.ready = None;
        if let Some(helper) = self.helper.take() {
            helper.thread().unpark();
            // A panic of the helper was reported by its own thread.
            let _panicked = helper.join();
        }
    }
}

impl Helper {
    fn run(self, mut index: u64) {
        while !self.stopping.load(Ordering::Acquire) {
            match segment::create(self.factory.as_ref(), &self.dir, index, self.segment_bytes) {
                Ok(segment) => {
                    self.health.set_starved(false);
                    index += 1;
                    if let Err(unused) = self.ready.send(Ok(segment)) {
                        remove(unused.0);
                        return;
                    }
                }
                Err(error) => {
                    if !self.health.set_starved(true) {
                        tracing::error!(%error, dir = %self.dir.display(), "cannot make a spare journal segment");
                    }
                    match self.ready.try_send(Err(error)) {
                        Ok(()) => {}
                        Err(TrySendError::Full(_)) => std::thread::park_timeout(RETRY),
                        Err(TrySendError::Disconnected(_)) => return,
                    }
                }
            }
        }
    }
}

fn remove(unused: io::Result<NewSegment>) {
    if let Ok(segment) = unused {
        // An empty segment that stays is only room wasted until the boot's folder is removed.
        let _kept = fs::remove_file(segment.path);
    }
}
