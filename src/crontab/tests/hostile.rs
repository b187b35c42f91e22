//! Tables written to cost much.
use super::*;

#[test]
fn the_environments_of_an_unlimited_table_are_bounded() {
    let text = (0..4_000).map(|n| format!("A{n}=1\n@daily x\n")).collect::<Vec<_>>().concat();
    let crontab = user(&text);
    assert!(crontab.accepted);
    assert_eq!(crontab.entries().count(), 4_000, "every entry runs");
    assert_eq!(crontab.entries().last().map(|entry| entry.settings.0.len()), Some(1_000));
    assert_eq!(codes(&crontab), vec!["E018"; 3_000]);
    let names = (0..1_000).map(|n| format!("A{n}=1\n")).collect::<Vec<_>>().concat();
    let pair = |n| format!("A0={n}\nCRONKEEP_JITTER=1s\n@daily x\n");
    let text = (0..4_000).map(pair).collect::<Vec<String>>().concat();
    let crontab = user(format!("{names}{text}"));
    let mut environments: Vec<_> =
        crontab.entries().map(|entry| Arc::as_ptr(&entry.settings)).collect();
    environments.dedup();
    assert!((1_900..2_100).contains(&environments.len()), "{}", environments.len());
    assert!(crontab.entries().all(|entry| entry.options.jitter.is_some()));
}

#[test]
fn a_directive_has_a_hundred_faults_at_most_and_is_read_to_its_end() {
    let text = format!("# cronkeep: {}retries=3\n* * * * * x\n", "tx=1 tz=Mars/X ".repeat(15_000));
    let crontab = user(&text);
    assert_eq!(crontab.faults.len(), 100);
    assert!(crontab.entries().next().is_none(), "the zone is vital");
    let text = format!("# cronkeep: {}retries=3\n* * * * * x\n", "tx=1 ".repeat(40_000));
    let crontab = user(&text);
    assert_eq!(crontab.faults.len(), 100);
    assert_eq!(entry(&crontab).options.retries, Some(3));
}

#[test]
fn only_so_many_words_of_a_file_are_searched_for_what_was_meant() {
    for (line, meant) in [
        ("CRON_TZ=Europe/Berln\n", "did you mean Europe/Berlin?"),
        ("CRONKEEP_TZ=Europe/Berln\n", "did you mean Europe/Berlin?"),
        ("CRONKEEP_TIMOUT=1m\n", "did you mean CRONKEEP_TIMEOUT?"),
        ("# cronkeep: tz=Europe/Berln\n", "did you mean Europe/Berlin?; until then"),
        ("# cronkeep: timout=1m\n", "timout: did you mean timeout?"),
    ] {
        let crontab = user(format!("{}@daily x\n", line.repeat(4_000)));
        assert_eq!(crontab.faults.len(), 4_000, "{line}");
        let helps = crontab.faults.iter().filter_map(|fault| fault.help.as_deref());
        assert_eq!(helps.filter(|help| help.starts_with(meant)).count(), 20, "{line}");
    }
}

#[test]
fn settings_above_the_limit_are_not_handed_on() {
    let text = (0..1_100).map(|n| format!("A{n}=1\n@daily x\n")).collect::<Vec<_>>().concat();
    let crontab = read(&text, Dialect::spool("alice"));
    assert!(!crontab.accepted);
    assert_eq!(crontab.entries().last().map(|entry| entry.settings.0.len()), Some(1_000));
}
