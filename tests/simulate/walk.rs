//! The scheduler against a walk along the minutes: cronie's main loop, with a clock that is set at random.

use std::time::Duration;

use cronkeep::schedule::Calendar;
use cronkeep::schedule::Schedule;
use jiff::civil::DateTime;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;

use crate::harness::Simulation;

/// What the clock showed, the entry's place, the minute for which it ran.
type Run = (i64, String, DateTime);

/// The wall clock is set by so many seconds, so many seconds after the start.
type Step = (i64, i64);

/// Time fields from which crontabs are drawn.
const ENTRIES: [&str; 12] = [
    "* * * * *",
    "*/5 * * * *",
    "*/7 3 * * *",
    "0 * * * *",
    "30 * * * *",
    "30 4 * * *",
    "0,20,40 2-5 * * *",
    "0-59/10 3 * * *",
    "59 2 * * *",
    "1-59 3,4 * * *",
    "0 0 * * *",
    "15 * 2 * *",
];

/// cronie's `main`, without its pauses.
struct Walk<'a> {
    wall: i64,
    elapsed: i64,
    steps: &'a [Step],
    entries: Vec<Calendar>,
    runs: Vec<Run>,
}

impl Walk<'_> {
    fn sleep(&mut self, seconds: i64) {
        let end = self.elapsed + seconds;
        let set = self.steps.iter().filter(|(at, _)| (self.elapsed + 1..=end).contains(at));
        self.wall += seconds + set.map(|(_, by)| by).sum::<i64>();
        self.elapsed = end;
    }

    /// Sleeps until the wall clock shows another minute than `running`.
    fn wait(&mut self, running: i64) -> i64 {
        loop {
            let target = (running + 1) * 60;
            let mut left = target - self.wall;
            while left > 0 && left < 65 {
                self.sleep(left);
                left = target - self.wall;
            }
            let minute = self.wall.div_euclid(60);
            if minute != running {
                return minute;
            }
        }
    }

    fn run(&mut self, minute: i64, wildcard: bool, fixed: bool) {
        let civil = civil(minute * 60);
        for (index, entry) in self.entries.iter().enumerate() {
            let is_wildcard = entry.minute_star || entry.hour_star;
            if entry.matches(civil) && (is_wildcard && wildcard || !is_wildcard && fixed) {
                self.runs.push((self.wall, index.to_string(), civil));
            }
        }
    }

    fn walk(mut self, until: i64) -> Vec<Run> {
        let mut running = self.wall.div_euclid(60);
        let mut handled = running;
        loop {
            running = self.wait(running);
            if self.elapsed >= until {
                self.runs.sort();
                return self.runs;
            }
            match running - handled {
                1..=5 => {
                    for minute in handled + 1..=running {
                        self.run(minute, true, true);
                    }
                    handled = running;
                }
                6..=180 => {
                    self.run(running, true, false);
                    for minute in handled + 1..=running {
                        self.run(minute, false, true);
                    }
                    handled = running;
                }
                -180..=0 => self.run(running, true, false),
                _ => {
                    self.run(running, true, true);
                    handled = running;
                }
            }
        }
    }
}

fn civil(second: i64) -> DateTime {
    jiff::tz::Offset::UTC.to_datetime(Timestamp::from_second(second).unwrap())
}

/// The runs by the scheduler, whose clock goes from due to due and is set in between.
fn scheduled(crontab: &str, start: Timestamp, steps: &[Step], until: i64) -> Vec<Run> {
    let mut simulation = Simulation::new(crontab, "UTC", &start.to_string());
    let (mut elapsed, mut runs) = (0, Vec::new());
    for (at, by) in steps.iter().copied().map(|(at, by)| (at, Some(by))).chain([(until, None)]) {
        while let Some(next) = simulation.clock.wait_until_asleep() {
            let span = (next.as_second() - simulation.now().as_second()).max(0);
            if elapsed + span >= at {
                break;
            }
            elapsed += span;
            simulation.clock.advance(Duration::from_secs(span.unsigned_abs()));
            runs.extend(simulation.ran());
        }
        let Some(by) = by else { break };
        let rest = at - elapsed;
        let to = simulation.now() + (rest + by).seconds();
        simulation.clock.pass_and_step(Duration::from_secs(rest.unsigned_abs()), to);
        elapsed = at;
        runs.extend(simulation.ran());
    }
    runs.sort();
    runs
}

/// Seconds by which a clock is set: around every limit, and anything up to five hours. A step of two seconds or less is
/// drift, which cronie does not tell from a step.
fn by() -> impl Strategy<Value = i64> {
    let near = prop::sample::select(vec![60, 65, 120, 300, 360, 10_800, 10_860, 14_400]);
    let size = prop_oneof![(near, -2_i64..=2).prop_map(|(size, off)| size + off), 3_i64..18_000];
    (size, any::<bool>()).prop_map(|(size, ahead)| if ahead { size } else { -size })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn runs_are_those_of_a_minute_walk_however_the_clock_is_set(
        entries in prop::sample::subsequence(&ENTRIES[..], 1..4),
        start in 0_i64..86_400,
        gaps in prop::collection::vec((1_i64..2_500, by()), 0..4),
    ) {
        let start = Timestamp::from_second(1_769_817_600 + start).unwrap();
        let mut at = 0;
        let steps: Vec<Step> = gaps.iter().map(|(gap, by)| { at += gap; (at, *by) }).collect();
        let until = at + 7_200;
        let lines = entries.iter().enumerate().map(|(index, entry)| format!("{entry} {index}\n"));
        let simulation = scheduled(&lines.collect::<String>(), start, &steps, until);
        let calendar = |entry: &&str| {
            let (fields, compat) = Default::default();
            let expression =
                cronkeep::crontab::expression::parse(entry.as_bytes(), fields, compat).unwrap();
            match expression.when.resolve(0) {
                Schedule::Calendar(calendar) => calendar,
                other => panic!("{other:?}"),
            }
        };
        let walk = Walk {
            wall: start.as_second(),
            elapsed: 0,
            steps: &steps,
            entries: entries.iter().map(calendar).collect(),
            runs: Vec::new(),
        };
        prop_assert_eq!(simulation, walk.walk(until), "{:?} {} {:?}", entries, start, steps);
    }
}
