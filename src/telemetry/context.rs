//! W3C trace context: what a client says of the trace that its request belongs to, and what an upstream is told.
//!
//! Only read here; `tracestate` is passed on as it is and never interpreted.

use http::{HeaderMap, HeaderName, HeaderValue};

/// `version-traceid-parentid-flags`
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Vendors' own words on the trace.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// `tracestate` is passed on up to this length, as the standard asks.
const TRACESTATE_BYTES_MAX: usize = 512;
/// The flag that the caller records its own part of the trace.
const SAMPLED: u8 = 1;
/// Length of a `traceparent` of version 00.
const LEN: usize = 55;

/// A caller's place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The caller's span.
    pub span_id: [u8; 8],
    /// The caller records.
    pub is_sampled: bool,
    /// `tracestate`, joined.
    pub state: String,
}

impl Parent {
    /// What the headers say; none when they say nothing, or nothing valid: then a trace begins here.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let (trace_id, span_id, flags) = parse(value.as_bytes())?;
        Some(Self { trace_id, span_id, is_sampled: flags & SAMPLED != 0, state: state(headers) })
    }
}

fn parse(text: &[u8]) -> Option<([u8; 16], [u8; 8], u8)> {
    let version: [u8; 1] = hex_of(text.get(..2)?)?;
    let is_known_form = match version {
        [0xff] => false,
        [0] => text.len() == LEN,
        // A later version may say more behind what this one says.
        _ => text.len() == LEN || text.get(LEN) == Some(&b'-'),
    };
    let dashes = [2, 35, 52].iter().all(|at| text.get(*at) == Some(&b'-'));
    if !is_known_form || !dashes {
        return None;
    }
    let trace_id: [u8; 16] = hex_of(text.get(3..35)?)?;
    let span_id: [u8; 8] = hex_of(text.get(36..52)?)?;
    let [flags] = hex_of(text.get(53..55)?)?;
    (trace_id != [0; 16] && span_id != [0; 8]).then_some((trace_id, span_id, flags))
}

/// Lower-case digits only, as the standard asks.
fn hex_of<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

fn state(headers: &HeaderMap) -> String {
    let values = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok());
    let joined = values.collect::<Vec<_>>().join(",");
    if joined.len() <= TRACESTATE_BYTES_MAX { joined } else { String::new() }
}

/// What an upstream is told of a span that is recorded.
#[must_use]
pub fn header(trace_id: [u8; 16], span_id: [u8; 8]) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("00-{}-{}-01", hex::encode(trace_id), hex::encode(span_id))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn read(values: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        Parent::read(&headers)
    }

    #[test]
    fn a_valid_parent_is_read_and_written_as_it_was() {
        let parent = read(&[GOOD]).unwrap();
        assert!(parent.is_sampled && parent.state == "a=1,b=2");
        assert_eq!(header(parent.trace_id, parent.span_id).unwrap(), GOOD);
        assert!(!read(&[&GOOD.replace("-01", "-00")]).unwrap().is_sampled);
        assert!(read(&[&GOOD.replace("00-0af", "cc-0af")]).is_some());
        assert!(read(&[&(GOOD.replace("00-0af", "cc-0af") + "-more")]).is_some());
    }

    #[test]
    fn what_the_standard_calls_invalid_is_no_parent() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-001",
            "00-zaf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&[GOOD, GOOD]), None, "two parents are none");
    }
}
