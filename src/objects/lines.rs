//! The requests of a batch: each is checked as if it were sent by itself, and gets its model's name at the provider.
//!
//! Memory is the body's, and some bytes a request. All requests of a batch go to one provider.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tollgate_core::estimate::tokens_from_bytes;

use crate::config::dialect::ProviderDialect;
use crate::upstream::{
    endpoint::{Endpoint, Streaming},
    request::{
        Request,
        error::RequestError,
        hosted::{Hosted, Need},
    },
};

/// Requests of one batch at most: what the largest provider takes.
pub(super) const REQUESTS_MAX: u64 = 100_000;
/// Longest name of a request.
const NAME_BYTES_MAX: usize = 512;
/// What OpenAI's batches may call: what has an endpoint that is metered by its JSON answer.
const IN_BATCHES: &[Endpoint] = &[
    Endpoint::ChatCompletions,
    Endpoint::Completions,
    Endpoint::Embeddings,
    Endpoint::Responses,
    Endpoint::Moderations,
];

/// Which models the requests of a batch name, and where these go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Models {
    /// Public name and `provider/model`.
    pub(super) named: Vec<(String, String)>,
    /// With several models: the model of each request by its name's digest, as hexadecimal pairs of both, sorted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    by_request: String,
}

impl Models {
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The model of the request of this name; the first one when it is not known.
    pub(super) fn of(&self, custom_id: &str) -> Option<&(String, String)> {
        let index = self.index_of(digest64(custom_id)).unwrap_or(0);
        self.named.get(index)
    }

    /// A search among pairs of sixteen and four digits.
    fn index_of(&self, digest: u64) -> Option<usize> {
        let wanted = format!("{digest:016x}");
        let (mut low, mut high) = (0, self.by_request.len() / PAIR_DIGITS);
        while low < high {
            let middle = low.midpoint(high);
            let pair = self.by_request.get(middle * PAIR_DIGITS..(middle + 1) * PAIR_DIGITS)?;
            let (name, index) = pair.split_at_checked(16)?;
            match name.cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return usize::from_str_radix(index, 16).ok(),
            }
        }
        None
    }
}

const PAIR_DIGITS: usize = 20;

/// The requests of a batch, checked.
pub(super) struct Checked {
    pub(super) endpoint: Endpoint,
    pub(super) requests: u64,
    pub(super) input_estimate: u64,
    /// Of the longest request.
    pub(super) input_max: u64,
    pub(super) names_sum: u128,
    /// Public names in the order in which they were met.
    pub(super) models: Vec<String>,
    /// Files that the requests name.
    pub(super) files: BTreeSet<String>,
    by_request: Vec<(u64, usize)>,
    edits: Vec<Edit>,
}

/// A request's body within the batch's.
struct Edit {
    /// Where it stands.
    at: std::ops::Range<usize>,
    model: usize,
    request: Request,
}

impl Checked {
    const fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            requests: 0,
            input_estimate: 0,
            input_max: 0,
            names_sum: 0,
            models: Vec::new(),
            files: BTreeSet::new(),
            by_request: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// What is to be remembered of the models. `targets` are `provider/model`, one for each of `models`.
    pub(super) fn remembered(&self, targets: &[String]) -> Models {
        let named = self.models.iter().cloned().zip(targets.iter().cloned()).collect();
        let mut by_request = String::new();
        if self.models.len() > 1 {
            let sorted: BTreeMap<u64, usize> = self.by_request.iter().copied().collect();
            by_request = sorted.iter().map(|(digest, index)| format!("{digest:016x}{index:04x}")).collect();
        }
        Models { named, by_request }
    }

    /// The batch's bytes with each request as its provider is to get it. `upstream` has one name for each of `models`.
    pub(super) fn rewritten(&self, whole: &Bytes, upstream: &[&str]) -> Bytes {
        let same = |index: usize| upstream.get(index).copied() == self.models.get(index).map(String::as_str);
        if (0..self.models.len()).all(same) {
            return whole.clone();
        }
        let mut written = Vec::with_capacity(whole.len() + 64);
        let mut copied = 0;
        for edit in &self.edits {
            let model = upstream.get(edit.model).copied().unwrap_or_default();
            let (body, _) = edit.request.upstream_body(model, false);
            written.extend_from_slice(whole.get(copied..edit.at.start).unwrap_or_default());
            written.extend_from_slice(&body);
            copied = edit.at.end;
        }
        written.extend_from_slice(whole.get(copied..).unwrap_or_default());
        written.into()
    }

    /// What the requests for the model of this index ask for beside it, each once.
    pub(super) fn hosted(&self, model: usize) -> Hosted {
        let hosted = || self.edits.iter().filter(|edit| edit.model == model).map(|edit| &edit.request.hosted);
        let needs: BTreeSet<&Need> = hosted().flat_map(|hosted| &hosted.needs).collect();
        let models: BTreeSet<&String> = hosted().flat_map(|hosted| &hosted.models).collect();
        Hosted { needs: needs.into_iter().cloned().collect(), models: models.into_iter().cloned().collect() }
    }

    /// Checks one more request. `raw` is a slice of `whole`.
    fn take(
        &mut self,
        names: &mut HashSet<u64>,
        custom_id: &str,
        whole: &Bytes,
        raw: &str,
    ) -> Result<(), RequestError> {
        if custom_id.is_empty() || custom_id.len() > NAME_BYTES_MAX {
            return Err(RequestError::Invalid { field: "custom_id", expected: "a text of 1 to 512 bytes" });
        }
        let digest = digest64(custom_id);
        if !names.insert(digest) {
            return Err(RequestError::Invalid { field: "custom_id", expected: "another one for each request" });
        }
        let request = Request::parse(self.endpoint, None, "application/json", whole.slice_ref(raw.as_bytes()))?;
        if request.stream || self.endpoint.shape().streaming == Streaming::Always {
            return Err(RequestError::Invalid { field: "stream", expected: "false in a batch" });
        }
        if request.kept.goes_on() {
            let why = "in a batch nothing can be gone on with";
            return Err(RequestError::Refused { field: "previous_response_id", why });
        }
        if self.endpoint.dialect() == ProviderDialect::OpenAi {
            self.files.extend(request.named_files()?);
        }
        if self.files.len() > FILES_MAX {
            return Err(RequestError::Invalid { field: "file_id", expected: "one of at most 1000 in a batch" });
        }
        let model = match self.models.iter().position(|model| *model == request.model) {
            Some(known) => known,
            None => {
                self.models.push(request.model.clone());
                self.models.len() - 1
            }
        };
        if self.models.len() > MODELS_MAX {
            return Err(RequestError::Invalid { field: "model", expected: "one of at most 64 in a batch" });
        }
        self.requests += 1;
        if self.requests > REQUESTS_MAX {
            return Err(RequestError::Invalid { field: "requests", expected: "at most 100000 in a batch" });
        }
        let input = tokens_from_bytes(request.prompt_bytes);
        self.input_estimate = self.input_estimate.saturating_add(input);
        self.input_max = self.input_max.max(input);
        self.names_sum = self.names_sum.wrapping_add(digest128(custom_id));
        self.by_request.push((digest, model));
        let start = raw.as_ptr().addr() - whole.as_ptr().addr();
        self.edits.push(Edit { at: start..start + raw.len(), model, request });
        Ok(())
    }
}

/// Files that the requests of one batch name at most: each is looked up.
const FILES_MAX: usize = 1000;
/// Models of one batch at most.
const MODELS_MAX: usize = 64;

#[derive(Deserialize)]
struct FileLine<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// Checks a file of requests for OpenAI's batches, a line each. `file` is a slice of nothing else's: spans count from it.
pub(super) fn of_file(file: &Bytes) -> Result<Checked, RequestError> {
    let mut names = HashSet::new();
    let mut checked: Option<Checked> = None;
    for (line, number) in file.split(|byte| *byte == b'\n').zip(1..) {
        if line.strip_suffix(b"\r").unwrap_or(line).contains(&b'\r') {
            let expected = "lines that end with a line feed: for some readers a carriage return ends one, too";
            let error = RequestError::Invalid { field: "file", expected };
            return Err(RequestError::InBatch { number, error: Box::new(error) });
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        one_line(&mut checked, &mut names, file, line)
            .map_err(|error| RequestError::InBatch { number, error: Box::new(error) })?;
    }
    checked.ok_or(RequestError::Invalid { field: "file", expected: "at least one request, a line each" })
}

fn one_line(
    checked: &mut Option<Checked>,
    names: &mut HashSet<u64>,
    file: &Bytes,
    line: &[u8],
) -> Result<(), RequestError> {
    let read: FileLine<'_> = serde_json::from_slice(line).map_err(|error| RequestError::NotJson(error.to_string()))?;
    if read.method != "POST" {
        return Err(RequestError::Invalid { field: "method", expected: "POST" });
    }
    let endpoint = IN_BATCHES.iter().find(|endpoint| endpoint.path() == read.url);
    let endpoint = *endpoint.ok_or(RequestError::Invalid {
        field: "url",
        expected: "/v1/chat/completions, /v1/completions, /v1/embeddings, /v1/responses or /v1/moderations",
    })?;
    let checked = checked.get_or_insert_with(|| Checked::new(endpoint));
    if checked.endpoint != endpoint {
        return Err(RequestError::Invalid { field: "url", expected: "the same for all requests of a batch" });
    }
    checked.take(names, &read.custom_id, file, read.body.get())
}

#[derive(Deserialize)]
struct MessageBatch<'a> {
    #[serde(borrow)]
    requests: Vec<MessageRequest<'a>>,
}

#[derive(Deserialize)]
struct MessageRequest<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    params: &'a RawValue,
}

/// Checks the body of Anthropic's batches.
pub(super) fn of_messages(body: &Bytes) -> Result<Checked, RequestError> {
    let read: MessageBatch<'_> =
        serde_json::from_slice(body).map_err(|error| RequestError::NotJson(error.to_string()))?;
    let mut names = HashSet::new();
    let mut checked = Checked::new(Endpoint::Messages);
    for (request, number) in read.requests.iter().zip(1..) {
        checked
            .take(&mut names, &request.custom_id, body, request.params.get())
            .map_err(|error| RequestError::InBatch { number, error: Box::new(error) })?;
    }
    if checked.requests == 0 {
        return Err(RequestError::Invalid { field: "requests", expected: "at least one request" });
    }
    Ok(checked)
}

fn digest64(name: &str) -> u64 {
    // The upper half of it.
    u64::try_from(digest128(name) >> 64).unwrap_or(0)
}

/// A digest of a request's name; a batch is told by the sum of them.
pub(super) fn digest128(name: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = digest;
    u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(custom_id: &str, model: &str) -> String {
        format!(
            r#"{{"custom_id":"{custom_id}","method":"POST","url":"/v1/chat/completions","body":{{"model": "{model}","messages":[{{"role":"user","content":"model"}}]}}}}"#
        )
    }

    fn of(text: &str) -> Result<Checked, RequestError> {
        of_file(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_names_of_models_are_changed_and_nothing_else() {
        let text = format!("{}\r\n\n{}\n", line("a", "one"), line("b", "two"));
        let file = Bytes::from(text.clone());
        let checked = of_file(&file).unwrap();
        assert_eq!((checked.requests, checked.models.as_slice()), (2, ["one".to_owned(), "two".to_owned()].as_slice()));
        assert_eq!(checked.rewritten(&file, &["one", "two"]).as_ptr(), file.as_ptr());
        let written = checked.rewritten(&file, &["one", "m\"2"]);
        assert_eq!(written, text.replace("\"two\"", r#""m\"2""#));
    }

    #[test]
    fn the_model_of_each_request_is_remembered() {
        let text: String = (0..200).map(|n| line(&format!("r{n}"), &format!("m{}", n % 3)) + "\n").collect();
        let checked = of(&text).unwrap();
        let models = checked.remembered(&["p/0".to_owned(), "p/1".to_owned(), "p/2".to_owned()]);
        for n in 0..200 {
            assert_eq!(models.of(&format!("r{n}")).unwrap().1, format!("p/{}", n % 3));
        }
        assert_eq!(models.of("never seen").unwrap().0, "m0");
        assert_eq!(of(&line("a", "one")).unwrap().remembered(&["p/x".to_owned()]).by_request, "");
    }

    #[test]
    fn what_a_direct_call_may_not_say_a_request_of_a_batch_may_not_either() {
        let body = |inner: &str| {
            format!(
                r#"{{"custom_id":"a","method":"POST","url":"/v1/responses","body":{{"model":"m","input":"x"{inner}}}}}"#
            )
        };
        for inner in [
            r#","model":"n""#,
            r#","background":true"#,
            r#","previous_response_id":"resp_1""#,
            r#","conversation":"conv_1""#,
            r#","stream":true"#,
            r#","max_output_tokens":-1"#,
        ] {
            assert!(matches!(of(&body(inner)), Err(RequestError::InBatch { number: 1, .. })), "{inner}");
        }
        assert!(of(&body("")).is_ok());
        for text in [
            "",
            "[]",
            "{}",
            &line("", "m"),
            &format!("{}\n{}", line("a", "m"), line("a", "m")),
            &format!("{}\n{}", line("a", "m"), body("").replace(r#""a""#, r#""b""#)),
            &line("a", "m").replace("POST", "GET"),
            &line("a", "m").replace("/v1/chat/completions", "/v1/images/generations"),
            &line("a", "m").replace(r#""method":"POST""#, r#""method":"POST","url":"/v1/embeddings""#),
        ] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
