//! Jobs, fires and replicas of the tests.

use std::time::Duration;

use cronkeep::event::{RunId, Trigger};
use cronkeep::job::{JobId, JobKey};
use cronkeep::store::claim::{Board, Heard, Moment};
use cronkeep::store::{Beat, Claim, Lease, Mark, Permission, Start, Verdict};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The instant that milliseconds of tests count from.
pub(crate) const EPOCH: i64 = 1_800_000_000_000;

/// How long a replica lives after a beat, in tests.
pub(crate) const EXPIRY: i64 = 6_000;

/// How late a fire may be taken over, in tests.
pub(crate) const GRACE: i64 = 20_000;

pub(crate) fn key(number: u32) -> JobKey {
    JobKey { id: JobId::of_mark(&number.to_be_bytes()), occurrence: 1 }
}

/// The fire so many milliseconds after the epoch of tests.
pub(crate) fn mark(at: i64) -> Mark {
    let at = Timestamp::from_millisecond(EPOCH + at).unwrap();
    Mark { generation: 0, at, civil: TimeZone::UTC.to_datetime(at) }
}

pub(crate) fn claim(key: JobKey, mark: Mark) -> Claim {
    let grace = Duration::from_millis(GRACE.unsigned_abs());
    Claim { key, mark, trigger: Trigger::Schedule, grace, instances: None }
}

pub(crate) fn run_id(number: u32) -> RunId {
    RunId::new(Timestamp::from_millisecond(EPOCH).unwrap(), u128::from(number))
}

pub(crate) fn start(key: JobKey, mark: Mark, run: u32) -> Start {
    let queued = mark.at;
    let (run, trigger) = (run_id(run), Trigger::Schedule);
    Start { run, attempt: 1, key, name: "job".into(), mark, trigger, queued }
}

pub(crate) fn beat(replica: &str, fencing: u64) -> Beat {
    Beat {
        lease: Lease { replica: replica.to_owned(), fencing },
        host: format!("{replica}-host"),
        expiry: Duration::from_millis(EXPIRY.unsigned_abs()),
        ..Beat::default()
    }
}

/// A board, its clock and its server's life.
pub(crate) struct Scene {
    pub(crate) board: Board,
    pub(crate) now: i64,
    pub(crate) life: u32,
    /// The runs that were told as lost while time passed.
    pub(crate) told: Vec<(RunId, u32)>,
}

impl Scene {
    /// An empty board that has been there for long: nobody waits before the first claim.
    pub(crate) fn new() -> Self {
        let mut scene = Scene { board: Board::default(), now: 0, life: 0, told: Vec::new() };
        scene.board.assert_marks(&scene.moment(), &[]);
        scene.now = EXPIRY;
        scene
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { now: EPOCH + self.now, incarnation: format!("life-{}", self.life) }
    }

    /// Joins, and waits until it may claim.
    pub(crate) fn join(&mut self, replica: &str) -> Lease {
        let moment = self.moment();
        self.board.beat(&moment, &Beat { alone: true, ..beat(replica, 0) }).lease
    }

    pub(crate) fn beat(&mut self, lease: &Lease) -> Heard {
        let moment = self.moment();
        self.board.beat(&moment, &beat(&lease.replica, lease.fencing))
    }

    pub(crate) fn claim(&mut self, lease: &Lease, claim: &Claim) -> Verdict {
        let moment = self.moment();
        self.board.claim(&moment, lease, std::slice::from_ref(claim)).remove(0)
    }

    pub(crate) fn start(&mut self, lease: &Lease, start: &Start) -> Permission {
        let moment = self.moment();
        self.board.start(&moment, lease, std::slice::from_ref(start)).remove(0)
    }

    /// Time passes, in which these replicas beat.
    pub(crate) fn pass(&mut self, milliseconds: i64, living: &[&Lease]) {
        let end = self.now + milliseconds;
        while self.now < end {
            self.now = end.min(self.now + EXPIRY / 3);
            for lease in living {
                let mut lost = self.beat(lease).lost;
                lost.retain(|run| !self.told.contains(run));
                self.told.extend(lost);
            }
        }
    }
}
