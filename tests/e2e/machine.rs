//! A host of its own: mounts of its own over /etc, /run, /dev and the spool, in which daemons run under cron's names.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::harness::PATIENCE;

/// A number that no account of a machine has.
pub const ALICE: u32 = 61_234;

/// Mounts the folder's files over the machine's, and holds the namespace open.
const HOLD: &str = r#"
set -e
folder=$1
mount --make-rprivate /
[ -d /var/spool/cron ] || mkdir -p /var/spool/cron
mount -t overlay overlay -o "lowerdir=$folder/etc:/etc" /etc
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/spool" /var/spool/cron
[ ! -d /etc/cron.d ] || mount -t tmpfs tmpfs /etc/cron.d
mount -t tmpfs tmpfs /run
mkdir -p /var/lib; mount -t tmpfs tmpfs /var/lib
mkdir "$folder/dev"; mount -t tmpfs tmpfs "$folder/dev"
for name in null zero urandom; do touch "$folder/dev/$name"; mount --bind "/dev/$name" "$folder/dev/$name"; done
ln -s "$folder/log" "$folder/dev/log"
mount --move "$folder/dev" /dev
echo ready
exec sleep 1000
"#;

/// A host with its own /etc, /run, /dev and spool; gone when dropped, and every daemon with it.
pub struct Machine {
    pub folder: TempDir,
    holder: Child,
}

impl Machine {
    /// A host whose /etc/crontab is `crontab`.
    pub fn new(crontab: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root: they mount");
        let folder = tempfile::tempdir().unwrap();
        for name in ["spool/crontabs", "etc", "bin"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("etc/crontab"), crontab).unwrap();
        let users =
            format!("root:x:0:0:root:/root:/bin/sh\nalice:x:{ALICE}:{ALICE}::/tmp:/bin/sh\n");
        fs::write(folder.path().join("passwd"), users).unwrap();
        let binary = folder.path().join("bin/cronkeep");
        crate::program::copy(env!("CARGO_BIN_EXE_cronkeep"), &binary);
        for name in ["crond", "cron", "crontab"] {
            fs::hard_link(&binary, folder.path().join("bin").join(name)).unwrap();
        }
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
        Machine { folder, holder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path as the daemon has it.
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.holder.id()))
    }

    /// The program under one of its names.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let program = self.path("bin").join(name);
        self.any(program.to_str().unwrap(), arguments)
    }

    pub fn as_alice(&self, arguments: &[&str]) -> Command {
        let crontab = self.path("bin/crontab");
        let id = ALICE.to_string();
        let mut all =
            vec!["--reuid", &id, "--regid", &id, "--clear-groups", crontab.to_str().unwrap()];
        all.extend(arguments);
        self.any("setpriv", &all)
    }

    pub fn any(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()))
            .arg(program)
            .args(arguments)
            .env("TZ", "UTC")
            .env_remove("NOTIFY_SOCKET")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// The system's log, listening.
    pub fn syslog(&self) -> Log {
        let path = self.path("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        Log::of(socket)
    }

    pub fn pid_in_file(&self) -> Pid {
        let text = fs::read_to_string(self.inside("/run/crond.pid")).unwrap();
        Pid::from_raw(text.strip_suffix('\n').unwrap().parse().unwrap())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Daemons in the background: whoever shares the mounts.
        let ours = fs::read_link(format!("/proc/{}/ns/mnt", self.holder.id())).unwrap();
        for item in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = item.file_name().to_str().unwrap_or("").parse::<i32>() else { continue };
            if fs::read_link(item.path().join("ns/mnt")).is_ok_and(|mounts| mounts == ours) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let _ = self.holder.wait();
    }
}

/// Datagrams that somebody sends us.
pub struct Log {
    socket: UnixDatagram,
    seen: Vec<String>,
}

impl Log {
    pub fn of(socket: UnixDatagram) -> Self {
        Log { socket, seen: Vec::new() }
    }

    /// Waits for a message that holds `words`.
    pub fn expect(&mut self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = [0; 16 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            let Ok(count) = self.socket.recv(&mut bytes) else {
                panic!("no {words:?}; seen: {:#?}", self.seen)
            };
            let message = String::from_utf8_lossy(&bytes[..count]).into_owned();
            self.seen.push(message.clone());
            if message.contains(words) {
                return message;
            }
        }
    }
}

/// A daemon that we started in the foreground.
pub struct Foreground {
    pub child: Child,
}

impl Foreground {
    pub fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Foreground { child }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end; its code and what it printed.
    pub fn wait(self) -> (Option<i32>, String, String) {
        let output = self.child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
