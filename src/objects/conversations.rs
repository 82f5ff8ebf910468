//! Conversations: items that responses go on with, kept by a provider.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Response},
};
use bytes::Bytes;

use super::{About, Caller, Objects, ask::Ask, detail::Detail};
use crate::{
    proxy::error::ProxyError, routing::Provider, store::objects::ObjectKind, upstream::request::files::named_files,
};

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
        self.files_are_own(caller, &provider, &body).await?;
        let draft = self.draft(caller, ObjectKind::Conversation, &provider, &Detail::default())?;
        let ask = Ask::new(Method::POST, "/v1/conversations".to_owned()).with(caller, body);
        self.make(provider, draft, ask, |_| None).await
    }

    /// `POST /v1/conversations/{id}` and its items: what is put in may name files of the customer's only.
    ///
    /// # Errors
    /// As [`Self::pass`]; [`ProxyError::NotKept`] for a file of another's.
    pub async fn add_to_conversation(&self, caller: &Caller, about: About<'_>) -> Result<Response<Body>, ProxyError> {
        let (_, provider) = self.owned(caller.customer_id(), about.kind, about.id, None).await?;
        self.files_are_own(caller, &provider, &about.body).await?;
        self.pass(caller, about).await
    }

    async fn files_are_own(&self, caller: &Caller, provider: &Provider, body: &Bytes) -> Result<(), ProxyError> {
        for id in named_files(body)? {
            if self.keeper_of_file(caller.customer_id(), &id).await? != provider.name {
                return Err(ProxyError::NotKept { kind: "file", id: super::shown(&id), param: Some("file_id") });
            }
        }
        Ok(())
    }

    /// `DELETE /v1/conversations/{id}`
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn delete_conversation(&self, caller: &Caller, id: &str) -> Result<Response<Body>, ProxyError> {
        self.pass_deletion(caller, ObjectKind::Conversation, id).await
    }
}
