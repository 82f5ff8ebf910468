//! The entries of a batch: one for the request that made it, one for each result that used something.
//!
//! Everything in them follows from the batch's row and the provider's results, so that making them again, after a crash or at
//! another gateway, gives the same ids, and posting them again changes nothing. For the books a batch is a journal of its own:
//! it is closed with as many opened attempts as it has entries, so that the audit tells when one is missing.

use std::{collections::HashSet, sync::Arc};

use sha2::{Digest, Sha256};
use tollgate_core::{
    entry::{Admission, Entry, Outcome, UsageSource},
    entry_row::EntryRow,
    id::{AttemptId, BootId, RequestId},
    pricing_context::{PricingContext, ServiceTier},
    record::RecordKind,
    usage::Usage,
};

use super::{Objects, detail::Detail, lines::digest128};
use crate::{
    catalog::Catalog,
    config::dialect::ProviderDialect,
    metering::{Asked, End, Metered, MeteredLine, Reporter, conclude},
    posting::ship::Shipper,
    proxy::{
        alarms::PricingAlarms,
        attempt::{Prices, Times},
    },
    store::{
        StoreError,
        entries::{PostBatch, Stage},
        objects::{ObjectKind, ObjectRow},
    },
    upstream::{
        dialect::{Dialect, Framing},
        endpoint::Endpoint,
        sniff::Sniffer,
    },
};

/// Whose "journal" the entries of batches come from.
pub(super) const REPLICA: &str = "batches";
/// The flag of an entry that is a result of a batch.
const IN_BATCH: &str = "in_batch";
/// The flag of an entry that stands for results which the provider does not have any more.
const RESULTS_GONE: &str = "results_gone";
/// Lines of such an entry at most; beyond, a line stands for several results.
const GONE_LINES_MAX: u64 = 4096;
/// Entries of one transaction at most.
pub(super) const POST_MAX: usize = 500;

/// One result that used something.
pub(super) struct ResultLine<'a> {
    /// The client's name of the request.
    pub(super) custom_id: &'a str,
    /// The answer, as a direct call would have got it.
    pub(super) body: &'a str,
    /// Its status.
    pub(super) status: u16,
}

/// Makes the entries of one batch.
pub(super) struct Entries {
    object: ObjectRow,
    pub(super) detail: Detail,
    catalog: Arc<Catalog>,
    alarms: Arc<PricingAlarms>,
    ended_at_us: i64,
    /// Names that came; one comes once, unless the provider is wrong.
    seen: HashSet<u128>,
    /// What the results used that were read so far.
    read: Usage,
}

impl Entries {
    /// Of a batch that ended, or was made, then.
    pub(super) fn new(objects: &Objects, object: &ObjectRow, ended_at_us: i64) -> Self {
        Self {
            object: object.clone(),
            detail: Detail::of(&object.detail),
            catalog: objects.proxy.catalog.load_full(),
            alarms: Arc::clone(&objects.proxy.counters.pricing),
            ended_at_us,
            seen: HashSet::new(),
            read: Usage::default(),
        }
    }

    /// The entry of the request that made the batch: what it uses becomes known later.
    pub(super) fn of_creation(&self, outcome: Outcome) -> Entry {
        let source = if outcome == Outcome::Pending { UsageSource::Deferred } else { UsageSource::NotBilled };
        let (model, target) = self.detail.models.named.first().cloned().unwrap_or_default();
        let admission = self.admission(self.object.request_id, super::collection(self.object.kind), model, target);
        let metered = Metered { source, ..Metered::nothing(outcome, None) };
        // At its creation nothing had happened yet: the same whenever it is made.
        let times = Times { ended_at_us: self.object.created_at_us, elapsed_us: 0, first_byte_us: None };
        self.prices(&admission).entry(admission, metered, None, times)
    }

    /// The entry of a result; none for a second one of the same request: the requests of a batch have names of their own.
    pub(super) fn of_result(&mut self, result: &ResultLine<'_>) -> Option<Entry> {
        let digest = digest128(result.custom_id);
        if !self.seen.insert(digest) {
            tracing::error!(object = %self.object.id, "a provider gave a result of a batch twice; it is booked once");
            return None;
        }
        let request_id = self.request_id(&[&digest.to_be_bytes()]);
        let (model, target) = self.detail.models.of(result.custom_id).cloned().unwrap_or_default();
        let endpoint = self.endpoint();
        let admission = self.admission(request_id, endpoint.path(), model, target);
        let asked = Asked { input_estimate: self.estimate_of_one(), ..Asked::default() };
        let mut metered =
            conclude(&seen_in(endpoint.answers(), result.body), End::Terminal, &asked, Reporter::Provider);
        metered.flags.push(IN_BATCH.to_owned());
        for line in &mut metered.lines {
            line.context.service_tier = Some(ServiceTier::Batch);
            self.read = self.read.combined(&line.usage, u64::saturating_add);
        }
        Some(self.priced(admission, metered, Some(result.status)))
    }

    /// Results that were read, and what they used.
    pub(super) fn read(&self) -> (u64, Usage) {
        (u64::try_from(self.seen.len()).unwrap_or(u64::MAX), self.read)
    }

    /// The entry that stands for results which nobody can read any more: what the provider said of them, else the estimate of
    /// their input. `missing` are results that have no entry. Each has a line of its own, as prices depend on the single prompt.
    pub(super) fn of_what_is_gone(&self, told: Option<Usage>, missing: u64) -> Entry {
        let request_id = self.request_id(&[b"results gone"]);
        let (model, target) = self.detail.models.named.first().cloned().unwrap_or_default();
        let admission = self.admission(request_id, self.endpoint().path(), model, target);
        let estimate = self.estimate_of_one().saturating_mul(missing);
        let source = if told.is_some() { UsageSource::ProviderPartial } else { UsageSource::Estimated };
        let usage = told.unwrap_or(Usage { input_uncached: estimate, ..Usage::default() });
        let context = PricingContext { service_tier: Some(ServiceTier::Batch), ..PricingContext::default() };
        let count = missing.clamp(1, GONE_LINES_MAX);
        let line = |index| MeteredLine {
            usage: usage.share(index, count),
            context: context.clone(),
            ..MeteredLine::default()
        };
        let metered = Metered {
            source,
            lines: (0..count).map(line).collect(),
            flags: vec![IN_BATCH.to_owned(), RESULTS_GONE.to_owned()],
            ..Metered::nothing(Outcome::Interrupted, None)
        };
        self.priced(admission, metered, None)
    }

    fn endpoint(&self) -> Endpoint {
        let named = Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == self.detail.endpoint);
        named.unwrap_or(Endpoint::Messages)
    }

    /// Tokens of the input of one request of the batch, as all of them are known together only.
    fn estimate_of_one(&self) -> u64 {
        self.detail.input_estimate.div_ceil(self.detail.requests.max(1))
    }

    /// An id that is the same each time, of the day on which the batch was made.
    fn request_id(&self, of: &[&[u8]]) -> RequestId {
        let mut hash = Sha256::new_with_prefix(self.object.id.bytes());
        for part in of {
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, i, j, ..] = digest;
        let unix_ms = u64::try_from(self.object.created_at_us / 1000).unwrap_or(0);
        RequestId::new(unix_ms, &[a, b, c, d, e, f, g, h, i, j])
    }

    fn admission(&self, request_id: RequestId, endpoint: &str, model: String, target: String) -> Admission {
        let dialect = match self.object.kind {
            ObjectKind::MessageBatch => ProviderDialect::Anthropic,
            _ => ProviderDialect::OpenAi,
        };
        let (tags, at_us) = (&self.detail.tags, self.object.created_at_us);
        let (provider, upstream_model) = target.split_once('/').unwrap_or((&target, ""));
        let cost = self.catalog.cost(provider, upstream_model, at_us);
        let rule = self.catalog.charge_rule(self.object.price_book.as_deref().unwrap_or_default(), &model, at_us);
        Admission {
            id: AttemptId { request_id, attempt: 0 },
            customer_id: self.object.customer_id,
            key_id: self.object.key_id,
            dialect: dialect.name().to_owned(),
            endpoint: endpoint.to_owned(),
            stream: false,
            admitted_at_us: at_us,
            cost_price_version: cost.map(|version| version.id().to_owned()),
            charge_price_version: rule.map(|version| version.id.clone()),
            input_estimate: 0,
            end_user: None,
            tags: Some(tags.clone()).filter(|tags| !tags.is_empty()),
            model,
            target,
        }
    }

    /// The prices in force when the batch was made.
    fn prices(&self, admission: &Admission) -> Prices {
        let (provider, model) = admission.target.split_once('/').unwrap_or((&admission.target, ""));
        let (at_us, book) = (admission.admitted_at_us, self.object.price_book.as_deref().unwrap_or_default());
        Prices {
            cost: self.catalog.cost(provider, model, at_us),
            rule: self.catalog.charge_rule(book, &admission.model, at_us).cloned(),
            catalog: Arc::clone(&self.catalog),
            alarms: Arc::clone(&self.alarms),
        }
    }

    fn priced(&self, admission: Admission, metered: Metered, status: Option<u16>) -> Entry {
        let elapsed_us = self.ended_at_us.saturating_sub(self.object.created_at_us);
        let elapsed_us = u64::try_from(elapsed_us).unwrap_or(0);
        let times = Times { ended_at_us: self.ended_at_us, elapsed_us, first_byte_us: None };
        self.prices(&admission).entry(admission, metered, status, times)
    }
}

impl Objects {
    /// Posts entries of a batch. With `closing`, which is the number of all its entries, there are no more.
    pub(super) async fn post(
        &self,
        object: &ObjectRow,
        entries: Vec<Entry>,
        closing: Option<u64>,
    ) -> Result<(), StoreError> {
        let boot_id = BootId::from_bytes(*object.id.bytes());
        let through_sequence = closing.unwrap_or(0);
        let batch = PostBatch {
            replica: REPLICA.to_owned(),
            boot_id,
            after_sequence: 0,
            through_sequence,
            entries: entries.iter().map(|entry| (0, Box::new(EntryRow::of(entry)))).collect(),
            records: (1..=through_sequence).map(|sequence| (sequence, RecordKind::Opened)).collect(),
            missing: 0,
            stage: if closing.is_some() { Stage::Closing } else { Stage::Resolving },
        };
        let shipper = Shipper::new(self.store.clone(), self.proxy.clock.clone(), Arc::default());
        let posted = shipper.ship(&batch).await?;
        // What is in the books already was counted by whoever put it there.
        if posted.inserted == u64::try_from(entries.len()).unwrap_or(u64::MAX) {
            entries.iter().for_each(|entry| self.proxy.observers.metrics.ended(entry, None));
        }
        Ok(())
    }
}

/// What an answer of this dialect says.
fn seen_in(dialect: Dialect, body: &str) -> crate::upstream::sniff::Sniffed {
    let mut sniffer = Sniffer::new(dialect, Framing::Json, false);
    let mut passed = std::collections::VecDeque::new();
    sniffer.push(bytes::Bytes::copy_from_slice(body.as_bytes()), &mut passed);
    sniffer.summary()
}

/// The tokens of a usage object that stands in a batch.
pub(super) fn usage_of_batch(raw: &str) -> Option<Usage> {
    let seen = seen_in(Dialect::OpenAiResponses, &format!(r#"{{"status":"completed","usage":{raw}}}"#));
    let metered = conclude(&seen, End::Terminal, &Asked::default(), Reporter::Provider);
    metered.lines.first().map(|line| line.usage).filter(|usage| usage.total() > 0)
}
