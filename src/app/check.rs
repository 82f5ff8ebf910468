//! What configuration and price tables are only wrong about together.

use super::journal::journal_options;
use crate::{catalog::Catalog, clock::Clock, config::Config};

/// Mistakes and notes of a configuration and the price tables that it will run with.
#[must_use]
pub fn check_together(config: &Config, catalog: &Catalog) -> (Vec<String>, Vec<String>) {
    let mut mistakes = Vec::new();
    let mut notes = Vec::new();
    if let Err(error) = journal_options(config).check() {
        mistakes.push(format!("[journal]: {error}"));
    }
    let now_us = Clock::system().unix_us();
    for model in &config.models {
        for target in &model.targets {
            if catalog.cost(&target.provider, &target.model, now_us).is_some() {
                continue;
            }
            let what = format!(
                "model {}: {}/{} has no price in force; add a [[price]] for it, with price \"0\" if it is free",
                model.name, target.provider, target.model
            );
            if config.prices.refuse_unpriced { mistakes.push(what) } else { notes.push(what) }
        }
    }
    for worker in &config.workers {
        if catalog.rate(&worker.name, now_us).is_none() {
            let what = format!("worker {}: none of its rates is in force yet", worker.name);
            if config.prices.refuse_unpriced { mistakes.push(what) } else { notes.push(what) }
        }
        if !catalog.models_of(&worker.name).is_empty() {
            notes.push(format!("worker {}: a [[price]] names it, but it costs its device's time", worker.name));
        }
    }
    if let Some(files) = &config.server.tls
        && let Err(error) = super::tls::Certificate::read(files)
    {
        mistakes.push(format!("[server]: {error}"));
    }
    for provider in &config.providers {
        for error in provider.secrets().filter_map(|secret| secret.read().err()) {
            mistakes.push(format!("provider {}: {error}", provider.name));
        }
        let leads_there = config.models.iter().flat_map(|model| &model.targets).any(|to| to.provider == provider.name);
        if !leads_there && catalog.models_of(&provider.name).is_empty() {
            notes.push(format!(
                "provider {}: no [[price]] names a model of it and no [[model]] leads to it, so it serves none; write its \
                 prices, or `tollgate prices import` them (docs/prices.md)",
                provider.name
            ));
        }
    }
    if config.providers.is_empty() && config.workers.is_empty() {
        notes.push(
            "no provider: set OPENAI_API_KEY or the like (docs/providers.md), or write a [[provider]] or a [[worker]]"
                .to_owned(),
        );
    }
    (mistakes, notes)
}
