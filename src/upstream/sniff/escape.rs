//! Escapes in JSON strings, byte by byte.

/// Where in an escape the bytes stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Outside,
    Backslash,
    /// So many hexadecimal digits read, with this value.
    Unicode(u8, u32),
}

/// Reads escapes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Escape {
    state: State,
    /// The first half of a pair of escapes that are one character.
    high: Option<u32>,
}

/// What a byte of an escape brings to the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Escaped {
    /// Bytes of UTF-8; each half of a pair brings half of them.
    pub(super) utf8_len: u64,
    /// The character, once it is known.
    pub(super) character: Option<char>,
}

impl Escape {
    pub(super) fn is_open(self) -> bool {
        self.state != State::Outside
    }

    /// A backslash came.
    pub(super) const fn open(&mut self) {
        self.state = State::Backslash;
    }

    /// Takes the next byte of an escape that is open.
    pub(super) fn take(&mut self, byte: u8) -> Escaped {
        match (self.state, byte) {
            (State::Backslash, b'u') => self.state = State::Unicode(0, 0),
            (State::Unicode(digits, value), _) => {
                let value = value * 16 + char::from(byte).to_digit(16).unwrap_or(0);
                if digits == 3 {
                    self.state = State::Outside;
                    return self.unicode(value);
                }
                self.state = State::Unicode(digits + 1, value);
            }
            _ => {
                *self = Self::default();
                return Escaped { utf8_len: 1, character: Some(letter(byte)) };
            }
        }
        Escaped::default()
    }

    fn unicode(&mut self, value: u32) -> Escaped {
        let (utf8_len, character) = match (self.high.take(), value) {
            (_, 0xd800..0xdc00) => {
                self.high = Some(value);
                (2, None)
            }
            (Some(high), 0xdc00..0xe000) => (2, char::from_u32(0x10000 + ((high - 0xd800) << 10) + (value - 0xdc00))),
            (None, 0xdc00..0xe000) => (2, None),
            (_, 0..0x80) => (1, char::from_u32(value)),
            (_, 0x80..0x800) => (2, char::from_u32(value)),
            _ => (3, char::from_u32(value)),
        };
        Escaped { utf8_len, character }
    }
}

/// What a backslash and this letter stand for.
fn letter(byte: u8) -> char {
    match byte {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        // A quote, a stroke or a backslash.
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_the_characters_that_serde_json_reads() {
        for text in [r"\n\t\r\b\f\/\\", "\\\"", r"\u0041\u00e9\u20ac", r"\ud83e\udd80", r"\u0000\uFFFD"] {
            let (mut escape, mut read, mut len) = (Escape::default(), String::new(), 0);
            for byte in text.bytes() {
                if escape.is_open() {
                    let Escaped { utf8_len, character } = escape.take(byte);
                    len += utf8_len;
                    read.extend(character);
                } else {
                    assert_eq!(byte, b'\\');
                    escape.open();
                }
            }
            assert_eq!(read, serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap());
            assert_eq!(len, u64::try_from(read.len()).unwrap(), "{text}");
        }
    }
}
