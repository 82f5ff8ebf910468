//! Conversations: items that responses go on with, kept by a provider.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Response},
};
use bytes::Bytes;

use super::{Caller, Objects, ask::Ask, detail::Detail};
use crate::{proxy::error::ProxyError, store::objects::ObjectKind};

impl Objects {
    /// `POST /v1/conversations`
    ///
    /// # Errors
    /// [`ProxyError`] says why it is not made.
    pub async fn make_conversation(
        self: &Arc<Self>,
        caller: &Caller,
        body: Bytes,
    ) -> Result<Response<Body>, ProxyError> {
        let provider = self.keeper()?;
        let draft = self.draft(caller, ObjectKind::Conversation, &provider, &Detail::default())?;
        let ask = Ask::new(Method::POST, "/v1/conversations".to_owned()).with(caller, body);
        self.make(provider, draft, ask, |_| None).await
    }

    /// `DELETE /v1/conversations/{id}`
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn delete_conversation(&self, caller: &Caller, id: &str) -> Result<Response<Body>, ProxyError> {
        self.pass_deletion(caller, ObjectKind::Conversation, id).await
    }
}
