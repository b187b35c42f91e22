//! `cronkeep explain`.

use crate::{cronkeep, folder_with, stderr, stdout};

#[test]
fn an_expression_is_told_in_words_with_its_next_fires() {
    let outcome = cronkeep(&["explain", "30 2 * * *"]).assert().success();
    let text = stdout(&outcome);
    assert!(text.starts_with("schedule     30 2 * * *\nin words     "), "{text}");
    assert!(text.contains("\nzone         UTC\n"), "{text}");
    assert_eq!(text.matches("T02:30:00+00:00").count(), 5, "{text}");
}

#[test]
fn daylight_saving_is_remarked_on() {
    let outcome = cronkeep(&["explain", "--tz", "Europe/Berlin", "30 2 * * *"]).assert().success();
    assert!(stdout(&outcome).contains("\nremarks      "), "{}", stdout(&outcome));
}

#[test]
fn a_line_of_a_crontab_is_told_with_all_it_runs_with() {
    let text = "MAILTO=ops\n# Dump the database\n# cronkeep: name=dump timeout=10m\n\
                0 2 * * * root /bin/cat%hello%world\n";
    let folder = folder_with("jobs", text.as_bytes());
    let outcome = cronkeep(&["explain", "--format", "system", "jobs:4"])
        .current_dir(folder.path())
        .assert()
        .success();
    let text = stdout(&outcome);
    for part in [
        "description  Dump the database",
        "user         root",
        "command      /bin/cat",
        "stdin        hello",
        "             world",
        "settings     MAILTO=ops",
        "timeout=10m",
        "name         dump",
        "id           crondServiceTask-",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn a_line_that_does_not_run_is_a_failure_that_shows_why() {
    let folder = folder_with("jobs", b"61 * * * * true\n");
    let explain =
        |what: &str| cronkeep(&["explain", what]).current_dir(folder.path()).assert().code(1);
    assert!(stdout(&explain("jobs:1")).contains("E001"));
    assert!(stderr(&explain("jobs:9")).contains("jobs has no line 9: it has 1"));
    assert!(stderr(&explain("missing:1")).contains("failed to read missing"));
}

#[test]
fn an_expression_that_cannot_be_read_is_a_failure() {
    let outcome = cronkeep(&["explain", "61 * * * *"]).assert().code(1);
    assert!(stderr(&outcome).contains('^'), "{}", stderr(&outcome));
}

#[test]
fn an_entry_that_is_never_due_says_why() {
    let text = "# cronkeep: enabled=no\n0 2 * * * true\n\
                # cronkeep: until=2020-01-01T00:00:00Z\n0 2 * * * true\n\
                # cronkeep: from=2090-01-01T00:00:00Z jitter=5m\n0 2 * * * true\n\
                # cronkeep: enabled=no\n@reboot true\n\
                @reboot true\n@at 2020-01-01T00:00:00Z true\n@after nothing true\n";
    let folder = folder_with("jobs", text.as_bytes());
    let next = |line: u32| {
        let outcome =
            cronkeep(&["explain", &format!("jobs:{line}")]).current_dir(folder.path()).assert();
        let text = stdout(&outcome);
        text.lines().find_map(|row| row.strip_prefix("next         ")).unwrap_or(&text).to_owned()
    };
    assert_eq!(next(2), "never: it is not enabled");
    assert_eq!(next(4), "never: its until has passed");
    let first = next(6);
    assert!(first.starts_with("2090-01-01T02:00:00+00:00  in "), "{first}");
    assert!(first.ends_with("  up to 5m later"), "{first}");
    assert_eq!(next(8), "never: it is not enabled");
    assert_eq!(next(9), "at the start");
    assert_eq!(next(10), "never: its time has passed");
    assert_eq!(next(11), "never: the entry does not run");
}

#[test]
fn a_line_of_standard_input_is_explained() {
    let outcome = cronkeep(&["explain", "-:1"]).stdin("0 2 * * * true\n").assert().success();
    assert!(stdout(&outcome).contains("command      true"), "{}", stdout(&outcome));
}

#[test]
fn a_whole_line_is_told_how_to_ask() {
    for line in [
        "30 2 * * * /bin/true",
        "30 2 * * * /bin/true -x",
        "30 2 * * * root cd / && ./x a b",
        "@daily /bin/true",
        "@every 90s x",
    ] {
        let outcome = cronkeep(&["explain", line]).assert().code(1);
        let text = stderr(&outcome);
        assert!(text.contains("help: give the schedule alone, or FILE:LINE"), "{text}");
    }
    let outcome = cronkeep(&["explain", "0 0 0 1 1 * 20"]).assert().code(1);
    assert!(stderr(&outcome).contains("E007"), "{}", stderr(&outcome));
}

#[test]
fn a_step_that_is_no_number_gets_help() {
    let outcome = cronkeep(&["explain", "*/x * * * *"]).assert().code(1);
    assert!(stderr(&outcome).contains("help: write the step in digits"), "{}", stderr(&outcome));
}
