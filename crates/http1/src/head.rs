//! The head of a request, written, and of an answer, read.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};

use memchr::memmem;

use crate::{Error, Request};

/// Most bytes of an answer's head.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 128;
/// Room for the head of most requests.
const HEAD_BYTES_USUAL: usize = 1024;

/// How long the body of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Until its last chunk.
    Chunked,
    /// Until the connection is closed.
    UntilClose,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) response: Response<()>,
    pub(crate) framing: Framing,
    /// The upstream keeps the connection open behind the answer.
    pub(crate) keeps: bool,
}

/// The request line and the headers, to the empty line. `host` is added where it is not given.
pub(crate) fn write(request: &Request<'_>) -> Vec<u8> {
    let Request { method, uri, headers, body } = request;
    let mut head = Vec::with_capacity(HEAD_BYTES_USUAL);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    put(&mut head, &[method.as_str(), " ", if path.is_empty() { "/" } else { path }, " HTTP/1.1\r\n"]);
    if !headers.contains_key(HOST) {
        put_host(&mut head, uri);
    }
    // How long the body is, the body says: two answers to that are an invitation to smuggle a second request.
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(**name, CONTENT_LENGTH | TRANSFER_ENCODING)) {
        put(&mut head, &[name.as_str(), ": "]);
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    let has_no_body = body.is_empty() && matches!(**method, Method::GET | Method::HEAD);
    if !has_no_body {
        put(&mut head, &["content-length: ", &body.len().to_string(), "\r\n"]);
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn put(head: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        head.extend_from_slice(part.as_bytes());
    }
}

fn put_host(head: &mut Vec<u8>, uri: &Uri) {
    put(head, &["host: ", uri.host().unwrap_or_default()]);
    if let Some(port) = uri.port().filter(|port| port.as_u16() != 80) {
        put(head, &[":", port.as_str()]);
    }
    head.extend_from_slice(b"\r\n");
}

/// Takes the head of an answer from the front of what was read, interim ones left out. None: it is not complete.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn read(read: &mut BytesMut, method: &Method) -> Result<Option<Head>, Error> {
    loop {
        let Some((mut response, len)) = parse(read)? else {
            return if read.len() > HEAD_BYTES_MAX { Err(Error::Invalid("its head is too long")) } else { Ok(None) };
        };
        let bytes = read.split_to(len).freeze();
        match response.status {
            StatusCode::SWITCHING_PROTOCOLS => return Err(Error::Invalid("it speaks another protocol now")),
            status if status.is_informational() => continue,
            _ => {}
        }
        let mut built = Response::new(());
        *built.status_mut() = response.status;
        *built.version_mut() = response.version;
        *built.headers_mut() = headers(&mut response.headers, &bytes)?;
        let (framing, is_certain) = framing(&built, method)?;
        let keeps = is_certain && keeps_alive(&built) && framing != Framing::UntilClose;
        return Ok(Some(Head { response: built, framing, keeps }));
    }
}

/// Whether a head may end behind the first `looked` bytes, which were looked at before.
pub(crate) fn may_end(read: &[u8], looked: usize) -> bool {
    let new = read.get(looked.saturating_sub(3)..).unwrap_or_default();
    memmem::find(new, b"\n\r\n").is_some() || memmem::find(new, b"\n\n").is_some()
}

/// A head as it was parsed: where in the bytes each header stands.
struct Parsed {
    status: StatusCode,
    version: Version,
    headers: Vec<[usize; 4]>,
}

fn parse(bytes: &[u8]) -> Result<Option<(Parsed, usize)>, Error> {
    let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut room);
    let len = match parsed {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Error::Invalid("it has too many headers")),
        Err(_) => return Err(Error::Invalid("its head cannot be read")),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let base = bytes.as_ptr().addr();
    let at = |part: &[u8]| part.as_ptr().addr() - base;
    let place = |header: &httparse::Header<'_>| {
        let (name, value) = (at(header.name.as_bytes()), at(header.value));
        [name, name + header.name.len(), value, value + header.value.len()]
    };
    let parsed = Parsed {
        status: status.ok_or(Error::Invalid("its status is none"))?,
        version: if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 },
        headers: response.headers.iter().map(place).collect(),
    };
    Ok(Some((parsed, len)))
}

/// The headers; their values are slices of the head.
fn headers(places: &mut Vec<[usize; 4]>, head: &Bytes) -> Result<HeaderMap, Error> {
    const UNREADABLE: Error = Error::Invalid("a header of it cannot be read");
    let mut headers = HeaderMap::with_capacity(places.len());
    for [name, name_end, value, value_end] in places.drain(..) {
        let name = head.get(name..name_end).and_then(|name| HeaderName::from_bytes(name).ok()).ok_or(UNREADABLE)?;
        // An empty value has no place of its own.
        let value = if value == value_end { Bytes::new() } else { head.slice(value..value_end) };
        headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_invalid| UNREADABLE)?);
    }
    Ok(headers)
}

/// How long the body is, by RFC 9112, section 6.3; and whether nobody can think otherwise.
fn framing(response: &Response<()>, method: &Method) -> Result<(Framing, bool), Error> {
    let (status, headers) = (response.status(), response.headers());
    if method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok((Framing::Length(0), true));
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter().peekable();
    if encodings.peek().is_some() {
        if response.version() == Version::HTTP_10 {
            return Err(Error::Invalid("HTTP/1.0 has no transfer encodings"));
        }
        let last = encodings.last().and_then(|value| value.to_str().ok()).and_then(|value| value.rsplit(',').next());
        let is_chunked = last.is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked"));
        let framing = if is_chunked { Framing::Chunked } else { Framing::UntilClose };
        return Ok((framing, !headers.contains_key(CONTENT_LENGTH)));
    }
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let told = digits(value.as_bytes()).ok_or(Error::Invalid("its length is no number"))?;
        if length.replace(told).is_some_and(|before| before != told) {
            return Err(Error::Invalid("it has two lengths"));
        }
    }
    Ok((length.map_or(Framing::UntilClose, Framing::Length), true))
}

/// A number of digits alone; a sign or a list is none.
fn digits(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

fn keeps_alive(response: &Response<()>) -> bool {
    let has = |token: &str| {
        let values = response.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|said| said.trim().eq_ignore_ascii_case(token))
    };
    if response.version() == Version::HTTP_10 { has("keep-alive") } else { !has("close") }
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;

    use super::*;

    #[test]
    fn a_request_tells_its_host_and_its_length_once() {
        let mut headers = HeaderMap::new();
        for (name, value) in [(ACCEPT, "a"), (ACCEPT, "b"), (CONTENT_LENGTH, "7"), (TRANSFER_ENCODING, "chunked")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let written = |method, uri: &str, body| {
            let request = Request { method: &method, uri: &uri.parse().unwrap(), headers: &headers, body };
            String::from_utf8(write(&request)).unwrap()
        };
        let posted = written(Method::POST, "http://user:pass@[::1]:8080/v1/chat?a=b", Bytes::from_static(b"{}"));
        assert_eq!(
            posted,
            "POST /v1/chat?a=b HTTP/1.1\r\nhost: [::1]:8080\r\naccept: a\r\naccept: b\r\ncontent-length: 2\r\n\r\n"
        );
        let got = written(Method::GET, "http://upstream.test:80", Bytes::new());
        assert_eq!(got, "GET / HTTP/1.1\r\nhost: upstream.test\r\naccept: a\r\naccept: b\r\n\r\n");
        assert!(written(Method::POST, "http://upstream.test", Bytes::new()).ends_with("content-length: 0\r\n\r\n"));
    }
}
