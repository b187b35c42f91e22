//! The file, and what is to be kept in it once it can be used again.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::store::StoreError;
use crate::store::sqlite::{Asking, Dispatched};

/// How long another process may have the file locked.
const LOCKED: Duration = Duration::from_secs(2);

/// How long, as long as it was locked when it was asked for last: reports of all orders wait meanwhile.
const STILL_LOCKED: Duration = Duration::from_millis(10);

/// So many facts wait until the file can be used.
const FACTS: usize = 10_000;

/// The file, and what is known of it.
#[derive(Default)]
pub(super) struct File {
    /// Opened when something is to be kept, or was.
    dispatched: Option<Dispatched>,
    /// Nothing is known of orders that were made before then: what is kept is no older.
    since: Option<Timestamp>,
    /// Whether memory stands in for it in this life.
    is_memory: bool,
    /// Whether it could not be used when it was asked for last.
    is_away: bool,
    /// What could not be kept yet, the oldest first.
    facts: VecDeque<Fact>,
}

/// Something that is so, whether it can be kept or not.
pub(super) enum Fact {
    /// A worker has started an order.
    Started { id: String, worker: String, expires: Timestamp },
    /// A worker has reported the end of an order.
    Ended { id: String, worker: String },
    /// An order is to be carried out by nobody.
    Withdrawn { id: String, expires: Timestamp },
}

impl Fact {
    fn keep(&self, file: &mut Dispatched, now: Timestamp) -> Result<(), StoreError> {
        match self {
            Fact::Started { id, worker, expires } => {
                let (expires, restarts, is_start) = (*expires, 0, true);
                file.ask(Asking { id, worker, expires, restarts, is_start }, now).map(drop)
            }
            Fact::Ended { id, worker } => file.end(id, worker).map(drop),
            Fact::Withdrawn { id, expires } => file.withdraw(id, *expires, now),
        }
    }
}

impl File {
    /// Whether nothing waits to be kept.
    pub(super) fn has_all(&self) -> bool {
        self.facts.is_empty()
    }

    /// Asks the file, which is opened where it is not; a corrupt one is put aside. Where it cannot be used that is noticed once,
    /// and the fact is kept as soon as it can be.
    pub(super) fn ask<T>(
        &mut self,
        path: &Path,
        (began, now): (Timestamp, Timestamp),
        fact: Option<Fact>,
        ask: &mut impl FnMut(&mut Dispatched, Option<Timestamp>) -> Result<T, StoreError>,
        notices: &mut Vec<String>,
    ) -> Result<T, StoreError> {
        let mut told = self.ask_once(path, (began, now), ask, notices);
        if let Err(StoreError::Corrupt(_)) = told {
            told = self
                .renew(path, now, notices)
                .and_then(|()| self.ask_once(path, (began, now), ask, notices));
        }
        let was_away = std::mem::replace(&mut self.is_away, told.is_err());
        if let Err(error) = &told {
            if !was_away {
                notices.push(format!(
                    "{error}: workers that ask which orders they may start are not answered"
                ));
            }
            self.facts.extend(fact);
            if self.facts.len() > FACTS {
                // Better no answer than a wrong one.
                self.facts.pop_front();
                self.since = Some(now);
            }
        }
        told
    }

    fn ask_once<T>(
        &mut self,
        path: &Path,
        (began, now): (Timestamp, Timestamp),
        ask: &mut impl FnMut(&mut Dispatched, Option<Timestamp>) -> Result<T, StoreError>,
        notices: &mut Vec<String>,
    ) -> Result<T, StoreError> {
        let mut dispatched = match self.dispatched.take() {
            Some(dispatched) => dispatched,
            None => self.open(path, began, notices)?,
        };
        let told =
            self.catch_up(&mut dispatched, now).and_then(|()| ask(&mut dispatched, self.since));
        if told.is_ok() && self.is_away {
            dispatched.wait(LOCKED)?;
        }
        // One that fails is opened anew at the next question.
        if told.is_ok() || self.is_memory {
            self.dispatched = Some(dispatched);
        }
        told
    }

    /// Keeps what could not be kept before.
    fn catch_up(&mut self, dispatched: &mut Dispatched, now: Timestamp) -> Result<(), StoreError> {
        while let Some(fact) = self.facts.front() {
            fact.keep(dispatched, now)?;
            self.facts.pop_front();
            if self.facts.is_empty() {
                self.facts.shrink_to_fit();
            }
        }
        Ok(())
    }

    /// Opens the file. Memory stands in for one that is missing and cannot be made: there is nothing to be forgotten but what an
    /// earlier life had in memory. What is there and does not open may say that an order was started: then nothing is said.
    fn open(
        &mut self,
        path: &Path,
        began: Timestamp,
        notices: &mut Vec<String>,
    ) -> Result<Dispatched, StoreError> {
        let is_missing = fs::symlink_metadata(path).is_err_and(|error| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        });
        if is_missing && self.since.is_none() && Dispatched::has_aside(path) {
            // The life that has put it aside was killed before it had made another.
            self.since = Some(began);
        }
        let wait = if self.is_away { STILL_LOCKED } else { LOCKED };
        match Dispatched::open_within(Some(path), wait) {
            Err(error) if is_missing => {
                notices.push(format!(
                    "{error}: which orders workers have started, and which are withdrawn, is forgotten at the end"
                ));
                self.is_memory = true;
                self.since = Some(began);
                Dispatched::open(None)
            }
            opened => {
                let dispatched = opened?;
                match self.since {
                    // So that the next life knows it, too.
                    Some(since) => dispatched.begin(since)?,
                    None => self.since = dispatched.since()?,
                }
                Ok(dispatched)
            }
        }
    }

    /// Puts a corrupt file aside.
    fn renew(
        &mut self,
        path: &Path,
        now: Timestamp,
        notices: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        self.dispatched = None;
        let aside = Dispatched::put_aside(path, now)?;
        self.since = Some(now);
        notices.push(format!(
            "it is corrupt and now called {}: workers are not told to start orders from before that came to them again",
            aside.display()
        ));
        Ok(())
    }
}
