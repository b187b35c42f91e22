//! What a defect of ours must not cost.

use std::collections::BTreeSet;

use crate::harness::Crond;

#[test]
fn a_panic_of_the_scheduler_loses_and_doubles_no_fire() {
    let mut crond = Crond::new()
        .env("CRONKEEP_TEST_FAULT", "scheduler-panic-after-2")
        .crontab("* * * * * * echo $CRONKEEP_SCHEDULED_AT >> {dir}/log\n")
        .start();
    let restarted = crond.expect("scheduler.restarted");
    assert!(restarted["panic"].as_str().unwrap().contains("a test asked for this"));
    let log = crond.expect_file("log", |text| text.lines().count() >= 6);
    let raw: Vec<_> = crond.seen().into_iter().filter(|event| event["event"] == "").collect();
    assert!(raw.is_empty(), "no record of the log: {raw:?}");
    let seconds: Vec<i64> =
        log.lines().map(|line| line.parse::<jiff::Timestamp>().unwrap().as_second()).collect();
    let distinct: BTreeSet<i64> = seconds.iter().copied().collect();
    assert_eq!(distinct.len(), seconds.len(), "an instant ran twice");
    let (first, last) = (distinct.first().unwrap(), distinct.last().unwrap());
    assert_eq!(distinct.len(), usize::try_from(last - first + 1).unwrap(), "an instant was lost");
    crond.stop();
}
