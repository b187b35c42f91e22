//! The other end of `benches/message.py`: publishes as fast as the client library alone can, and notes what arrives.
//!
//! `bare URL COUNT WINDOW`: COUNT persistent, mandatory messages with confirms, WINDOW of them under way at a time; prints how many
//! nanoseconds passed. `each URL COUNT`: one at each full second, prints by how many nanoseconds its confirm came after it.
//! `listen URL COUNT`: prints the wall clock, in nanoseconds, and the id of each message as it arrives.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up cannot go on")]
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark reads clocks, and prints what it finds"
)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_core::Stream as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

const QUEUE: &str = "bench";

fn main() {
    // `cargo bench` adds a word of its own.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match words[..] {
            ["bare", url, count, window] => {
                bare(url, count.parse().unwrap(), window.parse().unwrap()).await;
            }
            ["each", url, count] => each(url, count.parse().unwrap()).await,
            ["listen", url, count] => listen(url, count.parse().unwrap()).await,
            // Without words there is nothing to measure: benches/message.py has them.
            _ => {}
        }
    });
}

async fn channel(url: &str) -> Channel {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), durable, FieldTable::default()).await.unwrap();
    channel
}

fn properties(number: usize) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(format!("bare-{number}").into())
}

async fn publish(channel: &Channel, number: usize) -> lapin::PublisherConfirm {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel
        .basic_publish("".into(), QUEUE.into(), options, b"a body of a message", properties(number))
        .await
        .unwrap()
}

fn check(confirmation: &Confirmation) {
    assert!(matches!(confirmation, Confirmation::Ack(None)), "{confirmation:?}");
}

async fn bare(url: &str, count: usize, window: usize) {
    let channel = channel(url).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let begun = Instant::now();
    let mut under_way = VecDeque::with_capacity(window);
    for number in 0..count {
        if under_way.len() == window {
            let first: lapin::PublisherConfirm = under_way.pop_front().unwrap();
            check(&first.await.unwrap());
        }
        under_way.push_back(publish(&channel, number).await);
    }
    for confirm in under_way {
        check(&confirm.await.unwrap());
    }
    println!("{}", begun.elapsed().as_nanos());
}

async fn each(url: &str, count: usize) {
    let channel = channel(url).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for number in 0..count {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let instant = Duration::from_secs(now.as_secs() + 1);
        tokio::time::sleep(instant.saturating_sub(now)).await;
        check(&publish(&channel, number).await.await.unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        println!("{}", now.saturating_sub(instant).as_nanos());
    }
}

async fn listen(url: &str, count: usize) {
    let channel = channel(url).await;
    channel.basic_qos(1_000, BasicQosOptions::default()).await.unwrap();
    let mut messages = channel
        .basic_consume(
            QUEUE.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    println!("ready");
    for _ in 0..count {
        let next = std::future::poll_fn(|context| Pin::new(&mut messages).poll_next(context));
        let message = next.await.unwrap().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let id = message.properties.message_id().as_ref().map_or("", |id| id.as_str());
        println!("{} {id}", now.as_nanos());
        message.ack(BasicAckOptions::default()).await.unwrap();
    }
}
