//! What follows an attempt: the next one, and what becomes of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cronkeep::clock::{Clock as _, SystemClock};
use cronkeep::crontab::directive::Overlap;
use cronkeep::event::{Cause, Ended, Event, Outcome, Trigger};
use cronkeep::executor::{Stop, Stopped};
use cronkeep::job::Policy;
use tempfile::TempDir;

use crate::harness::{alone, job, start, under};
use crate::policy::{LONG, SHORT, fire, other, overlap, reason, started, until_put_off};

#[test]
fn a_run_that_failed_is_tried_again_after_growing_delays_under_the_same_name() {
    alone(async {
        let folder = TempDir::new().unwrap();
        let command = format!(
            "echo $CRONKEEP_RUN_ID $CRONKEEP_ATTEMPT; [ $CRONKEEP_ATTEMPT = 3 ] || exit 7; touch {}/x",
            folder.path().display()
        );
        let mut daemon = start();
        let policy = Policy {
            retries: 5,
            retry_delay: Duration::from_millis(50),
            retry_backoff: 3.0,
            ..Policy::default()
        };
        let begun = SystemClock.monotonic();
        let flaky = Arc::new(under(policy, job(&command)));
        let run = daemon.handle.fire(fire(&flaky, Trigger::Manual)).await.unwrap();
        let mut attempts = Vec::new();
        let mut retries = Vec::new();
        for _ in 0..3 {
            attempts.push(daemon.line().await);
            let end = daemon.end().await;
            retries.push((end.run.attempt, end.retry.map(|delay| delay.as_millis())));
        }
        assert_eq!(attempts, [1, 2, 3].map(|attempt| format!("{run} {attempt}")));
        assert_eq!(retries, [(1, Some(50)), (2, Some(150)), (3, None)]);
        assert!(SystemClock.monotonic().saturating_sub(begun) >= Duration::from_millis(200));
        let end = daemon.handle.wait(run).await.unwrap();
        assert_eq!((end.run.attempt, end.outcome), (3, Outcome::Succeeded { exit: 0 }));
    });
}

#[test]
fn what_could_not_start_timed_out_or_was_killed_is_tried_again_and_what_was_stopped_is_not() {
    alone(async {
        let mut daemon = start();
        let policy = |timeout| Policy {
            retries: 1,
            retry_delay: Duration::from_millis(1),
            timeout,
            ..Policy::default()
        };
        let no_shell = crate::harness::job_with(&[("HOME", "/"), ("SHELL", "/no/shell")], "true");
        let cases = [
            (no_shell, None, "could not start"),
            (job("exec sleep 1000"), Some(SHORT), "timed out"),
            (job("kill -KILL $$"), None, "killed"),
        ];
        for (job, timeout, name) in cases {
            daemon.fire(under(policy(timeout), job));
            let ends = [daemon.end().await, daemon.end().await];
            let told = ends.map(|end| (end.outcome.name(), end.run.attempt, end.retry.is_some()));
            assert_eq!(told, [(name, 1, true), (name, 2, false)]);
        }
        daemon.fire(under(policy(None), job("exec sleep 1000")));
        started(&mut daemon).await;
        let run = daemon.handle.state().await.running[0].run.id;
        daemon.handle.end(run).await;
        let end = daemon.end().await;
        assert_eq!((end.retry, end.cause), (None, Some(Cause::Stopped)));
    });
}

#[test]
fn a_run_that_waits_for_its_next_attempt_counts_as_running_and_can_be_stopped() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { retries: 1, retry_delay: LONG, ..overlap(Overlap::Skip) };
        let failing = Arc::new(under(policy, job("exit 1")));
        let run = daemon.handle.fire(fire(&failing, Trigger::Manual)).await.unwrap();
        assert_eq!(daemon.end().await.retry, Some(LONG));
        let mut resting = Vec::new();
        while resting.is_empty() {
            resting = daemon.handle.state().await.resting;
        }
        assert!(resting[0].left > LONG / 2 && resting[0].run.id == run);
        daemon.fires.send(fire(&failing, Trigger::Schedule)).unwrap();
        assert_eq!(reason(&mut daemon).await, "skipped: an earlier run is alive");
        assert!(daemon.handle.end(run).await);
        let end = daemon.end().await;
        assert_eq!((end.run.attempt, end.cause), (2, Some(Cause::Stopped)));
        assert_eq!(end.outcome.name(), "could not start");
        daemon.fires.send(fire(&failing, Trigger::Schedule)).unwrap();
        assert_eq!(daemon.end().await.run.attempt, 1);
    });
}

#[test]
fn what_waits_when_the_daemon_stops_is_told_of() {
    alone(async {
        let mut daemon = start();
        let resting = Policy { retries: 1, retry_delay: LONG, ..Policy::default() };
        daemon.fire(under(resting, other(1, job("exit 1"))));
        daemon.end().await;
        daemon.fire(under(overlap(Overlap::Queue), other(2, job("exec sleep 1000"))));
        daemon.fire(under(overlap(Overlap::Queue), other(2, job("exec sleep 1000"))));
        daemon.fire(under(Policy { jitter: LONG, ..Policy::default() }, other(9, job("true"))));
        started(&mut daemon).await;
        until_put_off(&daemon).await;
        assert_eq!(daemon.handle.stop(Stop::End { grace: LONG }).await, Stopped::default());
        let (mut missed, mut ends) = (0, HashMap::new());
        while let Ok(event) = daemon.events.try_recv() {
            match &*event {
                Event::RunMissed { reason, .. } => {
                    assert_eq!(reason, "the daemon was stopped");
                    missed += 1;
                }
                Event::RunEnded(Ended { outcome, cause, run, .. }) => {
                    ends.insert(run.fire.job.key.id.0[0], (outcome.name(), *cause, run.attempt));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(missed, 2);
        assert_eq!(ends[&1], ("could not start", Some(Cause::Shutdown), 2));
        assert_eq!(ends[&2], ("killed", Some(Cause::Shutdown), 1));
    });
}
