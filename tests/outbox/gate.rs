//! Letters that are held back until their answers can be heard, and letters that nobody wants to be sent any more.

use std::time::Duration;

use cronkeep::broker::Delivery;
use cronkeep::outbox::{Gate, Letter, Outbox, Parts};
use tokio::sync::watch;

use super::broker::{Broker, Plan, away, down, up};
use super::harness::{Bench, block_on, eventually, letter};

/// A gate before what is to be answered to `back`, shut at first.
fn gate() -> (watch::Sender<bool>, Gate) {
    let (opens, is_open) = watch::channel(false);
    (opens, Gate { queue: "back".to_owned(), is_open })
}

/// A letter whose answer is expected in this queue.
fn asking(id: &str, job: Option<u8>, queue: &str) -> Letter {
    let mut letter = letter(id, job);
    letter.message.properties.reply_to = Some(queue.to_owned());
    letter
}

#[test]
fn what_goes_through_the_gate_waits_for_it_over_a_restart_and_nothing_else_does() {
    block_on(async {
        let (opens, gate) = gate();
        let gate = Some(gate);
        let bench = Bench::new(Broker::new());
        let (outbox, task) = Outbox::start(Parts { gate: gate.clone(), ..bench.parts() });
        outbox.accept(asking("a", Some(1), "back")).await.unwrap();
        outbox.accept(asking("b", None, "back")).await.unwrap();
        outbox.accept(asking("c", None, "elsewhere")).await.unwrap();
        outbox.accept(letter("d", None)).await.unwrap();
        eventually(async || bench.kept().await.len() == 2).await;
        task.abort();
        let _ = task.await;
        let (outbox, _task) = Outbox::start(Parts { gate, ..bench.parts() });
        eventually(async || outbox.backlog().borrow().count == 2).await;
        outbox.accept(letter("e", None)).await.unwrap();
        eventually(async || bench.kept().await.len() == 2).await;
        assert_eq!(bench.broker.ids(), ["c", "d", "e"]);
        opens.send(true).unwrap();
        bench.emptied().await;
        assert_eq!(bench.broker.ids(), ["c", "d", "e", "a", "b"]);
        // Shut again, it holds back what comes from then on.
        opens.send(false).unwrap();
        outbox.accept(asking("f", None, "back")).await.unwrap();
        outbox.accept(letter("g", None)).await.unwrap();
        eventually(async || bench.broker.ids().len() == 6).await;
        assert_eq!(bench.broker.ids().last().unwrap(), "g");
        opens.send(true).unwrap();
        bench.emptied().await;
    });
}

#[test]
fn what_is_withdrawn_before_it_was_sent_is_never_sent() {
    block_on(async {
        let (_opens, gate) = gate();
        let bench = Bench::new(Broker::new());
        bench.broker.stand(down());
        let (outbox, task) = Outbox::start(Parts { gate: Some(gate), ..bench.parts() });
        for id in ["a", "b"] {
            outbox.accept(asking(id, None, "back")).await.unwrap();
        }
        outbox.accept(letter("c", Some(1))).await.unwrap();
        outbox.accept(letter("d", Some(1))).await.unwrap();
        assert!(outbox.withdraw("a").await);
        assert!(outbox.withdraw("c").await);
        // What is being accepted at the moment, too.
        let withdrawing = async { outbox.withdraw("e").await };
        let (accepted, withdrawn) = tokio::join!(outbox.accept(letter("e", None)), withdrawing);
        assert!(withdrawn && accepted.is_err());
        assert!(!outbox.withdraw("unknown").await);
        eventually(async || bench.kept().await.len() == 2).await;
        task.abort();
        let _ = task.await;
        // The next life has no gate.
        bench.broker.stand(up());
        let (_outbox, _task) = bench.start();
        bench.emptied().await;
        let mut ids = bench.broker.ids();
        ids.sort();
        assert_eq!(ids, ["b", "d"]);
    });
}

#[test]
fn what_is_withdrawn_after_it_was_sent_may_have_arrived_and_is_not_sent_again() {
    block_on(async {
        let plan = |_: &_| Plan::Later(Duration::from_millis(30), away());
        let bench = Bench::new(Broker::answering(plan));
        let (outbox, _task) = bench.start();
        let fate = outbox.accept(letter("a", None)).await.unwrap();
        eventually(async || bench.broker.ids() == ["a"]).await;
        assert!(!outbox.withdraw("a").await, "it is under way");
        assert!(matches!(fate.next(Duration::from_secs(5)).await, Delivery::Away { .. }));
        bench.emptied().await;
        let tried = bench.broker.ids().len();
        outbox.accept(letter("b", None)).await.unwrap();
        eventually(async || bench.broker.ids().len() > tried).await;
        assert!(bench.broker.ids()[tried..].iter().all(|id| id == "b"));
    });
}
