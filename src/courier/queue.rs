//! The name of the queue where workers report: kept in the state directory, so that it is the same after a restart.

use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::event::{Bus, Event};
use crate::message::refusal::PREFIX;
use crate::outbox::Gate;

/// The file in the state directory that holds the queue's name.
const FILE: &str = "reply-queue";

/// The queue where workers report, by its name. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct ReportQueue {
    name: Arc<str>,
    /// Whether an earlier life of this daemon has used it.
    is_old: bool,
    /// Whether it is there, and read.
    is_open: watch::Sender<bool>,
}

impl ReportQueue {
    /// The queue whose name stands in `folder`, or a new one whose name is kept there, where that can be.
    #[must_use]
    pub fn of(folder: &Path, bus: &Bus) -> Self {
        let (name, is_old) = match kept(folder) {
            Some(name) => (name, true),
            None => (make(folder, bus), false),
        };
        ReportQueue { name: name.into(), is_old, is_open: watch::Sender::new(false) }
    }

    /// Holds orders back while the queue is not there: what is reported before is lost.
    #[must_use]
    pub fn gate(&self) -> Gate {
        Gate { queue: self.name.to_string(), is_open: self.is_open.subscribe() }
    }

    /// The queue's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether an earlier life of this daemon has used it.
    pub(super) fn is_old(&self) -> bool {
        self.is_old
    }

    /// It is there and read, or it may not be.
    pub(super) fn open(&self, is_open: bool) {
        self.is_open.send_if_modified(|was| std::mem::replace(was, is_open) != is_open);
    }
}

/// The name that was given to the queue earlier.
fn kept(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join(FILE)).ok()?;
    let name = text.trim_end();
    let rest = name.strip_prefix(PREFIX)?;
    let is_name =
        !rest.is_empty() && rest.len() < 100 && rest.bytes().all(|it| it.is_ascii_alphanumeric());
    is_name.then(|| name.to_owned())
}

/// Gives the queue a name, and keeps it where that can be.
fn make(folder: &Path, bus: &Bus) -> String {
    let keys = RandomState::new();
    let name = format!("{PREFIX}{:016x}{:016x}", keys.hash_one(0), keys.hash_one(1));
    if let Err(error) = keep(folder, &name) {
        let text = format!(
            "{}: {error}: what workers report while this daemon is away is lost",
            folder.join(FILE).display()
        );
        bus.publish(Event::Notice { file: None, text, warning: true });
    }
    name
}

fn keep(folder: &Path, name: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut options = File::options();
    let path = folder.join(FILE);
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{name}")
}
