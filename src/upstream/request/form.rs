//! Reads a form by its endpoint's row: sound to be written down, pictures to be changed.

use bytes::Bytes;

use super::{
    INVALID_MODEL, ModelForm, ModelSpan, Request,
    error::RequestError,
    fields::shortened,
    hosted::Hosted,
    kept::Kept,
    multipart::{Part, parts},
};
use crate::upstream::endpoint::Endpoint;

/// Fields that may stand once only: they decide what is priced or how it is told.
const ONCE: &[&str] = &["model", "stream", "response_format", "n", "size", "quality", "user", "prompt"];
/// Forms of a transcription that say how long the sound was, or how many tokens it had.
const METERED_FORMATS: &[&str] = &["json", "verbose_json", "diarized_json"];

/// Reads a form.
pub(super) fn read(endpoint: Endpoint, content_type: &str, body: Bytes) -> Result<Request, RequestError> {
    let parts = parts(content_type, &body)?;
    for name in ONCE {
        if parts.iter().filter(|part| part.name == *name).count() > 1 {
            return Err(RequestError::Duplicate((*name).to_owned()));
        }
    }
    let part = |name: &str| parts.iter().find(|part| part.name == name);
    let text = |part: &Part| body.get(part.content.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let field = |name: &str| part(name).and_then(text);
    for name in endpoint.shape().required {
        part(name).ok_or(RequestError::Missing(name))?;
    }
    if field("stream").is_some_and(|stream| !stream.eq_ignore_ascii_case("false")) {
        let why = "its usage would come in events that are not metered";
        return Err(RequestError::Refused { field: "stream", why });
    }
    let format = field("response_format").unwrap_or("json");
    if endpoint == Endpoint::Transcriptions && !METERED_FORMATS.contains(&format) {
        let expected = "json, verbose_json or diarized_json: other forms do not say how long the sound was";
        return Err(RequestError::Invalid { field: "response_format", expected });
    }
    let model = part("model").ok_or(RequestError::Missing("model"))?;
    let name = text(model).ok_or(INVALID_MODEL)?.to_owned();
    if name.contains(['\r', '\n']) {
        return Err(INVALID_MODEL);
    }
    let prompt_bytes = field("prompt").map_or(0, str::len);
    let is_image = endpoint == Endpoint::ImageEdits;
    let image = |name: &str| field(name).filter(|_| is_image).map(str::to_owned);
    Ok(Request {
        endpoint,
        model: name,
        stream: false,
        output_max: None,
        choices: 1,
        prompt_bytes: u64::try_from(prompt_bytes).unwrap_or(u64::MAX),
        end_user: field("user").map(str::to_owned).map(shortened),
        characters: 0,
        image_size: image("size"),
        image_quality: image("quality"),
        model_spans: vec![ModelSpan { at: model.content.clone(), form: ModelForm::Bare }],
        usage_option: None,
        kept: Kept::default(),
        hosted: Hosted::of_endpoint(endpoint),
        body: body.clone(),
    })
}
