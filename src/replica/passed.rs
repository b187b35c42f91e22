//! Instants that were not started here, and that another replica may have started: only what nobody did is told.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::waiting::{Aim, Waits};
use crate::event::{Event, Fire, RunId, Trigger};
use crate::job::Job;
use crate::schedule::Due;

/// Instants of a range that are asked for one by one.
const WALKED: usize = 10_000;

/// An instant that nobody started: for which reason, whether by choice, and whose run it was if it had come to be one.
#[derive(Debug, Clone)]
pub(super) struct Passed {
    pub(super) fire: Fire,
    pub(super) reason: Arc<str>,
    pub(super) is_skipped: bool,
    pub(super) run: Option<RunId>,
}

impl Passed {
    /// What it was claimed for.
    pub(super) fn aim(&self) -> Aim {
        match self.run {
            Some(run) => Aim::End(run),
            None if self.is_skipped => Aim::Skip(Arc::clone(&self.reason)),
            None => Aim::Miss(Arc::clone(&self.reason)),
        }
    }
}

/// The instants of a range that was missed or skipped, each to be claimed for being listed; nothing of other events.
pub(super) fn waits(event: &Event) -> Vec<Waits> {
    let (job, first, last, reason, generation, trigger, is_skipped) = match event {
        Event::RunMissed { job, first, last, reason, generation, trigger, .. } => {
            (job, *first, *last, reason, *generation, *trigger, false)
        }
        Event::RunSkipped { job, first, last, reason, generation, trigger, .. } => {
            (job, *first, *last, reason, *generation, *trigger, true)
        }
        _ => return Vec::new(),
    };
    let reason: Arc<str> = reason.as_str().into();
    let dues = std::iter::successors(Some(first), |due| job.next_after(*due));
    let mut dues: Vec<Due> = dues.take_while(|due| *due <= last).take(WALKED).collect();
    if dues.last() != Some(&last) {
        dues.push(last);
    }
    let fire = |due| Fire { job: Arc::clone(job), due, trigger, generation };
    let aim = || {
        let reason = Arc::clone(&reason);
        if is_skipped { Aim::Skip(reason) } else { Aim::Miss(reason) }
    };
    dues.into_iter()
        .map(|due| Waits { aim: aim(), ..Waits::new(fire(due), Timestamp::MIN) })
        .collect()
}

/// Instants in order as events, one for each contiguous range of a job, reason and generation.
pub(super) fn events(passed: Vec<Passed>) -> Vec<Event> {
    let mut ranges: Vec<(Passed, Due, u64)> = Vec::new();
    // Where the last range of a job, reason and generation is: there may be many, each of many instants.
    let mut places = HashMap::new();
    for next in passed {
        let Fire { job, due, trigger, generation } = &next.fire;
        let (due, reason) = (*due, Arc::clone(&next.reason));
        let place = places
            .entry((job.key, *generation, trigger.name(), reason, next.is_skipped, next.run))
            .or_insert(usize::MAX);
        match ranges.get_mut(*place) {
            Some((_, last, count)) if job.next_after(*last) == Some(due) => {
                *last = due;
                *count += 1;
            }
            _ => {
                *place = ranges.len();
                ranges.push((next, due, 1));
            }
        }
    }
    ranges.into_iter().map(|(first, last, count)| event(first, last, count)).collect()
}

fn event(Passed { fire, reason, is_skipped, run }: Passed, last: Due, count: u64) -> Event {
    let Fire { job, due: first, trigger, generation } = fire;
    let reason = reason.to_string();
    if is_skipped {
        Event::RunSkipped { job, first, last, count, reason, generation, trigger, run }
    } else {
        Event::RunMissed { job, first, last, count, reason, generation, trigger, run }
    }
}

/// A fire of a job that another replica claimed and did not start before it died.
pub(super) fn orphan(job: &Arc<Job>, due: Due, generation: u64) -> Fire {
    Fire { job: Arc::clone(job), due, trigger: Trigger::Schedule, generation }
}
