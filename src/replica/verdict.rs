//! What the store's verdicts lead to.

use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::passed::{self, Passed};
use super::waiting::{Aim, Place, Waits};
use crate::crontab::directive::Overlap;
use crate::event::{Fire, MAX_INSTANCES, RunId};
use crate::store::{Generation, Mark, StoreError, Verdict, Write};

/// How long the store may take to answer claims.
const WITHIN: Duration = Duration::from_millis(500);

/// Why a fire is skipped, in the executor's words.
const PAUSED: &str = "paused";
/// Why fires are missed.
const LATE: &str = "claimed by a replica that died, and not started in time";
const ENDED: &str = "it was ended before its start";
const FORGOTTEN: &str = "claimed here, and lost by the store before it was started";

/// What a round of claims came to.
#[derive(Default)]
pub(super) struct Round {
    pub(super) granted: Vec<Fire>,
    pub(super) passed: Vec<Passed>,
    taken_over: Vec<Fire>,
}

impl Gate {
    /// Claims what is to be claimed now.
    pub(super) async fn claim(&mut self) {
        let mut passed = Vec::new();
        while self.waiting.has_ready() && self.member.may_claim() && self.wait_until.is_none() {
            let (places, claims) = self.waiting.claims();
            let lease = self.member.lease.clone();
            let answer = self.ports.store.claim(lease, claims, WITHIN).await;
            let answer = answer.and_then(|verdicts| {
                let is_whole = verdicts.len() == places.len();
                is_whole.then_some(verdicts).ok_or_else(|| {
                    StoreError::Corrupt("it has not answered for every claim".to_owned())
                })
            });
            let verdicts = match answer {
                Ok(verdicts) => verdicts,
                Err(error) => {
                    self.list(passed);
                    return self.fall_silent(error);
                }
            };
            let mut round = Round::default();
            for (place, verdict) in places.into_iter().zip(verdicts) {
                self.heed(place, &verdict, &mut round);
            }
            // Ranges that two questions share are one.
            passed.append(&mut round.passed);
            self.carry_out(round).await;
            if self.now() >= self.member.next_beat {
                // The answer to the beat has the rest claimed.
                break;
            }
        }
        self.list(passed);
    }

    pub(super) fn heed(&mut self, place: Place, verdict: &Verdict, round: &mut Round) {
        let now = self.now();
        match verdict {
            Verdict::Granted => {
                let Some(waits) = self.waiting.remove(&place) else { return };
                let Waits { fire, aim, was_others, .. } = waits;
                match aim {
                    Aim::Renew => {}
                    Aim::Start => {
                        if was_others {
                            round.taken_over.push(fire.clone());
                        }
                        round.granted.push(fire);
                    }
                    Aim::Miss(reason) => {
                        round.passed.push(Passed { fire, reason, is_skipped: false, run: None });
                    }
                    Aim::Skip(reason) => {
                        round.passed.push(Passed { fire, reason, is_skipped: true, run: None });
                    }
                    Aim::End(run) => round.passed.push(ended(fire, run)),
                }
            }
            Verdict::Taken => {
                let Some(waits) = self.waiting.remove(&place) else { return };
                let (mark, key) = place;
                let asserted = self.member.dealt.get(&key).is_some_and(|dealt| *dealt >= mark);
                // It may be that only our own word keeps it from us.
                let is_own_word = waits.was_granted && asserted && self.member.had_forgotten;
                match waits.aim {
                    Aim::Start if !waits.was_granted => self.suppressed += usize::from(asserted),
                    Aim::Start if is_own_word => {
                        let (fire, reason) = (waits.fire, FORGOTTEN.into());
                        round.passed.push(Passed { fire, reason, is_skipped: false, run: None });
                    }
                    Aim::End(run) if is_own_word => round.passed.push(ended(waits.fire, run)),
                    _ => {}
                }
            }
            Verdict::Belongs(_) => {
                let Some(waits) = self.waiting.get_mut(&place) else { return };
                if waits.aim == Aim::Start {
                    waits.ready = false;
                    // A run of the job that is going there is no claim of this fire.
                    waits.was_others |= waits.fire.job.policy().overlap == Overlap::default();
                } else {
                    // Its owner tells what becomes of it.
                    self.waiting.remove(&place);
                }
            }
            Verdict::Full => self.pass(place, MAX_INSTANCES, true, round),
            Verdict::Paused => self.pass(place, PAUSED, true, round),
            Verdict::Late => self.pass(place, LATE, false, round),
            Verdict::Wait(span) => self.wait_until = Some(now + *span),
            Verdict::Fenced => {
                self.member.end_lease(now);
            }
        }
    }

    fn pass(&mut self, place: Place, reason: &str, is_skipped: bool, round: &mut Round) {
        let Some(Waits { fire, aim, .. }) = self.waiting.remove(&place) else { return };
        let (reason, is_skipped) = match aim {
            // The executor's start will be refused, and then it is asked for again.
            Aim::Renew => return,
            Aim::Miss(reason) => (reason, false),
            Aim::Skip(reason) => (reason, true),
            Aim::End(run) => return round.passed.push(ended(fire, run)),
            Aim::Start => (Arc::from(reason), is_skipped),
        };
        round.passed.push(Passed { fire, reason, is_skipped, run: None });
    }

    async fn carry_out(&mut self, round: Round) {
        if !self.settings.linger.is_zero() && !round.granted.is_empty() {
            tokio::time::sleep(self.settings.linger).await;
        }
        for fire in round.granted {
            self.hand_on(fire);
        }
        for fire in round.taken_over {
            self.note(format!(
                "taken over from a replica that did not start it: job {}, due {}",
                fire.job.label(),
                fire.due.at
            ));
        }
    }

    /// Has what was claimed for that listed as skipped or missed, and tells how much came again.
    pub(super) fn list(&mut self, mut passed: Vec<Passed>) {
        if !self.member.surely_holds(self.now()) {
            // We were stopped since: another may have taken it over, and started it.
            let now = self.ports.clock.now();
            let is_claimed = |passed: &mut Passed| *passed.reason != *FORGOTTEN;
            for passed in passed.extract_if(.., is_claimed) {
                let aim = passed.aim();
                self.waiting.add(Waits { aim, ..Waits::new(passed.fire, now) });
            }
        }
        let marks: Vec<_> =
            passed.iter().map(|Passed { fire, .. }| (fire.job.key, mark(fire))).collect();
        for event in passed::events(passed) {
            self.ports.bus.publish(event);
        }
        // Each of them was claimed: the event's own write gives up the last of a range alone.
        for (key, mark) in marks {
            self.member.deal(key, mark);
            self.ports.store.write(Write::Release(key, mark));
        }
        if self.suppressed > 0 {
            let count = std::mem::take(&mut self.suppressed);
            let what = match count {
                1 => "1 fire that came again was not started: its instant was".to_owned(),
                _ => format!("{count} fires that came again were not started: their instants were"),
            };
            self.note(format!("{what} dealt with before, and other replicas live"));
        }
    }

    /// Asks for a new generation of the clock if the scheduler has begun one: before anything of it is claimed.
    pub(super) async fn follow_clock(&mut self) {
        let scheduled_in = self.member.scheduled_in;
        let told = self.member.local_generation.unwrap_or(scheduled_in);
        if told >= scheduled_in {
            return;
        }
        // Marks of earlier lives may be of later generations than the store remembers.
        let from = self.member.generation.max(scheduled_in - 1);
        let lease = self.member.lease.clone();
        let generation = match self.ports.store.step_back(lease, from, WITHIN).await {
            Ok(Generation::Opened(opened)) => opened,
            Ok(Generation::Kept(kept)) => {
                self.warn(
                    "the clock was set back: instants that come again are not started again, for other replicas live"
                        .to_owned(),
                );
                kept
            }
            // Asked again when it answers: until then nothing is claimed.
            Err(error) => return self.fall_silent(error),
        };
        self.member.generation = generation;
        self.member.local_generation = Some(scheduled_in);
        self.waiting.stamp_after(told, generation);
    }
}

/// What was claimed for telling that its run was ended before its start.
fn ended(fire: Fire, run: RunId) -> Passed {
    Passed { fire, reason: ENDED.into(), is_skipped: true, run: Some(run) }
}

fn mark(fire: &Fire) -> Mark {
    Mark::of(fire.due, fire.generation)
}
