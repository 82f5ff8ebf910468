//! The store as a dumb model: maps, and sums made anew for every question. What the engines must agree with.

use std::collections::{BTreeMap, BTreeSet};

use tollgate::store::{
    boots::BootRow,
    customers::CustomerRow,
    dead_letters::DeadLetter,
    entries::{EntryColumns, PostBatch, Posted, Stage, StoredEntry},
    keys::KeyRow,
    objects::{ObjectKind, ObjectRow, PageOf},
    prices::PriceVersionRow,
    rollups::{By, DAY_US, RollupKey, Span, Sums, UsageGroup, cell_of},
    training::TrainingRow,
    worker_hours::WorkerHourRow,
};
use tollgate_core::{
    entry::{Entry, Outcome},
    entry_row::EntryRow,
    id::{AttemptId, BootId, CustomerId, KeyId, ObjectId, RequestId},
    record::RecordKind,
};

/// Which error, without its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Exists,
    NotFound,
    TooLarge,
    Behind(u64),
    Engine,
}

type Answer<T> = Result<T, Refused>;

#[derive(Default)]
pub(crate) struct Model {
    customers: BTreeMap<CustomerId, CustomerRow>,
    keys: BTreeMap<KeyId, KeyRow>,
    prices: BTreeMap<String, PriceVersionRow>,
    trainings: Vec<TrainingRow>,
    entries: BTreeMap<AttemptId, (String, BootId, Entry)>,
    sealed: Vec<Entry>,
    sealed_days: BTreeSet<u64>,
    sequences: BTreeMap<AttemptId, u64>,
    /// Sealed and protected by no cursor, by the boot that is not closed.
    sealed_orphans: BTreeMap<AttemptId, (String, BootId)>,
    boots: BTreeMap<(String, BootId), BootRow>,
    letters: BTreeMap<AttemptId, DeadLetter>,
    pins: BTreeMap<String, String>,
    worker_hours: BTreeMap<(String, String, i64), WorkerHourRow>,
    objects: BTreeMap<ObjectId, ObjectRow>,
}

/// What customers keep. Times of the database's clock are 0, or the end of time.
impl Model {
    fn is_taken(&self, object: &ObjectRow) -> bool {
        let same = |other: &ObjectRow| {
            object.upstream_id.is_some()
                && (&other.provider, other.kind, &other.upstream_id)
                    == (&object.provider, object.kind, &object.upstream_id)
        };
        self.objects.contains_key(&object.id) || self.objects.values().any(same)
    }

    pub(crate) fn bind_objects(&mut self, objects: &[ObjectRow]) -> u64 {
        let mut bound = 0;
        for object in objects {
            if !self.is_taken(object) {
                self.objects.insert(object.id, object.clone());
                bound += 1;
            }
        }
        bound
    }

    pub(crate) fn name_object(&mut self, id: ObjectId, upstream_id: &str, poll: bool) -> Answer<bool> {
        let Some(object) = self.objects.get(&id).filter(|object| object.upstream_id.is_none()) else {
            return Ok(false);
        };
        let named = ObjectRow {
            upstream_id: Some(upstream_id.to_owned()),
            poll_after_us: poll.then_some(i64::MAX),
            ..object.clone()
        };
        self.objects.remove(&id);
        let is_taken = self.is_taken(&named);
        let kept = if is_taken { ObjectRow { upstream_id: None, ..named.clone() } } else { named };
        let before = self.objects.insert(id, kept);
        assert!(before.is_none());
        if is_taken { Err(Refused::Exists) } else { Ok(true) }
    }

    pub(crate) fn forget_object(&mut self, id: ObjectId) {
        self.objects.retain(|other, object| *other != id || object.upstream_id.is_some());
    }

    pub(crate) fn object(&self, customer: CustomerId, kind: ObjectKind, upstream_id: &str) -> Option<ObjectRow> {
        let found = self.objects.values().filter(|object| {
            (object.customer_id, object.kind, object.upstream_id.as_deref()) == (customer, kind, Some(upstream_id))
                && object.deleted_at_us.is_none()
        });
        found.max_by_key(|object| (object.created_at_us, object.id)).cloned()
    }

    pub(crate) fn object_at(&self, provider: &str, kind: ObjectKind, upstream_id: &str) -> Option<ObjectRow> {
        let mut objects = self.objects.values();
        let wanted = (provider, kind, Some(upstream_id));
        objects.find(|object| (object.provider.as_str(), object.kind, object.upstream_id.as_deref()) == wanted).cloned()
    }

    pub(crate) fn objects_page(&self, page: &PageOf) -> Vec<ObjectRow> {
        let place = |object: &ObjectRow| (object.created_at_us, object.id);
        let mut found: Vec<ObjectRow> = self
            .objects
            .values()
            .filter(|object| {
                (object.customer_id, object.kind) == (page.customer_id, page.kind)
                    && object.upstream_id.is_some()
                    && object.deleted_at_us.is_none()
            })
            .filter(|object| {
                page.after
                    .is_none_or(|after| if page.oldest_first { place(object) > after } else { place(object) < after })
            })
            .cloned()
            .collect();
        found.sort_by_key(place);
        if !page.oldest_first {
            found.reverse();
        }
        found.truncate(usize::try_from(page.rows_max).unwrap());
        found
    }

    pub(crate) fn delete_object(&mut self, id: ObjectId, at_us: i64) {
        if let Some(object) = self.objects.get_mut(&id) {
            object.deleted_at_us = object.deleted_at_us.or(Some(at_us));
        }
    }

    pub(crate) fn claim_object(&mut self) -> Option<ObjectRow> {
        let due = self.objects.values_mut().filter(|object| object.poll_after_us.is_some_and(|at| at < i64::MAX));
        let claimed = due.min_by_key(|object| object.poll_after_us)?;
        (claimed.poll_after_us, claimed.polled_at_us) = (Some(i64::MAX), Some(0));
        Some(claimed.clone())
    }

    pub(crate) fn forget_responses(&mut self, before: ObjectId, rows_max: u32) -> u64 {
        let old = self.objects.values().filter(|object| object.kind == ObjectKind::Response && object.id < before);
        let old: Vec<ObjectId> = old.map(|object| object.id).take(usize::try_from(rows_max).unwrap()).collect();
        for id in &old {
            self.objects.remove(id);
        }
        u64::try_from(old.len()).unwrap()
    }

    pub(crate) fn finish_object(&mut self, id: ObjectId, at_us: i64) -> Answer<i64> {
        let object = self.objects.get_mut(&id).ok_or(Refused::NotFound)?;
        Ok(*object.finished_at_us.get_or_insert(at_us))
    }

    pub(crate) fn object_is_metered(&mut self, id: ObjectId, at_us: i64, lines: u64) {
        if let Some(object) = self.objects.get_mut(&id) {
            if object.metered_at_us.is_none() {
                (object.metered_at_us, object.result_lines) = (Some(at_us), Some(lines));
            }
            object.poll_after_us = None;
        }
    }
}

impl Model {
    pub(crate) fn insert_customer(&mut self, row: &CustomerRow) -> Answer<()> {
        let same = |other: &CustomerRow| {
            other.id == row.id || (row.external_id.is_some() && other.external_id == row.external_id)
        };
        if self.customers.values().any(same) {
            return Err(Refused::Exists);
        }
        self.customers.insert(row.id, row.clone());
        Ok(())
    }

    pub(crate) fn customers(&self) -> Vec<CustomerRow> {
        self.customers.values().cloned().collect()
    }

    pub(crate) fn customer(&self, id: CustomerId) -> Answer<CustomerRow> {
        self.customers.get(&id).cloned().ok_or(Refused::NotFound)
    }

    pub(crate) fn insert_key(&mut self, row: &KeyRow) -> Answer<()> {
        if self.keys.values().any(|other| other.id == row.id || other.public_id == row.public_id) {
            return Err(Refused::Exists);
        }
        let customer = self.customers.get(&row.customer_id).ok_or(Refused::Engine)?;
        self.keys.insert(row.id, KeyRow { price_book: customer.price_book.clone(), ..row.clone() });
        Ok(())
    }

    pub(crate) fn keys(&self) -> Vec<KeyRow> {
        self.keys.values().cloned().collect()
    }

    pub(crate) fn key(&self, id: KeyId) -> Answer<KeyRow> {
        self.keys.get(&id).cloned().ok_or(Refused::NotFound)
    }

    pub(crate) fn revoke_key(&mut self, id: KeyId, at_us: i64) -> Answer<()> {
        let key = self.keys.get_mut(&id).ok_or(Refused::NotFound)?;
        key.revoked_at_us = Some(key.revoked_at_us.map_or(at_us, |earlier| earlier.min(at_us)));
        Ok(())
    }

    pub(crate) fn save_price_versions(&mut self, versions: &[PriceVersionRow]) {
        for version in versions {
            self.prices.entry(version.id.clone()).or_insert_with(|| version.clone());
        }
    }

    pub(crate) fn price_versions(&self) -> BTreeMap<String, PriceVersionRow> {
        self.prices.clone()
    }

    pub(crate) fn insert_training(&mut self, run: &TrainingRow) -> Answer<()> {
        let same = |other: &TrainingRow| other.id == run.id || (other.model == run.model && other.name == run.name);
        if self.trainings.iter().any(same) {
            return Err(Refused::Exists);
        }
        self.trainings.push(run.clone());
        Ok(())
    }

    pub(crate) fn replace_configured_trainings(&mut self, runs: &[TrainingRow]) -> Answer<()> {
        let said =
            |run: &TrainingRow| (run.model.clone(), run.name.clone(), run.cost, run.in_service, run.source.clone());
        let before = self.trainings.clone();
        self.trainings.retain(|old| old.source != "config" || runs.iter().any(|run| said(run) == said(old)));
        for run in runs {
            if before.iter().any(|old| said(old) == said(run)) {
                continue;
            }
            if let Err(error) = self.insert_training(run) {
                self.trainings = before;
                return Err(error);
            }
        }
        Ok(())
    }

    pub(crate) fn trainings(&self) -> Vec<TrainingRow> {
        let mut runs = self.trainings.clone();
        let key = |run: &TrainingRow| (run.model.clone(), run.in_service.to_string(), run.name.clone());
        runs.sort_by_key(key);
        runs
    }

    fn boot(&mut self, batch: &PostBatch) -> &mut BootRow {
        let key = (batch.replica.clone(), batch.boot_id);
        self.boots.entry(key).or_insert_with(|| BootRow {
            replica: batch.replica.clone(),
            boot_id: batch.boot_id,
            sequence: 0,
            closed: false,
            counted_from: 0,
            opened: 0,
            ended: 0,
            voided: 0,
            resolved: 0,
            again: 0,
            entries: 0,
            buried: 0,
            archived: 0,
            missing: 0,
        })
    }

    fn advance(&mut self, batch: &PostBatch, inserted: u64, buried: u64) {
        let boot = self.boot(batch);
        let mut ended = 0;
        for (_, kind) in batch.records.iter().filter(|(sequence, _)| *sequence > boot.sequence) {
            match kind {
                RecordKind::Opened => boot.opened += 1,
                RecordKind::Ended => ended += 1,
                RecordKind::Void => boot.voided += 1,
                _ => {}
            }
        }
        boot.ended += ended;
        boot.sequence = boot.sequence.max(batch.through_sequence);
        boot.closed |= batch.stage == Stage::Closing;
        boot.missing = boot.missing.max(batch.missing);
        boot.entries += inserted;
        boot.buried += buried;
        if batch.stage == Stage::Reading {
            boot.again += ended - ended.min(inserted + buried);
        } else {
            boot.resolved += inserted + buried;
        }
        if batch.stage == Stage::Closing {
            let closed = (batch.replica.clone(), batch.boot_id);
            self.sealed_orphans.retain(|_, boot| *boot != closed);
        }
    }

    /// Whether the cursor says that an entry of a sealed day was posted before it was sealed.
    fn was_sealed(&self, batch: &PostBatch, sequence: u64, entry: &Entry) -> bool {
        let boot = self.boots.get(&(batch.replica.clone(), batch.boot_id));
        let (cursor, closed) = boot.map_or((0, false), |boot| (boot.sequence, boot.closed));
        self.sealed_days.contains(&day_of(&entry.admission.id))
            && (closed
                || (batch.stage == Stage::Reading && sequence <= cursor)
                || self.sealed_orphans.contains_key(&entry.admission.id))
    }

    /// What comes after something that is not there is refused.
    fn must_be_at(&self, batch: &PostBatch) -> Answer<()> {
        let through = self.cursor(&batch.replica, batch.boot_id);
        if through < batch.after_sequence { Err(Refused::Behind(through)) } else { Ok(()) }
    }

    pub(crate) fn post(&mut self, batch: &PostBatch) -> Answer<Posted> {
        self.must_be_at(batch)?;
        let before = self.entries.clone();
        let mut posted = Posted::default();
        for (sequence, entry) in entries_of(batch) {
            let id = entry.admission.id;
            if self.was_sealed(batch, sequence, &entry) || self.entries.contains_key(&id) {
                posted.already_there += 1;
                continue;
            }
            posted.inserted += 1;
            self.entries.insert(id, (batch.replica.clone(), batch.boot_id, entry));
            self.sequences.insert(id, sequence);
        }
        if let Err(error) = self.cells() {
            self.entries = before;
            return Err(error);
        }
        self.advance(batch, posted.inserted, 0);
        Ok(posted)
    }

    pub(crate) fn bury(&mut self, batch: &PostBatch, reason: &str, now_us: i64) -> Answer<()> {
        self.must_be_at(batch)?;
        let mut buried = 0;
        for (sequence, entry) in entries_of(batch) {
            let id = entry.admission.id;
            let is_known = self.entries.contains_key(&id) || self.letters.contains_key(&id);
            if !is_known && !self.was_sealed(batch, sequence, &entry) {
                buried += 1;
                let letter = DeadLetter {
                    entry,
                    replica: batch.replica.clone(),
                    boot_id: batch.boot_id,
                    sequence,
                    reason: reason.to_owned(),
                    buried_at_us: now_us,
                };
                self.letters.insert(id, letter);
            }
        }
        self.advance(batch, 0, buried);
        Ok(())
    }

    pub(crate) fn revive(&mut self, id: AttemptId) -> Answer<()> {
        let letter = self.letters.get(&id).cloned().ok_or(Refused::NotFound)?;
        // What contradicts the books is for somebody to look at.
        if self.entries.get(&id).is_some_and(|(_, _, standing)| *standing != letter.entry) {
            return Err(Refused::Exists);
        }
        let is_new = !self.entries.contains_key(&id);
        if is_new {
            self.entries.insert(id, (letter.replica.clone(), letter.boot_id, letter.entry.clone()));
            self.sequences.insert(id, letter.sequence);
            if let Err(error) = self.cells() {
                self.entries.remove(&id);
                return Err(error);
            }
        }
        self.letters.remove(&id);
        if let Some(boot) = self.boots.get_mut(&(letter.replica, letter.boot_id)) {
            boot.buried -= 1;
            boot.entries += u64::from(is_new);
        }
        Ok(())
    }

    pub(crate) fn dead_letters(&self) -> Vec<DeadLetter> {
        self.letters.values().cloned().collect()
    }

    pub(crate) fn cursor(&self, replica: &str, boot_id: BootId) -> u64 {
        self.boots.get(&(replica.to_owned(), boot_id)).map_or(0, |boot| boot.sequence)
    }

    pub(crate) fn boots(&self) -> Vec<BootRow> {
        self.boots.values().cloned().collect()
    }

    pub(crate) fn usage_gap(&self) -> u64 {
        self.boots.values().map(BootRow::gap).sum()
    }

    pub(crate) fn entries_by_boot(&self) -> Vec<(String, BootId, u64)> {
        let mut counts: BTreeMap<(String, BootId), u64> = BTreeMap::new();
        for (replica, boot_id, _) in self.entries.values() {
            *counts.entry((replica.clone(), *boot_id)).or_default() += 1;
        }
        counts.into_iter().map(|((replica, boot_id), count)| (replica, boot_id, count)).collect()
    }

    pub(crate) fn entries_of_request(&self, request_id: RequestId) -> Vec<Entry> {
        let of = |id: &&AttemptId| id.request_id == request_id;
        self.entries.keys().filter(of).map(|id| self.entries[id].2.clone()).collect()
    }

    pub(crate) fn entries_after(&self, after: Option<AttemptId>, rows_max: u32) -> Vec<StoredEntry> {
        let behind = self.entries.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        behind.take(rows_max as usize).map(|(_, (_, _, entry))| stored(entry)).collect()
    }

    pub(crate) fn entry_count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Entries in the store and in files.
    fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(|(_, _, entry)| entry).chain(&self.sealed)
    }

    /// How many entries of a day went into a file.
    pub(crate) fn seal_day(&mut self, day: u64) -> u64 {
        let ids: Vec<AttemptId> = self.entries.keys().filter(|id| day_of(id) == day).copied().collect();
        for id in &ids {
            let (replica, boot_id, entry) = self.entries.remove(id).unwrap();
            let boot = self.boots.get_mut(&(replica.clone(), boot_id)).unwrap();
            boot.archived += 1;
            if !boot.closed && (self.sequences[id] == 0 || entry.outcome == Outcome::Interrupted) {
                self.sealed_orphans.insert(*id, (replica, boot_id));
            }
            self.sealed.push(entry);
        }
        if !ids.is_empty() {
            self.sealed_days.insert(day);
        }
        ids.len() as u64
    }

    pub(crate) fn oldest_day(&self) -> Option<u64> {
        self.entries.keys().map(day_of).find(|day| *day >= 18_262)
    }

    /// Every cell; refused when a sum does not fit a column.
    pub(crate) fn cells(&self) -> Answer<BTreeMap<RollupKey, Sums>> {
        let mut cells: BTreeMap<RollupKey, Sums> = BTreeMap::new();
        for entry in self.all() {
            let row = EntryRow::of(entry);
            cells.entry(cell_of(&row)).or_default().add(&row).map_err(|_| Refused::TooLarge)?;
        }
        if cells.values().all(fits) { Ok(cells) } else { Err(Refused::TooLarge) }
    }

    pub(crate) fn usage_by(&self, by: &[By], span: Span) -> Answer<Vec<UsageGroup>> {
        let mut groups: Vec<UsageGroup> = Vec::new();
        let mut order: BTreeSet<(Vec<String>, usize)> = BTreeSet::new();
        for entry in self.all() {
            let row = EntryRow::of(entry);
            let cell = cell_of(&row);
            if span.from_us.is_some_and(|from| cell.hour_us < from)
                || span.to_us.is_some_and(|to| cell.hour_us >= to)
                || span.customer_id.is_some_and(|customer| cell.customer_id != customer)
            {
                continue;
            }
            let has = |wanted| by.contains(&wanted);
            let group = UsageGroup {
                key_id: has(By::Key).then_some(cell.key_id),
                customer_id: has(By::Customer).then_some(cell.customer_id),
                model: has(By::Model).then(|| cell.model.to_string()),
                target: has(By::Target).then(|| cell.target.to_string()),
                day_us: has(By::Day).then(|| cell.hour_us.div_euclid(DAY_US) * DAY_US),
                sums: Sums::default(),
            };
            let same = |other: &UsageGroup| UsageGroup { sums: Sums::default(), ..other.clone() } == group;
            let at = groups.iter().position(same).unwrap_or_else(|| {
                let key = by.iter().map(|by| match by {
                    By::Key => cell.key_id.to_string(),
                    By::Customer => cell.customer_id.to_string(),
                    By::Model => cell.model.to_string(),
                    By::Target => cell.target.to_string(),
                    By::Day => format!("{:020}", group.day_us.unwrap()),
                });
                order.insert((key.collect(), groups.len()));
                groups.push(group.clone());
                groups.len() - 1
            });
            groups[at].sums.add(&row).map_err(|_| Refused::TooLarge)?;
        }
        if !groups.iter().all(|group| fits(&group.sums)) {
            return Err(Refused::TooLarge);
        }
        Ok(order.into_iter().map(|(_, at)| groups[at].clone()).collect())
    }

    pub(crate) fn save_worker_hours(&mut self, hours: &[WorkerHourRow]) {
        for hour in hours {
            let key = (hour.worker.clone(), hour.worker_id.clone(), hour.hour_us);
            let kept = self.worker_hours.entry(key).or_insert_with(|| hour.clone());
            kept.uptime_us = kept.uptime_us.max(hour.uptime_us);
            kept.busy_us = kept.busy_us.max(hour.busy_us);
            kept.requests = kept.requests.max(hour.requests);
        }
    }

    pub(crate) fn worker_hours(&self) -> Vec<WorkerHourRow> {
        self.worker_hours.values().cloned().collect()
    }

    pub(crate) fn pin(&mut self, name: &str, value: &str) -> String {
        self.pins.entry(name.to_owned()).or_insert_with(|| value.to_owned()).clone()
    }
}

fn entries_of(batch: &PostBatch) -> impl Iterator<Item = (u64, Entry)> {
    batch.entries.iter().map(|(sequence, row)| (*sequence, row.entry().unwrap()))
}

fn day_of(id: &AttemptId) -> u64 {
    let ms = id.request_id.bytes()[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte));
    ms / 86_400_000
}

fn fits(sums: &Sums) -> bool {
    let usage = &sums.usage;
    let counts = [
        sums.requests,
        sums.attempts,
        usage.input_uncached,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.cache_write_unspecified,
        usage.output,
        usage.reasoning,
        sums.unpriced,
        sums.estimated,
        sums.worker_busy_us,
    ];
    counts.iter().all(|count| i64::try_from(*count).is_ok())
}

fn stored(entry: &Entry) -> StoredEntry {
    let mut sums = Sums::default();
    sums.add(&EntryRow::of(entry)).unwrap();
    StoredEntry {
        entry: entry.clone(),
        columns: EntryColumns::of(entry),
        cost_nanousd: sums.cost.get(),
        charge_nanousd: sums.charge.get(),
        unpriced: entry.is_unpriced(),
    }
}
