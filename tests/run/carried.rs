//! Runs without a process here: to all but the system they are runs like any other.

use std::sync::Arc;
use std::time::Duration;

use cronkeep::clock::{Clock as _, SystemClock};
use cronkeep::crontab::directive::{Output, Overlap};
use cronkeep::event::{Cause, Ended, Event, Outcome, Stream, Trigger};
use cronkeep::executor::{Host, Stop, Stopped};
use cronkeep::job::Policy;
use cronkeep::store::{Permission, WhenDown};
use cronkeep::unix::Account;

use crate::courier::{Beside, FAR, Fake, start_carrying};
use crate::harness::{Daemon, alone, job, job_with, under, until};
use crate::mail::Mailbox;
use crate::policy::{LONG, SHORT, fire, other, overlap, reason, table};
use crate::shelf::Shelf;

const FAILED: Outcome = Outcome::Failed { exit: 1 };

fn start() -> (Arc<Fake>, Daemon) {
    let fake = Fake::new();
    let daemon = start_carrying(&fake, Beside::default());
    (fake, daemon)
}

/// How a run ended, and why.
fn ending(end: &Ended) -> (Outcome, Option<Cause>) {
    (end.outcome.clone(), end.cause)
}

#[test]
fn a_run_that_is_carried_out_starts_prints_and_ends_without_a_process() {
    alone(async {
        let (fake, mut daemon) = start();
        let told = daemon.run(job("carry say hello")).await;
        assert_eq!(told.pid, None);
        let lines = [(Stream::Stdout, "hello".to_owned()), (Stream::Stderr, "and err".to_owned())];
        assert_eq!(told.lines, lines);
        assert_eq!(ending(&told.end), (Outcome::Succeeded { exit: 0 }, None));
        assert_eq!(told.end.usage.user, Duration::from_millis(3));
        let told = daemon.run(job("carry return")).await;
        assert_eq!(ending(&told.end), (FAILED, Some(Cause::Returned)));
        assert_eq!(told.end.words(), "failed with exit code 1, no queue takes the message");
        let told = daemon.run(job("carry kill")).await;
        assert_eq!(ending(&told.end), (Outcome::Killed { signal: 9 }, None), "not here");
        let told = daemon.run(job("echo a process")).await;
        assert!(told.pid.is_some(), "what it does not take");
        assert_eq!((told.stdout(), fake.begun()), (vec!["a process"], 3));
        let counts = daemon.handle.state().await.counts;
        assert_eq!((counts.started, counts.succeeded, counts.failed), (4, 2, 2));
        daemon.finish().await;
    });
}

#[test]
fn a_run_elsewhere_took_as_long_as_was_measured_there() {
    alone(async {
        let (_fake, mut daemon) = start();
        let told = daemon.run(job("carry far")).await;
        assert_eq!((told.end.worker.as_deref(), told.end.duration), (Some("one"), FAR));
        let told = daemon.run(job("carry say x")).await;
        assert_eq!(told.end.worker, None);
        assert!(told.end.duration < FAR);
        daemon.finish().await;
    });
}

#[test]
fn one_that_takes_too_long_times_out_and_is_dropped() {
    alone(async {
        let (fake, mut daemon) = start();
        let policy = Policy { timeout: Some(SHORT), kill_after: LONG, ..Policy::default() };
        let told = daemon.run(under(policy, job("carry hang"))).await;
        assert_eq!(ending(&told.end), (Outcome::TimedOut { exit: None, signal: None }, None));
        assert!(told.end.duration >= SHORT);
        assert_eq!((told.stdout(), fake.under_way()), (vec!["begun"], 0));
        daemon.finish().await;
    });
}

#[test]
fn one_that_is_stopped_is_dropped_at_once_and_not_tried_again() {
    alone(async {
        let (fake, mut daemon) = start();
        let policy = Policy { kill_after: LONG, retries: 3, ..Policy::default() };
        let hangs = Arc::new(under(policy, job("carry hang")));
        let run = daemon.handle.fire(fire(&hangs, Trigger::Manual)).await.unwrap();
        assert_eq!(daemon.line().await, "begun");
        let state = daemon.handle.state().await;
        assert_eq!((state.running[0].run.id, state.running[0].pid), (run, None));
        assert!(daemon.handle.end(run).await);
        let end = daemon.end().await;
        assert_eq!((ending(&end), end.retry), ((FAILED, Some(Cause::Stopped)), None));
        assert_eq!(fake.under_way(), 0);
        assert!(!daemon.handle.end(run).await);
        daemon.finish().await;
    });
}

#[test]
fn one_that_is_stopped_in_the_moment_in_which_it_ends_is_told_of_once() {
    alone(async {
        let (fake, mut daemon) = start();
        let job = Arc::new(job("carry await"));
        let mut stopped = 0;
        for round in 0..200 {
            let run = daemon.handle.fire(fire(&job, Trigger::Manual)).await.unwrap();
            until(|| fake.under_way() == 1).await;
            // Whichever comes first, by nothing or by a few turns.
            let ends = async {
                for _ in 0..round / 2 % 5 {
                    tokio::task::yield_now().await;
                }
                fake.may_end.add_permits(1);
            };
            if round % 2 == 0 {
                tokio::join!(daemon.handle.end(run), ends);
            } else {
                tokio::join!(ends, daemon.handle.end(run));
            }
            let end = daemon.end().await;
            // A second end would be taken for that of the next.
            assert_eq!(end.run.id, run);
            stopped += usize::from(end.cause == Some(Cause::Stopped));
            while let Ok(permit) = fake.may_end.try_acquire() {
                permit.forget();
            }
        }
        assert!((1..200).contains(&stopped), "{stopped}");
        daemon.finish().await;
    });
}

#[test]
fn a_later_run_takes_the_place_of_one_that_is_carried_out_or_is_skipped_for_it() {
    alone(async {
        let (fake, mut daemon) = start();
        let replace = Arc::new(under(overlap(Overlap::Replace), job("carry hang")));
        for _ in 0..2 {
            daemon.fires.send(fire(&replace, Trigger::Schedule)).unwrap();
            assert_eq!(daemon.line().await, "begun");
        }
        assert_eq!((fake.begun(), fake.under_way()), (2, 1));
        let skip = Arc::new(under(overlap(Overlap::Skip), job("carry hang")));
        daemon.fires.send(fire(&skip, Trigger::Schedule)).unwrap();
        assert_eq!(reason(&mut daemon).await, "skipped: an earlier run is alive");
        daemon.handle.stop(Stop::End { grace: Duration::ZERO }).await;
    });
    alone(async {
        let (_fake, mut daemon) = start();
        let replace = Arc::new(under(overlap(Overlap::Replace), job("carry hang")));
        daemon.fires.send(fire(&replace, Trigger::Schedule)).unwrap();
        assert_eq!(daemon.line().await, "begun");
        daemon.fires.send(fire(&replace, Trigger::Schedule)).unwrap();
        assert_eq!(ending(&daemon.end().await), (FAILED, Some(Cause::Replaced)));
        daemon.handle.stop(Stop::Leave).await;
    });
}

#[test]
fn it_is_tried_again_under_the_same_name_as_any_run() {
    alone(async {
        let (fake, daemon) = start();
        let policy = |timeout| Policy {
            retries: 2,
            retry_delay: Duration::from_millis(20),
            retry_backoff: 2.0,
            timeout,
            ..Policy::default()
        };
        let begun = SystemClock.monotonic();
        let third = Arc::new(under(policy(None), job("carry third")));
        let run = daemon.handle.fire(fire(&third, Trigger::Manual)).await.unwrap();
        let end = daemon.handle.wait(run).await.unwrap();
        assert_eq!((end.run.attempt, end.outcome), (3, Outcome::Succeeded { exit: 0 }));
        assert!(SystemClock.monotonic().saturating_sub(begun) >= Duration::from_millis(60));
        let run = run.to_string();
        let attempts = [1, 2, 3].map(|attempt| (run.clone(), attempt));
        assert_eq!(*fake.begun.lock().unwrap(), attempts);
        let slow = Arc::new(under(policy(Some(SHORT)), other(1, job("carry hang"))));
        let run = daemon.handle.fire(fire(&slow, Trigger::Manual)).await.unwrap();
        let end = daemon.handle.wait(run).await.unwrap();
        assert_eq!((end.run.attempt, end.outcome.name()), (3, "timed out"));
        daemon.finish().await;
    });
}

#[test]
fn it_counts_among_the_runs_that_may_go_at_once() {
    alone(async {
        let fake = Fake::new();
        let beside = Beside { limit: Some(1), ..Beside::default() };
        let mut daemon = start_carrying(&fake, beside);
        let policy = Policy { grace: LONG, ..Policy::default() };
        for number in 1..=3 {
            daemon.fire(under(policy.clone(), other(number, job("carry await"))));
        }
        until(|| fake.under_way() == 1).await;
        assert_eq!(daemon.handle.state().await.waiting.len(), 2);
        for left in [1, 1, 0] {
            fake.may_end.add_permits(1);
            assert!(daemon.end().await.outcome.is_success());
            until(|| fake.under_way() == left).await;
        }
        daemon.finish().await;
    });
}

#[test]
fn its_code_is_judged_by_the_jobs_own_codes_unless_it_was_ended() {
    alone(async {
        let (_fake, mut daemon) = start();
        let policy =
            Policy { success_codes: [1, 3].into(), timeout: Some(LONG), ..Policy::default() };
        for (command, outcome) in [
            ("carry exit 3", Outcome::Succeeded { exit: 3 }),
            ("carry exit 0", Outcome::Failed { exit: 0 }),
            ("carry exit 4", Outcome::Failed { exit: 4 }),
        ] {
            let told = daemon.run(under(policy.clone(), job(command))).await;
            assert_eq!(told.end.outcome, outcome);
        }
        daemon.fire(under(policy, job("carry hang")));
        daemon.line().await;
        let run = daemon.handle.state().await.running[0].run.id;
        daemon.handle.end(run).await;
        assert_eq!(daemon.end().await.outcome, FAILED);
        daemon.finish().await;
    });
}

#[test]
fn others_follow_its_end() {
    alone(async {
        let table = table(
            "# cronkeep: name=well\n0 0 1 1 * carry exit 0\n\
             # cronkeep: name=ill\n0 0 1 1 * carry return\n\
             @after well carry say well\n@after well:failure carry say no\n\
             @after ill:failure echo ill\n@after ill carry say no\n",
        );
        let jobs = ["well", "ill"].map(|name| table.named(name).next().unwrap().clone());
        let fake = Fake::new();
        let mut daemon = start_carrying(&fake, Beside { table, ..Beside::default() });
        for job in &jobs {
            daemon.fires.send(fire(job, Trigger::Schedule)).unwrap();
        }
        let (mut lines, mut ends) = (Vec::new(), 0);
        while ends < 4 {
            match &*daemon.next().await {
                Event::RunOutput(line) if line.stream == Stream::Stdout => {
                    lines.push(String::from_utf8_lossy(&line.bytes).into_owned());
                }
                Event::RunEnded(_) => ends += 1,
                _ => {}
            }
        }
        lines.sort();
        assert_eq!(lines, ["ill", "well"]);
        daemon.finish().await;
    });
}

#[test]
fn one_that_panics_ends_as_a_program_that_does() {
    alone(async {
        let (fake, mut daemon) = start();
        let told = daemon.run(job("carry panic")).await;
        assert_eq!(ending(&told.end), (Outcome::Failed { exit: 101 }, None));
        let words = (Stream::Stderr, "panicked: asked for 1".to_owned());
        assert_eq!((&told.lines[0].1[..], &told.lines[1]), ("before", &words));
        let told = daemon.run(job("carry nothing")).await;
        assert_eq!(told.end.outcome, Outcome::Failed { exit: 101 });
        assert!(told.lines[0].1.starts_with("panicked: "), "{:?}", told.lines);
        assert_eq!(fake.under_way(), 0);
        assert_eq!(daemon.run(job("carry say on")).await.stdout(), ["on"], "it goes on");
        daemon.finish().await;
    });
}

#[test]
fn nothing_is_told_of_what_it_prints_where_nobody_wants_to_know() {
    alone(async {
        let (_fake, mut daemon) = start();
        let policy = Policy { output: Output::None, ..Policy::default() };
        let told = daemon.run(under(policy, job("carry say hello"))).await;
        assert!(told.lines.is_empty() && told.end.outcome.is_success());
        daemon.finish().await;
    });
}

#[test]
fn one_that_prints_without_end_is_bounded_and_can_be_ended() {
    alone(async {
        let (fake, mut daemon) = start();
        let policy = Policy { timeout: Some(3 * SHORT), ..Policy::default() };
        let told = daemon.run(under(policy, job("carry chatter"))).await;
        assert_eq!(told.end.outcome.name(), "timed out");
        assert!(told.lines.len() < 60_000, "{}", told.lines.len());
        assert_eq!(fake.under_way(), 0);
        daemon.handle.stop(Stop::Leave).await;
    });
}

#[test]
fn when_the_daemon_leaves_its_runs_those_without_a_process_are_ended() {
    alone(async {
        let (fake, mut daemon) = start();
        daemon.fire(job("carry hang"));
        daemon.line().await;
        assert_eq!(daemon.handle.stop(Stop::Leave).await, Stopped::default());
        let end = daemon.end().await;
        assert_eq!((ending(&end), fake.under_way()), ((FAILED, Some(Cause::Shutdown)), 0));
    });
}

#[test]
fn one_that_ends_in_a_moment_has_it_when_the_daemon_ends() {
    alone(async {
        for stop in [Stop::Leave, Stop::End { grace: LONG }] {
            let (fake, mut daemon) = start();
            daemon.fire(job("carry await"));
            until(|| fake.under_way() == 1).await;
            let stopping = daemon.handle.stop(stop);
            fake.may_end.add_permits(1);
            assert_eq!(stopping.await, Stopped::default());
            assert_eq!(daemon.end().await.outcome, Outcome::Succeeded { exit: 0 });
        }
        let (fake, mut daemon) = start();
        daemon.fire(job("carry hang"));
        daemon.line().await;
        let begun = SystemClock.monotonic();
        daemon.handle.stop(Stop::End { grace: Duration::ZERO }).await;
        assert!(SystemClock.monotonic().saturating_sub(begun) < Duration::from_millis(400));
        let end = daemon.end().await;
        assert_eq!((ending(&end), fake.under_way()), ((FAILED, Some(Cause::Shutdown)), 0));
    });
}

#[test]
fn what_it_printed_is_mailed() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        let host = Host { post: Arc::new(mailbox.post()), ..Host::new(Account::current(), []) };
        let fake = Fake::new();
        let beside = Beside { host: Some(host), ..Beside::default() };
        let mut daemon = start_carrying(&fake, beside);
        let settings = [("HOME", "/"), ("MAILTO", "ops")];
        daemon.run(job_with(&settings, "carry exit 3")).await;
        assert!(mailbox.is_empty(), "it printed nothing");
        daemon.run(job_with(&settings, "carry say hello")).await;
        let mail = mailbox.mail().await;
        assert!(mail.contains("\nTo: ops\n") && mail.contains("> carry say hello\n"), "{mail}");
        assert!(mail.ends_with("\n\nhello\nand err\n"), "{mail}");
        daemon.finish().await;
    });
}

#[test]
fn it_is_recorded_before_it_is_carried_out_and_not_carried_out_unless_that_is_permitted() {
    alone(async {
        let (fake, shelf) = (Fake::new(), Shelf::shut());
        let (ledger, _) = shelf.ledger(LONG, WhenDown::Run);
        let beside = Beside { ledger: Some(ledger), ..Beside::default() };
        let mut daemon = start_carrying(&fake, beside);
        daemon.fire(job("carry say on"));
        until(|| !shelf.starts().is_empty()).await;
        let run = daemon.handle.state().await.starting[0].id;
        assert!(daemon.handle.end(run).await);
        assert_eq!(daemon.end().await.outcome.name(), "could not start");
        // The permission that comes late carries nothing out.
        shelf.answer(1);
        daemon.fire(job("carry say again"));
        shelf.answer(1);
        assert_eq!(daemon.line().await, "again");
        assert!(daemon.end().await.outcome.is_success());
        shelf.permit(Permission::Taken);
        daemon.fire(job("carry say no"));
        shelf.answer(1);
        assert_eq!(reason(&mut daemon).await, "missed: another replica has started it");
        assert_eq!(fake.begun(), 1);
        daemon.finish().await;
    });
}

#[test]
fn nothing_is_made_ready_for_what_needs_no_process() {
    alone(async {
        let (_fake, mut daemon) = start();
        daemon.ahead.send(Arc::new(job("carry say ready"))).unwrap();
        assert_eq!(daemon.run(job("carry say on")).await.stdout(), ["on"]);
        assert_eq!(crate::ahead::starters(), 0);
        daemon.finish().await;
    });
}
