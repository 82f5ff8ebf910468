//! Cuts a text as the pattern of `o200k_base` does, whose branches are tried in this order:
//!
//! ```text
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//! \p{N}{1,3}
//!  ?[^\s\p{L}\p{N}]+[\r\n/]*
//! \s*[\r\n]+
//! \s+(?!\S)
//! \s+
//! ```
//!
//! By hand: `regex-automata` would add 0.8 MB to the binary, 0.5 MB to memory and 3 ms to the first text. Each character is
//! looked at a bounded number of times, whatever the text.

use std::iter;

use crate::classes::Class;

static CLASSES: &[u8] = include_bytes!("../data/classes.bin");
/// Digits of a piece.
const DIGITS_MAX: usize = 3;

/// The pieces of `text`, in order; together they are the text.
pub(crate) fn of(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    iter::from_fn(move || {
        let (piece, behind) = rest.split_at_checked(len(rest)?)?;
        rest = behind;
        Some(piece)
    })
}

/// Bytes of the first piece; none of an empty text.
fn len(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    match class(first) {
        Class::Upper | Class::Lower | Class::Letter => any_word(text, 0),
        Class::Mark | Class::Space | Class::Other => any_word(text, first.len_utf8()),
        Class::Number | Class::Newline => None,
    }
    .or_else(|| digits(text))
    .or_else(|| symbols(text))
    .or_else(|| spaces(text))
}

/// A word that follows so many bytes of a leading character, or else starts there; with what is contracted to it.
fn any_word(text: &str, lead: usize) -> Option<usize> {
    let len = word(text, lead).or_else(|| word(text, 0)).or_else(|| capitals(text, lead))?;
    Some(len + contraction(text.get(len..)?))
}

/// Capitals, then at least one of what may follow them. Letters and marks may stand for both: where nothing but a capital
/// comes behind the last of them, the word ends with it.
fn word(text: &str, lead: usize) -> Option<usize> {
    let mut end = None;
    for (at, char) in text.get(lead..)?.char_indices() {
        let at = lead + at;
        match class(char) {
            Class::Upper => {}
            Class::Letter | Class::Mark => end = Some(at + char.len_utf8()),
            Class::Lower => {
                return Some(at + run(text.get(at..)?, |c| matches!(c, Class::Lower | Class::Letter | Class::Mark)));
            }
            Class::Number | Class::Newline | Class::Space | Class::Other => break,
        }
    }
    end
}

/// Capitals alone: what may follow them does not, or they would be a [`word`].
fn capitals(text: &str, lead: usize) -> Option<usize> {
    let len = run(text.get(lead..)?, |c| c == Class::Upper);
    (len > 0).then_some(lead + len)
}

/// Bytes of an English ending at the front, in capitals or not; `ſ` is an s in this.
fn contraction(text: &str) -> usize {
    let mut chars = text.chars().map(|char| char.to_ascii_lowercase());
    if chars.next() != Some('\'') {
        return 0;
    }
    match (chars.next(), chars.next()) {
        (Some('s' | 't' | 'm' | 'd'), _) => 2,
        (Some('ſ'), _) | (Some('r' | 'v'), Some('e')) | (Some('l'), Some('l')) => 3,
        _ => 0,
    }
}

fn digits(text: &str) -> Option<usize> {
    let digits = text.chars().take_while(|char| class(*char) == Class::Number).take(DIGITS_MAX);
    let len = digits.map(char::len_utf8).sum();
    (len > 0).then_some(len)
}

/// Symbols behind a blank or none, then line ends and slashes.
fn symbols(text: &str) -> Option<usize> {
    let lead = usize::from(text.starts_with(' '));
    let len = run(text.get(lead..)?, |c| matches!(c, Class::Mark | Class::Other));
    if len == 0 {
        return None;
    }
    let behind = text.get(lead + len..)?;
    let ends = behind.len() - behind.trim_start_matches(['\r', '\n', '/']).len();
    Some(lead + len + ends)
}

/// Through the last line end; or else all, but for one that a piece follows and that is not alone.
fn spaces(text: &str) -> Option<usize> {
    let len = run(text, |c| matches!(c, Class::Newline | Class::Space));
    let spaces = text.get(..len)?;
    if let Some(at) = spaces.rfind(['\r', '\n']) {
        return Some(at + 1);
    }
    let last = spaces.chars().next_back()?.len_utf8();
    Some(if len < text.len() && last < len { len - last } else { len })
}

/// Bytes of all characters at the front that are of such a class.
fn run(text: &str, is_in: impl Fn(Class) -> bool) -> usize {
    text.find(|char| !is_in(class(char))).unwrap_or(text.len())
}

fn class(char: char) -> Class {
    Class::of(CLASSES, char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_the_class_that_regex_gives_it() {
        let patterns = [r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r"[\r\n]", r"[^\S\r\n]"];
        for (class, pattern) in Class::ALL.into_iter().zip(patterns) {
            let pattern = regex::Regex::new(pattern).unwrap();
            for char in '\0'..=char::MAX {
                assert_eq!(
                    super::class(char) == class,
                    pattern.is_match(char.encode_utf8(&mut [0; 4])),
                    "{char:?} {class:?}"
                );
            }
        }
    }

    #[test]
    fn a_text_is_cut_where_the_pattern_of_tiktoken_cuts_it() {
        for (text, pieces) in [
            ("", &[][..]),
            ("Hello WORLD's end", &["Hello", " WORLD's", " end"]),
            ("we'Ll 'LL we'ſ I'x", &["we'Ll", " '", "LL", " we'ſ", " I", "'x"]),
            ("ABCdef ABªCD ABC", &["ABCdef", " ABª", "CD", " ABC"]),
            ("\u{301}ABC \u{301}", &["\u{301}", "ABC", " \u{301}"]),
            ("12345 x1", &["123", "45", " x", "1"]),
            ("a   b \n \n  c  ", &["a", "  ", " b", " \n \n", " ", " c", "  "]),
            ("{}/\n/\r\n;  !", &["{}/\n/\r\n", ";", " ", " !"]),
            ("\t\tx\t!", &["\t", "\tx", "\t", "!"]),
        ] {
            assert_eq!(of(text).collect::<Vec<_>>(), pieces, "{text:?}");
            assert_eq!(bpe_openai::o200k_base().split(text).collect::<Vec<_>>(), pieces, "{text:?}");
        }
    }
}
