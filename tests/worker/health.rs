//! A worker that is asked whether it is well, as a container's engine asks.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, Running};
use crate::rabbit;
use crate::sent::{BACK, QUEUE, Sender};

fn ask(worker: &Running, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
    let Output { status, stdout, stderr } =
        command.args(words).arg("--control").arg(worker.socket()).output().unwrap();
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&text).trim().to_owned())
}

fn expect_health(worker: &Running, fits: impl Fn(&str) -> bool) {
    worker.wait_for_socket();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (code, text) = ask(worker, &["health"]);
        assert_eq!(code, Some(0), "{text}");
        if fits(&text) {
            return;
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_worker_that_reads_its_queue_is_healthy_and_says_that_it_keeps_no_schedule() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let socket = sender.path().join("run/control.sock");
    let worker = sender.worker("state").arg("--control").arg(socket.to_str().unwrap()).start();
    expect_health(&worker, |text| text == "healthy");
    let (code, text) = ask(&worker, &["list"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("a worker listens here, which keeps no schedule"), "{text}");
    let mut publish = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
    let publish = publish.args(["publish", "", BACK, "past the worker"]);
    let publish = publish.env("CRONKEEP_CONTROL", &socket).env("CRONKEEP_AMQP", sender.vhost.url());
    assert!(publish.status().unwrap().success());
    sender.expect_depth(BACK, 1);
    worker.stop();
    assert!(!socket.exists());
}

#[test]
fn a_worker_to_which_nothing_comes_is_degraded_and_says_why() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let control = sender.path().join("run/control.sock").display().to_string();
    let away = sender.worker("away").arg("--control").arg(&control);
    let away = away.env("CRONKEEP_AMQP", "amqp://127.0.0.1:1").start();
    expect_health(&away, |text| {
        text.starts_with("degraded: the broker amqp://127.0.0.1:1 is away: ")
    });
    away.stop();
    let without = sender.worker("without").arg("--control").arg(&control);
    let without = without.start();
    sender.vhost.delete_queue(QUEUE);
    let wanted = format!("degraded: nothing is read from the queue {QUEUE}: ");
    expect_health(&without, |text| text.starts_with(&wanted));
}
