//! Python with what the service needs, and the service itself.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::redis::Redis;

/// How long anything may take before a test fails; nothing takes that long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts an /etc of the test's own into the place of the machine's, and becomes the service.
const ENTER: &str = r#"
set -e
mount --make-rprivate /
mount --bind "$1/etc" /etc
exec "$2" "$3/run_service.py"
"#;

/// The interpreter; none, with one printed reason, where it was not prepared, which CI must have done.
pub fn interpreter() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin/python");
    if !python.exists() {
        let reason =
            "skipped: no Python with python-crontab is prepared, tests/tools.sh test does it";
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        println!("{reason}");
        return None;
    }
    Some(python)
}

/// What the service's own expressions make of each crontab, in order.
pub fn cached(crontabs: &[Vec<u8>]) -> Option<Vec<Value>> {
    let mut child = Command::new(interpreter()?)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seed/cache.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let mut input = child.stdin.take().expect("a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let read = crontabs.iter().map(|text| {
        let mut hex = Vec::with_capacity(2 * text.len() + 1);
        for byte in text {
            write!(hex, "{byte:02x}").expect("a vector takes everything");
        }
        hex.push(b'\n');
        input.write_all(&hex).expect("python reads");
        let answer = answers.next().expect("python answers").expect("text");
        serde_json::from_str(&answer).expect("JSON")
    });
    let read = read.collect();
    drop(input);
    assert!(child.wait().expect("python is ours").success());
    Some(read)
}

/// The Python service on an /etc of its own; killed when dropped.
pub struct Service {
    child: Child,
    folder: TempDir,
}

impl Service {
    /// Starts it on this crontab and waits until it watches; none, with one printed reason, where it cannot be had.
    ///
    /// The document that describes it is not ours to hand on: `CRONKEEP_SEED` names its folder.
    pub fn start(redis: &Redis, crontab: &str) -> Option<Self> {
        let python = interpreter()?;
        let seed = match std::env::var_os("CRONKEEP_SEED") {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/seed"),
        };
        if !seed.join("run_service.py").exists() {
            println!(
                "skipped: {} is not there, CRONKEEP_SEED names the Python service",
                seed.display()
            );
            return None;
        }
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root can give the Python service an /etc of its own");
            assert!(std::env::var_os("CI").is_none(), "the tests can run as root");
            return None;
        }
        let folder = TempDir::new().expect("a temporary folder");
        let etc = folder.path().join("etc");
        std::fs::create_dir(&etc).expect("a folder");
        for name in ["passwd", "group", "hosts", "nsswitch.conf"] {
            std::fs::copy(Path::new("/etc").join(name), etc.join(name))
                .expect("the machine's file");
        }
        std::fs::write(etc.join("crontab"), crontab).expect("a crontab");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", ENTER, "sh"])
            .args([folder.path(), &python, &seed])
            .env("SEED_REDIS_PORT", redis.port().to_string())
            .env("TZ", "UTC")
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("unshare");
        let service = Service { child, folder };
        service.expect("Start scheduler [True]");
        Some(service)
    }

    /// Saves its /etc/crontab in place: the only kind of edit that it notices.
    pub fn edit(&self, crontab: &str) {
        std::fs::write(self.folder.path().join("etc/crontab"), crontab).expect("a crontab");
    }

    /// Its /etc/crontab.
    pub fn crontab(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("etc/crontab")).expect("a crontab")
    }

    /// Waits until its log has this text.
    pub fn expect(&self, text: &str) {
        wait(|| self.log().contains(text), || format!("no {text:?}: {}", self.log()));
    }

    /// Waits until its log has this text so often.
    pub fn expect_times(&self, text: &str, times: usize) {
        let count = || self.log().matches(text).count();
        wait(|| count() >= times, || format!("{} times {text:?}: {}", count(), self.log()));
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
pub fn wait(holds: impl Fn() -> bool, what: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{}", what());
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
