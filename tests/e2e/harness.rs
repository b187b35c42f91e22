//! Starts the real daemon on real files and waits for what it says.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, PipeReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test fails; nothing takes that long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The control socket, in the daemon's folder.
const SOCKET: &str = "run/control.sock";

/// A daemon to be started.
pub struct Crond {
    folder: Arc<TempDir>,
    arguments: Vec<OsString>,
    wrapper: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

/// A daemon that runs; killed when dropped.
pub struct Running {
    child: Child,
    events: Receiver<Value>,
    seen: VecDeque<Value>,
    folder: Arc<TempDir>,
    socket: PathBuf,
}

impl Crond {
    /// A daemon on the file `crontab` of a new folder, which is missing until [`Crond::crontab`] writes it.
    pub fn new() -> Self {
        Crond::on(Arc::new(TempDir::new().expect("a temporary folder")))
    }

    /// A daemon on the file `crontab` of a folder that others have lived on.
    pub fn on(folder: Arc<TempDir>) -> Self {
        Crond { folder, arguments: Vec::new(), wrapper: Vec::new(), environment: Vec::new() }
    }

    /// The folder that holds the crontab.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the crontab; `{dir}` in it becomes the folder's path.
    pub fn crontab(self, text: &str) -> Self {
        fs::write(self.folder.path().join("crontab"), with_folder(text, self.folder.path()))
            .unwrap();
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(Into::into));
        self
    }

    /// Has another program start it, such as unshare(1).
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(Into::into).collect();
        self
    }

    /// Adds a variable to the daemon's environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it, without waiting for anything.
    pub fn spawn(self) -> Running {
        let socket = self.environment.iter().rev().find(|(name, _)| name == "CRONKEEP_CONTROL");
        let socket = socket.map(|(_, path)| PathBuf::from(path));
        let mut words = self.wrapper;
        words.push(env!("CARGO_BIN_EXE_cronkeep").into());
        // One for both: what is told is seen in the order in which it was.
        let (stream, told) = std::io::pipe().unwrap();
        let child = outside_cronkeep(Command::new(&words[0]))
            .args(&words[1..])
            .args(["--log-format", "json", "--log-level", "debug"])
            .args(&self.arguments)
            .arg(self.folder.path().join("crontab"))
            .env("CRONKEEP_CONTROL", self.folder.path().join(SOCKET))
            .env("CRONKEEP_STATE_DIR", self.folder.path().join("state"))
            .envs(self.environment)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(told.try_clone().unwrap())
            .stderr(told)
            .spawn()
            .expect("the daemon starts");
        let mut running = Running::of(child, self.folder, stream);
        if let Some(socket) = socket {
            running.socket = socket;
        }
        running
    }

    /// Starts it and waits until a crontab is in force.
    pub fn start(self) -> Running {
        let mut running = self.spawn();
        running.expect("crontab.loaded");
        running
    }
}

impl Running {
    /// A daemon that was started, the folder that it lives on, and what it tells.
    pub fn of(child: Child, folder: impl Into<Arc<TempDir>>, stream: PipeReader) -> Self {
        let folder = folder.into();
        let (sender, events) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                let event = serde_json::from_str(&line)
                    .unwrap_or_else(|_| serde_json::json!({ "event": "", "raw": line }));
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        let socket = folder.path().join(SOCKET);
        Running { child, events, seen: VecDeque::new(), folder, socket }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The daemon's control socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// Waits until the daemon can be asked.
    pub fn wait_for_socket(&self) {
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(&self.socket).is_err() {
            assert!(Instant::now() < deadline, "no socket at {}", self.socket.display());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Keeps the folder when the daemon has gone.
    pub fn keep_folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// The daemon's process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// A crontab's text with `{dir}` replaced.
    pub fn text(&self, text: &str) -> String {
        with_folder(text, self.folder.path())
    }

    /// Saves the crontab in place.
    pub fn write(&self, text: &str) {
        fs::write(self.path("crontab"), self.text(text)).unwrap();
    }

    /// Saves the crontab as most editors do: a new file, renamed over the old one.
    pub fn replace(&self, text: &str) {
        fs::write(self.path("crontab.new"), self.text(text)).unwrap();
        fs::rename(self.path("crontab.new"), self.path("crontab")).unwrap();
    }

    /// Waits for an event of this name; events before it are kept for [`Running::count`], not for later waits.
    pub fn expect(&mut self, name: &str) -> Value {
        self.expect_where(name, |_| true)
    }

    /// Waits for an event of this name that fits.
    pub fn expect_where(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    self.seen.push_back(event.clone());
                    if event["event"] == name && fits(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {name} within {PATIENCE:?}; seen: {:#?}", self.tail())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the daemon ended before {name}; seen: {:#?}", self.tail())
                }
            }
        }
    }

    /// Waits until a crontab is in force, and gives what was told until then; none if the daemon ends before.
    pub fn until_loaded_or_killed(&mut self) -> Option<Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    self.seen.push_back(event.clone());
                    if event["event"] == "crontab.loaded" {
                        return Some(self.seen());
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("nothing within {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// How many events of this name have been seen so far, those that are waiting included.
    pub fn count(&mut self, name: &str) -> usize {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push_back(event);
        }
        self.seen.iter().filter(|event| event["event"] == name).count()
    }

    /// Every event seen so far.
    pub fn seen(&mut self) -> Vec<Value> {
        while let Ok(event) = self.events.try_recv() {
            self.seen.push_back(event);
        }
        self.seen.iter().cloned().collect()
    }

    /// Waits until a file in the folder holds text that fits.
    pub fn expect_file(&self, name: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            if fits(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{name} holds {text:?}");
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the daemon is there");
    }

    /// Waits until the daemon has ended, and returns how, with every event that it told last.
    pub fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the daemon is ours") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "still running: {:#?}; seen: {:#?}",
                threads(self.pid()),
                self.seen()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        };
        while let Ok(event) = self.events.recv_timeout(Duration::from_millis(200)) {
            self.seen.push_back(event);
        }
        (status, std::mem::take(&mut self.seen).into())
    }

    /// Asks the daemon to end, and expects it to with exit code 0.
    pub fn stop(self) -> Vec<Value> {
        self.signal(Signal::SIGTERM);
        let (status, events) = self.wait();
        assert_eq!(status.code(), Some(0), "{events:#?}");
        events
    }

    /// Ends the daemon by this signal, and returns another one on the same folder, with no arguments yet.
    pub fn again(mut self, signal: Signal) -> Crond {
        self.signal(signal);
        self.child.wait().expect("the daemon is ours");
        Crond::on(self.keep_folder())
    }

    fn tail(&self) -> Vec<String> {
        let skip = self.seen.len().saturating_sub(30);
        self.seen.iter().skip(skip).map(Value::to_string).collect()
    }
}

/// What each thread of a process and of its children waits for in the kernel, for whoever reads why a test failed.
fn threads(process: Pid) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut told = Vec::new();
    for task in tasks.map(|task| task.path()) {
        let read = |name| fs::read_to_string(task.join(name)).unwrap_or_default();
        let of = |name: &str| read("status").lines().filter(|it| it.starts_with(name)).collect();
        let (signals, pending): (String, String) = (of("SigCgt"), of("ShdPnd"));
        let (name, at, call) = (read("comm"), read("wchan"), read("syscall"));
        told.push(format!(
            "{} {}: {at}, system call {}; {signals}; {pending}",
            task.display(),
            name.trim(),
            call.trim()
        ));
        for child in read("children").split_whitespace() {
            told.extend(child.parse().map(Pid::from_raw).iter().flat_map(|&child| threads(child)));
        }
    }
    told
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without the variables by which the tests themselves are told what to do.
fn outside_cronkeep(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CRONKEEP_") {
            command.env_remove(name);
        }
    }
    command
}

fn with_folder(text: &str, folder: &Path) -> String {
    text.replace("{dir}", folder.to_str().expect("a temporary folder's path is UTF-8"))
}
