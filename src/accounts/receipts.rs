//! Training runs whose cost comes from the receipt that their trainer wrote.

use jiff::civil::Date;
use sha2::{Digest, Sha256};
use tollgate_core::{decimal::Decimal, receipt::TrainingReceipt};

use super::{AccountError, Accounts, NewTraining};
use crate::store::training::TrainingRow;

/// A training run to be added from a receipt.
#[derive(Clone, Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptTraining {
    /// The receipt, as it stands in its file.
    pub receipt: String,
    /// Multiplies the cost, for demonstrations; the run's source says so. None: 1.
    pub scale: Option<Decimal>,
    /// Public model; none: the receipt's.
    pub model: Option<String>,
    /// Name of the run; none: the receipt's.
    pub name: Option<String>,
    /// First day on which revenue counts; none: today.
    #[schema(value_type = Option<String>, format = Date)]
    pub in_service: Option<Date>,
}

impl Accounts {
    /// Adds a training run at the cost that its receipt proves.
    ///
    /// # Errors
    /// [`AccountError`], also when the receipt does not add up.
    pub async fn add_training_from_receipt(&self, new: ReceiptTraining) -> Result<TrainingRow, AccountError> {
        let scale = new.scale.unwrap_or(Decimal::ONE);
        let source = source(&new.receipt, scale);
        let receipt: TrainingReceipt = serde_json::from_str(&new.receipt).map_err(AccountError::UnreadableReceipt)?;
        receipt.check()?;
        let run = NewTraining {
            cost_usd: receipt.scaled_cost(scale).map_err(tollgate_core::receipt::ReceiptError::from)?,
            model: new.model.unwrap_or(receipt.model),
            name: new.name.unwrap_or(receipt.name),
            in_service: new.in_service.unwrap_or_else(|| self.clock.today()),
        };
        self.add_run(run, source).await
    }
}

/// What the books keep of a receipt: its hash, and by what its cost was multiplied.
#[must_use]
pub fn source(receipt: &str, scale: Decimal) -> String {
    let sha256 = hex::encode(Sha256::digest(receipt));
    let stated = if scale == Decimal::ONE { String::new() } else { format!(", cost x {scale} stated scale") };
    format!("receipt sha256 {sha256}{stated}")
}
