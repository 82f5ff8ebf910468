//! What customers keep at providers: whose each file, batch, response and conversation is, and at which provider.
//!
//! An id is bound once and for ever: binding it again, for whomever, changes nothing. What is to be polled is claimed by the
//! database's clock, so that of several gateways one does it at a time.

use std::time::Duration;

use tollgate_core::id::{CustomerId, KeyId, ObjectId, RequestId};

use super::{Store, StoreError, column};

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// OpenAI's `/v1/files`.
    File,
    /// OpenAI's `/v1/batches`.
    Batch,
    /// Anthropic's `/v1/messages/batches`.
    MessageBatch,
    /// A stored response.
    Response,
    /// OpenAI's `/v1/conversations`.
    Conversation,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::File, Self::Batch, Self::MessageBatch, Self::Response, Self::Conversation];

    /// The name in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Batch => "batch",
            Self::MessageBatch => "message_batch",
            Self::Response => "response",
            Self::Conversation => "conversation",
        }
    }

    pub(super) fn from_name(name: &str) -> Result<Self, StoreError> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(StoreError::Damaged("object kind"))
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow {
    /// Our own id.
    pub id: ObjectId,
    /// What it is.
    pub kind: ObjectKind,
    /// Who keeps it.
    pub provider: String,
    /// The provider's id; none while it is not known whether the provider has made it.
    pub upstream_id: Option<String>,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// The key that made it.
    pub key_id: KeyId,
    /// The request that made it.
    pub request_id: RequestId,
    /// The public model that it is about, where there is one.
    pub model: Option<String>,
    /// `provider/model`, where there is one.
    pub target: Option<String>,
    /// The price book by which a batch is charged: the customer's when it was made.
    pub price_book: Option<String>,
    /// What else is to be remembered, as JSON; never what a client wrote into its requests.
    pub detail: String,
    /// When its creation was asked for, microseconds since 1970 UTC.
    pub created_at_us: i64,
    /// When it was deleted.
    pub deleted_at_us: Option<i64>,
    /// When it was first seen that nothing more will happen to it.
    pub finished_at_us: Option<i64>,
    /// When all that it used was in the books.
    pub metered_at_us: Option<i64>,
    /// Result lines that used something.
    pub result_lines: Option<u64>,
    /// When its provider was asked last, by the database's clock.
    pub polled_at_us: Option<i64>,
    /// When it is to be looked after next, by the database's clock; none: never.
    pub poll_after_us: Option<i64>,
}

/// Which page of a customer's objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOf {
    /// Whose.
    pub customer_id: CustomerId,
    /// Which kind.
    pub kind: ObjectKind,
    /// Behind this object in the order of the page; none: from the beginning.
    pub after: Option<(i64, ObjectId)>,
    /// Oldest first.
    pub oldest_first: bool,
    /// At most so many.
    pub rows_max: u32,
}

impl Store {
    /// Writes an object down, before it is made or when its id is seen. False when it is bound already, to whomever.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bind_object(&self, object: &ObjectRow) -> Result<bool, StoreError> {
        Ok(self.bind_objects(std::slice::from_ref(object)).await? > 0)
    }

    /// The same for many, all or nothing; says how many are new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bind_objects(&self, objects: &[ObjectRow]) -> Result<u64, StoreError> {
        on_engine!(self, bind_objects(objects))
    }

    /// Notes the provider's id of an object that was written down before. False when it has one, or is gone.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Exists`] when another object has that id.
    pub async fn name_object(
        &self,
        id: ObjectId,
        upstream_id: &str,
        poll_in: Option<Duration>,
    ) -> Result<bool, StoreError> {
        on_engine!(self, name_object(id, upstream_id, poll_in.map(microseconds)))
    }

    /// Forgets an object that the provider did not make. One with an id stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_object(&self, id: ObjectId) -> Result<(), StoreError> {
        on_engine!(self, forget_object(id))
    }

    /// An object of a customer by the provider's id; none when it is another's, was deleted, or never was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn object(
        &self,
        customer_id: CustomerId,
        kind: ObjectKind,
        upstream_id: &str,
    ) -> Result<Option<ObjectRow>, StoreError> {
        on_engine!(self, object(customer_id, kind, upstream_id))
    }

    /// Whoever's object it is; deleted ones, too.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn object_at(
        &self,
        provider: &str,
        kind: ObjectKind,
        upstream_id: &str,
    ) -> Result<Option<ObjectRow>, StoreError> {
        on_engine!(self, object_at(provider, kind, upstream_id))
    }

    /// A customer's objects that the provider has made and that were not deleted, newest first unless asked otherwise.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn objects_page(&self, page: &PageOf) -> Result<Vec<ObjectRow>, StoreError> {
        on_engine!(self, objects_page(page))
    }

    /// Marks an object as deleted; an earlier mark stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_object(&self, id: ObjectId, at_us: i64) -> Result<(), StoreError> {
        on_engine!(self, delete_object(id, at_us))
    }

    /// Takes the object that has waited longest beyond its time to be looked after; nobody else gets it for `held`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_object(&self, held: Duration) -> Result<Option<ObjectRow>, StoreError> {
        on_engine!(self, claim_object(microseconds(held)))
    }

    /// Says when an object that is not metered yet is to be looked after next.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn poll_object(&self, id: ObjectId, wait: Duration) -> Result<(), StoreError> {
        on_engine!(self, poll_object(id, microseconds(wait)))
    }

    /// Forgets responses whose ids of ours are older than this one, at most so many; says how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_responses(&self, before: ObjectId, rows_max: u32) -> Result<u64, StoreError> {
        on_engine!(self, forget_responses(before, rows_max))
    }

    /// Notes that nothing more will happen to an object. The first note stands; gives it.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::NotFound`] when there is no such object.
    pub async fn finish_object(&self, id: ObjectId, at_us: i64) -> Result<i64, StoreError> {
        on_engine!(self, finish_object(id, at_us))
    }

    /// Notes that all that an object used is in the books, and ends its polling. The first note stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn object_is_metered(&self, id: ObjectId, at_us: i64, result_lines: u64) -> Result<(), StoreError> {
        let result_lines = column(result_lines)?;
        on_engine!(self, object_is_metered(id, at_us, result_lines))
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
