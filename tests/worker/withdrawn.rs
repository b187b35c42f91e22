//! Runs that are ended here: their orders leave the outbox, are started by no worker, or are ended where they run.

use std::path::Path;
use std::time::{Duration, Instant};

use cronkeep::message::report::{News, Printed};

use crate::daemon::{begin, daemon, expect_backlog, expect_history, started, stop};
use crate::harness::{PATIENCE, Running};
use crate::rabbit;
use crate::sent::{QUEUE, Sender};

/// What runs until it is ended, with a process that the shell does not wait for.
const LONG: &str =
    "sh -c 'echo $$ > {dir}/child; exec sleep 1000' & echo ran >> {dir}/ran; sleep 1000";

fn stop_next(crond: &mut Running) {
    let run = started(crond);
    stop(crond, &run);
}

/// Waits until the process whose number the file `child` holds is gone.
fn expect_childless(sender: &Sender) {
    let child: u32 = sender.read("child").trim().parse().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while Path::new(&format!("/proc/{child}")).exists() {
        assert!(Instant::now() < deadline, "process {child} was left");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn expect_child(sender: &Sender) {
    sender.expect_file("ran", "ran\n");
    let deadline = Instant::now() + PATIENCE;
    while !sender.read("child").ends_with('\n') {
        assert!(Instant::now() < deadline, "its child has not begun");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[test]
fn what_is_stopped_here_is_ended_at_its_worker_with_all_its_processes() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("worker").patient().start();
    let mut crond = daemon(&sender, "", LONG).start();
    let waiting = begin(&crond);
    expect_child(&sender);
    stop_next(&mut crond);
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(143));
    worker.expect("run.ended");
    expect_childless(&sender);
    let amended = crond.expect("run.amended");
    assert_eq!(amended["signal"], 15, "{amended}");
    let runs = expect_history(&crond, &["killed"]);
    assert!(runs[0]["reason"].as_str().unwrap().contains("stopped"), "{runs:#?}");
    worker.stop();
    let events = crond.stop();
    let ends = events.iter().filter(|event| event["event"] == "run.ended").count();
    assert_eq!(ends, 1, "{events:#?}");
    assert_eq!(sender.vhost.depth(QUEUE), 0);
}

#[test]
fn a_run_that_another_replaces_is_ended_at_its_worker() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("worker").arg("--prefetch").arg("2").start();
    let once = "if test -e {dir}/ran; then exit 0; fi; ".to_owned() + LONG;
    let mut crond = daemon(&sender, "overlap=replace", &once).start();
    let first = begin(&crond);
    expect_child(&sender);
    let second = begin(&crond);
    assert_eq!(first.wait_with_output().unwrap().status.code(), Some(143));
    assert_eq!(second.wait_with_output().unwrap().status.code(), Some(0));
    expect_childless(&sender);
    worker.stop();
    crond.expect("run.amended");
    let runs = expect_history(&crond, &["succeeded", "killed"]);
    assert!(runs[1]["reason"].as_str().unwrap().contains("replaced"), "{runs:#?}");
    crond.stop();
}

#[test]
fn an_order_that_waits_in_its_queue_is_started_by_no_worker_once_its_run_was_stopped() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    let waiting = begin(&crond);
    sender.expect_depth(QUEUE, 1);
    stop_next(&mut crond);
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(143));
    expect_history(&crond, &["killed"]);
    // And the next life of the daemon remembers it.
    drop(crond.again(nix::sys::signal::Signal::SIGTERM));
    let crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    crond.wait_for_socket();
    let mut worker = sender.worker("worker").patient().start();
    let refused = worker.expect("order.refused");
    assert!(refused["reason"].as_str().unwrap().contains("withdrawn"), "{refused}");
    worker.stop();
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("", 0));
}

#[test]
fn an_order_that_was_not_sent_leaves_the_outbox_with_its_run() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let away = |crond: crate::harness::Crond| crond.env("CRONKEEP_AMQP", "amqp://127.0.0.1:1");
    let mut crond = away(daemon(&sender, "", "echo ran >> {dir}/ran")).start();
    let waiting = begin(&crond);
    expect_backlog(&crond, 1);
    stop_next(&mut crond);
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(143));
    expect_backlog(&crond, 0);
    drop(crond.again(nix::sys::signal::Signal::SIGKILL));
    // What the store has kept is sent by the next life.
    let crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    crond.wait_for_socket();
    let worker = sender.worker("worker").patient().start();
    let next = begin(&crond);
    assert_eq!(next.wait_with_output().unwrap().status.code(), Some(0));
    worker.stop();
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn a_daemon_that_ends_its_runs_ends_those_at_workers() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("worker").patient().start();
    let crond = daemon(&sender, "", LONG).arg("--on-stop").arg("end").start();
    let waiting = begin(&crond);
    expect_child(&sender);
    crond.stop();
    drop(waiting.wait_with_output());
    worker.expect("run.ended");
    expect_childless(&sender);
    worker.stop();
}

#[test]
fn a_daemon_that_leaves_its_runs_leaves_those_at_workers_and_hears_of_them_later() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("worker").patient().start();
    let leaving = || daemon(&sender, "", crate::daemon::WAIT).arg("--on-stop").arg("leave");
    let crond = leaving().start();
    let waiting = begin(&crond);
    sender.expect_file("ran", "ran\n");
    crond.stop();
    drop(waiting.wait_with_output());
    std::fs::write(sender.path().join("go"), "").unwrap();
    let crond = leaving().start();
    crond.wait_for_socket();
    expect_history(&crond, &["succeeded"]);
    worker.stop();
    crond.stop();
}

#[test]
fn a_run_that_was_stopped_is_not_lost_since_its_order_came_back() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    let waiting = begin(&crond);
    sender.expect_depth(QUEUE, 1);
    let order = sender.take().remove(0);
    stop_next(&mut crond);
    drop(waiting.wait_with_output());
    sender.report(&order, "away", 0, News::Returned);
    // What is told after it.
    let lines = vec![Printed(false, "after".into())];
    sender.report(&order, "away", 1, News::Output { left_out: (0, 0), lines });
    crond.expect_where("run.output", |event| event["line"] == "after");
    let runs = expect_history(&crond, &["killed"]);
    assert!(runs[0]["reason"].as_str().unwrap().contains("stopped"), "{runs:#?}");
    let events = crond.stop();
    assert!(events.iter().all(|event| event["event"] != "run.amended"), "{events:#?}");
}
