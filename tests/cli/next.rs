//! `cronkeep next` for people and scripts.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::{Value, json};
use snapbox::cmd::cargo_bin;

use crate::{cronkeep, folder_with, objects, stderr, stdout};

const SPRING: &[&str] = &["--tz", "Europe/Berlin", "--from", "2026-03-28", "--until", "2026-03-31"];

#[test]
fn the_table_shows_what_a_change_of_the_clock_does() {
    let outcome = cronkeep(&["next", "--expr", "30 2 * * *"]).args(SPRING).assert().success();
    let text = stdout(&outcome);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(rows[0].starts_with("TIME"), "{text}");
    assert!(rows[1].starts_with("Sat 2026-03-28 02:30:00 +01:00"), "{text}");
    assert!(rows[2].starts_with("Sun 2026-03-29 03:00:00 +02:00"), "{text}");
    assert!(rows[2].ends_with("made up for 2026-03-29 02:30, which is skipped"), "{text}");
    assert!(rows[3].starts_with("Mon 2026-03-30 02:30:00 +02:00"), "{text}");
}

#[test]
fn json_tells_the_instant_and_the_wall_clock() {
    let outcome =
        cronkeep(&["next", "--json", "--expr", "30 2 * * *"]).args(SPRING).assert().success();
    let fires = objects(&outcome);
    assert_eq!(
        fires[1],
        json!({
            "at": "2026-03-29T03:00:00+02:00", "civil": "2026-03-29T02:30", "entry": 0,
            "line": null, "id": null, "name": null, "expr": "30 2 * * *",
            "note": "made up for 2026-03-29 02:30, which is skipped"
        })
    );
    assert_eq!(fires[0]["note"], Value::Null);
}

#[test]
fn ten_fires_are_shown_unless_a_number_or_an_end_is_given() {
    let count = |more: &[&str]| {
        let outcome =
            cronkeep(&["next", "--json", "--expr", "* * * * *"]).args(more).assert().success();
        objects(&outcome).len()
    };
    assert_eq!(count(&[]), 10);
    assert_eq!(count(&["--count", "3"]), 3);
    assert_eq!(count(&["--from", "2026-01-01T00:00", "--until", "2026-01-01T01:00"]), 60);
    assert_eq!(count(&["--from", "2026-01-01", "--until", "2026-01-02", "--count", "5"]), 5);
}

#[test]
fn several_expressions_share_one_order_of_time() {
    let outcome = cronkeep(&["next", "--json", "--from", "2026-01-01", "--count", "4"])
        .args(["--expr", "0 12 * * *", "--expr", "0 */6 * * *"])
        .assert()
        .success();
    let entries: Vec<u64> =
        objects(&outcome).iter().map(|fire| fire["entry"].as_u64().unwrap()).collect();
    assert_eq!(entries, [1, 1, 0, 1]);
}

#[test]
fn entries_of_a_file_have_their_line_their_name_and_their_zone() {
    let text = "# cronkeep: name=nightly\n0 2 * * * true\nCRON_TZ=Asia/Tokyo\n0 9 * * * false\n";
    let folder = folder_with("jobs", text.as_bytes());
    let outcome = cronkeep(&["next", "--json", "--from", "2026-01-01", "--count", "2", "jobs"])
        .current_dir(folder.path())
        .assert()
        .success();
    let fires = objects(&outcome);
    assert_eq!(fires[0]["at"], "2026-01-01T09:00:00+09:00");
    assert_eq!((&fires[0]["entry"], &fires[0]["line"]), (&json!(1), &json!(4)));
    assert_eq!((&fires[1]["line"], &fires[1]["name"]), (&json!(2), &json!("nightly")));
    assert!(fires[1]["id"].as_str().unwrap().starts_with("crondServiceTask-"));
}

#[test]
fn disabled_entries_and_those_out_of_their_time_do_not_fire() {
    let text = "# cronkeep: enabled=no\n0 1 * * * true\n\
                # cronkeep: until=2026-01-02T00:00:00Z\n0 2 * * * true\n\
                # cronkeep: from=2026-01-03T00:00:00Z\n0 3 * * * true\n";
    let outcome =
        cronkeep(&["next", "--json", "--from", "2026-01-01", "--until", "2026-01-04", "-"])
            .stdin(text)
            .assert()
            .success();
    let at: Vec<Value> = objects(&outcome).iter().map(|fire| fire["at"].clone()).collect();
    assert_eq!(at, ["2026-01-01T02:00:00+00:00", "2026-01-03T03:00:00+00:00"]);
}

#[test]
fn a_file_with_errors_shows_its_good_entries_and_says_so() {
    let outcome =
        cronkeep(&["next", "-"]).stdin("61 * * * * x\n0 2 * * * true\n").assert().success();
    assert!(stdout(&outcome).contains("true"));
    assert!(stderr(&outcome).contains("1 error"), "{}", stderr(&outcome));
}

#[test]
fn an_expression_that_cannot_be_read_is_pointed_at() {
    let outcome = cronkeep(&["next", "--expr", "61 * * * *"]).assert().code(1);
    assert!(stderr(&outcome).contains("61 * * * *"), "{}", stderr(&outcome));
    assert!(stderr(&outcome).contains('^'));
    let outcome = cronkeep(&["next", "--json", "--expr", "61 * * * *"]).assert().code(1);
    assert_eq!(objects(&outcome)[0]["error"]["code"], "E001");
}

/// row 23: `0 0 31 2 *` is taken, and told to be never.
#[test]
fn what_never_fires_says_so() {
    let outcome = cronkeep(&["next", "--expr", "0 0 31 2 *"]).assert().success();
    assert_eq!(stdout(&outcome), "");
    assert!(stderr(&outcome).ends_with("nothing fires in this span\n"));
    for timeless in ["@reboot", "@after dump"] {
        let outcome = cronkeep(&["next", "--expr", timeless]).assert().success();
        assert!(stderr(&outcome).contains("no times of their own"), "{}", stderr(&outcome));
    }
}

#[test]
fn a_span_that_ends_before_it_begins_is_a_usage_error() {
    let span = ["--from", "2026-01-02", "--until", "2026-01-01", "--expr", "@daily"];
    let outcome = cronkeep(&[&["next"], &span[..]].concat()).assert().code(2);
    assert!(stderr(&outcome).contains("--until is before --from"), "{}", stderr(&outcome));
    let past = ["--until", "2020-01-01", "--expr", "@daily"];
    let outcome = cronkeep(&[&["next"], &past[..]].concat()).assert().code(2);
    assert!(stderr(&outcome).contains("give --from, too"), "{}", stderr(&outcome));
}

#[test]
fn a_time_that_is_none_is_a_usage_error() {
    let outcome = cronkeep(&["next", "--expr", "@daily", "--from", "soon"]).assert().code(2);
    assert!(stderr(&outcome).contains("--from: \"soon\" is no time"), "{}", stderr(&outcome));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let mut command = std::process::Command::new(cargo_bin!("cronkeep"));
    command.args(["next", "--json", "--expr", "* * * * *", "--count", "1000000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut head = [0; 64];
    child.stdout.take().unwrap().read_exact(&mut head).unwrap();
    let outcome = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&outcome.stderr), "");
    assert_eq!(outcome.status.code(), Some(0));
}

#[test]
fn now_is_a_time() {
    let arguments = ["next", "--json", "--from", "now", "--count", "1", "--expr", "@daily"];
    assert_eq!(objects(&cronkeep(&arguments).assert().success()).len(), 1);
}

#[test]
fn a_file_that_cannot_be_read_hides_none_of_the_others() {
    let folder = folder_with("jobs", b"0 2 * * * true\n");
    let outcome = cronkeep(&["next", "--json", "--count", "2", "missing", "jobs"])
        .current_dir(folder.path())
        .assert()
        .code(1);
    assert_eq!(objects(&outcome).len(), 2);
    assert!(stderr(&outcome).contains("failed to read missing"), "{}", stderr(&outcome));
}
