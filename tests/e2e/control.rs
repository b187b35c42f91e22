//! The commands that speak to a daemon, each against a real one.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{TWO, ask, client, objects, refused, told};
use crate::harness::{Crond, Running};

#[test]
fn list_shows_each_job_to_people_and_to_programs() {
    let crond = Crond::new().crontab(TWO).start();
    let text = told(&crond, &["list"]);
    assert!(text.starts_with("JOB"), "{text}");
    assert!(text.contains("backup") && text.contains("0 0 1 1 *"), "{text}");
    assert!(!text.contains('\x1b'), "no colours but on a terminal");
    let jobs = objects(&told(&crond, &["list", "--json"]));
    assert_eq!(jobs.len(), 2);
    let names: Vec<&String> = jobs[0].as_object().unwrap().keys().collect();
    let stable = [
        "key",
        "id",
        "name",
        "user",
        "file",
        "line",
        "schedule",
        "tz",
        "command",
        "description",
        "next",
        "last",
        "paused",
        "enabled",
    ];
    assert_eq!(names, stable);
    assert_eq!(jobs[0]["name"], "backup");
    assert_eq!(jobs[0]["line"], 3);
    assert_eq!(jobs[0]["description"], "Saves what matters");
    assert_eq!(jobs[0]["last"], Value::Null);
    assert!(jobs[0]["next"].as_str().unwrap().contains("-01-01T00:00:00"));
    let one = objects(&told(&crond, &["list", "--json", "sleeper"]));
    assert_eq!(one, [jobs[1].clone()]);
    crond.stop();
}

#[test]
fn run_prints_the_id_and_with_wait_exits_as_the_job_did() {
    let mut crond = Crond::new().crontab(TWO).start();
    let id = told(&crond, &["run", "backup"]).trim().to_owned();
    let ended = crond.expect_where("run.ended", |event| event["run"] == id.as_str());
    assert_eq!(ended["exit"], 3);

    let waited = ask(&crond, &["run", "--wait", "backup"]);
    assert_eq!(waited.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&waited.stderr).contains("failed with exit code 3"));
    let id = String::from_utf8(waited.stdout).unwrap().trim().to_owned();
    assert_eq!(id.len(), 26);

    let last = &objects(&told(&crond, &["list", "--json", "backup"]))[0]["last"];
    assert_eq!(last["run"], id.as_str());
    assert_eq!((&last["exit"], &last["trigger"]), (&Value::from(3), &Value::from("manual")));
    assert_eq!(last["outcome"], "failed");
    assert!(told(&crond, &["list"]).contains("exit 3"));
    crond.stop();
}

#[test]
fn a_job_is_named_by_its_id_or_the_first_of_its_digits() {
    let crond = Crond::new().crontab("0 0 1 1 * exit 7\n").start();
    let id = objects(&told(&crond, &["list", "--json"]))[0]["id"].as_str().unwrap().to_owned();
    let digits = id.strip_prefix("crondServiceTask-").unwrap();
    for name in [&id, digits, &digits[..6]] {
        assert_eq!(ask(&crond, &["run", "--wait", name]).status.code(), Some(7), "{name}");
    }
    crond.stop();
}

#[test]
fn a_wrong_name_is_refused_with_a_suggestion() {
    let crond = Crond::new().crontab(TWO).start();
    for command in [&["run"][..], &["pause"], &["resume"], &["list"], &["run", "--wait"]] {
        let text = refused(&crond, &[command, &["bakcup"]].concat(), 1);
        assert!(text.contains("there is no job \"bakcup\""), "{text}");
        assert!(text.contains("did you mean \"backup\"?"), "{text}");
    }
    let text = refused(&crond, &["stop", "backup"], 1);
    assert!(text.contains("that is a job"), "{text}");
    let text = refused(&crond, &["logs", "no/such job"], 1);
    assert!(text.contains("there is no job \"no/such job\""), "{text}");
    crond.stop();
}

#[test]
fn stop_ends_a_run_and_whoever_waits_for_it_learns_how() {
    let mut crond = Crond::new().crontab(TWO).start();
    let waiting = client(&crond, &["run", "--wait", "sleeper"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let run = crond.expect("run.started")["run"].as_str().unwrap().to_owned();
    let status = objects(&told(&crond, &["status", "--json"])).remove(0);
    assert_eq!(status["active"][0]["run"], run.as_str());
    assert!(told(&crond, &["status"]).contains("sleeper"));
    told(&crond, &["stop", &run[20..].to_lowercase()]);
    let waited = waiting.wait_with_output().unwrap();
    assert_eq!(waited.status.code(), Some(128 + 15), "{waited:?}");
    let text = refused(&crond, &["stop", &run], 1);
    assert!(text.contains("is alive"), "{text}");
    crond.stop();
}

#[test]
fn pause_and_resume_say_what_they_changed() {
    let crond = Crond::new().crontab(TWO).start();
    assert_eq!(told(&crond, &["pause", "backup"]), "backup is paused\n");
    assert_eq!(told(&crond, &["pause", "backup"]), "backup was paused already\n");
    assert!(told(&crond, &["list"]).contains("paused"));
    assert_eq!(objects(&told(&crond, &["list", "--json", "backup"]))[0]["paused"], true);
    assert_eq!(told(&crond, &["resume", "backup"]), "backup is resumed\n");
    assert_eq!(told(&crond, &["resume", "backup"]), "backup was not paused\n");
    assert_eq!(objects(&told(&crond, &["list", "--json", "backup"]))[0]["paused"], false);
    crond.stop();
}

#[test]
fn reload_looks_at_the_crontabs_at_once() {
    let mut crond = Crond::new().crontab(TWO).start();
    assert_eq!(told(&crond, &["reload"]), "");
    crond.expect("crontab.loaded");
    crond.stop();
}

#[test]
fn status_tells_everything_about_the_daemon() {
    let crond = Crond::new().crontab(TWO).start();
    let status = objects(&told(&crond, &["status", "--json"])).remove(0);
    let names: Vec<&String> = status.as_object().unwrap().keys().collect();
    let stable = [
        "version",
        "pid",
        "user",
        "started",
        "uptime_s",
        "tz",
        "sources",
        "watch",
        "jobs",
        "active",
        "waiting",
        "store",
        "broker",
        "broker_standing",
        "outbox",
        "replicas",
        "held",
        "orphans",
        "next",
        "health",
    ];
    assert_eq!(names, stable);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], crond.pid().as_raw());
    assert_eq!(status["jobs"]["total"], 2);
    let store = format!("sqlite:{}", crond.path("state/cronkeep.db").display());
    assert_eq!((&status["store"], &status["broker"]), (&store.into(), &"none".into()));
    assert_eq!(status["sources"][0]["file"], crond.path("crontab").to_str().unwrap());
    assert_eq!(status["sources"][0]["hash"].as_str().unwrap().len(), 16);
    assert!(status["sources"][0]["age_s"].is_u64());
    assert_eq!(status["health"]["healthy"], true);
    assert!(status["next"].as_str().unwrap().contains("-01-01T00:00:00"));
    assert!(told(&crond, &["status"]).starts_with("cronkeep"));
    crond.stop();
}

#[test]
fn the_dump_on_usr1_tells_what_status_tells() {
    let mut crond = Crond::new().crontab(TWO).start();
    // What changes right after a start has changed by then.
    let mut status = told(&crond, &["status"]);
    for head in ["health", "crontabs", "watch", "store", "replicas"] {
        let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
        loop {
            let line = status.lines().find(|line| line.starts_with(head)).unwrap();
            let text = line[head.len()..].trim().split(", loaded").next().unwrap();
            crond.signal(Signal::SIGUSR1);
            let dump = crond.expect_where("daemon.dump", |event| {
                event["message"]
                    .as_str()
                    .is_some_and(|message| message.starts_with(&format!("{head}: ")))
            });
            if dump["message"].as_str().unwrap().starts_with(&format!("{head}: {text}")) {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{dump}\n{status}");
            status = self::told(&crond, &["status"]);
        }
    }
    crond.stop();
}

#[test]
fn a_run_that_the_policy_is_against_is_refused_with_the_reason() {
    let mut crond = Crond::new()
        .crontab("# cronkeep: name=one max-instances=1\n0 0 1 1 * exec sleep 1000\n")
        .start();
    let run = told(&crond, &["run", "one"]).trim().to_owned();
    crond.expect("run.started");
    let text = refused(&crond, &["run", "one"], 1);
    assert!(text.contains("one is not run: max instances"), "{text}");
    told(&crond, &["stop", &run]);
    crond.expect("run.ended");
    crond.stop();
}

#[test]
fn a_run_that_waits_for_its_next_attempt_is_shown_and_can_be_stopped() {
    let mut crond = Crond::new()
        .crontab("# cronkeep: name=again retries=3 retry-delay=1h\n0 0 1 1 * exit 1\n")
        .start();
    let run = told(&crond, &["run", "again"]).trim().to_owned();
    crond.expect("run.ended");
    let status = objects(&told(&crond, &["status", "--json"])).remove(0);
    assert_eq!(status["waiting"][0]["run"], run.as_str());
    assert!(told(&crond, &["status"]).contains("waits for its next attempt"));
    told(&crond, &["stop", &run]);
    let status = objects(&told(&crond, &["status", "--json"])).remove(0);
    assert_eq!(status["waiting"], serde_json::json!([]));
    crond.stop();
}

#[test]
fn a_paused_job_is_skipped_and_runs_when_it_is_asked_for() {
    let mut crond = Crond::new().crontab("# cronkeep: name=tick\n* * * * * * echo tick\n").start();
    told(&crond, &["pause", "tick"]);
    crond.expect("run.skipped");
    let run = told(&crond, &["run", "tick"]).trim().to_owned();
    crond.expect_where("run.started", |event| event["run"] == run.as_str());
    told(&crond, &["resume", "tick"]);
    crond.expect_where("run.started", |event| event["run"] != run.as_str());
    crond.stop();
}

#[test]
fn health_is_yes_for_a_daemon_that_keeps_its_schedules() {
    let crond = Crond::new().crontab(TWO).start();
    assert_eq!(told(&crond, &["health"]), "healthy\n");
    assert_eq!(objects(&told(&crond, &["health", "--json"]))[0]["healthy"], true);
    crond.stop();
}

#[test]
fn a_broken_crontab_is_degraded_and_no_failure() {
    let mut crond = Crond::new().crontab("61 * * * * no such minute\n0 0 1 1 * true\n").start();
    let text = told(&crond, &["health"]);
    assert!(text.starts_with("degraded: ") && text.contains("1 error"), "{text}");
    let remedy = format!("`cronkeep check {}` shows it", crond.path("crontab").display());
    assert!(text.contains(&remedy), "{text}");
    crond.replace("0 0 1 1 * true\n");
    crond.expect_where("crontab.loaded", |event| event["errors"] == 0);
    assert_eq!(told(&crond, &["health"]), "healthy\n");
    crond.stop();
}

#[test]
fn a_daemon_that_has_no_crontab_yet_is_degraded_and_no_failure() {
    let crond = Crond::new().spawn();
    crond.wait_for_socket();
    let text = told(&crond, &["health"]);
    assert!(text.starts_with("degraded: "), "{text}");
    crond.stop();
}

#[test]
fn a_daemon_that_is_stopped_is_unhealthy_within_two_seconds() {
    let crond = Crond::new().crontab(TWO).start();
    crond.signal(Signal::SIGSTOP);
    let since = Instant::now();
    let text = refused(&crond, &["health"], 1);
    let took = since.elapsed();
    crond.signal(Signal::SIGCONT);
    assert!(text.contains("did not answer"), "{text}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(told(&crond, &["health"]), "healthy\n");
    crond.stop();
}

#[test]
fn a_scheduler_thread_that_hangs_is_unhealthy() {
    let crond = Crond::new().crontab(TWO).start();
    let thread = thread_named(&crond, "scheduler");
    // A tracer's stop halts the one thread; the signal of kill(2) would halt all.
    let text = while_halted(thread, || {
        let output = ask(&crond, &["health"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    });
    assert!(text.starts_with("unhealthy: the scheduler does not answer"), "{text}");
    assert_eq!(told(&crond, &["health"]), "healthy\n");
    crond.stop();
}

fn thread_named(crond: &Running, name: &str) -> i32 {
    let threads = format!("/proc/{}/task", crond.pid());
    let found = fs::read_dir(threads).unwrap().flatten().find(|thread| {
        fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    });
    found.expect("the thread").file_name().to_str().unwrap().parse().unwrap()
}

/// Does something while a thread of another process is halted.
fn while_halted<T>(thread: i32, work: impl FnOnce() -> T) -> T {
    use nix::sys::ptrace;
    use nix::sys::wait::{WaitPidFlag, waitpid};
    let thread = nix::unistd::Pid::from_raw(thread);
    ptrace::attach(thread).expect("a tracer's rights");
    waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    let outcome = work();
    ptrace::detach(thread, None).unwrap();
    outcome
}

#[test]
fn without_a_daemon_one_line_names_the_socket_and_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    for command in ["list", "status", "health", "reload"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
        let output = program.arg(command).arg("--control").arg(&socket).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(socket.to_str().unwrap()) && text.contains("--control"), "{text}");
    }
}

#[test]
fn logs_show_what_a_job_and_a_run_printed() {
    let mut crond = Crond::new().crontab(TWO).start();
    let silent = ask(&crond, &["logs", "backup"]);
    assert!(silent.status.success() && silent.stdout.is_empty(), "{silent:?}");
    let text = String::from_utf8(silent.stderr).unwrap();
    assert!(text.contains("nothing that backup has printed is known"), "{text}");
    let waited = ask(&crond, &["run", "--wait", "backup"]);
    let run = String::from_utf8(waited.stdout).unwrap().trim().to_owned();
    crond.expect("run.ended");
    let text = told(&crond, &["logs", "backup"]);
    assert!(text.lines().any(|line| line == "saved"), "{text}");
    assert!(text.contains(&run) && text.contains("failed with exit code 3"), "{text}");
    let told_of_run = objects(&told(&crond, &["logs", "--json", &run]));
    assert_eq!(told_of_run[0]["line"], "saved");
    assert_eq!(
        (&told_of_run[0]["stream"], &told_of_run[0]["name"]),
        (&"stdout".into(), &"backup".into())
    );
    assert_eq!(told_of_run[1]["ended"]["exit"], 3);
    crond.stop();
}

#[test]
fn logs_follow_a_run_until_it_ends() {
    let mut crond = Crond::new()
        .crontab(
            "# cronkeep: name=steps\n\
             0 0 1 1 * echo one; while [ ! -e {dir}/go ]; do sleep 0.02; done; echo two\n",
        )
        .start();
    let run = told(&crond, &["run", "steps"]).trim().to_owned();
    crond.expect_where("run.output", |event| event["line"] == "one");
    let mut following =
        client(&crond, &["logs", "-f", &run]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = following.stdout.take().unwrap();
    let mut text = String::new();
    while !text.contains("one\n") {
        let mut bytes = [0; 256];
        let length = stdout.read(&mut bytes).unwrap();
        assert!(length > 0, "ended early: {text}");
        text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    fs::write(crond.path("go"), "").unwrap();
    stdout.read_to_string(&mut text).unwrap();
    assert!(following.wait().unwrap().success());
    assert!(text.contains("two\n") && text.contains("succeeded"), "{text}");
    crond.stop();
}

#[test]
fn whoever_stops_reading_ends_the_command_quietly() {
    let mut crond =
        Crond::new().crontab("# cronkeep: name=two\n0 0 1 1 * echo x; exit 3\n").start();
    told(&crond, &["run", "two"]);
    crond.expect("run.ended");
    for (arguments, code) in [
        (&["logs", "-f", "two"][..], 0),
        (&["list", "--json"], 0),
        (&["run", "two"], 0),
        (&["run", "--wait", "two"], 3),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = client(&crond, arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!text.contains("error"), "{arguments:?}: {text}");
    }
    crond.stop();
}
