//! `tollgate workers list` for people: one row a worker, times in seconds, hashes short.

use serde_json::{Map, Value};

use super::table::{Column, render};

const COLUMNS: &[Column] = &[
    ("NAME", "name"),
    ("STATE", "state"),
    ("SINCE", "since"),
    ("RESTARTS", "restarts"),
    ("MODEL", "model"),
    ("HASH", "hash"),
    ("CPU", "cpu_features"),
    ("QUANTISATION", "quantization"),
    ("THREADS", "engine_threads"),
    ("BUSY S", "busy"),
    ("IDLE S", "idle"),
    ("UTILISATION", "utilisation"),
    ("IDLE COST USD", "idle_cost_usd"),
];
/// Digits of a hash that tell models apart by eye.
const HASH_DIGITS: usize = 12;

/// The table, and below it why a worker takes no requests.
pub(super) fn table(workers: &[Value]) -> String {
    let rows: Vec<Value> = workers.iter().map(row).collect();
    let text = |worker: &Value, name: &str| worker.get(name).and_then(Value::as_str).map(str::to_owned);
    let reasons = workers.iter().filter_map(|worker| {
        let (name, reason) = (text(worker, "name")?, text(worker, "reason")?);
        Some(format!("\n{name}: {reason}"))
    });
    let reasons: String = reasons.collect();
    let gap = if reasons.is_empty() { "" } else { "\n" };
    format!("{}{gap}{reasons}", render(&rows, COLUMNS))
}

fn row(worker: &Value) -> Value {
    let mut row: Map<String, Value> = worker.as_object().cloned().unwrap_or_default();
    let hash = worker.get("model_sha256").and_then(Value::as_str);
    row.insert("hash".to_owned(), hash.map(|hash| hash.chars().take(HASH_DIGITS).collect::<String>()).into());
    for (name, from) in [("busy", "busy_us"), ("idle", "idle_us")] {
        row.insert(name.to_owned(), worker.get(from).and_then(Value::as_u64).map(seconds).into());
    }
    if let Some(mix) = worker.get("quantization").and_then(Value::as_object) {
        let parts: Vec<String> = mix.iter().map(|(kind, count)| format!("{kind}:{count}")).collect();
        row.insert("quantization".to_owned(), parts.join(",").into());
    }
    Value::Object(row)
}

/// Microseconds as seconds with three decimals.
fn seconds(us: u64) -> String {
    format!("{}.{:03}", us / 1_000_000, us % 1_000_000 / 1000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_is_short_and_says_why_a_worker_is_down() {
        let worker = json!({
            "name": "local", "state": "unready", "reason": "it ended: signal: 9", "since": "2026-11-24T15:00:00Z",
            "restarts": 3, "model": "small", "model_sha256": "0123456789abcdef", "cpu_features": ["avx2", "fma"],
            "quantization": { "F32": 12, "Q8_0": 1 }, "engine_threads": 2, "busy_us": 1_234_567, "idle_us": 61_000_000,
            "utilisation": "0.0198", "idle_cost_usd": "0.000000847",
        });
        let text = table(&[worker]);
        for part in ["unready", "0123456789ab ", "avx2,fma", "F32:12,Q8_0:1", " 1.234 ", " 61.000 ", "0.000000847"] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(text.ends_with("\n\nlocal: it ended: signal: 9"), "{text}");
        assert!(table(&[]).ends_with("(none)"));
    }
}
