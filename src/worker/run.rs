//! From an order to a run, and from a run's end to what is reported of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::crontab::directive::Output;
use crate::crontab::{Origin, Setting, Settings, Text};
use crate::event::{Cause, Ended, Fire, Outcome, Run, Trigger};
use crate::job::{Action, Job, JobKey, Policy, Terms};
use crate::message::{Bytes, Order, report};
use crate::schedule::{Due, Zone};

/// The run that an order asks for; it may take `longest` at most, whatever the order says.
///
/// It gets what a local run of the same entry would: the rest of its environment comes from the worker's surroundings.
///
/// # Errors
/// The order names something that no sender names; the text says what.
pub(super) fn of(order: &Order, longest: Option<Duration>) -> Result<Run, String> {
    let subject = &order.subject;
    let id = subject.run.parse().map_err(|_| format!("{:?} is no run's id", subject.run))?;
    let key: JobKey = subject.key.parse().map_err(|error| format!("{error}"))?;
    let offset = Offset::from_seconds(subject.offset)
        .map_err(|_| format!("{} seconds are no zone's offset", subject.offset))?;
    let zone = Zone::from_rules("sender's", TimeZone::fixed(offset));
    let timeout = order.timeout_ms.map(Duration::from_millis);
    let timeout = timeout.into_iter().chain(longest).min();
    let policy = Policy {
        timeout,
        kill_after: Duration::from_millis(order.kill_after_ms),
        success_codes: order.success_codes.as_slice().into(),
        max_instances: u32::MAX,
        output: if order.output { Output::Log } else { Output::None },
        ..Policy::default()
    };
    let setting = |(name, value): &(Bytes, Bytes)| Setting { name: text(name), value: text(value) };
    let terms = Terms {
        file: "-".into(),
        origin: Origin::System,
        user: text(&order.user),
        zone: zone.clone(),
        settings: Arc::new(Settings(order.environment.iter().map(setting).collect())),
        policy: Arc::new(policy),
    };
    let stdin = (!order.stdin.0.is_empty()).then(|| Box::new(text(&order.stdin)));
    let job = Job {
        action: Action::Shell { command: text(&order.command), stdin },
        terms: Arc::new(terms),
        ..Job::remembered(key, &subject.name, &zone)
    };
    let fire = Fire {
        job: Arc::new(job),
        due: Due { at: subject.at, civil: subject.civil },
        trigger: Trigger::of_name(&subject.trigger).unwrap_or(Trigger::Manual),
        generation: subject.generation,
    };
    Ok(Run { id, fire, attempt: subject.attempt })
}

fn text(bytes: &Bytes) -> Text {
    Text::from(&bytes.0[..])
}

/// What is reported of an end.
pub(super) fn ending(ended: &Ended) -> report::Ended {
    let cause = match ended.cause {
        // The daemon that is meant is this worker, and whoever is told has one of his own.
        Some(Cause::Shutdown | Cause::Stopped) => Some(Cause::WorkerStopped),
        cause => cause,
    };
    report::Ended {
        outcome: ended.outcome.name().to_owned(),
        exit: ended.outcome.exit(),
        signal: ended.outcome.signal(),
        reason: ended.outcome.reason().map(str::to_owned),
        cause: cause.map(|cause| cause.to_string()),
        at: ended.at,
        duration_ms: whole(ended.duration.as_millis()),
        user_us: whole(ended.usage.user.as_micros()),
        system_us: whole(ended.usage.system.as_micros()),
        max_rss_kib: ended.usage.max_rss_kib.unwrap_or(0),
        printed: None,
    }
}

/// What is reported of an order that could not be started, for this reason.
pub(super) fn not_started(reason: &str, at: Timestamp) -> report::Ended {
    let outcome = Outcome::CouldNotStart { reason: reason.to_owned() };
    report::Ended {
        outcome: outcome.name().to_owned(),
        reason: Some(reason.to_owned()),
        at,
        printed: Some(false),
        ..report::Ended::default()
    }
}

fn whole(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::event::{RunId, Usage};
    use crate::job::JobId;
    use crate::message::order::{Subject, VERSION};

    fn order() -> Order {
        Order {
            version: VERSION,
            id: "x-2".to_owned(),
            queue: "q".to_owned(),
            reply_to: "r".to_owned(),
            subject: Subject {
                run: RunId::new(Timestamp::UNIX_EPOCH, 7).to_string(),
                attempt: 2,
                key: JobId::of_mark(b"x").to_string(),
                name: "backup".to_owned(),
                trigger: "manual".to_owned(),
                at: Timestamp::from_second(1_700_000_040).unwrap(),
                offset: 7200,
                civil: date(2023, 11, 15).at(0, 14, 0, 0),
                generation: 3,
            },
            user: "alice".into(),
            command: "cat".into(),
            stdin: "in\n".into(),
            environment: vec![("A".into(), b"\xff"[..].into())],
            timeout_ms: Some(5_000),
            kill_after_ms: 1_500,
            success_codes: vec![0, 9],
            output: true,
            beat_ms: 1,
            expires: Timestamp::MAX,
            restarts: 0,
        }
    }

    #[test]
    fn a_run_is_the_senders_with_his_options() {
        let run = of(&order(), None).unwrap();
        assert_eq!((run.id, run.attempt), (RunId::new(Timestamp::UNIX_EPOCH, 7), 2));
        let Fire { job, due, trigger, generation } = &run.fire;
        assert_eq!((*trigger, *generation), (Trigger::Manual, 3));
        assert_eq!((due.at, due.civil), (order().subject.at, order().subject.civil));
        assert_eq!((&*job.label(), job.user()), ("backup", &Text::from("alice")));
        assert_eq!(job.action.command(), &Text::from("cat"));
        assert_eq!(job.action.stdin(), Some(&Text::from("in\n")));
        assert_eq!(job.settings().get("A"), Some(&Text::from(&b"\xff"[..])));
        let policy = job.policy();
        assert_eq!(policy.timeout, Some(Duration::from_secs(5)));
        assert_eq!(policy.kill_after, Duration::from_millis(1_500));
        assert_eq!((&*policy.success_codes, policy.retries), (&[0, 9][..], 0));
        assert_eq!(job.zone().rules().to_offset(due.at).seconds(), 7200);
    }

    #[test]
    fn a_worker_may_allow_less_time_than_an_order_and_not_more() {
        let timeout = |ms, longest: Option<u64>| {
            let order = Order { timeout_ms: ms, ..order() };
            of(&order, longest.map(Duration::from_secs)).unwrap().fire.job.policy().timeout
        };
        assert_eq!(timeout(None, None), None);
        assert_eq!(timeout(None, Some(3)), Some(Duration::from_secs(3)));
        assert_eq!(timeout(Some(9_000), Some(3)), Some(Duration::from_secs(3)));
        assert_eq!(timeout(Some(2_000), Some(3)), Some(Duration::from_secs(2)));
    }

    #[test]
    fn what_no_sender_names_is_refused_in_words() {
        let told = |change: &dyn Fn(&mut Subject)| {
            let mut order = order();
            change(&mut order.subject);
            of(&order, None).unwrap_err()
        };
        assert!(told(&|subject| subject.run = "x".to_owned()).contains("no run's id"));
        assert!(told(&|subject| subject.key = "x".to_owned()).contains("not a job id"));
        assert!(told(&|subject| subject.offset = i32::MAX).contains("offset"));
    }

    #[test]
    fn an_end_is_reported_with_all_that_is_known_of_it() {
        let run = Arc::new(of(&order(), None).unwrap());
        let ended = Ended {
            run,
            outcome: Outcome::Killed { signal: 15 },
            cause: Some(Cause::Shutdown),
            retry: None,
            at: Timestamp::UNIX_EPOCH,
            duration: Duration::from_millis(1_234),
            worker: None,
            usage: Usage {
                user: Duration::from_micros(5),
                system: Duration::from_micros(6),
                max_rss_kib: Some(7),
            },
        };
        let told = ending(&ended);
        assert_eq!((&*told.outcome, told.signal, told.exit), ("killed", Some(15), None));
        assert_eq!(told.cause.as_deref(), Some("the worker was stopped"));
        assert_eq!((told.duration_ms, told.user_us, told.system_us), (1_234, 5, 6));
        assert_eq!(told.max_rss_kib, 7);
    }
}
