//! What is special about one fire: a clock change beside it.

use jiff::tz::AmbiguousOffset;

use super::stamp::civil_text;
use crate::schedule::{Due, Schedule, Zone};

/// Why a fire is not at the time that its entry names, or is one of two at that time; `None` where neither.
#[must_use]
pub(in crate::command) fn note(due: Due, schedule: &Schedule, zone: &Zone) -> Option<String> {
    if !matches!(schedule, Schedule::Calendar(_) | Schedule::Extended(_)) {
        return None;
    }
    let seconds = matches!(schedule, Schedule::Extended(_));
    let civil = || civil_text(due.civil, seconds).replace('T', " ");
    match zone.rules().to_ambiguous_timestamp(due.civil).offset() {
        AmbiguousOffset::Unambiguous { .. } => {
            let local = zone.rules().to_datetime(due.at);
            // A made-up minute may stand for a time that another change of the clock has moved.
            (local != due.civil).then(|| format!("made up for {}", civil()))
        }
        AmbiguousOffset::Gap { .. } => Some(format!("made up for {}, which is skipped", civil())),
        AmbiguousOffset::Fold { before, .. } => {
            let first = zone.rules().to_offset(due.at) == before;
            let which = if first { "first" } else { "second" };
            Some(format!("{which} of two times {}", civil()))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::crontab::{Compat, FieldCount, expression};

    fn note_of(at: &str, civil: &str) -> Option<String> {
        let zone = Zone::from_rules("Europe/Berlin", TimeZone::get("Europe/Berlin").unwrap());
        let expression =
            expression::parse(b"30 2 * * *", FieldCount::Auto, Compat::Cronkeep).unwrap();
        let due = Due { at: at.parse().unwrap(), civil: civil.parse().unwrap() };
        note(due, &expression.when.resolve(0), &zone)
    }

    #[test]
    fn an_ordinary_fire_has_no_note() {
        assert_eq!(note_of("2026-05-01T02:30:00+02:00", "2026-05-01T02:30"), None);
    }

    #[test]
    fn a_skipped_time_is_made_up_for() {
        assert_eq!(
            note_of("2026-03-29T03:00:00+02:00", "2026-03-29T02:30").unwrap(),
            "made up for 2026-03-29 02:30, which is skipped"
        );
    }

    #[test]
    fn a_repeated_time_says_which_of_the_two_it_is() {
        assert_eq!(
            note_of("2026-10-25T02:30:00+02:00", "2026-10-25T02:30").unwrap(),
            "first of two times 2026-10-25 02:30"
        );
        assert_eq!(
            note_of("2026-10-25T02:30:00+01:00", "2026-10-25T02:30").unwrap(),
            "second of two times 2026-10-25 02:30"
        );
    }
}
