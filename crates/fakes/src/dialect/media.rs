//! Pictures, sound written down, moderations.

use crate::answer::{CREATED, Endpoint, Turn, quoted};

pub(super) fn usage(turn: &Turn) -> String {
    match turn.endpoint {
        Endpoint::Transcription => r#"{"type":"duration","seconds":3}"#.to_owned(),
        _ => {
            let (input, output) = (turn.prompt_tokens, 272);
            format!(
                r#"{{"input_tokens":{input},"input_tokens_details":{{"text_tokens":{input},"image_tokens":0}},"output_tokens":{output},"total_tokens":{}}}"#,
                input + output
            )
        }
    }
}

fn told(turn: &Turn) -> String {
    turn.usage_told().map(|usage| format!(r#","usage":{usage}"#)).unwrap_or_default()
}

pub(super) fn images(turn: &Turn) -> String {
    format!(r#"{{"created":{CREATED},"data":[{{"b64_json":"iVBORw0KGgo="}}]{}}}"#, told(turn))
}

pub(super) fn transcription(turn: &Turn) -> String {
    format!(r#"{{"text":{}{}}}"#, quoted(&turn.whole_text()), told(turn))
}

pub(super) fn moderation(turn: &Turn) -> String {
    format!(
        r#"{{"id":{},"model":{},"results":[{{"flagged":false,"categories":{{}},"category_scores":{{}},"category_applied_input_types":{{}}}}]}}"#,
        quoted(&turn.id),
        quoted(&turn.model)
    )
}
