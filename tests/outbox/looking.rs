//! What people ask: what waits, and that it be dropped.

use std::sync::Arc;

use cronkeep::broker::Delivery;
use cronkeep::outbox::{Discarded, Outbox, Parts, Refused};

use super::broker::{Broker, Plan, away, down, up};
use super::harness::{Bench, LONG, block_on, eventually, key, letter};

/// The ids of what waits.
async fn ids(outbox: &Outbox) -> Vec<String> {
    outbox.look().await.unwrap().into_iter().map(|waits| waits.sent.id).collect()
}

fn gone(ids: &[&str]) -> Discarded {
    Discarded { dropped: ids.iter().map(|id| (*id).to_owned()).collect(), under_way: Vec::new() }
}

async fn discard(outbox: &Outbox, ids: &[&str]) -> Discarded {
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    outbox.discard(ids, "root".to_owned()).await.unwrap()
}

#[test]
fn what_waits_is_told_with_what_its_last_try_came_to() {
    block_on(async {
        let mut bench = Bench::new(Broker::answering(|_| Plan::Now(Delivery::Nacked)));
        let (outbox, task) = bench.start();
        outbox.accept(letter("first", Some(1))).await.unwrap();
        outbox.accept(letter("second", None)).await.unwrap();
        while !bench.event().await.starts_with("failed first") {}
        let all = outbox.look().await.unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((&*all[0].sent.id, all[0].job), ("first", Some(key(1))));
        assert_eq!(all[0].sent.job.as_deref(), Some("job 1"));
        assert!(all[0].sent.tries > 0);
        assert_eq!(all[0].last.as_deref(), Some("the broker refused it (nack)"));
        assert!(all[0].bytes > 0 && all[0].accepted < Some(all[0].expires));
        assert_eq!((&*all[1].sent.id, all[1].job), ("second", None));
        task.abort();
    });
}

#[test]
fn what_an_earlier_life_has_left_is_told_however_early_it_is_asked_for() {
    block_on(async {
        let bench = Bench::new(Broker::new());
        bench.broker.stand(down());
        let (outbox, task) = bench.start();
        for id in ["a", "b", "c"] {
            outbox.accept(letter(id, Some(1))).await.unwrap();
        }
        task.abort();
        let (outbox, _task) = bench.start();
        assert_eq!(ids(&outbox).await, ["a", "b", "c"]);
    });
}

#[test]
fn what_is_dropped_is_never_sent_and_those_who_wait_for_it_are_told_by_whom() {
    block_on(async {
        let mut bench = Bench::new(Broker::new());
        bench.broker.stand(down());
        let (outbox, task) = bench.start();
        let fate = outbox.accept(letter("unwanted", Some(1))).await.unwrap();
        outbox.accept(letter("wanted", Some(1))).await.unwrap();
        let by = outbox.discarded("unwanted");
        assert_eq!(discard(&outbox, &["unwanted", "unheard of"]).await, gone(&["unwanted"]));
        // The store has forgotten it before anybody is told so.
        assert_eq!(bench.kept().await.len(), 1);
        let dropped = Delivery::Discarded { by: "root".to_owned() };
        assert_eq!(fate.next(LONG).await, dropped);
        assert_eq!(by.await, "root");
        assert_eq!(bench.event().await, "dropped unwanted dropped by root");
        assert_eq!(ids(&outbox).await, ["wanted"]);
        // A further attempt of its run is told so, too, and whoever asks late.
        let again = outbox.accept(letter("unwanted", Some(1))).await.unwrap();
        assert_eq!(again.next(LONG).await, dropped);
        assert_eq!(outbox.discarded("unwanted").await, "root");
        bench.broker.stand(up());
        bench.emptied().await;
        assert_eq!(bench.broker.ids(), ["wanted"]);
        task.abort();
        // The next life knows nothing of it.
        let (outbox, _task) = bench.start();
        assert!(ids(&outbox).await.is_empty());
    });
}

#[test]
fn what_is_under_way_is_dropped_unless_the_broker_confirms_it() {
    block_on(async {
        let (answer, answers) = tokio::sync::watch::channel(None);
        let bench = Bench::new(Broker::answering(|_| Plan::Never));
        let handle = Held { bench: Arc::clone(&bench.broker), answers };
        let parts = Parts { broker: Arc::new(handle), ..bench.parts() };
        let (outbox, _task) = Outbox::start(parts);
        let one = outbox.accept(letter("one", None)).await.unwrap();
        eventually(async || outbox.look().await.unwrap()[0].is_under_way).await;
        let under_way = discard(&outbox, &["one"]).await;
        assert_eq!(under_way, Discarded { dropped: Vec::new(), under_way: vec!["one".to_owned()] });
        assert_eq!(ids(&outbox).await, ["one"]);
        answer.send_replace(Some(away()));
        assert_eq!(one.next(LONG).await, Delivery::Discarded { by: "root".to_owned() });
        assert!(ids(&outbox).await.is_empty());
        answer.send_replace(None);
        let two = outbox.accept(letter("two", None)).await.unwrap();
        eventually(async || outbox.look().await.unwrap()[0].is_under_way).await;
        discard(&outbox, &["two"]).await;
        answer.send_replace(Some(Delivery::Confirmed));
        assert_eq!(two.next(LONG).await, Delivery::Confirmed);
        bench.emptied().await;
    });
}

#[test]
fn a_store_that_does_not_answer_is_told_to_whoever_asks() {
    block_on(async {
        let bench = Bench::new(Broker::new());
        bench.broker.stand(down());
        let broken = super::harness::handle(Arc::new(cronkeep::store::redis::Redis::new(
            "redis://127.0.0.1:1",
            "default",
        )));
        let (outbox, _task) = Outbox::start(Parts { store: broken, ..bench.parts() });
        let error = outbox.look().await.unwrap_err();
        assert!(matches!(error, Refused::Store(_)), "{error}");
    });
}

/// A broker that answers once the test says so.
struct Held {
    bench: Arc<Broker>,
    answers: tokio::sync::watch::Receiver<Option<Delivery>>,
}

impl cronkeep::broker::Publish for Held {
    fn publish(&self, _: Arc<cronkeep::message::Message>) -> cronkeep::broker::Answer {
        let mut answers = self.answers.clone();
        Box::pin(async move {
            let answer = answers.wait_for(Option::is_some).await.unwrap().clone();
            answer.unwrap()
        })
    }

    fn standing(&self) -> tokio::sync::watch::Receiver<cronkeep::broker::Standing> {
        super::broker::Handle(Arc::clone(&self.bench)).standing()
    }
}
