//! Creates and changes customers, keys and training runs; the only writer of those rows.

pub mod receipts;

use jiff::{Timestamp, civil::Date};
use tollgate_core::{
    id::{CustomerId, KeyId, TrainingRunId},
    key::{NewKey, hash_secret},
    money::NanoUsd,
    receipt::ReceiptError,
};

use crate::{
    clock::Clock,
    config::Training,
    entropy,
    store::{Store, StoreError, customers::CustomerRow, keys::KeyRow, training::TrainingRow},
};

/// Longest name of anything.
const NAME_BYTES_MAX: usize = 200;

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A value that cannot be.
    #[error("{field}: {expected}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A key that is gone cannot be changed.
    #[error("the key {0} is revoked")]
    Revoked(KeyId),
    /// A training receipt that cannot be read.
    #[error("the training receipt cannot be read: {0}")]
    UnreadableReceipt(serde_json::Error),
    /// A training receipt that is not believed.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system has no randomness to give.
    #[error("no randomness: {0}")]
    Randomness(#[from] std::io::Error),
}

/// Who creates accounts.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// Where they are kept.
    pub store: Store,
    /// Time.
    pub clock: Clock,
    /// Pepper of the key hashes.
    pub pepper: [u8; 32],
}

/// What a new customer is.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCustomer {
    /// Name.
    pub name: String,
    /// The operator's own id of it.
    pub external_id: Option<String>,
    /// `postpaid` (default) or `prepaid`.
    pub billing: Option<String>,
    /// Price book; `default` when left out.
    pub price_book: Option<String>,
}

/// What a new key is.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKeySpec {
    /// Whose.
    pub customer_id: CustomerId,
    /// Name.
    pub name: Option<String>,
    /// None: the default of the configuration.
    pub requests_per_minute: Option<u32>,
    /// None: the default of the configuration.
    pub tokens_per_minute: Option<u64>,
    /// None: the default of the configuration.
    pub concurrent_requests: Option<u32>,
    /// None: all.
    pub models: Option<Vec<String>>,
    /// When it stops working.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// What a new training run is.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTraining {
    /// Public model.
    pub model: String,
    /// Name; one per model.
    pub name: String,
    /// What it cost.
    pub cost_usd: NanoUsd,
    /// First day on which revenue counts.
    #[schema(value_type = String, format = Date)]
    pub in_service: Date,
}

impl Accounts {
    fn unix_ms(&self) -> u64 {
        u64::try_from(self.clock.unix_us() / 1000).unwrap_or(0)
    }

    /// Adds a customer. `books` are the price books that exist.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn create_customer(&self, new: NewCustomer, books: &[&str]) -> Result<CustomerRow, AccountError> {
        let billing = new.billing.unwrap_or_else(|| "postpaid".to_owned());
        if !matches!(billing.as_str(), "postpaid" | "prepaid") {
            return Err(AccountError::Invalid { field: "billing", expected: "must be postpaid or prepaid" });
        }
        let price_book = new.price_book.unwrap_or_else(|| "default".to_owned());
        if !books.contains(&price_book.as_str()) {
            return Err(AccountError::Invalid {
                field: "price_book",
                expected: "must be a [[book]] of the price tables",
            });
        }
        let customer = CustomerRow {
            id: CustomerId::new(self.unix_ms(), &entropy::random()?),
            name: name(new.name, "name")?,
            external_id: new.external_id.filter(|id| !id.is_empty()).map(|id| name(id, "external_id")).transpose()?,
            billing,
            price_book,
            created_at_us: self.clock.unix_us(),
        };
        self.store.insert_customer(&customer).await?;
        Ok(customer)
    }

    /// Adds a key; its text is given here and never again.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn create_key(&self, new: NewKeySpec) -> Result<(KeyRow, String), AccountError> {
        let customer = self.store.customer(new.customer_id).await?;
        let now_us = self.clock.unix_us();
        if new.expires_at.is_some_and(|at| at.as_microsecond() <= now_us) {
            return Err(AccountError::Invalid { field: "expires_at", expected: "must lie ahead" });
        }
        if new.requests_per_minute == Some(0) || new.tokens_per_minute == Some(0) || new.concurrent_requests == Some(0)
        {
            return Err(AccountError::Invalid {
                field: "limits",
                expected: "must be at least 1; leave one out for the default",
            });
        }
        let plain = |model: &String| !model.is_empty() && !model.contains(',');
        if new.models.as_ref().is_some_and(|models| models.is_empty() || !models.iter().all(plain)) {
            return Err(AccountError::Invalid {
                field: "models",
                expected: "must be a list of model names; leave it out for all",
            });
        }
        let (text, public_id, secret_hash) = self.new_secret()?;
        let key = KeyRow {
            id: KeyId::new(self.unix_ms(), &entropy::random()?),
            customer_id: customer.id,
            price_book: customer.price_book,
            public_id,
            name: new.name.map(|text| name(text, "name")).transpose()?,
            secret_hash,
            requests_per_minute: new.requests_per_minute,
            tokens_per_minute: new.tokens_per_minute,
            concurrent_requests: new.concurrent_requests,
            models: new.models,
            expires_at_us: new.expires_at.map(Timestamp::as_microsecond),
            revoked_at_us: None,
            created_at_us: now_us,
            rotated_from: None,
        };
        self.store.insert_key(&key).await?;
        Ok((key, text))
    }

    /// Replaces a key by a new one with the same limits; the old one works for `grace_seconds` more.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn rotate_key(&self, id: KeyId, grace_seconds: u32) -> Result<(KeyRow, String), AccountError> {
        let old = self.store.key(id).await?;
        let now_us = self.clock.unix_us();
        if old.revoked_at_us.is_some_and(|at| at <= now_us) {
            return Err(AccountError::Revoked(id));
        }
        let (text, public_id, secret_hash) = self.new_secret()?;
        let new_id = KeyId::new(self.unix_ms(), &entropy::random()?);
        let key = KeyRow {
            id: new_id,
            public_id,
            secret_hash,
            created_at_us: now_us,
            revoked_at_us: None,
            rotated_from: Some(id),
            ..old
        };
        let old_until_us = now_us.saturating_add(i64::from(grace_seconds) * 1_000_000);
        self.store.replace_key(id, &key, old_until_us).await?;
        Ok((key, text))
    }

    /// Revokes a key, at once.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn revoke_key(&self, id: KeyId) -> Result<KeyRow, AccountError> {
        self.store.revoke_key(id, self.clock.unix_us()).await?;
        Ok(self.store.key(id).await?)
    }

    /// Adds a training run.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn add_training(&self, new: NewTraining) -> Result<TrainingRow, AccountError> {
        self.add_run(new, "added".to_owned()).await
    }

    async fn add_run(&self, new: NewTraining, source: String) -> Result<TrainingRow, AccountError> {
        if new.cost_usd <= NanoUsd::ZERO {
            return Err(AccountError::Invalid { field: "cost_usd", expected: "must be more than 0" });
        }
        let run = TrainingRow {
            id: TrainingRunId::new(self.unix_ms(), &entropy::random()?),
            model: name(new.model, "model")?,
            name: name(new.name, "name")?,
            cost: new.cost_usd,
            in_service: new.in_service,
            source,
            recorded_at_us: self.clock.unix_us(),
        };
        self.store.insert_training(&run).await?;
        Ok(run)
    }

    /// Makes the runs of the configuration be those in the store.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn set_configured_trainings(&self, trainings: &[Training]) -> Result<(), AccountError> {
        let mut runs = Vec::new();
        for training in trainings {
            runs.push(TrainingRow {
                id: TrainingRunId::new(self.unix_ms(), &entropy::random()?),
                model: training.model.clone(),
                name: training.name.clone(),
                cost: training.cost,
                in_service: training.in_service,
                source: "config".to_owned(),
                recorded_at_us: self.clock.unix_us(),
            });
        }
        Ok(self.store.replace_configured_trainings(&runs).await?)
    }

    fn new_secret(&self) -> Result<(String, String, [u8; 32]), AccountError> {
        let new = NewKey::from_random(&entropy::random()?, &entropy::random()?);
        let hash = hash_secret(&self.pepper, &new.secret);
        Ok((new.text(), new.public_id, hash))
    }
}

fn name(text: String, field: &'static str) -> Result<String, AccountError> {
    let text = text.trim().to_owned();
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(AccountError::Invalid { field, expected: "must be 1 to 200 bytes without control characters" });
    }
    Ok(text)
}
