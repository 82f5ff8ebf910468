//! What a provider keeps: files, batches, stored responses, conversations. One account, as a provider sees its gateway.
//!
//! A batch is done when it was made, unless the [`Plan`] says otherwise; each of its requests plays its own script.

mod batches;
mod files;
mod messages;
mod run;
mod talk;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::script::Behaviour;

/// How batches behave from now on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Plan {
    /// Batches are not done until this is taken back.
    pub(crate) hold: bool,
    /// What becomes of the answer to a request that makes something, which is made all the same.
    pub(crate) make: Option<Broken>,
    /// What becomes of results when they are read.
    pub(crate) results: Option<Broken>,
    /// Results come in the opposite order.
    pub(crate) reversed: bool,
    /// Only so many requests of a batch are done; then it expires.
    pub(crate) expires_after: Option<usize>,
    /// Batches say what they used as a whole.
    pub(crate) tells_usage: bool,
}

/// How an answer is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Broken {
    /// Cut within the body.
    Cut,
    /// Half of the body, and nothing more; the connection stays.
    Stall,
    /// Not even a head.
    Never,
    /// 404.
    Gone,
    /// Lines that are no JSON.
    Damaged,
    /// Said to be compressed.
    Compressed,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Inner>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) plan: Plan,
    last: u64,
    files: BTreeMap<u64, files::File>,
    batches: BTreeMap<u64, batches::Batch>,
    responses: BTreeMap<String, Value>,
    conversations: BTreeMap<String, talk::Conversation>,
}

/// One call about what is kept.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    /// Behind `/v1/`, by its slashes.
    pub(crate) path: Vec<&'a str>,
    pub(crate) query: &'a str,
    pub(crate) body: &'a Bytes,
    pub(crate) behaviour: &'a Behaviour,
}

/// An answer, and how it is broken.
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) broken: Option<Broken>,
}

impl Told {
    fn json(body: &Value) -> Self {
        Self { status: StatusCode::OK, body: body.to_string().into(), broken: None }
    }

    fn refused(status: StatusCode, message: &str) -> Self {
        let body = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}});
        Self { status, body: body.to_string().into(), broken: None }
    }

    fn missing(id: &str) -> Self {
        Self::refused(StatusCode::NOT_FOUND, &format!("There is nothing of the id {id}."))
    }
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how batches behave. Those that were held are done when that is taken back.
    pub(crate) fn set_plan(&self, plan: Plan) {
        let mut inner = self.lock();
        inner.plan = plan;
        if !inner.plan.hold {
            let plan = inner.plan.clone();
            inner.batches.values_mut().for_each(|batch| batch.release(&plan));
        }
    }

    /// Names a response and keeps it.
    pub(crate) fn name_response(&self, body: &[u8]) -> String {
        let mut inner = self.lock();
        let id = format!("resp_fake{:012}", inner.next());
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        if asked["store"] != json!(false) {
            inner.keep_response(&id, &asked);
        }
        id
    }

    /// Whether a response may go on with what it names.
    pub(crate) fn goes_on(&self, body: &[u8]) -> Result<(), String> {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        self.lock().goes_on(&asked)
    }

    /// Answers a call, or none when it is about nothing that is kept.
    pub(crate) fn answer(&self, asked: &Asked<'_>) -> Option<Told> {
        let mut inner = self.lock();
        match asked.path.as_slice() {
            ["files", rest @ ..] => Some(inner.files(asked, rest)),
            ["batches", rest @ ..] => Some(inner.batches(asked, rest)),
            ["messages", "batches", rest @ ..] => Some(inner.message_batches(asked, rest)),
            ["responses", id, rest @ ..] => Some(inner.response(asked.method, id, rest)),
            ["conversations", rest @ ..] => Some(inner.conversations(asked, rest)),
            _ => None,
        }
    }
}

impl Inner {
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// The number in an id.
fn number(id: &str) -> Option<u64> {
    id.rsplit_once("fake").and_then(|(_, digits)| digits.parse().ok())
}

/// A parameter of a query.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}
