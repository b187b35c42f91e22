//! What a worker does not carry out.

use std::process::Command;

use cronkeep::message::signature::Key;
use cronkeep::message::{Message, Order};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;

use crate::rabbit;
use crate::sent::{DEAD, QUEUE, Sender};

#[test]
fn a_message_that_is_no_order_of_ours_is_rejected_and_the_next_one_is_carried_out() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("state").arg("--prefetch").arg("1").start();
    let command = "echo ran >> {dir}/ran";
    let named = |name: &str, message: Message| Message { id: name.to_owned(), ..message };
    let key = Key::new(b"another key of the right size").unwrap();
    let unsigned = sender.order(command).message(None).unwrap();
    let elsewhere = Order { queue: "other".to_owned(), ..sender.order(command) };
    let body = |bytes: &[u8]| Message { body: bytes.to_vec(), ..unsigned.clone() };
    for message in [
        named("unsigned", unsigned.clone()),
        named("other key", sender.order(command).message(Some(&key)).unwrap()),
        named("pickle", body(b"\x80\x04\x95\xff\x00")),
        named("empty", body(b"")),
        named("huge", body(&vec![b'{'; 100_000])),
    ] {
        sender.put(&message);
        let refused = worker.expect("order.refused");
        assert_eq!(refused["order"], *message.id);
    }
    sender.send(&elsewhere);
    let refused = worker.expect("order.refused");
    assert!(refused["reason"].as_str().unwrap().contains("the queue other"), "{refused}");
    let id = sender.send(&sender.order("echo last >> {dir}/ran"));
    assert_eq!(sender.end(&id).outcome, "succeeded");
    assert_eq!(sender.read("ran"), "last\n");
    sender.expect_depth(DEAD, 6);
    let events = worker.stop();
    assert!(events.iter().any(|event| event["event"] == "worker.stopped" && event["refused"] == 6));
    assert_eq!(sender.vhost.depth(QUEUE), 0);
}

#[test]
fn an_order_that_is_sent_again_is_carried_out_once_even_after_a_restart() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("state").start();
    let order = sender.order("echo ran >> {dir}/ran");
    let id = sender.send(&order);
    assert_eq!(sender.end(&id).outcome, "succeeded");
    sender.send(&order);
    let refused = worker.expect("order.refused");
    assert!(refused["reason"].as_str().unwrap().contains("taken before"), "{refused}");
    // What was told is on its way only.
    sender.expect_depth(DEAD, 1);
    worker.signal(Signal::SIGKILL);
    drop(worker.wait());
    let mut worker = sender.worker("state").start();
    sender.send(&order);
    worker.expect("order.refused");
    sender.expect_depth(DEAD, 2);
    assert_eq!(sender.read("ran"), "ran\n");
    worker.stop();
}

#[test]
fn an_order_that_has_expired_could_not_start() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let order = sender.order("echo ran >> {dir}/ran");
    let ago = |span| Timestamp::now() - SignedDuration::from_secs(span);
    let old = Order { expires: ago(4000), ..sender.order("echo ran >> {dir}/ran") };
    let old = sender.send(&old);
    let id = sender.send(&Order { expires: ago(1), ..order });
    let worker = sender.worker("state").arg("--prefetch").arg("1").start();
    let ended = sender.end(&id);
    assert_eq!(ended.outcome, "could not start");
    assert!(ended.reason.unwrap().contains("expired"));
    // Whether that was carried out is forgotten: nothing is said of it that might be wrong.
    assert!(sender.reports(&old).is_empty());
    sender.expect_depth(DEAD, 1);
    assert_eq!(sender.vhost.drain(DEAD)[0].id, old);
    worker.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("", 0));
}

#[test]
fn a_user_that_the_worker_does_not_run_for_could_not_start() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").arg("--users").arg("nobody-here,games").start();
    let told = |user: &str| {
        let order = Order { user: user.into(), ..sender.order("echo ran >> {dir}/ran") };
        let ended = sender.end(&sender.send(&order));
        assert_eq!(ended.outcome, "could not start");
        ended.reason.unwrap()
    };
    assert!(told("daemon").contains("--users"));
    let unknown = told("nobody-here");
    let expected = if nix::unistd::geteuid().is_root() { "unknown user" } else { "and we are" };
    assert!(unknown.contains(expected), "{unknown}");
    worker.stop();
    assert_eq!(sender.read("ran"), "");
}

#[test]
fn an_insecure_worker_says_so_and_takes_what_is_not_signed() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("state").arg("--insecure").start_bare();
    worker.expect_where("crontab.notice", |event| {
        event["message"].as_str().unwrap().contains("can run commands here")
    });
    sender.put(&sender.order("echo ran >> {dir}/ran").message(None).unwrap());
    sender.expect_file("ran", "ran\n");
    worker.stop();
}

#[test]
fn a_worker_does_not_start_without_a_key_that_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
    let start = |options: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_cronkeep"))
            .args(["worker", "--queue", "q", "--amqp", "amqp://127.0.0.1:1"])
            .args(options)
            .env_remove("CRONKEEP_WORKER_KEY")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = start(&[]);
    assert!(code == Some(2) && said.contains("--insecure"), "{code:?} {said}");
    // Everybody may read it.
    let (code, said) = start(&["--key", key.to_str().unwrap()]);
    assert!(code == Some(1) && said.contains("chmod 600"), "{code:?} {said}");
    let (code, said) = start(&["--key", "k", "--insecure"]);
    assert!(code == Some(2) && said.contains("cannot be used with"), "{code:?} {said}");
}
