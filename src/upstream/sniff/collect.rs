//! Puts together what the documents of one answer say.

use super::{
    Sniffed,
    document::Document,
    documents::{Documents, Kind},
    shape::{Match, Shape, Walked},
    watch::Watch,
};
use crate::upstream::dialect::{
    Dialect, Framing,
    description::{Description, KindOf},
};

/// What is known of the document that passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passing {
    /// A usage object stood in it.
    pub(super) has_usage: bool,
    /// Its list of choices was empty.
    pub(super) choices_empty: bool,
    /// It is the last of its stream.
    pub(super) terminal: bool,
    /// It tells of an error.
    pub(super) error: bool,
}

/// Takes the documents of an answer.
#[derive(Debug)]
pub(super) struct Collector {
    description: &'static Description,
    watch: Watch,
    document: Document,
    seen: Sniffed,
    ended: Passing,
    /// The document has ended and was taken; the next one has not begun.
    is_between: bool,
    shape: Shape,
    /// The usage object that came last, if an event of the remembered shape brought it: kept as it came until it is asked for.
    usage_latest: Vec<u8>,
}

impl Collector {
    pub(super) fn new(dialect: Dialect, framing: Framing) -> Self {
        let description = dialect.description();
        let root = if framing.is_stream() { description.event } else { description.whole };
        let seen = Sniffed { dialect, framing, ..Sniffed::default() };
        Self {
            description,
            watch: Watch::new(root, framing.is_stream()),
            document: Document::default(),
            seen,
            ended: Passing::default(),
            is_between: false,
            shape: Shape::default(),
            usage_latest: Vec::new(),
        }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.seen.dialect
    }

    pub(super) const fn framing(&self) -> Framing {
        self.seen.framing
    }

    pub(super) const fn seen_mut(&mut self) -> &mut Sniffed {
        &mut self.seen
    }

    /// What was seen, the document that is under way included.
    pub(super) fn summary(&self) -> Sniffed {
        let mut seen = self.seen.clone();
        seen.take_usage_like(&self.usage_latest);
        if !self.is_between {
            seen.take(&self.document, self.description);
        }
        seen
    }

    /// As [`Self::summary`], where it is kept, of an answer of which nothing more comes.
    pub(super) fn sum_up(&mut self) -> &mut Sniffed {
        self.seen.take_usage_like(&self.usage_latest);
        if !std::mem::replace(&mut self.is_between, true) {
            self.seen.take(&self.document, self.description);
        }
        &mut self.seen
    }

    /// Takes an event of the shape of the one before; says how many bytes it has, or none when it must be walked.
    pub(super) fn take_like(&mut self, bytes: &[u8]) -> Option<usize> {
        let found = self.shape.matches(bytes)?;
        self.take_match(&found, bytes)
    }

    /// Takes a document that is all of these bytes and of the shape of the one before; false when it must be walked.
    pub(super) fn take_whole_like(&mut self, bytes: &[u8]) -> bool {
        let found = self.shape.matches(bytes).filter(|found| found.len == bytes.len());
        found.is_some_and(|found| self.take_match(&found, bytes).is_some())
    }

    // Called twice: by itself it would not be put in, and what was found would go through memory.
    #[inline]
    fn take_match(&mut self, found: &Match, bytes: &[u8]) -> Option<usize> {
        if !found.usage.is_empty() {
            let usage = bytes.get(found.usage.clone())?;
            self.usage_latest.clear();
            self.usage_latest.extend_from_slice(usage);
        }
        let kind = self.shape.kind();
        self.seen.take_delivered(found.text_bytes, found.refusal_bytes, found.tool_bytes, kind);
        if !self.seen.sample.is_full() {
            self.sample_like(bytes, kind);
        }
        Some(found.len)
    }

    /// Apart from what each event goes through: an answer has enough of it soon.
    #[cold]
    #[inline(never)]
    fn sample_like(&mut self, bytes: &[u8], kind: KindOf) {
        self.shape.each_text(bytes, |text| self.seen.take_text(text, kind));
    }

    /// Remembers the shape of the event that has just ended; its document begins at `document_from`.
    pub(super) fn learn(&mut self, event: &[u8], document_from: usize) {
        let document = &self.document;
        // One that may have to be withheld is looked at each time. So is usage that was put together from several objects.
        let is_withheld = document.has_usage() && document.choices == Some(0);
        let is_last_word =
            !document.has_usage() || self.seen.usage_raw.as_deref().map(str::as_bytes) == Some(&document.usage);
        if is_withheld || !is_last_word {
            return self.shape.forget();
        }
        let kind = self.description.kind(&document.kind);
        self.shape.learn(Walked { event, document_from, document, kind, holes: self.watch.holes() });
    }

    /// What is known of the event before is of no use any more.
    pub(super) fn forget_shape(&mut self) {
        self.shape.forget();
    }

    /// What is known of the document so far.
    pub(super) fn passing(&self) -> Passing {
        Passing {
            has_usage: self.document.has_usage(),
            choices_empty: self.document.choices == Some(0),
            terminal: self.document.last || self.description.is_terminal(&self.document.kind),
            error: self.document.error,
        }
    }

    /// What was known of the document that ended last.
    pub(super) fn take_ended(&mut self) -> Passing {
        std::mem::take(&mut self.ended)
    }

    /// Whether the document may yet turn out to be the last of its stream.
    pub(super) fn may_be_terminal(&self) -> bool {
        self.description.has_terminal() && (self.is_between || self.document.kind.is_empty() || self.passing().terminal)
    }

    /// Takes the next bytes of a document, up to its end; says how many.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
        if self.is_between {
            self.begin(Kind::Untold);
        }
        self.watch.feed(bytes, &mut self.document)
    }

    /// Nothing more can be read of the stream.
    pub(super) fn lose(&mut self) {
        self.seen.damaged = true;
        self.begin(Kind::Untold);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.watch.is_complete()
    }
}

impl Documents for Collector {
    fn begin(&mut self, kind: Kind<'_>) {
        self.is_between = false;
        self.seen.take_usage_like(&self.usage_latest);
        self.usage_latest.clear();
        self.watch.restart();
        self.document.clear(kind, &self.seen);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.feed(bytes);
    }

    fn end(&mut self, intact: bool) {
        if self.is_between {
            self.begin(Kind::Untold);
        }
        self.ended = if intact { self.passing() } else { Passing::default() };
        if intact {
            self.seen.take(&self.document, self.description);
        } else {
            self.seen.damaged = true;
        }
        self.is_between = true;
    }
}
