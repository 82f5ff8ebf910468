//! Decodes base64 (RFC 4648, standard alphabet) as it comes, in pieces of any size.

/// Bytes decoded at once.
const PIECE: usize = 192;

/// A decoder between two pieces.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    bits: u32,
    digits: u8,
}

impl Base64 {
    /// Decodes the next characters; what is no digit (padding, a backslash before a slash) is passed over.
    pub(super) fn decode(&mut self, text: &[u8], mut sink: impl FnMut(&[u8])) {
        let mut decoded = [0_u8; PIECE];
        for piece in text.chunks(PIECE) {
            let mut len = 0;
            for digit in piece.iter().filter_map(|byte| value(*byte)) {
                self.bits = self.bits << 6 | digit;
                self.digits += 1;
                // Every digit but a group's first completes a byte.
                let shift = match self.digits {
                    2 => 4,
                    3 => 2,
                    4 => 0,
                    _ => continue,
                };
                if let (Some(room), [.., byte]) = (decoded.get_mut(len), (self.bits >> shift).to_be_bytes()) {
                    *room = byte;
                    len += 1;
                }
                self.digits %= 4;
            }
            sink(decoded.get(..len).unwrap_or_default());
        }
    }
}

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_decodes_to_the_same_bytes() {
        let text = b"eyJ1c2FnZSI6eyJpbnB1dF90b2tlbnMiOjd9fQ==";
        for at in 0..text.len() {
            let mut decoder = Base64::default();
            let mut out = Vec::new();
            decoder.decode(&text[..at], |piece| out.extend_from_slice(piece));
            decoder.decode(&text[at..], |piece| out.extend_from_slice(piece));
            assert_eq!(out, br#"{"usage":{"input_tokens":7}}"#);
        }
    }
}
