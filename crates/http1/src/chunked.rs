//! A body in chunks, read as its bytes come.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use crate::Error;

/// Most bytes of the line that tells a chunk's size, and of all trailers together. What else stands there is left out.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Where in the chunks the bytes stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// A chunk's size comes.
    Size,
    /// So many bytes of a chunk come.
    Data(u64),
    /// The line end behind a chunk comes.
    DataEnd,
    /// Trailers come, of which so many bytes were read.
    Trailers(usize),
    /// The last chunk and the trailers have come.
    Ended,
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A part of the body.
    Data(Bytes),
    /// More must be read.
    More,
    /// The body is complete.
    End,
}

impl Chunked {
    /// Takes the next piece from the front of what was read.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn next(&mut self, read: &mut BytesMut) -> Result<Piece, Error> {
        loop {
            match *self {
                Self::Size => {
                    let Some(line) = line(read, LINE_BYTES_MAX)? else { return Ok(Piece::More) };
                    *self = match size(&line)? {
                        0 => Self::Trailers(0),
                        size => Self::Data(size),
                    };
                }
                Self::Data(left) => {
                    let taken = read.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if taken == 0 {
                        return Ok(Piece::More);
                    }
                    let left = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                    *self = if left == 0 { Self::DataEnd } else { Self::Data(left) };
                    return Ok(Piece::Data(read.split_to(taken).freeze()));
                }
                Self::DataEnd => match line(read, 0)? {
                    None => return Ok(Piece::More),
                    Some(_) => *self = Self::Size,
                },
                Self::Trailers(before) => {
                    let Some(line) = line(read, LINE_BYTES_MAX - before)? else { return Ok(Piece::More) };
                    if !line.is_empty()
                        && httparse::parse_headers(&[&line[..], b"\r\n\r\n"].concat(), &mut [httparse::EMPTY_HEADER])
                            .is_err()
                    {
                        return Err(Error::Invalid("a trailer of it cannot be read"));
                    }
                    *self = if line.is_empty() { Self::Ended } else { Self::Trailers(before + line.len()) };
                }
                Self::Ended => return Ok(Piece::End),
            }
        }
    }
}

/// Takes a line of at most so many bytes, without its end. None: it is not complete.
fn line(read: &mut BytesMut, bytes_max: usize) -> Result<Option<BytesMut>, Error> {
    let Some(end) = memchr(b'\n', read) else {
        // Its end may still be missing.
        return if read.len() > bytes_max + 1 { Err(TOO_LONG) } else { Ok(None) };
    };
    let mut line = read.split_to(end + 1);
    line.truncate(end);
    if memchr(b'\r', &line) != end.checked_sub(1) || end == 0 {
        return Err(Error::Invalid("a line of its chunks ends in another way"));
    }
    line.truncate(end - 1);
    if line.len() > bytes_max { Err(TOO_LONG) } else { Ok(Some(line)) }
}

const TOO_LONG: Error = Error::Invalid("a line of its chunks is too long");

/// The size in a chunk's first line; extensions are left out.
fn size(line: &[u8]) -> Result<u64, Error> {
    const NO_SIZE: Error = Error::Invalid("a chunk has no size");
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let is_number = !size.is_empty() && size.len() <= 16 && size.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(size).ok().filter(|_| is_number).ok_or(NO_SIZE)?;
    u64::from_str_radix(text, 16).map_err(|_| NO_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<(Vec<u8>, Piece, usize), Error> {
        let (mut read, mut state, mut body) = (BytesMut::from(bytes), Chunked::Size, Vec::new());
        loop {
            match state.next(&mut read)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                end => return Ok((body, end, read.len())),
            }
        }
    }

    #[test]
    fn chunks_are_put_together_and_what_is_none_is_refused() {
        let whole = b"4\r\nWiki\r\n5;a=\"b\"\r\npedia\r\n0\r\nx: y\r\n\r\nnext";
        assert_eq!(all(whole).unwrap(), (b"Wikipedia".to_vec(), Piece::End, 4));
        for cut in 0..whole.len() - 4 {
            assert_eq!(all(&whole[..cut]).unwrap().1, Piece::More, "{cut}");
        }
        assert_eq!(all(b"0A \r\n0123456789\r\n0\r\n\r\n").unwrap().0.len(), 10);
        for broken in [
            &b"\r\n"[..],
            b"-1\r\n",
            b"0x4\r\nWiki\r\n",
            b"4\nWiki\r\n",
            b"4\r\nWikipedia\r\n",
            b"4\r\nWiki\rX",
            b"11111111111111111\r\n",
            b"4 4\r\nWiki\r\n",
            b"ffffffffffffffffffff",
        ] {
            let found = all(broken);
            assert!(found.is_err() || broken.ends_with(b"f"), "{broken:?}: {found:?}");
        }
        assert!(all(&[b'1'; LINE_BYTES_MAX + 2]).is_err());
        let trailers = [b"0\r\n".as_slice(), &b"a: b\r\n".repeat(LINE_BYTES_MAX)].concat();
        assert!(all(&trailers).is_err());
    }
}
