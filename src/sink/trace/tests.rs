use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use jiff::civil::DateTime;
use tracing::field::{Field, Visit};
use tracing::span;

use super::*;
use crate::crontab::{Flags, Origin, Settings};
use crate::event::{Cause, Outcome, RunId, Trigger, Usage};
use crate::job::{Action, JobId, JobKey, Naming, Policy, Terms, Timing};
use crate::schedule::Schedule;

/// Takes records as `level words field=value …`.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Page {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        #[derive(Default)]
        struct Line(String, String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                match field.name() {
                    "message" => self.0 = format!("{value:?}"),
                    "run" | "scheduled" => {}
                    name => write!(self.1, " {name}={value:?}").unwrap(),
                }
            }
        }
        let mut line = Line::default();
        event.record(&mut line);
        let level = event.metadata().level();
        self.0.lock().unwrap().push(format!("{level} {}{}", line.0, line.1));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What the log has of an event.
fn told(event: &Event) -> Vec<String> {
    let page = Page::default();
    tracing::subscriber::with_default(page.clone(), || trace(event, &Zone::utc()));
    let lines = page.0.lock().unwrap();
    lines.clone()
}

fn job(flags: Flags) -> Arc<Job> {
    Arc::new(Job {
        key: JobKey { id: JobId([1; 8]), occurrence: 1 },
        line: 1,
        timing: Arc::new(Timing { schedule: Schedule::Reboot, text: "@reboot".into() }),
        action: Action::Shell { command: "é\tx".into(), stdin: None },
        terms: Arc::new(Terms {
            file: "/etc/crontab".into(),
            origin: Origin::System,
            user: "root".into(),
            zone: Zone::utc(),
            settings: Arc::new(Settings::default()),
            policy: Arc::new(Policy { retries: 3, ..Policy::default() }),
        }),
        naming: Some(Box::new(Naming { name: Some("backup".into()), description: None })),
        since: Timestamp::UNIX_EPOCH,
        flags,
    })
}

fn due() -> Due {
    Due { at: Timestamp::UNIX_EPOCH, civil: DateTime::ZERO }
}

fn ended(outcome: Outcome, cause: Option<Cause>, retry: Option<u64>, flags: Flags) -> Event {
    let fire = Fire { job: job(flags), due: due(), trigger: Trigger::Schedule, generation: 0 };
    Event::RunEnded(Ended {
        run: Arc::new(Run { id: RunId::new(Timestamp::UNIX_EPOCH, 1), fire, attempt: 1 }),
        outcome,
        cause,
        retry: retry.map(Duration::from_secs),
        at: Timestamp::UNIX_EPOCH,
        duration: Duration::from_millis(1500),
        worker: None,
        usage: Usage::default(),
    })
}

const LOUD: Flags = Flags { dont_log: false, mail_when_err: false, single_job: false };
const QUIET: Flags = Flags { dont_log: true, mail_when_err: false, single_job: false };

#[test]
fn times_carry_the_offset_of_the_zone() {
    let instant = Timestamp::from_second(0).unwrap();
    assert_eq!(at(instant, &Zone::utc()), "1970-01-01T00:00:00+00:00");
}

#[test]
fn a_length_of_time_is_short() {
    let cases = [(250, "250ms"), (5_000, "5s"), (90_000, "1m 30s"), (7_200_000, "2h"), (0, "0ms")];
    for (ms, words) in cases {
        assert_eq!(span(Duration::from_millis(ms)), words);
    }
}

#[test]
fn the_end_of_a_run_is_told_in_words_with_cause_and_retry() {
    let words = "(root) CMDEND (\\303\\251^Ix) event=\"run.ended\" job=\"backup\" attempt=1";
    let cases = [
        (
            Outcome::Succeeded { exit: 0 },
            None,
            None,
            "INFO",
            "succeeded",
            "exit=0 duration_ms=1500",
        ),
        (
            Outcome::Failed { exit: 1 },
            Some(Cause::NoSpace),
            None,
            "WARN",
            "failed with exit code 1, no space left on device",
            "exit=1 duration_ms=1500 reason=\"no space left on device\"",
        ),
        (
            Outcome::Failed { exit: 1 },
            None,
            Some(5),
            "WARN",
            "failed with exit code 1; again in 5s (attempt 2 of 4)",
            "exit=1 duration_ms=1500 retry_ms=5000",
        ),
        (
            Outcome::Failed { exit: 127 },
            Some(Cause::NotFound),
            None,
            "WARN",
            "failed with exit code 127, command not found",
            "exit=127 duration_ms=1500 reason=\"command not found\"",
        ),
        (
            Outcome::Killed { signal: 9 },
            Some(Cause::OutOfMemory),
            None,
            "WARN",
            "killed by SIGKILL, out of memory",
            "signal=9 duration_ms=1500 reason=\"out of memory\"",
        ),
    ];
    for (outcome, cause, retry, level, outcome_words, fields) in cases {
        let line = format!("{level} {words} outcome=\"{outcome_words}\" {fields}");
        assert_eq!(told(&ended(outcome, cause, retry, LOUD)), [line]);
    }
    let timed_out = Outcome::TimedOut { exit: None, signal: Some(15) };
    let [line] = &told(&ended(timed_out, None, None, LOUD))[..] else { panic!("one line") };
    assert!(
        line.starts_with("WARN ")
            && line.contains("outcome=\"timed out")
            && line.contains("signal=15"),
        "{line}"
    );
}

#[test]
fn row_58_a_quiet_job_is_quiet_but_not_when_it_cannot_start() {
    assert!(told(&ended(Outcome::Succeeded { exit: 0 }, None, None, QUIET)).is_empty());
    assert!(told(&ended(Outcome::Failed { exit: 1 }, None, None, QUIET)).is_empty());
    let failed = Outcome::CouldNotStart { reason: "no shell".into() };
    let lines = told(&ended(failed, None, None, QUIET));
    let [attempted, ended] = &lines[..] else { panic!("{lines:?}") };
    assert!(attempted.starts_with("INFO (root) CMD (") && attempted.contains("run.attempted"));
    assert!(ended.starts_with("ERROR (root) CMDEND (") && ended.contains("reason=\"no shell\""));
    assert!(!ended.contains("duration_ms") && !ended.contains("exit="));
}

#[test]
fn what_did_not_run_is_told_with_its_reason_and_how_often() {
    let (first, last) = (due(), due());
    let skipped = |count| Event::RunSkipped {
        job: job(LOUD),
        first,
        last,
        count,
        reason: "it is\npaused".into(),
        generation: 0,
        trigger: Trigger::Schedule,
        run: None,
    };
    let fields = "first=\"1970-01-01T00:00:00+00:00\" last=\"1970-01-01T00:00:00+00:00\"";
    assert_eq!(
        told(&skipped(1)),
        [format!(
            "INFO skipped event=\"run.skipped\" job=\"backup\" {fields} count=1 reason=\"it is^Jpaused\""
        )]
    );
    assert!(told(&skipped(5))[0].starts_with("INFO skipped 5 times "));
    let reason = "the daemon was stopped".into();
    let (job_missed, generation, trigger) = (job(LOUD), 0, Trigger::Schedule);
    let missed = Event::RunMissed {
        job: job_missed,
        first,
        last,
        count: 2,
        reason,
        generation,
        trigger,
        run: None,
    };
    assert!(told(&missed)[0].starts_with("WARN missed 2 times event=\"run.missed\""));
    assert_eq!(
        told(&Event::JobPaused(job(LOUD))),
        ["INFO paused event=\"job.paused\" job=\"backup\""]
    );
    assert_eq!(
        told(&Event::LeftOut { count: 7, warnings: 2 }),
        [
            "WARN the log was not read: 7 events were left out event=\"log.left_out\" count=7 warnings=2"
        ]
    );
}

#[test]
fn a_notice_of_no_crontab_names_no_file() {
    let notice = |file: Option<&str>| {
        told(&Event::Notice {
            file: file.map(Into::into),
            text: "so it is".to_owned(),
            warning: true,
        })
    };
    assert_eq!(notice(None), ["WARN so it is event=\"crontab.notice\""]);
    let named = "WARN so it is event=\"crontab.notice\" file=\"/etc/crontab\"";
    assert_eq!(notice(Some("/etc/crontab")), [named]);
}
