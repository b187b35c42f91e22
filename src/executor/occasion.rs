//! What the message of a run tells of: what the run's program would be told, and a little more. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::event::{Fire, Run};
use crate::message::{self, Occasion};

/// Bytes of an instant as it is told, as a rule.
const ROOM: usize = 32;

/// What the message of a run tells of, made on this host now; how long it is worth anything is not said.
#[must_use]
pub fn occasion(run: &Run, host: &str, now: Timestamp) -> Occasion {
    let job = &*run.fire.job;
    Occasion {
        user: Some(job.user().to_string()),
        command: Some(job.action.command().to_string()),
        schedule: Some(job.schedule_text().to_string()),
        ..brief(run, host, now)
    }
}

/// The same without what only events and tasks tell of: user, command and schedule.
#[must_use]
pub fn brief(run: &Run, host: &str, now: Timestamp) -> Occasion {
    let job = &*run.fire.job;
    Occasion {
        job_id: Some(job.key.id.to_string()),
        job_name: job.name().map(ToString::to_string),
        scheduled_at: Some(scheduled_at(run)),
        attempt: Some(run.attempt),
        ..Occasion::of_run(run.id.to_string(), message_id(run), host, now)
    }
}

/// The id of the message that a run publishes, in-process or as a program: see [`message::message_id`].
#[must_use]
pub fn message_id(run: &Run) -> String {
    let Fire { job, due, trigger, .. } = &run.fire;
    // Others of the job may stand for the same instant: those of other replicas, of several ends that it waits for.
    if !trigger.is_of_schedule() {
        return run.id.to_string();
    }
    let to_the_second = |it: DateTime| (it.date(), it.hour(), it.minute(), it.second());
    let is_made_up = to_the_second(job.zone().civil(due.at)) != to_the_second(due.civil);
    let made_up = is_made_up.then_some(due.civil);
    message::message_id(&job.key.to_string(), due.at, made_up)
}

/// The scheduled instant, in RFC 3339 with the offset of the job's zone.
pub(super) fn scheduled_at(run: &Run) -> String {
    let at = run.fire.due.at;
    let offset = run.fire.job.zone().rules().to_offset(at);
    let mut text = String::with_capacity(ROOM);
    // Writing to a string does not fail.
    let _ = write!(text, "{}", at.display_with_offset(offset));
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::event::{RunId, Trigger};
    use crate::job::JobTable;
    use crate::schedule::{Cursor, Due, Zone};

    /// A run of the last entry of this crontab, for its first due after an instant.
    fn run(text: &str, after: &str) -> Run {
        let after: Timestamp = after.parse().unwrap();
        let source = Source { name: "x".into(), bytes: text.into(), dialect: Dialect::system() };
        let crontab = parse(&source);
        let (zone, options) = (Zone::utc(), Options::default());
        let before = JobTable::default();
        let (table, ..) = JobTable::build(&[(&source, &crontab)], &zone, &options, &before, after);
        let job = Arc::clone(table.jobs().last().unwrap());
        let due = job.next_after(Cursor::Instant(after)).unwrap();
        let fire = Fire { job, due, trigger: Trigger::Schedule, generation: 0 };
        Run { id: RunId::new(after, 31), fire, attempt: 2 }
    }

    const NAMED: &str =
        "CRON_TZ=Europe/Berlin\n# cronkeep: name=close\n*/30 2 * * * root cronkeep publish e k\n";

    #[test]
    fn a_message_tells_of_its_fire() {
        let run = run(NAMED, "2026-11-20T00:00:00Z");
        let now: Timestamp = "2026-11-20T01:00:00.5Z".parse().unwrap();
        let told = occasion(&run, "web", now);
        let key = run.fire.job.key.to_string();
        assert_eq!(
            told,
            Occasion {
                id: format!("{key}:1795136400"),
                run: run.id.to_string(),
                job_id: Some(key),
                job_name: Some("close".to_owned()),
                scheduled_at: Some("2026-11-20T02:00:00+01:00".to_owned()),
                attempt: Some(2),
                host: "web".to_owned(),
                user: Some("root".to_owned()),
                command: Some("cronkeep publish e k".to_owned()),
                schedule: Some("*/30 2 * * *".to_owned()),
                now,
                expires: None,
            }
        );
    }

    #[test]
    fn minutes_that_are_made_up_for_at_one_instant_have_ids_of_their_own() {
        let mut one = run("CRON_TZ=Europe/Berlin\n0,30 2 * * * root x\n", "2026-03-29T00:30:00Z");
        let key = one.fire.job.key.to_string();
        assert_eq!(message_id(&one), format!("{key}:1774746000-2026-03-29T02:00"));
        let next = one.fire.job.next_after(one.fire.due).unwrap();
        one.fire.due = next;
        assert_eq!(message_id(&one), format!("{key}:1774746000-2026-03-29T02:30"));
    }

    #[test]
    fn what_somebody_asked_for_is_told_from_what_was_due_and_from_the_same_once_more() {
        let mut run = run(NAMED, "2026-11-20T00:00:00Z");
        for trigger in [Trigger::Manual, Trigger::Reboot, Trigger::After] {
            run.fire.trigger = trigger;
            assert_eq!(message_id(&run), run.id.to_string());
        }
        run.fire.trigger = Trigger::CatchUp;
        assert_ne!(message_id(&run), run.id.to_string());
    }

    #[test]
    fn an_instant_between_seconds_is_no_made_up_one() {
        let mut run = run(NAMED, "2026-11-20T00:00:00Z");
        let at: Timestamp = "2026-11-20T01:00:00.75Z".parse().unwrap();
        run.fire.due = Due { at, civil: "2026-11-20T02:00:00".parse().unwrap() };
        assert!(message_id(&run).ends_with(":1795136400"));
    }
}
