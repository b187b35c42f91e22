//! Rows 1 to 25: the five fields and the nicknames.

use crate::scene::{ALWAYS, Expect, FIRST, Life, NEVER, Table, apart, if_so, row};

rows! {
    /// row 1: `*/15` is the minutes 0, 15, 30 and 45.
    row_1_a_step_begins_at_the_least_value: row(|_| {
        vec![Table::spool().entry("*/15 * * * *", FIRST)]
    });

    /// row 2: a step that does not divide the hour begins anew at 0.
    row_2_a_step_begins_anew_each_hour: row(|_| {
        vec![Table::spool().entry("*/7 * * * *", FIRST).entry("3-59/7 * * * *", NEVER)]
    });

    /// row 3: `*/60` is minute 0 only, never every minute.
    row_3_a_step_above_the_range_is_its_first_value: row(|_| {
        vec![Table::spool().entry("*/60 * * * *", FIRST)]
    });

    /// row 4: a range whose step is larger than it is its first value.
    row_4_a_range_with_a_large_step_is_its_first_value: row(|day| {
        vec![
            Table::spool().entry(format!("* * {}-{}/5 * *", day.day() - 1, day.day()), NEVER),
            Table::spool().entry(format!("* * {}-31/40 * *", day.day()), ALWAYS),
        ]
    });

    /// row 5: steps of nothing, zero, below zero and beyond 32 bits are errors.
    row_5_a_step_that_is_no_step_never_runs: row(|_| {
        let steps = ["*/0", "*/", "*/-1", "*/4294967297", "*/99999999999"];
        apart(&steps.map(|step| format!("{step} * * * *")).each_ref().map(String::as_str), &NEVER)
    });

    /// row 6: a number out of the field's range is an error and never runs.
    row_6_a_number_out_of_range_never_runs: row(|_| {
        let lines = ["60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *", "* * * * 8"];
        apart(&lines, &NEVER)
    });

    /// row 7: Sunday is 0, 7, sun and SUN, and a range may end in it.
    row_7_sunday_has_four_names: row(|day| {
        let sunday = if_so(day.weekday() == 0);
        let mut tables = apart(&["* * * * 0", "* * * * 7", "* * * * sun", "* * * * SUN"], &sunday);
        tables.push(Table::spool().entry("* * * * 5-7", if_so([5, 6, 0].contains(&day.weekday()))));
        tables
    });

    /// row 8: a range of weekdays may go around the week's end.
    row_8_a_range_of_weekdays_goes_around_the_week: row(|day| {
        let from_friday = if_so([5, 6, 0].contains(&day.weekday()));
        let mut tables = apart(&["* * * * fri-sun", "* * * * 5-0"], &from_friday);
        let weekend = if_so([6, 0].contains(&day.weekday()));
        tables.push(Table::spool().entry("* * * * sat-sun", weekend));
        tables
    });

    /// row 9: a reversed range that ends in 0 is an error for minutes and hours, not cronie's 0 for 7.
    row_9_a_reversed_range_to_zero_never_runs: row(|_| apart(&["5-0 * * * *", "* 5-0 * * *"], &NEVER));

    /// row 10: a reversed range is an error.
    row_10_a_reversed_range_never_runs: row(|_| apart(&["* 22-2 * * *", "59-1 * * * *", "* * * dec-nov *"], &NEVER));

    /// row 11: a step without a range is an error.
    row_11_a_step_without_a_range_never_runs: row(|_| apart(&["0/10 * * * *"], &NEVER));

    /// row 12: an empty item of a list is an error.
    row_12_an_empty_item_of_a_list_never_runs: row(|_| {
        apart(&["0,,1 * * * *", ",0 * * * *", "0, * * * *", "0, 1 * * * *"], &NEVER)
    });

    /// row 13: names are taken in lists and ranges, in any case, with steps.
    row_13_names_stand_in_lists_and_ranges: row(|day| {
        let (name, third) = (day.weekday_name(0), day.weekday_name(3));
        let number = (day.weekday() + 2) % 7;
        vec![
            Table::spool().entry(format!("* * * * {name},{number},{third}"), ALWAYS),
            Table::spool().entry("* * * jan-dec *", ALWAYS),
            Table::spool().entry("* * * JAN-Dec/1 *", ALWAYS),
            Table::spool().entry("* * * * mon-sat/1,sun", ALWAYS),
        ]
    });

    /// row 14: full names are errors that name the three letters.
    row_14_a_full_name_never_runs: row(|day| {
        vec![Table::spool().entry(format!("* * * * {}", day.full_weekday_name()), NEVER)]
    });

    /// row 15: whatever stands behind a value makes it an error.
    row_15_garbage_behind_a_value_never_runs: row(|_| {
        apart(&["*5 * * * *", "0;x * * * *", "0-1-7 * * * *", "0~1x * * * *", "0#2 * * * *"], &NEVER)
    });

    /// row 16: zeroes in front do not make it octal; a sign is an error.
    row_16_leading_zeroes_are_decimal: row(|day| {
        vec![
            Table::spool().entry("000 * * * *", FIRST),
            Table::spool().entry(format!("* * 0{} * *", day.day()), ALWAYS),
            Table::spool().entry("+0 * * * *", NEVER),
        ]
    });

    /// row 17: `~` is one value of the range, bounds included.
    row_17_a_drawn_value_is_one_of_its_range: row(|_| {
        apart(&["0~1 * * * *", "~1 * * * *"], &Expect::Sum(1))
    });

    /// row 18: a reversed drawn range is an error.
    row_18_a_reversed_drawn_range_never_runs: row(|_| apart(&["1~0 * * * *"], &NEVER));

    /// row 19: where both day fields are set, either suffices.
    row_19_either_day_field_suffices: row(|day| {
        let (this, other) = (day.day(), day.other_day());
        let (weekday, other_weekday) = (day.weekday(), day.other_weekday());
        vec![
            Table::spool()
                .entry(format!("* * {this} * {other_weekday}"), ALWAYS)
                .entry(format!("* * {other} * {weekday}"), ALWAYS)
                .entry(format!("* * {other} * {other_weekday}"), NEVER),
        ]
    });

    /// row 20: where a day field begins with a star, both must match.
    row_20_the_star_bit_makes_the_days_and: row(|day| {
        let (step, weekday) = (day.day(), day.weekday());
        vec![
            Table::spool()
                // Begins at 1: this day is not in it, although the step divides it.
                .entry(format!("* * */{step} * {weekday}"), NEVER)
                .entry(format!("* * */1 * {weekday}"), ALWAYS)
                .entry(format!("* * */1 * {}", day.other_weekday()), NEVER),
        ]
    });

    /// row 21: a full range is no star.
    row_21_a_full_range_is_no_star: row(|day| {
        vec![Table::spool().entry(format!("* * 1-31 * {}", day.other_weekday()), ALWAYS)]
    });

    /// row 22: only the field's first character counts as the star.
    row_22_only_the_first_character_counts_as_star: row(|day| {
        let (other_day, other) = (day.other_day(), day.other_weekday());
        vec![
            Table::spool()
                .entry(format!("* * *,{other_day} * {other}"), NEVER)
                .entry(format!("* * {other_day},* * {other}"), ALWAYS),
        ]
    });

    /// row 24: the nicknames; a week begins on Sunday.
    row_24_nicknames_stand_for_their_fields: row(|day| {
        vec![
            Table::spool()
                .entry("@hourly", FIRST)
                .entry("@daily", FIRST)
                .entry("@midnight", FIRST)
                .entry("@weekly", if day.weekday() == 0 { FIRST } else { NEVER })
                .entry("@monthly", NEVER)
                .entry("@yearly", NEVER)
                .entry("@annually", NEVER),
        ]
    }).in_life(Life::Nicknamed);

    /// row 25: nicknames in capitals, unknown ones, ones torn apart.
    row_25_a_word_that_is_no_nickname_never_runs: row(|_| {
        apart(&["@Daily", "@every_minute", "@ daily"], &NEVER)
    });
}
