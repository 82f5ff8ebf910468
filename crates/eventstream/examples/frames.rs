//! Reads and writes frames for others to compare: one JSON object a line in, one out.
//!
//! `{"write": {"headers": [["name", "value"]], "payload": "hex"}}` gives `{"frame": "hex"}`; `{"read": ["hex", "hex"]}` gives
//! `{"frames": [{"headers": [["name", "type and value"]], "payload": "hex"}], "intact": true, "whole": true}`, which ends at
//! the first frame that is damaged.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};
use tollgate_eventstream::{
    headers,
    reader::{Part, Reader},
    writer,
};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let told = asked.get("write").map_or_else(|| read(&asked["read"]), write);
        writeln!(out, "{told}")?;
    }
    Ok(())
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().and_then(|text| hex::decode(text).ok()).unwrap_or_default()
}

fn write(asked: &Value) -> Value {
    let pairs: Vec<(&str, &str)> = asked["headers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pair| pair[0].as_str().zip(pair[1].as_str()))
        .collect();
    match writer::frame(&pairs, &bytes(&asked["payload"])) {
        Ok(frame) => json!({ "frame": hex::encode(frame) }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn read(chunks: &Value) -> Value {
    let mut reader = Reader::new();
    let mut frames = Vec::new();
    let (mut head, mut payload, mut intact) = (Vec::new(), Vec::new(), true);
    'all: for chunk in chunks.as_array().into_iter().flatten() {
        let chunk = bytes(chunk);
        let mut rest = chunk.as_slice();
        loop {
            match reader.next(&mut rest) {
                Ok(Some(Part::Head)) => {
                    payload.clear();
                    head = reader.headers().filter_map(Result::ok).map(shown).collect();
                }
                Ok(Some(Part::Payload(bytes))) => payload.extend_from_slice(bytes),
                Ok(Some(Part::End { intact: true })) => {
                    frames.push(json!({ "headers": std::mem::take(&mut head), "payload": hex::encode(&payload) }));
                }
                Ok(None) => break,
                Ok(Some(Part::End { intact: false })) | Err(_) => {
                    intact = false;
                    break 'all;
                }
            }
        }
    }
    json!({ "frames": frames, "intact": intact, "whole": reader.is_between_frames() })
}

fn shown((name, value): (&str, headers::Value<'_>)) -> Value {
    match value {
        headers::Value::Text(text) => json!([name, 7, text]),
        headers::Value::Flag(flag) => json!([name, u8::from(!flag), flag]),
        headers::Value::Other(kind, bytes) => json!([name, kind, hex::encode(bytes)]),
    }
}
