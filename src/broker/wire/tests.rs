use lapin::types::DecimalValue;

use super::*;

fn message() -> Message {
    Message {
        id: "id".to_owned(),
        exchange: "x".to_owned(),
        routing_key: "k".to_owned(),
        mandatory: true,
        persistent: true,
        properties: Properties::default(),
        headers: Vec::new(),
        body: Vec::new(),
    }
}

fn packed(message: &Message) -> BasicProperties {
    pack(message, Timestamp::UNIX_EPOCH, 4096).unwrap().properties
}

#[test]
fn a_persistent_message_has_delivery_mode_2() {
    assert_eq!(*packed(&message()).delivery_mode(), Some(2));
    let transient = Message { persistent: false, ..message() };
    assert_eq!(*packed(&transient).delivery_mode(), Some(1));
}

#[test]
fn an_expiry_is_what_is_left_of_it_in_milliseconds_as_text() {
    let expires = |text: &str| {
        let mut message = message();
        message.properties.expires = Some(text.parse().unwrap());
        packed(&message).expiration().as_ref().unwrap().to_string()
    };
    assert_eq!(expires("1970-01-01T00:00:01.5Z"), "1500");
    assert_eq!(expires("1969-12-31T23:59:59Z"), "0");
    assert_eq!(expires("2970-01-01T00:00:00Z"), "4294967295");
}

#[test]
fn a_header_is_never_a_short_string() {
    for (value, packed) in [
        (Value::Null, AMQPValue::Void),
        (true.into(), AMQPValue::Boolean(true)),
        (i64::from(i32::MAX).into(), AMQPValue::LongInt(i32::MAX)),
        ((i64::from(i32::MAX) + 1).into(), AMQPValue::LongLongInt(i64::from(i32::MAX) + 1)),
        ("".into(), AMQPValue::LongString("".into())),
        (Value::List(vec![]), AMQPValue::FieldArray(FieldArray::default())),
        (Value::Table(vec![]), AMQPValue::FieldTable(FieldTable::default())),
    ] {
        assert_eq!(pack_value(&value).unwrap(), packed);
        assert_eq!(unpack_value(&packed), value);
    }
}

#[test]
fn a_type_that_we_have_not_becomes_a_number_or_text() {
    for (read, value) in [
        (AMQPValue::ShortShortUInt(255), Value::Integer(255)),
        (AMQPValue::LongUInt(u32::MAX), Value::Integer(u32::MAX.into())),
        (AMQPValue::Timestamp(u64::MAX), Value::Text(u64::MAX.to_string())),
        (AMQPValue::Double(0.1), Value::Text("0.1".to_owned())),
        (
            AMQPValue::DecimalValue(DecimalValue { scale: 1, value: 5 }),
            Value::Text("5e-1".to_owned()),
        ),
        (AMQPValue::ShortString("s".into()), Value::Text("s".to_owned())),
    ] {
        assert_eq!(unpack_value(&read), value);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let long = "ä".repeat(128);
    let mut with_type = message();
    with_type.properties.kind = Some(long.clone());
    for (message, words) in [
        (Message { id: long.clone(), ..message() }, "its id has 256 bytes"),
        (Message { exchange: long.clone(), ..message() }, "its exchange has"),
        (Message { routing_key: long.clone(), ..message() }, "its routing key has"),
        (with_type, "its type has"),
        (Message { headers: vec![(long, Value::Null)], ..message() }, "its header's name has"),
        (
            Message { headers: vec![("h".to_owned(), "v".repeat(4096).into())], ..message() },
            "4096 are the limit",
        ),
    ] {
        let Err(told) = pack(&message, Timestamp::UNIX_EPOCH, 4096) else { panic!("{words}") };
        assert!(told.contains(words), "{told}");
    }
    let longest = Message { id: "i".repeat(255), routing_key: "k".repeat(255), ..message() };
    assert!(pack(&longest, Timestamp::UNIX_EPOCH, 4096).is_ok());
}

#[test]
fn a_message_comes_back_as_it_went() {
    let mut sent = message();
    sent.properties = Properties {
        content_type: Some("a".to_owned()),
        content_encoding: Some("b".to_owned()),
        correlation_id: Some("c".to_owned()),
        reply_to: Some("d".to_owned()),
        kind: Some("e".to_owned()),
        app_id: Some("f".to_owned()),
        timestamp: Some(Timestamp::from_second(9).unwrap()),
        expires: None,
        priority: Some(3),
    };
    sent.headers = vec![("h".to_owned(), Value::List(vec![1.into(), Value::Table(vec![])]))];
    let Packed { exchange, routing_key, properties } =
        pack(&sent, Timestamp::UNIX_EPOCH, 4096).unwrap();
    let mut delivery = Delivery::mock(1, exchange, routing_key, false, b"body".to_vec());
    delivery.properties = properties;
    let received = unpack(&mut delivery);
    assert_eq!(received, Message { mandatory: false, body: b"body".to_vec(), ..sent });
}
