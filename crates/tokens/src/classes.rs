//! What the pattern of `o200k_base` tells characters apart by, as it lies in `data/classes.bin`. Shared with the example that
//! writes it.
//!
//! A byte for each [`BLOCK_CHARS`] characters of Unicode says which block is theirs; then the blocks, a byte a character.

/// Characters of a block.
pub(crate) const BLOCK_CHARS: usize = 128;
/// Of all Unicode.
pub(crate) const BLOCKS: usize = 0x11_0000 / BLOCK_CHARS;

/// A class of characters. Together they are all characters, and no character is in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A letter that begins a word: `[\p{Lu}\p{Lt}]`.
    Upper,
    /// A letter that goes on with a word: `\p{Ll}`.
    Lower,
    /// A letter that does either: `[\p{Lm}\p{Lo}]`.
    Letter,
    /// Does either, too, and is no letter: `\p{M}`.
    Mark,
    /// `\p{N}`
    Number,
    /// `[\r\n]`
    Newline,
    /// Any other of `\s`.
    Space,
    /// Anything else.
    Other,
}

impl Class {
    /// Each at the place that is its number in the file.
    pub(crate) const ALL: [Self; 8] =
        [Self::Upper, Self::Lower, Self::Letter, Self::Mark, Self::Number, Self::Newline, Self::Space, Self::Other];

    /// The class of a character.
    pub(crate) fn of(table: &[u8], char: char) -> Self {
        let class = || {
            let at = usize::try_from(u32::from(char)).ok()?;
            let block = usize::from(*table.get(at / BLOCK_CHARS)?);
            let class = table.get(BLOCKS + block * BLOCK_CHARS + at % BLOCK_CHARS)?;
            Self::ALL.get(usize::from(*class)).copied()
        };
        class().unwrap_or(Self::Other)
    }
}
