//! clockstep.jsonl: what cronie's own main loop runs when the clock is set while it sleeps.

use jiff::civil::DateTime;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use crate::drive::{Drive, Run};
use crate::excuse::Case;
use crate::next::instant;
use crate::tally::Tally;
use crate::vectors;

/// The runs that the vector lists, without cronie's pauses of ten seconds.
fn listed(vector: &Value) -> Vec<Run> {
    let fires = vector.get("fires_unthrottled").unwrap_or(&vector["fires"]);
    let run = |run: &Value| {
        let entry = usize::try_from(run[0].as_u64().expect("an index")).expect("a small one");
        let civil: DateTime = run[2].as_str().expect("a minute").parse().expect("a civil time");
        (instant(&run[1]), entry, civil)
    };
    let mut runs: Vec<Run> = fires.as_array().expect("a list").iter().map(run).collect();
    runs.sort_unstable();
    runs
}

/// The runs by the scheduler, which has slept and woken for two hours by then.
fn ours(vector: &Value) -> Vec<Run> {
    let (from, to) = (instant(&vector["from"]), instant(&vector["to"]));
    let (at, by) = (instant(&vector["step"]["at"]), vector["step"]["by"].as_i64().expect("by"));
    let mut drive = Drive::start(vector, from - 2.hours());
    drive.pass(from);
    let mut runs = drive.pass(at);
    runs.extend(drive.step(at, by));
    runs.extend(drive.pass(to));
    runs.retain(|(at, _, _): &(Timestamp, _, _)| *at < to);
    runs.sort_unstable();
    runs
}

#[test]
fn runs_around_a_step_of_the_clock_are_cronies_to_the_second() {
    let mut tally = Tally::new("clockstep.jsonl");
    for vector in vectors::lines("clockstep.jsonl") {
        let (ours, wanted) = (ours(&vector), listed(&vector));
        let verdict = if ours == wanted {
            Ok(())
        } else {
            let surplus: Vec<_> = ours.iter().filter(|run| !wanted.contains(run)).collect();
            let missing: Vec<_> = wanted.iter().filter(|run| !ours.contains(run)).collect();
            let (id, step, entries) = (&vector["id"], &vector["step"], &vector["entries"]);
            Err(format!("{id} {step} {entries}: surplus {surplus:?}; missing {missing:?}"))
        };
        tally.count(&Case { file: "clockstep.jsonl", vector: &vector, line: None }, verdict);
    }
    tally.finish();
}
