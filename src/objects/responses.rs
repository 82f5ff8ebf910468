//! Stored responses: what goes on with one stays with its customer and its provider, and what is stored becomes its customer's.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Response},
};
use bytes::Bytes;
use tollgate_core::id::{CustomerId, KeyId, RequestId};

use super::{About, Caller, Objects, detail::Detail, first_event::Named, new_id};
use crate::{
    proxy::{Served, error::ProxyError},
    routing::Target,
    store::objects::{ObjectKind, ObjectRow},
    upstream::request::kept::Kept,
};

/// Whose response it is.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Who pays.
    pub customer_id: CustomerId,
    /// The key that asks.
    pub key_id: KeyId,
    /// The request.
    pub request_id: RequestId,
}

impl Objects {
    /// The provider that keeps what a request goes on with; none when it goes on with nothing.
    async fn goes_on_at(&self, customer_id: CustomerId, kept: &Kept) -> Result<Option<String>, ProxyError> {
        let named = [
            (ObjectKind::Response, "previous_response_id", &kept.previous_response_id),
            (ObjectKind::Conversation, "conversation", &kept.conversation),
        ];
        let mut found: Option<String> = None;
        for (kind, param, id) in named {
            let Some(id) = id else { continue };
            let (_, provider) = self.owned(customer_id, kind, id, Some(param)).await?;
            if found.as_ref().is_some_and(|other| *other != provider.name) {
                return Err(ProxyError::NotKept { kind: "conversation", id: super::shown(id), param: Some(param) });
            }
            found = Some(provider.name.clone());
        }
        Ok(found)
    }

    /// The provider that keeps what a request refers to: what it goes on with, and these files; none when it refers to nothing.
    ///
    /// # Errors
    /// [`ProxyError::NotKept`] when one is not this customer's, or not kept where the rest is.
    pub async fn needs(
        &self,
        customer_id: CustomerId,
        kept: &Kept,
        files: Vec<String>,
    ) -> Result<Option<String>, ProxyError> {
        let mut found = self.goes_on_at(customer_id, kept).await?;
        for id in files {
            let provider = self.keeper_of_file(customer_id, &id).await?;
            if found.as_ref().is_some_and(|other| *other != provider) {
                return Err(ProxyError::NotKept { kind: "file", id: super::shown(&id), param: Some("file_id") });
            }
            found = Some(provider);
        }
        Ok(found)
    }

    /// The provider that keeps a file of this customer.
    pub(super) async fn keeper_of_file(&self, customer_id: CustomerId, id: &str) -> Result<String, ProxyError> {
        let (_, provider) = self.owned(customer_id, ObjectKind::File, id, Some("file_id")).await?;
        Ok(provider.name.clone())
    }

    /// A response that its provider stores: its id is bound when it passes.
    #[must_use]
    pub fn stored(self: &Arc<Self>, owner: Owner, served: &Served, response: Response<Body>) -> Response<Body> {
        let row = served.target().and_then(|target| self.response_row(owner, target));
        let Some(row) = row else { return response };
        let binder = self.binder.clone();
        response.map(|body| Body::new(Named::new(body, row, binder)))
    }

    fn response_row(&self, owner: Owner, target: &Target) -> Option<ObjectRow> {
        if target.provider.worker_root.is_some() {
            // Workers of ours keep nothing.
            return None;
        }
        let created_at_us = self.proxy.clock.unix_us();
        Some(ObjectRow {
            id: new_id(created_at_us).ok()?,
            kind: ObjectKind::Response,
            provider: target.provider.name.clone(),
            upstream_id: None,
            customer_id: owner.customer_id,
            key_id: owner.key_id,
            request_id: owner.request_id,
            model: None,
            target: Some(target.label.clone()),
            price_book: None,
            detail: Detail::default().to_json(),
            created_at_us,
            deleted_at_us: None,
            finished_at_us: None,
            metered_at_us: None,
            result_lines: None,
            polled_at_us: None,
            poll_after_us: None,
        })
    }

    /// `DELETE /v1/responses/{id}`
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn delete_response(&self, caller: &Caller, id: &str) -> Result<Response<Body>, ProxyError> {
        self.pass_deletion(caller, ObjectKind::Response, id).await
    }

    /// `GET /v1/responses/{id}`, and what stands below it.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub async fn response(
        &self,
        caller: &Caller,
        method: Method,
        id: &str,
        below: &str,
    ) -> Result<Response<Body>, ProxyError> {
        self.pass(caller, About { kind: ObjectKind::Response, id, method, below, body: Bytes::new() }).await
    }

    /// Sees to it that ids which were told are bound, as far as the store does.
    pub async fn flush(&self) {
        self.binder.flush().await;
    }
}
