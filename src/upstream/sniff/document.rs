//! What stood at the watched paths of one document; its room is used again for the next.

use std::borrow::Cow;

use super::{
    documents::Kind,
    ended::Ended,
    path::{Counted, Delivered, Slot},
    sample::Sample,
    seen::Sniffed,
};

/// Most words, such as why a choice finished, that are kept of one document.
const WORDS_MAX: usize = 16;
/// So many more there may be of those that a document has once: the model, its tier. Many choices must not push them out.
const WORDS_ONCE_MAX: usize = 4;
/// Longest word.
const WORD_BYTES_MAX: usize = 256;
/// Most documents have no more bytes of words.
const WORDS_BYTES_USUAL: usize = 128;

/// What one document said.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Its type, as itself or its frame says.
    pub(super) kind: Vec<u8>,
    /// Its frame calls it an exception.
    pub(super) exception: bool,
    /// Its usage object; empty when there is none.
    pub(super) usage: Vec<u8>,
    pub(super) usage_at_start: bool,
    /// A usage object was too large to be kept.
    pub(super) usage_overflow: bool,
    pub(super) metrics: Option<String>,
    pub(super) timings: Option<String>,
    words: Vec<(Slot, std::ops::Range<usize>)>,
    /// The words' bytes, as they came.
    words_raw: Vec<u8>,
    pub(super) members: Vec<(&'static str, String)>,
    /// Whether the model's name is known from earlier documents.
    pub(super) model_known: bool,
    pub(super) text_bytes: u64,
    pub(super) refusal_bytes: u64,
    pub(super) tool_bytes: u64,
    /// Of the text, what only the provider can read.
    pub(super) sealed_bytes: u64,
    /// The beginning of what it delivers.
    pub(super) sample: Sample,
    /// Whether enough is kept of earlier documents.
    pub(super) is_sampled: bool,
    pub(super) choices: Option<u64>,
    pub(super) images: Option<u64>,
    pub(super) searches: Option<u64>,
    pub(super) items: Items,
    item: Item,
    choice: Choice,
    /// Answers that said in it why they ended.
    pub(super) ended: Ended,
    pub(super) answer: bool,
    /// A member stood in it that is watched.
    pub(super) told: bool,
    pub(super) error: bool,
    pub(super) last: bool,
    /// It is one complete JSON object.
    pub(super) complete: bool,
    /// It may have said or delivered something that stands in no hole: in an object that is not looked into, or encoded.
    pub(super) has_depths: bool,
}

/// Output items by what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// All items.
    pub count: u64,
    /// Searches of the web.
    pub web_searches: u64,
    /// Other tools that ran at the provider and are billed by the call.
    pub tool_calls: u64,
    /// Pictures made.
    pub images: u64,
}

impl Items {
    /// Adds those of another document.
    pub(super) const fn add(&mut self, more: &Self) {
        self.count = self.count.saturating_add(more.count);
        self.web_searches = self.web_searches.saturating_add(more.web_searches);
        self.tool_calls = self.tool_calls.saturating_add(more.tool_calls);
        self.images = self.images.saturating_add(more.images);
    }
}

#[derive(Debug, Default)]
struct Item {
    kind: Option<String>,
    action: Option<String>,
}

/// One of several answers, as far as the document has told of it.
#[derive(Debug, Default)]
struct Choice {
    /// Its number: the first where none is told.
    number: u64,
    has_ended: bool,
}

impl Document {
    /// Forgets everything but its room.
    pub(super) fn clear(&mut self, kind: Kind<'_>, known: &Sniffed) {
        let Self { kind: room, usage, words, words_raw, members, sample, .. } = std::mem::take(self);
        *self = Self { kind: room, usage, words, words_raw, members, sample, ..Self::default() };
        self.kind.clear();
        self.usage.clear();
        self.words.clear();
        self.words_raw.clear();
        self.members.clear();
        self.is_sampled = known.sample.is_full();
        if self.is_sampled {
            self.sample = Sample::default();
        } else {
            self.sample.clear();
        }
        self.model_known = known.model.is_some();
        match kind {
            Kind::Untold => {}
            Kind::Event(name) => self.kind.extend_from_slice(name.as_bytes()),
            Kind::Exception(name) => {
                self.kind.extend_from_slice(name.as_bytes());
                self.exception = true;
            }
        }
    }

    pub(super) const fn has_usage(&self) -> bool {
        !self.usage.is_empty()
    }

    /// Whether the same document once more would change nothing but what was delivered, and its counts once more the counts.
    pub(super) const fn only_tells_progress(&self) -> bool {
        self.complete
            && !self.has_depths
            && !self.usage_overflow
            && !self.exception
            && !self.last
            && self.metrics.is_none()
            && self.timings.is_none()
            && self.members.is_empty()
            && self.images.is_none()
            && self.searches.is_none()
            && self.items.count == 0
            && self.ended.is_empty()
    }

    /// Notes a value that was captured; null is as good as absent. A usage object is swapped with what was noted before, which the
    /// caller throws away.
    pub(super) fn note(&mut self, slot: Slot, captured: &mut Vec<u8>) {
        let value = captured.as_slice();
        if value == b"null" {
            return;
        }
        match slot {
            Slot::Usage | Slot::UsageAtStart => {
                if value.first() == Some(&b'{') {
                    std::mem::swap(&mut self.usage, captured);
                    self.usage_at_start = slot == Slot::UsageAtStart;
                }
            }
            Slot::Metrics => self.metrics = text(value),
            Slot::Timings => self.timings = text(value),
            Slot::Kind => {
                self.kind.clear();
                self.kind.extend_from_slice(value.trim_ascii().strip_prefix(b"\"").unwrap_or(value));
                self.kind.pop_if(|last| *last == b'"');
            }
            Slot::ItemType => self.item.kind = word(value).map(Cow::into_owned),
            Slot::ItemAction => self.item.action = word(value).map(Cow::into_owned),
            Slot::Index => self.choice.number = number(value),
            Slot::Model | Slot::Finish | Slot::Reason | Slot::Blocked | Slot::Tier => {
                if slot == Slot::Finish {
                    self.choice.has_ended = !matches!(value, b"\"\"" | b"\"FINISH_REASON_UNSPECIFIED\"");
                }
                let is_once = matches!(slot, Slot::Model | Slot::Tier);
                let max = if is_once { WORDS_MAX + WORDS_ONCE_MAX } else { WORDS_MAX };
                if self.words.len() < max && value.len() <= WORD_BYTES_MAX {
                    if self.words_raw.capacity() == 0 {
                        self.words_raw.reserve(WORDS_BYTES_USUAL);
                    }
                    let from = self.words_raw.len();
                    self.words_raw.extend_from_slice(value);
                    self.words.push((slot, from..self.words_raw.len()));
                }
            }
        }
    }

    /// The words that it says, empty ones left out.
    pub(super) fn words(&self) -> impl Iterator<Item = (Slot, Cow<'_, str>)> {
        let words = self.words.iter();
        words.filter_map(|(slot, range)| Some((*slot, word(self.words_raw.get(range.clone())?)?)))
    }

    /// Notes a loose member of the usage.
    pub(super) fn note_member(&mut self, name: &'static str, value: &[u8]) {
        if value != b"null"
            && self.members.len() < WORDS_MAX
            && let Some(value) = text(value)
        {
            self.members.push((name, value));
        }
    }

    /// Counts what is delivered: so many bytes of UTF-8, which are this text.
    pub(super) fn delivered(&mut self, to: Delivered, bytes: u64, text: &[u8]) {
        let count = match to {
            Delivered::Text | Delivered::Sealed => &mut self.text_bytes,
            Delivered::Refusal => &mut self.refusal_bytes,
            Delivered::Tool => &mut self.tool_bytes,
        };
        *count = count.saturating_add(bytes);
        if to == Delivered::Sealed {
            self.sealed_bytes = self.sealed_bytes.saturating_add(bytes);
        } else if !self.is_sampled {
            self.sample.push(text);
        }
    }

    /// An array whose elements are counted begins; there may be several.
    pub(super) fn begin_count(&mut self, counted: Counted) {
        self.count_of(counted).get_or_insert(0);
    }

    pub(super) fn count_one(&mut self, counted: Counted) {
        let count = self.count_of(counted);
        *count = count.map(|count| count.saturating_add(1));
    }

    const fn count_of(&mut self, counted: Counted) -> &mut Option<u64> {
        match counted {
            Counted::Choices => &mut self.choices,
            Counted::Images => &mut self.images,
            Counted::Searches => &mut self.searches,
        }
    }

    /// One of several answers begins.
    pub(super) fn begin_choice(&mut self) {
        self.choice = Choice::default();
    }

    /// What the document tells of one of several answers is over.
    pub(super) fn end_choice(&mut self) {
        let Choice { number, has_ended } = std::mem::take(&mut self.choice);
        if has_ended {
            self.ended.add(number);
        }
    }

    /// An output item ended.
    pub(super) fn end_item(&mut self) {
        let Item { kind, action } = std::mem::take(&mut self.item);
        let items = &mut self.items;
        items.count = items.count.saturating_add(1);
        let count = match kind.as_deref() {
            // Opening a page that was found costs nothing.
            Some("web_search_call") if action.as_deref().is_none_or(|action| action == "search") => {
                &mut items.web_searches
            }
            Some("image_generation_call") => &mut items.images,
            // A call of an MCP server costs its tokens only.
            Some("file_search_call" | "code_interpreter_call" | "x_search_call") => &mut items.tool_calls,
            _ => return,
        };
        *count = count.saturating_add(1);
    }
}

/// A whole number; the first where it is none.
fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn text(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().map(str::to_owned)
}

/// A JSON string that is not empty.
fn word(value: &[u8]) -> Option<Cow<'_, str>> {
    let plain = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let word = if plain.contains(&b'\\') {
        Cow::Owned(serde_json::from_slice::<String>(value).ok()?)
    } else {
        Cow::Borrowed(std::str::from_utf8(plain).ok()?)
    };
    (!word.is_empty()).then_some(word)
}
