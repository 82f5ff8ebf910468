//! Errors of the admin plane as RFC 9457 problems with a stable `code`; one table from errors to status and code.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

use crate::{
    accounts::AccountError, billing::statement::StatementError, journal::error::JournalError,
    reports::economics::EconomicsError, store::StoreError,
};

/// A problem to tell.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(super) fn missing(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }
}

/// An error, RFC 9457.
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemBody {
    /// `about:blank`
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// Stable.
    code: &'static str,
    /// What is wrong, and what to do.
    detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let status = self.status.as_u16();
        let body = ProblemBody { r#type: "about:blank", title, status, code: self.code, detail: self.detail };
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Exists(_) => Self::new(StatusCode::CONFLICT, "exists", detail),
            StoreError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            StoreError::TooLarge => Self::new(StatusCode::CONFLICT, "too_large", detail),
            error if error.is_an_outage() => Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unreachable", detail),
            _ => Self::internal("store_failed", detail),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::Store(error) => error.into(),
            AccountError::Invalid { .. } => Self::bad_request("invalid_value", detail),
            AccountError::UnreadableReceipt(_) => Self::bad_request("invalid_receipt", detail),
            AccountError::Receipt(_) => Self::bad_request("receipt_does_not_add_up", detail),
            AccountError::Revoked(_) => Self::new(StatusCode::CONFLICT, "revoked", detail),
            AccountError::Randomness(_) => Self::internal("no_randomness", detail),
        }
    }
}

impl From<StatementError> for Problem {
    fn from(error: StatementError) -> Self {
        let detail = error.to_string();
        match error {
            StatementError::Store(error) => error.into(),
            StatementError::BadMonth(_) => Self::bad_request("invalid_value", detail),
            _ => Self::internal("statement_failed", detail),
        }
    }
}

impl From<EconomicsError> for Problem {
    fn from(error: EconomicsError) -> Self {
        match error {
            EconomicsError::Store(error) => error.into(),
            EconomicsError::Overflow(error) => Self::internal("too_large", error.to_string()),
        }
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::internal("journal_failed", error.to_string())
    }
}

impl Problem {
    fn internal(code: &'static str, detail: String) -> Self {
        tracing::error!(code, detail, "an admin request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, detail)
    }
}

pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::missing(format!("page {}", uri.path()))
}

pub(super) async fn wrong_method(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} does not answer this method", uri.path()),
    )
}

/// A JSON body, refused with a problem.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Problem::bad_request("invalid_json", "send JSON, with content-type: application/json"))
            }
            Err(rejection) => Err(Problem::bad_request("invalid_json", rejection.body_text())),
        }
    }
}

/// A query, refused with a problem.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(params)| Self(params))
            .map_err(|rejection| Problem::bad_request("invalid_query", rejection.body_text()))
    }
}

/// An id of the path, refused with a problem that says what one looks like.
pub(super) struct Id<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Id<T>
where
    T: std::str::FromStr + Send,
    T::Err: std::fmt::Display,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::bad_request("invalid_id", rejection.body_text()))?;
        text.parse().map(Self).map_err(|error: T::Err| Problem::bad_request("invalid_id", error.to_string()))
    }
}
