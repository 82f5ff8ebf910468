//! Named points of a request's path at which a test build kills itself, to show that nothing is lost there.
//!
//! Without the feature `failpoints` every point is empty and costs nothing; a build that is shipped has none.

/// A point of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The key's limits let the request in.
    Admitted,
    /// Room for its records is reserved.
    PermitTaken,
    /// OPENED is written and not yet synced.
    OpenedAppended,
    /// OPENED is durable and nobody knows it yet.
    OpenedDurable,
    /// The next step sends bytes upstream.
    BeforeSend,
    /// The upstream has answered.
    Sent,
    /// The first bytes of the answer have come.
    FirstChunk,
    /// A PROGRESS was submitted.
    Progress,
    /// The answer is over and its end is not submitted.
    BeforeEnded,
    /// ENDED is written and not yet synced.
    EndedAppended,
    /// ENDED is durable and nobody knows it yet.
    EndedDurable,
    /// The client's last bytes are next.
    BeforeLastBytes,
    /// Records were read to be posted.
    PostRead,
    /// Entries were committed to the store.
    PostCommitted,
    /// A segment was deleted.
    SegmentReleased,
    /// Recovery has committed entries of a dead boot.
    RecoveryCommitted,
    /// Recovery has committed all of a dead boot and not removed its folder.
    RecoveryClosed,
}

impl Point {
    /// Every point, in the order of the path.
    pub const ALL: [Self; 17] = [
        Self::Admitted,
        Self::PermitTaken,
        Self::OpenedAppended,
        Self::OpenedDurable,
        Self::BeforeSend,
        Self::Sent,
        Self::FirstChunk,
        Self::Progress,
        Self::BeforeEnded,
        Self::EndedAppended,
        Self::EndedDurable,
        Self::BeforeLastBytes,
        Self::PostRead,
        Self::PostCommitted,
        Self::SegmentReleased,
        Self::RecoveryCommitted,
        Self::RecoveryClosed,
    ];

    /// As it is named in [`VARIABLE`] and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::PermitTaken => "permit_taken",
            Self::OpenedAppended => "opened_appended",
            Self::OpenedDurable => "opened_durable",
            Self::BeforeSend => "before_send",
            Self::Sent => "sent",
            Self::FirstChunk => "first_chunk",
            Self::Progress => "progress",
            Self::BeforeEnded => "before_ended",
            Self::EndedAppended => "ended_appended",
            Self::EndedDurable => "ended_durable",
            Self::BeforeLastBytes => "before_last_bytes",
            Self::PostRead => "post_read",
            Self::PostCommitted => "post_committed",
            Self::SegmentReleased => "segment_released",
            Self::RecoveryCommitted => "recovery_committed",
            Self::RecoveryClosed => "recovery_closed",
        }
    }
}

/// The environment variable that names a point and how often it is passed before it kills: `opened_durable:3`.
pub const VARIABLE: &str = "TOLLGATE_FAILPOINT";

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    use super::Point;

    /// The one point that kills, and how often it will still be passed. The only global state of the program, and only
    /// in test builds.
    static ARMED: OnceLock<(Point, AtomicU64)> = OnceLock::new();

    /// Chooses the point that kills.
    ///
    /// # Errors
    /// When `text` is not such as `opened_durable:3`.
    pub fn arm(text: &str) -> Result<(), String> {
        let parsed = text.split_once(':').and_then(|(name, count)| {
            Some((Point::ALL.into_iter().find(|point| point.name() == name)?, count.parse().ok()?))
        });
        let (point, count) = parsed.ok_or_else(|| format!("`{text}` is not such as opened_durable:3"))?;
        ARMED.set((point, AtomicU64::new(count))).map_err(|_| "a point is armed already".to_owned())
    }

    /// Dies here when this is the armed point and it was passed often enough.
    pub fn pass(point: Point) {
        let Some((_, left)) = ARMED.get().filter(|(armed, _)| *armed == point) else { return };
        if left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_err() {
            // SIGKILL: no destructor runs and no buffer is flushed, as when the machine's memory ran out.
            let _never = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

#[cfg(feature = "failpoints")]
pub use armed::{arm, pass};

/// Nothing, in a build without failpoints.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn pass(_point: Point) {}
