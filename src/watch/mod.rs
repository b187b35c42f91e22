//! Notices that a crontab was edited, and hands on its new text.
//!
//! Receives [`Place`]s (files, or directories of files) and requests to look at once; hands on [`Change`]s through a
//! channel: the text of what changed, and [`Notice`]s. Layer 5. It reads files, judges whose they are and never what
//! stands in them; it never writes, and never blocks on what it opens. What it asks of the file system it asks on a
//! thread beside, so that a server that does not answer holds up nothing else.
//!
//! How an edit is noticed:
//! - inotify (crate `notify`) on the file, on the directory of its path and of every symbolic link on the way;
//!   where something is missing, on the nearest directory that exists; of a directory of crontabs on itself. Armed first, then read; armed anew whenever a
//!   name comes to mean another file.
//! - Beside it, always, a look at the stamps (device, inode, size, times) every 20 s. Where inotify is not to be had,
//!   or does not see what others write, every second.
//! - A change is looked at 100 ms after its last event; while a writer has the file open, after a second without
//!   one; at the latest 5 s after the first. Other files in the same directories are not even woken up for.
//! - Text is handed on when two reads are equal and it differs from what was handed on before. An empty file must stay
//!   empty for 2 s. A file that was named, and /etc/crontab, keeps its last version when it cannot be had. A file that
//!   disappears from a directory is gone after 1 s, one that was renamed at once; one that may not be taken any more is withdrawn at once.
//! - Files of directories are opened by the directory's descriptor and judged once they are open; in a spool, never
//!   through a symbolic link.
//!
//! `debounce`, `poll`, `name`, `trust`, `source` and `mount` decide without a clock or a file; `path`, `folder`, `read`
//! and `inotify` touch the system; `site` knows a place and its files, `field` all of them; `actor` waits and hands on.
mod actor;
mod debounce;
mod field;
mod fingerprint;
mod folder;
mod inotify;
mod mount;
mod name;
mod notice;
mod path;
mod place;
mod poll;
mod read;
mod site;
mod source;
mod survey;
mod timer;
mod trust;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::sync::{Notify, mpsc};

use self::actor::Actor;
use self::field::Field;
use self::site::Site;

pub use self::fingerprint::{Fingerprint, Stamp, content_hash};
pub use self::mount::mount_points;
pub use self::name::Passed;
pub use self::notice::{Cause, Notice, Trouble};
pub use self::place::{Names, Place, Shape, Trust};
pub use self::read::MOST_BYTES;
pub use self::survey::{Surveyed, read_once, survey};
pub use self::trust::{Refusal, Remark};

/// What was seen, in one step.
#[derive(Debug)]
#[non_exhaustive]
pub struct Change {
    /// Why it is handed on.
    pub occasion: Occasion,
    /// How many calls of [`Watcher::reload`] this change and those before it answer.
    pub reloads: u64,
    /// What the administrator should know; to be told before the texts are taken over.
    pub notices: Vec<Notice>,
    /// The files whose text differs from what was last handed on. In the order of the places given; in a directory by
    /// name, what disappeared from it last.
    pub edits: Vec<Edit>,
}

/// What became of one file.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The place it was found at, in the list that was given.
    pub place: usize,
    /// Its path: of a place as typed, of a file in it with its name added.
    pub path: Arc<Path>,
    /// Its whole text; none if what was handed on or told of it holds no longer, but for a notice that comes with it.
    pub text: Option<Text>,
}

/// The content of a file.
#[derive(Debug, Clone)]
pub struct Text {
    /// All of it.
    pub bytes: Vec<u8>,
    /// How it was found.
    pub fingerprint: Fingerprint,
}

impl Text {
    /// A text that stands in no file.
    #[must_use]
    pub fn of(bytes: Vec<u8>) -> Self {
        let stamp = Stamp { dev: 0, ino: 0, size: 0, mtime_ns: 0, ctime_ns: 0 };
        Text { fingerprint: Fingerprint::of(stamp, &bytes), bytes }
    }
}

impl From<read::Text> for Text {
    fn from(text: read::Text) -> Self {
        Text { bytes: text.bytes, fingerprint: text.fingerprint }
    }
}

/// Why a change is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// The first of all: the text of every file that can be read, perhaps of none.
    Start,
    /// Text changed.
    Edit,
    /// It was asked for by [`Watcher::reload`]; perhaps nothing changed.
    Reload,
    /// There are notices, and no text.
    Notice,
}

/// Why files cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be told where a path as typed leads: it is empty, or the current directory is gone.
    #[error("cannot tell where `{}` is", path.display())]
    Locate {
        /// The path as typed.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Places that are being watched, until this is dropped.
#[derive(Debug)]
pub struct Watcher {
    changes: mpsc::Receiver<Change>,
    shared: Arc<Shared>,
}

/// What passes between the watcher and its task beside the channel.
#[derive(Debug, Default)]
struct Shared {
    reload: Notify,
    /// How often it was asked for.
    reloads: AtomicU64,
    looks: AtomicU64,
}

impl Watcher {
    /// Watches `places`, given as typed; relative ones are relative to the current directory of this moment. None of
    /// them needs to exist. To be called within a tokio runtime that drives time and I/O.
    pub fn start<P: Into<Place>>(places: impl IntoIterator<Item = P>) -> Result<Watcher, Error> {
        Watcher::start_with(places, poll::SLOW)
    }

    /// Like [`start`](Self::start), just after a text was put into a file as a whole, whose [`content_hash`] this is: a file
    /// that holds it need not be read twice before it is handed on.
    pub fn start_after<P: Into<Place>>(
        places: impl IntoIterator<Item = P>,
        written: Option<u64>,
    ) -> Result<Watcher, Error> {
        Watcher::begin(places, poll::SLOW, written)
    }

    /// Like [`start`](Self::start), with another interval than 20 s at which the files are looked at unasked, and
    /// inotify is tried again where it failed.
    pub fn start_with<P: Into<Place>>(
        places: impl IntoIterator<Item = P>,
        interval: Duration,
    ) -> Result<Watcher, Error> {
        Watcher::begin(places, interval, None)
    }

    fn begin<P: Into<Place>>(
        places: impl IntoIterator<Item = P>,
        interval: Duration,
        written: Option<u64>,
    ) -> Result<Watcher, Error> {
        let us = geteuid().as_raw();
        let site = |(index, place): (usize, P)| {
            let place: Place = place.into();
            match std::path::absolute(&place.path) {
                Ok(absolute) => Ok(Site::new(index, place, absolute, us)),
                Err(source) => Err(Error::Locate { path: place.path, source }),
            }
        };
        let sites: Result<Vec<Site>, Error> = places.into_iter().enumerate().map(site).collect();
        let shared = Arc::<Shared>::default();
        let signal = Arc::default();
        let field = Field::new(sites?, Arc::clone(&signal));
        let actor = Actor::new(field, signal, Arc::clone(&shared), interval, written);
        // One is enough: while it waits to be taken, what happens gathers in the files.
        let (sender, changes) = mpsc::channel(1);
        tokio::spawn(actor.run(sender));
        Ok(Watcher { changes, shared })
    }

    /// The next change. The first comes at once, or, if a file keeps changing, within 5 s. Loses nothing when it is
    /// dropped unfinished, nor when it is called late. `None` only if the watch has failed.
    pub async fn next(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// Asks for a look at every file now, without waiting for quiet. Each call is followed by a change with
    /// [`Occasion::Reload`] whose look began after the call; calls close together share one. Gives the number of calls so
    /// far, this one included: what [`Change::reloads`] is then, or more.
    #[expect(clippy::must_use_candidate, reason = "who does not wait for it need not know")]
    pub fn reload(&self) -> u64 {
        let reloads = self.shared.reloads.fetch_add(1, Ordering::AcqRel) + 1;
        self.shared.reload.notify_one();
        reloads
    }

    /// How often the files were looked at so far, for whatever reason.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.shared.looks.load(Ordering::Relaxed)
    }
}
