//! Makes a state of what was seen of a worker: one look too slow is no reason to refuse requests, an empty address is.

use std::time::Duration;

use super::{Patience, board::State, health::Look};

/// A worker that took requests is given so many unclear looks before it is passed over.
const UNCLEAR_LOOKS_MAX: u32 = 3;

/// What is remembered of one run of a worker. Times are monotonic.
#[derive(Debug)]
pub(super) struct Judge {
    spawned: bool,
    unclear: u32,
    heard: bool,
    heard_at: Duration,
}

impl Judge {
    /// Of a run that began at `now`.
    pub(super) const fn new(spawned: bool, now: Duration) -> Self {
        Self { spawned, unclear: 0, heard: false, heard_at: now }
    }

    /// The state after a look; `before` is the state so far.
    pub(super) fn judge(&mut self, look: &Look, before: &State, now: Duration) -> State {
        match look {
            Look::Answered { health, ready } => {
                (self.unclear, self.heard, self.heard_at) = (0, true, now);
                match health.status.as_str() {
                    "ok" if *ready => State::Ready,
                    "ok" => State::Unready("GET /ready does not say yes".to_owned()),
                    "loading" => State::Starting(Some("it loads its model".to_owned())),
                    "draining" => State::Draining,
                    other => State::Unready(format!("its status is `{}`", other.escape_debug())),
                }
            }
            Look::NobodyThere(why) => self.without_answer(why),
            Look::Unclear(why) => {
                self.unclear = self.unclear.saturating_add(1);
                let patient = self.unclear < UNCLEAR_LOOKS_MAX && *before == State::Ready;
                if patient { State::Ready } else { self.without_answer(why) }
            }
        }
    }

    fn without_answer(&self, why: &str) -> State {
        if self.spawned && !self.heard { State::Starting(Some(why.to_owned())) } else { State::Unready(why.to_owned()) }
    }

    /// Whether a spawned worker has been silent for longer than it may.
    pub(super) fn hangs(&self, now: Duration, patience: &Patience) -> bool {
        let most = if self.heard { patience.silence_max } else { patience.first_answer_max };
        self.spawned && now.saturating_sub(self.heard_at) > most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::health::Health;

    fn answered(status: &str, ready: bool) -> Look {
        let page = serde_json::json!({
            "status": status, "worker_id": "w1", "model": "m", "model_sha256": "00", "engine_threads": 2, "uptime_us": 1,
            "prefill_busy_us_total": 0, "decode_busy_us_total": 0,
        });
        Look::Answered { health: Box::new(serde_json::from_value::<Health>(page).unwrap()), ready }
    }

    fn unclear() -> Look {
        Look::Unclear("no answer within 1000 ms".to_owned())
    }

    #[test]
    fn a_worker_is_ready_when_it_says_so_twice_and_starting_while_it_loads() {
        let mut judge = Judge::new(true, Duration::ZERO);
        let mut judged = |look: &Look| judge.judge(look, &State::Starting(None), Duration::ZERO).word();
        assert_eq!(judged(&Look::NobodyThere("refused".to_owned())), "starting");
        assert_eq!(judged(&answered("loading", false)), "starting");
        assert_eq!(judged(&answered("ok", false)), "unready");
        assert_eq!(judged(&answered("ok", true)), "ready");
        assert_eq!(judged(&answered("draining", false)), "draining");
        assert_eq!(judged(&answered("\u{1b}[31m", true)), "unready");
        assert_eq!(judged(&Look::NobodyThere("refused".to_owned())), "unready");
    }

    #[test]
    fn two_slow_looks_are_forgiven_the_third_is_not_and_an_empty_address_never_is() {
        let mut judge = Judge::new(false, Duration::ZERO);
        let mut state = State::Starting(None);
        let mut words = Vec::new();
        let looks = [answered("ok", true), unclear(), unclear(), answered("ok", true), unclear(), unclear(), unclear()];
        for look in looks.into_iter().chain([unclear(), answered("ok", true), Look::NobodyThere("refused".to_owned())])
        {
            state = judge.judge(&look, &state, Duration::ZERO);
            words.push(state.word());
        }
        let expected = "ready ready ready ready ready ready unready unready ready unready";
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn only_a_spawned_worker_hangs_and_one_that_loads_slowly_but_answers_does_not() {
        let patience = Patience::default();
        let mut judge = Judge::new(true, Duration::ZERO);
        assert!(!judge.hangs(patience.first_answer_max, &patience));
        assert!(judge.hangs(patience.first_answer_max + Duration::from_secs(1), &patience));
        let late = Duration::from_secs(100_000);
        judge.judge(&answered("loading", false), &State::Starting(None), late);
        assert!(!judge.hangs(late + patience.silence_max, &patience));
        assert!(judge.hangs(late + patience.silence_max + Duration::from_secs(1), &patience));
        assert!(!Judge::new(false, Duration::ZERO).hangs(late, &patience));
    }
}
