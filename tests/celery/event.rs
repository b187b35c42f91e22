//! What others make of our events: the consumer among the examples, and a validator of JSON Schema.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{ask, told};
use crate::harness::{Crond, PATIENCE};
use crate::worker::{python, root, stage};

/// Validates each JSON text of its standard input, one a line, with the schema in its first argument.
const VALIDATE: &str = "\
import fastjsonschema, json, sys
validate = fastjsonschema.compile(json.load(open(sys.argv[1])))
for line in sys.stdin:
    validate(json.loads(line))
";

const CRONTAB: &str = "\
# Greets
# cronkeep: name=greet
0 0 1 1 *  echo hello
# cronkeep: name=fail.often retries=1 retry-delay=10ms
0 0 1 1 *  exit 3
# cronkeep: name=once max-instances=1
0 0 1 1 *  exec sleep 1000
# cronkeep: name=single overlap=skip
0 0 1 1 *  exec sleep 1000
";

/// The consumer of events among the examples, as it runs.
struct Consumer {
    child: Child,
    lines: Receiver<String>,
}

impl Consumer {
    /// Consumes these events.
    fn start(python: &Path, url: &str, exchange: &str, words: &[&str]) -> Self {
        let mut child = Command::new(python)
            .arg(root().join("examples/events-consumer.py"))
            .args(["--queue", exchange, url, exchange])
            .args(words)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || printed.map_while(Result::ok).try_for_each(|it| line.send(it)));
        Consumer { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the consumer prints a line")
    }

    /// Events as they are, up to and including one of this name.
    fn until(&mut self, name: &str) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        while events.last().is_none_or(|event| event["event"] != name) {
            events.push(serde_json::from_str(&self.line()).unwrap());
        }
        events
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails where one of these is not what the schema says.
fn validate(python: &Path, events: &[String]) {
    let mut child = Command::new(python)
        .args(["-c", VALIDATE])
        .arg(root().join("docs/events.schema.json"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(events.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The words of events: `job.failed fail.often`.
fn words(events: &[Value]) -> Vec<String> {
    let words = events.iter().map(|event| {
        let name = event["event"].as_str().unwrap();
        match event["job"]["name"].as_str() {
            Some(job) => format!("{name} {job}"),
            None => name.to_owned(),
        }
    });
    words.collect()
}

#[test]
fn a_consumer_hears_of_the_life_of_jobs_and_the_schema_allows_all_of_it() {
    let Some(stage) = stage() else { return };
    let python = python().unwrap();
    let url = stage.rabbit.url();
    // The exchange comes later than the daemon: its first events wait until it is there.
    let crond = Crond::new().env("CRONKEEP_AMQP", &url).arg("--events").arg("life");
    let mut crond = crond.crontab(CRONTAB).spawn();
    crond.expect_where("crontab.notice", |event| {
        event.to_string().contains("durable exchange of type topic")
    });
    let mut consumer = Consumer::start(&python, &url, "life", &["--json"]);
    crond.wait_for_socket();
    let mut events = consumer.until("crontab.loaded");
    told(&crond, &["run", "greet"]);
    events.extend(consumer.until("job.executed"));
    told(&crond, &["run", "fail.often"]);
    events.extend(consumer.until("job.failed"));
    events.extend(consumer.until("job.failed"));
    for job in ["single", "once"] {
        told(&crond, &["run", job]);
        // The second one is refused, which is what the events tell.
        assert_eq!(ask(&crond, &["run", job]).status.code(), Some(1));
    }
    events.extend(consumer.until("job.max_instances"));
    told(&crond, &["pause", "greet"]);
    told(&crond, &["resume", "greet"]);
    events.extend(consumer.until("job.resumed"));
    crond.write("# cronkeep: name=greet\n0 0 1 1 *  echo again\n");
    events.extend(consumer.until("crontab.loaded"));
    crond.signal(Signal::SIGTERM);
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
    events.extend(consumer.until("scheduler.stopped"));

    let told = words(&events);
    let mut missing: Vec<&str> = vec![
        "scheduler.started",
        "job.added greet",
        "job.added fail.often",
        "crontab.loaded",
        "job.submitted greet",
        "job.executed greet",
        "job.failed fail.often",
        "job.skipped single",
        "job.max_instances once",
        "job.paused greet",
        "job.resumed greet",
        "job.removed once",
        "scheduler.stopped",
    ];
    missing.retain(|name| !told.iter().any(|it| it == name));
    assert!(missing.is_empty(), "{missing:?} of {told:#?}");
    let failures: Vec<&Value> = events
        .iter()
        .filter(|event| event["job"]["name"] == "fail.often" && event["event"] == "job.failed")
        .collect();
    assert_eq!(failures[0]["run"]["retry_ms"], 10);
    assert_eq!(failures[1]["run"]["retry_ms"], Value::Null);
    assert_eq!(
        (&failures[1]["run"]["exit"], &failures[1]["run"]["attempt"]),
        (&3.into(), &2.into())
    );
    let numbers: Vec<u64> =
        events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(
        numbers,
        (1..=u64::try_from(events.len()).unwrap()).collect::<Vec<_>>(),
        "all, in order"
    );
    let text: Vec<String> = events.iter().map(Value::to_string).collect();
    assert!(!text.iter().any(|text| text.contains("hello")), "what a job prints is not told");
    validate(&python, &text);
}

#[test]
fn a_binding_chooses_events_and_the_consumer_prints_them_in_words() {
    let Some(stage) = stage() else { return };
    let vhost = stage.rabbit.vhost();
    let url = vhost.url();
    vhost.declare_queue("chosen", "");
    let bindings = ["job.failed.#", "job.executed.greet"];
    let mut consumer = Consumer::start(&python().unwrap(), &url, "chosen", &bindings);
    // What comes between the exchange and its bindings is nobody's.
    let deadline = Instant::now() + PATIENCE;
    while vhost.count("chosen", "consumers") == 0 {
        assert!(Instant::now() < deadline, "the consumer consumes");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let crond = Crond::new().env("CRONKEEP_AMQP", &url).arg("--events").arg("chosen");
    let crond = crond.crontab(CRONTAB).start();
    crond.wait_for_socket();
    told(&crond, &["run", "greet"]);
    let line = consumer.line();
    assert!(line.contains(" job.executed greet ") && line.ends_with("succeeded"), "{line}");
    told(&crond, &["run", "fail.often"]);
    for _ in 0..2 {
        let line = consumer.line();
        assert!(line.contains("failed fail.often ") && line.ends_with("exit code 3"), "{line}");
    }
    crond.stop();
}

/// The examples of docs/events.md are what the schema says; a validator of its own kind says so.
#[test]
fn the_documented_events_are_what_the_schema_allows() {
    let Some(python) = python() else { return };
    let page = fs::read_to_string(root().join("docs/events.md")).unwrap();
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
    let events: Vec<String> =
        blocks.map(|text| serde_json::from_str::<Value>(text).unwrap().to_string()).collect();
    assert!(events.len() > 20);
    validate(&python, &events);
}
