//! next.jsonl: the times that cronie's own `find_jobs` found, minute by minute.

use cronkeep::crontab::{Compat, FieldCount, expression};
use cronkeep::schedule::{Schedule, Zone};
use jiff::Timestamp;
use serde_json::Value;

use crate::excuse::Case;
use crate::tally::Tally;
use crate::vectors;

/// Reads the expression of a vector, with every `~` drawn from 0.
pub fn schedule(text: &str, fields: FieldCount, compat: Compat) -> Result<Schedule, String> {
    expression::parse(text.as_bytes(), fields, compat)
        .map(|expression| expression.when.resolve(0))
        .map_err(|mistake| mistake.message)
}

/// The first `count` times after `after`, printed as the vectors print them.
pub fn times(schedule: &Schedule, zone: &Zone, after: Timestamp, count: usize) -> Vec<String> {
    schedule.fires(zone, after, after).take(count).map(|due| print(due.at, zone)).collect()
}

pub fn print(at: Timestamp, zone: &Zone) -> String {
    if zone.name() == "UTC" { at.to_string() } else { print_offset(at, zone) }
}

fn print_offset(at: Timestamp, zone: &Zone) -> String {
    at.display_with_offset(zone.offset(at)).to_string()
}

pub fn instant(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).expect("an instant")
}

/// Compares the listed times as instants: vectors differ in how they print an offset of zero.
pub fn compare(vector: &Value, schedule: &Schedule) -> Result<(), String> {
    let zone = Zone::named(vector["tz"].as_str().expect("tz")).map_err(|e| e.to_string())?;
    let after = instant(&vector["after"]);
    let wanted: Vec<Timestamp> =
        vector["next"].as_array().expect("next").iter().map(instant).collect();
    let mut found: Vec<Timestamp> =
        schedule.fires(&zone, after, after).take(5).map(|due| due.at).collect();
    if let Some(limit) = vector.get("searched_until") {
        found.retain(|at| *at < instant(limit));
    }
    if found == wanted {
        return Ok(());
    }
    let shown = times(schedule, &zone, after, 5);
    Err(format!("{}: {}: {shown:?}, not {}", vector["id"], vector["expr"], vector["next"]))
}

#[test]
fn next_times_are_cronies() {
    let mut tally = Tally::new("next.jsonl");
    for vector in vectors::lines("next.jsonl") {
        let text = vector["expr"].as_str().expect("expr");
        let verdict = schedule(text, FieldCount::Auto, Compat::Cronkeep)
            .map_err(|why| format!("{}: {text}: {why}", vector["id"]))
            .and_then(|schedule| compare(&vector, &schedule));
        tally.count(&Case { file: "next.jsonl", vector: &vector, line: None }, verdict);
    }
    tally.finish();
}
