//! `run.jsonl`: commands that are run, against what cronie's own `do_command()` made of them: argv, standard input,
//! directory, user, environment, log and mail.
//!
//! A recorder stands in the place of the shell and of sendmail. The users of the vectors exist in a mount namespace of
//! their own, so this part of the test runs as root, in a second process.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronkeep::clock::SystemClock;
use cronkeep::crontab::{self, Dialect, Options, Source};
use cronkeep::event::{Bus, Event, Fire, Trigger};
use cronkeep::executor::mail::{Post, Via};
use cronkeep::executor::{Executor, Host};
use cronkeep::job::{Job, JobTable};
use cronkeep::schedule::{Due, Zone};
use cronkeep::sink::trace::trace;
use cronkeep::unix::Account;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::excuse::Case;
use crate::parse::unbase64;
use crate::tally::Tally;
use crate::vectors;

/// Where the second process finds its folder.
const INSIDE: &str = "CRONKEEP_TEST_RUN_FOLDER";

/// Writes down how it was called. Without a `PATH` to rely on.
const RECORDER: &str = r#"#!/bin/sh
d=${0%/*}/out
/bin/cat /proc/$$/environ >"$d/environ"
/bin/readlink /proc/$$/cwd >"$d/cwd"
/usr/bin/id -u >"$d/uid"
/bin/cat >"$d/stdin"
for word in "$0" "$@"; do printf '%s\0' "$word"; done >"$d/argv"
"#;

/// The same for sendmail.
const SENDMAIL: &str = r#"#!/bin/sh
d=${0%/*}/out
/bin/cat >"$d/message"
for word in "$@"; do printf '%s\0' "$word"; done >"$d/options"
"#;

#[test]
#[expect(clippy::disallowed_methods, reason = "no reaper lives in the first process")]
fn commands_are_run_logged_and_mailed_as_cronie_does() {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return compare_all(Path::new(&folder));
    }
    if !Account::current().is(b"0") {
        println!("skipped: only root can run commands of other users");
        assert!(std::env::var_os("CI").is_none(), "run this as root");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    let own = std::env::current_exe().expect("a path");
    let script = "mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/group\" /etc/group && shift && exec \"$@\"";
    let name = "run::commands_are_run_logged_and_mailed_as_cronie_does";
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(own)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, folder.path())
        .status()
        .expect("unshare is there");
    assert!(status.success(), "the comparison has failed: see above");
}

/// Puts recorders and a user database into the folder.
fn prepare(folder: &Path) {
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    set_mode(folder, 0o755);
    for (name, text) in [("record", RECORDER), ("sendmail", SENDMAIL)] {
        fs::write(folder.join(name), text).expect("room");
        set_mode(&folder.join(name), 0o755);
    }
    fs::create_dir(folder.join("out")).expect("room");
    set_mode(&folder.join("out"), 0o777);
    for (name, more) in [
        ("passwd", "alice:x:1000:1000::/home/alice:/bin/sh\napp:x:1001:1001::/home/app:/bin/sh\n"),
        ("group", "alice:x:1000:\napp:x:1001:\n"),
    ] {
        let text = fs::read_to_string(Path::new("/etc").join(name)).expect("a user database");
        let is_other = |line: &&str| !line.starts_with("alice:") && !line.starts_with("app:");
        let mut kept =
            text.lines().filter(is_other).fold(String::new(), |text, line| text + line + "\n");
        kept.push_str(more);
        fs::write(folder.join(name), kept).expect("room");
    }
}

fn compare_all(folder: &Path) {
    let mut tally = Tally::new("run.jsonl");
    for vector in vectors::lines("run.jsonl") {
        let verdict = compare(folder, &vector)
            .map_err(|why| format!("{}: {why}\n    {}", vector["id"], vector["text"]));
        tally.count(&Case { file: "run.jsonl", vector: &vector, line: None }, verdict);
    }
    tally.finish();
}

/// Runs the vector's entry and compares all that came of it.
fn compare(folder: &Path, vector: &Value) -> Result<(), String> {
    let out = folder.join("out");
    for old in fs::read_dir(&out).expect("it is ours") {
        fs::remove_file(old.expect("an entry").path()).expect("it is ours");
    }
    let recorder = folder.join("record").into_os_string().into_string().expect("a plain path");
    let place = |text: &[u8]| replaced(text, b"@REC@", recorder.as_bytes());
    let bytes = vector["text"].as_str().map_or_else(
        || unbase64(vector["text_b64"].as_str().expect("a text")),
        |text| text.as_bytes().to_vec(),
    );
    let flavour = vector["flavour"].as_str().expect("a flavour");
    let (job, has_errors) = job(place(&bytes), flavour)?;
    let host = Host {
        clean_env: true,
        post: Arc::new(Post {
            charset: "UTF-8".into(),
            ..Post::new(Via::Sendmail(c_path(&folder.join("sendmail"))), false)
        }),
        ..Host::new(Account::current(), [])
    };
    let short = host.post.host.clone();
    let log = run(host, job);

    let expect = &vector["expect"];
    let expected = expect["log"].as_array().expect("a log");
    // cronie tells of a bad line in the same log; what we say of it stands with the parser's vectors.
    let (bad, expected): (Vec<_>, Vec<_>) = expected.iter().cloned().partition(|line| {
        line[0] == "CRON" && line[1].as_str().is_some_and(|word| word.starts_with("bad "))
    });
    same("an error", &json!(!bad.is_empty()), &json!(has_errors))?;
    same("the log", &Value::Array(expected), &json!(log))?;
    same("the job", &expect["job"], &recorded(&out, &recorder))?;
    let mail = mailed(&out, &recorder, &short);
    same("the mail", &expect["mail"], &mail)
}

fn same(what: &str, want: &Value, have: &Value) -> Result<(), String> {
    if want == have {
        return Ok(());
    }
    Err(format!("{what} is\n      {have}\n    cronie says\n      {want}"))
}

/// The one job of a crontab, and whether the crontab has errors.
fn job(bytes: Vec<u8>, flavour: &str) -> Result<(Arc<Job>, bool), String> {
    let dialect = match flavour {
        "system" => Dialect::system(),
        "root" => Dialect::spool("root"),
        _ => Dialect::spool("alice"),
    };
    let source = Source { name: "tab".into(), bytes, dialect };
    let crontab = crontab::parse(&source);
    let (table, _, _) = JobTable::build(
        &[(&source, &crontab)],
        &Zone::utc(),
        &Options::default(),
        &JobTable::default(),
        Timestamp::UNIX_EPOCH,
    );
    match table.jobs() {
        [job] => Ok((Arc::clone(job), crontab.has_errors())),
        jobs => Err(format!("{} jobs: {:?}", jobs.len(), crontab.faults)),
    }
}

/// Runs a job to its end, its mail included; what the log says of it in cron's words.
fn run(host: Host, job: Arc<Job>) -> Vec<[String; 3]> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut builder = Bus::builder();
    let mut events = builder.subscribe();
    let (fires, taken) = mpsc::unbounded_channel();
    let told = runtime.block_on(async {
        let (executor, handle) = Executor::new(host, Arc::new(SystemClock), builder.build(), taken)
            .expect("an executor");
        let due = Due { at: Timestamp::UNIX_EPOCH, civil: DateTime::ZERO };
        fires
            .send(Fire { job, due, trigger: Trigger::Schedule, generation: 0 })
            .expect("it is there");
        let executing = tokio::spawn(executor.run());
        let mut told = Vec::new();
        loop {
            let event = events.recv().await.expect("the end is told");
            told.push(Arc::clone(&event));
            if matches!(*event, Event::RunEnded(_)) {
                break;
            }
        }
        // A mail is asked for before the end is told, and taken up in the next turns of the tasks.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop((fires, handle));
        let ended = tokio::time::timeout(Duration::from_secs(60), executing);
        ended.await.expect("the mail is taken").expect("no panic");
        while let Ok(event) = events.try_recv() {
            told.push(event);
        }
        told
    });
    let words = Words::default();
    tracing::subscriber::with_default(words.clone(), || {
        for event in &told {
            trace(event, &Zone::utc());
        }
    });
    let said = words.0.lock().expect("no panic").clone();
    said.iter().filter_map(|message| cron_words(message)).collect()
}

/// `(user) EVENT (detail)`
fn cron_words(message: &str) -> Option<[String; 3]> {
    let (user, rest) = message.strip_prefix('(')?.split_once(") ")?;
    let (event, detail) = rest.strip_suffix(')')?.split_once(" (")?;
    Some([user, event, detail].map(str::to_owned))
}

/// Takes the words of every record.
#[derive(Debug, Clone, Default)]
struct Words(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Words {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    write!(self.0, "{value:?}").expect("a string has room");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().expect("no panic").push(message.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// What the recorder has seen, as the vectors have it; null if it was not reached.
fn recorded(out: &Path, recorder: &str) -> Value {
    let Ok(argv) = fs::read(out.join("argv")) else { return Value::Null };
    let read = |name: &str| fs::read(out.join(name)).expect("it was written before");
    let text = |bytes: &[u8]| text(&replaced(bytes, recorder.as_bytes(), b"@REC@"));
    let line = |name| text(read(name).trim_ascii_end());
    let environment: Vec<_> = strings(&read("environ"))
        .filter(|line| !line.starts_with(b"CRONKEEP_"))
        .map(text)
        .collect();
    json!({
        "argv": strings(&argv).map(text).collect::<Vec<_>>(),
        "stdin": text(&read("stdin")),
        "cwd": line("cwd"),
        "uid": line("uid").as_str().and_then(|uid| uid.parse::<u32>().ok()),
        "env": environment,
    })
}

/// The mail that was handed over, as the vectors have it; null if there was none.
fn mailed(out: &Path, recorder: &str, short: &str) -> Value {
    let Ok(options) = fs::read(out.join("options")) else { return Value::Null };
    let message = fs::read(out.join("message")).expect("it was written before");
    let message = replaced(&message, recorder.as_bytes(), b"@REC@");
    let message = replaced(&message, format!("@{short}> ").as_bytes(), b"@HOST> ");
    let is_ours = |line: &[u8]| line.starts_with(b"X-Cron-Env: <CRONKEEP_");
    let kept: Vec<u8> = message
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| !is_ours(line))
        .collect::<Vec<_>>()
        .concat();
    json!({ "argv": strings(&options).map(text).collect::<Vec<_>>(), "message": text(&kept) })
}

/// Text as the vectors have it.
fn text(bytes: &[u8]) -> Value {
    json!(crontab::Text::from(bytes))
}

/// Strings that each end in a NUL byte.
fn strings(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|&byte| byte == 0).map(|string| &string[..string.len() - 1])
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..place]);
        out.extend_from_slice(to);
        rest = &rest[place + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().expect("a plain path")).expect("no NUL byte")
}
