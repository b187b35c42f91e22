//! Random letters and answers, in a time of the test's own.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::job::JobId;

fn key(number: u8) -> JobKey {
    JobKey { id: JobId([number; 8]), occurrence: 1 }
}

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_millis(milliseconds)
}

/// The end of time.
const NEVER: Timestamp = Timestamp::MAX;

fn begin() -> Instant {
    // Any instant will do: only differences count.
    Instant::now()
}

#[derive(Debug, Clone)]
enum Step {
    /// A letter of this job, at hand or not, that expires so many milliseconds from now, if it does.
    Add(Option<u8>, bool, Option<u64>),
    /// As many as may be are sent.
    Send,
    /// One of those under way is answered: confirmed, failed or refused.
    Land(usize, u8),
    Pass(u64),
    Return,
    Nudge(u64),
    /// What is wanted is brought.
    Bring,
    /// One is put away.
    PutAway(u64),
    /// One goes through the gate.
    Hold(u64),
    /// The gate is shut, or opened.
    Shut(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let job = prop::option::weighted(0.8, 0_u8..3);
    prop_oneof![
        4 => (job, any::<bool>(), prop::option::weighted(0.1, 0_u64..5_000))
            .prop_map(|(job, is_at_hand, end)| Step::Add(job, is_at_hand, end)),
        4 => Just(Step::Send),
        6 => (0_usize..9, 0_u8..6).prop_map(|(place, answer)| Step::Land(place, answer)),
        3 => (0_u64..2_000).prop_map(Step::Pass),
        1 => Just(Step::Return),
        1 => (0_u64..30).prop_map(Step::Nudge),
        2 => Just(Step::Bring),
        1 => (0_u64..30).prop_map(Step::PutAway),
        1 => (0_u64..30).prop_map(Step::Hold),
        1 => any::<bool>().prop_map(Step::Shut),
    ]
}

/// What a letter is known as, beside the agenda.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Known {
    job: Option<u8>,
    is_at_hand: bool,
    /// When it may be tried again; none: it was never tried, or may be at once.
    rest: Option<Instant>,
    was_refused: bool,
    is_slow: bool,
    is_flying: bool,
    is_gated: bool,
    end: Timestamp,
}

/// The letters that may be sent, by the rules as they are told in words.
fn may_be_sent(known: &BTreeMap<u64, Known>, now: Instant) -> Vec<u64> {
    let is_free = |one: &Known| !one.is_flying && one.rest.is_none_or(|rest| rest <= now);
    let of_job = |job| known.iter().filter(move |(_, one)| one.job == Some(job));
    known
        .iter()
        .filter(|(place, one)| {
            let Some(job) = one.job else { return is_free(one) };
            let holds_up = |other: &Known| !other.was_refused;
            let earlier = of_job(job).any(|(before, other)| before < *place && holds_up(other));
            let flying = of_job(job).any(|(_, other)| other.is_flying);
            is_free(one) && !flying && (one.was_refused || !earlier)
        })
        .map(|(place, _)| *place)
        .collect()
}

fn walk(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let rests = Pace::default();
    let mut agenda = Agenda::default();
    let mut known: BTreeMap<u64, Known> = BTreeMap::new();
    let (mut now, mut elapsed, mut next, mut is_shut) = (begin(), 0, 1, false);
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Add(job, is_at_hand, end) => {
                let end = end.map_or(NEVER, |end| at(elapsed + end));
                agenda.add(next, job.map(key), 10, end, is_at_hand);
                let one = Known {
                    job,
                    is_at_hand,
                    rest: None,
                    was_refused: false,
                    is_slow: false,
                    is_flying: false,
                    is_gated: false,
                    end,
                };
                known.insert(next, one);
                next += 1;
            }
            Step::Send => {
                agenda.wake(now);
                while let Some(place) = agenda.take(4, 35) {
                    let flying = known.values().filter(|one| one.is_flying).count();
                    prop_assert!(flying < 3, "{flying} of ten bytes each are under way");
                    let may = may_be_sent(&known, now);
                    prop_assert!(may.contains(&place), "{place} of {may:?}: {known:?}");
                    let one = known.get_mut(&place).unwrap();
                    prop_assert!(one.is_at_hand && !(one.is_gated && is_shut));
                    one.is_flying = true;
                }
                // Of a job only the first that may be sent is looked at.
                let mut left = may_be_sent(&known, now);
                let mut seen = Vec::new();
                left.retain(|place| {
                    let job = known[place].job;
                    let is_first = job.is_none() || !seen.contains(&job);
                    seen.push(job);
                    is_first && !(known[place].is_gated && is_shut)
                });
                let flying = known.values().filter(|one| one.is_flying).count();
                let (at_hand, absent): (Vec<u64>, Vec<u64>) =
                    left.into_iter().partition(|place| known[place].is_at_hand);
                prop_assert!(at_hand.is_empty() || flying == 3, "{at_hand:?} of {known:?}");
                prop_assert_eq!(agenda.wanted(100, 1 << 20), absent);
                prop_assert_eq!(agenda.flying(), flying);
            }
            Step::Land(place, answer) => {
                let flying = known.iter().filter(|(_, one)| one.is_flying).map(|(place, _)| *place);
                let flying: Vec<u64> = flying.collect();
                let Some(&place) = flying.get(place % flying.len().max(1)) else { continue };
                if answer < 3 || agenda.has_expired(place) {
                    agenda.remove(place);
                    known.remove(&place);
                    continue;
                }
                let is_refusal = answer == 5;
                let delay = agenda.failed(place, is_refusal, now, &rests, number as u64 * 7_919);
                let one = known.get_mut(&place).unwrap();
                one.is_flying = false;
                one.rest = Some(now + delay);
                one.was_refused |= is_refusal;
                one.is_slow = is_refusal;
            }
            Step::Pass(span) => {
                now += Duration::from_millis(span);
                elapsed += span;
                agenda.wake(now);
                let expected: Vec<u64> = known
                    .iter()
                    .filter(|(_, one)| one.end <= at(elapsed) && !one.is_flying)
                    .map(|(place, _)| *place)
                    .collect();
                let mut expired = agenda.expired(at(elapsed));
                expired.sort_unstable();
                for place in &expired {
                    agenda.remove(*place);
                    known.remove(place);
                }
                // One that expired under way is known by its mark.
                prop_assert_eq!(expired, expected);
            }
            Step::Return => {
                agenda.returned();
                known.values_mut().filter(|one| !one.is_slow).for_each(|one| one.rest = None);
            }
            Step::Nudge(place) => {
                agenda.nudge(place);
                if let Some(one) = known.get_mut(&place) {
                    one.rest = None;
                }
            }
            Step::Bring => {
                for place in agenda.wanted(2, 1 << 20) {
                    agenda.at_hand(place, true);
                    known.get_mut(&place).unwrap().is_at_hand = true;
                }
            }
            Step::Hold(place) => {
                agenda.hold(place);
                if let Some(one) = known.get_mut(&place) {
                    one.is_gated = true;
                }
            }
            Step::Shut(shut) => {
                agenda.shut(shut);
                is_shut = shut;
            }
            Step::PutAway(place) => {
                if let Some(one) = known.get_mut(&place)
                    && !one.is_flying
                {
                    agenda.at_hand(place, false);
                    one.is_at_hand = false;
                }
            }
        }
    }
    // In the end all can be sent.
    agenda.shut(false);
    for place in known.iter().filter(|(_, one)| one.is_flying).map(|(place, _)| place) {
        agenda.remove(*place);
    }
    known.retain(|_, one| !one.is_flying);
    while !known.is_empty() {
        now += Duration::from_secs(600);
        agenda.wake(now);
        for place in agenda.wanted(100, 1 << 20) {
            agenda.at_hand(place, true);
        }
        let Some(place) = agenda.take(1, 10) else {
            return Err(TestCaseError::fail(format!("{known:?} are stuck")));
        };
        agenda.remove(place);
        known.remove(&place);
    }
    prop_assert!(agenda.slots.is_empty() && agenda.lines.is_empty() && agenda.rests.is_empty());
    prop_assert!(agenda.ready.is_empty() && agenda.absent.is_empty() && agenda.ends.is_empty());
    prop_assert!(agenda.behind.is_empty());
    prop_assert_eq!((agenda.flying, agenda.flying_bytes), (0, 0));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_next_letter_is_one_that_the_rules_allow(steps in prop::collection::vec(any_step(), 1..120)) {
        walk(steps)?;
    }
}

#[test]
fn letters_of_a_job_go_one_after_the_other_those_of_others_beside_them() {
    let mut agenda = Agenda::default();
    for (place, job) in [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, None), (5, None)] {
        agenda.add(place, job.map(key), 1, NEVER, true);
    }
    let sent: Vec<u64> = std::iter::from_fn(|| agenda.take(10, 100)).collect();
    assert_eq!(sent, [1, 3, 4, 5]);
    agenda.remove(1);
    assert_eq!(agenda.take(10, 100), Some(2));
}

#[test]
fn after_a_failure_the_same_is_next_and_after_a_refusal_the_one_behind_it() {
    let (rests, now) = (Pace::default(), begin());
    for is_refusal in [false, true] {
        let mut agenda = Agenda::default();
        agenda.add(1, Some(key(1)), 1, NEVER, true);
        agenda.add(2, Some(key(1)), 1, NEVER, true);
        assert_eq!(agenda.take(1, 1), Some(1));
        let delay = agenda.failed(1, is_refusal, now, &rests, 1);
        assert_eq!(agenda.take(1, 1), is_refusal.then_some(2));
        if is_refusal {
            agenda.remove(2);
        }
        agenda.wake(now + delay);
        assert_eq!(agenda.take(1, 1), Some(1));
    }
}

#[test]
fn failures_that_follow_one_another_rest_longer_and_longer() {
    let (rests, now, mut agenda) = (Pace::default(), begin(), Agenda::default());
    agenda.add(1, None, 1, NEVER, true);
    let fail = |is_refusal, agenda: &mut Agenda| {
        agenda.nudge(1);
        assert_eq!(agenda.take(1, 1), Some(1));
        // The most that the bound allows.
        agenda.failed(1, is_refusal, now, &rests, 0)
    };
    assert_eq!(fail(true, &mut agenda), Duration::from_millis(2_500));
    assert_eq!(fail(false, &mut agenda), Duration::ZERO);
    let mut last = Duration::ZERO;
    for _ in 0..8 {
        agenda.wake(now + Duration::from_secs(3_600));
        assert_eq!(agenda.take(1, 1), Some(1));
        let delay = agenda.failed(1, true, now, &rests, 0);
        assert!(delay >= last && delay <= Duration::from_secs(150), "{delay:?}");
        last = delay;
    }
    assert_eq!(last, Duration::from_secs(150));
}

#[test]
fn one_that_is_asked_for_again_and_again_rests_no_shorter_for_it() {
    let (rests, now, mut agenda) = (Pace::default(), begin(), Agenda::default());
    agenda.add(1, None, 1, NEVER, true);
    let mut delays = Vec::new();
    for _ in 0..4 {
        agenda.nudge(1);
        assert_eq!(agenda.take(1, 1), Some(1));
        delays.push(agenda.failed(1, true, now, &rests, 0).as_millis());
    }
    assert_eq!(delays, [2_500, 5_000, 10_000, 20_000]);
    // That the broker is back says nothing of what somebody has to mend, and all of what waited for it.
    agenda.returned();
    assert_eq!(agenda.take(1, 1), None);
    agenda.nudge(1);
    assert_eq!(agenda.take(1, 1), Some(1));
    let rests = Pace { first: Duration::from_secs(1), ..rests };
    for _ in 0..3 {
        let delay = agenda.failed(1, false, now, &rests, 999_999);
        assert_eq!(delay.as_millis(), 999);
        agenda.returned();
        assert_eq!(agenda.take(1, 1), Some(1));
    }
}
