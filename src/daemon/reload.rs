//! From changed text to jobs in force.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Daemon;
use super::reading::{Ahead, Defaults, Reading};
use super::restore::ANSWER;
use super::resume::{Resume, States};
use super::standing::{Accepted, Key, Standings, Told};
use crate::clock::Waker;
use crate::command::check::expiry;
use crate::command::check::lookup::{self, HostLookup};
use crate::config::{Config, PlaceSpec};
use crate::crontab::directive::Executor;
use crate::crontab::{Fault, Source};
use crate::event::{Bus, Event, Loaded};
use crate::job::{Diff, Job, JobTable, Policy, Terms};
use crate::sink::hook::Permission;
use crate::unix::{self, Account, memory};
use crate::watch::{Change, Edit, Notice, Occasion, Text};

/// The crontabs as last accepted, and the jobs made of them.
pub(super) struct Reload {
    places: Vec<PlaceSpec>,
    /// By place and path, in the order in which they are read.
    files: BTreeMap<Key, Accepted>,
    defaults: Defaults,
    hooks: Permission,
    /// Whether there is a broker, and a key for what is sent to workers.
    has_broker: bool,
    has_worker_key: bool,
    account: Account,
    bus: Bus,
    /// Every job of the crontabs, those included that cannot run here.
    table: JobTable,
    /// How many of them can.
    runnable: usize,
    errors: usize,
    warnings: usize,
    /// Why edits are found by looking every second, where they are not announced.
    polling: Option<String>,
    standings: watch::Sender<Arc<Standings>>,
    resume: Resume,
    /// What was read before the first load.
    ahead: Option<Ahead>,
}

/// Puts jobs in force; gives what wakes the scheduler for them, if there is one.
pub(super) trait Put: FnOnce(Arc<JobTable>) -> Option<Waker> {}

impl<F: FnOnce(Arc<JobTable>) -> Option<Waker>> Put for F {}

/// Why the jobs in force may change.
pub(super) enum News {
    /// Texts have.
    Change(Change),
    /// The store tells what it has kept of earlier lives, which it has not in time.
    Past(States),
}

/// Faults of one file that a load tells one by one; `check` shows the rest.
const TOLD: usize = 100;

impl Reload {
    pub(super) fn new(config: &Config, account: Account, bus: Bus, resume: Resume) -> Self {
        Reload {
            places: config.sources.clone(),
            files: BTreeMap::new(),
            defaults: Defaults::of(config),
            has_broker: !config.broker.addresses.is_empty(),
            has_worker_key: config.broker.worker_key.is_some(),
            hooks: Permission { account: account.clone(), everybody: config.allow_user_hooks },
            account,
            bus,
            table: JobTable::default(),
            runnable: 0,
            errors: 0,
            warnings: 0,
            polling: None,
            standings: watch::Sender::new(Arc::default()),
            resume,
            ahead: None,
        }
    }

    /// With what is read already.
    pub(super) fn with(mut self, ahead: Option<Ahead>) -> Self {
        self.ahead = ahead;
        self
    }

    /// How every crontab stands, now and after each change.
    pub(super) fn standings(&self) -> watch::Receiver<Arc<Standings>> {
        self.standings.subscribe()
    }

    /// The crontabs in force, with the hashes of their texts.
    pub(super) fn in_force(&self) -> impl Iterator<Item = (&Key, u64)> {
        self.files.iter().filter_map(|(key, accepted)| Some((key, accepted.standing.hash?)))
    }

    /// The text in force of a crontab.
    pub(super) fn text(&self, key: &Key) -> Option<Vec<u8>> {
        self.files.get(key)?.text()
    }

    /// Whether there is such a crontab, though nothing of it may be in force.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.files.contains_key(key)
    }

    /// Whether nothing was read yet.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The crontabs in force, read again.
    pub(super) fn readings(&self) -> Vec<Reading> {
        self.files.iter().filter_map(|(key, accepted)| self.read_again(key, accepted)).collect()
    }

    /// Tells what the watch has noticed, and takes over what it has read.
    pub(super) fn take(&mut self, change: Change, now: Timestamp, put: impl Put) {
        for notice in &change.notices {
            let (text, warning) = (notice.to_string(), notice.is_warning());
            let file = notice.path().map(|path| path.display().to_string().into());
            self.bus.publish(Event::Notice { file, text, warning });
        }
        self.follow(change, now, put);
    }

    /// Takes over a change, and tells how the crontabs stand after it.
    fn follow(&mut self, change: Change, now: Timestamp, put: impl Put) {
        self.apply(change, now, put);
        self.ahead = None;
        self.stand();
    }

    /// Tells those who ask how every crontab stands.
    fn stand(&self) {
        let files = self.files.values().map(|accepted| accepted.standing.clone()).collect();
        let polling = self.polling.clone();
        self.standings.send_replace(Arc::new(Standings { files, polling }));
    }

    /// Reads what changed and hands the jobs to be scheduled from now on to `put`, unless they stay as they are.
    fn apply(&mut self, change: Change, now: Timestamp, put: impl Put) {
        for notice in &change.notices {
            self.heed(notice);
        }
        let is_degraded = |key: &Key| {
            change.notices.iter().any(|notice| {
                matches!(notice, Notice::Degraded { place, path, .. } if (*place, path) == (key.0, &key.1))
            })
        };
        let mut read = BTreeMap::new();
        let mut files = Vec::new();
        for Edit { place, path, text } in change.edits {
            let name: Arc<str> = path.display().to_string().into();
            let key = (place, path);
            if let Some(text) = text {
                if let Some(parsed) = self.read(&key, &name, text, now) {
                    files.push(name);
                    read.insert(key, parsed);
                }
                continue;
            }
            if self.files.get_mut(&key).is_some_and(Accepted::withdraw) {
                files.push(name);
            }
            // A file that is gone for good is no trouble any more.
            if !is_degraded(&key) {
                self.files.remove(&key);
            }
        }
        self.files.retain(|_, accepted| accepted.is_known());
        if files.is_empty() {
            if matches!(change.occasion, Occasion::Start | Occasion::Reload) {
                let all = self.files.values().map(|accepted| Arc::clone(&accepted.standing.file));
                let unchanged = Diff { unchanged: self.table.len(), ..Diff::default() };
                self.tell_loaded(all.collect(), &unchanged, now);
            }
            memory::return_large_blocks();
            return;
        }
        let changed: BTreeSet<_> = read.keys().cloned().collect();
        let mut crontabs: Vec<(Key, Reading)> = self
            .files
            .iter()
            .filter_map(|(key, accepted)| {
                let reading = match read.remove(key) {
                    Some(reading) => reading,
                    None => self.read_again(key, accepted)?,
                };
                Some((key.clone(), reading))
            })
            .collect();
        self.put_in_force(files, &mut crontabs, now, put);
        // Asking the host takes time that an edit need not wait for.
        self.look_up(&crontabs, &changed, now);
        for (key, Reading { source, .. }) in crontabs {
            if changed.contains(&key)
                && let Some(accepted) = self.files.get_mut(&key)
            {
                accepted.keep(source.bytes);
            }
        }
        // The start is over: what comes from now on comes now and then.
        memory::return_large_blocks();
        memory::release();
        memory::unmap_program();
    }

    /// Reads the new text of a file; tells why, if it is refused as a whole.
    fn read(&mut self, key: &Key, name: &Arc<str>, text: Text, now: Timestamp) -> Option<Reading> {
        let dialect = self.places.get(key.0)?.dialect(&key.1);
        let hash = text.fingerprint.hash;
        let ahead = self.ahead.take_if(|ahead| ahead.is_of(key));
        let reading = ahead.and_then(|ahead| ahead.take(&text.bytes)).unwrap_or_else(|| {
            Reading::of(Source { name: Arc::clone(name), bytes: text.bytes, dialect })
        });
        let accepted = accepted(&mut self.files, key);
        let crontab = &reading.crontab;
        if crontab.accepted {
            accepted.take(hash, now);
            return Some(reading);
        }
        tell(name, &mut accepted.told, &self.bus, crontab.faults.iter());
        let reason = if accepted.is_in_force() {
            "refused as a whole; its last good version stays in force"
        } else {
            "refused as a whole; it has no earlier version, so no job of it runs"
        };
        accepted.standing.note_faults(crontab.faults.iter());
        accepted.refuse(reason);
        let (file, reason) = (Arc::clone(name), reason.to_owned());
        self.bus.publish(Event::Rejected { file, reason });
        None
    }

    /// Reads the text in force of a file that did not change.
    fn read_again(&self, key: &Key, accepted: &Accepted) -> Option<Reading> {
        let bytes = accepted.text()?;
        let dialect = self.places.get(key.0)?.dialect(&key.1);
        let source = Source { name: Arc::clone(&accepted.standing.file), bytes, dialect };
        Some(Reading::of(source))
    }

    /// Takes note of what the watch says of a file.
    fn heed(&mut self, notice: &Notice) {
        match notice {
            Notice::Degraded { place, path, trouble, .. } => {
                let standing = &mut accepted(&mut self.files, &(*place, Arc::clone(path))).standing;
                standing.trouble = Some(trouble.to_string());
                standing.is_away = true;
            }
            Notice::Restored { place, path, .. } => {
                accepted(&mut self.files, &(*place, Arc::clone(path))).restore();
            }
            Notice::FileMount { place, path } => {
                accepted(&mut self.files, &(*place, Arc::clone(path))).standing.is_mount = true;
            }
            Notice::Polling(cause) => self.polling = Some(cause.to_string()),
            Notice::Announced => self.polling = None,
            _ => {}
        }
    }

    /// Tells of users and commands that the host does not have, and of entries whose time is over.
    fn look_up(&mut self, crontabs: &[(Key, Reading)], changed: &BTreeSet<Key>, now: Timestamp) {
        let host = HostLookup::default();
        for (key, Reading { source, crontab, .. }) in
            crontabs.iter().filter(|(key, ..)| changed.contains(key))
        {
            if let Some(Accepted { standing, told_of_host, .. }) = self.files.get_mut(key) {
                let mut faults = lookup::faults(source, crontab, &host);
                let starts = |job: &Job| self.resume.starts(job.key);
                faults.extend(expiry::faults(source, crontab, (&self.table, now), starts));
                tell(&standing.file, told_of_host, &self.bus, faults.iter());
            }
        }
    }

    fn put_in_force(
        &mut self,
        files: Vec<Arc<str>>,
        crontabs: &mut [(Key, Reading)],
        now: Timestamp,
        put: impl Put,
    ) {
        let roster = match &mut *crontabs {
            [(_, alone)] => alone.roster.take(),
            _ => None,
        };
        let roster = roster.unwrap_or_else(|| {
            let readings = crontabs.iter().map(|(_, reading)| reading.parts());
            self.defaults.roster(&readings.collect::<Vec<_>>())
        });
        let states = self.resume.recall(now, ANSWER);
        let known = |key| states.as_ref()?.get(&key)?.since;
        let (table, diff, across) = roster.settle(&self.table, now, &known);
        let mut across_files: HashMap<&str, Vec<&Fault>> = HashMap::new();
        for (file, fault) in &across {
            across_files.entry(file).or_default().push(fault);
        }
        (self.errors, self.warnings) = (0, 0);
        for (key, Reading { source, crontab, .. }) in crontabs {
            let Some(accepted) = self.files.get_mut(key) else { continue };
            let mut faults: Vec<&Fault> = crontab.faults.iter().collect();
            faults.extend(across_files.remove(&*source.name).unwrap_or_default());
            accepted.standing.note_faults(faults.iter().copied());
            self.errors += accepted.standing.errors;
            self.warnings += accepted.standing.warnings;
            tell(&source.name, &mut accepted.told, &self.bus, faults.into_iter());
        }
        self.table = table;
        self.tell_jobs(&diff);
        let runnable = self.runnable();
        self.runnable = runnable.len();
        self.resume.go_on(states.as_ref(), &runnable, now);
        // Before it is told: whoever hears of it and asks finds it so.
        let waker = put(runnable);
        self.stand();
        self.tell_loaded(files, &diff, now);
        // Both take a core that the log would wait for.
        if let Some(waker) = waker {
            waker.wake();
        }
        self.resume.keep_new(states.as_ref(), &diff, now);
    }

    /// Takes over what the store has told late.
    fn look_back(&mut self, states: &States, now: Timestamp, put: impl Put) {
        let Some(table) = self.resume.recall_late(states, &self.table) else { return };
        let runnable = Arc::new(table.only(|job| self.refusal(job).is_none()));
        self.table = table;
        self.resume.go_on_late(states, &runnable, now);
        if let Some(waker) = put(runnable) {
            waker.wake();
        }
    }

    fn tell_loaded(&self, files: Vec<Arc<str>>, diff: &Diff, now: Timestamp) {
        // Whoever sees the event and asks is told of this load.
        self.bus.publish(Event::Loaded(Loaded {
            files,
            jobs: self.runnable,
            refused: self.table.len() - self.runnable,
            added: diff.added.len(),
            changed: diff.changed.len(),
            removed: diff.removed.len(),
            unchanged: diff.unchanged,
            errors: self.errors,
            warnings: self.warnings,
            at: now,
        }));
    }

    fn tell_jobs(&self, diff: &Diff) {
        self.bus.publish(Event::JobAdded(diff.added.clone()));
        self.bus.publish(Event::JobChanged(diff.changed.clone()));
        self.bus.publish(Event::JobRemoved(diff.removed.clone()));
        // Looking at each job takes a while where there are many.
        let is_asked = |policy: &Arc<Policy>| {
            policy.ping.is_some() || policy.on_failure.is_some() || self.wanting(policy).is_some()
        };
        if !diff.policies.iter().any(is_asked) {
            return;
        }
        let new = diff.added.iter().chain(&diff.changed);
        for (file, text) in self.hooks.refusals(new.clone()) {
            self.bus.publish(Event::Notice { file: Some(file), text, warning: true });
        }
        let mut last: Option<(&Arc<Terms>, Option<&'static str>)> = None;
        for job in new {
            // Neighbours have the same terms as a rule.
            let wanting = match &last {
                Some((terms, wanting)) if Arc::ptr_eq(terms, &job.terms) => *wanting,
                _ => last.insert((&job.terms, self.wanting(job.policy()))).1,
            };
            if let Some(option) = wanting.filter(|_| self.refusal(job).is_none()) {
                let text = format!(
                    "{}:{}: it runs on a worker, and none can be reached without {option}",
                    job.file(),
                    job.line,
                );
                let file = Some(job.file().clone());
                self.bus.publish(Event::Notice { file, text, warning: true });
            }
        }
    }

    /// The option of the daemon without which jobs with these options cannot run.
    fn wanting(&self, policy: &Policy) -> Option<&'static str> {
        match policy.executor {
            Executor::Shell => None,
            Executor::Worker(_) if !self.has_broker => Some("--amqp"),
            Executor::Worker(_) => (!self.has_worker_key).then_some("--worker-key"),
        }
    }

    /// The jobs that can run here; the others are told, with the reason.
    fn runnable(&self) -> Arc<JobTable> {
        Arc::new(self.table.only(|job| match self.refusal(job) {
            None => true,
            Some(reason) => {
                self.bus.publish(Event::JobRefused { job: Arc::clone(job), reason });
                false
            }
        }))
    }

    /// Why a job cannot run here, if it cannot.
    fn refusal(&self, job: &Job) -> Option<String> {
        // Whether root knows the user is seen at each start: he may come later (rows 55, 56).
        if self.account.uid != 0 && !self.account.is(job.user().as_bytes()) {
            return Some(format!(
                "it belongs to {}, and this daemon runs the jobs of {} only",
                job.user(),
                self.account.name
            ));
        }
        None
    }
}

/// What is known of a file.
fn accepted<'a>(files: &'a mut BTreeMap<Key, Accepted>, key: &Key) -> &'a mut Accepted {
    files.entry(key.clone()).or_insert_with(|| Accepted::new(key.1.display().to_string().into()))
}

/// Tells the faults of a file that it did not have before.
fn tell<'a>(
    file: &Arc<str>,
    told: &mut HashSet<Told>,
    bus: &Bus,
    faults: impl Iterator<Item = &'a Fault>,
) {
    let before = std::mem::take(told);
    let mut more: usize = 0;
    for (place, fault) in faults.enumerate() {
        if place >= TOLD {
            more += 1;
            continue;
        }
        let mut hasher = DefaultHasher::new();
        (fault.code, fault.line, fault.column, &fault.message).hash(&mut hasher);
        if !before.contains(&hasher.finish()) {
            bus.publish(Event::Fault { file: Arc::clone(file), fault: fault.clone() });
        }
        told.insert(hasher.finish());
    }
    if more > 0 {
        let text = format!("{file}: {more} more faults; `cronkeep check {file}` shows them all");
        bus.publish(Event::Notice { file: Some(Arc::clone(file)), text, warning: true });
    }
}

impl Daemon {
    /// Takes over what the watch has seen, on a thread beside: what is due meanwhile starts in time, and a signal is
    /// followed at once. Gives what did it back, to be awaited; `None` only if it panicked.
    pub(super) fn take(
        &self,
        mut reload: Reload,
        news: News,
    ) -> Pin<Box<dyn Future<Output = Option<Reload>>>> {
        let (tables, waker) = (Arc::downgrade(&self.tables), self.waker.clone());
        let now = self.clock.now();
        let put = move |table| {
            if let Some(tables) = tables.upgrade() {
                tables.send_replace(table);
                // Let go of first: should it be the last, the scheduler ends when it is woken.
                drop(tables);
            }
            Some(waker)
        };
        Box::pin(unix::beside(move || {
            match news {
                News::Change(change) => reload.take(change, now, put),
                News::Past(states) => reload.look_back(&states, now, put),
            }
            reload
        }))
    }
}
