//! Messages that programs hand to the daemon: what they are told of them, and which ids these have.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{ask, client, told};
use crate::harness::{Crond, PATIENCE, Running};
use crate::publish::{PROGRAM, entry, last_run, run, until_depth, with_broker};
use crate::rabbit;

/// Waits until so many messages are in the outbox.
fn until_kept(crond: &Running, count: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status: Value = serde_json::from_str(&told(crond, &["status", "--json"])).unwrap();
        if status["outbox"]["count"] == count {
            return;
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn who_waits_while_the_daemon_is_stopped_is_told_that_the_message_is_kept() {
    let Some(rabbit) = rabbit::victim() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let crond = with_broker(&vhost.url(), &entry("job", "true"));
    told(&crond, &["publish", "", "q", "before"]);
    rabbit.pause();
    let mut command = client(&crond, &["publish", "", "q", "meanwhile"]);
    let waits = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_kept(&crond, 1);
    let crond = crond.again(Signal::SIGTERM);
    let output = waits.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the daemon was stopped"), "{text}");
    assert!(text.trim_end().ends_with("it is kept, and sent after the next start"), "{text}");
    rabbit.resume();
    let crond = crond.env("CRONKEEP_AMQP", vhost.url()).start();
    until_kept(&crond, 0);
    let mut bodies: Vec<_> = vhost.drain("q").into_iter().map(|message| message.body).collect();
    // It may have been on its way to the broker.
    bodies.dedup();
    assert_eq!(bodies, [&b"before"[..], b"meanwhile"]);
}

#[test]
fn a_message_that_expires_while_it_is_waited_for_is_said_to_be_dropped() {
    let text = entry("job", "cronkeep publish '' q x").replace("name=job", "name=job expires=1s");
    // Nobody listens there.
    let mut crond = with_broker("amqp://127.0.0.1:1", &text);
    assert_eq!(run(&crond, "job"), 1);
    let run = last_run(&crond, "job");
    assert_eq!(
        run["reason"], "failed with exit code 1, the message expired, and was dropped",
        "{run}"
    );
    let logs = told(&crond, &["logs", run["run"].as_str().unwrap()]);
    assert!(logs.contains("the message expired, and was dropped: "), "{logs}");
    assert!(!logs.contains("sent again"), "{logs}");
    let dropped = crond.expect("message.dropped");
    assert!(dropped["reason"].as_str().unwrap().starts_with("expired"), "{dropped}");
}

#[test]
fn a_message_for_which_the_outbox_has_no_room_is_said_not_to_be_kept() {
    let text = entry("one", "cronkeep publish '' q x") + &entry("two", "cronkeep publish '' q y");
    let crond = Crond::new().env("CRONKEEP_AMQP", "amqp://127.0.0.1:1").crontab(&text);
    let mut crond = crond.env("CRONKEEP_TEST_FAULT", "outbox-room-1").start();
    crond.wait_for_socket();
    for (name, reason, line) in [
        ("one", "the broker is away", "it is kept, and sent again"),
        ("two", "the outbox did not take the message", "the outbox is full: 1 messages"),
    ] {
        assert_eq!(run(&crond, name), 1);
        let run = last_run(&crond, name);
        assert_eq!(run["reason"], format!("failed with exit code 1, {reason}"), "{run}");
        let logs = told(&crond, &["logs", run["run"].as_str().unwrap()]);
        assert!(logs.contains(line), "{logs}");
        assert_eq!(logs.contains("it is kept"), name == "one", "{logs}");
        let ended = crond.expect_where("run.ended", |event| event["job"] == name);
        assert_eq!(ended["reason"], reason, "{ended}");
    }
}

#[test]
fn a_message_that_is_too_large_is_told_how_large_one_may_be() {
    let crond = with_broker("amqp://127.0.0.1:1", &entry("job", "true"));
    // The first is more than the daemon reads, the second more than the outbox takes.
    for size in [20 << 20, 16 << 20] {
        let file = crond.path("large");
        std::fs::File::create(&file).unwrap().set_len(size).unwrap();
        let mut command = client(&crond, &["publish", "", "q", "-"]);
        let output = command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("at most 16 MiB") || text.contains("at most 16777216"), "{text}");
    }
}

#[test]
fn messages_of_one_command_have_ids_of_their_own_and_the_same_at_each_try() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    // No word of the socket: the daemon tells its jobs.
    let one = |body: &str| format!("{PROGRAM} publish '' q {body}");
    let command =
        format!("{}; {}; {}; exit $((2 - CRONKEEP_ATTEMPT))", one("a"), one("b"), one("a"));
    let text = entry("job", &command).replace("name=job", "name=job retries=1 retry-delay=0s");
    let crond = with_broker(&vhost.url(), &text);
    assert_eq!(run(&crond, "job"), 0);
    until_depth(&vhost, "q", 3);
    let messages = vhost.drain("q");
    let ids: BTreeSet<_> = messages.iter().map(|message| message.id.clone()).collect();
    assert_eq!(ids.len(), 3, "the second try sends none of them again: {messages:?}");
    let bodies: Vec<_> = messages.into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [b"a", b"b", b"a"]);
    // Another run has others.
    assert_eq!(run(&crond, "job"), 0);
    until_depth(&vhost, "q", 3);
    assert!(vhost.drain("q").iter().all(|message| !ids.contains(&message.id)));
}

#[test]
fn a_script_that_outlives_its_daemon_loses_none_of_the_messages_that_are_alike() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let tick = format!("{PROGRAM} publish '' q tick");
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    let text = entry("job", &format!("{tick}; {tick}; {wait}; {tick}; {tick}; {tick}"));
    let crond = with_broker(&vhost.url(), &text);
    told(&crond, &["run", "job"]);
    until_depth(&vhost, "q", 2);
    // Both are confirmed there.
    until_kept(&crond, 0);
    let crond = crond.again(Signal::SIGKILL).env("CRONKEEP_AMQP", vhost.url()).start();
    crond.wait_for_socket();
    std::fs::write(&go, "").unwrap();
    until_depth(&vhost, "q", 5);
    let messages = vhost.drain("q");
    let ids: BTreeSet<_> = messages.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), 5, "{messages:?}");
}

#[test]
fn a_daemon_without_a_broker_says_that_messages_wait() {
    // Nobody listens there.
    let crond = with_broker("amqp://127.0.0.1:1", &entry("job", "true"));
    assert_eq!(ask(&crond, &["publish", "", "q", "x"]).status.code(), Some(1));
    until_kept(&crond, 1);
    let mut crond = crond.again(Signal::SIGTERM).spawn();
    crond.expect_where("crontab.notice", |told| told.to_string().contains("nobody sends them"));
    crond.wait_for_socket();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = ask(&crond, &["health"]);
        let health = String::from_utf8(output.stdout).unwrap();
        if health.starts_with("degraded") && health.contains("nobody sends them") {
            return;
        }
        assert!(Instant::now() < deadline, "{health}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
