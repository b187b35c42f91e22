//! The program as people and scripts call it: the real binary, its output and its exit codes.
//!
//! Texts are compared with `tests/cli/transcripts/` and `packaging/`; `SNAPSHOTS=overwrite cargo test --test cli` writes
//! them anew.

mod batch;
mod check;
mod crontab;
mod explain;
mod generated;
mod help;
mod manual;
mod next;
#[expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test waits for its programs")]
#[path = "../support/program.rs"]
mod program;
mod publish;
mod supercronic;
mod vectors;
mod words;

use std::path::Path;

use serde_json::Value;
use snapbox::cmd::{Command, OutputAssert, cargo_bin};
use tempfile::TempDir;

/// The program in surroundings that are the same everywhere: UTC, a short path, no variables of its own.
fn cronkeep(arguments: &[&str]) -> Command {
    let own = std::env::vars_os().map(|(name, _)| name);
    let own = own.filter(|name| name.to_string_lossy().starts_with("CRONKEEP_"));
    own.fold(Command::new(cargo_bin!("cronkeep")), Command::env_remove)
        .env("TZ", "UTC")
        .env("PATH", "/usr/bin:/bin")
        .env_remove("COLUMNS")
        .args(arguments)
}

/// A folder with one file of this name and content.
fn folder_with(name: &str, content: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(name), content).expect("a file");
    folder
}

fn stdout(outcome: &OutputAssert) -> String {
    String::from_utf8(outcome.get_output().stdout.clone()).expect("UTF-8")
}

fn stderr(outcome: &OutputAssert) -> String {
    String::from_utf8(outcome.get_output().stderr.clone()).expect("UTF-8")
}

/// The JSON objects on standard output, one a line.
fn objects(outcome: &OutputAssert) -> Vec<Value> {
    stdout(outcome).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    for arguments in [
        &["--no-such-option"][..],
        &["check", "--format", "odd"],
        &["--stop-grace", "8"],
        &["completions", "tcsh"],
        &["explain"],
        &["-"],
        &["--tz", "Mars/Base"],
        &["--store", "redis://host/xx", "--namespace", "x", "x.crontab"],
        &["--store", "redis+sentinel://host", "--namespace", "x", "x.crontab"],
        &["check", "--tz", "Mars/Base", "-"],
    ] {
        let outcome = cronkeep(arguments).stdin("").assert().code(2);
        assert!(stderr(&outcome).contains("error:"), "{arguments:?}");
        assert_eq!(stdout(&outcome), "", "{arguments:?}");
    }
}

#[test]
fn a_mistyped_command_is_no_file_to_wait_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = |arguments: &[&str]| {
        let soon = std::time::Duration::from_secs(20);
        cronkeep(arguments).current_dir(folder.path()).timeout(soon).assert()
    };
    for (arguments, meant) in
        [(&["stauts"][..], "status"), (&["--strict", "chekc", "jobs"], "check")]
    {
        let text = stderr(&started(arguments).code(2));
        assert!(text.contains(&format!("a similar subcommand exists: '{meant}'")), "{text}");
        let word = arguments.iter().find(|word| !word.starts_with('-')).expect("a word");
        assert!(text.contains(&format!("'./{word}'")), "{text}");
    }
}

#[test]
fn an_error_is_one_line_that_names_the_program() {
    let outcome = cronkeep(&["next", "/nonexistent/x"]).assert().code(1);
    let text = stderr(&outcome);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("cronkeep: error: failed to read /nonexistent/x: "), "{text}");
}

#[test]
fn a_variable_stands_for_its_option_and_an_empty_one_for_nothing() {
    let zone = |name| cronkeep(&["explain", "@daily"]).env("CRONKEEP_TZ", name).assert();
    assert!(stdout(&zone("Asia/Tokyo").success()).contains("Asia/Tokyo"));
    assert!(stdout(&zone("").success()).contains("UTC"));
    zone("Mars/Base").code(2);
}

#[test]
fn a_zone_variable_that_names_no_zone_is_told() {
    let outcome = cronkeep(&["explain", "@daily"]).env("TZ", "Europe/Berln").assert().code(2);
    assert!(stderr(&outcome).contains("did you mean Europe/Berlin?"), "{}", stderr(&outcome));
    let outcome = cronkeep(&["explain", "@daily"]).env("TZ", "Nowhere/X").assert().code(2);
    assert!(stderr(&outcome).contains("write an IANA name"), "{}", stderr(&outcome));
}

#[test]
fn control_characters_of_a_name_do_not_reach_the_terminal() {
    let outcome = cronkeep(&["next", "/nonexistent/\x1b[2J\nx"]).assert().code(1);
    let text = stderr(&outcome);
    assert!(!text.contains('\x1b') && text.lines().count() == 1, "{text:?}");
}

#[test]
fn every_example_crontab_passes() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for item in std::fs::read_dir(examples).unwrap() {
        let path = item.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "crontab") {
            cronkeep(&["check"]).arg(path).assert().success();
        }
    }
}
