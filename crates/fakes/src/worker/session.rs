//! One request at a scripted worker: counts its tokens and its time, and ends within one step of a cancel.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::{
    Known, State,
    script::{Fault, Script},
};

/// Engine threads of the worker.
const ENGINE_THREADS: u32 = 2;
/// Time for written bytes to leave before a connection is cut.
pub(super) const CUT_DELAY: Duration = Duration::from_millis(5);

pub(super) type Frames = mpsc::Sender<io::Result<Frame<Bytes>>>;

#[derive(Debug)]
pub(super) struct Session {
    id: String,
    model: String,
    chat: bool,
    stream: bool,
    include_usage: bool,
    prompt_tokens: u64,
    script: Script,
    cancel: Notify,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    prefilled: bool,
    tokens: u64,
    cancels: u64,
    finished: bool,
    finish_reason: Option<&'static str>,
    caller_gone: bool,
}

/// The fixed part of a request.
pub(super) struct Asking {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) chat: bool,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) prompt_tokens: u64,
    pub(super) script: Script,
}

impl Session {
    pub(super) fn new(asking: Asking) -> Self {
        let Asking { id, model, chat, stream, include_usage, prompt_tokens, script } = asking;
        let (cancel, counts) = (Notify::new(), Mutex::default());
        Self { id, model, chat, stream, include_usage, prompt_tokens, script, cancel, counts }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn stream(&self) -> bool {
        self.stream
    }

    pub(super) fn cuts(&self) -> bool {
        self.script.fault == Some(Fault::Cut)
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.script.forget
    }

    /// A cancel call came; false when it is refused.
    pub(super) fn cancel(&self) -> bool {
        self.counts().cancels += 1;
        if self.script.fault == Some(Fault::RefuseCancel) {
            return false;
        }
        self.cancel.notify_one();
        true
    }

    /// The caller closed its connection.
    pub(super) fn caller_left(&self) {
        let mut counts = self.counts();
        if !counts.finished {
            counts.caller_gone = true;
            self.cancel.notify_one();
        }
    }

    /// What was really used.
    fn usage(&self, with_time: bool) -> Value {
        let counts = self.counts();
        let prompt = if counts.prefilled { self.prompt_tokens } else { 0 };
        let mut usage = json!({
            "prompt_tokens": prompt, "completion_tokens": counts.tokens, "total_tokens": prompt + counts.tokens,
            "prompt_tokens_details": { "cached_tokens": 0 },
        });
        if with_time {
            let prefill_us = if counts.prefilled { self.script.prefill_us.unwrap_or(1_000_003) } else { 0 };
            usage["worker"] = json!({
                "queue_us": self.script.queue_us.unwrap_or(120), "prefill_busy_us": prefill_us,
                "decode_busy_us": self.script.token_us.unwrap_or(70_001) * counts.tokens, "engine_threads": ENGINE_THREADS,
            });
        }
        usage
    }

    fn told_usage(&self) -> Value {
        self.usage(!self.script.hide_time)
    }

    pub(super) fn known(&self) -> Known {
        let usage = self.usage(true);
        let counts = self.counts();
        Known {
            id: self.id.clone(),
            finished: counts.finished,
            finish_reason: counts.finish_reason.map(str::to_owned),
            usage,
            cancels: counts.cancels,
            caller_gone: counts.caller_gone,
        }
    }

    pub(super) fn record(&self) -> Value {
        let known = self.known();
        let state = if known.finished { "finished" } else { "running" };
        // While it runs a record says nothing yet.
        let usage = if known.finished { self.told_usage() } else { json!({}) };
        json!({ "id": self.id, "model": self.model, "state": state, "finish_reason": known.finish_reason,
            "stream": self.stream, "usage": usage })
    }

    fn finish(&self, reason: Option<&'static str>) {
        let mut counts = self.counts();
        counts.finished = true;
        counts.finish_reason = reason;
    }

    /// Waits for the next token; false when the request is cancelled instead. Then one was sampled whose text is held back.
    async fn step(&self) -> bool {
        let cancelled = tokio::select! {
            biased;
            () = self.cancel.notified() => true,
            () = tokio::time::sleep(Duration::from_millis(self.script.gap_ms)) => false,
        };
        let mut counts = self.counts();
        counts.tokens += u64::from(counts.prefilled);
        counts.prefilled = true;
        !cancelled
    }

    /// Runs the request to its end; `frames` take a stream's events.
    pub(super) async fn run(self: Arc<Self>, state: Arc<State>, frames: Option<Frames>) -> Option<&'static str> {
        // The first step is the prefill.
        let mut going = self.step().await;
        if going {
            self.put(&frames, self.chunk(json!({ "role": "assistant", "content": "" }), None)).await;
        }
        for token in 0..self.script.tokens() {
            if going && self.fails(token, &state, &frames).await {
                return None;
            }
            if !going {
                break;
            }
            going = self.step().await;
            if going {
                self.put(&frames, self.chunk(json!({ "content": format!("w{token} ") }), None)).await;
            }
        }
        if !going && self.script.fault == Some(Fault::Silent) {
            std::future::pending::<()>().await;
        }
        let reason = if going { "stop" } else { "cancelled" };
        self.finish(Some(reason));
        self.put(&frames, self.chunk(json!({}), Some(reason))).await;
        if self.include_usage {
            let mut last = self.chunk(json!({}), None);
            last["choices"] = json!([]);
            self.put(&frames, last).await;
        }
        self.send(&frames, "data: [DONE]\n\n".to_owned()).await;
        Some(reason)
    }

    /// Plays the fault that is due before a token; true when the request is over by it.
    async fn fails(&self, token: u64, state: &State, frames: &Option<Frames>) -> bool {
        if self.script.fault_at(Fault::Die, token) {
            tokio::time::sleep(CUT_DELAY).await;
            state.die();
            return true;
        }
        if self.script.fault_at(Fault::Cut, token) {
            tokio::time::sleep(CUT_DELAY).await;
            if let Some(frames) = frames {
                let _gone = frames.send(Err(io::Error::other("the script cuts the connection here"))).await;
            }
            // It samples one token more before it notices.
            self.counts().tokens += 1;
            self.finish(Some("cancelled"));
            return true;
        }
        if self.script.fault_at(Fault::Error, token) {
            self.finish(None);
            let error = json!({ "error": { "message": "The model failed.", "type": "server_error", "param": null,
                "code": "failed" }, "usage": self.told_usage() });
            self.put(frames, error).await;
            return true;
        }
        false
    }

    fn chunk(&self, delta: Value, finish_reason: Option<&str>) -> Value {
        let (object, choice) = if self.chat {
            ("chat.completion.chunk", json!({ "index": 0, "delta": delta, "finish_reason": finish_reason }))
        } else {
            let text = delta["content"].as_str().unwrap_or_default();
            ("text_completion", json!({ "index": 0, "text": text, "finish_reason": finish_reason }))
        };
        json!({ "id": self.id, "object": object, "created": 0, "model": self.model, "choices": [choice],
            "usage": self.told_usage() })
    }

    /// The whole answer of a request that has ended.
    pub(super) fn plain(&self, reason: &str) -> Value {
        let text: String = (0..self.counts().tokens).map(|token| format!("w{token} ")).collect();
        let (object, choice) = if self.chat {
            let message = json!({ "role": "assistant", "content": text });
            ("chat.completion", json!({ "index": 0, "message": message, "finish_reason": reason }))
        } else {
            ("text_completion", json!({ "index": 0, "text": text, "finish_reason": reason }))
        };
        json!({ "id": self.id, "object": object, "created": 0, "model": self.model, "choices": [choice],
            "usage": self.told_usage() })
    }

    async fn put(&self, frames: &Option<Frames>, event: Value) {
        self.send(frames, format!("data: {event}\n\n")).await;
    }

    async fn send(&self, frames: &Option<Frames>, text: String) {
        if let Some(frames) = frames {
            // A caller that is gone has cancelled the request by then.
            let _gone = frames.send(Ok(Frame::data(text.into()))).await;
        }
    }
}
