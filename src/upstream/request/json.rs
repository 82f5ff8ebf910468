//! Reads a JSON body by its endpoint's row, and refuses by name what cannot be metered.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    INVALID_MODEL, ModelForm, ModelSpan, Request,
    error::RequestError,
    fields::{Fields, flag, shortened, span, text},
    hosted::Hosted,
    kept::Kept,
    unbound,
    usage_option::UsageOption,
};
use crate::upstream::endpoint::{Endpoint, ModelPlace, Shape, Streaming};

/// Answers that one request may ask for.
const CHOICES_MAX: u64 = 128;
/// Largest output maximum that is believed.
const OUTPUT_MAX: u64 = 1 << 32;
/// Fields that lead to what cannot be metered, or to what may be another customer's.
const REFUSED: &[(Endpoint, &str, &str)] = &[
    (Endpoint::ImageGenerations, "stream", NO_STREAM),
    (Endpoint::Speech, "stream_format", "its events carry sound that is metered by the characters of the input only"),
    (Endpoint::ChatCompletions, "models", OTHER_MODEL),
    (Endpoint::ChatCompletions, "preset", OTHER_MODEL),
    (Endpoint::ChatCompletions, "deferred", NO_BACKGROUND),
    (Endpoint::Completions, "models", OTHER_MODEL),
    (Endpoint::Completions, "preset", OTHER_MODEL),
    (Endpoint::Interactions, "agent", "what an agent uses is not told; name a model"),
    (Endpoint::Interactions, "background", NO_BACKGROUND),
    (Endpoint::Interactions, "previous_interaction_id", NOT_BOUND),
    (Endpoint::Interactions, "previousInteractionId", NOT_BOUND),
    (Endpoint::Responses, "background", NO_BACKGROUND),
    (Endpoint::Responses, "models", OTHER_MODEL),
    (Endpoint::Responses, "preset", OTHER_MODEL),
];
const OTHER_MODEL: &str = "another model might answer than the one that is allowed and priced";
const NO_STREAM: &str = "its usage would come in events that are not metered";
const NO_BACKGROUND: &str = "its usage would come after the answer";
const NOT_BOUND: &str = "what it names was not made through this gateway by this customer";

/// Reads a body whose model stands in it, or in the path.
pub(super) fn read(endpoint: Endpoint, in_path: Option<&str>, body: Bytes) -> Result<Request, RequestError> {
    let whole = std::str::from_utf8(&body).map_err(|_| RequestError::NotJson("it is not UTF-8".to_owned()))?;
    let fields = Fields::read(whole)?;
    let shape = endpoint.shape();
    refuse(endpoint, &fields)?;
    unbound::refuse(endpoint, &fields)?;
    let (model, model_spans) = model(endpoint, &shape, in_path, whole, &fields)?;
    let stream = stream(&shape, &fields)?;
    let usage_option = match endpoint {
        Endpoint::ChatCompletions | Endpoint::Completions => {
            // Read also where there is no stream, so that what is wrong is said.
            Some(UsageOption::read(whole, &fields)?).filter(|_| stream)
        }
        _ => None,
    };
    let output_max = output_max(&shape, &fields)?;
    let choices = choices(&shape, &fields)?.saturating_mul(prompts(endpoint, &fields)?);
    let prompt_bytes = prompt_bytes(&shape, &fields)?;
    let mut end_user = None;
    for place in shape.end_user {
        end_user = end_user.or(text(fields.at(place)?));
    }
    let (image_size, image_quality) = match endpoint {
        Endpoint::ImageGenerations => (text(fields.get(&["size"])?), text(fields.get(&["quality"])?)),
        _ => (None, None),
    };
    let characters = match endpoint {
        Endpoint::Speech => characters(&fields)?,
        _ => 0,
    };
    Ok(Request {
        endpoint,
        model,
        stream,
        output_max,
        choices,
        prompt_bytes,
        end_user: end_user.map(shortened),
        characters,
        image_size,
        image_quality,
        model_spans,
        usage_option,
        kept: if endpoint == Endpoint::Responses { Kept::read(&fields)? } else { Kept::default() },
        hosted: Hosted::read(endpoint, &fields)?,
        body: body.clone(),
    })
}

fn refuse(endpoint: Endpoint, fields: &Fields<'_>) -> Result<(), RequestError> {
    for (_, field, why) in REFUSED.iter().filter(|(refused, ..)| *refused == endpoint) {
        if fields.get(&[field])?.is_some_and(|raw| raw != "false") {
            return Err(RequestError::Refused { field, why });
        }
    }
    Ok(())
}

fn stream(shape: &Shape, fields: &Fields<'_>) -> Result<bool, RequestError> {
    match shape.streaming {
        Streaming::Never => Ok(false),
        Streaming::Always => Ok(true),
        Streaming::Field(usual) => Ok(flag(fields.get(&["stream"])?, "stream")?.unwrap_or(usual)),
    }
}

/// The model's name and where it stands in the body.
fn model(
    endpoint: Endpoint,
    shape: &Shape,
    in_path: Option<&str>,
    whole: &str,
    fields: &Fields<'_>,
) -> Result<(String, Vec<ModelSpan>), RequestError> {
    if shape.model == ModelPlace::Body {
        let raw = fields.raw(&["model"])?.ok_or(RequestError::Missing("model"))?;
        let name: String = serde_json::from_str(raw).map_err(|_| INVALID_MODEL)?;
        return match name.strip_prefix("models/") {
            Some(bare) if endpoint == Endpoint::Interactions => {
                Ok((bare.to_owned(), vec![ModelSpan { at: span(whole, raw), form: ModelForm::Resource }]))
            }
            _ => Ok((name, vec![ModelSpan { at: span(whole, raw), form: ModelForm::Quoted }])),
        };
    }
    let name = in_path.ok_or(RequestError::Missing("model"))?;
    let mut spans = Vec::new();
    for raw in repeated_models(endpoint, fields)? {
        let repeated = text(Some(raw)).unwrap_or_default();
        let form = match repeated.strip_prefix("models/") {
            Some(bare) if bare == name => ModelForm::Resource,
            None if repeated == name => ModelForm::Quoted,
            _ => return Err(RequestError::Invalid { field: "model", expected: "the same as in the path" }),
        };
        spans.push(ModelSpan { at: span(whole, raw), form });
    }
    Ok((name.to_owned(), spans))
}

/// The fields of a Gemini body that repeat the model of the path: what is priced must be what is sent.
fn repeated_models<'a>(endpoint: Endpoint, fields: &Fields<'a>) -> Result<Vec<&'a str>, RequestError> {
    let mut found = Vec::new();
    if matches!(
        endpoint,
        Endpoint::GenerateContent
            | Endpoint::StreamGenerateContent
            | Endpoint::EmbedContent
            | Endpoint::GeminiCountTokens
    ) {
        found.extend(fields.get(&["model"])?);
    }
    if endpoint == Endpoint::GeminiCountTokens
        && let Some(inner) = fields.get(&["generateContentRequest", "generate_content_request"])?
    {
        found.extend(Fields::read(inner)?.get(&["model"])?);
    }
    if endpoint == Endpoint::BatchEmbedContents {
        let raw = fields.get(&["requests"])?.ok_or(RequestError::Missing("requests"))?;
        let expected = RequestError::Invalid { field: "requests", expected: "a list of requests" };
        let requests: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| expected)?;
        for request in requests {
            found.extend(Fields::read(request.get())?.get(&["model"])?);
        }
    }
    Ok(found)
}

fn output_max(shape: &Shape, fields: &Fields<'_>) -> Result<Option<u64>, RequestError> {
    let mut found = None;
    for place in shape.output_max {
        let name = place.names.first().copied().unwrap_or("max_tokens");
        let raw = fields.at(place)?;
        // Ollama writes "no maximum" so.
        let raw = raw.filter(|raw| name != "num_predict" || !raw.starts_with('-'));
        let most = count(raw, name, "a whole number, at least 1", 1, OUTPUT_MAX)?;
        found = found.or(most);
    }
    Ok(found)
}

/// How many answers each prompt is to have.
fn choices(shape: &Shape, fields: &Fields<'_>) -> Result<u64, RequestError> {
    let mut most = 1;
    for place in shape.choices {
        let name = place.names.first().copied().unwrap_or("n");
        let asked = count(fields.at(place)?, name, "a whole number from 1 to 128", 1, CHOICES_MAX)?;
        most = most.max(asked.unwrap_or(1));
    }
    Ok(most)
}

/// How many prompts a completion has: a list of texts, or of lists of tokens, is answered one by one.
fn prompts(endpoint: Endpoint, fields: &Fields<'_>) -> Result<u64, RequestError> {
    let raw = if endpoint == Endpoint::Completions { fields.get(&["prompt"])? } else { None };
    let list: Vec<&RawValue> = match raw {
        Some(raw) if raw.starts_with('[') => serde_json::from_str(raw).unwrap_or_default(),
        _ => return Ok(1),
    };
    let is_prompt = |item: &&RawValue| item.get().starts_with(['"', '[']);
    let prompts = list.iter().filter(|item| is_prompt(item)).count();
    Ok(u64::try_from(prompts).unwrap_or(u64::MAX).max(1))
}

fn prompt_bytes(shape: &Shape, fields: &Fields<'_>) -> Result<u64, RequestError> {
    for name in shape.required {
        fields.raw(&[name])?.ok_or(RequestError::Missing(name))?;
    }
    let mut bytes: u64 = 0;
    for name in shape.prompt {
        let len = fields.get(&[name])?.map_or(0, str::len);
        bytes = bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
    Ok(bytes)
}

/// Unicode code points of the text to be spoken.
fn characters(fields: &Fields<'_>) -> Result<u64, RequestError> {
    let spoken = text(fields.get(&["input"])?);
    let spoken = spoken.ok_or(RequestError::Invalid { field: "input", expected: "a text" })?;
    Ok(u64::try_from(spoken.chars().count()).unwrap_or(u64::MAX))
}

/// A count within bounds; absent is none.
fn count(
    raw: Option<&str>,
    field: &'static str,
    expected: &'static str,
    least: u64,
    most: u64,
) -> Result<Option<u64>, RequestError> {
    let Some(raw) = raw else { return Ok(None) };
    let number = raw.parse().ok().filter(|number| (least..=most).contains(number));
    number.map(Some).ok_or(RequestError::Invalid { field, expected })
}
