//! What becomes of instants that passed while no daemon ran, and of those that an earlier one still owed. Pure.
//!
//! An instant later than the job's watermark and within its grace is started now; older ones follow `catch-up`. While the
//! daemon runs, cronie's rules hold instead ([`step`](super::step)).

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::due::back;
use super::owed::{self, COUNTED, Missed};
use crate::event::{Fire, Trigger};
use crate::job::{Job, JobKey, JobTable, jitter};
use crate::schedule::{Cursor, Due};
use crate::store::{JobState, Mark, Owed};

/// How far a watermark may be ahead of the clock: clocks of replicas differ, and are put right by so much.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// Where a schedule goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What is due up to here was judged already.
    pub from: Timestamp,
    /// How often the clock had been set back so far that instants come again.
    pub generation: u64,
    /// Watermarks that lie ahead of `from`: nothing up to them is started.
    pub ahead: HashMap<JobKey, Due>,
}

impl Origin {
    /// After which a job that was not in force before is due, when the clock shows `now`.
    pub(super) fn cursor(&self, job: &Job, now: Timestamp) -> Cursor {
        // A first load so far ahead was before the clock was set back.
        let is_ahead = job.since.duration_since(now) > AHEAD;
        let since = if is_ahead { self.from } else { job.since.max(self.from) };
        match self.ahead.get(&job.key) {
            Some(due) if due.at > since => (*due).into(),
            _ => since.into(),
        }
    }
}

/// What earlier lives of the daemon have kept of jobs, as it is judged.
#[derive(Debug)]
pub struct Past<'a> {
    states: &'a HashMap<JobKey, JobState>,
    origin: Origin,
    now: Timestamp,
    /// Jobs whose watermark was too far ahead of the clock.
    pub clamped: usize,
}

/// What is to be done about the past.
#[derive(Debug, Default)]
pub struct Verdict {
    /// To be started, by instant, then in file order.
    pub fires: Vec<Fire>,
    /// Never started, since no daemon ran in time; each with the clock's generation.
    pub missed: Vec<(Missed, u64)>,
    /// Never started, since the job was paused; each with the clock's generation.
    pub skipped: Vec<(Missed, u64)>,
    /// Owed before, and now among the missed or skipped ones.
    pub settled: Vec<(JobKey, Due)>,
}

impl<'a> Past<'a> {
    /// What `states` say of a schedule that goes on at `from`; `now` is what the clock shows.
    ///
    /// The clock's generation is the largest that a watermark has; one more if a watermark of that is too far ahead of the
    /// clock, which must have been set back.
    #[must_use]
    pub fn new(states: &'a HashMap<JobKey, JobState>, from: Timestamp, now: Timestamp) -> Self {
        let limit = from.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        let marks = || states.values().filter_map(|state| state.mark);
        let largest = marks().map(|mark| mark.generation).max().unwrap_or(0);
        let is_clamped = |mark: &Mark| mark.generation == largest && mark.at > limit;
        let clamped = marks().filter(is_clamped).count();
        let is_ahead = |mark: &Mark| mark.at > from && mark.at <= limit;
        let ahead = states
            .iter()
            .filter_map(|(key, state)| state.mark.filter(is_ahead).map(|mark| (*key, mark.due())));
        let generation = largest.saturating_add(u64::from(clamped > 0));
        let origin = Origin { from, generation, ahead: ahead.collect() };
        Past { states, origin, now, clamped }
    }

    /// Where the schedule goes on.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Judges what passed of each job of a table, and what is owed of it.
    #[must_use]
    pub fn judge(&self, table: &JobTable) -> Verdict {
        let mut verdict = Verdict::default();
        for job in table.jobs() {
            if let Some(state) = self.states.get(&job.key) {
                self.judge_job(job, state, &mut verdict);
            }
        }
        // Stable: of one instant those that stand first in the table.
        verdict.fires.sort_by_key(|fire| fire.due);
        verdict
    }

    fn judge_job(&self, job: &Arc<Job>, state: &JobState, verdict: &mut Verdict) {
        let first = self.watermark(state).and_then(|watermark| job.next_after(watermark));
        let first = first.filter(|due| due.at <= self.origin.from);
        if first.is_none() && state.owed.is_empty() {
            return;
        }
        let generation = self.origin.generation;
        let owed_in = state.mark.map_or(generation, |mark| mark.generation);
        let (owed, others): (Vec<Owed>, Vec<Owed>) =
            state.owed.iter().partition(|owed| owed.trigger.is_of_schedule());
        for owed in others {
            // Nobody pauses what somebody asked for, and the rest is the executor's to skip.
            if Some(owed.due.at) > back(self.now, job.policy().grace) {
                verdict.fires.push(fire(job, owed.due, owed.trigger, owed_in));
            } else {
                verdict.settled.push((job.key, owed.due));
                verdict.missed.push((alone(job, owed.due), owed_in));
            }
        }
        // What the watermark has not passed is judged as what passed, whether it was said to be owed before or not.
        let is_passed = |owed: &Owed| state.mark.is_some_and(|mark| owed.due <= mark.due());
        let (owed, again): (Vec<Owed>, Vec<Owed>) = owed.into_iter().partition(is_passed);
        verdict.settled.extend(again.iter().map(|owed| (job.key, owed.due)));
        if state.paused {
            verdict.settled.extend(owed.iter().map(|owed| (job.key, owed.due)));
            let ranges = ranges(job, owed.into_iter().map(|owed| owed.due));
            verdict.skipped.extend(ranges.into_iter().map(|range| (range, owed_in)));
            let passed = first.and_then(|first| owed::all(job, first, self.origin.from));
            verdict.skipped.extend(passed.map(|passed| (passed, generation)));
            return;
        }
        let (late, in_time) = first.map_or_else(Default::default, |first| self.split(job, first));
        let (kept, missed) = match late {
            Some((first, horizon)) => owed::passed(job, first, horizon, self.now),
            None => Default::default(),
        };
        self.judge_owed(job, owed, kept.len(), owed_in, verdict);
        verdict.missed.extend(missed.map(|missed| (missed, generation)));
        let caught_up = kept.into_iter().map(|due| (due, Trigger::CatchUp));
        let in_time = in_time.into_iter().map(|due| (due, Trigger::Schedule));
        let passed = caught_up.chain(in_time);
        verdict.fires.extend(passed.map(|(due, trigger)| fire(job, due, trigger, generation)));
    }

    /// What was dealt with in earlier lives; none if nothing is known, and so nothing has passed.
    fn watermark(&self, state: &JobState) -> Option<Cursor> {
        let mark = state.mark.map(Mark::due);
        // A clock that was ahead then has said nothing of what passed since.
        let is_ahead = |since: Timestamp| since.duration_since(self.origin.from) > AHEAD;
        let since = state.since.filter(|since| mark.is_none() || !is_ahead(*since));
        let (at, cursor) = match (since, mark) {
            (Some(since), Some(due)) if due.at > since => (due.at, due.into()),
            (Some(since), _) => (since, since.into()),
            (None, Some(due)) => (due.at, due.into()),
            (None, None) => return None,
        };
        (at <= self.origin.from).then_some(cursor)
    }

    /// Divides the dues from `first` on into those that are late, from one up to and including an instant, and those within
    /// the grace.
    fn split(&self, job: &Job, first: Due) -> (Option<(Due, Timestamp)>, Vec<Due>) {
        let until = self.origin.from;
        let mut horizon = self.horizon(job).map(|horizon| horizon.min(until));
        loop {
            let late = horizon.filter(|horizon| first.at <= *horizon);
            let after = late.map_or(Some(first), |horizon| job.next_after(horizon));
            let dues = std::iter::successors(after, |due| job.next_after(*due));
            let in_time: Vec<_> =
                dues.take_while(|due| due.at <= until).take(COUNTED + 1).collect();
            if in_time.len() <= COUNTED {
                return (late.map(|horizon| (first, horizon)), in_time);
            }
            // More than may wait: the latest of them count as in time.
            let end = owed::latest(job, first, until, Timestamp::MIN, COUNTED);
            let Some(first_kept) = end.front() else { return (None, in_time) };
            horizon = first_kept.at.checked_sub(SignedDuration::from_nanos(1)).ok();
        }
    }

    /// The last instant that is too long ago to be started as if nothing had been.
    fn horizon(&self, job: &Job) -> Option<Timestamp> {
        let put_off = SignedDuration::try_from(jitter::of(job)).ok()?;
        back(self.now, job.policy().grace)?.checked_sub(put_off).ok()
    }

    /// Judges what a job owes of its schedule, `caught_up` dues of which come after that.
    fn judge_owed(
        &self,
        job: &Arc<Job>,
        owed: Vec<Owed>,
        caught_up: usize,
        generation: u64,
        verdict: &mut Verdict,
    ) {
        let horizon = self.horizon(job);
        let is_late = |owed: &Owed| horizon.is_some_and(|horizon| owed.due.at <= horizon);
        let (late, in_time): (Vec<Owed>, Vec<Owed>) = owed.into_iter().partition(is_late);
        let room = owed::most(job.policy()).saturating_sub(caught_up);
        let earliest = owed::earliest(job.policy(), self.now);
        let keeps = late.iter().rev().take(room).take_while(|owed| owed.due.at >= earliest).count();
        let (dropped, kept) = late.split_at(late.len() - keeps);
        let dropped = dropped.iter().map(|owed| owed.due);
        verdict.settled.extend(dropped.clone().map(|due| (job.key, due)));
        let missed = ranges(job, dropped).into_iter().map(|range| (range, generation));
        verdict.missed.extend(missed);
        let caught_up = kept.iter().map(|owed| (owed.due, Trigger::CatchUp));
        let fires = caught_up.chain(in_time.iter().map(|owed| (owed.due, owed.trigger)));
        verdict.fires.extend(fires.map(|(due, trigger)| fire(job, due, trigger, generation)));
    }
}

fn fire(job: &Arc<Job>, due: Due, trigger: Trigger, generation: u64) -> Fire {
    Fire { job: Arc::clone(job), due, trigger, generation }
}

fn alone(job: &Arc<Job>, due: Due) -> Missed {
    Missed { job: Arc::clone(job), first: due, last: due, count: 1 }
}

/// Dues in order as contiguous ranges of the job's dues.
fn ranges(job: &Arc<Job>, dues: impl Iterator<Item = Due>) -> Vec<Missed> {
    let mut ranges: Vec<Missed> = Vec::new();
    for due in dues {
        match ranges.last_mut().filter(|range| job.next_after(range.last) == Some(due)) {
            Some(range) => {
                range.last = due;
                range.count += 1;
            }
            None => ranges.push(alone(job, due)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
