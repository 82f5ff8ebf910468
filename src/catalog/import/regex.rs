//! The few regular expressions of price files, as names with holes.

/// The name with holes that fits what an anchored expression of plain characters, `\d` and `\d{n}` fits; none when it is
/// any other.
pub(super) fn as_glob(regex: &str) -> Option<String> {
    let (start, rest) = match regex.strip_prefix('^') {
        Some(rest) => ("", rest),
        None => ("*", regex),
    };
    let (body, end) = match rest.strip_suffix('$') {
        Some(body) => (body, ""),
        // What goes on does so with a version.
        None => (rest, "~"),
    };
    let mut glob = start.to_owned();
    let mut left = body;
    while let Some(first) = left.chars().next() {
        if let Some(behind) = left.strip_prefix(r"\d") {
            let (count, behind) = repeated(behind)?;
            glob.push_str(&"#".repeat(count));
            left = behind;
        } else if let Some(escaped) = left.strip_prefix('\\') {
            let escaped = escaped.chars().next().filter(|c| c.is_ascii_punctuation() && !"*#~".contains(*c))?;
            glob.push(escaped);
            left = left.get(2..)?;
        } else if first.is_ascii_alphanumeric() || "-_/: @,".contains(first) {
            glob.push(first);
            left = left.get(first.len_utf8()..)?;
        } else {
            return None;
        }
        if left.starts_with(['*', '+', '?', '{']) {
            return None;
        }
    }
    Some(format!("{glob}{end}"))
}

/// `{8}` behind a class: how often, and what is behind.
fn repeated(text: &str) -> Option<(usize, &str)> {
    let Some(open) = text.strip_prefix('{') else { return Some((1, text)) };
    let (count, behind) = open.split_once('}')?;
    let count = count.parse().ok().filter(|count| (1..=64).contains(count))?;
    Some((count, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_expressions_become_names_with_holes_and_others_nothing() {
        for (regex, glob) in [
            (r"^grok-4\.3-\d{8}$", Some("grok-4.3-########")),
            (r"^gpt-5\.6-luna-\d{4}-\d{2}-\d{2}$", Some("gpt-5.6-luna-####-##-##")),
            (r"^gemini-3\.5-flash-\d", Some("gemini-3.5-flash-#~")),
            ("flash", Some("*flash~")),
            (r"^o[134]", None),
            (r"^a.b$", None),
            (r"^a+$", None),
            (r"^\d+$", None),
            (r"^a\*$", None),
            (r"(?:mi|code)stral", None),
        ] {
            assert_eq!(as_glob(regex).as_deref(), glob, "{regex}");
        }
    }
}
