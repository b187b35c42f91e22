//! This replica among the others: its lease, its signs of life, what it knows of the store.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::policy::{Known, Silence};
use crate::job::JobKey;
use crate::store::claim::{BEAT, EXPIRY};
use crate::store::{Beat, Conditions, Handle, Lease, Mark, Peers, StoreError, WhenDown};

/// How long the store may take to answer a sign of life.
const BEAT_WITHIN: Duration = Duration::from_secs(1);
/// How soon after one that was not answered the next follows.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the store may take to record starts.
const START_WITHIN: Duration = Duration::from_millis(500);

/// This replica's place among the others. Times are monotonic unless they say otherwise.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) lease: Lease,
    silence: Silence,
    born: Duration,
    /// When the last sign of life was sent that was answered, and whether nobody else was alive then.
    contact: Option<(Duration, bool)>,
    /// When the next sign of life is due.
    pub(super) next_beat: Duration,
    /// Since when the store is silent.
    pub(super) silent: Option<Duration>,
    /// When we were last seen awake.
    awake: Duration,
    /// Wall time of the end of a stop of which the store has not been asked yet.
    pub(super) stopped: Option<Timestamp>,
    /// The last mark of each job that this process dealt with.
    pub(super) dealt: HashMap<JobKey, Mark>,
    /// Whether the store had forgotten what was asserted last, by this or another replica: what it has for claimed may be that
    /// by somebody's word alone.
    pub(super) had_forgotten: bool,
    /// The store's clock generation.
    pub(super) generation: u64,
    /// The scheduler's, as far as the store was told.
    pub(super) local_generation: Option<u64>,
    /// The scheduler's, as far as it is known.
    pub(super) scheduled_in: u64,
}

/// What an answer to a sign of life means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// All is as before.
    Same,
    /// The lease is a new one.
    Renewed,
    /// The lease has ended: another one is to be asked for.
    Ended,
}

impl Member {
    pub(super) fn new(replica: String, silence: Silence, now: Duration) -> Self {
        Member {
            lease: Lease { replica, fencing: 0 },
            silence,
            born: now,
            contact: None,
            next_beat: now,
            silent: None,
            awake: now,
            stopped: None,
            dealt: HashMap::new(),
            had_forgotten: false,
            generation: 0,
            local_generation: None,
            scheduled_in: 0,
        }
    }

    /// Notices whether we were stopped for so long that the lease may have ended. To be called after each wake-up.
    pub(super) fn wake(&mut self, now: Duration, wall: Timestamp) -> bool {
        let was_stopped = now.saturating_sub(self.awake) >= EXPIRY;
        self.awake = now;
        if was_stopped {
            self.stopped = Some(wall);
            self.next_beat = now;
            // What was true of the others need not be any more.
            if let Some((_, alone)) = &mut self.contact {
                *alone = false;
            }
        }
        was_stopped
    }

    /// Whether our lease has surely not ended: the store counts it from when it heard us, which was later than we sent it.
    pub(super) fn surely_holds(&self, now: Duration) -> bool {
        self.lease.fencing != 0 && self.contact.is_some_and(|(sent, _)| now < sent + EXPIRY)
    }

    /// Whether claims can be made.
    pub(super) fn may_claim(&self) -> bool {
        self.lease.fencing != 0 && self.silent.is_none() && self.stopped.is_none()
    }

    fn known(&self, now: Duration) -> Known {
        Known {
            has_answered: self.contact.is_some(),
            alone: self.contact.is_some_and(|(_, alone)| alone),
            age: now.saturating_sub(self.born),
        }
    }

    /// What becomes of fires while the store is silent.
    pub(super) fn when_down(&self, now: Duration) -> WhenDown {
        self.silence.now(self.known(now))
    }

    pub(super) fn has_answered(&self) -> bool {
        self.contact.is_some()
    }

    /// How long this process has lived.
    pub(super) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.born)
    }

    /// On which conditions the executor starts what is handed on.
    pub(super) fn conditions(&self, now: Duration) -> Conditions {
        Conditions {
            lease: self.lease.clone(),
            within: START_WITHIN,
            when_down: self.when_down(now),
            until: Some(now + EXPIRY),
        }
    }

    /// The next sign of life, and what is asserted before it where a lease is asked for.
    pub(super) fn beat(&mut self, now: Duration, about: Beat) -> (Beat, Asserted) {
        self.next_beat = now + BEAT;
        let alone = self.contact.is_some_and(|(at, alone)| alone && now < at + EXPIRY);
        let asserted = if self.lease.fencing == 0 {
            let marks = self.dealt.iter().map(|(key, mark)| (*key, *mark)).collect();
            Asserted { marks, pauses: self.has_answered() }
        } else {
            Asserted::default()
        };
        (Beat { lease: self.lease.clone(), expiry: EXPIRY, alone, ..about }, asserted)
    }

    /// Takes the answer to a sign of life that was sent at `sent`.
    pub(super) fn heard(&mut self, sent: Duration, peers: &Peers) -> Heard {
        self.silent = None;
        self.generation = self.generation.max(peers.generation);
        self.local_generation.get_or_insert(peers.generation);
        if peers.lease.fencing == 0 {
            return self.end_lease(sent);
        }
        self.contact = Some((sent, peers.alone));
        self.stopped = None;
        let is_new = self.lease.fencing != peers.lease.fencing;
        self.lease.fencing = peers.lease.fencing;
        if is_new { Heard::Renewed } else { Heard::Same }
    }

    /// Our lease has ended; another is asked for at once.
    pub(super) fn end_lease(&mut self, now: Duration) -> Heard {
        self.lease.fencing = 0;
        self.next_beat = self.next_beat.min(now);
        Heard::Ended
    }

    /// The store has not answered; whether it did before.
    pub(super) fn fall_silent(&mut self, now: Duration) -> bool {
        self.next_beat = self.next_beat.min(now + AGAIN);
        self.silent.replace(self.silent.unwrap_or(now)).is_none()
    }

    /// A fire was dealt with by us.
    pub(super) fn deal(&mut self, key: JobKey, mark: Mark) {
        let kept = self.dealt.entry(key).or_insert(mark);
        *kept = mark.max(*kept);
    }
}

/// What is asserted before a lease is asked for: the store may have lost it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asserted {
    /// What must not be claimed any more.
    pub(super) marks: Vec<(JobKey, Mark)>,
    /// Whether those jobs are to be paused that the store knew to be.
    pub(super) pauses: bool,
}

/// What comes of a sign of life.
#[derive(Debug)]
pub(super) struct Said {
    /// Whether the store had forgotten what this or another replica asserted; none: nothing was asserted, or not answered.
    pub(super) forgot: Option<bool>,
    /// How many jobs were paused again, since the store had lost its data; none: it had not.
    pub(super) paused_again: Option<usize>,
    /// The answer.
    pub(super) answer: Result<Peers, StoreError>,
}

/// Says that we live, after what the store may have lost was asserted.
pub(super) async fn say(store: Handle, beat: Beat, Asserted { marks, pauses }: Asserted) -> Said {
    let (mut forgot, mut paused_again) = (None, None);
    if pauses {
        match store.pause_again(BEAT_WITHIN).await {
            Ok(again) => paused_again = again,
            Err(error) => return Said { forgot, paused_again, answer: Err(error) },
        }
    }
    if !marks.is_empty() {
        match store.assert_marks(marks, 2 * BEAT_WITHIN).await {
            Ok(found) => forgot = Some(found),
            // If it was carried out all the same, the next one is answered accordingly.
            Err(error) => return Said { forgot, paused_again, answer: Err(error) },
        }
    }
    Said { forgot, paused_again, answer: store.beat(beat, BEAT_WITHIN).await }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn member(silence: Silence) -> Member {
        Member::new("a".into(), silence, START)
    }

    fn peers(fencing: u64, alone: bool) -> Peers {
        Peers { lease: Lease { replica: "a".into(), fencing }, alone, ..Peers::default() }
    }

    #[test]
    fn a_lease_that_has_ended_is_asked_for_at_once_with_what_was_dealt_with() {
        let mut member = member(Silence::Auto);
        let (first, asserted) = member.beat(START, Beat::default());
        assert_eq!((first.lease.fencing, asserted), (0, Asserted::default()));
        assert_eq!(member.heard(START, &peers(7, false)), Heard::Renewed);
        assert!(member.may_claim());
        let key = "crondServiceTask-0123456789abcdef".parse().unwrap();
        let mark =
            Mark { generation: 0, at: Timestamp::UNIX_EPOCH, civil: jiff::civil::DateTime::ZERO };
        member.deal(key, mark);
        let later = START + BEAT;
        assert_eq!(member.beat(later, Beat::default()).1, Asserted::default());
        assert_eq!(member.heard(later, &peers(0, false)), Heard::Ended);
        assert!(!member.may_claim() && member.next_beat <= later);
        let (again, asserted) = member.beat(later, Beat::default());
        let marks = vec![(key, mark)];
        assert_eq!((again.lease.fencing, asserted), (0, Asserted { marks, pauses: true }));
    }

    #[test]
    fn what_was_stopped_does_not_trust_what_it_knew_of_the_others() {
        let mut member = member(Silence::Auto);
        member.heard(START, &peers(7, true));
        assert_eq!(member.when_down(START), WhenDown::Run);
        assert!(!member.wake(START + BEAT, Timestamp::UNIX_EPOCH));
        assert!(member.wake(START + BEAT + EXPIRY, Timestamp::UNIX_EPOCH));
        assert_eq!(member.when_down(START + BEAT + EXPIRY), WhenDown::Hold);
        assert!(!member.may_claim());
        member.heard(START + BEAT + EXPIRY, &peers(7, true));
        assert!(member.may_claim());
    }

    #[test]
    fn a_silent_store_is_asked_again_soon_and_told_of_once() {
        let mut member = member(Silence::Hold);
        member.heard(START, &peers(7, true));
        member.beat(START, Beat::default());
        assert!(member.fall_silent(START + BEAT_WITHIN));
        assert!(member.next_beat <= START + BEAT_WITHIN + AGAIN);
        assert!(!member.fall_silent(START + BEAT_WITHIN));
        assert!(!member.may_claim());
        member.heard(START + BEAT, &peers(7, true));
        assert!(member.fall_silent(START + BEAT));
    }
}
