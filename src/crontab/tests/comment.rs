//! What comments and directives say of the entry below them.
use super::*;

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
