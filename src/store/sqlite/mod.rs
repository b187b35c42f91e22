//! A store in a file, or in memory, by SQLite.
//!
//! The file has one owner, a daemon, and any number of readers beside it. Opened when it is first asked for something, and
//! again after anything went wrong that another try may mend: a disk that comes back, a file that was removed. The schema,
//! its versions and bounds are in `docs/store.md`.

mod change;
mod dispatched;
mod error;
mod job;
mod logbook;
mod orders;
mod outbox;
mod page;
mod place;
mod prepared;
mod reader;
mod run;
mod salvage;
mod schema;
mod snapshot;
mod space;
mod start;
mod trim;
mod value;

pub use dispatched::{Asking, Dispatched, Leave};
pub use logbook::Logbook;
pub use orders::{Known, Orders, REMEMBERED};
pub use place::{lock, target};
pub use schema::{VERSION, VERSION_1, VERSION_2, VERSION_3};
pub use trim::Bounds;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use self::error::{SqlResult as _, of_file};
use self::place::{Late, PlaceError};
use self::prepared::Prepared;
use self::run::Tally;
use self::schema::Found;
use self::space::Space;
use self::trim::Trim;
use super::open::{Access, Opening};
use super::pause::Pauses;
use super::{
    Address, Beat, Claim, Done, Forgotten, Lease, Loaded, Output, Owned, Page, Peers, Permission,
    Posted, Put, PutSnapshot, Query, Reply, Room, Start, Store, StoreError, Tell, Verdict,
    Versioned, Waiting, Which, Write,
};
use crate::clock::Clock;
use crate::event::RunId;
use crate::job::JobId;

/// How long another process may have the file locked.
const BUSY: Duration = Duration::from_millis(250);
/// Statements that are kept prepared.
const STATEMENTS: usize = 32;
/// No database is shorter, unless it is empty.
const HEADER: u64 = 512;
/// What the owner's is told: a kill of the process loses nothing, a power cut the last moments at most.
const OWNER: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304;";
/// What a burst of runs and messages changes fits into the owner's cache, which is given back after it.
const BURST: &str = "PRAGMA cache_size = -16384;";

/// A store in a file or in memory.
pub struct Sqlite {
    /// None: memory.
    path: Option<PathBuf>,
    namespace: String,
    access: Access,
    clock: Arc<dyn Clock>,
    tell: Tell,
    bounds: Bounds,
    state: Mutex<State>,
    rebirths: AtomicU64,
    /// Where starts are noted; none as long as the file was never opened to be written, and where there is none.
    logbook: OnceLock<Option<Arc<Logbook>>>,
    /// Its lock, if it is not locked by whoever opens it.
    late: Option<Late>,
    pauses: Pauses,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// The file made no sense when it was used last.
    is_broken: bool,
    /// There is no file that could be written, so there will be none.
    in_memory: bool,
    trim: Trim,
    space: Space,
}

struct Open {
    connection: Connection,
    /// Of the file, to notice that it was removed.
    identity: Option<(u64, u64)>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Sqlite {
    /// A store with the usual bounds; nothing is opened yet.
    #[must_use]
    pub fn new(opening: Opening) -> Self {
        Sqlite::with_bounds(opening, Bounds::default())
    }

    /// A store with these bounds; nothing is opened yet.
    #[must_use]
    pub fn with_bounds(opening: Opening, bounds: Bounds) -> Self {
        let Opening { address, namespace, access, clock, tell } = opening;
        let path = match address {
            Address::Sqlite(path) => Some(path),
            _ => None,
        };
        let (state, rebirths) = (Mutex::default(), AtomicU64::new(0));
        let (logbook, pauses) = (OnceLock::new(), Pauses::default());
        Sqlite {
            path,
            namespace,
            access,
            clock,
            tell,
            bounds,
            state,
            rebirths,
            logbook,
            late: None,
            pauses,
        }
    }

    /// Locks the file when it is opened first, for as long as this lives: it could not be before.
    #[must_use]
    pub fn locking(mut self) -> Self {
        self.late = Some(Late::default());
        self
    }

    /// Uses the connection, which is opened first if need be.
    fn with<T>(
        &self,
        call: impl FnOnce(&mut Connection, &mut Trim) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let path = self.path.as_deref().filter(|_| !state.in_memory);
        if let (Some(path), Some(open)) = (path, &state.open)
            && open.identity.is_some()
            && open.identity != place::identity(path)
        {
            // What is written to a file without a name is lost.
            state.open = None;
            self.rebirths.fetch_add(1, Ordering::Relaxed);
            if self.access != Access::Read {
                (self.tell)(format!(
                    "{} was removed or replaced: it is opened anew",
                    path.display()
                ));
            }
        }
        let open = if let Some(open) = &mut state.open {
            open
        } else {
            let open = self.open(&mut state.is_broken, &mut state.in_memory)?;
            if let (Some(path), true) =
                (path, open.identity.is_some() && self.access != Access::Read)
            {
                state.space.begin(&open.connection, path);
            }
            state.open.insert(open)
        };
        let answer = call(&mut open.connection, &mut state.trim);
        let Some(path) = self.path.as_deref().filter(|_| !state.in_memory) else { return answer };
        if let Err(error) = &answer {
            match error {
                StoreError::Corrupt(_) => {
                    state.is_broken = true;
                    state.open = None;
                }
                StoreError::Down(_) => state.open = None,
                StoreError::Full(_) | StoreError::Refused(_) | StoreError::Newer { .. } => {}
            }
        }
        answer.map_err(|error| of_file(error, path))
    }

    fn open(&self, is_broken: &mut bool, in_memory: &mut bool) -> Result<Open, StoreError> {
        let Some(path) = self.path.as_deref().filter(|_| !*in_memory) else {
            return self.open_memory();
        };
        if self.access == Access::Read {
            return self.open_to_read(path).map_err(|error| of_file(error, path));
        }
        let named = path;
        let real = match place::make(path, self.access == Access::Default) {
            Ok(real) => real,
            Err(PlaceError::Unwritable(error)) if self.access == Access::Default => {
                (self.tell)(format!(
                    "{} cannot be written ({error}): state is kept in memory and ends with the daemon; \
                     --state-dir or --store names another place",
                    path.display()
                ));
                *in_memory = true;
                return self.open_memory();
            }
            Err(error) => return Err(StoreError::Down(format!("{}: {error}", path.display()))),
        };
        let path = &*real;
        if let Some(late) = &self.late {
            late.take(path).map_err(|error| of_file(error, named))?;
        }
        let mut answer = if *is_broken {
            Err(StoreError::Corrupt("it made no sense when it was used last".to_owned()))
        } else {
            self.open_file(path)
        };
        if let Err(StoreError::Corrupt(reason)) = &answer {
            self.rebirths.fetch_add(1, Ordering::Relaxed);
            answer = self.begin_anew(path, reason);
        }
        *is_broken = false;
        if let (Ok(_), Some(mode)) = (&answer, place::open_to_others(path)) {
            (self.tell)(format!(
                "{} can be read by others than its owner (mode {mode:04o}): it is left as it is",
                path.display()
            ));
        }
        let mut open = answer.map_err(|error| of_file(error, named))?;
        if self.logbook.get().is_none() {
            let mut logbook = self.open_logbook(&mut open, path);
            if let Err(StoreError::Corrupt(reason)) = &logbook {
                drop(open);
                self.rebirths.fetch_add(1, Ordering::Relaxed);
                open = self.begin_anew(path, reason).map_err(|error| of_file(error, named))?;
                logbook = self.open_logbook(&mut open, path);
            }
            match logbook {
                // Nobody else opens it: the state is locked.
                Ok(logbook) => drop(self.logbook.set(logbook)),
                // What is noted there is looked at when the database is opened next.
                Err(error) => (self.tell)(format!(
                    "starts that were noted cannot be recorded: {}",
                    of_file(error, named)
                )),
            }
        }
        Ok(open)
    }

    fn open_memory(&self) -> Result<Open, StoreError> {
        let mut connection = Connection::open_in_memory().told()?;
        self.prepare(&mut connection)?;
        Ok(Open { connection, identity: None })
    }

    fn open_file(&self, path: &Path) -> Result<Open, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut connection = Connection::open_with_flags(path, flags).told()?;
        connection.busy_timeout(BUSY).told()?;
        // Of another program's, or a newer one, nothing is changed, its journal neither.
        let found = schema::inspect(&connection)?;
        // SQLite would take what is shorter than its header for nothing, and write over it.
        let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if found == Found::Empty && (1..HEADER).contains(&size) {
            return Err(StoreError::Corrupt("file is not a database".to_owned()));
        }
        if found == Found::Empty {
            // There is nothing yet that a power cut could cost, and the first start need not wait for the disk.
            connection.execute_batch("PRAGMA synchronous = OFF").told()?;
            connection.execute_batch("PRAGMA journal_mode = WAL").told()?;
            self.prepare(&mut connection)?;
        }
        connection.execute_batch(OWNER).told()?;
        self.prepare(&mut connection)?;
        connection.execute_batch(BURST).told()?;
        Ok(Open { connection, identity: place::identity(path) })
    }

    fn prepare(&self, connection: &mut Connection) -> Result<(), StoreError> {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        place::set_up(connection).told()?;
        schema::migrate(connection)?;
        if self.kept_namespace(connection)?.is_none() {
            let sql = "INSERT INTO meta VALUES ('namespace', ?1)";
            connection.execute(sql, [&self.namespace]).told()?;
        }
        Ok(())
    }

    /// The namespace that is written there, if it is ours.
    fn kept_namespace(&self, connection: &Connection) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM meta WHERE name = 'namespace'";
        let kept: Option<String> =
            connection.query_row(sql, [], |row| row.get(0)).optional().told()?;
        match kept {
            Some(other) if other != self.namespace => Err(StoreError::Refused(format!(
                "it is of namespace {other}, not {}: each namespace has a file of its own",
                self.namespace
            ))),
            kept => Ok(kept),
        }
    }
}

/// An answer that is there already.
fn now<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Reply<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl Store for Sqlite {
    fn load(&self) -> Reply<'_, Loaded> {
        now(self.with(|connection, _| job::load(connection, &self.pauses)))
    }

    fn snapshot(&self) -> Reply<'_, Option<Versioned>> {
        now(self.with(|connection, _| snapshot::get(connection)))
    }

    fn snapshot_version(&self) -> Reply<'_, u64> {
        now(self.with(|connection, _| snapshot::version(connection)))
    }

    fn put_snapshot(&self, put: PutSnapshot) -> Reply<'_, Put> {
        now(self.change(|connection, _| snapshot::put(connection, &put)))
    }

    fn forget_snapshot(&self) -> Reply<'_, Forgotten> {
        now(self.change(|connection, _| snapshot::forget(connection)))
    }

    fn seed_rows(&self) -> Reply<'_, Option<Vec<u8>>> {
        now(Ok(None))
    }

    fn write(&self, batch: Vec<Write>) -> Reply<'_, ()> {
        let kept = self.keep(&batch);
        if kept.is_ok() {
            self.look_at_space();
        }
        now(kept)
    }

    /// Grants all: the file has one owner.
    fn claim(&self, _: Lease, claims: Vec<Claim>) -> Reply<'_, Vec<Verdict>> {
        now(Ok(vec![Verdict::Granted; claims.len()]))
    }

    fn start(&self, lease: Lease, starts: Vec<Start>) -> Reply<'_, Vec<Permission>> {
        let at = self.clock.now();
        let checkpoint = |pages: i64| {
            move |connection: &mut Connection| {
                connection.pragma_update(None, "wal_autocheckpoint", pages).told()
            }
        };
        // What waits for the disk is left to the next write: this is the way of a fire.
        let started = self.with(|connection, _| checkpoint(0)(connection)).and_then(|()| {
            self.change(|connection, _| {
                let before = Tally::read(connection)?;
                let mut tally = before;
                let mut prepared = Prepared::new(connection);
                for start in &starts {
                    start::put(&mut prepared, start, &lease.replica, at, &mut tally)?;
                }
                tally.write(connection, before)
            })
        });
        let after = self.with(|connection, _| checkpoint(CHECKPOINT)(connection));
        now(started.and(after).map(|()| vec![Permission::Granted; starts.len()]))
    }

    fn beat(&self, beat: Beat) -> Reply<'_, Peers> {
        now(self.with(|connection, _| {
            let paused = job::paused(connection, &self.pauses)?;
            // A lease that nobody else could have needs no number.
            Ok(Peers { lease: beat.lease, paused, ..Peers::default() })
        }))
    }

    fn runs(&self, query: Query) -> Reply<'_, Page> {
        // As it is at one moment: beside a daemon, what was found may be gone before it is read.
        now(self.with(|connection, _| page::page(&*connection.transaction().told()?, &query)))
    }

    fn output(&self, run: RunId) -> Reply<'_, Option<Output>> {
        now(self.with(|connection, _| run::output(connection, run)))
    }

    fn post(&self, owner: String, messages: Vec<Waiting>, room: Room) -> Reply<'_, Vec<Posted>> {
        let at = self.clock.now();
        now(self.change(|connection, _| outbox::post(connection, &owner, &messages, room, at)))
    }

    fn adopt(&self, owner: String, alive: Vec<String>) -> Reply<'_, u64> {
        now(self.change(|connection, _| outbox::adopt(connection, &owner, &alive)))
    }

    fn waiting(&self, which: Which) -> Reply<'_, Vec<Waiting>> {
        now(self.with(|connection, _| outbox::waiting(connection, &which)))
    }

    fn everyones(&self, after: u64) -> Reply<'_, Vec<Owned>> {
        now(self.with(|connection, _| outbox::everyones(connection, after)))
    }

    fn unpost(&self, done: Done) -> Reply<'_, ()> {
        let at = self.clock.now();
        now(self.change(|connection, _| outbox::unpost(connection, &done, at)))
    }

    fn exchange(
        &self,
        done: Done,
        owner: String,
        messages: Vec<Waiting>,
        room: Room,
    ) -> Reply<'_, Vec<Posted>> {
        let at = self.clock.now();
        now(self.change(|connection, _| {
            outbox::unpost(connection, &done, at)?;
            outbox::post(connection, &owner, &messages, room, at)
        }))
    }

    fn seed_body(&self, _: JobId) -> Reply<'_, Option<Vec<u8>>> {
        now(Err(StoreError::Refused(
            "only a Redis that the Python service shares has bodies for jobs: write the body behind %, or as an \
             argument, or name that Redis by --store"
                .to_owned(),
        )))
    }

    /// Goes through a start of a job that there is not, and takes it back.
    fn warm(&self) {
        let at = self.clock.now();
        let start = start::of_nothing(at);
        // Whatever is wrong will be told of the start.
        let _ = self.with(|connection, _| {
            let Ok(transaction) =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)
            else {
                return Ok(());
            };
            let mut tally = Tally::read(&transaction).unwrap_or_default();
            let _ = start::put(&mut Prepared::new(&transaction), &start, "", at, &mut tally);
            Ok(())
        });
    }

    fn strain(&self) -> Option<StoreError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = state.space.trouble()?;
        Some(self.path.as_deref().map_or(trouble.clone(), |path| of_file(trouble, path)))
    }

    fn logbook(&self) -> Option<Arc<Logbook>> {
        self.logbook.get().cloned().flatten()
    }

    fn rebirths(&self) -> u64 {
        self.rebirths.load(Ordering::Relaxed)
    }

    fn rest(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &mut state.open {
            open.connection.flush_prepared_statement_cache();
            // What does not shrink stays as it is.
            let _ = open.connection.execute_batch("PRAGMA shrink_memory");
        }
    }
}

/// Pages in the log of changes from which on a write moves them to the database; SQLite's own choice.
const CHECKPOINT: i64 = 1_000;
