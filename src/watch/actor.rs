//! The loop: sleeps until something is heard, asked for or due, then looks and hands on.
use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use super::debounce::{Debounce, Touch};
use super::fingerprint::Fingerprint;
use super::inotify::{Arms, Plan, Signal};
use super::mount::{is_mount_point, remote_file_system};
use super::notice::{Cause, Notice, Trouble};
use super::path::Trail;
use super::poll::{Poll, Turn};
use super::read::{self, Look};
use super::source::{Source, Verdict};
use super::timer::Timer;
use super::{Change, Occasion, Shared};

/// Between the two reads of a file whose change was announced. Longer than a tick of the kernel's coarse clock: a
/// write after the second read leaves another stamp than one before the first.
const BETWEEN: Duration = Duration::from_millis(10);
/// Between the two reads of a file whose change was merely found, perhaps in the midst of it.
const BETWEEN_BLIND: Duration = Duration::from_millis(250);
/// How often the trails are followed anew while they change under the arming.
const TRAILS: usize = 4;

pub(super) struct Actor {
    sources: Vec<Source>,
    trails: Vec<Trail>,
    shared: Arc<Shared>,
    signal: Arc<Signal>,
    arms: Arms,
    debounce: Debounce,
    poll: Poll,
    /// What the next change is for; `Start` until the first was sent.
    occasion: Occasion,
    /// Whether a pending change was found by polling.
    blind: bool,
    /// Whether a name was heard to mean another file since the last arming.
    moved: bool,
    /// Why inotify does not suffice, if it does not.
    shortfall: Option<Cause>,
    notices: Vec<Notice>,
    origin: Instant,
}

impl Actor {
    pub(super) fn new(sources: Vec<Source>, shared: Arc<Shared>, slow: Duration) -> Self {
        let signal = Arc::<Signal>::default();
        Actor {
            sources,
            trails: Vec::new(),
            shared,
            arms: Arms::new(Arc::clone(&signal)),
            signal,
            debounce: Debounce::default(),
            poll: Poll::new(slow, Duration::ZERO),
            occasion: Occasion::Start,
            blind: false,
            moved: false,
            shortfall: None,
            notices: Vec::new(),
            origin: Instant::now(),
        }
    }

    /// Runs until nobody receives any more.
    pub(super) async fn run(mut self, changes: Sender<Change>) {
        let shared = Arc::clone(&self.shared);
        let signal = Arc::clone(&self.signal);
        let timer = Timer::new();
        self.debounce.demand(self.now());
        loop {
            tokio::select! {
                biased;
                () = changes.closed() => return,
                () = shared.reload.notified(), if self.occasion != Occasion::Start => {
                    self.occasion = Occasion::Reload;
                    self.debounce.demand(self.now());
                }
                () = signal.wake.notified() => self.hear(),
                () = timer.sleep(self.deadline().saturating_sub(self.now())) => {}
            }
            if let Some(turn) = self.poll.turn(self.now()) {
                self.take_turn(turn);
            }
            let change = if self.is_due() { self.look().await } else { None };
            let change = change.or_else(|| self.tell());
            if let Some(change) = change
                && changes.send(change).await.is_err()
            {
                return;
            }
        }
    }

    /// What there is to tell without any text.
    fn tell(&mut self) -> Option<Change> {
        let notices = mem::take(&mut self.notices);
        (!notices.is_empty()).then(|| Change {
            occasion: Occasion::Notice,
            notices,
            texts: Vec::new(),
            fingerprints: Vec::new(),
        })
    }

    /// Since the start.
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn deadline(&self) -> Duration {
        self.look_deadline().map_or(self.poll.deadline(), |due| due.min(self.poll.deadline()))
    }

    /// When to look: when a change is quiet; if none is pending, when an empty file starts to count.
    fn look_deadline(&self) -> Option<Duration> {
        self.debounce.deadline().or_else(|| self.sources.iter().filter_map(Source::deadline).min())
    }

    fn is_due(&self) -> bool {
        self.look_deadline().is_some_and(|due| due <= self.now())
    }

    fn hear(&mut self) {
        let heard = self.signal.take();
        self.moved |= heard.moved;
        if let Some(touch) = heard.touch {
            self.debounce.touch(touch, self.now());
        }
    }

    /// Looks for changes that nobody announced.
    fn take_turn(&mut self, turn: Turn) {
        if turn == Turn::Arm {
            self.arm();
        }
        // What is pending already has a better idea of when to look.
        let stale = |source: &Source| source.is_stale(read::stamp(&source.absolute));
        if self.debounce.deadline().is_none() && self.sources.iter().any(stale) {
            self.blind = true;
            self.debounce.touch(Touch::Edit, self.now());
        }
        self.poll.pace(self.shortfall.is_some(), self.now());
    }

    /// Arms every trail as it leads now; repeated where one changed between being followed and being armed.
    fn arm(&mut self) {
        for _ in 0..TRAILS {
            self.trails = self.sources.iter().map(|it| Trail::follow(&it.absolute)).collect();
            let plan = Plan::of(&self.trails);
            if !self.moved && self.arms.hold(&plan) {
                return;
            }
            self.moved = false;
            let remote = plan.paths().find_map(remote_file_system);
            let shortfall = match self.arms.arm(plan) {
                Ok(()) => remote.map(Cause::Remote),
                Err(reason) => Some(Cause::Unavailable(reason)),
            };
            let failed = matches!(shortfall, Some(Cause::Unavailable(_)));
            self.set_shortfall(shortfall);
            if failed {
                return;
            }
        }
        // It never held still; the next event or slow poll arms what it leads to then.
        self.moved = true;
    }

    fn set_shortfall(&mut self, shortfall: Option<Cause>) {
        match (&self.shortfall, &shortfall) {
            (Some(_), None) => self.notices.push(Notice::Announced),
            (before, Some(cause)) if before.as_ref() != Some(cause) => {
                self.notices.push(Notice::Polling(cause.clone()));
            }
            _ => {}
        }
        self.shortfall = shortfall;
        self.poll.pace(self.shortfall.is_some(), self.now());
    }

    /// Arms, then reads twice what may have changed. Gives what is to be handed on, if anything is.
    async fn look(&mut self) -> Option<Change> {
        self.arm();
        let thorough = self.occasion != Occasion::Edit;
        let suspects: BTreeMap<usize, Result<Fingerprint, Trouble>> = (0..)
            .zip(&self.sources)
            .filter(|(_, source)| {
                thorough
                    || source.deadline().is_some()
                    || source.is_stale(read::stamp(&source.absolute))
            })
            .map(|(at, source)| (at, summary(&read::look(&source.absolute))))
            .collect();
        let mut looks = Vec::with_capacity(suspects.len());
        let mut restless = Vec::new();
        if !suspects.is_empty() {
            let blind = !thorough && (self.blind || self.shortfall.is_some());
            sleep(if blind { BETWEEN_BLIND } else { BETWEEN }).await;
            for (at, before) in suspects {
                let look = read::look(&self.sources[at].absolute);
                if summary(&look) == before {
                    looks.push((at, look));
                } else {
                    restless.push(at);
                }
            }
        }
        if restless.is_empty() {
            self.debounce.settled();
        } else if self.debounce.unsettled(self.now()) {
            return None;
        }
        for at in restless {
            self.sources[at].degrade(Trouble::Unsettled, &mut self.notices);
        }
        self.blind = false;
        self.judge(looks)
    }

    /// Judges looks that were found equal twice.
    fn judge(&mut self, looks: Vec<(usize, Look)>) -> Option<Change> {
        let first = self.occasion == Occasion::Start;
        let now = self.now();
        let mut texts = Vec::new();
        let mut fingerprints = Vec::new();
        for (at, look) in looks {
            let source = &mut self.sources[at];
            if let Verdict::Changed(text) = source.judge(look, first, now, &mut self.notices) {
                texts.push((source.index(), text.bytes));
                fingerprints.push(text.fingerprint);
            }
        }
        self.check_mounts();
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
        let occasion = mem::replace(&mut self.occasion, Occasion::Edit);
        if occasion == Occasion::Edit && texts.is_empty() {
            return None;
        }
        Some(Change { occasion, notices: mem::take(&mut self.notices), texts, fingerprints })
    }

    /// Says of each file that is a mount of its own that it is one; once.
    fn check_mounts(&mut self) {
        let mut table = None;
        for (source, trail) in self.sources.iter_mut().zip(&self.trails) {
            let identity = source.identity();
            if source.mount_told || identity == source.mount_checked {
                continue;
            }
            source.mount_checked = identity;
            let Some(file) = &trail.file else { continue };
            let table =
                table.get_or_insert_with(|| fs::read("/proc/self/mountinfo").unwrap_or_default());
            if is_mount_point(table, file) {
                source.mount_told = true;
                self.notices.push(Notice::FileMount {
                    source: source.index(),
                    path: Arc::clone(&source.typed),
                });
            }
        }
    }
}

/// What of a look must be equal twice.
fn summary(look: &Look) -> Result<Fingerprint, Trouble> {
    match look {
        Ok(text) => Ok(text.fingerprint),
        Err(trouble) => Err(trouble.clone()),
    }
}
