//! Has runs, their output and what became of instants kept in the store.
//!
//! Works on what the other keeper of events, [`Recent`], has gathered of a run's output: nothing is held twice.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::recent::{Of, Printed, Recent};
use crate::clock::Clock;
use crate::event::{Ended, Event, Line, Outcome, Run, RunId, Started, Stream, Trigger};
use crate::job::Job;
use crate::schedule::Due;
use crate::store::record::{OutputLine, RecordedOutcome};
use crate::store::{Handle, Mark, Output, RunRecord, Write};
use crate::unix::{Pid, process};

/// How long the late output of a run's background processes may wait to be kept; monotonic.
const LATE: Duration = Duration::from_secs(1);

/// Has what happens kept.
pub struct Keep {
    store: Handle,
    clock: Arc<dyn Clock>,
    /// Who runs what is recorded.
    replica: Arc<str>,
    keys: RandomState,
    /// How many ranges were recorded: makes their ids differ.
    ranges: u64,
    /// Runs that have ended and whose processes print on: when their output was kept last, and whether more came since.
    late: HashMap<RunId, (Duration, bool)>,
}

/// Dues that were not started: a contiguous range.
struct Range {
    first: Due,
    last: Due,
    count: u64,
}

impl std::fmt::Debug for Keep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keep").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl Keep {
    /// Keeps in `store` what `replica` does.
    #[must_use]
    pub fn new(store: Handle, clock: Arc<dyn Clock>, replica: Arc<str>) -> Self {
        Keep { store, clock, replica, keys: RandomState::new(), ranges: 0, late: HashMap::new() }
    }

    /// Has one event kept, if it is to be; `recent` has taken it before.
    pub fn take(&mut self, event: &Event, recent: &Recent) {
        match event {
            Event::JobPaused(job) => self.store.write(Write::Pause(job.key)),
            Event::JobResumed(job) => self.store.write(Write::Resume(job.key)),
            Event::RunStarted(started) => self.keep_start(started),
            Event::RunOutput(line) if line.detached => self.print_late(line, recent),
            Event::RunEnded(ended) | Event::RunAmended(ended) => self.keep_end(ended, recent),
            Event::RunSkipped { job, first, last, count, reason, generation, trigger, run } => {
                let range = Range { first: *first, last: *last, count: *count };
                let of = (*trigger, *run, *generation);
                self.keep_range(job, range, of, (RecordedOutcome::Skipped, reason));
            }
            Event::RunMissed { job, first, last, count, reason, generation, trigger, run } => {
                let range = Range { first: *first, last: *last, count: *count };
                let of = (*trigger, *run, *generation);
                self.keep_range(job, range, of, (RecordedOutcome::Missed, reason));
            }
            Event::Stopping { .. } => self.keep_late(recent),
            _ => {}
        }
    }

    fn keep_start(&mut self, started: &Started) {
        let mut record = self.record(&started.run);
        record.started = Some(started.at);
        // Only what outlives this daemon is ever looked for.
        let since = |pid| started.since.or_else(|| process::since(Pid::from_raw(pid)));
        record.process = started.pid.and_then(|pid| Some((pid, since(pid)?)));
        self.store.write(Write::Run(Arc::new(record)));
    }

    fn keep_end(&mut self, ended: &Ended, recent: &Recent) {
        let mut record = self.record(&ended.run);
        let was_started = !matches!(ended.outcome, Outcome::CouldNotStart { .. });
        record.started = ended.at.checked_sub(ended.duration).ok().filter(|_| was_started);
        record.ended = Some(ended.at);
        record.outcome = Some(recorded(&ended.outcome));
        record.exit = ended.outcome.exit();
        record.signal = ended.outcome.signal();
        record.reason = Some(ended.words());
        record.user_cpu = ended.usage.user;
        record.system_cpu = ended.usage.system;
        record.max_rss_kib = ended.usage.max_rss_kib;
        record.worker = ended.worker.as_deref().map(str::to_owned);
        let output = recent.output(ended.run.id);
        record.output_bytes = output.as_ref().map_or(0, |(_, bytes)| *bytes);
        self.store.write(Write::Run(Arc::new(record)));
        if let Some((output, _)) = output {
            self.store.write(Write::Output(ended.run.id, output));
        }
    }

    /// A background process of a run that has ended printed a line.
    fn print_late(&mut self, line: &Line, recent: &Recent) {
        let (run, now) = (line.run.id, self.clock.monotonic());
        let (kept, is_new) = self.late.entry(run).or_insert((Duration::ZERO, true));
        *is_new = true;
        if now.saturating_sub(*kept) >= LATE || *kept == Duration::ZERO {
            (*kept, *is_new) = (now, false);
            if let Some((output, _)) = recent.output(run) {
                self.store.write(Write::Output(run, output));
            }
        }
        // What nobody holds any more prints no more that could be kept.
        self.late.retain(|run, _| recent.holds(*run));
    }

    /// Has the late output kept that came since it was last.
    fn keep_late(&mut self, recent: &Recent) {
        for (run, (_, is_new)) in self.late.drain() {
            if is_new && let Some((output, _)) = recent.output(run) {
                self.store.write(Write::Output(run, output));
            }
        }
    }

    fn keep_range(
        &mut self,
        job: &Job,
        Range { first, last, count }: Range,
        (trigger, run, generation): (Trigger, Option<RunId>, u64),
        (outcome, reason): (RecordedOutcome, &str),
    ) {
        let now = self.clock.now();
        let mut record = self.blank(run.unwrap_or_else(|| self.id_of_range(now)), job, first);
        self.ranges += 1;
        record.attempt = u32::from(run.is_some());
        record.trigger = trigger;
        record.range = (count > 1).then_some((last, count));
        record.ended = Some(now);
        record.outcome = Some(outcome);
        record.reason = Some(reason.to_owned());
        self.store.write(Write::Run(Arc::new(record)));
        if trigger.is_of_schedule() {
            self.store.write(Write::Mark(job.key, Mark::of(last, generation)));
        }
        // Not before it is recorded: until then it is owed.
        if count == 1 {
            self.store.write(Write::Settle(job.key, first));
        }
    }

    fn id_of_range(&self, now: Timestamp) -> RunId {
        let half =
            |which: u8| u128::from(self.keys.hash_one((now.as_nanosecond(), self.ranges, which)));
        RunId::new(now, half(0) << 64 | half(1))
    }

    fn record(&self, run: &Run) -> RunRecord {
        let mut record = self.blank(run.id, &run.fire.job, run.fire.due);
        record.attempt = run.attempt;
        record.trigger = run.fire.trigger;
        record
    }

    fn blank(&self, run: RunId, job: &Job, due: Due) -> RunRecord {
        RunRecord {
            run,
            attempt: 0,
            key: job.key,
            name: job.label(),
            due,
            range: None,
            trigger: Trigger::Schedule,
            queued: Some(run.at()),
            started: None,
            ended: None,
            outcome: None,
            exit: None,
            signal: None,
            reason: None,
            user_cpu: Duration::ZERO,
            system_cpu: Duration::ZERO,
            max_rss_kib: None,
            replica: self.replica.to_string(),
            worker: None,
            output_bytes: 0,
            process: None,
        }
    }
}

fn recorded(outcome: &Outcome) -> RecordedOutcome {
    match outcome {
        Outcome::Succeeded { .. } => RecordedOutcome::Succeeded,
        Outcome::Failed { .. } => RecordedOutcome::Failed,
        Outcome::Killed { .. } => RecordedOutcome::Killed,
        Outcome::TimedOut { .. } => RecordedOutcome::TimedOut,
        Outcome::CouldNotStart { .. } => RecordedOutcome::CouldNotStart,
        Outcome::Lost { .. } => RecordedOutcome::Lost,
    }
}

impl From<&Printed> for OutputLine {
    fn from(printed: &Printed) -> Self {
        OutputLine {
            is_error: printed.stream == Stream::Stderr,
            detached: printed.detached,
            bytes: printed.bytes.to_vec(),
        }
    }
}

impl Recent {
    /// What a run printed, as the store keeps it, and how many bytes it printed in all; none if nothing of it is held.
    fn output(&self, run: RunId) -> Option<(Output, u64)> {
        let found = self.look(Of::Run(run)).pop()?;
        let lines = |printed: &[Printed]| printed.iter().map(OutputLine::from).collect();
        let (head, tail) = (lines(&found.head), lines(&found.tail));
        Some((Output { head, left_out: found.left_out, tail }, found.bytes))
    }
}

#[cfg(test)]
mod tests;
