//! `/v1/messages/batches`

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Asked, Inner, Told,
    batches::{Batch, State},
    files, number, parameter, run,
};
use crate::answer::Endpoint;

fn name(id: u64) -> String {
    format!("msgbatch_fake{id:012}")
}

impl Batch {
    fn told_as_messages(&self, id: u64) -> Value {
        let succeeded = self.succeeded();
        let errored = if self.state == State::Held { 0 } else { self.lines.len() - succeeded };
        let rest = self.requests - succeeded - errored;
        let of = |state: State| if self.state == state { rest } else { 0 };
        let is_over = self.state != State::Held;
        let url = is_over.then(|| format!("https://api.anthropic.com/v1/messages/batches/{}/results", name(id)));
        let created = time(self.created_s);
        json!({
            "id": name(id), "type": "message_batch", "processing_status": if is_over { "ended" } else { "in_progress" },
            "request_counts": {"processing": of(State::Held), "succeeded": succeeded, "errored": errored,
                "canceled": of(State::Cancelled), "expired": of(State::Expired)},
            "created_at": created, "expires_at": created, "ended_at": is_over.then_some(&created),
            "archived_at": null, "cancel_initiated_at": null, "results_url": url,
        })
    }
}

impl Inner {
    pub(super) fn message_batches(&mut self, asked: &Asked<'_>, rest: &[&str]) -> Told {
        match (asked.method, rest) {
            (&Method::POST, []) => self.make_message_batch(asked),
            (&Method::GET, []) => {
                let after = parameter(asked.query, "after_id").and_then(number).unwrap_or(u64::MAX);
                let limit = parameter(asked.query, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
                let ours = self.batches.range(..after).rev().filter(|(_, batch)| batch.is_messages);
                let mut data: Vec<Value> = ours.map(|(id, batch)| batch.told_as_messages(*id)).collect();
                let has_more = data.len() > limit;
                data.truncate(limit);
                Told::json(&json!({"data": data, "has_more": has_more, "first_id": null, "last_id": null}))
            }
            (method, [id, rest @ ..]) => {
                let results = self.plan.results;
                let Some(number) = number(id) else { return Told::missing(id) };
                let Some(batch) = self.batches.get_mut(&number).filter(|batch| batch.is_messages) else {
                    return Told::missing(id);
                };
                match (method, rest) {
                    (&Method::GET, []) => {}
                    (&Method::POST, ["cancel"]) => batch.cancel(),
                    (&Method::GET, ["results"]) => {
                        let text = batch.lines.iter().map(|(_, line)| format!("{line}\n")).collect::<String>();
                        return files::results(text.into_bytes().into(), results, id);
                    }
                    (&Method::DELETE, []) => {
                        self.batches.remove(&number);
                        return Told::json(&json!({"id": id, "type": "message_batch_deleted"}));
                    }
                    _ => return Told::missing(id),
                }
                Told::json(&batch.told_as_messages(number))
            }
            _ => Told::missing(""),
        }
    }

    fn make_message_batch(&mut self, asked: &Asked<'_>) -> Told {
        let wanted: Value = serde_json::from_slice(asked.body).unwrap_or_default();
        let Some(requests) = wanted["requests"].as_array() else {
            return Told::refused(StatusCode::BAD_REQUEST, "There are no requests.");
        };
        let lines = requests.iter().zip(1..).map(|(request, n)| {
            let (status, message) = run::answer(Endpoint::Messages, &request["params"], n, asked.behaviour);
            let result = match status {
                200 => json!({"type": "succeeded", "message": message}),
                _ => json!({"type": "errored", "error": {"type": "error", "error": {"type": "api_error", "message": "Scripted."}}}),
            };
            (status, json!({"custom_id": request["custom_id"], "result": result}))
        });
        let batch = Batch::new(true, Value::Null, lines.collect(), &self.plan);
        let id = self.next();
        let told = batch.told_as_messages(id);
        self.batches.insert(id, batch);
        Told { broken: self.plan.make, ..Told::json(&told) }
    }
}

/// A second of this century in RFC 3339.
fn time(unix_s: u64) -> String {
    let (days, rest) = (unix_s / 86_400, unix_s % 86_400);
    // Howard Hinnant's civil_from_days, from the first of March of year 0.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn seconds_are_dates() {
        assert_eq!(time(1_750_000_002), "2025-06-15T15:06:42Z");
        assert_eq!(time(1_709_164_800), "2024-02-29T00:00:00Z");
    }
}
