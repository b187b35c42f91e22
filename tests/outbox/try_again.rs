//! When what is sent again, in which order, and until when.

use std::time::Duration;

use cronkeep::broker::{Delivery, Standing};
use cronkeep::outbox::{Letter, Outbox, Pace, Parts, Refused};

use super::broker::{Broker, Plan, away, blocked, down, returned, up};
use super::harness::{Bench, LONG, after, block_on, eventually, letter, pace};

#[test]
fn a_letter_is_kept_sent_confirmed_and_gone() {
    block_on(async {
        let mut bench = Bench::new(Broker::new());
        let (outbox, _task) = bench.start();
        let fate = outbox.accept(letter("a", Some(1))).await.unwrap();
        assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
        assert_eq!(bench.event().await, "confirmed a 1");
        bench.emptied().await;
        let sent = bench.broker.sent();
        assert_eq!(*sent[0], letter("a", Some(1)).message);
        // Its id is known.
        let fate = outbox.accept(letter("a", Some(1))).await.unwrap();
        assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
        assert_eq!(bench.broker.ids(), ["a"]);
    });
}

#[test]
fn what_was_not_confirmed_is_told_and_sent_again_until_it_is() {
    block_on(async {
        let answers = [away(), Delivery::TimedOut, Delivery::Nacked, Delivery::Confirmed];
        let mut answers = answers.into_iter();
        let broker = Broker::answering(move |_| Plan::Now(answers.next().unwrap()));
        let mut bench = Bench::new(broker);
        let (outbox, _task) = bench.start();
        let fate = outbox.accept(letter("a", Some(1))).await.unwrap();
        assert_eq!(fate.next(LONG).await, away(), "the first answer");
        assert_eq!(bench.event().await, "failed a 1 again: the broker is away: connection reset");
        assert_eq!(bench.event().await, "failed a 2 again: not confirmed in time");
        assert_eq!(bench.event().await, "failed a 3 again: the broker refused it (nack)");
        assert_eq!(bench.event().await, "confirmed a 4");
        bench.emptied().await;
    });
}

#[test]
fn a_failure_holds_up_the_later_letters_of_its_job_alone() {
    block_on(async {
        let mut failures = 5;
        let bench = Bench::new(Broker::answering(move |message| {
            if message.id == "a1" && failures > 0 {
                failures -= 1;
                return Plan::Now(Delivery::Nacked);
            }
            Plan::Now(Delivery::Confirmed)
        }));
        let (outbox, _task) = bench.start();
        for (id, job) in [("a1", Some(1)), ("a2", Some(1)), ("b1", Some(2)), ("c", None)] {
            outbox.accept(letter(id, job)).await.unwrap();
        }
        bench.emptied().await;
        let ids = bench.broker.ids();
        assert_eq!(ids.iter().filter(|id| *id == "a1").count(), 6);
        assert_eq!(ids.last().unwrap(), "a2", "{ids:?}");
        let place = |id: &str| ids.iter().position(|other| other == id).unwrap();
        assert!(place("b1") < place("a2") && place("c") < place("a2"));
    });
}

#[test]
fn a_refusal_holds_up_nothing_and_is_tried_again_slowly() {
    block_on(async {
        let bench = Bench::new(Broker::answering(|message| {
            Plan::Now(if message.id == "a1" { returned() } else { Delivery::Confirmed })
        }));
        let slow = Duration::from_millis(200);
        let pace = Pace { first_refused: slow, longest_refused: slow, ..pace() };
        let (outbox, _task) = Outbox::start(Parts { pace, ..bench.parts() });
        let refused = outbox.accept(letter("a1", Some(1))).await.unwrap();
        assert_eq!(refused.next(LONG).await, returned());
        let begun = tokio::time::Instant::now();
        for id in ["a2", "a3"] {
            let fate = outbox.accept(letter(id, Some(1))).await.unwrap();
            assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
        }
        eventually(async || bench.broker.ids().len() > 3).await;
        assert!(begun.elapsed() >= Duration::from_millis(90), "{:?}", begun.elapsed());
        assert_eq!(bench.broker.ids()[..4], ["a1", "a2", "a3", "a1"]);
        assert_eq!(bench.kept().await.len(), 1, "it waits for a queue");
        bench.broker.answer(|_| Plan::Now(Delivery::Confirmed));
        // Somebody has mended it, and says so.
        let fate = outbox.nudge("a1").await.unwrap();
        assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
        assert!(outbox.nudge("a1").await.is_none());
    });
}

#[test]
fn nothing_is_sent_while_the_broker_is_away_and_all_at_once_when_it_is_back() {
    block_on(async {
        for standing in [down(), blocked()] {
            let mut bench = Bench::new(Broker::new());
            bench.broker.stand(standing.clone());
            let pace = Pace { first: LONG, longest: LONG, ..pace() };
            let (outbox, _task) = Outbox::start(Parts { pace, ..bench.parts() });
            let begun = tokio::time::Instant::now();
            let fate = outbox.accept(letter("0", None)).await.unwrap();
            let told = fate.next(LONG).await;
            match &standing {
                Standing::Blocked { reason, .. } => {
                    assert_eq!(told, Delivery::Blocked { reason: reason.clone() });
                }
                _ => assert_eq!(told, Delivery::Away { reason: "connection refused".to_owned() }),
            }
            assert!((1..3).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
            for number in 1..300 {
                outbox.accept(letter(&number.to_string(), None)).await.unwrap();
            }
            assert_eq!(bench.broker.ids(), [""; 0]);
            assert_eq!(bench.events(), [""; 0], "that nothing is tried is no failure");
            bench.broker.stand(up());
            bench.emptied().await;
            let expected: Vec<String> = (0..300).map(|number: u32| number.to_string()).collect();
            assert_eq!(bench.broker.ids(), expected);
        }
    });
}

#[test]
fn what_failed_as_the_broker_went_waits_for_its_return_not_for_its_rest() {
    block_on(async {
        let mut bench = Bench::new(Broker::answering(|_| Plan::Now(away())));
        let pace = Pace { first: LONG, longest: LONG, ..pace() };
        let (outbox, _task) = Outbox::start(Parts { pace, ..bench.parts() });
        outbox.accept(letter("a", Some(1))).await.unwrap().next(LONG).await;
        bench.broker.stand(down());
        bench.broker.answer(|_| Plan::Now(Delivery::Confirmed));
        let told = bench.event().await;
        assert!(told.starts_with("failed a 1"), "{told}");
        bench.broker.stand(up());
        assert_eq!(bench.event().await, "confirmed a 2");
    });
}

#[test]
fn a_broker_that_nobody_has_asked_yet_is_asked_with_one_letter() {
    block_on(async {
        let bench = Bench::new(Broker::answering(|_| Plan::Never));
        bench.broker.stand(Standing::Unknown);
        let (outbox, _task) = bench.start();
        for id in ["a", "b", "c"] {
            outbox.accept(letter(id, None)).await.unwrap();
        }
        eventually(async || bench.broker.ids() == ["a"]).await;
        bench.broker.stand(up());
        eventually(async || bench.broker.ids() == ["a", "b", "c"]).await;
    });
}

#[test]
fn a_letter_that_expires_is_dropped_and_told_with_its_last_failure() {
    block_on(async {
        let mut bench = Bench::new(Broker::answering(|message| match message.id.as_str() {
            "refused" => Plan::Now(returned()),
            "silent" => Plan::Later(Duration::from_millis(300), Delivery::TimedOut),
            _ => Plan::Later(Duration::from_millis(300), Delivery::Confirmed),
        }));
        let pace = Pace { first_refused: LONG, longest_refused: LONG, ..pace() };
        let (outbox, _task) = Outbox::start(Parts { pace, ..bench.parts() });
        let brief = |id: &str| Letter {
            expires: after(Duration::from_millis(150)),
            ..letter(id, Some(id.as_bytes()[0]))
        };
        let mut fates = Vec::new();
        for id in ["refused", "silent", "in time"] {
            fates.push(outbox.accept(brief(id)).await.unwrap());
        }
        let mut told = Vec::new();
        while told.len() < 5 {
            told.push(bench.event().await);
        }
        assert!(told[0].starts_with("failed refused 1"), "{told:?}");
        let words = "dropped refused expired: returned: no queue takes it (312 NO_ROUTE)";
        assert!(told.contains(&words.to_owned()), "{told:?}");
        let words = "dropped silent expired: not confirmed in time";
        assert!(told.contains(&words.to_owned()), "{told:?}");
        assert!(told.contains(&"confirmed in time 1".to_owned()), "{told:?}");
        let mut ends = Vec::new();
        for fate in fates {
            ends.push(fate.next(LONG).await);
        }
        let expired = Delivery::Expired { reason: "not confirmed in time".to_owned() };
        assert_eq!(ends, [returned(), expired, Delivery::Confirmed]);
        bench.emptied().await;
        bench.broker.stand(down());
        let fate = outbox.accept(brief("never sent")).await.unwrap();
        let told = bench.event().await;
        assert!(told.starts_with("dropped never sent expired: it was not sent by 2"), "{told}");
        let Delivery::Expired { reason } = fate.next(LONG).await else { panic!("it is dropped") };
        assert!(reason.starts_with("it was not sent by 2"), "{reason}");
        bench.emptied().await;
    });
}

#[test]
fn one_that_waits_already_is_tried_now_and_told_of() {
    block_on(async {
        let bench = Bench::new(Broker::answering(|_| Plan::Now(returned())));
        let pace = Pace { first_refused: LONG, longest_refused: LONG, ..pace() };
        let (outbox, _task) = Outbox::start(Parts { pace, ..bench.parts() });
        for tries in 1..4 {
            let fate = outbox.accept(letter("a", Some(1))).await.unwrap();
            assert_eq!(fate.next(LONG).await, returned());
            assert_eq!(bench.broker.ids().len(), tries);
        }
        assert_eq!(bench.kept().await.len(), 1);
    });
}

#[test]
fn the_end_gives_what_is_under_way_a_moment_and_begins_nothing() {
    block_on(async {
        let slow = Duration::from_millis(100);
        let mut bench =
            Bench::new(Broker::answering(move |_| Plan::Later(slow, Delivery::Confirmed)));
        let (outbox, _task) = bench.start();
        let mut fates = Vec::new();
        for id in ["a1", "a2"] {
            fates.push(outbox.accept(letter(id, Some(1))).await.unwrap());
        }
        assert!(outbox.flush(LONG).await);
        let mut ends = Vec::new();
        for fate in fates {
            ends.push(fate.next(LONG).await);
        }
        assert_eq!(ends, [Delivery::Confirmed, Delivery::Stopped]);
        assert_eq!(bench.events(), ["confirmed a1 1"]);
        assert_eq!(bench.kept().await.len(), 1, "the confirmed one is gone, the other waits");
        assert_eq!(outbox.accept(letter("b", None)).await.unwrap_err(), Refused::Stopping);
        assert_eq!(bench.broker.ids(), ["a1"]);
        // One that is not answered is not waited for.
        let bench = Bench::new(Broker::answering(|_| Plan::Never));
        let (outbox, _task) = bench.start();
        let fate = outbox.accept(letter("a", None)).await.unwrap();
        eventually(async || bench.broker.ids().len() == 1).await;
        assert!(!outbox.flush(Duration::from_millis(20)).await);
        assert_eq!(fate.next(LONG).await, Delivery::Stopped);
        assert_eq!(bench.kept().await.len(), 1);
    });
}
