//! Events that wait to be published, within bounds: where there are too many the oldest are dropped and counted.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use super::content::{self, Author, Lost, Place};
use crate::event::Event;
use crate::message::Message;

/// What an event takes beside the jobs that it is about, in bytes: what is held for it, on average.
const EVENT_BYTES: usize = 512;
/// What each job takes in an event about several.
const JOB_BYTES: usize = 32;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Events; one that is about several jobs counts once.
    pub events: usize,
    /// Their bytes, roughly.
    pub bytes: usize,
}

impl Default for Bound {
    fn default() -> Self {
        Bound { events: 10_000, bytes: 8 << 20 }
    }
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    pub(super) message: Arc<Message>,
    /// When what it tells of happened.
    at: Timestamp,
    /// What it says is missing.
    pub(super) lost: Option<Lost>,
}

/// What waits. Messages are made when they are sent: until then an event takes little.
#[derive(Debug)]
pub(super) struct Queue {
    author: Author,
    bound: Bound,
    waiting: VecDeque<Entry>,
    bytes: usize,
    /// What was dropped and not told of yet.
    lost: Option<Lost>,
    /// The number of the next event.
    next: u64,
}

#[derive(Debug)]
enum Entry {
    /// What is left to be told of an event: of its messages, those from the `nth` on.
    Event { event: Arc<Event>, at: Timestamp, first: u64, nth: usize, count: usize },
    /// A message that was sent and not confirmed.
    Letter(Letter),
}

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Entry::Event { count, .. } => EVENT_BYTES + (count - 1) * JOB_BYTES,
            Entry::Letter(letter) => EVENT_BYTES + letter.message.body.len(),
        }
    }

    /// What is missing once it is dropped.
    fn lost(&self) -> Lost {
        match self {
            Entry::Event { at, nth, count, .. } => {
                let count = u64::try_from(count - nth).unwrap_or(u64::MAX);
                Lost { count, first: *at, last: *at }
            }
            Entry::Letter(letter) => {
                letter.lost.unwrap_or(Lost { count: 1, first: letter.at, last: letter.at })
            }
        }
    }
}

impl Queue {
    pub(super) fn new(author: Author, bound: Bound) -> Self {
        Queue { author, bound, waiting: VecDeque::new(), bytes: 0, lost: None, next: 1 }
    }

    /// Adds an event that happened `at`, if it is one that is published; says how many were dropped for it.
    pub(super) fn push(&mut self, event: &Arc<Event>, at: Timestamp) -> u64 {
        let count = content::count(event);
        if count == 0 {
            return 0;
        }
        let at = content::instant(event).unwrap_or(at);
        let first = self.next;
        self.next += u64::try_from(count).unwrap_or(u64::MAX);
        self.add(Entry::Event { event: Arc::clone(event), at, first, nth: 0, count }, false);
        self.make_room()
    }

    /// Puts messages back that were sent and not confirmed, the oldest first: they go before all others. Says how many events
    /// were dropped for them.
    pub(super) fn put_back(&mut self, letters: Vec<Letter>) -> u64 {
        for letter in letters.into_iter().rev() {
            self.add(Entry::Letter(letter), true);
        }
        self.make_room()
    }

    /// The next message to be sent, once: what was dropped is told first.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<Letter> {
        if let Some(lost) = self.lost.take() {
            let place = Place { at: now, sequence: self.next };
            self.next += 1;
            let message = Arc::new(content::compose_lost(&self.author, lost, place));
            return Some(Letter { message, at: now, lost: Some(lost) });
        }
        loop {
            let entry = self.waiting.pop_front()?;
            self.bytes -= entry.bytes();
            let (event, at, first, nth, count) = match entry {
                Entry::Letter(letter) => return Some(letter),
                Entry::Event { event, at, first, nth, count } => (event, at, first, nth, count),
            };
            let sequence = first + u64::try_from(nth).unwrap_or(u64::MAX);
            let message = content::compose(&self.author, &event, nth, Place { at, sequence });
            if nth + 1 < count {
                self.add(Entry::Event { event, at, first, nth: nth + 1, count }, true);
            }
            if let Some(message) = message {
                return Some(Letter { message: Arc::new(message), at, lost: None });
            }
        }
    }

    /// Events that have not been told, those that were dropped included.
    pub(super) fn untold(&self) -> u64 {
        let waiting = self.waiting.iter().map(Entry::lost).chain(self.lost);
        waiting.map(|lost| lost.count).sum()
    }

    fn add(&mut self, entry: Entry, in_front: bool) {
        self.bytes += entry.bytes();
        if in_front {
            self.waiting.push_front(entry);
        } else {
            self.waiting.push_back(entry);
        }
    }

    /// Drops the oldest until the rest fits; never the last one.
    fn make_room(&mut self) -> u64 {
        let mut dropped = 0;
        while self.waiting.len() > 1
            && (self.waiting.len() > self.bound.events || self.bytes > self.bound.bytes)
        {
            let Some(entry) = self.waiting.pop_front() else { break };
            self.bytes -= entry.bytes();
            let lost = entry.lost();
            dropped += lost.count;
            self.lost = Some(self.lost.map_or(lost, |before| before.and(lost)));
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::publish::tests::{author, jobs};

    /// The numbers that a message stands for: its own, and how many it says are missing.
    fn number(letter: &Letter) -> u64 {
        let id = &letter.message.id;
        id.rsplit_once('-').unwrap().1.parse().unwrap()
    }

    proptest! {
        #[test]
        fn every_event_is_told_once_or_counted_and_bounds_hold(
            steps in prop::collection::vec((0_u8..6, 0_usize..5), 1..60),
            events in 1_usize..12,
        ) {
            let all = jobs("* * * * * a\n* * * * * b\n* * * * * c\n* * * * * d\n");
            let mut queue = Queue::new(author(), Bound { events, bytes: 20_000 });
            let (mut happened, mut told, mut lost, mut flying) = (0, Vec::new(), 0, Vec::new());
            let now = Timestamp::UNIX_EPOCH;
            for (step, count) in steps {
                match step {
                    0 | 1 => {
                        let event = Arc::new(Event::JobAdded(all[..count.min(4)].to_vec()));
                        happened += content::count(&event);
                        queue.push(&event, now);
                    }
                    2 | 3 => flying.extend(queue.pop(now)),
                    4 => {
                        queue.put_back(std::mem::take(&mut flying));
                    }
                    _ => told.append(&mut flying),
                }
                prop_assert!(queue.waiting.len() <= events.max(1));
            }
            told.append(&mut flying);
            while let Some(letter) = queue.pop(now) {
                told.push(letter);
            }
            let mut numbers: Vec<_> = told.iter().map(number).collect();
            for letter in &told {
                lost += letter.lost.map_or(0, |lost| lost.count);
            }
            let events = told.iter().filter(|letter| letter.lost.is_none()).count();
            prop_assert_eq!(u64::try_from(events).unwrap() + lost, u64::try_from(happened).unwrap());
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), told.len(), "no id twice");
            prop_assert_eq!((queue.bytes, queue.untold()), (0, 0));
        }
    }
}
