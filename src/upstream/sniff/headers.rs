//! Usage in the headers of an answer.

use http::HeaderMap;
use serde_json::{Map, Value};

const PREFIX: &str = "x-amzn-bedrock-";
/// Amazon Bedrock's headers, and the names of the same counts in its `amazon-bedrock-invocationMetrics`.
const COUNTS: [(&str, &str); 4] = [
    ("x-amzn-bedrock-input-token-count", "inputTokenCount"),
    ("x-amzn-bedrock-output-token-count", "outputTokenCount"),
    ("x-amzn-bedrock-cache-read-input-token-count", "cacheReadInputTokenCount"),
    ("x-amzn-bedrock-cache-write-input-token-count", "cacheWriteInputTokenCount"),
];

/// The counts as a JSON object; none when the headers tell no input.
pub(super) fn usage_of(headers: &HeaderMap) -> Option<String> {
    // Nearly all answers have none: looking for each by its name costs more than looking at all of them.
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return None;
    }
    let count = |header: &str| headers.get(header).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let told: Map<String, Value> =
        COUNTS.iter().filter_map(|(header, name)| Some(((*name).to_owned(), Value::from(count(header)?)))).collect();
    told.contains_key(COUNTS[0].1).then(|| serde_json::to_string(&told).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_the_headers_are_those_of_the_metrics() {
        let mut headers = HeaderMap::new();
        assert_eq!(usage_of(&headers), None);
        headers.insert("x-amzn-bedrock-output-token-count", "22".parse().unwrap());
        assert_eq!(usage_of(&headers), None);
        headers.insert("x-amzn-bedrock-input-token-count", "11".parse().unwrap());
        assert_eq!(usage_of(&headers).as_deref(), Some(r#"{"inputTokenCount":11,"outputTokenCount":22}"#));
    }
}
