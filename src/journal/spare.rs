//! Keeps spare segments ready, so that rotation does not wait for zeros to reach the disk.
//!
//! While no spare can be made, new permits are refused: what is running then has the room that it was promised. A quota
//! that is used up stops spares, too, but for one that the writer waits for.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    clock::Clock,
    journal::{
        disk,
        health::Health,
        segment::{NewSegment, SegmentMaker, Step},
    },
};

/// How long after a failure the next try comes, unless the writer asks earlier.
const RETRY: Duration = Duration::from_secs(1);

/// While another spare is ready, the helper rests after each piece of zeros so many times as long as the piece took: the
/// disk is the writer's for most of the time, and its fsyncs seldom wait for zeros.
const REST_FACTOR: u32 = 3;

/// Where the writer gets its next segment.
pub(super) trait SpareSource: Send {
    /// Takes a spare; waits when it is still being made.
    ///
    /// # Errors
    /// Why it could not be made. The next call asks for another try.
    fn take(&mut self) -> io::Result<NewSegment>;
}

/// Spares made by a thread of their own.
pub(super) struct Spares {
    maker: SegmentMaker,
    health: Arc<Health>,
    shelf: Arc<Shelf>,
    helper: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shelf {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ready: VecDeque<NewSegment>,
    /// Why the last one that the writer waited for could not be made.
    failed: Option<io::Error>,
    is_wanted: bool,
    is_stopping: bool,
    /// The helper is gone.
    is_over: bool,
}

struct Helper {
    maker: SegmentMaker,
    count: usize,
    health: Arc<Health>,
    shelf: Arc<Shelf>,
    clock: Clock,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spares {
    /// Starts the helper; its first segment has the number `index`, and it keeps `count` ready.
    pub(super) fn start(maker: SegmentMaker, index: u64, count: usize, health: Arc<Health>) -> io::Result<Self> {
        let shelf = Arc::new(Shelf::default());
        let helper = Helper {
            maker: maker.clone(),
            count,
            health: Arc::clone(&health),
            shelf: Arc::clone(&shelf),
            clock: Clock::system(),
        };
        let helper = std::thread::Builder::new().name("journal-spare".to_owned()).spawn(move || helper.run(index))?;
        Ok(Self { maker, health, shelf, helper: Some(helper) })
    }
}

impl SpareSource for Spares {
    fn take(&mut self) -> io::Result<NewSegment> {
        let mut state = self.shelf.lock();
        state.failed = None;
        loop {
            if let Some(segment) = state.ready.pop_front() {
                state.is_wanted = false;
                self.health.room.spare_taken(self.maker.bytes);
                self.shelf.changed.notify_all();
                return Ok(segment);
            }
            if let Some(error) = state.failed.take() {
                state.is_wanted = false;
                return Err(error);
            }
            if state.is_over {
                return Err(io::Error::other("the spare segment thread is gone"));
            }
            state.is_wanted = true;
            self.shelf.changed.notify_all();
            state = self.shelf.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        self.shelf.lock().is_stopping = true;
        self.shelf.changed.notify_all();
        if let Some(helper) = self.helper.take() {
            // A panic of the helper was reported by its own thread.
            let _panicked = helper.join();
        }
        for unused in self.shelf.lock().ready.drain(..) {
            self.maker.discard(&unused);
        }
    }
}

impl Helper {
    fn run(self, mut index: u64) {
        let _over = Over(Arc::clone(&self.shelf));
        let mut has_failed = false;
        while self.wait_for_work(has_failed) {
            match self.make(index) {
                Ok(segment) => {
                    index += 1;
                    has_failed = false;
                    self.health.set_starved(false);
                    self.measure();
                    self.shelf.lock().ready.push_back(segment);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
                Err(error) => {
                    has_failed = true;
                    if !self.health.set_starved(true) {
                        tracing::error!(%error, dir = %self.maker.dir.display(), "cannot make a spare journal segment");
                    }
                    let mut state = self.shelf.lock();
                    if state.is_wanted {
                        state.failed = Some(error);
                    }
                }
            }
            self.shelf.changed.notify_all();
        }
    }

    fn measure(&self) {
        match disk::bytes_below(self.maker.disk.as_ref(), disk::parent(&self.maker.dir)) {
            Ok(used) => self.health.room.measured(used),
            Err(error) => tracing::warn!(%error, "the journal's folder cannot be measured"),
        }
    }

    /// Makes a segment. It counts as room from the moment that its room on the disk is reserved: what is left to do may
    /// take time, and cannot fail for want of it.
    fn make(&self, index: u64) -> io::Result<NewSegment> {
        let mut is_counted = false;
        let mut since = self.clock.monotonic();
        let made = self.maker.make(index, &mut |step| {
            if step == Step::Reserved {
                self.health.room.spare_made(self.maker.bytes);
                is_counted = true;
                return Ok(());
            }
            let took = self.clock.monotonic().saturating_sub(since);
            let rested = self.rest(took.saturating_mul(REST_FACTOR));
            since = self.clock.monotonic();
            rested
        });
        match (&made, is_counted) {
            (Ok(_), false) => self.health.room.spare_made(self.maker.bytes),
            (Err(_), true) => self.health.room.spare_taken(self.maker.bytes),
            (Ok(_), true) | (Err(_), false) => {}
        }
        made
    }

    /// Leaves the disk to the writer for so long, unless it will soon need this spare; calls the segment off when the
    /// journal stops.
    fn rest(&self, at_most: Duration) -> io::Result<()> {
        let state = self.shelf.lock();
        let goes_on = |state: &mut State| !state.ready.is_empty() && !state.is_stopping;
        let waited = self.shelf.changed.wait_timeout_while(state, at_most, goes_on);
        let (state, _timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_stopping { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    /// Waits until a spare is to be made; false when none will be any more.
    fn wait_for_work(&self, has_failed: bool) -> bool {
        let mut state = self.shelf.lock();
        let mut has_waited = false;
        loop {
            if state.is_stopping {
                return false;
            }
            let is_wanted = state.is_wanted && state.failed.is_none();
            let may_make = !has_failed || has_waited;
            let is_missing = state.ready.len() < self.count && self.health.room.has_quota_for(self.maker.bytes);
            if is_wanted || (is_missing && may_make) {
                return true;
            }
            let (next, timeout) = self.shelf.changed.wait_timeout(state, RETRY).unwrap_or_else(PoisonError::into_inner);
            state = next;
            has_waited |= timeout.timed_out();
        }
    }
}

/// Tells the writer that nobody makes spares any more, also after a panic.
struct Over(Arc<Shelf>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_all();
    }
}
