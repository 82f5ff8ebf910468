//! What a dialect is, as data: where its documents hold what, and what its types of documents mean.

use crate::upstream::sniff::path::Node;

/// A dialect's description. One machine reads them all.
#[derive(Debug)]
pub(in crate::upstream) struct Description {
    /// The watched paths of an answer that is one document.
    pub(in crate::upstream) whole: &'static Node,
    /// The watched paths of one document of a stream.
    pub(in crate::upstream) event: &'static Node,
    /// Types of documents that mean something by themselves.
    pub(in crate::upstream) kinds: &'static [(&'static str, KindOf)],
    /// Whether the last document of a stream can be told from the others.
    pub(in crate::upstream) marks_last: bool,
}

/// What a document's type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum KindOf {
    /// Nothing: what it holds speaks for itself.
    Plain,
    /// An answer begins.
    Start,
    /// What it holds is no text, or was told before.
    Silent,
    /// Its text is arguments of a tool call.
    Arguments,
    /// Its text is a refusal.
    Refusal,
    /// An output item is complete.
    ItemDone,
    /// A picture is complete.
    Picture,
    /// The answer is complete; more may follow.
    Finish,
    /// The last document of the stream.
    Last,
    /// An error, the last document of the stream.
    Error,
}

impl Description {
    /// What this type means.
    pub(in crate::upstream) fn kind(&self, kind: &[u8]) -> KindOf {
        let known = self.kinds.iter().find(|(name, _)| name.as_bytes() == kind);
        known.map_or(KindOf::Plain, |(_, meaning)| *meaning)
    }

    /// Whether a document of this type is the last of its stream.
    pub(in crate::upstream) fn is_terminal(&self, kind: &[u8]) -> bool {
        matches!(self.kind(kind), KindOf::Last | KindOf::Error)
    }

    /// Whether the last document can be told from the others before it is complete.
    pub(in crate::upstream) const fn has_terminal(&self) -> bool {
        self.marks_last
    }
}
