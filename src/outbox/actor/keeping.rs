//! What the outbox's task asks the store, and what it makes of the answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::errand::Told;
use super::super::item::{self, Item, Pending};
use super::super::{Refused, Unread, form};
use super::Actor;
use crate::broker::Delivery;
use crate::event::Event;
use crate::store::{Done, Posted, StoreError, Waiting};

/// Letters that are read from the store at once because their turn has come.
const FETCH: usize = 64;
/// Letters that are handed to the store at once, and their bytes unless a single one has more.
const POST: usize = 1_000;
const POST_BYTES: u64 = 8 << 20;
/// So many letters that are done, or for so long, are gathered before the store is told, while more are under way: of these
/// some may be sent once more after a kill.
const GATHER: usize = 512;
pub(super) const GATHERED: Duration = Duration::from_millis(20);

/// When the store is told what it is to keep no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// With what it is to keep, or once much has gathered, or enough time has passed since the first of it.
    Gathered(Option<Instant>),
    /// Before all else: it took neither when it was asked for both.
    First,
}

impl Default for Telling {
    fn default() -> Self {
        Telling::Gathered(None)
    }
}

impl Telling {
    /// Since when the oldest waits.
    pub(super) fn since(self) -> Option<Instant> {
        match self {
            Telling::Gathered(since) => since,
            Telling::First => None,
        }
    }
}

impl Actor {
    /// Asks the store for what is needed most, if it is not being asked.
    pub(super) fn ask(&mut self) {
        let rests = self.errand.rest().is_some_and(|rest| rest > Instant::now());
        // What somebody waits for is asked all the same, so that there is an answer.
        let is_awaited =
            !self.pending.is_empty() || !self.looks.is_empty() || self.discards.is_awaited();
        if !self.errand.is_free() || (rests && !is_awaited) {
            return;
        }
        // Where there is no room for both, what goes makes some.
        if self.telling == Telling::First && !self.done.is_empty() {
            let done = self.take_done();
            self.errand.unpost(done);
        } else if self.is_loaded && !self.pending.is_empty() {
            let mut bytes = 0;
            let fits = |pending: &&Pending| {
                bytes += pending.size;
                bytes <= POST_BYTES
            };
            let count = self.pending.iter().take(POST).take_while(fits).count().max(1);
            let done = self.take_done();
            self.errand.post(self.pending.drain(..count).collect(), done);
        } else if self.is_to_be_told() {
            let done = self.take_done();
            self.errand.unpost(done);
        } else if let Some(alive) = self.adopt.take() {
            self.errand.adopt(alive);
        } else if let Some(order) = self.page {
            self.errand.page(order);
        } else if self.may_fly() > 0
            && (self.at_hand < self.bounds.memory || !self.agenda.has_ready())
        {
            let wanted = self.agenda.wanted(FETCH, self.bounds.flying_bytes);
            let id = |place| self.items.get(place).map(|item| item.sent.id.clone());
            let ids: Vec<String> = wanted.iter().filter_map(id).collect();
            if !ids.is_empty() {
                self.errand.fetch(ids);
            }
        }
    }

    /// Whether the store is to be told what is done.
    fn is_to_be_told(&self) -> bool {
        let is_late = self.telling.since().is_some_and(|since| since.elapsed() >= GATHERED);
        let is_awaited = is_late || self.discards.is_awaited() || self.agenda.flying() == 0;
        !self.done.is_empty() && (is_awaited || self.done.len() >= GATHER)
    }

    fn take_done(&mut self) -> Done {
        self.telling = Telling::default();
        std::mem::take(&mut self.done)
    }

    /// The store was told that these are done.
    fn left(&mut self, done: &Done) {
        for id in done.confirmed.iter().chain(&done.dropped) {
            self.leaving.remove(id);
        }
        if self.leaving.is_empty() {
            self.leaving = HashSet::default();
        }
        self.confess(None);
    }

    /// The store is to be told once more that these are done.
    fn stays(&mut self, mut done: Done, error: &StoreError) {
        done.confirmed.append(&mut self.done.confirmed);
        done.dropped.append(&mut self.done.dropped);
        self.done = done;
        self.confess(Some(error));
    }

    pub(super) fn told(&mut self, told: Told) {
        match told {
            Told::Adopted(Ok(count)) => {
                if count > 0 {
                    self.page = Some(0);
                }
            }
            Told::Adopted(Err(error)) => {
                if self.adopt.is_none() {
                    self.adopt = Some(self.lived.iter().cloned().collect());
                }
                self.refuse(&error);
            }
            Told::Page(behind, Ok(rows)) => self.read(behind, rows),
            Told::Page(_, Err(error)) | Told::Fetched(_, Err(error)) => self.refuse(&error),
            Told::Posted(pending, done, answer) => {
                match &answer {
                    Ok(_) => self.left(&done),
                    Err(error) => {
                        if !done.is_empty() {
                            self.telling = Telling::First;
                        }
                        self.stays(done, error);
                    }
                }
                self.posted(pending, answer);
            }
            Told::Unposted(done, Ok(())) => self.left(&done),
            Told::Unposted(done, Err(error)) => {
                self.stays(done, &error);
                self.refuse(&error);
            }
            Told::Fetched(ids, Ok(rows)) => self.fetched(&ids, rows),
        }
    }

    /// The store does not answer: nobody waits for it any longer.
    fn refuse(&mut self, error: &StoreError) {
        self.pending_bytes = 0;
        for pending in self.pending.drain(..) {
            pending.refuse(error.clone());
        }
        for look in self.looks.drain(..) {
            // Whoever has gone need not be told.
            let _ = look.send(Err(error.clone()));
        }
    }

    fn posted(&mut self, pending: Vec<Pending>, answer: Result<Vec<Posted>, StoreError>) {
        let answers = match answer {
            Ok(answers) => answers,
            Err(error) => {
                for one in pending {
                    self.pending_bytes = self.pending_bytes.saturating_sub(one.size);
                    // It may have it all the same, or may have it yet. One with its id that was kept before stays.
                    if !self.places.contains_key(&one.row.id) {
                        self.leaving.insert(one.row.id.clone());
                        self.done.dropped.push(one.row.id.clone());
                    }
                    one.refuse(error.clone());
                }
                self.refuse(&error);
                return;
            }
        };
        for (one, answer) in pending.into_iter().zip(answers) {
            self.pending_bytes = self.pending_bytes.saturating_sub(one.size);
            let Pending { letter, accepted, size, reply, .. } = one;
            let answer = match answer {
                Posted::Kept(order) => {
                    let mut item = Item::new(letter, accepted, size);
                    let heard = item.listen();
                    let id = item.sent.id.clone();
                    self.add(item, order);
                    if self.withdrawn.remove(&id) {
                        self.withdraw(id);
                    }
                    Ok(heard)
                }
                Posted::Waits => Ok(self.hear(&letter.message.id).unwrap_or_else(|| {
                    let reason = "another replica has this message, and sends it".to_owned();
                    known(Delivery::Away { reason })
                })),
                Posted::Confirmed => Ok(known(Delivery::Confirmed)),
                Posted::Full { count, bytes } => Err(Refused::Full { count, bytes }),
            };
            // Whoever has gone need not be answered: it is kept, and sent.
            let _ = reply.send(answer);
        }
        self.withdrawn.clear();
    }

    /// Takes in what the store has kept behind a place.
    fn read(&mut self, behind: u64, rows: Vec<Waiting>) {
        let last = rows.last().map_or(behind, |row| row.order);
        // Places grow; what makes no sense ends the reading.
        self.page = (last > behind).then_some(last);
        self.is_loaded |= self.page.is_none();
        for row in rows {
            if self.places.contains_key(&row.id) || self.leaving.contains(&row.id) {
                continue;
            }
            match form::unpack(&row, self.seal.as_ref()) {
                Ok((letter, accepted)) => {
                    let size = row.bytes.len() as u64;
                    self.add(Item::new(letter, accepted, size), row.order);
                }
                Err(_) if self.unread == Unread::Spared => {}
                Err(reason) => {
                    self.leaving.insert(row.id.clone());
                    self.done.dropped.push(row.id.clone());
                    let sent = item::sent_of(&row);
                    self.bus.publish(Event::MessageDropped { sent, reason });
                }
            }
        }
    }

    /// Takes in messages whose turn has come.
    fn fetched(&mut self, ids: &[String], rows: Vec<Waiting>) {
        let mut rows: HashMap<String, Waiting> =
            rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        for id in ids {
            // It may have expired meanwhile.
            let Some(&place) = self.places.get(id) else { continue };
            let found = rows.remove(id).ok_or_else(|| "the store has lost it".to_owned());
            match found.and_then(|row| form::unpack(&row, self.seal.as_ref())) {
                Ok((letter, _)) => {
                    if let Some(item) = self.items.get_mut(&place)
                        && item.message.is_none()
                    {
                        item.message = Some(Arc::new(letter.message));
                        self.at_hand += item.size;
                        self.agenda.at_hand(place, true);
                    }
                }
                Err(reason) => self.give_up(place, &Delivery::Dropped { reason }),
            }
        }
    }
}

/// What is known already of a letter that is not kept again.
pub(super) fn known(delivery: Delivery) -> oneshot::Receiver<Delivery> {
    let (teller, heard) = oneshot::channel();
    // Its receiver is at hand.
    let _ = teller.send(delivery);
    heard
}
