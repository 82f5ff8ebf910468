//! The headers of one frame: name and typed value, one after the other, without a count.

/// Most headers of a frame. Real ones have three or four.
pub const HEADERS_MAX: usize = 128;

/// What the headers say that a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// An event, by `:event-type`.
    Event(&'a str),
    /// An error that the service models, by `:exception-type`.
    Exception(&'a str),
    /// An error that it does not, by `:error-code`.
    Error(&'a str),
    /// Nothing that is known.
    Untold,
}

/// A value; numbers, times and ids are kept as bytes, for nobody here reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// A flag.
    Flag(bool),
    /// Anything else: its type and its bytes.
    Other(u8, &'a [u8]),
}

/// The bytes are no headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Walks over the headers in `bytes`; ends behind the first that is none.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Of the bytes between prelude and payload.
    #[must_use]
    pub const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all of them can be read, no name stands twice and there are not too many.
    #[must_use]
    pub fn are_sound(&self) -> bool {
        let mut names: Vec<&str> = Vec::new();
        for header in self.clone() {
            let Ok((name, _)) = header else { return false };
            if names.len() == HEADERS_MAX || names.contains(&name) {
                return false;
            }
            names.push(name);
        }
        true
    }

    /// The text of a header.
    #[must_use]
    pub fn text(&self, wanted: &str) -> Option<&'a str> {
        self.clone().find_map(|header| match header {
            Ok((name, Value::Text(text))) if name == wanted => Some(text),
            _ => None,
        })
    }

    /// What they say that the frame is. A frame without `:message-type` is an event.
    #[must_use]
    pub fn kind(&self) -> Kind<'a> {
        let (from, kind): (_, fn(&'a str) -> Kind<'a>) = match self.text(":message-type") {
            Some("exception") => (":exception-type", Kind::Exception),
            Some("error") => (":error-code", Kind::Error),
            Some("event") | None => (":event-type", Kind::Event),
            Some(_) => return Kind::Untold,
        };
        // An error without a type is an error all the same.
        match (self.text(from), kind("")) {
            (Some(text), _) => kind(text),
            (None, Kind::Event(_)) => Kind::Untold,
            (None, nameless) => nameless,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    /// Bytes behind a length of two bytes.
    fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::from(self.byte()?) << 8 | usize::from(self.byte()?);
        self.take(length)
    }

    fn header(&mut self) -> Result<(&'a str, Value<'a>), Malformed> {
        let name_bytes = self.byte()?;
        let name = std::str::from_utf8(self.take(usize::from(name_bytes))?).map_err(|_| Malformed)?;
        let value = match self.byte()? {
            0 => Value::Flag(true),
            1 => Value::Flag(false),
            kind @ 2 => Value::Other(kind, self.take(1)?),
            kind @ 3 => Value::Other(kind, self.take(2)?),
            kind @ 4 => Value::Other(kind, self.take(4)?),
            kind @ (5 | 8) => Value::Other(kind, self.take(8)?),
            kind @ 6 => Value::Other(kind, self.sized()?),
            7 => Value::Text(std::str::from_utf8(self.sized()?).map_err(|_| Malformed)?),
            kind @ 9 => Value::Other(kind, self.take(16)?),
            _ => return Err(Malformed),
        };
        Ok((name, value))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a str, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let header = self.header();
        if header.is_err() {
            self.rest = &[];
        }
        Some(header)
    }
}
