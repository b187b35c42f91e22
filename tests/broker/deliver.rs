//! Messages that the broker takes, and those that it gives back.

use cronkeep::broker::Delivery;
use cronkeep::message::{Message, Properties, Value};

use crate::rabbit;
use crate::scene::{answered, broker, message, message_at, send, sent};

#[tokio::test]
async fn a_confirmed_message_is_in_the_queue_as_it_was_made() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let made = Message {
        properties: Properties {
            content_type: Some("application/json".into()),
            content_encoding: Some("utf-8".into()),
            correlation_id: Some("run".into()),
            reply_to: Some("answers".into()),
            kind: Some("cronkeep.fire".into()),
            app_id: Some("cronkeep".into()),
            timestamp: Some("2026-01-02T03:04:05Z".parse().unwrap()),
            expires: None,
            priority: Some(7),
        },
        headers: vec![
            ("text".into(), "ä".into()),
            ("small".into(), 5.into()),
            ("large".into(), 5_000_000_000.into()),
            ("least".into(), i64::MIN.into()),
            ("true".into(), true.into()),
            ("none".into(), Value::Null),
            ("list".into(), Value::List(vec![1.into(), "a".into(), Value::List(vec![])])),
            ("table".into(), Value::Table(vec![("in".into(), Value::Table(vec![]))])),
        ],
        body: vec![0, 255, 10],
        ..message("the-id", "q")
    };
    assert_eq!(sent(&broker(&place.url()), made).await, Delivery::Confirmed);
    let taken = place.drain("q");
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].id.as_str(), taken[0].body.as_slice()), ("the-id", &[0, 255, 10][..]));
    let properties = &taken[0].properties;
    for part in [
        "<<\"application/json\">>,<<\"utf-8\">>",
        // Headers come sorted by name; a short string in them would have ended the connection.
        "{<<\"large\">>,long,5000000000}",
        "{<<\"least\">>,long,-9223372036854775808}",
        "{<<\"list\">>,array,[{signedint,1},{longstr,<<\"a\">>},{array,[]}]}",
        "{<<\"none\">>,void,undefined}",
        "{<<\"small\">>,signedint,5}",
        "{<<\"table\">>,table,[{<<\"in\">>,table,[]}]}",
        "{<<\"text\">>,longstr,<<\"ä\">>}",
        "{<<\"true\">>,bool,true}",
        // Delivery mode, priority, correlation id, reply-to, expiration, id, timestamp, type, user, application.
        "],2,7,<<\"run\">>,<<\"answers\">>,undefined,<<\"the-id\">>,1767323045,<<\"cronkeep.fire\">>,undefined,<<\"cronkeep\">>",
    ] {
        assert!(properties.contains(part), "{part} is not in {properties}");
    }
}

#[tokio::test]
async fn what_is_left_until_it_expires_goes_with_a_message() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    let hour = jiff::SignedDuration::from_hours(1);
    let now = jiff::Timestamp::now();
    for (id, expires, persistent) in
        [("soon", now + hour, false), ("late", now + hour * 24 * 365, true)]
    {
        let mut made = message(id, "q");
        made.properties.expires = Some(expires);
        made.persistent = persistent;
        assert_eq!(sent(&broker, made).await, Delivery::Confirmed);
    }
    let taken = place.drain("q");
    // Within the minute before the hour; and the longest that a broker knows.
    assert!(taken[0].properties.contains(",1,undefined,undefined,undefined,<<\"35"), "{taken:?}");
    assert!(taken[1].properties.contains("<<\"4294967295\">>"), "{taken:?}");
}

#[tokio::test]
async fn a_returned_message_is_no_success() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    let broker = broker(&place.url());
    let returned = Delivery::Returned { code: 312, text: "NO_ROUTE".into() };
    assert_eq!(sent(&broker, message("1", "nowhere")).await, returned);
    let unasked = Message { mandatory: false, ..message("2", "nowhere") };
    assert_eq!(sent(&broker, unasked).await, Delivery::Confirmed);
}

#[tokio::test]
async fn each_return_is_told_of_its_own_message_among_ten_thousand() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    let is_lost = |number: u32| number % 3 == 1;
    let answers: Vec<_> = (0..10_000)
        .map(|number| {
            let queue = if is_lost(number) { "nowhere" } else { "q" };
            // Confirms of messages that go to disk come later than those of messages that go nowhere.
            let persistent = number % 2 == 0;
            send(&broker, Message { persistent, ..message(number, queue) })
        })
        .collect();
    for (number, answer) in (0..).zip(answers) {
        let delivery = answered(answer).await;
        let is_returned = matches!(delivery, Delivery::Returned { .. });
        assert!(is_returned || delivery == Delivery::Confirmed, "{number}: {delivery}");
        assert_eq!(is_returned, is_lost(number), "{number}: {delivery}");
    }
    let taken: Vec<u32> = place.drain("q").iter().map(|taken| taken.id.parse().unwrap()).collect();
    let expected: Vec<u32> = (0..10_000).filter(|number| !is_lost(*number)).collect();
    assert_eq!(taken, expected, "in the order of the calls, each once");
}

#[tokio::test]
async fn a_large_message_arrives_whole_and_small_ones_beside_it() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let answers = [
        send(&broker, message("before", "q")),
        send(&broker, Message { body: large.clone(), ..message("large", "q") }),
        send(&broker, Message { body: Vec::new(), ..message("empty", "q") }),
    ];
    for answer in answers {
        assert_eq!(answered(answer).await, Delivery::Confirmed);
    }
    let taken = place.drain("q");
    let ids: Vec<_> = taken.iter().map(|taken| taken.id.as_str()).collect();
    assert_eq!(ids, ["before", "large", "empty"]);
    assert!(taken[1].body == large && taken[2].body.is_empty());
}

#[tokio::test]
async fn an_exchange_routes_by_its_key() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_exchange("events", "topic");
    place.declare_queue("q", "");
    place.bind("q", "events", "job.*");
    let broker = broker(&place.url());
    assert_eq!(sent(&broker, message_at("1", "events", "job.x")).await, Delivery::Confirmed);
    let other = sent(&broker, message_at("2", "events", "other")).await;
    assert!(matches!(other, Delivery::Returned { code: 312, .. }), "{other}");
    assert_eq!(place.drain("q")[0].routing_key, "job.x");
}

#[tokio::test]
async fn nobody_need_wait_for_an_answer() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    drop(send(&broker, message("forgotten", "q")));
    assert_eq!(sent(&broker, message("last", "q")).await, Delivery::Confirmed);
    let ids: Vec<_> = place.drain("q").into_iter().map(|taken| taken.id).collect();
    assert_eq!(ids, ["forgotten", "last"]);
}
