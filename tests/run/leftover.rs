//! Runs that are ended while what is left of an attempt still dies.

use std::time::Duration;

use cronkeep::crontab::directive::Overlap;
use cronkeep::event::{Cause, Event, Outcome, RunId};
use cronkeep::executor::Stop;
use cronkeep::job::Policy;

use crate::harness::{Daemon, alone, job, start, under};

/// Longer than any of these tests may take.
const LONG: Duration = Duration::from_secs(100);

/// An attempt that has timed out, and of which a process that ignores TERM is left; its end was told, with a retry.
async fn leave_a_leftover(daemon: &mut Daemon, overlap: Overlap) -> RunId {
    let command = "(trap '' TERM; echo up; while :; do sleep 0.02; done) & exec sleep 1000";
    let policy = Policy {
        overlap,
        timeout: Some(Duration::from_millis(100)),
        kill_after: Duration::from_millis(500),
        retries: 3,
        retry_delay: Duration::from_millis(1),
        ..Policy::default()
    };
    daemon.fire(under(policy, job(command)));
    let end = daemon.end().await;
    assert!(end.retry.is_some(), "{end:?}");
    end.run.id
}

#[test]
fn a_run_that_is_ended_while_its_leftovers_die_makes_no_further_attempt() {
    alone(async {
        let mut daemon = start();
        let run = leave_a_leftover(&mut daemon, Overlap::Allow).await;
        assert!(daemon.handle.end(run).await);
        let event = daemon.next().await;
        let Event::RunEnded(end) = &*event else { panic!("{event:?}") };
        assert_eq!((end.run.id, end.cause, end.retry), (run, Some(Cause::Stopped), None));
        assert!(matches!(end.outcome, Outcome::CouldNotStart { .. }), "{end:?}");
        assert!(!daemon.handle.end(run).await);
        assert!(daemon.handle.state().await.resting.is_empty());
    });
}

#[test]
fn a_run_that_is_replaced_while_its_leftovers_die_makes_no_further_attempt() {
    alone(async {
        let mut daemon = start();
        let run = leave_a_leftover(&mut daemon, Overlap::Replace).await;
        let policy = Policy { overlap: Overlap::Replace, ..Policy::default() };
        daemon.fire(under(policy, job("echo new")));
        let end = daemon.end().await;
        assert_eq!((end.run.id, end.cause), (run, Some(Cause::Replaced)), "{end:?}");
        assert_eq!(daemon.line().await, "new");
    });
}

#[test]
fn a_retry_that_was_told_of_is_told_not_to_come_when_the_daemon_stops() {
    alone(async {
        let mut daemon = start();
        let run = leave_a_leftover(&mut daemon, Overlap::Allow).await;
        daemon.handle.stop(Stop::End { grace: LONG }).await;
        let end = daemon.end().await;
        assert_eq!((end.run.id, end.cause, end.retry), (run, Some(Cause::Shutdown), None));
    });
}
