//! Replicas that follow the protocol, as small as they can be: what each knows, and what it does next.

use std::collections::BTreeMap;
use std::time::Duration;

use cronkeep::store::claim::{Board, Moment};
use cronkeep::store::{Beat, Claim, Lease, Permission, Verdict};

use super::scene::{EPOCH, claim, key, mark, start};

/// A step of the clock, in milliseconds.
pub(crate) const TICK: i64 = 1_000;
/// How long a replica lives after a beat.
const EXPIRY: i64 = 2 * TICK;
/// How late a fire may be taken over, or started anew.
const GRACE: i64 = 5 * TICK;
/// When the fires are due: all of one job.
pub(crate) const FIRES: [i64; 2] = [TICK, 2 * TICK];

/// How far a replica is with a fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// It is to be claimed, once it is due.
    Open,
    /// It is granted, and not started.
    Granted,
    /// It was granted under a lease that has ended, and is to be claimed again.
    Again,
    /// It was started or listed by this replica.
    Ours,
    /// Others have it.
    Theirs,
}

/// A replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Replica {
    /// Which process of the replica it is; another name with each.
    pub(crate) life: u32,
    pub(crate) is_up: bool,
    pub(crate) is_stopped: bool,
    /// How far its clock is ahead.
    skew: i64,
    fencing: u64,
    /// Whether it has beaten since the last tick.
    pub(crate) has_beaten: bool,
    /// When it last heard that it was alone.
    alone: Option<i64>,
    steps: [Step; FIRES.len()],
    orphans: [bool; FIRES.len()],
}

/// All that there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) board: Board,
    pub(crate) now: i64,
    /// Which life of the server it is.
    server: u32,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) started: [u8; FIRES.len()],
    pub(crate) listed: [bool; FIRES.len()],
    /// How often each of these may still happen.
    pub(crate) budget: Budget,
}

/// How often each of these may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    pub(crate) kills: u8,
    pub(crate) launches: u8,
    pub(crate) stops: u8,
    /// The server restarts and has everything.
    pub(crate) restarts: u8,
    /// The server restarts and has nothing.
    pub(crate) losses: u8,
}

impl Replica {
    fn new(life: u32, skew: i64) -> Self {
        Replica {
            life,
            is_up: true,
            is_stopped: false,
            skew,
            fencing: 0,
            has_beaten: false,
            alone: None,
            steps: [Step::Open; FIRES.len()],
            orphans: [false; FIRES.len()],
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.is_up && !self.is_stopped
    }

    fn lease(&self, place: usize) -> Lease {
        Lease { replica: format!("{place}.{}", self.life), fencing: self.fencing }
    }

    /// What was granted is nothing any more.
    fn lose_lease(&mut self) {
        self.fencing = 0;
        for step in &mut self.steps {
            if *step == Step::Granted {
                *step = Step::Again;
            }
        }
    }

    /// Whether it would claim or start anything now.
    pub(crate) fn wants(&self, now: i64) -> [bool; 2] {
        let is_due = |fire: usize| FIRES[fire] <= now + self.skew || self.orphans[fire];
        let claims = (0..FIRES.len())
            .any(|fire| matches!(self.steps[fire], Step::Open | Step::Again) && is_due(fire));
        [self.fencing != 0 && claims, self.steps.contains(&Step::Granted)]
    }
}

impl World {
    pub(crate) fn new(board: Board, skews: &[i64], budget: Budget) -> Self {
        let mut world = World {
            board,
            now: 0,
            server: 0,
            replicas: skews.iter().map(|skew| Replica::new(0, *skew)).collect(),
            started: [0; FIRES.len()],
            listed: [false; FIRES.len()],
            budget,
        };
        // The server has been there for long, and the replicas since before the first fire.
        let moment = Moment { now: EPOCH - 100 * TICK, ..world.moment() };
        world.board.assert_marks(&moment, &[]);
        world.now = -2 * EXPIRY;
        for place in 0..world.replicas.len() {
            world.beat(place);
        }
        while world.now < 0 {
            world.tick();
            for place in 0..world.replicas.len() {
                world.beat(place);
            }
        }
        world
    }

    fn moment(&self) -> Moment {
        Moment { now: EPOCH + self.now, incarnation: self.server.to_string() }
    }

    pub(crate) fn tick(&mut self) {
        self.now += TICK;
        for replica in &mut self.replicas {
            replica.has_beaten = false;
        }
    }

    pub(crate) fn beat(&mut self, place: usize) {
        let (moment, now) = (self.moment(), self.now);
        let replica = &mut self.replicas[place];
        replica.has_beaten = true;
        let alone = replica.alone.is_some_and(|at| now - at < EXPIRY);
        if replica.fencing == 0 {
            let ours = (0..FIRES.len()).filter(|fire| replica.steps[*fire] == Step::Ours);
            let marks: Vec<_> = ours.map(|fire| (key(1), mark(FIRES[fire]))).collect();
            self.board.assert_marks(&moment, &marks);
        }
        let beat = Beat {
            lease: replica.lease(place),
            // On one host, so that runs are found at once.
            host: "host".into(),
            expiry: Duration::from_millis(EXPIRY.unsigned_abs()),
            alone,
            ..Beat::default()
        };
        let heard = self.board.beat(&moment, &beat);
        if heard.lease.fencing == 0 {
            replica.lose_lease();
            return self.beat(place);
        }
        replica.fencing = heard.lease.fencing;
        replica.alone = heard.alone.then_some(now);
        for (_, orphan) in heard.orphans {
            let fire = FIRES.iter().position(|at| mark(*at) == orphan).expect("a fire of ours");
            if !matches!(replica.steps[fire], Step::Granted | Step::Ours) {
                replica.orphans[fire] = true;
                if replica.steps[fire] == Step::Theirs {
                    replica.steps[fire] = Step::Open;
                }
            }
        }
        for (run, attempt) in heard.lost {
            self.board.end(key(1), run, attempt);
        }
    }

    /// Claims all that is due and not decided, oldest first.
    pub(crate) fn claim(&mut self, place: usize) {
        let (moment, now) = (self.moment(), self.now);
        let replica = &mut self.replicas[place];
        let lease = replica.lease(place);
        let local = now + replica.skew;
        for (fire, at) in FIRES.into_iter().enumerate() {
            let is_due = at <= local || replica.orphans[fire];
            let step = replica.steps[fire];
            if !is_due || !matches!(step, Step::Open | Step::Again) {
                continue;
            }
            let grace = Duration::from_millis(GRACE.unsigned_abs());
            let claim = Claim { grace, ..claim(key(1), mark(at)) };
            let is_late = local - at > GRACE;
            match self.board.claim(&moment, &lease, &[claim]).remove(0) {
                Verdict::Granted if is_late => {
                    self.listed[fire] = true;
                    self.board.settle(key(1), mark(at));
                    replica.steps[fire] = Step::Ours;
                }
                Verdict::Granted => replica.steps[fire] = Step::Granted,
                Verdict::Late => {
                    self.listed[fire] = true;
                    self.board.settle(key(1), mark(at));
                    replica.steps[fire] = Step::Ours;
                }
                Verdict::Taken => {
                    // What was ours and is nobody's that we know of is listed as lost.
                    if step == Step::Again {
                        self.listed[fire] = true;
                    }
                    replica.steps[fire] = Step::Theirs;
                }
                Verdict::Belongs(_) if is_late => replica.steps[fire] = Step::Theirs,
                Verdict::Belongs(_) | Verdict::Wait(_) => {}
                Verdict::Fenced => return replica.lose_lease(),
                verdict => panic!("{verdict:?}"),
            }
            replica.orphans[fire] = false;
        }
    }

    /// Starts all that is granted.
    pub(crate) fn start(&mut self, place: usize) {
        let moment = self.moment();
        let replica = &mut self.replicas[place];
        let lease = replica.lease(place);
        for (fire, at) in FIRES.into_iter().enumerate() {
            if replica.steps[fire] != Step::Granted {
                continue;
            }
            let run = u32::try_from(place * 100 + fire * 10).unwrap() + replica.life;
            let start = start(key(1), mark(at), run);
            match self.board.start(&moment, &lease, &[start]).remove(0) {
                Permission::Granted => {
                    self.started[fire] += 1;
                    replica.steps[fire] = Step::Ours;
                }
                Permission::Taken => replica.steps[fire] = Step::Theirs,
                Permission::Fenced => return replica.lose_lease(),
            }
        }
    }

    pub(crate) fn kill(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        *replica = Replica { is_up: false, ..Replica::new(replica.life + 1, replica.skew) };
    }

    /// Starts a replica that was killed; it goes on after the watermark.
    pub(crate) fn launch(&mut self, place: usize) {
        let replica = &mut self.replicas[place];
        replica.is_up = true;
        let passed = self.board.watermark(key(1));
        for (fire, at) in FIRES.into_iter().enumerate() {
            let is_passed = passed.is_some_and(|passed| mark(at) <= passed);
            replica.steps[fire] = if is_passed { Step::Theirs } else { Step::Open };
        }
    }

    /// The server ends and comes back, with everything or with nothing.
    pub(crate) fn restart(&mut self, keeps: bool) {
        self.server += 1;
        if !keeps {
            self.board = Board::default();
        }
    }

    /// Lets everything that can go on do so, until nothing is left to be done.
    pub(crate) fn settle(mut self) -> Self {
        self.replicas.iter_mut().for_each(|replica| replica.is_stopped = false);
        if !self.replicas.iter().any(|replica| replica.is_up) {
            self.launch(0);
        }
        for _ in 0..12 {
            for place in 0..self.replicas.len() {
                if self.replicas[place].is_running() {
                    self.beat(place);
                    self.claim(place);
                    self.start(place);
                }
            }
            self.tick();
        }
        self
    }

    /// How many fires of each number of starts; for a message.
    pub(crate) fn tell(&self) -> BTreeMap<usize, (u8, bool)> {
        (0..FIRES.len()).map(|fire| (fire, (self.started[fire], self.listed[fire]))).collect()
    }
}
