//! A host of its own for the daemon: /etc and /var/spool are folders that a test writes to.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

use crate::harness::{PATIENCE, Running};

/// A user of the host, beside root.
pub const ALICE: u32 = 1500;

/// Files of the machine that programs need to find libraries, users and the zone.
const TAKEN_OVER: [&str; 4] = ["ld.so.cache", "ld.so.conf", "nsswitch.conf", "localtime"];

/// Mounts the folder's `etc` and `spool`, then becomes the daemon.
const SCRIPT: &str = r#"
mount --bind "$0/etc" /etc && mount --bind "$0/spool" /var/spool && mount -t tmpfs none /run || exit 99
exec "$@"
"#;

/// A host to be prepared.
pub struct Host {
    folder: TempDir,
    arguments: Vec<OsString>,
}

impl Host {
    /// A host without any crontab, nor a place for one; none where the test does not run as root.
    pub fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root can prepare a host of its own");
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "spool"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let host = Host { folder, arguments: Vec::new() };
        for name in TAKEN_OVER {
            let from = Path::new("/etc").join(name);
            if from.exists() {
                fs::copy(from, host.path("etc").join(name)).unwrap();
            }
        }
        let passwd = format!(
            "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n\
             alice:x:{ALICE}:{ALICE}::/:/bin/sh\n"
        );
        fs::write(host.path("etc/passwd"), passwd).unwrap();
        fs::write(host.path("etc/group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
        Some(host)
    }

    /// With an empty /etc/cron.d and an empty spool.
    pub fn with_folders() -> Option<Self> {
        let host = Host::new()?;
        fs::create_dir(host.path("etc/cron.d")).unwrap();
        fs::create_dir_all(host.path("spool/cron/crontabs")).unwrap();
        Some(host)
    }

    /// The path of a file of the host, from outside; `etc/…` and `spool/…`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file with this mode.
    pub fn file(self, name: &str, mode: u32, text: &str) -> Self {
        write(&self.path(name), mode, text);
        self
    }

    /// Writes a file of this user with this mode.
    pub fn file_of(self, name: &str, uid: u32, mode: u32, text: &str) -> Self {
        write(&self.path(name), mode, text);
        chown(self.path(name), Some(uid), None).unwrap();
        self
    }

    /// Adds an argument of the daemon.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Starts the daemon on the host's crontabs, and waits until they are in force.
    pub fn start(self) -> Running {
        let (stream, told) = std::io::pipe().unwrap();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT])
            .arg(self.folder.path())
            .arg(env!("CARGO_BIN_EXE_cronkeep"))
            .args(["--log-format", "json", "--log-level", "debug"])
            .arg("--state-dir")
            .arg(self.folder.path().join("state"))
            .arg("--control")
            .arg(self.folder.path().join("control.sock"))
            .args(&self.arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(told.try_clone().unwrap())
            .stderr(told);
        let child = command.spawn().expect("unshare starts");
        // Else it would never end for us.
        drop(command);
        let mut running = Running::of(child, self.folder, stream);
        running.expect("crontab.loaded");
        running
    }
}

/// Writes a file with this mode, in one step.
pub fn write(path: &Path, mode: u32, text: &str) {
    let new = path.with_file_name(".new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, Permissions::from_mode(mode)).unwrap();
    fs::rename(new, path).unwrap();
}

impl Running {
    /// Waits until a notice about the file `name` has this in it; gives how many there were so far.
    pub fn expect_told(&mut self, name: &str, part: &str) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.told(name, part);
            if told > 0 {
                return told;
            }
            assert!(Instant::now() < deadline, "{name}: {part}: {:#?}", self.seen());
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
    }

    /// How many notices about the file `name` had this in them so far.
    pub fn told(&mut self, name: &str, part: &str) -> usize {
        let is_it = |event: &serde_json::Value| {
            event["event"] == "crontab.notice"
                && event["file"].as_str().is_some_and(|file| file.ends_with(name))
                && event["message"].as_str().is_some_and(|text| text.contains(part))
        };
        self.seen().iter().filter(|event| is_it(event)).count()
    }

    /// The commands of the jobs that were added and not removed so far, sorted.
    pub fn jobs(&mut self) -> Vec<String> {
        let mut jobs: Vec<String> = Vec::new();
        for event in self.seen() {
            let command = || event["message"].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str() {
                Some("job.added") => jobs.push(command()),
                Some("job.removed") => {
                    let place = jobs.iter().position(|job| *job == command());
                    jobs.remove(place.expect("what is removed was added"));
                }
                _ => {}
            }
        }
        jobs.sort();
        jobs
    }

    /// Has the daemon look at every crontab now.
    pub fn watch_again(&self) {
        self.signal(nix::sys::signal::Signal::SIGHUP);
    }

    /// Waits until exactly these jobs are in force.
    pub fn expect_jobs(&mut self, expected: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while self.jobs() != expected {
            assert!(Instant::now() < deadline, "{:?}: {:#?}", self.jobs(), self.seen());
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
    }
}
