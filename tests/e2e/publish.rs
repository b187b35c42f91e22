//! Entries that publish: what the broker gets, what a run comes to, what is kept and sent again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{ask, client_at, objects, refused, told};
use crate::harness::{Crond, PATIENCE, Running};
use crate::rabbit::vhost::Drained;
use crate::rabbit::{self, Vhost};
use crate::redis::Redis;

/// The program, as an entry names it.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cronkeep");

/// An entry with a name that never comes by itself.
pub fn entry(name: &str, command: &str) -> String {
    format!("# cronkeep: name={name}\n0 0 1 1 * {command}\n")
}

fn crontab(entries: &[(&str, &str)]) -> String {
    entries.iter().map(|(name, command)| entry(name, command)).collect()
}

/// A daemon with a broker.
pub fn with_broker(url: &str, crontab: &str) -> Running {
    let crond = Crond::new().env("CRONKEEP_AMQP", url).crontab(crontab).start();
    crond.wait_for_socket();
    crond
}

/// Runs a job to its end: its exit code.
pub fn run(crond: &Running, name: &str) -> i32 {
    ask(crond, &["run", "--wait", name]).status.code().unwrap()
}

/// What `history` tells.
fn history(crond: &Running, arguments: &[&str]) -> Vec<Value> {
    let words = [&["history", "--json"], arguments].concat();
    let mut command = client_at(&crond.socket(), &words);
    let output = command.env("CRONKEEP_STATE_DIR", crond.path("state")).output().unwrap();
    // The first run of a job is recorded a moment after its start.
    if String::from_utf8_lossy(&output.stderr).contains("knows no job") {
        return Vec::new();
    }
    assert!(output.status.success(), "{output:?}");
    objects(std::str::from_utf8(&output.stdout).unwrap())
}

/// What `history` tells of the last run of a job, once it has ended.
pub fn last_run(crond: &Running, name: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let runs = history(crond, &["--limit=1", name]);
        if let Some(run) = runs.into_iter().next().filter(|run| !run["outcome"].is_null()) {
            return run;
        }
        assert!(Instant::now() < deadline, "{name} has no end");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

/// The messages of a queue, by the run that they belong to.
fn by_id(vhost: &Vhost<'_>, queue: &str) -> BTreeMap<String, Drained> {
    let drained = vhost.drain(queue);
    let count = drained.len();
    let messages: BTreeMap<_, _> = drained.into_iter().map(|one| (one.id.clone(), one)).collect();
    assert_eq!(messages.len(), count, "each id once");
    messages
}

/// Waits until this many messages are in a queue.
pub fn until_depth(vhost: &Vhost<'_>, queue: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while vhost.depth(queue) != count {
        assert!(Instant::now() < deadline, "{} in {queue}", vhost.depth(queue));
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_body_arrives_as_the_entry_gives_it() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    vhost.declare_exchange("events", "topic");
    vhost.bind("q", "events", "job.*");
    let crond = with_broker(
        &vhost.url(),
        &crontab(&[
            ("stdin", "cronkeep publish '' q%one \\% two%three"),
            ("dash", "/usr/bin/cronkeep publish events job.dash -%four"),
            ("argument", "cronkeep publish '' q '{\"a\": [1, \"x y\"]}'%ignored"),
            ("empty", "cronkeep publish '' q ''"),
            ("nothing", "cronkeep publish '' q -"),
        ]),
    );
    let mut bodies = BTreeMap::new();
    for (name, body) in [
        ("stdin", "one % two\nthree"),
        ("dash", "four"),
        ("argument", "{\"a\": [1, \"x y\"]}"),
        ("empty", ""),
        ("nothing", ""),
    ] {
        assert_eq!(run(&crond, name), 0, "{name}");
        let run = last_run(&crond, name);
        assert_eq!(run["reason"], "succeeded");
        bodies.insert(run["run"].as_str().unwrap().to_owned(), (name, body));
    }
    let messages = by_id(&vhost, "q");
    assert_eq!(messages.len(), bodies.len());
    for (run, (name, body)) in &bodies {
        let Drained { body: found, properties, exchange, routing_key, .. } = &messages[run];
        assert_eq!(String::from_utf8_lossy(found), *body, "{name}");
        let kind = if *name == "argument" { "application/json" } else { "text/plain" };
        let name_header = format!("{{<<\"cronkeep-job-name\">>,longstr,<<\"{name}\">>}}");
        for part in [kind, &name_header, "cronkeep-attempt", "<<\"cronkeep.fire\">>", run] {
            assert!(properties.contains(part), "{part}: {properties}");
        }
        let place = if *name == "dash" { ("events", "job.dash") } else { ("", "q") };
        assert_eq!((&exchange[..], &routing_key[..]), place);
    }
    let events = crond.stop();
    let starts = events.iter().filter(|event| event["event"] == "run.started");
    assert!(starts.clone().all(|start| start["pid"].is_null()), "none is a process");
    assert_eq!(starts.count(), bodies.len());
    let confirmed = events.iter().filter(|event| event["event"] == "message.confirmed");
    let confirmed: Vec<&str> = confirmed.filter_map(|event| event["run"].as_str()).collect();
    assert!(bodies.keys().all(|run| confirmed.contains(&run.as_str())), "{confirmed:?}");
}

#[test]
fn an_instant_of_the_schedule_has_an_id_of_its_own() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let mut crond = with_broker(&vhost.url(), "* * * * * * cronkeep publish '' q tick\n");
    for _ in 0..3 {
        crond.expect_where("run.ended", |event| event["outcome"] == "succeeded");
    }
    let runs = history(&crond, &[]);
    crond.stop();
    let messages = by_id(&vhost, "q");
    for run in runs.iter().filter(|run| run["outcome"] == "succeeded") {
        let at: jiff::Timestamp = run["scheduled"].as_str().unwrap().parse().unwrap();
        let id = format!("{}:{}", run["key"].as_str().unwrap(), at.as_second());
        assert!(messages.contains_key(&id), "{id}: {:?}", messages.keys());
    }
    assert!(messages.len() >= 3);
}

#[test]
fn without_a_body_that_of_the_python_service_is_sent() {
    let Some(rabbit) = rabbit::shared() else { return };
    let Some(redis) = Redis::start() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let mut crond = Crond::new()
        .env("CRONKEEP_AMQP", vhost.url())
        .arg(format!("--store={}", redis.url()))
        .args(["--namespace=default", "--when-store-down=run"])
        .crontab(&crontab(&[
            ("seed", "cronkeep publish '' q"),
            ("other", "cronkeep publish '' q --property priority=1"),
        ]))
        .start();
    crond.wait_for_socket();
    let jobs = objects(&told(&crond, &["list", "--json"]));
    let id = jobs.iter().find(|job| job["name"] == "seed").unwrap()["id"].as_str().unwrap();
    redis.command(["HSET", "crond_service_schedule", id, "{\"from\": \"the seed\"}\n"]);
    assert_eq!(run(&crond, "seed"), 0);
    assert_eq!(run(&crond, "other"), 1);
    let line = crond.expect_where("run.output", |event| event["job"] == "other");
    let text = line.to_string();
    assert!(text.contains("crond_service_schedule has none"), "{text}");
    let end = crond.expect_where("run.ended", |event| event["job"] == "other");
    assert_eq!(end["reason"], "there is no body to send");
    let [message] = &vhost.drain("q")[..] else { panic!("one message") };
    assert_eq!(message.body, b"{\"from\": \"the seed\"}\n", "as it is");
    crond.stop();
    // A store that nobody shares has nothing of that kind.
    let mut crond = with_broker(&vhost.url(), &entry("alone", "cronkeep publish '' q"));
    assert_eq!(run(&crond, "alone"), 1);
    let line = crond.expect_where("run.output", |event| event["job"] == "alone").to_string();
    assert!(line.contains("there is no body"), "{line}");
}

#[test]
fn what_the_broker_does_not_take_fails_in_words_and_is_sent_again_until_it_does() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    rabbit.add_user("writer", "s3cret");
    vhost.allow("writer", "", "^(|amq.default|events|missing)$", "");
    vhost.declare_exchange("events", "topic");
    vhost.declare_exchange("private", "topic");
    vhost.declare_queue(
        "full",
        "{<<\"x-max-length\">>, long, 1}, {<<\"x-overflow\">>, longstr, <<\"reject-publish\">>}",
    );
    vhost.put("full", b"x", "#{}");
    let cases = [
        (
            "returned",
            "cronkeep publish events nowhere x",
            "no queue takes the message",
            "(312 NO_ROUTE)",
        ),
        ("missing", "cronkeep publish missing k x", "there is no such exchange", "missing"),
        (
            "forbidden",
            "cronkeep publish private k x",
            "the broker does not allow the message",
            "private",
        ),
        ("nacked", "cronkeep publish '' full x", "the broker refused the message", "nack"),
    ];
    let entries: Vec<_> = cases.iter().map(|(name, command, ..)| (*name, *command)).collect();
    let mut crond = with_broker(&vhost.url_of("writer", "s3cret"), &crontab(&entries));
    let mut runs = Vec::new();
    for (name, _, reason, words) in cases {
        assert_eq!(run(&crond, name), 1, "{name}");
        let run = last_run(&crond, name);
        assert_eq!(run["outcome"], "failed");
        assert_eq!(run["reason"], format!("failed with exit code 1, {reason}"));
        let logs = told(&crond, &["logs", run["run"].as_str().unwrap()]);
        assert!(logs.contains(words) && logs.contains("sent again"), "{name}: {logs}");
        runs.push(run["run"].as_str().unwrap().to_owned());
    }
    let status: Value = serde_json::from_str(&told(&crond, &["status", "--json"])).unwrap();
    assert_eq!(status["outbox"]["count"], 4, "{status}");
    // Somebody mends what is wrong.
    vhost.declare_queue("q", "");
    vhost.bind("q", "events", "nowhere");
    vhost.declare_exchange("missing", "fanout");
    vhost.bind("q", "missing", "");
    vhost.bind("q", "private", "k");
    vhost.allow("writer", "", ".*", "");
    vhost.drain("full");
    let mut left: Vec<&String> = runs.iter().collect();
    while !left.is_empty() {
        let event = crond.expect("message.confirmed");
        left.retain(|run| event["run"] != run.as_str());
    }
    let sent: Vec<String> =
        by_id(&vhost, "q").into_keys().chain(by_id(&vhost, "full").into_keys()).collect();
    assert_eq!(sent.len(), 4);
    assert!(runs.iter().all(|run| sent.contains(run)), "the same ids: {sent:?}");
    let status: Value = serde_json::from_str(&told(&crond, &["status", "--json"])).unwrap();
    assert_eq!(status["outbox"]["count"], 0, "{status}");
    let events = crond.stop();
    let failed = events.iter().filter(|event| event["event"] == "message.failed");
    let failed: Vec<&str> = failed.filter_map(|event| event["run"].as_str()).collect();
    assert!(runs.iter().all(|run| failed.contains(&run.as_str())), "{failed:?}");
}

#[test]
fn a_retry_sends_the_same_message_again() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    let crontab = "# cronkeep: name=again retries=20 retry-delay=200ms retry-backoff=1\n\
                   0 0 1 1 * cronkeep publish '' late x\n";
    let mut crond = with_broker(&vhost.url(), crontab);
    told(&crond, &["run", "again"]);
    crond.expect_where("run.ended", |event| event["outcome"] != "succeeded");
    vhost.declare_queue("late", "");
    let end = crond.expect_where("run.ended", |event| event["outcome"] == "succeeded");
    assert!(end["attempt"].as_u64().unwrap() > 1, "{end}");
    crond.stop();
    let [message] = &vhost.drain("late")[..] else { panic!("one message") };
    assert_eq!(message.id, end["run"]);
}

#[test]
fn a_broker_that_takes_nothing_is_told_and_waited_for() {
    let Some(rabbit) = rabbit::victim() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let mut crond = with_broker(&vhost.url(), &entry("job", "cronkeep publish '' q x"));
    rabbit.block();
    assert_eq!(run(&crond, "job"), 1);
    let down = crond.expect("broker.blocked");
    assert!(!down["reason"].as_str().unwrap().is_empty(), "{down}");
    let run = last_run(&crond, "job");
    assert_eq!(run["reason"], "failed with exit code 1, the broker takes nothing");
    let health = told(&crond, &["health"]);
    assert!(health.starts_with("degraded: ") && health.contains("takes nothing"), "{health}");
    rabbit.unblock();
    crond.expect("broker.up");
    crond.expect_where("message.confirmed", |event| event["run"] == run["run"]);
    crond.stop();
    assert_eq!(vhost.drain("q").len(), 1);
}

#[test]
fn what_was_accepted_while_the_broker_was_away_is_delivered_once_after_a_kill() {
    let Some(rabbit) = rabbit::victim() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let text = entry("job", "cronkeep publish '' q x");
    let mut crond = with_broker(&vhost.url(), &text);
    assert_eq!(run(&crond, "job"), 0);
    rabbit.kill();
    let down = crond.expect("broker.down");
    assert_eq!(run(&crond, "job"), 1);
    let run = last_run(&crond, "job");
    assert_eq!(run["reason"], "failed with exit code 1, the broker is away");
    let health = told(&crond, &["health"]);
    assert!(health.starts_with("degraded: ") && health.contains("is away"), "{health}");
    let said = [down.to_string(), health, told(&crond, &["status"])].concat();
    assert!(!said.contains("guest:guest"), "{said}");
    let again = crond.again(Signal::SIGKILL);
    rabbit.restart();
    // It may be confirmed before a crontab is in force.
    let mut crond = again.env("CRONKEEP_AMQP", vhost.url()).crontab(&text).spawn();
    crond.expect_where("message.confirmed", |event| event["run"] == run["run"]);
    crond.stop();
    let messages = by_id(&vhost, "q");
    assert_eq!(messages.len(), 2);
    assert!(messages.contains_key(run["run"].as_str().unwrap()));
}

#[test]
fn a_wrong_password_is_told_and_no_secret_is() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    let text = crontab(&[
        ("job", "cronkeep publish '' q x"),
        ("look", "env; tr '\\\\0' ' ' </proc/$PPID/cmdline"),
    ]);
    let mut crond = with_broker(&vhost.url_of("guest", "hunter2"), &text);
    assert_eq!(run(&crond, "job"), 1);
    assert_eq!(run(&crond, "look"), 0);
    let seen = crond.seen();
    let down = seen.iter().find(|event| event["event"] == "broker.down").unwrap();
    assert!(down["reason"].as_str().unwrap().contains("password"), "{down}");
    let mut said = ["status", "health", "list", "logs"].map(|word| {
        let words: &[&str] = if word == "logs" { &["logs", "look"] } else { &[word] };
        told(&crond, words)
    });
    said[0] += &told(&crond, &["status", "--json"]);
    said[0] += &crond.stop().iter().map(Value::to_string).collect::<String>();
    let said = said.concat();
    assert!(said.contains("CRONKEEP_RUN_ID=") && said.contains("the broker is away"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert!(!said.contains("CRONKEEP_AMQP="), "{said}");
}

#[test]
fn without_a_broker_or_for_another_one_the_program_runs() {
    let Some(rabbit) = rabbit::shared() else { return };
    let (vhost, other) = (rabbit.vhost(), rabbit.vhost());
    vhost.declare_queue("q", "");
    other.declare_queue("q", "");
    // A daemon without one: its entry names its own.
    let own = format!("CRONKEEP_AMQP={}\n", other.url());
    let text = own.clone() + &entry("job", &format!("{PROGRAM} publish '' q own%"));
    let mut crond = Crond::new().crontab(&text).start();
    crond.wait_for_socket();
    assert_eq!(run(&crond, "job"), 0);
    assert!(crond.expect("run.started")["pid"].is_i64());
    let status: Value = serde_json::from_str(&told(&crond, &["status", "--json"])).unwrap();
    assert_eq!((&status["broker"], &status["outbox"]), (&"none".into(), &Value::Null));
    crond.stop();
    // A daemon with one, and entries that it does not take.
    let shell = format!("{PROGRAM} publish '' q $((1 + 1))");
    let text = [
        "HOME={dir}\n".to_owned(),
        entry("shell", &shell),
        own,
        entry("own", &format!("{PROGRAM} publish '' q own")),
    ]
    .concat();
    let mut crond = with_broker(&vhost.url(), &text);
    for name in ["shell", "own"] {
        assert_eq!(run(&crond, name), 0, "{name}: {:?}", crond.seen());
        assert!(crond.expect("run.started")["pid"].is_i64(), "{name}");
    }
    crond.stop();
    let bodies = |vhost: &Vhost<'_>| -> Vec<String> {
        let bodies = vhost.drain("q").into_iter().map(|message| message.body);
        bodies.map(|body| String::from_utf8(body).unwrap()).collect()
    };
    assert_eq!(bodies(&other), ["own", "own"]);
    assert_eq!(bodies(&vhost), ["2"], "through the daemon");
}

#[test]
fn a_message_is_published_by_hand_through_the_daemon_or_without_one() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let mut crond = with_broker(&vhost.url(), &entry("job", "true"));
    told(&crond, &["publish", "", "q", "by hand"]);
    crond.expect("message.confirmed");
    let text = refused(&crond, &["publish", "", "nowhere", "x"], 1);
    assert!(text.contains("no queue takes it") && text.contains("sent again"), "{text}");
    let usage = ask(&crond, &["publish", "--celery", "t", "", "q", "no json"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
    let keep = crond.keep_folder();
    crond.stop();
    // Nobody listens there any more.
    let direct = |words: &[&str]| {
        let words = [&["publish"], words].concat();
        let mut command = client_at(&keep.path().join("nobody"), &words);
        command.env("CRONKEEP_AMQP", vhost.url()).output().unwrap()
    };
    assert_eq!(direct(&["", "q", "direct"]).status.code(), Some(0));
    assert_eq!(direct(&["", "nowhere", "x"]).status.code(), Some(1));
    let bodies: Vec<_> = vhost.drain("q").into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [&b"by hand"[..], b"direct"]);
    until_depth(&vhost, "q", 0);
}

/// A daemon whose folder other users may enter, with a program that they may execute; none where we are not root.
fn open_to_all(url: &str, users: Option<&str>) -> Option<Running> {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI runs this as root");
        eprintln!("skipped: only root can run jobs as somebody else");
        return None;
    }
    let mut crond = Crond::new().arg("--format=system").env("CRONKEEP_AMQP", url);
    if let Some(users) = users {
        crond = crond.arg(format!("--publish-users={users}"));
    }
    let program = crond.folder().join("cronkeep");
    crate::program::copy(PROGRAM, program);
    let text = "# cronkeep: name=job\n0 0 1 1 * nobody {dir}/cronkeep publish '' q of nobody\n";
    let crond = crond.crontab(&text.replace("of nobody", "'of nobody'")).start();
    crond.wait_for_socket();
    for folder in [crond.folder(), crond.socket().parent().unwrap()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    Some(crond)
}

/// What becomes of a message that somebody without rights hands over.
fn by_nobody(crond: &Running) -> std::process::Output {
    let mut command = Command::new(crond.path("cronkeep"));
    command.args(["publish", "", "q", "by hand"]).env("CRONKEEP_CONTROL", crond.socket());
    command.current_dir("/").uid(65534).gid(65534).output().unwrap()
}

#[test]
fn who_may_not_publish_through_the_daemon_runs_the_program() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let Some(mut crond) = open_to_all(&vhost.url(), None) else { return };
    assert_eq!(run(&crond, "job"), 1);
    assert!(crond.expect("run.started")["pid"].is_i64(), "it is a process");
    let output = by_nobody(&crond);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    crond.stop();
    assert_eq!(vhost.depth("q"), 0);
}

#[test]
fn who_is_named_may_publish_through_the_daemon() {
    let Some(rabbit) = rabbit::shared() else { return };
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let Some(mut crond) = open_to_all(&vhost.url(), Some("alice,nobody")) else { return };
    assert_eq!(run(&crond, "job"), 0);
    assert!(crond.expect("run.started")["pid"].is_null(), "it is none");
    let output = by_nobody(&crond);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // The id of somebody else's message is not for the taking.
    let mut command = Command::new(crond.path("cronkeep"));
    command.args(["publish", "", "q", "stolen"]).env("CRONKEEP_CONTROL", crond.socket());
    command.env("CRONKEEP_MESSAGE_ID", "crondServiceTask-00112233445566ff:1795162680");
    let output = command.current_dir("/").uid(65534).gid(65534).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not yours"), "{output:?}");
    crond.stop();
    let bodies: Vec<_> = vhost.drain("q").into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [&b"of nobody"[..], b"by hand"]);
}
