//! Straight to the broker: one connection, one message, and perhaps the result of a task.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::Console;
use crate::broker::{
    Address, Broker, Consuming, Deliveries, Delivery, Options, Publish as _, Queue,
};
use crate::clock::{Clock as _, SystemClock};
use crate::exit::ExitCode;
use crate::message::Message;
use crate::message::celery::{Reply, State};
use crate::sink::record::escape;
use crate::unix::identity::hostname;

/// How long the broker may take over our leave.
const LEAVE: Duration = Duration::from_secs(2);
/// How long it may take to give us a queue for the answer.
const OPENING: Duration = Duration::from_secs(30);
/// How long a result is waited for that no expiry bounds.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is waited for after the expiry: a worker that finds a task expired says so then.
const LINGER: Duration = Duration::from_secs(2);

/// Sends a message, and waits until the broker has it; where that is asked for until the task has ended, too.
///
/// # Errors
/// The broker does not have it, or the task did not succeed, in words.
pub(super) fn publish(
    addresses: Vec<Address>,
    message: Message,
    wait: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let broker = Broker::start(addresses, Options::of_host(&hostname()));
        let outcome = if wait {
            result(&broker, message, console).await
        } else {
            confirmed(&broker, message).await.map(|()| ExitCode::Success)
        };
        broker.close(LEAVE).await;
        outcome
    })
}

async fn confirmed(broker: &Broker, message: Message) -> anyhow::Result<()> {
    match broker.publish(Arc::new(message)).await {
        Delivery::Confirmed => Ok(()),
        delivery => Err(anyhow!("{delivery}")),
    }
}

/// Sends a task, and prints what it returns, or how it failed.
async fn result(
    broker: &Broker,
    mut message: Message,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let mut answers = broker.consume(Queue::Reply);
    let queue = reply_queue(&answers).await?;
    message.properties.reply_to = Some(queue.clone());
    let task = message.properties.correlation_id.clone();
    let left = left(&message);
    confirmed(broker, message).await?;
    let reply = timeout(left, answer(&mut answers, &queue, task.as_deref())).await;
    let reply = reply.map_err(|_| {
        anyhow!(
            "no result came until the message expired: no worker is there, or the task takes longer"
        )
    })??;
    if reply.is_success() {
        // A task that returns nothing prints nothing.
        if reply.result != "null" {
            writeln!(console.out, "{}", reply.result)?;
        }
        return Ok(ExitCode::Success);
    }
    for line in reply.traceback.as_deref().unwrap_or_default().trim_end().lines() {
        writeln!(console.err, "{}", escape(line.as_bytes()))?;
    }
    let what = if reply.state == State::Revoked { "was revoked" } else { "failed" };
    Err(anyhow!("the task {what}: {}", reply.result))
}

/// The name of the queue where answers arrive, once it is there.
async fn reply_queue(answers: &Deliveries) -> anyhow::Result<String> {
    let (mut name, mut consuming) = (answers.reply_queue(), answers.consuming());
    let named = async { name.wait_for(Option::is_some).await.ok()?.clone() };
    let refused = async {
        // The first word is that there is no connection yet.
        consuming.changed().await.ok()?;
        let refused =
            consuming.wait_for(|it| matches!(it, Consuming::Waiting { .. })).await.ok()?;
        match &*refused {
            Consuming::Waiting { reason } => Some(reason.clone()),
            Consuming::On => None,
        }
    };
    tokio::select! {
        biased;
        named = timeout(OPENING, named) => match named {
            Ok(Some(queue)) => Ok(queue),
            _ => Err(anyhow!("the broker gave no queue for the answer within {} s", OPENING.as_secs())),
        },
        Some(reason) = refused => Err(anyhow!("the broker is away: {reason}")),
    }
}

/// The last answer to a task.
async fn answer(
    answers: &mut Deliveries,
    queue: &str,
    task: Option<&str>,
) -> anyhow::Result<Reply> {
    let mut name = answers.reply_queue();
    let lost = async {
        // The queue goes with its connection; another one has another name.
        let _ = name.wait_for(|name| name.as_deref() != Some(queue)).await;
    };
    let found = async {
        while let Some(received) = answers.next().await {
            let message = received.message;
            // It is taken off the queue, whatever it is.
            let _ = received.receipt.ack().await;
            if message.properties.correlation_id.as_deref() != task {
                continue;
            }
            let reply = Reply::read(&message.body)?;
            if reply.is_final() {
                return Ok(Some(reply));
            }
        }
        anyhow::Ok(None)
    };
    let found = tokio::select! {
        found = found => found?,
        () = lost => None,
    };
    found.ok_or_else(|| {
        anyhow!("the connection to the broker broke: the result is lost, and the task may be carried out all the same")
    })
}

/// How long a result of the message is waited for.
fn left(message: &Message) -> Duration {
    let left = message.properties.expires.map(|at| at.duration_since(SystemClock.now()));
    let left = left.map_or(DAY, |left| Duration::try_from(left).unwrap_or_default());
    left.saturating_add(LINGER)
}
