//! What has been seen since the start that somebody may ask for: the last runs, the last load.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedReceiver;

use super::keep::Keep;
use super::recent::Recent;
use crate::event::{Ended, Event, Loaded};

/// Runs that are known, the last ones.
const RUNS: usize = 64;

/// Keeps what was seen. Clones are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    ended: VecDeque<Ended>,
    loaded: Option<Loaded>,
}

impl Seen {
    /// Keeps what `events` tell, and hands them on to `recent`, and then to `keep`, until the daemon has stopped.
    pub async fn keep(
        self,
        recent: Recent,
        mut keep: Keep,
        mut events: UnboundedReceiver<Arc<Event>>,
    ) {
        while let Some(event) = events.recv().await {
            self.take(&event);
            recent.take(&event);
            keep.take(&event, &recent);
            if matches!(*event, Event::Stopped { .. }) {
                return;
            }
        }
    }

    /// Keeps one event, if it is of interest.
    pub fn take(&self, event: &Event) {
        match event {
            Event::RunEnded(ended) => self.state().end(ended),
            Event::Loaded(loaded) => self.state().loaded = Some(loaded.clone()),
            _ => {}
        }
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

    fn job() -> Arc<Job> {
        let source = Source {
            name: "test".into(),
            bytes: b"* * * * * true
"
            .to_vec(),
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
        Arc::clone(&table.jobs()[0])
    }

    fn ended(job: &Arc<Job>, second: i64) -> Event {
        let at = Timestamp::from_second(second).unwrap();
        let due = job.next_after(Timestamp::UNIX_EPOCH).unwrap();
        let fire = Fire { job: Arc::clone(job), due, trigger: Trigger::Schedule, generation: 0 };
        let random = second.unsigned_abs().into();
        Event::RunEnded(Ended {
            run: Arc::new(Run { id: RunId::new(at, random), fire, attempt: 1 }),
            outcome: Outcome::Succeeded { exit: 0 },
            cause: None,
            retry: None,
            at,
            duration: Duration::ZERO,
            worker: None,
            usage: Usage::default(),
        })
    }

    #[test]
    fn the_last_runs_are_known_newest_first() {
        let (seen, job) = (Seen::default(), job());
        for second in 1..=70 {
            seen.take(&ended(&job, second));
        }
        let seconds: Vec<_> = seen.ended().iter().map(|ended| ended.at.as_second()).collect();
        let expected: Vec<_> = (7..=70).rev().collect();
        assert_eq!(seconds, expected);
    }

    #[test]
    fn nothing_is_loaded_until_something_is() {
        let seen = Seen::default();
        assert!(seen.loaded().is_none());
        seen.take(&Event::Loaded(Loaded {
            files: vec!["/etc/crontab".into()],
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
        assert_eq!(seen.loaded().unwrap().jobs, 1);
    }
}
