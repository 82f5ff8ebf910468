//! An entry on its way into the books: its encoding, and what its row says beside it.
//!
//! What comes from a journal is read as far as the row says it, so that an entry is neither made nor encoded again.

use std::sync::Arc;

use minicbor::{Decode, Decoder};

use crate::{
    entry::{Correction, Entry, Line, Outcome, UsageSource},
    id::{AttemptId, CustomerId, KeyId},
    money::NanoUsd,
    record::{CODEC_VERSION, DecodeError, decode_entry, encode_entry},
    usage::Usage,
    worker_cost::WorkerTime,
};

/// What the books keep of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// The attempt.
    pub id: AttemptId,
    /// Who pays.
    pub customer_id: CustomerId,
    /// The key.
    pub key_id: KeyId,
    /// Public model.
    pub model: Arc<str>,
    /// `provider/model`
    pub target: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// Where its numbers come from.
    pub usage_source: UsageSource,
    /// Admission, microseconds since 1970 UTC.
    pub admitted_at_us: i64,
    /// Something of a line has no cost or no charge.
    pub is_unpriced: bool,
    /// It corrects another one.
    pub corrects: Option<Correction>,
    /// Sums over its lines; none when one does not fit.
    pub totals: Option<Totals>,
    /// The entry, as [`encode_entry`] writes it.
    pub body: Vec<u8>,
}

/// Sums over the lines of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The six buckets and reasoning; the other parts are left at 0.
    pub usage: Usage,
    /// What we pay; unpriced lines add nothing.
    pub cost: NanoUsd,
    /// What is owed; unpriced lines add nothing.
    pub charge: NanoUsd,
    /// Thread time of workers of ours, microseconds.
    pub worker_busy_us: u64,
}

/// The fields of [`Entry`] that a row needs, by the same numbers.
#[derive(Decode)]
struct EntryFields<'b> {
    #[b(0)]
    admission: AdmissionFields<'b>,
    #[n(1)]
    outcome: Outcome,
    #[n(2)]
    usage_source: UsageSource,
    #[n(4)]
    lines: Lines,
    #[n(13)]
    corrects: Option<Correction>,
}

/// The same of [`crate::entry::Admission`].
#[derive(Decode)]
struct AdmissionFields<'b> {
    #[n(0)]
    id: AttemptId,
    #[n(1)]
    customer_id: CustomerId,
    #[n(2)]
    key_id: KeyId,
    #[b(5)]
    model: &'b str,
    #[b(6)]
    target: &'b str,
    #[n(8)]
    admitted_at_us: i64,
}

/// The same of [`Line`].
#[derive(Decode)]
struct LineFields {
    #[n(1)]
    usage: Usage,
    #[n(2)]
    cost: Option<NanoUsd>,
    #[n(3)]
    charge: Option<NanoUsd>,
    #[n(4)]
    worker: Option<WorkerTime>,
    #[n(9)]
    #[cbor(with = "crate::nil_default", has_nil)]
    unpriced_units: u32,
}

/// Lines, summed as they are read.
struct Lines {
    totals: Option<Totals>,
    is_unpriced: bool,
}

impl<'b, Ctx> Decode<'b, Ctx> for Lines {
    fn decode(decoder: &mut Decoder<'b>, context: &mut Ctx) -> Result<Self, minicbor::decode::Error> {
        let mut lines = Self { totals: Some(Totals::default()), is_unpriced: false };
        for line in decoder.array_iter_with::<Ctx, LineFields>(context)? {
            let line = line?;
            lines.is_unpriced |= line.cost.is_none() || line.charge.is_none() || line.unpriced_units != 0;
            lines.totals =
                lines.totals.and_then(|totals| totals.with(&line.usage, line.cost, line.charge, line.worker.as_ref()));
        }
        Ok(lines)
    }
}

impl Totals {
    /// The sums over the lines of an entry; none when one does not fit.
    #[must_use]
    pub fn of(lines: &[Line]) -> Option<Self> {
        let mut lines = lines.iter();
        lines.try_fold(Self::default(), |sum, line| sum.with(&line.usage, line.cost, line.charge, line.worker.as_ref()))
    }

    fn with(
        self,
        usage: &Usage,
        cost: Option<NanoUsd>,
        charge: Option<NanoUsd>,
        worker: Option<&WorkerTime>,
    ) -> Option<Self> {
        Some(Self {
            usage: sum(&self.usage, usage)?,
            cost: self.cost.checked_add(cost.unwrap_or_default()).ok()?,
            charge: self.charge.checked_add(charge.unwrap_or_default()).ok()?,
            worker_busy_us: self.worker_busy_us.checked_add(worker.map_or(0, WorkerTime::busy_us))?,
        })
    }

    /// Both together; none when a sum does not fit.
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        Some(Self {
            usage: sum(&self.usage, &other.usage)?,
            cost: self.cost.checked_add(other.cost).ok()?,
            charge: self.charge.checked_add(other.charge).ok()?,
            worker_busy_us: self.worker_busy_us.checked_add(other.worker_busy_us)?,
        })
    }
}

fn sum(usage: &Usage, more: &Usage) -> Option<Usage> {
    Some(Usage {
        input_uncached: usage.input_uncached.checked_add(more.input_uncached)?,
        cache_read: usage.cache_read.checked_add(more.cache_read)?,
        cache_write_5m: usage.cache_write_5m.checked_add(more.cache_write_5m)?,
        cache_write_1h: usage.cache_write_1h.checked_add(more.cache_write_1h)?,
        cache_write_unspecified: usage.cache_write_unspecified.checked_add(more.cache_write_unspecified)?,
        output: usage.output.checked_add(more.output)?,
        reasoning: usage.reasoning.checked_add(more.reasoning)?,
        ..Usage::default()
    })
}

impl EntryRow {
    /// The row of an entry.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let admission = &entry.admission;
        Self {
            id: admission.id,
            customer_id: admission.customer_id,
            key_id: admission.key_id,
            model: admission.model.as_str().into(),
            target: admission.target.as_str().into(),
            outcome: entry.outcome,
            usage_source: entry.usage_source,
            admitted_at_us: admission.admitted_at_us,
            is_unpriced: entry.is_unpriced(),
            corrects: entry.corrects,
            totals: Totals::of(&entry.lines),
            body: encode_entry(entry),
        }
    }

    /// The row of an entry that an ENDED record of this build holds. Says nothing about the fields that no row shows.
    ///
    /// # Errors
    /// [`DecodeError::Payload`] when a field that it needs is damaged.
    pub(crate) fn of_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        let EntryFields { admission, outcome, usage_source, lines, corrects } = minicbor::decode(payload)?;
        let body = [&[CODEC_VERSION], payload].concat();
        Ok(Self {
            id: admission.id,
            customer_id: admission.customer_id,
            key_id: admission.key_id,
            model: admission.model.into(),
            target: admission.target.into(),
            outcome,
            usage_source,
            admitted_at_us: admission.admitted_at_us,
            is_unpriced: lines.is_unpriced,
            corrects,
            totals: lines.totals,
            body,
        })
    }

    /// The entry itself.
    ///
    /// # Errors
    /// [`DecodeError`] when its encoding is damaged.
    pub fn entry(&self) -> Result<Entry, DecodeError> {
        decode_entry(&self.body)
    }
}
