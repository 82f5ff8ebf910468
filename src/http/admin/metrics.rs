//! `/metrics`: what requests came to, and what journal, books, workers and audit say at the moment of asking.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::{sync::Mutex, time::timeout};
use tollgate_core::money::NanoUsd;

use super::{
    AdminState, Running,
    health::{STORE_ANSWER_MAX, lag_records},
};
use crate::{
    billing::audit::AuditReport,
    config::RecoveryBasis,
    reports::economics::{ModelEconomics, economics},
    store::{Store, StoreError, rollups::Span},
    telemetry::{exposition::Page, names},
    workers::board::State as WorkerState,
};

/// Sums over all rollups are read at most this often.
const SUMS_EVERY: Duration = Duration::from_secs(60);
/// Sums older than this are not shown: an old number would be believed.
const SUMS_AGE_MAX: Duration = Duration::from_secs(600);
/// Reading them takes at most so long; then the ones before stand.
const SUMS_MAX: Duration = Duration::from_secs(3);
/// Prometheus's text format.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the last audit found, and sums that are too large to be read for each page.
#[derive(Default)]
pub struct Remembered {
    /// Since 1970, in seconds; 0: there was none.
    audited_at_s: AtomicU64,
    differences: AtomicU64,
    doubled: AtomicU64,
    sums: Mutex<Option<Sums>>,
}

struct Sums {
    /// By the monotonic clock.
    read_at: Duration,
    unpriced: u64,
    recovered: Vec<(String, f64)>,
}

impl Remembered {
    /// An audit of the whole books has ended.
    pub(super) fn audited(&self, report: &AuditReport, now_us: i64) {
        self.differences.store(u64::try_from(report.differences.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.doubled.store(report.doubled, Ordering::Relaxed);
        self.audited_at_s.store(u64::try_from(now_us / 1_000_000).unwrap_or(0), Ordering::Release);
    }

    fn audit_rows(&self, page: &mut Page) {
        let at_s = self.audited_at_s.load(Ordering::Acquire);
        if at_s > 0 {
            page.number(&names::AUDIT_TIME, at_s);
            page.number(&names::AUDIT_DIFFERENCES, self.differences.load(Ordering::Relaxed));
            page.number(&names::AUDIT_DOUBLED, self.doubled.load(Ordering::Relaxed));
        }
    }
}

/// The page.
pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    let mut page = match &state.running {
        Some(running) => running_page(running, state.accounts.clock.monotonic()),
        None => Page::default(),
    };
    page.labelled(&names::BUILD_INFO, [(env!("CARGO_PKG_VERSION"), 1.0)]);
    books_rows(&state.accounts.store, &mut page).await;
    if let Some(running) = &state.running {
        sums_rows(&state, &running.remembered, &mut page).await;
    }
    match page.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What the store says of all gateways together. Left out while it is away: an old number would be believed.
async fn books_rows(store: &Store, page: &mut Page) {
    let read = async { Ok::<_, StoreError>((store.usage_gap().await?, store.dead_letter_count().await?)) };
    let found = timeout(STORE_ANSWER_MAX, read).await.ok().and_then(Result::ok);
    page.number(&names::STORE_UP, u64::from(found.is_some()));
    if let Some((gap, letters)) = found {
        page.number(&names::USAGE_GAP, gap);
        page.number(&names::DEAD_LETTERS, letters);
    }
}

/// Sums over all rollups, remembered for a while. Of pages asked for at once, one reads them.
async fn sums_rows(state: &AdminState, remembered: &Remembered, page: &mut Page) {
    let now = state.accounts.clock.monotonic();
    let mut sums = remembered.sums.lock().await;
    if sums.as_ref().is_none_or(|sums| now.saturating_sub(sums.read_at) >= SUMS_EVERY)
        && let Ok(Some((unpriced, recovered))) = timeout(SUMS_MAX, read_sums(state)).await
    {
        *sums = Some(Sums { read_at: now, unpriced, recovered });
    }
    if let Some(sums) = sums.as_ref().filter(|sums| now.saturating_sub(sums.read_at) < SUMS_AGE_MAX) {
        page.number(&names::UNPRICED_ENTRIES, sums.unpriced);
        let rows = sums.recovered.iter().map(|(model, ratio)| (model.as_str(), *ratio));
        page.labelled(&names::TRAINING_RECOVERED, rows);
    }
}

async fn read_sums(state: &AdminState) -> Option<(u64, Vec<(String, f64)>)> {
    let store = &state.accounts.store;
    let all = store.usage_by(&[], Span::default()).await.ok()?;
    let unpriced = all.iter().map(|group| group.sums.unpriced).sum();
    let basis = super::books::basis_word(state.basis);
    let told = economics(store, &state.workers, state.accounts.clock.today(), basis).await.ok()?;
    let ratio = |model: &ModelEconomics| {
        let recovered = match state.basis {
            RecoveryBasis::Revenue => model.recovered_by_revenue_usd,
            RecoveryBasis::Margin => model.recovered_by_margin_usd,
        };
        (model.model.clone(), share(recovered, model.training_cost_usd))
    };
    Some((unpriced, told.models.iter().map(ratio).collect()))
}

/// For showing only: parts per million of the whole, in whole numbers until the last step. Nothing to earn back is earned back.
fn share(part: NanoUsd, whole: NanoUsd) -> f64 {
    if whole <= NanoUsd::ZERO {
        return 1.0;
    }
    let millionths = i128::from(part.get()) * 1_000_000 / i128::from(whole.get());
    f64::from(i32::try_from(millionths).unwrap_or(i32::MAX)) / 1e6
}

fn running_page(running: &Running, now: Duration) -> Page {
    let proxy = &running.proxy;
    let mut page = Page::new(proxy.observers.metrics.gather());
    journal_rows(running, &mut page);
    let counters = &proxy.counters;
    let certificate_ends = running.certificate_ends.as_ref().map_or(0, |ends| ends.load(Ordering::Relaxed));
    let failing = running.posting.failing_for(now).map_or(0, |failing| failing.as_secs().max(1));
    for (name, value) in [
        (&names::UNPRICED, counters.pricing.unpriced.load(Ordering::Relaxed)),
        (&names::PRICED_AS_TARGET, counters.pricing.priced_as_target.load(Ordering::Relaxed)),
        (&names::COST_DIFFERS, counters.pricing.cost_differs.load(Ordering::Relaxed)),
        (&names::RELEASED_BEFORE_DURABLE, counters.released_before_durable.load(Ordering::Relaxed)),
        (&names::DRAINED, counters.drained.load(Ordering::Relaxed)),
        (&names::DRAIN_REFUSED, counters.drain_refused.load(Ordering::Relaxed)),
        (&names::TASK_PANICS, running.panics.load(Ordering::Relaxed)),
        (&names::JOURNAL_LAG, lag_records(running)),
        (&names::POSTED, running.posting.entries()),
        (&names::POSTING_FAILURES, running.posting.failures()),
        (&names::STORE_FAILING_SECONDS, failing),
        (&names::REPLICA_NAME_LOST, u64::from(running.lease.is_lost())),
        (&names::CERTIFICATE_ENDS, u64::try_from(certificate_ends).unwrap_or(0)),
    ] {
        page.number(name, value);
    }
    let outlets = &proxy.observers.outlets;
    let signals = [("traces", outlets.traces.counts()), ("metrics", outlets.metrics.counts())];
    page.labelled(&names::OTLP_SENT, signals.map(|(signal, (sent, _))| (signal, as_shown(sent))));
    page.labelled(&names::OTLP_DROPPED, signals.map(|(signal, (_, dropped))| (signal, as_shown(dropped))));
    page.number(&names::LOG_LINES_DROPPED, outlets.log_lines_dropped());
    running.remembered.audit_rows(&mut page);
    workers_rows(running, &mut page);
    page
}

fn journal_rows(running: &Running, page: &mut Page) {
    let journal = running.proxy.journal.status();
    let as_u64 = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    for (name, value) in [
        (&names::IN_FLIGHT, as_u64(journal.in_flight)),
        (&names::IN_FLIGHT_MAX, as_u64(journal.in_flight_max)),
        (&names::JOURNAL_DURABLE_SEQUENCE, journal.durable_sequence),
        (&names::JOURNAL_POISONED, u64::from(journal.is_poisoned)),
        (&names::JOURNAL_REFUSING, u64::from(!journal.is_accepting)),
        (&names::JOURNAL_DISK_BYTES, journal.disk_bytes),
        (&names::JOURNAL_DISK_BYTES_MAX, journal.disk_bytes_max),
        (&names::JOURNAL_MISSING_RECORDS, journal.missing_records),
        (&names::JOURNAL_DAMAGED_REGIONS, journal.damaged_regions),
        (&names::JOURNAL_ABANDONED_SEGMENTS, journal.abandoned_segments),
        (&names::JOURNAL_DIRECT_INSERTS, journal.kept_elsewhere),
    ] {
        page.number(name, value);
    }
    page.families(running.proxy.journal.commits().collect());
}

/// A count as Prometheus shows it.
fn as_shown(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

fn workers_rows(running: &Running, page: &mut Page) {
    let board: Vec<_> = running.proxy.workers.iter().map(|place| (place.name.as_str(), place.status())).collect();
    let ready = |state: &WorkerState| if *state == WorkerState::Ready { 1.0 } else { 0.0 };
    page.labelled(&names::WORKER_READY, board.iter().map(|(name, status)| (*name, ready(&status.state))));
    page.labelled(&names::WORKER_RESTARTS, board.iter().map(|(name, status)| (*name, as_shown(status.restarts))));
    let queued = board.iter().map(|(name, status)| {
        let loaded = status.health.as_ref().and_then(|health| health.loaded.as_ref());
        (*name, as_shown(loaded.map_or(0, |loaded| loaded.queued)))
    });
    page.labelled(&names::WORKER_QUEUED, queued);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_shown_to_the_millionth_and_no_cost_is_earned_back() {
        let usd = |dollars: i64| NanoUsd::new(dollars * 1_000_000_000);
        assert_eq!(share(usd(1), usd(3)), 0.333_333);
        assert_eq!(share(usd(3), usd(3)), 1.0);
        assert_eq!(share(NanoUsd::ZERO, usd(3)), 0.0);
        assert_eq!(share(NanoUsd::ZERO, NanoUsd::ZERO), 1.0);
    }
}
