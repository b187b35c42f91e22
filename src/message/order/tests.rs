//! Orders read back, and no byte of them can be changed.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::message::Value;

pub(crate) fn subject() -> Subject {
    Subject {
        run: "01K9ZD3F6YQ6B2N9R5T8W1X4VA".to_owned(),
        attempt: 1,
        key: "crondServiceTask-f509aaa41ac7a97b".to_owned(),
        name: "backup".to_owned(),
        trigger: "schedule".to_owned(),
        at: Timestamp::from_second(1_700_000_040).unwrap(),
        offset: 7200,
        civil: jiff::civil::date(2023, 11, 15).at(0, 14, 0, 0),
        generation: 0,
    }
}

pub(crate) fn order() -> Order {
    Order {
        version: VERSION,
        id: "01K9ZD3F6YQ6B2N9R5T8W1X4VA-1".to_owned(),
        queue: "batch".to_owned(),
        reply_to: "cronkeep.reports.x".to_owned(),
        subject: subject(),
        user: "root".into(),
        command: b"echo '\xff'"[..].into(),
        stdin: "one\ntwo\n".into(),
        environment: vec![("A".into(), "1".into()), ("B".into(), "".into())],
        timeout_ms: Some(5000),
        kill_after_ms: 10_000,
        success_codes: vec![0, 3],
        output: true,
        beat_ms: 10_000,
        expires: Timestamp::from_second(1_700_086_440).unwrap(),
        restarts: 0,
    }
}

fn key() -> Key {
    Key::new(b"0123456789abcdef").unwrap()
}

#[test]
fn an_order_reads_back_from_its_message() {
    for key in [None, Some(&key())] {
        let message = order().message(key).unwrap();
        assert_eq!((&*message.exchange, &*message.routing_key), ("", "batch"));
        assert!(message.mandatory && message.persistent);
        assert_eq!(message.properties.expires, Some(order().expires));
        assert_eq!(Order::read(&message, key, "batch"), Ok(order()));
    }
}

/// The form is read by other programs and later versions.
#[test]
fn the_form_of_an_order_is_as_documented() {
    let message = order().message(None).unwrap();
    let text = String::from_utf8(message.body).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"version":1,"id":"01K9ZD3F6YQ6B2N9R5T8W1X4VA-1","queue":"batch","reply_to":"cronkeep.reports.x","#,
            r#""subject":{"run":"01K9ZD3F6YQ6B2N9R5T8W1X4VA","attempt":1,"key":"crondServiceTask-f509aaa41ac7a97b","#,
            r#""name":"backup","trigger":"schedule","at":"2023-11-14T22:14:00Z","offset":7200,"#,
            r#""civil":"2023-11-15T00:14:00","generation":0},"user":"root","command":[101,99,104,111,32,39,255,39],"#,
            r#""stdin":"one\ntwo\n","environment":[["A","1"],["B",""]],"timeout_ms":5000,"kill_after_ms":10000,"#,
            r#""success_codes":[0,3],"output":true,"beat_ms":10000,"expires":"2023-11-15T22:14:00Z"}"#
        )
    );
}

#[test]
fn an_order_for_another_queue_is_refused() {
    let message = order().message(Some(&key())).unwrap();
    let told = Order::read(&message, Some(&key()), "other");
    assert_eq!(told, Err(Refusal::Queue("batch".to_owned())));
}

#[test]
fn every_field_of_an_order_is_signed() {
    let signed = order().message(Some(&key())).unwrap();
    let Json::Object(whole) = serde_json::to_value(order()).unwrap() else { panic!("no object") };
    let mut changed = 0;
    for name in whole.keys() {
        let mut other = whole.clone();
        other[name] = Json::from("something else");
        let body = serde_json::to_vec(&other).unwrap();
        let message = Message { body, ..signed.clone() };
        let told = Order::read(&message, Some(&key()), "batch");
        assert_eq!(told, Err(Refusal::Signature(BadSignature::Wrong)), "{name}");
        changed += 1;
    }
    assert_eq!(changed, 15);
}

#[test]
fn what_is_no_order_of_ours_is_refused_and_says_why() {
    let unsigned = order().message(None).unwrap();
    let told = Order::read(&unsigned, Some(&key()), "batch");
    assert_eq!(told, Err(Refusal::Signature(BadSignature::Missing)));
    let with = |body: &[u8]| {
        let message = Message { body: body.to_vec(), ..unsigned.clone() };
        Order::read(&message, None, "batch").unwrap_err().to_string()
    };
    assert!(with(b"\x80\x02}q\x00").starts_with("it is malformed"));
    assert!(with(b"").starts_with("it is malformed"));
    assert!(with(b"[]").starts_with("it is malformed"));
    assert!(with(br#"{"version":1}"#).contains("missing field"));
    assert_eq!(with(br#"{"version":2,"new":1}"#), "its form has version 2, and we read 1");
    assert_eq!(with(&vec![b' '; LARGEST + 1]), "it has 4194305 bytes");
    let mut more = serde_json::to_value(order()).unwrap();
    more["nice"] = Json::from(19);
    assert!(with(&serde_json::to_vec(&more).unwrap()).contains("unknown field"));
    let nameless = Order { id: String::new(), ..order() }.message(None).unwrap();
    assert!(Order::read(&nameless, None, "batch").is_err());
}

#[test]
fn an_order_that_no_worker_would_take_is_not_made() {
    let huge = Order { stdin: Bytes(vec![b'x'; LARGEST]), ..order() };
    assert!(matches!(huge.message(None), Err(Refusal::Huge(_))));
}

proptest! {
    #[test]
    fn any_flipped_bit_is_refused(place: prop::sample::Index, bit in 0..8u8) {
        let mut message = order().message(Some(&key())).unwrap();
        let place = place.index(message.body.len());
        message.body[place] ^= 1 << bit;
        let told = Order::read(&message, Some(&key()), "batch");
        prop_assert_eq!(told, Err(Refusal::Signature(BadSignature::Wrong)));
    }

    #[test]
    fn any_other_signature_is_refused(digits in "[0-9a-f]{64}") {
        let mut message = order().message(Some(&key())).unwrap();
        prop_assume!(message.headers[0].1 != Value::Text(digits.clone()));
        message.headers[0].1 = Value::Text(digits);
        prop_assert!(Order::read(&message, Some(&key()), "batch").is_err());
    }

    #[test]
    fn any_command_environment_and_input_arrive(
        command: Vec<u8>, stdin: Vec<u8>, environment: Vec<(Vec<u8>, Vec<u8>)>,
    ) {
        let pair = |(name, value): (Vec<u8>, Vec<u8>)| (Bytes(name), Bytes(value));
        let order = Order {
            command: Bytes(command),
            stdin: Bytes(stdin),
            environment: environment.into_iter().map(pair).collect(),
            ..order()
        };
        let message = order.message(Some(&key())).unwrap();
        prop_assert_eq!(Order::read(&message, Some(&key()), "batch"), Ok(order));
    }

    #[test]
    fn no_content_makes_it_panic(body: Vec<u8>) {
        let message = Message { body, ..order().message(None).unwrap() };
        prop_assert!(Order::read(&message, None, "batch").is_err());
    }
}
