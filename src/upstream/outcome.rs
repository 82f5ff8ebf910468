//! How an answer of status 2xx ended, in the words of the books.

use tollgate_core::entry::Outcome;

use super::sniff::Sniffed;

/// The outcome of an answer; `whole` says that its body came to a proper end.
#[must_use]
pub fn of_answer(seen: &Sniffed, whole: bool) -> Outcome {
    if seen.error_seen {
        return Outcome::ErrorMidStream;
    }
    if !seen.is_json_object {
        return if whole { Outcome::InvalidBody } else { Outcome::Truncated };
    }
    match seen.finish.as_deref() {
        Some("length") => Outcome::Length,
        // A worker of ours ended it for somebody else than its client, who is told apart before.
        Some("cancelled") => Outcome::Truncated,
        Some("content_filter") => Outcome::Refusal,
        Some(_) if seen.refusal_seen => Outcome::Refusal,
        Some(_) => Outcome::Complete,
        // Embeddings have no finish reason; a stream's terminal event says that nothing is missing.
        None if seen.done => Outcome::Complete,
        None => Outcome::Truncated,
    }
}
