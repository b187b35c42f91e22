//! How much waits, how much is under way, and a store that has no room or does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cronkeep::broker::Delivery;
use cronkeep::outbox::{Backlog, Bounds, Outbox, Pace, Parts, Refused};
use cronkeep::store::{Room, Store, StoreError};

use super::broker::{Broker, Plan, down, up};
use super::harness::{Bench, LONG, block_on, eventually, handle, large, letter, pace};
use super::redis::Redis;

#[test]
fn what_is_under_way_is_bounded_in_number_and_bytes() {
    block_on(async {
        let brief = Duration::from_millis(1);
        let bench = Bench::new(Broker::answering(move |_| Plan::Later(brief, Delivery::Confirmed)));
        let bounds = Bounds { flying: 10, flying_bytes: 50_000, ..Bounds::default() };
        bench.broker.stand(down());
        let (outbox, _task) = Outbox::start(Parts { bounds, ..bench.parts() });
        for number in 0..100 {
            outbox.accept(letter(&format!("small {number}"), None)).await.unwrap();
        }
        for number in 0..20 {
            outbox.accept(large(&format!("large {number}"), None, 20_000)).await.unwrap();
        }
        outbox.accept(large("larger than all", None, 100_000)).await.unwrap();
        bench.broker.stand(up());
        bench.emptied().await;
        assert_eq!(bench.broker.most(), (10, 100_000), "what is larger goes alone");
        assert_eq!(bench.broker.ids().len(), 121);
    });
}

#[test]
fn what_is_confirmed_leaves_the_store_though_another_is_under_way() {
    block_on(async {
        let bench = Bench::new(Broker::answering(|message| match &*message.id {
            "stays" => Plan::Never,
            _ => Plan::Now(Delivery::Confirmed),
        }));
        let (outbox, _task) = bench.start();
        outbox.accept(letter("stays", None)).await.unwrap();
        for number in 0..10 {
            let fate = outbox.accept(letter(&format!("{number}"), None)).await.unwrap();
            assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
        }
        eventually(async || bench.kept().await.iter().map(|kept| &*kept.id).eq(["stays"])).await;
        // Of what is known to be confirmed nothing is sent again.
        let fate = outbox.accept(letter("3", None)).await.unwrap();
        assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
        assert_eq!(bench.broker.ids().len(), 11);
    });
}

#[test]
fn what_was_confirmed_just_now_takes_no_room_and_is_not_sent_again() {
    block_on(async {
        let bench = Bench::new(Broker::answering(|message| match &*message.id {
            "stays" => Plan::Never,
            _ => Plan::Now(Delivery::Confirmed),
        }));
        let bounds = Bounds { room: Room { count: 2, bytes: 1 << 20 }, ..Bounds::default() };
        let (outbox, _task) = Outbox::start(Parts { bounds, ..bench.parts() });
        outbox.accept(letter("stays", None)).await.unwrap();
        // Each comes at once after the one before was confirmed: that leaves as this one comes.
        for number in 0..50 {
            for _ in 0..2 {
                let fate = outbox.accept(letter(&format!("{number}"), None)).await.unwrap();
                assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
            }
        }
        assert_eq!(bench.broker.ids().len(), 51);
    });
}

#[test]
fn what_does_not_fit_into_memory_is_read_when_its_turn_comes() {
    block_on(async {
        let bench = Bench::new(Broker::new());
        bench.broker.stand(down());
        let bounds = Bounds { memory: 10_000, flying_bytes: 20_000, ..Bounds::default() };
        let (outbox, task) = Outbox::start(Parts { bounds, ..bench.parts() });
        for number in 0..300 {
            let job = Some(u8::try_from(number % 7).unwrap());
            outbox.accept(large(&format!("{number:03}"), job, 1_000)).await.unwrap();
        }
        let backlog = *outbox.backlog().borrow();
        assert!(backlog.count == 300 && backlog.bytes > 300_000, "{backlog:?}");
        // And after a restart.
        task.abort();
        let _ = task.await;
        let (outbox, _task) = Outbox::start(Parts { bounds, ..bench.parts() });
        eventually(async || outbox.backlog().borrow().count == 300).await;
        assert_eq!(outbox.backlog().borrow().oldest, backlog.oldest, "as old as before");
        bench.broker.stand(up());
        bench.emptied().await;
        let sent = bench.broker.sent();
        assert_eq!(sent.len(), 300);
        assert!(sent.iter().all(|message| message.body.len() == 1_000));
        for job in 0..7 {
            let of_job = |id: &&String| id.parse::<usize>().unwrap() % 7 == job;
            let ids = bench.broker.ids();
            assert!(ids.iter().filter(of_job).is_sorted());
        }
        eventually(async || *outbox.backlog().borrow() == Backlog::default()).await;
    });
}

#[test]
fn a_full_outbox_refuses_and_takes_again_when_there_is_room() {
    block_on(async {
        let bench = Bench::new(Broker::new());
        bench.broker.stand(down());
        let bounds =
            Bounds { room: Room { count: 3, bytes: 5_000 }, largest: 4_000, ..Bounds::default() };
        let (outbox, _task) = Outbox::start(Parts { bounds, ..bench.parts() });
        for id in ["a", "b", "c"] {
            outbox.accept(letter(id, None)).await.unwrap();
        }
        let refused = outbox.accept(letter("d", None)).await.unwrap_err();
        assert!(matches!(refused, Refused::Full { count: 3, .. }), "{refused:?}");
        assert!(refused.to_string().starts_with("the outbox is full: 3 messages, "), "{refused}");
        let refused = outbox.accept(large("e", None, 4_000)).await.unwrap_err();
        assert!(matches!(refused, Refused::TooLarge { limit: 4_000, .. }), "{refused:?}");
        bench.broker.stand(up());
        bench.emptied().await;
        let fate = outbox.accept(letter("d", None)).await.unwrap();
        assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
        assert_eq!(bench.broker.ids(), ["a", "b", "c", "d"]);
    });
}

#[test]
fn letters_that_come_together_are_kept_together_in_their_order() {
    block_on(async {
        let bench = Bench::new(Broker::new());
        let (outbox, _task) = bench.start();
        let letters = (0..1_000).map(|number| {
            let outbox = outbox.clone();
            async move { outbox.accept(letter(&format!("{number:04}"), Some(1))).await }
        });
        let mut tasks = tokio::task::JoinSet::new();
        letters.for_each(|letter| drop(tasks.spawn(letter)));
        assert!(tasks.join_all().await.iter().all(Result::is_ok));
        bench.emptied().await;
        assert!(bench.broker.ids().is_sorted() && bench.broker.ids().len() == 1_000);
    });
}

#[test]
fn a_store_that_does_not_answer_refuses_and_what_waits_is_sent_on() {
    let Some(mut redis) = Redis::setup().durable().start() else { return };
    block_on(async {
        let url = redis.url();
        let opened = move || -> Arc<dyn Store> {
            Arc::new(cronkeep::store::redis::Redis::new(&url, "default"))
        };
        let open = Arc::new(AtomicBool::new(false));
        let (gate, slow) = (Arc::clone(&open), Duration::from_millis(5));
        let mut bench = Bench::on(
            &opened,
            Broker::answering(move |_| {
                Plan::Later(
                    slow,
                    if gate.load(Ordering::SeqCst) {
                        Delivery::Confirmed
                    } else {
                        Delivery::Nacked
                    },
                )
            }),
        );
        let pace = Pace { store: Duration::from_millis(500), ..pace() };
        let (outbox, task) = Outbox::start(Parts { pace, ..bench.parts() });
        outbox.accept(letter("before", None)).await.unwrap();
        redis.kill();
        let refused = outbox.accept(letter("during", None)).await.unwrap_err();
        assert!(matches!(refused, Refused::Store(StoreError::Down(_))), "{refused:?}");
        // What is in memory is sent all the same; that it is over is kept later.
        open.store(true, Ordering::SeqCst);
        while bench.event().await != format!("confirmed before {}", bench.broker.ids().len()) {}
        redis.restart();
        eventually(async || outbox.accept(letter("after", None)).await.is_ok()).await;
        bench.emptied().await;
        assert!(!bench.broker.ids().contains(&"during".to_owned()));
        task.abort();
        let _ = task.await;
        // A daemon that starts while the store is away refuses, and begins when it is there.
        redis.kill();
        let parts = Parts { store: handle(opened()), pace, ..bench.parts() };
        let (outbox, _task) = Outbox::start(parts);
        let refused = outbox.accept(letter("early", None)).await.unwrap_err();
        assert!(matches!(refused, Refused::Store(StoreError::Down(_))), "{refused:?}");
        redis.restart();
        eventually(async || outbox.accept(letter("late", None)).await.is_ok()).await;
        bench.emptied().await;
    });
}
