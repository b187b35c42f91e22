//! A disk that is full under the embedded store.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::client::told;
use crate::harness::{Crond, PATIENCE, Running};

/// Mounts a small disk for the state, and holds the namespace open.
const HOLD: &str = "mount --make-rprivate / && mkdir \"$1/state\" && \
    mount -t tmpfs -o size=5m tmpfs \"$1/state\" && echo ready && exec sleep 1000";

/// The second job prints more than the disk holds for long.
const JOBS: &str = "\
* * * * * * echo $CRONKEEP_SCHEDULED_AT >> {dir}/ticks
* * * * * * head -c 60000 /dev/urandom | base64 -w 2000
";

/// A folder whose state is on a disk of its own; gone when dropped.
struct Disk {
    folder: Arc<TempDir>,
    holder: Child,
}

impl Disk {
    fn new() -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let mut holder = Command::new("unshare")
            .args(["--mount", "sh", "-c", HOLD, "sh"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Disk { folder, holder }
    }

    /// A daemon that sees the disk.
    fn crond(&self) -> Crond {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        Crond::on(Arc::clone(&self.folder)).under(&["nsenter", &namespace]).crontab(JOBS)
    }

    /// A file on the disk, seen from outside.
    fn inside(&self, name: &str) -> PathBuf {
        let state = self.folder.path().join("state");
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), state.display())).join(name)
    }

    fn fill(&self) {
        let mut file = File::create(self.inside("filler")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.inside("filler")).unwrap();
    }

    /// The instants at which the first job was started.
    fn ticks(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("ticks")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for so many more starts.
    fn expect_ticks(&self, more: usize) {
        let (before, deadline) = (self.ticks().len(), Instant::now() + PATIENCE);
        while self.ticks().len() < before + more {
            assert!(Instant::now() < deadline, "{:?}", self.ticks());
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// How often it was told that the store went away, and came back.
fn turns(crond: &mut Running) -> [usize; 2] {
    ["store.down", "store.up"].map(|name| crond.count(name))
}

#[test]
fn on_a_full_disk_the_schedule_goes_on_and_nothing_starts_twice() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can mount");
    }
    let disk = Disk::new();
    let mut crond = disk.crond().start();
    disk.expect_ticks(2);
    disk.fill();
    let down = crond.expect("store.down");
    assert!(down.to_string().contains("no space left"), "{down}");
    let health = told(&crond, &["health"]);
    assert!(health.starts_with("degraded: ") && health.contains("no space left"), "{health}");
    disk.expect_ticks(8);
    for _ in 0..3 {
        assert_eq!(turns(&mut crond), [1, 0]);
        // Right after a start was made.
        disk.expect_ticks(1);
        crond.signal(Signal::SIGKILL);
        let (_, events) = crond.wait();
        assert!(!events.iter().any(|event| event.to_string().contains("dropped")), "{events:#?}");
        crond = disk.crond().start();
        let deadline = Instant::now() + PATIENCE;
        while turns(&mut crond) != [1, 0] {
            assert!(Instant::now() < deadline, "{:?}", turns(&mut crond));
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        disk.expect_ticks(2);
    }
    disk.empty();
    crond.expect("store.up");
    assert_eq!(told(&crond, &["health"]), "healthy\n");
    disk.expect_ticks(3);
    assert_eq!(turns(&mut crond), [1, 1]);
    crond.stop();
    let ticks = disk.ticks();
    let instants: HashSet<&String> = ticks.iter().collect();
    assert_eq!(instants.len(), ticks.len(), "nothing was started twice: {ticks:?}");
}
