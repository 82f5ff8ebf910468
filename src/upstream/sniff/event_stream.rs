//! Frames of `application/vnd.amazon.eventstream`: a document each, of the type that the frame's headers tell.

use tollgate_eventstream::{
    headers,
    reader::{Part, Reader},
    whole::Whole,
};

use super::{
    collect::Collector,
    documents::{Documents, Kind},
    frames::Ended,
};

/// Where in a stream of frames the next byte stands.
#[derive(Debug, Default)]
pub(super) struct EventFrames {
    reader: Reader,
    /// Headers of the frame whose document's shape is remembered.
    headers: Vec<u8>,
}

impl EventFrames {
    /// Takes a whole frame with the headers of the one before and a document of its shape. Its checksums are checked all the same.
    pub(super) fn take_like(&self, bytes: &[u8], documents: &mut Collector) -> Option<usize> {
        let whole = Whole::first_of(bytes)?;
        (whole.headers == self.headers && whole.is_intact()).then_some(())?;
        documents.take_whole_like(whole.payload).then_some(whole.bytes.len())
    }

    /// Remembers headers and document of the frame that has just ended.
    pub(super) fn learn(&mut self, bytes: &[u8], documents: &mut Collector) {
        match Whole::first_of(bytes) {
            Some(whole) if whole.bytes.len() == bytes.len() && whole.is_intact() => {
                self.headers.clear();
                self.headers.extend_from_slice(whole.headers);
                documents.learn(whole.payload, 0);
            }
            _ => documents.forget_shape(),
        }
    }

    /// Takes bytes of one frame. Behind a frame whose extent is lost nothing can be read.
    pub(super) fn take(&mut self, bytes: &[u8], documents: &mut Collector) -> (usize, Option<Ended>) {
        let mut rest = bytes;
        loop {
            match self.reader.next(&mut rest) {
                Ok(Some(Part::Head)) => documents.begin(kind_of(self.reader.headers().kind())),
                Ok(Some(Part::Payload(payload))) => documents.data(payload),
                Ok(Some(Part::End { intact })) => {
                    documents.end(intact);
                    return (bytes.len() - rest.len(), Some(Ended { is_last: false }));
                }
                Ok(None) => return (bytes.len(), None),
                Err(_lost) => {
                    documents.lose();
                    return (bytes.len(), None);
                }
            }
        }
    }
}

const fn kind_of(kind: headers::Kind<'_>) -> Kind<'_> {
    match kind {
        headers::Kind::Event(name) => Kind::Event(name),
        headers::Kind::Exception(name) | headers::Kind::Error(name) => Kind::Exception(name),
        headers::Kind::Untold => Kind::Untold,
    }
}
