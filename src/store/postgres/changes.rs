//! Change counters in Postgres.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Row,
    postgres::{PgConnectOptions, PgListener},
};
use tokio::time::{sleep, timeout};

use super::{PostgresStore, sessions::pool_options};
use crate::store::{StoreError, changes::Changes};

/// What the triggers notify.
const CHANNEL: &str = "tollgate_changes";

const LIST: &str = "
select topic, version
from changes";

pub(super) const STATEMENTS: &[&str] = &[LIST];

impl PostgresStore {
    pub(in crate::store) async fn changes(&self) -> Result<Changes, StoreError> {
        let rows = self.readers.fetch_all(sqlx::query(LIST)).await?;
        rows.iter().map(|row| Ok((row.try_get("topic")?, row.try_get("version")?))).collect()
    }
}

/// Listens on a connection of its own, and makes another when that one is lost. One that died without a word is not told
/// from one that has nothing to say: the counters are looked at all the same.
pub(in crate::store) struct PostgresListener {
    options: Arc<PgConnectOptions>,
    listener: Option<PgListener>,
}

impl PostgresStore {
    pub(in crate::store) fn listen(&self) -> PostgresListener {
        PostgresListener { options: self.readers.pool().connect_options(), listener: None }
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
            // A pool of its own: a listener that is dropped says good-bye, and on a dead wire it never gets to the end of that.
            let pool = pool_options(1).connect_lazy_with(self.options.as_ref().clone());
            let mut listener = PgListener::connect_with(&pool).await?;
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
