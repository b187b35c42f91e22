use super::*;
use crate::schedule::{After, Extended, Years, Zone};

const EVERY_MONTH: u16 = 0x1ffe;

fn days(dom: u32, dow: u8) -> Days {
    Days {
        dom,
        dow,
        dom_star: dom == ALL_DAYS_OF_MONTH,
        dow_star: dow == ALL_DAYS_OF_WEEK,
        special: None,
    }
}

fn any_day() -> Days {
    days(ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK)
}

fn special(change: impl Fn(&mut SpecialDays)) -> SpecialDays {
    let mut special = SpecialDays::default();
    change(&mut special);
    special
}

fn mask(values: &[u32]) -> u64 {
    values.iter().fold(0, |mask, value| mask | 1 << value)
}

fn said(minutes: u64, hours: u32, days: Days, months: u16) -> String {
    let (minute_star, hour_star) = (false, false);
    describe(&Schedule::Calendar(Calendar { minutes, hours, months, days, minute_star, hour_star }))
}

#[test]
fn times_of_day_read_naturally() {
    let office = 0b11_1111_1110_0000_0000;
    let even = 0x0055_5555;
    let cases = [
        (mask(&[30]), 1 << 2, "at 02:30"),
        (mask(&[0, 30]), 1 << 2 | 1 << 14, "at 02:00, 02:30, 14:00 and 14:30"),
        (EVERY_MINUTE, EVERY_HOUR, "every minute"),
        (mask(&[0, 15, 30, 45]), EVERY_HOUR, "every 15 minutes"),
        (mask(&[5, 35]), EVERY_HOUR, "at minutes 5 and 35 of every hour"),
        (mask(&[5]), EVERY_HOUR, "at minute 5 of every hour"),
        (1, EVERY_HOUR, "every hour on the hour"),
        (1, even, "every 2 hours on the hour"),
        (mask(&[7]), even, "at minute 7 past every 2nd hour"),
        (EVERY_MINUTE, office, "every minute past hours 9 to 17"),
        (EVERY_MINUTE, 1 << 9, "every minute past hour 9"),
        (mask(&[0, 7, 14, 21]), office, "at minutes 0, 7, 14 and 21 past hours 9 to 17"),
    ];
    for (minutes, hours, expected) in cases {
        assert_eq!(said(minutes, hours, any_day(), EVERY_MONTH), expected);
    }
}

#[test]
fn dates_read_naturally() {
    let weekdays = 0b011_1110;
    let all = ALL_DAYS_OF_MONTH;
    let week = ALL_DAYS_OF_WEEK;
    let odd = 0xaaaa_aaaa;
    let mut odd_mondays = days(odd, 0b10);
    odd_mondays.dom_star = true;
    let cases = [
        (days(all, weekdays), EVERY_MONTH, "on Monday to Friday"),
        (days(all, 1), EVERY_MONTH, "on Sunday"),
        (days(all, 0b110_0001), EVERY_MONTH, "on Friday to Sunday"),
        (days(all, 0b10_1010), EVERY_MONTH, "on Monday, Wednesday and Friday"),
        (days(1 << 1 | 1 << 15, week), EVERY_MONTH, "on the 1st and 15th of the month"),
        (days(odd, week), EVERY_MONTH, "on every 2nd day from the 1st to the 31st of the month"),
        (days(1 << 1, week), 1 << 1, "on the 1st of January"),
        (days(all, week), 0b1110, "in January to March"),
        (
            days(1 << 13, 0b10_0000),
            EVERY_MONTH,
            "on the 13th of the month and on every Friday (either one suffices)",
        ),
        (
            odd_mondays,
            EVERY_MONTH,
            "on every 2nd day from the 1st to the 31st of the month, if that is Monday",
        ),
        (
            days(1 << 1, 0b10),
            1 << 6,
            "on the 1st of the month and on every Monday (either one suffices), in June",
        ),
    ];
    for (days, months, expected) in cases {
        assert_eq!(said(1, 1, days, months), format!("at 00:00 {expected}"));
    }
    let mut every = days(all, 0b10);
    every.dom_star = false;
    assert_eq!(said(1, 1, every, EVERY_MONTH), "at 00:00", "1-31 or Monday is every day");
}

#[test]
fn special_days_read_naturally() {
    let with = |dom, dow, special| Days { special: Some(Box::new(special)), ..days(dom, dow) };
    let week = ALL_DAYS_OF_WEEK;
    let cases = [
        (with(0, week, special(|s| s.last_day = true)), "on the last day of the month"),
        (
            with(0, week, special(|s| s.last_workday = true)),
            "on the last weekday (Monday to Friday) of the month",
        ),
        (
            with(0, week, special(|s| s.nearest_workday = 1 << 15)),
            "on the weekday nearest to the 15th of the month",
        ),
        (
            with(ALL_DAYS_OF_MONTH, 0, special(|s| s.nth[5] = 0b101)),
            "on the second Friday and the last Friday of the month",
        ),
    ];
    for (days, expected) in cases {
        assert_eq!(said(1, 1, days, EVERY_MONTH), format!("at 00:00 {expected}"));
    }
}

#[test]
fn seconds_and_years_read_naturally() {
    let said = |seconds, minutes, hours, years: &[i16]| {
        let years = (!years.is_empty()).then(|| {
            let mut set = Years::default();
            for &year in years {
                set.insert(year);
            }
            set
        });
        let (days, months, wildcard) = (any_day(), EVERY_MONTH, false);
        let fields = ExtendedFields { seconds, minutes, hours, months, days, years, wildcard };
        describe(&Schedule::Extended(Box::new(Extended::new(fields))))
    };
    assert_eq!(said(EVERY_MINUTE, EVERY_MINUTE, EVERY_HOUR, &[]), "every second");
    assert_eq!(said(mask(&[0, 20, 40]), EVERY_MINUTE, EVERY_HOUR, &[]), "every 20 seconds");
    assert_eq!(said(mask(&[15]), EVERY_MINUTE, EVERY_HOUR, &[]), "at second 15 of every minute");
    assert_eq!(said(mask(&[15]), mask(&[30]), 1 << 2, &[]), "at 02:30:15");
    assert_eq!(said(1, 1, 1, &[2030, 2032]), "at 00:00 in 2030 and 2032");
    assert_eq!(
        said(EVERY_MINUTE, mask(&[5]), EVERY_HOUR, &[]),
        "every second, at minute 5 of every hour"
    );
}

#[test]
fn what_is_not_a_calendar_reads_naturally() {
    let every = |seconds| describe(&Schedule::Every(Every { seconds }));
    assert_eq!(every(90), "every 1 minute 30 seconds");
    assert_eq!(every(3600), "every hour");
    assert_eq!(every(300), "every 5 minutes");
    let civil = jiff::civil::date(2026, 12, 1).at(10, 0, 0, 0);
    assert_eq!(describe(&Schedule::At(At::Civil(civil))), "once, on 1 December 2026 at 10:00:00");
    let instant = "2026-12-01T10:00:00Z".parse().unwrap();
    assert_eq!(
        describe(&Schedule::At(At::Instant(instant))),
        "once, on 1 December 2026 at 10:00:00 UTC"
    );
    let after = |ending| describe(&Schedule::After(After { name: "dump".into(), ending }));
    assert_eq!(after(Ending::Success), "after each successful run of dump");
    assert_eq!(after(Ending::Failure), "after each failed run of dump");
    assert_eq!(after(Ending::Any), "after each run of dump");
    assert!(describe(&Schedule::Reboot).starts_with("once at each start"));
}

#[test]
fn remarks_name_the_times_that_daylight_saving_touches() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let from = "2026-01-01T00:00:00Z".parse().unwrap();
    let remarks = |minutes, hours, hour_star| {
        let (months, days, minute_star) = (EVERY_MONTH, any_day(), false);
        let calendar = Calendar { minutes, hours, months, days, minute_star, hour_star };
        super::remarks(&Schedule::Calendar(calendar), &berlin, from)
    };
    assert_eq!(
        remarks(1 << 30, 1 << 2, false),
        [
            "02:30 does not exist on 29 March 2026 in Europe/Berlin: it runs at 03:00",
            "02:30 happens twice on 25 October 2026 in Europe/Berlin: it runs once, the first time",
        ]
    );
    assert_eq!(
        remarks(mask(&[5, 35]), EVERY_HOUR, true),
        [
            "02:05 and 02:35 do not exist on 29 March 2026 in Europe/Berlin: they are skipped",
            "02:05 and 02:35 happen twice on 25 October 2026 in Europe/Berlin: each runs both times",
        ]
    );
    assert_eq!(
        remarks(EVERY_MINUTE, 1 << 2, false)[0],
        "the 60 times from 02:00 to 02:59 do not exist on 29 March 2026 in Europe/Berlin: they run at 03:00, in order"
    );
    assert!(remarks(1, 1 << 9, false).is_empty());
    let never = Schedule::Reboot;
    assert!(super::remarks(&never, &berlin, from).is_empty());
}

#[test]
fn a_date_that_daylight_saving_skips_is_remarked() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let from = "2026-01-01T00:00:00Z".parse().unwrap();
    let at = Schedule::At(At::Civil(jiff::civil::date(2026, 3, 29).at(2, 30, 0, 0)));
    assert_eq!(
        super::remarks(&at, &berlin, from),
        ["02:30 does not exist on 29 March 2026 in Europe/Berlin: it runs at 03:00"]
    );
}
