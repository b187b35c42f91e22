//! Containers that come and go, and what outlives them: one folder, whose crontab is made anew from an image each time.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Crond, PATIENCE, Running};

/// Two jobs that an image brings along.
pub const IMAGE: &str = "# the image's\n0 1 1 1 * true one\n0 2 1 1 * true two\n";
/// A job that somebody adds.
pub const ADDED: &str = "0 3 1 1 * true three\n";

/// A place for containers; the store and its state outlive them.
pub struct World {
    folder: Arc<TempDir>,
    arguments: Vec<String>,
}

impl World {
    /// With a first container, whose crontab is `image`.
    pub fn new(image: &str) -> Self {
        let folder = Arc::new(TempDir::new().expect("a temporary folder"));
        let world = World { folder, arguments: Vec::new() };
        world.renew(image);
        world
    }

    /// With another option for each daemon.
    pub fn with(mut self, option: &str) -> Self {
        self.arguments.push(option.replace("{dir}", self.folder.path().to_str().unwrap()));
        self
    }

    /// The same place, whose daemons are not given the options that begin so.
    pub fn without(&self, option: &str) -> Self {
        let others = self.arguments.iter().filter(|argument| !argument.starts_with(option));
        World { folder: Arc::clone(&self.folder), arguments: others.cloned().collect() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Throws the container away, and makes a new one of an image.
    pub fn renew(&self, image: &str) {
        for item in fs::read_dir(self.folder.path()).unwrap() {
            let path = item.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().contains("crontab") {
                fs::remove_file(path).unwrap();
            }
        }
        self.write(image);
    }

    /// Saves the crontab.
    pub fn write(&self, text: &str) {
        fs::write(self.path("crontab"), text).unwrap();
        fs::set_permissions(self.path("crontab"), Permissions::from_mode(0o644)).unwrap();
    }

    /// What the crontab says.
    pub fn text(&self) -> String {
        fs::read_to_string(self.path("crontab")).unwrap()
    }

    /// A daemon in the container.
    pub fn crond(&self) -> Crond {
        let crond = Crond::on(Arc::clone(&self.folder));
        self.arguments.iter().fold(crond, super::harness::Crond::arg)
    }

    /// Starts the daemon and waits until its crontab is in force.
    pub fn start(&self) -> Running {
        self.crond().start()
    }

    /// A life of the container in which nothing happens; what it told.
    pub fn live(&self) -> Vec<Value> {
        self.start().stop()
    }

    /// A life in which somebody saves this text.
    pub fn live_and_edit(&self, text: &str) -> Vec<Value> {
        let mut crond = self.start();
        self.write(text);
        crond.expect("crontab.loaded");
        crond.stop()
    }

    /// `cronkeep snapshot` beside the daemon or without.
    pub fn snapshot(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cronkeep"))
            .arg("snapshot")
            .args(arguments)
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(self.arguments.iter().filter(|option| {
                option.starts_with("--store=") || option.starts_with("--namespace=")
            }))
            .current_dir(self.folder.path())
            .env_remove("CRONKEEP_STORE")
            .output()
            .unwrap()
    }

    /// What the store holds of the crontab.
    pub fn stored(&self) -> Value {
        let output = self.snapshot(&["show", "--json", "crontab"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until the store holds this of the crontab.
    pub fn expect_stored(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.snapshot(&["show", "--json", "crontab"]);
            let stored: Option<Value> = serde_json::from_slice(&output.stdout).ok();
            if stored.is_some_and(|stored| stored["text"] == text) {
                return;
            }
            assert!(Instant::now() < deadline, "{output:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// The files of the store as they are, while no daemon runs.
    pub fn store(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let items = fs::read_dir(self.path("state")).unwrap().map(|item| item.unwrap().path());
        let is_store = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().contains(".db");
        items.filter(is_store).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    /// Makes the files of the store what they were.
    pub fn put_back(&self, store: &[(PathBuf, Vec<u8>)]) {
        for (path, _) in self.store() {
            fs::remove_file(path).unwrap();
        }
        for (path, bytes) in store {
            fs::write(path, bytes).unwrap();
        }
    }

    /// What the marker says.
    pub fn marker(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path(".crontab.cronkeep")).unwrap()).unwrap()
    }

    /// The names of what is in the folder, but for the state and the sockets.
    pub fn names(&self) -> Vec<String> {
        let items = fs::read_dir(self.folder.path()).unwrap();
        let names = items.map(|item| item.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.filter(|name| !["state", "run"].contains(&name.as_str())).collect();
        names.sort();
        names
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Inode, mode and time of change.
pub fn state_of(path: &Path) -> (u64, u32, i64, i64) {
    let found = fs::metadata(path).unwrap();
    (found.ino(), found.mode(), found.ctime(), found.ctime_nsec())
}

/// Whether something like this was told.
pub fn was_told(events: &[Value], part: &str) -> bool {
    events.iter().any(|event| event["message"].as_str().is_some_and(|text| text.contains(part)))
}

/// How many crontabs were loaded.
pub fn loads(events: &[Value]) -> usize {
    events.iter().filter(|event| event["event"] == "crontab.loaded").count()
}

/// How many jobs the last load put in force.
pub fn jobs(events: &[Value]) -> u64 {
    let loaded = events.iter().rev().find(|event| event["event"] == "crontab.loaded");
    loaded.unwrap()["jobs"].as_u64().unwrap()
}
