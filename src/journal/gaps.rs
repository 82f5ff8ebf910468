//! Keeps account of records that were not found: which they are, where they should stand, and whether they were durable
//! once. What was never durable was never acknowledged, and its absence is no damage.

/// Bytes of a segment in which something should stand and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment's number.
    pub segment: u64,
    /// First byte.
    pub from: u64,
    /// Behind the last byte; `u64::MAX` means the end of the file.
    pub to: u64,
}

/// One damaged region: neighbouring records that are missing, and the bytes that are left of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first record that is missing, or the one behind the damage when none is.
    pub first_sequence: u64,
    /// How many are.
    pub missing: u64,
    /// What is left of them.
    pub places: Vec<Place>,
}

/// What replay could not find, though it was durable once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Records that are missing, by their sequences.
    pub missing: u64,
    /// Gaps that these records leave, and damaged places that no record is missing from.
    pub damaged_regions: u64,
}

/// Sequences that were not found. Those after `missing` of them may never have been durable: nothing says so yet.
struct Gap {
    region: Region,
    last_sequence: u64,
}

/// The account of one boot.
#[derive(Default)]
pub(super) struct Gaps {
    open: Vec<Gap>,
    closed: Vec<Region>,
}

impl Gaps {
    /// Records `first` to `last` were not found.
    pub(super) fn add(&mut self, first_sequence: u64, last_sequence: u64, places: Vec<Place>) {
        let region = Region { first_sequence, missing: 0, places };
        self.open.push(Gap { region, last_sequence });
    }

    /// A place is damaged and no record is missing from it.
    pub(super) fn note(&mut self, next_sequence: u64, place: Place) {
        self.closed.push(Region { first_sequence: next_sequence, missing: 0, places: vec![place] });
    }

    /// Every record up to `proven` was durable: what is missing of them is missed.
    pub(super) fn prove(&mut self, proven: u64) {
        for gap in &mut self.open {
            let missed = gap.last_sequence.min(proven).saturating_add(1).saturating_sub(gap.region.first_sequence);
            gap.region.missing = gap.region.missing.max(missed);
        }
        let is_settled =
            |gap: &mut Gap| gap.region.first_sequence.saturating_add(gap.region.missing) > gap.last_sequence;
        self.closed.extend(self.open.extract_if(.., is_settled).map(|gap| gap.region));
    }

    /// What is missed so far, as numbers.
    pub(super) fn damage(&self) -> Damage {
        let partly = self.partly_missed();
        let missing = self.closed.iter().chain(partly.clone()).map(|region| region.missing).sum();
        let regions = self.closed.len().saturating_add(partly.count());
        Damage { missing, damaged_regions: u64::try_from(regions).unwrap_or(u64::MAX) }
    }

    /// What is missed so far, region by region.
    pub(super) fn regions(&self) -> Vec<Region> {
        self.closed.iter().chain(self.partly_missed()).cloned().collect()
    }

    fn partly_missed(&self) -> impl Iterator<Item = &Region> + Clone {
        self.open.iter().map(|gap| &gap.region).filter(|region| region.missing > 0)
    }
}
