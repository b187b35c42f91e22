//! Any expression in any zone from any instant: fires come in order, each after the one before, and going back
//! from a fire finds none in between.
#![no_main]

use cronkeep::crontab::{Compat, FieldCount, expression};
use cronkeep::schedule::{Cursor, Schedule, Zone};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const ZONES: [&str; 8] = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Europe/Dublin",
    "Pacific/Apia", "CET-1CEST,M3.5.0,M10.5.0/3",
];

fuzz_target!(|input: (u8, u8, u32, &[u8])| {
    let (zone, fields, second, text) = input;
    let zone = Zone::named(ZONES[usize::from(zone) % ZONES.len()]).expect("a zone of the list");
    let fields = [FieldCount::Auto, FieldCount::Five, FieldCount::Six, FieldCount::Seven][usize::from(fields) % 4];
    let Ok(expression) = expression::parse(text, fields, Compat::Cronkeep) else { return };
    let schedule = expression.when.resolve(u64::from(second));
    let after = Timestamp::from_second(i64::from(second)).expect("within the range of instants");
    let mut before = None;
    for due in schedule.fires(&zone, after, after).take(20) {
        assert!(due.at > after);
        if let Some(before) = before {
            assert!(due > before, "{due:?} after {before:?}");
            assert_eq!(schedule.next_after(&zone, after, Cursor::Due(before)), Some(due));
        }
        if !matches!(schedule, Schedule::At(_)) {
            let previous = schedule.prev_before(&zone, after, due.at);
            assert!(previous.is_none_or(|previous| previous.at < due.at));
        }
        before = Some(due);
    }
});
