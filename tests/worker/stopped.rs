//! A worker that is told to stop.

use cronkeep::message::report::News;
use nix::sys::signal::Signal;

use crate::rabbit;
use crate::sent::{QUEUE, Sender, printed};

#[test]
fn what_runs_comes_to_its_end_and_nothing_new_is_taken() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("state").arg("--stop-grace").arg("1m").start();
    let wait = "echo started > {dir}/ran; while ! test -e {dir}/go; do sleep 0.02; done; echo done";
    let id = sender.send(&sender.order(wait));
    sender.expect_file("ran", "started\n");
    worker.signal(Signal::SIGTERM);
    worker.expect("worker.stopping");
    let late = sender.send(&sender.order("echo late >> {dir}/ran"));
    std::fs::write(sender.path().join("go"), "").unwrap();
    let (status, _) = worker.wait();
    assert_eq!(status.code(), Some(0));
    assert_eq!(sender.end(&id).outcome, "succeeded");
    assert_eq!(printed(&sender.reports(&id)).0, ["out: done"]);
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("started\n", 1));
    assert!(sender.reports(&late).is_empty());
}

#[test]
fn what_runs_longer_than_the_grace_is_ended_and_that_is_reported() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").arg("--stop-grace").arg("50ms").start();
    let id = sender.send(&sender.order("echo started > {dir}/ran; exec sleep 1000"));
    sender.expect_file("ran", "started\n");
    let events = worker.stop();
    let ended = sender.end(&id);
    assert_eq!((&*ended.outcome, ended.signal), ("killed", Some(15)));
    assert_eq!(ended.cause.as_deref(), Some("the worker was stopped"));
    assert!(events.iter().any(|event| event["event"] == "worker.stopped"));
    assert_eq!(sender.vhost.depth(QUEUE), 0);
}

#[test]
fn a_second_signal_kills_at_once_and_what_was_killed_is_reported() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("state").arg("--stop-grace").arg("10m").start();
    let id = sender
        .send(&sender.order("trap '' TERM; echo started > {dir}/ran; sleep 1000; sleep 1000"));
    sender.expect_file("ran", "started\n");
    worker.signal(Signal::SIGTERM);
    worker.expect("worker.stopping");
    worker.signal(Signal::SIGTERM);
    let (status, events) = worker.wait();
    assert_eq!(status.code(), Some(1), "{events:#?}");
    let ended = sender.end(&id);
    assert_eq!((&*ended.outcome, ended.signal), ("killed", Some(9)));
}

#[test]
fn an_idle_worker_stops_at_once() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").arg("--stop-grace").arg("10m").start();
    let id = sender.send(&sender.order("true"));
    assert_eq!(sender.end(&id).outcome, "succeeded");
    assert!(matches!(sender.reports(&id).last(), Some(News::Ended(_))));
    worker.stop();
}
