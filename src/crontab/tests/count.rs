//! How many time fields a line has.
use super::*;

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
fn years_that_no_schedule_reaches_are_a_mistake_and_no_command() {
    for years in ["2100", "1969", "2030-2020", "2099,2100", "2090-2100/2"] {
        let crontab = user(format!("0 0 5 1 1 * {years} x\n"));
        assert_eq!(
            (codes(&crontab), crontab.entries().count()),
            (vec!["E007".into()], 0),
            "{years}"
        );
    }
    for command in ["20301", "2030-x", "2030/", "2030/x", "203"] {
        let crontab = user(format!("0 0 5 1 1 * {command} x\n"));
        let texts: Vec<_> = crontab.entries().map(|entry| entry.command.to_string()).collect();
        assert_eq!(texts, [format!("{command} x")]);
    }
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
