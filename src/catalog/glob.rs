//! Names with holes: `*` is any text, `#` is one digit, everything else is itself, whatever its case.

/// A name with holes, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Glob(String);

impl Glob {
    /// Whether a name has holes.
    pub(super) fn is_one(name: &str) -> bool {
        name.contains(['*', '#'])
    }

    pub(super) fn new(name: &str) -> Self {
        Self(name.to_ascii_lowercase())
    }

    /// Characters that are themselves: of two globs that fit, the one with more of them is meant.
    pub(super) fn literals(&self) -> usize {
        self.0.bytes().filter(|byte| *byte != b'*').count()
    }

    /// Whether it fits a name in lower case.
    pub(super) fn fits(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
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
    fn a_name_of_many_stars_takes_no_time() {
        let glob = Glob::new(&"*a".repeat(40));
        assert!(glob.fits(&"a".repeat(4000)));
        assert!(!glob.fits(&format!("{}b", "a".repeat(4000))));
    }
}
