//! How what still runs is ended.

use std::collections::BTreeSet;
use std::time::Duration;

use cronkeep::event::{Cause, Event, Outcome};
use cronkeep::executor::{Stop, Stopped};
use cronkeep::unix::{Pid, Signal, process};
use nix::sys::wait::waitpid;

use crate::harness::{alone, job, start, until};

/// Longer than any of these tests may take.
const LONG: Duration = Duration::from_secs(100);

/// Ignores TERM, and so does its grandchild: timeout(1) begins a group of its own, and waits on when its child does not
/// heed the TERM that it passes on.
const STUBBORN: &str = "trap '' TERM; timeout 1000 sleep 1000 & echo ready; wait; sleep 1000";

#[test]
fn a_run_that_heeds_term_ends_within_the_grace() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("echo ready; sleep 1000"));
        daemon.fire(job("trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done"));
        daemon.line().await;
        daemon.line().await;
        assert_eq!(daemon.handle.state().await.running.len(), 2);
        let stopped = daemon.handle.stop(Stop::End { grace: LONG }).await;
        assert_eq!(stopped, Stopped { killed: 0, left: 0 });
        let mut outcomes = [daemon.end().await.outcome, daemon.end().await.outcome];
        outcomes.sort_by_key(Outcome::exit);
        assert_eq!(outcomes, [Outcome::Killed { signal: 15 }, Outcome::Failed { exit: 7 }]);
        daemon.task.await.unwrap();
    });
}

#[test]
fn a_grace_without_end_is_a_grace() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("echo ready; exec sleep 1000"));
        daemon.line().await;
        let stopped = daemon.handle.stop(Stop::End { grace: Duration::MAX }).await;
        assert_eq!(stopped, Stopped { killed: 0, left: 0 });
        daemon.task.await.unwrap();
    });
}

#[test]
fn what_was_due_but_had_not_started_when_the_stop_was_asked_for_is_missed() {
    alone(async {
        for _ in 0..20 {
            let mut daemon = start();
            for _ in 0..10 {
                daemon.fire(job("true"));
            }
            assert_eq!(daemon.handle.stop(Stop::Leave).await, Stopped::default());
            for _ in 0..10 {
                let event = daemon.next().await;
                assert!(matches!(&*event, Event::RunMissed { count: 1, .. }), "{event:?}");
            }
            daemon.task.await.unwrap();
        }
    });
}

#[test]
fn what_ignores_term_is_killed_after_the_grace_grandchildren_included() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job(STUBBORN));
        daemon.line().await;
        let pid = Pid::from_raw(daemon.handle.state().await.running[0].pid.unwrap());
        let session = BTreeSet::from([pid]);
        until(|| process::members(&session).iter().any(|member| member.group != pid)).await;
        let stopped = daemon.handle.stop(Stop::End { grace: Duration::from_millis(100) }).await;
        assert_eq!(stopped, Stopped { killed: 1, left: 0 });
        assert_eq!(daemon.end().await.outcome, Outcome::Killed { signal: 9 });
        assert!(process::members(&session).is_empty());
    });
}

#[test]
fn what_a_run_leaves_in_its_session_is_killed_though_the_run_has_ended() {
    alone(async {
        let mut daemon = start();
        let command = "(trap '' TERM; echo ready; while :; do sleep 0.05; done) & wait";
        daemon.fire(job(command));
        daemon.line().await;
        let pid = Pid::from_raw(daemon.handle.state().await.running[0].pid.unwrap());
        let stopped = daemon.handle.stop(Stop::End { grace: Duration::from_millis(100) }).await;
        assert_eq!(stopped, Stopped { killed: 1, left: 0 });
        assert_eq!(daemon.end().await.outcome, Outcome::Killed { signal: 15 });
        assert!(process::members(&BTreeSet::from([pid])).is_empty());
    });
}

#[test]
fn a_stopped_process_is_ended_too() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("echo ready; kill -STOP $$"));
        daemon.line().await;
        let stopped = daemon.handle.stop(Stop::End { grace: LONG }).await;
        assert_eq!(stopped, Stopped { killed: 0, left: 0 });
        assert!(!daemon.end().await.outcome.name().is_empty());
    });
}

#[test]
fn asking_again_with_no_grace_kills_at_once() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job(STUBBORN));
        daemon.line().await;
        let (patient, handle) = (daemon.handle.clone(), daemon.handle.clone());
        let first = tokio::spawn(async move { patient.stop(Stop::End { grace: LONG }).await });
        tokio::task::yield_now().await;
        let second = handle.stop(Stop::End { grace: Duration::ZERO }).await;
        assert_eq!(second, Stopped { killed: 1, left: 0 });
        assert_eq!(first.await.unwrap(), second);
        assert_eq!(daemon.end().await.outcome, Outcome::Killed { signal: 9 });
    });
}

#[test]
fn the_first_who_asks_comes_first_though_the_second_waits_first() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job(STUBBORN));
        daemon.line().await;
        let first = daemon.handle.stop(Stop::End { grace: LONG });
        let second = daemon.handle.stop(Stop::End { grace: Duration::ZERO }).await;
        assert_eq!(second, Stopped { killed: 1, left: 0 });
        assert_eq!(first.await, second);
    });
}

#[test]
fn a_process_that_left_its_session_is_ended_with_its_run() {
    alone(async {
        let mut daemon = start();
        let away = "(setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.02; done' &) ; exec sleep 1000";
        daemon.fire(job(away));
        let pid = Pid::from_raw(daemon.line().await.parse().unwrap());
        let grace = Duration::from_millis(200);
        let stopped = daemon.handle.stop(Stop::End { grace }).await;
        assert_eq!(stopped, Stopped { killed: 1, left: 0 });
        assert!(!process::all().iter().any(|member| member.pid == pid));
        let end = daemon.end().await;
        assert_eq!(
            (end.outcome, end.cause),
            (Outcome::Killed { signal: 15 }, Some(Cause::Shutdown))
        );
    });
}

#[test]
fn fires_are_not_answered_once_stopping_began() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job(STUBBORN));
        daemon.line().await;
        let handle = daemon.handle.clone();
        let stop = Stop::End { grace: Duration::from_millis(100) };
        let stopping = tokio::spawn(async move { handle.stop(stop).await });
        tokio::task::yield_now().await;
        daemon.fire(job("echo too late"));
        stopping.await.unwrap();
        let (mut killed, mut missed) = (0, 0);
        while let Ok(event) = daemon.events.try_recv() {
            match &*event {
                Event::RunEnded(end) => {
                    assert_eq!(end.outcome, Outcome::Killed { signal: 9 });
                    killed += 1;
                }
                Event::RunMissed { .. } => missed += 1,
                other => panic!("unexpected: {other:?}"),
            }
        }
        assert_eq!((killed, missed), (1, 1));
    });
}

#[test]
fn runs_that_are_left_live_on() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("echo ready; exec sleep 1000"));
        daemon.line().await;
        let pid = Pid::from_raw(daemon.handle.state().await.running[0].pid.unwrap());
        let stopped = daemon.handle.stop(Stop::Leave).await;
        assert_eq!(stopped, Stopped { killed: 0, left: 1 });
        assert!(process::exists(pid));
        assert!(process::signal_group(pid, Signal::SIGKILL));
        waitpid(pid, None).unwrap();
    });
}

#[test]
fn an_executor_without_runs_stops_at_once() {
    alone(async {
        let daemon = start();
        let stopped = daemon.handle.stop(Stop::End { grace: LONG }).await;
        assert_eq!(stopped, Stopped::default());
        daemon.task.await.unwrap();
        assert_eq!(daemon.handle.stop(Stop::Leave).await, Stopped::default());
        assert!(daemon.handle.state().await.running.is_empty());
    });
}
