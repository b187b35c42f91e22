//! The task that recovers crontabs and keeps them: waits for the store, and for what is accepted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::case::{self, Outcome};
use super::found::Ground;
use super::keep::{Edit, Keep, Pending, Seen, Stored, path_of, size};
use super::last::{Fate, Last};
use super::marker::new_instance;
use super::newest::Newest;
use super::{Accepted, Batch, Concerns, FromMemory, Recovered};
use crate::args::RecoverArg;
use crate::config::Config;
use crate::daemon::standing::Key;
use crate::daemon::store::seal_of;
use crate::daemon::touch::{AGAIN, SETTLING};
use crate::event::{Bus, Event};
use crate::store::recovery::{Kinship, Mode, Snapshot};
use crate::store::{Handle, Standing, StoreError};
use crate::unix::beside;

/// How long an embedded store may take to answer.
const EMBEDDED: Duration = Duration::from_secs(5);
/// How long a store on another host may take.
const SHARED: Duration = Duration::from_secs(2);
/// The pause before a store that did not answer is asked again, and the longest one.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the first load may take before the store is told what was recovered all the same.
const LOADING: Duration = Duration::from_secs(1);
/// From so many bytes of text on it is worth to wait for that.
const LARGE: usize = 64 << 10;
/// How often something is tried at once where somebody else was faster.
const TRIES: usize = 16;

/// Recovers, then keeps what is accepted.
pub(super) struct Actor {
    bus: Bus,
    ground: Ground,
    mode: Mode,
    keep: Keep,
    is_shared: bool,
    seen: Seen,
    pending: Pending,
    /// How often crontabs were recovered, and to what end the last time.
    number: u64,
    handed_on: Option<(Vec<FromMemory>, HashMap<Key, u64>)>,
    concerns: HashMap<Key, Vec<String>>,
    told: watch::Sender<Concerns>,
    /// Why what the store holds was refused, as it was told.
    refusal: Option<String>,
    /// What the store held last.
    last: Option<Last>,
    standing: watch::Receiver<Standing>,
    doubts: watch::Receiver<u64>,
    /// Whether crontabs are in force.
    loaded: watch::Receiver<bool>,
    /// Whether the store is to be told which crontabs are ours, and when it is the next time.
    naming: (bool, Instant),
    /// Let go of when the store has answered for the first time, or has not.
    handed_out: Option<oneshot::Sender<()>>,
}

impl Actor {
    /// # Errors
    /// The key that the options name cannot be had.
    pub(super) fn new(
        config: &Config,
        store: Handle,
        bus: Bus,
        (told, loaded): (watch::Sender<Concerns>, watch::Receiver<bool>),
        handed_out: oneshot::Sender<()>,
    ) -> anyhow::Result<Self> {
        let options = &config.store;
        let within = if options.address.is_shared() { SHARED } else { EMBEDDED };
        let newest = Newest::new(&config.state_dir, &options.namespace);
        let (standing, doubts) = (store.standing(), store.doubts());
        let ground = Ground::new(config);
        let keep = Keep::new(store, seal_of(config)?, newest, within, ground.clone());
        let mode = match options.recover {
            RecoverArg::Auto => Mode::Auto,
            RecoverArg::Merge => Mode::Merge,
            RecoverArg::Always => Mode::Always,
            RecoverArg::Never => Mode::Never,
        };
        Ok(Actor {
            bus,
            ground,
            mode,
            keep,
            is_shared: options.address.is_shared(),
            seen: Seen::default(),
            pending: BTreeMap::new(),
            number: 0,
            handed_on: None,
            concerns: HashMap::new(),
            told,
            refusal: None,
            last: None,
            standing,
            doubts,
            loaded,
            naming: (false, Instant::now() + SETTLING),
            handed_out: Some(handed_out),
        })
    }

    /// Recovers, says so, and keeps what is accepted until nobody accepts anything any more.
    pub(super) async fn run(
        mut self,
        mut accepted: UnboundedReceiver<Batch>,
        recovered: UnboundedSender<Recovered>,
    ) {
        let mut pause = PAUSE;
        let mut is_told = false;
        loop {
            let outcome = self.recover(&recovered).await;
            let outcome = outcome.inspect(|_| self.keep.nothing_to_put());
            if matches!(outcome, Ok(true)) {
                break;
            }
            if !is_told {
                is_told = true;
                self.mark().await;
                // A store that is only read has said what is to be recovered.
                if self.number == 0 {
                    if let Err(error) = &outcome {
                        self.note_absence(error);
                    }
                    // Whoever has lost interest is about to end.
                    let _ = recovered.send(Recovered::default());
                }
            }
            let goes_on = match outcome {
                Ok(_) => self.wait(&mut accepted).await,
                Err(_) => self.rest(&mut pause, &mut accepted).await,
            };
            if !goes_on {
                return;
            }
            // A recovery reads the files itself.
            self.pending.clear();
        }
        pause = PAUSE;
        loop {
            if !self.wait(&mut accepted).await {
                return;
            }
            loop {
                while let Ok(news) = accepted.try_recv() {
                    self.note(news);
                }
                let outcome =
                    if self.pending.is_empty() { self.check().await } else { self.put().await };
                match outcome.inspect(|()| self.keep.nothing_to_put()) {
                    Ok(()) => break,
                    // Only what is to be kept is worth asking again where it will not help.
                    Err(StoreError::Full(_)) if self.pending.is_empty() => break,
                    Err(_) if !self.rest(&mut pause, &mut accepted).await => return,
                    Err(_) => {}
                }
            }
            pause = PAUSE;
        }
    }

    /// Waits until something was accepted, or the store may have lost what it held; false if nobody needs it any more.
    async fn wait(&mut self, accepted: &mut UnboundedReceiver<Batch>) -> bool {
        loop {
            tokio::select! {
                news = accepted.recv() => match news {
                    Some(news) => {
                        self.note(news);
                        return true;
                    }
                    None => return false,
                },
                () = sleep_until(self.naming.1) => {
                    self.naming = (true, Instant::now() + AGAIN);
                    return true;
                }
                // The handle that is kept here keeps both alive.
                _ = self.doubts.changed() => return true,
                _ = self.standing.changed() => {
                    if let Standing::Up | Standing::Strained { .. } = *self.standing.borrow_and_update() {
                        return true;
                    }
                }
            }
        }
    }

    fn note(&mut self, Batch { after, accepted }: Batch) {
        if after == self.number {
            for (key, mut edited) in accepted {
                // Of all that is not kept yet the first tells what it was before.
                let is_blank = edited.text.as_ref().is_none_or(Vec::is_empty);
                if let Some(Accepted { before: Some(before), .. }) = self.pending.remove(&key)
                    && !is_blank
                {
                    edited.before = Some(before);
                }
                self.pending.insert(key, edited);
            }
        }
    }

    /// Waits before the store is asked again; false if nobody needs it any more.
    async fn rest(
        &mut self,
        pause: &mut Duration,
        accepted: &mut UnboundedReceiver<Batch>,
    ) -> bool {
        let rested = sleep(*pause);
        tokio::pin!(rested);
        loop {
            tokio::select! {
                () = &mut rested => break,
                news = accepted.recv() => match news {
                    Some(news) => self.note(news),
                    None => return false,
                },
            }
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        true
    }

    /// Nothing can be recovered yet: takes note of what this container brought along, before anybody edits it.
    async fn mark(&self) {
        let ground = self.ground.clone();
        beside(move || {
            for found in ground.find(&[], &mut Vec::new()) {
                if let (None, Some(text), Some(spot)) =
                    (&found.kinship, &found.text, ground.spot(&found.key))
                {
                    let first = text[..].into();
                    // Without a marker it is a new container each time.
                    let _ = spot.write(&Kinship { instance: new_instance(), first, common: None });
                }
            }
        })
        .await;
    }

    /// Recovers the crontabs, and has the store hold what came of it; false if what it holds is refused, and stays.
    async fn recover(
        &mut self,
        recovered: &UnboundedSender<Recovered>,
    ) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let stored = self.load().await?;
            if stored.refusal.is_some() {
                return Ok(false);
            }
            let stored = Arc::new(self.keep.with_rows(stored).await?);
            let (ground, mode, theirs) = (self.ground.clone(), self.mode, Arc::clone(&stored));
            let outcome = beside(move || case::carry_out(&ground, &theirs, mode)).await;
            let Some(outcome) = outcome else { return Ok(true) };
            let Outcome { snapshot, marks, kinships, recovered: came, notices, concerns } = outcome;
            self.pending.clear();
            // Where only the store did not take what came of it, all has been said and is in force.
            let news = (came.from_memory.clone(), came.kept.clone());
            if self.handed_on.as_ref() != Some(&news) {
                for (key, text, warning) in notices {
                    self.tell(&key, &text, warning);
                }
                self.concerns = concerns;
                self.tell_concerns();
                // The rest is between the store and us: the schedule need not wait for it.
                self.number += 1;
                self.handed_on = Some(news);
                let _ = recovered.send(Recovered { number: self.number, ..came });
            }
            // At once: an edit that comes before it would be taken for what the image has brought along.
            self.write_kinships(marks).await;
            if snapshot.as_ref().map_or(stored.bytes.len(), size) >= LARGE {
                self.wait_for_load().await;
            }
            let version = stored.version;
            let (snapshot, last) = match snapshot {
                None => {
                    let Stored { snapshot, bytes, .. } =
                        Arc::into_inner(stored).unwrap_or_default();
                    let known = snapshot.clone();
                    let last = beside(move || Last::new(version, &bytes, known.as_ref()));
                    (snapshot.unwrap_or_default(), last.await)
                }
                Some(snapshot) => {
                    drop(stored);
                    let rows = self.seed_rows(&snapshot).await;
                    let put = self.keep.put(version, 0, snapshot, rows).await?;
                    let Some((snapshot, last)) = put else { continue };
                    (snapshot, Some(last))
                }
            };
            self.seen.note(&snapshot);
            self.last = last;
            self.write_kinships(kinships).await;
            return Ok(true);
        }
        Err(StoreError::Down("others keep changing the snapshot".to_owned()))
    }

    /// Waits until the crontabs are in force, for a while: what is between the store and us would only hold them up.
    async fn wait_for_load(&mut self) {
        // Whoever has lost interest is about to end.
        let _ = timeout(LOADING, self.loaded.wait_for(|is_loaded| *is_loaded)).await;
    }

    async fn load(&mut self) -> Result<Stored, StoreError> {
        let stored = self.keep.load().await;
        self.handed_out = None;
        let stored = stored?;
        if self.refusal != stored.refusal {
            if let Some(reason) = &stored.refusal {
                let key = if stored.is_of_key { "can be read with --store-key, or " } else { "" };
                self.warn(format!(
                    "{reason}: the crontabs are taken as they are, and nothing is kept until it {key}is removed by \
                     `cronkeep snapshot forget`"
                ));
            }
            self.refusal.clone_from(&stored.refusal);
            self.tell_concerns();
        }
        Ok(stored)
    }

    /// Has the store hold again what it has lost.
    async fn check(&mut self) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let Some(last) = &self.last else { return Ok(()) };
            let (found, after) = match self.keep.fate(last).await? {
                Fate::Kept => return self.name().await,
                Fate::Forgotten => {
                    self.last = None;
                    return Ok(());
                }
                Fate::Refused => return self.load().await.map(drop),
                Fate::Lost(found) => (found, last.version),
            };
            let Some(snapshot) = last.snapshot() else { return Ok(()) };
            let rows = self.seed_rows(&snapshot).await;
            if let Some((_, last)) = self.keep.put(found, after, snapshot, rows).await? {
                self.last = Some(last);
                self.warn("the store has lost the snapshot: it is put there again".to_owned());
                return Ok(());
            }
        }
        Err(StoreError::Down("others keep changing the snapshot".to_owned()))
    }

    /// Says once a day which crontabs are ours.
    async fn name(&mut self) -> Result<(), StoreError> {
        if self.naming.0 {
            let named = self.keep.name().await;
            // What is refused is to be said still, what there is no room for another day: a full store answers all else.
            self.naming.0 = matches!(&named, Err(error) if !matches!(error, StoreError::Full(_)));
            self.last = named?.or(self.last.take());
        }
        Ok(())
    }

    /// Has the store hold what was accepted; what it holds and is refused stays, and so does what is pending.
    async fn put(&mut self) -> Result<(), StoreError> {
        self.check().await?;
        for _ in 0..TRIES {
            let stored = self.load().await?;
            if stored.refusal.is_some() {
                return Ok(());
            }
            let edits = self.edits(self.seen.is_forgotten(&stored)).await;
            let seen = std::mem::take(&mut self.seen);
            let (ground, mode) = (self.ground.clone(), self.mode);
            let taken = beside(move || {
                let taken = seen.take(&stored, edits, (&ground, mode), new_instance);
                (seen, stored, taken)
            });
            let Some((seen, stored, taken)) = taken.await else {
                self.pending.clear();
                return Ok(());
            };
            self.seen = seen;
            let version = stored.version;
            let last = if stored.snapshot.as_ref() == Some(&taken.snapshot) {
                self.seen.note(&taken.snapshot);
                beside(move || Last::new(version, &stored.bytes, stored.snapshot.as_ref())).await
            } else {
                let rows = self.seed_rows(&taken.snapshot).await;
                let put = self.keep.put(version, 0, taken.snapshot, rows).await?;
                let Some((snapshot, last)) = put else { continue };
                self.seen.note(&snapshot);
                Some(last)
            };
            self.last = last;
            for (key, notice) in taken.notices {
                self.tell(&key, &notice.to_string(), true);
            }
            self.concerns.extend(taken.concerns);
            self.tell_concerns();
            self.pending.clear();
            self.write_kinships(taken.kinships).await;
            return Ok(());
        }
        Err(StoreError::Down("others keep changing the snapshot".to_owned()))
    }

    /// What is to be put, with what the markers say; of a snapshot that was forgotten all that is known.
    async fn edits(&mut self, is_all: bool) -> Vec<Edit> {
        let (pending, ground) = (self.pending.clone(), self.ground.clone());
        let edits = beside(move || {
            let mut edits = Vec::new();
            if is_all {
                let others = ground.find(&[], &mut Vec::new()).into_iter();
                edits.extend(others.filter(|it| !pending.contains_key(&it.key)).filter_map(|it| {
                    let text = Some(it.kinship.as_ref()?.common.as_ref()?.to_vec());
                    let accepted = Accepted { text, before: None, is_from_memory: false };
                    let (dialect, kinship) = (ground.dialect(&it.key), it.kinship);
                    Some(Edit { key: it.key, path: it.path, accepted, kinship, dialect })
                }));
            }
            for (key, accepted) in pending {
                let Some(path) = path_of(&key) else { continue };
                let kinship = ground.spot(&key).and_then(|spot| spot.read_or_make());
                let dialect = ground.dialect(&key);
                edits.push(Edit { key, path, accepted, kinship, dialect });
            }
            edits
        });
        edits.await.unwrap_or_default()
    }

    async fn write_kinships(&self, kinships: Vec<(Key, Kinship)>) {
        if kinships.is_empty() {
            return;
        }
        let ground = self.ground.clone();
        beside(move || {
            for (key, kinship) in kinships {
                // Without a marker it is a new container at the next start, and nothing is lost.
                let _ = ground.spot(&key).map(|spot| spot.write(&kinship));
            }
        })
        .await;
    }

    /// The rows for the Python service, where it may share the store.
    async fn seed_rows(&self, snapshot: &Snapshot) -> Option<String> {
        if !self.is_shared {
            return None;
        }
        let (ground, snapshot) = (self.ground.clone(), snapshot.clone());
        beside(move || case::seed_rows(&ground, &snapshot)).await?
    }

    fn tell(&self, key: &Key, text: &str, warning: bool) {
        let file: Arc<str> = key.1.display().to_string().into();
        let text = format!("{file}: {text}");
        self.bus.publish(Event::Notice { file: Some(file), text, warning });
    }

    fn warn(&self, text: String) {
        self.bus.publish(Event::Notice { file: None, text, warning: true });
    }

    /// That the store is away, or refuses it, is told as such, with its reason.
    fn note_absence(&self, error: &StoreError) {
        let until = match error {
            StoreError::Down(_) | StoreError::Full(_) => "the store answers",
            _ => "they can be recovered from the store",
        };
        let text = format!("the crontabs are taken as they are until {until}");
        self.bus.publish(Event::Notice { file: None, text, warning: false });
    }

    fn tell_concerns(&self) {
        let mut concerns: Vec<String> = self.concerns.values().flatten().cloned().collect();
        concerns.extend(self.refusal.iter().map(|reason| format!("{reason}: nothing is kept")));
        concerns.sort();
        let concerns: Concerns = concerns.into();
        self.told.send_if_modified(|told| {
            let changed = *told != concerns;
            *told = concerns;
            changed
        });
    }
}

#[cfg(test)]
mod tests;
