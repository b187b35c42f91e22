//! Messages that are under way, and which answer is whose.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, Error, ErrorKind, PublisherConfirm};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, Instant};

use super::keeper::CLOSED;
use super::wire::Packed;
use super::{Delivery, Landings};
use crate::message::Message;

/// So many bytes, or messages, may wait for the socket before more are handed to the client library: what waits there when
/// the broker closes the channel is sent nevertheless, and costs the connection.
const UNWRITTEN: usize = 64;
const UNWRITTEN_BYTES: usize = 128 << 10;
/// For so long a message whose time is up is still waited for when it is sent again.
const LATE: Duration = Duration::from_secs(5 * 60);
/// So many ids are kept of messages that were confirmed too late, for when they are sent again.
const KEPT: usize = 2_560;

/// A message on its way, and who wants to know what becomes of it.
pub(super) struct Parcel {
    pub(super) message: Arc<Message>,
    pub(super) answer: Teller,
    /// When its time is up.
    pub(super) deadline: Instant,
}

impl Parcel {
    /// Tells what became of it; whoever has stopped waiting is not told.
    pub(super) fn answer(self, delivery: Delivery) {
        self.answer.tell(delivery);
    }
}

/// The way to whoever waits for what becomes of a message; there is an answer also where it is dropped.
pub(super) struct Teller(Option<Way>);

enum Way {
    One(oneshot::Sender<Delivery>),
    Many(u64, Landings),
}

impl Teller {
    /// To somebody who waits for this message alone.
    pub(super) fn one(answer: oneshot::Sender<Delivery>) -> Self {
        Teller(Some(Way::One(answer)))
    }

    /// To somebody who has sent several, under this number.
    pub(super) fn many(number: u64, landings: Landings) -> Self {
        Teller(Some(Way::Many(number, landings)))
    }

    fn tell(mut self, delivery: Delivery) {
        self.send(delivery);
    }

    fn send(&mut self, delivery: Delivery) {
        // Whoever has gone need not be told.
        match self.0.take() {
            Some(Way::One(answer)) => drop(answer.send(delivery)),
            Some(Way::Many(number, landings)) => drop(landings.send((number, delivery))),
            None => {}
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.send(Delivery::Away { reason: CLOSED.to_owned() });
        }
    }
}

/// What is under way on one channel.
pub(super) struct Flight {
    next: u64,
    sent: BTreeMap<u64, Sent>,
    /// How many of them somebody waits for.
    awaited: usize,
    unwritten: usize,
    unwritten_bytes: usize,
    /// Those that nobody waits for any more, by the id of their message.
    orphans: HashMap<String, u64>,
    /// Messages that were confirmed after their time was up.
    late: VecDeque<String>,
    /// Messages that came back, whose confirms are perhaps still to be seen.
    returns: Vec<Returned>,
    /// What the client library says, still to be looked at.
    told: Vec<(u64, lapin::Result<Confirmation>)>,
    woken: Arc<Woken>,
}

/// A message that was handed to the client library.
struct Sent {
    /// None: its time is up.
    parcel: Option<Parcel>,
    /// The message's id, once its time is up.
    late_id: String,
    at: Instant,
    size: usize,
    stage: Stage,
    waker: Waker,
}

impl Sent {
    /// The message's id.
    fn id(&self) -> &str {
        self.parcel.as_ref().map_or(&self.late_id, |parcel| &parcel.message.id)
    }
}

enum Stage {
    Writing(Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send>>),
    Confirming(PublisherConfirm),
    /// Nothing more will be heard of it.
    Over,
}

/// A message that came back.
struct Returned {
    id: String,
    code: u16,
    text: String,
}

/// Which messages there is news of.
#[derive(Default)]
struct Woken {
    numbers: Mutex<Vec<u64>>,
    notify: Notify,
}

impl Woken {
    fn numbers(&self) -> MutexGuard<'_, Vec<u64>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells that there is news of one message.
struct Bell {
    number: u64,
    woken: Arc<Woken>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.woken.numbers().push(self.number);
        self.woken.notify.notify_one();
    }
}

/// What the broker says of a message.
enum Verdict {
    Acked,
    Nacked,
    Unasked,
}

impl Flight {
    pub(super) fn new() -> Self {
        Flight {
            next: 0,
            sent: BTreeMap::new(),
            awaited: 0,
            unwritten: 0,
            unwritten_bytes: 0,
            orphans: HashMap::new(),
            late: VecDeque::new(),
            returns: Vec::new(),
            told: Vec::new(),
            woken: Arc::default(),
        }
    }

    /// How many messages are under way that somebody waits for.
    pub(super) fn awaited(&self) -> usize {
        self.awaited
    }

    /// Whether another message may be handed to the client library.
    pub(super) fn has_room(&self) -> bool {
        self.unwritten < UNWRITTEN && self.unwritten_bytes < UNWRITTEN_BYTES
    }

    /// Waits until there is news.
    pub(super) fn news(&self) -> impl Future<Output = ()> + Send + 'static {
        let woken = Arc::clone(&self.woken);
        async move { woken.notify.notified().await }
    }

    /// Takes a message that is under way still, or was confirmed too late: it need not be sent again. Else gives it back.
    pub(super) fn adopt(&mut self, parcel: Parcel) -> Option<Parcel> {
        if let Some(place) = self.late.iter().position(|id| *id == parcel.message.id) {
            self.late.remove(place);
            parcel.answer(Delivery::Confirmed);
            return None;
        }
        let number = self.orphans.get(&parcel.message.id);
        match number.and_then(|number| self.sent.get_mut(number)) {
            Some(sent) if sent.at.elapsed() < LATE => {
                self.orphans.remove(sent.id());
                sent.parcel = Some(parcel);
                self.awaited += 1;
                None
            }
            _ => Some(parcel),
        }
    }

    /// Hands a message to the client library: when this returns it is in its queue, behind those of earlier calls.
    pub(super) fn send(&mut self, channel: &Arc<Channel>, parcel: Parcel, packed: Packed) {
        let number = self.next;
        self.next += 1;
        let size = parcel.message.body.len();
        let writing = {
            let (channel, message) = (Arc::clone(channel), Arc::clone(&parcel.message));
            async move {
                let Packed { exchange, routing_key, properties } = packed;
                let options =
                    BasicPublishOptions { mandatory: message.mandatory, immediate: false };
                let body = &message.body;
                channel.basic_publish(exchange, routing_key, options, body, properties).await
            }
        };
        let bell = Bell { number, woken: Arc::clone(&self.woken) };
        let sent = Sent {
            parcel: Some(parcel),
            late_id: String::new(),
            at: Instant::now(),
            size,
            stage: Stage::Writing(Box::pin(writing)),
            waker: Waker::from(Arc::new(bell)),
        };
        self.sent.insert(number, sent);
        self.awaited += 1;
        self.unwritten += 1;
        self.unwritten_bytes += size;
        self.look(number);
        if !self.told.is_empty() {
            self.woken.notify.notify_one();
        }
    }

    /// Answers whatever has an answer, after `dealt_with` was told of it. An error says that the channel or the connection is gone.
    pub(super) fn settle(
        &mut self,
        channel: &Channel,
        mut dealt_with: impl FnMut(&Message),
    ) -> Option<Error> {
        let mut failure = None;
        let mut ready = self.collect(&mut failure);
        while !ready.is_empty() {
            // The client library gives a message that came back to the first confirm after it, and the confirms of one frame
            // have no order: the one that got it is perhaps of another message, and still to be seen. The library holds a lock
            // while it deals with a frame; after we have had that, all confirms of the frame can be seen.
            await_frame(channel);
            let more = self.collect(&mut failure);
            for (number, verdict) in ready {
                self.conclude(number, &verdict, &mut dealt_with);
            }
            ready = more;
        }
        if !self.returns.is_empty() {
            let sent = &self.sent;
            self.returns.retain(|returned| sent.values().any(|sent| sent.id() == returned.id));
        }
        failure
    }

    /// Whether nothing more will be heard of any message that is under way.
    pub(super) fn is_over(&self) -> bool {
        self.sent.values().all(|sent| matches!(sent.stage, Stage::Over))
    }

    /// Takes out all that somebody waits for, in the order in which it was sent, and tells how many messages were under way.
    pub(super) fn take(&mut self) -> (Vec<Parcel>, usize) {
        let old = std::mem::replace(self, Flight::new());
        let count = old.sent.len();
        self.late = old.late;
        (old.sent.into_values().filter_map(|sent| sent.parcel).collect(), count)
    }

    /// Answers what nobody should wait for any longer: all that is under way, or what has its deadline at `now`. Gives the next
    /// deadline.
    pub(super) fn expire(
        &mut self,
        now: Instant,
        all: bool,
        answer: impl Fn() -> Delivery,
    ) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for (number, sent) in &mut self.sent {
            let Some(parcel) = &sent.parcel else { continue };
            if !all && parcel.deadline > now {
                next = Some(next.map_or(parcel.deadline, |next| next.min(parcel.deadline)));
            } else if let Some(parcel) = sent.parcel.take() {
                self.awaited -= 1;
                sent.late_id.clone_from(&parcel.message.id);
                self.orphans.insert(sent.late_id.clone(), *number);
                parcel.answer(answer());
            }
        }
        next
    }

    /// Looks at those of which there is news; gives those that the broker has decided on.
    fn collect(&mut self, failure: &mut Option<Error>) -> Vec<(u64, Verdict)> {
        let numbers = std::mem::take(&mut *self.woken.numbers());
        for number in numbers {
            self.look(number);
        }
        let mut verdicts = Vec::with_capacity(self.told.len());
        for (number, result) in std::mem::take(&mut self.told) {
            match result {
                Ok(Confirmation::Ack(returned)) => {
                    self.returns.extend(returned.as_ref().map(Returned::new));
                    verdicts.push((number, Verdict::Acked));
                }
                Ok(Confirmation::Nack(returned)) => {
                    self.returns.extend(returned.as_ref().map(Returned::new));
                    verdicts.push((number, Verdict::Nacked));
                }
                Ok(Confirmation::NotRequested) => verdicts.push((number, Verdict::Unasked)),
                // The error that says why is worth more than those that follow from it.
                Err(error) if failure.is_none() || is_cause(&error) => *failure = Some(error),
                Err(_) => {}
            }
        }
        verdicts
    }

    /// Looks at one.
    fn look(&mut self, number: u64) {
        let Some(sent) = self.sent.get_mut(&number) else { return };
        let mut context = Context::from_waker(&sent.waker);
        if let Stage::Writing(writing) = &mut sent.stage {
            let Poll::Ready(result) = writing.as_mut().poll(&mut context) else { return };
            self.unwritten -= 1;
            self.unwritten_bytes -= sent.size;
            match result {
                Ok(confirm) => sent.stage = Stage::Confirming(confirm),
                Err(error) => {
                    sent.stage = Stage::Over;
                    self.told.push((number, Err(error)));
                }
            }
        }
        if let Stage::Confirming(confirm) = &mut sent.stage
            && let Poll::Ready(result) = Pin::new(confirm).poll(&mut context)
        {
            sent.stage = Stage::Over;
            self.told.push((number, result));
        }
    }

    /// Tells what became of one.
    fn conclude(&mut self, number: u64, verdict: &Verdict, dealt_with: &mut impl FnMut(&Message)) {
        let Some(sent) = self.sent.remove(&number) else { return };
        let returned = self.returns.iter().position(|returned| returned.id == sent.id());
        let delivery = match (returned, verdict) {
            (Some(place), _) => {
                let Returned { code, text, .. } = self.returns.swap_remove(place);
                Delivery::Returned { code, text }
            }
            (None, Verdict::Acked) => Delivery::Confirmed,
            (None, Verdict::Nacked) => Delivery::Nacked,
            (None, Verdict::Unasked) => {
                Delivery::Away { reason: "the channel does not confirm".to_owned() }
            }
        };
        if let Some(parcel) = sent.parcel {
            self.awaited -= 1;
            dealt_with(&parcel.message);
            parcel.answer(delivery);
            return;
        }
        let id = sent.late_id;
        if self.orphans.get(&id) == Some(&number) {
            self.orphans.remove(&id);
        }
        if delivery == Delivery::Confirmed {
            if self.late.len() == KEPT {
                self.late.pop_front();
            }
            self.late.push_back(id);
        }
    }
}

impl Returned {
    fn new(message: &BasicReturnMessage) -> Self {
        let id = message.properties.message_id().as_ref();
        Returned {
            id: id.map(ToString::to_string).unwrap_or_default(),
            code: message.reply_code,
            text: message.reply_text.to_string(),
        }
    }
}

/// Whether an error comes from the broker itself.
pub(super) fn is_cause(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(_))
}

/// Returns once the client library is through with the frame of confirms that it is at, if it is at one.
fn await_frame(channel: &Channel) {
    let mut confirms = pin!(channel.wait_for_confirms());
    let _ = confirms.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}
