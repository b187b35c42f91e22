//! Where state outlives the daemon: snapshots, watermarks, pauses, claims, runs and their output.
//!
//! Receives what the rooms above want kept, hands back what was kept before. Layer 5. One trait, [`Store`], and two
//! implementations: `sqlite`, a file, and `redis`, a server that replicas share. Everybody speaks to a store through a
//! [`Handle`], whose thread waits for it: a store that is slow or away holds up nobody but those who asked for an answer,
//! and those for no longer than they say. What a store returns is untrusted.

pub mod address;
pub mod claim;
mod conditions;
pub mod deposit;
mod error;
mod handle;
pub mod legacy;
pub mod open;
pub mod outbox;
mod packed;
mod pause;
mod queue;
pub mod record;
pub mod recovery;
pub mod redis;
pub mod seal;
pub mod sqlite;
pub mod state;
mod writer;

pub use address::Address;
pub use claim::{Beat, Claim, Generation, Lease, Peers, Permission, Start, Verdict};
pub use conditions::{Conditions, WhenDown};
pub use error::StoreError;
pub use handle::{Handle, NotedStart, Standing};
pub use open::open;
pub use outbox::{Done, Owned, Posted, Room, Waiting, Which};
pub use record::{Output, Page, Query, RunRecord};
pub use state::{JobState, Loaded, Mark, Owed};

use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;

use crate::event::RunId;
use crate::job::{JobId, JobKey};
use crate::schedule::Due;

/// The version of the keys in Redis that this program writes.
pub const SCHEMA: u32 = 2;

/// An answer that is on its way.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A place where state is kept, for one namespace.
///
/// Every call is one transaction: a kill at any point leaves the state before it or the state after it. A call may be
/// dropped at any time; what it asked for may have been done then. Nothing is tried twice: that is the caller's to decide.
pub trait Store: Send + Sync {
    /// What is kept of jobs, and the runs that have not been recorded as ended.
    fn load(&self) -> Reply<'_, Loaded>;

    /// The snapshot, as it was put.
    fn snapshot(&self) -> Reply<'_, Option<Versioned>>;

    /// The version of the last snapshot that was put, even if it was forgotten since; 0: there was none.
    fn snapshot_version(&self) -> Reply<'_, u64> {
        Box::pin(async { Ok(self.snapshot().await?.map_or(0, |found| found.version)) })
    }

    /// Replaces the snapshot, if its version is still `put.expected`.
    fn put_snapshot(&self, put: PutSnapshot) -> Reply<'_, Put>;

    /// Removes snapshot and base, and the rows for the Python service that were put with them; job states and runs stay.
    fn forget_snapshot(&self) -> Reply<'_, Forgotten>;

    /// The rows that the Python service caches, as it wrote them; none if there are none, or the store is not one that it
    /// shares.
    fn seed_rows(&self) -> Reply<'_, Option<Vec<u8>>>;

    /// The same, but none where they are those that were put with a snapshot last: what is there is the service's own.
    fn rows_of_others(&self) -> Reply<'_, Option<Vec<u8>>> {
        self.seed_rows()
    }

    /// Keeps all of these, or none.
    ///
    /// A watermark never goes back, whatever is written in which order; a record that has ended is not opened again.
    /// Instants are kept to the microsecond.
    fn write(&self, batch: Vec<Write>) -> Reply<'_, ()>;

    /// Asks for the exclusive right to fires, in one round trip; the verdicts stand in the order of the claims.
    fn claim(&self, lease: Lease, claims: Vec<Claim>) -> Reply<'_, Vec<Verdict>>;

    /// Records that runs are about to be started, moves their jobs' watermarks and settles what was owed of their dues, in
    /// one round trip; only those that are permitted may be. In the order of the starts.
    ///
    /// Where it was no instant of the job's own ([`Trigger::is_of_schedule`](crate::event::Trigger::is_of_schedule)) the
    /// watermark stays.
    fn start(&self, lease: Lease, starts: Vec<Start>) -> Reply<'_, Vec<Permission>>;

    /// Says that this replica lives, and hears which others do, and what dead ones left behind.
    fn beat(&self, beat: Beat) -> Reply<'_, Peers>;

    /// Makes sure that nothing up to these marks is claimed; never lowers anything. Answers whether the store's server had
    /// forgotten, in this life of it, what this or another replica asserted: then somebody's word, and no claim, may keep a mark
    /// from being claimed. A store that is not shared has nothing to do.
    fn assert_marks(&self, marks: Vec<(JobKey, Mark)>) -> Reply<'_, bool> {
        drop(marks);
        Box::pin(std::future::ready(Ok(false)))
    }

    /// Makes sure that the jobs are paused that were by the last answer to a [`Beat`] and what was written here since, where the
    /// store has lost its data; answers how many, none where it has not. Who was not answered is told so by the next answer.
    /// Whoever resumed one of them meanwhile is right where the store has not lost its data, or where others have
    /// found none for longer than [`claim::EXPIRY`]. A store that is not shared has nothing to do.
    fn pause_again(&self) -> Reply<'_, Option<usize>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Asks for a new clock generation after this one: the clock was set back so far that instants come again. A store that
    /// is not shared grants it; whoever asks keeps it in the marks.
    fn step_back(&self, lease: Lease, from: u64) -> Reply<'_, Generation> {
        drop(lease);
        Box::pin(std::future::ready(Ok(Generation::Opened(from + 1))))
    }

    /// Runs, newest first: by their ids, then by attempt. Their arrival is the one that the id tells, to the millisecond.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the cursor is none of ours.
    fn runs(&self, query: Query) -> Reply<'_, Page>;

    /// What a run printed, as far as it was kept.
    fn output(&self, run: RunId) -> Reply<'_, Option<Output>>;

    /// Keeps messages of `owner` for their broker, as long as there is room, each with what became of it, in their order.
    /// What is [`Posted::Kept`] outlives a kill.
    fn post(&self, owner: String, messages: Vec<Waiting>, room: Room) -> Reply<'_, Vec<Posted>>;

    /// Makes the messages of others those of `owner`, but for those of owners that are among `alive` or hold a lease; how
    /// many.
    fn adopt(&self, owner: String, alive: Vec<String>) -> Reply<'_, u64>;

    /// Messages that wait, in the order of their places; fewer than asked for where they are large.
    fn waiting(&self, which: Which) -> Reply<'_, Vec<Waiting>>;

    /// Messages that wait, whoever's, in the order of their places: those behind the place `after`, as many as the store
    /// hands out at once; none if there are no more. Changes nothing.
    fn everyones(&self, after: u64) -> Reply<'_, Vec<Owned>>;

    /// Keeps these messages no longer, whoever's they are.
    fn unpost(&self, done: Done) -> Reply<'_, ()>;

    /// Keeps these messages no longer ([`unpost`](Store::unpost)), then those of `owner` ([`post`](Store::post)); in one go,
    /// where that is cheaper. Where it fails, either may have been done.
    fn exchange(
        &self,
        done: Done,
        owner: String,
        messages: Vec<Waiting>,
        room: Room,
    ) -> Reply<'_, Vec<Posted>> {
        Box::pin(async move {
            // Both are on their way at once: nothing that is asked for later, once nobody waits for this, comes between them.
            let (left, posted) = tokio::join!(self.unpost(done), self.post(owner, messages, room));
            left.and(posted)
        })
    }

    /// What the Python service keeps for this job to be published; none where it has nothing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where the store is not one that it shares.
    fn seed_body(&self, job: JobId) -> Reply<'_, Option<Vec<u8>>>;

    /// Makes ready for a [`start`](Store::start) that comes in a moment: what it needs is read, nothing is changed.
    fn warm(&self) {}

    /// What is wrong with it though it answers, and takes what matters.
    fn strain(&self) -> Option<StoreError> {
        None
    }

    /// Where starts are noted before they are made, so that they need not wait until they are recorded; none where there is no
    /// such place, and before the store was asked for anything.
    fn logbook(&self) -> Option<Arc<sqlite::Logbook>> {
        None
    }

    /// How often it began anew while it was in use, as far as it notices itself: what was kept may be gone.
    fn rebirths(&self) -> u64 {
        0
    }

    /// Whether it holds memory that what it was just asked for has needed, and is to be let [`rest`](Store::rest).
    fn is_swollen(&self) -> bool {
        false
    }

    /// Gives back memory that only a busy store needs. Called when a while has passed without anything to do.
    fn rest(&self) {}
}

/// Tells somebody who looks after the daemon what a store has to say that is no answer: one sentence each.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// Bytes with the version under which they were put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// From 1; one more with each put.
    pub version: u64,
    /// As they were put.
    pub bytes: Vec<u8>,
}

/// What is left where a snapshot was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// The key of rows that the Python service has written itself, and that are recovered at the next start; none if there
    /// are none.
    pub theirs: Option<String>,
}

/// A snapshot to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSnapshot {
    /// The version that it replaces; 0 if there is to be none.
    pub expected: u64,
    /// The new version is greater than this one, too: that of a snapshot that the store has lost.
    pub after: u64,
    /// What is to be kept.
    pub bytes: Vec<u8>,
    /// The rows for the Python service, put in the same transaction where the store is one that it shares.
    pub seed_rows: Option<String>,
}

/// What became of putting a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is kept, under this version.
    Done(u64),
    /// Somebody else put one since: this one, or none if it was forgotten.
    Conflict(Option<Versioned>),
}

/// Something to be kept. Nobody waits for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// These jobs were first loaded, or got another schedule, then: nothing due at or before it is ever started.
    Since(Vec<JobKey>, Timestamp),
    /// Everything of the job up to and including this due is dealt with.
    Mark(JobKey, Mark),
    /// A claimed fire was dealt with and not started: its claim is given up, and everything up to it is dealt with. Unlike
    /// [`Write::Mark`], no later one makes it void.
    Release(JobKey, Mark),
    /// This due of the job is passed by its watermark and still to be dealt with.
    Owe(JobKey, Owed),
    /// An owed due was dealt with.
    Settle(JobKey, Due),
    /// The job starts nothing until it is resumed.
    Pause(JobKey),
    /// The pause ended.
    Resume(JobKey),
    /// A run, as it stands: started, ended, or a range of instants that were skipped or missed. Replaces what was
    /// recorded of the same run and attempt.
    Run(Arc<RunRecord>),
    /// What a run printed.
    Output(RunId, Output),
}
