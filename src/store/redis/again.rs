//! What a replica knows of the pauses in the store, for the day on which that loses them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::beat::milliseconds;
use super::{Redis, job_word, replica_word, script};
use crate::job::JobKey;
use crate::store::claim::EXPIRY;
use crate::store::{Peers, StoreError, Write};

/// Which jobs are paused: by the last answer to a sign of life, and by what was written since.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Knowledge>);

#[derive(Debug, Default)]
struct Knowledge {
    replica: String,
    /// What tells the data apart; empty: the store has told nothing yet.
    origin: String,
    paused: Vec<JobKey>,
    /// What this replica wrote that the last answer may not have told of: whether the job is paused, and how many signs of life
    /// had been sent when it was written; none: it is being written.
    written: HashMap<JobKey, (bool, Option<u64>)>,
    /// Signs of life that were sent.
    beats: u64,
    /// The last of them that was answered with a lease.
    heard: u64,
}

/// What is put again.
#[derive(Debug, PartialEq)]
struct Again {
    origin: String,
    /// The same until a lease was given, which nobody asks for before he has heard the answer.
    question: String,
    paused: BTreeSet<JobKey>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Knowledge> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are about to be written.
    pub(super) fn begin(&self, batch: &[Write]) {
        self.lock().written.extend(changes(batch).map(|(key, paused)| (key, (paused, None))));
    }

    /// They were written, or will be once more.
    pub(super) fn end(&self, batch: &[Write]) {
        let mut known = self.lock();
        let beats = known.beats;
        known.written.extend(changes(batch).map(|(key, paused)| (key, (paused, Some(beats)))));
    }

    /// A sign of life is about to be sent: its number.
    pub(super) fn beat(&self) -> u64 {
        let mut known = self.lock();
        known.beats += 1;
        known.beats
    }

    /// The answer to this one.
    pub(super) fn heard(&self, number: u64, origin: String, peers: &Peers) {
        // A store that does not know us may have lost its data.
        if peers.lease.fencing == 0 || origin.is_empty() {
            return;
        }
        let mut known = self.lock();
        known.heard = number;
        known.replica.clone_from(&peers.lease.replica);
        known.origin = origin;
        known.paused.clone_from(&peers.paused);
        known.written.retain(|_, (_, beats)| beats.is_none_or(|beats| beats >= number));
    }

    fn again(&self) -> Option<Again> {
        let known = self.lock();
        if known.origin.is_empty() {
            return None;
        }
        let mut paused: BTreeSet<JobKey> = known.paused.iter().copied().collect();
        for (key, (is_paused, _)) in &known.written {
            if *is_paused {
                paused.insert(*key)
            } else {
                paused.remove(key)
            };
        }
        let question = format!("{} {}", replica_word(&known.replica), known.heard);
        Some(Again { origin: known.origin.clone(), question, paused })
    }
}

/// Which jobs are paused or resumed by these.
fn changes(batch: &[Write]) -> impl Iterator<Item = (JobKey, bool)> {
    batch.iter().filter_map(|write| match write {
        Write::Pause(key) => Some((*key, true)),
        Write::Resume(key) => Some((*key, false)),
        _ => None,
    })
}

impl Redis {
    pub(super) async fn pause_all_again(&self) -> Result<Option<usize>, StoreError> {
        let Some(again) = self.known.again() else { return Ok(None) };
        let lost: bool = self
            .call(&self.soon, &script::AGAIN, |call| {
                call.arg(&again.origin).arg(&again.question).arg(milliseconds(EXPIRY));
                for key in &again.paused {
                    call.arg(job_word(*key)).arg(self.pauses.word(*key).unwrap_or_default());
                }
            })
            .await?;
        Ok(lost.then_some(again.paused.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;
    use crate::store::Lease;

    fn key(number: u32) -> JobKey {
        JobKey { id: JobId::of_mark(b"x"), occurrence: number }
    }

    fn peers(fencing: u64, paused: &[u32]) -> Peers {
        let lease = Lease { replica: "a".into(), fencing };
        Peers { lease, paused: paused.iter().copied().map(key).collect(), ..Peers::default() }
    }

    fn paused(known: &Known) -> Vec<u32> {
        known.again().unwrap().paused.iter().map(|key| key.occurrence).collect()
    }

    #[test]
    fn what_was_paused_and_resumed_since_the_last_answer_counts() {
        let known = Known::default();
        assert_eq!(known.again(), None, "nothing was told yet");
        let first = known.beat();
        known.heard(first, "x".into(), &peers(7, &[1, 2]));
        assert_eq!(paused(&known), [1, 2]);
        let batch = [Write::Resume(key(1)), Write::Pause(key(3))];
        known.begin(&batch);
        assert_eq!(paused(&known), [2, 3], "the store may have it already");
        // It was sent before that was written, and may tell of it or not.
        let second = known.beat();
        known.end(&batch);
        known.heard(second, "x".into(), &peers(7, &[1, 2]));
        assert_eq!(paused(&known), [2, 3]);
        // This one was sent afterwards: another has paused and resumed.
        let third = known.beat();
        known.heard(third, "x".into(), &peers(7, &[1]));
        assert_eq!(paused(&known), [1]);
    }

    #[test]
    fn a_store_that_does_not_know_us_tells_nothing_of_pauses() {
        let known = Known::default();
        let number = known.beat();
        known.heard(number, "x".into(), &peers(7, &[1]));
        known.end(&[Write::Pause(key(2))]);
        let number = known.beat();
        known.heard(number, "y".into(), &peers(0, &[]));
        assert_eq!((paused(&known), known.again().unwrap().origin), (vec![1, 2], "x".to_owned()));
    }

    #[test]
    fn a_question_is_the_same_until_a_lease_was_given() {
        let known = Known::default();
        let number = known.beat();
        known.heard(number, "x".into(), &peers(7, &[]));
        let first = known.again();
        let number = known.beat();
        known.heard(number, "x".into(), &peers(0, &[]));
        assert_eq!(known.again(), first);
        let number = known.beat();
        known.heard(number, "x".into(), &peers(8, &[]));
        assert_ne!(known.again(), first);
    }
}
