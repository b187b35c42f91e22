//! Instants as text, quickly: millions of fires are written in a row.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::schedule::{Due, Schedule, Zone};

/// Writes instants of one zone; remembers the offset in force until the next change.
#[derive(Debug)]
pub(in crate::command) struct Stamper {
    rules: TimeZone,
    offset: Offset,
    since: Timestamp,
    until: Timestamp,
}

impl Stamper {
    /// A writer of instants of `zone`.
    #[must_use]
    pub(in crate::command) fn new(zone: &Zone) -> Self {
        let nothing = Timestamp::UNIX_EPOCH;
        Stamper { rules: zone.rules().clone(), offset: Offset::UTC, since: nothing, until: nothing }
    }

    /// The offset in force at an instant.
    pub(in crate::command) fn offset(&mut self, at: Timestamp) -> Offset {
        if at < self.since || at >= self.until {
            let rules = &self.rules;
            self.offset = rules.to_offset(at);
            self.since = at;
            self.until =
                rules.following(at).next().map_or(Timestamp::MAX, |change| change.timestamp());
        }
        self.offset
    }

    /// Writes `at` in RFC 3339 with the zone's offset; whole seconds unless there is a fraction.
    pub(in crate::command) fn write_instant(
        &mut self,
        at: Timestamp,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let offset = self.offset(at);
        let mut text = Line::default();
        text.civil(offset.to_datetime(at), true);
        text.fraction(at.subsec_nanosecond());
        text.offset(offset);
        out.write_all(text.bytes())
    }

    /// Writes `"<at>","<civil>"`: both texts need no escaping.
    pub(in crate::command) fn write_due(
        &mut self,
        due: Due,
        seconds: bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let offset = self.offset(due.at);
        let mut text = Line::default();
        text.push(b"\"");
        text.civil(offset.to_datetime(due.at), true);
        text.fraction(due.at.subsec_nanosecond());
        text.offset(offset);
        text.push(b"\",\"");
        text.civil(due.civil, seconds);
        text.push(b"\"");
        out.write_all(text.bytes())
    }
}

/// Whether the wall-clock times of a schedule are told with their seconds.
#[must_use]
pub(in crate::command) fn has_seconds(schedule: &Schedule) -> bool {
    !matches!(schedule, Schedule::Calendar(_))
}

/// The wall-clock time as `YYYY-MM-DDTHH:MM[:SS]`.
#[must_use]
pub(in crate::command) fn civil_text(civil: DateTime, seconds: bool) -> String {
    let mut text = Line::default();
    text.civil(civil, seconds);
    String::from_utf8_lossy(text.bytes()).into_owned()
}

/// A short text without heap: a due takes at most 63 bytes.
struct Line {
    bytes: [u8; 96],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Line { bytes: [0; 96], len: 0 }
    }
}

impl Line {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    /// Two digits of a number below 100.
    fn two(&mut self, number: u8) {
        self.push(&[b'0' + number / 10 % 10, b'0' + number % 10]);
    }

    fn civil(&mut self, civil: DateTime, seconds: bool) {
        let year = civil.year().unsigned_abs();
        self.two(u8::try_from(year / 100 % 100).unwrap_or_default());
        self.two(u8::try_from(year % 100).unwrap_or_default());
        self.push(b"-");
        self.two(civil.month().unsigned_abs());
        self.push(b"-");
        self.two(civil.day().unsigned_abs());
        self.push(b"T");
        self.two(civil.hour().unsigned_abs());
        self.push(b":");
        self.two(civil.minute().unsigned_abs());
        if seconds {
            self.push(b":");
            self.two(civil.second().unsigned_abs());
        }
    }

    fn fraction(&mut self, nanoseconds: i32) {
        if nanoseconds != 0 {
            let text = format!(".{:09}", nanoseconds.unsigned_abs());
            self.push(text.trim_end_matches('0').as_bytes());
        }
    }

    /// RFC 3339 knows no seconds in an offset: an old local mean time is rounded to the minute.
    fn offset(&mut self, offset: Offset) {
        let minutes = (offset.seconds().unsigned_abs() + 30) / 60;
        self.push(if offset.seconds() < 0 { b"-" } else { b"+" });
        self.two(u8::try_from(minutes / 60).unwrap_or_default());
        self.push(b":");
        self.two(u8::try_from(minutes % 60).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::from_rules(name, jiff::tz::TimeZone::get(name).unwrap())
    }

    fn instant_text(stamper: &mut Stamper, at: Timestamp) -> String {
        let mut out = Vec::new();
        stamper.write_instant(at, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn utc_is_written_as_an_offset() {
        let utc = Zone::utc();
        let text = instant_text(&mut Stamper::new(&utc), Timestamp::UNIX_EPOCH);
        assert_eq!(text, "1970-01-01T00:00:00+00:00");
    }

    #[test]
    fn the_offset_changes_where_the_zone_changes() {
        let berlin = zone("Europe/Berlin");
        let mut stamper = Stamper::new(&berlin);
        let change: Timestamp = "2026-03-29T01:00:00Z".parse().unwrap();
        let before = change - jiff::SignedDuration::from_secs(1);
        assert_eq!(instant_text(&mut stamper, before), "2026-03-29T01:59:59+01:00");
        assert_eq!(instant_text(&mut stamper, change), "2026-03-29T03:00:00+02:00");
        assert_eq!(instant_text(&mut stamper, before), "2026-03-29T01:59:59+01:00");
    }

    #[test]
    fn a_due_tells_the_skipped_time() {
        let berlin = zone("Europe/Berlin");
        let due = Due {
            at: "2026-03-29T01:00:00Z".parse().unwrap(),
            civil: "2026-03-29T02:30:00".parse().unwrap(),
        };
        let mut out = Vec::new();
        Stamper::new(&berlin).write_due(due, false, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#""2026-03-29T03:00:00+02:00","2026-03-29T02:30""#
        );
    }

    #[test]
    fn a_fraction_is_kept() {
        let utc = Zone::utc();
        let at = Timestamp::from_millisecond(1_500).unwrap();
        assert_eq!(instant_text(&mut Stamper::new(&utc), at), "1970-01-01T00:00:01.5+00:00");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            seconds in proptest::collection::vec(0i64..4_102_444_800, 1..20),
            name in prop_oneof!["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"],
        ) {
            let zone = zone(&name);
            let mut stamper = Stamper::new(&zone);
            for second in seconds {
                let at = Timestamp::from_second(second).unwrap();
                let text = instant_text(&mut stamper, at);
                prop_assert_eq!(text.parse::<Timestamp>().unwrap(), at, "{}", text);
                let offset = zone.rules().to_offset(at);
                prop_assert_eq!(stamper.offset(at), offset);
            }
        }
    }
}
