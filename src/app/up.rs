//! `tollgate up`: a gateway with a local worker that serves the shipped model, a demo customer with a key, and the shipped
//! model's training cost. Started again on the same folder it finds all of them as they were.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::ToSpan;
use tollgate_core::{
    decimal::Decimal,
    key::{PresentedKey, hash_secret, hashes_equal},
    receipt::TrainingReceipt,
    worker_cost::DeviceRate,
};

use super::{AppError, Books, Gateway};
use crate::{
    accounts::{
        AccountError, NewCustomer, NewKeySpec,
        receipts::{ReceiptTraining, source},
    },
    config::{Config, DatedRate, Worker},
    store::{StoreError, customers::CustomerRow},
    workers::board::State,
};

/// The shipped model.
pub const MODEL: &str = "tollgate-small";
/// What its training used and cost.
const RECEIPT: &str = include_str!("../../models/small/receipt.json");
/// The receipt's cost is booked so many times, so that a demonstration has some way to go and every request shows.
const TRAINING_SCALE: &str = "4";
/// The training run is in service since so many days, so that the chart has a line to draw.
const IN_SERVICE_DAYS: i64 = 6;
/// What the worker is called.
const WORKER: &str = "local";
/// Our own id of the demo customer.
const CUSTOMER: &str = "tollgate-up";
/// File of the demo key in the data folder.
const KEY_FILE: &str = "demo-key";
/// What an idle core draws, watts; the other figures of the worker's device are those of the receipt.
const IDLE_WATTS: &str = "3";
/// A worker that ended so often without ever taking requests will not come.
const FAILED_STARTS_MAX: u64 = 2;
/// Between two looks at whether the worker takes requests.
const READY_LOOK: Duration = Duration::from_millis(50);

/// Why there is no demonstration.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The shipped receipt is damaged.
    #[error("the receipt of the shipped model cannot be used: {0}")]
    Receipt(String),
    /// The configuration has something of that name.
    #[error("`up` brings a worker named `{WORKER}`; give yours another name in the configuration, or use `serve`")]
    NameTaken,
    /// The worker does not take requests.
    #[error("the local worker does not start: {0}")]
    Worker(String),
}

/// A demonstration under way.
pub struct Demo {
    /// The gateway.
    pub gateway: Gateway,
    /// The demo customer's key.
    pub key: String,
    /// The training run of the shipped model, as booked.
    pub training: Training,
}

/// A training run, for people.
#[derive(Debug)]
pub struct Training {
    /// What its receipt states.
    pub receipt_cost_usd: String,
    /// By what it was multiplied.
    pub scale: &'static str,
}

/// Adds the worker to a configuration: `program` on a free loopback port.
///
/// # Errors
/// [`UpError::NameTaken`], or when there is no free port.
pub fn add_worker(config: &mut Config, program: &str) -> Result<(), AppError> {
    let taken = config.workers.iter().any(|worker| worker.name == WORKER)
        || config.providers.iter().any(|provider| provider.name == WORKER);
    if taken {
        return Err(UpError::NameTaken.into());
    }
    let receipt = receipt()?;
    let rate = DeviceRate {
        device_usd_per_hour: receipt.device_usd_per_hour,
        device_watts: receipt.watts,
        device_idle_watts: figure(IDLE_WATTS)?,
        usd_per_kwh: receipt.usd_per_kwh,
        pue: receipt.pue,
    };
    // The worker takes the port a moment later; should another process be faster, the worker is started again and says so.
    let address = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.local_addr()?;
    let root_url = format!("http://{address}");
    // One engine thread, so that gateway and client have a core left, and the device's price is that of one core.
    let spawn = [program, "serve", "--model", "shipped", "--engine-threads", "1"];
    config.workers.push(Worker {
        name: WORKER.to_owned(),
        base_url: format!("{root_url}/v1"),
        root_url,
        models: vec![MODEL.to_owned()],
        rates: vec![DatedRate { valid_from: None, rate }],
        spawn: Some(spawn.map(str::to_owned).to_vec()),
    });
    Ok(())
}

impl Demo {
    /// Opens the books, makes what is missing in them, and starts the gateway. The worker may still be loading.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn start(config: &Config) -> Result<Self, AppError> {
        let books = Books::open(config).await?;
        let key = key(&books).await?;
        let training = train(&books).await?;
        Ok(Self { gateway: Gateway::start_on(books, config).await?, key, training })
    }

    /// Waits until the worker takes requests.
    ///
    /// # Errors
    /// When it ends again and again instead.
    pub async fn ready(&self) -> Result<(), UpError> {
        let Some(place) = self.gateway.proxy.workers.place(WORKER) else { return Err(UpError::NameTaken) };
        loop {
            let status = place.status();
            match &status.state {
                State::Ready => return Ok(()),
                State::Unready(why) if status.restarts >= FAILED_STARTS_MAX => {
                    return Err(UpError::Worker(why.clone()));
                }
                _ => tokio::time::sleep(READY_LOOK).await,
            }
        }
    }
}

fn receipt() -> Result<TrainingReceipt, UpError> {
    let receipt: TrainingReceipt =
        serde_json::from_str(RECEIPT).map_err(|error| UpError::Receipt(error.to_string()))?;
    receipt.check().map_err(|error| UpError::Receipt(error.to_string()))?;
    Ok(receipt)
}

fn figure(text: &str) -> Result<Decimal, UpError> {
    text.parse().map_err(|error: tollgate_core::decimal::ParseDecimalError| UpError::Receipt(error.to_string()))
}

/// The kept key if it still works, else a new one.
async fn key(books: &Books) -> Result<String, AppError> {
    let accounts = &books.accounts;
    let customer = customer(books).await?;
    if let Some(text) = books.data_dir.read_secret(KEY_FILE)?
        && let Some(presented) = PresentedKey::parse(&text)
    {
        let now_us = accounts.clock.unix_us();
        let hash = hash_secret(&accounts.pepper, presented.secret);
        let keys = accounts.store.keys().await.map_err(AppError::Store)?;
        let works = keys.iter().any(|key| {
            let ends = [key.expires_at_us, key.revoked_at_us].into_iter().flatten().min();
            key.public_id == presented.public_id
                && hashes_equal(&key.secret_hash, &hash)
                && ends.is_none_or(|at_us| at_us > now_us)
        });
        if works {
            return Ok(text);
        }
    }
    let new = NewKeySpec {
        customer_id: customer.id,
        name: Some("demo".to_owned()),
        requests_per_minute: None,
        tokens_per_minute: None,
        concurrent_requests: None,
        models: None,
        expires_at: None,
    };
    let (_, text) = accounts.create_key(new).await?;
    books.data_dir.keep_secret(KEY_FILE, &text)?;
    Ok(text)
}

async fn customer(books: &Books) -> Result<CustomerRow, AppError> {
    let known = books.accounts.store.customers().await?;
    if let Some(customer) = known.into_iter().find(|customer| customer.external_id.as_deref() == Some(CUSTOMER)) {
        return Ok(customer);
    }
    let new = NewCustomer {
        name: "Demo customer".to_owned(),
        external_id: Some(CUSTOMER.to_owned()),
        billing: None,
        price_book: None,
    };
    let catalog = Arc::clone(&books.catalog.load());
    Ok(books.accounts.create_customer(new, &catalog.books()).await?)
}

/// Books the training of the shipped model once; a model trained anew is another run.
async fn train(books: &Books) -> Result<Training, AppError> {
    let receipt = receipt()?;
    let scale = figure(TRAINING_SCALE)?;
    let told = Training { receipt_cost_usd: receipt.cost_usd.to_string(), scale: TRAINING_SCALE };
    let source = source(RECEIPT, scale);
    let known = books.accounts.store.trainings().await?;
    if known.iter().any(|run| run.model == receipt.model && run.source == source) {
        return Ok(told);
    }
    let today = books.accounts.clock.today();
    let hash: String = receipt.model_sha256.chars().take(12).collect();
    let run = |name: Option<String>| ReceiptTraining {
        receipt: RECEIPT.to_owned(),
        scale: Some(scale),
        model: None,
        name,
        in_service: today.checked_sub(IN_SERVICE_DAYS.days()).ok(),
    };
    match books.accounts.add_training_from_receipt(run(None)).await {
        Err(AccountError::Store(StoreError::Exists(_))) => {
            let name = format!("{}, model {hash}", receipt.name);
            books.accounts.add_training_from_receipt(run(Some(name))).await?;
        }
        added => drop(added?),
    }
    Ok(told)
}

/// Where logs of a demonstration go, in its data folder.
#[must_use]
pub fn log_file(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("tollgate.log")
}

#[cfg(test)]
mod tests {
    use tollgate_core::{
        money::NanoUsd,
        price::{BookRule, Query, price},
        pricing_context::PricingContext,
        usage::Usage,
    };

    use super::*;
    use crate::catalog::load_shipped;

    #[test]
    fn a_request_of_fifty_tokens_moves_the_recovered_part_visibly_and_not_absurdly() {
        let catalog = load_shipped().unwrap();
        let now_us = crate::clock::Clock::system().unix_us();
        let rule = &catalog.charge_rule("default", MODEL, now_us).unwrap().rule;
        let BookRule::Absolute(table) = rule else { panic!("the shipped model has prices of its own") };
        let usage = Usage { input_uncached: 20, output: 30, ..Usage::default() };
        let query = Query {
            usage: &usage,
            counters: None,
            context: &PricingContext::default(),
            at_us: now_us,
            is_used_elsewhere: false,
        };
        let charge = price(&query, table).unwrap().amount.get();
        let receipt = receipt().unwrap();
        let cost: NanoUsd = receipt.scaled_cost(TRAINING_SCALE.parse().unwrap()).unwrap();
        let per_mille = charge * 1000 / cost.get();
        assert!((1..=10).contains(&per_mille), "{charge} of {cost} USD");
        assert_eq!(receipt.model, MODEL);
    }

    #[test]
    fn the_shipped_model_earns_more_than_it_costs_when_its_worker_is_busy() {
        // One engine thread at the receipt's figures, at 1,000 tokens a second: far below what it does.
        let mut config = crate::config::load::load(None, &std::collections::BTreeMap::new()).unwrap().config;
        add_worker(&mut config, "tollgate-worker").unwrap();
        let rate = config.workers[0].rates[0].rate;
        let cost = rate.busy_cost(1_000_000_000, 1).unwrap().round_half_even().unwrap();
        assert!(cost < "0.10".parse::<NanoUsd>().unwrap(), "a million tokens cost {cost}");
        assert!(matches!(add_worker(&mut config, "x"), Err(AppError::Up(UpError::NameTaken))));
    }
}
