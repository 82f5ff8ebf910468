//! The tokens of one piece, by merging.
//!
//! A piece may be a whole text: a client chooses it. So the next merge is found by a tree, not by a look at all pairs, and all
//! that is kept is 5.3 bytes for each byte of the piece.

use std::mem;

use crate::table;

static RANKS: &[u8] = include_bytes!("../data/ranks.bin");
/// Of a pair that is no token; above all ranks.
const NONE: u32 = u32::MAX;
/// Ranks under one of the level above.
const FAN: usize = 16;

/// Counts piece after piece in the same room.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    /// Of each part, its length in bytes, at its first byte and at its last. What stands between is old.
    lens: Vec<u8>,
    pairs: Pairs,
}

impl Merger {
    /// Tokens of `piece`.
    pub(crate) fn count(&mut self, piece: &[u8]) -> usize {
        if table::rank(RANKS, piece).is_some() {
            return 1;
        }
        self.lens.clear();
        self.lens.resize(piece.len(), 1);
        self.pairs.fill(piece.windows(2).map(rank));
        let mut parts = piece.len();
        while let Some(start) = self.pairs.lowest() {
            let middle = start + self.len(start);
            let end = middle + self.len(middle);
            // The pair was a token, so its length fits: see `table::TOKEN_BYTES_MAX`.
            let len = u8::try_from(end - start).unwrap_or(u8::MAX);
            self.lens[start] = len;
            self.lens[end - 1] = len;
            self.pairs.set(middle, NONE);
            let behind = if end < piece.len() { rank(&piece[start..end + self.len(end)]) } else { NONE };
            self.pairs.set(start, behind);
            if start > 0 {
                let before = start - self.len(start - 1);
                self.pairs.set(before, rank(&piece[before..end]));
            }
            parts -= 1;
        }
        parts
    }

    /// Bytes of the part that starts here, or ends here.
    fn len(&self, at: usize) -> usize {
        usize::from(self.lens[at])
    }
}

fn rank(pair: &[u8]) -> u32 {
    table::rank(RANKS, pair).unwrap_or(NONE)
}

/// At each byte the rank that its part and the next have together, where a part with a next one starts; [`NONE`] elsewhere.
/// Over it levels of minima of [`FAN`] each, up to one that has no more than these.
#[derive(Debug, Default)]
struct Pairs {
    levels: Vec<Vec<u32>>,
}

impl Pairs {
    fn fill(&mut self, ranks: impl Iterator<Item = u32>) {
        self.levels.truncate(1);
        let mut level = self.levels.pop().unwrap_or_default();
        level.clear();
        level.extend(ranks);
        while level.len() > FAN {
            let above = level.chunks(FAN).map(min).collect();
            self.levels.push(mem::replace(&mut level, above));
        }
        self.levels.push(level);
    }

    /// Of the last part there is nothing to set.
    fn set(&mut self, mut at: usize, mut rank: u32) {
        for level in &mut self.levels {
            match level.get_mut(at) {
                Some(known) if *known != rank => *known = rank,
                _ => return,
            }
            at /= FAN;
            rank = level.chunks(FAN).nth(at).map_or(NONE, min);
        }
    }

    /// Where the lowest rank is, the first of several; none when no pair is a token.
    fn lowest(&self) -> Option<usize> {
        let mut at = 0;
        for level in self.levels.iter().rev() {
            let under = level.chunks(FAN).nth(at)?;
            let lowest = min(under);
            if lowest == NONE {
                return None;
            }
            at = at * FAN + under.iter().position(|rank| *rank == lowest)?;
        }
        Some(at)
    }
}

fn min(ranks: &[u32]) -> u32 {
    ranks.iter().copied().min().unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_ranks_of_bpe_openai_and_no_others() {
        let bpe = &bpe_openai::o200k_base().bpe;
        let mut bytes = (table::BUCKETS + 1) * table::NUMBER_BYTES;
        for known in 0..u32::try_from(bpe.num_tokens()).unwrap() {
            let token = bpe.token_bytes(known);
            assert_eq!(table::rank(RANKS, token), Some(known));
            bytes += 1 + table::NUMBER_BYTES + token.len();
        }
        assert_eq!(RANKS.len(), bytes);
        assert_eq!(table::rank(RANKS, b""), None);
        assert_eq!(table::rank(RANKS, &[b'a'; 129]), None);
        assert_eq!(table::rank(RANKS, "tollgate!".as_bytes()), None);
    }

    #[test]
    fn the_lowest_of_many_is_found_and_the_first_of_equals() {
        for len in [1, 15, 16, 17, 255, 256, 257, 5000] {
            let mut ranks: Vec<u32> = (0..len).map(|at| at * 7919 % 101).collect();
            let mut pairs = Pairs::default();
            pairs.fill(ranks.iter().copied());
            while let Some(at) = pairs.lowest() {
                let lowest = min(&ranks);
                assert_eq!(Some(at), ranks.iter().position(|rank| *rank == lowest));
                // Some come back with a higher rank once, as a merged pair may.
                let next = if lowest < 50 { lowest + 60 } else { NONE };
                ranks[at] = next;
                pairs.set(at, next);
            }
            assert!(ranks.iter().all(|rank| *rank == NONE));
        }
    }
}
