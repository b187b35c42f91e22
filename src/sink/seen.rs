//! What has been seen since the start that somebody may ask for: the last runs, the last load, what is wrong with a crontab.
//!
//! All is bounded: so many jobs whose last run is known, so many runs, so many crontabs.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedReceiver;

use super::recent::Recent;
use crate::event::{Ended, Event, Loaded};
use crate::job::JobKey;

/// Jobs whose last run is known.
const JOBS: usize = 4096;
/// Runs that are known beside these, the last ones.
const RUNS: usize = 64;
/// Crontabs of which trouble is known.
const FILES: usize = 1024;

/// Keeps what was seen. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: HashMap<JobKey, Ended>,
    ended: VecDeque<Ended>,
    loaded: Option<Loaded>,
    trouble: BTreeMap<Arc<str>, String>,
}

impl Seen {
    /// Keeps what `events` tell, and hands them on to `recent`, until the bus is gone.
    pub async fn keep(self, recent: Recent, mut events: UnboundedReceiver<Arc<Event>>) {
        while let Some(event) = events.recv().await {
            self.take(&event);
            recent.take(&event);
        }
    }

    /// Keeps one event, if it is of interest.
    pub fn take(&self, event: &Event) {
        match event {
            Event::RunEnded(ended) => self.state().end(ended),
            Event::Loaded(loaded) => self.state().load(loaded),
            Event::Rejected { file, reason } => self.state().blame(file, Some(reason)),
            Event::Notice { file: Some(file), text, warning } => {
                self.state().blame(file, warning.then_some(text));
            }
            _ => {}
        }
    }

    /// The run of a job that ended last, if it is known.
    #[must_use]
    pub fn last_of(&self, key: JobKey) -> Option<Ended> {
        self.state().last.get(&key).cloned()
    }

    /// The run of each job that ended last, as far as they are known.
    #[must_use]
    pub fn last(&self) -> HashMap<JobKey, Ended> {
        self.state().last.clone()
    }

    /// The runs that ended last, newest first.
    #[must_use]
    pub fn ended(&self) -> Vec<Ended> {
        self.state().ended.iter().rev().cloned().collect()
    }

    /// What the last load came to; none if nothing was loaded yet.
    #[must_use]
    pub fn loaded(&self) -> Option<Loaded> {
        self.state().loaded.clone()
    }

    /// What is wrong with which crontab, in words.
    #[must_use]
    pub fn trouble(&self) -> BTreeMap<Arc<str>, String> {
        self.state().trouble.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done by a panic: there is none.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn end(&mut self, ended: &Ended) {
        self.ended.push_back(ended.clone());
        if self.ended.len() > RUNS {
            self.ended.pop_front();
        }
        self.last.insert(ended.run.fire.job.key, ended.clone());
        if self.last.len() > JOBS {
            // Many at a time, so that each end need not look through all of them.
            let mut ends: Vec<_> = self.last.values().map(|ended| ended.at).collect();
            let (_, middle, _) = ends.select_nth_unstable(JOBS / 4);
            let oldest = *middle;
            self.last.retain(|_, ended| ended.at > oldest);
        }
    }

    fn load(&mut self, loaded: &Loaded) {
        for file in &loaded.files {
            self.trouble.remove(file);
        }
        self.loaded = Some(loaded.clone());
    }

    fn blame(&mut self, file: &Arc<str>, what: Option<&String>) {
        match what {
            None => {
                self.trouble.remove(file);
            }
            Some(text) if self.trouble.len() < FILES || self.trouble.contains_key(file) => {
                self.trouble.insert(Arc::clone(file), text.clone());
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::event::{Fire, Outcome, Run, RunId, Trigger, Usage};
    use crate::job::{Job, JobTable};
    use crate::schedule::Zone;

    fn jobs(count: usize) -> Vec<Arc<Job>> {
        let lines = (0..count).map(|number| format!("* * * * * job {number}\n"));
        let source = Source {
            name: "test".into(),
            bytes: lines.collect::<String>().into_bytes(),
            dialect: Dialect::user("root"),
        };
        let crontab = parse(&source);
        let (table, _, _) = JobTable::build(
            &[(&source, &crontab)],
            &Zone::utc(),
            &Options::default(),
            &JobTable::default(),
            Timestamp::UNIX_EPOCH,
        );
        table.jobs().to_vec()
    }

    fn ended(job: &Arc<Job>, second: i64) -> Event {
        let at = Timestamp::from_second(second).unwrap();
        let due = job.next_after(Timestamp::UNIX_EPOCH).unwrap();
        let fire = Fire { job: Arc::clone(job), due, trigger: Trigger::Schedule };
        let random = second.unsigned_abs().into();
        Event::RunEnded(Ended {
            run: Arc::new(Run { id: RunId::new(at, random), fire, attempt: 1 }),
            outcome: Outcome::Succeeded { exit: 0 },
            cause: None,
            retry: None,
            at,
            duration: Duration::ZERO,
            usage: Usage::default(),
        })
    }

    #[test]
    fn the_last_run_of_a_job_is_the_one_that_ended_last() {
        let (seen, jobs) = (Seen::default(), jobs(2));
        for second in [1, 2, 3] {
            seen.take(&ended(&jobs[0], second));
        }
        let last = seen.last_of(jobs[0].key).unwrap();
        assert_eq!(last.at.as_second(), 3);
        assert!(seen.last_of(jobs[1].key).is_none());
        let seconds: Vec<_> = seen.ended().iter().map(|ended| ended.at.as_second()).collect();
        assert_eq!(seconds, [3, 2, 1]);
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
        let (seen, jobs) = (Seen::default(), jobs(JOBS + 1));
        for (second, job) in (1..).zip(&jobs) {
            seen.take(&ended(job, second));
        }
        assert!(seen.last().len() <= JOBS);
        assert_eq!(seen.ended().len(), RUNS);
        assert!(seen.last_of(jobs[0].key).is_none());
        assert!(seen.last_of(jobs[JOBS].key).is_some());
    }

    #[test]
    fn trouble_with_a_crontab_lasts_until_it_is_loaded_or_well() {
        let seen = Seen::default();
        let file: Arc<str> = "/etc/crontab".into();
        let notice = |warning| Event::Notice {
            file: Some(Arc::clone(&file)),
            text: "is gone".into(),
            warning,
        };
        seen.take(&notice(true));
        assert_eq!(seen.trouble().get(&file).unwrap(), "is gone");
        seen.take(&notice(false));
        assert!(seen.trouble().is_empty());
        seen.take(&Event::Rejected { file: Arc::clone(&file), reason: "refused".into() });
        assert_eq!(seen.trouble().len(), 1);
        seen.take(&Event::Loaded(Loaded {
            files: vec![Arc::clone(&file)],
            jobs: 1,
            refused: 0,
            added: 1,
            changed: 0,
            removed: 0,
            unchanged: 0,
            errors: 0,
            warnings: 0,
            at: Timestamp::UNIX_EPOCH,
        }));
        assert!(seen.trouble().is_empty() && seen.loaded().is_some());
    }
}
