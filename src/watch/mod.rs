//! Notices that a crontab was edited, and hands on its new text.
//!
//! Receives paths and requests to look at once; hands on [`Change`]s through a channel: the text of what changed, and
//! [`Notice`]s. Layer 5. It reads files and never judges what stands in them; it never writes, and never blocks on
//! what it opens.
//!
//! How an edit is noticed:
//! - inotify (crate `notify`) on the file, on the directory of its path and of every symbolic link on the way;
//!   where something is missing, on the nearest directory that exists. Armed first, then read; armed anew whenever a
//!   name comes to mean another file.
//! - Beside it, always, a look at the stamps (device, inode, size, times) every 15 s. Where inotify is not to be had,
//!   or does not see what others write, every second.
//! - A change is looked at 100 ms after its last event; while a writer has the file open, after a second without
//!   one; at the latest 5 s after the first. Other files in the same directories are not even woken up for.
//! - Text is handed on when two reads are equal and it differs from what was handed on before. An empty file must stay
//!   empty for 2 s. A file that cannot be had keeps its last version.
//!
//! `debounce`, `poll`, `source` and `mount` decide without a clock or a file; `path`, `read` and `inotify` touch the
//! system; `actor` ties them together.
mod actor;
mod debounce;
mod fingerprint;
mod inotify;
mod mount;
mod notice;
mod path;
mod poll;
mod read;
mod source;
mod timer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use self::actor::Actor;
use self::source::Source;

pub use self::fingerprint::{Fingerprint, Stamp};
pub use self::notice::{Cause, Notice, Trouble};
pub use self::read::MOST_BYTES;

/// What was seen, in one step.
#[derive(Debug)]
#[non_exhaustive]
pub struct Change {
    /// Why it is handed on.
    pub occasion: Occasion,
    /// What the administrator should know; to be told before the texts are taken over.
    pub notices: Vec<Notice>,
    /// The files whose text differs from what was last handed on: the place of the path in the list that was given,
    /// and the whole text. In the order given.
    pub texts: Vec<(usize, Vec<u8>)>,
    /// How each of the texts was found, in the same order.
    pub fingerprints: Vec<Fingerprint>,
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

/// Named files that are being watched, until this is dropped.
#[derive(Debug)]
pub struct Watcher {
    changes: mpsc::Receiver<Change>,
    shared: Arc<Shared>,
}

/// What passes between the watcher and its task beside the channel.
#[derive(Debug, Default)]
struct Shared {
    reload: Notify,
    looks: AtomicU64,
}

impl Watcher {
    /// Watches `files`, given as typed; relative ones are relative to the current directory of this moment. None of
    /// them needs to exist. To be called within a tokio runtime that drives time and I/O.
    pub fn start(files: Vec<PathBuf>) -> Result<Watcher, Error> {
        Watcher::start_with(files, poll::SLOW)
    }

    /// Like [`start`](Self::start), with another interval than 15 s at which the files are looked at unasked, and
    /// inotify is tried again where it failed.
    pub fn start_with(files: Vec<PathBuf>, interval: Duration) -> Result<Watcher, Error> {
        let sources: Result<Vec<Source>, Error> = files
            .into_iter()
            .enumerate()
            .map(|(index, typed)| match std::path::absolute(&typed) {
                Ok(absolute) => Ok(Source::new(index, typed.into(), absolute)),
                Err(source) => Err(Error::Locate { path: typed, source }),
            })
            .collect();
        let shared = Arc::<Shared>::default();
        let actor = Actor::new(sources?, Arc::clone(&shared), interval);
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
    /// [`Occasion::Reload`] whose look began after the call; calls close together share one.
    pub fn reload(&self) {
        self.shared.reload.notify_one();
    }

    /// How often the files were looked at so far, for whatever reason.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.shared.looks.load(Ordering::Relaxed)
    }
}
