//! TERM and INT.

use std::time::Instant;

use nix::sys::signal::Signal;

use crate::harness::Crond;

#[test]
fn term_ends_a_running_job_and_the_daemon() {
    let mut crond = Crond::new()
        .arg("--on-stop=end")
        .crontab("* * * * * * trap 'echo told >> {dir}/log; exit 0' TERM; echo up >> {dir}/log; while :; do sleep 0.05; done\n")
        .start();
    crond.expect_file("log", |text| text.contains("up"));
    crond.signal(Signal::SIGTERM);
    crond.expect("daemon.stopping");
    let file = crond.path("log");
    let folder_holds_told = || std::fs::read_to_string(&file).unwrap_or_default().contains("told");
    crond.expect("daemon.stopped");
    assert!(folder_holds_told(), "the job was not told to end");
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_job_that_ignores_term_is_killed_after_the_grace() {
    let mut crond = Crond::new()
        .arg("--on-stop=end")
        .arg("--stop-grace=300ms")
        .crontab("* * * * * * trap '' TERM; echo up >> {dir}/log; while :; do sleep 0.05; done\n")
        .start();
    crond.expect_file("log", |text| text.contains("up"));
    let asked = Instant::now();
    crond.signal(Signal::SIGINT);
    let stopped = crond.expect("daemon.stopped");
    assert!(stopped["killed"].as_u64().unwrap() >= 1, "{stopped}");
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(1), "something had to be killed");
    assert!(asked.elapsed() < crate::harness::PATIENCE / 2);
}

#[test]
fn under_leave_jobs_outlive_the_daemon() {
    let mut crond = Crond::new()
        .arg("--on-stop=leave")
        .crontab("* * * * * * [ -e {dir}/up ] && exit; touch {dir}/up; while [ ! -e {dir}/go ]; do sleep 0.05; done; echo done > {dir}/log\n")
        .start();
    crond.expect_where("run.started", |_| true);
    crond.expect_file("up", |_| true);
    crond.signal(Signal::SIGTERM);
    let stopped = crond.expect("daemon.stopped");
    assert!(stopped["left"].as_u64().unwrap() >= 1, "{stopped}");
    std::fs::write(crond.path("go"), "").unwrap();
    crond.expect_file("log", |text| text.contains("done"));
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn nothing_starts_after_term() {
    let mut crond =
        Crond::new().arg("--on-stop=end").crontab("* * * * * * echo x; sleep 30\n").start();
    crond.expect("run.started");
    crond.signal(Signal::SIGTERM);
    crond.expect("daemon.stopping");
    let (_, events) = crond.wait();
    let stopping = events.iter().position(|event| event["event"] == "daemon.stopping").unwrap();
    assert!(events[stopping..].iter().all(|event| event["event"] != "run.started"));
}

#[test]
fn a_second_term_kills_at_once() {
    let mut crond = Crond::new()
        .arg("--on-stop=end")
        .arg("--stop-grace=1h")
        .crontab("* * * * * * trap '' TERM; echo up >> {dir}/log; while :; do sleep 0.05; done\n")
        .start();
    crond.expect_file("log", |text| text.contains("up"));
    crond.signal(Signal::SIGTERM);
    crond.expect("daemon.stopping");
    crond.signal(Signal::SIGTERM);
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn term_is_not_lost_among_edits_and_reloads() {
    for _ in 0..10 {
        let crond = Crond::new().crontab("* * * * * * true\n").start();
        for round in 0..5 {
            crond.write(&format!("* * * * * * echo {round}\n"));
            crond.signal(Signal::SIGUSR2);
        }
        crond.stop();
    }
}
