use super::*;

fn mask(kind: FieldKind, text: &str) -> Vec<u16> {
    let (field, _) =
        parse(kind, text.as_bytes()).unwrap_or_else(|m| panic!("{text}: {}", m.message));
    (0..64).filter(|bit| field.mask & 1 << bit != 0).collect()
}

fn mistake(kind: FieldKind, text: &str) -> Mistake {
    match parse(kind, text.as_bytes()) {
        Ok((field, _)) => panic!("{text} was read as {field:?}"),
        Err(mistake) => mistake,
    }
}

fn warnings(kind: FieldKind, text: &str) -> Vec<Mistake> {
    parse(kind, text.as_bytes()).unwrap().1
}

#[test]
fn lists_ranges_steps_and_names_add_up() {
    use FieldKind::*;
    assert_eq!(mask(Minute, "*/15"), [0, 15, 30, 45]);
    assert_eq!(mask(Minute, "1,5-9/2,08"), [1, 5, 7, 8, 9]);
    assert_eq!(mask(Hour, "22-23,0"), [0, 22, 23]);
    assert_eq!(mask(Month, "jan-MAR,12"), [1, 2, 3, 12]);
    assert_eq!(mask(DayOfWeek, "mon,3,Fri"), [1, 3, 5]);
    assert_eq!(mask(DayOfWeek, "*/2"), [0, 2, 4, 6]);
    assert_eq!(mask(DayOfMonth, "*,5").len(), 31);
}

#[test]
fn the_star_bit_is_the_first_character() {
    let star = |text: &str| parse(FieldKind::DayOfMonth, text.as_bytes()).unwrap().0.star;
    for text in ["*", "*/2", "*,10", "?"] {
        assert!(star(text), "{text}");
    }
    for text in ["10,*", "1-31", "~", "L"] {
        assert!(!star(text), "{text}");
    }
}

#[test]
fn a_weekday_range_may_wrap() {
    let cases: [(&str, &[u16]); 9] = [
        ("fri-sun", &[0, 5, 6]),
        ("5-7", &[0, 5, 6]),
        ("5-0", &[0, 5, 6]),
        ("sat-mon", &[0, 1, 6]),
        ("6-2/2", &[1, 6]),
        ("7-2", &[0, 1, 2]),
        ("7-0", &[0]),
        ("sun-sun", &[0]),
        ("1-0", &[0, 1, 2, 3, 4, 5, 6]),
    ];
    for (text, expected) in cases {
        assert_eq!(mask(FieldKind::DayOfWeek, text), expected, "{text}");
    }
}

#[test]
fn a_reversed_range_is_a_mistake_wherever_it_stands() {
    let found = mistake(FieldKind::Hour, "1,22-4");
    assert_eq!(found.message, "the range 22-4 is reversed");
    assert_eq!(found.span, 2..6);
    assert_eq!(found.help.as_deref(), Some("write 22-23,0-4 to wrap around"));
    for (kind, text, help) in [
        (FieldKind::Hour, "22-2", "write 22-23,0-2 to wrap around"),
        (FieldKind::Hour, "5-0", "write 5-23,0 to wrap around"),
        (FieldKind::Hour, "23-5", "write 23,0-5 to wrap around"),
        (FieldKind::Minute, "59-0", "write 59,0 to wrap around"),
        (FieldKind::Hour, "21-4/2", "write 21-23/2,1-4/2 to wrap around"),
        (FieldKind::Hour, "20-1/5", "write 20,1 to wrap around"),
        (FieldKind::Hour, "20-1/10", "write 20 to wrap around"),
        (FieldKind::Month, "dec-feb", "write 12,1-2 to wrap around"),
    ] {
        assert_eq!(mistake(kind, text).help.as_deref(), Some(help), "{text}");
        let list = help.trim_start_matches("write ").trim_end_matches(" to wrap around");
        mask(kind, list);
    }
    assert_eq!(mistake(FieldKind::Minute, "5-0").code, Code::E001);
    assert_eq!(mistake(FieldKind::Month, "dec-feb").code, Code::E004);
}

#[test]
fn each_slip_is_named_and_answered() {
    use FieldKind::*;
    let cases = [
        (Hour, "25", "25 is not an hour: it must be 0-23", None),
        (Hour, "24", "24 is not an hour: it must be 0-23", Some("midnight is hour 0")),
        (
            DayOfMonth,
            "0",
            "0 is not a day of the month: it must be 1-31",
            Some("counting starts at 1"),
        ),
        (DayOfWeek, "8", "8 is not a day of the week: it must be 0-7 or sun-sat", None),
        (
            DayOfWeek,
            "Sunday",
            "Sunday is not a day of the week: it must be 0-7 or sun-sat",
            Some("names have three letters: write sun"),
        ),
        (
            Month,
            "sept",
            "sept is not a month: it must be 1-12 or jan-dec",
            Some("names have three letters: write sep"),
        ),
        (
            Minute,
            "5/10",
            "the step in 5/10 has no range",
            Some("write 5-59/10 for every 10 from 5 on"),
        ),
        (Minute, "*/0", "the step must not be 0", Some("leave the step out")),
        (
            Minute,
            "*/10001",
            "the step 10001 is above 10000",
            Some("write a step within the field's range, as in */5"),
        ),
        (
            Minute,
            "*/4294967297",
            "the step 4294967297 is above 10000",
            Some("write a step within the field's range, as in */5"),
        ),
        (
            Minute,
            "*5",
            "*5 is not a minute: it must be 0-59",
            Some("only a step may follow *, as in */5"),
        ),
        (Minute, "+5", "+5 is not a minute: it must be 0-59", Some("numbers have no sign")),
        (Minute, "4294967297", "4294967297 is not a minute: it must be 0-59", None),
        (
            Minute,
            "?",
            "? is not a minute: it must be 0-59",
            Some("? stands in a day field only: write *"),
        ),
        (Year, "26", "26 is not a year: it must be 1970-2099", Some("write all four digits: 2026")),
    ];
    for (kind, text, message, help) in cases {
        let found = mistake(kind, text);
        assert_eq!((found.message.as_str(), found.help.as_deref()), (message, help), "{text}");
        assert_eq!(found.code, kind.code());
    }
}

#[test]
fn the_span_is_the_part_at_fault() {
    assert_eq!(mistake(FieldKind::Minute, "1,2-70,3").span, 4..6);
    assert_eq!(mistake(FieldKind::Minute, "1,,2").span, 1..3);
    assert_eq!(mistake(FieldKind::Minute, "1,").span, 1..2);
    assert_eq!(mistake(FieldKind::Minute, ",1").span, 0..1);
    assert_eq!(mistake(FieldKind::Minute, "*/0").span, 2..3);
    assert_eq!(mistake(FieldKind::DayOfWeek, "1,fri#6").span, 6..7);
}

#[test]
fn garbage_is_refused() {
    use FieldKind::*;
    for (kind, texts) in [
        (
            Minute,
            &[
                "5;x", "1-5-7", "10~20x", "1#2", "1/2/3", "**", "1-", "-1", "", "*/", "*~5", "~~",
                "é",
            ][..],
        ),
        (Minute, &["0W", "L", "jan", "1_0", "0x5", "\u{0}", "/5", "*-5", "1~5~7", "1-5~7"][..]),
        (DayOfMonth, &["0W", "32W", "1-5W", "W", "WL", "L-3", "*/2W", "fri", "5L", "1#1"][..]),
        (DayOfWeek, &["8L", "1#0", "1#6", "8#1", "1W", "L", "1#1/2", "*?", "1#", "#1", "?/2"][..]),
        (Month, &["1#1", "W", "foo", "0", "13", "1L"][..]),
    ] {
        for text in texts {
            mistake(kind, text);
        }
    }
}

#[test]
fn a_number_with_a_hundred_digits_is_too_long() {
    let zeros = |count: usize| format!("{}5", "0".repeat(count - 1));
    assert_eq!(mask(FieldKind::Minute, &zeros(99)), [5]);
    mistake(FieldKind::Minute, &zeros(100));
}

#[test]
fn a_step_above_the_range_keeps_the_first_value_and_warns() {
    for (text, first) in [("*/60", 0), ("10-15/6", 10), ("*/10000", 0)] {
        assert_eq!(mask(FieldKind::Minute, text), [first]);
        assert_eq!(warnings(FieldKind::Minute, text)[0].code, Code::W011, "{text}");
    }
    assert_eq!(mask(FieldKind::DayOfMonth, "1-5/5"), [1]);
    assert!(warnings(FieldKind::Minute, "*/59").iter().all(|doubt| doubt.code == Code::W010));
}

#[test]
fn an_uneven_step_warns_with_the_odd_interval() {
    let found = &warnings(FieldKind::Minute, "1,*/7")[0];
    assert_eq!((found.code, found.span.clone()), (Code::W010, 2..5));
    assert_eq!(found.message, "7 does not divide 60: the last interval of each hour is 4, not 7");
    for text in ["*/15", "*", "0-30/7", "*/1", "*/30"] {
        assert!(warnings(FieldKind::Minute, text).is_empty(), "{text}");
    }
}

#[test]
fn an_uneven_step_of_days_warns_where_week_and_month_end() {
    use FieldKind::*;
    for (kind, text, message) in [
        (DayOfWeek, "*/2", "2 does not divide 7: Saturday and Sunday stand next to each other"),
        (DayOfWeek, "*/3", "3 does not divide 7: Saturday and Sunday stand next to each other"),
        (DayOfWeek, "0-7/5", "5 does not divide 7: the last interval of each week is 2, not 5"),
        (
            DayOfMonth,
            "*/2",
            "months have 28 to 31 days: the 31st and the 1st stand next to each other",
        ),
        (
            DayOfMonth,
            "*/4",
            "months have 28 to 31 days: the last interval of each month is not always 4",
        ),
    ] {
        let found = warnings(kind, text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!((found[0].code, found[0].message.as_str()), (Code::W010, message));
        let help = found[0].help.as_ref().unwrap();
        assert!(help.contains(if kind == DayOfWeek { "each week;" } else { "each month;" }));
    }
    assert_eq!(warnings(DayOfWeek, "*/7")[0].code, Code::W011);
    for (kind, text) in [(DayOfWeek, "1-5/2"), (DayOfWeek, "*/1"), (DayOfMonth, "1-15/2")] {
        assert!(warnings(kind, text).is_empty(), "{text}");
    }
}

#[test]
fn special_days_are_kept_apart_from_the_mask() {
    let (field, _) = parse(FieldKind::DayOfMonth, b"l,15W,3").unwrap();
    let special = field.special.unwrap();
    assert_eq!((field.mask, special.last_day, special.nearest_workday), (1 << 3, true, 1 << 15));
    let (field, _) = parse(FieldKind::DayOfWeek, b"friL,7#2,sat#5").unwrap();
    let special = field.special.unwrap();
    assert_eq!(special.nth, [1 << 2, 0, 0, 0, 0, 1, 1 << 5]);
    assert_eq!(field.mask, 0);
}

#[test]
fn a_tilde_keeps_its_bounds() {
    let draw = |kind, text: &str| {
        let (field, _) = parse(kind, text.as_bytes()).unwrap();
        (field.draws[0].low, field.draws[0].high, field.draws[0].step)
    };
    assert_eq!(draw(FieldKind::Minute, "~"), (0, 59, None));
    assert_eq!(draw(FieldKind::Minute, "10~"), (10, 59, None));
    assert_eq!(draw(FieldKind::Minute, "~10"), (0, 10, None));
    assert_eq!(draw(FieldKind::Month, "jan~mar"), (1, 3, None));
    assert_eq!(draw(FieldKind::Minute, "~/15"), (0, 59, Some(15)));
    assert_eq!(draw(FieldKind::Minute, "5~30/10"), (5, 30, Some(10)));
    assert_eq!(draw(FieldKind::DayOfWeek, "~"), (0, 6, None));
    assert_eq!(mask(FieldKind::Minute, "29~29"), [29]);
    assert_eq!(mistake(FieldKind::Minute, "20~10").help.as_deref(), Some("write 10~20"));
    mistake(FieldKind::Hour, "~24");
}

#[test]
fn years_are_a_set_of_their_own() {
    let (field, _) = parse(FieldKind::Year, b"2030,2040-2046/3,*/100").unwrap();
    let years: Vec<i16> = field.years.unwrap().iter().collect();
    assert_eq!(years, [1970, 2030, 2040, 2043, 2046, 2070]);
    assert_eq!(mistake(FieldKind::Year, "2100").code, Code::E007);
}

#[test]
fn text_is_quoted_as_it_stands_but_for_control_characters_and_bad_bytes() {
    assert_eq!(quote("A='x\"\\ 日é".as_bytes()), "A='x\"\\ 日é");
    assert_eq!(quote(b"a\t\x1b[31m\x7f\xff\xc3"), "a\\t\\u{1b}[31m\\u{7f}\\xff\\xc3");
    assert_eq!(quote("\u{85}".as_bytes()), "\\u{85}");
    assert_eq!(quote("日".repeat(41).as_bytes()), format!("{}…", "日".repeat(40)));
    assert_eq!(quote(&[0xff; 41]), format!("{}…", "\\xff".repeat(40)));
}

#[test]
fn long_and_odd_text_is_quoted_short_and_plain() {
    let found = mistake(FieldKind::Minute, &format!("a\u{7}{}", "b".repeat(99)));
    assert!(found.message.starts_with("a\\u{7}bbbb"), "{}", found.message);
    assert!(found.message.contains('…') && found.message.len() < 100, "{}", found.message);
}
