//! `cronkeep publish` as people call it, where no broker is needed to tell.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use cronkeep::control::Publication;
use cronkeep::message::{Arguments, Message};
use tempfile::TempDir;

use crate::{cronkeep, stderr, stdout};

/// What answers at the control socket in a daemon's stead: to one request, with this.
struct Daemon {
    folder: TempDir,
    asked: JoinHandle<Message>,
}

impl Daemon {
    fn new(status: &'static str, answer: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("control.sock")).expect("a socket");
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = Vec::new();
            let body = loop {
                let mut part = [0; 4096];
                let count = stream.read(&mut part).expect("a request");
                assert!(count > 0, "the request breaks off");
                request.extend_from_slice(&part[..count]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                assert!(head.starts_with("post /api/v1/publish http/1.1"), "{head}");
                let length = head.split_once("content-length: ").expect("a length").1;
                let length: usize =
                    length.lines().next().expect("a line").parse().expect("a number");
                if body.len() >= length {
                    break request.split_off(request.len() - length);
                }
            };
            let length = answer.len();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{answer}")
                .expect("a client");
            let publication: Publication = serde_json::from_slice(&body).expect("a publication");
            publication.into_message()
        });
        Daemon { folder, asked }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    fn asked(self) -> Message {
        self.asked.join().expect("it was asked")
    }
}

const CONFIRMED: &str = r#"{"result": "confirmed", "words": "confirmed", "message_id": "x"}"#;

/// A socket that nobody listens at.
const NOWHERE: [&str; 2] = ["--control", "/nonexistent/control.sock"];

fn publish(words: &[&str]) -> snapbox::cmd::Command {
    cronkeep(&[&["publish"][..], words].concat())
}

#[test]
fn what_the_program_says_of_its_arguments_is_what_an_entry_is_told() {
    let long = "x".repeat(256);
    for words in [
        &["e"][..],
        &[],
        &["e", "k", "b", "c"],
        &["e", "k", "--jsno"],
        &["e", "k", "--json", "--celery", "t"],
        &["e", "k", "--wait"],
        &["e", "k", "--property", "prio=1"],
        &["e", "k", "--property", "priority"],
        &["e", "k", "--property", "header.a=1", "--property", "header.a=2"],
        &["e", "k", "--celery", "t", "--property", "content-type=x"],
        &["e", "k", "--celery", "t", "{"],
        &["e", &long],
    ] {
        let outcome = publish(words).assert().code(2);
        assert_eq!(stdout(&outcome), "");
        let given: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let told = Arguments::of_words(&given).expect_err("bad arguments");
        assert_eq!(stderr(&outcome), told.to_string(), "{words:?}");
    }
}

#[test]
fn without_a_daemon_and_without_a_broker_nobody_sends_it() {
    let outcome = publish(&NOWHERE).args(["e", "k", "x"]).assert().code(1);
    let text = stderr(&outcome);
    assert!(text.starts_with("cronkeep: error: no broker is named"), "{text}");
    assert!(text.contains("/nonexistent/control.sock") && text.lines().count() == 1, "{text}");
}

#[test]
fn no_body_is_an_error_and_an_empty_one_is_a_body() {
    let outcome = publish(&NOWHERE).args(["e", "k"]).stdin("").assert().code(1);
    assert!(stderr(&outcome).contains("there is no body"), "{}", stderr(&outcome));
    for words in
        [&["e", "k", ""][..], &["e", "k", "-"], &["e", "k", "--json"], &["--celery", "t", "", "q"]]
    {
        let outcome = publish(&NOWHERE).args(words).stdin("").assert().code(1);
        assert!(stderr(&outcome).contains("no broker is named"), "{words:?}: {}", stderr(&outcome));
    }
    let outcome = publish(&NOWHERE).args(["--celery", "t", "", "q"]).stdin("5\n").assert().code(1);
    assert!(stderr(&outcome).contains("write it as [5]"), "{}", stderr(&outcome));
}

#[test]
fn a_url_that_is_none_is_a_usage_error() {
    let outcome = publish(&["--amqp", "http://x", "e", "k", "x"]).assert().code(2);
    assert!(stderr(&outcome).contains("amqp://"), "{}", stderr(&outcome));
}

#[test]
fn check_warns_of_an_entry_whose_arguments_are_bad() {
    let text = "0 0 * * * cronkeep publish e k --jsno\n";
    let outcome = cronkeep(&["check", "-"]).stdin(text).assert().success();
    let told = stdout(&outcome);
    assert!(told.contains("warning[W021]") && told.contains("'--jsno'"), "{told}");
    assert!(told.contains("-:1:32") && told.contains("'--json'"), "{told}");
    cronkeep(&["check", "--strict", "-"]).stdin(text).assert().code(1);
}

#[test]
fn a_daemon_is_handed_the_message_and_its_word_is_taken() {
    let daemon = Daemon::new("200 OK", CONFIRMED);
    let outcome = publish(&["orders", "k", "--property", "priority=3"])
        .arg("--control")
        .arg(daemon.socket())
        .env("CRONKEEP_AMQP", "amqp://127.0.0.1:1")
        .stdin("\u{fc}ber\n\n")
        .assert()
        .success();
    assert_eq!((stdout(&outcome), stderr(&outcome)), (String::new(), String::new()));
    let message = daemon.asked();
    assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("orders", "k"));
    assert_eq!(message.body, "\u{fc}ber\n".as_bytes());
    assert_eq!(message.properties.priority, Some(3));
    assert_eq!(message.properties.content_type.as_deref(), Some("text/plain"));
    assert_eq!(message.properties.correlation_id, Some(message.id));
}

#[test]
fn what_is_not_confirmed_is_an_error_in_the_daemons_words() {
    let answer = r#"{"result": "returned", "words": "returned: no queue takes it (312 NO_ROUTE)", "message_id": "x"}"#;
    let daemon = Daemon::new("200 OK", answer);
    let outcome = publish(&["e", "k", "x"]).arg("--control").arg(daemon.socket()).assert().code(1);
    assert_eq!(stderr(&outcome), "cronkeep: error: returned: no queue takes it (312 NO_ROUTE)\n");
    daemon.asked();
    let answer = r#"{"error": "full", "message": "the outbox is full: 1 messages, 2 bytes wait for the broker"}"#;
    let daemon = Daemon::new("503 Service Unavailable", answer);
    let outcome = publish(&["e", "k", "x"]).arg("--control").arg(daemon.socket()).assert().code(1);
    assert!(stderr(&outcome).contains("the outbox is full"), "{}", stderr(&outcome));
    daemon.asked();
}

#[test]
fn a_program_that_a_daemon_started_sends_what_the_daemon_itself_would() {
    let daemon = Daemon::new("200 OK", CONFIRMED);
    let id = "crondServiceTask-00112233445566ff#2:1795162680";
    publish(&["--json", "e", "k"])
        .arg("--control")
        .arg(daemon.socket())
        .env("CRONKEEP_JOB_ID", "crondServiceTask-00112233445566ff")
        .env("CRONKEEP_JOB_NAME", "00112233445566ff#2")
        .env("CRONKEEP_RUN_ID", "01K9ZD3F6YQ6B2N9R5T8W1X4VA")
        .env("CRONKEEP_SCHEDULED_AT", "2026-11-20T11:38:00+02:00")
        .env("CRONKEEP_ATTEMPT", "2")
        .env("CRONKEEP_MESSAGE_ID", id)
        .stdin("")
        .assert()
        .success();
    let message = daemon.asked();
    assert_eq!(message.id, id);
    assert_eq!(message.properties.correlation_id.as_deref(), Some("01K9ZD3F6YQ6B2N9R5T8W1X4VA"));
    let data: serde_json::Value = serde_json::from_slice(&message.body).expect("JSON");
    assert_eq!(data["job_id"], "crondServiceTask-00112233445566ff");
    assert_eq!((&data["attempt"], &data["name"]), (&2.into(), &serde_json::Value::Null));
}

#[test]
fn where_a_daemon_has_no_broker_the_program_looks_for_one_itself() {
    let answer = r#"{"error": "no broker", "message": "the daemon has no broker"}"#;
    let daemon = Daemon::new("409 Conflict", answer);
    let outcome = publish(&["e", "k", "x"]).arg("--control").arg(daemon.socket()).assert().code(1);
    assert!(stderr(&outcome).contains("no broker is named"), "{}", stderr(&outcome));
    daemon.asked();
}
