//! What was seen of an answer, document by document. The last non-null value of each field wins: numbers are cumulative.

use super::{
    document::{Document, Items},
    ended::Ended,
    merge::merge_usage,
    path::Slot,
    sample::Sample,
};
use crate::upstream::dialect::{
    Dialect, Framing,
    description::{Description, KindOf},
};

/// What was seen of an answer so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sniffed {
    /// The dialect in which it came.
    pub dialect: Dialect,
    /// How it was framed.
    pub framing: Framing,
    /// The usage object, merged from all that came, at most 64 KiB.
    pub usage_raw: Option<String>,
    /// No usage object came but one whose output is a placeholder.
    pub usage_is_placeholder: bool,
    /// A usage object was too large to be kept.
    pub usage_overflow: bool,
    /// Usage told a second time, by other names.
    pub metrics_raw: Option<String>,
    /// Usage as the response's headers tell it, a JSON object of counts.
    pub headers_raw: Option<String>,
    /// llama.cpp's `timings` object, which alone tells of cache reads.
    pub timings_raw: Option<String>,
    /// Members of the usage that stand outside any usage object, as they came.
    pub members: Vec<(&'static str, String)>,
    /// The model that served.
    pub model: Option<String>,
    /// Why the first choice that said so finished.
    pub finish: Option<String>,
    /// The same, more exactly.
    pub reason: Option<String>,
    /// Why the prompt was blocked.
    pub blocked: Option<String>,
    /// The result comes later.
    pub pending: bool,
    /// The tier that served.
    pub tier: Option<String>,
    /// An error object stood where the answer should be.
    pub error_seen: bool,
    /// A message or delta carried a refusal.
    pub refusal_seen: bool,
    /// The terminal event came.
    pub done: bool,
    /// How many answers were asked for at once.
    pub choices_asked: u64,
    /// Those of them that said why they ended.
    pub choices_ended: Ended,
    /// Usage came that is told when all of them have ended.
    pub closing_usage: bool,
    /// The array that the stream is has begun and not ended.
    pub is_within_array: bool,
    /// Something of an answer was there, however empty.
    pub answer_seen: bool,
    /// UTF-8 bytes of delivered text and reasoning.
    pub delivered_bytes: u64,
    /// UTF-8 bytes of delivered tool arguments.
    pub tool_bytes: u64,
    /// Of the text, bytes of reasoning that only the provider can read.
    pub sealed_bytes: u64,
    /// The beginning of the rest of both.
    pub sample: Sample,
    /// Bytes of an answer that is not looked into.
    pub opaque_bytes: u64,
    /// Pictures.
    pub images: u64,
    /// Searches of the web that grounded the answer.
    pub searches: u64,
    /// Output items that a stream told one by one.
    pub items_told: Items,
    /// Output items of the complete answer.
    pub items_final: Items,
    /// Messages that began: more than one is two answers in one stream.
    pub starts: u32,
    /// A frame's checksum did not match.
    pub damaged: bool,
    /// A whole body: it is one complete JSON object. Documents: some document was.
    pub is_json_object: bool,
    /// A member stood in it that answers of its dialect have.
    pub is_told: bool,
}

impl Sniffed {
    /// Whether nothing of the answer can be missing, as far as it told itself.
    #[must_use]
    pub fn says_its_end(&self) -> bool {
        self.done || !self.is_within_array && (self.has_finished() || self.blocked.is_some() || self.error_seen)
    }

    /// Whether the answer told why it ended, each of them where several were asked for, so that its usage is the last word.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        self.finish.is_some()
            && (self.choices_asked <= 1 || self.closing_usage || self.choices_ended.count() >= self.choices_asked)
    }

    /// All delivered bytes, the base of an output estimate.
    #[must_use]
    pub const fn output_bytes(&self) -> u64 {
        self.delivered_bytes.saturating_add(self.tool_bytes)
    }

    /// Takes what a document said.
    pub(super) fn take(&mut self, document: &Document, description: &Description) {
        let kind = description.kind(&document.kind);
        self.take_usage(document);
        self.take_words(document);
        self.take_delivered(document.text_bytes, document.refusal_bytes, document.tool_bytes, kind);
        self.take_text(document.sample.bytes(), kind);
        if kind != KindOf::Silent {
            self.sealed_bytes = self.sealed_bytes.saturating_add(document.sealed_bytes);
        }
        self.take_counts(document, kind);
        self.is_json_object |= document.complete;
        self.is_told |= document.told;
        self.answer_seen |= document.answer || document.choices.is_some() || document.images.is_some();
        self.error_seen |= document.error || document.exception || kind == KindOf::Error;
        self.done |= document.last && document.complete;
        if document.complete {
            self.choices_ended.add_all(document.ended);
            self.closing_usage |= document.has_usage() && document.choices == Some(0) || document.metrics.is_some();
        }
        match kind {
            _ if !document.complete => {}
            KindOf::Start => self.starts = self.starts.saturating_add(1),
            KindOf::Finish | KindOf::Picture if self.finish.is_none() => {
                self.finish = String::from_utf8(document.kind.clone()).ok();
            }
            _ => {}
        }
    }

    fn take_usage(&mut self, document: &Document) {
        if document.has_usage() {
            // Also that of a second message in one stream: its count of output is none of what was delivered.
            self.usage_is_placeholder = document.usage_at_start;
            merge_usage(&mut self.usage_raw, &document.usage);
        }
        self.usage_overflow |= document.usage_overflow;
        keep(&mut self.metrics_raw, document.metrics.as_ref());
        keep(&mut self.timings_raw, document.timings.as_ref());
        for (name, value) in &document.members {
            match self.members.iter_mut().find(|(known, _)| known == name) {
                Some((_, kept)) => kept.clone_from(value),
                None => self.members.push((name, value.clone())),
            }
        }
    }

    /// Takes a usage object that differs in its counts only from the one that was taken last, and that said all that is known.
    /// Empty: none came.
    pub(super) fn take_usage_like(&mut self, usage: &[u8]) {
        if let (false, Some(known), Ok(usage)) = (usage.is_empty(), &mut self.usage_raw, std::str::from_utf8(usage)) {
            // Keeps its room.
            known.clear();
            known.push_str(usage);
        }
    }

    fn take_words(&mut self, document: &Document) {
        for (slot, word) in document.words() {
            let kept = match slot {
                Slot::Model => &mut self.model,
                // A document that broke off has not told its end to anybody.
                Slot::Finish | Slot::Reason if !document.complete => continue,
                Slot::Finish if matches!(&*word, "in_progress" | "queued") => {
                    self.pending = true;
                    continue;
                }
                Slot::Finish if word == "FINISH_REASON_UNSPECIFIED" => continue,
                Slot::Finish => {
                    self.pending = false;
                    &mut self.finish
                }
                Slot::Reason => &mut self.reason,
                Slot::Blocked => &mut self.blocked,
                Slot::Tier => &mut self.tier,
                _ => continue,
            };
            // It stands in every document of some streams.
            if kept.as_deref() != Some(&*word) {
                *kept = Some(word.into_owned());
            }
        }
    }

    /// Takes bytes that a document of this type delivered.
    pub(super) fn take_delivered(&mut self, mut text: u64, mut refusal: u64, mut tool: u64, kind: KindOf) {
        match kind {
            KindOf::Silent => text = 0,
            KindOf::Arguments => tool = tool.saturating_add(std::mem::take(&mut text)),
            KindOf::Refusal => refusal = refusal.saturating_add(std::mem::take(&mut text)),
            _ => {}
        }
        self.refusal_seen |= refusal > 0;
        self.delivered_bytes = self.delivered_bytes.saturating_add(text).saturating_add(refusal);
        self.tool_bytes = self.tool_bytes.saturating_add(tool);
    }

    /// Takes the text that a document of this type delivered.
    pub(super) fn take_text(&mut self, text: &[u8], kind: KindOf) {
        if kind != KindOf::Silent && !text.is_empty() {
            self.sample.push(text);
        }
    }

    fn take_counts(&mut self, document: &Document, kind: KindOf) {
        if let Some(images) = document.images {
            self.images = images;
        }
        if kind == KindOf::Picture {
            self.images = self.images.saturating_add(1);
        }
        if let Some(searches) = document.searches.filter(|searches| *searches > 0) {
            self.searches = searches;
        }
        match kind {
            KindOf::ItemDone => self.items_told.add(&document.items),
            _ if document.items.count > 0 && kind != KindOf::Silent => self.items_final = document.items,
            _ => {}
        }
    }
}

fn keep(kept: &mut Option<String>, value: Option<&String>) {
    if let Some(value) = value {
        *kept = Some(value.clone());
    }
}
