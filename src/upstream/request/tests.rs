//! What is read of requests, and what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn parse_as(endpoint: Endpoint, in_path: Option<&str>, body: &str) -> Result<Request, RequestError> {
    Request::parse(endpoint, in_path, "application/json", Bytes::copy_from_slice(body.as_bytes()))
}

fn parse(body: &str) -> Result<Request, RequestError> {
    parse_as(Endpoint::ChatCompletions, None, body)
}

#[test]
fn what_decides_money_may_stand_once_only_however_it_is_spelled() {
    for body in [
        r#"{"model":"a","messages":[],"model":"b"}"#,
        r#"{"model":"a","messages":[],"mod\u0065l":"b"}"#,
        r#"{"model":"a","messages":[],"stream":true,"stream":false}"#,
        r#"{"model":"a","messages":[],"max_tokens":1,"max_tokens":2}"#,
    ] {
        assert!(matches!(parse(body), Err(RequestError::Duplicate(_))), "{body}");
    }
    assert!(parse(r#"{"model":"a","messages":[{"model":"b"}],"tools":[{"model":"c"}]}"#).is_ok());
}

#[test]
fn bad_bodies_are_refused_with_the_parameter_at_fault() {
    for (body, param) in [
        (r#"{"messages":[]}"#, Some("model")),
        (r#"{"model":7,"messages":[]}"#, Some("model")),
        (r#"{"model":"","messages":[]}"#, Some("model")),
        (r#"{"model":"a"}"#, Some("messages")),
        (r#"{"model":"a","messages":[],"stream":"yes"}"#, Some("stream")),
        (r#"{"model":"a","messages":[],"max_tokens":-1}"#, Some("max_tokens")),
        (r#"{"model":"a","messages":[],"max_tokens":1.5}"#, Some("max_tokens")),
        (r#"{"model":"a","messages":[],"max_completion_tokens":99999999999999999999}"#, Some("max_completion_tokens")),
        (r#"{"model":"a","messages":[],"n":0}"#, Some("n")),
        (r#"{"model":"a","messages":[],"n":129}"#, Some("n")),
        (r#"{"model":"a","messages":[],"stream_options":{"include_usage":1}}"#, Some("stream_options")),
        ("[1]", None),
        ("", None),
        (r#"{"model":"a","messages":[]} x"#, None),
        (r#"{"model":"a","messages":[}"#, None),
    ] {
        let error = parse(body).expect_err(body);
        assert_eq!(error.param(), param, "{body}: {error}");
    }
    let not_utf8 = Bytes::from_static(b"{\"model\":\"\xff\"}");
    assert!(Request::parse(Endpoint::ChatCompletions, None, "", not_utf8).is_err());
}

#[test]
fn a_request_that_needs_no_edit_is_the_same_bytes() {
    let request =
        parse(r#"{"model":"a", "messages":[], "stream":true,"stream_options":{"include_usage":true}}"#).unwrap();
    let (body, injected) = request.upstream_body("a", true);
    assert_eq!((body.as_ptr(), injected), (request.body.as_ptr(), false));
}

#[test]
fn every_answer_that_is_asked_for_reserves_its_own_maximum() {
    for (endpoint, body, tokens) in [
        (Endpoint::ChatCompletions, r#"{"model":"m","messages":[],"max_tokens":9}"#, 9),
        (Endpoint::ChatCompletions, r#"{"model":"m","messages":[],"max_tokens":9,"n":128}"#, 1152),
        (Endpoint::ChatCompletions, r#"{"model":"m","messages":[],"n":128}"#, 0),
        (Endpoint::Completions, r#"{"model":"m","prompt":"x","max_tokens":9,"n":2,"best_of":5}"#, 45),
        (Endpoint::Completions, r#"{"model":"m","prompt":["x","y","z"],"max_tokens":9,"n":2}"#, 54),
        (Endpoint::Completions, r#"{"model":"m","prompt":[[1,2],[3]],"max_tokens":9}"#, 18),
        (Endpoint::Completions, r#"{"model":"m","prompt":[1,2,3],"max_tokens":9}"#, 9),
        (
            Endpoint::GenerateContent,
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":9,"candidateCount":3}}"#,
            27,
        ),
        (
            Endpoint::StreamGenerateContent,
            r#"{"contents":[],"generation_config":{"max_output_tokens":9,"candidate_count":3}}"#,
            27,
        ),
        (Endpoint::InvokeModel, r#"{"prompt":"x","max_tokens":9,"num_generations":4}"#, 36),
        // The largest of each together still is a number, and not a small one.
        (Endpoint::ChatCompletions, r#"{"model":"m","messages":[],"max_tokens":4294967296,"n":128}"#, 1 << 39),
    ] {
        let request = parse_as(endpoint, Some("m"), body).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(request.output_tokens_max(), tokens, "{body}");
    }
    for (endpoint, body, param) in [
        (Endpoint::Completions, r#"{"model":"m","prompt":"x","best_of":0}"#, "best_of"),
        (Endpoint::Completions, r#"{"model":"m","prompt":"x","best_of":1000000}"#, "best_of"),
        (Endpoint::GenerateContent, r#"{"contents":[],"generationConfig":{"candidateCount":-1}}"#, "candidateCount"),
        (Endpoint::GenerateContent, r#"{"contents":[],"generationConfig":{"candidateCount":1.5}}"#, "candidateCount"),
    ] {
        assert_eq!(parse_as(endpoint, Some("m"), body).unwrap_err().param(), Some(param), "{body}");
    }
}

/// For each endpoint of a JSON body: its model, path and the fields that a body must have.
#[test]
fn every_endpoint_finds_its_model_stream_maximum_and_user() {
    let cases = [
        (
            Endpoint::Messages,
            json!({"model": "m", "messages": [], "max_tokens": 9, "stream": true, "metadata": {"user_id": "u"}}),
            true,
            Some(9),
            Some("u"),
        ),
        (Endpoint::MessagesCountTokens, json!({"model": "m", "messages": []}), false, None, None),
        (
            Endpoint::Responses,
            json!({"model": "m", "input": "x", "max_output_tokens": 9, "safety_identifier": "u"}),
            false,
            Some(9),
            Some("u"),
        ),
        (
            Endpoint::GenerateContent,
            json!({"contents": [], "generationConfig": {"maxOutputTokens": 9}}),
            false,
            Some(9),
            None,
        ),
        (
            Endpoint::StreamGenerateContent,
            json!({"contents": [], "generation_config": {"max_output_tokens": 9}}),
            true,
            Some(9),
            None,
        ),
        (
            Endpoint::BatchEmbedContents,
            json!({"requests": [{"model": "models/m", "content": {}}, {"model": "m"}]}),
            false,
            None,
            None,
        ),
        (
            Endpoint::Interactions,
            json!({"model": "m", "input": "x", "generation_config": {"max_output_tokens": 9}}),
            false,
            Some(9),
            None,
        ),
        (
            Endpoint::OllamaChat,
            json!({"model": "m", "messages": [], "options": {"num_predict": 9}}),
            true,
            Some(9),
            None,
        ),
        (
            Endpoint::OllamaGenerate,
            json!({"model": "m", "prompt": "x", "stream": false, "options": {"num_predict": -1}}),
            false,
            None,
            None,
        ),
        (Endpoint::OllamaEmbed, json!({"model": "m", "input": "x"}), false, None, None),
        (
            Endpoint::CohereChat,
            json!({"model": "m", "messages": [], "max_tokens": 9, "stream": true}),
            true,
            Some(9),
            None,
        ),
        (Endpoint::CohereRerank, json!({"model": "m", "query": "x", "documents": []}), false, None, None),
        (Endpoint::Converse, json!({"messages": [], "inferenceConfig": {"maxTokens": 9}}), false, Some(9), None),
        (Endpoint::ConverseStream, json!({"messages": []}), true, None, None),
        (Endpoint::InvokeModelStream, json!({"max_tokens": 9, "messages": []}), true, Some(9), None),
    ];
    for (endpoint, body, stream, output_max, end_user) in cases {
        let request =
            parse_as(endpoint, Some("m"), &body.to_string()).unwrap_or_else(|error| panic!("{endpoint:?}: {error}"));
        assert_eq!(request.model, "m", "{endpoint:?}");
        assert_eq!(
            (request.stream, request.output_max, request.end_user.as_deref()),
            (stream, output_max, end_user),
            "{endpoint:?}"
        );
        let (sent, injected) = request.upstream_body("up/stream", true);
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        let mut expected = body;
        let renamed = if endpoint == Endpoint::BatchEmbedContents {
            expected["requests"][0]["model"] = "models/up/stream".into();
            expected["requests"][1].get_mut("model")
        } else {
            expected.get_mut("model")
        };
        if let Some(model) = renamed {
            *model = "up/stream".into();
        }
        assert_eq!((sent, injected), (expected, false), "{endpoint:?}");
    }
}

#[test]
fn what_money_depends_on_may_stand_once_only_in_every_dialect() {
    for (endpoint, body) in [
        (Endpoint::Messages, r#"{"model":"m","messages":[],"max_tokens":1,"max_tokens":2}"#),
        (Endpoint::Messages, r#"{"model":"m","messages":[],"stream":true,"stream":false}"#),
        (
            Endpoint::GenerateContent,
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":1,"max_output_tokens":2}}"#,
        ),
        (
            Endpoint::GenerateContent,
            r#"{"contents":[],"generationConfig":{},"generation_config":{"maxOutputTokens":1}}"#,
        ),
        (Endpoint::OllamaChat, r#"{"model":"m","options":{"num_predict":1},"options":{"num_predict":2}}"#),
        (Endpoint::Converse, r#"{"messages":[],"inferenceConfig":{"maxTokens":1,"maxTokens":2}}"#),
        (Endpoint::Speech, r#"{"model":"m","input":"a","input":"a longer one"}"#),
    ] {
        assert!(matches!(parse_as(endpoint, Some("m"), body), Err(RequestError::Duplicate(_))), "{body}");
    }
}

#[test]
fn a_body_that_names_another_model_than_the_path_is_refused() {
    for (endpoint, body) in [
        (Endpoint::GenerateContent, r#"{"contents":[],"model":"models/other"}"#),
        (Endpoint::EmbedContent, r#"{"content":{},"model":"other"}"#),
        (Endpoint::BatchEmbedContents, r#"{"requests":[{"model":"models/m"},{"model":"models/other"}]}"#),
        (Endpoint::GeminiCountTokens, r#"{"generateContentRequest":{"model":"models/other"}}"#),
    ] {
        assert_eq!(parse_as(endpoint, Some("m"), body).unwrap_err().param(), Some("model"), "{body}");
    }
}

#[test]
fn what_cannot_be_metered_is_refused_by_name() {
    for (endpoint, body, param) in [
        (Endpoint::Responses, r#"{"model":"m","input":"x","background":true}"#, "background"),
        (Endpoint::ImageGenerations, r#"{"model":"m","prompt":"x","stream":true}"#, "stream"),
        (Endpoint::Interactions, r#"{"model":"m","input":"x","agent":"deep"}"#, "agent"),
        (Endpoint::Interactions, r#"{"model":"m","input":"x","previousInteractionId":"i"}"#, "previousInteractionId"),
        (Endpoint::ChatCompletions, r#"{"model":"m","messages":[],"models":["dear"]}"#, "models"),
        (Endpoint::ChatCompletions, r#"{"model":"m","messages":[],"deferred":true}"#, "deferred"),
        (Endpoint::Responses, r#"{"model":"m","input":"x","models":["dear"]}"#, "models"),
        (Endpoint::Responses, r#"{"model":"m","input":"x","preset":"dear"}"#, "preset"),
    ] {
        let error = parse_as(endpoint, Some("m"), body).unwrap_err();
        assert_eq!((error.param(), error.code()), (Some(param), "unsupported_parameter"), "{body}");
    }
    let allowed = r#"{"model":"m","input":"x","background":false,"previous_response_id":null}"#;
    assert!(parse_as(Endpoint::Responses, None, allowed).is_ok());
}

#[test]
fn a_spelling_that_some_readers_take_for_the_model_is_refused() {
    for body in [
        r#"{"model":"cheap","Model":"dear","messages":[]}"#,
        r#"{"model":"cheap","messages":[],"MODEL":"dear"}"#,
        r#"{"Model":"dear","messages":[]}"#,
        r#"{"model":"cheap","messages":[],"\u017ftream":true}"#,
        r#"{"model":"cheap","messages":[],"Max_tokens":9}"#,
    ] {
        let error = parse_as(Endpoint::ChatCompletions, None, body).unwrap_err();
        assert!(matches!(error, RequestError::Spelling { .. }), "{body}: {error}");
    }
}

#[test]
fn text_to_be_spoken_is_counted_in_code_points() {
    let request = parse_as(Endpoint::Speech, None, r#"{"model":"m","input":"\u03a9 \ud83e\uddee né"}"#).unwrap();
    assert_eq!(request.characters, 6);
}

#[test]
fn a_form_is_read_and_its_model_replaced_in_place() {
    let form = |fields: &[(&str, &str)]| {
        let part = |(name, value): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        fields.iter().map(part).collect::<String>() + "--b--\r\n"
    };
    let parse = |fields: &[(&str, &str)]| {
        Request::parse(Endpoint::Transcriptions, None, "multipart/form-data; boundary=b", form(fields).into())
    };
    let request = parse(&[("file", "\0\r\n--c"), ("model", "whisper")]).unwrap();
    let (sent, _) = request.upstream_body("whisper-1", true);
    assert_eq!(sent, form(&[("file", "\0\r\n--c"), ("model", "whisper-1")]));
    for (fields, param) in [
        (vec![("file", ""), ("model", "a"), ("model", "b")], "model"),
        (vec![("file", "")], "model"),
        (vec![("model", "a")], "file"),
        (vec![("file", ""), ("model", "a"), ("stream", "true")], "stream"),
        (vec![("file", ""), ("model", "a"), ("response_format", "srt")], "response_format"),
    ] {
        assert_eq!(parse(&fields).unwrap_err().param(), Some(param));
    }
}

proptest! {
    #[test]
    fn an_edit_changes_the_model_and_the_usage_option_and_nothing_else(
        options in prop::option::of(prop::sample::select(vec![
            json!(null), json!({}), json!({"include_usage": false}), json!({"include_usage": null}),
            json!({"include_usage": true}), json!({"include_obfuscation": false}),
        ])),
        stream in any::<bool>(),
        extra in "[a-z\"\\\\ü{}:,\\[\\]]{0,20}",
        upstream in "[a-z\"\\\\/.-]{1,12}",
    ) {
        let mut body = json!({"messages": [{"role": "user", "content": extra}], "model": "public", "x": {"model": extra}, "stream": stream});
        if let Some(options) = &options {
            body["stream_options"] = options.clone();
        }
        let request = parse(&body.to_string()).unwrap();
        let (edited, injected) = request.upstream_body(&upstream, true);
        let edited: Value = serde_json::from_slice(&edited).unwrap();
        let asked = options.as_ref().is_some_and(|options| options["include_usage"] == true);
        prop_assert_eq!(injected, stream && !asked);
        body["model"] = upstream.into();
        if injected {
            if !body["stream_options"].is_object() {
                body["stream_options"] = json!({});
            }
            body["stream_options"]["include_usage"] = true.into();
        }
        prop_assert_eq!(edited, body);
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_understood_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for endpoint in Endpoint::ALL {
            let content_type = "multipart/form-data; boundary=a";
            let _either = Request::parse(endpoint, Some("m"), content_type, bytes.clone().into());
        }
    }
}
