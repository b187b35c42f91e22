//! What is to be kept in the thread's own time, and what is known of it until it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::Writer;
use crate::store::queue::Batch;
use crate::store::sqlite::Logbook;
use crate::store::{Mark, RunRecord, Write};

/// What the thread is to keep, in its own time: nobody wakes it for that while it gathers.
pub(in crate::store) enum Keeping {
    /// This.
    Write(Write),
    /// That this start is made, which is noted under this number: as it is recorded, and whether the job's watermark moves.
    Noted(u64, Box<RunRecord>, Option<Mark>),
}

/// What those who note starts and the thread share.
#[derive(Debug, Default)]
pub(in crate::store) struct Notes {
    /// Where starts are noted, once it is known.
    pub(in crate::store) logbook: OnceLock<Arc<Logbook>>,
    /// How many moves of watermarks wait that a start would move on: it must not be noted before what they stand for is kept.
    pub(in crate::store) moves: AtomicU64,
}

impl Writer {
    pub(super) fn take_all(&mut self, keepings: &mut mpsc::UnboundedReceiver<Keeping>) {
        while let Ok(keeping) = keepings.try_recv() {
            self.keep(keeping);
        }
    }

    pub(super) fn keep(&mut self, keeping: Keeping) {
        match keeping {
            Keeping::Write(write) => {
                let moves = matches!(write, Write::Mark(..));
                self.push([write]);
                if moves {
                    self.moves = (self.moves.0 + 1, self.queue.now());
                }
            }
            Keeping::Noted(number, record, mark) => {
                let (key, due) = (record.key, record.due);
                let mark = mark.map(|mark| Write::Mark(key, mark));
                let rest = [Write::Settle(key, due), Write::Run(record)];
                self.push(mark.into_iter().chain(rest));
                self.noted.push_back((self.queue.now(), number));
            }
        }
    }

    /// Says of starts that were noted, and of watermarks that were moved, that they are kept.
    pub(super) fn settle_notes(&mut self) {
        if self.noted.is_empty() && self.moves.0 == 0 {
            return;
        }
        let suspects = self.suspects.iter().filter_map(Batch::oldest);
        let oldest = suspects.chain(self.queue.oldest()).min();
        let is_kept = |point: u64| oldest.is_none_or(|oldest| point <= oldest);
        let mut last = None;
        while let Some(&(point, number)) = self.noted.front()
            && is_kept(point)
        {
            last = Some(number);
            self.noted.pop_front();
        }
        if let (Some(last), Some(logbook)) = (last, self.notes.logbook.get()) {
            logbook.keep(last);
        }
        let (moves, point) = self.moves;
        if moves > 0 && is_kept(point) {
            self.moves.0 = 0;
            self.notes.moves.fetch_sub(moves, Ordering::AcqRel);
        }
    }
}
