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
pub struct Part {
    /// The field.
    pub name: String,
    /// Where its content stands in the body.
    pub content: Range<usize>,
}

/// The parts of a form, in order.
///
/// # Errors
/// [`RequestError::NotMultipart`] says what is wrong with it.
pub fn parts(content_type: &str, body: &[u8]) -> Result<Vec<Part>, RequestError> {
    let boundary = boundary(content_type)?;
    let opening = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let broken = |why| RequestError::NotMultipart(why);
    // Nothing before the first boundary and nothing behind the last: what stands there is a form to some readers.
    let first = match memmem::find(body, opening.as_bytes()) {
        Some(0) => 0,
        Some(2) if body.starts_with(b"\r\n") => 2,
        _ => return Err(broken("it does not begin with its boundary")),
    };
    let mut at = first + opening.len();
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if let Some(behind) = rest.strip_prefix(b"--") {
            return if matches!(behind, b"" | b"\r\n") {
                Ok(parts)
            } else {
                Err(broken("something stands behind its end"))
            };
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
    let mut boundaries = self::parameters(parameters).filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().to_ascii_lowercase().starts_with("boundary").then(|| (name.trim(), value.trim()))
    });
    let (Some((name, value)), None) = (boundaries.next(), boundaries.next()) else { return Err(missing) };
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let text = quoted.unwrap_or(value);
    // Others could read other bytes out of quotes, escapes, spaces and continued parameters.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "'()+_,-./:=?".contains(c);
    let is_whole = name.eq_ignore_ascii_case("boundary") && text.chars().all(is_plain);
    if is_whole && (1..=BOUNDARY_BYTES_MAX).contains(&text.len()) { Ok(text.to_owned()) } else { Err(missing) }
}

/// `name` of the head's one `content-disposition`. What other readers could read otherwise is none.
fn field_name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    let is_torn = |line: &str| line.contains(['\r', '\n']) || line.starts_with([' ', '\t']);
    if head.split("\r\n").any(is_torn) {
        return None;
    }
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
        // Also `name*` and `name*0`, which this reader does not put together.
        let is_name = name == "name" || name.starts_with("name*");
        is_name.then(|| (name == "name").then(|| value.trim().trim_matches('"').to_owned()))
    });
    let name = names.next()?;
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

    /// Each of these was read as another form by a common reader.
    #[test]
    fn a_form_that_others_could_read_otherwise_is_refused() {
        let plain = body(&[("model", "cheap")]);
        let hidden = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ndear\r\n--b--\r\n";
        let part = |head: &str| format!("--xyz\r\n{head}\r\n\r\ncheap\r\n--xyz--\r\n");
        for (content_type, form) in [
            ("multipart/form-data; boundary=\"xyz;b\"", plain.clone()),
            ("multipart/form-data; boundary=xyz; boundary=b", plain.clone()),
            ("multipart/form-data; boundary*=utf-8''b; boundary=xyz", plain.clone()),
            (TYPE, format!("{hidden}{plain}")),
            (TYPE, format!("{plain}{hidden}")),
            (TYPE, part("Content-Disposition: form-data; name*=utf-8''model; name=\"x\"")),
            (TYPE, part("Content-Disposition: form-data; name*=utf-8''model")),
            (
                TYPE,
                part(
                    "X-A: 1\nContent-Disposition: form-data; name=\"model\"\r\nContent-Disposition: form-data; name=\"x\"",
                ),
            ),
            (TYPE, part("Content-Disposition: form-data;\r\n name=\"model\"")),
        ] {
            assert!(parts(content_type, form.as_bytes()).is_err(), "{content_type}: {form}");
        }
        assert_eq!(parts(TYPE, plain.as_bytes()).unwrap().len(), 1);
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
