//! Options of jobs, and why runs end, with the real daemon.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::harness::Crond;

#[test]
fn a_run_that_the_kernel_ends_for_want_of_memory_is_told_so() {
    let cgroup = match Cgroup::with_memory(64 << 20) {
        Ok(cgroup) => cgroup,
        Err(reason) => return println!("not tested: {reason}"),
    };
    let folder = tempfile::TempDir::new().unwrap();
    let crontab = folder.path().join("crontab");
    fs::write(&crontab, "* * * * * * x=x; while :; do x=$x$x; done\n").unwrap();
    let mut child = cgroup
        .program(env!("CARGO_BIN_EXE_cronkeep"))
        .args(["--log-format=json", "--on-stop=end"])
        .env("CRONKEEP_STATE_DIR", folder.path().join("state"))
        .arg(&crontab)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let end = events.into_iter().find(|event| event["event"] == "run.ended");
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
    let end = end.expect("the daemon lives");
    assert_eq!((&end["signal"], &end["reason"]), (&9.into(), &"out of memory".into()), "{end}");
}

#[test]
fn a_second_term_that_comes_at_once_kills_too() {
    for _ in 0..10 {
        let mut crond = Crond::new()
            .arg("--on-stop=end")
            .arg("--stop-grace=1h")
            .crontab(
                "* * * * * * trap '' TERM; echo up >> {dir}/log; while :; do sleep 0.05; done\n",
            )
            .start();
        crond.expect_file("log", |text| text.contains("up"));
        crond.signal(Signal::SIGTERM);
        crond.expect_where("daemon.signal", |event: &Value| event["signal"] == "SIGTERM");
        crond.signal(Signal::SIGINT);
        let (status, events) = crond.wait();
        assert_eq!(status.code(), Some(1), "{events:#?}");
    }
}
