//! Which job is due next: the agenda of a job table. Pure.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::step::{Shift, before_minute_of};
use crate::event::{Fire, Trigger};
use crate::job::{Job, JobKey, JobTable};
use crate::schedule::{Cursor, Due, Schedule};

/// Passed instants of one job that are counted one by one; beyond, a count is a lower bound.
const COUNTED: u64 = 10_000;

/// The next due of every job.
#[derive(Debug, Default)]
pub struct Agenda {
    table: Arc<JobTable>,
    /// The earliest first; equal instants by what they make up for, then in file order.
    upcoming: BinaryHeap<Reverse<Slot>>,
    /// The job whose next due is being computed: the culprit, should that panic.
    suspect: Option<Arc<Job>>,
    /// Jobs whose next due cannot be computed.
    parked: HashSet<JobKey>,
}

/// Instants of a job that passed and are not started.
#[derive(Debug, Clone)]
pub struct Dropped {
    /// The job.
    pub job: Arc<Job>,
    /// The first instant.
    pub first: Due,
    /// The last instant.
    pub last: Due,
    /// How many; a lower bound above 10 000.
    pub count: u64,
}

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
    /// To be started, by instant, then in file order.
    pub fires: VecDeque<Fire>,
    /// Passed, and not to be started.
    pub dropped: Vec<Dropped>,
}

impl Agenda {
    /// The earliest instant at which a job is due.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.upcoming.peek().map(|Reverse(slot)| slot.instant())
    }

    /// The table in force.
    #[must_use]
    pub fn table(&self) -> &Arc<JobTable> {
        &self.table
    }

    /// Puts another table in force, with everything up to `handled` done.
    ///
    /// A job that kept its place in time keeps its next due. A new one starts after its own `since`, one
    /// whose schedule, zone or window changed after `handled` at the earliest.
    pub fn swap(&mut self, table: Arc<JobTable>, handled: Timestamp) {
        let mut before: HashMap<JobKey, (&Arc<Job>, Option<Slot>)> =
            self.table.jobs().iter().map(|job| (job.key, (job, None))).collect();
        for Reverse(slot) in &self.upcoming {
            let job = &self.table.jobs()[slot.index as usize];
            before.insert(job.key, (job, Some(*slot)));
        }
        let mut upcoming = Vec::with_capacity(table.len());
        for (index, job) in (0_u32..).zip(table.jobs()) {
            let slot = match before.get(&job.key) {
                _ if self.parked.contains(&job.key) => None,
                Some((old, slot)) if keeps_its_place(old, job) => {
                    slot.map(|slot| Slot { index, ..slot })
                }
                old => {
                    let from = if old.is_some() { job.since.max(handled) } else { job.since };
                    self.suspect = Some(Arc::clone(job));
                    job.next_after(from).map(|due| Slot::new(due, index, job))
                }
            };
            upcoming.extend(slot.map(Reverse));
        }
        self.suspect = None;
        self.upcoming = upcoming.into();
        self.table = table;
    }

    /// Takes what is due at `now`, as cronie's rules for this shift of the clock have it.
    ///
    /// Whatever was added to `harvest` counts as taken, even if a later job makes this panic.
    pub fn harvest(&mut self, now: Timestamp, shift: Shift, harvest: &mut Harvest) {
        match shift {
            Shift::Small => self.collect(now, None, harvest),
            Shift::Medium | Shift::Jump => self.collect(now, Some(shift), harvest),
            Shift::Back => {
                self.restart(now, super::super::job::Job::is_wildcard);
                self.collect(now, None, harvest);
            }
            Shift::JumpBack => {
                self.restart(now, |_| true);
                self.collect(now, None, harvest);
            }
        }
    }

    /// Leaves out the job whose next due could not be computed, and says which it was.
    pub fn park_suspect(&mut self) -> Option<Arc<Job>> {
        let job = self.suspect.take()?;
        self.parked.insert(job.key);
        let table = Arc::clone(&self.table);
        self.upcoming.retain(|Reverse(slot)| table.jobs()[slot.index as usize].key != job.key);
        Some(job)
    }

    /// Starts the chosen jobs anew in the minute of `now`, whatever they have done before.
    fn restart(&mut self, now: Timestamp, chosen: impl Fn(&Job) -> bool) {
        let table = Arc::clone(&self.table);
        let mut kept: Vec<_> = self
            .upcoming
            .iter()
            .filter(|Reverse(slot)| !chosen(&table.jobs()[slot.index as usize]))
            .copied()
            .collect();
        let start = before_minute_of(now);
        for (index, job) in (0_u32..).zip(table.jobs()).filter(|(_, job)| chosen(job)) {
            if self.parked.contains(&job.key) {
                continue;
            }
            let from = if is_to_the_second(job.schedule()) { now } else { start };
            self.suspect = Some(Arc::clone(job));
            kept.extend(job.next_after(from).map(|due| Reverse(Slot::new(due, index, job))));
        }
        self.suspect = None;
        self.upcoming = kept.into();
    }

    /// Takes every due up to `now`; under `late`, those that the rules drop become missed.
    fn collect(&mut self, now: Timestamp, late: Option<Shift>, harvest: &mut Harvest) {
        while let Some(&Reverse(slot)) = self.upcoming.peek() {
            if slot.instant() > now {
                break;
            }
            let job = Arc::clone(&self.table.jobs()[slot.index as usize]);
            let due = slot.due(&job);
            self.suspect = Some(Arc::clone(&job));
            let horizon = horizon(&job, now, late).filter(|horizon| due.at <= *horizon);
            let after = match horizon {
                Some(horizon) => Cursor::Instant(horizon),
                None => Cursor::Due(due),
            };
            let dropped = horizon.map(|horizon| count_dropped(&job, due, horizon));
            let next = job.next_after(after);
            self.suspect = None;
            self.upcoming.pop();
            self.upcoming.extend(next.map(|next| Reverse(Slot::new(next, slot.index, &job))));
            match dropped {
                Some((last, count)) => {
                    harvest.dropped.push(Dropped { job, first: due, last, count });
                }
                None => harvest.fires.push_back(Fire { job, due, trigger: Trigger::Schedule }),
            }
        }
    }
}

/// Whether a job in a new table goes on where the same job in the old one stood.
fn keeps_its_place(before: &Job, now: &Job) -> bool {
    let (old, new) = (before.policy(), now.policy());
    before.since == now.since
        && before.schedule() == now.schedule()
        && before.zone() == now.zone()
        && (old.enabled, old.from, old.until) == (new.enabled, new.from, new.until)
}

/// Whether a schedule is finer than a minute, or no calendar.
fn is_to_the_second(schedule: &Schedule) -> bool {
    matches!(schedule, Schedule::Extended(_) | Schedule::Every(_))
}

/// The instant up to which a job's passed dues are dropped, if any are.
fn horizon(job: &Job, now: Timestamp, late: Option<Shift>) -> Option<Timestamp> {
    match (job.schedule(), late) {
        (Schedule::Extended(_) | Schedule::Every(_), _) => back(now, job.policy().grace),
        (Schedule::At(_), _) | (_, None) => None,
        (_, Some(Shift::Medium)) if !job.is_wildcard() => None,
        (_, Some(_)) => Some(before_minute_of(now)),
    }
}

/// The last instant that is more than `grace` before `now`.
fn back(now: Timestamp, grace: Duration) -> Option<Timestamp> {
    let grace = SignedDuration::try_from(grace).ok()?;
    now.checked_sub(grace).ok()?.checked_sub(SignedDuration::from_nanos(1)).ok()
}

/// The last of the dues from `first` to `horizon`, and their number as far as it is counted.
fn count_dropped(job: &Job, first: Due, horizon: Timestamp) -> (Due, u64) {
    let (mut last, mut count) = (first, 1);
    let passed = std::iter::successors(job.next_after(first), |due| job.next_after(*due));
    for due in passed.take_while(|due| due.at <= horizon) {
        (last, count) = (due, count + 1);
        if count >= COUNTED {
            last = job
                .prev_before(
                    horizon.saturating_add(SignedDuration::from_nanos(1)).unwrap_or(horizon),
                )
                .unwrap_or(last);
            break;
        }
    }
    (last, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::schedule::Zone;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The jobs of a crontab of root's, loaded at `now` in `zone`.
    fn table(text: &str, zone: &str, previous: &JobTable, now: Timestamp) -> Arc<JobTable> {
        let source = Source {
            name: "test".into(),
            bytes: text.as_bytes().to_vec(),
            dialect: Dialect::user("root"),
        };
        let crontab = parse(&source);
        assert!(!crontab.has_errors(), "{:?}", crontab.faults);
        let zone = Zone::named(zone).unwrap();
        let (table, _, _) =
            JobTable::build(&[(&source, &crontab)], &zone, &Options::default(), previous, now);
        Arc::new(table)
    }

    fn agenda(text: &str, now: &str) -> Agenda {
        let mut agenda = Agenda::default();
        agenda.swap(table(text, "UTC", &JobTable::default(), at(now)), at(now));
        agenda
    }

    /// What fires, as `command@HH:MM` of the civil time.
    fn fires(agenda: &mut Agenda, now: &str, shift: Shift) -> Vec<String> {
        let mut harvest = Harvest::default();
        agenda.harvest(at(now), shift, &mut harvest);
        let words = |fire: &Fire| {
            format!("{}@{}", fire.job.action.command(), fire.due.civil.strftime("%H:%M:%S"))
        };
        harvest.fires.iter().map(words).collect()
    }

    #[test]
    fn what_is_due_fires_in_the_order_of_instants_then_of_lines() {
        let mut agenda =
            agenda("2 * * * * late\n1 * * * * b\n1 * * * * a\n", "2026-01-01T00:00:00Z");
        assert_eq!(agenda.next(), Some(at("2026-01-01T00:01:00Z")));
        let fired = fires(&mut agenda, "2026-01-01T00:02:00Z", Shift::Small);
        assert_eq!(fired, ["b@00:01:00", "a@00:01:00", "late@00:02:00"]);
        assert_eq!(agenda.next(), Some(at("2026-01-01T01:01:00Z")));
    }

    #[test]
    fn nothing_due_before_the_load_fires() {
        let mut agenda = agenda("0 10 * * * a\n", "2026-01-01T10:00:20Z");
        assert!(fires(&mut agenda, "2026-01-01T10:00:30Z", Shift::Small).is_empty());
        assert_eq!(agenda.next(), Some(at("2026-01-02T10:00:00Z")));
    }

    #[test]
    fn an_edit_keeps_the_next_due_of_what_it_leaves_alone() {
        let mut agenda = agenda("@every 10s a\n*/5 * * * * b\n", "2026-01-01T00:00:03Z");
        let before = agenda.table().clone();
        let text = "# moved\n@every 10s a\n*/5 * * * * c\n";
        agenda.swap(
            table(text, "UTC", &before, at("2026-01-01T00:00:09Z")),
            at("2026-01-01T00:00:08Z"),
        );
        assert_eq!(agenda.next(), Some(at("2026-01-01T00:00:13Z")));
    }

    #[test]
    fn a_job_that_is_enabled_again_does_not_fire_for_the_past() {
        let mut agenda = agenda("# cronkeep: enabled=no\n* * * * * a\n", "2026-01-01T00:00:00Z");
        assert_eq!(agenda.next(), None);
        let before = agenda.table().clone();
        let now = at("2026-01-01T05:00:30Z");
        agenda.swap(table("* * * * * a\n", "UTC", &before, now), now);
        assert_eq!(agenda.next(), Some(at("2026-01-01T05:01:00Z")));
    }

    #[test]
    fn twenty_minutes_late_wildcards_run_once_and_fixed_entries_for_each_minute() {
        let mut agenda = agenda("* * * * * wild\n5,10 0 * * * fixed\n", "2026-01-01T00:00:00Z");
        let mut harvest = Harvest::default();
        agenda.harvest(at("2026-01-01T00:20:00Z"), Shift::Medium, &mut harvest);
        let fired: Vec<_> = harvest
            .fires
            .iter()
            .map(|fire| format!("{} {}", fire.job.action.command(), fire.due.at))
            .collect();
        assert_eq!(
            fired,
            [
                "fixed 2026-01-01T00:05:00Z",
                "fixed 2026-01-01T00:10:00Z",
                "wild 2026-01-01T00:20:00Z"
            ]
        );
        let [dropped] = &harvest.dropped[..] else { panic!("{:?}", harvest.dropped) };
        assert_eq!(
            (dropped.first.at, dropped.last.at, dropped.count),
            (at("2026-01-01T00:01:00Z"), at("2026-01-01T00:19:00Z"), 19)
        );
    }

    #[test]
    fn after_a_jump_only_the_new_minute_counts() {
        let mut agenda = agenda("0 * * * * wild\n0 1,5 * * * fixed\n", "2026-01-01T00:30:00Z");
        let fired = fires(&mut agenda, "2026-01-01T05:00:10Z", Shift::Jump);
        assert_eq!(fired, ["wild@05:00:00", "fixed@05:00:00"]);
    }

    #[test]
    fn after_a_step_back_wildcards_follow_the_clock_and_fixed_entries_wait() {
        let mut agenda = agenda("*/10 * * * * wild\n30 2 * * * fixed\n", "2026-01-01T02:25:00Z");
        let fired = fires(&mut agenda, "2026-01-01T02:35:00Z", Shift::Small);
        assert_eq!(fired, ["wild@02:30:00", "fixed@02:30:00"]);
        assert!(fires(&mut agenda, "2026-01-01T02:05:00Z", Shift::Back).is_empty());
        assert_eq!(agenda.next(), Some(at("2026-01-01T02:10:00Z")));
        let fired = fires(&mut agenda, "2026-01-01T02:30:00Z", Shift::Small);
        assert_eq!(fired, ["wild@02:10:00", "wild@02:20:00", "wild@02:30:00"]);
    }

    #[test]
    fn after_a_jump_back_everything_runs_again() {
        let mut agenda = agenda("30 2 * * * fixed\n", "2026-01-01T02:00:00Z");
        fires(&mut agenda, "2026-01-01T02:30:00Z", Shift::Small);
        fires(&mut agenda, "2025-12-31T22:00:00Z", Shift::JumpBack);
        assert_eq!(agenda.next(), Some(at("2026-01-01T02:30:00Z")));
    }

    #[test]
    fn of_seconds_that_passed_those_within_the_grace_start() {
        let mut agenda = agenda("*/10 * * * * * tick\n", "2026-01-01T00:00:00Z");
        let mut harvest = Harvest::default();
        agenda.harvest(at("2026-01-01T00:03:00Z"), Shift::Small, &mut harvest);
        assert_eq!(harvest.fires.len(), 7);
        assert_eq!(harvest.dropped[0].count, 11);
    }

    #[test]
    fn minutes_that_a_gap_skipped_are_made_up_for_at_its_end() {
        let mut agenda = Agenda::default();
        let start = at("2026-03-29T00:30:00Z");
        let text = "0,30 2 * * * fixed\n*/30 * * * * wild\n";
        agenda.swap(table(text, "Europe/Berlin", &JobTable::default(), start), start);
        let fired = fires(&mut agenda, "2026-03-29T01:00:00Z", Shift::Small);
        assert_eq!(fired, ["fixed@02:00:00", "fixed@02:30:00", "wild@03:00:00"]);
    }

    #[test]
    fn a_job_that_is_parked_never_fires_again() {
        let mut agenda = agenda("* * * * * a\n* * * * * b\n", "2026-01-01T00:00:00Z");
        agenda.suspect = Some(Arc::clone(&agenda.table().jobs()[0]));
        assert_eq!(agenda.park_suspect().unwrap().action.command().as_bytes(), b"a");
        let fired = fires(&mut agenda, "2026-01-01T00:02:00Z", Shift::Small);
        assert_eq!(fired, ["b@00:01:00", "b@00:02:00"]);
    }
}
