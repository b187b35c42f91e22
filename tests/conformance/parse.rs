//! `parse.jsonl`: whole crontabs, line by line, against what cronie's own parser made of them.

use std::collections::BTreeSet;

use cronkeep::crontab::{self, Crontab, Dialect, Entry, LineKind, Source, Text, When};
use cronkeep::schedule::Schedule;
use serde_json::{Value, json};

use crate::excuse::{Case, RULES};
use crate::tally::Tally;
use crate::vectors;

/// How many seeds a `~` is drawn from.
const SEEDS: u64 = 200;

#[test]
fn crontabs_are_read_as_cronie_reads_them() {
    let mut tally = Tally::new("parse.jsonl");
    for vector in vectors::lines("parse.jsonl") {
        let bytes = bytes_of(&vector, "text");
        compare(&mut tally, "parse.jsonl", &vector, &vector, &bytes);
    }
    tally.finish();
}

/// Counts every line of a crontab, and the file as a whole. `vector` is handed to the rules.
pub(crate) fn compare(
    tally: &mut Tally,
    file: &'static str,
    vector: &Value,
    about: &Value,
    bytes: &[u8],
) {
    let expect = &vector["expect"];
    let dialect = dialect(vector["flavour"].as_str().expect("a flavour"));
    let name = vector["id"].as_str().or(vector["file"].as_str()).unwrap_or("?");
    let source = Source { name: name.into(), bytes: bytes.to_vec(), dialect };
    let crontab = crontab::parse(&source);
    let expected = expect["lines"].as_array().expect("lines");
    let whole = Case { file, vector: about, line: None };

    let loaded = expect["loaded"] == json!(true);
    let met = (crontab.accepted == loaded)
        .then_some(())
        .ok_or_else(|| format!("{name}: accepted is {}, cronie says {loaded}", crontab.accepted));
    tally.count(&whole, met);
    let met = (crontab.lines.len() == expected.len())
        .then_some(())
        .ok_or_else(|| format!("{name}: {} lines, not {}", crontab.lines.len(), expected.len()));
    if met.is_err() {
        tally.count(&whole, met);
        return;
    }
    let mut excused = false;
    let physical: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    for (want, line) in expected.iter().zip(&crontab.lines) {
        // A file that cronie gave up says nothing about the lines behind that place.
        if want["kind"] == "unread" {
            continue;
        }
        let text = physical[line.number as usize - 1];
        let case = Case { file, vector: about, line: Some((line.number.into(), text)) };
        excused |= RULES.iter().any(|rule| (rule.applies)(&case));
        let verdict = line_is(want, &line.kind).map_err(|why| {
            let shown = String::from_utf8_lossy(text);
            format!("{name} line {}: {why}\n    {shown:?}", line.number)
        });
        tally.count(&case, verdict);
    }
    // Where a line is excused, the verdict on the file follows from the line's.
    if vector["flavour"] != "system" && loaded && !excused {
        let accepted = expect["accepted"] == json!(true);
        let met = (crontab.has_errors() != accepted).then_some(()).ok_or_else(|| {
            format!("{name}: errors {:?}, cronie accepts: {accepted}", crontab.faults)
        });
        tally.count(&whole, met);
    }
    check_spans(&crontab, bytes, name);
}

/// The bytes under `key`, or in base64 under `key` and `_b64`.
fn bytes_of(vector: &Value, key: &str) -> Vec<u8> {
    match vector[key].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => unbase64(vector[format!("{key}_b64")].as_str().expect("a text")),
    }
}

fn dialect(flavour: &str) -> Dialect {
    match flavour {
        "system" => Dialect::system(),
        "root" => Dialect::spool("root"),
        _ => Dialect::spool("alice"),
    }
}

/// Whether a line is what cronie made of it.
fn line_is(want: &Value, kind: &LineKind) -> Result<(), String> {
    let expected = want["kind"].as_str().expect("a kind");
    let found = match kind {
        LineKind::Blank => "blank",
        LineKind::Comment | LineKind::Directive => "comment",
        LineKind::Setting(_) => "env",
        LineKind::Entry(_) => "entry",
        LineKind::Error => "error",
    };
    if found != expected {
        return Err(format!("{found}, cronie says {expected} ({})", want["error"]));
    }
    match kind {
        LineKind::Setting(setting) => {
            same("name", &want["name"], &json!(setting.name))?;
            same("value", &want["value"], &json!(setting.value))
        }
        LineKind::Entry(entry) => entry_is(want, entry),
        _ => Ok(()),
    }
}

fn same(what: &str, want: &Value, have: &Value) -> Result<(), String> {
    if want == have { Ok(()) } else { Err(format!("{what} is {have}, cronie says {want}")) }
}

fn entry_is(want: &Value, entry: &Entry) -> Result<(), String> {
    same("user", &want["user"], &json!(entry.user))?;
    same("command", &want["command"], &json!(entry.command))?;
    let settings: Vec<Text> = entry
        .settings
        .0
        .iter()
        .map(|setting| {
            let (name, value) = (setting.name.as_bytes(), setting.value.as_bytes());
            Text::from([name, b"=", value].concat())
        })
        .collect();
    let environment = if settings.is_empty() { Value::Null } else { json!(settings) };
    same("env", &want["env"], &environment)?;
    let delay = want["random_delay"].as_u64().unwrap_or(0);
    same("random_delay", &json!(delay), &json!(entry.random_delay))?;
    let seeds = match &*entry.when {
        When::Fixed(_) => 1,
        When::Drawn(_) => SEEDS,
    };
    for seed in 0..seeds {
        schedule_is(want, &entry.when.resolve(seed), entry)?;
    }
    Ok(())
}

fn schedule_is(want: &Value, schedule: &Schedule, entry: &Entry) -> Result<(), String> {
    let mut flags = BTreeSet::new();
    let mut sets = [0u64; 5];
    match schedule {
        Schedule::Calendar(calendar) => {
            let days = &calendar.days;
            if days.special.is_some() {
                return Err("days that no other cron knows".to_owned());
            }
            let sunday = u64::from(days.dow & 1) << 7;
            sets = [
                calendar.minutes,
                calendar.hours.into(),
                days.dom.into(),
                calendar.months.into(),
                u64::from(days.dow) | sunday,
            ];
            flags.extend(calendar.minute_star.then_some("MIN_STAR"));
            flags.extend(calendar.hour_star.then_some("HR_STAR"));
            flags.extend(days.dom_star.then_some("DOM_STAR"));
            flags.extend(days.dow_star.then_some("DOW_STAR"));
        }
        Schedule::Reboot => {
            flags.insert("WHEN_REBOOT");
        }
        other => return Err(format!("read as {other:?}")),
    }
    flags.extend(entry.flags.dont_log.then_some("DONT_LOG"));
    flags.extend(entry.flags.mail_when_err.then_some("MAIL_WHEN_ERR"));
    flags.extend(entry.flags.single_job.then_some("SINGLE_JOB"));
    let wanted: BTreeSet<&str> =
        want["flags"].as_array().expect("flags").iter().filter_map(Value::as_str).collect();
    if flags != wanted {
        return Err(format!("flags are {flags:?}, cronie says {wanted:?}"));
    }
    let fields =
        [("minute", 0, 59), ("hour", 0, 23), ("dom", 1, 31), ("month", 1, 12), ("dow", 0, 7)];
    for ((name, low, high), bits) in fields.into_iter().zip(sets) {
        let have: Vec<u64> = (low..=high).filter(|bit| bits >> bit & 1 == 1).collect();
        set_is(&want[name], &have, low..=high).map_err(|why| format!("{name} {why}"))?;
    }
    Ok(())
}

/// A list of values, `"all"`, or what 1 200 draws of a `~` came to.
fn set_is(want: &Value, have: &[u64], all: std::ops::RangeInclusive<u64>) -> Result<(), String> {
    let list = |value: &Value| -> Vec<u64> {
        value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
    };
    if want["random"] != json!(true) {
        let want = if want == "all" { all.collect() } else { list(want) };
        return (want == have).then_some(()).ok_or_else(|| format!("is {have:?}, not {want:?}"));
    }
    let count = list(&want["count"]);
    let size = have.len() as u64;
    let drawable = list(&want["any_of"]);
    let met = have.iter().all(|value| drawable.contains(value))
        && list(&want["always"]).iter().all(|value| have.contains(value))
        && (count[0]..=count[1]).contains(&size);
    met.then_some(()).ok_or_else(|| format!("drew {have:?}, cronie draws {want}"))
}

fn check_spans(crontab: &Crontab, bytes: &[u8], name: &str) {
    for line in &crontab.lines {
        assert!(line.span.end <= bytes.len(), "{name}: a span leaves the file");
        if let LineKind::Entry(entry) = &line.kind {
            assert_eq!(&bytes[entry.command_span.clone()], entry.command.as_bytes(), "{name}");
        }
    }
}

/// Standard base64 with padding.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in text.trim_end_matches('=').as_bytes().chunks(4) {
        let word = chunk.iter().fold(0u32, |word, byte| {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                _ => 63,
            };
            word << 6 | u32::from(value)
        }) << (6 * (4 - chunk.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    bytes
}
