//! How an answer of status 2xx ended, in the words of the books.

use tollgate_core::entry::Outcome;

use super::{dialect::Framing, sniff::Sniffed};

/// The outcome of an answer; `whole` says that its body came to a proper end.
#[must_use]
pub fn of_answer(seen: &Sniffed, whole: bool) -> Outcome {
    if seen.framing == Framing::Opaque {
        return match whole {
            true if seen.opaque_bytes > 0 => Outcome::Complete,
            true => Outcome::InvalidBody,
            false => Outcome::Truncated,
        };
    }
    if seen.error_seen {
        return Outcome::ErrorMidStream;
    }
    if seen.damaged {
        return Outcome::InvalidBody;
    }
    if !is_of_dialect(seen) {
        return if whole { Outcome::InvalidBody } else { Outcome::Truncated };
    }
    if seen.blocked.is_some() {
        return Outcome::Blocked;
    }
    if seen.finish.is_some() && !seen.says_its_end() {
        // One of several answers ended, and the others did not; or the array that holds them did not.
        return Outcome::Truncated;
    }
    let word = seen.reason.as_deref().or(seen.finish.as_deref());
    match word.map(outcome_of_word) {
        Some(Outcome::Complete) if seen.refusal_seen => Outcome::Refusal,
        Some(outcome) => outcome,
        None if seen.pending && seen.done && !seen.framing.is_stream() => Outcome::Pending,
        // Embeddings have no finish reason; a stream's terminal event says that nothing is missing.
        None if seen.done => Outcome::Complete,
        None => Outcome::Truncated,
    }
}

/// Whether a whole body is an answer of its dialect, however it ended: an object that says something, or sound.
#[must_use]
pub const fn is_of_dialect(seen: &Sniffed) -> bool {
    match seen.framing {
        Framing::Opaque => seen.opaque_bytes > 0,
        Framing::Json if seen.dialect.tells_its_answers() => seen.is_json_object && seen.is_told,
        _ => seen.is_json_object,
    }
}

/// What the dialects call the ends of an answer. Whatever else they say, the answer is complete.
fn outcome_of_word(word: &str) -> Outcome {
    match word {
        "length"
        | "max_tokens"
        | "max_output_tokens"
        | "model_length"
        | "model_context_window_exceeded"
        | "MAX_TOKENS"
        | "ERROR_LIMIT"
        | "LENGTH"
        | "incomplete" => Outcome::Length,
        "content_filter"
        | "content_filtered"
        | "guardrail_intervened"
        | "refusal"
        | "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "ERROR_TOXIC"
        | "CONTENT_FILTERED" => Outcome::Refusal,
        "pause_turn" | "compaction" => Outcome::PauseTurn,
        "error" | "failed" | "ERROR" => Outcome::ErrorMidStream,
        // A worker of ours ended it for somebody else than its client, who is told apart before.
        "cancelled" | "TIMEOUT" => Outcome::Truncated,
        _ => Outcome::Complete,
    }
}
