//! By how much a job's starts are put off: spread over the jobs, the same each time. Pure.

use std::time::Duration;

use super::Job;

/// How long after its instant this job starts: at least zero, less than its `jitter` (or `RANDOM_DELAY`).
///
/// Drawn from the job's key, so it is the same after a restart and on every replica. For what the clock starts; what
/// somebody waits for is not put off.
#[must_use]
pub fn of(job: &Job) -> Duration {
    let most = job.policy().jitter;
    if most.is_zero() {
        return Duration::ZERO;
    }
    part(most, job.key.id.seed(), job.key.occurrence)
}

/// The part of `most` that a key draws.
fn part(most: Duration, seed: u64, occurrence: u32) -> Duration {
    // Not the seed itself: that draws the minute of a `~`, and jobs of one minute are those to be spread.
    let drawn = mixed(seed ^ u64::from(occurrence).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let nanoseconds = (most.as_nanos().min(u128::from(u64::MAX)) * u128::from(drawn)) >> 64;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// The finalizer of `SplitMix64`: every bit of the result depends on every bit of `seed`.
fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// row 50: the delay of a job does not change.
    #[test]
    fn the_delay_of_a_job_is_the_same_in_every_version() {
        let minute = Duration::from_secs(60);
        let drawn = [1, 2, 3].map(|seed| part(minute, seed, 1).as_millis());
        assert_eq!(drawn, [54_755, 44_948, 44_746]);
        assert_ne!(part(minute, 1, 1), part(minute, 1, 2), "a further entry of one id");
    }

    #[test]
    fn a_thousand_jobs_are_spread_evenly() {
        let mut tenths = [0; 10];
        for seed in 0..1000 {
            let at = part(Duration::from_secs(10), seed, 1).as_secs();
            tenths[usize::try_from(at).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|&count| (60..140).contains(&count)), "{tenths:?}");
    }

    proptest! {
        #[test]
        fn a_delay_stays_below_the_jitter(
            most in 1_u64.., seed in any::<u64>(), occurrence in any::<u32>(),
        ) {
            let most = Duration::from_nanos(most);
            prop_assert!(part(most, seed, occurrence) < most);
        }
    }
}
