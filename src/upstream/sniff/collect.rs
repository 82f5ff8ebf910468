//! Puts together what the documents of one answer say.

use super::{
    Sniffed,
    document::Document,
    documents::{Documents, Kind},
    watch::Watch,
};
use crate::upstream::dialect::{Dialect, Framing, description::Description};

/// What is known of the document that passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passing {
    /// A usage object stood in it.
    pub(super) has_usage: bool,
    /// Its list of choices was empty.
    pub(super) choices_empty: bool,
    /// It is the last of its stream.
    pub(super) terminal: bool,
}

/// Takes the documents of an answer.
#[derive(Debug)]
pub(super) struct Collector {
    description: &'static Description,
    watch: Watch,
    document: Document,
    seen: Sniffed,
    ended: Passing,
}

impl Collector {
    pub(super) fn new(dialect: Dialect, framing: Framing) -> Self {
        let description = dialect.description();
        let root = if framing.is_stream() { description.event } else { description.whole };
        let seen = Sniffed { dialect, framing, ..Sniffed::default() };
        Self { description, watch: Watch::new(root), document: Document::default(), seen, ended: Passing::default() }
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
        seen.take(&self.document, self.description);
        seen
    }

    /// What is known of the document so far.
    pub(super) fn passing(&self) -> Passing {
        Passing {
            has_usage: self.document.has_usage(),
            choices_empty: self.document.choices == Some(0),
            terminal: self.document.last || self.description.is_terminal(&self.document.kind),
        }
    }

    /// What was known of the document that ended last.
    pub(super) fn take_ended(&mut self) -> Passing {
        std::mem::take(&mut self.ended)
    }

    /// Whether the document may yet turn out to be the last of its stream.
    pub(super) fn may_be_terminal(&self) -> bool {
        self.description.has_terminal() && (self.document.kind.is_empty() || self.passing().terminal)
    }

    /// Takes the next bytes of a document, up to its end; says how many.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> usize {
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
        self.watch.restart();
        self.document.clear(kind, self.seen.model.is_some());
    }

    fn data(&mut self, bytes: &[u8]) {
        self.feed(bytes);
    }

    fn end(&mut self, intact: bool) {
        self.ended = if intact { self.passing() } else { Passing::default() };
        if intact {
            self.seen.take(&self.document, self.description);
        } else {
            self.seen.damaged = true;
        }
        self.begin(Kind::Untold);
    }
}
