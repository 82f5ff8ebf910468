//! Turns a public model name into an ordered list of targets.
//!
//! A model is public when a `[[model]]` names it, else when a worker serves it, else when a configured provider's price
//! table names it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::http::{Uri, uri::InvalidUri};

use crate::{
    catalog::Catalog,
    config::{
        Config, Paths,
        dialect::ProviderDialect,
        secret::{Secret, SecretError},
    },
    upstream::{
        credentials::Credentials,
        endpoint::Endpoint,
        sigv4,
        target::{self, Variant},
    },
};

/// A provider or worker, ready to be called.
pub struct Provider {
    /// Name in targets and price tables.
    pub name: String,
    /// What it speaks.
    pub dialect: ProviderDialect,
    /// Base of its endpoints, without a slash at the end.
    pub base_url: String,
    /// How its paths are made.
    pub paths: Paths,
    /// Takes `stream_options`, and needs them to tell usage in a stream.
    pub stream_options: bool,
    /// What lets requests in; never logged.
    pub credentials: Option<Credentials>,
    /// May be on a private or loopback address.
    pub allow_private: bool,
    /// What happens when a client leaves.
    pub drain: DrainPolicy,
    /// Of a worker of ours: the root of its control paths, without a slash at the end.
    pub worker_root: Option<String>,
}

/// Whether and how long to read on for a client that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainPolicy {
    /// Stop reading: the upstream stops generating.
    Cancel,
    /// Read on for at most this long.
    Drain(Duration),
    /// Tell the worker to end the request, then read on for at most this long: its usage is exact to the last step.
    CancelThenDrain(Duration),
}

/// A provider and one of its models.
pub struct Target {
    /// The provider.
    pub provider: Arc<Provider>,
    /// The provider's model name.
    pub model: String,
    /// `provider/model`.
    pub label: String,
    /// The address that was asked for first, and what for: hardly a model is asked at two.
    address: OnceLock<Box<(Endpoint, Variant, Uri)>>,
}

impl Target {
    /// The address at which an endpoint is called.
    ///
    /// # Errors
    /// When base and model make no address.
    pub fn uri(&self, endpoint: Endpoint, variant: Variant) -> Result<Uri, InvalidUri> {
        if let Some((.., uri)) =
            self.address.get().map(Box::as_ref).filter(|known| (known.0, known.1) == (endpoint, variant))
        {
            return Ok(uri.clone());
        }
        let provider = &self.provider;
        let uri = target::uri(endpoint, &provider.base_url, &provider.paths, &self.model, variant)?;
        // Another one may have been first.
        let _known = self.address.set(Box::new((endpoint, variant, uri.clone())));
        Ok(uri)
    }
}

/// Where a public model goes.
pub struct Route {
    /// Public name.
    pub model: String,
    /// In the order in which they are tried.
    pub targets: Vec<Target>,
    /// Attempts at most, at least 1.
    pub attempts_max: usize,
    /// Longest wait for an answer, and longest silence inside one.
    pub timeout: Duration,
}

/// All public models, an immutable snapshot.
#[derive(Default)]
pub struct Routes {
    by_model: BTreeMap<String, Arc<Route>>,
    /// In the order of the configuration, without workers.
    providers: Vec<Arc<Provider>>,
}

impl Routes {
    /// Builds the routes of a configuration and the models that its providers have prices for.
    ///
    /// # Errors
    /// When a provider's key cannot be read.
    pub fn build(config: &Config, catalog: &Catalog) -> Result<Self, SecretError> {
        let mut providers =
            config.providers.iter().map(|provider| ready(provider, config)).collect::<Result<Vec<_>, _>>()?;
        let workers: Vec<_> = config.workers.iter().map(|worker| ready_worker(worker, config)).collect();
        let timeout = Duration::from_millis(config.server.request_timeout_ms);
        let mut routes = BTreeMap::new();
        for provider in &providers {
            for model in catalog.models_of(&provider.name) {
                let target = target(provider, model);
                let route = Route { model: model.to_owned(), targets: vec![target], attempts_max: 1, timeout };
                routes.entry(model.to_owned()).or_insert_with(|| Arc::new(route));
            }
        }
        let mut served: BTreeMap<&String, Vec<Target>> = BTreeMap::new();
        for (worker, ready) in config.workers.iter().zip(&workers) {
            for model in &worker.models {
                served.entry(model).or_default().push(target(ready, model));
            }
        }
        for (model, targets) in served {
            // A worker that cannot be reached is no reason to refuse while another serves the same model.
            let route = Route { model: model.clone(), attempts_max: targets.len(), targets, timeout };
            routes.insert(model.clone(), Arc::new(route));
        }
        let configured = providers.clone();
        providers.extend(workers);
        for model in &config.models {
            let targets: Vec<Target> = model
                .targets
                .iter()
                .filter_map(|wanted| {
                    let provider = providers.iter().find(|provider| provider.name == wanted.provider)?;
                    Some(target(provider, &wanted.model))
                })
                .collect();
            let route = Route {
                model: model.name.clone(),
                targets,
                attempts_max: usize::try_from(model.retries).unwrap_or(usize::MAX).saturating_add(1),
                timeout: model.timeout_ms.map_or(timeout, Duration::from_millis),
            };
            routes.insert(model.name.clone(), Arc::new(route));
        }
        Ok(Self { by_model: routes, providers: configured })
    }

    /// The route of a public model.
    #[must_use]
    pub fn get(&self, model: &str) -> Option<&Arc<Route>> {
        self.by_model.get(model)
    }

    /// All routes, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.by_model.values()
    }

    /// The providers, in the order of the configuration; workers are none.
    #[must_use]
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }
}

fn ready(provider: &crate::config::Provider, config: &Config) -> Result<Arc<Provider>, SecretError> {
    let drain_ms = provider.drain_ms_max.unwrap_or(config.drain.ms_max);
    Ok(Arc::new(Provider {
        name: provider.name.clone(),
        dialect: provider.dialect,
        base_url: provider.base_url.clone(),
        paths: provider.paths.clone(),
        stream_options: provider.stream_options,
        credentials: credentials(provider)?,
        allow_private: provider.allow_private,
        drain: match provider.drain_on_disconnect {
            true => DrainPolicy::Drain(Duration::from_millis(drain_ms)),
            false => DrainPolicy::Cancel,
        },
        worker_root: None,
    }))
}

fn credentials(provider: &crate::config::Provider) -> Result<Option<Credentials>, SecretError> {
    let Some(keys) = &provider.aws else {
        let key = provider.api_key.as_ref().map(Secret::read).transpose()?;
        return Ok(key.map(|key| Credentials::key(provider.key_header, &key)));
    };
    Ok(Some(Credentials::Signature(sigv4::Credentials {
        access_key_id: keys.access_key_id.read()?,
        secret_access_key: keys.secret_access_key.read()?,
        session_token: keys.session_token.as_ref().map(Secret::read).transpose()?,
        region: keys.region.clone(),
        service: "bedrock",
    })))
}

fn ready_worker(worker: &crate::config::Worker, config: &Config) -> Arc<Provider> {
    Arc::new(Provider {
        name: worker.name.clone(),
        dialect: ProviderDialect::OpenAi,
        base_url: worker.base_url.clone(),
        paths: Paths::Plain,
        stream_options: true,
        credentials: None,
        allow_private: true,
        drain: DrainPolicy::CancelThenDrain(Duration::from_millis(config.drain.ms_max)),
        worker_root: Some(worker.root_url.clone()),
    })
}

fn target(provider: &Arc<Provider>, model: &str) -> Target {
    Target {
        provider: Arc::clone(provider),
        model: model.to_owned(),
        label: format!("{}/{model}", provider.name),
        address: OnceLock::new(),
    }
}
