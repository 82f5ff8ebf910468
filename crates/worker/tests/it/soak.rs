//! 500 random requests, plain, streamed, cancelled, wrong: every count is the tokenizer's own, and busy time adds up.

use std::sync::Arc;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use crate::harness::{Worker, text_of};

const REQUESTS: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_count_of_500_random_requests_is_the_tokenizers_own() {
    let worker = Arc::new(Worker::start().await);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let worker = Arc::clone(&worker);
        clients.spawn(async move {
            let mut random = StdRng::seed_from_u64(client);
            let (mut busy, mut cancelled, mut done) = (0, 0, 0);
            for number in (client..REQUESTS).step_by(8) {
                let Some((usage, reason)) = one(&worker, number, &mut random).await else { continue };
                let time = |name: &str| usage["worker"][name].as_u64().unwrap();
                busy += time("prefill_busy_us") + time("decode_busy_us");
                cancelled += u64::from(reason == "cancelled");
                done += 1;
            }
            (busy, cancelled, done)
        });
    }
    let (mut busy, mut cancelled, mut done) = (0, 0, 0);
    while let Some(client) = clients.join_next().await {
        let (more, early, ended) = client.unwrap();
        busy += more;
        cancelled += early;
        done += ended;
    }
    assert!(cancelled > 20, "only {cancelled} requests were cancelled under way or in the queue");
    let health = worker.get("/health").await;
    let total = |name: &str| health[name].as_u64().unwrap();
    assert_eq!(total("requests_total"), done, "{health}");
    assert_eq!((total("queued"), total("running")), (0, 0), "{health}");
    assert_eq!(
        busy,
        total("prefill_busy_us_total") + total("decode_busy_us_total"),
        "busy time adds up, to the microsecond"
    );
}

/// One random request; gives its final usage and why it ended, or none when it was refused.
async fn one(worker: &Worker, number: u64, random: &mut StdRng) -> Option<(Value, String)> {
    let words = ["Hello", " price", " of", " tokens", "\n", " ünï", "日本", "🙂", "<|end|>", " 12", "."];
    let length = if random.random_range(0..20) == 0 { 300 } else { random.random_range(1..40) };
    let prompt: String = (0..length).map(|_| words[random.random_range(0..words.len())]).collect();
    let id = format!("soak-{number}");
    let temperature = [0.0, 0.7, 1.5][random.random_range(0..3)];
    let top_p = [1.0, 0.9][random.random_range(0..2)];
    let top_k = [0, 5][random.random_range(0..2)];
    let mut body = json!({
        "prompt": prompt, "max_tokens": random.random_range(1..60), "return_token_ids": true, "seed": number,
        "temperature": temperature, "top_p": top_p, "top_k": top_k, "ignore_eos": random.random::<bool>(),
    });
    if random.random_range(0..12) == 0 {
        body["temperature"] = json!(9);
    }
    let stream = random.random::<bool>();
    body["stream"] = json!(stream);
    let request = worker.client.post(format!("{}/v1/completions", worker.url)).header("x-request-id", &id).json(&body);
    let sent = tokio::spawn(request.send());
    let cancel = random.random_range(0..4) == 0;
    if cancel {
        tokio::time::sleep(std::time::Duration::from_micros(random.random_range(0..20_000))).await;
        worker.post(&format!("/v1/requests/{id}/cancel"), json!({})).await;
    }
    let response = sent.await.unwrap().unwrap();
    if response.status() == 400 {
        return None;
    }
    assert_eq!(response.status(), 200);
    let answer = response.text().await.unwrap();
    let (text, ids, reason, usage) = if stream { read_stream(&answer) } else { read_plain(&answer) };
    assert_eq!(worker.record(&id).await["usage"], usage);
    let decoded = worker.model.tokenizer.decode(&ids).unwrap();
    assert_eq!(usage["completion_tokens"], ids.len(), "{answer}");
    assert_eq!(text.trim_end_matches('\u{fffd}'), decoded.trim_end_matches('\u{fffd}'), "{answer}");
    let counted = usage["prompt_tokens"].as_u64().unwrap();
    if reason == "cancelled" {
        assert!(cancel && counted <= worker.count(&prompt));
    } else {
        assert_eq!(counted, worker.count(&prompt));
    }
    Some((usage, reason))
}

type Read = (String, Vec<u32>, String, Value);

fn ids_of(choice: &Value) -> Vec<u32> {
    let ids = choice["token_ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    ids.iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect()
}

fn read_plain(answer: &str) -> Read {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let choice = &answer["choices"][0];
    let reason = choice["finish_reason"].as_str().unwrap().to_owned();
    (choice["text"].as_str().unwrap().to_owned(), ids_of(choice), reason, answer["usage"].clone())
}

fn read_stream(answer: &str) -> Read {
    let events = crate::harness::events(answer);
    let [chunks @ .., done] = events.as_slice() else { panic!("{answer}") };
    assert_eq!(done, "[DONE]");
    let ids = chunks.iter().flat_map(|chunk| ids_of(&chunk["choices"][0])).collect();
    let last = chunks.last().unwrap();
    let reason = last["choices"][0]["finish_reason"].as_str().unwrap().to_owned();
    (text_of(chunks), ids, reason, last["usage"].clone())
}
