//! The requests of this worker by id: those under way, and the final records of the latest ones.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use super::usage::{FinishReason, Usage};

/// Final records that are kept.
const RECORDS_MAX: usize = 4096;

/// Lets others end a request; shared by its caller and its engine thread.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// From the next step on the request ends.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for an engine thread.
    Queued,
    /// Has one.
    Running,
    /// Has ended.
    Finished,
}

/// What is known of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// The model.
    pub model: String,
    /// Where it is.
    pub state: State,
    /// Why it ended; none while it runs, and when it failed.
    pub finish_reason: Option<FinishReason>,
    /// What went wrong, if it failed.
    pub error: Option<String>,
    /// Whether its answer is a stream.
    pub stream: bool,
    /// What it has used; while it runs, nothing yet.
    pub usage: Usage,
}

#[derive(Debug)]
struct Running {
    cancel: Cancel,
    record: Record,
}

#[derive(Debug, Default)]
struct Requests {
    running: HashMap<String, Running>,
    finished: HashMap<String, Record>,
    order: VecDeque<String>,
}

/// All requests. Taken at the beginning and the end of a request only.
#[derive(Debug, Default)]
pub struct Registry(Mutex<Requests>);

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        // The maps are whole at every await of the lock: a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request; none when one of that id is under way.
    pub fn enter(&self, id: &str, model: &str, stream: bool) -> Option<Cancel> {
        let mut requests = self.lock();
        if requests.running.contains_key(id) {
            return None;
        }
        let cancel = Cancel::default();
        let record = Record {
            id: id.to_owned(),
            model: model.to_owned(),
            state: State::Queued,
            finish_reason: None,
            error: None,
            stream,
            usage: Usage::default(),
        };
        requests.running.insert(id.to_owned(), Running { cancel: cancel.clone(), record });
        Some(cancel)
    }

    /// A request has an engine thread.
    pub fn started(&self, id: &str) {
        if let Some(running) = self.lock().running.get_mut(id) {
            running.record.state = State::Running;
        }
    }

    /// A request was never begun.
    pub fn forget(&self, id: &str) {
        self.lock().running.remove(id);
    }

    /// A request has ended.
    pub fn finished(&self, id: &str, finish_reason: Option<FinishReason>, error: Option<String>, usage: Usage) {
        let mut requests = self.lock();
        let Some(mut running) = requests.running.remove(id) else { return };
        running.record.state = State::Finished;
        running.record.finish_reason = finish_reason;
        running.record.error = error;
        running.record.usage = usage;
        if requests.finished.insert(id.to_owned(), running.record).is_none() {
            requests.order.push_back(id.to_owned());
        }
        while requests.order.len() > RECORDS_MAX {
            if let Some(oldest) = requests.order.pop_front() {
                requests.finished.remove(&oldest);
            }
        }
    }

    /// Ends a request within one step. False when it is not under way.
    pub fn cancel(&self, id: &str) -> bool {
        let requests = self.lock();
        let running = requests.running.get(id);
        running.map(|running| running.cancel.cancel()).is_some()
    }

    /// Ends every request within one step.
    pub fn cancel_all(&self) {
        self.lock().running.values().for_each(|running| running.cancel.cancel());
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        self.lock().running.len()
    }

    /// What is known of a request.
    pub fn record(&self, id: &str) -> Option<Record> {
        let requests = self.lock();
        requests.running.get(id).map(|running| &running.record).or_else(|| requests.finished.get(id)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_records_make_room_and_an_id_under_way_is_taken() {
        let registry = Registry::default();
        assert!(registry.enter("a", "m", false).is_some());
        assert!(registry.enter("a", "m", false).is_none());
        for number in 0..=RECORDS_MAX {
            let id = number.to_string();
            assert!(registry.enter(&id, "m", true).is_some());
            registry.finished(&id, Some(FinishReason::Stop), None, Usage::default());
        }
        assert!(registry.record("0").is_none());
        assert_eq!(registry.record("1").map(|record| record.state), Some(State::Finished));
        assert_eq!(registry.record("a").map(|record| record.state), Some(State::Queued));
        assert!(registry.cancel("a") && !registry.cancel("1") && !registry.cancel("unknown"));
    }
}
