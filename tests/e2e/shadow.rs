//! The daemon as a shadow beside the Python service: it compares, and neither runs nor writes anything.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::{ask, refused, told};
use crate::harness::{Crond, PATIENCE, Running};
use crate::redis::{Redis, Reply};
use crate::world::was_told;

/// What the Python service keeps in its own namespace.
const ROWS: &str = "crond-service-cronjob-cache";

/// A line that is due each second, one that is the same for both, one that the service has not seen.
const TABLE: &str = "* * * * * * touch {dir}/ran\n0 5 * * * true same\n0 6 * * * true new\n@reboot touch {dir}/ran\n";

fn shadow(redis: &Redis) -> Crond {
    let store = format!("--store={}", redis.url());
    Crond::new().arg("--shadow").arg(store).arg("--namespace=default")
}

fn sum(crond: &mut Running, part: &str) {
    crond.expect_where("crontab.notice", |event| {
        event["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("shadow: ") && text.contains(part))
    });
}

/// Waits until the health of a shadow has these parts; it is degraded, and fails nobody's check.
fn expect_health(crond: &Running, parts: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = told(crond, &["health"]);
        assert!(health.starts_with("degraded: "), "{health}");
        if parts.iter().all(|part| health.contains(part)) {
            return;
        }
        assert!(Instant::now() < deadline, "{parts:?}: {health}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_shadow_tells_what_differs_and_neither_runs_nor_writes_anything() {
    let Some(redis) = Redis::start() else { return };
    let rows = r#"[["0", "5", "*", "*", "*", "root", "true same"], ["0", "7", "*", "*", "*", "root", "true gone"], ["0", "7"]]"#;
    redis.set(ROWS, rows);
    let mut crond = shadow(&redis).crontab(TABLE).start();
    sum(&mut crond, " 1 job is the same, 4 differ");
    let events = crond.seen();
    for part in [
        "cached row 3: refused: not seven strings",
        "true gone",
        "line 1: ",
        "line 3: ",
        "line 4: ",
    ] {
        assert!(was_told(&events, part), "{part}: {events:#?}");
    }
    expect_health(&crond, &["a shadow, which runs nothing", "1 job is the same"]);
    for command in ["run", "pause", "resume", "stop"] {
        let text = refused(&crond, &[command, "same"], 1);
        assert!(text.contains("shadow"), "{text}");
    }
    let jobs = told(&crond, &["list", "--json"]);
    assert_eq!(jobs.lines().count(), 4);
    // When the service would start it: here nobody does.
    assert!(jobs.lines().all(|job| job.contains(r#""shadow":true"#)), "{jobs}");
    let table = told(&crond, &["list"]);
    let is_shadow = |row: &str| row.contains(" shadow ") && !row.contains(" in ");
    assert!(table.lines().skip(1).all(is_shadow), "{table}");

    let table = "* * * * * * touch {dir}/ran\n0 5 * * * true same\n0 7 * * * true gone\n";
    crond.write(table);
    sum(&mut crond, " 2 jobs are the same, 1 differ");
    // What the service caches later is compared as well; meanwhile the first line is due again and again.
    let rows =
        rows.replace(r#", ["0", "7"]]"#, r#", ["0", "8", "*", "*", "*", "root", "true more"]]"#);
    redis.set(ROWS, &rows);
    sum(&mut crond, " 2 jobs are the same, 2 differ");
    assert_eq!(redis.keys(), [ROWS]);
    assert_eq!(redis.get(ROWS).as_deref(), Some(rows.as_bytes()));
    assert_eq!(std::fs::read_to_string(crond.path("crontab")).unwrap(), crond.text(table));
    for name in ["ran", "state", ".crontab.cronkeep"] {
        assert!(!crond.path(name).exists(), "{name}");
    }
    assert_eq!((crond.count("run.started"), crond.count("run.missed")), (0, 0));
    crond.stop();
}

#[test]
fn a_shadow_compares_when_the_store_comes_back() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    let mut crond = shadow(&redis).crontab("0 5 * * * true same\n").spawn();
    crond.expect("store.down");
    crond.expect("crontab.loaded");
    expect_health(&crond, &["nothing is compared yet", "is away"]);
    redis.restart();
    sum(&mut crond, "0 jobs are the same, 1 differ");
    assert!(was_told(&crond.seen(), "the Python service has cached nothing"));
    assert_eq!(redis.command(["DBSIZE"]), Reply::Number(0));
    crond.stop();
}

#[test]
fn a_shadow_needs_the_store_that_it_compares_with() {
    let output = Command::new(env!("CARGO_BIN_EXE_cronkeep"))
        .args(["--shadow", "/nonexistent/crontab"])
        .env_remove("CRONKEEP_STORE")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--store"), "{text}");
}

#[test]
fn a_shadow_ends_with_a_signal_and_reloads_when_asked() {
    let Some(redis) = Redis::start() else { return };
    let mut crond = shadow(&redis).crontab("0 5 * * * true\n").start();
    assert!(ask(&crond, &["reload"]).status.success());
    crond.expect("crontab.loaded");
    crond.signal(nix::sys::signal::Signal::SIGUSR1);
    crond.expect("daemon.dump");
    crond.stop();
}
