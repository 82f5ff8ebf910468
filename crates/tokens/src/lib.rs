//! Counts the tokens of a text by `o200k_base`, the vocabulary of OpenAI's models since GPT-4o. Knows no dialect, no price
//! and no special tokens: `<|endoftext|>` in a text is text.
//!
//! A text is cut into `pieces`; a piece that is a token is one, any other starts as single bytes, of which the two
//! neighbours that make the token of the lowest rank become one, again and again: `merge`.
//!
//! The ranks are the ones OpenAI publishes for `tiktoken` (MIT), as the crate `bpe-openai` (MIT) packs them. Two files made
//! by `cargo run -p tollgate-tokens --example ranks` lie in the binary, 2.4 MB, and are read there: nothing is loaded or kept.
//! They are committed as they are read, not laid out by a build script: a build needs nothing more, and what is tested is
//! what is shipped. Tests compare them with `bpe-openai`, which has 32 MB of tables and takes 67 MB of memory.

mod classes;
mod merge;
mod pieces;
mod table;

use merge::Merger;

/// Tokens of `text`. Takes time in proportion to its length, times the logarithm of its longest piece, whatever stands in
/// it; and while it runs 5.3 bytes of memory for each byte of the longest piece that is no token.
#[must_use]
pub fn count(text: &str) -> usize {
    let mut merger = Merger::default();
    pieces::of(text).map(|piece| merger.count(piece.as_bytes())).sum()
}
