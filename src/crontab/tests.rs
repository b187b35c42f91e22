//! Whole files: what holds from one line to the next, faults and where they stand, limits.
mod any;
mod code;
mod hostile;

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
fn settings_hold_for_the_entries_below_and_are_shared() {
    let crontab = user("0 0 * * * a\nA=1\nB=\n1 0 * * * b\n2 0 * * * c\nA=2\n3 0 * * * d\n");
    let entries: Vec<_> = crontab.entries().collect();
    assert!(entries[0].settings.0.is_empty());
    assert!(Arc::ptr_eq(&entries[1].settings, &entries[2].settings));
    assert_eq!(entries[1].settings.get("B"), Some(&"".into()));
    let names: Vec<_> =
        entries[3].settings.0.iter().map(|s| (s.name.to_string(), s.value.to_string())).collect();
    assert_eq!(names, [("A".into(), "2".into()), ("B".into(), String::new())]);
}

#[test]
fn cron_tz_moves_the_entries_below_until_it_is_reset() {
    let text = "0 0 * * * a\nCRON_TZ=Asia/Tokyo\n0 0 * * * b\nCRONKEEP_TZ=CET-1\n0 0 * * * c\n\
                CRON_TZ=\n0 0 * * * d\nCRON_TZ=UTC\nCRON_TZ=Mars/Olympus\n0 0 * * * e\nTZ=UTC\n0 0 * * * f\n";
    let crontab = user(text);
    let zones: Vec<_> = crontab
        .entries()
        .map(|entry| entry.zone.as_ref().map(crate::schedule::Zone::name))
        .collect();
    assert_eq!(zones, [None, Some("Asia/Tokyo"), Some("CET-1"), None, None, None]);
    assert_eq!(places(&crontab), [("E021".into(), 9, 9, 21)]);
    let last = crontab.entries().last().unwrap();
    assert_eq!(last.settings.get("CRON_TZ"), None, "the refused zone is in force nowhere");
    assert_eq!(last.settings.get("TZ"), Some(&"UTC".into()));
}

/// row 50: a bound that is none is warned of and counts as 0.
#[test]
fn random_delay_is_read_as_cronie_reads_it() {
    for (value, delay, warned) in [
        ("10", 10, false),
        ("1440", 1440, false),
        ("5x", 5, true),
        ("-1", 0, true),
        ("", 0, false),
        ("1441", 0, true),
    ] {
        let crontab = user(format!("RANDOM_DELAY={value}\n0 0 * * * x\n"));
        assert_eq!(entry(&crontab).random_delay, delay, "{value:?}");
        assert_eq!(crontab.faults.len(), usize::from(warned), "{value:?}");
        assert!(entry(&crontab).settings.get("RANDOM_DELAY").is_some());
    }
}

#[test]
fn cronkeep_settings_set_options_and_reach_no_job() {
    let text = "CRONKEEP_TIMEOUT=10m\nCRONKEEP_OVERLAP=skip\n0 0 * * * a\nCRONKEEP_TIMEOUT=\n\
                # cronkeep: overlap=queue retries=2\n0 1 * * * b\n0 2 * * * c\n";
    let crontab = user(text);
    assert!(codes(&crontab).is_empty());
    let entries: Vec<_> = crontab.entries().collect();
    assert_eq!(entries[0].options.timeout, Some(Duration::from_secs(600)));
    assert_eq!(entries[0].options.overlap, Some(directive::Overlap::Skip));
    assert!(entries[0].settings.0.is_empty());
    assert_eq!(entries[1].options.timeout, None);
    assert_eq!(entries[1].options.overlap, Some(directive::Overlap::Queue));
    assert_eq!(entries[1].options.retries, Some(2));
    assert_eq!(entries[2].options.overlap, Some(directive::Overlap::Skip));
    assert_eq!(entries[2].options.retries, None);
}

#[test]
fn a_refused_cronkeep_setting_is_as_if_unset() {
    let crontab = user("CRONKEEP_TIMEOUT=10m\nCRONKEEP_TIMEOUT=ten\n0 0 * * * x\n");
    assert_eq!(entry(&crontab).options.timeout, None);
    assert_eq!(places(&crontab), [("E034".into(), 2, 18, 21)]);
}

#[test]
fn only_settings_of_the_table_exist() {
    let help = |text| user(text).faults[0].help.clone().unwrap();
    assert_eq!(help("CRONKEEP_TIMOUT=5m\n"), "did you mean CRONKEEP_TIMEOUT?");
    assert!(help("CRONKEEP_NAME=x\n").contains("# cronkeep: name=VALUE"));
    for text in ["CRONKEEP_FROM=x\n", "CRONKEEP_=x\n", "CRONKEEP_timeout=5m\n"] {
        assert_eq!(codes(&user(text)), ["E033"], "{text}");
    }
    assert_eq!(codes(&user("CRONKEEP_FIELDS=8\n")), ["E034"]);
}

#[test]
fn directives_add_up_over_comments_and_belong_to_one_entry() {
    let text = "# cronkeep: timeout=1m\n# Dump everything\n# cronkeep: retries=3 timeout=2m\n0 0 * * * a\n0 1 * * * b\n";
    let crontab = user(text);
    assert!(codes(&crontab).is_empty());
    let entries: Vec<_> = crontab.entries().collect();
    assert_eq!(entries[0].options.timeout, Some(Duration::from_secs(120)));
    assert_eq!(entries[0].options.retries, Some(3));
    assert_eq!(entries[0].description, Some("Dump everything".into()));
    assert_eq!(*entries[1].options, Options::default());
    assert_eq!(entries[1].description, None);
}

#[test]
fn entries_that_say_the_same_share_their_options() {
    let text = "# cronkeep: retries=1\n0 0 * * * a\n# cronkeep: retries=1\n0 1 * * * b\n0 2 * * * c\n0 3 * * * d\n";
    let crontab = user(text);
    let options: Vec<_> = crontab.entries().map(|entry| &entry.options).collect();
    assert!(Arc::ptr_eq(options[0], options[1]));
    assert!(Arc::ptr_eq(options[2], options[3]));
}

#[test]
fn a_directive_needs_its_entry_directly_below() {
    for below in ["\n0 0 * * * x\n", "A=1\n0 0 * * * x\n", ""] {
        let crontab = user(format!("# cronkeep: retries=1\n{below}"));
        assert_eq!(places(&crontab), [("E032".into(), 1, 1, 22)], "{below:?}");
        assert!(crontab.entries().all(|entry| entry.options.retries.is_none()));
    }
    let broken = user("# cronkeep: retries=1\n0 99 * * * x\n0 0 * * * y\n");
    assert_eq!(codes(&broken), ["E002"], "a broken entry takes its directive with it");
    assert_eq!(entry(&broken).options.retries, None);
}

#[test]
fn an_empty_directive_and_one_that_is_nearly_one_are_told() {
    let crontab = user("# cronkeep:  \n0 0 * * * x\n");
    assert_eq!(places(&crontab), [("W020".into(), 1, 1, 12)]);
    assert_eq!(codes(&user("# cronkeep:\n\n0 0 * * * x\n")), ["W020"], "nothing is lost");
    let crontab = user("0 0 * * * x\n # Cronkeep: name=a\n0 1 * * * y\n");
    assert_eq!(places(&crontab), [("W020".into(), 2, 4, 13)]);
    assert!(crontab.entries().all(|entry| entry.options.name.is_none()));
}

#[test]
fn an_option_given_twice_in_one_directive_has_its_first_value() {
    let crontab = user("# cronkeep: retries=1 retries=2\n0 0 * * * x\n");
    assert_eq!(places(&crontab), [("E031".into(), 1, 23, 30)]);
    assert_eq!(crontab.faults[0].message, "retries is given twice");
    assert_eq!(entry(&crontab).options.retries, Some(1));
    let crontab = user("# cronkeep: enabled=yes enabled=no\n0 0 * * * x\n");
    assert!(matches!(crontab.lines[1].kind, LineKind::Error), "what is vital must be clear");
    let apart = user("# cronkeep: retries=1\n# cronkeep: retries=2\n0 0 * * * x\n");
    assert!(codes(&apart).is_empty());
}

#[test]
fn a_wrong_vital_option_keeps_the_entry_from_running() {
    let crontab = user("# cronkeep: enabled=nope\n0 0 * * * x\n");
    assert_eq!(codes(&crontab), ["E031"]);
    assert!(matches!(crontab.lines[1].kind, LineKind::Error));
    let crontab = user("# cronkeep: retries=nope timeout=5m\n0 0 * * * x\n");
    assert_eq!(codes(&crontab), ["E031"]);
    assert_eq!(entry(&crontab).options.timeout, Some(Duration::from_secs(300)));
}

#[test]
fn a_directives_zone_is_the_entrys() {
    let crontab = user("CRON_TZ=UTC\n# cronkeep: tz=Asia/Tokyo\n0 0 * * * x\n");
    assert_eq!(entry(&crontab).zone.as_ref().map(crate::schedule::Zone::name), Some("Asia/Tokyo"));
}

#[test]
fn a_users_names_are_unique() {
    let text = "# cronkeep: name=a\n0 0 * * * root x\n# cronkeep: name=a\n0 1 * * * bob y\n# cronkeep: name=a\n0 2 * * * root z\n";
    let crontab = system(text);
    assert_eq!(places(&crontab), [("E035".into(), 5, 18, 19)]);
    let names: Vec<_> = crontab.entries().map(|entry| entry.options.name.clone()).collect();
    assert_eq!(names, [Some("a".into()), Some("a".into()), None]);
}

#[test]
fn headings_rules_and_entries_in_comments_describe_nothing() {
    for comment in ["# ----", "#", "# m h dom mon dow command", "# 0 5 * * * old", "#@daily old"] {
        let crontab = user(format!("{comment}\n0 0 * * * x\n"));
        assert_eq!(entry(&crontab).description, None, "{comment}");
    }
    let crontab = user("# one\n\n0 0 * * * x\n");
    assert_eq!(entry(&crontab).description, None);
    assert_eq!(entry(&user("## At 5 ##\n0 0 * * * x\n")).description, Some("At 5".into()));
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
fn six_fields_are_judged_by_what_they_are() {
    let seconds = |text: &str, crontab: &Crontab| {
        let entry = entry(crontab);
        let found = matches!(entry.when.resolve(0), Schedule::Extended(_));
        let said = format!("{} {}", entry.schedule_text, entry.command);
        assert_eq!(said, text.trim_end().replace(" -n x", " x"));
        found
    };
    for (text, expected) in [
        ("0 0 5 * * 1 x\n", true),
        ("0 0 5 * * 1-5 x\n", true),
        ("0 0 5 * * mon-fri x\n", true),
        ("*/10 * * * * * x\n", true),
        ("0 0 5 1 1 * 2030 x\n", true),
        ("0 0 5 1 1 * * x\n", true),
        ("0 0 5 1 1 * 20 x\n", true),
        ("0 5 1 1 1 x y\n", false),
        ("0 5 1 1 0 1 y\n", false),
        ("0 5 31 1 1 1 y\n", false),
        ("5 5 5 5 5 5\n", false),
        // Without a command behind six or seven, it is a command behind five.
        ("30 * * * * 0-1 -n\n", false),
        ("* * 8 1 4 1 -nn x\n", false),
        ("* * 8 1 4 1 -n x\n", true),
        ("0 0 5 1 1 1 2030\n", false),
    ] {
        assert_eq!(seconds(text, &user(text)), expected, "{text:?}");
    }
    let table = system("* * * * * 5 x\n");
    assert_eq!(entry(&table).user, "5".into(), "a user and no command: five fields");
    let table = system("0 13 15 * * 0L * root -n\n");
    assert_eq!(entry(&table).user, "0L".into(), "an option and no command: five fields");
    let table = user("30 * * * * mon -n\n0 0 5 * * 1 x\n");
    assert_eq!(table.entries().count(), 2, "no command behind the weekday: {:?}", table.faults);
    assert!(matches!(entry(&system("* * * * * 5 bob x\n")).when.resolve(0), Schedule::Extended(_)));
}

#[test]
fn the_number_of_fields_can_be_said() {
    let crontab = user(
        "CRONKEEP_FIELDS=5\n0 0 5 * * 1 x\nCRONKEEP_FIELDS=6\n0 0 5 1 1 sun x\nCRONKEEP_FIELDS=7\n0 0 0 1 1 * 2030-2040/2 x\n",
    );
    assert!(!crontab.has_errors(), "{:?}", crontab.faults);
    let texts: Vec<_> = crontab
        .entries()
        .map(|entry| (entry.schedule_text.to_string(), entry.command.to_string()))
        .collect();
    let expected = [("0 0 5 * *", "1 x"), ("0 0 5 1 1 sun", "x"), ("0 0 0 1 1 * 2030-2040/2", "x")];
    assert_eq!(texts, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let supercronic = |text: &str| {
        let dialect = Dialect { compat: Compat::Supercronic, ..Dialect::user("alice") };
        let crontab = read(text, dialect);
        assert!(!codes(&crontab).contains(&"W002".to_owned()));
        entry(&crontab).schedule_text.to_string()
    };
    assert_eq!(supercronic("0 5 1 1 * 2030 x\n"), "0 5 1 1 * 2030");
    assert_eq!(supercronic("0 0 5 1 1 * 2030 x\n"), "0 0 5 1 1 * 2030");
    assert_eq!(supercronic("0 5 1 1 * x\n"), "0 5 1 1 *");
    assert_eq!(supercronic("0 5 1 1 * 5 x\n"), "0 5 1 1 *");
}

#[test]
fn a_reading_with_seconds_is_confirmed_by_its_own_number_of_fields() {
    for (text, message, setting) in [
        ("0 0 0 1 1 * x\n", "0 0 0 1 1 * is read with seconds", "CRONKEEP_FIELDS=6"),
        (
            "0 0 0 1 1 *\t2027  ls\n",
            "0 0 0 1 1 * 2027 is read with seconds and a year",
            "CRONKEEP_FIELDS=7",
        ),
    ] {
        let crontab = user(text);
        assert_eq!(codes(&crontab), ["W002"]);
        assert_eq!(crontab.faults[0].message, message);
        let help = crontab.faults[0].help.as_ref().unwrap();
        assert!(help.starts_with(&format!("write {setting} above to confirm")), "{help}");
        assert!(codes(&user(format!("{setting}\n{text}"))).is_empty());
    }
}

#[test]
fn a_weekday_in_sixth_place_is_judged_by_the_whole_file() {
    let crontab = user("0 5 * 1 1 sun x\n0 6 * 1 1 y\n");
    assert_eq!(places(&crontab), [("W003".into(), 1, 11, 14)]);
    assert_eq!(crontab.entries().count(), 2);
    let crontab = user("0 5 * 1 1 sun x\n*/5 * * * * * y\n");
    assert_eq!(codes(&crontab), ["E022", "W002"]);
    assert!(crontab.faults[0].help.as_ref().unwrap().contains("CRONKEEP_FIELDS"));
    assert_eq!(entry(&crontab).command, "y".into());
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
