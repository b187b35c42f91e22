//! The life of a daemon: a copy of the machine's files, its tables, two minutes, and what its jobs left.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use crate::crond::{Crond, INSIDE};
use crate::day::Day;
use crate::scene::{Place, Table};

/// Makes the copy below `$1/root`, waits for a line, and becomes the daemon. `$2` is the program, `$3` how to start.
const PREPARE: &str = r#"
set -eu
work=$1 program=$2 start=$3 inside=$4
shift 4
mount -t tmpfs -o size=1g tmpfs "$work/layer"
mkdir "$work/layer/upper" "$work/layer/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/layer/upper,workdir=$work/layer/work" "$work/root"
cd "$work/root"
mount -t proc proc proc
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
rm -rf etc/crontab etc/cron.d var/spool/cron etc/cron.allow etc/cron.deny
mkdir results
mount --bind "$work/results" results
rm -f ".$inside"
touch ".$inside"
mount --bind "$program" ".$inside"
echo ready
read -r go
case $start in
read-only) umount run; rm -rf run; mount -o remount,ro "$work/root" ;;
esac
exec chroot "$work/root" "$@" < /dev/null
"#;

/// The files of a life, seen from outside.
pub(crate) struct Site {
    pub(crate) crond: Crond,
    pub(crate) day: Day,
    /// The daemon, PID 1 inside, as numbered outside.
    pub(crate) pid: u32,
    started: bool,
    folder: TempDir,
}

/// A life that goes on; killed when dropped.
pub(crate) struct Running {
    pub(crate) site: Site,
    process: Child,
}

/// What the jobs left: the content of each trace and when it was last written.
pub(crate) type Traces = BTreeMap<String, (Vec<u8>, SystemTime)>;

impl Site {
    /// A file inside, as it is reached from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        // Before it becomes the daemon, the process's root is still the machine's, with the copy in it.
        let copy = if self.started { Path::new("") } else { &self.folder.path().join("root") };
        PathBuf::from(format!("/proc/{}/root{}{inside}", self.pid, copy.display()))
    }

    /// The file in the spool for a table's key.
    pub(crate) fn spool(&self, key: &str) -> PathBuf {
        self.path(&format!("/var/spool/cron/crontabs/{key}"))
    }

    /// The file in /etc/cron.d for a table's key.
    pub(crate) fn cron_d(&self, key: &str) -> PathBuf {
        self.path(&format!("/etc/cron.d/{key}"))
    }

    /// Writes a root-owned file by renaming it into place, as crontab(1) and packages do.
    pub(crate) fn replace(path: &Path, text: &str, mode: u32) {
        let next = path.with_file_name(".next");
        fs::write(&next, text).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(next, path).unwrap();
    }

    /// Adds an account with its home, where its traces go.
    pub(crate) fn add_account(&self, key: &str) -> u32 {
        let passwd = fs::read_to_string(self.path("/etc/passwd")).unwrap();
        let uid = 20_000 + u32::try_from(passwd.lines().count()).unwrap();
        let mut file = File::options().append(true).open(self.path("/etc/passwd")).unwrap();
        // No x: there is no line in /etc/shadow.
        writeln!(file, "{key}:*:{uid}:{uid}::/results/{key}:/bin/sh").unwrap();
        let mut group = File::options().append(true).open(self.path("/etc/group")).unwrap();
        writeln!(group, "{key}:x:{uid}:").unwrap();
        uid
    }

    /// Where the traces of a table go, seen from outside.
    pub(crate) fn traces(&self, key: &str) -> PathBuf {
        self.folder.path().join("results").join(key)
    }

    /// A trace's text; empty if there is none.
    pub(crate) fn trace(&self, key: &str, index: usize) -> String {
        fs::read_to_string(self.traces(key).join(index.to_string())).unwrap_or_default()
    }

    /// The text of a table: placeholders filled in.
    pub(crate) fn fill(text: &[u8], key: &str) -> Vec<u8> {
        let (mut filled, mut index, mut rest) = (Vec::new(), 0, text);
        while let Some(at) = rest.iter().position(|&byte| byte == b'{') {
            filled.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let file = format!("/results/{key}/{index}");
            if let Some(after) = rest.strip_prefix(b"{}") {
                filled.extend_from_slice(format!("echo >> {file}").as_bytes());
                (index, rest) = (index + 1, after);
            } else if let Some(after) = rest.strip_prefix(b"{f}") {
                filled.extend_from_slice(file.as_bytes());
                (index, rest) = (index + 1, after);
            } else {
                filled.push(b'{');
                rest = &rest[1..];
            }
        }
        filled.extend_from_slice(rest);
        filled
    }

    /// Puts a table where it belongs.
    pub(crate) fn put(&self, key: &str, table: &Table) {
        let traces = self.traces(key);
        fs::create_dir_all(&traces).unwrap();
        fs::set_permissions(&traces, fs::Permissions::from_mode(0o777)).unwrap();
        if table.place == Place::Spool {
            let uid = self.add_account(key);
            chown(&traces, Some(uid), Some(uid)).unwrap();
        }
        let path = match table.place {
            Place::Spool | Place::Orphan => self.spool(key),
            Place::CronD => self.cron_d(table.name.unwrap_or(key)),
            Place::Nowhere => return,
        };
        fs::write(&path, Site::fill(&table.text, key)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(table.mode)).unwrap();
    }

    /// Runs a program inside: in the daemon's namespaces and files.
    pub(crate) fn run(&self, command: &[&str], input: &str) -> Output {
        let mut child = self.start(command);
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Starts a program inside.
    pub(crate) fn start(&self, command: &[&str]) -> Child {
        Command::new("nsenter")
            .args(["--target", &self.pid.to_string(), "--mount", "--pid", "--root", "--wd=/"])
            .args(command)
            .env("TZ", &self.day.zone)
            .env("VISUAL", "/tmp/editor")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The processes inside.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mut all = Vec::new();
        let Ok(folder) = fs::read_dir(format!("/proc/{}/root/proc", self.pid)) else { return all };
        for entry in folder.flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
            let state = fields.chars().next().unwrap_or('?');
            all.push(Process { state, stat });
        }
        all
    }

    /// What the daemon printed.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap_or_default())
            .into_owned()
    }

    /// Every trace there is.
    pub(crate) fn all_traces(&self) -> Traces {
        let mut traces = Traces::new();
        for folder in fs::read_dir(self.folder.path().join("results")).unwrap().flatten() {
            for file in fs::read_dir(folder.path()).unwrap().flatten() {
                let Ok(bytes) = fs::read(file.path()) else { continue };
                let name = folder.file_name().into_string().unwrap();
                let name = format!("{name}/{}", file.file_name().to_string_lossy());
                traces.insert(name, (bytes, file.metadata().unwrap().modified().unwrap()));
            }
        }
        traces
    }
}

/// A process inside.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) state: char,
    /// Its line in /proc: number inside, name, state, parent.
    pub(crate) stat: String,
}

impl Running {
    /// Makes the files; the daemon does not start yet.
    pub(crate) fn prepare(crond: Crond, day: Day, start: &str) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["layer", "root", "results"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for path in [folder.path(), &folder.path().join("results")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let log = File::create(folder.path().join("log")).unwrap();
        // The thread that starts it judges it; should the test be killed, it goes, too.
        let process = Command::new("setpriv")
            .args([
                "--pdeathsig=KILL",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child=KILL",
                "--propagation=private",
            ])
            .args(["sh", "-c", PREPARE, "life"])
            .arg(folder.path())
            .arg(crond.program())
            .args([start, INSIDE])
            .args(crond.daemon())
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TZ", &day.zone)
            .env("BAR", "of the daemon")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut running =
            Running { site: Site { crond, day, pid: 0, started: false, folder }, process };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !running.site.log().contains("ready") {
            let ended = running.process.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{}", running.site.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let unshare = running.process.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        running.site.pid = children.unwrap().trim().parse().unwrap();
        running
    }

    /// Makes the folders that a crond knows.
    pub(crate) fn make_folders(&self) {
        for folder in ["/etc/cron.d", "/var/spool/cron/crontabs"] {
            fs::create_dir_all(self.site.path(folder)).unwrap();
            fs::set_permissions(self.site.path(folder), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Lets the daemon start.
    pub(crate) fn start(&mut self) {
        self.process.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let command = format!("/proc/{}/comm", self.site.pid);
        let deadline = Instant::now() + Duration::from_secs(20);
        // The shell changes its root and becomes the daemon in the program chroot.
        while fs::read_to_string(&command).is_ok_and(|name| ["sh\n", "chroot\n"].contains(&&*name))
        {
            assert!(Instant::now() < deadline, "{}", self.site.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
        self.site.started = true;
    }

    /// How the daemon has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.site.pid.try_into().unwrap());
        // It may have ended, which is judged elsewhere.
        let _ = nix::sys::signal::kill(pid, signal);
    }

    /// Waits for the daemon's end; its exit code, if it came to that in time.
    pub(crate) fn wait(&mut self, patience: Duration) -> Option<i32> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
