//! Numbers that a seed decides.

/// SplitMix64: every seed gives another sequence, and the same one each time.
#[derive(Clone, Debug)]
pub(in crate::journal::tests) struct Random(u64);

impl Random {
    pub(in crate::journal::tests) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::journal::tests) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `limit - 1`.
    pub(in crate::journal::tests) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub(in crate::journal::tests) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(in crate::journal::tests) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Another sequence, decided by this one.
    pub(in crate::journal::tests) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}
