//! Fires that are to be claimed, or claimed again. Pure.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::crontab::directive::Overlap;
use crate::event::{Fire, RunId};
use crate::job::{Job, JobKey};
use crate::store::{Claim, Mark};

/// What a claim is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Aim {
    /// To be started.
    Start,
    /// To be listed as missed, for this reason: too late to be started.
    Miss(Arc<str>),
    /// To be listed as skipped, for this reason.
    Skip(Arc<str>),
    /// To be listed as skipped: its run was ended before its start.
    End(RunId),
    /// The executor has it already, under a lease that has ended.
    Renew,
}

/// A fire that is not decided yet.
#[derive(Debug, Clone)]
pub(super) struct Waits {
    pub(super) fire: Fire,
    pub(super) aim: Aim,
    /// Whether it is to be claimed now; else after the next sign of life.
    pub(super) ready: bool,
    /// Until when it may be started, wall clock.
    pub(super) until: Timestamp,
    /// Whether it was granted before, under a lease that has ended.
    pub(super) was_granted: bool,
    /// Whether another replica had claimed it.
    pub(super) was_others: bool,
    /// The scheduler's generation of the clock when it became due, which is not the store's; 0: it is not the scheduler's.
    pub(super) scheduled_in: u64,
}

/// Why a fire that nobody started in time is missed.
pub(super) const NOT_IN_TIME: &str = "no replica started it in time";
/// Why a fire that was held is missed.
pub(super) const HELD: &str = "held while the store was away";

impl Waits {
    /// A fire that has just become due.
    pub(super) fn new(fire: Fire, now: Timestamp) -> Self {
        let grace =
            SignedDuration::try_from(fire.job.policy().grace).unwrap_or(SignedDuration::MAX);
        // Cron's rules may have it start later than its grace.
        let until = fire.due.at.max(now).saturating_add(grace).unwrap_or(Timestamp::MAX);
        Waits {
            fire,
            aim: Aim::Start,
            ready: true,
            until,
            was_granted: false,
            was_others: false,
            scheduled_in: 0,
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark::of(self.fire.due, self.fire.generation)
    }

    fn claim(&self) -> Claim {
        let job = &self.fire.job;
        let is_start = matches!(self.aim, Aim::Start | Aim::Renew);
        Claim {
            key: job.key,
            mark: self.mark(),
            trigger: self.fire.trigger,
            grace: job.policy().grace,
            instances: if is_start { instances(job) } else { None },
        }
    }
}

/// How many runs of a job may be alive over all replicas, if that is limited.
fn instances(job: &Job) -> Option<u32> {
    let policy = job.policy();
    match policy.overlap {
        Overlap::Allow if policy.max_instances >= crate::job::Policy::default().max_instances => {
            None
        }
        Overlap::Allow => Some(policy.max_instances),
        Overlap::Skip | Overlap::Queue | Overlap::Replace => Some(1),
    }
}

/// Claims of one question, about: the store answers those within the span that a fire may wait.
pub(super) const MOST: usize = 10_000;

/// By mark, so that the oldest of a job is claimed first.
pub(super) type Place = (Mark, JobKey);

/// The fires that are not decided yet.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<Place, Waits>);

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of them are to be started.
    pub(super) fn starts(&self) -> usize {
        self.0.values().filter(|waits| waits.aim == Aim::Start).count()
    }

    pub(super) fn has_ready(&self) -> bool {
        self.0.values().any(|waits| waits.ready)
    }

    pub(super) fn knows(&self, place: &Place) -> bool {
        self.0.contains_key(place)
    }

    /// Takes a fire up; what is known of the same fire stays.
    pub(super) fn add(&mut self, waits: Waits) {
        let place = (waits.mark(), waits.fire.job.key);
        match self.0.get_mut(&place) {
            Some(known) => {
                known.ready = true;
                known.was_granted |= waits.was_granted;
                if known.aim == Aim::Renew || matches!(waits.aim, Aim::End(_)) {
                    known.aim = waits.aim;
                }
            }
            None => {
                self.0.insert(place, waits);
            }
        }
    }

    pub(super) fn get_mut(&mut self, place: &Place) -> Option<&mut Waits> {
        self.0.get_mut(place)
    }

    pub(super) fn remove(&mut self, place: &Place) -> Option<Waits> {
        self.0.remove(place)
    }

    /// Has all of them belong to a generation of the clock.
    pub(super) fn stamp(&mut self, generation: u64) {
        for (_, mut waits) in std::mem::take(&mut self.0) {
            waits.fire.generation = generation;
            self.add(waits);
        }
    }

    /// Has those belong to a generation of the clock that became due after this one of the scheduler's.
    pub(super) fn stamp_after(&mut self, scheduled_in: u64, generation: u64) {
        for (_, mut waits) in std::mem::take(&mut self.0) {
            if waits.scheduled_in > scheduled_in {
                waits.fire.generation = generation;
            }
            self.add(waits);
        }
    }

    /// Has all of them claimed again.
    pub(super) fn wake(&mut self) {
        for waits in self.0.values_mut() {
            waits.ready = true;
        }
    }

    /// The next claims, oldest first: what is ready, at most [`MOST`] of it, and what is older of the same jobs.
    pub(super) fn claims(&self) -> (Vec<Place>, Vec<Claim>) {
        let jobs: HashSet<JobKey> =
            self.0.values().filter(|waits| waits.ready).map(|waits| waits.fire.job.key).collect();
        let (mut places, mut claims, mut ready) = (Vec::new(), Vec::new(), 0);
        for (place, waits) in self.0.iter().filter(|((_, key), _)| jobs.contains(key)) {
            if ready >= MOST {
                break;
            }
            ready += usize::from(waits.ready);
            places.push(*place);
            claims.push(waits.claim());
        }
        (places, claims)
    }

    /// Takes out what is to be started, without asking anybody.
    pub(super) fn release(&mut self) -> Vec<Waits> {
        let is_free = |waits: &Waits| waits.aim == Aim::Start && !waits.was_others;
        let places: Vec<Place> =
            self.0.iter().filter(|(_, waits)| is_free(waits)).map(|(place, _)| *place).collect();
        places.iter().filter_map(|place| self.0.remove(place)).collect()
    }

    /// Has what waited for too long listed as missed; how many.
    pub(super) fn expire(&mut self, now: Timestamp, reason: &Arc<str>) -> usize {
        let mut count = 0;
        for waits in self.0.values_mut() {
            if waits.aim == Aim::Start && waits.until < now {
                (waits.aim, waits.ready) = (Aim::Miss(Arc::clone(reason)), true);
                count += 1;
            }
        }
        count
    }

    /// Has what was due up to an instant listed as missed, and never started.
    pub(super) fn give_up(&mut self, until: Timestamp, reason: &Arc<str>) {
        for waits in self.0.values_mut() {
            if waits.aim == Aim::Start && waits.fire.due.at <= until {
                waits.aim = Aim::Miss(Arc::clone(reason));
            }
        }
    }

    /// When the first of them has waited for too long.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        let start = |waits: &&Waits| waits.aim == Aim::Start;
        self.0.values().filter(start).map(|waits| waits.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::event::Trigger;
    use crate::job::JobTable;
    use crate::schedule::{Due, Zone};

    fn fire(second: i64, generation: u64) -> Fire {
        let bytes = b"* * * * * true\n".to_vec();
        let source = Source { name: "crontab".into(), bytes, dialect: Dialect::user("root") };
        let crontab = parse(&source);
        let (zone, none, at) = (Zone::utc(), JobTable::default(), Timestamp::UNIX_EPOCH);
        let (table, ..) =
            JobTable::build(&[(&source, &crontab)], &zone, &Options::default(), &none, at);
        let at = Timestamp::from_second(second).unwrap();
        let due = Due { at, civil: zone.civil(at) };
        Fire { job: Arc::clone(&table.jobs()[0]), due, trigger: Trigger::Schedule, generation }
    }

    fn generations(waiting: &Waiting) -> Vec<(i64, u64)> {
        waiting.0.keys().map(|(mark, _)| (mark.at.as_second(), mark.generation)).collect()
    }

    #[test]
    fn of_what_passed_so_much_is_asked_for_at_once_as_can_be_answered_in_time() {
        let mut waiting = Waiting::default();
        let of = fire(0, 0);
        let most = i64::try_from(MOST).unwrap();
        for second in 0..most + 5 {
            let at = Timestamp::from_second(second).unwrap();
            let due = Due { at, civil: Zone::utc().civil(at) };
            waiting.add(Waits::new(Fire { due, ..of.clone() }, Timestamp::UNIX_EPOCH));
        }
        let (places, claims) = waiting.claims();
        assert_eq!((places.len(), claims.len()), (MOST, MOST));
        for place in &places {
            waiting.remove(place);
        }
        assert_eq!(waiting.claims().0.len(), 5);
        // What others have is asked for again with what comes later, and keeps none of it from being asked for.
        for second in 0..most + 5 {
            let at = Timestamp::from_second(second).unwrap();
            let due = Due { at, civil: Zone::utc().civil(at) };
            waiting.add(Waits::new(Fire { due, ..of.clone() }, Timestamp::UNIX_EPOCH));
        }
        for place in waiting.claims().0 {
            waiting.get_mut(&place).unwrap().ready = false;
        }
        assert_eq!(waiting.claims().0.len(), MOST + 5);
    }

    #[test]
    fn what_became_due_after_the_clock_was_set_back_belongs_to_the_new_generation() {
        let mut waiting = Waiting::default();
        for (second, scheduled_in) in [(60, 0), (120, 0), (60, 1), (180, 1)] {
            // The store's generation as it is known by then.
            let waits = Waits::new(fire(second, 7), Timestamp::UNIX_EPOCH);
            waiting.add(Waits { scheduled_in, ..waits });
        }
        // The instant that came again is the one that waits already.
        assert_eq!(generations(&waiting), [(60, 7), (120, 7), (180, 7)]);
        waiting.stamp_after(0, 8);
        assert_eq!(generations(&waiting), [(60, 7), (120, 7), (180, 8)]);
        waiting.stamp_after(1, 9);
        assert_eq!(generations(&waiting), [(60, 7), (120, 7), (180, 8)]);
        assert_eq!(waiting.starts(), 3);
    }
}
