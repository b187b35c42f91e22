//! Finding a broker, and what is told where there is none.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use cronkeep::broker::{Delivery, Options, Publish as _, Standing};

use crate::rabbit;
use crate::scene::{broker, broker_with, is_down, is_up, message, sent};

/// A port on which nobody listens.
fn dead_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_refused_login_is_told_without_the_password() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    let broker = broker(&place.url_of("guest", "s3cr3t-and-wrong"));
    let reason = is_down(&broker).await;
    assert_eq!(reason, "the broker refused the user or its password (ACCESS_REFUSED)");
    let delivery = sent(&broker, message("1", "q")).await;
    assert_eq!(delivery, Delivery::Away { reason });
    assert!(!format!("{broker:?} {delivery:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn a_missing_virtual_host_is_named() {
    let Some(rabbit) = rabbit::shared() else { return };
    let broker = broker(&format!("{}/nowhere", rabbit.url()));
    let reason = is_down(&broker).await;
    assert_eq!(reason, "there is no virtual host nowhere (NOT_ALLOWED)");
}

#[tokio::test]
async fn a_virtual_host_of_others_is_told() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    rabbit.add_user("stranger", "word");
    let reason = is_down(&broker(&place.url_of("stranger", "word"))).await;
    assert!(reason.contains("NOT_ALLOWED - access to vhost"), "{reason}");
}

#[tokio::test]
async fn a_dead_port_and_an_unknown_host_are_told_apart() {
    let reason = is_down(&broker(&format!("amqp://127.0.0.1:{}", dead_port()))).await;
    assert_eq!(reason, "connection refused");
    let reason = is_down(&broker("amqp://no-such-host.invalid")).await;
    assert!(reason.starts_with("unknown host no-such-host.invalid ("), "{reason}");
}

#[tokio::test]
async fn the_first_address_that_answers_is_taken() {
    let Some(rabbit) = rabbit::shared() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let dead = dead_port();
    let broker = broker(&format!("amqp://127.0.0.1:{dead},{}", place.url()));
    let address = is_up(&broker).await;
    assert!(address.contains(&rabbit.port().to_string()) && !address.contains("guest"));
    assert_eq!(sent(&broker, message("1", "q")).await, Delivery::Confirmed);
}

#[tokio::test]
async fn where_no_address_answers_each_says_why() {
    let (first, second) = (dead_port(), dead_port());
    let url = format!("amqp://me:s3cr3t@127.0.0.1:{first},amqp://127.0.0.1:{second}/v");
    let reason = is_down(&broker(&url)).await;
    assert_eq!(
        reason,
        format!(
            "amqp://127.0.0.1:{first}: connection refused; amqp://127.0.0.1:{second}/v: connection refused"
        )
    );
}

#[tokio::test]
async fn a_host_that_says_nothing_is_given_up() {
    // Accepts by its backlog, and never answers.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = Options { connect: Duration::from_millis(100), ..Options::default() };
    let reason = is_down(&broker_with(&format!("amqp://127.0.0.1:{port}"), options)).await;
    assert_eq!(reason, "no answer within 100ms");
}

#[tokio::test]
async fn what_is_no_broker_is_told() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let _ = client.read(&mut [0; 8]);
                let _ = client.write_all(answer.as_bytes());
            }
        });
        let reason = is_down(&broker(&format!("amqp://127.0.0.1:{port}"))).await;
        let words = if answer.is_empty() {
            "the connection ended before the broker had accepted it"
        } else {
            "what answers there does not speak AMQP 0-9-1"
        };
        assert_eq!(reason, words);
    }
}

#[tokio::test]
async fn a_patient_one_connects_with_its_first_message() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let broker = broker_with(&place.url(), Options { eager: false, ..Options::default() });
    // Whatever was to be done at the start has been done.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*broker.standing().borrow(), Standing::Unknown);
    assert_eq!(rabbit.connections(), 0);
    assert_eq!(sent(&broker, message("1", "q")).await, Delivery::Confirmed);
    is_up(&broker).await;
}

#[tokio::test]
async fn the_broker_knows_who_is_connected() {
    let Some(rabbit) = rabbit::victim() else { return };
    let place = rabbit.vhost();
    let broker = broker_with(&place.url(), Options::of_host("here"));
    is_up(&broker).await;
    let shown = rabbit.ask(
        "[rabbit_reader:info(Pid, [client_properties, timeout, frame_max]) || Pid <- rabbit_networking:connections()]",
    );
    assert!(shown.contains("{<<\"connection_name\">>,longstr,<<\"cronkeep@here\">>}"), "{shown}");
    assert!(shown.contains("{<<\"product\">>,longstr,<<\"cronkeep\">>}"), "{shown}");
    assert!(shown.contains("{timeout,60}") && shown.contains("{frame_max,16384}"), "{shown}");
}
