//! What people ask the outbox: what waits, and that it be dropped.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::super::{Discarded, Waits};
use super::{Actor, Item, keeping};
use crate::broker::Delivery;
use crate::store::StoreError;

/// So many ids are remembered that somebody has dropped, the latest: they are not sent by a further attempt of their run.
const REMEMBERED: usize = 10_000;

/// Where it is told what waits.
pub(in super::super) type Look = oneshot::Sender<Result<Vec<Waits>, StoreError>>;

/// Who wants to know what waits.
pub(super) type Looks = Vec<Look>;

/// Where it is told what was dropped.
pub(in super::super) type Answer = oneshot::Sender<Result<Discarded, StoreError>>;

/// What somebody has dropped.
#[derive(Default)]
pub(super) struct Discards {
    /// Who has dropped it, by id.
    known: HashMap<String, String>,
    order: VecDeque<String>,
    /// Those who wait until the store has forgotten it.
    waiting: Vec<(Discarded, Answer)>,
}

impl Discards {
    pub(super) fn note(&mut self, id: &str, by: &str) {
        if self.known.insert(id.to_owned(), by.to_owned()).is_none() {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether somebody waits until the store has forgotten something.
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What is known already of a letter that was dropped.
    pub(super) fn known(&self, id: &str) -> Option<oneshot::Receiver<Delivery>> {
        let by = self.known.get(id)?.clone();
        Some(keeping::known(Delivery::Discarded { by }))
    }
}

impl Actor {
    /// Tells what waits, once it is known what earlier lives have left.
    pub(super) fn show(&mut self) {
        if !self.is_loaded || self.looks.is_empty() {
            return;
        }
        let waits = |(place, item): (&u64, &Item)| item.waits(self.agenda.is_flying(*place));
        let all: Vec<Waits> = self.items.iter().map(waits).collect();
        for look in self.looks.drain(..) {
            // Whoever has gone need not be told.
            let _ = look.send(Ok(all.clone()));
        }
    }

    /// Has letters sent no more that somebody wants to be gone.
    pub(super) fn discard(&mut self, ids: Vec<String>, by: &str, reply: Answer) {
        let mut told = Discarded::default();
        for id in ids {
            let Some(&place) = self.places.get(&id) else { continue };
            if self.agenda.is_flying(place) {
                if let Some(item) = self.items.get_mut(&place) {
                    item.discarded = Some(by.to_owned());
                }
                told.under_way.push(id);
            } else {
                self.give_up(place, &Delivery::Discarded { by: by.to_owned() });
                told.dropped.push(id);
            }
        }
        self.discards.waiting.push((told, reply));
        self.confess(None);
    }

    /// Tells those who have dropped something once the store has forgotten it, or that it cannot be asked to.
    pub(super) fn confess(&mut self, error: Option<&StoreError>) {
        let waiting = std::mem::take(&mut self.discards.waiting);
        for (told, reply) in waiting {
            let is_kept = told.dropped.iter().any(|id| self.leaving.contains(id));
            // Whoever has gone need not be told.
            match error {
                _ if !is_kept => drop(reply.send(Ok(told))),
                Some(error) => drop(reply.send(Err(error.clone()))),
                None => self.discards.waiting.push((told, reply)),
            }
        }
    }

    /// Has somebody hear that a letter is dropped.
    pub(super) fn mourn(&mut self, id: &str, mourner: oneshot::Sender<String>) {
        if let Some(place) = self.places.get(id) {
            if let Some(item) = self.items.get_mut(place) {
                item.mourners.push(mourner);
            }
        } else if let Some(by) = self.discards.known.get(id) {
            // Whoever has gone need not be told.
            let _ = mourner.send(by.clone());
        }
    }
}
