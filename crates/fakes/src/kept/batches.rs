//! `/v1/batches`, and what both vendors' batches have in common.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Asked, Inner, Plan, Told, files, number, parameter, run};
use crate::script::Behaviour;

/// A batch of either vendor.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) is_messages: bool,
    /// What the client gave: the file and the endpoint, of OpenAI's.
    wanted: Value,
    pub(super) requests: usize,
    /// One for each request; made at once, told when the batch is done.
    pub(super) lines: Vec<(u16, Value)>,
    pub(super) state: State,
    pub(super) created_s: u64,
    files: (Option<u64>, Option<u64>),
    usage: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Held,
    Done,
    Expired,
    Cancelled,
}

impl Batch {
    pub(super) fn new(is_messages: bool, wanted: Value, lines: Vec<(u16, Value)>, plan: &Plan) -> Self {
        let created_s = now_s();
        let requests = lines.len();
        let mut batch = Self {
            is_messages,
            wanted,
            requests,
            lines,
            state: State::Held,
            created_s,
            files: (None, None),
            usage: None,
        };
        if !plan.hold {
            batch.release(plan);
        }
        batch
    }

    /// Is done now, if it is not yet over.
    pub(super) fn release(&mut self, plan: &Plan) {
        if self.state != State::Held {
            return;
        }
        self.state = State::Done;
        if let Some(done) = plan.expires_after {
            self.lines.truncate(done);
            self.state = State::Expired;
        }
        if plan.reversed {
            self.lines.reverse();
        }
        self.usage = plan.tells_usage.then(|| summed(&self.lines));
    }

    pub(super) fn cancel(&mut self) {
        if self.state == State::Held {
            self.lines.truncate(1);
            self.state = State::Cancelled;
        }
    }

    pub(super) fn succeeded(&self) -> usize {
        if self.state == State::Held { 0 } else { self.lines.iter().filter(|(status, _)| *status == 200).count() }
    }

    /// The lines of those that succeeded, or of the others.
    pub(super) fn text(&self, succeeded: bool) -> String {
        let lines = self.lines.iter().filter(|(status, _)| (*status == 200) == succeeded);
        lines.map(|(_, line)| format!("{line}\n")).collect()
    }

    fn told(&self, id: u64) -> Value {
        let status = match self.state {
            State::Held => "in_progress",
            State::Done => "completed",
            State::Expired => "expired",
            State::Cancelled => "cancelled",
        };
        let completed = self.succeeded();
        let failed = if self.state == State::Held { 0 } else { self.lines.len() - completed };
        let mut told = json!({
            "id": name(id), "object": "batch", "endpoint": self.wanted["endpoint"], "errors": null,
            "input_file_id": self.wanted["input_file_id"], "completion_window": "24h", "status": status,
            "output_file_id": self.files.0.map(files::name), "error_file_id": self.files.1.map(files::name),
            "created_at": self.created_s, "metadata": self.wanted["metadata"],
            "request_counts": {"total": self.requests, "completed": completed, "failed": failed},
        });
        if let Some(usage) = &self.usage {
            told["usage"] = usage.clone();
        }
        told
    }
}

#[expect(clippy::disallowed_methods, reason = "a provider has a clock of its own, by which batches are told apart")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn name(id: u64) -> String {
    format!("batch_fake{id:012}")
}

/// What all requests of a batch used.
fn summed(lines: &[(u16, Value)]) -> Value {
    let sum = |names: [&str; 2]| -> u64 {
        let of = |line: &Value| {
            let usage = &line["response"]["body"]["usage"];
            names.iter().find_map(|name| usage[*name].as_u64()).unwrap_or(0)
        };
        lines.iter().map(|(_, line)| of(line)).sum()
    };
    let (input, output) = (sum(["prompt_tokens", "input_tokens"]), sum(["completion_tokens", "output_tokens"]));
    json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output,
    })
}

impl Inner {
    pub(super) fn batches(&mut self, asked: &Asked<'_>, rest: &[&str]) -> Told {
        match (asked.method, rest) {
            (&Method::POST, []) => self.make_batch(asked),
            (&Method::GET, []) => self.list_batches(asked.query),
            (method, [id, rest @ ..]) => {
                let Some(number) = number(id) else { return Told::missing(id) };
                let Some(batch) = self.batches.get_mut(&number).filter(|batch| !batch.is_messages) else {
                    return Told::missing(id);
                };
                match (method, rest) {
                    (&Method::GET, []) => {}
                    (&Method::POST, ["cancel"]) => batch.cancel(),
                    _ => return Told::missing(id),
                }
                self.write_results(number);
                Told::json(&self.batches.get(&number).map(|batch| batch.told(number)).unwrap_or_default())
            }
            _ => Told::missing(""),
        }
    }

    fn make_batch(&mut self, asked: &Asked<'_>) -> Told {
        let wanted: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        let file = wanted["input_file_id"].as_str().and_then(number).and_then(|id| self.files.get(&id));
        let Some(file) = file else {
            return Told::refused(StatusCode::BAD_REQUEST, "The input file does not exist.");
        };
        let text = String::from_utf8_lossy(&file.content).into_owned();
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let mut results = Vec::new();
        for (line, n) in lines.zip(1..) {
            match result(line, n, asked.behaviour) {
                Some(result) => results.push(result),
                None => return Told::refused(StatusCode::BAD_REQUEST, "A line is no request."),
            }
        }
        let id = self.next();
        let batch = Batch::new(false, wanted, results, &self.plan);
        self.batches.insert(id, batch);
        self.write_results(id);
        let told = self.batches.get(&id).map(|batch| batch.told(id)).unwrap_or_default();
        Told { broken: self.plan.make, ..Told::json(&told) }
    }

    /// Files of a batch that is over, if it has none yet.
    fn write_results(&mut self, id: u64) {
        let Some(batch) = self.batches.get(&id).filter(|batch| batch.state != State::Held) else { return };
        if batch.files != (None, None) {
            return;
        }
        let (output, errors) = (batch.text(true), batch.text(false));
        let mut write =
            |text: String| (!text.is_empty()).then(|| self.write_file("batch_output", text.into_bytes().into()));
        let files = (write(output), write(errors));
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.files = files;
        }
    }

    fn list_batches(&self, query: &str) -> Told {
        let after = parameter(query, "after").and_then(number).unwrap_or(u64::MAX);
        let limit = parameter(query, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
        let ours = self.batches.range(..after).rev().filter(|(_, batch)| !batch.is_messages);
        let mut data: Vec<Value> = ours.map(|(id, batch)| batch.told(*id)).collect();
        let has_more = data.len() > limit;
        data.truncate(limit);
        Told::json(&json!({"object": "list", "data": data, "has_more": has_more}))
    }
}

/// A line of results for a line of requests.
fn result(line: &str, n: u64, behaviour: &Behaviour) -> Option<(u16, Value)> {
    let request: Value = serde_json::from_str(line).ok()?;
    let endpoint = run::endpoint(request["url"].as_str()?)?;
    let (status, body) = run::answer(endpoint, &request["body"], n, behaviour);
    let line = json!({
        "id": format!("batch_req_{n}"), "custom_id": request["custom_id"],
        "response": {"status_code": status, "request_id": format!("req_{n}"), "body": body}, "error": null,
    });
    Some((status, line))
}
