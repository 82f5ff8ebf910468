//! Stop sequences: text that may become one is held back, so that no part of it is ever sent.

/// Watches the text of one answer for stop sequences.
#[derive(Debug, Default)]
pub struct StopWatch {
    stops: Vec<String>,
    held: String,
}

/// What became of text.
#[derive(Debug, PartialEq, Eq)]
pub enum Passed {
    /// This may be sent.
    On(String),
    /// This may be sent, and then the answer ends: a stop sequence came.
    Stopped(String),
}

impl StopWatch {
    /// Watches for these sequences; empty ones are none.
    #[must_use]
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), held: String::new() }
    }

    /// Takes text and gives what may be sent.
    pub fn push(&mut self, text: &str) -> Passed {
        if self.stops.is_empty() {
            return Passed::On(text.to_owned());
        }
        self.held.push_str(text);
        let first = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first {
            self.held.truncate(at);
            return Passed::Stopped(std::mem::take(&mut self.held));
        }
        let keep = self.stops.iter().map(|stop| longest_beginning(&self.held, stop)).max().unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - keep);
        Passed::On(std::mem::replace(&mut self.held, kept))
    }

    /// What was held back, at the end of the answer.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes of the longest end of `text` that is a beginning of `stop`.
fn longest_beginning(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(at, _)| at).skip(1);
    ends.filter(|length| stop.get(..*length).is_some_and(|beginning| text.ends_with(beginning))).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut watch = StopWatch::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut sent = String::new();
        for piece in pieces {
            match watch.push(piece) {
                Passed::On(text) => sent.push_str(&text),
                Passed::Stopped(text) => return (sent + &text, true),
            }
        }
        (sent + &watch.finish(), false)
    }

    #[test]
    fn no_part_of_a_stop_sequence_is_sent_however_the_text_is_cut() {
        let text = "one\ntwo\n\nthree – four";
        for cut in text.char_indices().map(|(at, _)| at) {
            let (left, right) = text.split_at(cut);
            assert_eq!(run(&["\n\n"], &[left, right]), ("one\ntwo".to_owned(), true), "{cut}");
            assert_eq!(run(&["– f", "xx"], &[left, right]), ("one\ntwo\n\nthree ".to_owned(), true), "{cut}");
        }
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(run(&["thread", "four?"], &letters), (text.to_owned(), false));
        assert_eq!(run(&["e\nt", "one\nx"], &letters), ("on".to_owned(), true));
    }

    #[test]
    fn the_first_of_several_stop_sequences_ends_the_answer() {
        assert_eq!(run(&["d", "bc"], &["abcd"]), ("a".to_owned(), true));
        assert_eq!(run(&["", "q"], &["abc"]), ("abc".to_owned(), false));
    }
}
