//! Change counters in Postgres.

use std::time::Duration;

use sqlx::{PgPool, Row, postgres::PgListener};
use tokio::time::{sleep, timeout};

use super::PostgresStore;
use crate::store::{StoreError, changes::Changes};

/// What the triggers notify.
const CHANNEL: &str = "tollgate_changes";

const LIST: &str = "
select topic, version
from changes";

pub(super) const STATEMENTS: &[&str] = &[LIST];

impl PostgresStore {
    pub(in crate::store) async fn changes(&self) -> Result<Changes, StoreError> {
        let rows = sqlx::query(LIST).fetch_all(&self.readers).await?;
        rows.iter().map(|row| Ok((row.try_get("topic")?, row.try_get("version")?))).collect()
    }
}

/// Listens on a connection of its own, and makes another when that one is lost.
pub(in crate::store) struct PostgresListener {
    readers: PgPool,
    listener: Option<PgListener>,
}

impl PostgresStore {
    pub(in crate::store) fn listen(&self) -> PostgresListener {
        PostgresListener { readers: self.readers.clone(), listener: None }
    }
}

impl PostgresListener {
    pub(in crate::store) async fn wait(&mut self, at_most: Duration) {
        match timeout(at_most, self.hear()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "nothing can be heard from the store; its counters are looked at instead");
                self.listener = None;
                sleep(at_most).await;
            }
        }
    }

    async fn hear(&mut self) -> Result<(), sqlx::Error> {
        if self.listener.is_none() {
            let mut listener = PgListener::connect_with(&self.readers).await?;
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            self.listener = Some(listener);
            // What was notified before this moment was not heard: look.
            return Ok(());
        }
        if let Some(listener) = &mut self.listener
            && listener.try_recv().await?.is_none()
        {
            self.listener = None;
        }
        Ok(())
    }
}
