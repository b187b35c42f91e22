//! Prints the events that Cronkeep publishes with `--events`, one a line.
//!
//! ```text
//! cargo run --example events_consumer -- amqp://guest:guest@localhost cronkeep.events 'job.failed.#'
//! ```
//!
//! Declares the exchange, which Cronkeep does not, and a queue that goes with this program. `docs/events.md` says what an
//! event looks like.

use anyhow::Context as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(url), Some(exchange)) = (words.next(), words.next()) else {
        anyhow::bail!("usage: events_consumer URL EXCHANGE [BINDING]...");
    };
    let mut bindings: Vec<String> = words.collect();
    if bindings.is_empty() {
        bindings.push("#".to_owned());
    }

    let connection = Connection::connect(&url, ConnectionProperties::default())
        .await
        .context("no connection to the broker")?;
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(
            exchange.as_str().into(),
            ExchangeKind::Topic,
            durable,
            FieldTable::default(),
        )
        .await?;
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), exclusive, FieldTable::default()).await?;
    for binding in &bindings {
        channel
            .queue_bind(
                queue.name().clone(),
                exchange.as_str().into(),
                binding.as_str().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    let consumer = channel
        .basic_consume(
            queue.name().clone(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let (sender, mut deliveries) = mpsc::unbounded_channel();
    consumer.set_delegate(move |delivery| {
        // Nobody listens any more: the program is about to end.
        let _ = sender.send(delivery);
        std::future::ready(())
    });
    while let Some(delivery) = deliveries.recv().await {
        let Some(delivery) = delivery.context("the connection to the broker broke")? else { break };
        let event: Value = serde_json::from_slice(&delivery.data).context("an event is JSON")?;
        println!("{}", words_of(&event));
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// An event on one line.
fn words_of(event: &Value) -> String {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let job = text("/job/name").or_else(|| text("/job/key"));
    let reason = text("/reason").or_else(|| text("/run/reason"));
    let parts = [text("/at"), text("/host"), text("/event"), job, text("/run/id"), reason];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
