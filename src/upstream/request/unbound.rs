//! References to what a provider keeps and no customer can have made through this gateway: whoever knows its name would read
//! what is the operator's, or another customer's.

use super::{error::RequestError, fields::Fields, sources::read_a_file};
use crate::upstream::endpoint::Endpoint;

const CACHED_CONTENT: &[&str] = &["cachedContent", "cached_content"];

/// Refuses a request that refers to such a thing.
pub(super) fn refuse(endpoint: Endpoint, fields: &Fields<'_>) -> Result<(), RequestError> {
    match endpoint {
        Endpoint::GenerateContent | Endpoint::StreamGenerateContent => cache(fields),
        Endpoint::GeminiCountTokens => {
            cache(fields)?;
            let inner = object(fields, &["generateContentRequest", "generate_content_request"])?;
            inner.map_or(Ok(()), |inner| cache(&inner))
        }
        // Gemini's interface in OpenAI's dialect.
        Endpoint::ChatCompletions => match object(fields, &["extra_body"])? {
            Some(extra) => object(&extra, &["google"])?.map_or(Ok(()), |google| cache(&google)),
            None => Ok(()),
        },
        Endpoint::Interactions => {
            cache(fields)?;
            one(fields, "environment", &["environment_id", "environmentId"], "environment")
        }
        Endpoint::Messages | Endpoint::MessagesCountTokens => {
            one(fields, "container", &["id"], "container")?;
            match fields.get(&["messages"])? {
                Some(messages) if read_a_file(messages)? => {
                    Err(RequestError::Unbound { field: "file_id", kind: "file" })
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn cache(fields: &Fields<'_>) -> Result<(), RequestError> {
    match fields.get(CACHED_CONTENT)? {
        Some(raw) if raw != "\"\"" => Err(RequestError::Unbound { field: "cachedContent", kind: "cache" }),
        _ => Ok(()),
    }
}

/// A thing that a field names, by itself or by an id in an object that may also describe a new one.
fn one(fields: &Fields<'_>, field: &'static str, ids: &[&str], kind: &'static str) -> Result<(), RequestError> {
    let names = match fields.get(&[field])? {
        Some(raw) if raw.starts_with('{') => Fields::read(raw)?.get(ids)?.is_some(),
        Some(_) => true,
        None => false,
    };
    if names { Err(RequestError::Unbound { field, kind }) } else { Ok(()) }
}

fn object<'a>(fields: &Fields<'a>, names: &[&str]) -> Result<Option<Fields<'a>>, RequestError> {
    fields.get(names)?.filter(|raw| raw.starts_with('{')).map(Fields::read).transpose()
}
