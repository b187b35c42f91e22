//! Carries out runs without a process here: messages to be published, commands for workers elsewhere.
//!
//! Receives runs from the [`executor`](crate::executor), hands letters to the [`outbox`](crate::outbox), and hands on what came
//! of each. Layer 7. What it does not take runs as a program: it takes only what means the same either way.

mod leaves;
mod order;
mod permission;
mod publish;
mod queue;
mod replies;
pub mod reply;
mod report;
pub mod task;
mod worker;

pub use permission::Permission;
pub use publish::{CONFIRM, Publishing, cause_of, settled, words_of};
pub use queue::ReportQueue;
pub use worker::{BEAT, Signing, Workers};

use std::sync::Arc;

use crate::crontab::directive::Executor;
use crate::event::{Ended, Run};
use crate::executor::{Carrying, Courier, Lines};
use crate::job::Job;

/// Carries out each run as its job asks for.
#[derive(Debug, Clone)]
pub struct Desk {
    publishing: Arc<Publishing>,
    workers: Workers,
}

impl Desk {
    /// One that publishes messages, and has workers carry out what is for them.
    #[must_use]
    pub fn new(publishing: Publishing, workers: Workers) -> Self {
        Desk { publishing: Arc::new(publishing), workers }
    }
}

impl Courier for Desk {
    fn takes(&self, job: &Job) -> bool {
        match job.policy().executor {
            Executor::Shell => self.publishing.takes(job),
            Executor::Worker(_) => true,
        }
    }

    fn carry(&self, run: Arc<Run>, lines: Lines) -> Carrying {
        if let Executor::Worker(queue) = &run.fire.job.policy().executor {
            let queue = Arc::clone(queue);
            return self.workers.carry(run, queue, lines);
        }
        let publishing = Arc::clone(&self.publishing);
        Box::pin(async move { publishing.carry(&run, &lines).await })
    }

    fn ended(&self, end: &Ended) {
        if matches!(end.run.fire.job.policy().executor, Executor::Worker(_)) {
            self.workers.ended(end);
        }
    }
}
