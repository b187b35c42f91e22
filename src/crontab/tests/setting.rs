//! What settings do to the entries below them.
use super::*;

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
