//! What is to be kept in the thread's own time, and what is known of it until it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Writer;
use crate::store::queue::Batch;
use crate::store::sqlite::Logbook;
use crate::store::{Mark, RunRecord, Write};

/// What the thread is to keep, in its own time: nobody wakes it for that while it gathers.
pub(in crate::store) enum Keeping {
    /// This.
    Write(Write),
    /// That this start is made, which is noted under this number: as it is recorded, and whether the job's watermark moves.
    Noted(u64, Arc<RunRecord>, Option<Mark>),
}

/// What those who note starts and the thread share.
#[derive(Debug, Default)]
pub(in crate::store) struct Notes {
    /// Where starts are noted, once it is known.
    pub(in crate::store) logbook: OnceLock<Arc<Logbook>>,
    /// How many moves of watermarks wait that a start would move on: it must not be noted before what they stand for is kept.
    pub(in crate::store) moves: AtomicU64,
    /// How often the store has kept or answered something: who waits for his turn sees that it comes nearer.
    pub(in crate::store) answers: watch::Sender<u64>,
}

impl Notes {
    /// The store has kept or answered something.
    pub(in crate::store) fn count_answer(&self) {
        self.answers.send_modify(|count| *count += 1);
    }
}

/// While more writes wait than so many, it is found out no more often than this which starts are kept.
const MANY: usize = 512;
const SETTLES: Duration = Duration::from_millis(100);

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
                self.push(of_start(record, mark));
                self.noted.push_back((self.queue.now(), number));
            }
        }
    }

    /// Says of starts that were noted, and of watermarks that were moved, that they are kept.
    pub(super) fn settle_notes(&mut self) {
        if self.noted.is_empty() && self.moves.0 == 0 {
            return;
        }
        // While much waits it takes long to find out, and there is room for further notes.
        let is_recent = self.settled.is_some_and(|at| at.elapsed() < SETTLES);
        if self.moves.0 == 0 && self.queue.len() > MANY && is_recent {
            return;
        }
        self.settled = Some(Instant::now());
        let suspects = self.suspects.iter().filter_map(Batch::oldest);
        let oldest = suspects.chain(self.queue.oldest()).min();
        let is_kept = |point: u64| oldest.is_none_or(|oldest| point <= oldest);
        let kept = self.noted.iter().take_while(|(point, _)| is_kept(*point)).count();
        if let (1.., Some(logbook)) = (kept, self.notes.logbook.get()) {
            logbook.keep(self.noted.drain(..kept).map(|(_, number)| number));
        }
        let (moves, point) = self.moves;
        if moves > 0 && is_kept(point) {
            self.moves.0 = 0;
            self.notes.moves.fetch_sub(moves, Ordering::AcqRel);
        }
    }
}

/// What is to be kept of a start that is noted: where its job's watermark stands then, that nothing is owed, and that it goes.
pub(super) fn of_start(record: Arc<RunRecord>, mark: Option<Mark>) -> impl Iterator<Item = Write> {
    let (key, due) = (record.key, record.due);
    let mark = mark.map(|mark| Write::Mark(key, mark));
    mark.into_iter().chain([Write::Settle(key, due), Write::Run(record)])
}
