//! ext.every.jsonl: what robfig/cron makes of `@every`.

use cronkeep::crontab::{Compat, FieldCount};
use cronkeep::schedule::{Every, Schedule};

use crate::excuse::Case;
use crate::next::schedule;
use crate::tally::Tally;
use crate::vectors;

#[test]
fn intervals_are_robfigs() {
    let mut tally = Tally::new("ext.every.jsonl");
    for vector in vectors::lines("ext.every.jsonl") {
        let text = vector["expr"].as_str().expect("expr");
        let read = match schedule(text, FieldCount::Auto, Compat::Cronkeep) {
            Ok(Schedule::Every(Every { seconds })) => Ok(seconds),
            Ok(other) => panic!("{text} is {other:?}"),
            Err(why) => Err(why),
        };
        let verdict = match (&read, vector["seconds"].as_u64()) {
            (Ok(seconds), Some(wanted)) if *seconds == wanted => Ok(()),
            (Err(_), None) => Ok(()),
            _ => Err(format!("{text}: {read:?}, not {vector}")),
        };
        tally.count(&Case { file: "ext.every.jsonl", vector: &vector, line: None }, verdict);
    }
    tally.finish();
}
