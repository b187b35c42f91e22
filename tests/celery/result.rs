//! What a task comes to is what its run comes to.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::told;
use crate::harness::{Crond, PATIENCE, Running};
use crate::worker::{Stage, python, root, stage};

/// Jobs that come when they are asked to.
const CRONTAB: &str = r#"
# cronkeep: name=add
0 0 1 1 *  cronkeep publish --celery tasks.add --wait '' celery '[40, 2]'
# cronkeep: name=echo result=wait
0 0 1 1 *  cronkeep publish --celery tasks.echo '' celery%["two\nlines", "caf\u00e9"]
# cronkeep: name=text result=wait
0 0 1 1 *  cronkeep publish --celery tasks.echo '' celery '["two\nlines, café"]'
# cronkeep: name=fail
0 0 1 1 *  cronkeep publish --celery tasks.fail --wait '' celery '["no such \"report\""]'
# cronkeep: name=again
0 0 1 1 *  cronkeep publish --celery tasks.again --wait '' celery
# cronkeep: name=unknown
0 0 1 1 *  cronkeep publish --celery tasks.nobody --wait '' celery
# cronkeep: name=cut
0 0 1 1 *  cronkeep publish --celery tasks.add --wait '' cut
# cronkeep: name=patient timeout=1s
0 0 1 1 *  cronkeep publish --celery tasks.add --wait '' silent
# cronkeep: name=unheard
0 0 1 1 *  cronkeep publish --celery tasks.add --wait --property expires=1s '' silent
# cronkeep: name=nowhere
0 0 1 1 *  cronkeep publish --celery tasks.add --wait '' no-such-queue
# cronkeep: name=late expires=1s
0 0 1 1 *  cronkeep publish --celery tasks.add --wait '' celery '[1, 1]'
# cronkeep: name=forgotten
0 0 1 1 *  cronkeep publish --celery tasks.add '' celery '[1, 1]'
"#;

fn daemon(stage: &Stage) -> Running {
    let running = Crond::new().env("CRONKEEP_AMQP", stage.rabbit.url()).crontab(CRONTAB).start();
    running.wait_for_socket();
    running
}

/// Has a job run, and gives how that ended and what it printed, on which stream: so many lines at least.
fn run(crond: &mut Running, job: &str, least: usize) -> (Value, Vec<(String, String)>) {
    told(crond, &["run", job]);
    let end = crond.expect_where("run.ended", |event| event["job"] == job);
    (end, printed(crond, job, least))
}

/// What a job printed; its lines and its end come by different pipes.
fn printed(crond: &mut Running, job: &str, least: usize) -> Vec<(String, String)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = crond.seen();
        let lines = seen.iter().filter(|it| it["event"] == "run.output" && it["job"] == job);
        let text = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
        let lines: Vec<_> =
            lines.map(|event| (text(event, "stream"), text(event, "line"))).collect();
        // What comes last is the result, or why there is none.
        let is_last = |(stream, line): &(String, String)| {
            stream == "stdout" || line.starts_with("cronkeep: error: ")
        };
        if least == 0 || lines.len() >= least && lines.iter().any(is_last) {
            return lines;
        }
        assert!(Instant::now() < deadline, "{lines:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Declares a queue from which nobody takes anything.
fn declare(stage: &Stage, queue: &str) {
    const DECLARE: &str = "import pika, sys; \
        pika.BlockingConnection(pika.URLParameters(sys.argv[1])).channel().queue_declare(sys.argv[2])";
    let status = Command::new(python().unwrap())
        .args(["-c", DECLARE, &stage.rabbit.url(), queue])
        .status()
        .unwrap();
    assert!(status.success());
}

fn on(stream: &str, line: &str) -> (String, String) {
    (stream.to_owned(), line.to_owned())
}

#[test]
fn a_result_is_the_outcome_and_is_printed() {
    let Some(stage) = stage() else { return };
    let mut crond = daemon(stage);
    let (end, lines) = run(&mut crond, "add", 1);
    assert_eq!((&end["outcome"], lines), (&"succeeded".into(), vec![on("stdout", "42")]));
    let (end, lines) = run(&mut crond, "text", 1);
    assert_eq!(end["outcome"], "succeeded");
    assert_eq!(lines, [on("stdout", r#""two\nlines, café""#)]);
    crond.stop();
}

#[test]
fn a_task_that_fails_is_a_failed_run_with_its_exception_and_traceback() {
    let Some(stage) = stage() else { return };
    let mut crond = daemon(stage);
    let (end, lines) = run(&mut crond, "fail", 2);
    assert_eq!(end["exit"], 1, "{end}");
    let words = "ValueError: no such \"report\"";
    assert!(lines.contains(&on("stderr", "Traceback (most recent call last):")), "{lines:?}");
    assert!(
        lines.iter().any(|(stream, line)| stream == "stderr" && line.contains(words)),
        "{lines:?}"
    );
    // Arguments that the task does not take.
    let (end, lines) = run(&mut crond, "echo", 2);
    assert_eq!(end["exit"], 1, "{end}");
    assert!(lines.iter().any(|(_, line)| line.contains("TypeError")), "{lines:?}");
    crond.stop();
}

#[test]
fn a_task_that_is_tried_again_by_its_worker_is_waited_for() {
    let Some(stage) = stage() else { return };
    let mut crond = daemon(stage);
    let (end, lines) = run(&mut crond, "again", 1);
    assert_eq!(end["outcome"], "succeeded", "{lines:?}");
    assert_eq!(lines.last(), Some(&on("stdout", "\"at last\"")));
    crond.stop();
}

#[test]
fn where_nobody_takes_or_knows_the_task_the_run_fails_in_words() {
    let Some(stage) = stage() else { return };
    declare(stage, "silent");
    let mut crond = daemon(stage);
    let (end, lines) = run(&mut crond, "unknown", 1);
    assert_eq!(end["exit"], 1, "{end}");
    assert!(lines.iter().any(|(_, line)| line.contains("NotRegistered")), "{lines:?}");
    let (end, _) = run(&mut crond, "patient", 0);
    assert!(end["outcome"].as_str().unwrap().starts_with("timed out"), "{end}");
    let (end, lines) = run(&mut crond, "unheard", 1);
    assert_eq!((&end["exit"], &end["reason"]), (&1.into(), &"no result came in time".into()));
    assert!(lines.iter().any(|(_, line)| line.contains("no result came")), "{lines:?}");
    let (end, lines) = run(&mut crond, "nowhere", 1);
    assert_eq!(end["reason"], "no queue takes the message");
    assert!(lines.iter().any(|(_, line)| line.contains("NO_ROUTE")), "{lines:?}");
    crond.stop();
}

#[test]
fn a_task_that_comes_too_late_is_revoked() {
    let Some(stage) = stage() else { return };
    let begun = stage.worker.path("nap-before-late");
    let nap = format!("[2, {:?}]", begun.to_str().unwrap());
    let crontab = format!(
        "{CRONTAB}# cronkeep: name=nap\n0 0 1 1 * cronkeep publish --celery tasks.nap '' celery '{nap}'\n"
    );
    let mut crond = Crond::new().env("CRONKEEP_AMQP", stage.rabbit.url()).crontab(&crontab).start();
    crond.wait_for_socket();
    run(&mut crond, "nap", 0);
    stage.worker.until("nap", || begun.exists());
    let (end, lines) = run(&mut crond, "late", 1);
    assert_eq!(end["exit"], 1, "{end}");
    assert!(lines.iter().any(|(_, line)| line.contains("revoked")), "{lines:?}");
    crond.stop();
}

#[test]
fn without_a_wait_a_confirmed_message_is_success() {
    let Some(stage) = stage() else { return };
    let mut crond = daemon(stage);
    let (end, lines) = run(&mut crond, "forgotten", 0);
    assert_eq!((&end["outcome"], lines), (&"succeeded".into(), Vec::new()));
    crond.stop();
}

#[test]
fn the_example_does_what_it_says() {
    let Some(stage) = stage() else { return };
    let crontab = std::fs::read_to_string(root().join("examples/celery/crontab")).unwrap();
    let mut crond = Crond::new().env("CRONKEEP_AMQP", stage.rabbit.url()).crontab(&crontab).start();
    crond.wait_for_socket();
    assert_eq!(run(&mut crond, "clean-up", 0).0["outcome"], "succeeded");
    let (end, lines) = run(&mut crond, "mail-report", 1);
    assert_eq!(end["outcome"], "succeeded", "{lines:?}");
    assert_eq!(lines, [on("stdout", "\"mailed 1 week to shop@example.org\"")]);
    crond.signal(Signal::SIGTERM);
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
}

/// A way to the broker that can be cut: its URL, and the connections that go through it.
fn detour(url: &str) -> (String, Receiver<TcpStream>) {
    let port: u16 = url.rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = listener.local_addr().unwrap().port();
    let (sender, connections) = channel();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let broker = TcpStream::connect(("127.0.0.1", port)).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), broker.try_clone().unwrap()),
                (broker, client.try_clone().unwrap()),
            ] {
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
            if sender.send(client).is_err() {
                return;
            }
        }
    });
    (url.replacen(&format!(":{port}"), &format!(":{here}"), 1), connections)
}

#[test]
fn where_the_connection_breaks_the_wait_ends_in_words_and_the_next_is_well() {
    let Some(stage) = stage() else { return };
    let (url, connections) = detour(&stage.rabbit.url());
    let mut crond = Crond::new().env("CRONKEEP_AMQP", url).crontab(CRONTAB).start();
    crond.wait_for_socket();
    declare(stage, "cut");
    told(&crond, &["run", "cut"]);
    crond.expect_where("run.started", |event| event["job"] == "cut");
    // The message is there before the connection breaks.
    let waiting = "rabbit_amqqueue:info_all(<<\"/\">>, [name, messages])";
    stage
        .worker
        .until("message", || stage.rabbit.ask(waiting).contains("<<\"cut\">>}},{messages,1}"));
    for connection in connections.try_iter() {
        let _ = connection.shutdown(Shutdown::Both);
    }
    let end = crond.expect_where("run.ended", |event| event["job"] == "cut");
    assert_eq!(end["exit"], 1, "{end}");
    let lines = printed(&mut crond, "cut", 1);
    assert!(lines.iter().any(|(_, line)| line.contains("the result is lost")), "{lines:?}");
    crond.expect("broker.up");
    let (end, lines) = run(&mut crond, "add", 1);
    assert_eq!((&end["outcome"], lines), (&"succeeded".into(), vec![on("stdout", "42")]));
    crond.stop();
}
