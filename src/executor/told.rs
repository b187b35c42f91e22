//! That the end of a run was told: by the task that reads its output, or for it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Core;
use super::life::Phase;
use crate::event::{Cause, Event, Run, RunId, Started};

/// What an attendant reports when it has told a run's end, or is gone.
#[derive(Debug)]
pub(super) struct Told {
    run: RunId,
    attempt: u32,
    how: How,
}

/// What became of telling an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It was told, with this cause.
    Told(Option<Cause>),
    /// The attendant went without telling it.
    Lost,
}

/// What an attendant holds until it has told the end of its run: dropped before, somebody else tells it.
#[derive(Debug)]
pub(super) struct Untold {
    run: Arc<Run>,
    told: Option<mpsc::UnboundedSender<Told>>,
}

impl Untold {
    /// The end was told, with this cause.
    pub(super) fn told(mut self, cause: Option<Cause>) {
        self.tell(How::Told(cause));
    }

    /// The end is left to be told by whoever learns of it.
    pub(super) fn leave(mut self) {
        self.told = None;
    }

    fn tell(&mut self, how: How) {
        if let Some(told) = self.told.take() {
            // Without an executor nobody waits.
            let _ = told.send(Told { run: self.run.id, attempt: self.run.attempt, how });
        }
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        self.tell(How::Lost);
    }
}

impl Core {
    /// What an attendant of this run holds.
    pub(super) fn untold(&self, run: &Arc<Run>) -> Untold {
        Untold { run: Arc::clone(run), told: Some(self.tell.clone()) }
    }

    /// An attendant has told the end of its run, or is gone.
    pub(super) fn told(&mut self, Told { run: id, attempt, how }: Told) {
        let Some(life) = self.lives.get_mut(&id).filter(|life| life.run.attempt == attempt) else {
            return;
        };
        match (&mut life.phase, how) {
            (Phase::Ended { end, told: told @ false }, how) => {
                match how {
                    How::Told(cause) => end.cause = cause,
                    How::Lost => self.bus.publish(Event::RunEnded(end.clone())),
                }
                *told = true;
                self.settle(id);
            }
            (Phase::Running(Started { pid: None, .. }), How::Lost) => self.carriage_lost(id),
            (Phase::Running(_), How::Lost) => {
                let job = &life.run.fire.job;
                let text =
                    format!("the output of run {id} of {} is lost: its reader failed", job.label());
                let file = Some(Arc::clone(job.file()));
                self.bus.publish(Event::Notice { file, text, warning: true });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::civil::DateTime;

    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::event::{Fire, Trigger};
    use crate::job::JobTable;
    use crate::schedule::{Due, Zone};

    fn run() -> Arc<Run> {
        let bytes = b"* * * * * true\n".to_vec();
        let source = Source { name: "crontab".into(), bytes, dialect: Dialect::user("root") };
        let crontab = parse(&source);
        let none = JobTable::default();
        let (zone, now) = (Zone::utc(), Timestamp::UNIX_EPOCH);
        let pairs = [(&source, &crontab)];
        let (table, ..) = JobTable::build(&pairs, &zone, &Options::default(), &none, now);
        let due = Due { at: now, civil: DateTime::ZERO };
        let fire =
            Fire { job: table.jobs()[0].clone(), due, trigger: Trigger::Schedule, generation: 0 };
        Arc::new(Run { id: RunId::new(now, 1), fire, attempt: 4 })
    }

    #[tokio::test]
    async fn an_attendant_that_panics_is_missed() {
        let (sender, mut told) = mpsc::unbounded_channel();
        let untold = Untold { run: run(), told: Some(sender) };
        let attendant = tokio::spawn(async move {
            let _untold = untold;
            panic!("a test asked for this");
        });
        assert!(attendant.await.is_err());
        let Told { run: id, attempt, how } = told.recv().await.unwrap();
        assert_eq!((id, attempt, how), (run().id, 4, How::Lost));
        assert!(told.recv().await.is_none(), "it is told once");
    }

    #[test]
    fn an_end_that_was_told_is_reported_with_its_cause_and_once() {
        let (sender, mut told) = mpsc::unbounded_channel();
        Untold { run: run(), told: Some(sender) }.told(Some(Cause::NoSpace));
        assert_eq!(told.try_recv().unwrap().how, How::Told(Some(Cause::NoSpace)));
        assert!(told.try_recv().is_err());
    }
}
