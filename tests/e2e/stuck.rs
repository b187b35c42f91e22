//! What a file system that does not answer holds up: itself, and neither the jobs nor the end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::harness::{Crond, PATIENCE, Running};

/// Mounts a file system whose server never says a word: whoever asks it for a file waits. `$1` is where.
const MOUNT: &str = "exec 9<>/dev/fuse; \
    mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 stuck \"$1\"";

/// Answers all who wait on the file system, with an error, when it is dropped.
struct Stuck(Child);

impl Stuck {
    /// Mounts it over a directory of the daemon's.
    fn over(folder: &Path, crond: &Running) -> Stuck {
        let script = format!("{MOUNT} && echo mounted && exec sleep 1000");
        let mut child = Command::new("nsenter")
            .args(["--mount", "--target", &crond.pid().to_string()])
            .args(["sh", "-c", &script, "sh"])
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "mounted\n");
        Stuck(child)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether such a file system can be had.
fn has_fuse() -> bool {
    let is_there = Path::new("/dev/fuse").exists() && nix::unistd::geteuid().is_root();
    if !is_there {
        println!("skipped: only root with a /dev/fuse can mount a file system of its own making");
    }
    is_there
}

/// A daemon in a mount namespace of its own, with the folder `there` as its second source.
fn crond() -> (Crond, std::path::PathBuf) {
    let crond = Crond::new();
    let there = crond.folder().join("there");
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join("jobs"), "0 0 1 1 * true\n").unwrap();
    (crond.arg(&there).under(&["unshare", "--mount"]), there)
}

#[test]
fn jobs_run_on_and_a_signal_is_followed_while_a_file_system_hangs() {
    if !has_fuse() {
        return;
    }
    let (crond, there) = crond();
    let mut crond = crond.crontab("* * * * * * echo\n").start();
    let stuck = Stuck::over(&there, &crond);
    crond.signal(Signal::SIGHUP);
    crond.expect("daemon.signal");
    for _ in 0..3 {
        crond.expect("run.ended");
    }
    crond.signal(Signal::SIGUSR1);
    crond.expect("daemon.dump");
    let begun = Instant::now();
    crond.stop();
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    drop(stuck);
}

#[test]
fn when_a_file_system_answers_again_its_jobs_are_still_in_force_and_edits_are_seen() {
    if !has_fuse() {
        return;
    }
    let (crond, there) = crond();
    let mut crond = crond.crontab("0 0 1 1 * echo old\n").start();
    let stuck = Stuck::over(&there, &crond);
    crond.signal(Signal::SIGHUP);
    crond.expect("daemon.signal");
    // Its server has gone: whoever waits is told that the transport is not connected.
    drop(stuck);
    let loaded = crond.expect("crontab.loaded");
    assert_eq!(loaded["jobs"], 2, "{loaded}");
    crond.replace("0 0 1 1 * echo new\n");
    crond.expect_where("job.added", |event| event["message"] == "echo new");
    crond.stop();
}

#[test]
fn a_daemon_that_never_got_to_read_its_crontabs_ends_when_it_is_told_to() {
    if !has_fuse() {
        return;
    }
    let (crond, there) = crond();
    let script = format!("{MOUNT}; exec \"$0\" \"$@\"");
    let script = script.replace("$1", there.to_str().unwrap());
    let crond = crond.under(&["unshare", "--mount", "sh", "-c", &script]);
    let mut crond = crond.crontab("* * * * * * echo\n").spawn();
    crond.expect("daemon.started");
    let begun = Instant::now();
    crond.stop();
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

/// A disk of the daemon's that answers nothing, until this is dropped.
struct Frozen(std::path::PathBuf);

impl Frozen {
    fn new(disk: std::path::PathBuf) -> Frozen {
        assert!(Command::new("fsfreeze").arg("-f").arg(&disk).status().unwrap().success());
        Frozen(disk)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

/// A daemon whose state is on a disk of its own, `disk`; none where there cannot be one.
fn on_a_disk() -> Option<(Crond, &'static str)> {
    let crond = Crond::new();
    std::fs::create_dir(crond.folder().join("state")).unwrap();
    let script = "truncate -s 16M image && mkfs.ext4 -q -F image && mount -o loop image state && umount state";
    let made = Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .current_dir(crond.folder())
        .output()
        .unwrap();
    if !made.status.success() {
        println!("skipped: no disk of a test's own: {}", String::from_utf8_lossy(&made.stderr));
        return None;
    }
    let mount = "mount -o loop image state && exec \"$0\" \"$@\"";
    Some((crond.under(&["unshare", "--mount", "sh", "-c", mount]), "state"))
}

#[test]
fn jobs_run_on_while_the_disk_with_the_state_does_not_answer() {
    let Some((crond, state)) = on_a_disk() else { return };
    let crond = crond.crontab("* * * * * * echo >> {dir}/ticks; echo\n");
    let mut crond = crond.start();
    crond.expect("run.ended");
    // The shell has become the daemon, whose namespace has the disk.
    let disk = format!("/proc/{}/root{}", crond.pid(), crond.path(state).display());
    let frozen = Frozen::new(disk.into());
    let ticks = |text: &str| text.lines().count();
    let before = ticks(&crond.expect_file("ticks", |_| true));
    crond.expect_file("ticks", |text| ticks(text) >= before + 4);
    drop(frozen);
    // What was not recorded meanwhile is, and starts are noted again.
    crond.expect("store.up");
    let before = ticks(&crond.expect_file("ticks", |_| true));
    crond.expect_file("ticks", |text| ticks(text) >= before + 2);
    crond.stop();
}
