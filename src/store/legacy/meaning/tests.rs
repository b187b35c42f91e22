use super::*;
use crate::crontab::{self, Dialect, Source};
use crate::store::legacy::rows;

fn meanings(line: &str) -> Vec<Meaning> {
    let source =
        Source { name: "-".into(), bytes: line.as_bytes().to_vec(), dialect: Dialect::system() };
    let crontab = crontab::parse(&source);
    let rows = rows(&[(&source, &crontab)]);
    assert_eq!(rows.len(), 1, "{line}");
    Meaning::all(&rows[0].1, crontab.entries().next().unwrap())
}

#[test]
fn a_job_that_means_the_same_has_no_remark() {
    for line in ["* * * * * root x", "*/5 0-6/2 1 jan * root x", "0 0 * * MON-FRI root x 50\\%"] {
        assert_eq!(meanings(line), [], "{line}");
    }
}

#[test]
fn weekdays_in_numbers_are_other_days() {
    for dow in ["0", "7", "1-5", "*/2", "mon-fri/2", "1,wed"] {
        assert_eq!(meanings(&format!("0 0 * * {dow} root x")), [Meaning::Weekday], "{dow}");
    }
}

#[test]
fn two_kinds_of_days_are_either_here_and_both_there() {
    assert_eq!(meanings("0 0 1,15 * mon root x"), [Meaning::BothDays]);
    // A star in front makes cron want both, too (cronie's DOM_STAR).
    assert_eq!(meanings("0 0 */2 * mon root x"), []);
}

#[test]
fn what_the_scheduler_refuses_ends_the_service() {
    for schedule in
        ["0 0 */31 * *", "0 0 1 */12 *", "10-40/31 * * * *", "~ * * * *", "0~30 3 * * *"]
    {
        assert_eq!(meanings(&format!("{schedule} root x")), [Meaning::Refused], "{schedule}");
    }
    assert_eq!(meanings("0 0 * * 1-FRI root x"), [Meaning::Refused, Meaning::Weekday]);
    for schedule in ["*/59 */23 */30 */11 *", "10-40/30 5 * * *", "10-11,3 5 * * *"] {
        assert_eq!(meanings(&format!("{schedule} root x")), [], "{schedule}");
    }
}

#[test]
fn user_and_standard_input_are_left_out_there() {
    assert_eq!(meanings("* * * * * bob cat%input"), [Meaning::User, Meaning::Input]);
}
