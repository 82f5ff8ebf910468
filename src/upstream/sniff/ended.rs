//! Which of the answers that one request asked for have come to their end.

/// So many are told apart by their number.
const TOLD_APART: u64 = 128;

/// Answers, choices or candidates, that said why they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// One bit each.
    told_apart: u128,
    /// Ends of those with higher numbers.
    beyond: u64,
}

impl Ended {
    /// Takes the end of the answer with this number; it may be told again.
    pub(super) const fn add(&mut self, number: u64) {
        if number < TOLD_APART {
            self.told_apart |= 1 << number;
        } else {
            self.beyond = self.beyond.saturating_add(1);
        }
    }

    /// Takes those of one more document.
    pub(super) const fn add_all(&mut self, more: Self) {
        self.told_apart |= more.told_apart;
        self.beyond = self.beyond.saturating_add(more.beyond);
    }

    pub(super) const fn is_empty(self) -> bool {
        self.told_apart == 0 && self.beyond == 0
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> u64 {
        u64::from(self.told_apart.count_ones()).saturating_add(self.beyond)
    }
}
