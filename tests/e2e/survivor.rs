//! Runs that the daemon was killed beside: lost, or alive.

use std::time::{Duration, Instant};

use cronkeep::clock::SystemClock;
use cronkeep::store::open::{Access, Opening, open};
use cronkeep::store::{Address, Loaded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::client::{ask, objects, told};
use crate::harness::{Crond, PATIENCE, Running};

const JOBS: &str = "\
# cronkeep: name=sleeper overlap=skip
0 0 1 1 * echo begun; exec sleep 1000
# cronkeep: name=queue overlap=queue grace=1h
0 0 1 1 * exec sleep 1000
";

/// Runs a job until its process has been recorded; its process and its run.
fn running(crond: &mut Running, job: &str) -> (Pid, String) {
    crond.wait_for_socket();
    told(crond, &["run", job]);
    let event = crond.expect("run.started");
    let run = event["run"].as_str().unwrap().to_owned();
    until(|| loaded(crond).open.iter().any(|open| open.process.is_some()));
    (Pid::from_raw(i32::try_from(event["pid"].as_i64().unwrap()).unwrap()), run)
}

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline);
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// What the store in the daemon's folder has kept.
fn loaded(crond: &Running) -> Loaded {
    let opening = Opening {
        address: Address::Sqlite(crond.path("state/cronkeep.db")),
        namespace: "default".to_owned(),
        access: Access::Read,
        clock: std::sync::Arc::new(SystemClock),
        tell: std::sync::Arc::new(|_| {}),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { open(opening).load().await }).unwrap()
}

fn is_alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

fn status(crond: &Running) -> Value {
    serde_json::from_str(&told(crond, &["status", "--json"])).unwrap()
}

fn history(crond: &Running) -> Vec<Value> {
    let mut command = crate::client::client(crond, &["history", "--json"]);
    let output = command.env("CRONKEEP_STATE_DIR", crond.path("state")).output().unwrap();
    objects(&String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_run_that_outlives_its_daemon_counts_as_running_until_it_is_gone() {
    let mut crond = Crond::new().crontab(JOBS).start();
    let (pid, run) = running(&mut crond, "sleeper");
    let mut crond = crond.again(Signal::SIGKILL).start();
    crond.wait_for_socket();
    assert!(is_alive(pid), "a kill of the daemon leaves it");
    let active = &status(&crond)["active"];
    assert_eq!(
        (&active[0]["run"], &active[0]["pid"]),
        (&run.as_str().into(), &pid.as_raw().into())
    );
    assert_eq!(active[0]["name"], "sleeper");
    let output = ask(&crond, &["run", "sleeper"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("an earlier run is alive"), "{text}");
    kill(pid, Signal::SIGTERM).unwrap();
    let lost = crond.expect("run.lost");
    assert_eq!((&lost["run"], &lost["reason"]), (&run.as_str().into(), &"ended unobserved".into()));
    assert_eq!(status(&crond)["active"], serde_json::json!([]));
    until(|| history(&crond).iter().any(|kept| kept["run"] == run && kept["outcome"] == "lost"));
    told(&crond, &["run", "sleeper"]);
    let again = crond.expect("run.started");
    crond.stop();
    let pid = Pid::from_raw(i32::try_from(again["pid"].as_i64().unwrap()).unwrap());
    assert!(is_alive(pid), "it is left");
    kill(pid, Signal::SIGKILL).unwrap();
}

#[test]
fn a_survivor_can_be_stopped() {
    let mut crond = Crond::new().crontab(JOBS).start();
    let (pid, run) = running(&mut crond, "sleeper");
    let mut crond = crond.again(Signal::SIGKILL).start();
    crond.wait_for_socket();
    told(&crond, &["stop", &run]);
    let lost = crond.expect("run.lost");
    assert_eq!(lost["reason"], "ended unobserved, stopped on request");
    assert!(!is_alive(pid) || cronkeep::unix::process::since(pid).is_none());
    crond.stop();
}

#[test]
fn a_run_that_died_with_its_daemon_is_closed_as_lost() {
    let mut crond = Crond::new().crontab(JOBS).start();
    let (pid, run) = running(&mut crond, "sleeper");
    let crond = crond.again(Signal::SIGKILL);
    kill(pid, Signal::SIGKILL).unwrap();
    until(|| cronkeep::unix::process::since(pid).is_none());
    let mut crond = crond.spawn();
    let lost = crond.expect("run.lost");
    assert_eq!(lost["run"], run.as_str());
    assert_eq!(
        (&lost["job"], &lost["reason"]),
        (&"sleeper".into(), &"the daemon died while it ran".into())
    );
    crond.wait_for_socket();
    until(|| loaded(&crond).open.is_empty());
    let kept = history(&crond);
    assert_eq!((&kept[0]["run"], &kept[0]["outcome"]), (&run.as_str().into(), &"lost".into()));
    // That what it printed is missing is told where it would stand.
    for what in ["sleeper", &run[20..]] {
        let mut command = crate::client::client(&crond, &["logs", what]);
        let output = command.env("CRONKEEP_STATE_DIR", crond.path("state")).output().unwrap();
        let expected = format!(
            "-- sleeper run {run}\n-- what it printed was not kept\n\
             -- sleeper run {run} lost: the daemon died while it ran\n"
        );
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
    let crond = crond.again(Signal::SIGTERM).start();
    let events = crond.stop();
    assert!(events.iter().all(|event| event["event"] != "run.lost"), "it is told once");
}

#[test]
fn a_run_whose_process_was_not_recorded_is_found_by_its_environment() {
    let mut crond = Crond::new().crontab(JOBS).start();
    let (pid, run) = running(&mut crond, "sleeper");
    let crond = crond.again(Signal::SIGKILL);
    let store = rusqlite::Connection::open(crond.folder().join("state/cronkeep.db")).unwrap();
    store.execute("UPDATE runs SET pid = NULL, pid_start = NULL, started = NULL", []).unwrap();
    drop(store);
    let mut crond = crond.start();
    crond.wait_for_socket();
    assert_eq!(status(&crond)["active"][0]["pid"], pid.as_raw());
    kill(pid, Signal::SIGKILL).unwrap();
    assert_eq!(crond.expect("run.lost")["run"], run.as_str());
    crond.stop();
}

#[test]
fn the_number_of_another_process_is_not_taken_for_a_run() {
    let mut crond = Crond::new().crontab(JOBS).start();
    let (pid, _) = running(&mut crond, "sleeper");
    let crond = crond.again(Signal::SIGKILL);
    let store = rusqlite::Connection::open(crond.folder().join("state/cronkeep.db")).unwrap();
    store.execute("UPDATE runs SET pid_start = pid_start - 1", []).unwrap();
    drop(store);
    let mut crond = crond.spawn();
    assert_eq!(crond.expect("run.lost")["reason"], "the daemon died while it ran");
    assert!(is_alive(pid), "it is somebody else's");
    kill(pid, Signal::SIGKILL).unwrap();
    crond.stop();
}

#[test]
fn a_run_that_was_left_at_the_end_counts_in_the_next_life() {
    let mut crond = Crond::new().crontab(JOBS).start();
    let (pid, run) = running(&mut crond, "sleeper");
    let mut crond = crond.again(Signal::SIGTERM).start();
    crond.wait_for_socket();
    assert_eq!(status(&crond)["active"][0]["run"], run.as_str());
    kill(pid, Signal::SIGKILL).unwrap();
    crond.expect("run.lost");
    crond.stop();
}

#[test]
fn what_waits_for_a_run_is_owed_across_a_kill() {
    let mut crond = Crond::new().crontab(JOBS).start();
    let (pid, _) = running(&mut crond, "queue");
    told(&crond, &["run", "queue"]);
    until(|| loaded(&crond).jobs.values().any(|job| job.owed.len() == 1));
    let mut crond = crond.again(Signal::SIGKILL).start();
    crond.wait_for_socket();
    let state = loaded(&crond);
    let is_worked_off =
        |active: &Value| active["waiting"].as_array().is_some_and(|all| !all.is_empty());
    let is_owed = state.jobs.values().any(|job| job.owed.len() == 1);
    assert!(is_owed || is_worked_off(&status(&crond)), "{state:?}");
    kill(pid, Signal::SIGKILL).unwrap();
    crond.expect("run.lost");
    crond.stop();
}

#[test]
fn what_no_longer_waits_is_not_owed() {
    let mut crond = Crond::new().crontab(JOBS).start();
    let (pid, _) = running(&mut crond, "queue");
    let id = told(&crond, &["run", "queue"]);
    until(|| loaded(&crond).jobs.values().any(|job| job.owed.len() == 1));
    told(&crond, &["stop", id.trim()]);
    crond.expect("run.skipped");
    until(|| loaded(&crond).jobs.values().all(|job| job.owed.is_empty()));
    let kept = history(&crond);
    let skipped = kept.iter().find(|run| run["outcome"] == "skipped").unwrap();
    assert_eq!((&skipped["run"], &skipped["count"]), (&id.trim().into(), &1.into()));
    assert_eq!(skipped["reason"], "stopped before its start");
    kill(pid, Signal::SIGKILL).unwrap();
    crond.expect("run.ended");
    crond.stop();
}
