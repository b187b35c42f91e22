//! What docs/events.md and docs/events.schema.json say is what is published.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::tests::{Fake, QUICK, Wired, author, content, ended, jobs, run, started};
use super::{Bound, Queue};
use crate::event::{Event, Loaded, MAX_INSTANCES, Outcome, RunId, Trigger};
use crate::message::Message;

const CRONTAB: &str = "\
# Dump the database, keep 7 copies
# cronkeep: name=nightly-dump retries=3 max-instances=1
* * * * *  /usr/local/bin/dump --all
";

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    fs::read_to_string(path).unwrap()
}

/// One event of each kind that is published, but for `events.dropped`.
fn one_of_each() -> Vec<Event> {
    let jobs = jobs(CRONTAB);
    let job = &jobs[0];
    let (first, second) = (run(job, 1), run(job, 2));
    let due = first.fire.due;
    let later = job.next_after(due).unwrap();
    let at = "2026-01-01T00:00:00.125Z".parse().unwrap();
    let failed = Outcome::Failed { exit: 3 };
    let store = "redis://redis:6379/0".to_owned();
    let broker = "amqp://rabbitmq".to_owned();
    vec![
        Event::Started { version: "0.1.0", zone: "Europe/Berlin".into() },
        Event::Loaded(Loaded {
            files: vec!["/etc/crontab".into(), "/etc/cron.d/backup".into()],
            jobs: 12,
            refused: 1,
            added: 2,
            changed: 1,
            removed: 0,
            unchanged: 9,
            errors: 1,
            warnings: 0,
            at,
        }),
        Event::Rejected { file: "/etc/crontab".into(), reason: "3 errors, and --strict".into() },
        Event::JobAdded(jobs.clone()),
        Event::JobChanged(jobs.clone()),
        Event::JobRemoved(jobs.clone()),
        Event::JobPaused(Arc::clone(job)),
        Event::JobResumed(Arc::clone(job)),
        started(&first),
        ended(&first, failed, Some(Duration::from_secs(5))),
        ended(&second, Outcome::Succeeded { exit: 0 }, None),
        Event::RunMissed {
            job: Arc::clone(job),
            first: due,
            last: later,
            count: 2,
            reason: "the daemon was not running".into(),
            generation: 0,
            trigger: Trigger::Schedule,
            run: None,
        },
        Event::RunSkipped {
            job: Arc::clone(job),
            first: due,
            last: due,
            count: 1,
            reason: "an earlier run is alive".into(),
            generation: 0,
            trigger: Trigger::Schedule,
            run: Some(first.id),
        },
        Event::RunSkipped {
            job: Arc::clone(job),
            first: due,
            last: due,
            count: 1,
            reason: MAX_INSTANCES.into(),
            generation: 0,
            trigger: Trigger::Manual,
            run: Some(RunId::new(at, 12)),
        },
        Event::RunLost {
            key: job.key,
            name: job.label(),
            run: first.id,
            due,
            reason: "the daemon was killed".into(),
        },
        Event::StoreDown { store: store.clone(), reason: "connection refused".into() },
        Event::StoreUp { store },
        Event::BrokerDown { broker: broker.clone(), reason: "connection refused".into() },
        Event::BrokerUp { broker },
        Event::SchedulerPaused { reason: "Redis does not answer".into() },
        Event::SchedulerResumed,
    ]
}

/// A message of each kind, as it is published.
async fn messages() -> Vec<Arc<Message>> {
    let fake = Fake::obliging();
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    for event in one_of_each() {
        wired.bus.publish(event);
    }
    wired.stop().await;
    let mut messages = fake.confirmed();
    let mut queue = Queue::new(author(), Bound { events: 1, ..Bound::default() });
    let event = Arc::new(Event::SchedulerResumed);
    let at = |second: i64| Timestamp::from_second(1_767_225_600 + second).unwrap();
    for second in 0..3 {
        queue.push(&event, at(second));
    }
    messages.push(queue.pop(at(60)).unwrap().message);
    messages
}

/// The section of the document about an event: from behind its heading on.
fn section<'a>(page: &'a str, name: &str) -> &'a str {
    let heading = format!("\n### `{name}`\n");
    let (_, rest) = page.split_once(&heading).unwrap_or_else(|| panic!("no heading for {name}"));
    rest.split("\n## ").next().unwrap().split("\n### ").next().unwrap()
}

/// The example in a section.
fn example(section: &str) -> &str {
    let (_, rest) = section.split_once("```json\n").expect("an example");
    rest.split("\n```").next().unwrap()
}

/// `CRONKEEP_TEST_WRITE_DOCUMENTS=1` writes the examples anew.
#[tokio::test]
async fn every_event_is_documented_as_it_is_published() {
    let mut page = document("events.md");
    let mut documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(Into::into)
        .collect();
    let writing = std::env::var_os("CRONKEEP_TEST_WRITE_DOCUMENTS").is_some();
    for message in messages().await {
        let content = content(&message);
        let name = content["event"].as_str().unwrap();
        documented.remove(name);
        let section = section(&page, name).to_owned();
        let pretty = serde_json::to_string_pretty(&content).unwrap();
        if writing {
            let new = section.replace(example(&section), &pretty);
            page = page.replace(&section, &new);
        } else {
            assert_eq!(example(&section), pretty, "{name}");
        }
        let key = format!("`{}`", message.routing_key);
        assert!(section.contains(&key), "{name} is published as {key}");
        assert_eq!(message.properties.content_type.as_deref(), Some("application/json"));
        assert_eq!(message.properties.kind.as_deref(), Some("cronkeep.event"));
        assert_eq!((message.mandatory, message.persistent), (false, true));
        assert_eq!(content["id"], *message.id);
    }
    assert!(documented.is_empty(), "never published: {documented:?}");
    if writing {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
        fs::write(path, page).unwrap();
    }
}

/// What of a value a schema does not allow, as far as we use schemas: type, const, enum, properties, required, items, $ref.
fn complaints(value: &Value, schema: &Value, root: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.strip_prefix("#/definitions/").expect("a definition");
        return complaints(value, &root["definitions"][name], root, place, found);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match (&schema["const"], &schema["enum"]) {
        (Value::Null, Value::Array(values)) => values.contains(value),
        (Value::Null, _) => types.contains(&kind),
        (only, _) => only == value,
    };
    if !allowed {
        found.push(format!("{place}: {value}"));
    }
    if let Value::Object(members) = value {
        for (name, member) in members {
            match schema["properties"].get(name) {
                Some(schema) => {
                    complaints(member, schema, root, &format!("{place}.{name}"), found);
                }
                None => found.push(format!("{place}.{name} is not in the schema")),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                found.push(format!("{place} lacks {name}"));
            }
        }
    }
    for item in value.as_array().into_iter().flatten() {
        complaints(item, &schema["items"], root, &format!("{place}[]"), found);
    }
}

#[tokio::test]
async fn every_message_is_what_the_schema_allows() {
    let schema: Value = serde_json::from_str(&document("events.schema.json")).unwrap();
    let mut named: BTreeSet<&str> = schema["properties"]["event"]["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    for message in messages().await {
        let content = content(&message);
        let mut found = Vec::new();
        complaints(&content, &schema, &schema, "", &mut found);
        // What an event of this name has beside what all have.
        let rule = schema["allOf"].as_array().unwrap().iter().find(|rule| {
            let events = &rule["if"]["properties"]["event"]["enum"];
            events.as_array().unwrap().contains(&content["event"])
        });
        let rule = rule.map_or(&Value::Null, |rule| &rule["then"]["required"]);
        let common = schema["required"].as_array().unwrap();
        for (name, _) in content.as_object().unwrap() {
            let is_told = |names: &[Value]| names.iter().any(|it| it == name);
            if !is_told(common) && !rule.as_array().is_some_and(|names| is_told(names)) {
                found.push(format!("{name} is not among what {} has", content["event"]));
            }
        }
        for name in rule.as_array().into_iter().flatten() {
            if content.get(name.as_str().unwrap()).is_none() {
                found.push(format!("{} lacks {name}", content["event"]));
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
        named.remove(content["event"].as_str().unwrap());
    }
    assert!(named.is_empty(), "never published: {named:?}");
}

/// The names of the events of APScheduler 3, as its documentation lists them.
const APSCHEDULER: [&str; 17] = [
    "EVENT_SCHEDULER_STARTED",
    "EVENT_SCHEDULER_SHUTDOWN",
    "EVENT_SCHEDULER_PAUSED",
    "EVENT_SCHEDULER_RESUMED",
    "EVENT_EXECUTOR_ADDED",
    "EVENT_EXECUTOR_REMOVED",
    "EVENT_JOBSTORE_ADDED",
    "EVENT_JOBSTORE_REMOVED",
    "EVENT_ALL_JOBS_REMOVED",
    "EVENT_JOB_ADDED",
    "EVENT_JOB_REMOVED",
    "EVENT_JOB_MODIFIED",
    "EVENT_JOB_EXECUTED",
    "EVENT_JOB_ERROR",
    "EVENT_JOB_MISSED",
    "EVENT_JOB_SUBMITTED",
    "EVENT_JOB_MAX_INSTANCES",
];

#[test]
fn every_name_of_apscheduler_stands_beside_ours() {
    let page = document("events.md");
    let named: BTreeSet<&str> =
        page.split('`').skip(1).step_by(2).filter(|word| word.starts_with("EVENT_")).collect();
    assert_eq!(named, APSCHEDULER.into_iter().collect());
    for line in page.lines().filter(|line| line.starts_with("| `EVENT_")) {
        let ours = line.split(" | ").nth(1).unwrap().split('`').skip(1).step_by(2);
        for name in ours {
            section(&page, name);
        }
    }
}
