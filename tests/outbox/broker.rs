//! A broker that answers as a test has it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cronkeep::broker::{Answer, Delivery, Publish, Standing};
use cronkeep::message::Message;
use jiff::Timestamp;
use tokio::sync::watch;

/// What becomes of a message.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// This, at once.
    Now(Delivery),
    /// This, after a while.
    Later(Duration, Delivery),
    /// It is not answered.
    Never,
}

/// What becomes of each message.
type Answers = Box<dyn FnMut(&Message) -> Plan + Send>;

/// A broker that notes what it is sent.
pub(crate) struct Broker {
    standing: watch::Sender<Standing>,
    state: Mutex<State>,
}

struct State {
    answers: Answers,
    /// Every message that was sent, in order, with the life in which it was.
    sent: Vec<(u32, Arc<Message>)>,
    /// Ids that were answered as confirmed, with the life in which they were.
    confirmed: HashMap<String, u32>,
    /// Messages that are not answered, and the most that there were at once, and their bytes.
    flying: (usize, usize),
    bytes: (usize, usize),
    life: u32,
}

impl Broker {
    /// One that confirms everything.
    pub(crate) fn new() -> Arc<Self> {
        Broker::answering(|_| Plan::Now(Delivery::Confirmed))
    }

    /// One that answers like this.
    pub(crate) fn answering(answers: impl FnMut(&Message) -> Plan + Send + 'static) -> Arc<Self> {
        let state = State {
            answers: Box::new(answers),
            sent: Vec::new(),
            confirmed: HashMap::new(),
            flying: (0, 0),
            bytes: (0, 0),
            life: 0,
        };
        Arc::new(Broker { standing: watch::Sender::new(up()), state: Mutex::new(state) })
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, answers: impl FnMut(&Message) -> Plan + Send + 'static) {
        self.state().answers = Box::new(answers);
    }

    /// Stands so from now on.
    pub(crate) fn stand(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    /// Another life of the outbox begins.
    pub(crate) fn next_life(&self) {
        self.state().life += 1;
    }

    /// The ids of what was sent, in order.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.state().sent.iter().map(|(_, message)| message.id.clone()).collect()
    }

    /// What was sent, in order.
    pub(crate) fn sent(&self) -> Vec<Arc<Message>> {
        self.state().sent.iter().map(|(_, message)| Arc::clone(message)).collect()
    }

    /// The most messages that were under way at once, and the most bytes of bodies.
    pub(crate) fn most(&self) -> (usize, usize) {
        let state = self.state();
        (state.flying.1, state.bytes.1)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn landed(&self, message: &Message, delivery: &Delivery) {
        let mut state = self.state();
        state.flying.0 -= 1;
        state.bytes.0 -= message.body.len();
        if *delivery == Delivery::Confirmed {
            let life = state.life;
            state.confirmed.insert(message.id.clone(), life);
        }
    }
}

/// A handle that the outbox has, as a broker of its own would be.
pub(crate) struct Handle(pub(crate) Arc<Broker>);

/// Counts a message as answered although nobody waits for the answer any more.
struct Flight {
    broker: Arc<Broker>,
    message: Arc<Message>,
    delivery: Option<Delivery>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        let away = Delivery::Away { reason: "nobody waits".to_owned() };
        self.broker.landed(&self.message, self.delivery.as_ref().unwrap_or(&away));
    }
}

impl Publish for Handle {
    fn publish(&self, message: Arc<Message>) -> Answer {
        let mut state = self.0.state();
        let life = state.life;
        let confirmed = state.confirmed.get(&message.id);
        assert!(
            confirmed.is_none_or(|then| *then < life),
            "{} is sent after its confirm",
            message.id
        );
        state.sent.push((life, Arc::clone(&message)));
        state.flying.0 += 1;
        state.flying.1 = state.flying.1.max(state.flying.0);
        state.bytes.0 += message.body.len();
        state.bytes.1 = state.bytes.1.max(state.bytes.0);
        let plan = (state.answers)(&message);
        drop(state);
        let mut flight = Flight { broker: Arc::clone(&self.0), message, delivery: None };
        Box::pin(async move {
            let delivery = match plan {
                Plan::Now(delivery) => delivery,
                Plan::Later(span, delivery) => {
                    tokio::time::sleep(span).await;
                    delivery
                }
                Plan::Never => std::future::pending().await,
            };
            flight.delivery = Some(delivery.clone());
            drop(flight);
            delivery
        })
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }
}

pub(crate) fn up() -> Standing {
    Standing::Up { address: "amqp://here".to_owned() }
}

pub(crate) fn down() -> Standing {
    Standing::Down { since: Timestamp::UNIX_EPOCH, reason: "connection refused".to_owned() }
}

pub(crate) fn blocked() -> Standing {
    Standing::Blocked { since: Timestamp::UNIX_EPOCH, reason: "low on memory".to_owned() }
}

/// A message that no queue takes.
pub(crate) fn returned() -> Delivery {
    Delivery::Returned { code: 312, text: "NO_ROUTE".to_owned() }
}

pub(crate) fn away() -> Delivery {
    Delivery::Away { reason: "connection reset".to_owned() }
}
