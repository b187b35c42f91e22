//! Edits while jobs run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::client::told;
use crate::harness::{Crond, PATIENCE, Running};

#[test]
fn an_edit_does_not_touch_a_running_job() {
    let mut crond = Crond::new()
        .crontab("* * * * * * echo started >> {dir}/log; while [ ! -e {dir}/go ]; do sleep 0.05; done; echo done >> {dir}/log\n")
        .start();
    let started = crond.expect("run.started");
    crond.write("0 0 1 1 * true\n");
    let loaded = crond.expect("crontab.loaded");
    assert_eq!((&loaded["added"], &loaded["removed"]), (&1.into(), &1.into()));
    std::fs::write(crond.path("go"), "").unwrap();
    let ended = crond.expect_where("run.ended", |event| event["run"] == started["run"]);
    assert_eq!(ended["outcome"], "succeeded");
    crond.expect_file("log", |text| text.contains("done"));
    crond.stop();
}

#[test]
fn an_unchanged_job_is_counted_as_unchanged_and_fires_on() {
    let mut crond = Crond::new().crontab("* * * * * * echo a\n0 0 1 1 * echo old\n").start();
    crond.expect("run.started");
    crond.write("* * * * * * echo a\n0 0 1 1 * echo new\n");
    let loaded = crond.expect("crontab.loaded");
    assert_eq!(loaded["unchanged"], 1);
    assert_eq!(loaded["added"], 1);
    assert_eq!(loaded["removed"], 1);
    crond.expect("run.started");
    crond.stop();
}

#[test]
fn an_entry_whose_time_is_over_is_told() {
    let mut crond = Crond::new().crontab("0 0 1 1 * echo a\n").start();
    crond.write("0 0 1 1 * echo a\n@at 2020-01-01T00:00:00Z echo b\n");
    let fault = crond.expect_where("crontab.fault", |event| event["code"] == "W001");
    assert_eq!(fault["line"], 2);
    crond.stop();
}

#[test]
fn a_bad_edit_is_reported_with_its_place_and_the_other_lines_run() {
    let mut crond = Crond::new().crontab("0 0 1 1 * echo a\n").start();
    crond.write("99 * * * * echo bad\n* * * * * * echo good\n");
    let fault = crond.expect_where("crontab.fault", |event| event["code"] == "E001");
    assert_eq!((&fault["line"], &fault["column"]), (&1.into(), &1.into()));
    let output = crond.expect("run.output");
    assert_eq!(output["line"], "good");
    crond.stop();
}

/// row 40: under `--strict` one error refuses the file; unlike there, the last good version stays.
#[test]
fn under_strict_a_bad_edit_is_refused_and_the_last_good_version_stays() {
    let mut crond = Crond::new().arg("--strict").crontab("* * * * * * echo good\n").start();
    crond.expect("run.output");
    crond.write("* * * * * * echo better\n99 * * * * echo bad\n");
    crond.expect("crontab.rejected");
    let output = crond.expect("run.output");
    assert_eq!(output["line"], "good");
    crond.stop();
}

#[test]
fn hangup_and_usr2_reload_at_once() {
    let mut crond = Crond::new().crontab("0 0 1 1 * echo a\n").start();
    for signal in [Signal::SIGHUP, Signal::SIGUSR2] {
        crond.signal(signal);
        crond.expect("daemon.signal");
        let loaded = crond.expect("crontab.loaded");
        assert_eq!(loaded["unchanged"], 1);
    }
    crond.stop();
}

#[test]
fn a_crontab_that_is_not_there_yet_is_waited_for() {
    let mut crond = Crond::new().spawn();
    crond.expect("crontab.notice");
    crond.write("* * * * * * echo here\n");
    crond.expect_where("run.output", |event| event["line"] == "here");
    crond.stop();
}

#[test]
fn a_crontab_that_disappears_keeps_running_its_last_version() {
    let mut crond = Crond::new().crontab("* * * * * * echo kept\n").start();
    std::fs::remove_file(crond.path("crontab")).unwrap();
    crond.expect("crontab.notice");
    crond.expect("run.output");
    crond.expect("run.output");
    crond.stop();
}

#[test]
fn usr1_tells_what_runs_next() {
    let mut crond = Crond::new().crontab("30 2 * * * echo a\n").start();
    crond.signal(Signal::SIGUSR1);
    let dump = crond.expect_where("daemon.dump", |event| {
        event["message"].as_str().is_some_and(|text| text.contains("30 2 * * *"))
    });
    assert!(dump["message"].as_str().unwrap().contains("02:30"), "{dump}");
    crond.stop();
}

#[test]
fn a_job_that_an_edit_leaves_alone_does_not_run_again_in_its_minute() {
    let text = |round: u32| format!("* * * * * echo each\n0 0 1 1 * echo {round}\n");
    let mut crond = Crond::new().crontab(&text(0)).start();
    for round in 1..=20 {
        crond.replace(&text(round));
        crond.expect("crontab.loaded");
    }
    let mut dues: Vec<_> =
        crond.stop().into_iter().filter(|event| event["event"] == "run.started").collect();
    let all = dues.len();
    dues.dedup_by_key(|event| event["scheduled"].clone());
    assert_eq!(dues.len(), all, "an instant ran twice");
    assert!(all <= 1, "an instant before the start ran: {dues:?}");
}

/// row 38: a mebibyte of comments is read, and takes no more memory than it is long.
#[test]
fn a_mebibyte_of_comments_is_read() {
    let comments = "# nothing but words\n".repeat(1024 * 1024 / 20);
    let mut crond = Crond::new().crontab("0 0 1 1 * echo first\n").start();
    let before = most_memory(&crond);
    crond.write(&format!("{comments}* * * * * * echo last\n"));
    crond.expect_where("run.output", |event| event["line"] == "last");
    // The kernel counts in batches: the most may be told lower than it was told before.
    let grown = most_memory(&crond).saturating_sub(before);
    assert!(grown < 16 * 1024, "it took {grown} KiB more");
    crond.stop();
}

/// The most that the daemon has had in memory, KiB.
fn most_memory(crond: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", crond.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_refused_file_that_is_removed_from_a_directory_is_no_trouble_any_more() {
    let crond = Crond::new();
    let folder = crond.folder().join("crontab");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("good"), "@daily true\n").unwrap();
    for (name, mode, text) in [("open", 0o666, "@daily true\n"), ("wrong", 0o644, "@daly\n")] {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let crond = crond.arg("--strict").start();
    let health = told(&crond, &["health"]);
    assert!(health.contains("/open is refused") && health.contains("/wrong refused"), "{health}");
    for name in ["open", "wrong"] {
        fs::remove_file(folder.join(name)).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while told(&crond, &["health"]) != "healthy\n" {
        assert!(Instant::now() < deadline, "{}", told(&crond, &["health"]));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    crond.stop();
}
