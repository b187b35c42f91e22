//! Claims: a replica's exclusive right to one fire.
//!
//! Pure: the rules, which the scripts of `redis` carry out where the state is. A fire is claimed, then started; each step
//! is a compare-and-set that only one replica passes.

use std::time::Duration;

use jiff::Timestamp;

use super::Mark;
use crate::event::{RunId, Trigger};
use crate::job::JobKey;

/// A replica's right to act: what tells its earlier lives and late words from its present ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease {
    /// The replica: host and a random part; another one with each start of the daemon.
    pub replica: String,
    /// Grows with each lease that the store hands out; 0: none was handed out yet.
    pub fencing: u64,
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
    /// Another replica has it, or the job is past it.
    Taken,
    /// This replica has a run of the job going, and decides about the fire.
    Belongs(String),
    /// The job is paused.
    Paused,
    /// Our lease has ended.
    Fenced,
}

/// A run that is about to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The run.
    pub run: RunId,
    /// Which try, from 1.
    pub attempt: u32,
    /// The job.
    pub key: JobKey,
    /// What people call the job.
    pub name: String,
    /// The fire.
    pub mark: Mark,
    /// Why it fires.
    pub trigger: Trigger,
    /// When it arrived.
    pub queued: Timestamp,
}

/// Whether a run may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It may: the store knows of it.
    Granted,
    /// Another replica has taken the fire over.
    Taken,
    /// Our lease has ended: nothing may be started.
    Fenced,
}

/// A replica's sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// Who.
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
}

/// The replicas that live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peers {
    /// Our lease, as it stands now.
    pub lease: Lease,
    /// The others.
    pub others: Vec<Beat>,
    /// Jobs that are paused.
    pub paused: Vec<JobKey>,
}
