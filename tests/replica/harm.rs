//! Three daemons and one Redis, and what is done to them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::redis::{Redis, Reply};

/// Where Debian's package `faketime` puts what is loaded before everything else.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];
/// How far the clocks of the replicas are from ours, in seconds.
const SKEWS: [i64; 3] = [0, 5, -5];
/// Jobs that are due each minute.
pub const MANY: usize = 200;
/// How often a daemon that has not told its name is asked for it.
const ASKING: Duration = Duration::from_millis(250);

/// Whether clocks can be set for one process alone; says why where they cannot.
pub fn has_clocks() -> bool {
    let is_there = library().is_some();
    if !is_there {
        println!("skipped: libfaketime is not there");
        assert!(std::env::var_os("CI").is_none(), "the package faketime can be installed");
    }
    is_there
}

fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|path| Path::new(path).exists())
}

/// Numbers that are the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    pub fn milliseconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// A job, and an instant at which it is due.
pub type Fire = (String, Timestamp);

/// One of the daemons.
struct Node {
    child: Option<Child>,
    stopped_until: Option<Instant>,
    starts_at: Option<Instant>,
    lives: usize,
    /// Its name among the replicas, once it has told it, and when it was asked for it.
    name: Option<String>,
    asked: Option<Instant>,
}

impl Node {
    fn is_well(&self) -> bool {
        self.child.is_some() && self.stopped_until.is_none()
    }
}

/// What is done to a replica that has claimed something and not started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    Kill,
    /// For longer than its lease, and than others need to take over.
    Stop,
}

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub kills: usize,
    pub stops: usize,
    pub restarts: usize,
    pub redis_restarts: usize,
}

/// The daemons, their Redis, and what was done to them.
pub struct Service {
    pub redis: Redis,
    pub folder: TempDir,
    pub counts: Counts,
    pub dice: Dice,
    /// What a replica had claimed and not started when it was killed or stopped, and which life of which replica that was.
    pub left: Vec<(Fire, String)>,
    faults: &'static str,
    nodes: Vec<Node>,
}

impl Service {
    /// Daemons that start when they are [tended](Service::tend).
    pub fn new(redis: Redis, seed: u64, faults: &'static str) -> Self {
        let folder = TempDir::new().unwrap();
        let write = format!(
            "echo $CRONKEEP_JOB_ID $CRONKEEP_SCHEDULED_AT $WHO >> {}",
            folder.path().join("runs").display()
        );
        let mut crontab = format!("* * * * * * {write}\n");
        for number in 0..MANY {
            // Writing to memory does not fail.
            let _ = writeln!(crontab, "* * * * * {write}; : {number}");
        }
        fs::write(folder.path().join("crontab"), crontab).unwrap();
        let node = |_: &i64| Node {
            child: None,
            stopped_until: None,
            starts_at: Some(Instant::now()),
            lives: 0,
            name: None,
            asked: None,
        };
        Service {
            redis,
            folder,
            counts: Counts::default(),
            dice: Dice(seed),
            left: Vec::new(),
            faults,
            nodes: SKEWS.iter().map(node).collect(),
        }
    }

    /// What the daemons have logged so far, one text for each of their lives.
    pub fn logs(&self) -> impl Iterator<Item = String> {
        let lives = self.nodes.iter().enumerate();
        let paths = lives.flat_map(|(who, node)| (0..node.lives).map(move |life| (who, life)));
        paths.map(move |(who, life)| fs::read_to_string(self.log(who, life)).unwrap_or_default())
    }

    fn log(&self, who: usize, life: usize) -> PathBuf {
        self.folder.path().join(format!("log-{who}-{life}"))
    }

    fn state(&self, who: usize) -> PathBuf {
        self.folder.path().join(format!("state-{who}"))
    }

    fn launch(&mut self, who: usize) {
        let life = self.nodes[who].lives;
        let log = fs::File::create(self.log(who, life)).unwrap();
        let state = self.state(who);
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
        command
            .args(["--log-format", "json", "--namespace", "soak", "--stop-grace", "2s", "--store"])
            .arg(self.redis.url())
            .arg("--state-dir")
            .arg(&state)
            .arg(self.folder.path().join("crontab"))
            .env("CRONKEEP_CONTROL", state.join("control.sock"))
            .env("CRONKEEP_TEST_FAULT", self.faults)
            .env("WHO", label(who, life))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if let Some(library) = library().filter(|_| SKEWS[who] != 0) {
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{:+}s", SKEWS[who]));
        }
        let child = command.spawn().unwrap();
        let node = &mut self.nodes[who];
        (node.child, node.starts_at, node.lives) = (Some(child), None, life + 1);
        (node.name, node.asked) = (None, None);
    }

    /// Starts and wakes up what is to be by now, and asks those for their names that have not told them.
    pub fn tend(&mut self, now: Instant) {
        for who in 0..self.nodes.len() {
            if self.nodes[who].starts_at.is_some_and(|at| at <= now) {
                self.launch(who);
            }
            if self.nodes[who].stopped_until.is_some_and(|until| until <= now) {
                self.nodes[who].stopped_until = None;
                self.signal(who, Signal::SIGCONT);
            }
            let node = &self.nodes[who];
            let was_asked = node.asked.is_some_and(|at| now < at + ASKING);
            if node.is_well() && node.name.is_none() && !was_asked {
                self.nodes[who].asked = Some(now);
                self.nodes[who].name = self.ask_name(who);
            }
        }
    }

    fn ask_name(&self, who: usize) -> Option<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
        let command = command.args(["status", "--json", "--control"]);
        let output = command.arg(self.state(who).join("control.sock")).output().ok()?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let name = status["replicas"][0].as_str()?;
        // Until it has joined the others it goes by the host's name.
        name.contains('-').then(|| name.to_owned())
    }

    /// Whether all daemons run and have joined.
    pub fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| node.is_well() && node.name.is_some())
    }

    /// Wakes up and starts whatever is stopped or dead.
    pub fn calm(&mut self, now: Instant) {
        for node in &mut self.nodes {
            node.stopped_until = node.stopped_until.map(|_| now);
            node.starts_at = node.starts_at.map(|_| now);
        }
    }

    fn signal(&self, who: usize, signal: Signal) {
        if let Some(child) = &self.nodes[who].child {
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        }
    }

    fn kill(&mut self, who: usize, now: Instant) {
        self.signal(who, Signal::SIGKILL);
        let later = self.dice.milliseconds(500, 4_500);
        let node = &mut self.nodes[who];
        drop(node.child.take().unwrap().wait());
        (node.starts_at, node.name) = (Some(now + later), None);
        self.counts.kills += 1;
    }

    fn stop(&mut self, who: usize, until: Instant) {
        self.signal(who, Signal::SIGSTOP);
        self.nodes[who].stopped_until = Some(until);
        self.counts.stops += 1;
    }

    /// What is claimed and not started, and by which replica.
    fn claims(&self) -> Vec<(Fire, String)> {
        let reply = self.redis.try_command(["HGETALL", "{cronkeep:soak}:fires"]);
        let Ok(Reply::List(words)) = reply else { return Vec::new() };
        let text = |word: Reply| match word {
            Reply::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            other => panic!("{other:?} is no text"),
        };
        let words: Vec<String> = words.into_iter().map(text).collect();
        let mut claims = Vec::new();
        for pair in words.chunks_exact(2) {
            for line in pair[1].lines() {
                // Clock generation, instant, civil time, fencing number, replica.
                if let ["c", _, at, _, _, owner] = line.split(' ').collect::<Vec<_>>()[..] {
                    let job = format!("crondServiceTask-{}", pair[0]);
                    claims.push(((job, at.parse().unwrap()), owner.to_owned()));
                }
            }
        }
        claims
    }

    /// Kills or stops the replica that has claimed most and not started it, if that is so much at least and another replica is
    /// there to take over; whether something was left.
    pub fn strike(&mut self, blow: Blow, least: usize, now: Instant) -> bool {
        let claims = self.claims();
        let count = |name: &str| claims.iter().filter(|(_, owner)| owner == name).count();
        let nodes = self.nodes.iter().enumerate().filter(|(_, node)| node.is_well());
        let well: Vec<(usize, String)> =
            nodes.filter_map(|(who, node)| Some((who, node.name.clone()?))).collect();
        let most = well.iter().max_by_key(|(_, name)| count(name));
        let Some((who, name)) = most.filter(|(_, name)| count(name) >= least.max(1)) else {
            return false;
        };
        if well.len() < 2 {
            return false;
        }
        let label = label(*who, self.nodes[*who].lives - 1);
        match blow {
            Blow::Kill => self.kill(*who, now),
            Blow::Stop => {
                let span = self.dice.milliseconds(10_000, 12_000);
                self.stop(*who, now + span);
            }
        }
        // What was not started by now stays claimed until another replica takes it.
        let before = self.left.len();
        let left = self.claims().into_iter().filter(|(_, owner)| owner == name);
        self.left.extend(left.map(|(fire, _)| (fire, label.clone())));
        self.left.len() > before
    }

    /// Something goes wrong.
    pub fn harm(&mut self, now: Instant) {
        let who = usize::try_from(self.dice.below(3)).unwrap();
        let is_well = self.nodes[who].is_well();
        match self.dice.below(10) {
            0..=3 if is_well => self.kill(who, now),
            4..=6 if is_well => {
                let span = self.dice.milliseconds(500, 11_500);
                self.stop(who, now + span);
            }
            7 | 8 if is_well => {
                self.signal(who, Signal::SIGTERM);
                let node = &mut self.nodes[who];
                drop(node.child.take().unwrap().wait());
                (node.starts_at, node.name) = (Some(now), None);
                self.counts.restarts += 1;
            }
            9 => {
                self.redis.kill();
                self.redis.restart();
                self.counts.redis_restarts += 1;
            }
            _ => {}
        }
    }
}

/// A life of a replica, as its jobs name it.
fn label(who: usize, life: usize) -> String {
    format!("{who}.{life}")
}

impl Drop for Service {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
