//! Pauses as they are kept: signed where there is a key, and then taken only with its signature.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Tell;
use super::seal::Seal;
use crate::job::JobKey;

/// The most jobs that are named at once.
const MOST_NAMED: usize = 10;

/// Signs pauses, and judges those that are found.
pub(super) struct Pauses {
    seal: Option<Seal>,
    tell: Tell,
    /// Of which jobs it was told that their pauses are refused.
    told: Mutex<BTreeSet<JobKey>>,
}

impl Default for Pauses {
    /// Signs none, and takes all.
    fn default() -> Self {
        Pauses::new(None, Arc::new(drop))
    }
}

impl Pauses {
    /// With this key, if there is one. What is refused is told: one sentence for those that are found at once, and one time
    /// for each job.
    pub(super) fn new(seal: Option<Seal>, tell: Tell) -> Self {
        Pauses { seal, tell, told: Mutex::default() }
    }

    /// The signature of a job's pause, in hexadecimal; none without a key.
    pub(super) fn word(&self, job: JobKey) -> Option<String> {
        let code = self.seal.as_ref()?.pause(job);
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        Some(code.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
    }

    /// What stands for a job's pause where there is only room for a number: the first 63 bits of its signature; 1 without a key.
    pub(super) fn number(&self, job: JobKey) -> i64 {
        let Some(seal) = &self.seal else { return 1 };
        let code = seal.pause(job);
        let bits = code.iter().take(8).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (bits >> 1).cast_signed().max(2)
    }

    /// Those of these pauses that are taken; `is_signed` of each whether its signature is ours, where there is a key.
    pub(super) fn judge(&self, found: impl IntoIterator<Item = (JobKey, bool)>) -> Vec<JobKey> {
        let (mut taken, mut refused) = (Vec::new(), Vec::new());
        for (job, is_signed) in found {
            if is_signed || self.seal.is_none() { taken.push(job) } else { refused.push(job) }
        }
        if !refused.is_empty() {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            refused.retain(|job| told.insert(*job));
        }
        if !refused.is_empty() {
            (self.tell)(refusal(&refused));
        }
        taken
    }
}

/// What is told of pauses that are not taken.
fn refusal(jobs: &[JobKey]) -> String {
    let named: Vec<String> = jobs.iter().take(MOST_NAMED).map(JobKey::to_string).collect();
    let more = match jobs.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "a pause in the store is refused, since it is not signed with our key: the jobs run ({}{more}); `cronkeep pause` \
         pauses them",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobId;

    fn key(number: u32) -> JobKey {
        JobKey { id: JobId::of_mark(b"x"), occurrence: number }
    }

    fn pauses(key: &[u8]) -> (Pauses, Arc<Mutex<Vec<String>>>) {
        let all = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&all);
        let tell: Tell = Arc::new(move |text| told.lock().unwrap().push(text));
        (Pauses::new(Some(Seal::new(key, "web").unwrap()), tell), all)
    }

    #[test]
    fn a_signature_is_that_of_a_job_and_a_key() {
        let (ours, theirs) = (pauses(b"0123456789abcdef").0, pauses(b"0123456789abcdeg").0);
        let words = [ours.word(key(1)), ours.word(key(2)), theirs.word(key(1))];
        assert!(words.iter().flatten().all(|word| word.len() == 64), "{words:?}");
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), 3);
        let numbers = [ours.number(key(1)), ours.number(key(2)), theirs.number(key(1))];
        assert!(numbers.iter().all(|number| *number > 1), "{numbers:?}");
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 3);
        assert_eq!((Pauses::default().word(key(1)), Pauses::default().number(key(1))), (None, 1));
    }

    #[test]
    fn what_is_not_signed_is_refused_and_told_once() {
        let (pauses, told) = pauses(b"0123456789abcdef");
        for _ in 0..3 {
            let found = (1..=15).map(|number| (key(number), number == 3));
            assert_eq!(pauses.judge(found), [key(3)]);
        }
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains(&key(1).to_string()) && told[0].contains("and 4 more"),
            "{told:?}"
        );
        assert_eq!(Pauses::default().judge([(key(1), false)]), [key(1)]);
    }
}
