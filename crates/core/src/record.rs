//! The journal's records and their payload codec.

use minicbor::{Decode, Encode};

use crate::{
    counters::Counters,
    entry::{Admission, Entry},
    entry_row::EntryRow,
    id::AttemptId,
    pricing_context::PricingContext,
    usage::Usage,
    worker_cost::WorkerTime,
};

/// The version of the payload codec that this build writes.
pub const CODEC_VERSION: u8 = 1;

/// What was counted while an attempt ran.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Progress {
    /// The attempt.
    #[n(0)]
    pub id: AttemptId,
    /// The provider's last cumulative usage, if it has sent any.
    #[n(1)]
    pub reported: Option<Usage>,
    /// UTF-8 bytes of text delivered so far.
    #[n(2)]
    pub delivered_bytes: u64,
    /// The worker's last cumulative time, if one of ours serves and has told it.
    #[n(3)]
    pub worker: Option<WorkerTime>,
    /// What else picks the price, as the answer said so far.
    #[n(4)]
    #[cbor(with = "crate::nil_default", has_nil)]
    pub context: PricingContext,
    /// Units beside tokens so far.
    #[n(5)]
    #[cbor(with = "crate::nil_default", has_nil)]
    pub counters: Counters,
    /// The model that serves, as the upstream said, where that is another one than the target's.
    #[n(6)]
    pub billed_model: Option<String>,
}

impl Progress {
    /// So much text was delivered, and nothing was reported yet.
    #[must_use]
    pub fn delivered(id: AttemptId, delivered_bytes: u64) -> Self {
        Self {
            id,
            reported: None,
            delivered_bytes,
            worker: None,
            context: PricingContext::default(),
            counters: Counters::default(),
            billed_model: None,
        }
    }
}

/// One record of the journal.
#[expect(
    clippy::large_enum_variant,
    reason = "records are encoded at once and not kept; a box would only add an allocation"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Durable before any byte goes upstream.
    Opened(Box<Admission>),
    /// A mark that bytes went upstream; not waited for.
    Sent(AttemptId),
    /// Counted so far; not waited for.
    Progress(Progress),
    /// Durable before the client's last bytes.
    Ended(Box<Entry>),
    /// No byte went upstream; only the live process that knows so may write it.
    Void(AttemptId),
}

/// The kind of a record, as it stands in the record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// [`Record::Opened`]
    Opened = 1,
    /// [`Record::Sent`]
    Sent = 2,
    /// [`Record::Progress`]
    Progress = 3,
    /// [`Record::Ended`]
    Ended = 4,
    /// [`Record::Void`]
    Void = 5,
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A kind that this build does not know.
    #[error("record kind {0} is not known to this build; it was written by a newer one")]
    UnknownKind(u8),
    /// A codec version that this build does not know.
    #[error("codec version {0} is not known to this build; it was written by a newer one")]
    UnknownVersion(u8),
    /// The payload is damaged.
    #[error("the payload is not a record of its kind")]
    Payload(#[from] minicbor::decode::Error),
}

impl RecordKind {
    /// The byte in the header.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Opened => 1,
            Self::Sent => 2,
            Self::Progress => 3,
            Self::Ended => 4,
            Self::Void => 5,
        }
    }

    /// The kind of a header's byte.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Opened),
            2 => Some(Self::Sent),
            3 => Some(Self::Progress),
            4 => Some(Self::Ended),
            5 => Some(Self::Void),
            _ => None,
        }
    }
}

impl Record {
    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        match self {
            Self::Opened(_) => RecordKind::Opened,
            Self::Sent(_) => RecordKind::Sent,
            Self::Progress(_) => RecordKind::Progress,
            Self::Ended(_) => RecordKind::Ended,
            Self::Void(_) => RecordKind::Void,
        }
    }

    /// The attempt that the record is about.
    #[must_use]
    pub const fn attempt_id(&self) -> AttemptId {
        match self {
            Self::Opened(admission) => admission.id,
            Self::Sent(id) | Self::Void(id) => *id,
            Self::Progress(progress) => progress.id,
            Self::Ended(entry) => entry.admission.id,
        }
    }

    /// Appends the payload to `buffer`. Writing to a vector cannot fail.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let _infallible = match self {
            Self::Opened(admission) => minicbor::encode(admission, buffer),
            Self::Sent(id) | Self::Void(id) => minicbor::encode(id, buffer),
            Self::Progress(progress) => minicbor::encode(progress, buffer),
            Self::Ended(entry) => minicbor::encode(entry.as_ref(), buffer),
        };
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`DecodeError`] says whether it is damaged or newer than this build.
    pub fn decode(kind: u8, version: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        if version != CODEC_VERSION {
            return Err(DecodeError::UnknownVersion(version));
        }
        let kind = RecordKind::from_code(kind).ok_or(DecodeError::UnknownKind(kind))?;
        Ok(match kind {
            RecordKind::Opened => Self::Opened(Box::new(minicbor::decode(payload)?)),
            RecordKind::Sent => Self::Sent(minicbor::decode(payload)?),
            RecordKind::Progress => Self::Progress(minicbor::decode(payload)?),
            RecordKind::Ended => Self::Ended(Box::new(minicbor::decode(payload)?)),
            RecordKind::Void => Self::Void(minicbor::decode(payload)?),
        })
    }
}

/// What a record says to somebody who follows attempts while their process lives: nothing is asked of it then but which are
/// under way, and how they ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// [`Record::Opened`]
    Opened(AttemptId),
    /// [`Record::Ended`]
    Ended(Box<EntryRow>),
    /// [`Record::Void`]
    Void(AttemptId),
    /// [`Record::Sent`], [`Record::Progress`]
    Beside,
}

impl Step {
    /// The kind; none of a record that is neither a beginning nor an end.
    #[must_use]
    pub const fn kind(&self) -> Option<RecordKind> {
        match self {
            Self::Opened(_) => Some(RecordKind::Opened),
            Self::Ended(_) => Some(RecordKind::Ended),
            Self::Void(_) => Some(RecordKind::Void),
            Self::Beside => None,
        }
    }

    /// Reads a payload as far as is needed.
    ///
    /// # Errors
    /// As [`Record::decode`].
    pub fn decode(kind: u8, version: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        match RecordKind::from_code(kind) {
            // The id is the first field.
            Some(RecordKind::Opened) if version == CODEC_VERSION => {
                let mut decoder = minicbor::Decoder::new(payload);
                decoder.array()?;
                Ok(Self::Opened(decoder.decode()?))
            }
            Some(RecordKind::Ended) if version == CODEC_VERSION => {
                Ok(Self::Ended(Box::new(EntryRow::of_payload(payload)?)))
            }
            Some(RecordKind::Sent | RecordKind::Progress) if version == CODEC_VERSION => Ok(Self::Beside),
            _ => Record::decode(kind, version, payload).map(Self::from),
        }
    }
}

impl From<Record> for Step {
    fn from(record: Record) -> Self {
        match record {
            Record::Opened(admission) => Self::Opened(admission.id),
            Record::Ended(entry) => Self::Ended(Box::new(EntryRow::of(&entry))),
            Record::Void(id) => Self::Void(id),
            Record::Sent(_) | Record::Progress(_) => Self::Beside,
        }
    }
}

/// Hardly an entry is longer, its provider's usage object included; what is needed beyond is allocated again.
const ENTRY_BYTES_USUAL: usize = 1024;

/// Appends the payload of an OPENED record to `buffer`, without making the record.
pub fn encode_opened(admission: &Admission, buffer: &mut Vec<u8>) {
    let _infallible = minicbor::encode(admission, buffer);
}

/// Appends the payload of an ENDED record to `buffer`, without making the record.
pub fn encode_ended(entry: &Entry, buffer: &mut Vec<u8>) {
    let _infallible = minicbor::encode(entry, buffer);
}

/// Encodes an entry as the store keeps it: codec version, then the payload of an ENDED record.
#[must_use]
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENTRY_BYTES_USUAL);
    bytes.push(CODEC_VERSION);
    let _infallible = minicbor::encode(entry, &mut bytes);
    bytes
}

/// Reads what [`encode_entry`] wrote.
///
/// # Errors
/// [`DecodeError`] says whether it is damaged or newer than this build.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, DecodeError> {
    match bytes.split_first() {
        Some((&CODEC_VERSION, payload)) => Ok(minicbor::decode(payload)?),
        Some((&version, _)) => Err(DecodeError::UnknownVersion(version)),
        None => Err(DecodeError::UnknownVersion(0)),
    }
}
