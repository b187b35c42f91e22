//! `cronkeep check`.

use serde_json::{Value, json};

use crate::{cronkeep, folder_with, objects, stderr, stdout, vectors};

const GOOD: &str = "MAILTO=ops\n# nightly\n0 2 * * * true\n";
const BAD: &str = "61 * * * * true\n0 2 * * * true\n";

#[test]
fn a_crontab_without_a_mistake_passes() {
    let outcome = cronkeep(&["check", "-"]).stdin(GOOD).assert().success();
    assert_eq!(stdout(&outcome), "1 entry, 0 errors, 0 warnings\n");
}

#[test]
fn a_mistake_is_shown_where_it_stands() {
    let folder = folder_with("jobs", BAD.as_bytes());
    let outcome = cronkeep(&["check", "jobs"]).current_dir(folder.path()).assert().code(1);
    let text = stdout(&outcome);
    assert!(text.contains("E001"), "{text}");
    assert!(text.contains("jobs:1:1"), "{text}");
    assert!(text.contains("61 * * * * true"), "{text}");
    assert!(text.contains("^^"), "{text}");
    assert!(text.ends_with("1 entry, 1 error, 0 warnings\n"), "{text}");
    assert!(!text.contains('\x1b'), "no colours in a pipe: {text:?}");
}

#[test]
fn a_warning_fails_only_when_told_to_be_strict() {
    let text = "0 0 31 2 * true\n";
    cronkeep(&["check", "-"]).stdin(text).assert().success();
    cronkeep(&["check", "--strict", "-"]).stdin(text).assert().code(1);
    cronkeep(&["check", "--strict", "-"]).stdin(GOOD).assert().success();
}

#[test]
fn what_anybody_might_have_put_into_a_named_directory_is_refused_as_by_the_daemon() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root gives files to others");
        assert!(std::env::var_os("CI").is_none(), "the tests can run as root");
        return;
    }
    let folder = folder_with("ours", GOOD.as_bytes());
    let theirs = folder.path().join("theirs");
    std::fs::write(&theirs, GOOD).unwrap();
    chown(&theirs, Some(61_234), None).unwrap();
    let check = || cronkeep(&["check", "."]).current_dir(folder.path()).assert();
    let text = stdout(&check().success());
    assert!(text.starts_with("2 entries"), "{text}");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let outcome = check().code(1);
    let told = stderr(&outcome);
    assert!(told.contains("theirs is refused: it belongs to uid 61234"), "{told}");
    assert!(told.contains("everybody may put files into its directory"), "{told}");
    assert!(stdout(&outcome).starts_with("1 entry"), "{}", stdout(&outcome));
    // Named itself, it is somebody's wish to look at it.
    cronkeep(&["check", "theirs"]).current_dir(folder.path()).assert().success();
}

#[test]
fn a_missing_file_is_a_failure_and_the_others_are_checked() {
    let folder = folder_with("jobs", GOOD.as_bytes());
    let check =
        |arguments: &[&str]| cronkeep(arguments).current_dir(folder.path()).assert().code(1);
    let outcome = check(&["check", "missing", "jobs"]);
    assert!(stderr(&outcome).contains("failed to read missing"), "{}", stderr(&outcome));
    assert!(stdout(&outcome).starts_with("1 entry"));
    let objects = objects(&check(&["check", "--json", "missing", "jobs"]));
    assert_eq!(objects.len(), 2);
    assert_eq!((&objects[0]["ok"], &objects[1]["ok"]), (&json!(false), &json!(true)));
}

#[test]
fn json_tells_every_line() {
    let text = "# c\n\nA=b\n*/15 1-3 1 jan * -n x%y\nnonsense\n@reboot y\n";
    let outcome =
        cronkeep(&["check", "--json", "--user", "root", "-"]).stdin(text).assert().code(1);
    let objects = objects(&outcome);
    assert_eq!(objects.len(), 1);
    let file = &objects[0];
    assert_eq!(file["file"], "-");
    assert_eq!(file["format"], "user");
    assert_eq!(file["ok"], false);
    let lines = file["lines"].as_array().unwrap();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["comment", "blank", "setting", "entry", "error", "entry"]);
    assert_eq!(lines[2], json!({"line": 3, "kind": "setting", "name": "A", "value": "b"}));
    let entry = &lines[3];
    assert_eq!(entry["minute"], json!([0, 15, 30, 45]));
    assert_eq!(entry["hour"], json!([1, 2, 3]));
    assert_eq!(entry["dom"], json!([1]));
    assert_eq!(entry["month"], json!([1]));
    assert_eq!(entry["dow"], "all");
    assert_eq!(entry["schedule"], "*/15 1-3 1 jan *");
    assert_eq!(entry["flags"], json!(["MIN_STAR", "DOW_STAR", "MAIL_WHEN_ERR"]));
    assert_eq!(entry["user"], "root");
    assert_eq!(entry["command"], "x%y");
    assert_eq!(entry["env"], json!([["A", "b"]]));
    assert_eq!(entry["tz"], "UTC");
    assert!(entry["id"].as_str().unwrap().starts_with("crondServiceTask-"));
    assert_eq!(entry["id"], entry["key"]);
    assert_eq!(lines[5]["flags"], json!(["WHEN_REBOOT"]));
    assert_eq!(lines[5]["minute"], json!([]));
    let fault = file["faults"].as_array().unwrap().iter().find(|fault| fault["line"] == 5).unwrap();
    for key in ["severity", "code", "line", "column", "end_column", "message", "help"] {
        assert!(fault.get(key).is_some(), "{key}");
    }
}

#[test]
fn json_keeps_the_form_of_special_days_and_of_seconds() {
    let text = "0 0 L * 5#2 true\n30 0 0 * * * 2027 true\n0~59 * * * * true\n";
    let outcome = cronkeep(&["check", "--json", "-"]).stdin(text).assert();
    let file = &objects(&outcome)[0];
    let lines = &file["lines"];
    assert_eq!((&lines[0]["dom"], &lines[0]["dow"]), (&json!("L"), &json!("5#2")));
    assert_eq!((&lines[1]["second"], &lines[1]["year"]), (&json!([30]), &json!([2027])));
    assert!(lines[0].get("second").is_none());
    assert_eq!(lines[2]["minute"].as_array().unwrap().len(), 1, "the drawn value");
}

#[test]
fn text_that_is_not_utf8_is_base64() {
    let outcome = cronkeep(&["check", "--json", "-"]).stdin(&b"0 0 * * * echo \xff\n"[..]).assert();
    let file = &objects(&outcome)[0];
    assert_eq!(file["lines"][0]["command"], json!({"b64": "ZWNobyD/"}));
}

#[test]
fn sarif_names_the_rule_and_the_place() {
    let outcome = cronkeep(&["check", "--sarif", "-"]).stdin(BAD).assert().code(1);
    let log: Value = serde_json::from_str(&stdout(&outcome)).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let result = &log["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "E001");
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&json!(1), &json!(1)));
}

#[test]
fn an_unreadable_file_is_told_in_sarif_and_leaves_no_empty_summary() {
    let outcome = cronkeep(&["check", "--sarif", "/nonexistent/x"]).assert().code(1);
    let log: Value = serde_json::from_str(&stdout(&outcome)).unwrap();
    let invocation = &log["runs"][0]["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let told = invocation["toolExecutionNotifications"].to_string();
    assert!(told.contains("file:///nonexistent/x"), "{told}");
    assert_eq!(stdout(&cronkeep(&["check", "/nonexistent/x"]).assert().code(1)), "");
}

#[test]
fn an_entry_whose_time_is_over_is_a_warning() {
    let text = "@at 2020-01-01T00:00:00Z true\n@reboot true\n";
    let outcome = cronkeep(&["check", "-"]).stdin(text).assert().success();
    let text = stdout(&outcome);
    assert!(text.contains("W001") && text.contains("its time has passed"), "{text}");
    assert!(text.ends_with("2 entries, 0 errors, 1 warning\n"), "{text}");
}

#[test]
fn an_entry_that_became_no_job_is_an_error_in_json() {
    let text = "@after nothing true\n0 0 * * * true\n";
    let outcome = cronkeep(&["check", "--json", "-"]).stdin(text).assert().code(1);
    let file = &objects(&outcome)[0];
    assert_eq!(file["lines"][0], json!({"line": 1, "kind": "error"}));
    assert_eq!(file["lines"][1]["kind"], "entry");
}

#[test]
fn users_and_commands_are_looked_up() {
    let text = "0 0 * * * nobody-of-that-name true\n0 0 * * * root no-such-command-here -x\n";
    let outcome = cronkeep(&["check", "--format", "system", "-"]).stdin(text).assert().success();
    let text = stdout(&outcome);
    assert!(text.contains("W007") && text.contains("W008"), "{text}");
}

#[test]
fn an_entry_inside_a_change_of_the_clock_is_a_warning() {
    let outcome = cronkeep(&["check", "--tz", "Europe/Berlin", "-"])
        .stdin("30 2 * * * true\n")
        .assert()
        .success();
    assert!(stdout(&outcome).contains("W018"), "{}", stdout(&outcome));
    for (zone, text) in [("UTC", "30 2 * * * true\n"), ("Europe/Berlin", "*/5 * * * * true\n")] {
        let outcome = cronkeep(&["check", "--tz", zone, "-"]).stdin(text).assert().success();
        assert!(!stdout(&outcome).contains("W018"), "{zone}");
    }
}

/// The sets of entries are those of the vectors; the rest of them is compared in the library's own tests.
#[test]
fn a_sample_of_the_vectors_reads_the_same_through_the_program() {
    let mut compared = 0;
    for vector in vectors::sample("parse.jsonl", 9) {
        let Some(text) = vector["text"].as_str() else { continue };
        let agreed = vector["agree"].as_array().is_some_and(|who| who.len() == 2);
        let flavour = vector["flavour"].as_str().unwrap();
        if !agreed || vector["differ"].is_object() {
            continue;
        }
        let reading: &[&str] = match flavour {
            "system" => &["--format", "system"],
            "root" => &["--user", "root"],
            _ => &["--user", "alice"],
        };
        let outcome = cronkeep(&["check", "--json"]).args(reading).arg("-").stdin(text).assert();
        let file = &objects(&outcome)[0];
        for line in vector["expect"]["lines"].as_array().unwrap() {
            let number = line["n"].as_u64().unwrap();
            let ours = &file["lines"][usize::try_from(number).unwrap() - 1];
            // Lines with six or more fields are ours to read otherwise.
            if line["kind"] != "entry" || ours["kind"] != "entry" || ours.get("second").is_some() {
                continue;
            }
            for field in ["minute", "hour", "dom", "month", "dow", "flags", "user", "command"] {
                if line[field].is_object() && line[field].get("random").is_some() {
                    continue;
                }
                assert_eq!(ours[field], line[field], "{field} of {} line {number}", vector["id"]);
            }
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} entries were compared");
}
