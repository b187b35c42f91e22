//! Recovery: crontabs that were edited in an earlier container come back from the store, and what is accepted is kept there.
//!
//! Receives what was accepted ([`Recovery::offer`]), hands on the texts that could not be written ([`Recovery::next`]).
//! Order at the start: recover, watch, schedule; the store is asked within a span, and where it does not answer, all starts
//! from the files, and this is done when it does.
//!
//! What may be cut off at any point, and what is found then:
//! 1. The marker is made before a store is told anything: it tells what the container brought along. The crontab is in force
//!    by then if nothing is to be written into it.
//! 2. The crontab is replaced: before, the marker says with what. Merged again, nothing changes; what is edited meanwhile is
//!    told from it.
//! 3. What was accepted is put into the store, if it is large once it is in force: the container is one of those whose file
//!    equals it.
//! 4. The marker takes it as what both last said.
//!
//! What the store holds and is refused stays there untouched until somebody decides; what it has lost while we live is put
//! there again ([`Last`](last::Last)).

mod actor;
mod case;
mod fault;
mod folder;
mod found;
mod keep;
mod last;
mod marker;
mod memory;
mod newest;
mod site;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::actor::Actor;
use self::memory::{FromMemory, Memory};
use super::reading::Ahead;
use super::reload::Reload;
use super::standing::Key;
use crate::config::Config;
use crate::event::Bus;
use crate::store::Handle;
use crate::watch::{Change, Occasion, content_hash};

/// How long the start waits for a recovery, whatever holds it up.
const LONGEST: Duration = Duration::from_secs(8);

/// How long the last put may take at the end.
const LAST_PUT: Duration = Duration::from_secs(1);

/// Why the daemon is not in full order, in words.
pub(super) type Concerns = Arc<[String]>;

/// What was accepted of a crontab.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Accepted {
    /// What the file says; none if it is gone.
    text: Option<Vec<u8>>,
    /// With which text that is to be compared to tell what was edited, if not with what its marker says.
    before: Option<Vec<u8>>,
    /// Whether something else is in force, from memory.
    is_from_memory: bool,
}

/// What was accepted in one step.
#[derive(Debug)]
struct Batch {
    /// The recovery that it follows: what was accepted before one is no news after it, which has read the files itself.
    after: u64,
    accepted: Vec<(Key, Accepted)>,
}

/// What a recovery came to.
#[derive(Debug, Default)]
struct Recovered {
    /// Which, from 1; 0: none was possible yet.
    number: u64,
    from_memory: Vec<FromMemory>,
    /// Hashes of the texts that are kept already, and need not be offered.
    kept: HashMap<Key, u64>,
    written: Option<Written>,
}

/// The first crontab that was written, or was to be: its text is about to be in force.
#[derive(Debug)]
pub(super) struct Written {
    /// The hash of the text, if it was written.
    pub(super) hash: Option<u64>,
    /// The crontab, being read; none if it is small.
    pub(super) ahead: Option<Ahead>,
}

/// Speaks to the task that recovers and keeps crontabs.
pub(super) struct Recovery {
    accepted: mpsc::UnboundedSender<Batch>,
    /// The last recovery that was heard of.
    number: u64,
    keeping: JoinHandle<()>,
    recovered: mpsc::UnboundedReceiver<Recovered>,
    /// Hashes of what was offered, or was kept before.
    offered: HashMap<Key, u64>,
    written: Option<Written>,
    memory: Memory,
    /// Whether the watch has handed on its first change.
    is_watched: bool,
    concerns: watch::Receiver<Concerns>,
    /// Whether crontabs are in force.
    loaded: watch::Sender<bool>,
}

impl Recovery {
    /// Starts the task, and waits until it has recovered what it can, or cannot wait for the store any longer.
    pub(super) async fn start(config: &Config, store: Handle, bus: Bus) -> anyhow::Result<Self> {
        let (accepted, all_accepted) = mpsc::unbounded_channel();
        let (sender, recovered) = mpsc::unbounded_channel();
        let (told, concerns) = watch::channel(Concerns::default());
        let (loaded, is_loaded) = watch::channel(false);
        let actor = Actor::new(config, store, bus, (told, is_loaded))?;
        let keeping = tokio::spawn(actor.run(all_accepted, sender));
        let mut recovery = Recovery {
            accepted,
            number: 0,
            keeping,
            recovered,
            offered: HashMap::new(),
            written: None,
            memory: Memory::new(config.sources.clone().into()),
            is_watched: false,
            concerns,
            loaded,
        };
        if let Ok(Some(recovered)) = tokio::time::timeout(LONGEST, recovery.recovered.recv()).await
        {
            recovery.take(recovered);
        }
        Ok(recovery)
    }

    /// The first crontab that was written; once.
    pub(super) fn take_written(&mut self) -> Option<Written> {
        self.written.take()
    }

    /// Waits until what was accepted is kept, for a while.
    pub(super) async fn finish(self) {
        drop((self.accepted, self.loaded));
        // A store that is away keeps nobody.
        let _ = tokio::time::timeout(LAST_PUT, self.keeping).await;
    }

    /// What somebody has to look at, now and later.
    pub(super) fn concerns(&self) -> watch::Receiver<Concerns> {
        self.concerns.clone()
    }

    /// Waits until crontabs were recovered while they are watched. Gives the change that puts what could not be written in
    /// force; none: the files say it all. Loses nothing when it is dropped unfinished.
    pub(super) async fn next(&mut self) -> Option<Change> {
        loop {
            let Some(recovered) = self.recovered.recv().await else {
                // It has ended, and there will be none.
                return std::future::pending().await;
            };
            self.take(recovered);
            self.written = None;
            if self.is_watched {
                let (edits, notices) = (self.memory.edits(&[]), Vec::new());
                let change = Change { occasion: Occasion::Edit, notices, edits, reloads: 0 };
                return (!change.edits.is_empty()).then_some(change);
            }
        }
    }

    fn take(&mut self, recovered: Recovered) {
        self.number = recovered.number;
        self.offered.extend(recovered.kept);
        self.written = recovered.written;
        self.memory.replace(recovered.from_memory);
    }

    /// Puts texts in force that could not be written: of a change that the watch hands on, in the place of those that they
    /// were to replace; with what was edited since merged in.
    pub(super) fn amend(&mut self, change: &mut Change) {
        self.memory.amend(change);
        if change.occasion == Occasion::Start {
            self.is_watched = true;
            let more = self.memory.edits(&change.edits);
            change.edits.extend(more);
        }
    }

    /// Has the texts in force kept.
    pub(super) fn offer(&mut self, reload: &Reload) {
        self.loaded.send_if_modified(|is_loaded| !std::mem::replace(is_loaded, true));
        let mut accepted = Vec::new();
        let mut known = HashMap::with_capacity(self.offered.len());
        for (key, hash) in reload.in_force() {
            let before = self.memory.take_before(key);
            if self.offered.remove(key) != Some(hash) || before.is_some() {
                let memory = self.memory.get(key);
                let text = match memory {
                    Some(memory) => memory.found.clone(),
                    None => reload.text(key),
                };
                let Some(text) = text else { continue };
                let is_from_memory = memory.is_some();
                let edited = Accepted { text: Some(text), before, is_from_memory };
                accepted.push((key.clone(), edited));
            }
            known.insert(key.clone(), hash);
        }
        // Of what is left, a file that cannot be had or may not be taken is not gone.
        for (key, hash) in std::mem::take(&mut self.offered) {
            if reload.knows(&key) {
                known.insert(key, hash);
            } else {
                let before = self.memory.take_before(&key);
                accepted.push((key, Accepted { text: None, before, is_from_memory: false }));
            }
        }
        self.offered = known;
        if !accepted.is_empty() {
            // Without it nothing is kept.
            let _ = self.accepted.send(Batch { after: self.number, accepted });
        }
    }
}

/// The hash by which texts are compared: that of the watch.
fn hash_of(text: &[u8]) -> u64 {
    content_hash(text)
}
