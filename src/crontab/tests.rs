//! Whole files: what holds from one line to the next, faults and where they stand, limits.
mod any;
mod code;
mod comment;
mod count;
mod hostile;
mod setting;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::schedule::Schedule;

fn read(bytes: impl AsRef<[u8]>, dialect: Dialect) -> Crontab {
    parse(&Source { name: "t".into(), bytes: bytes.as_ref().to_vec(), dialect })
}

fn user(text: impl AsRef<[u8]>) -> Crontab {
    read(text, Dialect::user("alice"))
}

fn system(text: impl AsRef<[u8]>) -> Crontab {
    read(text, Dialect::system())
}

fn spool(text: impl AsRef<[u8]>) -> Crontab {
    read(text, Dialect::spool("alice"))
}

fn codes(crontab: &Crontab) -> Vec<String> {
    crontab.faults.iter().map(|fault| fault.code.to_string()).collect()
}

/// The only entry.
fn entry(crontab: &Crontab) -> &Entry {
    let mut entries = crontab.entries();
    let entry = entries.next().expect("an entry");
    assert!(entries.next().is_none());
    entry
}

/// Code, line, column and end of each fault.
fn places(crontab: &Crontab) -> Vec<(String, u32, u32, u32)> {
    crontab
        .faults
        .iter()
        .map(|fault| (fault.code.to_string(), fault.line, fault.column, fault.end_column))
        .collect()
}

#[test]
fn faults_stand_in_file_order_and_point_at_the_item() {
    let crontab = user("A=\u{e9} b\n61 5,\u{e9} * * * x\n* * 32 * * x\n");
    assert_eq!(
        places(&crontab),
        [("E001".into(), 2, 1, 3), ("E002".into(), 2, 6, 7), ("E003".into(), 3, 5, 7),]
    );
}

#[test]
fn what_is_missing_is_pointed_at_behind_the_line() {
    assert_eq!(places(&user("5 4\n")), [("E003".into(), 1, 4, 4)]);
    assert_eq!(places(&user("5 4 * * *\n")), [("E011".into(), 1, 10, 10)]);
}

#[test]
fn a_line_of_prose_is_one_fault() {
    assert_eq!(codes(&user("this is not a crontab line\n")).len(), 1);
    assert_eq!(codes(&user("bad\n")), ["E001"]);
    assert_eq!(codes(&user("  61  \n")), ["E001"]);
    assert_eq!(
        codes(&user("61 5\n")),
        ["E001", "E003"],
        "one that is missing behind one that is right"
    );
    assert_eq!(codes(&user("export A=b\n")), ["E014"]);
    assert_eq!(codes(&user("A='it''s'\n")), ["E014"]);
}

#[test]
fn columns_are_right_behind_a_byte_order_mark_and_before_a_carriage_return() {
    let crontab = user("\u{feff}61 * * * * x\r\n* * * * *\r\n");
    assert_eq!(
        places(&crontab),
        [
            ("E001".into(), 1, 1, 3),
            ("W014".into(), 1, 1, 1),
            ("W013".into(), 1, 13, 13),
            ("E011".into(), 2, 10, 10),
        ]
    );
    let crontab = user("\u{feff}SHELL=/bin/bash\r\n* * * * * x\r\n\r\n");
    assert_eq!(codes(&crontab), ["W014", "W013"]);
    assert_eq!(entry(&crontab).settings.get("SHELL"), Some(&"/bin/bash".into()));
    assert_eq!(entry(&crontab).command, "x".into());
    assert!(matches!(crontab.lines[2].kind, LineKind::Blank));
}

#[test]
fn bytes_that_are_not_utf8_pass_unchanged_and_are_told_once() {
    let crontab = user(b"# \xfc\n* * * * * echo \xe9\xe8\n* * * * * x\xe9\n");
    assert_eq!(places(&crontab), [("W012".into(), 1, 3, 4)]);
    let commands: Vec<_> = crontab.entries().map(|entry| entry.command.as_bytes()).collect();
    assert_eq!(commands, [&b"echo \xe9\xe8"[..], b"x\xe9"]);
}

#[test]
fn a_nul_byte_is_an_error_of_its_line_only() {
    let crontab = user("* * * * * a\0b\n\0\n* * * * * c\n# \0\n");
    assert_eq!(codes(&crontab), ["E015", "E015"]);
    assert_eq!(entry(&crontab).command, "c".into());
}

#[test]
fn the_last_line_runs_without_its_end() {
    let crontab = user("A=1\n* * * * * x");
    assert_eq!(places(&crontab), [("W015".into(), 2, 12, 12)]);
    assert_eq!(entry(&crontab).command, "x".into());
    assert!(codes(&user("* * * * * x\n  ")).is_empty());
}

#[test]
fn marks_stand_before_the_minute_and_before_the_command() {
    let crontab = system("-*/5 * * * * root -ns x -n\n");
    let flags = entry(&crontab).flags;
    assert_eq!(flags, Flags { dont_log: true, mail_when_err: true, single_job: true });
    assert_eq!(entry(&crontab).command, "x -n".into());
    assert_eq!(entry(&crontab).schedule_text, "*/5 * * * *".into());
    assert_eq!(codes(&user("* * * * * -n -n x\n")), ["E012"]);
    assert_eq!(codes(&user("* * * * * -nn x\n")), ["E012"]);
    assert_eq!(codes(&user("* * * * * -n\n")), ["E011"]);
    assert_eq!(places(&user("@daily *x\n")), [("E011".into(), 1, 8, 10)]);
    assert!(entry(&read("-@daily x\n", Dialect::user("root"))).flags.dont_log);
}

#[test]
fn spans_cut_the_schedule_and_the_command_out_of_the_file() {
    let text = "\u{feff}A=1\r\n  */5\t* * *  *   root  -n  run it \r\n@every 90s root tick\n";
    let crontab = system(text);
    let cut: Vec<_> = crontab
        .entries()
        .map(|entry| (&text[entry.schedule_span.clone()], &text[entry.command_span.clone()]))
        .collect();
    assert_eq!(cut, [("*/5\t* * *  *", "run it "), ("@every 90s", "tick")]);
    let texts: Vec<_> = crontab.entries().map(|entry| entry.schedule_text.to_string()).collect();
    assert_eq!(texts, ["*/5 * * * *", "@every 90s"]);
}

#[test]
fn warnings_are_not_raised_by_good_lines() {
    let lines = [
        "0 0 1-31 * * x",
        "0 0 * * 1-5 x",
        "*/15 * * * * mail -s hi root%body",
        "0 0 * * * cat%one%two",
        "0 0 * * * printf '\\%s' x",
        "@reboot x",
        "~ ~ * * * x",
        "0 0 30 1,2 * x",
        "0 0 31 * 1 x",
        "0 0 L * * x",
        "0 0 * * 5L x",
        "0 0 29 2 * sync",
        "0 0 * * * root",
    ];
    for line in lines {
        let found = codes(&user(format!("{line}\n")));
        let expected: &[&str] = if line.starts_with("0 0 31 * 1") { &["W009"] } else { &[] };
        assert_eq!(found, expected, "{line}");
    }
    for line in [
        "0 0 * * * sync x",
        "0 0 * * * www-data php -f x",
        "0 0 * * * mail x",
        "0 0 * * * root cd / && x",
    ] {
        assert!(codes(&system(format!("{line}\n"))).is_empty(), "{line}");
    }
}

#[test]
fn both_day_fields_are_named_as_they_are_written() {
    let message = |line: &str| user(line).faults[0].message.clone();
    assert_eq!(
        message("0 0 13 * 5 x\n"),
        "this runs when the day of the month is 13, and also when the day of the week is 5"
    );
    assert_eq!(
        message("0 0 15W,L * 1L x\n"),
        "this runs when the day of the month is 15W,L, and also when the day of the week is 1L"
    );
}

#[test]
fn one_bad_line_rejects_a_file_only_if_strict() {
    let text = "61 * * * * x\n0 0 * * * y\n";
    assert!(user(text).accepted);
    assert!(!read(text, Dialect { strict: true, ..Dialect::user("a") }).accepted);
    assert!(read("*/7 * * * * x\n", Dialect { strict: true, ..Dialect::user("a") }).accepted);
}

#[test]
fn a_spool_table_has_limits_and_others_have_none() {
    let entries = "0 0 * * * x\n".repeat(10_001);
    assert!(!spool(&entries).accepted);
    assert!(user(&entries).accepted);
    assert!(spool(&entries[12..]).accepted);
    let settings = "A=1\n".repeat(1_001);
    assert!(!spool(&settings).accepted);
    assert!(system(&settings).accepted);
    let commentary = format!("{}0 0 * * * x\n", "# c\n".repeat(1 << 18));
    assert!(commentary.len() > 1 << 20);
    assert!(spool(&commentary).accepted);
    assert_eq!(spool(&commentary).entries().count(), 1);
}

#[test]
fn a_command_is_run_in_full_or_not_at_all() {
    let command = "x".repeat(131_071);
    let crontab = user(format!("* * * * * {command}\n"));
    assert_eq!(entry(&crontab).command.as_bytes().len(), 131_071);
    let crontab = user(format!("* * * * * {command}y\n"));
    assert_eq!(codes(&crontab), ["E016"]);
    assert_eq!(crontab.entries().count(), 0);
}

#[test]
fn a_hundred_thousand_entries_share_what_they_have_in_common() {
    let line = |n: usize| format!("{} {} * * * root job {n}\n", n % 60, n / 60 % 24);
    let text = (0..100_000).map(line).collect::<Vec<_>>().concat();
    let crontab = system(&text);
    assert!(crontab.faults.is_empty());
    assert_eq!(crontab.entries().count(), 100_000);
    let mut entries = crontab.entries();
    let first = entries.next().unwrap();
    let same = entries.find(|entry| entry.schedule_text == first.schedule_text).unwrap();
    let at = |text: &Text| text.as_bytes().as_ptr();
    assert_eq!(at(&first.user), at(&same.user));
    assert_eq!(at(&first.schedule_text), at(&same.schedule_text));
    assert!(Arc::ptr_eq(&first.settings, &same.settings));
    assert!(Arc::ptr_eq(&first.options, &same.options));
}

#[test]
fn a_field_has_a_few_warnings_at_most() {
    let text = format!("{} * * * * x\n", ["*/7"; 500].join(","));
    assert_eq!(codes(&user(&text)), ["W010"; 10]);
}
