//! A Redis server, which replicas of a service share.
//!
//! All keys begin with `{cronkeep:NAMESPACE}:`, so that they lie in one slot; `docs/store-redis.md` describes them. What must
//! happen together is a script, which begins with a look at the version and at which life of the server it is.

mod again;
mod beat;
mod call;
mod error;
mod form;
mod link;
mod orders;
mod outbox;
mod page;
mod rights;
mod script;
mod target;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use self::again::Known;
use self::link::Link;
use super::pause::Pauses;
use super::seal::Seal;
use super::{
    Beat, Claim, Done, Forgotten, Generation, JobState, Lease, Loaded, Mark, Output, Owed, Owned,
    Page, Peers, Permission, Posted, Put, PutSnapshot, Query, Reply, Room, Start, Store,
    StoreError, Tell, Verdict, Versioned, Waiting, Which, Write,
};
use crate::event::{RunId, Trigger};
use crate::job::{JobId, JobKey};
use crate::schedule::Due;

/// How long the server may take to answer what a fire waits for.
const SOON: Duration = Duration::from_secs(2);
/// How long it may take for anything else.
const LATE: Duration = Duration::from_secs(15);
/// Where the Python service keeps its rows; in a namespace other than `default` its name and `:` stand before it.
const SEED_KEY: &str = "crond-service-cronjob-cache";
/// The largest that the Python service's rows may be.
const LARGEST_ROWS: usize = 64 << 20;

/// What the state of a job takes on its way, about.
const FIELD: usize = 64;

/// How much is kept of what can grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// So many attempts.
    pub runs: u64,
    /// For so long.
    pub age: Duration,
    /// So many bytes of output, over all runs.
    pub output: u64,
    /// For how long a job is remembered that no replica has any more.
    pub forgotten: Duration,
    /// So many jobs are remembered of which some are no replica's for four days; those that are one's are all remembered.
    pub jobs: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 60 * 60);
        Bounds {
            runs: 100_000,
            age: 30 * day,
            output: 256 << 20,
            forgotten: 35 * day,
            jobs: 100_000,
        }
    }
}

/// A Redis server, for one namespace.
pub struct Redis {
    /// For claims, starts and beats: what waits behind nothing else.
    soon: Link,
    /// For everything else.
    rest: Link,
    prefix: String,
    seed_key: String,
    bodies_key: String,
    bounds: Bounds,
    /// A time that stands for the server's clock.
    time: Option<Arc<AtomicI64>>,
    careless: bool,
    /// The name of a daemon that starts everything, whatever others do: what is owed is its own.
    local: Option<String>,
    /// Whether nothing is changed, whatever is asked for.
    reads: bool,
    pauses: Pauses,
    /// What is put again where it was lost.
    known: Known,
}

/// Whether a URL can be used at all, as far as its text says.
///
/// # Errors
/// It can not, whatever becomes of the server: why, without any secret.
pub fn check(url: &str) -> Result<(), String> {
    target::check(url)
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Redis {
    /// The server at a URL. It is not asked for anything yet; a URL that cannot be used is told by each answer.
    #[must_use]
    pub fn new(url: &str, namespace: &str) -> Self {
        let of_service = |key: &str| match namespace {
            "default" => key.to_owned(),
            other => format!("{other}:{key}"),
        };
        Redis {
            soon: Link::new(url, SOON),
            rest: Link::new(url, LATE),
            prefix: format!("{{cronkeep:{namespace}}}:"),
            seed_key: of_service(SEED_KEY),
            bodies_key: of_service(outbox::BODIES_KEY),
            bounds: Bounds::default(),
            time: None,
            careless: false,
            local: None,
            reads: false,
            pauses: Pauses::default(),
            known: Known::default(),
        }
    }

    /// Keeps so much of what can grow.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Judges leases by this, milliseconds since the epoch, in place of the server's clock. For tests.
    #[must_use]
    pub fn with_time(mut self, time: Arc<AtomicI64>) -> Self {
        self.time = Some(time);
        self
    }

    /// Waits so long for any answer. For tests that count something else than time.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.soon.wait(patience);
        self.rest.wait(patience);
        self
    }

    /// Does not compare starts with claims: a fault that tests must find.
    #[must_use]
    pub fn careless(mut self) -> Self {
        self.careless = true;
        self
    }

    /// Keeps what is owed as this daemon's, which shares no starts with others, and takes up that alone.
    #[must_use]
    pub fn local(mut self, name: &str) -> Self {
        self.local = Some(replica_word(name));
        self
    }

    /// Signs pauses, and takes only those that are signed, if there is a key; what is refused is told.
    #[must_use]
    pub fn sealed(mut self, seal: Option<Seal>, tell: Tell) -> Self {
        self.pauses = Pauses::new(seal, tell);
        self
    }

    /// Changes nothing: what would have to be made today's schema first is refused.
    #[must_use]
    pub fn reading(mut self) -> Self {
        self.reads = true;
        self
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn load_all(&self) -> Result<Loaded, StoreError> {
        type Fields = Vec<(String, String)>;
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(script::LOAD).arg(1).arg(self.key("version"));
        let ((since, marks, owed, paused, open),): ((Fields, Fields, Fields, Vec<String>, Fields),) =
            self.read(&commands).await?;
        self.rest.carried((since.len() + marks.len() + owed.len()) * FIELD);
        let mut loaded = Loaded::default();
        // Of what others wrote, what makes no sense is passed over: it is one job's, and tells nothing of others.
        let mut job = |word: &str, change: &dyn Fn(&mut JobState)| {
            if let Ok(key) = word.parse::<JobKey>() {
                change(loaded.jobs.entry(key).or_default());
            }
        };
        for (word, at) in &since {
            if let Ok(at) = at.parse() {
                job(word, &|state| state.since = Some(at));
            }
        }
        for (word, mark) in &marks {
            if let Ok(mark) = mark.parse() {
                job(word, &|state| state.mark = Some(mark));
            }
        }
        for (field, trigger) in &owed {
            if let Some((word, owner, owed)) = owed_of(field, trigger)
                && self.local.as_deref() == owner
            {
                job(word, &|state| state.owed.push(owed));
            }
        }
        for key in self.paused(&paused) {
            loaded.jobs.entry(key).or_default().paused = true;
        }
        for state in loaded.jobs.values_mut() {
            state.owed.sort_by_key(|owed| owed.due);
        }
        let names = open.into_iter().map(|(name, _)| name).collect();
        loaded.open = self.records(names).await?;
        loaded.open.sort_by_key(|record| (record.run, record.attempt));
        Ok(loaded)
    }

    /// The jobs whose pauses are taken, of the members of `paused`.
    fn paused(&self, members: &[String]) -> Vec<JobKey> {
        let found = members.iter().filter_map(|member| {
            let (job, code) = member.split_once(' ').unwrap_or((member, ""));
            let job: JobKey = job.parse().ok()?;
            Some((job, self.pauses.word(job).is_some_and(|word| word == code)))
        });
        self.pauses.judge(found)
    }

    async fn versioned(&self) -> Result<Option<Versioned>, StoreError> {
        let mut commands = redis::pipe();
        commands.cmd("HMGET").arg(self.key("snapshot")).arg("version").arg("bytes");
        let ((version, bytes),): ((Option<u64>, Option<Vec<u8>>),) = self.read(&commands).await?;
        self.rest.carried(bytes.as_ref().map_or(0, Vec::len));
        Ok(version.zip(bytes).map(|(version, bytes)| Versioned { version, bytes }))
    }

    async fn version(&self) -> Result<u64, StoreError> {
        let mut commands = redis::pipe();
        commands.cmd("HGET").arg(self.key("snapshot")).arg("version");
        let (version,): (Option<u64>,) = self.read(&commands).await?;
        Ok(version.unwrap_or(0))
    }

    async fn put(&self, put: PutSnapshot) -> Result<Put, StoreError> {
        self.rest.carried(put.bytes.len() + put.seed_rows.as_ref().map_or(0, String::len));
        let answer: Vec<Vec<u8>> = self
            .call(&self.rest, &script::PUT, |call| {
                call.key(&self.seed_key).arg(put.expected).arg(&put.bytes);
                call.arg(u8::from(put.seed_rows.is_some()));
                call.arg(put.seed_rows.as_deref().unwrap_or_default()).arg(put.after);
            })
            .await?;
        let number = |bytes: &Vec<u8>| {
            let text = std::str::from_utf8(bytes).ok()?;
            text.parse::<u64>().ok()
        };
        let put = match &answer[..] {
            [version] => number(version).map(|version| match version {
                0 => Put::Conflict(None),
                version => Put::Done(version),
            }),
            [_, version, bytes] => number(version)
                .map(|version| Put::Conflict(Some(Versioned { version, bytes: bytes.clone() }))),
            _ => None,
        };
        put.ok_or_else(|| {
            StoreError::Corrupt("the version of its snapshot is no number".to_owned())
        })
    }

    async fn forget(&self) -> Result<Forgotten, StoreError> {
        let stay: u8 = self
            .call(&self.rest, &script::FORGET, |call| {
                call.key(&self.seed_key);
            })
            .await?;
        let theirs = (stay == 1).then(|| self.seed_key.clone());
        Ok(Forgotten { theirs })
    }

    async fn rows(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let (size,): (usize,) = self.read(redis::pipe().strlen(&self.seed_key)).await?;
        if size > LARGEST_ROWS {
            return Err(StoreError::Corrupt(format!("{} has {size} bytes", self.seed_key)));
        }
        let (rows,) = self.read(redis::pipe().get(&self.seed_key)).await?;
        Ok(rows)
    }

    async fn others(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut commands = redis::pipe();
        commands.cmd("EVAL").arg(script::ROWS).arg(2).arg(self.key("version")).arg(&self.seed_key);
        commands.arg(LARGEST_ROWS);
        let (answer,): (Vec<redis::Value>,) = self.read(&commands).await?;
        let rows = match &answer[..] {
            [_, redis::Value::BulkString(rows)] => Some(rows.clone()),
            [_, _] => None,
            _ => return Err(StoreError::Corrupt(format!("{} is too large", self.seed_key))),
        };
        self.rest.carried(rows.as_ref().map_or(0, Vec::len));
        Ok(rows)
    }
}

/// A job as keys name it: the sixteen digits, and the number behind `#` from the second on.
fn job_word(key: JobKey) -> String {
    match key.occurrence {
        1 => key.id.digits(),
        occurrence => format!("{}#{occurrence}", key.id.digits()),
    }
}

/// What is owed, of which job and by whom, from a field of `owed` and its value; by nobody in particular where replicas share it.
fn owed_of<'a>(field: &'a str, value: &str) -> Option<(&'a str, Option<&'a str>, Owed)> {
    let mut words = field.splitn(4, ' ');
    let (word, at, civil, owner) = (words.next()?, words.next()?, words.next()?, words.next());
    let mark: Mark = format!("0 {at} {civil}").parse().ok()?;
    let trigger = Trigger::of_name(value.split(' ').next()?)?;
    Some((word, owner, Owed { due: mark.due(), trigger }))
}

/// A due as keys name it: instant and civil time.
fn due_word(due: Due) -> String {
    Mark::of(due, 0).to_string().split_off(11)
}

/// A replica as keys name it: spaces tell words apart.
fn replica_word(replica: &str) -> String {
    replica.split_whitespace().collect::<Vec<_>>().join("_")
}

impl Store for Redis {
    fn load(&self) -> Reply<'_, Loaded> {
        Box::pin(self.load_all())
    }

    fn snapshot(&self) -> Reply<'_, Option<Versioned>> {
        Box::pin(self.versioned())
    }

    fn snapshot_version(&self) -> Reply<'_, u64> {
        Box::pin(self.version())
    }

    fn put_snapshot(&self, put: PutSnapshot) -> Reply<'_, Put> {
        Box::pin(self.put(put))
    }

    fn forget_snapshot(&self) -> Reply<'_, Forgotten> {
        Box::pin(self.forget())
    }

    fn seed_rows(&self) -> Reply<'_, Option<Vec<u8>>> {
        Box::pin(self.rows())
    }

    fn rows_of_others(&self) -> Reply<'_, Option<Vec<u8>>> {
        Box::pin(self.others())
    }

    fn write(&self, batch: Vec<Write>) -> Reply<'_, ()> {
        Box::pin(self.write_all(batch))
    }

    fn claim(&self, lease: Lease, claims: Vec<Claim>) -> Reply<'_, Vec<Verdict>> {
        Box::pin(self.claim_all(lease, claims))
    }

    fn start(&self, lease: Lease, starts: Vec<Start>) -> Reply<'_, Vec<Permission>> {
        Box::pin(self.start_all(lease, starts))
    }

    fn beat(&self, beat: Beat) -> Reply<'_, Peers> {
        Box::pin(self.beat_once(beat))
    }

    fn assert_marks(&self, marks: Vec<(JobKey, Mark)>) -> Reply<'_, bool> {
        Box::pin(self.assert_all(marks))
    }

    fn pause_again(&self) -> Reply<'_, Option<usize>> {
        Box::pin(self.pause_all_again())
    }

    fn step_back(&self, lease: Lease, from: u64) -> Reply<'_, Generation> {
        Box::pin(self.step_back_from(lease, from))
    }

    fn runs(&self, query: Query) -> Reply<'_, Page> {
        Box::pin(async move { self.page(&query).await })
    }

    fn output(&self, run: RunId) -> Reply<'_, Option<Output>> {
        Box::pin(self.output_of(run))
    }

    fn post(&self, owner: String, messages: Vec<Waiting>, room: Room) -> Reply<'_, Vec<Posted>> {
        Box::pin(self.post_all(owner, messages, room))
    }

    fn adopt(&self, owner: String, alive: Vec<String>) -> Reply<'_, u64> {
        Box::pin(self.adopt_from(owner, alive))
    }

    fn waiting(&self, which: Which) -> Reply<'_, Vec<Waiting>> {
        Box::pin(self.waiting_of(which))
    }

    fn everyones(&self, after: u64) -> Reply<'_, Vec<Owned>> {
        Box::pin(self.everyones_of(after))
    }

    fn unpost(&self, done: Done) -> Reply<'_, ()> {
        Box::pin(self.unpost_all(done))
    }

    fn seed_body(&self, job: JobId) -> Reply<'_, Option<Vec<u8>>> {
        Box::pin(self.body_of(job))
    }

    fn is_swollen(&self) -> bool {
        self.rest.is_swollen()
    }

    fn rest(&self) {
        self.rest.rest();
    }
}
