//! Messages that the broker refuses, and their neighbours, which it takes.

use cronkeep::broker::Delivery;
use cronkeep::message::{Message, Value};

use crate::rabbit;
use crate::scene::{answered, broker, is_up, message, message_at, send, sent};

#[tokio::test]
async fn a_missing_exchange_is_told() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    for _ in 0..3 {
        let delivery = sent(&broker, message_at("1", "nope", "k")).await;
        let Delivery::NoExchange { text } = delivery else { panic!("{delivery}") };
        assert!(text.contains("no exchange 'nope'"), "{text}");
        assert_eq!(sent(&broker, message("2", "q")).await, Delivery::Confirmed);
    }
}

#[tokio::test]
async fn a_missing_exchange_does_not_fail_its_neighbours() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    is_up(&broker).await;
    let is_wrong = |number: u32| number % 400 == 200;
    let answers: Vec<_> = (0..2_000)
        .map(|number| {
            let exchange = if is_wrong(number) { "nope" } else { "" };
            send(&broker, message_at(number, exchange, "q"))
        })
        .collect();
    let mut away = 0;
    for (number, answer) in (0..).zip(answers) {
        match answered(answer).await {
            Delivery::NoExchange { .. } => assert!(is_wrong(number), "{number}"),
            Delivery::Confirmed => assert!(!is_wrong(number), "{number}"),
            // What was on its way while the channel was closed may cost the connection.
            Delivery::Away { .. } => away += 1,
            other => panic!("{number}: {other}"),
        }
    }
    println!("{away} of 2000 messages were lost with the connection");
    // Whatever happened, the next goes through.
    is_up(&broker).await;
    assert_eq!(sent(&broker, message("after", "q")).await, Delivery::Confirmed);
}

#[tokio::test]
async fn one_wrong_message_at_a_time_costs_its_neighbours_nothing() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    is_up(&broker).await;
    for round in 0..20 {
        let answers: Vec<_> = (0..20)
            .map(|number| {
                let exchange = if number == 10 { "nope" } else { "" };
                (number, send(&broker, message_at(format!("{round}-{number}"), exchange, "q")))
            })
            .collect();
        for (number, answer) in answers {
            let delivery = answered(answer).await;
            let is_refused = matches!(delivery, Delivery::NoExchange { .. });
            assert!(is_refused || delivery == Delivery::Confirmed, "{round}-{number}: {delivery}");
            assert_eq!(is_refused, number == 10, "{round}-{number}: {delivery}");
        }
    }
    let mut ids: Vec<_> = place.drain("q").into_iter().map(|taken| taken.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20 * 19);
}

#[tokio::test]
async fn what_a_user_may_not_write_is_forbidden_and_the_rest_is_not() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    for exchange in ["open", "private"] {
        place.declare_exchange(exchange, "fanout");
        place.bind("q", exchange, "");
    }
    rabbit.add_user("writer", "s3cr3t-of-writer");
    place.allow("writer", "", "open", "");
    let broker = broker(&place.url_of("writer", "s3cr3t-of-writer"));
    let answers: Vec<_> = (0..50)
        .map(|number| {
            let exchange = if number % 20 == 7 { "private" } else { "open" };
            (number, send(&broker, message_at(number, exchange, "")))
        })
        .collect();
    for (number, answer) in answers {
        let delivery = answered(answer).await;
        if number % 20 == 7 {
            let Delivery::Forbidden { text } = &delivery else { panic!("{number}: {delivery}") };
            assert!(text.contains("'private'") && !text.contains("s3cr3t"), "{text}");
        } else {
            assert_eq!(delivery, Delivery::Confirmed, "{number}");
        }
    }
}

#[tokio::test]
async fn a_full_queue_that_rejects_is_a_nack() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    let arguments =
        "{<<\"x-max-length\">>, long, 1}, {<<\"x-overflow\">>, longstr, <<\"reject-publish\">>}";
    place.declare_queue("one", arguments);
    let broker = broker(&place.url());
    assert_eq!(sent(&broker, message("1", "one")).await, Delivery::Confirmed);
    assert_eq!(sent(&broker, message("2", "one")).await, Delivery::Nacked);
    place.drain("one");
    assert_eq!(sent(&broker, message("2", "one")).await, Delivery::Confirmed);
}

#[tokio::test]
async fn what_the_protocol_cannot_carry_is_refused_and_costs_nothing() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    is_up(&broker).await;
    let long = "x".repeat(256);
    let with_header = |name: &str, value: Value| Message {
        headers: vec![(name.to_owned(), value)],
        ..message("h", "q")
    };
    for (made, words) in [
        (message("k", &long), "routing key"),
        (message_at("x", &long, "q"), "exchange"),
        (message(&long, "q"), "id"),
        (with_header(&long, Value::Null), "header's name"),
        (with_header("deep", Value::Table(vec![(long.clone(), Value::Null)])), "header's name"),
        (with_header("large", "y".repeat(20_000).into()), "the limit of the connection"),
    ] {
        let answer = send(&broker, made);
        let neighbour = send(&broker, message("neighbour", "q"));
        let delivery = answered(answer).await;
        let Delivery::Forbidden { text } = &delivery else { panic!("{words}: {delivery}") };
        assert!(text.contains(words), "{text}");
        assert_eq!(answered(neighbour).await, Delivery::Confirmed, "{words}");
    }
    // What just fits is carried.
    let largest = with_header("large", "y".repeat(16_000).into());
    assert_eq!(sent(&broker, largest).await, Delivery::Confirmed);
}
