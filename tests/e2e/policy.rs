//! Options of jobs, and why runs end, with the real daemon.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid};
use serde_json::Value;

use crate::harness::Crond;

/// A cgroup below our own, with a limit on memory; removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    /// None where the machine does not let us; says why.
    fn with_memory(bytes: u64) -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let first = own.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path));
        let second = own.lines().find_map(|line| line.strip_prefix("0::"));
        let (base, file) = match (first, second) {
            (Some(path), _) => (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
            (None, Some(path)) => (format!("/sys/fs/cgroup{path}"), "memory.max"),
            (None, None) => return Err("no cgroup".into()),
        };
        let folder = Path::new(&base).join(format!("cronkeep-test-{}", getpid()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let cgroup = Cgroup(folder);
        let limit = fs::write(cgroup.0.join(file), bytes.to_string());
        limit.map_err(|error| format!("{file}: {error}"))?;
        // Swap would only put it off, where there is any.
        let _ = fs::write(cgroup.0.join("memory.swap.max"), "0");
        Ok(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_run_that_the_kernel_ends_for_want_of_memory_is_told_so() {
    let cgroup = match Cgroup::with_memory(64 << 20) {
        Ok(cgroup) => cgroup,
        Err(reason) => return println!("not tested: {reason}"),
    };
    let folder = tempfile::TempDir::new().unwrap();
    let crontab = folder.path().join("crontab");
    fs::write(&crontab, "* * * * * * x=x; while :; do x=$x$x; done\n").unwrap();
    let mut child = Command::new("/bin/sh")
        .args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#])
        .arg(&cgroup.0)
        .args([env!("CARGO_BIN_EXE_cronkeep"), "--log-format=json", "--on-stop=end"])
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
