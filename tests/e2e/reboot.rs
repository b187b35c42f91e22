//! `@reboot`: once per boot, and once per container start.

use serde_json::Value;

use crate::harness::Crond;

const CRONTAB: &str = "@reboot : boot\n* * * * * * : tick\n";

/// A daemon that keeps its state in the folder `state`.
fn crond(state: &std::path::Path) -> Crond {
    Crond::new().arg("--state-dir").arg(state).crontab(CRONTAB)
}

/// How often the `@reboot` job started until its neighbour did.
fn boots(crond: Crond) -> usize {
    let mut crond = crond.start();
    crond.expect_where("run.ended", |event| said(event, ": tick"));
    let events = crond.stop();
    let boots = events.iter().filter(|event| {
        event["event"] == "run.started" && event["trigger"] == "reboot" && said(event, ": boot")
    });
    boots.count()
}

fn said(event: &Value, command: &str) -> bool {
    event["message"].as_str().is_some_and(|message| message.contains(command))
}

#[test]
fn row_88_a_daemon_that_is_started_anew_does_not_run_reboot_jobs_again() {
    let state = tempfile::tempdir().unwrap();
    assert_eq!(boots(crond(state.path())), 1);
    assert_eq!(boots(crond(state.path())), 0);
}

#[test]
fn row_88_pid_1_runs_reboot_jobs_though_a_marker_is_there() {
    let state = tempfile::tempdir().unwrap();
    let mut unshare = vec!["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !nix::unistd::geteuid().is_root() {
        unshare.push("--map-root-user");
    }
    for _ in 0..2 {
        let crond = crond(state.path()).under(&unshare);
        let mut crond = crond.start();
        let boot = crond.expect_where("run.started", |event| event["trigger"] == "reboot");
        assert!(said(&boot, ": boot"), "{boot}");
    }
}

#[test]
fn a_reboot_job_that_is_added_later_waits_for_a_boot() {
    let state = tempfile::tempdir().unwrap();
    let mut crond =
        Crond::new().arg("--state-dir").arg(state.path()).crontab("* * * * * * : tick\n").start();
    crond.replace(CRONTAB);
    crond.expect("crontab.loaded");
    crond.expect_where("run.ended", |event| said(event, ": tick"));
    crond.expect_where("run.ended", |event| said(event, ": tick"));
    let events = crond.stop();
    assert!(events.iter().all(|event| event["trigger"] != "reboot"), "{events:#?}");
}
