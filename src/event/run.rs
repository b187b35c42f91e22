//! One execution, from its start to its end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Cause, Fire, Outcome, Permit};

/// The name of one run: unique over all time and hosts, sorts by start.
///
/// A ULID: 48 bits of milliseconds, 80 random bits, 26 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(ulid::Ulid);

impl RunId {
    /// Makes the id of a run that starts `at`; `random` must be fresh.
    #[must_use]
    pub fn new(at: Timestamp, random: u128) -> Self {
        let milliseconds = u64::try_from(at.as_millisecond()).unwrap_or(0);
        RunId(ulid::Ulid::from_parts(milliseconds, random))
    }

    /// The 128 bits that it is: they sort as the text does.
    #[must_use]
    pub fn bits(self) -> u128 {
        self.0.0
    }

    /// The id with these bits.
    #[must_use]
    pub fn of_bits(bits: u128) -> Self {
        RunId(ulid::Ulid(bits))
    }

    /// Its text, written to `buffer`.
    #[must_use]
    pub fn text(self, buffer: &mut [u8; ulid::ULID_LEN]) -> &str {
        self.0.array_to_str(buffer)
    }

    /// When the run came to be: its fire arrived then. Wall time, to the millisecond.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        i64::try_from(self.0.timestamp_ms())
            .ok()
            .and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// The last six characters: enough to tell runs of one job apart by eye.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.to_string().split_off(20)
    }
}

impl std::str::FromStr for RunId {
    type Err = BadRunId;

    fn from_str(text: &str) -> Result<Self, BadRunId> {
        ulid::Ulid::from_string(text).map(RunId).map_err(|_| BadRunId)
    }
}

/// The text is no run's id: 26 digits and capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a run's id")]
pub struct BadRunId;

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// One execution that a fire caused.
#[derive(Debug)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// What it is an execution of.
    pub fire: Fire,
    /// Which try, from 1.
    pub attempt: u32,
}

/// A run was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// The run.
    pub run: Arc<Run>,
    /// Its main process; none where it is carried out without one here.
    pub pid: Option<i32>,
    /// When that was started, in clock ticks since the host's start, where that is known; it stands in `/proc/PID/stat`.
    pub since: Option<u64>,
    /// Wall time of the start.
    pub at: Timestamp,
}

/// Which of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Stream {
    /// The stream's stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// A line that a run printed.
#[derive(Debug)]
pub struct Line {
    /// The run.
    pub run: Arc<Run>,
    /// Where it was printed.
    pub stream: Stream,
    /// The line without its end.
    pub bytes: Vec<u8>,
    /// Whether the run had already ended: a background process of its prints on.
    pub detached: bool,
    /// Lines, and their bytes with the ends, that are missing, and in whose place this one stands; none: it was printed.
    pub left_out: (u64, u64),
    /// Room on the bus, given back when the last sink has dropped the line.
    pub permit: Permit,
}

/// A run ended, or could not start.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The run.
    pub run: Arc<Run>,
    /// How.
    pub outcome: Outcome,
    /// Why, where the outcome alone does not tell.
    pub cause: Option<Cause>,
    /// When the next attempt follows, from this end on; none: this was the last.
    pub retry: Option<Duration>,
    /// Wall time of the end.
    pub at: Timestamp,
    /// From start to end, on the monotonic clock of where it ran; zero if it could not start.
    pub duration: Duration,
    /// The worker that carried it out; none: it ran here, or nobody knows which.
    pub worker: Option<Arc<str>>,
    /// What it used, children it waited for included.
    pub usage: Usage,
}

impl Ended {
    /// How it ended, in words: the outcome, and the cause where that adds something.
    #[must_use]
    pub fn words(&self) -> String {
        let outcome = self.outcome.to_string();
        match self.cause {
            Some(cause) if !outcome.contains(&cause.to_string()) => format!("{outcome}, {cause}"),
            _ => outcome,
        }
    }
}

/// What a run's processes used, as wait4(2) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// The largest resident set of any one process, KiB; none: not known, since it was no more than what the daemon itself has
    /// had, or since there was no process.
    pub max_rss_kib: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_start() {
        let early = RunId::new(Timestamp::from_second(1_000).unwrap(), u128::MAX);
        let late = RunId::new(Timestamp::from_second(1_001).unwrap(), 0);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
    }

    #[test]
    fn an_id_is_its_bits_and_knows_its_arrival() {
        let at = Timestamp::from_millisecond(1_234_567).unwrap();
        let id = RunId::new(at, 99);
        assert_eq!((RunId::of_bits(id.bits()), id.at()), (id, at));
        assert_eq!(RunId::of_bits(u128::MAX).at(), Timestamp::MAX, "no clock reaches that");
    }

    #[test]
    fn a_short_id_is_the_random_end_of_the_long_one() {
        let id = RunId::new(Timestamp::UNIX_EPOCH, 31);
        assert_eq!(id.to_string(), "0000000000000000000000000Z");
        assert_eq!(id.short(), "00000Z");
    }
}
