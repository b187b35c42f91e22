//! The pages written by hand say what the code does.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(clippy::disallowed_methods, reason = "a test waits for its programs, as any parent does")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{cronkeep, objects, stdout};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man").join(name);
    fs::read_to_string(path).unwrap()
}

/// The options of crontab(5), each with the values that its heading shows.
fn documented() -> BTreeMap<String, Vec<String>> {
    let page = page("crontab.5");
    let table = page.split(".\\\" begin options\n").nth(1).unwrap();
    let table = table.split(".\\\" end options").next().unwrap();
    let headings = table.lines().filter(|line| line.starts_with("\\fB") && line.contains('='));
    headings
        .map(|line| {
            let plain = ["\\fB", "\\fI", "\\fR"]
                .iter()
                .fold(line.to_owned(), |text, font| text.replace(font, ""));
            let plain = plain.replace("\\-", "-");
            let (name, values) = plain.split_once('=').unwrap();
            (name.to_owned(), values.split('|').map(str::to_owned).collect())
        })
        .collect()
}

/// The options of the code: the table's first column.
fn in_code() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/crontab/directive.rs");
    let text = fs::read_to_string(path).unwrap();
    let kinds = ["plain", "vital", "own", "vital_own"];
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("    \"")?.split_once("\" ")?;
            kinds.contains(&rest.split(' ').next()?).then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names
}

#[test]
fn crontab_5_has_every_option_and_no_other() {
    let names: Vec<String> = documented().into_keys().collect();
    assert_eq!(names, in_code());
    assert!(names.len() > 20);
}

#[test]
fn crontab_5_has_each_setting_of_the_schedule() {
    let page = page("crontab.5");
    for name in ["CRON_TZ", "RANDOM_DELAY", "CRONKEEP_FIELDS"] {
        assert!(page.contains(&format!("\n\\fB{name}\\fR\n")), "{name}");
    }
}

#[test]
fn every_value_that_crontab_5_shows_is_taken() {
    for (name, values) in documented() {
        for value in values {
            let text = format!("# cronkeep: {name}={value}\n@daily true\n");
            let outcome = cronkeep(&["check", "--json", "-"]).stdin(text).assert();
            let faults = &objects(&outcome)[0]["faults"];
            let errors =
                faults.as_array().unwrap().iter().filter(|fault| fault["severity"] == "error");
            assert_eq!(errors.count(), 0, "{name}={value}: {faults}");
        }
    }
}

#[test]
fn crontab_1_has_every_option_of_the_program() {
    let help = stdout(&cronkeep(&["crontab", "--help"]).assert().success());
    let page = page("crontab.1");
    let options: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix('-')?.get(..1))
        .filter(|letter| !["-", "h"].contains(letter))
        .collect();
    assert!(options.len() >= 7, "{options:?}");
    for option in options {
        assert!(page.contains(&format!("\n\\fB\\-{option}\\fR")), "-{option}");
    }
}

#[test]
fn the_examples_of_crontab_5_pass() {
    let page = page("crontab.5");
    let example = page.split(".SH EXAMPLES\n.nf\n").nth(1).unwrap().split(".fi").next().unwrap();
    cronkeep(&["check", "-"]).stdin(example.replace("\\-", "-")).assert().success();
}

#[test]
fn the_pages_are_free_of_mistakes_of_the_formatter() {
    for name in ["crontab.1", "crontab.5", "cronkeep.8"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/man").join(name);
        let output = Command::new("man")
            .args(["--warnings=w", "-Tutf8", "-P", "cat", "-l"])
            .arg(path)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80")
            .stdin(Stdio::null())
            .output()
            .expect("man is installed (package man-db)");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name}");
    }
}
