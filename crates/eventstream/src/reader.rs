//! Looks on as frames pass, split anywhere. A push machine: payload is handed on as it comes, only headers are kept.
//!
//! Every byte is under a checksum: a flipped one is found at the end of its frame at the latest. Behind a broken prelude no
//! boundary is known any more, so nothing is read there.

use crc32fast::Hasher;

use crate::{CHECKSUM_BYTES, HEADERS_BYTES_MAX, PAYLOAD_BYTES_MAX, PRELUDE_BYTES, headers::Headers};

/// What the next bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A frame has begun and its headers are complete: [`Reader::headers`].
    Head,
    /// The next bytes of its payload; never empty.
    Payload(&'a [u8]),
    /// It is complete; not `intact` when its checksum is wrong, or its headers are none.
    End {
        /// Whether what it said can be believed.
        intact: bool,
    },
}

/// A frame whose extent cannot be known: nothing behind it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The checksum of the two lengths is wrong.
    #[error("the checksum of a frame's lengths is wrong")]
    Checksum,
    /// The lengths contradict each other, or are larger than allowed.
    #[error("a frame's lengths are impossible")]
    Lengths,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the first bytes of a frame, or between frames.
    Prelude,
    /// So many bytes of headers are missing.
    Headers(usize),
    /// So many bytes of payload are missing.
    Payload(usize),
    /// In the checksum at the end.
    Trailer,
    Lost(Lost),
}

/// The machine.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// First bytes of a frame, or its last ones, as far as they are there.
    fixed: [u8; PRELUDE_BYTES],
    fixed_len: usize,
    /// Of the frame's payload, while its headers come.
    payload_bytes: usize,
    headers: Vec<u8>,
    headers_sound: bool,
    crc: Hasher,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// Before the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Prelude,
            fixed: [0; PRELUDE_BYTES],
            fixed_len: 0,
            payload_bytes: 0,
            headers: Vec::new(),
            headers_sound: true,
            crc: Hasher::new(),
        }
    }

    /// The headers of the frame that is passing; to be believed when it has ended intact.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers::of(&self.headers)
    }

    /// Whether the bytes so far end between two frames.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.state == State::Prelude && self.fixed_len == 0
    }

    /// Reads on to the next part and takes what it read off the front of `bytes`. None when they are used up.
    ///
    /// # Errors
    /// [`Lost`], from then on for ever.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Part<'a>>, Lost> {
        loop {
            match self.state {
                State::Prelude => {
                    if !self.take_fixed(bytes, PRELUDE_BYTES) {
                        return Ok(None);
                    }
                    self.state = self.prelude().map_or_else(State::Lost, State::Headers);
                }
                State::Headers(missing) => {
                    let taken = take(bytes, missing);
                    self.crc.update(taken);
                    self.headers.extend_from_slice(taken);
                    if taken.len() < missing {
                        self.state = State::Headers(missing - taken.len());
                        return Ok(None);
                    }
                    self.headers_sound = self.headers().are_sound();
                    self.state = State::Payload(self.payload_bytes);
                    return Ok(Some(Part::Head));
                }
                State::Payload(0) => self.state = State::Trailer,
                State::Payload(missing) => {
                    let taken = take(bytes, missing);
                    if taken.is_empty() {
                        return Ok(None);
                    }
                    self.crc.update(taken);
                    self.state = State::Payload(missing - taken.len());
                    return Ok(Some(Part::Payload(taken)));
                }
                State::Trailer => {
                    if !self.take_fixed(bytes, CHECKSUM_BYTES) {
                        return Ok(None);
                    }
                    let told = self.number(0);
                    let counted = std::mem::take(&mut self.crc).finalize();
                    self.state = State::Prelude;
                    return Ok(Some(Part::End { intact: told == counted && self.headers_sound }));
                }
                State::Lost(lost) => return Err(lost),
            }
        }
    }

    /// Checks the first bytes of a frame and gives the length of its headers.
    fn prelude(&mut self) -> Result<usize, Lost> {
        let length = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (total, headers) = (length(self.number(0)), length(self.number(4)));
        let told = self.number(8);
        self.crc.update(&self.fixed[..8]);
        if self.crc.clone().finalize() != told {
            return Err(Lost::Checksum);
        }
        self.crc.update(&self.fixed[8..]);
        let payload = total.checked_sub(PRELUDE_BYTES + CHECKSUM_BYTES).and_then(|both| both.checked_sub(headers));
        match payload {
            Some(payload) if headers <= HEADERS_BYTES_MAX && payload <= PAYLOAD_BYTES_MAX => {
                self.payload_bytes = payload;
                self.headers.clear();
                Ok(headers)
            }
            _ => Err(Lost::Lengths),
        }
    }

    /// Fills the fixed part; true when `wanted` bytes are there.
    fn take_fixed(&mut self, bytes: &mut &[u8], wanted: usize) -> bool {
        let taken = take(bytes, wanted - self.fixed_len);
        self.fixed[self.fixed_len..self.fixed_len + taken.len()].copy_from_slice(taken);
        self.fixed_len += taken.len();
        let whole = self.fixed_len == wanted;
        if whole {
            self.fixed_len = 0;
        }
        whole
    }

    fn number(&self, at: usize) -> u32 {
        self.fixed[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }
}

/// Takes at most `count` bytes off the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    taken
}
