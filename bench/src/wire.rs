//! HTTP/1.1 messages, read with as little work as possible: the tools must cost less than what they measure.

use std::io::{self, ErrorKind};

use memchr::{memchr, memmem};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Largest head of a message.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Room for what is read at once.
const READ_BYTES: usize = 32 * 1024;

/// A connection and what was read of it and not yet used.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    used: usize,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many bytes.
    Length(usize),
    /// In chunks.
    Chunked,
}

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status; zero for a request.
    pub status: u16,
    /// Its body's.
    pub extent: Extent,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size,
    Data(usize),
    AfterData,
    Trailer,
}

/// Reads a chunked body.
#[derive(Debug)]
pub struct Chunks(Place);

impl Default for Chunks {
    fn default() -> Self {
        Self(Place::Size)
    }
}

impl Wire {
    /// Reads and writes `stream`, each write at once.
    ///
    /// # Errors
    /// The socket's.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), used: 0 })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The socket's.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits until there is something to read, or the peer has closed.
    ///
    /// # Errors
    /// The socket's.
    pub async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// The head of the next message; none when the peer closed between two.
    ///
    /// # Errors
    /// The socket's, and [`ErrorKind::InvalidData`] for what is no head with a length.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            let unused = self.unused();
            if let Some(end) = memmem::find(unused, b"\r\n\r\n") {
                let head = head(unused.get(..end).unwrap_or_default()).ok_or(ErrorKind::InvalidData)?;
                self.used += end + 4;
                return Ok(Some(head));
            }
            if unused.len() > HEAD_BYTES_MAX {
                return Err(ErrorKind::InvalidData.into());
            }
            let was_empty = unused.is_empty();
            if self.fill().await? == 0 {
                return if was_empty { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// A whole body of a known length, until the next call.
    ///
    /// # Errors
    /// The socket's, and [`ErrorKind::UnexpectedEof`].
    pub async fn body(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.unused().len() < length {
            if self.fill().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let from = self.used;
        self.used += length;
        Ok(self.buffer.get(from..self.used).unwrap_or_default())
    }

    /// The next bytes of a chunked body, appended to `into`; false when the body has ended.
    ///
    /// # Errors
    /// The socket's, and [`ErrorKind::InvalidData`] for what is no chunk.
    pub async fn chunks(&mut self, chunks: &mut Chunks, into: &mut Vec<u8>) -> io::Result<bool> {
        let had = into.len();
        loop {
            let (eaten, ended) = chunks.take(self.unused(), into).ok_or(ErrorKind::InvalidData)?;
            self.used += eaten;
            if ended || into.len() > had {
                return Ok(!ended);
            }
            if self.fill().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn unused(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..std::mem::take(&mut self.used));
        self.buffer.reserve(READ_BYTES);
        self.stream.read_buf(&mut self.buffer).await
    }
}

impl Chunks {
    /// Takes what it can; says how many bytes, and whether the body has ended. None: it is no chunked body.
    fn take(&mut self, bytes: &[u8], into: &mut Vec<u8>) -> Option<(usize, bool)> {
        let mut left = bytes;
        loop {
            match self.0 {
                Place::Size => {
                    let Some(end) = memchr(b'\n', left) else { break };
                    let text = std::str::from_utf8(left.get(..end)?).ok()?;
                    let size = usize::from_str_radix(text.split(';').next()?.trim(), 16).ok()?;
                    left = left.get(end + 1..)?;
                    self.0 = if size == 0 { Place::Trailer } else { Place::Data(size) };
                }
                Place::Data(size) => {
                    let (data, rest) = left.split_at(left.len().min(size));
                    into.extend_from_slice(data);
                    left = rest;
                    self.0 = if data.len() == size { Place::AfterData } else { Place::Data(size - data.len()) };
                    if left.is_empty() {
                        break;
                    }
                }
                Place::AfterData => {
                    let Some(rest) = left.get(2..) else { break };
                    left = rest;
                    self.0 = Place::Size;
                }
                Place::Trailer => {
                    let Some(end) = memchr(b'\n', left) else { break };
                    let is_last = left.get(..end)?.trim_ascii().is_empty();
                    left = left.get(end + 1..)?;
                    if is_last {
                        return Some((bytes.len() - left.len(), true));
                    }
                }
            }
        }
        Some((bytes.len() - left.len(), false))
    }
}

fn head(text: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let status = match first.next()? {
        version if version.starts_with("HTTP/") => first.next()?.parse().ok()?,
        _method => 0,
    };
    let mut extent = Extent::Length(0);
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            extent = Extent::Length(value.trim().parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            extent = Extent::Chunked;
        }
    }
    Some(Head { status, extent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_the_same_however_it_is_split() {
        let body = b"5\r\nhello\r\n1;x=y\r\n \r\na\r\nworld, all\r\n0\r\nx-y: z\r\n\r\nHTTP/1.1";
        for at in 0..body.len() {
            let (mut chunks, mut out) = (Chunks::default(), Vec::new());
            let (eaten, ended) = chunks.take(&body[..at], &mut out).unwrap();
            let rest = if ended { 0 } else { chunks.take(&body[eaten..], &mut out).unwrap().0 };
            assert_eq!((out.as_slice(), eaten + rest), (&b"hello world, all"[..], body.len() - 8), "at {at}");
        }
    }

    #[test]
    fn a_head_tells_status_and_extent() {
        let plain = head(b"HTTP/1.1 200 OK\r\nContent-Length: 12").unwrap();
        assert_eq!(plain, Head { status: 200, extent: Extent::Length(12) });
        let stream = head(b"HTTP/1.1 503 x\r\ntransfer-encoding: chunked").unwrap();
        assert_eq!(stream, Head { status: 503, extent: Extent::Chunked });
        assert_eq!(head(b"POST / HTTP/1.1\r\nhost: x").unwrap().status, 0);
        assert_eq!(head(b"POST / HTTP/1.1\r\ncontent-length: x"), None);
    }
}
