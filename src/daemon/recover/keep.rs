//! What the store holds of crontabs, and putting what is accepted there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock as _, SystemClock};
use crate::crontab::Dialect;
use crate::daemon::standing::Key;
use crate::store::deposit::{BadDeposit, Deposit};
use crate::store::recovery::snapshot::SCHEMA;
use crate::store::recovery::{
    BadSnapshot, Edited, FileSnapshot, Instance, Kinship, Mode, Notice, Snapshot, accept,
};
use crate::store::seal::{Seal, is_sealed};
use crate::store::{Handle, Put, PutSnapshot, StoreError, Versioned};
use crate::unix::beside;
use crate::unix::identity::hostname;

use super::case::concerns_of;
use super::found::Ground;
use super::last::{Fate, Last};
use super::newest::Newest;
use super::{Accepted, hash_of};

/// What was accepted and is not kept yet.
pub(super) type Pending = BTreeMap<Key, Accepted>;

/// What the store holds.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Under which version; 0: nothing is there.
    pub(super) version: u64,
    /// None if there is none, or none that is taken.
    pub(super) snapshot: Option<Snapshot>,
    /// As it lies there.
    pub(super) bytes: Vec<u8>,
    /// What the Python service has cached since ours was put, or why that cannot be had.
    pub(super) seed_rows: Option<Result<Vec<u8>, String>>,
    /// Whether there is a key: nobody has signed the rows.
    pub(super) is_signed: bool,
    /// Why what is there is not taken.
    pub(super) refusal: Option<String>,
    /// Whether another key may be the remedy.
    pub(super) is_of_key: bool,
}

/// Speaks to the store of snapshots.
#[derive(Clone)]
pub(super) struct Keep {
    store: Handle,
    seal: Option<Arc<Seal>>,
    newest: Newest,
    within: Duration,
    ground: Ground,
}

impl Keep {
    pub(super) fn new(
        store: Handle,
        seal: Option<Seal>,
        newest: Newest,
        within: Duration,
        ground: Ground,
    ) -> Self {
        Keep { store, seal: seal.map(Arc::new), newest, within, ground }
    }

    /// Says that nothing is to be put.
    pub(super) fn nothing_to_put(&self) {
        self.store.nothing_to_put();
    }

    /// What the store holds.
    ///
    /// # Errors
    /// It does not answer, or a later version of this program has written to it.
    pub(super) async fn load(&self) -> Result<Stored, StoreError> {
        let Some(found) = self.store.snapshot(self.within).await? else {
            return Ok(Stored::default());
        };
        let version = found.version;
        let (read, found) = self.read(found).await?;
        match read {
            Ok(snapshot) => {
                let (snapshot, bytes) = (Some(snapshot), found.bytes);
                Ok(Stored { version, snapshot, bytes, ..Stored::default() })
            }
            Err(BadDeposit::Snapshot(newer @ BadSnapshot::Newer { found })) => {
                // The store has answered, and cannot know.
                self.store.cannot_put(StoreError::Refused(format!(
                    "{newer}: use a later cronkeep, or another store or namespace"
                )));
                Err(StoreError::Newer { found, known: SCHEMA })
            }
            Err(error) => {
                let (refusal, is_of_key) = (Some(error.to_string()), error.is_of_key());
                Ok(Stored { version, refusal, is_of_key, ..Stored::default() })
            }
        }
    }

    /// The same with the rows of the Python service.
    ///
    /// # Errors
    /// The store does not answer, or there is nothing but rows and they make no sense.
    pub(super) async fn with_rows(&self, stored: Stored) -> Result<Stored, StoreError> {
        let seed_rows = match self.store.rows_of_others(self.within).await {
            Ok(rows) => rows.map(Ok),
            // What is recovered does not depend on them.
            Err(error @ (StoreError::Corrupt(_) | StoreError::Refused(_)))
                if stored.snapshot.is_some() =>
            {
                Some(Err(error.to_string()))
            }
            Err(error) => return Err(error),
        };
        Ok(Stored { seed_rows, is_signed: self.seal.is_some(), ..stored })
    }

    /// Reads it, on a thread beside: it may be large.
    async fn read(
        &self,
        found: Versioned,
    ) -> Result<(Result<Snapshot, BadDeposit>, Versioned), StoreError> {
        let (seal, newest) = (self.seal.clone(), self.newest.clone());
        let read = move |found: &Versioned| {
            if seal.is_none() && is_sealed(&found.bytes) {
                return Err(BadDeposit::Keyless);
            }
            let deposit = Deposit::from_bytes(found, seal.as_deref())?;
            if seal.is_some() {
                newest.check(found.version)?;
            }
            Ok(deposit.snapshot)
        };
        let done = beside(move || (read(&found), found)).await;
        done.ok_or_else(|| StoreError::Corrupt("reading the snapshot failed".to_owned()))
    }

    /// What became of what the store held last.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(super) async fn fate(&self, last: &Last) -> Result<Fate, StoreError> {
        let Some(found) = self.store.snapshot(self.within).await? else {
            // The versions go on where a snapshot was forgotten.
            let is_forgotten = self.store.snapshot_version(self.within).await? >= last.version;
            return Ok(if is_forgotten { Fate::Forgotten } else { Fate::Lost(0) });
        };
        if last.is(&found) {
            return Ok(Fate::Kept);
        }
        let (read, found) = self.read(found).await?;
        Ok(match read {
            Err(BadDeposit::Older { .. }) => Fate::Lost(found.version),
            Err(_) => Fate::Refused,
            Ok(_) if found.version > last.version => Fate::Kept,
            // Somebody else may have put there again what it knew, which was less.
            Ok(snapshot)
                if found.version == last.version
                    && last.snapshot().is_none_or(|last| last == snapshot) =>
            {
                Fate::Kept
            }
            Ok(_) => Fate::Lost(found.version),
        })
    }

    /// Says that our crontabs are ours still, where the store has not heard of that for long; what it holds then.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub(super) async fn name(&self) -> Result<Option<Last>, StoreError> {
        let Stored { version, snapshot, .. } = self.load().await?;
        let is_ours = |path: &str| self.ground.names(path);
        let Some(snapshot) = snapshot.filter(|it| it.is_stale(&is_ours, SystemClock.now())) else {
            return Ok(None);
        };
        // Where somebody was faster, it is said the next time.
        Ok(self.put(version, 0, snapshot, None).await?.map(|(_, last)| last))
    }

    /// Puts a snapshot, if the store still holds that version; if it did, the snapshot and what the store holds then, under a
    /// version that is greater than `after`, too. What nobody names any more may be gone from it.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) async fn put(
        &self,
        expected: u64,
        after: u64,
        snapshot: Snapshot,
        seed_rows: Option<String>,
    ) -> Result<Option<(Snapshot, Last)>, StoreError> {
        let (now, mut snapshot) = (SystemClock.now(), snapshot);
        snapshot.name(&|path| self.ground.names(path), now);
        let mut deposit = Deposit { at: Some(now), host: hostname(), snapshot };
        let (mut expected, mut seed_rows) = (expected, seed_rows);
        loop {
            let next = expected.max(after) + 1;
            let seal = self.seal.clone();
            // Beside: it may be large.
            let written = beside(move || {
                let bytes = deposit.to_bytes(next, seal.as_deref());
                let last = Last::new(next, &bytes, Some(&deposit.snapshot));
                (deposit, bytes, last)
            });
            let Some((written, bytes, last)) = written.await else { return Ok(None) };
            deposit = written;
            let put = PutSnapshot { expected, after, bytes, seed_rows: seed_rows.take() };
            let Put::Done(version) = self.store.put_snapshot(put, self.within).await? else {
                return Ok(None);
            };
            if self.seal.is_some() {
                self.newest.note(version);
                // The versions go on where a snapshot was forgotten, and the seal names its own.
                if version != next {
                    expected = version;
                    continue;
                }
            }
            return Ok(Some((deposit.snapshot, last.under(version))));
        }
    }
}

/// What the snapshot last said here, as far as that must be known to tell edits of others from ours.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether there was a snapshot.
    is_there: bool,
    /// Hashes of its texts by path; none of one that is gone.
    texts: HashMap<String, Option<u64>>,
}

/// An accepted text, with what is known of its crontab.
pub(super) struct Edit {
    pub(super) key: Key,
    pub(super) path: String,
    pub(super) accepted: Accepted,
    pub(super) kinship: Option<Kinship>,
    pub(super) dialect: Dialect,
}

/// What edits make of a snapshot.
pub(super) struct Taken {
    pub(super) snapshot: Snapshot,
    /// What the markers are to say, where that is something new.
    pub(super) kinships: Vec<(Key, Kinship)>,
    pub(super) notices: Vec<(Key, Notice)>,
    /// What somebody has to look at.
    pub(super) concerns: Vec<(Key, Vec<String>)>,
}

impl Seen {
    /// Takes note of what the snapshot says.
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        self.is_there = true;
        let hash = |file: &FileSnapshot| file.text.as_ref().map(|text| hash_of(&text.0));
        self.texts = snapshot.files.iter().map(|(path, file)| (path.clone(), hash(file))).collect();
    }

    /// Whether the snapshot was there, and is no more.
    pub(super) fn is_forgotten(&self, stored: &Stored) -> bool {
        self.is_there && stored.version == 0
    }

    /// Takes edits into what the store holds.
    pub(super) fn take(
        &self,
        stored: &Stored,
        edits: Vec<Edit>,
        (ground, mode): (&Ground, Mode),
        fresh: fn() -> Instance,
    ) -> Taken {
        let mut snapshot = stored.snapshot.clone().unwrap_or_default();
        let (mut kinships, mut notices, mut concerns) = (Vec::new(), Vec::new(), Vec::new());
        for Edit {
            key,
            path,
            accepted: Accepted { text, before, is_from_memory },
            kinship,
            dialect,
        } in edits
        {
            let file = snapshot.files.get(&path);
            let seen = file.map(|file| match mode {
                // Whatever the snapshot says: now it is the file that somebody has said something with.
                Mode::Never => file.clone(),
                _ => self.seen(&path, file, kinship.as_ref(), before),
            });
            let before = kinship.clone();
            let kinship = kinship.unwrap_or_else(|| Kinship {
                // What comes while the daemon runs is nothing that the image brought along.
                instance: fresh(),
                first: Vec::new().as_slice().into(),
                common: None,
            });
            let access = ground.access(&key);
            let edited =
                Edited { file: text.as_deref(), kinship: &kinship, access, dialect: &dialect };
            let accepted = accept(&edited, file, seen.as_ref());
            notices.extend(accepted.notices.into_iter().map(|notice| (key.clone(), notice)));
            // Of what runs from memory the lines are in the snapshot.
            let kept = accepted.snapshot.text.as_deref().filter(|_| is_from_memory);
            let lines = kept.or(text.as_deref());
            let lines = lines.map_or(0, |text| accepted.snapshot.undecided_in(text).count());
            concerns.push((key.clone(), concerns_of(&key, is_from_memory, lines)));
            snapshot.files.insert(path, accepted.snapshot);
            if before.as_ref() != Some(&accepted.kinship) {
                kinships.push((key, accepted.kinship));
            }
        }
        Taken { snapshot, kinships, notices, concerns }
    }

    /// The snapshot's part about this path with the text that tells, compared with the file's, what was edited.
    fn seen(
        &self,
        path: &str,
        file: &FileSnapshot,
        kinship: Option<&Kinship>,
        before: Option<Vec<u8>>,
    ) -> FileSnapshot {
        let now = file.text.as_ref().map(|text| hash_of(&text.0));
        let is_same = || self.texts.get(path).is_none_or(|then| *then == now);
        let text = match (before, kinship) {
            (Some(before), _) => Some(before.into()),
            // It is the file's as it was before.
            (None, Some(kinship)) if file.is_held_by(&kinship.instance) => file.text.clone(),
            // The file as it was before is part of it.
            (None, Some(Kinship { common: Some(common), .. })) => Some(common.clone()),
            // Without a marker, what nobody else has edited is taken for what the file said.
            _ => file.text.clone().filter(|_| is_same()),
        };
        FileSnapshot { text, ..file.clone() }
    }
}

/// How much text is in a snapshot, in bytes.
pub(super) fn size(snapshot: &Snapshot) -> usize {
    snapshot.files.values().filter_map(|file| Some(file.text.as_ref()?.0.len())).sum()
}

/// The path by which a snapshot knows a crontab.
pub(super) fn path_of(key: &Key) -> Option<String> {
    let absolute = std::path::absolute(&key.1).ok()?;
    Some(absolute.to_string_lossy().into_owned())
}
