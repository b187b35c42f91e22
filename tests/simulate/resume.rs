//! Lives of a daemon that end at random, with a store that has kept what was written by then: whatever the schedule, its
//! options and what was put off, each due is dealt with exactly once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cronkeep::crontab::{Dialect, Options, Source, parse};
use cronkeep::event::{Fire, Trigger};
use cronkeep::job::{Job, JobKey, JobTable};
use cronkeep::schedule::{Due, Zone};
use cronkeep::scheduler::due::{Agenda, Harvest};
use cronkeep::scheduler::owed::Missed;
use cronkeep::scheduler::resume::Past;
use cronkeep::scheduler::step::Tide;
use cronkeep::store::{JobState, Mark, Owed};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const SCHEDULES: [&str; 8] = [
    "*/5 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "15,45 1-3 * * *",
    "@every 7m",
    "*/40 * * * * *",
    "0 */10 * * * *",
    "@at 2026-03-08T08:30:00Z",
];

const OPTIONS: [&str; 10] = [
    "catch-up=none",
    "catch-up=latest",
    "catch-up=all",
    "catch-up=all catch-up-max=3",
    "catch-up=all catch-up-window=20m",
    "catch-up=latest grace=5m",
    "grace=0s",
    "grace=30m",
    "catch-up=all from=2026-03-08T06:10:00Z until=2026-03-08T09:10:00Z",
    "enabled=no",
];

/// What a daemon has written, in order.
#[derive(Debug, Clone)]
enum Op {
    Start(JobKey, Due, u64),
    Owe(JobKey, Owed, u64),
    Settle(JobKey, Due),
    Range(&'static str, Missed, u64),
}

/// What is written survives, whatever happens to the daemon.
#[derive(Default)]
struct Store {
    states: HashMap<JobKey, JobState>,
    became: BTreeMap<(JobKey, Due), Vec<&'static str>>,
}

impl Store {
    fn mark(&mut self, key: JobKey, due: Due, generation: u64) {
        let state = self.states.entry(key).or_default();
        state.mark = state.mark.max(Some(Mark::of(due, generation)));
    }

    fn note(&mut self, key: JobKey, due: Due, what: &'static str) {
        self.became.entry((key, due)).or_default().push(what);
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Start(key, due, generation) => {
                self.mark(key, due, generation);
                self.apply(Op::Settle(key, due));
                self.note(key, due, "started");
            }
            Op::Owe(key, owed, generation) => {
                self.mark(key, owed.due, generation);
                let all = &mut self.states.entry(key).or_default().owed;
                all.retain(|other| other.due != owed.due);
                all.push(owed);
                all.sort_by_key(|owed| owed.due);
            }
            Op::Settle(key, due) => {
                self.states.entry(key).or_default().owed.retain(|owed| owed.due != due);
            }
            Op::Range(what, Missed { job, first, last, count }, generation) => {
                let dues: Vec<_> = std::iter::successors(Some(first), |due| job.next_after(*due))
                    .take_while(|due| *due <= last)
                    .collect();
                assert_eq!(dues.len() as u64, count, "{first:?} {last:?}");
                for due in dues {
                    self.note(job.key, due, what);
                    // Written together.
                    self.apply(Op::Settle(job.key, due));
                }
                self.mark(job.key, last, generation);
            }
        }
    }
}

/// A daemon, with an executor that puts off what chance says.
struct Life {
    agenda: Agenda,
    tide: Tide,
    now: Timestamp,
    elapsed: Duration,
    written: Vec<Op>,
    put_off: Vec<Fire>,
    chance: u64,
}

impl Life {
    fn begin(store: &Store, text: &str, zone: &Zone, now: Timestamp, chance: u64) -> Self {
        let table = load(text, zone, now, &store.states);
        let past = Past::new(&store.states, now, now);
        let mut agenda = Agenda::default();
        agenda.go_on(&Arc::new(past.origin().clone()));
        let elapsed = Duration::ZERO;
        let tide = Tide::new(now, elapsed);
        agenda.swap(Arc::new(table.clone()), tide.handled, now);
        let (written, put_off) = Default::default();
        let mut life = Life { agenda, tide, now, elapsed, written, put_off, chance };
        let verdict = past.judge(&table);
        for (range, generation) in verdict.missed {
            life.written.push(Op::Range("missed", range, generation));
        }
        for (range, generation) in verdict.skipped {
            life.written.push(Op::Range("skipped", range, generation));
        }
        life.written.extend(verdict.settled.into_iter().map(|(key, due)| Op::Settle(key, due)));
        verdict.fires.into_iter().for_each(|fire| life.take(fire));
        life
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.chance >> 33) % below
    }

    fn take(&mut self, fire: Fire) {
        let (key, due, generation) = (fire.job.key, fire.due, fire.generation);
        if self.draw(3) == 0 {
            self.written.push(Op::Owe(key, Owed { due, trigger: fire.trigger }, generation));
            self.put_off.push(fire);
        } else {
            self.written.push(Op::Start(key, due, generation));
        }
    }

    /// Starts some of what was put off, or misses it.
    fn work_off(&mut self) {
        for fire in std::mem::take(&mut self.put_off) {
            match self.draw(4) {
                0 => self.written.push(Op::Start(fire.job.key, fire.due, fire.generation)),
                1 => {
                    let Fire { job, due, generation, .. } = fire;
                    let range = Missed { job, first: due, last: due, count: 1 };
                    self.written.push(Op::Range("missed", range, generation));
                }
                _ => self.put_off.push(fire),
            }
        }
    }

    /// Lets time pass, from due to due, now and then too long.
    fn pass(&mut self, until: Timestamp) {
        while let Some(next) = self.agenda.next().filter(|next| *next <= until) {
            let late = if self.draw(10) == 0 { self.draw(1_500) } else { 0 };
            let late = SignedDuration::from_secs(i64::try_from(late).unwrap());
            self.look((next + late).min(until));
        }
    }

    fn look(&mut self, now: Timestamp) {
        self.elapsed += Duration::try_from(now.duration_since(self.now)).unwrap();
        self.now = now;
        let look = self.tide.look(now, self.elapsed, self.agenda.next());
        let mut harvest = Harvest::default();
        self.agenda.harvest(&look, &mut harvest);
        self.tide.settle(look.shift);
        let generation = self.agenda.generation();
        let ranges = harvest.missed.into_iter();
        self.written.extend(ranges.map(|range| Op::Range("missed", range, generation)));
        harvest.fires.into_iter().for_each(|fire| self.take(fire));
        self.work_off();
    }
}

fn load(text: &str, zone: &Zone, now: Timestamp, states: &HashMap<JobKey, JobState>) -> JobTable {
    let bytes = text.as_bytes().to_vec();
    let source = Source { name: "test".into(), bytes, dialect: Dialect::user("root") };
    let crontab = parse(&source);
    assert!(!crontab.has_errors(), "{:?}", crontab.faults);
    let (options, before) = (Options::default(), JobTable::default());
    let (table, ..) = JobTable::build(&[(&source, &crontab)], zone, &options, &before, now);
    table.with_since(|job| states.get(&job.key)?.since)
}

fn dues(job: &Job, from: Timestamp, until: Timestamp) -> Vec<Due> {
    job.fires(from).take_while(|due| due.at <= until).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_due_is_started_missed_skipped_or_owed_exactly_once(
        jobs in prop::collection::vec(
            (prop::sample::select(&SCHEDULES[..]), prop::sample::select(&OPTIONS[..])), 1..4),
        // How long each life lasts and how long none follows, which part of its last writes is lost, who is paused then.
        lives in prop::collection::vec((0_i64..9_000, 0_i64..15_000, 0_usize..6, 0_usize..8), 1..6),
        zone in prop::sample::select(&["UTC", "America/New_York"][..]),
        chance in any::<u64>(),
    ) {
        let zone = Zone::named(zone).unwrap();
        let lines = jobs.iter().enumerate().map(|(name, (schedule, options))| {
            format!("# cronkeep: {options}\n{schedule} {name}\n")
        });
        let text: String = lines.collect();
        // The night in which New York has no time from two to three.
        let first: Timestamp = "2026-03-08T05:00:03Z".parse().unwrap();
        let mut store = Store::default();
        let table = load(&text, &zone, first, &store.states);
        for job in table.jobs() {
            let state = JobState { since: Some(first), ..JobState::default() };
            store.states.insert(job.key, state);
        }
        let mut now = first;
        let count = lives.len();
        for (place, (lasts, away, lost, paused)) in lives.into_iter().enumerate() {
            let mut life = Life::begin(&store, &text, &zone, now, chance.wrapping_add(place as u64));
            now += SignedDuration::from_secs(lasts);
            life.pass(now);
            life.look(now);
            let lost = if place + 1 < count { lost } else { 0 };
            life.written.truncate(life.written.len().saturating_sub(lost));
            life.written.into_iter().for_each(|op| store.apply(op));
            if place + 1 < count {
                now += SignedDuration::from_secs(away);
                for (which, job) in table.jobs().iter().enumerate() {
                    // Only while no daemon runs: what a running one skips is its executor's.
                    store.states.get_mut(&job.key).unwrap().paused = paused == which;
                }
            }
        }
        for job in table.jobs() {
            let owed = store.states[&job.key].owed.clone();
            for due in dues(job, first, now) {
                let mut became = store.became.remove(&(job.key, due)).unwrap_or_default();
                became.extend(owed.iter().filter(|owed| owed.due == due).map(|_| "owed"));
                prop_assert_eq!(became.len(), 1, "{} {:?}: {:?}\n{}", job.schedule_text(), due, became, text);
            }
        }
        prop_assert!(store.became.is_empty(), "{:?} was never due\n{}", store.became, text);
    }
}

#[test]
fn a_fire_that_somebody_asked_for_moves_no_watermark() {
    for (trigger, moves) in [
        (Trigger::Schedule, true),
        (Trigger::CatchUp, true),
        (Trigger::Manual, false),
        (Trigger::Reboot, false),
        (Trigger::After, false),
    ] {
        assert_eq!(trigger.is_of_schedule(), moves, "{trigger}");
    }
}
