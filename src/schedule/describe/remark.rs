//! What daylight saving does to a schedule.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan as _};

use super::wording::joined;
use crate::schedule::{At, Due, Schedule, Zone};

/// How many times of one gap or fold are named one by one.
const NAMED: usize = 4;
/// How many are counted, beyond which it is `many`.
const COUNTED: usize = 3600;

/// What the zone's daylight saving does to a schedule in the year after `from`, one sentence each.
///
/// Only changes of the offset that skip or repeat a time of the schedule are mentioned.
#[must_use]
pub fn remarks(schedule: &Schedule, zone: &Zone, from: Timestamp) -> Vec<String> {
    let to = from.saturating_add(24.hours() * 366).unwrap_or(Timestamp::MAX);
    zone.changes(from, to)
        .into_iter()
        .filter_map(|(at, before, after)| remark(schedule, zone, at, (before, after)))
        .collect()
}

fn remark(
    schedule: &Schedule,
    zone: &Zone,
    at: Timestamp,
    (before, after): (Offset, Offset),
) -> Option<String> {
    let (left, entered) = (before.to_datetime(at), after.to_datetime(at));
    let (first, end) = (left.min(entered), left.max(entered));
    let times = between(schedule, first, end);
    let named = name(&times)?;
    let single = times.len() == 1;
    let date = times.first()?.date().strftime("%-d %B %Y");
    let zone_name = zone.name();
    let shift = end.duration_since(first);
    let window = Timestamp::from_second(at.as_second() + shift.as_secs()).unwrap_or(at);
    let just_before = at - 1.second();
    // What stands for a time in question and is due once the clock has changed.
    let late: Vec<Due> = schedule
        .fires(zone, just_before, just_before)
        .take_while(|due| due.at < window)
        .take(COUNTED)
        .filter(|due| due.at >= at && (first..end).contains(&due.civil))
        .collect();
    Some(if after > before {
        let run = match (late.is_empty(), single) {
            (true, true) => "it is skipped".to_owned(),
            (true, false) => "they are skipped".to_owned(),
            (false, true) => format!("it runs at {}", entered.strftime("%H:%M")),
            (false, false) => format!("they run at {}, in order", entered.strftime("%H:%M")),
        };
        let verb = if single { "does" } else { "do" };
        format!("{named} {verb} not exist on {date} in {zone_name}: {run}")
    } else {
        let verb = if single { "happens" } else { "happen" };
        let run = match (late.is_empty(), single) {
            (true, true) => "it runs once, the first time",
            (true, false) => "each runs once, the first time",
            (false, true) => "it runs both times",
            (false, false) => "each runs both times",
        };
        format!("{named} {verb} twice on {date} in {zone_name}: {run}")
    })
}

/// The times of the schedule from `first` on and before `end`, on the wall clock.
fn between(schedule: &Schedule, first: DateTime, end: DateTime) -> Vec<DateTime> {
    if let Schedule::At(At::Civil(civil)) = schedule {
        return Some(*civil).filter(|civil| (first..end).contains(civil)).into_iter().collect();
    }
    let next = |after: DateTime| match schedule {
        Schedule::Calendar(calendar) => calendar.next_after(after),
        Schedule::Extended(extended) => extended.next_after(after),
        _ => None,
    };
    let begin = first.checked_sub(1.second()).unwrap_or(first);
    std::iter::successors(next(begin), |&last| next(last))
        .take_while(|&time| time < end)
        .take(COUNTED)
        .collect()
}

/// The times in words, without their date.
fn name(times: &[DateTime]) -> Option<String> {
    let seconds = times.iter().any(|time| time.second() != 0);
    let show =
        |time: &DateTime| time.strftime(if seconds { "%H:%M:%S" } else { "%H:%M" }).to_string();
    match times {
        [] => None,
        few if few.len() <= NAMED => Some(joined(&few.iter().map(show).collect::<Vec<_>>())),
        [first, .., last] => {
            Some(format!("the {} times from {} to {}", times.len(), show(first), show(last)))
        }
        [_] => None,
    }
}
