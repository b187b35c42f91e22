//! Lets the daemons live, all at the same time, and compares.

use std::collections::BTreeMap;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::crond::Crond;
use crate::day::Day;
use crate::life::{Running, Traces};
use crate::scene::{Expect, Life, Row, Table};
use crate::{command, field, line, process, source, table};

/// Seconds after 00:00 by which what ran at 00:00 has left its traces.
const SETTLED: i64 = 15;
/// Seconds after 00:00 at which tables are edited.
const EDITS: i64 = 20;
/// Seconds after 00:00 by which what ran at 00:01 has left its traces.
const END: i64 = 75;

/// What is wrong with each row, by the name of its test; empty if nothing is.
type Verdicts = BTreeMap<&'static str, Vec<String>>;

/// Fails if a row is not as expected.
pub(crate) fn judge(name: &str) {
    static VERDICTS: OnceLock<Result<Option<Verdicts>, String>> = OnceLock::new();
    // What goes wrong before the rows can be judged is told once for each, not tried again.
    let verdicts = VERDICTS.get_or_init(|| catch_unwind(live).map_err(|panic| reason(&*panic)));
    if let Some(verdicts) = verdicts.as_ref().unwrap_or_else(|reason| panic!("{reason}")) {
        let wrong = verdicts.get(name).expect("every test of a row is in the list");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn all() -> Vec<(&'static str, Row)> {
    [field::rows(), line::rows(), command::rows(), table::rows(), source::rows(), process::rows()]
        .into_iter()
        .flatten()
        .collect()
}

fn live() -> Option<Verdicts> {
    let crond = Crond::under_test();
    if let Some(lacking) = crond.lacking() {
        let reason = format!("skipped: the rows need {lacking}");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
        eprintln!("{reason}");
        return None;
    }
    let rows = all();
    let day = Day::begin();
    let mut verdicts = Verdicts::new();
    std::thread::scope(|scope| {
        let lives = Life::ALL.map(|life| {
            let (rows, day) = (&rows, &day);
            scope.spawn(move || live_one(crond, day, life, rows))
        });
        for life in lives {
            verdicts.extend(life.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
    });
    Some(verdicts)
}

fn live_one(crond: Crond, day: &Day, life: Life, rows: &[(&'static str, Row)]) -> Verdicts {
    let rows: Vec<&(&str, Row)> = rows.iter().filter(|(_, row)| row.life == life).collect();
    let start = if life == Life::ReadOnly { "read-only" } else { "writable" };
    let mut running = Running::prepare(crond, day.clone(), start);
    if life != Life::Empty {
        running.make_folders();
    }
    let mut tables: Vec<(&str, String, Table)> = Vec::new();
    for (name, row) in &rows {
        for (index, table) in (row.tables)(day).into_iter().enumerate() {
            let key = key(name, index);
            running.site.put(&key, &table);
            tables.push((name, key, table));
        }
        if let Some(prepare) = row.prepare {
            prepare(&running.site);
        }
    }
    running.start();
    day.wait(SETTLED);
    let first = running.site.all_traces();
    day.wait(EDITS);
    if running.ended().is_none() {
        rows.iter().filter_map(|(_, row)| row.edit).for_each(|edit| edit(&running.site));
    }
    day.wait(END);
    let last = running.site.all_traces();
    let mut verdicts: Verdicts = rows.iter().map(|(name, _)| (*name, Vec::new())).collect();
    if let Some(status) = running.ended() {
        for wrong in verdicts.values_mut() {
            wrong.push(format!("the daemon has ended: {status}"));
        }
    }
    for (name, key, table) in &tables {
        let wrong = verdicts.get_mut(name).expect("every row has its place");
        wrong.extend(compare(key, table, &first, &last));
    }
    for (name, row) in &rows {
        // What is wrong then has been said.
        let check = row.check.filter(|_| running.ended().is_none());
        if let Some(Err(error)) = check.map(|check| check(&running.site)) {
            verdicts.get_mut(name).expect("every row has its place").push(error);
        }
    }
    if life == Life::Empty {
        running.signal(Signal::SIGTERM);
        let code = running.wait(Duration::from_secs(10));
        let wrong = verdicts.get_mut(process::STOPPED).expect("every row has its place");
        if code != Some(0) {
            wrong.push(format!("ten seconds after TERM its exit code is {code:?}"));
        }
    }
    if std::env::var_os("CROND_LOG").is_some() {
        eprintln!("--- {life:?}\n{}", running.site.log());
    }
    verdicts
}

/// The name of a table's user, file and folder: the row's number and a letter.
pub(crate) fn key(name: &str, index: usize) -> String {
    let number = name.split('_').nth(1).expect("a test's name begins with row_ and a number");
    let letter = char::from(b'a' + u8::try_from(index).unwrap());
    format!("row{number}{letter}")
}

/// What is wrong with the traces of a table.
fn compare(key: &str, table: &Table, first: &Traces, last: &Traces) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, expect) in table.expects.iter().enumerate() {
        let of = |traces: &Traces| {
            traces.get(&format!("{key}/{index}")).map_or(Vec::new(), |(bytes, _)| bytes.clone())
        };
        let (before, after) = (of(first), of(last));
        let lines = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').count() - 1;
        let runs = (lines(&before), lines(&after).saturating_sub(lines(&before)));
        let holds = match expect {
            Expect::Runs(one, two) => runs == (*one, *two),
            Expect::Sum(sum) => runs.0 + runs.1 == *sum,
            Expect::Writes(text) => before == *text && after == text.repeat(2),
        };
        if !holds {
            let text = String::from_utf8_lossy(&table.text);
            let text: String = text.chars().take(200).collect();
            let found = String::from_utf8_lossy(&after);
            let found: String = found.chars().take(200).collect();
            wrong.push(format!(
                "{key}, job {index} of\n{text}\nexpected {expect}, ran {runs:?}, left {found:?}"
            ));
        }
    }
    wrong
}
