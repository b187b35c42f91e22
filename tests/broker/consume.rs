//! Messages that are received, and answered.

use std::time::Duration;

use cronkeep::broker::{Broker, Consuming, Deliveries, Delivery, Queue, Received, Stale};
use cronkeep::message::{Message, Value};
use tokio::time::timeout;

use crate::rabbit::{self, Vhost};
use crate::scene::{PATIENCE, broker, message, sent, until};

fn named(name: &str, prefetch: u16) -> Queue {
    Queue::Named { name: name.to_owned(), prefetch }
}

async fn next(deliveries: &mut Deliveries) -> Received {
    timeout(PATIENCE, deliveries.next()).await.expect("a message comes").expect("it goes on")
}

async fn is_on(deliveries: &Deliveries) {
    until(&mut deliveries.consuming(), |consuming| *consuming == Consuming::On).await;
}

async fn waits(deliveries: &Deliveries) -> String {
    let is_waiting = |consuming: &Consuming| {
        // What is told before anything was tried.
        *consuming != Consuming::On
            && *consuming != (Consuming::Waiting { reason: "there is no connection yet".into() })
    };
    match until(&mut deliveries.consuming(), is_waiting).await {
        Consuming::Waiting { reason } => reason,
        Consuming::On => unreachable!(),
    }
}

/// Waits until a queue holds so many messages.
async fn holds(place: &Vhost<'_>, queue: &str, count: usize) {
    let look = async {
        while place.depth(queue) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{queue} never holds {count}"));
}

#[tokio::test]
async fn what_is_answered_is_gone_and_what_is_given_back_comes_again() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("dead", "");
    place.declare_queue(
        "q",
        "{<<\"x-dead-letter-exchange\">>, longstr, <<>>}, {<<\"x-dead-letter-routing-key\">>, longstr, <<\"dead\">>}",
    );
    for body in ["ack", "requeue", "reject", "drop"] {
        place.put("q", body.as_bytes(), "#{}");
    }
    let broker = broker(&place.url());
    let mut deliveries = broker.consume(named("q", 1));
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let received = next(&mut deliveries).await;
        seen.push((String::from_utf8(received.message.body).unwrap(), received.redelivered));
        let (body, is_again) = seen.last().unwrap();
        match body.as_str() {
            "requeue" if !is_again => received.receipt.requeue().await.unwrap(),
            "reject" => received.receipt.reject().await.unwrap(),
            "drop" if !is_again => drop(received.receipt),
            _ => received.receipt.ack().await.unwrap(),
        }
    }
    seen.sort();
    let expected = [
        ("ack", false),
        ("drop", false),
        ("drop", true),
        ("reject", false),
        ("requeue", false),
        ("requeue", true),
    ];
    assert!(seen.iter().map(|(body, again)| (body.as_str(), *again)).eq(expected), "{seen:?}");
    holds(&place, "dead", 1).await;
    broker.close(PATIENCE).await;
    assert_eq!(place.depth("q"), 0);
    assert_eq!(place.drain("dead")[0].body, b"reject");
    assert!(timeout(PATIENCE, deliveries.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn no_more_than_the_prefetch_is_handed_out() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    for number in 0..10 {
        place.put("q", &[number], "#{}");
    }
    let broker = broker(&place.url());
    let mut deliveries = broker.consume(named("q", 3));
    let first = next(&mut deliveries).await;
    holds(&place, "q", 7).await;
    first.receipt.ack().await.unwrap();
    holds(&place, "q", 6).await;
}

#[tokio::test]
async fn what_was_not_handed_out_goes_back_and_what_was_can_be_answered() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    for number in 0..10 {
        place.put("q", &[number], "#{}");
    }
    let broker = broker(&place.url());
    let mut deliveries = broker.consume(named("q", 5));
    let first = next(&mut deliveries).await;
    holds(&place, "q", 5).await;
    drop(deliveries);
    holds(&place, "q", 9).await;
    first.receipt.ack().await.unwrap();
    broker.close(PATIENCE).await;
    let bodies: Vec<_> = place.drain("q").into_iter().map(|taken| taken.body[0]).collect();
    assert_eq!(bodies, (1..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_missing_queue_is_told_and_waited_for() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    let broker = broker(&place.url());
    let mut deliveries = broker.consume(named("later", 1));
    let reason = waits(&deliveries).await;
    assert!(reason.contains("NOT_FOUND - no queue 'later'"), "{reason}");
    // Nothing else suffers from it.
    place.declare_queue("other", "");
    assert_eq!(sent(&broker, message("1", "other")).await, Delivery::Confirmed);
    place.declare_queue("later", "");
    place.put("later", b"x", "#{}");
    next(&mut deliveries).await.receipt.ack().await.unwrap();
    is_on(&deliveries).await;
    place.delete_queue("later");
    let reason = waits(&deliveries).await;
    assert!(reason.contains("later"), "{reason}");
    place.declare_queue("later", "");
    is_on(&deliveries).await;
}

#[tokio::test]
async fn a_subscription_outlives_the_connection_and_a_receipt_does_not() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    let mut deliveries = broker.consume(named("q", 2));
    place.put("q", b"1", "#{}");
    place.put("q", b"2", "#{}");
    let first = next(&mut deliveries).await;
    assert!(!first.redelivered);
    holds(&place, "q", 0).await;
    let mut consuming = deliveries.consuming();
    consuming.mark_unchanged();
    rabbit.close_connections();
    until(&mut consuming, |consuming| *consuming != Consuming::On).await;
    assert!(!first.receipt.is_good());
    assert_eq!(first.receipt.ack().await, Err(Stale));
    // Both come again, the one that was never handed out, too; and neither twice.
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let received = next(&mut deliveries).await;
        assert!(received.redelivered);
        bodies.extend(received.message.body);
        received.receipt.ack().await.unwrap();
    }
    assert_eq!(bodies, b"12");
    broker.close(PATIENCE).await;
    assert_eq!(place.depth("q"), 0);
}

#[tokio::test]
async fn a_reply_queue_has_a_name_of_its_own_for_each_connection() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    let broker = broker(&place.url());
    let mut replies = broker.consume(Queue::Reply);
    let mut names = replies.reply_queue();
    let first = until(&mut names, Option::is_some).await.unwrap();
    assert_eq!(sent(&broker, message("1", &first)).await, Delivery::Confirmed);
    let received = next(&mut replies).await;
    assert_eq!(received.message.id, "1");
    received.receipt.ack().await.unwrap();
    rabbit.close_connections();
    let second =
        until(&mut names, |name| name.as_ref().is_some_and(|name| *name != first)).await.unwrap();
    assert_eq!(reached(&broker, &second).await, Delivery::Confirmed);
    assert_eq!(next(&mut replies).await.message.id, "2");
    let gone = reached(&broker, &first).await;
    assert!(matches!(gone, Delivery::Returned { .. }), "{gone}");
}

/// What becomes of a message to a queue.
async fn reached(broker: &Broker, queue: &str) -> Delivery {
    sent(broker, message("2", queue)).await
}

#[tokio::test]
async fn headers_come_back_as_they_went() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    let mut headers = vec![
        ("a".to_owned(), Value::List(vec![Value::Null, false.into(), i64::MAX.into()])),
        ("b".to_owned(), Value::Table(vec![("c".to_owned(), "ü\0\n".into())])),
        ("d".to_owned(), "z".repeat(9_000).into()),
        ("e".to_owned(), (-5).into()),
    ];
    let mut made = Message { headers: headers.clone(), ..message("h", "q") };
    made.properties.reply_to = Some("there".into());
    made.properties.timestamp = Some("2026-01-02T03:04:05Z".parse().unwrap());
    made.properties.priority = Some(0);
    assert_eq!(sent(&broker, made.clone()).await, Delivery::Confirmed);
    let mut deliveries = broker.consume(named("q", 1));
    let received = next(&mut deliveries).await;
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert_eq!(received.message, Message { headers, mandatory: false, ..made });
}

#[tokio::test]
async fn every_type_that_a_header_may_have_is_read() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    place.put(
        "q",
        b"poison",
        "#{message_id => <<\"id\">>, expiration => <<\"60000\">>, timestamp => 18446744073709551615, \
         headers => [{<<\"byte\">>, byte, -1}, {<<\"ubyte\">>, unsignedbyte, 200}, {<<\"short\">>, short, -300}, \
         {<<\"ushort\">>, unsignedshort, 60000}, {<<\"int\">>, signedint, -70000}, {<<\"uint\">>, unsignedint, 4000000000}, \
         {<<\"long\">>, long, -5000000000}, {<<\"float\">>, float, 1.5}, {<<\"double\">>, double, 2.25}, \
         {<<\"decimal\">>, decimal, {2, 314}}, {<<\"time\">>, timestamp, 7}, {<<\"bytes\">>, binary, <<255, 65>>}, \
         {<<\"text\">>, longstr, <<255, 66>>}, {<<\"void\">>, void, undefined}, {<<\"bool\">>, bool, true}, \
         {<<\"list\">>, array, [{double, 0.5}, {table, []}]}]}",
    );
    let broker = broker(&place.url());
    let mut deliveries = broker.consume(named("q", 1));
    let received = next(&mut deliveries).await;
    let message = &received.message;
    assert_eq!((message.id.as_str(), message.properties.timestamp), ("id", None));
    let header = |name: &str| {
        let found = message.headers.iter().find(|(found, _)| found == name);
        found.unwrap_or_else(|| panic!("{name}: {message:?}")).1.clone()
    };
    for (name, value) in [
        ("byte", Value::Integer(-1)),
        ("ubyte", Value::Integer(200)),
        ("short", Value::Integer(-300)),
        ("ushort", Value::Integer(60_000)),
        ("int", Value::Integer(-70_000)),
        ("uint", Value::Integer(4_000_000_000)),
        ("long", Value::Integer(-5_000_000_000)),
        ("float", Value::Text("1.5".into())),
        ("double", Value::Text("2.25".into())),
        ("decimal", Value::Text("314e-2".into())),
        ("time", Value::Integer(7)),
        ("bytes", Value::Text("\u{fffd}A".into())),
        ("text", Value::Text("\u{fffd}B".into())),
        ("void", Value::Null),
        ("bool", Value::Bool(true)),
        ("list", Value::List(vec![Value::Text("0.5".into()), Value::Table(vec![])])),
    ] {
        assert_eq!(header(name), value, "{name}");
    }
    received.receipt.ack().await.unwrap();
}
