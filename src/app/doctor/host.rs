//! The machine: its clock, how many files may be open, and whether the addresses are free or a gateway answers there.

use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::Ordering,
};

use rustix::process::{Resource, getrlimit};

use super::{Answer, Finding};
use crate::{
    app::tls::Certificate,
    clock::Clock,
    config::{Config, TlsFiles},
};

/// No build of this project is older, microseconds since 1970: 2025-01-01.
const CLOCK_MIN_US: i64 = 1_735_689_600_000_000;
/// 2100-01-01.
const CLOCK_MAX_US: i64 = 4_102_444_800_000_000;
/// Files that a request may have open: its client's connection and its upstream's.
const FILES_EACH: u64 = 2;
/// Files beside those: database, journal, log.
const FILES_BESIDE: u64 = 128;
/// A certificate that ends earlier is to be renewed now, as the alert has it.
const CERTIFICATE_LEFT_MIN_S: i64 = 14 * 86_400;
/// Fewer than this are too few for anything.
const FILES_MIN: u64 = 512;

pub(super) fn examine(config: &Config, clock: &Clock, running: Option<&Answer>, checks: &mut Vec<Finding>) {
    let now_us = clock.unix_us();
    checks.push(clock_says(now_us));
    checks.push(open_files(config, getrlimit(Resource::Nofile).current));
    match running {
        Some(answer) => checks.push(gateway(answer)),
        None => {
            for (address, option) in
                [(config.server.listen, "server.listen"), (config.server.admin_listen, "server.admin_listen")]
            {
                checks.push(port(address, option));
            }
        }
    }
}

fn clock_says(now_us: i64) -> Finding {
    let now = jiff::Timestamp::from_microsecond(now_us).unwrap_or_default();
    let what = format!("the clock says {now}");
    if (CLOCK_MIN_US..CLOCK_MAX_US).contains(&now_us) {
        Finding::ok("clock", what)
    } else {
        Finding::bad("clock", what, "set it, and keep it in step (NTP): prices and periods go by it")
    }
}

/// When the data plane's certificate ends. None where it cannot be used, which the check of the configuration tells.
pub(super) fn certificate(files: &TlsFiles, clock: &Clock) -> Option<Finding> {
    let ends_at_s = Certificate::read(files).ok()?.ends().load(Ordering::Relaxed);
    let advice = "renew it, and write both files over the old ones: they are taken without a restart";
    let Some(ends_at) = jiff::Timestamp::from_second(ends_at_s).ok().filter(|_| ends_at_s > 0) else {
        return Some(Finding::note("certificate", "when the certificate ends cannot be told", ""));
    };
    let left_s = ends_at_s.saturating_sub(clock.unix_us() / 1_000_000);
    let what = format!("the certificate ends at {ends_at}");
    Some(match left_s {
        ..=0 => Finding::bad("certificate", format!("the certificate has ended at {ends_at}"), advice),
        1..CERTIFICATE_LEFT_MIN_S => Finding::bad("certificate", what, advice),
        _ => Finding::ok("certificate", what),
    })
}

/// None: no limit.
fn open_files(config: &Config, limit: Option<u64>) -> Finding {
    let Some(limit) = limit else { return Finding::ok("open_files", "any number of files may be open") };
    let in_flight_max = u64::try_from(config.journal.in_flight_max).unwrap_or(u64::MAX);
    let wanted = in_flight_max.saturating_mul(FILES_EACH).saturating_add(FILES_BESIDE);
    let what = format!("{limit} files may be open");
    let advice = format!("`ulimit -n {wanted}`, LimitNOFILE={wanted} of its unit, or a lower journal.in_flight_max");
    if limit < FILES_MIN {
        Finding::bad("open_files", what, advice)
    } else if limit < wanted {
        let what =
            format!("{what}: enough for about {} requests at once", limit.saturating_sub(FILES_BESIDE) / FILES_EACH);
        Finding::note("open_files", what, advice)
    } else {
        Finding::ok("open_files", what)
    }
}

fn gateway(answer: &Answer) -> Finding {
    let says = answer.body.trim();
    if answer.status == 200 {
        Finding::ok("gateway", format!("a gateway runs on this data folder and is ready: {says}"))
    } else {
        let advice =
            "`journal` false: see its log and `tollgate journal verify`; `name` false: `tollgate replicas list`";
        Finding::bad("gateway", format!("a gateway runs on this data folder and is not ready: {says}"), advice)
    }
}

fn port(address: SocketAddr, option: &str) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("ports", format!("{address} is free ({option})")),
        Err(error) => {
            let what = format!("{address} cannot be listened on: {error}");
            Finding::bad("ports", what, format!("stop what listens there (`ss -ltnp`), or set {option}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::Level, *};
    use crate::config::load::load;

    fn config() -> Config {
        let env = BTreeMap::from([("TOLLGATE_JOURNAL__IN_FLIGHT_MAX".to_owned(), "1000".to_owned())]);
        load(None, &env).unwrap().config
    }

    #[test]
    fn a_clock_before_this_build_or_far_ahead_is_a_finding() {
        for (now_us, level) in [(0, Level::Finding), (CLOCK_MIN_US, Level::Ok), (CLOCK_MAX_US, Level::Finding)] {
            assert_eq!(clock_says(now_us).level, level, "{now_us}");
        }
    }

    #[test]
    fn too_few_open_files_are_a_finding_and_fewer_than_requests_need_a_note() {
        let config = config();
        for (limit, level) in
            [(Some(256), Level::Finding), (Some(1024), Level::Note), (Some(2128), Level::Ok), (None, Level::Ok)]
        {
            assert_eq!(open_files(&config, limit).level, level, "{limit:?}");
        }
        assert!(open_files(&config, Some(1024)).advice.contains("ulimit -n 2128"));
    }

    #[test]
    fn a_gateway_that_is_not_ready_is_a_finding() {
        let answer = |status| Answer { status, body: "{}".to_owned() };
        assert_eq!((gateway(&answer(200)).level, gateway(&answer(503)).level), (Level::Ok, Level::Finding));
    }
}
