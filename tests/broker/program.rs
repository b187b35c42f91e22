//! `cronkeep publish` without a daemon: straight to the broker.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use cronkeep::broker::{Delivery, Queue};
use cronkeep::message::Message;
use cronkeep::message::celery::task_id;
use tokio::task::spawn_blocking;

use crate::rabbit;
use crate::scene::{broker, message, sent};

/// What the program comes to with these words, and this on standard input, where no daemon listens.
fn publish(url: &str, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cronkeep"))
        .args(["publish", "--control", "/nonexistent/control.sock"])
        .args(words)
        .env_clear()
        .env("CRONKEEP_AMQP", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It need not read what it was not asked to read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The exit code, standard output, and standard error.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn nothing_said(code: i32) -> (Option<i32>, String, String) {
    (Some(code), String::new(), String::new())
}

#[test]
fn the_program_is_silent_once_the_broker_has_its_message() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let url = place.url();
    assert_eq!(told(&publish(&url, &["", "q", "{\"a\": 1}\n"], "")), nothing_said(0));
    assert_eq!(told(&publish(&url, &["", "q"], "line\n\n")), nothing_said(0));
    assert_eq!(
        told(&publish("amqp://127.0.0.1:1", &["--amqp", &url, "", "q", "-"], "")),
        nothing_said(0)
    );
    let words = ["--json", "--property", "expires=1h", "--property", "header.a=b", "", "q"];
    assert_eq!(told(&publish(&url, &words, "")), nothing_said(0));
    let taken = place.drain("q");
    let bodies: Vec<&[u8]> = taken.iter().map(|taken| &taken.body[..]).collect();
    assert_eq!(bodies[..3], [b"{\"a\": 1}\n", &b"line\n"[..], b""]);
    assert!(taken[0].properties.contains("<<\"application/json\">>,<<\"utf-8\">>"));
    assert!(taken[1].properties.contains("<<\"text/plain\">>,<<\"utf-8\">>"));
    let event = &taken[3].properties;
    for part in [
        "{<<\"a\">>,longstr,<<\"b\">>}",
        "{<<\"cloudEvents_specversion\">>,longstr,<<\"1.0\">>}",
        "<<\"io.cronkeep.job.fired.v1\">>",
        "<<\"cronkeep.fire\">>",
    ] {
        assert!(event.contains(part), "{part} is not in {event}");
    }
    // The broker gets what is left of the hour, in milliseconds.
    assert!(event.contains("<<\"3600000\">>") || event.contains("<<\"3599"), "{event}");
    assert!(taken.iter().all(|taken| taken.id.len() == 26), "an id of its own each");
}

#[test]
fn what_becomes_of_a_message_that_is_not_taken_is_said_in_words() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    let url = place.url();
    for (url, words, reason) in [
        (url.as_str(), ["", "nowhere", "x"], "returned: no queue takes it (312 NO_ROUTE)"),
        (&url, ["missing", "k", "x"], "there is no such exchange"),
        ("amqp://127.0.0.1:1", ["", "q", "x"], "the broker is away"),
    ] {
        let (code, out, err) = told(&publish(url, &words, ""));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.starts_with(&format!("cronkeep: error: {reason}")), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let secret = url.replace("amqp://", "amqp://nobody:secret@");
    let secret = secret.replace("secret@guest:guest@", "secret@");
    let (code, _, err) = told(&publish(&secret, &["", "q", "x"], ""));
    assert!(code == Some(1) && !err.contains("secret"), "{err}");
}

/// Answers one task at the queue `tasks` as a worker would, in these words.
async fn work(url: String, answers: Vec<&'static str>) -> Message {
    let broker = broker(&url);
    let mut tasks = broker.consume(Queue::Named { name: "tasks".to_owned(), prefetch: 1 });
    let task = tasks.next().await.expect("a task");
    task.receipt.ack().await.unwrap();
    let properties = &task.message.properties;
    let reply_to = properties.reply_to.clone().expect("a queue for the answer");
    for (number, text) in answers.into_iter().enumerate() {
        let mut answer = message(number, &reply_to);
        answer.properties.correlation_id.clone_from(&properties.correlation_id);
        answer.body =
            text.replace("ID", properties.correlation_id.as_deref().unwrap()).into_bytes();
        assert_eq!(sent(&broker, answer).await, Delivery::Confirmed);
    }
    task.message
}

#[tokio::test]
async fn the_result_of_a_task_is_printed_and_its_failure_is_one() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("tasks", "");
    let wait = async |answers: Vec<&'static str>| {
        let url = place.url();
        let program = spawn_blocking(move || {
            publish(&url, &["--celery", "app.add", "--wait", "", "tasks", "[1, 2]"], "")
        });
        let task = work(place.url(), answers).await;
        (told(&program.await.unwrap()), task)
    };
    let answers = vec![
        r#"{"status": "STARTED", "result": null, "task_id": "ID"}"#,
        r#"{"status": "SUCCESS", "result": {"sum": [3]}, "task_id": "ID"}"#,
    ];
    let (result, task) = wait(answers).await;
    assert_eq!(result, (Some(0), "{\"sum\":[3]}\n".to_owned(), String::new()));
    assert_eq!(task.properties.correlation_id, Some(task_id(&task.id)));
    assert!(task.body.starts_with(b"[[1, 2], {}, "));

    let answer = r#"{"status": "SUCCESS", "result": null, "task_id": "ID"}"#;
    assert_eq!(wait(vec![answer]).await.0, nothing_said(0));

    let answer = r#"{"status": "FAILURE", "result": {"exc_type": "ValueError", "exc_message": ["no"]},
        "traceback": "Traceback:\n  here\nValueError: no\n", "task_id": "ID"}"#;
    let (code, out, err) = wait(vec![answer]).await.0;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        err,
        "Traceback:\n  here\nValueError: no\ncronkeep: error: the task failed: ValueError: no\n"
    );
}

#[tokio::test]
async fn a_result_that_does_not_come_is_waited_for_until_the_message_has_expired() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("tasks", "");
    let url = place.url();
    let words = ["--celery", "t", "--wait", "--property", "expires=500ms", "", "tasks"];
    let output = spawn_blocking(move || publish(&url, &words, "")).await.unwrap();
    let (code, _, err) = told(&output);
    assert!(code == Some(1) && err.contains("no result came"), "{err}");
}

#[tokio::test]
async fn whoever_waits_is_told_that_the_broker_is_away() {
    let words = ["--celery", "t", "--wait", "", "tasks"];
    let away = spawn_blocking(move || publish("amqp://127.0.0.1:1", &words, "")).await.unwrap();
    let (code, _, err) = told(&away);
    assert!(code == Some(1) && err.contains("the broker is away"), "{err}");
}
