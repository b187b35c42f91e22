//! A broker that goes, is silent, or takes nothing for a while.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cronkeep::broker::{Delivery, Options, Publish as _, Standing};

use crate::rabbit;
use crate::scene::{
    PATIENCE, answered, broker, broker_with, is_down, is_up, message, send, sent, until,
};

/// Options with which little is waited for.
fn quick() -> Options {
    Options {
        confirm: Duration::from_millis(400),
        blocked: Duration::from_millis(200),
        ..Options::default()
    }
}

#[tokio::test]
async fn a_blocked_broker_is_told_and_a_message_sent_again_is_there_once() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker =
        broker_with(&place.url(), Options { blocked: quick().blocked, ..Options::default() });
    assert_eq!(sent(&broker, message("before", "q")).await, Delivery::Confirmed);
    rabbit.block();
    // The broker says so to whoever publishes, not before.
    let is_blocked = |delivery: &Delivery| matches!(delivery, Delivery::Blocked { .. });
    let mut number = 0;
    loop {
        number += 1;
        let delivery = sent(&broker, message(number, "q")).await;
        if is_blocked(&delivery) {
            break;
        }
        assert_eq!(delivery, Delivery::Confirmed, "it was taken before the alarm was known");
    }
    let mut standing = broker.standing();
    let told = until(&mut standing, |now| matches!(now, Standing::Blocked { .. })).await;
    let Standing::Blocked { reason, .. } = told else { unreachable!() };
    assert!(reason.contains("memory"), "{reason}");
    let delivery = sent(&broker, message("meanwhile", "q")).await;
    assert!(is_blocked(&delivery), "{delivery}");
    rabbit.unblock();
    is_up(&broker).await;
    assert_eq!(sent(&broker, message(number, "q")).await, Delivery::Confirmed);
    assert_eq!(sent(&broker, message("meanwhile", "q")).await, Delivery::Confirmed);
    let mut ids: Vec<_> = place.drain("q").into_iter().map(|taken| taken.id).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "{ids:?}");
    assert!(ids.contains(&"meanwhile".to_owned()) && ids.contains(&number.to_string()));
}

#[tokio::test]
async fn a_silent_broker_is_a_time_out_and_a_message_sent_again_is_there_once() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker_with(&place.url(), quick());
    is_up(&broker).await;
    rabbit.pause();
    let answers: Vec<_> = (0..5).map(|number| send(&broker, message(number, "q"))).collect();
    for answer in answers {
        assert_eq!(answered(answer).await, Delivery::TimedOut);
    }
    // Nothing is known of them still: they are waited for once more, not sent twice.
    assert_eq!(sent(&broker, message(0, "q")).await, Delivery::TimedOut);
    rabbit.resume();
    for number in 0..5 {
        let mut delivery = sent(&broker, message(number, "q")).await;
        while delivery == Delivery::TimedOut {
            delivery = sent(&broker, message(number, "q")).await;
        }
        assert_eq!(delivery, Delivery::Confirmed, "{number}");
    }
    assert_eq!(sent(&broker, message("last", "q")).await, Delivery::Confirmed);
    let ids: Vec<_> = place.drain("q").into_iter().map(|taken| taken.id).collect();
    assert_eq!(ids, ["0", "1", "2", "3", "4", "last"]);
}

#[tokio::test]
async fn a_killed_broker_is_away_and_is_found_again_without_being_asked() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    assert_eq!(sent(&broker, message("before", "q")).await, Delivery::Confirmed);
    rabbit.pause();
    let flying = send(&broker, message("flying", "q"));
    // It is on its way when the broker dies.
    tokio::task::yield_now().await;
    rabbit.kill();
    let delivery = answered(flying).await;
    assert!(matches!(delivery, Delivery::Away { .. }), "{delivery}");
    let reason = is_down(&broker).await;
    assert!(reason.contains("the connection was lost") || reason.contains("refused"), "{reason}");
    let delivery = sent(&broker, message("meanwhile", "q")).await;
    assert!(matches!(delivery, Delivery::Away { .. }), "{delivery}");
    rabbit.restart();
    is_up(&broker).await;
    assert_eq!(sent(&broker, message("flying", "q")).await, Delivery::Confirmed);
    let mut ids: Vec<_> = place.drain("q").into_iter().map(|taken| taken.id).collect();
    ids.dedup();
    assert_eq!(ids, ["before", "flying"], "what was confirmed outlives the kill");
}

#[tokio::test]
async fn a_connection_that_an_operator_closes_is_made_again() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    is_up(&broker).await;
    let mut standing = broker.standing();
    standing.mark_unchanged();
    rabbit.close_connections();
    let told = until(&mut standing, |now| matches!(now, Standing::Down { .. })).await;
    let Standing::Down { reason, .. } = told else { unreachable!() };
    assert!(
        reason.contains("CONNECTION_FORCED") && reason.contains("closed by a test"),
        "{reason}"
    );
    is_up(&broker).await;
    assert_eq!(sent(&broker, message("after", "q")).await, Delivery::Confirmed);
}

/// Stands between a client and the broker, and can fall silent without a word.
struct Between {
    port: u16,
    is_silent: Arc<AtomicBool>,
}

impl Between {
    fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let between =
            Between { port: listener.local_addr().unwrap().port(), is_silent: Arc::default() };
        let is_silent = Arc::clone(&between.is_silent);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let is_silent = Arc::clone(&is_silent);
                    std::thread::spawn(move || {
                        let mut bytes = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut bytes) {
                            let is_silent = is_silent.load(Ordering::SeqCst);
                            if !is_silent && to.write_all(&bytes[..count]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        between
    }

    fn url(&self, url: &str, port: u16) -> String {
        url.replace(&format!(":{port}"), &format!(":{}", self.port))
    }
}

#[tokio::test]
async fn a_broker_of_which_nothing_is_heard_any_more_is_away() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let between = Between::start(rabbit.port());
    let url = format!("{}?heartbeat=1", between.url(&place.url(), rabbit.port()));
    let broker = broker(&url);
    assert_eq!(sent(&broker, message("before", "q")).await, Delivery::Confirmed);
    between.is_silent.store(true, Ordering::SeqCst);
    let swallowed = send(&broker, message("swallowed", "q"));
    let reason = is_down(&broker).await;
    assert!(reason.contains("nothing was heard"), "{reason}");
    assert_eq!(answered(swallowed).await, Delivery::Away { reason });
    between.is_silent.store(false, Ordering::SeqCst);
    is_up(&broker).await;
    assert_eq!(sent(&broker, message("swallowed", "q")).await, Delivery::Confirmed);
    assert_eq!(place.drain("q").len(), 2);
}

#[tokio::test]
async fn closing_waits_for_what_is_under_way_and_says_goodbye() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    let answers: Vec<_> = (0..500).map(|number| send(&broker, message(number, "q"))).collect();
    broker.close(PATIENCE).await;
    for answer in answers {
        assert_eq!(answered(answer).await, Delivery::Confirmed);
    }
    assert_eq!(place.depth("q"), 500);
    assert_eq!(rabbit.connections(), 0);
    // A connection that is just gone is a warning in the broker's log.
    let of_us = format!("vhost: '{}'", place.name());
    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(line) = rabbit.log().lines().find(|line| line.contains(&of_us)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let told = told.await.unwrap();
    assert!(told.contains("[info]"), "{told}");
    let delivery = sent(&broker, message("late", "q")).await;
    assert!(matches!(delivery, Delivery::Away { .. }), "{delivery}");
    // Once more is no mistake.
    broker.close(PATIENCE).await;
}

#[tokio::test]
async fn closing_does_not_wait_longer_than_it_may() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker(&place.url());
    is_up(&broker).await;
    rabbit.pause();
    let answer = send(&broker, message("1", "q"));
    broker.close(Duration::from_millis(50)).await;
    let delivery = answered(answer).await;
    assert!(matches!(delivery, Delivery::Away { .. }), "{delivery}");
    rabbit.resume();
}

#[tokio::test]
async fn the_connection_ends_with_the_last_who_needs_it() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    let broker = broker(&place.url());
    let other = broker.clone();
    is_up(&broker).await;
    assert_eq!(rabbit.connections(), 1);
    let mut standing = broker.standing();
    drop(broker);
    assert_eq!(rabbit.connections(), 1);
    drop(other);
    until(&mut standing, |now| matches!(now, Standing::Down { .. })).await;
    // The broker takes note of it a moment later.
    let gone = async {
        while rabbit.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}
