//! Starts are recorded before they are made.

use std::sync::Arc;
use std::time::Duration;

use cronkeep::crontab::directive::Overlap;
use cronkeep::event::{Event, Outcome, Settlement};
use cronkeep::executor::{Host, Ledger, Stop};
use cronkeep::job::{Job, Policy};
use cronkeep::store::record::RecordedOutcome;
use cronkeep::store::{Mark, Owed, Permission, WhenDown, Write};
use cronkeep::unix::Account;
use tokio::sync::mpsc;

use crate::harness::{Daemon, alone, job, start_recorded, under, until};
use crate::shelf::Shelf;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);
/// Not long.
const SHORT: Duration = Duration::from_millis(50);

fn daemon(ledger: Ledger) -> Daemon {
    start_recorded(Host::new(Account::current(), Vec::new()), Some(ledger))
}

async fn missed(daemon: &mut Daemon) -> String {
    loop {
        match &*daemon.next().await {
            Event::RunMissed { reason, run, .. } => {
                assert!(run.is_some(), "it has come to be");
                return reason.clone();
            }
            Event::RunStarted(started) => panic!("{started:?}"),
            _ => {}
        }
    }
}

#[test]
fn a_start_is_recorded_before_its_process_is() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
        let mut daemon = daemon(ledger);
        daemon.fire(job("true"));
        until(|| !shelf.starts().is_empty()).await;
        assert_eq!(daemon.handle.state().await.starting.len(), 1);
        assert!(daemon.events.try_recv().is_err(), "nothing has happened");
        shelf.answer(1);
        let end = daemon.end().await;
        let starts = shelf.starts();
        let start = &starts[0][0];
        assert_eq!((start.run, start.attempt, start.key), (end.run.id, 1, end.run.fire.job.key));
        assert_eq!(start.mark, Mark::of(end.run.fire.due, 0));
        assert_eq!((&*start.name, start.queued), ("probe", end.run.id.at()));
        daemon.finish().await;
    });
}

#[test]
fn what_is_released_while_the_store_is_asked_is_asked_for_together() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
        let mut daemon = daemon(ledger);
        daemon.fire(job("true"));
        until(|| shelf.starts().len() == 1).await;
        for _ in 0..100 {
            daemon.fire(job("true"));
        }
        while daemon.handle.state().await.starting.len() < 101 {}
        shelf.answer(2);
        for _ in 0..101 {
            assert!(daemon.end().await.outcome.is_success());
        }
        let asked: Vec<_> = shelf.starts().iter().map(Vec::len).collect();
        assert_eq!(asked, [1, 100]);
        daemon.finish().await;
    });
}

#[test]
fn starts_that_are_shared_are_asked_for_a_few_at_a_time() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
        let (told, _settled) = mpsc::unbounded_channel();
        let mut daemon = daemon(ledger.with_claims(told));
        for _ in 0..100 {
            daemon.fire(job("true"));
        }
        while daemon.handle.state().await.starting.len() < 100 {}
        let asked = || -> Vec<usize> { shelf.starts().iter().map(Vec::len).collect() };
        for question in 0.. {
            until(|| asked().len() > question).await;
            assert_eq!(asked().len(), question + 1, "one after the other: {:?}", asked());
            shelf.answer(1);
            if asked().iter().sum::<usize>() == 100 {
                break;
            }
        }
        for _ in 0..100 {
            assert!(daemon.end().await.outcome.is_success());
        }
        assert!(asked().iter().all(|count| *count <= 16), "{:?}", asked());
        daemon.finish().await;
    });
}

#[test]
fn what_another_replica_has_taken_is_not_started() {
    alone(async {
        for (permission, words) in [
            (Permission::Taken, "another replica has started it"),
            (Permission::Fenced, "this replica's lease has ended"),
        ] {
            let shelf = Shelf::open();
            shelf.permit(permission);
            let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
            let mut daemon = daemon(ledger);
            daemon.fire(job("true"));
            assert_eq!(missed(&mut daemon).await, words);
            assert_eq!(daemon.handle.state().await.counts.missed, 1);
            // Nothing of it is left that a later run would have to wait for.
            shelf.permit(Permission::Granted);
            let policy = Policy { overlap: Overlap::Skip, ..Policy::default() };
            daemon.fire(under(policy, job("true")));
            assert!(daemon.end().await.outcome.is_success());
            daemon.finish().await;
        }
    });
}

#[test]
fn a_store_that_does_not_answer_holds_up_one_start_and_no_schedule() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, handle) = shelf.ledger(SHORT, WhenDown::Run);
        let standing = handle.standing();
        let mut daemon = daemon(ledger);
        daemon.fire(job("true"));
        let first = daemon.end().await;
        assert!(first.outcome.is_success());
        // It may have taken a write since, and count as well again.
        assert!(standing.has_changed().unwrap(), "it is told");
        let key = first.run.fire.job.key;
        let mark = Write::Mark(key, Mark::of(first.run.fire.due, 0));
        until(|| shelf.writes().contains(&mark)).await;
        assert!(shelf.writes().contains(&Write::Settle(key, first.run.fire.due)));
        // Writes are taken, and so it counts as well again; once more it is not asked in vain.
        daemon.fire(job("true"));
        assert!(daemon.end().await.outcome.is_success());
        daemon.finish().await;
    });
}

#[test]
fn where_others_may_have_made_it_a_start_without_an_answer_is_missed() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, _) = shelf.ledger(SHORT, WhenDown::Hold);
        let mut daemon = daemon(ledger);
        // It is asked for again for as long as it may be late.
        daemon.fire(under(Policy { grace: SHORT, ..Policy::default() }, job("true")));
        assert_eq!(missed(&mut daemon).await, "held while the store was away");
        shelf.answer(1);
        daemon.finish().await;
    });
}

/// A start that is shared with other replicas, and of which the store was asked without an answer that anybody heard; it
/// answers the next question like this.
async fn unheard(
    next: Permission,
    grace: Duration,
) -> (Arc<Shelf>, Daemon, mpsc::UnboundedReceiver<Settlement>) {
    let shelf = Shelf::shut();
    shelf.permit(next);
    let (ledger, _) = shelf.ledger(SHORT, WhenDown::Hold);
    let (told, settled) = mpsc::unbounded_channel();
    let daemon = daemon(ledger.with_claims(told));
    daemon.fire(under(Policy { grace, ..Policy::default() }, job("true")));
    until(|| shelf.starts().len() == 1).await;
    let run = shelf.starts()[0][0].run;
    until(|| shelf.starts().len() == 2).await;
    assert_eq!(shelf.starts()[1][0].run, run, "it is the same that is asked for again");
    shelf.answer(1_000);
    (shelf, daemon, settled)
}

/// What is recorded of the ends of runs.
fn ends(shelf: &Shelf) -> Vec<RecordedOutcome> {
    let outcome = |write| match write {
        Write::Run(record) => record.outcome,
        _ => None,
    };
    shelf.writes().into_iter().filter_map(outcome).collect()
}

#[test]
fn a_start_that_was_not_answered_before_the_lease_ended_is_made_under_the_next() {
    alone(async {
        let (shelf, mut daemon, mut settled) = unheard(Permission::Fenced, LONG).await;
        // Recorded or not: nobody else starts it as long as it is ours.
        until(|| shelf.starts().len() > 3).await;
        assert!(settled.try_recv().is_err(), "it is not given back");
        shelf.permit(Permission::Granted);
        assert!(daemon.end().await.outcome.is_success());
        assert!(matches!(settled.recv().await, Some(Settlement::Started(_))));
        daemon.finish().await;
    });
}

#[test]
fn a_start_that_was_not_answered_and_is_anothers_is_left_to_what_that_one_says_of_it() {
    alone(async {
        let (shelf, mut daemon, mut settled) = unheard(Permission::Taken, LONG).await;
        assert!(matches!(settled.recv().await, Some(Settlement::Returned(_))));
        assert!(daemon.handle.state().await.starting.is_empty());
        // Whatever is written is written in its order.
        shelf.permit(Permission::Granted);
        daemon.fire(job("true"));
        assert!(daemon.end().await.outcome.is_success());
        assert_eq!(ends(&shelf), []);
        daemon.finish().await;
    });
}

#[test]
fn a_start_that_was_not_answered_in_time_is_missed_when_it_is_known_to_be_ours() {
    alone(async {
        let (shelf, mut daemon, mut settled) = unheard(Permission::Fenced, SHORT).await;
        until(|| shelf.starts().len() > 3).await;
        assert!(daemon.events.try_recv().is_err(), "another may have started it");
        shelf.permit(Permission::Granted);
        assert_eq!(missed(&mut daemon).await, "held while the store was away");
        assert!(matches!(settled.recv().await, Some(Settlement::Passed(_))));
        daemon.finish().await;
    });
}

/// Ends the run that waits for its permission.
async fn end_waiting(daemon: &Daemon) {
    let run = daemon.handle.state().await.starting[0].id;
    assert!(daemon.handle.end(run).await);
}

/// Whether anything was told of an end since the last event that was waited for.
fn has_ended(daemon: &mut Daemon) -> bool {
    std::iter::from_fn(|| daemon.events.try_recv().ok())
        .any(|event| matches!(&*event, Event::RunEnded(_) | Event::RunMissed { .. }))
}

#[test]
fn a_start_that_was_not_answered_and_was_ended_is_left_to_what_another_says_of_it() {
    alone(async {
        let (shelf, mut daemon, mut settled) = unheard(Permission::Fenced, LONG).await;
        end_waiting(&daemon).await;
        let asked = shelf.starts().len();
        until(|| shelf.starts().len() > asked + 1).await;
        assert!(!has_ended(&mut daemon), "it may be another's by now");
        let run = shelf.starts()[0][0].run;
        shelf.permit(Permission::Taken);
        // It may be that nobody has it: whoever claims it then is to tell it, and not to start it.
        let settlement = settled.recv().await;
        assert!(
            matches!(settlement, Some(Settlement::Ended(_, ended)) if ended == run),
            "{settlement:?}"
        );
        assert!(daemon.handle.state().await.starting.is_empty());
        assert!(!has_ended(&mut daemon));
        daemon.finish().await;
    });
}

#[test]
fn a_start_that_was_not_answered_and_was_ended_is_told_once_it_is_known_to_be_ours() {
    alone(async {
        let (shelf, mut daemon, mut settled) = unheard(Permission::Fenced, LONG).await;
        end_waiting(&daemon).await;
        shelf.permit(Permission::Granted);
        let end = daemon.end().await;
        let reason = "it was ended before its start".to_owned();
        assert_eq!(end.outcome, Outcome::CouldNotStart { reason });
        assert!(matches!(settled.recv().await, Some(Settlement::Started(_))));
        daemon.finish().await;
    });
}

#[test]
fn a_start_that_is_ended_while_the_store_is_first_asked_is_told_with_its_answer() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Hold);
        let (told, _settled) = mpsc::unbounded_channel();
        let mut daemon = daemon(ledger.with_claims(told));
        daemon.fire(under(Policy { grace: LONG, ..Policy::default() }, job("true")));
        until(|| shelf.starts().len() == 1).await;
        end_waiting(&daemon).await;
        daemon.handle.state().await;
        assert!(!has_ended(&mut daemon), "it may not be ours");
        shelf.answer(1_000);
        assert!(matches!(daemon.end().await.outcome, Outcome::CouldNotStart { .. }));
        daemon.finish().await;
    });
}

#[test]
fn a_start_that_is_ended_and_refused_is_told_by_whoever_claims_it_next() {
    alone(async {
        for answer in [Permission::Taken, Permission::Fenced] {
            let shelf = Shelf::shut();
            shelf.permit(answer);
            let (ledger, _) = shelf.ledger(LONG, WhenDown::Hold);
            let (told, mut settled) = mpsc::unbounded_channel();
            let mut daemon = daemon(ledger.with_claims(told));
            let policy = Policy { grace: LONG, overlap: Overlap::Skip, ..Policy::default() };
            let one = under(policy, job("true"));
            daemon.fire(one.clone());
            until(|| shelf.starts().len() == 1).await;
            // The store is asked for this one after it has answered for that one.
            daemon.fire(under(Policy { grace: LONG, ..Policy::default() }, job("exit 7")));
            while daemon.handle.state().await.starting.len() < 2 {}
            let runs: Vec<_> =
                daemon.handle.state().await.starting.iter().map(|run| run.id).collect();
            for run in &runs {
                assert!(daemon.handle.end(*run).await);
            }
            shelf.answer(1_000);
            let mut ended = Vec::new();
            for _ in 0..2 {
                match settled.recv().await {
                    Some(Settlement::Ended(_, run)) => ended.push(run),
                    other => panic!("{other:?}"),
                }
            }
            ended.sort_unstable();
            assert_eq!(ended, runs);
            assert!(daemon.handle.state().await.starting.is_empty());
            assert!(!has_ended(&mut daemon), "it is not told here, too");
            // Nothing of it is left that a later run would have to wait for.
            shelf.permit(Permission::Granted);
            daemon.fire(one);
            assert!(daemon.end().await.outcome.is_success());
            daemon.finish().await;
        }
    });
}

#[test]
fn an_executor_that_stops_says_nothing_of_a_start_that_was_not_answered() {
    alone(async {
        let (_shelf, mut daemon, mut settled) = unheard(Permission::Fenced, LONG).await;
        let stopped = daemon.handle.stop(Stop::End { grace: LONG }).await;
        assert_eq!((stopped.killed, stopped.left), (0, 0));
        assert!(!has_ended(&mut daemon));
        assert!(settled.try_recv().is_err());
    });
}

#[test]
fn what_is_started_without_an_answer_leaves_no_claim_behind() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, _) = shelf.ledger(SHORT, WhenDown::Run);
        let (told, _settled) = mpsc::unbounded_channel();
        let mut daemon = daemon(ledger.with_claims(told));
        let job = Arc::new(job("true"));
        daemon.fire_at(&job, 60);
        daemon.fire_at(&job, 120);
        for _ in 0..2 {
            assert!(daemon.end().await.outcome.is_success());
        }
        // The later mark must not be all that is written of the two.
        let given_up = || {
            let writes = shelf.writes().into_iter();
            writes.filter(|write| matches!(write, Write::Release(..))).count()
        };
        until(|| given_up() == 2).await;
        daemon.finish().await;
    });
}

#[test]
fn a_run_that_waits_for_its_permission_can_be_ended() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
        let mut daemon = daemon(ledger);
        daemon.fire(job("true"));
        until(|| !shelf.starts().is_empty()).await;
        let run = daemon.handle.state().await.starting[0].id;
        assert!(daemon.handle.end(run).await);
        let end = daemon.end().await;
        assert!(matches!(end.outcome, Outcome::CouldNotStart { .. }), "{end:?}");
        shelf.answer(1);
        // The permission that comes late starts nothing.
        daemon.fire(job("exit 7"));
        shelf.answer(1);
        assert_eq!(daemon.end().await.outcome, Outcome::Failed { exit: 7 });
        daemon.finish().await;
    });
}

#[test]
fn an_executor_that_stops_waits_for_no_permission() {
    alone(async {
        let shelf = Shelf::shut();
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
        let mut daemon = daemon(ledger);
        daemon.fire(job("true"));
        until(|| !shelf.starts().is_empty()).await;
        let stopped = daemon.handle.stop(Stop::End { grace: LONG }).await;
        assert_eq!((stopped.killed, stopped.left), (0, 0));
        assert!(matches!(daemon.end().await.outcome, Outcome::CouldNotStart { .. }));
        shelf.answer(1);
    });
}

#[test]
fn each_attempt_is_recorded() {
    alone(async {
        let shelf = Shelf::open();
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
        let mut daemon = daemon(ledger);
        let policy = Policy { retries: 2, retry_delay: Duration::ZERO, ..Policy::default() };
        daemon.fire(under(policy, job("exit 1")));
        for _ in 0..3 {
            daemon.end().await;
        }
        let attempts: Vec<_> = shelf.starts().iter().flatten().map(|start| start.attempt).collect();
        assert_eq!(attempts, [1, 2, 3]);
        daemon.finish().await;
    });
}

/// What was owed, and what was marked, of a job.
fn owed(shelf: &Arc<Shelf>) -> (usize, usize) {
    let writes = shelf.writes();
    let owes = writes.iter().filter(|write| matches!(write, Write::Owe(_, Owed { .. }))).count();
    (owes, writes.iter().filter(|write| matches!(write, Write::Mark(..))).count())
}

fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy { grace: LONG, ..Policy::default() };
    change(&mut policy);
    policy
}

#[test]
fn what_has_to_wait_is_owed_and_passed_by_its_watermark() {
    alone(async {
        let queue = policy(|policy| policy.overlap = Overlap::Queue);
        let replace = policy(|policy| policy.overlap = Overlap::Replace);
        for policy in [queue, replace] {
            let shelf = Shelf::open();
            let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
            let mut daemon = daemon(ledger);
            let waits: Job = under(policy, job("sleep 1000"));
            daemon.fire(waits.clone());
            while !matches!(&*daemon.next().await, Event::RunStarted(_)) {}
            assert_eq!(owed(&shelf), (0, 0), "what starts at once is not");
            daemon.fire(waits);
            until(|| owed(&shelf) == (1, 1)).await;
            daemon.handle.stop(Stop::End { grace: LONG }).await;
        }
    });
}

#[test]
fn what_jitter_puts_off_is_owed() {
    alone(async {
        let shelf = Shelf::open();
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
        let mut daemon = daemon(ledger);
        daemon.fire(under(policy(|policy| policy.jitter = LONG), job("true")));
        until(|| owed(&shelf) == (1, 1)).await;
        assert!(shelf.starts().is_empty());
        daemon.handle.stop(Stop::Leave).await;
        assert_eq!(missed(&mut daemon).await, "the daemon was stopped");
    });
}
