//! `application/vnd.amazon.eventstream` as documents: finds them as their bytes pass, and says when they are damaged.
//!
//! A document that was damaged is forgotten, the next ones still count: its length is under a checksum of its own. When that
//! one is wrong, nothing behind it can be read.

use bytes::Bytes;
use tollgate_eventstream::{
    headers,
    reader::{Part, Reader},
    writer,
};

use super::sniff::documents::{Documents, Kind};

/// Where in a stream of frames the next byte stands.
#[derive(Debug, Default)]
pub struct EventFrames {
    reader: Reader,
    /// A frame's type is not known yet.
    in_head: bool,
    lost: bool,
}

impl EventFrames {
    /// Takes bytes, at most to the end of a frame; says how many, and whether they ended one.
    pub fn take(&mut self, bytes: &[u8], documents: &mut impl Documents) -> (usize, bool) {
        if self.lost {
            return (bytes.len(), false);
        }
        let mut rest = bytes;
        self.in_head |= self.reader.is_between_frames();
        loop {
            match self.reader.next(&mut rest) {
                Ok(Some(Part::Head)) => {
                    self.in_head = false;
                    documents.begin(kind(&self.reader));
                }
                Ok(Some(Part::Payload(payload))) => documents.data(payload),
                Ok(Some(Part::End { intact })) => {
                    documents.end(intact);
                    return (bytes.len() - rest.len(), true);
                }
                Ok(None) => return (bytes.len(), false),
                Err(_lost) => {
                    documents.begin(Kind::Untold);
                    documents.end(false);
                    self.lost = true;
                    self.in_head = false;
                    return (bytes.len(), false);
                }
            }
        }
    }

    /// Whether the frame that has begun may yet turn out to be of any type.
    #[must_use]
    pub fn is_untold(&self) -> bool {
        self.in_head && !self.reader.is_between_frames()
    }

    /// Whether the bytes so far end with a frame's end.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        !self.lost && self.reader.is_between_frames()
    }
}

fn kind(reader: &Reader) -> Kind<'_> {
    match reader.headers().kind() {
        headers::Kind::Event(name) => Kind::Event(name),
        headers::Kind::Exception(name) | headers::Kind::Error(name) => Kind::Exception(name),
        headers::Kind::Untold => Kind::Untold,
    }
}

/// A frame that tells a client that its stream broke off, in the words of the service: `modelStreamErrorException`,
/// `internalServerException`, `serviceUnavailableException`, `throttlingException` or `validationException`.
#[must_use]
pub fn exception(kind: &str, message: &str) -> Bytes {
    let payload = serde_json::json!({ "message": message }).to_string();
    // Words of ours always fit.
    writer::exception(kind, payload.as_bytes()).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documents as they were told, each a line.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Documents for Told {
        fn begin(&mut self, kind: Kind<'_>) {
            self.0.push(format!("{kind:?} "));
        }

        fn data(&mut self, bytes: &[u8]) {
            self.0.last_mut().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
        }

        fn end(&mut self, intact: bool) {
            self.0.last_mut().unwrap().push_str(if intact { " intact" } else { " damaged" });
        }
    }

    /// Documents, and the offsets at which frames ended.
    fn read(stream: &[u8], size: usize) -> (Vec<String>, Vec<usize>) {
        let (mut frames, mut told, mut ends) = (EventFrames::default(), Told::default(), Vec::new());
        let mut at = 0;
        for chunk in stream.chunks(size) {
            let mut rest = chunk;
            while !rest.is_empty() {
                let (taken, ended) = frames.take(rest, &mut told);
                at += taken;
                rest = &rest[taken..];
                ends.extend(ended.then_some(at));
            }
        }
        assert_eq!(at, stream.len());
        (told.0, ends)
    }

    fn stream() -> Vec<u8> {
        let first = writer::event("messageStart", br#"{"role":"assistant"}"#).unwrap();
        let second = writer::frame(&[(":event-type", "metadata")], br#"{"usage":{}}"#).unwrap();
        [first.as_slice(), &second, &exception("throttlingException", "slow")].concat()
    }

    #[test]
    fn documents_are_told_with_their_types_however_the_bytes_come() {
        let stream = stream();
        let (told, ends) = read(&stream, stream.len());
        assert_eq!(
            told,
            [
                r#"Event("messageStart") {"role":"assistant"} intact"#,
                r#"Event("metadata") {"usage":{}} intact"#,
                r#"Exception("throttlingException") {"message":"slow"} intact"#
            ]
        );
        assert_eq!(ends.last(), Some(&stream.len()));
        for size in 1..stream.len() {
            assert_eq!(read(&stream, size), (told.clone(), ends.clone()), "{size}");
        }
    }

    #[test]
    fn a_flipped_bit_damages_its_document_and_no_damaged_one_is_told_intact() {
        let stream = stream();
        let (whole, _) = read(&stream, stream.len());
        for at in 0..stream.len() {
            let mut damaged = stream.clone();
            damaged[at] ^= 1;
            let (told, _) = read(&damaged, 13);
            assert!(told.iter().any(|line| line.ends_with("damaged")), "byte {at}: {told:?}");
            assert!(told.iter().filter(|line| line.ends_with("intact")).all(|line| whole.contains(line)), "byte {at}");
        }
    }

    #[test]
    fn a_frame_is_untold_until_its_headers_are_there() {
        let frame = writer::event("metadata", b"{}").unwrap();
        let mut frames = EventFrames::default();
        let mut told = Told::default();
        let headers_end = frame.len() - 4 - 2;
        for (at, byte) in frame.iter().enumerate() {
            frames.take(&[*byte], &mut told);
            assert_eq!(frames.is_untold(), at + 1 < headers_end, "{at}");
            assert_eq!(frames.is_between_frames(), at + 1 == frame.len(), "{at}");
        }
    }
}
