//! Daemons that share a Redis, and what their jobs wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Crond, PATIENCE, Running};
use crate::redis::Redis;

/// What a job writes: its id, the instant, and who started it.
const WRITE: &str = "echo $CRONKEEP_JOB_ID $CRONKEEP_SCHEDULED_AT $WHO >>";

/// A job each second.
pub const EACH_SECOND: &str = "* * * * * * {write}\n";

/// Replicas of one service.
pub struct Cluster {
    pub redis: Redis,
    folder: TempDir,
    crontab: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// A start: of which job, for which instant, by which replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ran {
    pub job: String,
    pub at: Timestamp,
    pub who: String,
}

impl Cluster {
    /// Replicas with this crontab, in which `{write}` is a command that writes down that it ran, and `{folder}` is where.
    pub fn new(redis: Redis, crontab: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let write = format!("{WRITE} {}", folder.path().join("runs").display());
        let crontab = crontab.replace("{write}", &write);
        let crontab = crontab.replace("{folder}", &folder.path().display().to_string());
        Cluster { redis, folder, crontab, arguments: Vec::new(), environment: Vec::new() }
    }

    /// What lies in the folder of all replicas under this name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds arguments to those of each replica that is started from now on.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Has faults injected into each replica that is started from now on.
    pub fn fault(mut self, faults: &str) -> Self {
        self.environment.push(("CRONKEEP_TEST_FAULT".into(), faults.into()));
        self
    }

    /// A replica, to be started.
    pub fn replica(&self, who: &str) -> Crond {
        self.replica_of("test", who)
    }

    /// A replica of a service.
    pub fn replica_of(&self, namespace: &str, who: &str) -> Crond {
        let mut crond = Crond::new()
            .crontab(&self.crontab)
            .arg("--store")
            .arg(self.redis.url())
            .arg("--namespace")
            .arg(namespace)
            .env("WHO", who);
        for argument in &self.arguments {
            crond = crond.arg(argument);
        }
        for (name, value) in &self.environment {
            crond = crond.env(name, value);
        }
        crond
    }

    /// Starts replicas with these names, and waits until each knows of all.
    pub fn start(&self, names: &[&str]) -> Vec<Running> {
        let replicas: Vec<Running> = names.iter().map(|who| self.replica(who).start()).collect();
        for replica in &replicas {
            expect_alive(replica, names.len());
        }
        replicas
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    /// What the jobs wrote so far; a line that is being written counts later.
    pub fn ran(&self) -> Vec<Ran> {
        let text = fs::read_to_string(self.file()).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let ran = |line: &str| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("{line:?}")).to_owned();
            let (job, at, who) = (word(), word(), word());
            Ran { job, at: at.parse().unwrap(), who }
        };
        whole.lines().map(ran).collect()
    }

    /// Waits until the jobs have written what fits.
    pub fn wait_for(&self, what: &str, fits: impl Fn(&[Ran]) -> bool) -> Vec<Ran> {
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            let ran = self.ran();
            if fits(&ran) {
                return ran;
            }
            assert!(Instant::now() < deadline, "not within {:?}: {what}; {ran:#?}", 3 * PATIENCE);
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until so many more instants than now have been started.
    pub fn wait_for_more(&self, count: usize) -> Vec<Ran> {
        let before = instants(&self.ran()).len();
        self.wait_for("more instants", |ran| instants(ran).len() >= before + count)
    }
}

/// How often each instant of each job was started.
pub fn instants(ran: &[Ran]) -> BTreeMap<(String, Timestamp), usize> {
    let mut counts = BTreeMap::new();
    for Ran { job, at, .. } in ran {
        *counts.entry((job.clone(), *at)).or_insert(0) += 1;
    }
    counts
}

/// Fails if anything was started twice.
pub fn assert_once(ran: &[Ran]) {
    for (instant, count) in instants(ran) {
        assert_eq!(count, 1, "{instant:?}: {ran:#?}");
    }
}

/// Fails if an instant of the only job, one each second, is missing between the first and the last.
pub fn assert_whole(ran: &[Ran]) {
    assert_eq!(missing(ran), Vec::<Timestamp>::new(), "{ran:#?}");
}

/// The instants of the only job, one each second, that are missing between the first and the last.
pub fn missing(ran: &[Ran]) -> Vec<Timestamp> {
    let seconds: Vec<i64> = ran.iter().map(|ran| ran.at.as_second()).collect();
    let (Some(first), Some(last)) = (seconds.iter().min(), seconds.iter().max()) else {
        return Vec::new();
    };
    let lacks = |second: &i64| !seconds.contains(second);
    (*first..=*last).filter(lacks).map(|at| Timestamp::from_second(at).unwrap()).collect()
}

/// What a daemon answers to `status --json`.
pub fn status(replica: &Running) -> Value {
    replica.wait_for_socket();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cronkeep"));
    let output =
        command.args(["status", "--json", "--control"]).arg(replica.socket()).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The replicas of which a daemon knows, itself first.
pub fn alive(replica: &Running) -> Vec<String> {
    let status = status(replica);
    let names = status["replicas"].as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Waits until a daemon knows of so many.
pub fn expect_alive(replica: &Running, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let alive = alive(replica);
        // Until it has joined it knows of itself alone, by the host's name.
        if alive.len() == count && (count > 1 || alive[0].contains('-')) {
            return;
        }
        assert!(Instant::now() < deadline, "{count} replicas wanted: {alive:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Stops a daemon as a host does that is suspended, for so long.
pub fn suspend(replica: &Running, span: Duration) {
    replica.signal(Signal::SIGSTOP);
    let until = Instant::now() + span;
    while Instant::now() < until {
        std::thread::park_timeout(until - Instant::now());
    }
    replica.signal(Signal::SIGCONT);
}

/// The texts of the notices that a daemon has told so far.
pub fn notices(replica: &mut Running) -> Vec<String> {
    let notices = replica.seen().into_iter().filter(|event| event["event"] == "crontab.notice");
    notices.map(|event| event["message"].as_str().unwrap_or_default().to_owned()).collect()
}
