//! What a frame reader tells: which documents pass, in pieces, as the bytes come.

/// Takes the documents of an answer. A reader of frames calls `begin`, any number of `data`, and `end`, for each.
pub trait Documents {
    /// A document begins, of the type that its frame tells.
    fn begin(&mut self, kind: Kind<'_>);
    /// The next bytes of the document.
    fn data(&mut self, bytes: &[u8]);
    /// The document is complete; not `intact` when its checksum says that its bytes are damaged: what it said is forgotten.
    fn end(&mut self, intact: bool);
}

/// The type that a frame tells of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// No type.
    Untold,
    /// An event of this type.
    Event(&'a str),
    /// An error of this type.
    Exception(&'a str),
}
