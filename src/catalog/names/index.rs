//! Finds the names with holes that may fit a name, without trying them one by one: each is filed under four bytes of its
//! own text, and a name is read once, by each fourth of its windows of four bytes. A text that may stand anywhere is filed under as
//! many windows in a row, so that one of them is read.
//!
//! It is made of the tables alone and keeps nothing of what is asked.

use crate::catalog::glob::{End, Glob, is_version};

/// Bytes under which a name with holes is filed.
const WINDOW: usize = 4;
/// Every so many bytes a window of a name is looked at.
const STRIDE: usize = 4;
/// Bits of the filter that passes over windows of no name with holes.
const FILTER_BITS: usize = 1 << 13;
/// Bits of the filter that share a bucket.
const BITS_A_BUCKET: usize = 16;

/// An index over names with holes; they are told by their position.
#[derive(Clone, Debug)]
pub(super) struct Index {
    filter: Box<[u64]>,
    /// By bucket.
    filed: Vec<Filed>,
    /// Where each bucket begins among them, and where the last one ends.
    starts: Box<[usize]>,
    shapes: Vec<Shape>,
    /// Those without text enough to be filed: always tried.
    others: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Filed {
    window: u32,
    glob: usize,
    /// Where in its piece of text the window stands.
    offset: usize,
}

#[derive(Clone, Debug)]
enum Shape {
    Single { leading: bool, piece: Box<str>, end: End },
    Other(Glob),
}

impl Index {
    pub(super) fn of<'g>(globs: impl Iterator<Item = &'g Glob> + Clone) -> Self {
        let mut counts = std::collections::HashMap::<u32, usize>::new();
        for piece in globs.clone().flat_map(Glob::pieces) {
            for window in windows(piece.as_bytes()) {
                *counts.entry(window).or_default() += 1;
            }
        }
        let mut index = Self {
            filter: vec![0; FILTER_BITS / 64].into(),
            filed: Vec::new(),
            starts: Box::default(),
            shapes: Vec::new(),
            others: Vec::new(),
        };
        for (glob, name) in globs.enumerate() {
            let files = places(name, |window| counts.get(&window).copied().unwrap_or(0));
            if files.is_empty() {
                index.others.push(glob);
            }
            for (offset, window) in files {
                index.filed.push(Filed { window, glob, offset });
                let bit = hash(window);
                if let Some(word) = index.filter.get_mut(bit / 64) {
                    *word |= 1 << (bit % 64);
                }
            }
            index.shapes.push(match name.single() {
                Some((leading, piece, end)) => Shape::Single { leading, piece: piece.into(), end },
                None => Shape::Other(name.clone()),
            });
        }
        index.filed.sort_unstable_by_key(|filed| (bucket(filed.window), *filed));
        let ends = |at: usize| index.filed.partition_point(|filed| bucket(filed.window) < at);
        index.starts = (0..=FILTER_BITS / BITS_A_BUCKET).map(ends).collect();
        index
    }

    /// The first name with holes, by position, that fits a name in lower case and is `wanted`, with what makes it so.
    pub(super) fn first<T>(&self, name: &str, wanted: impl Fn(usize) -> Option<T>) -> Option<T> {
        let mut best: Option<(usize, T)> = None;
        let is_better = |best: &Option<(usize, T)>, glob: usize| best.as_ref().is_none_or(|(other, _)| glob < *other);
        for glob in self.others.iter().copied() {
            if is_better(&best, glob) && self.fits(glob, name) {
                best = wanted(glob).map(|found| (glob, found)).or(best);
            }
        }
        for (at, window) in windows(name.as_bytes()).enumerate().step_by(STRIDE) {
            let bit = hash(window);
            if self.filter.get(bit / 64).is_none_or(|word| word & (1 << (bit % 64)) == 0) {
                continue;
            }
            let bucket = bucket(window);
            let range =
                self.starts.get(bucket).copied().unwrap_or(0)..self.starts.get(bucket + 1).copied().unwrap_or(0);
            let here = self.filed.get(range).into_iter().flatten();
            for filed in here.filter(|filed| filed.window == window) {
                if is_better(&best, filed.glob) && self.fits_at(filed, name, at) {
                    best = wanted(filed.glob).map(|found| (filed.glob, found)).or(best);
                }
            }
        }
        best.map(|(_, found)| found)
    }

    fn fits(&self, glob: usize, name: &str) -> bool {
        match self.shapes.get(glob) {
            Some(Shape::Other(glob)) => glob.fits(name),
            Some(Shape::Single { leading, piece, end }) => {
                let last = if *leading { name.len() } else { 0 };
                (0..=last).any(|start| single_fits(name.as_bytes(), start, *leading, piece, *end))
            }
            None => false,
        }
    }

    /// Whether a filed one fits where its window stands in the name.
    fn fits_at(&self, filed: &Filed, name: &str, at: usize) -> bool {
        match self.shapes.get(filed.glob) {
            Some(Shape::Other(glob)) => glob.fits(name),
            Some(Shape::Single { leading, piece, end }) => at
                .checked_sub(filed.offset)
                .is_some_and(|start| single_fits(name.as_bytes(), start, *leading, piece, *end)),
            None => false,
        }
    }
}

fn single_fits(name: &[u8], start: usize, leading: bool, piece: &str, end: End) -> bool {
    let behind = start + piece.len();
    let has_piece = |piece: &[u8]| {
        let here = name.get(start..behind)?;
        // Siblings begin or end in the same way, hardly one in both: those are told apart without a call.
        let same_ends =
            here.first_chunk::<WINDOW>() == piece.first_chunk() && here.last_chunk::<WINDOW>() == piece.last_chunk();
        Some(same_ends && here == piece)
    };
    let fits = (leading || start == 0) && has_piece(piece.as_bytes()).unwrap_or(false);
    fits && match end {
        End::Nothing => behind == name.len(),
        End::Anything => true,
        End::Version => is_version(name, behind),
    }
}

/// Where a name with holes is filed: windows of one of its texts, and where in it they stand. None: no text is long enough.
fn places(name: &Glob, count: impl Fn(u32) -> usize) -> Vec<(usize, u32)> {
    if let Some((false, piece, _)) = name.single() {
        // It stands at the beginning, so it is known which of its windows are looked at.
        let read = windows(piece.as_bytes()).enumerate().step_by(STRIDE);
        return read.min_by_key(|(_, window)| count(*window)).into_iter().collect();
    }
    let of_piece = |piece: &str| windows(piece.as_bytes()).enumerate().collect::<Vec<_>>();
    let pieces: Vec<_> = name.pieces().map(of_piece).collect();
    let runs = pieces.iter().flat_map(|piece| piece.windows(STRIDE));
    // The run that the fewest have.
    runs.min_by_key(|run| run.iter().map(|(_, window)| count(*window)).sum::<usize>())
        .map(<[_]>::to_vec)
        .unwrap_or_default()
}

fn windows(text: &[u8]) -> impl Iterator<Item = u32> {
    text.windows(WINDOW).map(|window| window.try_into().map_or(0, u32::from_le_bytes))
}

fn bucket(window: u32) -> usize {
    hash(window) / BITS_A_BUCKET
}

fn hash(window: u32) -> usize {
    let mixed = window.wrapping_mul(0x9e37_79b1) >> (32 - FILTER_BITS.trailing_zeros());
    usize::try_from(mixed).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Held against trying them one by one.
        #[test]
        fn the_index_finds_what_trying_one_by_one_finds(
            patterns in prop::collection::vec("[ab*#~1-]{1,9}|[*]?(claude|gpt)-[0-9](-mini|-pro)?[*~]?", 0..30),
            names in prop::collection::vec("[ab1-]{0,14}|(us[.])?(claude|gpt)-[0-9](-mini|-pro)?(-20[0-9]{6}|-latest|-1)?", 1..30),
            skipped in 0_usize..4,
        ) {
            let globs: Vec<Glob> =
                patterns.iter().filter(|name| Glob::is_well_formed(name)).map(|name| Glob::new(name)).collect();
            let index = Index::of(globs.iter());
            for name in &names {
                let wanted = |glob: usize| (glob % 4 != skipped).then_some(glob);
                let slow = globs.iter().enumerate().filter(|(_, glob)| glob.fits(name)).find_map(|(at, _)| wanted(at));
                prop_assert_eq!(index.first(name, wanted), slow, "{} in {:?}", name, &globs);
            }
        }
    }
}
