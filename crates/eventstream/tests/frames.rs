//! Frames read and written: split anywhere, damaged anywhere.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use proptest::prelude::*;
use tollgate_eventstream::{
    HEADERS_BYTES_MAX, PAYLOAD_BYTES_MAX,
    headers::{HEADERS_MAX, Kind},
    reader::{Lost, Part, Reader},
    writer::{self, TooLong},
};

/// One frame as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    kind: String,
    payload: Vec<u8>,
    intact: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Read {
    frames: Vec<Seen>,
    lost: Option<Lost>,
    between_frames: bool,
}

fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let mut reader = Reader::new();
    let mut read = Read::default();
    let (mut kind, mut payload) = (String::new(), Vec::new());
    for mut chunk in chunks {
        loop {
            match reader.next(&mut chunk) {
                Ok(Some(Part::Head)) => {
                    kind = format!("{:?}", reader.headers().kind());
                    payload = Vec::new();
                }
                Ok(Some(Part::Payload(bytes))) => {
                    assert!(!bytes.is_empty());
                    payload.extend_from_slice(bytes);
                }
                Ok(Some(Part::End { intact })) => {
                    read.frames.push(Seen { kind: std::mem::take(&mut kind), payload: payload.clone(), intact });
                }
                Ok(None) => {
                    assert!(chunk.is_empty(), "bytes were left");
                    break;
                }
                Err(lost) => {
                    read.lost = Some(lost);
                    break;
                }
            }
        }
    }
    read.between_frames = reader.is_between_frames();
    read
}

fn stream() -> Vec<u8> {
    [
        writer::event("messageStart", br#"{"role":"assistant"}"#).unwrap(),
        writer::frame(&[(":event-type", "contentBlockDelta")], br#"{"delta":{"text":"alpha"}}"#).unwrap(),
        writer::frame(&[], b"").unwrap(),
        writer::exception("throttlingException", br#"{"message":"slow down"}"#).unwrap(),
        writer::frame(&[(":message-type", "error"), (":error-code", "500"), (":error-message", "x")], b"").unwrap(),
    ]
    .concat()
}

#[test]
fn frames_say_what_they_are() {
    let read = read([stream().as_slice()]);
    let kinds: Vec<&str> = read.frames.iter().map(|frame| frame.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            r#"Event("messageStart")"#,
            r#"Event("contentBlockDelta")"#,
            "Untold",
            r#"Exception("throttlingException")"#,
            r#"Error("500")"#
        ]
    );
    assert!(read.frames.iter().all(|frame| frame.intact) && read.between_frames && read.lost.is_none());
    assert_eq!(read.frames[1].payload, br#"{"delta":{"text":"alpha"}}"#);
}

/// From the format's published description: an empty frame, and one with an integer header.
#[test]
fn known_frames_are_read() {
    let empty = hex::decode("000000100000000005c248eb7d98c8ff").unwrap();
    assert_eq!(writer::frame(&[], b"").unwrap(), empty);
    let with_header =
        hex::decode("0000002d0000001041c424b80a6576656e742d74797065040000a00c7b27666f6f273a27626172277d36f480a0")
            .unwrap();
    for bytes in [empty.as_slice(), with_header.as_slice()] {
        let read = read([bytes]);
        assert!(read.frames.len() == 1 && read.frames[0].intact, "{read:?}");
    }
}

#[test]
fn a_stream_split_at_any_two_places_reads_the_same() {
    let stream = stream();
    let whole = read([stream.as_slice()]);
    assert_eq!(read(stream.chunks(1)), whole);
    for first in 0..=stream.len() {
        for second in (first..=stream.len()).step_by(7) {
            let parts = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(read(parts), whole, "{first} {second}");
        }
    }
}

#[test]
fn any_flipped_bit_anywhere_is_found() {
    let stream = stream();
    let whole = read([stream.as_slice()]);
    for at in 0..stream.len() {
        for bit in 0..8 {
            let mut damaged = stream.clone();
            damaged[at] ^= 1 << bit;
            let read = read([damaged.as_slice()]);
            let found = read.lost.is_some() || read.frames.iter().any(|frame| !frame.intact);
            assert!(found, "byte {at} bit {bit}: {read:?}");
            // What is called intact is what was sent.
            assert!(read.frames.iter().filter(|frame| frame.intact).all(|frame| whole.frames.contains(frame)));
        }
    }
}

#[test]
fn a_damaged_payload_spoils_its_own_frame_only() {
    let mut stream = stream();
    let first = writer::event("messageStart", br#"{"role":"assistant"}"#).unwrap().len();
    stream[first - 6] ^= 1;
    let intact: Vec<bool> = read([stream.as_slice()]).frames.iter().map(|frame| frame.intact).collect();
    assert_eq!(intact, [false, true, true, true, true]);
}

#[test]
fn a_stream_cut_anywhere_within_a_frame_does_not_end_between_frames() {
    let stream = stream();
    let mut ends = vec![0];
    for end in 1..=stream.len() {
        let read = read([&stream[..end]]);
        assert!(read.lost.is_none());
        if read.between_frames {
            ends.push(end);
        }
    }
    assert_eq!(ends.len(), 6);
}

/// A frame with a right checksum over lengths that cannot be.
fn prelude(total: u32, headers: u32) -> Vec<u8> {
    let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

#[test]
fn impossible_lengths_are_refused_before_anything_is_kept() {
    let large = u32::try_from(PAYLOAD_BYTES_MAX + 17).unwrap();
    let long = u32::try_from(HEADERS_BYTES_MAX + 1).unwrap();
    for (total, headers) in [(0, 0), (15, 0), (16, 1), (u32::MAX, 0), (large, 0), (long + 16, long), (16, u32::MAX)] {
        let read = read([prelude(total, headers).as_slice()]);
        assert_eq!(read.lost, Some(Lost::Lengths), "{total} {headers}");
    }
    assert_eq!(read([prelude(large - 1, 0).as_slice()]).lost, None);
}

/// A frame with right checksums around any headers.
fn with_headers(headers: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap();
    let mut frame = prelude(length(16 + headers.len()), length(headers.len()));
    frame.extend_from_slice(headers);
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

#[test]
fn headers_that_are_none_spoil_the_frame() {
    let twice = [b"\x01a\x07\x00\x01x".as_slice(), b"\x01a\x07\x00\x01y"].concat();
    let many: Vec<u8> =
        (0..=HEADERS_MAX).flat_map(|n| [&[3][..], format!("{n:03}").as_bytes(), &[0]].concat()).collect();
    for headers in [
        b"\x05ab".as_slice(),
        b"\x01a",
        b"\x01a\x0a",
        b"\x01a\x07\x00\x05abc",
        b"\x01\xff\x00",
        b"\x01a\x07\x00\x01\xff",
        b"\x01a\x05\x00",
        &twice,
        &many,
    ] {
        let read = read([with_headers(headers).as_slice()]);
        assert!(read.lost.is_none() && read.frames.len() == 1 && !read.frames[0].intact, "{headers:?}");
    }
    // Every type of value is stepped over.
    let all = [
        b"\x01a\x00\x01b\x01\x01c\x02x\x01d\x03xx\x01e\x04xxxx\x01f\x05xxxxxxxx\x01g\x06\x00\x02xx".as_slice(),
        b"\x01h\x08xxxxxxxx\x01i\x09xxxxxxxxxxxxxxxx\x0b:event-type\x07\x00\x02hi",
    ]
    .concat();
    let read = read([with_headers(&all).as_slice()]);
    assert_eq!(read.frames, [Seen { kind: r#"Event("hi")"#.to_owned(), payload: Vec::new(), intact: true }]);
}

#[test]
fn what_does_not_fit_is_not_written() {
    let long = "x".repeat(70_000);
    assert_eq!(writer::frame(&[("a", &long)], b""), Err(TooLong));
    assert_eq!(writer::frame(&[(&long[..256], "a")], b""), Err(TooLong));
    let long = &long[..60_000];
    assert_eq!(writer::frame(&[("a", long), ("b", long), ("c", long)], b""), Err(TooLong));
    assert_eq!(writer::event("x", &vec![0; PAYLOAD_BYTES_MAX + 1]), Err(TooLong));
    assert!(writer::frame(&[(&long[..255], long)], b"").is_ok());
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        kind in "[a-zA-Z]{0,40}",
        payload in prop::collection::vec(any::<u8>(), 0..3000),
        sizes in prop::collection::vec(1_usize..400, 1..40),
    ) {
        let bytes = writer::event(&kind, &payload).unwrap().repeat(2);
        let mut chunks = Vec::new();
        let mut rest = bytes.as_slice();
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() { break; }
            let (chunk, behind) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk);
            rest = behind;
        }
        let frame = Seen { kind: format!("{:?}", Kind::Event(&kind)), payload, intact: true };
        prop_assert_eq!(read(chunks).frames, [frame.clone(), frame]);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let read = read([bytes.as_slice()]);
        prop_assert!(read.frames.iter().all(|frame| !frame.intact));
    }
}
