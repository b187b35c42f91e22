//! The schedule goes on over a restart: with the real daemon, a store in a file, and a clock that is where a test wants it.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{objects, told};
use crate::clock::library;
use crate::harness::{Crond, PATIENCE, Running};

/// A job that says each second that the daemon is at work.
const TICK: &str = "# cronkeep: name=tick grace=2s\n* * * * * * true\n";

/// A place that daemons live in one after the other, in UTC, each from a time of the first of March on.
struct Place {
    folder: Arc<TempDir>,
    library: &'static str,
    crontab: String,
}

impl Place {
    /// None where there is no libfaketime.
    fn new(crontab: &str) -> Option<Self> {
        let folder = Arc::new(TempDir::new().expect("a temporary folder"));
        Some(Place { folder, library: library()?, crontab: format!("{crontab}{TICK}") })
    }

    /// A daemon whose clock shows `from` when it starts, and that has begun to run.
    fn live(&self, from: &str) -> Running {
        let crond = Crond::on(Arc::clone(&self.folder))
            .crontab(&self.crontab)
            .env("TZ", "UTC")
            .env("LD_PRELOAD", self.library)
            .env("FAKETIME", format!("@2026-03-01 {from}"));
        let mut crond = crond.start();
        crond.expect_where("run.started", |event| event["job"] == "tick");
        crond
    }

    /// Waits until the store has kept when so many jobs were first loaded.
    fn wait_for_jobs(&self, jobs: i64) {
        let path = self.folder.path().join("state/cronkeep.db");
        let deadline = std::time::Instant::now() + PATIENCE;
        let count = || -> rusqlite::Result<i64> {
            let store = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let sql = "SELECT count(*) FROM jobs WHERE since IS NOT NULL";
            store.query_row(sql, [], |row| row.get(0))
        };
        while count().unwrap_or_default() < jobs {
            assert!(std::time::Instant::now() < deadline, "{:?}", count());
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }
}

/// `trigger HH:MM:SS` of each start of a job.
fn starts(events: &[Value], job: &str) -> Vec<String> {
    let started =
        events.iter().filter(|event| event["event"] == "run.started" && event["job"] == job);
    let line = |event: &Value| format!("{} {}", word(event, "trigger"), time(event, "scheduled"));
    started.map(line).collect()
}

/// `count first last: reason` of what was missed or skipped of a job.
fn dropped(events: &[Value], kind: &str, job: &str) -> Vec<String> {
    let dropped = events.iter().filter(|event| event["event"] == kind && event["job"] == job);
    let line = |event: &Value| match event["count"].as_u64() {
        None | Some(1) => format!("1 {}: {}", time(event, "first"), word(event, "reason")),
        Some(count) => format!(
            "{count} {} {}: {}",
            time(event, "first"),
            time(event, "last"),
            word(event, "reason")
        ),
    };
    dropped.map(line).collect()
}

fn word<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_default()
}

fn time<'a>(event: &'a Value, field: &str) -> &'a str {
    word(event, field).get(11..19).unwrap_or_default()
}

#[test]
fn a_daemon_killed_just_before_a_due_second_and_started_20_s_later_runs_it_once() {
    let Some(place) = Place::new("# cronkeep: name=noon\n0 12 * * * true\n") else { return };
    let crond = place.live("11:59:50");
    place.wait_for_jobs(2);
    drop(crond);
    let mut crond = place.live("12:00:18");
    if starts(&crond.seen(), "noon").is_empty() {
        crond.expect_where("run.started", |event| event["job"] == "noon");
    }
    assert_eq!(starts(&crond.seen(), "noon"), ["schedule 12:00:00"]);
    // Killed again: that it was started is known before it is.
    drop(crond);
    let events = place.live("12:00:25").stop();
    assert_eq!(starts(&events, "noon"), [""; 0]);
    assert_eq!(dropped(&events, "run.missed", "noon"), [""; 0]);
}

#[test]
fn after_three_hours_each_job_catches_up_as_it_says_and_the_rest_is_missed() {
    let crontab = "# cronkeep: name=none\n*/30 * * * * true\n\
        # cronkeep: name=latest catch-up=latest\n*/30 * * * * true\n\
        # cronkeep: name=all catch-up=all catch-up-max=4\n*/30 * * * * true\n\
        # cronkeep: name=window catch-up=all catch-up-window=1h\n*/30 * * * * true\n";
    let Some(place) = Place::new(crontab) else { return };
    place.live("08:45:00").stop();
    let crond = place.live("11:50:00");
    // `count first last: reason` of what is listed as missed.
    let listed = |job: &str| {
        let store = format!("--store=sqlite:{}", crond.path("state/cronkeep.db").display());
        let told = told(&crond, &["history", "--json", "--outcome=missed", &store, job]);
        let missed = objects(&told);
        let [missed] = &missed[..] else { panic!("{told}") };
        let (first, last) = (time(missed, "first"), time(missed, "last"));
        format!("{} {first} {last}: {}", missed["count"], word(missed, "reason"))
    };
    for (job, what) in [
        ("none", "6 09:00:00 11:30:00: the daemon was down"),
        ("latest", "5 09:00:00 11:00:00: the daemon was down"),
        ("all", "2 09:00:00 09:30:00: the daemon was down"),
        ("window", "4 09:00:00 10:30:00: the daemon was down"),
    ] {
        assert_eq!(listed(job), what, "{job}");
    }
    let events = crond.stop();
    let missed = |job| dropped(&events, "run.missed", job);
    assert_eq!(missed("none"), ["6 09:00:00 11:30:00: the daemon was down"]);
    assert_eq!(starts(&events, "none"), [""; 0]);
    assert_eq!(missed("latest"), ["5 09:00:00 11:00:00: the daemon was down"]);
    assert_eq!(starts(&events, "latest"), ["catch-up 11:30:00"]);
    assert_eq!(missed("all"), ["2 09:00:00 09:30:00: the daemon was down"]);
    let four = ["10:00:00", "10:30:00", "11:00:00", "11:30:00"];
    assert_eq!(starts(&events, "all"), four.map(|at| format!("catch-up {at}")));
    assert_eq!(missed("window"), ["4 09:00:00 10:30:00: the daemon was down"]);
    let two = ["11:00:00", "11:30:00"];
    assert_eq!(starts(&events, "window"), two.map(|at| format!("catch-up {at}")));
    // What was answered for is not answered for again.
    let events = place.live("11:52:00").stop();
    for job in ["none", "latest", "all", "window"] {
        assert_eq!((starts(&events, job), dropped(&events, "run.missed", job)), (vec![], vec![]));
    }
}

#[test]
fn every_keeps_its_phase_at_stays_done_and_reboot_runs_once() {
    let crontab = "# cronkeep: name=every\n@every 1h true\n\
        # cronkeep: name=at\n@at 2026-03-01T12:10:00Z true\n\
        # cronkeep: name=passed\n@at 2026-03-01T12:20:00Z true\n\
        # cronkeep: name=reboot\n@reboot true\n";
    let Some(place) = Place::new(crontab) else { return };
    let crond = place.live("12:09:58");
    crond.wait_for_socket();
    let listed = told(&crond, &["list", "--json", "every"]);
    let next: Value = serde_json::from_str(listed.trim()).unwrap();
    let phase = time(&next, "next").to_owned();
    let events = crond.stop();
    assert_eq!(starts(&events, "reboot").len(), 1);
    let mut crond = place.live("12:10:20");
    crond.expect_where("run.started", |event| event["job"] == "tick");
    assert_eq!(starts(&crond.stop(), "at"), ["schedule 12:10:00"]);
    let mut crond = place.live("13:10:20");
    crond.expect_where("run.started", |event| event["job"] == "tick");
    let events = crond.stop();
    let every = starts(&events, "every");
    let [every] = &every[..] else { panic!("{every:?}") };
    // As its first life would have, whenever the later ones began.
    assert_eq!(*every, format!("schedule {phase}"));
    assert_eq!(starts(&events, "at"), [""; 0]);
    assert_eq!(starts(&events, "passed"), ["catch-up 12:20:00"]);
    assert_eq!(starts(&events, "reboot"), [""; 0]);
}

#[test]
fn a_pause_persists_and_its_instants_are_never_caught_up() {
    let crontab = "# cronkeep: name=paused catch-up=all\n*/30 * * * * true\n";
    let Some(place) = Place::new(crontab) else { return };
    let crond = place.live("08:45:00");
    crond.wait_for_socket();
    told(&crond, &["pause", "paused"]);
    crond.stop();
    let mut crond = place.live("10:59:56");
    crond.expect_where("run.skipped", |event| time(event, "first") == "11:00:00");
    let events = crond.stop();
    assert_eq!(starts(&events, "paused"), [""; 0]);
    let skipped = dropped(&events, "run.skipped", "paused");
    assert_eq!(skipped, ["4 09:00:00 10:30:00: paused", "1 11:00:00: paused"]);
}

#[test]
fn a_watermark_far_ahead_of_the_clock_is_clamped_with_one_warning() {
    let Some(place) = Place::new("# cronkeep: name=hourly\n0 * * * * true\n") else { return };
    let mut crond = place.live("10:59:58");
    crond.expect_where("run.started", |event| event["job"] == "hourly");
    crond.stop();
    let mut crond = place.live("08:59:58");
    crond.expect_where("run.started", |event| event["job"] == "hourly");
    let events = crond.stop();
    assert_eq!(starts(&events, "hourly"), ["schedule 09:00:00"]);
    let warnings = events.iter().filter(|event| event.to_string().contains("ahead of the clock"));
    assert_eq!(warnings.count(), 1);
    // The watermarks of that time count from then on.
    let events = place.live("09:00:30").stop();
    assert!(!events.iter().any(|event| event.to_string().contains("ahead of the clock")));
    assert_eq!(starts(&events, "hourly"), [""; 0]);
}

#[test]
fn an_at_that_passed_while_no_daemon_ran_is_started_and_not_called_over_meanwhile() {
    let at = jiff::Timestamp::now() + Duration::from_secs(6);
    let text = format!("@at {at:.0} echo ran >> {{dir}}/ran\n");
    let crond = Crond::new().crontab(&text).start();
    let crond = crond.again(Signal::SIGTERM);
    assert!(!crond.folder().join("ran").exists(), "it was ended before its time");
    while jiff::Timestamp::now() <= at {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let crond = crond.start();
    crond.expect_file("ran", |text| text == "ran\n");
    let events = crond.stop();
    let over = |event: &Value| event.to_string().contains("never fires");
    assert!(!events.iter().any(over), "{events:#?}");
}
