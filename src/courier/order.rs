//! From a run to the order that a worker gets.

use std::time::Duration;

use jiff::Timestamp;

use crate::crontab::directive::{Await, Output};
use crate::event::{Fire, Run};
use crate::executor::shell::ABOUT;
use crate::message::order::{Subject, VERSION};
use crate::message::{Bytes, Order};

/// The id of an attempt's order; `turn` counts from 1 how often it was sent, each time as an order of its own.
pub(super) fn id(run: &Run, turn: u32) -> String {
    match turn {
        1 => format!("{}-{}", run.id, run.attempt),
        turn => format!("{}-{}-{turn}", run.id, run.attempt),
    }
}

/// The order to carry out an attempt.
///
/// What the worker needs of the entry: the command, what it reads, the settings above it, its options. Not the daemon's own
/// environment, nor what every run learns of itself, which the worker adds.
pub(super) fn of(
    run: &Run,
    (queue, turn): (&str, u32),
    reply_to: &str,
    beat: Duration,
    expires: Timestamp,
) -> Order {
    let Fire { job, due, trigger, generation } = &run.fire;
    let policy = job.policy();
    let settings = job.settings().0.iter();
    let own = settings.filter(|setting| !is_about(setting.name.as_bytes()));
    Order {
        version: VERSION,
        id: id(run, turn),
        queue: queue.to_owned(),
        reply_to: reply_to.to_owned(),
        subject: Subject {
            run: run.id.to_string(),
            attempt: run.attempt,
            key: job.key.to_string(),
            name: job.label(),
            trigger: trigger.name().to_owned(),
            at: due.at,
            offset: job.zone().rules().to_offset(due.at).seconds(),
            civil: due.civil,
            generation: *generation,
        },
        user: Bytes::from(job.user().as_bytes()),
        command: Bytes::from(job.action.command().as_bytes()),
        stdin: job.action.stdin().map(|text| Bytes::from(text.as_bytes())).unwrap_or_default(),
        environment: own
            .map(|setting| (setting.name.as_bytes().into(), setting.value.as_bytes().into()))
            .collect(),
        timeout_ms: policy.timeout.map(milliseconds),
        kill_after_ms: milliseconds(policy.kill_after),
        success_codes: policy.success_codes.to_vec(),
        output: policy.output == Output::Log,
        beat_ms: milliseconds(beat),
        expires,
        // Where somebody waits for it, further attempts are his.
        restarts: if policy.result == Await::None { policy.retries } else { 0 },
    }
}

fn is_about(name: &[u8]) -> bool {
    ABOUT.iter().any(|about| about.as_bytes() == name)
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::event::{RunId, Trigger};
    use crate::job::JobTable;
    use crate::schedule::Zone;

    fn run(crontab: &str) -> Run {
        let source =
            Source { name: "x".into(), bytes: crontab.into(), dialect: Dialect::user("alice") };
        let crontab = parse(&source);
        let (zone, now) = (Zone::named("Europe/Berlin").unwrap(), Timestamp::UNIX_EPOCH);
        let (pairs, none) = ([(&source, &crontab)], JobTable::default());
        let (table, ..) = JobTable::build(&pairs, &zone, &Options::default(), &none, now);
        let job = Arc::clone(&table.jobs()[0]);
        let due = job.next_after(now).unwrap();
        let fire = Fire { job, due, trigger: Trigger::Schedule, generation: 4 };
        Run { id: RunId::new(now, 5), fire, attempt: 2 }
    }

    #[test]
    fn an_order_has_all_that_the_entry_says() {
        let run = run("A=1\nCRONKEEP_TIMEOUT=90s\nB=\"x y\"\n\
            # cronkeep: name=dump executor=worker:batch kill-after=1500ms success-codes=0,3 output=none\n\
            30 4 * * * dump --all%one%two\n");
        let order = of(&run, ("batch", 1), "back", Duration::from_secs(10), Timestamp::MAX);
        assert_eq!(order.id, format!("{}-2", run.id));
        assert_eq!((&*order.queue, &*order.reply_to), ("batch", "back"));
        assert_eq!(order.subject.run, run.id.to_string());
        assert_eq!((order.subject.attempt, order.subject.generation), (2, 4));
        assert_eq!((&*order.subject.name, &*order.subject.trigger), ("dump", "schedule"));
        assert_eq!((order.subject.at, order.subject.civil), (run.fire.due.at, run.fire.due.civil));
        assert_eq!(order.subject.offset, 3600);
        assert_eq!((order.user, order.command), ("alice".into(), "dump --all".into()));
        assert_eq!(order.stdin, "one\ntwo\n".into());
        assert_eq!(order.environment, [("A".into(), "1".into()), ("B".into(), "x y".into())]);
        assert_eq!((order.timeout_ms, order.kill_after_ms), (Some(90_000), 1_500));
        assert_eq!((&order.success_codes[..], order.output), (&[0, 3][..], false));
        assert_eq!(order.beat_ms, 10_000);
    }

    #[test]
    fn each_time_it_is_sent_it_is_another_order() {
        let run = run("* * * * * true\n");
        let ids: Vec<String> = (1..4).map(|turn| id(&run, turn)).collect();
        assert_eq!(ids[1], format!("{}-2-2", run.id));
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
    }
}
