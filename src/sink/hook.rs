//! `ping` and `on-failure`: tells web servers how runs go.
//!
//! Follows the bus in a task, and hands requests to threads that are started when first needed: one for each server, so
//! that one that hangs holds up no other, and no run at all. What waits is bounded; what cannot be told is a warning, once.

mod post;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::crontab::{Origin, Text};
use crate::event::{Bus, Ended, Event, Outcome, Run, RunId};
use crate::job::Job;
use crate::unix::Account;
use post::{Body, Posts, Request};
use report::Told;

pub use post::Patience;

/// Lines of a file that a warning names by number.
const LISTED: usize = 5;

/// Whose tables may use hooks.
#[derive(Debug, Clone)]
pub struct Permission {
    /// Whom the daemon runs as.
    pub account: Account,
    /// Every user may (`--allow-user-hooks`).
    pub everybody: bool,
}

impl Permission {
    /// Whether a job's hooks are carried out: those of root's and the daemon's user's tables, of named files and of system
    /// tables are.
    #[must_use]
    pub fn allows(&self, job: &Job) -> bool {
        let user = job.user().as_bytes();
        self.everybody
            || job.terms.origin != Origin::Spool
            || user == b"root"
            || self.account.is(user)
    }

    /// What to say of those of `jobs` whose hooks are not carried out: of each file and user once, with the file.
    #[must_use]
    pub fn refusals<'a>(
        &self,
        jobs: impl Iterator<Item = &'a Arc<Job>>,
    ) -> Vec<(Arc<str>, String)> {
        let mut refused: BTreeMap<(&Arc<str>, &Text), Vec<u32>> = BTreeMap::new();
        for job in jobs {
            let has_hooks = job.policy().ping.is_some() || job.policy().on_failure.is_some();
            if has_hooks && !self.allows(job) {
                refused.entry((job.file(), job.user())).or_default().push(job.line);
            }
        }
        let told = refused.into_iter().map(|((file, user), lines)| {
            let text = format!(
                "{file}:{}: ping and on-failure are not for the tables of {user}; --allow-user-hooks allows them to every user",
                listed(lines)
            );
            (Arc::clone(file), text)
        });
        told.collect()
    }
}

/// Follows the bus and tells servers of starts and ends.
#[derive(Debug)]
pub struct Hooks {
    permission: Permission,
    replica: String,
    /// The runs of jobs with hooks that have started and not ended.
    alive: HashMap<RunId, Told>,
    posts: Posts,
}

impl Hooks {
    /// Hooks of jobs that `permission` allows. `replica` names this daemon in reports, `bus` is told what failed, and
    /// `done` is dropped when every request has been answered after [`Hooks::follow`] has returned.
    #[must_use]
    pub fn new(
        permission: Permission,
        replica: String,
        bus: Bus,
        patience: Patience,
        done: SyncSender<()>,
    ) -> Self {
        let posts = Posts::new(bus, patience, done);
        Hooks { permission, replica, alive: HashMap::new(), posts }
    }

    /// Follows `events` until the daemon has stopped.
    pub async fn follow(mut self, mut events: UnboundedReceiver<Arc<Event>>) {
        while let Some(event) = events.recv().await {
            match &*event {
                Event::RunStarted(started) if self.concerns(&started.run) => {
                    self.alive.entry(started.run.id).or_default().started = Some(started.at);
                    if started.run.attempt == 1
                        && let Some(base) = &started.run.fire.job.policy().ping
                    {
                        self.post(&started.run, below(base, "start"), Body::None);
                    }
                }
                Event::RunOutput(line) if !line.detached && self.concerns(&line.run) => {
                    self.alive.entry(line.run.id).or_default().add(&line.bytes);
                }
                Event::RunEnded(end) if self.concerns(&end.run) => self.end(end),
                Event::Stopping { .. } => self.posts.hurry(),
                Event::Stopped { .. } => return,
                _ => {}
            }
        }
    }

    fn concerns(&self, run: &Run) -> bool {
        let job = &run.fire.job;
        let policy = job.policy();
        (policy.ping.is_some() || policy.on_failure.is_some()) && self.permission.allows(job)
    }

    fn end(&mut self, end: &Ended) {
        let told = self.alive.remove(&end.run.id).unwrap_or_default();
        // A failure that is tried again is none yet.
        if end.retry.is_some() {
            return;
        }
        let policy = end.run.fire.job.policy();
        if let Some(base) = &policy.ping {
            let url = match &end.outcome {
                Outcome::Succeeded { .. } => base.to_string(),
                Outcome::Failed { exit } => below(base, &exit.to_string()),
                _ => below(base, "fail"),
            };
            self.post(&end.run, url, Body::text(told.tail()));
        }
        if let Some(url) = policy.on_failure.as_ref().filter(|_| !end.outcome.is_success()) {
            let report = report::of(end, &told, &self.replica);
            self.post(&end.run, url.to_string(), Body::Json(report));
        }
    }

    fn post(&mut self, run: &Run, url: String, body: Body) {
        self.posts.send(Request { job: run.fire.job.label(), url, body });
    }
}

/// The first lines by number, and how many more there are.
fn listed(mut lines: Vec<u32>) -> String {
    lines.sort_unstable();
    let first: Vec<String> = lines.iter().take(LISTED).map(u32::to_string).collect();
    let first = first.join(",");
    match lines.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first} and {more} more lines"),
    }
}

/// The URL of a word below a base, whose query stays behind it.
fn below(base: &str, word: &str) -> String {
    let end = base.find(['?', '#']).unwrap_or(base.len());
    let (path, rest) = base.split_at(end);
    format!("{}/{word}{rest}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests;
