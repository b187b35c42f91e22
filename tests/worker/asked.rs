//! Orders that come again, or are sent again: the sender knows whether they were started.

use std::fs;

use cronkeep::event::RunId;
use cronkeep::message::answer::Word;
use cronkeep::message::report::{Ended, News};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;

use crate::daemon::{WAIT, begin, daemon, expect_history, started, stop};
use crate::rabbit;
use crate::redis::Redis;
use crate::sent::{QUEUE, Sender};

#[test]
fn an_order_whose_worker_died_before_it_started_it_is_started_by_another() {
    let Some(rabbit) = rabbit::shared() else { return };
    for options in ["", "result=none"] {
        let sender = Sender::new(rabbit);
        let one = sender.worker("one").patient().start();
        let crond = daemon(&sender, options, "echo ran >> {dir}/ran").start();
        crond.wait_for_socket();
        sender.expect_readers(1);
        // It gets the order, and does nothing with it.
        one.signal(Signal::SIGSTOP);
        let waiting = begin(&crond);
        sender.expect_unanswered(1);
        let two = sender.worker("two").patient().start();
        one.signal(Signal::SIGKILL);
        drop(one.wait());
        sender.expect_file("ran", "ran\n");
        assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
        expect_history(&crond, &["succeeded"]);
        two.stop();
        crond.stop();
        assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
    }
}

#[test]
fn a_run_that_nobody_waits_for_is_lost_with_its_worker_where_the_entry_does_not_allow_more() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let one = sender.worker("one").patient().start();
    let crond = daemon(&sender, "result=none", WAIT).start();
    drop(begin(&crond).wait_with_output());
    sender.expect_file("ran", "ran\n");
    let mut two = sender.worker("two").patient().start();
    one.signal(Signal::SIGKILL);
    drop(one.wait());
    two.expect("order.returned");
    expect_history(&crond, &["lost"]);
    fs::write(sender.path().join("go"), "").unwrap();
    two.stop();
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn a_run_that_nobody_waits_for_is_started_again_as_often_as_its_entry_allows() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let one = sender.worker("one").patient().start();
    let crond = daemon(&sender, "result=none retries=1", WAIT).start();
    drop(begin(&crond).wait_with_output());
    sender.expect_file("ran", "ran\n");
    let two = sender.worker("two").patient().start();
    one.signal(Signal::SIGKILL);
    drop(one.wait());
    sender.expect_file("ran", "ran\nran\n");
    let mut three = sender.worker("three").patient().start();
    two.signal(Signal::SIGKILL);
    drop(two.wait());
    three.expect("order.returned");
    expect_history(&crond, &["lost"]);
    fs::write(sender.path().join("go"), "").unwrap();
    three.stop();
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\nran\n", 0));
}

/// As it may where the first one has lost its connection for a while.
#[test]
fn a_worker_whose_run_another_one_has_started_again_ends_it_and_its_end_is_not_the_runs() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let crond = daemon(&sender, "result=none retries=1", WAIT).start();
    drop(begin(&crond).wait_with_output());
    sender.expect_depth(QUEUE, 1);
    let order = sender.take().remove(0);
    sender.put(&order);
    let mut worker = sender.worker("worker").patient().start();
    sender.expect_file("ran", "ran\n");
    let expires = Timestamp::now() + SignedDuration::from_hours(1);
    sender.report(&order, "other", 0, News::Asked { expires, restarts: 1 });
    // Until it has started it nobody else is told to end it.
    sender.report(&order, "other", 1, News::Started { at: Timestamp::now(), expires });
    worker.expect_where("order.refused", |event| event.to_string().contains("another worker"));
    let ended = worker.expect("run.ended");
    assert!(ended["outcome"].as_str().unwrap().starts_with("killed"), "{ended}");
    worker.stop();
    let (outcome, exit) = ("failed".to_owned(), Some(3));
    sender.report(&order, "other", 2, News::Ended(Ended { outcome, exit, ..Ended::default() }));
    let runs = expect_history(&crond, &["failed"]);
    assert_eq!(runs[0]["worker"], "other", "{runs:#?}");
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn an_order_that_somebody_sends_again_to_another_worker_is_refused() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    let waiting = begin(&crond);
    sender.expect_depth(QUEUE, 1);
    let order = sender.take().remove(0);
    sender.put(&order);
    let one = sender.worker("one").patient().start();
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    one.stop();
    let mut two = sender.worker("two").patient().start();
    sender.put(&order);
    let refused = two.expect("order.refused");
    assert!(refused["reason"].as_str().unwrap().contains("another worker"), "{refused}");
    two.stop();
    // And after a restart of the daemon.
    drop(crond.again(Signal::SIGKILL));
    let crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    crond.wait_for_socket();
    let mut three = sender.worker("three").patient().start();
    sender.put(&order);
    three.expect("order.refused");
    expect_history(&crond, &["succeeded"]);
    three.stop();
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn an_order_that_came_back_is_started_by_nobody_beside_the_next_one() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    let waiting = begin(&crond);
    sender.expect_depth(QUEUE, 1);
    let order = sender.take().remove(0);
    // Its worker dies before the broker hears that it needs the order no more.
    sender.report(&order, "dead", 0, News::Returned);
    sender.expect_depth(QUEUE, 1);
    sender.put(&order);
    sender.report(&order, "dead", 1, News::Returned);
    let mut worker = sender.worker("worker").patient().arg("--prefetch").arg("1").start();
    let refused = worker.expect("order.refused");
    assert!(refused["reason"].as_str().unwrap().contains("withdrawn"), "{refused}");
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    expect_history(&crond, &["succeeded"]);
    worker.stop();
    crond.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn the_next_order_of_a_run_waits_until_it_is_known_what_becomes_of_the_one_before() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("worker").patient().arg("--prefetch").arg("2").start();
    // It is older than the worker, so that its sender is asked.
    let mut order = sender.order("echo ran >> {dir}/ran");
    order.subject.run = RunId::new(Timestamp::UNIX_EPOCH, 7).to_string();
    let first = sender.send(&order);
    sender.expect(&first, |reports| (!reports.is_empty()).then_some(()));
    order.id = format!("{first}-2");
    let second = sender.send(&order);
    sender.expect_unanswered(2);
    sender.answer(&first, Word::Withdrawn);
    sender.answer(&second, Word::Start);
    assert_eq!(sender.end(&second).outcome, "succeeded");
    worker.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn an_order_of_a_run_that_is_alive_could_not_start() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("worker").arg("--prefetch").arg("2").start();
    let mut order = sender.order(WAIT);
    let first = sender.send(&order);
    sender.expect_file("ran", "ran\n");
    order.id = format!("{first}-2");
    let ended = sender.end(&sender.send(&order));
    assert_eq!(ended.outcome, "could not start");
    assert!(ended.reason.unwrap().contains("still alive"));
    fs::write(sender.path().join("go"), "").unwrap();
    assert_eq!(sender.end(&first).outcome, "succeeded");
    worker.stop();
}

#[test]
fn the_end_that_a_worker_reports_of_what_another_has_started_is_not_the_runs() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let command = format!("{WAIT}; exit 3");
    let crond = daemon(&sender, "result=none", &command).start();
    let waiting = begin(&crond);
    sender.expect_depth(QUEUE, 1);
    let order = sender.take().remove(0);
    sender.put(&order);
    let worker = sender.worker("worker").patient().start();
    drop(waiting.wait_with_output());
    sender.expect_file("ran", "ran\n");
    let outcome = "could not start".to_owned();
    sender.report(&order, "other", 0, News::Ended(Ended { outcome, ..Ended::default() }));
    fs::write(sender.path().join("go"), "").unwrap();
    let runs = expect_history(&crond, &["failed"]);
    assert_eq!(runs[0]["exit"], 3, "{runs:#?}");
    worker.stop();
    crond.stop();
}

/// Without a sender who could be asked.
#[test]
fn an_order_that_is_sent_again_is_refused_by_every_worker_that_shares_a_redis() {
    let Some(rabbit) = rabbit::shared() else { return };
    let Some(redis) = Redis::start() else { return };
    let sender = Sender::new(rabbit);
    let url = redis.url();
    let worker = |state: &'static str| {
        sender.worker(state).arg("--store").arg(&url).arg("--namespace").arg("shop").start()
    };
    let one = worker("one");
    let order = sender.order("echo ran >> {dir}/ran");
    let id = sender.send(&order);
    assert_eq!(sender.end(&id).outcome, "succeeded");
    one.stop();
    let mut two = worker("two");
    sender.send(&order);
    let refused = two.expect("order.refused");
    assert!(refused["reason"].as_str().unwrap().contains("taken before"), "{refused}");
    two.stop();
    assert_eq!(sender.read("ran"), "ran\n");
}

#[test]
fn nothing_is_started_while_the_redis_is_away_that_knows_what_was_taken() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender
        .worker("one")
        .env("CRONKEEP_STORE", "redis://127.0.0.1:1")
        .env("CRONKEEP_NAMESPACE", "shop")
        .start();
    let ended = sender.end(&sender.send(&sender.order("echo ran >> {dir}/ran")));
    assert_eq!(ended.outcome, "could not start");
    assert!(ended.reason.unwrap().contains("cannot remember it"));
    worker.stop();
    assert_eq!(sender.read("ran"), "");
}

#[test]
fn a_run_says_soon_that_a_worker_has_another_key() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let key = sender.path().join("other-key");
    fs::write(&key, "another key, of thirty-two bytes").unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut worker = sender.worker("worker").arg("--key").arg(key.to_str().unwrap()).start_bare();
    let mut crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    let mut waiting = begin(&crond);
    let run = started(&mut crond);
    worker.expect("order.refused");
    crond.expect_where("run.output", |event| {
        event["line"].as_str().unwrap().contains("the worker's key")
    });
    assert!(waiting.try_wait().unwrap().is_none(), "nothing was proved");
    stop(&crond, &run);
    drop(waiting.wait());
    worker.stop();
    crond.stop();
}

#[test]
fn a_run_says_soon_that_a_worker_has_no_key() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("worker").arg("--insecure").start_bare();
    let mut crond = daemon(&sender, "", "echo ran >> {dir}/ran").start();
    let waiting = begin(&crond);
    let run = started(&mut crond);
    let refused = worker.expect("order.refused");
    assert!(refused["reason"].as_str().unwrap().contains("it is signed"), "{refused}");
    crond.expect_where("run.output", |event| {
        event["line"].as_str().unwrap().contains("the worker's key")
    });
    stop(&crond, &run);
    drop(waiting.wait_with_output());
    worker.stop();
    crond.stop();
    assert_eq!(sender.read("ran"), "");
}
