//! A schedule in English.

mod remark;
mod wording;

pub use remark::remarks;

use super::days::{ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK};
use super::{At, Calendar, Days, Ending, Every, ExtendedFields, Schedule, SpecialDays};
use wording::{MONTHS, ORDINALS, WEEK, bits, joined, ordinal, runs};

/// Says in words when a schedule is due: `at 02:30 on the 1st and on every Monday`.
///
/// The sentence has no capital and no full stop.
#[must_use]
pub fn describe(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Calendar(calendar) => {
            let Calendar { minutes, hours, months, days, .. } = calendar;
            format!("{}{}", time(*minutes, *hours), date(days, *months))
        }
        Schedule::Extended(extended) => extended_words(extended.fields()),
        Schedule::Every(Every { seconds }) => every(*seconds),
        Schedule::At(At::Instant(at)) => {
            format!("once, on {}", at.strftime("%-d %B %Y at %H:%M:%S UTC"))
        }
        Schedule::At(At::Civil(civil)) => {
            format!("once, on {}", civil.strftime("%-d %B %Y at %H:%M:%S"))
        }
        Schedule::Reboot => "once at each start of the container or boot of the host".to_owned(),
        Schedule::After(after) => {
            let run = match after.ending {
                Ending::Success => "successful run",
                Ending::Failure => "failed run",
                Ending::Any => "run",
            };
            format!("after each {run} of {}", after.name)
        }
    }
}

fn extended_words(fields: &ExtendedFields) -> String {
    let seconds = bits(fields.seconds, 0..60);
    let times = listed_times(&seconds, fields.minutes, fields.hours);
    let time = match (times, every_nth(&seconds, 60)) {
        _ if fields.seconds == 1 => time(fields.minutes, fields.hours),
        (Some(times), _) => times,
        (None, step) => {
            let seconds = match step {
                Some(1) => "every second".to_owned(),
                Some(step) => format!("every {step} seconds"),
                None => format!("at {}", counted("second", &seconds)),
            };
            let always = fields.minutes == EVERY_MINUTE && fields.hours == EVERY_HOUR;
            match (always, step) {
                (true, Some(_)) => seconds,
                (true, None) => format!("{seconds} of every minute"),
                (false, _) => format!("{seconds}, {}", time(fields.minutes, fields.hours)),
            }
        }
    };
    let mut words = time + &date(&fields.days, fields.months);
    if let Some(years) = &fields.years {
        let years: Vec<u32> = years.iter().filter_map(|year| u32::try_from(year).ok()).collect();
        if years.len() < 130 {
            words += " in ";
            words += &joined(&runs(&years, |year| year.to_string()));
        }
    }
    words
}

const EVERY_MINUTE: u64 = (1 << 60) - 1;
const EVERY_HOUR: u32 = (1 << 24) - 1;

/// The time of day: `at 02:30`, `every 5 minutes past hours 9 to 17`.
fn time(minutes: u64, hours: u32) -> String {
    if let Some(times) = listed_times(&[0], minutes, hours) {
        return times;
    }
    let (minute, hour) = (bits(minutes, 0..60), bits(hours.into(), 0..24));
    let of_hours = match (every_nth(&hour, 24), hour.as_slice()) {
        (Some(1), _) => String::new(),
        (Some(step), _) => format!(" past every {} hour", ordinal(step)),
        _ => format!(" past {}", counted("hour", &hour)),
    };
    match (every_nth(&minute, 60), every_nth(&hour, 24), minute.as_slice()) {
        (Some(1), _, _) => format!("every minute{of_hours}"),
        (Some(step), _, _) => format!("every {step} minutes{of_hours}"),
        (None, Some(1), [0]) => "every hour on the hour".to_owned(),
        (None, Some(1), _) => format!("at {} of every hour", counted("minute", &minute)),
        (None, Some(step), [0]) => format!("every {step} hours on the hour"),
        _ => format!("at {}{of_hours}", counted("minute", &minute)),
    }
}

/// The times of day one by one, if they are few.
fn listed_times(seconds: &[u32], minutes: u64, hours: u32) -> Option<String> {
    const MOST: usize = 6;
    let (minute, hour) = (bits(minutes, 0..60), bits(hours.into(), 0..24));
    let count = seconds.len() * minute.len() * hour.len();
    if count == 0 || count > MOST || hour.len() == 24 {
        return None;
    }
    let mut times = Vec::with_capacity(count);
    for hour in hour {
        for minute in &minute {
            for second in seconds {
                let time = format!("{hour:02}:{minute:02}");
                times.push(if seconds == [0] { time } else { format!("{time}:{second:02}") });
            }
        }
    }
    Some(format!("at {}", joined(&times)))
}

/// `n` if the values are 0, n, 2n … up to the end, n divides the end, and there are more than two.
fn every_nth(values: &[u32], end: u32) -> Option<u32> {
    let step = end / u32::try_from(values.len()).ok().filter(|&count| count > 2)?;
    let even = end.is_multiple_of(step)
        && values.iter().zip(0..).all(|(&value, index)| value == index * step);
    even.then_some(step)
}

/// `minutes 5 and 35`, `hour 9`, `hours 9 to 17`.
fn counted(noun: &str, values: &[u32]) -> String {
    let plural = if values.len() == 1 { "" } else { "s" };
    format!("{noun}{plural} {}", joined(&runs(values, |value| value.to_string())))
}

/// The date: ` on the 13th of the month and on every Friday (either one suffices)`, ` in March`, or nothing.
fn date(days: &Days, months: u16) -> String {
    let none = SpecialDays::default();
    let special = days.special.as_deref().unwrap_or(&none);
    let whole_month = days.dom & ALL_DAYS_OF_MONTH == ALL_DAYS_OF_MONTH;
    let whole_week = days.dow & ALL_DAYS_OF_WEEK == ALL_DAYS_OF_WEEK;
    let month = bits(months.into(), 1..13);
    let names = joined(&runs(&month, |month| name(&MONTHS, month)));
    let every_month = month.len() == 12;
    let in_months = if every_month { String::new() } else { format!(" in {names}") };
    let either = !days.is_and() && (whole_month || whole_week);
    match (whole_month || either, whole_week || either) {
        (true, true) => in_months,
        (false, true) => {
            if !special.in_month() && month.len() == 1 {
                return format!(" on {} of {names}", numbered_days(days.dom));
            }
            format!(" on {}{in_months}", month_days(days.dom, special))
        }
        (true, false) => format!(" on {}{in_months}", week_days(days.dow, special)),
        (false, false) if days.is_and() => format!(
            " on {}, if that is {}{}",
            month_days(days.dom, special),
            week_days(days.dow, special),
            if every_month { String::new() } else { format!(",{in_months}") }
        ),
        (false, false) => {
            let each = if special.in_week() { "" } else { "every " };
            format!(
                " on {} and on {each}{} (either one suffices){}",
                month_days(days.dom, special),
                week_days(days.dow, special),
                if every_month { String::new() } else { format!(",{in_months}") }
            )
        }
    }
}

/// `the 1st and 15th`, `every 2nd day from the 1st to the 31st`.
fn numbered_days(dom: u32) -> String {
    let days = bits(dom.into(), 1..32);
    if let [first, second, .., last] = days[..] {
        let step = second - first;
        if days.len() > 3 && step > 1 && days.windows(2).all(|pair| pair[1] - pair[0] == step) {
            let (step, first, last) = (ordinal(step), ordinal(first), ordinal(last));
            return format!("every {step} day from the {first} to the {last}");
        }
    }
    format!("the {}", joined(&runs(&days, ordinal)))
}

fn month_days(dom: u32, special: &SpecialDays) -> String {
    let mut parts = Vec::new();
    if dom & ALL_DAYS_OF_MONTH != 0 {
        parts.push(numbered_days(dom));
    }
    for day in bits(special.nearest_workday.into(), 1..32) {
        parts.push(format!("the weekday nearest to the {}", ordinal(day)));
    }
    if special.last_workday {
        parts.push("the last weekday (Monday to Friday)".to_owned());
    }
    if special.last_day {
        parts.push("the last day".to_owned());
    }
    format!("{} of the month", joined(&parts))
}

fn week_days(dow: u8, special: &SpecialDays) -> String {
    // The week begins on Monday, so that 5-7 reads as Friday to Sunday.
    let from_monday = u64::from(dow >> 1 & 0x3f) | u64::from(dow & 1) << 6;
    let days = bits(from_monday, 0..7);
    let mut parts = runs(&days, |day| name(&WEEK, (day + 1) % 7 + 1));
    let mut of_month = false;
    for (day, &places) in (1..).zip(&special.nth) {
        for place in 1..=5usize {
            if places & 1 << place != 0 {
                parts.push(format!("the {} {}", ORDINALS[place - 1], name(&WEEK, day)));
                of_month = true;
            }
        }
        if places & 1 != 0 {
            parts.push(format!("the last {}", name(&WEEK, day)));
            of_month = true;
        }
    }
    joined(&parts) + if of_month { " of the month" } else { "" }
}

fn name(names: &[&str], number: u32) -> String {
    let index = usize::try_from(number).unwrap_or(0).saturating_sub(1);
    (*names.get(index).unwrap_or(&"?")).to_owned()
}

/// `every 1 hour 30 minutes`, `every 5 minutes`, `every hour`.
fn every(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in UNITS {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            parts.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    match parts.as_slice() {
        [one] if one.starts_with("1 ") => format!("every {}", &one[2..]),
        _ => format!("every {}", parts.join(" ")),
    }
}

#[cfg(test)]
mod tests;
