//! Straight to the broker: one connection, one message, and perhaps the result of a task.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::runtime::Builder;

use super::Console;
use crate::broker::{Address, Broker, Delivery, Options, Publish as _};
use crate::clock::SystemClock;
use crate::courier::reply::Replies;
use crate::courier::task::Tasks;
use crate::event::Stream;
use crate::exit::ExitCode;
use crate::message::Message;
use crate::sink::record::escape;
use crate::unix::identity::hostname;

/// How long the broker may take over our leave.
const LEAVE: Duration = Duration::from_secs(2);
/// How long a result is waited for that no expiry bounds.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Sends a message, and waits until the broker has it; where that is asked for until the task has ended, too.
///
/// # Errors
/// The broker does not have it, in words. How a task failed is printed.
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

/// Sends a task, and prints what it returns, or how it failed: as a run of the daemon would.
async fn result(
    broker: &Broker,
    message: Message,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let replies = Replies::of(broker.clone());
    let tasks = Tasks::new(Arc::new(broker.clone()), replies, Arc::new(SystemClock));
    let ending = tasks.call(message, DAY).await;
    for (stream, line) in &ending.lines {
        match stream {
            Stream::Stdout => writeln!(console.out, "{line}")?,
            Stream::Stderr => writeln!(console.err, "{}", escape(line.as_bytes()))?,
        }
    }
    Ok(if ending.outcome.is_success() { ExitCode::Success } else { ExitCode::Failure })
}
