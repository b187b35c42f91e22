//! Replicas that share a store: each sends its own, and what the dead have left.

use std::sync::Arc;
use std::time::Duration;

use cronkeep::broker::Delivery;
use cronkeep::outbox::{Others, Outbox, Parts};
use cronkeep::store::{Beat, Lease, Store};
use tokio::sync::watch;

use super::broker::{Broker, down, up};
use super::harness::{Bench, LONG, block_on, eventually, letter};
use super::redis::Redis;

/// Opens the store on a server.
fn opener(redis: &Redis) -> impl Fn() -> Arc<dyn Store> {
    let url = redis.unix_url();
    move || Arc::new(cronkeep::store::redis::Redis::new(&url, "default"))
}

/// The replicas with these names.
fn alive(names: &[&str]) -> Vec<Beat> {
    let beat = |name: &&str| Beat {
        lease: Lease { replica: (*name).to_owned(), fencing: 1 },
        ..Beat::default()
    };
    names.iter().map(beat).collect()
}

#[test]
fn the_letters_of_a_replica_that_died_are_sent_by_another_with_their_ids() {
    let Some(redis) = Redis::start() else { return };
    block_on(async {
        let bench = Bench::on(&opener(&redis), Broker::new());
        let (told, lives) = watch::channel(Vec::new());
        let start = |name: &str| {
            let others = Others::Replicas(lives.clone());
            Outbox::start(Parts { replica: name.to_owned(), others, ..bench.parts() })
        };
        let (one, _one_task) = start("one");
        let (other, other_task) = start("other");
        told.send_replace(alive(&["one", "other"]));
        bench.broker.stand(down());
        for number in 0..50 {
            one.accept(letter(&format!("one {number}"), None)).await.unwrap();
            other.accept(letter(&format!("other {number}"), Some(1))).await.unwrap();
        }
        // One of them is asked for what the other has.
        let fate = one.accept(letter("other 7", Some(1))).await.unwrap();
        let Delivery::Away { reason } = fate.next(LONG).await else { panic!("it is not ours") };
        assert!(reason.contains("another replica"), "{reason}");
        assert_eq!(one.backlog().borrow().count, 50);
        other_task.abort();
        // Not before it is known to be dead.
        told.send_replace(alive(&["one", "other", "third"]));
        told.send_replace(alive(&["one", "third"]));
        eventually(async || one.backlog().borrow().count == 100).await;
        bench.broker.stand(up());
        eventually(async || one.backlog().borrow().count == 0).await;
        let mut ids = bench.broker.ids();
        assert!(
            ids.iter()
                .filter(|id| id.starts_with("other"))
                .collect::<Vec<_>>()
                .is_sorted_by_key(|id| id.split(' ').nth(1).unwrap().parse::<u32>().unwrap())
        );
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), bench.broker.ids().len()), (100, 100));
    });
}

#[test]
fn who_starts_takes_what_the_dead_have_left_and_nothing_of_those_that_live() {
    let Some(redis) = Redis::start() else { return };
    block_on(async {
        let bench = Bench::on(&opener(&redis), Broker::new());
        bench.broker.stand(down());
        for name in ["dead", "alive"] {
            let parts = Parts {
                replica: name.to_owned(),
                others: Others::Replicas(watch::channel(alive(&["dead", "alive"])).1),
                ..bench.parts()
            };
            let (outbox, task) = Outbox::start(parts);
            outbox.accept(letter(name, None)).await.unwrap();
            task.abort();
            let _ = task.await;
        }
        bench.broker.stand(up());
        let others = Others::Replicas(watch::channel(alive(&["me", "alive"])).1);
        let (outbox, _task) = Outbox::start(Parts { others, ..bench.parts() });
        outbox.accept(letter("mine", None)).await.unwrap();
        eventually(async || bench.broker.ids().len() == 2).await;
        // Without others in sight only what bears our name is ours.
        let parts = Parts { replica: "alone".to_owned(), others: Others::Unheard, ..bench.parts() };
        let (outbox, _task) = Outbox::start(parts);
        outbox.accept(letter("alone", None)).await.unwrap().next(LONG).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut ids = bench.broker.ids();
        ids.sort();
        assert_eq!(ids, ["alone", "dead", "mine"]);
    });
}
