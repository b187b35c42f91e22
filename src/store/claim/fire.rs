//! A fire that is claimed, or a run that was started: a line of what is kept of a job, and its text.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::Lease;
use crate::event::RunId;
use crate::store::Mark;

/// What a job has going over all replicas: a line of its list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fire {
    /// Claimed, and neither started nor given up: `c MARK FENCING REPLICA`.
    Claimed {
        /// The fire.
        mark: Mark,
        /// What is to become of it.
        fate: Fate,
        /// Whose it is.
        lease: Lease,
    },
    /// Started, and not ended: `s RUN ATTEMPT REPLICA`. It stays its replica's, whatever becomes of the lease.
    Started {
        /// The run.
        run: RunId,
        /// Which try.
        attempt: u32,
        /// Who started it, or took care of it when that one died.
        replica: String,
    },
}

/// What is to become of a claimed fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is to be started: `c`.
    Start,
    /// It is to be recorded as skipped, for too many runs of the job are going: `f`.
    Full,
    /// It is to be recorded as skipped, for the job is paused: `p`.
    Paused,
    /// It is to be recorded as missed: `l`.
    Late,
}

impl Fate {
    const ALL: [(Fate, &str); 4] =
        [(Fate::Start, "c"), (Fate::Full, "f"), (Fate::Paused, "p"), (Fate::Late, "l")];
}

/// The text is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not in the form that this program writes")]
pub struct BadText;

/// How instants and civil times are written: all of one length, so that their order is that of their texts.
const TIME: &str = "%Y-%m-%dT%H:%M:%S.%9f";

impl fmt::Display for Mark {
    /// Generation, instant in UTC and civil time, of one length for years of four digits: texts sort as marks do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = TimeZone::UTC.to_datetime(self.at);
        let [at, civil] = [at, self.civil].map(|time| strtime::format(TIME, time));
        let [at, civil] = [at.map_err(|_| fmt::Error)?, civil.map_err(|_| fmt::Error)?];
        write!(f, "{:010} {at}Z {civil}", self.generation)
    }
}

impl FromStr for Mark {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(BadText);
        let generation = word()?.parse().map_err(|_| BadText)?;
        let at: Timestamp = word()?.parse().map_err(|_| BadText)?;
        let civil: DateTime = word()?.parse().map_err(|_| BadText)?;
        if words.next().is_some() {
            return Err(BadText);
        }
        Ok(Mark { generation, at, civil })
    }
}

impl fmt::Display for Fire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fire::Claimed { mark, fate, lease } => {
                let letter = Fate::ALL.iter().find(|(one, _)| one == fate).map_or("c", |row| row.1);
                write!(f, "{letter} {mark} {} {}", lease.fencing, lease.replica)
            }
            Fire::Started { run, attempt, replica } => write!(f, "s {run} {attempt:010} {replica}"),
        }
    }
}

impl FromStr for Fire {
    type Err = BadText;

    fn from_str(text: &str) -> Result<Self, BadText> {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["s", run, attempt, replica] => Ok(Fire::Started {
                run: run.parse().map_err(|_| BadText)?,
                attempt: attempt.parse().map_err(|_| BadText)?,
                replica: replica.to_owned(),
            }),
            [letter, generation, at, civil, fencing, replica] => Ok(Fire::Claimed {
                mark: format!("{generation} {at} {civil}").parse()?,
                fate: Fate::ALL.iter().find(|row| row.1 == letter).ok_or(BadText)?.0,
                lease: Lease {
                    replica: replica.to_owned(),
                    fencing: fencing.parse().map_err(|_| BadText)?,
                },
            }),
            _ => Err(BadText),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(generation: u64, at: &str, civil: &str) -> Mark {
        Mark { generation, at: at.parse().unwrap(), civil: civil.parse().unwrap() }
    }

    #[test]
    fn marks_read_back_and_sort_as_their_texts() {
        let marks = [
            mark(0, "2026-11-01T05:30:00Z", "2026-11-01T01:30:00"),
            mark(0, "2026-11-01T05:30:00.25Z", "2026-11-01T01:30:00.25"),
            mark(0, "2026-11-01T06:30:00Z", "2026-11-01T01:29:00"),
            mark(0, "2026-11-01T06:30:00Z", "2026-11-01T01:30:00"),
            mark(9, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00"),
            mark(10, "2025-01-01T00:00:00Z", "2025-01-01T00:00:00"),
        ];
        assert!(marks.is_sorted());
        let texts = marks.map(|mark| mark.to_string());
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(texts[1].len(), texts[5].len());
        assert_eq!(texts.map(|text| text.parse::<Mark>().unwrap()), marks);
    }

    #[test]
    fn lines_are_written_as_documented() {
        let mark = mark(0, "2026-11-21T17:00:00Z", "2026-11-21T18:00:00");
        let lease = Lease { replica: "web-1.k7".into(), fencing: 12 };
        let claimed = Fire::Claimed { mark, fate: Fate::Late, lease };
        let run = RunId::new(mark.at, 1);
        let started = Fire::Started { run, attempt: 2, replica: "web-1.k7".into() };
        assert_eq!(
            claimed.to_string(),
            "l 0000000000 2026-11-21T17:00:00.000000000Z 2026-11-21T18:00:00.000000000 12 web-1.k7"
        );
        assert_eq!(started.to_string(), format!("s {run} 0000000002 web-1.k7"));
        for fire in [claimed, started] {
            assert_eq!(fire.to_string().parse(), Ok(fire));
        }
    }

    #[test]
    fn garbage_is_no_line() {
        for text in [
            "",
            "c",
            "s x 1 a",
            "c 0 yesterday today 1 a",
            "x 0 2026-11-21T17:00:00Z 2026-11-21T18:00:00 1 a",
        ] {
            assert_eq!(text.parse::<Fire>(), Err(BadText), "{text}");
        }
        assert_eq!("0 2026-11-21T17:00:00Z".parse::<Mark>(), Err(BadText));
    }
}
