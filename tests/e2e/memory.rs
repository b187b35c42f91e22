//! What the daemon keeps of the memory that a load takes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::Cgroup;
use crate::harness::PATIENCE;

/// The kernel's own for the threads and files of the daemon, and what its cgroup's counters are late by.
const BESIDES: u64 = 4 << 20;

/// The bytes that a process has of its own, not of files.
fn anonymous(process: u32) -> u64 {
    let all = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = all.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

/// Also as the system counts it, which may charge more than what is mapped.
#[test]
fn what_a_large_load_took_is_given_back_to_the_system() {
    let cgroup = match Cgroup::with_memory(1 << 30) {
        Ok(cgroup) => cgroup,
        Err(reason) => return println!("not tested: {reason}"),
    };
    let folder = tempfile::TempDir::new().unwrap();
    let crontab = folder.path().join("crontab");
    let line = |number: u32| format!("{} 0 1 1 * true --number={number}\n", number % 60);
    fs::write(&crontab, (0..20_000).map(line).collect::<String>()).unwrap();
    let mut child = cgroup
        .program(env!("CARGO_BIN_EXE_cronkeep"))
        .arg("--log-format=json")
        .env("CRONKEEP_STATE_DIR", folder.path().join("state"))
        .arg(&crontab)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let loaded = lines.find(|line| line.contains("crontab.loaded")).unwrap();
    assert!(loaded.contains(r#""jobs":20000"#), "{loaded}");
    let deadline = Instant::now() + PATIENCE;
    let (charged, own) = loop {
        let (charged, own) = (cgroup.charged(), anonymous(child.id()));
        if is_little(charged, own) || Instant::now() > deadline {
            break (charged, own);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
    assert!(is_little(charged, own), "{charged} bytes are charged, it has {own}");
}

fn is_little(charged: u64, own: u64) -> bool {
    charged < own + BESIDES && own < 32 << 20
}
