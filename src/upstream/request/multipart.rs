//! `multipart/form-data`: the short text fields of a form, found in its bytes; files are not looked into.

use std::ops::Range;

use memchr::memmem;

use super::error::RequestError;

/// Longest boundary, by RFC 2046.
const BOUNDARY_BYTES_MAX: usize = 70;
/// Parts of one form.
const PARTS_MAX: usize = 64;
/// Longest head of a part, in bytes.
const HEAD_BYTES_MAX: usize = 4096;

/// One field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    /// Where its content stands in the body.
    pub(super) content: Range<usize>,
}

/// The parts of a form, in order.
pub(super) fn parts(content_type: &str, body: &[u8]) -> Result<Vec<Part>, RequestError> {
    let boundary = boundary(content_type)?;
    let opening = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let broken = |why| RequestError::NotMultipart(why);
    let first = match memmem::find(body, opening.as_bytes()) {
        Some(0) => 0,
        Some(at) if body.get(..at).is_some_and(|before| before.ends_with(b"\r\n")) => at,
        _ => return Err(broken("the boundary is not in it")),
    };
    let mut at = first + opening.len();
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if !rest.starts_with(b"\r\n") || parts.len() == PARTS_MAX {
            return Err(broken("a part does not begin as one, or there are too many"));
        }
        let head_from = at + 2;
        let head_to = memmem::find(rest, b"\r\n\r\n").ok_or(broken("a part has no head"))? + at;
        if head_to.saturating_sub(head_from) > HEAD_BYTES_MAX {
            return Err(broken("the head of a part is too long"));
        }
        let content_from = head_to + 4;
        let content = body.get(content_from..).unwrap_or_default();
        let len = memmem::find(content, between.as_bytes()).ok_or(broken("it does not end"))?;
        let name = field_name(body.get(head_from..head_to).unwrap_or_default()).ok_or(broken("a part has no name"))?;
        parts.push(Part { name, content: content_from..content_from + len });
        at = content_from + len + between.len();
    }
}

/// The boundary of a content type.
fn boundary(content_type: &str) -> Result<String, RequestError> {
    let missing = RequestError::NotMultipart("its content-type says otherwise");
    let (media, parameters) = content_type.split_once(';').ok_or(missing.clone())?;
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(missing);
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    });
    boundary.filter(|text| (1..=BOUNDARY_BYTES_MAX).contains(&text.len())).ok_or(missing)
}

/// `name` of the head's one `content-disposition`. What other readers could read otherwise is none.
fn field_name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let mut dispositions = head.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let disposition = dispositions.next()?;
    if dispositions.next().is_some() || disposition.contains('\\') {
        return None;
    }
    let mut names = parameters(disposition).filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        (name == "name" || name == "name*").then(|| value.trim().trim_matches('"').to_owned())
    });
    let name = names.next();
    if names.next().is_some() { None } else { name }
}

/// Splits at semicolons that stand outside of quotes.
fn parameters(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"xyz\"";

    fn body(fields: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        fields.iter().map(part).collect::<String>() + "--xyz--\r\n"
    }

    #[test]
    fn fields_are_found_and_a_file_that_imitates_one_is_a_file() {
        let trap = "--xyz\nContent-Disposition: form-data; name=\"model\"\n\nfree";
        let text = body(&[("file", trap), ("model", "whisper-1")]);
        let found = parts(TYPE, text.as_bytes()).unwrap();
        let seen: Vec<_> = found.iter().map(|part| (part.name.as_str(), &text[part.content.clone()])).collect();
        assert_eq!(seen, [("file", trap), ("model", "whisper-1")]);
    }

    #[test]
    fn a_file_name_that_imitates_a_field_name_is_a_file_name() {
        let text =
            "--xyz\r\nContent-Disposition: form-data; filename=\"a; name=model\"; name=\"file\"\r\n\r\nb\r\n--xyz--";
        assert_eq!(parts(TYPE, text.as_bytes()).unwrap()[0].name, "file");
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let whole = body(&[("model", "m")]);
        for (content_type, text) in [
            ("application/json", whole.as_str()),
            ("multipart/form-data", &whole),
            ("multipart/form-data; boundary=other", &whole),
            (TYPE, "--xyz\r\nno head"),
            (TYPE, "--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nnever ends"),
            (TYPE, "--xyz\r\nContent-Type: text/plain\r\n\r\nno name\r\n--xyz--"),
            (TYPE, "--xyz\r\nContent-Disposition: form-data; name=\"a\"; name=\"model\"\r\n\r\nb\r\n--xyz--"),
        ] {
            assert!(parts(content_type, text.as_bytes()).is_err(), "{content_type}: {text}");
        }
    }
}
