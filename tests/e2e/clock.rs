//! The real daemon where time is not even: stopped for seconds, and under libfaketime over a gap and a fold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Crond, Running};

/// Where Debian's package `faketime` puts what is loaded before everything else.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// Where libfaketime is; none where there is none.
pub fn library() -> Option<&'static str> {
    let found = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
    if found.is_none() {
        println!("skipped: libfaketime is not there");
        assert!(std::env::var_os("CI").is_none(), "the package faketime can be installed");
    }
    found
}

/// A daemon in New York whose clocks start at `from` and run `speed` times as fast; none where there is no libfaketime.
fn in_new_york(crontab: &str, from: &str, speed: u32) -> Option<Running> {
    let library = library()?;
    let crond = Crond::new()
        .crontab(crontab)
        .env("TZ", "America/New_York")
        .env("LD_PRELOAD", library)
        .env("FAKETIME", format!("@{from} x{speed}"));
    Some(crond.start())
}

/// How often each command was started, up to the start of `last`.
fn starts_until(crond: &mut Running, last: &str) -> BTreeMap<String, Vec<String>> {
    let command = |event: &Value| {
        let message = event["message"].as_str().unwrap_or_default();
        message.split_once("CMD (").map_or("", |(_, rest)| rest.trim_end_matches(')')).to_owned()
    };
    crond.expect_where("run.started", |event| command(event) == last);
    let mut starts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in crond.seen().iter().filter(|event| event["event"] == "run.started") {
        let at = event["scheduled"].as_str().unwrap().to_owned();
        starts.entry(command(event)).or_default().push(at);
    }
    starts
}

#[test]
fn row_83_over_a_gap_of_the_real_clock() {
    let crontab = "30 2 * * * : fixed\n0 3 * * * : three\n*/10 2 * * * : wild\n@hourly : hourly\n2 3 * * * : last\n";
    let Some(mut crond) = in_new_york(crontab, "2025-03-09 01:57:00", 60) else { return };
    let starts = starts_until(&mut crond, ": last");
    let three = vec!["2025-03-09T03:00:00-04:00".to_owned()];
    assert_eq!(starts.get(": fixed"), Some(&three), "{starts:?}");
    assert_eq!(starts.get(": three"), Some(&three), "{starts:?}");
    assert_eq!(starts.get(": hourly"), Some(&three), "{starts:?}");
    assert_eq!(starts.get(": wild"), None, "{starts:?}");
}

#[test]
fn row_84_over_a_fold_of_the_real_clock() {
    let crontab = "30 1 * * * : once\n*/30 1 * * * : wild\n30 * * * * : hourly\n30 0 * * * : never\n0 2 * * * : last\n";
    let Some(mut crond) = in_new_york(crontab, "2025-11-02 00:40:00", 600) else { return };
    let starts = starts_until(&mut crond, ": last");
    let times = |times: &[&str]| Some(times.iter().map(|at| format!("2025-11-02T{at}")).collect());
    assert_eq!(starts.get(": once").cloned(), times(&["01:30:00-04:00"]), "{starts:?}");
    let both = ["01:30:00-04:00", "01:30:00-05:00"];
    assert_eq!(starts.get(": hourly").cloned(), times(&both), "{starts:?}");
    let four = ["01:00:00-04:00", "01:30:00-04:00", "01:00:00-05:00", "01:30:00-05:00"];
    assert_eq!(starts.get(": wild").cloned(), times(&four), "{starts:?}");
    assert_eq!(starts.get(": never"), None, "{starts:?}");
}

/// The seconds for which the job that logs them has run.
fn seconds(text: &str) -> Vec<i64> {
    text.lines().map(|line| line.parse::<Timestamp>().unwrap().as_second()).collect()
}

/// Stops the daemon until the wall clock is so many seconds further, and lets it go on.
fn stop_for(crond: &Running, seconds: u64) {
    crond.signal(Signal::SIGSTOP);
    std::thread::sleep(std::time::Duration::from_secs(seconds));
    crond.signal(Signal::SIGCONT);
}

#[test]
fn a_daemon_that_was_stopped_starts_every_second_within_the_grace_in_order() {
    let crond =
        Crond::new().crontab("* * * * * * echo $CRONKEEP_SCHEDULED_AT >> {dir}/log\n").start();
    crond.expect_file("log", |text| text.lines().count() >= 2);
    stop_for(&crond, 4);
    let text = crond.expect_file("log", |text| text.lines().count() >= 9);
    crond.stop();
    let seconds = seconds(&text);
    let distinct: BTreeSet<i64> = seconds.iter().copied().collect();
    assert_eq!(distinct.len(), seconds.len(), "an instant ran twice: {text}");
    let (first, last) = (distinct.first().unwrap(), distinct.last().unwrap());
    assert_eq!(distinct.len(), usize::try_from(last - first + 1).unwrap(), "one was lost: {text}");
}

#[test]
fn what_a_stopped_daemon_missed_is_listed_and_caught_up_as_the_job_says() {
    let crontab = "# cronkeep: grace=1s name=none\n* * * * * * true\n# cronkeep: grace=1s name=latest catch-up=latest\n* * * * * * true\n";
    let mut crond = Crond::new().crontab(crontab).start();
    for job in ["none", "latest"] {
        crond.expect_where("run.started", |event| event["job"] == job);
    }
    stop_for(&crond, 5);
    let caught_up = crond.expect_where("run.started", |event| event["trigger"] == "catch-up");
    assert_eq!(caught_up["job"], "latest");
    // What was missed is told in the same turn; this start comes of a later one.
    let later = |event: &Value| event["trigger"] == "schedule" && event["job"] == "none";
    crond.expect_where("run.started", later);
    crond.expect_where("run.started", later);
    let missed = |events: &[Value], job: &str| {
        events
            .iter()
            .filter(|event| event["event"] == "run.missed" && event["job"] == job)
            .map(|event| event["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    let events = crond.stop();
    assert!((3..=5).contains(&missed(&events, "none")), "{events:#?}");
    assert_eq!(missed(&events, "none"), missed(&events, "latest") + 1, "{events:#?}");
}
