//! ext.jsonl: seconds, years, `L W #`, as at least two independent implementations read them.

use cronkeep::crontab::{Compat, FieldCount};

use crate::excuse::Case;
use crate::next::{compare, schedule};
use crate::tally::Tally;
use crate::vectors;

#[test]
fn extensions_are_read_as_others_read_them() {
    let mut tally = Tally::new("ext.jsonl");
    for vector in vectors::lines("ext.jsonl") {
        let text = vector["expr"].as_str().expect("expr");
        let (fields, compat) = match vector["layout"].as_str().expect("layout") {
            "5" => (FieldCount::Five, Compat::Cronkeep),
            "6s" => (FieldCount::Six, Compat::Cronkeep),
            "6y" => (FieldCount::Six, Compat::Supercronic),
            "7" => (FieldCount::Seven, Compat::Cronkeep),
            other => panic!("layout {other}"),
        };
        let read = schedule(text, fields, compat);
        let verdict = match (read, vector["error"] == true) {
            (Err(_), true) => Ok(()),
            (Ok(_), true) => Err(format!("{}: {text} is accepted", vector["id"])),
            (Err(why), false) => Err(format!("{}: {text}: {why}", vector["id"])),
            (Ok(schedule), false) => compare(&vector, &schedule),
        };
        tally.count(&Case { file: "ext.jsonl", vector: &vector, line: None }, verdict);
    }
    tally.finish();
}
