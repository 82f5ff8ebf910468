//! Replicas: which process serves under which name. A name is held for as long as it is renewed, by the database's clock.

use std::time::Duration;

use tollgate_core::id::BootId;

use super::{Store, StoreError};

/// Who asks for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The name.
    pub name: String,
    /// This life of the process.
    pub boot_id: BootId,
    /// The journal folder that it writes to: who has it adopts what its predecessor leaves there.
    pub instance: String,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
}

/// Who holds a name, or held it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRow {
    /// The name.
    pub name: String,
    /// This life of the process.
    pub boot_id: BootId,
    /// The machine.
    pub host: String,
    /// The process there.
    pub pid: u32,
    /// Since when, microseconds since 1970 UTC.
    pub started_at_us: i64,
    /// When it was renewed last.
    pub renewed_at_us: i64,
    /// How long ago that was, microseconds.
    pub age_us: i64,
    /// It was given back.
    pub released: bool,
}

impl ReplicaRow {
    /// Whether the name is held: not given back, and renewed within `longest`.
    #[must_use]
    pub fn is_live(&self, longest: Duration) -> bool {
        !self.released && u128::try_from(self.age_us).map_or(true, |age_us| age_us <= longest.as_micros())
    }
}

impl Store {
    /// Takes a name that is free: never held, given back, or not renewed for `longest`; and, for a process that
    /// `succeeds` another, one that is held by a process on the same journal. False when another process holds it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_name(&self, claim: &Claim, succeeds: bool, longest: Duration) -> Result<bool, StoreError> {
        on_engine!(self, take_name(claim, succeeds, microseconds(longest)))
    }

    /// Renews a name; false when another process has taken it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew_name(&self, name: &str, boot_id: BootId) -> Result<bool, StoreError> {
        on_engine!(self, renew_name(name, boot_id))
    }

    /// Gives a name back, if it is still held by this life of the process.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_name(&self, name: &str, boot_id: BootId) -> Result<(), StoreError> {
        on_engine!(self, release_name(name, boot_id))
    }

    /// Every name that was ever held.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replicas(&self) -> Result<Vec<ReplicaRow>, StoreError> {
        on_engine!(self, replicas())
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
