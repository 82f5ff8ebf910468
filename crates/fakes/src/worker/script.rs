//! What a worker shall do with one request: the `x_worker` object of its body.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The ways in which a worker fails a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// After `at` tokens the whole worker is gone, as by `kill -9`.
    Die,
    /// After `at` tokens the connection breaks; the worker lives and notices that its caller is gone.
    Cut,
    /// After `at` tokens an error event with the usage so far, without an end marker.
    Error,
    /// Cancel calls are answered with 500.
    RefuseCancel,
    /// A cancel is taken, and the request then never ends.
    Silent,
}

/// One scripted request; every field is optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Script {
    /// Tokens to sample; 8 when absent.
    pub(crate) tokens: Option<u64>,
    /// Wait before each token, which ends at once when the request is cancelled.
    pub(crate) gap_ms: u64,
    pub(crate) fault: Option<Fault>,
    /// Tokens before the fault; half of them when absent.
    pub(crate) at: Option<u64>,
    /// Leaves its time out of every usage object.
    pub(crate) hide_time: bool,
    /// Its final record is not kept.
    pub(crate) forget: bool,
    /// Time of the request: queue, prefill, and each token.
    pub(crate) queue_us: Option<u64>,
    pub(crate) prefill_us: Option<u64>,
    pub(crate) token_us: Option<u64>,
}

impl Script {
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.unwrap_or(8)
    }

    pub(crate) fn fault_at(&self, fault: Fault, token: u64) -> bool {
        self.fault == Some(fault) && token == self.at.unwrap_or(self.tokens() / 2)
    }
}

/// What matters of a body beside the dialect's own fields.
#[derive(Debug, Default, Deserialize)]
struct Carried<'a> {
    #[serde(borrow)]
    x_worker: Option<&'a RawValue>,
}

/// Reads the script of a body.
pub(crate) fn of_body(body: &[u8]) -> Result<Script, String> {
    let carried: Carried<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let Some(raw) = carried.x_worker else { return Ok(Script::default()) };
    serde_json::from_str(raw.get()).map_err(|error| format!("x_worker: {error}"))
}
