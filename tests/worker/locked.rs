//! Files that another process has locked: those in which workers and daemons remember what became of orders.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cronkeep::message::answer::Word;
use cronkeep::message::report::News;
use nix::sys::signal::Signal;
use rusqlite::Connection;

use crate::daemon::{WAIT, daemon, expect_history, run};
use crate::rabbit;
use crate::sent::{QUEUE, Sender};

/// Locks a database until it is dropped, as a program does that an operator has left open in the middle of a change.
fn lock(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[test]
fn a_worker_whose_memory_is_locked_goes_on_with_what_it_runs_and_starts_the_rest_later() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").arg("--prefetch").arg("3").start();
    let mut order = sender.order(WAIT);
    order.beat_ms = 200;
    let first = sender.send(&order);
    sender.expect_file("ran", "ran\n");
    let other = lock(&sender.path().join("state/worker.db"));
    let late = [1, 2].map(|_| sender.send(&sender.order("echo late >> {dir}/late")));
    sender.expect_unanswered(3);
    let beats =
        |reports: &[News]| reports.iter().filter(|news| matches!(news, News::Running)).count();
    let (before, locked) = (beats(&sender.reports(&first)), Instant::now());
    // Longer than SQLite waits.
    sender.expect(&first, |reports| {
        let is_long = locked.elapsed() > Duration::from_secs(3);
        (is_long && beats(reports) >= before + 3).then_some(())
    });
    assert_eq!(sender.read("late"), "");
    drop(other);
    for id in late {
        assert_eq!(sender.end(&id).outcome, "succeeded");
    }
    fs::write(sender.path().join("go"), "").unwrap();
    assert_eq!(sender.end(&first).outcome, "succeeded");
    worker.stop();
    assert_eq!((&*sender.read("late"), sender.vhost.depth(QUEUE)), ("late\nlate\n", 0));
}

#[test]
fn a_worker_that_stops_while_its_memory_is_locked_leaves_to_others_what_it_has_not_started() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let one = sender.worker("state").arg("--stop-grace").arg("10m").start();
    assert_eq!(sender.end(&sender.send(&sender.order("true"))).outcome, "succeeded");
    let other = lock(&sender.path().join("state/worker.db"));
    let id = sender.send(&sender.order("echo ran >> {dir}/ran"));
    sender.expect_unanswered(1);
    one.signal(Signal::SIGTERM);
    let (status, events) = one.wait();
    assert_eq!(status.code(), Some(0), "{events:#?}");
    sender.expect_depth(QUEUE, 1);
    assert!(sender.reports(&id).is_empty(), "{:?}", sender.reports(&id));
    drop(other);
    let two = sender.worker("state").patient().start();
    sender.answer(&id, Word::Start);
    assert_eq!(sender.end(&id).outcome, "succeeded");
    two.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn an_order_that_came_again_while_the_memory_was_locked_stays_with_the_broker() {
    let Some(rabbit) = rabbit::victim() else { return };
    let sender = Sender::new(&rabbit);
    let one = sender.worker("state").arg("--stop-grace").arg("10m").start();
    assert_eq!(sender.end(&sender.send(&sender.order("true"))).outcome, "succeeded");
    let other = lock(&sender.path().join("state/worker.db"));
    sender.send(&sender.order("echo ran >> {dir}/ran"));
    sender.expect_unanswered(1);
    rabbit.close_connections();
    sender.expect_readers(1);
    sender.expect_unanswered(1);
    one.signal(Signal::SIGTERM);
    let (status, events) = one.wait();
    assert_eq!(status.code(), Some(0), "{events:#?}");
    sender.expect_depth(QUEUE, 1);
    drop(other);
    assert_eq!(sender.read("ran"), "");
}

#[test]
fn runs_are_followed_to_their_ends_while_the_daemons_memory_is_locked() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("worker").start();
    let mut crond = daemon(&sender, "", "echo hello").start();
    assert_eq!(run(&crond).status.code(), Some(0));
    let other = lock(&crond.path("state").join("orders.db"));
    for _ in 0..3 {
        assert_eq!(run(&crond).status.code(), Some(0));
    }
    drop(other);
    assert_eq!(run(&crond).status.code(), Some(0));
    let runs = expect_history(&crond, &["succeeded"; 5]);
    assert!(runs.iter().all(|run| run["output_bytes"] == 5), "{runs:#?}");
    crond.expect_where("crontab.notice", |told| told.to_string().contains("not answered"));
    worker.stop();
    let events = crond.stop();
    let told = events.iter().filter(|event| event.to_string().contains("not answered"));
    assert_eq!(told.count(), 1, "it is told once: {events:#?}");
}
