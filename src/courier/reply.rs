//! Answers to messages: through one queue of our own, each handed to whoever waits for it.
//!
//! The queue is opened when somebody first waits, and anew after it was lost. What was waited for through a queue that is
//! lost is not heard of any more: those who wait are told at once.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::broker::{Broker, Consuming, Queue};
use crate::message::Message;

/// How long a queue may take to be opened.
const OPENING: Duration = Duration::from_secs(10);

/// A queue that was opened, or why it was not, in words.
pub type Opening = Pin<Box<dyn Future<Output = Result<Inbox, String>> + Send>>;

/// A queue of our own, and what arrives there.
#[derive(Debug)]
pub struct Inbox {
    /// Its name: where an answer is to be sent.
    pub queue: String,
    /// What arrives; ends when the queue is lost.
    pub messages: mpsc::UnboundedReceiver<Message>,
}

/// Hands answers to those who wait for them.
pub struct Replies {
    open: Box<dyn Fn() -> Opening + Send + Sync>,
    /// The queue that was opened last. Whoever opens one holds the lock: others wait for that one.
    last: tokio::sync::Mutex<Option<Board>>,
}

/// Who waits for which answer through one queue.
#[derive(Debug, Clone)]
struct Board {
    queue: Arc<str>,
    /// By the id that an answer names; none once the queue is lost.
    waiting: Arc<Mutex<Option<Waiting>>>,
}

/// Those who wait, each with a number, since one may take the place of another.
#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<String, (u64, mpsc::UnboundedSender<Message>)>,
    next: u64,
}

/// The answers to one message.
#[derive(Debug)]
pub struct Expected {
    id: String,
    number: u64,
    board: Board,
    answers: mpsc::UnboundedReceiver<Message>,
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}

impl Replies {
    /// Answers through queues that `open` opens.
    #[must_use]
    pub fn new(open: impl Fn() -> Opening + Send + Sync + 'static) -> Self {
        Replies { open: Box::new(open), last: tokio::sync::Mutex::default() }
    }

    /// Answers through reply queues of a broker.
    #[must_use]
    pub fn of(broker: Broker) -> Self {
        Replies::new(move || Box::pin(open(broker.clone())))
    }

    /// Waits from now on for answers that name `id`; to be called before the message is sent. Who waited for the same before
    /// is told that nothing comes any more.
    ///
    /// # Errors
    /// There is no queue to be had, in words.
    pub async fn expect(&self, id: &str) -> Result<Expected, String> {
        let mut last = self.last.lock().await;
        if let Some(expected) = last.as_ref().and_then(|board| board.expect(id)) {
            return Ok(expected);
        }
        let inbox = (self.open)().await?;
        let board = Board { queue: inbox.queue.into(), waiting: Arc::default() };
        *board.waiting() = Some(Waiting::default());
        tokio::spawn(board.clone().follow(inbox.messages));
        let expected = board.expect(id);
        *last = Some(board);
        expected.ok_or_else(|| "the queue for answers was lost".to_owned())
    }
}

/// Opens a reply queue; it is given up when its connection is lost.
async fn open(broker: Broker) -> Result<Inbox, String> {
    let mut deliveries = broker.consume(Queue::Reply);
    let (mut name, mut consuming) = (deliveries.reply_queue(), deliveries.consuming());
    let named = async { name.wait_for(Option::is_some).await.ok()?.clone() };
    let refused = async {
        // The first word is that there is no connection yet.
        consuming.changed().await.ok()?;
        let waits = |it: &Consuming| matches!(it, Consuming::Waiting { .. });
        match &*consuming.wait_for(waits).await.ok()? {
            Consuming::Waiting { reason } => Some(reason.clone()),
            Consuming::On => None,
        }
    };
    let queue = tokio::select! {
        biased;
        named = timeout(OPENING, named) => named.ok().flatten(),
        Some(reason) = refused => return Err(reason),
    };
    let Some(queue) = queue else {
        return Err(format!("the broker gave no queue for answers within {OPENING:?}"));
    };
    let (sender, messages) = mpsc::unbounded_channel();
    let ours = queue.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                received = deliveries.next() => {
                    let Some(received) = received else { return };
                    let acknowledged = received.receipt.ack();
                    if sender.send(received.message).is_err() {
                        return;
                    }
                    // The queue goes with the connection: what is not acknowledged there is nobody's any more.
                    let _ = acknowledged.await;
                }
                changed = name.changed() => {
                    if changed.is_err() || name.borrow().as_deref() != Some(&*ours) {
                        return;
                    }
                }
                () = sender.closed() => return,
            }
        }
    });
    Ok(Inbox { queue, messages })
}

impl Board {
    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        // Nothing is left half done by a panic: there is none.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: the queue is lost.
    fn expect(&self, id: &str) -> Option<Expected> {
        let (sender, answers) = mpsc::unbounded_channel();
        let mut waiting = self.waiting();
        let waiting = waiting.as_mut()?;
        let number = waiting.next;
        waiting.next += 1;
        waiting.by_id.insert(id.to_owned(), (number, sender));
        Some(Expected { id: id.to_owned(), number, board: self.clone(), answers })
    }

    /// Hands on what arrives, until the queue is lost.
    async fn follow(self, mut messages: mpsc::UnboundedReceiver<Message>) {
        while let Some(message) = messages.recv().await {
            let waiting = self.waiting();
            let id = message.properties.correlation_id.as_deref().unwrap_or_default();
            if let Some((_, sender)) = waiting.as_ref().and_then(|waiting| waiting.by_id.get(id)) {
                // Whoever waited may have gone.
                let _ = sender.send(message);
            }
        }
        *self.waiting() = None;
    }
}

impl Expected {
    /// The queue where the answer is expected, for the message's `reply_to`.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.board.queue
    }

    /// The next answer; none: the queue is lost, or somebody else waits for it now. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Message> {
        self.answers.recv().await
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if let Some(waiting) = self.board.waiting().as_mut()
            && waiting.by_id.get(&self.id).is_some_and(|(number, _)| *number == self.number)
        {
            waiting.by_id.remove(&self.id);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::message::Properties;

    /// Replies whose queues a test holds in its hands.
    pub(in crate::courier) fn replies()
    -> (Replies, mpsc::UnboundedReceiver<mpsc::UnboundedSender<Message>>) {
        let (opened, queues) = mpsc::unbounded_channel();
        let count = AtomicUsize::new(0);
        let replies = Replies::new(move || {
            let (sender, messages) = mpsc::unbounded_channel();
            let queue = format!("queue-{}", count.fetch_add(1, Ordering::Relaxed));
            opened.send(sender).unwrap();
            Box::pin(async move { Ok(Inbox { queue, messages }) })
        });
        (replies, queues)
    }

    pub(in crate::courier) fn answer(id: &str, body: &str) -> Message {
        Message {
            id: String::new(),
            exchange: String::new(),
            routing_key: String::new(),
            mandatory: false,
            persistent: false,
            properties: Properties { correlation_id: Some(id.to_owned()), ..Properties::default() },
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        }
    }

    async fn body(expected: &mut Expected) -> String {
        String::from_utf8(expected.next().await.expect("an answer").body).unwrap()
    }

    #[tokio::test]
    async fn each_gets_the_answers_to_its_own_message_through_one_queue() {
        let (replies, mut queues) = replies();
        let mut first = replies.expect("a").await.unwrap();
        let mut second = replies.expect("b").await.unwrap();
        assert_eq!((first.queue(), second.queue()), ("queue-0", "queue-0"));
        let queue = queues.recv().await.unwrap();
        for (id, text) in [("b", "1"), ("nobody", "2"), ("a", "3"), ("b", "4")] {
            queue.send(answer(id, text)).unwrap();
        }
        assert_eq!(body(&mut second).await, "1");
        assert_eq!(body(&mut second).await, "4");
        assert_eq!(body(&mut first).await, "3");
        assert!(queues.try_recv().is_err(), "it is opened once");
    }

    #[tokio::test]
    async fn where_the_queue_is_lost_all_who_wait_are_told_and_the_next_opens_another() {
        let (replies, mut queues) = replies();
        let mut first = replies.expect("a").await.unwrap();
        let mut second = replies.expect("b").await.unwrap();
        drop(queues.recv().await.unwrap());
        assert!(first.next().await.is_none() && second.next().await.is_none());
        let mut third = replies.expect("a").await.unwrap();
        assert_eq!(third.queue(), "queue-1");
        // The one before it goes late, and takes nobody's place with it.
        drop(first);
        queues.recv().await.unwrap().send(answer("a", "x")).unwrap();
        assert_eq!(body(&mut third).await, "x");
    }

    #[tokio::test]
    async fn who_waits_anew_takes_the_place_of_who_waited_before() {
        let (replies, mut queues) = replies();
        let mut first = replies.expect("a").await.unwrap();
        let mut second = replies.expect("a").await.unwrap();
        assert!(first.next().await.is_none());
        drop(first);
        queues.recv().await.unwrap().send(answer("a", "x")).unwrap();
        assert_eq!(body(&mut second).await, "x");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_those_who_have_gone() {
        let (replies, _queues) = replies();
        for nth in 0..100 {
            drop(replies.expect(&nth.to_string()).await.unwrap());
        }
        let last = replies.last.lock().await;
        let board = last.as_ref().unwrap();
        assert!(board.waiting().as_ref().unwrap().by_id.is_empty());
    }

    #[tokio::test]
    async fn a_queue_that_cannot_be_had_is_told_in_words() {
        let replies = Replies::new(|| Box::pin(async { Err("the broker is away".to_owned()) }));
        assert_eq!(replies.expect("a").await.unwrap_err(), "the broker is away");
    }
}
