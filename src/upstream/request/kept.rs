//! What a request for a response says of what its provider keeps: what it goes on with, and whether it is kept itself.

use super::{
    error::RequestError,
    fields::{Fields, flag, text},
};

/// What a request refers to and leaves behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The answer will be kept, so that its id leads to it.
    pub is_stored: bool,
    /// The response that it goes on from.
    pub previous_response_id: Option<String>,
    /// The conversation that it stands in.
    pub conversation: Option<String>,
}

impl Kept {
    /// Whether it goes on with something.
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        self.previous_response_id.is_some() || self.conversation.is_some()
    }

    /// Reads the fields of a request for a response.
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, RequestError> {
        let previous = fields.get(&["previous_response_id"])?;
        let previous = previous.map(|raw| text(Some(raw)).ok_or(NOT_AN_ID("previous_response_id"))).transpose()?;
        let conversation = match fields.get(&["conversation"])? {
            Some(raw) if raw.starts_with('{') => {
                let id = text(Fields::read(raw)?.get(&["id"])?);
                Some(id.ok_or(NOT_AN_ID("conversation"))?)
            }
            Some(raw) => Some(text(Some(raw)).ok_or(NOT_AN_ID("conversation"))?),
            None => None,
        };
        let is_stored = flag(fields.get(&["store"])?, "store")?.unwrap_or(true);
        Ok(Self { is_stored, previous_response_id: previous, conversation })
    }
}

const NOT_AN_ID: fn(&'static str) -> RequestError =
    |field| RequestError::Invalid { field, expected: "an id, as the API gave it" };
