//! That the end of a run was told: by the task that reads its output, or for it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Core;
use super::life::Phase;
use crate::event::{Cause, Event, Run, RunId};

/// What an attendant reports when it has told a run's end, or is gone.
#[derive(Debug)]
pub(super) struct Told {
    run: RunId,
    attempt: u32,
    /// The cause that was told; none if the attendant went without telling the end.
    cause: Option<Option<Cause>>,
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
        self.tell(Some(cause));
    }

    fn tell(&mut self, cause: Option<Option<Cause>>) {
        if let Some(told) = self.told.take() {
            // Without an executor nobody waits.
            let _ = told.send(Told { run: self.run.id, attempt: self.run.attempt, cause });
        }
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        self.tell(None);
    }
}

impl Core {
    /// What an attendant of this run holds.
    pub(super) fn untold(&self, run: &Arc<Run>) -> Untold {
        Untold { run: Arc::clone(run), told: Some(self.tell.clone()) }
    }

    /// An attendant has told the end of its run, or is gone.
    pub(super) fn told(&mut self, Told { run: id, attempt, cause }: Told) {
        let Some(life) = self.lives.get_mut(&id).filter(|life| life.run.attempt == attempt) else {
            return;
        };
        match (&mut life.phase, cause) {
            (Phase::Ended { end, told: told @ false }, cause) => {
                match cause {
                    Some(cause) => end.cause = cause,
                    None => self.bus.publish(Event::RunEnded(end.clone())),
                }
                *told = true;
                self.settle(id);
            }
            (Phase::Running(_), None) => {
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
