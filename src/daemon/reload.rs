//! From changed text to jobs in force.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use jiff::Timestamp;

use super::Daemon;
use crate::command::check::expiry;
use crate::command::check::lookup::{self, HostLookup};
use crate::config::{Config, SourceSpec};
use crate::crontab::{self, Crontab, Fault, Options, Source};
use crate::event::{Bus, Event, Loaded};
use crate::job::{Diff, Job, JobTable, Policy};
use crate::schedule::{Schedule, Zone};
use crate::unix::{Account, memory};
use crate::watch::{Change, Occasion};

/// The crontabs as last accepted, and the jobs made of them.
pub(super) struct Reload {
    sources: Vec<Accepted>,
    zone: Zone,
    /// The options of entries that say nothing of their own.
    defaults: Options,
    account: Account,
    bus: Bus,
    /// Every job of the crontabs, those included that cannot run here.
    table: JobTable,
    /// How many of them can.
    runnable: usize,
    errors: usize,
    warnings: usize,
}

/// One crontab as last accepted.
struct Accepted {
    spec: SourceSpec,
    name: Arc<str>,
    /// Kept to be read again when another crontab changes; empty where there is just one.
    bytes: Option<Vec<u8>>,
    /// Whether a version of it is in force.
    in_force: bool,
    /// What was told of its text, so that it is not told again.
    told: HashSet<Told>,
    /// What was told of the users and commands that it names.
    told_of_host: HashSet<Told>,
}

/// A fault as it was told: a hash of what and where, since there may be 100 000.
type Told = u64;

/// Faults of one file that a load tells one by one; `check` shows the rest.
const TOLD: usize = 100;

impl Reload {
    pub(super) fn new(config: &Config, account: Account, bus: Bus) -> Self {
        let sources = config
            .sources
            .iter()
            .map(|spec| Accepted {
                spec: spec.clone(),
                name: spec.path.display().to_string().into(),
                bytes: None,
                in_force: false,
                told: HashSet::new(),
                told_of_host: HashSet::new(),
            })
            .collect();
        Reload {
            sources,
            zone: config.zone.clone(),
            defaults: config.defaults.clone(),
            account,
            bus,
            table: JobTable::default(),
            runnable: 0,
            errors: 0,
            warnings: 0,
        }
    }

    /// Reads what changed and hands the jobs to be scheduled from now on to `put`, unless they stay as they are.
    fn apply(&mut self, change: Change, now: Timestamp, put: impl FnOnce(Arc<JobTable>)) {
        let single = self.sources.len() == 1;
        let mut read: Vec<Option<(Source, Crontab)>> = self.sources.iter().map(|_| None).collect();
        let mut files = Vec::new();
        for (index, bytes) in change.texts {
            let Some(accepted) = self.sources.get_mut(index) else { continue };
            let (source, crontab) = accepted.read(bytes);
            if crontab.accepted {
                files.push(Arc::clone(&accepted.name));
                accepted.in_force = true;
                accepted.bytes = (!single).then(|| source.bytes.clone());
                read[index] = Some((source, crontab));
            } else {
                tell(&accepted.name, &mut accepted.told, &self.bus, crontab.faults.iter());
                let reason = if accepted.in_force {
                    "refused as a whole; its last good version stays in force"
                } else {
                    "refused as a whole; it has no earlier version, so no job of it runs"
                };
                let reason = reason.into();
                self.bus.publish(Event::Rejected { file: Arc::clone(&accepted.name), reason });
            }
        }
        if files.is_empty() {
            if matches!(change.occasion, Occasion::Start | Occasion::Reload) {
                let all = self.sources.iter().map(|accepted| Arc::clone(&accepted.name)).collect();
                self.tell_loaded(
                    all,
                    &Diff { unchanged: self.table.len(), ..Diff::default() },
                    now,
                );
            }
            return;
        }
        let crontabs: Vec<(Source, Crontab)> = self
            .sources
            .iter()
            .zip(read)
            .filter_map(|(accepted, read)| {
                read.or_else(|| Some(accepted.read(accepted.bytes.clone()?)))
            })
            .collect();
        put(self.put_in_force(files, &crontabs, now));
        // Asking the host takes time that an edit need not wait for.
        self.look_up(&crontabs, now);
        drop(crontabs);
        memory::release();
    }

    /// Tells of users and commands that the host does not have, and of entries whose time is over.
    fn look_up(&mut self, crontabs: &[(Source, Crontab)], now: Timestamp) {
        let host = HostLookup::default();
        for (source, crontab) in crontabs {
            let accepted = self.sources.iter_mut().find(|accepted| accepted.name == source.name);
            if let Some(Accepted { name, told_of_host, .. }) = accepted {
                let mut faults = lookup::faults(source, crontab, &host);
                faults.extend(expiry::faults(source, crontab, &self.table, now));
                tell(name, told_of_host, &self.bus, faults.iter());
            }
        }
    }

    fn put_in_force(
        &mut self,
        files: Vec<Arc<str>>,
        crontabs: &[(Source, Crontab)],
        now: Timestamp,
    ) -> Arc<JobTable> {
        let pairs: Vec<(&Source, &Crontab)> =
            crontabs.iter().map(|(source, crontab)| (source, crontab)).collect();
        let (table, diff, across) =
            JobTable::build(&pairs, &self.zone, &self.defaults, &self.table, now);
        (self.errors, self.warnings) = (0, 0);
        for accepted in &mut self.sources {
            let own = crontabs.iter().filter(|(source, _)| source.name == accepted.name);
            let own = own.flat_map(|(_, crontab)| &crontab.faults);
            let across = across.iter().filter(|(file, _)| *file == accepted.name);
            let faults: Vec<&Fault> = own.chain(across.map(|(_, fault)| fault)).collect();
            let errors = faults.iter().filter(|fault| fault.is_error()).count();
            self.errors += errors;
            self.warnings += faults.len() - errors;
            tell(&accepted.name, &mut accepted.told, &self.bus, faults.into_iter());
        }
        self.table = table;
        self.tell_jobs(&diff);
        let runnable = self.runnable();
        self.runnable = runnable.len();
        self.tell_loaded(files, &diff, now);
        runnable
    }

    fn tell_loaded(&self, files: Vec<Arc<str>>, diff: &Diff, now: Timestamp) {
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
        let events = [
            Event::JobAdded(diff.added.clone()),
            Event::JobChanged(diff.changed.clone()),
            Event::JobRemoved(diff.removed.clone()),
        ];
        for event in events {
            self.bus.publish(event);
        }
        for job in diff.added.iter().chain(&diff.changed) {
            let unknown = not_carried_out(job.policy());
            if self.refusal(job).is_none() && !unknown.is_empty() {
                let text = format!(
                    "{}:{}: {} not carried out by this version",
                    job.file(),
                    job.line,
                    unknown.join(", ")
                );
                let file = Some(Arc::clone(job.file()));
                self.bus.publish(Event::Notice { file, text, warning: true });
            }
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
        if !self.account.is(job.user().as_bytes()) {
            return Some(format!(
                "it belongs to {}, and this daemon runs the jobs of {} only",
                job.user(),
                self.account.name
            ));
        }
        match job.schedule() {
            Schedule::Reboot => Some("@reboot is not carried out by this version".into()),
            _ => None,
        }
    }
}

impl Accepted {
    fn read(&self, bytes: Vec<u8>) -> (Source, Crontab) {
        let name = Arc::clone(&self.name);
        let source = Source { name, bytes, dialect: self.spec.dialect.clone() };
        let crontab = crontab::parse(&source);
        (source, crontab)
    }
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
    /// Takes over what the watch has seen.
    pub(super) fn take(&mut self, mut change: Change) {
        for notice in std::mem::take(&mut change.notices) {
            let (text, warning) = (notice.to_string(), notice.is_warning());
            let file = notice.path().map(|path| path.display().to_string().into());
            self.bus.publish(Event::Notice { file, text, warning });
        }
        let (tables, waker) = (&self.tables, &self.waker);
        self.reload.apply(change, self.clock.now(), |table| {
            tables.send_replace(table);
            waker.wake();
        });
    }
}

/// The options that differ from their defaults and that this version does not carry out.
fn not_carried_out(policy: &Policy) -> Vec<&'static str> {
    let default = Policy::default();
    let mut named = Vec::new();
    let mut name = |differs: bool, option: &'static str| {
        if differs {
            named.push(option);
        }
    };
    name(policy.catch_up != default.catch_up, "catch-up");
    name(policy.catch_up_window != default.catch_up_window, "catch-up-window");
    name(policy.catch_up_max != default.catch_up_max, "catch-up-max");
    name(policy.ping != default.ping, "ping");
    name(policy.on_failure != default.on_failure, "on-failure");
    name(policy.executor != default.executor, "executor");
    name(policy.expires != default.expires, "expires");
    name(policy.result != default.result, "result");
    named
}
