//! What the store returns is believed only as far as it is signed, where there is a key.

use cronkeep::broker::Delivery;
use cronkeep::outbox::{Others, Outbox, Parts, Unread};
use cronkeep::store::seal::Seal;
use cronkeep::store::{Done, Room, Waiting, Which};

use super::broker::{Broker, down, up};
use super::harness::{Bench, LONG, block_on, letter};

fn seal(key: &[u8]) -> Seal {
    Seal::new(key, "default").unwrap()
}

#[test]
fn what_was_put_there_by_somebody_else_is_told_once_and_never_sent() {
    block_on(async {
        let mut bench = Bench::new(Broker::new());
        bench.broker.stand(down());
        let key = b"0123456789abcdef";
        let (outbox, task) = Outbox::start(Parts { seal: Some(seal(key)), ..bench.parts() });
        for id in ["good", "changed", "moved"] {
            outbox.accept(letter(id, Some(1))).await.unwrap();
        }
        task.abort();
        let _ = task.await;
        let rows = bench.kept().await;
        let post = async |rows: Vec<Waiting>| {
            bench.store.post("me".to_owned(), rows, Room::default()).await.unwrap();
        };
        let dropped = vec!["changed".to_owned(), "moved".to_owned()];
        bench
            .store
            .unpost(Done { dropped, owner: "me".to_owned(), ..Done::default() })
            .await
            .unwrap();
        let mut changed = rows[1].clone();
        *changed.bytes.last_mut().unwrap() ^= 1;
        let moved = Waiting { id: "elsewhere".to_owned(), ..rows[2].clone() };
        post(vec![changed, moved]).await;
        // One of a daemon without a key.
        let (replica, others) = ("you".to_owned(), Others::Unheard);
        let (outbox, task) = Outbox::start(Parts { replica, others, ..bench.parts() });
        outbox.accept(letter("unsigned", None)).await.unwrap();
        task.abort();
        let _ = task.await;
        bench.events();
        let which = Which::After { owner: "you".to_owned(), order: 0, limit: 9 };
        assert!(!bench.store.waiting(which).await.unwrap().is_empty());

        let (outbox, _task) = Outbox::start(Parts { seal: Some(seal(key)), ..bench.parts() });
        bench.broker.stand(up());
        let fate = outbox.accept(letter("new", None)).await.unwrap();
        assert_eq!(fate.next(LONG).await, Delivery::Confirmed);
        bench.emptied().await;
        let mut events = bench.events();
        events.sort();
        let refused = "what the store keeps of it is refused";
        assert_eq!(
            events,
            [
                "confirmed good 1".to_owned(),
                "confirmed new 1".to_owned(),
                format!(
                    "dropped changed {refused}: its signature is not that of our key for this namespace and version"
                ),
                format!("dropped elsewhere {refused}: it is another message's"),
                format!("dropped unsigned {refused}: it is not signed"),
            ]
        );
        let mut ids = bench.broker.ids();
        ids.sort();
        assert_eq!(ids, ["good", "new"]);
    });
}

#[test]
fn whoever_sends_nothing_leaves_alone_what_he_cannot_read() {
    block_on(async {
        let mut bench = Bench::new(Broker::new());
        bench.broker.stand(down());
        let (outbox, task) = Outbox::start(bench.parts());
        outbox.accept(letter("unsigned", None)).await.unwrap();
        task.abort();
        let _ = task.await;
        bench.events();
        let seal = Some(seal(b"0123456789abcdef"));
        let parts = Parts { seal, unread: Unread::Spared, ..bench.parts() };
        let (outbox, _task) = Outbox::start(parts);
        assert!(outbox.look().await.unwrap().is_empty());
        assert!(outbox.flush(LONG).await);
        assert_eq!(bench.kept().await.len(), 1);
        assert_eq!(bench.events(), Vec::<String>::new());
    });
}
