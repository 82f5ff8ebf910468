//! The words in which a dialect says what its documents hold: which paths are watched, and what stands there.
//!
//! Every path that is not named is skipped, however much it looks like one that is.

/// An object whose members are looked at.
#[derive(Debug)]
pub(in crate::upstream) struct Node {
    pub(in crate::upstream) members: &'static [(&'static str, Field)],
    /// What it means that such an object stands here.
    pub(in crate::upstream) role: Role,
}

/// What an object is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Role {
    /// Nothing by itself.
    Plain,
    /// It is a part of an answer: something was delivered.
    Answer,
    /// One of the answers that were asked for at once, which has a number and an end of its own.
    Choice,
    /// An output item, counted by its type when it ends.
    Item,
}

/// What a value is to us.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) enum Field {
    /// Nothing.
    Unwatched,
    /// An object to look into.
    Into(&'static Node),
    /// An array of objects to look into.
    Each(&'static Node),
    /// The same, and its elements are counted.
    Count(Counted, &'static Node),
    /// Kept as it came.
    Keep(Slot),
    /// A loose member of the usage that stands outside any usage object.
    Member(&'static str),
    /// A string that is delivered; an array of parts is looked into.
    Text(Delivered, Option<&'static Node>),
    /// A value that is delivered, whatever it is: its bytes count as they stand.
    Raw(Delivered),
    /// That it is there matters, unless it is null or false.
    Mark(Mark),
    /// A string that holds a document in base64.
    Base64(&'static Node),
}

/// What is kept of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Slot {
    /// A usage object.
    Usage,
    /// A usage object that came before the answer: its output is a placeholder.
    UsageAtStart,
    /// Usage told a second time, by other names, where the first is missing.
    Metrics,
    /// llama.cpp's `timings`.
    Timings,
    /// The document's type.
    Kind,
    /// The model that served.
    Model,
    /// Why the answer ended.
    Finish,
    /// The number of one of several answers.
    Index,
    /// Why, more exactly.
    Reason,
    /// Why the prompt was blocked.
    Blocked,
    /// The tier that served.
    Tier,
    /// An output item's type.
    ItemType,
    /// What an output item did.
    ItemAction,
}

/// Elements that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Counted {
    Choices,
    Images,
    Searches,
}

/// Where delivered bytes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Delivered {
    /// Text and reasoning.
    Text,
    /// A refusal, which is text too.
    Refusal,
    /// Arguments of tool calls.
    Tool,
    /// Reasoning that only the provider can read: how many tokens it is, its letters do not tell.
    Sealed,
}

/// What is noted when it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Mark {
    /// A part of an answer.
    Answer,
    /// An error.
    Error,
    /// The last document of a stream.
    Last,
}

/// An object with these members.
pub(in crate::upstream) const fn node(members: &'static [(&'static str, Field)]) -> Node {
    Node { members, role: Role::Plain }
}

/// An object with these members that is a part of an answer.
pub(in crate::upstream) const fn answer(members: &'static [(&'static str, Field)]) -> Node {
    Node { members, role: Role::Answer }
}

/// An object with these members that is one of the answers that were asked for.
pub(in crate::upstream) const fn choice(members: &'static [(&'static str, Field)]) -> Node {
    Node { members, role: Role::Choice }
}

/// An output item with these members.
pub(in crate::upstream) const fn item(members: &'static [(&'static str, Field)]) -> Node {
    Node { members, role: Role::Item }
}

/// Text and reasoning in a string.
pub(in crate::upstream) const TEXT: Field = Field::Text(Delivered::Text, None);
/// Encrypted reasoning in a string.
pub(in crate::upstream) const SEALED: Field = Field::Text(Delivered::Sealed, None);
/// A refusal in a string.
pub(in crate::upstream) const REFUSAL: Field = Field::Text(Delivered::Refusal, None);
/// Arguments of a tool call, in a string or as an object.
pub(in crate::upstream) const ARGUMENTS: Field = Field::Raw(Delivered::Tool);
/// An error, unless null.
pub(in crate::upstream) const ERROR: Field = Field::Mark(Mark::Error);
/// Something that is only there in an answer.
pub(in crate::upstream) const PRESENT: Field = Field::Mark(Mark::Answer);
