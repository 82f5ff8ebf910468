//! Dead letters: entries that the store refused for what they are. Kept whole, so that nothing is lost, and outside of
//! the sums, so that they hold up nobody else's.

use tollgate_core::{
    entry::Entry,
    id::{AttemptId, BootId},
};

use super::{Store, StoreError, entries::PostBatch};

/// An entry that could not be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The entry.
    pub entry: Entry,
    /// Whose journal it stood in.
    pub replica: String,
    /// Which boot's.
    pub boot_id: BootId,
    /// At which sequence.
    pub sequence: u64,
    /// What the store said.
    pub reason: String,
    /// When it was put aside, microseconds since 1970 UTC.
    pub buried_at_us: i64,
}

impl Store {
    /// Puts the one entry of a batch aside, and goes on as [`Store::post`] does. Doing it again changes nothing; an entry
    /// that is in the books stays there.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was done.
    pub async fn bury(&self, batch: &PostBatch, reason: &str, now_us: i64) -> Result<(), StoreError> {
        on_engine!(self, bury(batch, reason, now_us))
    }

    /// Keeps an entry that says something else of its attempt than the books do. It is no part of any tally: the attempt has its
    /// end in the books. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_contradiction(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        on_engine!(self, keep_contradiction(letter))
    }

    /// All dead letters, by attempt.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        on_engine!(self, dead_letters())
    }

    /// The dead letters behind an attempt, at most so many; none: from the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letters_after(
        &self,
        after: Option<AttemptId>,
        rows_max: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        on_engine!(self, dead_letters_after(after, rows_max))
    }

    /// How many there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead_letter_count(&self) -> Result<u64, StoreError> {
        on_engine!(self, dead_letter_count())
    }

    /// Posts a dead letter after all, when its reason is gone, and takes it from the list.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or why the store refuses it again; then it stays where it is. So does one that contradicts
    /// what the books say of its attempt: [`StoreError::Exists`].
    pub async fn revive(&self, id: AttemptId) -> Result<(), StoreError> {
        let no_letter = || StoreError::NotFound(format!("dead letter {id}"));
        let letters = self.dead_letters().await?;
        let letter = letters.iter().find(|letter| letter.entry.admission.id == id).ok_or_else(no_letter)?;
        let standing = self.entries_of_request(id.request_id).await?;
        if standing.iter().any(|entry| entry.admission.id == id && *entry != letter.entry) {
            return Err(StoreError::Exists(format!("another entry of the attempt {id}")));
        }
        if on_engine!(self, revive(id))? { Ok(()) } else { Err(no_letter()) }
    }
}
