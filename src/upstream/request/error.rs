//! Why a body is no request, said so that its sender knows what to change.

/// Why a body is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not JSON.
    #[error(
        "We could not parse the JSON body of your request: {0}. The API expects a JSON object, sent with content-type application/json."
    )]
    NotJson(String),
    /// JSON, but no object.
    #[error("The body of your request must be a JSON object.")]
    NotAnObject,
    /// A field that must be there is not.
    #[error("You must provide a `{0}` parameter.")]
    Missing(&'static str),
    /// A field that decides money stands twice.
    #[error(
        "`{0}` stands more than once in the body of your request; which one counts would be ambiguous. Send it once."
    )]
    Duplicate(String),
    /// A field has a value that it cannot have.
    #[error("Invalid value for `{field}`: {expected}.")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Larger than the gateway reads.
    #[error(
        "The body of your request is larger than {bytes_max} bytes, the most that this gateway reads. Send less, or ask its operator to raise server.body_bytes_max."
    )]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// A field that this gateway does not pass on, because what it leads to cannot be metered or is not the client's.
    #[error("`{field}` is not passed on by this gateway: {why}.")]
    Refused {
        /// The field.
        field: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A field names what a provider keeps and this gateway cannot have made for anybody.
    #[error(
        "`{field}` names no {kind} of yours: this gateway makes and binds none, and one that was made elsewhere belongs to another account."
    )]
    Unbound {
        /// The field.
        field: &'static str,
        /// What it names.
        kind: &'static str,
    },
    /// A field that decides money is spelled in a way that some providers read and others do not.
    #[error("`{found}` in the body of your request is read as `{meant}` by some providers. Spell it `{meant}`, once.")]
    Spelling {
        /// As it stands there.
        found: String,
        /// As it is written.
        meant: String,
    },
    /// Not multipart, or broken.
    #[error("The body of your request must be multipart/form-data with a boundary: {0}.")]
    NotMultipart(&'static str),
    /// Compressed.
    #[error("The body of your request is compressed; send it without a content-encoding.")]
    Encoded,
    /// Not complete in time.
    #[error("The body of your request did not arrive in time.")]
    TooSlow,
    /// Broken off.
    #[error("The body of your request is incomplete.")]
    Incomplete,
    /// One request of a batch.
    #[error("Request {number} of the batch: {error}")]
    InBatch {
        /// Which, from 1.
        number: u64,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// `x-tollgate-tags` is not a list of pairs.
    #[error(
        "The header x-tollgate-tags must be such as `team=a,feature=b`: at most 16 pairs, at most 64 bytes a name or value."
    )]
    BadTags,
}

impl RequestError {
    /// A stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) | Self::NotAnObject | Self::Incomplete => "invalid_json",
            Self::Missing(_) => "missing_required_parameter",
            Self::Duplicate(_) | Self::Spelling { .. } => "duplicate_parameter",
            Self::Invalid { .. } => "invalid_value",
            Self::Refused { .. } => "unsupported_parameter",
            Self::Unbound { .. } => "not_found",
            Self::NotMultipart(_) => "invalid_multipart",
            Self::TooLarge { .. } => "request_too_large",
            Self::Encoded => "unsupported_encoding",
            Self::TooSlow => "request_timeout",
            Self::InBatch { error, .. } => error.code(),
            Self::BadTags => "invalid_tags",
        }
    }

    /// The parameter at fault.
    #[must_use]
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Missing(field)
            | Self::Invalid { field, .. }
            | Self::Refused { field, .. }
            | Self::Unbound { field, .. } => Some(field),
            Self::Duplicate(field) | Self::Spelling { found: field, .. } => Some(field),
            Self::InBatch { error, .. } => error.param(),
            _ => None,
        }
    }
}
