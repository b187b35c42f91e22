//! How the rooms above speak to an executor that runs.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Skip, State, Stop, Stopped};
use crate::event::{Ended, Fire, Run, RunId};
use crate::job::{Job, JobKey};
use crate::schedule::Zone;
use crate::store::RunRecord;

/// What the executor can be asked for.
#[derive(Debug)]
pub(super) enum Order {
    State(oneshot::Sender<State>),
    LastEnds(oneshot::Sender<HashMap<JobKey, Ended>>),
    Fire(Fire, oneshot::Sender<Result<RunId, Skip>>),
    CarryOut(Arc<Run>, oneshot::Sender<Result<RunId, Skip>>),
    Wait(RunId, oneshot::Sender<Ended>),
    End(RunId, oneshot::Sender<bool>),
    Pause(Arc<Job>, oneshot::Sender<bool>),
    Resume(Arc<Job>, oneshot::Sender<bool>),
    Restore(Restored, oneshot::Sender<()>),
    Adopt(Vec<RunRecord>, Zone),
    Pauses(Vec<JobKey>),
    RecordAlive,
    Stop(Stop, oneshot::Sender<Stopped>),
}

/// What is known of an earlier life of the daemon.
#[derive(Debug, Clone)]
pub struct Restored {
    /// The runs that it had recorded as started and not as ended.
    pub open: Vec<RunRecord>,
    /// The jobs that were paused.
    pub paused: Vec<JobKey>,
    /// The zone in which runs are shown whose job no crontab has any more.
    pub zone: Zone,
}

/// Talks to an [`Executor`] that runs.
#[derive(Debug, Clone)]
pub struct Handle(pub(super) mpsc::UnboundedSender<Order>);

impl Handle {
    /// One that speaks to nobody: it is answered as by an executor that has stopped.
    #[must_use]
    pub fn of_nobody() -> Self {
        Handle(mpsc::unbounded_channel().0)
    }

    /// What the executor is at; nothing once it has stopped.
    pub async fn state(&self) -> State {
        self.ask(Order::State).await.unwrap_or_default()
    }

    /// The last final end of each job that ran; of the 10 000 jobs that ended last.
    pub async fn last_ends(&self) -> HashMap<JobKey, Ended> {
        self.ask(Order::LastEnds).await.unwrap_or_default()
    }

    /// Runs a job now, whatever its schedule says and though it is paused; the id of its run, which may have to wait
    /// for others. None if the job's policy is against it, or the executor has stopped.
    pub async fn fire(&self, fire: Fire) -> Option<RunId> {
        self.try_fire(fire).await?.ok()
    }

    /// As [`fire`](Handle::fire), and why not; none once the executor has stopped.
    pub async fn try_fire(&self, fire: Fire) -> Option<Result<RunId, Skip>> {
        self.ask(|reply| Order::Fire(fire, reply)).await
    }

    /// Carries out an attempt of a run that somebody else has fired, under its id; why not, or none once the executor has
    /// stopped. No other attempt of the same run may be alive here.
    pub async fn carry_out(&self, run: Arc<Run>) -> Option<Result<RunId, Skip>> {
        self.ask(|reply| Order::CarryOut(run, reply)).await
    }

    /// Waits for the final end of a run, after its last attempt; none if there is no such run, or it never starts.
    ///
    /// The last run of each job can be asked for though it has ended.
    pub async fn wait(&self, run: RunId) -> Option<Ended> {
        self.ask(|reply| Order::Wait(run, reply)).await
    }

    /// Ends a run: TERM to all its processes, KILL to what is left after `kill-after`; one that waits does not start. False
    /// if there is no such run. One without a process here ends at once. Returns at once.
    pub async fn end(&self, run: RunId) -> bool {
        self.ask(|reply| Order::End(run, reply)).await.unwrap_or_default()
    }

    /// Skips every fire of the job that is not asked for by name, until it is resumed; false if it was paused
    /// already. What is alive goes on, its further attempts included.
    pub async fn pause(&self, job: Arc<Job>) -> bool {
        self.ask(|reply| Order::Pause(job, reply)).await.unwrap_or_default()
    }

    /// Ends a pause; false if there was none.
    pub async fn resume(&self, job: Arc<Job>) -> bool {
        self.ask(|reply| Order::Resume(job, reply)).await.unwrap_or_default()
    }

    /// Goes on where an earlier life of the daemon ended: its pauses hold, its runs whose processes live count as running
    /// until these are gone, its other runs are told as lost. To be asked for before the first fire.
    pub async fn restore(&self, restored: Restored) {
        self.ask(|reply| Order::Restore(restored, reply)).await;
    }

    /// Takes over runs that another replica has left going: those whose processes live on this host count as running until
    /// these are gone, the others are told as lost.
    pub fn adopt(&self, runs: Vec<RunRecord>, zone: Zone) {
        // Once it has stopped there is nothing to take over.
        let _ = self.0.send(Order::Adopt(runs, zone));
    }

    /// These jobs, and no others, are paused, as somebody has asked another replica; nothing is told of it.
    pub fn share_pauses(&self, jobs: Vec<JobKey>) {
        // Once it has stopped nothing starts.
        let _ = self.0.send(Order::Pauses(jobs));
    }

    /// Has it recorded once more which runs are going.
    pub fn record_alive(&self) {
        // Once it has stopped nothing is.
        let _ = self.0.send(Order::RecordAlive);
    }

    /// Stops the executor: no fire is answered from now on, and the runs are treated as `stop` says. Ready when that is
    /// done and every end was told. Asked again meanwhile, the shorter grace counts.
    ///
    /// It is asked when this is called, not when the future is first polled: what is asked first comes first.
    pub fn stop(&self, stop: Stop) -> impl Future<Output = Stopped> + use<> {
        let answer = self.send(|reply| Order::Stop(stop, reply));
        async move {
            match answer {
                Some(answer) => answer.await.unwrap_or_default(),
                None => Stopped::default(),
            }
        }
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        self.send(order)?.await.ok()
    }

    fn send<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Option<oneshot::Receiver<T>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(order(reply)).ok()?;
        Some(answer)
    }
}
