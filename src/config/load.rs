//! Puts defaults, file and environment together into one checked [`Config`].

mod provider;
mod telemetry;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use tollgate_core::money::NanoUsd;

use super::{
    Batches, Config, DEFAULT_TOML, Drain, Journal, Limits, Mistake, Model, Prices, Provider, RecoveryBasis, Server,
    Store, Target, TlsFiles, Training, Worker,
    secret::Secret,
    source::{Literal, Sourced, Values, read_env, read_toml},
    store_url::{Database, StoreUrl},
};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "tollgate.toml";

/// A checked configuration and where each value came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Path, value and place of every effective value; secrets by reference only.
    pub effective: Vec<Effective>,
}

/// One effective value.
#[derive(Debug, serde::Serialize)]
pub struct Effective {
    /// `server.listen`
    pub option: String,
    /// Its value.
    pub value: serde_json::Value,
    /// `default`, `tollgate.toml:12` or `environment TOLLGATE_…`.
    pub from: String,
}

/// The process's environment, read here and nowhere else.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Loads the configuration: the default, then `file` (or `tollgate.toml` if it exists), then `env`.
///
/// # Errors
/// Every mistake in file and environment, in their order.
pub fn load(file: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Loaded, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut values = Values::new();
    read_toml(DEFAULT_TOML, "default", &mut values, &mut mistakes);
    for value in values.values_mut() {
        "default".clone_into(&mut value.place);
    }
    let chosen = file.map(Path::to_owned).or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
    if let Some(path) = chosen {
        match std::fs::read_to_string(&path) {
            Ok(text) => read_toml(&text, &path.display().to_string(), &mut values, &mut mistakes),
            Err(error) => mistakes.push(Mistake {
                place: path.display().to_string(),
                what: format!("cannot be read: {error}; `tollgate init` writes a commented one"),
            }),
        }
    }
    read_env(env, &mut values, &mut mistakes);
    let config = Builder { values: &values, env, mistakes: &mut mistakes }.config();
    if mistakes.is_empty() { Ok(Loaded { config, effective: effective(&values) }) } else { Err(mistakes) }
}

fn effective(values: &Values) -> Vec<Effective> {
    let shown = |value: &Literal| match value {
        Literal::Text(text) => text.clone().into(),
        Literal::Count(count) => (*count).into(),
        Literal::Flag(flag) => (*flag).into(),
        Literal::Texts(texts) => texts.clone().into(),
        Literal::Targets(targets) => {
            targets.iter().map(|target| format!("{}/{}", target.provider, target.model)).collect::<Vec<_>>().into()
        }
    };
    values
        .iter()
        .filter(|(option, _)| !option.ends_with('.'))
        .map(|(option, sourced)| Effective {
            option: option.clone(),
            value: shown(&sourced.value),
            from: sourced.place.clone(),
        })
        .collect()
}

struct Builder<'a> {
    values: &'a Values,
    env: &'a BTreeMap<String, String>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Builder<'_> {
    fn config(&mut self) -> Config {
        let data_dir = PathBuf::from(self.text("server.data_dir"));
        let journal_dir = self.text("journal.dir");
        let archive_dir = self.text("store.archive_dir");
        let providers = self.providers();
        let workers = self.workers(&providers);
        let models = self.models(&providers, &workers);
        Config {
            server: Server {
                listen: self.address("server.listen"),
                admin_listen: self.address("server.admin_listen"),
                body_bytes_max: self.size("server.body_bytes_max"),
                request_timeout_ms: self.at_least_one("server.request_timeout_ms"),
                idle_timeout_ms: self.at_least_one("server.idle_timeout_ms"),
                shutdown_grace_ms: self.count("server.shutdown_grace_ms"),
                tls: self.tls_files(),
                data_dir: data_dir.clone(),
            },
            store: Store {
                url: self.store_url(&data_dir),
                migrate_at_start: self.text("store.migrate") == "start",
                entries_keep_days: self.limit("store.entries_keep_days").unwrap_or(0),
                archive_dir: if archive_dir.is_empty() { data_dir.join("archive") } else { archive_dir.into() },
            },
            journal: Journal {
                dir: if journal_dir.is_empty() { data_dir.join("journal") } else { journal_dir.into() },
                fsync: self.text("journal.durability") == "fsync",
                replica: self.replica(),
                in_flight_max: usize::try_from(self.at_least_one("journal.in_flight_max")).unwrap_or(usize::MAX),
                segment_bytes: self.at_least_one("journal.segment_bytes"),
                disk_bytes_max: self.count("journal.disk_bytes_max"),
            },
            admin_token: self.secret("admin.token"),
            pepper: self.secret("keys.pepper"),
            limits: Limits {
                requests_per_minute: self.limit("limits.requests_per_minute"),
                tokens_per_minute: Some(self.count("limits.tokens_per_minute")).filter(|limit| *limit > 0),
                concurrent_requests: self.limit("limits.concurrent_requests"),
            },
            prices: Prices {
                dir: Some(self.text("prices.dir")).filter(|dir| !dir.is_empty()).map(PathBuf::from),
                refuse_unpriced: self.text("prices.unpriced") == "refuse",
            },
            recovery_basis: match self.text("recovery.basis").as_str() {
                "margin" => RecoveryBasis::Margin,
                _ => RecoveryBasis::Revenue,
            },
            batches: Batches {
                poll_ms_min: self.count("batches.poll_ms_min"),
                poll_ms_max: self.count("batches.poll_ms_max"),
            },
            drain: Drain {
                streams_max: self.size("drain.streams_max"),
                ms_max: self.count("drain.ms_max"),
                bytes_max: self.count("drain.bytes_max"),
            },
            telemetry: self.telemetry(),
            providers,
            workers,
            models,
            trainings: self.trainings(),
        }
    }

    fn mistake(&mut self, path: &str, what: impl Into<String>) {
        let place = self.values.get(path).map_or_else(|| "configuration".to_owned(), |value| value.place.clone());
        self.mistakes.push(Mistake { place, what: format!("{}: {}", path.trim_end_matches('.'), what.into()) });
    }

    fn value(&self, path: &str) -> Option<&Literal> {
        self.values.get(path).map(|sourced: &Sourced| &sourced.value)
    }

    fn maybe_text(&self, path: &str) -> Option<String> {
        match self.value(path) {
            Some(Literal::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn text(&self, path: &str) -> String {
        self.maybe_text(path).unwrap_or_default()
    }

    fn maybe_count(&self, path: &str) -> Option<u64> {
        match self.value(path) {
            Some(Literal::Count(count)) => Some(*count),
            _ => None,
        }
    }

    fn count(&self, path: &str) -> u64 {
        self.maybe_count(path).unwrap_or(0)
    }

    fn at_least_one(&mut self, path: &str) -> u64 {
        let count = self.count(path);
        if count == 0 {
            self.mistake(path, "must be at least 1");
        }
        count
    }

    fn size(&mut self, path: &str) -> usize {
        usize::try_from(self.count(path)).unwrap_or(usize::MAX)
    }

    fn limit(&mut self, path: &str) -> Option<u32> {
        let count = self.count(path);
        if u32::try_from(count).is_err() {
            self.mistake(path, "must be at most 4294967295; 0 means none");
        }
        u32::try_from(count).ok().filter(|limit| *limit > 0)
    }

    fn address(&self, path: &str) -> std::net::SocketAddr {
        self.text(path).parse().unwrap_or_else(|_| ([127, 0, 0, 1], 0).into())
    }

    fn secret(&self, path: &str) -> Option<Secret> {
        let text = self.text(path);
        match text.split_once(':') {
            Some(("env", name)) => Some(Secret::Env { name: name.to_owned(), value: self.env.get(name).cloned() }),
            Some(("file", path)) => Some(Secret::File(path.into())),
            _ => None,
        }
    }

    /// Either file may be written as the secrets are, `file:PATH`.
    fn tls_files(&mut self) -> Option<TlsFiles> {
        let path = |text: String| PathBuf::from(text.strip_prefix("file:").unwrap_or(&text));
        let (cert, key) = (self.text("server.tls_cert"), self.text("server.tls_key"));
        match (cert.is_empty(), key.is_empty()) {
            (true, true) => None,
            (false, false) => Some(TlsFiles { cert: path(cert), key: path(key) }),
            (cert_is_empty, _) => {
                let (there, missing) = if cert_is_empty { ("tls_key", "tls_cert") } else { ("tls_cert", "tls_key") };
                self.mistake(&format!("server.{there}"), format!("TLS needs both files; {missing} is missing"));
                None
            }
        }
    }

    fn store_url(&mut self, data_dir: &Path) -> StoreUrl {
        let text = self.text("store.url");
        StoreUrl::parse(&text, self.secret("store.url"), data_dir).unwrap_or_else(|error| {
            self.mistake("store.url", error.to_string());
            StoreUrl::Plain(Database::Sqlite(PathBuf::new()))
        })
    }

    fn replica(&mut self) -> String {
        let name = self.text("journal.replica");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            self.mistake("journal.replica", "must be 1 to 64 letters, digits, - or _");
        }
        name
    }

    /// The shown prefixes (`provider[0]`) of a repeated table.
    fn repeated(&self, table: &str) -> Vec<String> {
        let mut indices: Vec<usize> = self
            .values
            .keys()
            .filter_map(|path| path.strip_prefix(table)?.strip_prefix('[')?.strip_suffix("].")?.parse().ok())
            .collect();
        indices.sort_unstable();
        indices.into_iter().map(|index| format!("{table}[{index}]")).collect()
    }

    fn required(&mut self, table: &str, key: &str) -> String {
        let text = self.text(&format!("{table}.{key}"));
        if text.is_empty() {
            self.mistake(&format!("{table}."), format!("{key} is missing"));
        }
        text
    }

    fn models(&mut self, providers: &[Provider], workers: &[Worker]) -> Vec<Model> {
        let mut names = BTreeSet::new();
        let mut models = Vec::new();
        for table in self.repeated("model") {
            let name = self.required(&table, "name");
            if !names.insert(name.clone()) {
                self.mistake(&format!("{table}.name"), format!("a model named `{name}` stands above already"));
            }
            let path = format!("{table}.targets");
            let targets: Vec<Target> = match self.value(&path) {
                Some(Literal::Targets(targets)) => targets.clone(),
                _ => Vec::new(),
            };
            if targets.is_empty() {
                self.mistake(&format!("{table}."), "targets is missing: where should requests for it go?");
            }
            for target in &targets {
                self.check_target(&path, target, providers, workers);
            }
            models.push(Model {
                name,
                targets,
                retries: u32::try_from(self.count(&format!("{table}.retries"))).unwrap_or(u32::MAX),
                timeout_ms: self.maybe_count(&format!("{table}.timeout_ms")),
            });
        }
        models
    }

    fn check_target(&mut self, path: &str, target: &Target, providers: &[Provider], workers: &[Worker]) {
        if let Some(worker) = workers.iter().find(|worker| worker.name == target.provider) {
            if !worker.models.contains(&target.model) {
                let what = format!("worker `{}` has no model `{}` among its models", worker.name, target.model);
                self.mistake(path, what);
            }
            return;
        }
        if !providers.iter().any(|provider| provider.name == target.provider) {
            let known = providers.iter().map(|provider| provider.name.as_str());
            let known = known.chain(workers.iter().map(|worker| worker.name.as_str()));
            let hint = super::options::did_you_mean(&target.provider, known).map_or_else(
                || "; add a [[provider]] or a [[worker]]".to_owned(),
                |near| format!("; did you mean `{near}`?"),
            );
            self.mistake(path, format!("there is no provider `{}`{hint}", target.provider));
        }
    }

    fn trainings(&mut self) -> Vec<Training> {
        let mut seen = BTreeSet::new();
        let mut trainings = Vec::new();
        for table in self.repeated("training") {
            let model = self.required(&table, "model");
            let name = self.maybe_text(&format!("{table}.name")).unwrap_or_else(|| "training".to_owned());
            if !seen.insert((model.clone(), name.clone())) {
                self.mistake(
                    &format!("{table}."),
                    format!("a run `{name}` of model `{model}` stands above already; give it another name"),
                );
            }
            let cost = self.required(&table, "cost_usd").parse().unwrap_or(NanoUsd::ZERO);
            let in_service = self.required(&table, "in_service").parse().unwrap_or_default();
            trainings.push(Training { model, name, cost, in_service });
        }
        trainings
    }
}
