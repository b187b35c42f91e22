use std::time::Duration;

use super::*;
use crate::schedule::{After, At, Ending, Every};

fn read(text: &str) -> Result<Expression, Mistake> {
    parse(text.as_bytes(), FieldCount::Auto, Compat::Cronkeep)
}

fn schedule(text: &str) -> Schedule {
    match read(text).unwrap_or_else(|m| panic!("{text}: {}", m.message)).when {
        When::Fixed(schedule) => schedule,
        When::Drawn(_) => panic!("{text} draws"),
    }
}

fn calendar(text: &str) -> Calendar {
    match schedule(text) {
        Schedule::Calendar(calendar) => calendar,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nicknames_have_cronies_star_bits() {
    let bits = |text: &str| {
        let Calendar { minute_star, hour_star, days, .. } = calendar(text);
        (minute_star, hour_star, days.dom_star, days.dow_star)
    };
    assert_eq!(bits("@hourly"), (false, true, false, false));
    assert_eq!(bits("@daily"), (false, false, false, false));
    assert_eq!(bits("@weekly"), (false, false, true, false));
    assert_eq!(bits("@monthly"), (false, false, false, true));
    assert_eq!(bits("@yearly"), (false, false, false, true));
    assert_eq!(schedule("@midnight"), schedule("@daily"));
    assert_eq!(schedule("@annually"), schedule("@yearly"));
}

#[test]
fn blanks_between_fields_do_not_count() {
    let expression = read(" 0\t 5  * *   1-5 ").unwrap();
    assert_eq!(expression.text, "0 5 * * 1-5");
    assert_eq!(expression.when, read("0 5 * * 1-5").unwrap().when);
}

#[test]
fn six_fields_have_seconds_first_and_for_supercronic_the_year_last() {
    let extended = |compat| match parse(b"30 0 5 1 1 2030", FieldCount::Auto, compat) {
        Ok(Expression { when: When::Fixed(Schedule::Extended(extended)), .. }) => Ok(extended),
        Ok(other) => panic!("{other:?}"),
        Err(mistake) => Err(mistake),
    };
    assert_eq!(extended(Compat::Cronkeep).unwrap_err().code, Code::E005);
    let read = extended(Compat::Supercronic).unwrap();
    assert_eq!((read.fields().seconds, read.fields().minutes), (1, 1 << 30));
    assert!(read.fields().years.unwrap().contains(2030));
}

#[test]
fn the_number_of_fields_is_said() {
    let found = read("* * * *").unwrap_err();
    assert_eq!(found.message, "4 fields where five, six or seven are needed");
    let found = parse(b"* * * * * *", FieldCount::Five, Compat::Cronkeep).unwrap_err();
    assert_eq!(found.message, "6 fields where five are needed");
    assert_eq!(read("").unwrap_err().message, "the schedule is empty");
}

#[test]
fn spans_count_from_the_start_of_the_text() {
    assert_eq!(read(" 0 1,25 * * *").unwrap_err().span, 5..7);
    assert_eq!(read("  @dayly").unwrap_err().span, 2..8);
    assert_eq!(read("@every 5x").unwrap_err().span, 7..9);
}

#[test]
fn an_unknown_word_gets_a_suggestion() {
    for (text, help) in [
        ("@Daily", "did you mean @daily?"),
        ("@weekl", "did you mean @weekly?"),
        ("@minutely", "write * * * * *"),
        ("@ daily", "write a word such as @daily, without a blank behind the @"),
    ] {
        let found = read(text).unwrap_err();
        assert_eq!((found.code, found.help.as_deref()), (Code::E010, Some(help)), "{text}");
    }
}

#[test]
fn every_takes_a_duration_of_a_second_or_more() {
    let seconds = |text: &str| match schedule(text) {
        Schedule::Every(Every { seconds }) => seconds,
        other => panic!("{other:?}"),
    };
    assert_eq!(seconds("@every 1h30m10s500ms"), 5410);
    assert_eq!(seconds("@every 2.9s"), 2);
    assert_eq!(seconds("@every 1d"), 86_400);
    assert_eq!(seconds("@every 1w1s"), 604_801);
    for (text, help) in [
        ("@every 90", "write 90s for seconds, 90m for minutes"),
        ("@every 0.5s", "the shortest interval is 1s"),
        ("@every -1h", "the shortest interval is 1s"),
        ("@every 1M", "write 90s, 5m, 1h30m, 2d or 1w"),
        ("@every", "write @every 90s or @every 1h30m"),
        ("@every  1h", "write @every 90s or @every 1h30m"),
    ] {
        assert_eq!(read(text).unwrap_err().help.as_deref(), Some(help), "{text}");
    }
}

#[test]
fn durations_follow_go_with_days_and_weeks() {
    let millis = |text: &str| duration(text.as_bytes()).map(|length| length.as_millis());
    assert_eq!(millis("1.h"), Ok(3_600_000));
    assert_eq!(millis(".5s"), Ok(500));
    assert_eq!(millis("+1ms"), Ok(1));
    assert_eq!(duration("3µs".as_bytes()), Ok(Duration::from_micros(3)));
    for text in ["", "-", "s", ".s", "1hh", "1e3s", "1h 2m", "1h5", "five", "1S"] {
        assert_eq!(millis(text), Err(DurationError::Malformed), "{text}");
    }
    assert_eq!(millis("90"), Err(DurationError::NoUnit));
    assert_eq!(millis("-1s"), Err(DurationError::Negative));
    assert_eq!(millis("99999999999999999999w"), Err(DurationError::TooLong));
    assert_eq!(millis(&"9".repeat(500)), Err(DurationError::NoUnit));
}

#[test]
fn at_takes_a_time_with_or_without_offset() {
    let at = |text: &str| match schedule(text) {
        Schedule::At(at) => at,
        other => panic!("{other:?}"),
    };
    let instant = "2026-12-01T02:00:00Z".parse().unwrap();
    assert_eq!(at("@at 2026-12-01T10:00:00+08:00"), At::Instant(instant));
    assert_eq!(at("@at 2026-12-01t02:00z"), At::Instant(instant));
    let civil = jiff::civil::date(2026, 12, 1).at(10, 0, 0, 0);
    assert_eq!(at("@at 2026-12-01T10:00:00"), At::Civil(civil));
    for text in ["2026-02-30T10:00:00", "10:00", "2026-12-01T10:00:00.5Z", "2026-12-01T24:00:00"] {
        assert_eq!(read(&format!("@at {text}")).unwrap_err().code, Code::E010, "{text}");
    }
    assert!(read("@at 2026-12-01T10:00:00+08:60").is_err());
    assert!(read("@at 2026-12-01T10:00:00Z x").is_err());
}

#[test]
fn after_takes_a_name_and_an_ending() {
    let after = |text: &str| match schedule(text) {
        Schedule::After(After { name, ending }) => (name.to_string(), ending),
        other => panic!("{other:?}"),
    };
    assert_eq!(after("@after dump"), ("dump".to_owned(), Ending::Success));
    assert_eq!(after("@after db.1_x-y:failure"), ("db.1_x-y".to_owned(), Ending::Failure));
    assert_eq!(after("@after dump:any").1, Ending::Any);
    for text in ["@after -x", "@after a:b", "@after :any", "@after é", "@after"] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn the_same_seed_draws_the_same_values() {
    let when = read("~ ~ 1~16 * ~").unwrap().when;
    assert_eq!(when.resolve(7), when.resolve(7));
    let different = (0..50).filter(|&seed| when.resolve(seed) != when.resolve(seed + 1)).count();
    assert!(different > 40, "{different} of 50 neighbours differ");
}

#[test]
fn draws_stay_in_their_bounds_and_reach_them() {
    let minutes = |text: &str| {
        let when = read(text).unwrap().when;
        (0..2_000u64)
            .map(|seed| match when.resolve(seed) {
                Schedule::Calendar(calendar) => calendar.minutes,
                other => panic!("{other:?}"),
            })
            .collect::<Vec<u64>>()
    };
    let drawn = minutes("10~20 * * * *");
    assert!(drawn.iter().all(|mask| mask.is_power_of_two()));
    assert_eq!(drawn.iter().fold(0, |all, mask| all | mask), 0b111_1111_1111 << 10);
    let stepped = minutes("~/15 * * * *");
    assert!(stepped.iter().all(|mask| mask.count_ones() == 4));
    assert_eq!(stepped.iter().fold(0, |all, mask| all | mask), (1 << 60) - 1);
}
