//! Which job is due next: the agenda of a job table. Pure.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::owed::{self, Missed};
use super::resume::Origin;
use super::step::{Look, Shift, before_minute_of};
use crate::event::{Fire, Trigger};
use crate::job::{Job, JobKey, JobTable};
use crate::schedule::{Cursor, Due, Schedule};

/// The next due of every job.
#[derive(Debug, Default)]
pub struct Agenda {
    table: Arc<JobTable>,
    /// Of the jobs that follow cron's minutes.
    minutes: Upcoming,
    /// Of all others: entries with seconds, intervals, dates.
    seconds: Upcoming,
    /// The job whose next due is being computed: the culprit, should that panic.
    suspect: Option<Arc<Job>>,
    /// Jobs whose next due cannot be computed.
    parked: HashSet<JobKey>,
    /// How often the clock was set back so far that instants come again.
    generation: u64,
    /// Where an earlier life of the daemon is gone on from, if there was one.
    origin: Option<Arc<Origin>>,
}

/// The earliest first; equal instants by what they make up for, then in file order.
type Upcoming = BinaryHeap<Reverse<Slot>>;

/// The next due of one job, in few bytes: there may be 100 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    /// Seconds of the instant; every due is at a whole second.
    at: i64,
    /// How far the civil time lies before the wall clock at that instant, negative seconds: 0 but for made-up times.
    behind: i32,
    /// The job's place in the table.
    index: u32,
}

impl Slot {
    fn new(due: Due, index: u32, job: &Job) -> Self {
        let behind = due.civil.duration_since(job.zone().civil(due.at)).as_secs();
        Slot { at: due.at.as_second(), behind: i32::try_from(behind).unwrap_or(0), index }
    }

    fn instant(self) -> Timestamp {
        Timestamp::from_second(self.at).unwrap_or(Timestamp::MAX)
    }

    fn due(self, job: &Job) -> Due {
        let at = self.instant();
        let behind = SignedDuration::from_secs(i64::from(self.behind));
        let civil = job.zone().civil(at);
        Due { at, civil: civil.checked_add(behind).unwrap_or(civil) }
    }
}

/// What has become due.
#[derive(Debug, Default)]
pub struct Harvest {
    /// To be started, by instant, then in file order; what is caught up stands where its job's first passed instant does.
    pub fires: VecDeque<Fire>,
    /// Passed, and not to be started.
    pub missed: Vec<Missed>,
}

impl Agenda {
    /// The earliest instant at which a job is due.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        match (first(&self.minutes), first(&self.seconds)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// The earliest instant at which a job is due that does not wait for cron's minutes.
    #[must_use]
    pub fn next_to_the_second(&self) -> Option<Timestamp> {
        first(&self.seconds)
    }

    /// How often the clock was set back so far that instants come again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The first job that is due at this instant, if the agenda's next is that.
    #[must_use]
    pub fn first_at(&self, at: Timestamp) -> Option<&Arc<Job>> {
        let first = |upcoming: &Upcoming| upcoming.peek().map(|Reverse(slot)| *slot);
        let slot = [first(&self.minutes), first(&self.seconds)]
            .into_iter()
            .flatten()
            .find(|slot| slot.instant() == at)?;
        self.table.jobs().get(slot.index as usize)
    }

    /// The table in force.
    #[must_use]
    pub fn table(&self) -> &Arc<JobTable> {
        &self.table
    }

    /// Goes on from where an earlier life of the daemon was left: the jobs of the next table have been judged up to there.
    pub fn go_on(&mut self, origin: &Arc<Origin>) {
        if self.origin.is_none() {
            self.generation = self.generation.max(origin.generation);
            self.origin = Some(Arc::clone(origin));
        }
    }

    /// Puts another table in force at `now`, with everything up to `handled` done.
    ///
    /// A job that kept its place in time keeps its next due. A new one starts after its own `since`, or where it is gone on
    /// from, one
    /// whose schedule, zone or window changed after `handled` at the earliest, and after `now` if it follows the wall clock
    /// where that is behind.
    pub fn swap(&mut self, table: Arc<JobTable>, handled: Timestamp, now: Timestamp) {
        let mut before: HashMap<JobKey, (&Arc<Job>, Option<Slot>)> =
            self.table.jobs().iter().map(|job| (job.key, (job, None))).collect();
        for Reverse(slot) in self.minutes.iter().chain(&self.seconds) {
            let job = &self.table.jobs()[slot.index as usize];
            before.insert(job.key, (job, Some(*slot)));
        }
        let (mut minutes, mut seconds) = (Vec::with_capacity(table.len()), Vec::new());
        for (index, job) in (0_u32..).zip(table.jobs()) {
            let slot = match before.get(&job.key) {
                _ if self.parked.contains(&job.key) => None,
                Some((old, slot)) if keeps_its_place(old, job) => {
                    slot.map(|slot| Slot { index, ..slot })
                }
                old => {
                    let done = if follows_the_clock(job) { handled.min(now) } else { handled };
                    // Its first load may lie ahead of a clock that was set back.
                    let from: Cursor = match &self.origin {
                        _ if old.is_some() => job.since.min(now).max(done).into(),
                        Some(origin) => origin.cursor(job, now),
                        None => job.since.into(),
                    };
                    self.suspect = Some(Arc::clone(job));
                    job.next_after(from).map(|due| Slot::new(due, index, job))
                }
            };
            let kind = if is_to_the_second(job.schedule()) { &mut seconds } else { &mut minutes };
            kind.extend(slot.map(Reverse));
        }
        self.suspect = None;
        self.minutes = minutes.into();
        self.seconds = seconds.into();
        self.table = table;
    }

    /// Begins anew what a step back by the clock has begin anew: everything after a jump, else what follows the wall clock.
    ///
    /// Either all of it begins anew, or, where this panics, nothing does.
    pub fn restart(&mut self, now: Timestamp, shift: Shift) {
        let chosen = |job: &Job| match (job.schedule(), shift) {
            // Once is once.
            (Schedule::At(_), _) => false,
            (_, Shift::JumpBack) => true,
            _ => follows_the_clock(job),
        };
        let table = Arc::clone(&self.table);
        let stays = |Reverse(slot): &&Reverse<Slot>| !chosen(&table.jobs()[slot.index as usize]);
        let mut minutes: Vec<_> = self.minutes.iter().filter(stays).copied().collect();
        let mut seconds: Vec<_> = self.seconds.iter().filter(stays).copied().collect();
        let this_minute = before_minute_of(now);
        for (index, job) in (0_u32..).zip(table.jobs()).filter(|(_, job)| chosen(job)) {
            if self.parked.contains(&job.key) {
                continue;
            }
            self.suspect = Some(Arc::clone(job));
            let (kind, from) = if is_to_the_second(job.schedule()) {
                (&mut seconds, now)
            } else {
                (&mut minutes, this_minute)
            };
            kind.extend(job.next_after(from).map(|due| Reverse(Slot::new(due, index, job))));
        }
        self.suspect = None;
        self.minutes = minutes.into();
        self.seconds = seconds.into();
        self.generation += 1;
    }

    /// Takes what is due, as cronie's rules for this look at the clock have it; what they drop follows `catch-up`.
    ///
    /// Whatever was added to `harvest` counts as taken, even if a later job makes this panic.
    pub fn harvest(&mut self, look: &Look, harvest: &mut Harvest) {
        while let Some((slot, to_the_second)) = self.first_due(look) {
            let job = Arc::clone(&self.table.jobs()[slot.index as usize]);
            let due = slot.due(&job);
            self.suspect = Some(Arc::clone(&job));
            let horizon = horizon(&job, look).filter(|horizon| due.at <= *horizon);
            let after = match horizon {
                Some(horizon) => Cursor::Instant(horizon),
                None => Cursor::Due(due),
            };
            let passed = horizon.map(|horizon| owed::passed(&job, due, horizon, look.now));
            let next = job.next_after(after);
            self.suspect = None;
            let kind = if to_the_second { &mut self.seconds } else { &mut self.minutes };
            kind.pop();
            kind.extend(next.map(|next| Reverse(Slot::new(next, slot.index, &job))));
            if let Some((caught_up, missed)) = passed {
                harvest.missed.extend(missed);
                let (trigger, generation) = (Trigger::CatchUp, self.generation);
                let fire = |due| Fire { job: Arc::clone(&job), due, trigger, generation };
                harvest.fires.extend(caught_up.into_iter().map(fire));
            } else {
                let (trigger, generation) = (Trigger::Schedule, self.generation);
                harvest.fires.push_back(Fire { job, due, trigger, generation });
            }
        }
    }

    /// The first slot that is due, and whether it is one to the second.
    fn first_due(&self, look: &Look) -> Option<(Slot, bool)> {
        let due = |upcoming: &Upcoming| {
            upcoming.peek().map(|Reverse(slot)| *slot).filter(|slot| slot.instant() <= look.now)
        };
        let minute = if look.shift == Shift::Waiting { None } else { due(&self.minutes) };
        match (minute, due(&self.seconds)) {
            (Some(minute), Some(second)) if second < minute => Some((second, true)),
            (Some(minute), _) => Some((minute, false)),
            (None, second) => second.map(|second| (second, true)),
        }
    }

    /// Leaves out the job whose next due could not be computed, and says which it was.
    pub fn park_suspect(&mut self) -> Option<Arc<Job>> {
        let job = self.suspect.take()?;
        self.parked.insert(job.key);
        let table = Arc::clone(&self.table);
        let other =
            |Reverse(slot): &Reverse<Slot>| table.jobs()[slot.index as usize].key != job.key;
        self.minutes.retain(other);
        self.seconds.retain(other);
        Some(job)
    }
}

/// The earliest instant of a kind.
fn first(upcoming: &Upcoming) -> Option<Timestamp> {
    upcoming.peek().map(|Reverse(slot)| slot.instant())
}

/// Whether a job in a new table goes on where the same job in the old one stood.
fn keeps_its_place(before: &Job, now: &Job) -> bool {
    let (old, new) = (before.policy(), now.policy());
    before.since == now.since
        && before.schedule() == now.schedule()
        && before.zone() == now.zone()
        && (old.enabled, old.from, old.until) == (new.enabled, new.from, new.until)
}

/// Whether a job's dues come again when the clock is set back a little.
fn follows_the_clock(job: &Job) -> bool {
    job.is_wildcard() || matches!(job.schedule(), Schedule::Every(_))
}

/// Whether a schedule is finer than a minute, or no calendar.
fn is_to_the_second(schedule: &Schedule) -> bool {
    !matches!(schedule, Schedule::Calendar(_))
}

/// The instant up to which a job's passed dues are dropped, if any are.
fn horizon(job: &Job, look: &Look) -> Option<Timestamp> {
    if is_to_the_second(job.schedule()) {
        return back(look.now, job.policy().grace);
    }
    look.passed_over.filter(|_| job.is_wildcard() || look.shift == Shift::Jump)
}

/// The last instant that is more than `grace` before `now`.
pub(super) fn back(now: Timestamp, grace: Duration) -> Option<Timestamp> {
    let grace = SignedDuration::try_from(grace).ok()?;
    now.checked_sub(grace).ok()?.checked_sub(SignedDuration::from_nanos(1)).ok()
}

#[cfg(test)]
mod tests;
