//! What waits to be written: what is newest of each thing, oldest first, within bounds.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Output, RunRecord, Write};
use crate::crontab::Seeded;
use crate::event::RunId;
use crate::job::JobKey;
use crate::schedule::Due;

/// Rows of one transaction, which nobody who asks for something waits for much longer than 20 ms.
pub(super) const ROWS: usize = 1_024;
/// Runs and outputs that may wait; of more, the oldest outputs are dropped, then the oldest runs.
const RECORDS: usize = 16 << 10;
/// Bytes that may wait, roughly; of more, the oldest outputs are dropped, then the oldest runs, then what is oldest.
const BYTES: usize = 16 << 20;
/// Jobs of one write; more are written piece by piece.
const JOBS: usize = 1_000;
/// What anything that waits takes beside its own content.
const EACH: usize = 160;

/// What a later write replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
    Mark(JobKey),
    Pause(JobKey),
    Owed(JobKey, Due),
    Run(RunId, u32),
    Output(RunId),
}

impl Slot {
    fn of(write: &Write) -> Option<Self> {
        match write {
            // One of several jobs, which are rarely the same; the other of one fire alone.
            Write::Since(..) | Write::Release(..) => None,
            Write::Mark(key, _) => Some(Slot::Mark(*key)),
            Write::Pause(key) | Write::Resume(key) => Some(Slot::Pause(*key)),
            Write::Owe(key, owed) => Some(Slot::Owed(*key, owed.due)),
            Write::Settle(key, due) => Some(Slot::Owed(*key, *due)),
            Write::Run(record) => Some(Slot::Run(record.run, record.attempt)),
            Write::Output(run, _) => Some(Slot::Output(*run)),
        }
    }
}

/// Something that waits.
#[derive(Debug, Clone)]
struct Entry {
    write: Write,
    /// Since when it, or what it replaced, waits.
    first: u64,
}

/// Writes that were taken to be written together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    entries: Vec<(u64, Entry)>,
    /// The watermarks that it moves, and the dues of which it says whether they are owed.
    slots: HashSet<Slot, Seeded>,
}

impl Batch {
    /// What is to be written.
    pub(super) fn writes(&self) -> Vec<Write> {
        self.entries.iter().map(|(_, entry)| entry.write.clone()).collect()
    }

    /// How many writes it has.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many rows it is about.
    pub(super) fn rows(&self) -> usize {
        self.entries.iter().map(|(_, entry)| rows(&entry.write)).sum()
    }

    /// Whether it says of this due of a job whether it is owed.
    pub(super) fn owes(&self, key: JobKey, due: Due) -> bool {
        self.slots.contains(&Slot::Owed(key, due))
    }

    /// Whether it moves the watermark of a job.
    pub(super) fn marks(&self, key: JobKey) -> bool {
        self.slots.contains(&Slot::Mark(key))
    }

    /// Whether it has something that was pushed before that point, or stands for something that was.
    pub(super) fn has_before(&self, point: u64) -> bool {
        self.entries.iter().any(|(_, entry)| entry.first < point)
    }

    /// Since when what has waited longest in it waits; none if it is empty.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.entries.iter().map(|(_, entry)| entry.first).min()
    }

    /// Whether it has a run or an output: what may be dropped, and what no store takes for done already.
    pub(super) fn has_record(&self) -> bool {
        let is_record = |write: &Write| matches!(write, Write::Run(_) | Write::Output(..));
        self.entries.iter().any(|(_, entry)| is_record(&entry.write))
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<u64, Entry>,
    slots: HashMap<Slot, u64, Seeded>,
    outputs: BTreeSet<u64>,
    runs: BTreeSet<u64>,
    /// The number of the next one.
    next: u64,
    bytes: usize,
    /// Writes that were dropped because too many waited.
    dropped: u64,
}

impl Queue {
    /// Adds a write, in the place of those that it makes void, at the end: what was pushed before it is written before it.
    pub(super) fn push(&mut self, write: Write) {
        let write = match write {
            Write::Since(mut keys, since) if keys.len() > JOBS => {
                // Each piece is of neighbours in the table that SQLite makes of them: in any other order every piece would
                // change nearly every page of it.
                keys.sort_unstable_by_key(|key| (key.id.seed().cast_signed(), key.occurrence));
                for keys in keys.chunks(JOBS) {
                    self.push(Write::Since(keys.to_vec(), since));
                }
                return;
            }
            write => write,
        };
        let number = self.next;
        self.next += 1;
        let before = Slot::of(&write).and_then(|slot| self.slots.get(&slot).copied());
        let entry = match before.and_then(|before| self.remove(before)) {
            Some(old) => Entry { write: newest(old.write, write), first: old.first },
            None => Entry { write, first: number },
        };
        self.insert(number, entry);
        self.keep_bounds();
    }

    /// Whether something that waits moves the watermark of a job.
    pub(super) fn marks(&self, key: JobKey) -> bool {
        self.slots.contains_key(&Slot::Mark(key))
    }

    /// Takes note that a due was started, which settles what is owed of it: an [`Write::Owe`] that still waits must not come
    /// after that.
    pub(super) fn started(&mut self, key: JobKey, due: Due) {
        if self.slots.contains_key(&Slot::Owed(key, due)) {
            self.push(Write::Settle(key, due));
        }
    }

    /// Takes the oldest, of so many rows at most, but one write at least; of less than [`ROWS`], no more writes than rows.
    pub(super) fn take(&mut self, limit: usize) -> Batch {
        let mut batch = Batch::default();
        let most = self.entries.len().min(limit);
        batch.entries.reserve(most);
        batch.slots.reserve(most);
        let mut taken = 0;
        // Of what is refused each is tried alone in the end.
        let least = usize::from(limit < ROWS);
        while let Some(first) = self.entries.first_entry() {
            taken += rows(&first.get().write).max(least);
            if taken > limit && batch.len() > 0 {
                break;
            }
            let (number, entry) = first.remove_entry();
            let slot = self.forget(number, &entry);
            // Of nothing else it is asked whether it is there.
            batch.slots.extend(slot.filter(|slot| matches!(slot, Slot::Mark(_) | Slot::Owed(..))));
            batch.entries.push((number, entry));
        }
        batch
    }

    /// Puts back what was not written, in its old place, but for what was made void since.
    pub(super) fn give_back(&mut self, batch: Batch) {
        for (number, entry) in batch.entries {
            let newer = Slot::of(&entry.write).and_then(|slot| self.slots.get(&slot).copied());
            match newer.and_then(|newer| self.remove(newer).map(|entry| (newer, entry))) {
                Some((newer, new)) => {
                    let write = newest(entry.write, new.write);
                    self.insert(newer, Entry { write, first: entry.first });
                }
                None => self.insert(number, entry),
            }
        }
        self.keep_bounds();
    }

    /// How many writes wait.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A point in the order of writes: all that was pushed before has a smaller number.
    pub(super) fn now(&self) -> u64 {
        self.next
    }

    /// Whether something waits that was pushed before that point, or stands for something that was.
    pub(super) fn has_before(&self, point: u64) -> bool {
        self.entries.values().any(|entry| entry.first < point)
    }

    /// Since when what has waited longest waits; none if nothing does.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.entries.values().map(|entry| entry.first).min()
    }

    /// How many writes were dropped since this was asked last.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Whether writes were dropped since [`take_dropped`](Queue::take_dropped).
    pub(super) fn has_dropped(&self) -> bool {
        self.dropped > 0
    }

    /// Gives memory back, if nothing waits.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.slots.shrink_to_fit();
        }
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        match &entry.write {
            Write::Output(..) => drop(self.outputs.insert(number)),
            Write::Run(_) => drop(self.runs.insert(number)),
            _ => {}
        }
        if let Some(slot) = Slot::of(&entry.write) {
            self.slots.insert(slot, number);
        }
        self.bytes += bytes(&entry.write);
        self.entries.insert(number, entry);
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.forget(number, &entry);
        Some(entry)
    }

    /// Takes note that an entry was taken out; which later write would have replaced it.
    fn forget(&mut self, number: u64, entry: &Entry) -> Option<Slot> {
        match &entry.write {
            Write::Output(..) => drop(self.outputs.remove(&number)),
            Write::Run(_) => drop(self.runs.remove(&number)),
            _ => {}
        }
        let slot = Slot::of(&entry.write);
        if let Some(slot) = &slot {
            self.slots.remove(slot);
        }
        self.bytes -= bytes(&entry.write);
        slot
    }

    fn keep_bounds(&mut self) {
        loop {
            let records = self.outputs.len() + self.runs.len();
            let (too_many, too_large) = (records > RECORDS, self.bytes > BYTES);
            if !(too_many || too_large) {
                return;
            }
            let oldest = self.outputs.first().or_else(|| self.runs.first()).copied();
            let oldest = oldest.or_else(|| self.entries.keys().next().copied());
            let Some(oldest) = oldest else { return };
            self.remove(oldest);
            self.dropped += 1;
        }
    }
}

/// What is to be written after `old`, which was not, and `new`.
fn newest(old: Write, new: Write) -> Write {
    match (&old, &new) {
        (Write::Mark(_, before), Write::Mark(_, after)) if before > after => old,
        (Write::Run(before), Write::Run(after))
            if before.outcome.is_some() && after.outcome.is_none() =>
        {
            old
        }
        _ => new,
    }
}

fn rows(write: &Write) -> usize {
    match write {
        Write::Since(keys, _) => keys.len(),
        // As a rule nothing is owed.
        Write::Settle(..) => 0,
        // Much to be packed and to be put into pages.
        Write::Output(..) => 4,
        _ => 1,
    }
}

fn bytes(write: &Write) -> usize {
    let of_output = |Output { head, tail, .. }: &Output| {
        head.iter().chain(tail).map(|line| line.bytes.len() + 32).sum::<usize>()
    };
    let of_record = |record: &RunRecord| {
        let reason = record.reason.as_ref().map_or(0, String::len);
        size_of::<RunRecord>() + record.name.len() + record.replica.len() + reason
    };
    EACH + match write {
        Write::Since(keys, _) => size_of_val(&keys[..]),
        Write::Run(record) => of_record(record),
        Write::Output(_, output) => of_output(output),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
