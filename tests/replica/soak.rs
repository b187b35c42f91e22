//! Three daemons, one Redis, and everything that goes wrong at random: nothing is started twice, nothing is lost unseen.
//!
//! A minute of it here; `make soak` has ten of them. The last line that it prints is JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cronkeep::store::record::RecordedOutcome;
use cronkeep::store::redis::Redis as Store;
use cronkeep::store::{Query, RunRecord, Store as _};
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
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
const MANY: usize = 200;
/// How long the end may take: a grace, two heartbeats, and what was due last.
const SETTLING: Duration = Duration::from_secs(25);
/// How often something goes wrong.
const PACE: (u64, u64) = (1_000, 3_500);

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// One of the daemons.
struct Node {
    who: usize,
    child: Option<Child>,
    stopped_until: Option<Instant>,
    starts_at: Option<Instant>,
    lives: usize,
    /// Its name among the replicas, once it was asked for it.
    name: Option<String>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    kills: usize,
    stops: usize,
    restarts: usize,
    redis_restarts: usize,
}

struct Soak {
    redis: Redis,
    folder: TempDir,
    faults: &'static str,
    nodes: Vec<Node>,
    counts: Counts,
    dice: Dice,
    is_bad: bool,
}

/// What became of the soak.
struct Result {
    due: usize,
    started: usize,
    twice: usize,
    lost: usize,
    missed: usize,
    unlisted: Vec<(String, Timestamp)>,
    take_overs: usize,
}

impl Soak {
    fn new(redis: Redis, seed: u64, faults: &'static str) -> Self {
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
        let node = |who| Node {
            who,
            child: None,
            stopped_until: None,
            starts_at: Some(Instant::now()),
            lives: 0,
            name: None,
        };
        let nodes = (0..SKEWS.len()).map(node).collect();
        Soak {
            redis,
            folder,
            faults,
            nodes,
            counts: Counts::default(),
            dice: Dice(seed),
            is_bad: false,
        }
    }

    fn log(&self, who: usize, life: usize) -> PathBuf {
        self.folder.path().join(format!("log-{who}-{life}"))
    }

    fn launch(&mut self, who: usize) {
        let library = LIBRARIES.into_iter().find(|path| Path::new(path).exists());
        let node = &self.nodes[who];
        let log = fs::File::create(self.log(who, node.lives)).unwrap();
        let state = self.folder.path().join(format!("state-{who}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
        command
            .args(["--log-format", "json", "--namespace", "soak", "--stop-grace", "2s", "--store"])
            .arg(self.redis.url())
            .arg("--state-dir")
            .arg(&state)
            .arg(self.folder.path().join("crontab"))
            .env("CRONKEEP_CONTROL", state.join("control.sock"))
            .env("CRONKEEP_TEST_FAULT", self.faults)
            .env("WHO", who.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if let Some(library) = library.filter(|_| SKEWS[who] != 0) {
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{:+}s", SKEWS[who]));
        }
        let child = command.spawn().unwrap();
        let node = &mut self.nodes[who];
        (node.child, node.starts_at, node.lives) = (Some(child), None, node.lives + 1);
        node.name = None;
    }

    /// Starts and wakes up what is to be by now.
    fn tend(&mut self, now: Instant) {
        for who in 0..self.nodes.len() {
            if self.nodes[who].starts_at.is_some_and(|at| at <= now) {
                self.launch(who);
            }
            let node = &mut self.nodes[who];
            if node.stopped_until.is_some_and(|until| until <= now) {
                node.stopped_until = None;
                self.signal(who, Signal::SIGCONT);
            }
        }
    }

    fn signal(&self, who: usize, signal: Signal) {
        if let Some(child) = &self.nodes[who].child {
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        }
    }

    /// Who has claimed something and not started it.
    fn claimer(&mut self) -> Option<usize> {
        let nodes = self.nodes.iter_mut().filter(|node| node.stopped_until.is_none());
        for node in nodes.filter(|node| node.child.is_some() && node.name.is_none()) {
            let socket = self.folder.path().join(format!("state-{}/control.sock", node.who));
            let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
            let output = command.args(["status", "--json", "--control"]).arg(socket).output();
            let status: Option<serde_json::Value> =
                output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
            let name = status.and_then(|status| status["replicas"][0].as_str().map(str::to_owned));
            node.name = name.filter(|name| name.contains('-'));
        }
        let reply = self.redis.try_command(["HVALS", "{cronkeep:soak}:fires"]).ok()?;
        let Reply::List(fields) = reply else { return None };
        let text = |field| match field {
            Reply::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            _ => String::new(),
        };
        let lists: Vec<String> = fields.into_iter().map(text).collect();
        let mut lines = lists.iter().flat_map(|list| list.lines());
        lines.find_map(|line| {
            let owner = line.strip_prefix("c ")?.rsplit(' ').next()?;
            let is_owner = |node: &&Node| node.name.as_deref() == Some(owner);
            self.nodes.iter().find(is_owner).map(|node| node.who)
        })
    }

    /// Something goes wrong.
    fn harm(&mut self, now: Instant) {
        let random = usize::try_from(self.dice.below(3)).unwrap();
        let who = self.claimer().filter(|_| self.dice.below(3) > 0).unwrap_or(random);
        let is_well = self.nodes[who].child.is_some() && self.nodes[who].stopped_until.is_none();
        match self.dice.below(10) {
            0..=3 if is_well => {
                self.signal(who, Signal::SIGKILL);
                let later = Duration::from_millis(500 + self.dice.below(4_000));
                let node = &mut self.nodes[who];
                drop(node.child.take().unwrap().wait());
                node.starts_at = Some(now + later);
                self.counts.kills += 1;
            }
            4..=6 if is_well => {
                self.signal(who, Signal::SIGSTOP);
                let span = Duration::from_millis(500 + self.dice.below(11_000));
                self.nodes[who].stopped_until = Some(now + span);
                self.counts.stops += 1;
            }
            7 | 8 if is_well => {
                self.signal(who, Signal::SIGTERM);
                let node = &mut self.nodes[who];
                drop(node.child.take().unwrap().wait());
                node.starts_at = Some(now);
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

    fn run(&mut self, span: Duration) -> (Timestamp, Timestamp) {
        let begun = Instant::now();
        self.tend(begun);
        let first = Timestamp::now();
        let mut next = begun + Duration::from_secs(8);
        while begun.elapsed() < span {
            let now = Instant::now();
            self.tend(now);
            if now >= next {
                self.harm(now);
                next = now + Duration::from_millis(PACE.0 + self.dice.below(PACE.1 - PACE.0));
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        // What happens last must happen at least once.
        let last = Timestamp::now();
        let settled = Instant::now() + SETTLING;
        while Instant::now() < settled {
            self.tend(Instant::now());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        (first, last)
    }

    /// What is recorded of runs and of instants that were not started.
    fn records(&self) -> Vec<RunRecord> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store: Arc<Store> = Arc::new(Store::new(&self.redis.url(), "soak"));
        let (mut records, mut cursor) = (Vec::new(), None);
        loop {
            let query = Query {
                job: None,
                outcomes: Vec::new(),
                since: None,
                until: None,
                id_end: None,
                limit: 1_000,
                cursor,
            };
            let page = runtime.block_on(store.runs(query)).unwrap();
            records.extend(page.runs);
            cursor = page.cursor;
            if cursor.is_none() {
                return records;
            }
        }
    }

    fn judge(&self, first: Timestamp, last: Timestamp) -> Result {
        let text = fs::read_to_string(self.folder.path().join("runs")).unwrap();
        let mut ran: BTreeMap<(String, Timestamp), usize> = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            *ran.entry((words[0].to_owned(), words[1].parse().unwrap())).or_default() += 1;
        }
        let mut listed: BTreeMap<(String, Timestamp), RecordedOutcome> = BTreeMap::new();
        for record in self.records() {
            let Some(outcome) = record.outcome else { continue };
            let job = record.key.id.to_string();
            match record.range {
                // Only the job of each second has ranges here, or one of each minute has.
                Some((end, count)) => {
                    let span = end.at.duration_since(record.due.at).as_secs();
                    let step = if count > 1 { span / i64::try_from(count - 1).unwrap() } else { 1 };
                    for number in 0..i64::try_from(count).unwrap() {
                        let at = record.due.at + SignedDuration::from_secs(number * step);
                        listed.insert((job.clone(), at), outcome);
                    }
                }
                None => {
                    listed.insert((job, record.due.at), outcome);
                }
            }
        }
        // From when all were there to when the last harm was done.
        let (from, to) = (first.as_second() + 8, last.as_second() - 6);
        let mut jobs: BTreeSet<&String> = ran.keys().map(|(job, _)| job).collect();
        jobs.extend(listed.keys().map(|(job, _)| job));
        // A job that nobody has ever heard of would be lost unseen.
        let has_minute = (from..=to).any(|at| at % 60 == 0);
        assert!(!has_minute || jobs.len() == MANY + 1, "{} jobs were heard of", jobs.len());
        let each_second = jobs
            .iter()
            .max_by_key(|job| ran.keys().filter(|(of, _)| of == **job).count())
            .map(|job| (*job).clone())
            .unwrap();
        let is_due =
            |job: &str, at: i64| (from..=to).contains(&at) && (at % 60 == 0 || *job == each_second);
        let due: Vec<(String, Timestamp)> = jobs
            .iter()
            .flat_map(|job| {
                (from..=to)
                    .filter(|at| is_due(job, *at))
                    .map(|at| ((*job).clone(), Timestamp::from_second(at).unwrap()))
            })
            .collect();
        let is = |instant: &(String, Timestamp), wanted| listed.get(instant) == Some(&wanted);
        let unstarted = || due.iter().filter(|instant| !ran.contains_key(*instant));
        let accounted = |instant: &&(String, Timestamp)| {
            [RecordedOutcome::Lost, RecordedOutcome::Missed, RecordedOutcome::Skipped]
                .into_iter()
                .any(|outcome| is(instant, outcome))
        };
        Result {
            due: due.len(),
            started: due.iter().filter(|instant| ran.contains_key(*instant)).count(),
            twice: ran.values().filter(|count| **count > 1).count(),
            lost: unstarted().filter(|instant| is(instant, RecordedOutcome::Lost)).count(),
            missed: unstarted().filter(|instant| is(instant, RecordedOutcome::Missed)).count(),
            unlisted: unstarted().filter(|instant| !accounted(instant)).cloned().collect(),
            take_overs: self.take_overs(),
        }
    }

    fn take_overs(&self) -> usize {
        let logs =
            self.nodes.iter().flat_map(|node| (0..node.lives).map(|life| self.log(node.who, life)));
        let texts = logs.map(|path| fs::read_to_string(path).unwrap_or_default());
        texts.map(|text| text.matches("taken over from a replica").count()).sum()
    }
}

impl Drop for Soak {
    fn drop(&mut self) {
        if self.is_bad || std::env::var_os("CRONKEEP_SOAK_KEEP").is_some() {
            let kept = std::env::temp_dir().join(format!("soak-{}", std::process::id()));
            // What is left behind is for people to look at.
            let _ = fs::rename(self.folder.path(), &kept);
            println!("the logs are in {}", kept.display());
        }
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn soak(faults: &'static str, span: Duration) -> Option<(Result, Counts)> {
    if !LIBRARIES.into_iter().any(|path| Path::new(path).exists()) {
        println!("skipped: libfaketime is not there");
        assert!(std::env::var_os("CI").is_none(), "the package faketime can be installed");
        return None;
    }
    let redis = Redis::setup().durable().start()?;
    let seed = number("CRONKEEP_TEST_SOAK_SEED", Timestamp::now().as_millisecond().unsigned_abs());
    println!("CRONKEEP_TEST_SOAK_SEED={seed}");
    let mut soak = Soak::new(redis, seed, faults);
    let (first, last) = soak.run(span);
    let result = soak.judge(first, last);
    let counts = soak.counts;
    soak.is_bad = !result.unlisted.is_empty() || (result.twice > 0) != faults.contains("careless");
    println!(
        "{}",
        json!({
            "seed": seed, "due": result.due, "started": result.started, "twice": result.twice,
            "lost": result.lost, "missed": result.missed, "unlisted": result.unlisted.len(),
            "kills": counts.kills, "stops": counts.stops, "restarts": counts.restarts,
            "redis_restarts": counts.redis_restarts, "take_overs": result.take_overs,
        })
    );
    if !result.unlisted.is_empty() || result.twice > 0 {
        println!("unlisted: {:?}", result.unlisted.iter().take(20).collect::<Vec<_>>());
    }
    Some((result, counts))
}

#[test]
fn whatever_goes_wrong_nothing_is_started_twice_or_lost_unseen() {
    let span = Duration::from_secs(number("CRONKEEP_TEST_SOAK_SECONDS", 60));
    let Some((result, counts)) = soak("replica-linger-500", span) else { return };
    assert!(result.due > 0 && result.started > 0);
    assert_eq!(result.twice, 0, "started twice");
    assert_eq!(result.unlisted, [], "neither started nor listed");
    assert!(counts.kills > 0 && counts.stops > 0, "{counts:?}");
    assert!(result.take_overs > 0, "nothing was taken over");
}

#[test]
fn without_the_second_comparison_the_soak_finds_doubles() {
    let span = Duration::from_secs(number("CRONKEEP_TEST_SOAK_SECONDS", 60).min(180));
    let Some((result, _)) = soak("replica-linger-900,careless-starts-1", span) else { return };
    assert!(result.twice > 0, "nothing was started twice, though it was not compared");
}
