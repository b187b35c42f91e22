//! What the store keeps of runs, and how it is read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::Value;

use crate::client::{ask, client, objects, refused, told};
use crate::harness::{Crond, PATIENCE, Running};
use crate::redis::Redis;

/// Jobs that never come by themselves.
const JOBS: &str = "\
# cronkeep: name=backup
0 0 1 1 * echo saved; echo oops >&2; exit 3
# cronkeep: name=quiet
0 0 1 1 * true
# cronkeep: name=loud
0 0 1 1 * seq 1 20000
# cronkeep: name=again retries=1 retry-delay=10ms
0 0 1 1 * exit 9
# cronkeep: name=busy
0 0 1 1 * dd if=/dev/zero of=/dev/null bs=300M count=1; i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; kill -9 $$
# cronkeep: name=slow
0 0 1 1 * echo at work; while ! test -e {dir}/go; do sleep 0.05; done
";

/// The program as a reader of the store in a folder, where no daemon listens.
fn reader(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
    command.args(arguments).env("CRONKEEP_STATE_DIR", folder.join("state")).env("TZ", "UTC");
    command.env("CRONKEEP_CONTROL", folder.join("nobody"));
    command
}

/// What `history` tells beside the daemon, once it fits.
fn history(crond: &Running, arguments: &[&str], fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    history_in(crond.folder(), arguments, fits)
}

fn history_in(folder: &Path, arguments: &[&str], fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let words = [&["history", "--json"], arguments].concat();
        let output = reader(folder, &words).output().unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let runs = objects(&text);
        if output.status.success() && fits(&runs) {
            return runs;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(std::time::Instant::now() < deadline, "{} runs; {said}", runs.len());
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

fn has_ended(runs: &[Value]) -> bool {
    runs.iter().all(|run| !run["outcome"].is_null())
}

#[test]
fn runs_are_read_by_another_process_while_the_daemon_runs_and_after_a_restart() {
    let crond = Crond::new().crontab(JOBS).start();
    crond.wait_for_socket();
    let before = ask(&crond, &["run", "--wait", "backup"]);
    assert_eq!(before.status.code(), Some(3));
    told(&crond, &["run", "--wait", "quiet"]);
    let runs = history(&crond, &[], |runs| runs.len() == 2 && has_ended(runs));
    assert_eq!((&runs[0]["name"], &runs[1]["name"]), (&"quiet".into(), &"backup".into()));
    let backup = &runs[1];
    assert_eq!((&backup["outcome"], &backup["exit"]), (&"failed".into(), &3.into()));
    assert_eq!((&backup["trigger"], &backup["attempt"]), (&"manual".into(), &1.into()));
    assert_eq!(backup["output_bytes"], 9);
    assert!(String::from_utf8_lossy(&before.stdout).contains(backup["run"].as_str().unwrap()));
    for time in ["scheduled", "queued", "started", "ended"] {
        let text = backup[time].as_str().unwrap();
        assert!(text.parse::<jiff::Timestamp>().is_ok(), "{time} {text}");
    }
    assert_eq!(history(&crond, &["backup"], |runs| runs.len() == 1), runs[1..]);
    assert_eq!(history(&crond, &["--job", "quiet"], |runs| runs.len() == 1), runs[..1]);
    assert_eq!(history(&crond, &["--outcome", "failed"], |runs| runs.len() == 1), runs[1..]);
    let digits = &backup["key"].as_str().unwrap()["crondServiceTask-".len()..][..6];
    assert_eq!(history(&crond, &[digits], |runs| runs.len() == 1), runs[1..]);
    assert!(history(&crond, &["--until", "2026-01-01"], |_| true).is_empty());
    assert_eq!(history(&crond, &["--since", "2026-01-01"], |_| true), runs);

    let crond = crond.again(Signal::SIGTERM).start();
    crond.wait_for_socket();
    assert_eq!(history(&crond, &[], |_| true), runs, "after a restart");
    let listed = objects(&told(&crond, &["list", "--json", "backup"]));
    assert_eq!(listed[0]["last"]["exit"], 3, "{listed:?}");
    let all = objects(&told(&crond, &["list", "--json"]));
    assert_eq!(all[1]["last"]["outcome"], "succeeded");
    assert!(all[2]["last"].is_null());
    let table = reader(crond.folder(), &["history"]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("backup") && table.contains("exit 3"), "{table}");
    let events = crond.stop();
    assert!(events.iter().all(|event| event["event"] != "run.lost"), "both had ended");
}

#[test]
fn output_outlives_the_daemon_with_its_beginning_and_its_end() {
    let crond = Crond::new().crontab(JOBS).start();
    crond.wait_for_socket();
    ask(&crond, &["run", "--wait", "backup"]);
    told(&crond, &["run", "--wait", "loud"]);
    let runs = history(&crond, &[], |runs| runs.len() == 2 && has_ended(runs));
    let held = told(&crond, &["logs", "loud"]);
    let folder = crond.keep_folder();
    crond.stop();
    let logs = |what: &str| {
        let output = reader(folder.path(), &["logs", what]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(logs("loud") == held, "as the daemon had it");
    assert!(held.contains("\n1\n2\n") && held.contains("\n20000\n"));
    assert!(held.contains("lines left out"));
    let backup = logs("backup");
    for part in ["saved\n", "oops\n", "failed with exit code 3"] {
        assert!(backup.contains(part), "{backup}");
    }
    assert_eq!(logs(runs[1]["run"].as_str().unwrap()), backup, "by its id");
    let json = reader(folder.path(), &["logs", "--json", "backup"]).output().unwrap();
    let lines = objects(&String::from_utf8(json.stdout).unwrap());
    let stderr = lines.iter().find(|line| line["line"] == "oops").unwrap();
    assert_eq!((&stderr["stream"], &stderr["name"]), (&"stderr".into(), &"backup".into()));
    let follow = reader(folder.path(), &["logs", "-f", "backup"]).output().unwrap();
    assert_eq!(follow.status.code(), Some(1), "nobody prints any more");
}

#[test]
fn of_a_run_that_goes_on_it_is_told_which_daemon_has_its_output() {
    let crond = Crond::new().crontab(JOBS).start();
    crond.wait_for_socket();
    told(&crond, &["run", "slow"]);
    let runs = history(&crond, &[], |runs| runs.len() == 1);
    let run = runs[0]["run"].as_str().unwrap();
    for what in [run, "slow"] {
        // Nobody listens where this one asks.
        let output = reader(crond.folder(), &["logs", what]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(&format!("-- slow run {run}\n-- it has not ended")), "{text}");
        assert!(text.contains("--control"), "{text}");
    }
    let json = reader(crond.folder(), &["logs", "--json", run]).output().unwrap();
    let lines = objects(&String::from_utf8(json.stdout).unwrap());
    assert_eq!((lines.len(), &lines[0]["going"]), (1, &true.into()), "{lines:?}");
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let text = told(&crond, &["logs", run]);
        assert!(!text.contains("--control"), "{text}");
        if text.contains("at work\n") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    std::fs::write(crond.path("go"), "").unwrap();
    history(&crond, &[], has_ended);
    let output = reader(crond.folder(), &["logs", run]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().nth(1), Some("at work"));
    crond.stop();
}

#[test]
fn what_a_daemon_does_not_hold_any_more_is_read_from_the_store() {
    let crond = Crond::new().crontab(JOBS).start();
    crond.wait_for_socket();
    ask(&crond, &["run", "--wait", "backup"]);
    history(&crond, &[], |runs| runs.len() == 1 && has_ended(runs));
    let crond = crond.again(Signal::SIGTERM).start();
    crond.wait_for_socket();
    let logs = |what: &str| {
        let mut command = client(&crond, &["logs", what]);
        command.env("CRONKEEP_STATE_DIR", crond.path("state"));
        command.output().unwrap()
    };
    let output = logs("backup");
    assert!(String::from_utf8_lossy(&output.stdout).contains("saved\n"), "{output:?}");
    let unknown = logs("bakcup");
    assert_eq!(unknown.status.code(), Some(1));
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(text.contains("there is no job"), "the daemon's words: {text}");
    crond.stop();
}

/// Has the store of a daemon that has ended hold a run once more, under another id.
fn copy(folder: &Path, run: &str, other: &str) {
    let store = Connection::open(folder.join("state/cronkeep.db")).unwrap();
    let sql = "CREATE TEMP TABLE one AS SELECT * FROM runs WHERE run = ?1";
    store.execute(sql, [run]).unwrap();
    store.execute("UPDATE one SET run = ?1", [other]).unwrap();
    assert_eq!(store.execute("INSERT INTO runs SELECT * FROM one", []).unwrap(), 1);
}

#[test]
fn of_runs_whose_ids_end_alike_a_late_one_is_meant_and_one_of_two_is_not_guessed() {
    let crond = Crond::new().crontab(JOBS).start();
    crond.wait_for_socket();
    ask(&crond, &["run", "--wait", "backup"]);
    let runs = history(&crond, &[], |runs| runs.len() == 1 && has_ended(runs));
    let run = runs[0]["run"].as_str().unwrap();
    let folder = crond.keep_folder();
    crond.stop();
    let logs = |what: &str| reader(folder.path(), &["logs", what]).output().unwrap();
    // One of another year.
    let older = format!("01ARZ3NDEK{}", &run[10..]);
    copy(folder.path(), run, &older);
    for length in [4, 6, 16, 26] {
        let output = logs(&run[26 - length..].to_lowercase());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(run) && text.contains("saved\n"), "{length}: {text}");
    }
    let text = String::from_utf8(logs(&older).stdout).unwrap();
    assert_eq!(text, format!("-- backup run {older} failed with exit code 3\n"));
    // One of the same millisecond.
    let other = if run.as_bytes()[19] == b'0' { '1' } else { '0' };
    copy(folder.path(), run, &format!("{}{other}{}", &run[..19], &run[20..]));
    let output = logs(&run[20..]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("give more of the id"), "{text}");
    assert_eq!(logs(&run[19..]).status.code(), Some(0));
    // What no id has is nothing that is looked for among runs.
    assert_eq!(logs("bill").status.code(), Some(1));
}

#[test]
fn a_job_that_has_not_run_for_long_is_found_by_its_name() {
    let crond = Crond::new().crontab(JOBS).start();
    crond.wait_for_socket();
    ask(&crond, &["run", "--wait", "backup"]);
    ask(&crond, &["run", "--wait", "quiet"]);
    let runs = history(&crond, &[], |runs| runs.len() == 2 && has_ended(runs));
    let folder = crond.keep_folder();
    crond.stop();
    let store = Connection::open(folder.path().join("state/cronkeep.db")).unwrap();
    let sql = "CREATE TEMP TABLE one AS SELECT * FROM runs WHERE run = ?1";
    store.execute(sql, [runs[0]["run"].as_str().unwrap()]).unwrap();
    store.execute_batch("BEGIN").unwrap();
    // More than the last runs in which names are looked for at first.
    for number in 0..20_001_u32 {
        let at = jiff::Timestamp::from_millisecond(4_000_000_000_000 + i64::from(number)).unwrap();
        let run = cronkeep::event::RunId::new(at, u128::from(number)).to_string();
        store.execute("UPDATE one SET run = ?1", [run]).unwrap();
        store.execute("INSERT INTO runs SELECT * FROM one", []).unwrap();
    }
    store.execute_batch("COMMIT").unwrap();
    let found = history_in(folder.path(), &["backup"], |_| true);
    assert_eq!(found, runs[1..]);
    let nobody = reader(folder.path(), &["history", "nobody"]).output().unwrap();
    let text = String::from_utf8(nobody.stderr).unwrap();
    assert!(text.contains("knows no job \"nobody\""), "{text}");
}

#[test]
fn each_attempt_is_recorded() {
    let crond = Crond::new().crontab(JOBS).start();
    crond.wait_for_socket();
    ask(&crond, &["run", "--wait", "again"]);
    let runs = history(&crond, &[], |runs| runs.len() == 2 && has_ended(runs));
    assert_eq!(runs[0]["run"], runs[1]["run"]);
    assert_eq!((&runs[0]["attempt"], &runs[1]["attempt"]), (&2.into(), &1.into()));
    crond.stop();
}

/// Of each store: as another process reads it while the daemon runs, after a kill of it, and after its next start.
fn a_run_is_recorded_with_all_that_is_known_of_it(store: &[&str]) {
    let start = |crond: Crond| {
        let crond = store.iter().fold(crond.crontab(JOBS), |crond, word| crond.arg(*word)).start();
        crond.wait_for_socket();
        crond
    };
    let crond = start(Crond::new());
    assert_eq!(ask(&crond, &["run", "--wait", "backup"]).status.code(), Some(3));
    assert_eq!(ask(&crond, &["run", "--wait", "busy"]).status.code(), Some(128 + 9));
    let read = |folder: &Path, fits: &dyn Fn(&[Value]) -> bool| history_in(folder, store, fits);
    let runs = read(crond.folder(), &|runs| runs.len() == 2 && has_ended(runs));
    let (busy, backup) = (&runs[0], &runs[1]);
    assert_eq!((&busy["outcome"], &busy["signal"]), (&"killed".into(), &9.into()), "{busy}");
    assert!(busy["exit"].is_null() && backup["signal"].is_null(), "{runs:?}");
    assert!(busy["user_cpu_ms"].as_u64().unwrap() >= 5, "{busy}");
    assert!(busy["max_rss_kib"].as_u64().unwrap() >= 300 << 10, "{busy}");
    assert!(backup["max_rss_kib"].is_null(), "no more than the daemon has: {backup}");
    for run in &runs {
        assert!(run["system_cpu_ms"].is_u64(), "{run}");
        let replica = run["replica"].as_str().unwrap();
        assert!(replica.starts_with(&cronkeep::unix::identity::hostname()), "{run}");
    }
    let crond = crond.again(Signal::SIGKILL);
    assert_eq!(read(crond.folder(), &|_| true), runs, "after a kill");
    let crond = start(crond);
    assert_eq!(read(crond.folder(), &|_| true), runs, "after a restart");
    let arguments = [&["logs", "backup"], store].concat();
    let output = reader(crond.folder(), &arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let run = backup["run"].as_str().unwrap();
    // Of two streams either may be read first.
    let of = |first: &str, second: &str| {
        let end = format!("-- backup run {run} failed with exit code 3");
        format!("-- backup run {run}\n{first}\n{second}\n{end}\n")
    };
    assert!([of("saved", "oops"), of("oops", "saved")].contains(&text), "{text}");
    crond.stop();
}

#[test]
fn a_file_has_all_that_is_known_of_a_run() {
    a_run_is_recorded_with_all_that_is_known_of_it(&[]);
}

#[test]
fn a_redis_has_all_that_is_known_of_a_run() {
    let Some(redis) = Redis::start() else { return };
    let store = format!("--store={}", redis.url());
    a_run_is_recorded_with_all_that_is_known_of_it(&[&store, "--namespace=history"]);
}

#[test]
fn without_a_store_the_reader_says_which_it_means() {
    let folder = tempfile::tempdir().unwrap();
    let output = reader(folder.path(), &["history"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cronkeep.db") && text.contains("nothing was kept there yet"), "{text}");
    let output = reader(folder.path(), &["history", "--since", "soon"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("state").exists(), "a reader makes nothing");
}

#[test]
fn a_thousand_runs_are_recorded_and_read_page_by_page() {
    let mut crontab = String::new();
    for number in 0..125 {
        writeln!(crontab, "* * * * * * exit {number}").unwrap();
    }
    let mut crond = Crond::new().crontab(&crontab).arg("--on-stop=end").start();
    while crond.count("run.ended") < 1_000 {
        crond.expect("run.ended");
    }
    let crond = crond.again(Signal::SIGTERM);
    let folder = crond.folder();
    let all = history_in(folder, &["--limit", "5000"], has_ended);
    assert!(all.len() >= 1_000, "{}", all.len());
    let dues: BTreeSet<_> =
        all.iter().map(|run| (run["key"].to_string(), run["scheduled"].to_string())).collect();
    assert_eq!(dues.len(), all.len(), "no instant was started twice");
    let mut pages = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut words = vec!["history", "--json", "--limit", "300"];
        if let Some(cursor) = &cursor {
            words.extend(["--cursor", cursor]);
        }
        let output = reader(folder, &words).output().unwrap();
        pages.extend(objects(&String::from_utf8(output.stdout).unwrap()));
        let said = String::from_utf8(output.stderr).unwrap();
        match said.trim().split_once("--cursor ") {
            Some((_, next)) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert!(pages == all, "{} and {}", pages.len(), all.len());
}

#[test]
fn a_store_that_hangs_does_not_stop_the_schedule() {
    let mut crond = Crond::new().crontab("* * * * * * true\n").start();
    crond.expect("run.ended");
    let file = crond.path("state/cronkeep.db");
    let theirs = Connection::open(&file).unwrap();
    theirs.busy_timeout(PATIENCE).unwrap();
    theirs.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let started = |crond: &mut Running| {
        let event = crond.expect("run.started");
        event["scheduled"].as_str().unwrap().to_owned()
    };
    crond.expect("store.down");
    let held: Vec<String> = (0..3).map(|_| started(&mut crond)).collect();
    let distinct: BTreeSet<_> = held.iter().collect();
    assert_eq!(distinct.len(), 3, "each instant once: {held:?}");
    assert_eq!(crond.count("run.missed"), 0);
    assert_eq!(crond.count("store.down"), 1, "it is told once");
    theirs.execute_batch("ROLLBACK").unwrap();
    crond.expect("store.up");
    let first: Vec<_> = held.iter().map(|text| text.parse::<jiff::Timestamp>().unwrap()).collect();
    history(&crond, &[], |runs| {
        let kept: BTreeSet<jiff::Timestamp> =
            runs.iter().map(|run| run["scheduled"].as_str().unwrap().parse().unwrap()).collect();
        first.iter().all(|at| kept.contains(at))
    });
    crond.stop();
}

#[test]
fn a_pause_outlives_the_daemon() {
    let crond = Crond::new().crontab(JOBS).start();
    crond.wait_for_socket();
    told(&crond, &["pause", "quiet"]);
    // Nothing says when it is kept but the store.
    let deadline = std::time::Instant::now() + PATIENCE;
    let paused = || {
        let store = Connection::open(crond.path("state/cronkeep.db")).unwrap();
        let sql = "SELECT count(*) FROM jobs WHERE paused <> 0";
        store.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    while paused() == 0 {
        assert!(std::time::Instant::now() < deadline);
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    let crond = crond.again(Signal::SIGKILL).start();
    crond.wait_for_socket();
    let listed = objects(&told(&crond, &["list", "--json", "quiet"]));
    assert_eq!(listed[0]["paused"], true);
    let status: Value = serde_json::from_str(&told(&crond, &["status", "--json"])).unwrap();
    assert_eq!(status["jobs"]["paused"], 1);
    told(&crond, &["resume", "quiet"]);
    let crond = crond.again(Signal::SIGTERM).start();
    crond.wait_for_socket();
    let listed = objects(&told(&crond, &["list", "--json", "quiet"]));
    assert_eq!(listed[0]["paused"], false);
    let text = refused(&crond, &["resume", "nothing"], 1);
    assert!(text.contains("nothing"), "{text}");
    crond.stop();
}
