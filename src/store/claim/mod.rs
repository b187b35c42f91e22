//! Claims: a replica's exclusive right to one fire.
//!
//! Pure: the rules ([`Board`]), which the scripts of `redis` carry out where the state is. A fire is claimed, then started;
//! each step is a compare-and-set that only one replica passes. A fire is known by job and [`Mark`] (clock generation,
//! instant, civil time), never by the time at which somebody asks: replicas' clocks may differ by seconds. What depends on
//! the time of asking (whether a lease has ended, whether a fire is too old to be taken over) is judged by the store's clock.
//!
//! # The protocol, step by step
//!
//! What a replica does that shares a store with others. `--local` uses [`Lease::local`], with which everything is granted and
//! nothing is compared; so does an embedded store with any lease.
//!
//! 1. **Join.** A [`Beat`] with `fencing` 0. The answer's `lease` is ours from now on; `alone` says that an answer less
//!    than [`EXPIRY`] old had `Peers::alone` (false at the first start). Before it, [`Store::assert_marks`](super::Store::assert_marks) with
//!    the last mark of each job that *this process* started or dealt with (nothing at the first start): a store that lost
//!    its data must not have them claimed again; and [`Store::pause_again`](super::Store::pause_again): nor must it have
//!    those run that are paused. Afterwards `Write::Run` once more for each run that is going.
//! 2. **Beat** every [`BEAT`], with an expiry of [`EXPIRY`]. If the answer's `fencing` is 0, or any answer is
//!    [`Verdict::Fenced`] or [`Permission::Fenced`], our lease has ended (we were stopped, or the store was): nothing that
//!    was granted may be started any more. Go to 1, then claim again what was granted and not started, and what is due.
//! 3. **Claim** a burst. What the verdicts ask of the gate:
//!    * `Granted`: hand it on. Whatever is then done with it, `start` or `Write::Mark` must follow; until then it is ours.
//!      A claim or start whose answer was lost may be asked for again; it is answered the same.
//!    * `Full`, `Paused`: record it as skipped; `Late`: record it as missed; then, in the same batch, `Write::Mark`, which
//!      gives the claim up. Nobody else lists it.
//!    * `Taken`: somebody started it, or dealt with it. Forget it. Where it had been granted to us before, under a lease that
//!      ended, and the store has lost its data since (what somebody asserted in step 1 was news to it), list it as missed.
//!    * `Belongs`: another live replica has claimed it and not yet started it, or has a run of the job going and decides.
//!      *Remember it*, and claim it again after each beat, and, oldest first, before a later fire of the same job. Past its
//!      grace claim it once more with `instances` none: `Granted` is recorded as missed; else forget it, for its owner lists
//!      it, or whoever finds it among the orphans. No `Write::Mark` for a fire that is not ours: it would take it away.
//!    * `Wait`: our lease is too young: others may not have asserted their marks yet. Claim again after that span. It is no
//!      longer than `EXPIRY`.
//! 4. **Start**: just before the processes of a burst are started, [`Store::start`](super::Store::start), awaited. Only
//!    `Granted` is started. `Taken`: another replica has it since our lease ended: forget it. Whose answer was lost may have
//!    been recorded: ask for the very same again, also under the next lease, until an answer is heard; `Granted` means that it
//!    is ours, whenever it was recorded.
//! 5. **End**: `Write::Run` with the end. No lease is asked: a run that was started ends, whoever holds what.
//! 6. **Orphans**: `Peers::orphans` are fires that a dead replica claimed and did not start. Claim them with their job's grace
//!    (a job that we do not know: grace zero): `Granted` is started, `Late` recorded as missed. `Peers::lost` are runs that a
//!    dead replica left going; they are ours from then on: if the process still lives on this host, `Write::Run` as
//!    going and ours, and wait for its end, else `Write::Run` as lost. Either says that we have heard of it: until then each beat tells it again, for answers get lost. An
//!    orphan or run that we take and do not deal with before we die is found again by the next.
//!    `Loaded::open` holds what any replica has going: only what `Peers::lost` names is to be closed.
//!    What is put off without being claimed (catch-up) is `Write::Owe`d *before* the `Write::Mark` that passes it: then it may
//!    be claimed afterwards, by any replica. What is claimed and put off stays claimed; `Owe` changes nothing about it.
//! 7. **A backward step of the clock**: [`Store::step_back`](super::Store::step_back). Alone, a new generation opens, and
//!    repeated instants are new fires. With other live replicas it does not: the repeats are claimed under the old generation,
//!    `Taken`, and reported as suppressed. `Peers::generation` is the one to use after each beat.
//! 8. **Leaving**: wait for what was granted to be started or given up, then a beat with `leaving`.
//!
//! Redis silent: no claim is made without it; `--when-store-down` says what then.
//!
//! # Why no fire is started twice
//!
//! `start` passes only while a claim of that very lease is recorded, and removes the record in the same step. A claim is
//! recorded only for a mark above the job's last claimed mark, or in the place of a record whose lease has ended. So between
//! a fire's first claim and its start there is exactly one record of it, and after the start none, for ever. That holds while
//! the store keeps what it was told. A store that restarts may have lost some of it: leases end with each restart
//! (the incarnation is part of them), and a new one may claim only when every replica that lived has had the time to assert
//! its marks.

mod board;
mod fire;

pub use board::{Board, HOST_FIRST, Heard, Moment};
pub use fire::{BadText, Fate, Fire};

use std::time::Duration;

use jiff::Timestamp;

use super::{Mark, RunRecord};
use crate::event::{RunId, Trigger};
use crate::job::JobKey;

/// How often a replica says that it lives.
pub const BEAT: Duration = Duration::from_secs(2);

/// How long it counts as alive after that.
pub const EXPIRY: Duration = Duration::from_secs(6);

/// A replica's right to act: what tells its earlier lives and late words from its present ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lease {
    /// The replica: host and a random part; another one with each start of the daemon. Letters, digits, `.`, `_`, `-`.
    pub replica: String,
    /// Grows with each lease that the store hands out; 0: none was handed out yet, or it has ended. With it nothing is
    /// granted by a store that is shared.
    pub fencing: u64,
}

impl Lease {
    /// The lease of a replica that starts everything, whatever others start.
    #[must_use]
    pub fn local(replica: String) -> Self {
        Lease { replica, fencing: u64::MAX }
    }

    /// Whether it is one that no store has handed out.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.fencing == u64::MAX
    }
}

/// A fire that a replica wants to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub key: JobKey,
    /// The fire: clock generation, instant, civil time.
    pub mark: Mark,
    /// Why it fires.
    pub trigger: Trigger,
    /// How late it may still be taken over.
    pub grace: Duration,
    /// Whether at most one run of the job is to be alive over all replicas, or how many; none: any number.
    pub instances: Option<u32>,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is ours to start.
    Granted,
    /// It was started or dealt with, or the job is past it.
    Taken,
    /// This replica has claimed it, or has a run of the job going and decides about it: to be asked again.
    Belongs(String),
    /// As many runs of the job are going over all replicas as may be: ours to record as skipped.
    Full,
    /// The job is paused: ours to record as skipped.
    Paused,
    /// It was a replica's that died, and its grace has passed: ours to record as missed.
    Late,
    /// Our lease is too young to claim: to be asked again after this.
    Wait(Duration),
    /// Our lease has ended.
    Fenced,
}

/// A run that is about to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The run.
    pub run: RunId,
    /// Which try, from 1; from 2 on no claim is asked for.
    pub attempt: u32,
    /// The job.
    pub key: JobKey,
    /// What people call the job.
    pub name: String,
    /// The fire.
    pub mark: Mark,
    /// Why it fires; a claim is asked for where it is schedule or catch-up; the watermark moves with these and
    /// with a reboot.
    pub trigger: Trigger,
    /// When it arrived.
    pub queued: Timestamp,
}

impl Start {
    /// Whether it carries out a claim: its first attempt, due by a schedule.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.attempt == 1 && matches!(self.trigger, Trigger::Schedule | Trigger::CatchUp)
    }

    /// Whether its mark is one of the job's own time line.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.trigger.is_of_schedule()
    }
}

/// Whether a run may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It may: the store knows of it.
    Granted,
    /// It is not claimed by us (any more).
    Taken,
    /// Our lease has ended: nothing may be started.
    Fenced,
}

/// A replica's sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beat {
    /// Who; with `fencing` 0 a new lease is asked for.
    pub lease: Lease,
    /// The host's name.
    pub host: String,
    /// What tells sets of jobs apart.
    pub jobs_hash: String,
    /// How many jobs there are.
    pub jobs: u64,
    /// The default zone.
    pub zone: String,
    /// How long it counts as alive without another.
    pub expiry: Duration,
    /// Whether an answer to this process that is younger than the expiry had [`Peers::alone`].
    pub alone: bool,
    /// Whether it is the last: the lease ends now.
    pub leaving: bool,
}

/// The replicas that live, and what those left behind that do not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Peers {
    /// Our lease, as it stands now; `fencing` 0 if it has ended.
    pub lease: Lease,
    /// The others.
    pub others: Vec<Beat>,
    /// Whether there are none, for sure: just after the store's return some may not have been heard of yet.
    pub alone: bool,
    /// Jobs that are paused.
    pub paused: Vec<JobKey>,
    /// Fires that a replica claimed that died before it started them.
    pub orphans: Vec<(JobKey, Mark)>,
    /// Runs that a replica left going that died; ours from now on, and told again until something is written of them.
    pub lost: Vec<RunRecord>,
    /// The clock generation.
    pub generation: u64,
}

/// What a backward step of the clock led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// A new generation: instants that come again are new fires.
    Opened(u64),
    /// The old one goes on, for other replicas live: instants that come again are not started again.
    Kept(u64),
}
