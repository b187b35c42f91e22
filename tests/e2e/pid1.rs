//! As PID 1, in namespaces of its own: orphans, signals, the end, and roots that lack things.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::harness::{Crond, PATIENCE, Running};

/// What the daemon's mounts are made by, before it becomes PID 1's program; `$1` is the folder with the crontab.
const OWN_RUN: &str = "mount -t tmpfs tmpfs /run";

/// A daemon that will be PID 1, if the test runs as root.
fn pid1(mounts: &str) -> Option<Crond> {
    if !geteuid().is_root() {
        let reason = "skipped: only root can make a PID namespace";
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
        eprintln!("{reason}");
        return None;
    }
    let crond = Crond::new();
    let folder = crond.folder().to_str().unwrap().to_owned();
    let script = format!("set -e; folder=$1; shift; {mounts}; exec \"$@\"");
    let unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
    let wrapper = [&unshare[..], &["sh", "-c", &script, "sh", &folder]].concat();
    Some(crond.under(&wrapper))
}

/// The daemon as it is numbered outside; what was started is unshare(1), which waits for it.
fn inner(crond: &Running) -> Pid {
    let outer = crond.pid();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children"));
        if let Some(pid) = children.unwrap_or_default().split_whitespace().next() {
            return Pid::from_raw(pid.parse().unwrap());
        }
        assert!(Instant::now() < deadline, "unshare started nothing");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The processes of the daemon's namespace that nobody has waited for.
fn zombies(daemon: Pid) -> usize {
    let folder = fs::read_dir(format!("/proc/{daemon}/root/proc")).unwrap();
    let stats = folder.flatten().filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, it)| it.starts_with('Z'))).count()
}

/// row 102: PID 1 reaps whatever its jobs leave behind.
#[test]
fn ten_thousand_double_forks_leave_no_zombie() {
    let Some(crond) = pid1(OWN_RUN) else { return };
    let job = |number: u32| {
        format!(
            "@reboot i=0; while [ $i -lt 1000 ]; do (: &); i=$((i+1)); done; touch {{dir}}/done{number}\n"
        )
    };
    let crond = crond.crontab(&(0..10).map(job).collect::<String>()).start();
    let deadline = Instant::now() + Duration::from_secs(120);
    while (0..10).any(|number| !crond.path(&format!("done{number}")).exists()) {
        assert!(Instant::now() < deadline, "the jobs take too long");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let daemon = inner(&crond);
    let deadline = Instant::now() + Duration::from_secs(5);
    while zombies(daemon) > 0 {
        assert!(Instant::now() < deadline, "{} zombies", zombies(daemon));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    kill(daemon, Signal::SIGTERM).unwrap();
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
}

/// row 103: as PID 1, TERM, INT and QUIT end the jobs, then the daemon.
#[test]
fn as_pid_1_each_signal_that_ends_tells_the_jobs_first() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let Some(crond) = pid1(OWN_RUN) else { return };
        let mut crond = crond
            .crontab("@reboot trap 'echo told >> {dir}/log; exit 0' TERM; echo up >> {dir}/log; while :; do sleep 0.05; done\n")
            .start();
        crond.expect_file("log", |text| text.contains("up"));
        kill(inner(&crond), signal).unwrap();
        crond.expect("daemon.stopped");
        crond.expect_file("log", |text| text.contains("told"));
        let (status, events) = crond.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {events:#?}");
    }
}

/// row 103: what does not end within the grace is killed, and the exit code says so.
#[test]
fn as_pid_1_what_ignores_term_is_killed_at_the_deadline() {
    let Some(crond) = pid1(OWN_RUN) else { return };
    let mut crond = crond
        .arg("--stop-grace=500ms")
        // The second process has left the job's session and its parent.
        .crontab("@reboot trap '' TERM; (setsid sh -c 'trap \"\" TERM; touch {dir}/away; while :; do sleep 1; done' &); echo up >> {dir}/log; while :; do sleep 1; done\n")
        .start();
    crond.expect_file("log", |text| text.contains("up"));
    crond.expect_file("away", |_| true);
    let asked = Instant::now();
    kill(inner(&crond), Signal::SIGTERM).unwrap();
    let stopped = crond.expect("daemon.stopped");
    assert!(stopped["killed"].as_u64().unwrap() >= 1, "{stopped}");
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(1));
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(500) && took < crate::harness::PATIENCE / 2, "{took:?}");
}

#[test]
fn as_pid_1_a_second_term_does_not_wait_for_the_grace() {
    let Some(crond) = pid1(OWN_RUN) else { return };
    let mut crond = crond
        .arg("--stop-grace=1h")
        .crontab("@reboot trap '' TERM; echo up >> {dir}/log; while :; do sleep 0.05; done\n")
        .start();
    crond.expect_file("log", |text| text.contains("up"));
    let daemon = inner(&crond);
    kill(daemon, Signal::SIGTERM).unwrap();
    crond.expect("daemon.stopping");
    kill(daemon, Signal::SIGTERM).unwrap();
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn as_pid_1_jobs_can_be_left_to_the_kernel() {
    let Some(crond) = pid1(OWN_RUN) else { return };
    let mut crond = crond
        .arg("--on-stop=leave")
        .crontab("@reboot trap 'echo told >> {dir}/log' TERM; echo up >> {dir}/log; while :; do sleep 0.05; done\n")
        .start();
    crond.expect_file("log", |text| text.contains("up"));
    kill(inner(&crond), Signal::SIGTERM).unwrap();
    let stopped = crond.expect("daemon.stopped");
    assert_eq!(stopped["left"], 1, "{stopped}");
    let log = fs::read_to_string(crond.path("log")).unwrap();
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
    assert!(!log.contains("told"), "{log}");
}

/// row 104: HUP and USR2 read again, USR1 tells what is in force; running jobs stay.
#[test]
fn as_pid_1_the_other_signals_do_what_they_do_elsewhere() {
    let Some(crond) = pid1(OWN_RUN) else { return };
    let mut crond = crond
        .crontab("@reboot echo up >> {dir}/log; while [ ! -e {dir}/go ]; do sleep 0.05; done; echo done >> {dir}/log\n")
        .start();
    crond.expect_file("log", |text| text.contains("up"));
    let daemon = inner(&crond);
    for signal in [Signal::SIGHUP, Signal::SIGUSR2] {
        kill(daemon, signal).unwrap();
        crond
            .expect_where("daemon.signal", |event| event["message"].to_string().contains("reload"));
        assert_eq!(crond.expect("crontab.loaded")["unchanged"], 1);
    }
    kill(daemon, Signal::SIGUSR1).unwrap();
    let running = |event: &serde_json::Value| event["message"].to_string().contains("running:");
    crond.expect_where("daemon.dump", running);
    fs::write(crond.path("go"), "").unwrap();
    crond.expect_file("log", |text| text.contains("done"));
    kill(daemon, Signal::SIGTERM).unwrap();
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
}

/// A number that looks drawn, for a round.
fn drawn(round: u64, below: u64) -> u64 {
    let mut state = (round + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state ^= state >> 29;
    state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (state ^ (state >> 32)) % below
}

/// `CRONKEEP_TEST_ROUNDS` sets how many, for the long run.
#[test]
fn among_edits_and_reloads_term_always_ends_it_within_the_grace() {
    let rounds =
        std::env::var("CRONKEEP_TEST_ROUNDS").map_or(100, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let Some(crond) = pid1(OWN_RUN) else { return };
        let job = "* * * * * * sleep 0.3; (sleep 0.2 &)\n";
        let crond = crond.crontab(job).spawn();
        let daemon = inner(&crond);
        // For PID 1 the kernel keeps no signal before the program asks for it.
        let deadline = Instant::now() + PATIENCE;
        while !takes_term(daemon) {
            assert!(Instant::now() < deadline, "round {round}: it does not start");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if drawn(round, 4) > 0 {
            // Else the signals meet a daemon that is still starting.
            std::thread::park_timeout(Duration::from_millis(drawn(round ^ 0x55, 150)));
        }
        for edit in 0..drawn(round ^ 0xAA, 6) {
            let text = format!("{job}* * * * * * echo {round} {edit}\n");
            if drawn(round ^ edit, 2) == 0 {
                crond.write(&text);
            } else {
                crond.replace(&text);
            }
            kill(daemon, Signal::SIGUSR2).unwrap();
        }
        let asked = Instant::now();
        kill(daemon, Signal::SIGTERM).unwrap();
        let (status, events) = crond.wait();
        assert_eq!(status.code(), Some(0), "round {round}: {events:#?}");
        assert!(asked.elapsed() < Duration::from_secs(8), "round {round}: {:?}", asked.elapsed());
    }
}

/// Whether a process catches TERM or holds it back.
fn takes_term(pid: Pid) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let masks = text.lines().filter_map(|line| {
        let mask = line.strip_prefix("SigCgt:").or_else(|| line.strip_prefix("SigBlk:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    let term = 1 << (Signal::SIGTERM as u64 - 1);
    text.starts_with("Name:\tcronkeep\n") && masks.fold(0, |all, mask| all | mask) & term != 0
}

#[test]
fn on_a_host_jobs_outlive_a_daemon_that_was_killed() {
    let crond = Crond::new()
        .crontab("* * * * * * mkdir {dir}/once || exit; echo $$ > {dir}/up; while [ ! -e {dir}/go ]; do sleep 0.05; done; echo done > {dir}/log\n")
        .start();
    let job = crond.expect_file("up", |text| text.ends_with('\n'));
    let job = format!("/proc/{}", job.trim());
    kill(crond.pid(), Signal::SIGKILL).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(format!("/proc/{}/stat", crond.pid()))
        .is_ok_and(|it| !it.contains(") Z"))
    {
        assert!(Instant::now() < deadline, "the daemon was not killed");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert!(Path::new(&job).exists(), "the job died with the daemon");
    fs::write(crond.path("go"), "").unwrap();
    crond.expect_file("log", |text| text == "done\n");
}

/// row 106: it needs no place to write to, and no pid file.
#[test]
fn on_a_read_only_root_without_run_jobs_run() {
    let mounts = "mount --bind \"$folder\" \"$folder\"; mount -t tmpfs -o ro,mode=755 tmpfs /run; \
                  mount -o remount,bind,ro /; ! touch /run/x /etc/x 2>/dev/null";
    let Some(crond) = pid1(mounts) else { return };
    let mut crond = crond.crontab("* * * * * * echo here\n").start();
    crond.expect_where("run.output", |event| event["line"] == "here");
    kill(inner(&crond), Signal::SIGTERM).unwrap();
    let (status, events) = crond.wait();
    assert_eq!(status.code(), Some(0), "{events:#?}");
}

#[test]
fn without_tzdata_a_zone_is_known_by_its_name() {
    let mounts = "mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /usr/share/zoneinfo";
    let Some(crond) = pid1(mounts) else { return };
    let mut crond = crond
        .env("TZ", "Asia/Kathmandu")
        .crontab("* * * * * * echo here\nCRON_TZ=America/New_York\n0 0 1 1 * true\n")
        .spawn();
    let started = crond.expect("daemon.started");
    assert_eq!(started["zone"], "Asia/Kathmandu", "{started}");
    let loaded = crond.expect("crontab.loaded");
    assert_eq!(loaded["jobs"], 2, "{loaded}");
    let run = crond.expect("run.started");
    assert!(run["scheduled"].as_str().unwrap().ends_with("+05:45"), "{run}");
    kill(inner(&crond), Signal::SIGTERM).unwrap();
    crond.wait();
}

/// row 105: a pid file that nobody holds is no hindrance.
#[test]
fn a_stale_pid_file_is_no_hindrance() {
    let mounts = "mount -t tmpfs tmpfs /run; mkdir /run/cronkeep; \
                  for name in crond cronkeep cronkeep/cronkeep; do echo 1 > /run/$name.pid; done";
    let Some(crond) = pid1(mounts) else { return };
    let mut crond = crond.crontab("* * * * * * echo here\n").start();
    crond.expect("run.output");
    kill(inner(&crond), Signal::SIGTERM).unwrap();
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
}
