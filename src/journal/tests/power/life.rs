//! One process with its journal, driven step by step: what its threads do at the same time happens here in any order.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::sync::mpsc::Receiver;
use tollgate_core::{
    id::{AttemptId, BootId},
    record::Record,
};

use super::{
    super::{
        super::{
            Durability, Journal, Options,
            attempt::{EndReceipt, OpenAttempt, OpenReceipt},
            boot::BootFolder,
            error::JournalError,
            gaps::Damage,
            health::Health,
            inbox::{Command, Inbox},
            reader::BootReader,
            rescue::RescuedEnd,
            segment::{NewSegment, SegmentMaker},
            spare::SpareSource,
            status::Status,
            writer::Writer,
        },
        admission, entry, progress,
        simulated::{Random, Simulated},
    },
    books::{Books, Truth},
};
use crate::clock::Clock;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Kill,
    ShutDown,
}

/// Spares that are made when the driver says so, or when they are needed.
#[derive(Clone)]
struct Shelf(Arc<Mutex<(SegmentMaker, u64, VecDeque<NewSegment>)>>, Arc<Health>);

impl Shelf {
    fn make(&self) -> io::Result<NewSegment> {
        let mut shelf = self.0.lock().unwrap();
        let segment = shelf.0.make(shelf.1, &mut |_| Ok(()));
        self.1.set_starved(segment.is_err());
        let segment = segment?;
        shelf.1 += 1;
        Ok(segment)
    }

    fn prepare(&self) {
        if self.0.lock().unwrap().2.is_empty()
            && let Ok(segment) = self.make()
        {
            self.0.lock().unwrap().2.push_back(segment);
        }
    }
}

impl SpareSource for Shelf {
    fn take(&mut self) -> io::Result<NewSegment> {
        let ready = self.0.lock().unwrap().2.pop_front();
        ready.map_or_else(|| self.make(), Ok)
    }
}

pub(super) struct Life {
    // Dropped in this order by a kill: nobody takes what the rest still says.
    writer: Option<(Writer, Inbox)>,
    folder: Option<BootFolder>,
    journal: Journal,
    clock: Clock,
    shelf: Shelf,
    rescued: Receiver<RescuedEnd>,
    reader: BootReader,
    opening: Vec<(AttemptId, OpenReceipt)>,
    open: Vec<OpenAttempt>,
    ending: Vec<(AttemptId, EndReceipt)>,
    number: u64,
    progress: u64,
    /// Sequences of OPENED records that are read and not ended.
    unsettled: BTreeMap<AttemptId, u64>,
    posted_through: u64,
    released: u64,
    /// What is acknowledged may be lost: only what is read back is judged.
    is_relaxed: bool,
}

fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

impl Life {
    /// None when the disk does not even let it start. `number` makes its attempts its own.
    pub(super) fn start(disk: &Simulated, options: Options, boot_id: BootId, number: u64) -> Option<Self> {
        let clock = Clock::fake(0);
        let is_relaxed = options.durability == Durability::Relaxed;
        let mut shelf = None;
        let start_spares = |maker: SegmentMaker, health: Arc<Health>| {
            let made = Shelf(Arc::new(Mutex::new((maker, 2, VecDeque::new()))), health);
            shelf = Some(made.clone());
            Ok(Box::new(made) as Box<dyn SpareSource>)
        };
        let (journal, parts) = Journal::assemble(disk.shared(), options, boot_id, clock.clone(), start_spares).ok()?;
        let inbox = Inbox::new(parts.received, clock.clone());
        Some(Self {
            writer: Some((parts.writer, inbox)),
            folder: Some(parts.folder),
            rescued: journal.rescued().unwrap(),
            reader: journal.reader(0),
            journal,
            clock,
            shelf: shelf.unwrap(),
            opening: Vec::new(),
            open: Vec::new(),
            ending: Vec::new(),
            number: number << 32,
            progress: 0,
            unsettled: BTreeMap::new(),
            posted_through: 0,
            released: 0,
            is_relaxed,
        })
    }

    pub(super) fn status(&self) -> Status {
        self.journal.status()
    }

    pub(super) fn released(&self) -> u64 {
        self.released
    }

    /// One thing that one of its threads does.
    pub(super) fn step(&mut self, random: &mut Random, truth: &mut Truth, books: &mut Books) {
        let boot_id = self.journal.boot_id();
        let pick = |random: &mut Random, length: usize| random.below(length as u64) as usize;
        match random.below(20) {
            0..=5 => self.open_one(truth),
            6 if !self.opening.is_empty() => {
                // The client leaves before OPENED is durable.
                let (id, receipt) = self.opening.swap_remove(pick(random, self.opening.len()));
                drop(receipt);
                truth.submitted(boot_id, Record::Void(id));
            }
            7 if !self.open.is_empty() => {
                let attempt = self.open.swap_remove(pick(random, self.open.len()));
                truth.submitted(boot_id, Record::Void(attempt.admission().id));
                attempt.void();
            }
            8 if !self.open.is_empty() && random.one_in(4) => {
                drop(self.open.swap_remove(pick(random, self.open.len())))
            }
            9 if !self.open.is_empty() => {
                let attempt = &self.open[pick(random, self.open.len())];
                self.progress += 1;
                let mut said = progress(0, self.progress);
                said.id = attempt.admission().id;
                truth.submitted(boot_id, Record::Progress(said.clone()));
                attempt.progress(said);
            }
            10..=13 if !self.open.is_empty() => {
                let attempt = self.open.swap_remove(pick(random, self.open.len()));
                let said = entry(attempt.admission());
                truth.submitted(boot_id, Record::Ended(Box::new(said.clone())));
                self.ending.push((said.admission.id, attempt.end(said)));
            }
            14 => self.shelf.prepare(),
            15 => self.clock.advance(Duration::from_millis(60)),
            16 => self.post(books, truth, 1 + random.below(40) as usize),
            17 => self.release(books),
            _ => drop(self.write()),
        }
        self.hear(truth, books);
    }

    fn open_one(&mut self, truth: &mut Truth) {
        // Refused when it is poisoned, full, or without room: as it should be.
        let Ok(permit) = self.journal.try_permit() else { return };
        self.number += 1;
        let admission = admission(self.number);
        truth.submitted(self.journal.boot_id(), Record::Opened(Box::new(admission.clone())));
        self.opening.push((admission.id, permit.open(admission)));
    }

    /// The writer's thread: takes what is queued, writes and syncs it; false when nothing more will come.
    fn write(&mut self) -> bool {
        let Some((writer, inbox)) = &mut self.writer else { return false };
        writer.step(inbox, Some(Duration::ZERO))
    }

    /// What the writer has answered reaches those who wait.
    fn hear(&mut self, truth: &mut Truth, books: &mut Books) {
        while let Ok(end) = self.rescued.try_recv() {
            books.post(self.journal.boot_id(), 0, [end.entry().unwrap()]);
            books.sync();
            end.kept();
        }
        self.opening = std::mem::take(&mut self.opening)
            .into_iter()
            .filter_map(|(id, mut receipt)| match poll(&mut receipt) {
                None => Some((id, receipt)),
                Some(Ok(attempt)) => {
                    if !self.is_relaxed {
                        truth.opened(id);
                    }
                    // Not waited for, and submitted by whoever has the attempt.
                    truth.submitted(self.journal.boot_id(), Record::Sent(id));
                    attempt.sent();
                    self.open.push(attempt);
                    None
                }
                Some(Err(error)) => {
                    assert!(matches!(error, JournalError::Poisoned | JournalError::Closed), "{error}");
                    None
                }
            })
            .collect();
        self.ending.retain_mut(|(id, receipt)| match poll(receipt) {
            None => true,
            Some(Ok(())) => {
                if !self.is_relaxed {
                    truth.ended(entry(&admission_of(*id)));
                }
                false
            }
            Some(Err(error)) => {
                assert!(matches!(error, JournalError::Closed), "{error}");
                false
            }
        });
    }

    /// What the poster misses. Two failed syncs in a row may have eaten what a relaxed journal had only written; that it
    /// misses those is right.
    fn damage(&self) -> Damage {
        if self.is_relaxed && self.journal.is_poisoned() { Damage::default() } else { self.reader.damage() }
    }

    /// The poster: reads what is durable and commits it.
    fn post(&mut self, books: &mut Books, truth: &Truth, records_max: usize) {
        let boot_id = self.journal.boot_id();
        let durable = *self.journal.durable().borrow();
        // Fails for want of power only; then it is over.
        let Ok(read) = self.reader.read_batch(Some(durable), records_max) else { return };
        books.check(boot_id, &read, self.damage(), truth);
        let mut ended = Vec::new();
        for (sequence, record) in read {
            self.posted_through = sequence;
            match record {
                Record::Opened(admission) => drop(self.unsettled.insert(admission.id, sequence)),
                Record::Void(id) => drop(self.unsettled.remove(&id)),
                Record::Ended(entry) => {
                    self.unsettled.remove(&entry.admission.id);
                    ended.push(*entry);
                }
                Record::Sent(_) | Record::Progress(_) => {}
            }
        }
        books.post(boot_id, self.posted_through, ended);
    }

    fn release(&mut self, books: &mut Books) {
        books.sync();
        let oldest = self.unsettled.values().min().copied();
        let through = oldest.map_or(self.posted_through, |oldest| self.posted_through.min(oldest - 1));
        // Tried again when the disk refuses.
        self.released += self.journal.release_through(through).unwrap_or(0) as u64;
    }

    /// The process is over. A proper end waits for what was submitted; a kill for nothing.
    pub(super) fn end(mut self, ending: Ending, truth: &mut Truth, books: &mut Books) {
        if ending == Ending::ShutDown {
            self.journal.inner.commands.try_send(Command::Stop).unwrap();
            while self.write() {}
            self.hear(truth, books);
        }
        self.writer = None;
        self.folder = None;
        drop(self);
    }
}

/// Every admission of these tests follows from its attempt's number.
fn admission_of(id: AttemptId) -> tollgate_core::entry::Admission {
    let bytes = id.request_id.bytes();
    let number = u64::from_be_bytes(bytes[8..].try_into().unwrap()) & 0x3FFF_FFFF_FFFF_FFFF;
    let admission = admission(number);
    assert_eq!(admission.id, id);
    admission
}
