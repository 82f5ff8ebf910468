//! Names with holes: `*` is any text, `#` is one digit, `~` at the end is a version or nothing, everything else is itself,
//! whatever its case.
//!
//! `~` is for models whose name goes on with a date or the like, and whose siblings go on with words: `gemini-2.5-pro~` takes
//! `gemini-2.5-pro-preview-05-06`, and neither `gemini-2.5-pro-tts` nor `gemini-2.5-pro-5`, which cost something else.

/// Words that tell a version and no other model.
const VERSION_WORDS: &[&[u8]] =
    &[b"latest", b"preview", b"exp", b"experimental", b"beta", b"stable", b"default", b"snapshot"];
/// Digits of a number that tells a version: `001`, `0613`, `20250514`. Fewer tell another model, as in `claude-opus-5-5`.
const VERSION_DIGITS: std::ops::RangeInclusive<usize> = 3..=8;

/// A name with holes, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Glob(String);

/// How a name with one piece of text is compared at once, where that piece was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Nothing,
    Anything,
    Version,
}

impl Glob {
    /// Whether a name has holes.
    pub(super) fn is_one(name: &str) -> bool {
        name.contains(['*', '#']) || name.ends_with('~')
    }

    /// Whether a `~` at the end stands behind some text. Elsewhere it is itself: some names begin with one.
    pub(super) fn is_well_formed(name: &str) -> bool {
        name.strip_suffix('~').is_none_or(|rest| !rest.is_empty() && !rest.ends_with(['*', '~']))
    }

    pub(super) fn new(name: &str) -> Self {
        Self(name.to_ascii_lowercase())
    }

    /// The pieces of text between its holes.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &str> {
        let text = self.0.strip_suffix('~').unwrap_or(&self.0);
        text.split(['*', '#']).filter(|piece| !piece.is_empty())
    }

    /// The one piece of text that it is of, whether any text may stand before it, and what may stand behind it. None when
    /// it has more pieces, or digits.
    pub(super) fn single(&self) -> Option<(bool, &str, End)> {
        let (leading, rest) = match self.0.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, self.0.as_str()),
        };
        let (piece, end) = match (rest.strip_suffix('*'), rest.strip_suffix('~')) {
            (Some(piece), _) => (piece, End::Anything),
            (_, Some(piece)) => (piece, End::Version),
            _ => (rest, End::Nothing),
        };
        (!piece.is_empty() && !Self::is_one(piece)).then_some((leading, piece, end))
    }

    /// Characters that are themselves: of two globs that fit, the one with more of them is meant.
    pub(super) fn literals(&self) -> usize {
        self.0.strip_suffix('~').unwrap_or(&self.0).bytes().filter(|byte| *byte != b'*').count()
    }

    /// Whether it fits a name in lower case.
    pub(super) fn fits(&self, name: &str) -> bool {
        let name = name.as_bytes();
        match self.0.strip_suffix('~') {
            None => fits(self.0.as_bytes(), name),
            Some(body) => (0..=name.len())
                .rev()
                .any(|at| is_version(name, at) && name.get(..at).is_some_and(|start| fits(body.as_bytes(), start))),
        }
    }
}

/// Whether a pattern without `~` fits a name.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: one byte further.
    let mut retry: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match (pattern.get(at), name.get(in_name)) {
            (Some(b'*'), _) => {
                retry = Some((at + 1, in_name));
                at += 1;
            }
            (Some(wanted), Some(byte)) if wanted == byte || (*wanted == b'#' && byte.is_ascii_digit()) => {
                at += 1;
                in_name += 1;
            }
            _ => match retry {
                Some((behind, from)) => {
                    retry = Some((behind, from + 1));
                    (at, in_name) = (behind, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Whether what stands in a name from here on tells a version, or is nothing.
pub(super) fn is_version(name: &[u8], at: usize) -> bool {
    let (before, tail) = name.split_at(at.min(name.len()));
    let Some(first) = tail.first() else { return true };
    let run = |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = 0;
    if first.is_ascii_digit() {
        // A number that began before: `…-2025` and `0514`.
        let digits = run(&mut tail.iter());
        if !VERSION_DIGITS.contains(&(run(&mut before.iter().rev()) + digits)) {
            return false;
        }
        at = digits;
    }
    let mut number_before = 0;
    while let Some((separator, rest)) = tail.get(at..).and_then(<[u8]>::split_first) {
        if !matches!(separator, b'-' | b'@' | b':' | b'.') {
            return false;
        }
        let len = rest.iter().take_while(|byte| !matches!(byte, b'-' | b'@' | b':' | b'.')).count();
        let (token, behind) = rest.split_at(len);
        let digits = run(&mut token.iter());
        let is_number = digits == len && len > 0;
        // Of a date: 04-16, 09-2025.
        let number_behind = behind.split_first().map_or(0, |(_, behind)| run(&mut behind.iter()));
        let is_of_date = len == 2 && (matches!(number_before, 2 | 4) || matches!(number_behind, 2 | 4));
        let is_edition = token.split_first().is_some_and(|(v, number)| {
            *v == b'v' && (1..=2).contains(&number.len()) && number.iter().all(u8::is_ascii_digit)
        });
        let is_one = is_number && (VERSION_DIGITS.contains(&len) || is_of_date || *separator == b':' && len == 1)
            || is_edition
            || VERSION_WORDS.contains(&token);
        if !is_one {
            return false;
        }
        number_before = if is_number { len } else { 0 };
        at += 1 + len;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_take_what_they_are_for_and_nothing_else() {
        for (glob, name, fits) in [
            ("gpt-4o-*", "gpt-4o-2024-08-06", true),
            ("gpt-4o-*", "gpt-4o", false),
            ("*claude-3*", "us.anthropic.claude-3-haiku", true),
            ("*claude-3*", "claude-4", false),
            ("*-flash", "gemini-2.0-flash", true),
            ("*-flash", "gemini-2.0-flash-lite", false),
            ("grok-4.3-########", "grok-4.3-20260101", true),
            ("grok-4.3-########", "grok-4.3-2026010", false),
            ("grok-4.3-########", "grok-4.3-2026010x", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*", "", true),
            ("#*", "", false),
            ("ab", "ab", true),
            ("ab", "abc", false),
        ] {
            assert_eq!(Glob::new(glob).fits(&name.to_ascii_lowercase()), fits, "{glob} {name}");
        }
    }

    #[test]
    fn a_version_is_a_date_or_a_number_and_no_word_that_names_another_model() {
        for (glob, name, fits) in [
            ("gemini-2.5-pro~", "gemini-2.5-pro", true),
            ("gemini-2.5-pro~", "gemini-2.5-pro-preview-05-06", true),
            ("gemini-2.5-pro~", "gemini-2.5-pro-preview-tts", false),
            ("gemini-2.5-pro~", "gemini-2.5-pro-tts", false),
            ("gemini-2.5-flash-native-audio-preview~", "gemini-2.5-flash-native-audio-preview-09-2025", true),
            ("gemini-2.0-flash-0~", "gemini-2.0-flash-001", true),
            ("claude-opus-5~", "claude-opus-5-5", false),
            ("claude-opus-5~", "claude-opus-55", false),
            ("claude-opus-5~", "claude-opus-5.5", false),
            ("claude-opus-5~", "claude-opus-5@default", true),
            ("claude-opus-4~", "claude-opus-4-20250514", true),
            ("claude-opus-4~", "claude-opus-4@20250514", true),
            ("claude-sonnet-4-2025~", "claude-sonnet-4-20250514", true),
            ("*claude-opus-4-5~", "us.anthropic.claude-opus-4-5-20251101-v1:0", true),
            ("*claude-opus-4-5~", "us.anthropic.claude-opus-4-5-20251101-v1:0:48k", false),
            ("*mistral-7b-instruct-v0~", "eu-west-3/mistral.mistral-7b-instruct-v0:2", true),
            ("gpt-5-nano~", "gpt-5-nano-2025-08-07", true),
            ("gpt-5~", "gpt-5-nano-2025-08-07", false),
            ("gpt-4~", "gpt-4-32k", false),
            ("gpt-4~", "gpt-4-", false),
            ("ministral-8b~", "ministral-8b-2512", true),
            ("gemini-3.5-flash-#~", "gemini-3.5-flash-001", true),
            ("gemini-3.5-flash-#~", "gemini-3.5-flash-lite", false),
        ] {
            assert_eq!(Glob::new(glob).fits(name), fits, "{glob} {name}");
        }
        assert!(Glob::new("~acme/*").fits("~acme/latest") && !Glob::new("~acme/*").fits("acme/latest"));
        assert!(!Glob::is_one("~acme/latest") && Glob::is_one("acme~"));
        for (name, is_well_formed) in [
            ("a~", true),
            ("*a~", true),
            ("a*", true),
            ("a~b", true),
            ("a~~", false),
            ("~a~", true),
            ("~", false),
            ("a*~", false),
        ] {
            assert_eq!(Glob::is_well_formed(name), is_well_formed, "{name}");
        }
    }

    #[test]
    fn a_name_of_many_stars_takes_no_time() {
        let glob = Glob::new(&"*a".repeat(40));
        assert!(glob.fits(&"a".repeat(4000)));
        assert!(!glob.fits(&format!("{}b", "a".repeat(4000))));
    }
}
