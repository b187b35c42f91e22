//! The daemon that sends: its runs at workers, as its log and its history tell them.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Crond, PATIENCE, Running};
use crate::rabbit;
use crate::sent::{QUEUE, Sender};

/// What waits for a file, having said that it runs.
pub const WAIT: &str =
    "echo ran >> {dir}/ran; while ! test -e {dir}/go; do sleep 0.02; done; echo done";

/// A daemon with one job, called far, in the folder of `sender`.
pub fn daemon(sender: &Sender, options: &str, command: &str) -> Crond {
    let key = sender.path().join("key");
    Crond::on(sender.folder.clone())
        .crontab(&format!(
            "# cronkeep: name=far executor=worker:{QUEUE} {options}\n0 0 1 1 * {command}\n"
        ))
        .env("CRONKEEP_AMQP", sender.vhost.url())
        .env("CRONKEEP_TEST_FAULT", "worker-beat-ms-200")
        .arg("--worker-key")
        .arg(key)
}

pub fn client(daemon: &Running, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
    command
        .args(words)
        .env("CRONKEEP_CONTROL", daemon.socket())
        .env("CRONKEEP_STATE_DIR", daemon.path("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Has the job run, and waits for its end elsewhere.
pub fn begin(daemon: &Running) -> Child {
    daemon.wait_for_socket();
    client(daemon, &["run", "--wait", "far"]).spawn().unwrap()
}

pub fn run(daemon: &Running) -> Output {
    begin(daemon).wait_with_output().unwrap()
}

/// The job's history, newest first.
fn history(daemon: &Running) -> Vec<Value> {
    let output = client(daemon, &["history", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A broker that was away for long is asked for again after this at the latest.
const BACK_OFF: Duration = Duration::from_secs(30);

/// Waits until the outcomes of the job's history, newest first, are these.
pub fn expect_history(daemon: &Running, outcomes: &[&str]) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE + BACK_OFF;
    loop {
        let found = history(daemon);
        if found
            .iter()
            .map(|run| run["outcome"].as_str().unwrap_or("going"))
            .eq(outcomes.iter().copied())
        {
            return found;
        }
        assert!(Instant::now() < deadline, "{found:#?}");
        std::thread::park_timeout(Duration::from_millis(30));
    }
}

#[test]
fn what_a_worker_does_is_the_daemons_run() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("worker").start();
    let command = "dd if=/dev/zero of=/dev/null bs=300M count=1 2>&-; read a; echo \"$a\"; echo no >&2; exit 3%in";
    let mut crond = daemon(&sender, "", command).start();
    let output = run(&crond);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    // Of two pipes nobody knows which is read first.
    let mut lines = ["one", "other"].map(|_| crond.expect("run.output")["line"].clone());
    lines.sort_by_key(ToString::to_string);
    assert_eq!(lines, ["in", "no"]);
    let ended = crond.expect("run.ended");
    assert_eq!((ended["exit"].as_i64(), ended["job"].as_str()), (Some(3), Some("far")));
    // It measures itself how long the run takes.
    let there = worker.expect("run.ended");
    assert_eq!(ended["duration_ms"], there["duration_ms"]);
    let runs = expect_history(&crond, &["failed"]);
    assert!(runs[0]["max_rss_kib"].as_u64().unwrap() >= 300 << 10, "{runs:#?}");
    assert_eq!(runs[0]["output_bytes"], 4);
    let name = runs[0]["worker"].as_str().unwrap();
    assert_eq!(ended["worker"], name);
    let table = client(&crond, &["history"]).output().unwrap();
    assert!(String::from_utf8(table.stdout).unwrap().contains(name), "{name}");
    worker.stop();
    crond.stop();
}

#[test]
fn a_run_whose_worker_dies_is_lost_and_tried_again_where_the_entry_allows_it() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let one = sender.worker("one").start();
    let crond = daemon(&sender, "retries=1 retry-delay=1s", WAIT).start();
    let waiting = begin(&crond);
    sender.expect_file("ran", "ran\n");
    let two = sender.worker("two").start();
    one.signal(Signal::SIGKILL);
    drop(one.wait());
    sender.expect_file("ran", "ran\nran\n");
    fs::write(sender.path().join("go"), "").unwrap();
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    let runs = expect_history(&crond, &["succeeded", "lost"]);
    assert!(runs[1]["reason"].as_str().unwrap().contains("nothing more was heard"), "{runs:#?}");
    two.stop();
    crond.stop();
}

#[test]
fn a_run_whose_worker_dies_is_lost_and_no_more_where_the_entry_does_not() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let one = sender.worker("one").start();
    let crond = daemon(&sender, "", WAIT).start();
    let waiting = begin(&crond);
    sender.expect_file("ran", "ran\n");
    let two = sender.worker("two").start();
    one.signal(Signal::SIGKILL);
    drop(one.wait());
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(1));
    expect_history(&crond, &["lost"]);
    fs::write(sender.path().join("go"), "").unwrap();
    two.stop();
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn a_run_at_a_worker_outlives_the_broker() {
    let Some(rabbit) = rabbit::victim() else { return };
    let sender = Sender::new(&rabbit);
    let worker = sender.worker("worker").start();
    let crond = daemon(&sender, "", WAIT).start();
    let waiting = begin(&crond);
    sender.expect_file("ran", "ran\n");
    rabbit.kill();
    rabbit.restart();
    fs::write(sender.path().join("go"), "").unwrap();
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    expect_history(&crond, &["succeeded"]);
    worker.stop();
    crond.stop();
    assert_eq!(sender.read("ran"), "ran\n");
}

/// The run that was started next.
pub fn started(daemon: &mut Running) -> String {
    daemon.expect("run.started")["run"].as_str().unwrap().to_owned()
}

/// Ends a run.
pub fn stop(daemon: &Running, run: &str) {
    let output = client(daemon, &["stop", run]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Waits until so many messages wait in the daemon's outbox.
pub fn expect_backlog(daemon: &Running, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = client(daemon, &["status", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if status["outbox"]["count"] == count {
            return;
        }
        assert!(Instant::now() < deadline, "{status:#}");
        std::thread::park_timeout(Duration::from_millis(30));
    }
}

#[test]
fn an_order_that_waits_for_the_broker_outlives_the_daemon() {
    let Some(rabbit) = rabbit::victim() else { return };
    let sender = Sender::new(&rabbit);
    rabbit.kill();
    let command = "echo ran >> {dir}/ran; echo hello";
    let crond = daemon(&sender, "", command).start();
    let mut waiting = begin(&crond);
    expect_backlog(&crond, 1);
    drop(crond.again(Signal::SIGKILL));
    drop(waiting.wait());
    let crond = daemon(&sender, "", command).start();
    expect_history(&crond, &["lost"]);
    rabbit.restart();
    let worker = sender.worker("worker").start();
    let runs = expect_history(&crond, &["succeeded"]);
    assert_eq!(runs[0]["output_bytes"], 5, "{runs:#?}");
    expect_backlog(&crond, 0);
    worker.stop();
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn an_order_for_which_the_outbox_has_no_room_could_not_start() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let crond = daemon(&sender, "max-instances=9", "echo ran >> {dir}/ran")
        .env("CRONKEEP_TEST_FAULT", "outbox-room-2")
        .env("CRONKEEP_AMQP", "amqp://127.0.0.1:1");
    let mut crond = crond.start();
    let mut waiting = [begin(&crond), begin(&crond)];
    expect_backlog(&crond, 2);
    assert_eq!(run(&crond).status.code(), Some(1));
    let reason = crond.expect("run.ended")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("the outbox is full"), "{reason}");
    crond.stop();
    for one in &mut waiting {
        drop(one.wait());
    }
}

#[test]
fn what_a_worker_reports_after_a_restart_of_the_daemon_takes_the_place_of_the_loss() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("worker").start();
    let crond = daemon(&sender, "", WAIT).start();
    let mut waiting = begin(&crond);
    sender.expect_file("ran", "ran\n");
    drop(crond.again(Signal::SIGKILL));
    drop(waiting.wait());
    let crond = daemon(&sender, "", WAIT).start();
    expect_history(&crond, &["lost"]);
    fs::write(sender.path().join("go"), "").unwrap();
    expect_history(&crond, &["succeeded"]);
    worker.stop();
    crond.stop();
    assert_eq!(sender.read("ran"), "ran\n");
}

/// What `logs` has of a run at a worker once the daemon was killed beside it, lines about it left out. What it prints before the
/// kill is `before`, and told.
fn over_a_kill(command: &str, before: Option<&str>) -> Option<Vec<String>> {
    let sender = Sender::new(rabbit::shared()?);
    let worker = sender.worker("worker").start();
    let mut crond = daemon(&sender, "", command).start();
    let mut waiting = begin(&crond);
    if let Some(before) = before {
        crond.expect_where("run.output", |event| event["line"] == before);
    }
    sender.expect_file("ran", "ran\n");
    // What the broker has not heard to be told comes again.
    let queue = fs::read_to_string(crond.path("state").join("reply-queue")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while sender.vhost.count(queue.trim(), "messages") != 0 {
        assert!(Instant::now() < deadline, "reports are told");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    drop(crond.again(Signal::SIGKILL));
    drop(waiting.wait());
    let crond = daemon(&sender, "", command).start();
    expect_history(&crond, &["lost"]);
    fs::write(sender.path().join("go"), "").unwrap();
    expect_history(&crond, &["succeeded"]);
    let logs = client(&crond, &["logs", "far"]).output().unwrap();
    let logs = String::from_utf8(logs.stdout).unwrap();
    worker.stop();
    crond.stop();
    Some(logs.lines().filter(|line| !line.starts_with("--")).map(str::to_owned).collect())
}

/// What stands where lines are missing.
const CUT: &str = "… what it printed before the daemon was started is not known …";

#[test]
fn what_a_run_had_printed_before_the_daemon_was_killed_is_told_to_be_missing() {
    let Some(printed) = over_a_kill(&format!("echo before; {WAIT}"), Some("before")) else {
        return;
    };
    assert_eq!(printed, [CUT, "done"]);
}

#[test]
fn it_is_told_of_a_run_that_prints_nothing_more_and_not_of_one_that_never_did() {
    let silent = WAIT.replace("; echo done", "");
    let command = format!("echo before; {silent}");
    let Some(printed) = over_a_kill(&command, Some("before")) else { return };
    assert_eq!(printed, [CUT]);
    let Some(printed) = over_a_kill(&silent, None) else { return };
    assert_eq!(printed, [""; 0]);
}

#[test]
fn a_run_that_is_not_waited_for_ends_with_the_confirmation_and_is_heard_of_all_the_same() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut crond = daemon(&sender, "result=none", "echo hello; exit 5").start();
    assert_eq!(run(&crond).status.code(), Some(0));
    let worker = sender.worker("worker").start();
    crond.expect_where("run.output", |event| event["line"] == "hello");
    let amended = crond.expect("run.amended");
    assert_eq!((amended["exit"].as_i64(), amended["job"].as_str()), (Some(5), Some("far")));
    expect_history(&crond, &["failed"]);
    worker.stop();
    let events = crond.stop();
    let ends = events.iter().filter(|event| event["event"] == "run.ended").count();
    assert_eq!(ends, 1, "a run ends once: {events:#?}");
}

#[test]
fn nothing_is_run_here_that_is_meant_for_a_worker() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let told = |crond: Crond| {
        let mut crond = crond.start();
        assert_eq!(run(&crond).status.code(), Some(1));
        let reason = crond.expect("run.ended")["reason"].as_str().unwrap().to_owned();
        crond.stop();
        fs::remove_dir_all(sender.path().join("state")).unwrap();
        reason
    };
    let crontab = format!(
        "# cronkeep: name=far executor=worker:{QUEUE}\n0 0 1 1 * echo ran >> {{dir}}/ran\n"
    );
    let bare = || Crond::on(sender.folder.clone()).crontab(&crontab);
    assert!(told(bare()).contains("--amqp"));
    assert!(told(bare().env("CRONKEEP_AMQP", sender.vhost.url())).contains("--worker-key"));
    let expired = daemon(&sender, "expires=1s", "echo ran >> {dir}/ran");
    assert!(told(expired).contains("no worker has started it"));
    assert_eq!(sender.read("ran"), "");
}
