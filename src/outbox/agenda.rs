//! What is sent next. Pure: it is told what happens, and when.
//!
//! Letters of one job are sent one after the other, in the order of their places; a failure holds the later ones up, a
//! refusal does not: nobody knows how long it lasts. Letters without a job go on their own.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::pace::Pace;
use crate::crontab::Seeded;
use crate::job::JobKey;

/// All letters, by their places.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    slots: HashMap<u64, Slot, Seeded>,
    lines: HashMap<JobKey, Line, Seeded>,
    /// Those that may be sent, and whose messages are at hand.
    ready: BTreeSet<u64>,
    /// Those that might be sent if their messages were at hand.
    absent: BTreeSet<u64>,
    /// Those that the gate holds back.
    behind: BTreeSet<u64>,
    /// Whether the gate is shut.
    is_shut: bool,
    /// Those that are not tried before then.
    rests: BTreeSet<(Instant, u64)>,
    /// When they expire.
    ends: BTreeSet<(Timestamp, u64)>,
    flying: usize,
    flying_bytes: u64,
}

/// A letter.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Slot {
    job: Option<JobKey>,
    size: u64,
    expires: Timestamp,
    state: State,
    /// Failures of the same kind, one after the other.
    failures: u32,
    /// Whether the last failure was a refusal.
    is_slow: bool,
    /// Whether any was: then later letters of its job do not wait for it.
    was_refused: bool,
    is_at_hand: bool,
    /// Whether it goes through the gate.
    is_gated: bool,
    /// It expired while it was under way.
    has_expired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Resting(Instant),
    Flying,
}

/// The letters of a job.
#[derive(Debug, Default)]
struct Line {
    /// Those that were never refused, in order: only the first may be sent.
    firm: BTreeSet<u64>,
    /// Those that were refused and are to be tried again.
    loose: BTreeSet<u64>,
    is_flying: bool,
    /// The one that is ready, absent, or behind the gate.
    shown: Option<u64>,
}

impl Agenda {
    /// Adds a letter in a place that no other has; of a job's letters those in earlier places are sent first.
    pub(super) fn add(
        &mut self,
        place: u64,
        job: Option<JobKey>,
        size: u64,
        expires: Timestamp,
        is_at_hand: bool,
    ) {
        let slot = Slot {
            job,
            size,
            expires,
            state: State::Waiting,
            failures: 0,
            is_slow: false,
            was_refused: false,
            is_at_hand,
            is_gated: false,
            has_expired: false,
        };
        self.slots.insert(place, slot);
        self.ends.insert((expires, place));
        if let Some(job) = job {
            self.lines.entry(job).or_default().firm.insert(place);
        }
        self.arise(place);
    }

    /// Takes the oldest that may be sent, if it is within these bounds; it is under way from now on.
    pub(super) fn take(&mut self, most: usize, most_bytes: u64) -> Option<u64> {
        let &place = self.ready.first()?;
        let slot = self.slots.get_mut(&place)?;
        let is_beyond = self.flying > 0 && self.flying_bytes.saturating_add(slot.size) > most_bytes;
        if self.flying >= most || is_beyond {
            return None;
        }
        slot.state = State::Flying;
        self.flying += 1;
        self.flying_bytes += slot.size;
        self.ready.remove(&place);
        if let Some(line) = slot.job.and_then(|job| self.lines.get_mut(&job)) {
            line.is_flying = true;
            line.shown = None;
            line.firm.remove(&place);
            line.loose.remove(&place);
        }
        Some(place)
    }

    /// One that was under way was not confirmed; how long it rests.
    pub(super) fn failed(
        &mut self,
        place: u64,
        is_refusal: bool,
        now: Instant,
        rests: &Pace,
        dice: u64,
    ) -> Duration {
        let Some(slot) = self.slots.get_mut(&place) else { return Duration::ZERO };
        if slot.is_slow != is_refusal {
            slot.failures = 0;
        }
        slot.failures = slot.failures.saturating_add(1);
        slot.is_slow = is_refusal;
        slot.was_refused |= is_refusal;
        let delay = rests.delay(is_refusal, slot.failures, dice);
        slot.state = State::Resting(now + delay);
        self.rests.insert((now + delay, place));
        self.flying -= 1;
        self.flying_bytes -= slot.size;
        if let Some(job) = slot.job {
            let line = self.lines.entry(job).or_default();
            line.is_flying = false;
            if !slot.was_refused {
                line.firm.insert(place);
            }
            self.refresh(job);
        }
        delay
    }

    /// One is confirmed or given up.
    pub(super) fn remove(&mut self, place: u64) {
        let Some(slot) = self.slots.remove(&place) else { return };
        match slot.state {
            State::Waiting => {}
            State::Resting(until) => {
                self.rests.remove(&(until, place));
            }
            State::Flying => {
                self.flying -= 1;
                self.flying_bytes -= slot.size;
            }
        }
        self.ends.remove(&(slot.expires, place));
        self.hide(place);
        if let Some(job) = slot.job
            && let Some(line) = self.lines.get_mut(&job)
        {
            line.firm.remove(&place);
            line.loose.remove(&place);
            line.is_flying &= slot.state != State::Flying;
            line.shown = line.shown.filter(|shown| *shown != place);
            self.refresh(job);
        }
        if self.slots.is_empty() {
            // What a long wait has made large is given back.
            *self = Agenda { is_shut: self.is_shut, ..Agenda::default() };
        }
    }

    /// Those whose rest has ended may be sent.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(&(until, place)) = self.rests.first()
            && until <= now
        {
            self.rests.pop_first();
            self.rouse(place);
        }
    }

    /// The broker is there again: all that waited for it may be sent at once.
    pub(super) fn returned(&mut self) {
        let is_of_broker = |place: &u64| self.slots.get(place).is_some_and(|slot| !slot.is_slow);
        let all = self.rests.iter().map(|(_, place)| *place).filter(is_of_broker);
        for place in all.collect::<Vec<_>>() {
            self.nudge(place);
            if let Some(slot) = self.slots.get_mut(&place) {
                slot.failures = 0;
            }
        }
    }

    /// One may be sent at once; if that fails, too, it rests as long as after any other failure.
    pub(super) fn nudge(&mut self, place: u64) {
        if let Some(slot) = self.slots.get(&place)
            && let State::Resting(until) = slot.state
        {
            self.rests.remove(&(until, place));
            self.rouse(place);
        }
    }

    /// Those that have expired and are not under way; of those that are it is noted.
    pub(super) fn expired(&mut self, now: Timestamp) -> Vec<u64> {
        let mut expired = Vec::new();
        while let Some(&(end, place)) = self.ends.first()
            && end <= now
        {
            self.ends.pop_first();
            match self.slots.get_mut(&place) {
                Some(slot) if slot.state == State::Flying => slot.has_expired = true,
                _ => expired.push(place),
            }
        }
        expired
    }

    /// Whether one expired while it was under way.
    pub(super) fn has_expired(&self, place: u64) -> bool {
        self.slots.get(&place).is_some_and(|slot| slot.has_expired)
    }

    /// Notes whether the message of one is at hand.
    pub(super) fn at_hand(&mut self, place: u64, is_at_hand: bool) {
        let Some(slot) = self.slots.get_mut(&place) else { return };
        slot.is_at_hand = is_at_hand;
        let (from, to) = if is_at_hand {
            (&mut self.absent, &mut self.ready)
        } else {
            (&mut self.ready, &mut self.absent)
        };
        if from.remove(&place) {
            to.insert(place);
        }
    }

    /// The oldest that might be sent if their messages were at hand, at most so many, of so many bytes but for the first.
    pub(super) fn wanted(&self, most: usize, most_bytes: u64) -> Vec<u64> {
        let mut bytes = 0;
        let fits = |place: &&u64| {
            let first = bytes == 0;
            bytes += self.slots.get(place).map_or(0, |slot| slot.size.max(1));
            first || bytes <= most_bytes
        };
        self.absent.iter().take(most).take_while(fits).copied().collect()
    }

    /// One goes through the gate: while that is shut, it is not sent.
    pub(super) fn hold(&mut self, place: u64) {
        if let Some(slot) = self.slots.get_mut(&place) {
            slot.is_gated = true;
        }
        if self.hide(place) {
            self.show(place);
        }
    }

    /// The gate is shut, or open.
    pub(super) fn shut(&mut self, is_shut: bool) {
        if std::mem::replace(&mut self.is_shut, is_shut) == is_shut {
            return;
        }
        let is_gated = |place: &&u64| self.slots.get(place).is_some_and(|slot| slot.is_gated);
        let all = self.ready.iter().chain(&self.absent).chain(&self.behind);
        for place in all.filter(is_gated).copied().collect::<Vec<_>>() {
            self.hide(place);
            self.show(place);
        }
    }

    /// Whether one is under way.
    pub(super) fn is_flying(&self, place: u64) -> bool {
        self.slots.get(&place).is_some_and(|slot| slot.state == State::Flying)
    }

    /// Whether any may be sent whose message is at hand.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many are under way.
    pub(super) fn flying(&self) -> usize {
        self.flying
    }

    /// When the next rest ends.
    pub(super) fn next_rest(&self) -> Option<Instant> {
        self.rests.first().map(|(until, _)| *until)
    }

    /// When the next one expires.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(end, _)| *end)
    }

    fn rouse(&mut self, place: u64) {
        let Some(slot) = self.slots.get_mut(&place) else { return };
        slot.state = State::Waiting;
        if let Some(job) = slot.job
            && slot.was_refused
        {
            self.lines.entry(job).or_default().loose.insert(place);
        }
        self.arise(place);
    }

    /// One that waits may have become the next of its job.
    fn arise(&mut self, place: u64) {
        let Some(slot) = self.slots.get(&place) else { return };
        match slot.job {
            Some(job) => self.refresh(job),
            None => self.show(place),
        }
    }

    fn show(&mut self, place: u64) {
        let Some(slot) = self.slots.get(&place) else { return };
        let places = match slot {
            slot if slot.is_gated && self.is_shut => &mut self.behind,
            slot if slot.is_at_hand => &mut self.ready,
            _ => &mut self.absent,
        };
        places.insert(place);
    }

    /// One is not to be sent now; whether it was.
    fn hide(&mut self, place: u64) -> bool {
        self.ready.remove(&place) || self.absent.remove(&place) || self.behind.remove(&place)
    }

    /// Finds out which letter of a job is its next.
    fn refresh(&mut self, job: JobKey) {
        let Some(line) = self.lines.get_mut(&job) else { return };
        let waits =
            |place: &&u64| self.slots.get(place).is_some_and(|slot| slot.state == State::Waiting);
        let firm = line.firm.first().filter(waits);
        let next = firm.into_iter().chain(line.loose.first()).min().copied();
        let next = next.filter(|_| !line.is_flying);
        let before = std::mem::replace(&mut line.shown, next);
        if !line.is_flying && line.firm.is_empty() && line.loose.is_empty() {
            self.lines.remove(&job);
        }
        if before == next {
            return;
        }
        if let Some(before) = before {
            self.hide(before);
        }
        if let Some(next) = next {
            self.show(next);
        }
    }
}

#[cfg(test)]
mod tests;
