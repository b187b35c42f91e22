//! The outbox's task: between those who hand letters over, the store, and the broker.

mod keeping;
mod looking;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::agenda::Agenda;
use super::errand::Errand;
use super::item::{Item, Pending, Reply};
use super::{Backlog, Bounds, Gate, Letter, Order, Others, Pace, Parts, Refused, Unread, form};

use crate::broker::{Delivery, Landings, Publish, Standing};
use crate::clock::Clock;
use crate::crontab::Seeded;
use crate::event::{Bus, Event};
use crate::store::seal::Seal;
use crate::store::{Beat, Done};
use keeping::Telling;
pub(super) use looking::{Answer, Look};
use looking::{Discards, Looks};

/// Nobody sleeps longer than this, so that a wall clock that was set is noticed some day.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Actor {
    broker: Arc<dyn Publish>,
    clock: Arc<dyn Clock>,
    bus: Bus,
    seal: Option<Seal>,
    unread: Unread,
    bounds: Bounds,
    pace: Pace,
    is_trusting: bool,
    orders: mpsc::UnboundedReceiver<Order>,
    backlog: watch::Sender<Backlog>,
    standing: watch::Receiver<Standing>,
    gate: Option<Gate>,
    alive: Option<watch::Receiver<Vec<Beat>>>,
    /// Who lived when that was told last.
    lived: BTreeSet<String>,
    errand: Errand,
    agenda: Agenda,
    items: BTreeMap<u64, Item>,
    places: HashMap<String, u64, Seeded>,
    next_place: u64,
    bytes: u64,
    /// Bytes of messages at hand.
    at_hand: u64,
    /// What is to be kept; nobody is answered yet.
    pending: Vec<Pending>,
    pending_bytes: u64,
    /// What is to be kept no longer, and the ids of that, until the store has done so.
    done: Done,
    /// When that is told.
    telling: Telling,
    leaving: HashSet<String, Seeded>,
    /// The ids of letters that are being kept, and are not to be.
    withdrawn: HashSet<String>,
    /// Who is alive, where what others left is to be made ours.
    adopt: Option<Vec<String>>,
    /// Behind which place the store is to be read on.
    page: Option<u64>,
    /// Whether all that earlier lives left was read once.
    is_loaded: bool,
    landings: Landings,
    landed: mpsc::UnboundedReceiver<(u64, Delivery)>,
    /// Which letter was sent under which number, while there is no answer.
    flights: HashMap<u64, u64, Seeded>,
    next_flight: u64,
    dice: (RandomState, u64),
    is_stopping: bool,
    flushes: Vec<oneshot::Sender<()>>,
    /// Who wants to know what waits.
    looks: Looks,
    /// What somebody has dropped.
    discards: Discards,
}

impl Actor {
    pub(super) fn new(
        parts: Parts,
        orders: mpsc::UnboundedReceiver<Order>,
        backlog: watch::Sender<Backlog>,
    ) -> Self {
        let (adopt, alive) = match parts.others {
            Others::Nobody => (Some(Vec::new()), None),
            Others::Unheard => (None, None),
            Others::Replicas(alive) => (None, Some(alive)),
        };
        let standing = parts.broker.standing();
        let (landings, landed) = mpsc::unbounded_channel();
        let errand = Errand::new(parts.store, parts.replica, parts.bounds.room, parts.pace.store);
        let mut actor = Actor {
            broker: parts.broker,
            clock: parts.clock,
            bus: parts.bus,
            seal: parts.seal,
            unread: parts.unread,
            bounds: parts.bounds,
            pace: parts.pace,
            is_trusting: parts.is_trusting,
            orders,
            backlog,
            standing,
            gate: parts.gate,
            alive,
            lived: BTreeSet::new(),
            errand,
            agenda: Agenda::default(),
            items: BTreeMap::new(),
            places: HashMap::default(),
            next_place: 1,
            bytes: 0,
            at_hand: 0,
            pending: Vec::new(),
            pending_bytes: 0,
            done: Done::default(),
            telling: Telling::default(),
            leaving: HashSet::default(),
            withdrawn: HashSet::new(),
            adopt,
            page: Some(0),
            is_loaded: false,
            landings,
            landed,
            flights: HashMap::default(),
            next_flight: 0,
            dice: (RandomState::new(), 0),
            is_stopping: false,
            flushes: Vec::new(),
            looks: Looks::new(),
            discards: Discards::default(),
        };
        actor.hear_of_others();
        actor.look_at_gate();
        actor
    }

    /// Until nobody has a way to it any more.
    pub(super) async fn run(mut self) {
        loop {
            self.step();
            let wake = self.next_wake();
            tokio::select! {
                order = self.orders.recv() => {
                    let Some(order) = order else { return };
                    self.take(order);
                    // Those that come together are kept together.
                    while let Ok(order) = self.orders.try_recv() {
                        self.take(order);
                    }
                }
                told = self.errand.answer() => self.told(told),
                Some(landed) = self.landed.recv() => {
                    let mut next = Some(landed);
                    while let Some((number, delivery)) = next {
                        if let Some(place) = self.flights.remove(&number) {
                            self.landed(place, &delivery);
                        }
                        next = self.landed.try_recv().ok();
                    }
                }
                Ok(()) = self.standing.changed() => {
                    if matches!(*self.standing.borrow(), Standing::Up { .. }) {
                        self.agenda.returned();
                    }
                }
                Ok(()) = changed(&mut self.alive) => self.hear_of_others(),
                Ok(()) = turned(&mut self.gate) => self.look_at_gate(),
                () = until(wake), if wake.is_some() => {}
            }
        }
    }

    fn step(&mut self) {
        for place in self.agenda.expired(self.clock.now()) {
            self.expire(place);
        }
        self.agenda.wake(Instant::now());
        self.send();
        if !self.done.is_empty() && self.telling == Telling::Gathered(None) {
            self.telling = Telling::Gathered(Some(Instant::now()));
        }
        self.ask();
        self.show();
        let oldest = self.items.values().next().map(|item| item.accepted);
        let backlog = Backlog { count: self.items.len() as u64, bytes: self.bytes, oldest };
        self.backlog.send_if_modified(|told| std::mem::replace(told, backlog) != backlog);
        let is_idle =
            self.agenda.flying() == 0 && self.leaving.is_empty() && self.pending.is_empty();
        if is_idle && self.errand.is_free() {
            for flush in self.flushes.drain(..) {
                // Whoever has lost interest need not be told.
                let _ = flush.send(());
            }
        }
    }

    /// When there is something to be done though nothing happens.
    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let rest = self.agenda.next_rest().filter(|_| self.may_fly() > 0);
        let end = self.agenda.next_end().map(|end| {
            let left = Duration::try_from(end.duration_since(self.clock.now()));
            now + left.unwrap_or_default().min(LONGEST_SLEEP)
        });
        let store = self.errand.rest().filter(|rest| *rest > now);
        let told = self.telling.since().map(|since| since + keeping::GATHERED);
        let store = store.or(told).filter(|_| self.errand.is_free());
        rest.into_iter().chain(end).chain(store).min()
    }

    /// How many letters may be under way.
    fn may_fly(&self) -> usize {
        match *self.standing.borrow() {
            _ if self.is_stopping => 0,
            Standing::Up { .. } => self.bounds.flying,
            // One finds out how the broker stands.
            Standing::Unknown => 1,
            Standing::Down { .. } | Standing::Blocked { .. } => 0,
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Accept(letter, reply) => self.accept(*letter, reply),
            Order::Nudge(id, reply) => {
                let heard = self.places.get(&id).copied().and_then(|place| {
                    self.agenda.nudge(place);
                    Some(self.items.get_mut(&place)?.listen())
                });
                let _ = reply.send(heard);
            }
            Order::Withdraw(id, reply) => {
                // Whoever has gone need not be answered.
                let _ = reply.send(self.withdraw(id));
            }
            Order::Look(reply) => self.looks.push(reply),
            Order::Discard { ids, by, reply } => self.discard(ids, &by, reply),
            Order::Mourn(id, mourner) => self.mourn(&id, mourner),
            Order::Flush(done) => {
                self.is_stopping = true;
                self.flushes.push(done);
            }
            Order::Abandon => {
                for item in self.items.values_mut() {
                    item.tell(&Delivery::Stopped);
                }
            }
        }
    }

    fn accept(&mut self, mut letter: Letter, reply: Reply) {
        // Whoever has gone need not be answered.
        if self.is_stopping {
            let _ = reply.send(Err(Refused::Stopping));
            return;
        }
        let id = &letter.message.id;
        if let Some(heard) = self.hear(id).or_else(|| self.discards.known(id)) {
            let _ = reply.send(Ok(heard));
            return;
        }
        letter.expires = form::rounded(letter.expires);
        let accepted = self.clock.now();
        let row = form::pack(&letter, accepted, self.seal.as_ref());
        let size = row.bytes.len() as u64;
        if size > self.bounds.largest {
            let refused = Refused::TooLarge { bytes: size, limit: self.bounds.largest };
            let _ = reply.send(Err(refused));
            return;
        }
        if self.pending_bytes + size > self.bounds.room.bytes {
            let (count, bytes) = (self.pending.len() as u64, self.pending_bytes);
            let _ = reply.send(Err(Refused::Full { count, bytes }));
            return;
        }
        self.pending_bytes += size;
        self.pending.push(Pending { letter, accepted, row, size, reply });
    }

    /// Has a letter kept and sent no more; whether nobody can have it.
    fn withdraw(&mut self, id: String) -> bool {
        if let Some(&place) = self.places.get(&id) {
            let Some(item) = self.items.get_mut(&place) else { return false };
            let was_sent = item.sent.tries > 0;
            item.is_withdrawn = true;
            if !self.agenda.is_flying(place) {
                self.let_go(place);
            }
            return !was_sent;
        }
        let found = self.pending.iter().position(|pending| pending.letter.message.id == id);
        if let Some(found) = found {
            let pending = self.pending.remove(found);
            self.pending_bytes = self.pending_bytes.saturating_sub(pending.size);
        } else if !self.errand.is_free() {
            self.withdrawn.insert(id);
        }
        found.is_some()
    }

    /// Has a letter kept no more that is withdrawn.
    fn let_go(&mut self, place: u64) {
        let Some(item) = self.remove(place) else { return };
        self.leaving.insert(item.sent.id.clone());
        self.done.dropped.push(item.sent.id);
    }

    /// Has somebody hear of the next try of the letter with this id, which is made now; none if none waits here.
    fn hear(&mut self, id: &str) -> Option<oneshot::Receiver<Delivery>> {
        let place = *self.places.get(id)?;
        self.agenda.nudge(place);
        Some(self.items.get_mut(&place)?.listen())
    }

    /// Takes a letter that is kept among those that are sent: in the place that the store gave it, so that one which an
    /// earlier life or a dead replica has left comes before its job's later ones.
    fn add(&mut self, mut item: Item, order: u64) {
        // A store that was emptied counts anew.
        let is_free = order > 0 && !self.items.contains_key(&order);
        let place = if is_free { order } else { self.next_place };
        self.next_place = self.next_place.max(place + 1);
        let gate = self.gate.as_ref().map(|gate| gate.queue.as_str());
        let reply_to =
            item.message.as_ref().and_then(|message| message.properties.reply_to.as_deref());
        let is_gated = gate.is_some() && gate == reply_to;
        let fits = self.at_hand + item.size <= self.bounds.memory;
        if fits {
            self.at_hand += item.size;
        } else {
            item.message = None;
        }
        self.bytes += item.size;
        self.agenda.add(place, item.job, item.size, item.expires, fits);
        if is_gated {
            self.agenda.hold(place);
        }
        self.places.insert(item.sent.id.clone(), place);
        self.items.insert(place, item);
    }

    fn remove(&mut self, place: u64) -> Option<Item> {
        let item = self.items.remove(&place)?;
        self.agenda.remove(place);
        self.places.remove(&item.sent.id);
        self.bytes -= item.size;
        if item.message.is_some() {
            self.at_hand -= item.size;
        }
        if self.items.is_empty() {
            // What a long wait has made large is given back.
            self.places = HashMap::default();
        }
        Some(item)
    }

    /// Has a letter sent no more that has expired.
    fn expire(&mut self, place: u64) {
        let Some(why) = self.items.get(&place).map(Item::expiry) else { return };
        self.give_up(place, &why);
    }

    /// Has a letter sent no more.
    fn give_up(&mut self, place: u64, why: &Delivery) {
        let Some(mut item) = self.remove(place) else { return };
        item.tell(why);
        let reason = match why {
            Delivery::Expired { reason } => format!("expired: {reason}"),
            Delivery::Dropped { reason } => reason.clone(),
            Delivery::Discarded { by } => {
                for mourner in item.mourners.drain(..) {
                    // Whoever has lost interest need not be told.
                    let _ = mourner.send(by.clone());
                }
                self.discards.note(&item.sent.id, by);
                format!("dropped by {by}")
            }
            other => other.to_string(),
        };
        self.leaving.insert(item.sent.id.clone());
        self.done.dropped.push(item.sent.id.clone());
        self.bus.publish(Event::MessageDropped { sent: item.sent, reason });
    }

    fn send(&mut self) {
        while let Some(place) = self.agenda.take(self.may_fly(), self.bounds.flying_bytes) {
            let Some(item) = self.items.get_mut(&place) else { continue };
            let Some(message) = item.message.clone() else { continue };
            item.sent.tries = item.sent.tries.saturating_add(1);
            let number = self.next_flight;
            self.next_flight += 1;
            self.broker.publish_to(message, number, &self.landings);
            if self.is_trusting {
                self.landed(place, &Delivery::Confirmed);
            } else {
                self.flights.insert(number, place);
            }
        }
    }

    /// Takes note of what a try came to.
    fn landed(&mut self, place: u64, delivery: &Delivery) {
        let Some(item) = self.items.get_mut(&place) else { return };
        // Of one that expired or was dropped meanwhile there is more to tell, below.
        let is_over = self.agenda.has_expired(place) || item.discarded.is_some();
        if *delivery == Delivery::Confirmed || !is_over {
            item.tell(delivery);
        }
        if *delivery == Delivery::Confirmed {
            if let Some(item) = self.remove(place) {
                self.leaving.insert(item.sent.id.clone());
                self.done.confirmed.push(item.sent.id.clone());
                self.bus.publish(Event::MessageConfirmed(item.sent));
            }
            return;
        }
        let reason = delivery.to_string();
        item.last = Some(reason.clone());
        self.dice.1 += 1;
        let dice = self.dice.0.hash_one(self.dice.1);
        let is_refusal = delivery.is_refusal();
        let delay = self.agenda.failed(place, is_refusal, Instant::now(), &self.pace, dice);
        let again = matches!(*self.standing.borrow(), Standing::Up { .. }).then_some(delay);
        if let Some(item) = self.items.get_mut(&place) {
            let sent = item.sent.clone();
            if self.at_hand > self.bounds.memory && item.message.take().is_some() {
                self.at_hand -= item.size;
                self.agenda.at_hand(place, false);
            }
            self.bus.publish(Event::MessageFailed { sent, reason, again });
        }
        let item = self.items.get(&place);
        if item.is_some_and(|item| item.is_withdrawn) {
            self.let_go(place);
        } else if let Some(by) = item.and_then(|item| item.discarded.clone()) {
            self.give_up(place, &Delivery::Discarded { by });
        } else if self.agenda.has_expired(place) {
            self.expire(place);
        }
    }

    /// Lets letters through the gate, or holds them back.
    fn look_at_gate(&mut self) {
        if let Some(gate) = &mut self.gate {
            let is_open = *gate.is_open.borrow_and_update();
            self.agenda.shut(!is_open);
        }
    }

    /// Takes note of who lives: what the dead have left becomes ours.
    fn hear_of_others(&mut self) {
        let Some(alive) = &mut self.alive else { return };
        let alive = alive.borrow_and_update();
        let lives: BTreeSet<String> = alive.iter().map(|beat| beat.lease.replica.clone()).collect();
        drop(alive);
        // Nobody, not even us: nothing is known.
        if lives.is_empty() {
            return;
        }
        let is_first = self.lived.is_empty();
        if is_first || !self.lived.is_subset(&lives) {
            self.adopt = Some(lives.iter().cloned().collect());
        }
        self.lived = lives;
    }
}

async fn changed(
    alive: &mut Option<watch::Receiver<Vec<Beat>>>,
) -> Result<(), watch::error::RecvError> {
    match alive {
        Some(alive) => alive.changed().await,
        None => std::future::pending().await,
    }
}

async fn turned(gate: &mut Option<Gate>) -> Result<(), watch::error::RecvError> {
    match gate {
        Some(gate) => gate.is_open.changed().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
