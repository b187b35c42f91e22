//! What replicas say of themselves, and where they differ.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::job::JobTable;
use crate::store::Beat;

/// How many answers in a row a difference must last before it is told: an edit comes into force here and there.
const LASTING: u32 = 4;

/// Which differences were told.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// By replica, in how many answers in a row.
    seen: HashMap<String, u32>,
    told: HashSet<(String, String, String)>,
}

/// What tells sets of jobs apart.
pub(super) fn hash(table: &JobTable) -> String {
    let mut keys: Vec<String> = table.jobs().iter().map(|job| job.key.to_string()).collect();
    keys.sort_unstable();
    let mut text = String::with_capacity(16);
    for byte in &Sha256::digest(keys.join("\n"))[..8] {
        // Writing to memory does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Differences {
    /// Compares what others say with what we say: a sentence for each difference that lasts and was not told yet.
    pub(super) fn compare(&mut self, own: &Beat, others: &[Beat]) -> Vec<String> {
        self.seen.retain(|replica, _| others.iter().any(|other| other.lease.replica == *replica));
        let mut told = Vec::new();
        for other in others {
            let name = &other.lease.replica;
            let jobs_differ = own.jobs_hash != other.jobs_hash;
            if !jobs_differ && own.zone == other.zone {
                self.seen.remove(name);
                continue;
            }
            let count = self.seen.entry(name.clone()).or_default();
            *count = count.saturating_add(1);
            let kind = (other.host.clone(), other.jobs_hash.clone(), other.zone.clone());
            if *count < LASTING || !self.told.insert(kind) {
                continue;
            }
            if jobs_differ {
                told.push(format!(
                    "the replicas {} and {} have other jobs: {} (set {}) here, {} (set {}) there; each starts what only it has",
                    own.lease.replica, name, own.jobs, own.jobs_hash, other.jobs, other.jobs_hash
                ));
            }
            if own.zone != other.zone {
                told.push(format!(
                    "the replicas {} and {} have other time zones: {} here, {} there; their jobs are due at other instants",
                    own.lease.replica, name, own.zone, other.zone
                ));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Lease;

    fn beat(replica: &str, hash: &str, zone: &str) -> Beat {
        Beat {
            lease: Lease { replica: replica.into(), fencing: 0 },
            host: replica.into(),
            jobs_hash: hash.into(),
            zone: zone.into(),
            ..Beat::default()
        }
    }

    #[test]
    fn a_difference_is_told_once_and_only_if_it_lasts() {
        let own = beat("a", "1", "UTC");
        let mut differences = Differences::default();
        let others = [beat("b", "2", "UTC"), beat("c", "1", "Europe/Berlin")];
        for _ in 1..LASTING {
            assert!(differences.compare(&own, &others).is_empty());
        }
        let told = differences.compare(&own, &others);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("a and b have other jobs"), "{told:?}");
        assert!(told[1].contains("UTC here, Europe/Berlin there"), "{told:?}");
        assert!(differences.compare(&own, &others).is_empty());
    }

    #[test]
    fn an_edit_that_comes_into_force_everywhere_is_no_difference() {
        let own = beat("a", "1", "UTC");
        let mut differences = Differences::default();
        for _ in 0..LASTING {
            assert!(differences.compare(&own, &[beat("b", "2", "UTC")]).is_empty());
            assert!(differences.compare(&own, &[beat("b", "1", "UTC")]).is_empty());
        }
    }
}
