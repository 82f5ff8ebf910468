//! Reports with no conventions of their own: Ollama, Cohere, and the counting endpoints.

use tollgate_core::usage::Usage;

use super::{
    object::Object,
    reader::{Reader, object},
};

/// Ollama: a count that is zero is left out.
pub(super) fn ollama(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    Some(Usage {
        input_uncached: reader.count_or_zero(usage, "prompt_eval_count"),
        output: reader.count_or_zero(usage, "eval_count"),
        ..Usage::default()
    })
}

/// Cohere bills its billed units; cached tokens may be more than these and are not taken from them.
pub(super) fn cohere(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    let billed = object(usage, "billed_units");
    if billed.is_empty() && (usage.has("prompt_tokens") || usage.has("total_tokens")) {
        // A reranking by another server: vLLM, Together, Jina.
        let input_uncached = reader.first_count(usage, &["prompt_tokens", "total_tokens"])?;
        reader.mapped.reported_total = reader.count(usage, "total_tokens");
        let output = reader.count_or_zero(usage, "completion_tokens");
        return Some(Usage { input_uncached, output, ..Usage::default() });
    }
    if billed.is_empty() {
        reader.says_no_counts = true;
        return None;
    }
    reader.mapped.counters.rerank_units = reader.count_or_zero(billed, "search_units");
    reader.mapped.counters.image_count = reader.count_or_zero(billed, "images");
    Some(Usage {
        input_uncached: reader.count_or_zero(billed, "input_tokens"),
        input_image: reader.count_or_zero(billed, "image_tokens"),
        output: reader.count_or_zero(billed, "output_tokens"),
        ..Usage::default()
    })
}

/// A count of tokens that costs nothing.
pub(super) fn counted(reader: &mut Reader, usage: &Object<'_>) -> Option<Usage> {
    reader.mapped.counters.counted_input_tokens = reader.count(usage, "counted_tokens")?;
    Some(Usage::default())
}
