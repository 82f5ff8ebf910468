//! Reads `[[worker]]`: where a worker listens, what it serves, and what its device costs from when on.

use jiff::civil::Date;
use tollgate_core::{decimal::Decimal, worker_cost::DeviceRate};

use super::{Builder, Literal};
use crate::config::{DatedRate, Provider, Worker};

impl Builder<'_> {
    pub(super) fn workers(&mut self, providers: &[Provider]) -> Vec<Worker> {
        let mut workers: Vec<Worker> = Vec::new();
        for table in self.repeated("worker") {
            let name = self.required(&table, "name");
            let path = format!("{table}.name");
            if name.contains('/') {
                self.mistake(&path, "must not contain a slash");
            }
            if providers.iter().any(|provider| provider.name == name) {
                self.mistake(&path, format!("a provider is named `{name}` already; targets could mean either"));
            }
            if workers.iter().any(|other| other.name == name) {
                self.mistake(&path, format!("a worker named `{name}` stands above already"));
            }
            let root_url = self.root_url(&table);
            workers.push(Worker {
                name,
                base_url: format!("{root_url}/v1"),
                root_url,
                models: self.worker_models(&table),
                rates: self.rates(&table),
                spawn: self.spawn(&table),
            });
        }
        workers
    }

    fn root_url(&mut self, table: &str) -> String {
        let url = self.required(table, "url").trim_end_matches('/').to_owned();
        let form = "must be a URL without a path, such as \"http://127.0.0.1:9200\"";
        match url.parse::<http::Uri>() {
            _ if url.is_empty() => {}
            Ok(uri)
                if uri.host().is_some()
                    && matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.path() == "/"
                    && uri.query().is_none() => {}
            _ => self.mistake(&format!("{table}.url"), form),
        }
        url
    }

    fn texts(&self, path: &str) -> Option<Vec<String>> {
        match self.value(path) {
            Some(Literal::Texts(texts)) => Some(texts.clone()),
            _ => None,
        }
    }

    fn worker_models(&mut self, table: &str) -> Vec<String> {
        let models = self.texts(&format!("{table}.models")).unwrap_or_default();
        if models.is_empty() {
            self.mistake(&format!("{table}."), "models is missing: what does it serve?");
        }
        for (index, model) in models.iter().enumerate() {
            if models.iter().take(index).any(|other| other == model) {
                self.mistake(&format!("{table}.models"), format!("`{model}` stands twice"));
            }
        }
        models
    }

    fn spawn(&mut self, table: &str) -> Option<Vec<String>> {
        let path = format!("{table}.spawn");
        let spawn = self.texts(&path)?;
        if spawn.is_empty() {
            self.mistake(&path, "must name a program, such as [\"tollgate-worker\", \"serve\"]");
        }
        Some(spawn)
    }

    /// The flat figures, then those of `rates`, each of which inherits what it does not say.
    fn rates(&mut self, table: &str) -> Vec<DatedRate> {
        self.required(table, "device_usd_per_hour");
        let free = DeviceRate {
            device_usd_per_hour: Decimal::ZERO,
            device_watts: Decimal::ZERO,
            device_idle_watts: Decimal::ZERO,
            usd_per_kwh: Decimal::ZERO,
            pue: Decimal::ONE,
        };
        let flat = self.rate(table, free);
        let mut rates = vec![DatedRate { valid_from: self.day(table), rate: flat }];
        for item in self.repeated(&format!("{table}.rates")) {
            let valid_from = self.day(&item);
            if valid_from.is_none() {
                self.mistake(&format!("{item}."), "valid_from is missing: from which day on?");
            } else if rates.iter().filter_map(|before| before.valid_from).max() >= valid_from {
                self.mistake(&format!("{item}.valid_from"), "must be later than that of the figures before it");
            }
            rates.push(DatedRate { valid_from, rate: self.rate(&item, flat) });
        }
        rates
    }

    fn rate(&mut self, table: &str, inherited: DeviceRate) -> DeviceRate {
        let figure = |key: &str, inherited: Decimal| {
            self.maybe_text(&format!("{table}.{key}")).and_then(|text| text.parse().ok()).unwrap_or(inherited)
        };
        let rate = DeviceRate {
            device_usd_per_hour: figure("device_usd_per_hour", inherited.device_usd_per_hour),
            device_watts: figure("device_watts", inherited.device_watts),
            device_idle_watts: figure("device_idle_watts", inherited.device_idle_watts),
            usd_per_kwh: figure("usd_per_kwh", inherited.usd_per_kwh),
            pue: figure("pue", inherited.pue),
        };
        if !rate.pue.is_at_least_one() {
            self.mistake(
                &format!("{table}.pue"),
                "must be at least 1: a device cannot draw more than is bought for it",
            );
        }
        if !rate.is_priceable() && rate != inherited {
            let what = "these figures are too large or have too many decimals to be priced exactly";
            self.mistake(&format!("{table}."), what);
        }
        rate
    }

    fn day(&self, table: &str) -> Option<Date> {
        self.maybe_text(&format!("{table}.valid_from"))?.parse().ok()
    }
}
