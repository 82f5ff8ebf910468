//! Database and journal: reachable, of this build's schema, whole, and with nothing left to do.

use std::time::Duration;

use tokio::time::timeout;

use super::{Finding, shown};
use crate::{
    config::{Config, store_url::Database},
    journal::verify::verify,
    store::{Store, StoreError, rollups::Span},
};

/// The database is asked for so long.
const STORE_MAX: Duration = Duration::from_secs(15);
/// From this share of its quota on, in hundredths, the journal warns.
const WARN_PERCENT: u64 = 80;

pub(super) async fn examine(config: &Config, checks: &mut Vec<Finding>) {
    store(config, checks).await;
    journal(config, checks).await;
}

async fn store(config: &Config, checks: &mut Vec<Finding>) {
    match config.store.url.resolve() {
        Err(error) => {
            return checks.push(Finding::bad(
                "store",
                error.to_string(),
                "correct store.url, or set what it refers to",
            ));
        }
        // Looking must not make it.
        Ok(Database::Sqlite(path)) if !path.exists() => {
            let what = format!("{} is not there yet", shown(&path));
            return checks.push(Finding::note("store", what, "the first start makes it"));
        }
        Ok(_) => {}
    }
    let opened = timeout(STORE_MAX, async {
        let store = Store::connect(&config.store.url).await?;
        store.ping().await?;
        Ok::<_, StoreError>(store)
    });
    let store = match opened.await {
        Ok(Ok(store)) => store,
        Ok(Err(error)) => {
            let advice =
                "start the database, or correct store.url; requests go on without it, a gateway that starts needs it";
            return checks.push(Finding::bad("store", format!("the database cannot be used: {error}"), advice));
        }
        Err(_elapsed) => {
            let what = format!("the database does not answer within {} s", STORE_MAX.as_secs());
            return checks.push(Finding::bad("store", what, "look after it, and after the way to it"));
        }
    };
    checks.push(Finding::ok("store", "the database answers"));
    match timeout(STORE_MAX, store.prepare_statements()).await {
        Ok(Ok(statements)) => {
            checks
                .push(Finding::ok("migrations", format!("the schema is this build's: {statements} statements fit it")));
            unfinished(&store, checks).await;
        }
        Ok(Err(error)) => {
            // The statement is long and says nothing to whoever operates.
            let why = match error {
                StoreError::Statement { reason, .. } => reason,
                other => other.to_string(),
            };
            let what = format!("the schema is not this build's: {why}");
            checks.push(if config.store.migrate_at_start {
                Finding::note("migrations", what, "the next start migrates it; back it up before")
            } else {
                Finding::bad("migrations", what, "back it up, then `tollgate migrate`")
            });
        }
        Err(_elapsed) => {
            checks.push(Finding::bad("migrations", "the database does not answer in time", "look after it"));
        }
    }
    store.close().await;
}

/// What waits for somebody.
async fn unfinished(store: &Store, checks: &mut Vec<Finding>) {
    let reading = async {
        let unpriced: u64 = store.usage_by(&[], Span::default()).await?.iter().map(|group| group.sums.unpriced).sum();
        Ok::<_, StoreError>((store.dead_letter_count().await?, unpriced, store.usage_gap().await?))
    };
    let (letters, unpriced, gap) = match timeout(STORE_MAX, reading).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            return checks.push(Finding::bad(
                "unfinished",
                format!("the books cannot be read: {error}"),
                "see its log",
            ));
        }
        Err(_elapsed) => {
            return checks.push(Finding::note("unfinished", "the books take too long to be summed", "ask again later"));
        }
    };
    checks.extend(left_to_do(letters, unpriced, gap));
}

fn left_to_do(letters: u64, unpriced: u64, gap: u64) -> Vec<Finding> {
    let rows = [
        (letters, "entries wait as dead letters and are in no sum", "`tollgate dead-letters list` says why"),
        (unpriced, "entries have no price", "correct the price tables, then `tollgate rerate` and `rerate --apply`"),
        (gap, "events cannot be accounted for", "`tollgate audit` names the boot; docs/operations.md has the runbook"),
    ];
    let left = rows.into_iter().filter(|(count, ..)| *count > 0);
    let left: Vec<_> =
        left.map(|(count, what, advice)| Finding::bad("unfinished", format!("{count} {what}"), advice)).collect();
    if left.is_empty() {
        return vec![Finding::ok("unfinished", "no dead letters, no unpriced entries, no events unaccounted for")];
    }
    left
}

async fn journal(config: &Config, checks: &mut Vec<Finding>) {
    let dir = config.journal.dir.clone();
    if !dir.exists() {
        return checks.push(Finding::note(
            "journal",
            format!("{} is not there yet", shown(&dir)),
            "the first start makes it",
        ));
    }
    let looked = tokio::task::spawn_blocking(move || (verify(&dir), bytes_below(&dir))).await;
    let (report, used) = match looked {
        Ok((Ok(report), used)) => (report, used),
        Ok((Err(error), _)) => {
            return checks.push(Finding::bad("journal", format!("it cannot be read: {error}"), "see docs/journal.md"));
        }
        Err(error) => return checks.push(Finding::bad("journal", error.to_string(), "`tollgate journal verify`")),
    };
    let what = format!("{} records, {} missing, {} damaged", report.records, report.missing, report.damaged);
    checks.push(if report.missing > 0 || report.damaged > 0 {
        let advice = "`tollgate journal verify` and docs/operations.md (TollgateJournalDamaged): look after the disk";
        Finding::bad("journal", what, advice)
    } else {
        Finding::ok("journal", what)
    });
    let quota = config.journal.disk_bytes_max;
    if quota > 0 && used / WARN_PERCENT >= quota / 100 {
        let what = format!("the journal takes {} of its {} MB", used / 1_000_000, quota / 1_000_000);
        let advice = "find out why it is not posted (store, dead letters), or raise journal.disk_bytes_max";
        checks.push(Finding::bad("journal_quota", what, advice));
    }
}

/// Bytes of all files below a folder; what cannot be looked at counts nothing.
fn bytes_below(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    #[test]
    fn each_thing_that_is_left_to_do_is_a_finding_of_its_own() {
        let levels = |found: Vec<Finding>| found.iter().map(|finding| finding.level).collect::<Vec<_>>();
        assert_eq!(levels(left_to_do(0, 0, 0)), [Level::Ok]);
        assert_eq!(levels(left_to_do(2, 3, 4)), [Level::Finding; 3]);
        for (found, part) in [
            (left_to_do(1, 0, 0), "dead-letters list"),
            (left_to_do(0, 1, 0), "rerate --apply"),
            (left_to_do(0, 0, 1), "tollgate audit"),
        ] {
            assert!(found.len() == 1 && found[0].advice.contains(part), "{found:?}");
        }
    }
}
