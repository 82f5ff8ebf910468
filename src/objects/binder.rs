//! Binds the ids of stored responses in groups, beside the answers: one transaction for all that came meanwhile.
//!
//! While the store is away ids wait here, bounded; the money of their responses is in the journal whatever becomes of them.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{sleep, timeout},
};

use crate::store::{Store, objects::ObjectRow};

/// Ids that may wait.
const WAITING_MAX: usize = 8192;
/// Ids of one transaction at most.
const GROUP_MAX: usize = 256;
/// Waits after a failure, doubling up to the most.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// Longest wait for what was told before.
const FLUSH_MAX: Duration = Duration::from_secs(2);

enum Item {
    Bind(Box<ObjectRow>, oneshot::Sender<()>),
    /// All that came before is bound when this is answered.
    Flush(oneshot::Sender<()>),
}

/// Hands ids over.
#[derive(Clone)]
pub(super) struct Binder(mpsc::Sender<Item>);

/// What [`keep_binding`] works on.
#[derive(Clone)]
pub struct Queue(Arc<Mutex<mpsc::Receiver<Item>>>);

/// A binder and its queue.
pub(super) fn pair() -> (Binder, Queue) {
    let (tx, rx) = mpsc::channel(WAITING_MAX);
    (Binder(tx), Queue(Arc::new(Mutex::new(rx))))
}

impl Binder {
    /// Hands an id over; resolves when it is bound. It is bound even when nobody waits.
    pub(super) fn bind(&self, object: ObjectRow) -> oneshot::Receiver<()> {
        let (bound, waiting) = oneshot::channel();
        if self.0.try_send(Item::Bind(Box::new(object), bound)).is_err() {
            tracing::error!("too many ids wait for the store; the id of a response will lead nowhere");
        }
        waiting
    }

    /// Waits, for a bounded time, until all ids that were handed over before are bound.
    pub(super) async fn flush(&self) {
        let (bound, waiting) = oneshot::channel();
        if self.0.try_send(Item::Flush(bound)).is_ok() {
            // Out of time, whoever asks sees what is there.
            let _in_time = timeout(FLUSH_MAX, waiting).await;
        }
    }
}

/// Binds ids for as long as there are any to come.
pub async fn keep_binding(queue: Queue, store: Store) {
    let mut queue = queue.0.lock().await;
    let mut items = Vec::new();
    while queue.recv_many(&mut items, GROUP_MAX).await > 0 {
        let mut objects = Vec::new();
        let mut waiting = Vec::new();
        for item in items.drain(..) {
            match item {
                Item::Bind(object, bound) => {
                    objects.push(*object);
                    waiting.push(bound);
                }
                Item::Flush(bound) => waiting.push(bound),
            }
        }
        bind(&store, &objects).await;
        for bound in waiting {
            // Nobody may be waiting any more.
            let _unheard = bound.send(());
        }
    }
}

async fn bind(store: &Store, objects: &[ObjectRow]) {
    if objects.is_empty() {
        return;
    }
    let mut wait = RETRY_FIRST;
    while let Err(error) = store.bind_objects(objects).await {
        if error.blames_the_rows() {
            tracing::error!(%error, "ids of responses cannot be bound; they will lead nowhere");
            return;
        }
        tracing::warn!(%error, ids = objects.len(), "ids of responses could not be bound; it is tried again");
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_MOST);
    }
}
