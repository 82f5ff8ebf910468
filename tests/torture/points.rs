//! kill -9 at every named point of the path, under load: the process kills itself there.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use tollgate::failpoint::{Point, VARIABLE};

use crate::{effort::points, load::Scene, process::Process, report};

/// How often a point is passed before it kills: at once, soon, and well under way.
pub(crate) const PASSES: [u64; 3] = [0, 5, 40];
/// Small segments, so that some are released while the test looks on.
const JOURNAL: &str = "[journal]\nsegment_bytes = 65536\nin_flight_max = 64\n";
/// The slow streams' pause between chunks: they last longer than a second, so that PROGRESS is written.
pub(crate) const SLOW_MS: u64 = 300;
const SIGKILL: i32 = 9;

/// Whether the point is passed while a boot is recovered, not while requests are served.
pub(crate) const fn is_in_recovery(point: Point) -> bool {
    matches!(point, Point::RecoveryCommitted | Point::RecoveryClosed)
}

/// Waits until the process has killed itself.
pub(crate) async fn until_dead(point: Point, process: &mut Process) {
    for _ in 0..12_000 {
        if let Some(status) = process.0.try_wait().unwrap() {
            assert_eq!(status.signal(), Some(SIGKILL), "{}: {status}", point.name());
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} was not passed within two minutes", point.name());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_nine_at_every_named_point() {
    for point in points() {
        let scene = Scene::new(JOURNAL).await;
        let mut recovery_ms_max = 0;
        for passes in PASSES {
            let armed = format!("{}:{passes}", point.name());
            if is_in_recovery(point) {
                // A boot to recover, and a process that dies while it does; a second one finds both.
                let (process, _) = scene.start(&[]).await;
                let clients = scene.clients(0);
                tokio::time::sleep(Duration::from_millis(200)).await;
                process.kill();
                clients.stop().await;
                let armed = format!("{}:0", point.name());
                until_dead(point, &mut scene.spawn(&[(VARIABLE, &armed)])).await;
            } else {
                let (mut process, recovery_ms) = scene.start(&[(VARIABLE, &armed)]).await;
                recovery_ms_max = recovery_ms_max.max(recovery_ms);
                let clients = scene.clients(SLOW_MS);
                until_dead(point, &mut process).await;
                clients.stop().await;
            }
        }
        let (process, recovery_ms) = scene.start(&[]).await;
        recovery_ms_max = recovery_ms_max.max(recovery_ms);
        process.kill();
        let runs = PASSES.len() as u64;
        report(&format!("kill -9 at {}", point.name()), runs, &scene.verdict().await, recovery_ms_max);
    }
}
