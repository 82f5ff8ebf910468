//! A container that is not looked into: where it ends.

use memchr::memchr2;

/// Where in the container, after the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nested {
    depth: u32,
    is_text: bool,
    /// The last byte of a text was a backslash.
    is_escaped: bool,
}

impl Nested {
    /// Behind its opening bracket.
    pub(super) const fn begun() -> Self {
        Self { depth: 1, is_text: false, is_escaped: false }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.depth == 0
    }

    /// Takes the next bytes, up to its end; gives those behind it.
    pub(super) fn pass<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut left = bytes;
        while !self.is_over()
            && let Some((&byte, rest)) = left.split_first()
        {
            left = rest;
            if self.is_escaped {
                // Of an escape by digits the digits end no text either.
                self.is_escaped = false;
            } else if !self.is_text {
                match byte {
                    b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                    b'}' | b']' => self.depth -= 1,
                    b'"' => self.is_text = true,
                    _ => {}
                }
            } else if byte == b'"' {
                self.is_text = false;
            } else if byte == b'\\' {
                self.is_escaped = true;
            } else {
                let plain = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                left = rest.split_at(plain).1;
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_where_it_ends_however_it_is_cut() {
        let inside = br#""a":[1,{"b\"}":"\\","c\u0022]":"]}"}],"d":"x\\\"}" }"#;
        for behind in ["", ",", "}}", "\"]}"] {
            let text = [inside.as_slice(), behind.as_bytes()].concat();
            for cut in 0..inside.len() {
                let (first, second) = text.split_at(cut);
                let mut nested = Nested::begun();
                assert_eq!(nested.pass(first), b"");
                assert!(!nested.is_over());
                assert_eq!((nested.pass(second), nested.is_over()), (behind.as_bytes(), true), "{cut}");
            }
        }
    }
}
