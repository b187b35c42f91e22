use super::*;

fn signal(name: &'static str) -> Event {
    Event::Signal { name, action: "none" }
}

fn warning() -> Event {
    Event::Notice { file: None, text: "look".into(), warning: true }
}

#[test]
fn every_sink_gets_every_event_in_order() {
    let mut builder = Bus::builder();
    let mut sinks = [builder.subscribe(), builder.subscribe()];
    let bus = builder.build();
    bus.publish(signal("first"));
    bus.publish(signal("second"));
    for sink in &mut sinks {
        for expected in ["first", "second"] {
            let event = sink.try_recv().unwrap();
            assert!(matches!(&*event, Event::Signal { name, .. } if *name == expected));
        }
    }
}

#[test]
fn a_sink_that_has_gone_does_not_disturb_the_others() {
    let mut builder = Bus::builder();
    drop(builder.subscribe());
    drop(builder.subscribe_bounded());
    let mut sink = builder.subscribe();
    let bus = builder.build();
    bus.publish(signal("x"));
    assert!(sink.try_recv().is_ok());
}

#[tokio::test]
async fn output_waits_for_room_until_a_line_is_dropped() {
    let bus = Bus::builder().build();
    let all = bus.room_for(OUTPUT_BYTES).await;
    let mut waiting = Box::pin(bus.room_for(100));
    assert!(futures_poll(waiting.as_mut()).is_pending());
    drop(all);
    assert!(futures_poll(waiting.as_mut()).is_ready());
}

fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn a_bounded_sink_that_never_reads_costs_no_more_than_its_bound() {
    let mut builder = Bus::builder();
    let mut sink = builder.subscribe_bounded();
    let bus = builder.build();
    for _ in 0..100_000 {
        bus.publish(signal("x"));
    }
    assert_eq!(sink.len(), EVENTS);
    for _ in 0..100_000 {
        bus.publish(warning());
    }
    assert_eq!(sink.len(), EVENTS + MORE, "what somebody should look at goes in longer");
    let mut fetched = 0;
    let (count, warnings) = loop {
        match *sink.blocking_recv().unwrap() {
            Event::LeftOut { count, warnings } => break (count, warnings),
            _ => fetched += 1,
        }
    };
    assert_eq!(fetched, EVENTS + MORE);
    assert_eq!(usize::try_from(count).unwrap(), 200_000 - fetched);
    assert_eq!(usize::try_from(warnings).unwrap(), 100_000 - MORE);
    assert!(sink.try_recv().is_none());
}

#[test]
fn what_was_left_out_is_told_where_it_is_missing() {
    let mut builder = Bus::builder();
    let mut sink = builder.subscribe_bounded();
    let bus = builder.build();
    for _ in 0..EVENTS + 7 {
        bus.publish(signal("early"));
    }
    for _ in 0..100 {
        sink.try_recv().unwrap();
    }
    bus.publish(signal("late"));
    let rest: Vec<_> = std::iter::from_fn(|| sink.try_recv()).collect();
    let [.., left_out, late] = &rest[..] else { panic!("at least two") };
    assert!(matches!(**left_out, Event::LeftOut { count: 7, warnings: 0 }), "{left_out:?}");
    assert!(matches!(**late, Event::Signal { name: "late", .. }));
    assert_eq!(rest.len(), EVENTS - 100 + 2);
}

#[tokio::test]
async fn a_large_event_goes_in_while_there_is_any_room() {
    let mut builder = Bus::builder();
    let mut sink = builder.subscribe_bounded();
    let bus = builder.build();
    for _ in 0..=EVENTS {
        bus.publish(signal("x"));
    }
    assert_eq!(weight(&signal("x")), 1);
    bus.publish(Event::Dump(vec![String::new(); 3]));
    assert_eq!(sink.len(), EVENTS);
    while sink.try_recv().is_some_and(|event| !matches!(*event, Event::LeftOut { .. })) {}
    bus.publish(Event::Dump(vec![String::new(); EVENTS]));
    bus.publish(signal("not any more"));
    assert!(matches!(*sink.recv().await.unwrap(), Event::Dump(_)), "a large one goes in");
    assert!(matches!(*sink.recv().await.unwrap(), Event::LeftOut { count: 1, warnings: 0 }));
}
