//! A stock Celery worker, and the broker that it works for: one of each for all tests of this binary.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::PATIENCE;
use crate::rabbit::{self, Rabbit};

/// Runs a program until standard input ends: however the tests end, the worker does.
const GUARD: &str = "\"$@\" & pid=$!; read -r _; kill -KILL $pid; wait $pid";

/// A broker, and a worker that takes tasks from its queue `celery`.
pub struct Stage {
    pub rabbit: &'static Rabbit,
    pub worker: Worker,
}

/// A worker that runs.
pub struct Worker {
    folder: TempDir,
    _guard: Child,
}

/// The stage of this binary; none, with one printed reason, where something is not installed, which CI must have done.
pub fn stage() -> Option<&'static Stage> {
    static STAGE: OnceLock<Option<Stage>> = OnceLock::new();
    let set = || {
        let python = python()?;
        let rabbit = rabbit::shared()?;
        let worker = Worker::start(&python, &rabbit.url());
        Some(Stage { rabbit, worker })
    };
    STAGE.get_or_init(set).as_ref()
}

/// The interpreter with Celery.
pub fn python() -> Option<PathBuf> {
    let python = root().join("target/tools/python/bin/python");
    let installed = fs::read_to_string(root().join("target/tools/python/installed"));
    if !installed.is_ok_and(|installed| installed.contains("celery==")) {
        let reason = "skipped: no Python with Celery is prepared, tests/tools.sh test does it";
        assert!(std::env::var_os("CI").is_none(), "{reason}");
        println!("{reason}");
        return None;
    }
    Some(python)
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Worker {
    fn start(python: &Path, url: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let paths = [root().join("tests/celery"), root().join("examples/celery")];
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(python)
            .args([
                "-m",
                "celery",
                "--app",
                "tasks",
                "worker",
                "--pool",
                "solo",
                "--loglevel",
                "INFO",
            ])
            .args(["--without-gossip", "--without-mingle", "--without-heartbeat"])
            .env("BROKER", url)
            .env("NOTES", folder.path().join("notes"))
            .env("PYTHONPATH", std::env::join_paths(paths).unwrap())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // A worker that root starts says so at length.
            .env("C_FORCE_ROOT", "1")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let worker = Worker { folder, _guard: guard };
        worker.until("worker", || worker.log().contains(" ready."));
        worker
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `tasks.note` got: a JSON array of id, arguments and keyword arguments for each, in order.
    pub fn notes(&self) -> Vec<String> {
        let notes = fs::read_to_string(self.path("notes")).unwrap_or_default();
        notes.lines().map(str::to_owned).collect()
    }

    /// Waits until something holds.
    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + 3 * PATIENCE;
        while !holds() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(30)..].join("\n");
            assert!(Instant::now() < deadline, "no {what}: {tail}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// JSON texts as `tasks.note` writes them.
pub fn canonical(python: &Path, texts: &[String]) -> Vec<String> {
    let mut child = Command::new(python)
        .arg(root().join("tests/celery/canonical.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .env("PYTHONUTF8", "1")
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = texts.join("\n") + "\n";
    let writing = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
