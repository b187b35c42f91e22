//! dst.jsonl: what cronie's own main loop runs around a change of the clock.

use cronkeep::crontab::{Compat, FieldCount};
use cronkeep::schedule::{Schedule, Zone};
use jiff::civil::DateTime;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use crate::drive::Drive;
use crate::excuse::Case;
use crate::next::{instant, schedule};
use crate::tally::Tally;
use crate::vectors;

/// A run: when, which entry, and the local minute for which it runs (none where the vector does not say).
type Run = (Timestamp, usize, Option<DateTime>);

/// One line of a vector's crontab.
struct Entry {
    schedule: Schedule,
    zone: Zone,
    /// The vector gives no virtual minutes for entries of a zone of their own.
    own_zone: bool,
}

fn entries(vector: &Value) -> Vec<Entry> {
    let zone = |name: &Value| Zone::named(name.as_str().expect("a zone")).expect("a known zone");
    let lines = vector["entries"].as_array().expect("entries");
    lines
        .iter()
        .enumerate()
        .map(|(index, line)| {
            let own = vector.get("cron_tz").map_or(&Value::Null, |zones| &zones[index]);
            let text = line.as_str().expect("an entry");
            Entry {
                schedule: schedule(text, FieldCount::Five, Compat::Cronkeep)
                    .or_else(|_| schedule(text, FieldCount::Auto, Compat::Cronkeep))
                    .unwrap_or_else(|why| panic!("{text}: {why}")),
                zone: zone(if own.is_null() { &vector["tz"] } else { own }),
                own_zone: !own.is_null(),
            }
        })
        .collect()
}

fn span(vector: &Value) -> (Timestamp, Timestamp) {
    (instant(&vector["from"]), instant(&vector["to"]))
}

/// The runs that the vector lists, to the minute.
fn listed(vector: &Value) -> Vec<Run> {
    let key = ["fires_offset_tracked", "fires_unthrottled", "fires"]
        .into_iter()
        .find(|key| vector.get(*key).is_some())
        .expect("fires");
    let mut runs: Vec<Run> = vector[key]
        .as_array()
        .expect("a list")
        .iter()
        .map(|run| {
            let entry = usize::try_from(run[0].as_u64().expect("an index")).expect("a small one");
            let civil = run.get(2).map(|text| text.as_str().and_then(|t| t.parse().ok()));
            (minute(instant(&run[1])), entry, civil.map(|civil| civil.expect("a civil time")))
        })
        .collect();
    if key == "fires_offset_tracked" {
        for run in &mut runs {
            undo_pause(vector, run);
        }
    }
    runs.sort_unstable();
    runs
}

/// Moves a run that cronie's pauses of ten seconds delayed back to when it was due: tracked runs are listed with
/// their pauses only.
fn undo_pause(vector: &Value, run: &mut Run) {
    const LONGEST: i64 = 10 * 60;
    let text = vector["transition"].as_str().expect("a transition");
    let change: Timestamp = text.split(' ').next().expect("an instant").parse().expect("one");
    let zone = Zone::named(vector["tz"].as_str().expect("tz")).expect("a known zone");
    let Some(civil) = run.2 else { return };
    let Ok(regular) = zone.offset(change).to_timestamp(civil) else { return };
    let due = regular.max(change);
    let late = run.0.as_second() - due.as_second();
    if run.0 >= change && (1..=LONGEST).contains(&late) {
        run.0 = due;
    }
}

fn minute(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(60) * 60).expect("in range")
}

/// The runs by the library.
fn ours(vector: &Value) -> Vec<Run> {
    let (from, to) = span(vector);
    let mut runs = Vec::new();
    for (index, entry) in entries(vector).iter().enumerate() {
        let fires = entry.schedule.fires(&entry.zone, from, from - 1.second());
        for due in fires.take_while(|due| due.at < to) {
            let civil = (!entry.own_zone).then_some(due.civil);
            runs.push((minute(due.at), index, civil));
        }
    }
    runs.sort_unstable();
    runs
}

/// The runs by a walk along the real minutes: cronie's main loop, once for each entry, on the clock of its zone.
fn walk(vector: &Value) -> Vec<Run> {
    let (from, to) = span(vector);
    let mut runs = Vec::new();
    for (index, entry) in entries(vector).iter().enumerate() {
        let Schedule::Calendar(calendar) = &entry.schedule else { panic!("not a calendar") };
        let wildcard = calendar.minute_star || calendar.hour_star;
        let matches = |minute: i64| calendar.matches(civil(minute));
        let mut run = |at: i64, minute: i64| {
            let at = Timestamp::from_second(at).expect("in range");
            if (from..to).contains(&at) && matches(minute) {
                let civil = (!entry.own_zone).then(|| civil(minute));
                runs.push((self::minute(at), index, civil));
            }
        };
        let local = |at: i64| {
            let instant = Timestamp::from_second(at).expect("in range");
            at + i64::from(entry.zone.rules().to_offset(instant).seconds())
        };
        let mut at = from.as_second().div_euclid(60) * 60 - 21_600;
        at -= local(at).rem_euclid(60);
        let mut clock = local(at);
        let mut virtual_minute = clock.div_euclid(60);
        let mut running = virtual_minute;
        while at < to.as_second() {
            at += 60 - clock.rem_euclid(60);
            clock = local(at);
            let now = clock.div_euclid(60);
            if now == running {
                continue;
            }
            running = now;
            let difference = now - virtual_minute;
            if difference.abs() > 180 || difference == 1 {
                run(at, now);
                virtual_minute = now;
            } else if difference > 0 {
                if wildcard && difference > 5 {
                    run(at, now);
                } else {
                    for minute in virtual_minute + 1..=now {
                        run(at, minute);
                    }
                }
                virtual_minute = now;
            } else if wildcard {
                run(at, now);
            }
        }
    }
    runs.sort_unstable();
    runs
}

fn civil(minute: i64) -> DateTime {
    let at = Timestamp::from_second(minute * 60).expect("in range");
    jiff::tz::Offset::UTC.to_datetime(at)
}

/// Whether cronie's loop, which knows the offset of its own zone only, ran entries of other zones otherwise
/// than it would have run them as their own zone.
pub fn differs_for_other_zones(vector: &Value) -> bool {
    vector.get("cron_tz").is_some() && walk(vector) != without_civil(vector)
}

/// The listed runs, with virtual minutes for the entries of the daemon's zone alone.
fn without_civil(vector: &Value) -> Vec<Run> {
    let own: Vec<bool> = entries(vector).iter().map(|entry| entry.own_zone).collect();
    let mut runs = listed(vector);
    for run in &mut runs {
        if own[run.1] {
            run.2 = None;
        }
    }
    runs.sort_unstable();
    runs
}

fn verdict(vector: &Value, ours: &[Run], wanted: &[Run], by: &str) -> Result<(), String> {
    if ours == wanted {
        return Ok(());
    }
    let show = |runs: Vec<&Run>| {
        let shown = runs.iter().take(4).map(|(at, entry, civil)| {
            format!(
                "[{entry}] {at} for {}",
                civil.map_or("-".to_owned(), |civil| civil.to_string())
            )
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    let surplus = show(ours.iter().filter(|run| !wanted.contains(run)).collect());
    let missing = show(wanted.iter().filter(|run| !ours.contains(run)).collect());
    let (id, tz, entries) = (&vector["id"], &vector["tz"], &vector["entries"]);
    Err(format!("{id} {tz} {entries} against {by}: surplus {surplus}; missing {missing}"))
}

/// row 83: the hour that a change skips; row 84: the hour that comes twice.
#[test]
fn runs_around_a_change_of_the_clock_are_cronies() {
    let mut tally = Tally::new("dst.jsonl");
    for vector in vectors::lines("dst.jsonl") {
        let verdict = verdict(&vector, &ours(&vector), &without_civil(&vector), "cronie");
        tally.count(&Case { file: "dst.jsonl", vector: &vector, line: None }, verdict);
    }
    tally.finish();
}

/// The runs by the scheduler itself, loaded well before, its clock moved from due to due.
fn scheduled(vector: &Value) -> Vec<Run> {
    let (from, to) = span(vector);
    let own: Vec<bool> = entries(vector).iter().map(|entry| entry.own_zone).collect();
    let mut drive = Drive::start(vector, from - 6.hours());
    drive.pass(from);
    let runs = drive.pass(to).into_iter();
    let mut runs: Vec<Run> = runs
        .map(|(at, entry, civil)| (minute(at), entry, (!own[entry]).then_some(civil)))
        .collect();
    runs.sort_unstable();
    runs
}

#[test]
fn runs_by_the_scheduler_around_a_change_of_the_clock_are_cronies() {
    let mut tally = Tally::new("dst.jsonl");
    for vector in vectors::lines("dst.jsonl") {
        let verdict = verdict(&vector, &scheduled(&vector), &without_civil(&vector), "cronie");
        tally.count(&Case { file: "dst.jsonl", vector: &vector, line: None }, verdict);
    }
    tally.finish();
}

#[test]
fn runs_by_the_scheduler_in_every_zone_are_those_of_a_minute_walk() {
    let failures: Vec<String> = vectors::lines("dst.jsonl")
        .iter()
        .filter_map(|vector| verdict(vector, &scheduled(vector), &walk(vector), "the walk").err())
        .collect();
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

/// row 85: entries under `CRON_TZ` run once whatever the daemon's zone does; row 86: changes by half an hour, and those that no
/// flag tells of.
#[test]
fn runs_in_every_zone_are_those_of_a_minute_walk() {
    let failures: Vec<String> = vectors::lines("dst.jsonl")
        .iter()
        .filter_map(|vector| verdict(vector, &ours(vector), &walk(vector), "the walk").err())
        .collect();
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}
