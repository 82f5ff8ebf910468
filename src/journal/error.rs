//! What can go wrong with the journal, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use tollgate_core::record::DecodeError;

/// Why the journal refuses or fails.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Every permit is out.
    #[error("all {in_flight_max} journal permits are in use; retry later or raise `in_flight_max`")]
    Full {
        /// The number of permits.
        in_flight_max: usize,
    },
    /// No spare segment can be made; what is running still has room.
    #[error("the journal cannot make its next segment; free space on its disk")]
    NoSpace,
    /// The quota is used up.
    #[error(
        "the journal takes {used_bytes} of the {bytes_max} bytes of `disk_bytes_max`; see why entries are not posted, or raise it"
    )]
    Quota {
        /// What the replica's files take, bytes.
        used_bytes: u64,
        /// The quota, bytes.
        bytes_max: u64,
    },
    /// Writing failed twice in a row.
    #[error("the journal is poisoned after two failures to write; repair its disk and restart")]
    Poisoned,
    /// The journal was shut down.
    #[error("the journal is shut down")]
    Closed,
    /// A record is larger than any reader would accept.
    #[error("a record of {bytes} bytes is larger than the {bytes_max} bytes that the journal takes")]
    TooLarge {
        /// Its payload, bytes.
        bytes: usize,
        /// The most that is accepted, bytes.
        bytes_max: usize,
    },
    /// Another process owns the boot's folder.
    #[error("`{}` is locked by another process; use a fresh boot id", .dir.display())]
    Locked {
        /// The boot's folder.
        dir: PathBuf,
    },
    /// The boot id was used before.
    #[error("`{}` exists already; use a fresh boot id", .dir.display())]
    BootExists {
        /// The boot's folder.
        dir: PathBuf,
    },
    /// The replica's name cannot be a folder's name.
    #[error(
        "the replica name `{name}` cannot name a folder; use letters, digits, `-`, `_` and inner dots, and not `quarantine`"
    )]
    ReplicaName {
        /// The name.
        name: String,
    },
    /// The option `segment_bytes` is too small.
    #[error("`segment_bytes` is {bytes}; use at least {bytes_min}")]
    SegmentBytes {
        /// As asked for.
        bytes: u64,
        /// The least that works.
        bytes_min: u64,
    },
    /// The option `in_flight_max` is out of range.
    #[error("`in_flight_max` is {asked}; use 1 to {most}")]
    InFlightMax {
        /// As asked for.
        asked: usize,
        /// The most that works.
        most: usize,
    },
    /// The option `disk_bytes_max` is too small.
    #[error("`disk_bytes_max` is {asked}; use at least {least}, or 0 for no quota")]
    QuotaTooSmall {
        /// As asked for.
        asked: u64,
        /// The least that works.
        least: u64,
    },
    /// A segment has a format that this build does not know.
    #[error("`{}` has journal format {version}, which is newer than this build; read it with that build. It was not changed", .path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// Its format version.
        version: u32,
    },
    /// An intact record has a frame version that this build does not know.
    #[error("record {sequence} has frame version {version}, which is newer than this build; read it with that build")]
    NewerFrame {
        /// The record's sequence.
        sequence: u64,
        /// Its frame version.
        version: u8,
    },
    /// An intact record cannot be decoded: it is newer than this build, or was written wrongly.
    #[error("record {sequence} cannot be decoded; read it with the build that wrote it")]
    Undecodable {
        /// The record's sequence.
        sequence: u64,
        /// Which version or kind is unknown.
        source: DecodeError,
    },
    /// The operating system refused.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl JournalError {
    /// Whether a file or folder is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
