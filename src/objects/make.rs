//! Making something at a provider: written down first, sent, and bound to its customer before the client hears of it.
//!
//! Between the provider's answer and its binding the process may die. Then the row without an id tells that something was
//! sent; for a batch it is looked for at the provider, because it costs money ([`super::lost`]). Anything else is nobody's: its id was never told.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Response};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use tollgate_core::entry::Outcome;

use super::{
    Objects,
    ask::{Ask, Failed, Whole},
    entries::Entries,
    store_down,
};
use crate::{
    proxy::{detach::DetachOnDrop, error::ProxyError},
    routing::Provider,
    store::{
        StoreError,
        objects::{ObjectKind, ObjectRow},
    },
};

/// A client waits so long for its new id to be bound.
const BIND_MAX: Duration = Duration::from_secs(5);
/// Waits between two tries to bind, doubling up to the most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// Tries after which a row without an id is left to be found: some ten minutes.
const TRIES_MAX: u32 = 120;

/// The id of what was made.
#[derive(Deserialize)]
struct Made {
    id: String,
}

impl Objects {
    /// Makes an object. The work goes on when the client leaves.
    pub(super) async fn make(
        self: &Arc<Self>,
        provider: Arc<Provider>,
        draft: ObjectRow,
        ask: Ask,
        edit: fn(&Whole) -> Option<Body>,
    ) -> Result<Response<Body>, ProxyError> {
        let objects = Arc::clone(self);
        DetachOnDrop::new(move |_gone| async move { objects.make_to_the_end(&provider, draft, ask, edit).await }).await
    }

    async fn make_to_the_end(
        self: &Arc<Self>,
        provider: &Provider,
        draft: ObjectRow,
        ask: Ask,
        edit: fn(&Whole) -> Option<Body>,
    ) -> Result<Response<Body>, ProxyError> {
        // Nothing is sent that nobody would know of.
        self.store.bind_object(&draft).await.map_err(store_down)?;
        let answer = match self.ask_whole(provider, ask).await {
            Ok(answer) => answer,
            Err(failed) => {
                self.not_made(&draft, &failed).await;
                return Err(if failed.is_undone { failed.error } else { unsure(&draft, failed.error) });
            }
        };
        // What the provider has made and did not name is found later, if it costs money.
        let made: Made = answer.read().map_err(|error| unsure(&draft, error))?;
        self.bind_made(&draft, made.id).await.map_err(|error| unsure(&draft, error))?;
        if is_metered(draft.kind) {
            let entry = Entries::new(self, &draft, draft.created_at_us).of_creation(Outcome::Pending);
            if let Err(error) = self.post(&draft, vec![entry], None).await {
                tracing::warn!(%error, "the entry of a new batch waits until the batch is done");
            }
            self.news.notify_one();
        }
        let body = edit(&answer).unwrap_or_else(|| answer.body.clone().into());
        Ok(answer.answer(body))
    }

    /// Binds the id, for as long as the client waits; then it goes on in the background.
    async fn bind_made(self: &Arc<Self>, draft: &ObjectRow, id: String) -> Result<(), ProxyError> {
        let (objects, draft_of_it) = (Arc::clone(self), draft.clone());
        // Bounded in tries; a row that stays without an id is looked for at the provider.
        let binding = tokio::spawn(async move { objects.name_until_done(&draft_of_it, &id).await });
        match timeout(BIND_MAX, binding).await {
            Ok(Ok(true)) => Ok(()),
            _ => {
                tracing::error!(object = %draft.id, "what a provider has made could not be bound in time");
                Err(ProxyError::StoreDown)
            }
        }
    }

    async fn name_until_done(&self, draft: &ObjectRow, id: &str) -> bool {
        let object_id = draft.id;
        let mut wait = RETRY_FIRST;
        for _ in 0..TRIES_MAX {
            match self.name(draft, id).await {
                Ok(()) => return true,
                Err(StoreError::Exists(_)) => {
                    tracing::error!(object = %object_id, "a provider gave an id twice; it stays with its first customer");
                    return false;
                }
                Err(error) => {
                    tracing::error!(%error, object = %object_id, "an id could not be bound; it is tried again")
                }
            }
            sleep(wait).await;
            wait = (wait * 2).min(RETRY_MOST);
        }
        false
    }

    /// Binds an id; once more is as good as once. A row that was given up meanwhile is written again.
    async fn name(&self, draft: &ObjectRow, id: &str) -> Result<(), StoreError> {
        let poll = is_metered(draft.kind).then_some(self.patience.poll_first);
        if !self.store.name_object(draft.id, id, poll).await? {
            let poll_after_us = poll.map(|_| draft.created_at_us);
            let named = ObjectRow { upstream_id: Some(id.to_owned()), poll_after_us, ..draft.clone() };
            self.store.bind_object(&named).await?;
        }
        Ok(())
    }

    /// The provider did not make it, or did not say so.
    async fn not_made(&self, draft: &ObjectRow, failed: &Failed) {
        // What may have been made is looked for when nobody can be sending it any more.
        if !failed.is_undone {
            return;
        }
        if let Err(error) = self.give_up(draft).await {
            tracing::warn!(%error, object = %draft.id, "what was not made is forgotten later");
        }
    }

    /// Records that an object was not made, and forgets it.
    pub(super) async fn give_up(&self, draft: &ObjectRow) -> Result<(), StoreError> {
        if is_metered(draft.kind) {
            let entry = Entries::new(self, draft, draft.created_at_us).of_creation(Outcome::UpstreamError);
            self.post(draft, vec![entry], Some(1)).await?;
        }
        self.store.forget_object(draft.id).await
    }
}

/// The error of something that may have been made: SDKs try most errors again by themselves, which could make it twice.
fn unsure(draft: &ObjectRow, error: ProxyError) -> ProxyError {
    if is_metered(draft.kind) { ProxyError::MaybeMade } else { error }
}

/// Whether what is kept uses something after it was made.
pub(super) const fn is_metered(kind: ObjectKind) -> bool {
    matches!(kind, ObjectKind::Batch | ObjectKind::MessageBatch)
}
