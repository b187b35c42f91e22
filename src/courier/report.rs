//! From a report to what came of a run.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::{Offset, TimeZone};

use crate::event::{Cause, Ended, Fire, Outcome, Run, Trigger, Usage};
use crate::executor::{Carried, Elsewhere};
use crate::job::Job;
use crate::message::order::Subject;
use crate::message::report;
use crate::schedule::{Due, Zone};

/// What came of an order at a worker.
pub(super) fn carried(worker: &str, ended: &report::Ended) -> Carried {
    Carried {
        outcome: outcome(ended),
        cause: ended.cause.as_deref().and_then(Cause::of_words),
        usage: Usage {
            user: Duration::from_micros(ended.user_us),
            system: Duration::from_micros(ended.system_us),
            max_rss_kib: Some(ended.max_rss_kib).filter(|&kib| kib > 0),
        },
        elsewhere: Some(Elsewhere {
            worker: worker.into(),
            duration: Some(Duration::from_millis(ended.duration_ms)),
        }),
    }
}

/// The outcome that a report names; one that makes no sense tells that nobody knows it.
fn outcome(ended: &report::Ended) -> Outcome {
    let reason =
        || ended.reason.clone().unwrap_or_else(|| "the worker does not say why".to_owned());
    match (&*ended.outcome, ended.exit, ended.signal) {
        ("succeeded", Some(exit), _) => Outcome::Succeeded { exit },
        ("failed", Some(exit), _) => Outcome::Failed { exit },
        ("killed", _, Some(signal)) => Outcome::Killed { signal },
        ("timed out", exit, signal) => Outcome::TimedOut { exit, signal },
        ("could not start", ..) => Outcome::CouldNotStart { reason: reason() },
        (other, ..) => Outcome::Lost {
            reason: format!("the worker reported an end that we do not know: {other}"),
        },
    }
}

/// The run that a report is about; none if it is none of ours.
///
/// Its job is known by its name and key alone: the run may be one of an earlier life of the daemon.
pub(super) fn run(subject: &Subject) -> Option<Arc<Run>> {
    let zone = TimeZone::fixed(Offset::from_seconds(subject.offset).ok()?);
    let zone = Zone::from_rules("sender's", zone);
    let job = Job::remembered(subject.key.parse().ok()?, &subject.name, &zone);
    let fire = Fire {
        job: Arc::new(job),
        due: Due { at: subject.at, civil: subject.civil },
        trigger: Trigger::of_name(&subject.trigger)?,
        generation: subject.generation,
    };
    Some(Arc::new(Run { id: subject.run.parse().ok()?, fire, attempt: subject.attempt }))
}

/// How a run has ended here, before its worker has reported its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ours {
    is_timed_out: bool,
    cause: Option<Cause>,
}

impl Ours {
    pub(super) fn of(end: &Ended) -> Self {
        Ours { is_timed_out: matches!(end.outcome, Outcome::TimedOut { .. }), cause: end.cause }
    }

    /// Why a worker has ended a run that it was to end: it knows no more than that.
    pub(super) fn explain(self, told: &mut report::Ended) {
        if told.cause.as_deref().and_then(Cause::of_words) != Some(Cause::Stopped) {
            return;
        }
        told.cause = self.cause.map(|cause| cause.to_string());
        if self.is_timed_out {
            "timed out".clone_into(&mut told.outcome);
        }
    }
}

/// The end of a run of which nobody is waiting any more.
pub(super) fn late(run: Arc<Run>, worker: &str, ended: &report::Ended) -> Ended {
    let Carried { outcome, cause, usage, .. } = carried(worker, ended);
    Ended {
        run,
        outcome,
        cause,
        retry: None,
        at: ended.at,
        duration: Duration::from_millis(ended.duration_ms),
        worker: Some(worker.into()),
        usage,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::event::RunId;
    use crate::job::{JobId, JobKey};

    const LASTED: Duration = Duration::from_millis(1_500);

    fn ended(outcome: &str, exit: Option<u8>, signal: Option<i32>) -> report::Ended {
        report::Ended { outcome: outcome.to_owned(), exit, signal, ..report::Ended::default() }
    }

    #[test]
    fn every_outcome_comes_back_as_it_was() {
        for outcome in [
            Outcome::Succeeded { exit: 3 },
            Outcome::Failed { exit: 127 },
            Outcome::Killed { signal: 9 },
            Outcome::TimedOut { exit: None, signal: Some(15) },
            Outcome::TimedOut { exit: Some(0), signal: None },
            Outcome::CouldNotStart { reason: "unknown user eve".to_owned() },
        ] {
            let told = report::Ended {
                reason: outcome.reason().map(str::to_owned),
                cause: Some(Cause::OutOfMemory.to_string()),
                duration_ms: 1_500,
                user_us: 5,
                max_rss_kib: 7,
                ..ended(outcome.name(), outcome.exit(), outcome.signal())
            };
            let carried = carried("one", &told);
            let elsewhere = carried.elsewhere.unwrap();
            assert_eq!((&*elsewhere.worker, elsewhere.duration), ("one", Some(LASTED)));
            assert_eq!((carried.outcome, carried.cause), (outcome, Some(Cause::OutOfMemory)));
            let usage =
                Usage { user: Duration::from_micros(5), max_rss_kib: Some(7), ..Usage::default() };
            assert_eq!(carried.usage, usage);
        }
    }

    #[test]
    fn an_end_that_makes_no_sense_is_none_that_anybody_saw() {
        for told in
            [ended("succeeded", None, None), ended("killed", Some(1), None), ended("", None, None)]
        {
            assert!(matches!(carried("one", &told).outcome, Outcome::Lost { .. }), "{told:?}");
        }
    }

    #[test]
    fn a_run_is_known_by_what_a_report_says_of_it() {
        let id = RunId::new(Timestamp::UNIX_EPOCH, 9);
        let key = JobKey { id: JobId::of_mark(b"x"), occurrence: 2 };
        let subject = Subject {
            run: id.to_string(),
            attempt: 3,
            key: key.to_string(),
            name: "dump".to_owned(),
            trigger: "catch-up".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            offset: -3600,
            civil: jiff::civil::date(1969, 12, 31).at(23, 0, 0, 0),
            generation: 1,
        };
        let run = run(&subject).unwrap();
        assert_eq!((run.id, run.attempt, run.fire.job.key), (id, 3, key));
        assert_eq!((&*run.fire.job.label(), run.fire.trigger), ("dump", Trigger::CatchUp));
        for field in ["run", "key", "trigger", "offset"] {
            let mut other = subject.clone();
            match field {
                "run" => other.run.clear(),
                "key" => other.key.clear(),
                "trigger" => other.trigger.clear(),
                _ => other.offset = i32::MIN,
            }
            assert!(super::run(&other).is_none(), "{field}");
        }
    }
}
