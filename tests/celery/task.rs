//! Tasks with any arguments leave the worker alive, and arrive unchanged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cronkeep::broker::{Address, Broker, Delivery, Options, Publish as _};
use cronkeep::message::{Arguments, Message, Occasion, celery, compose};
use jiff::Timestamp;

use crate::odd::Odd;
use crate::worker::{Stage, canonical, python, stage};

/// The message that starts a task, as the words of a command ask for it.
fn message(id: &str, words: &[&str]) -> Message {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let arguments = Arguments::of_words(&words).unwrap();
    let occasion = Occasion::new(id, "here", now());
    let body = arguments.body(b"");
    compose(&arguments, &occasion, body).unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

/// Publishes all of them over one connection, and waits until each is confirmed.
fn publish(stage: &Stage, messages: Vec<Message>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = Address::parse(&stage.rabbit.url()).unwrap();
        let broker = Broker::start(vec![address], Options::of_host("here"));
        let answers: Vec<_> =
            messages.into_iter().map(|message| broker.publish(Arc::new(message))).collect();
        for answer in answers {
            assert_eq!(answer.await, Delivery::Confirmed);
        }
        broker.close(Duration::from_secs(5)).await;
    });
}

#[test]
fn odd_arguments_leave_the_worker_alive_and_arrive_unchanged() {
    let Some(stage) = stage() else { return };
    let count = std::env::var("CRONKEEP_TEST_TASKS").map_or(1_000, |count| count.parse().unwrap());
    let mut odd = Odd::new(5);
    let texts: Vec<String> = (0..count).map(|_| odd.arguments()).collect();
    let messages = texts.iter().enumerate().map(|(nth, text)| {
        message(&format!("odd:{nth}"), &["--celery", "tasks.note", "", "celery", text])
    });
    publish(stage, messages.collect());
    stage.worker.until("end of all tasks", || stage.worker.notes().len() >= texts.len());

    let noted = stage.worker.notes();
    let noted: BTreeMap<String, &str> = noted
        .iter()
        .map(|line| {
            // `["ID", REST]`
            let (id, rest) = line[2..].split_once('"').unwrap();
            (id.to_owned(), rest.strip_prefix(", ").unwrap().strip_suffix(']').unwrap())
        })
        .collect();
    assert_eq!(noted.len(), texts.len(), "each once");
    for (nth, expected) in canonical(&python().unwrap(), &texts).iter().enumerate() {
        let expected = if expected.starts_with('[') {
            format!("{expected}, {{}}")
        } else {
            format!("[], {expected}")
        };
        let got = noted[&celery::task_id(&format!("odd:{nth}"))];
        assert_eq!(got, expected, "{}", texts[nth]);
    }
    let log = stage.worker.log();
    assert!(!log.contains("Unrecoverable error"), "{log}");
    let raised = log.lines().find(|line| line.contains("tasks.note[") && line.contains(" raised "));
    assert_eq!(raised, None);
}
