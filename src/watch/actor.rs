//! The loop: sleeps until something is heard, asked for or due, then looks and hands on.
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep};

use super::debounce::{Debounce, Touch};
use super::field::Field;
use super::inotify::Signal;
use super::poll::{Poll, Turn};
use super::site::{Found, Scan, Suspect};
use super::timer::Timer;
use super::{Change, Occasion, Shared};
use crate::clock::{Clock as _, SystemClock};
use crate::unix::beside;

/// Between the two reads of a file whose change was announced. Longer than a tick of the kernel's coarse clock: a
/// write after the second read leaves another stamp than one before the first.
const BETWEEN: Duration = Duration::from_millis(10);
/// Between the two reads of a file whose change was merely found, perhaps in the midst of it.
const BETWEEN_BLIND: Duration = Duration::from_millis(250);
/// For how long a file must have been left alone to be read just once at the start: many ticks of the coarse clock.
const LEFT_ALONE: Duration = Duration::from_millis(100);

/// What was being done panicked, on its thread.
struct Broken;

pub(super) struct Actor {
    /// Away while something is done with it beside.
    field: Option<Field>,
    shared: Arc<Shared>,
    signal: Arc<Signal>,
    debounce: Debounce,
    poll: Poll,
    /// What the next change is for; `Start` until the first was sent.
    occasion: Occasion,
    /// How many calls for a look there were when the last was heard.
    asked: u64,
    /// How many are answered.
    reloads: u64,
    /// Whether a pending change was found by polling.
    blind: bool,
    /// When an empty or missing file starts to count as such.
    settles: Option<Duration>,
    origin: Instant,
}

impl Actor {
    pub(super) fn new(
        field: Field,
        signal: Arc<Signal>,
        shared: Arc<Shared>,
        slow: Duration,
    ) -> Self {
        Actor {
            field: Some(field),
            shared,
            signal,
            debounce: Debounce::default(),
            poll: Poll::new(slow, Duration::ZERO),
            occasion: Occasion::Start,
            asked: 0,
            reloads: 0,
            blind: false,
            settles: None,
            origin: Instant::now(),
        }
    }

    /// Runs until nobody receives any more.
    pub(super) async fn run(mut self, changes: Sender<Change>) {
        // What panicked was reported by its thread; that the channel closes tells the rest.
        let _ = self.serve(&changes).await;
    }

    async fn serve(&mut self, changes: &Sender<Change>) -> Result<(), Broken> {
        let shared = Arc::clone(&self.shared);
        let signal = Arc::clone(&self.signal);
        let timer = Timer::new();
        self.debounce.demand(self.now());
        loop {
            tokio::select! {
                biased;
                () = changes.closed() => return Ok(()),
                () = shared.reload.notified(), if self.occasion != Occasion::Start => {
                    self.occasion = Occasion::Reload;
                    self.asked = shared.reloads.load(Ordering::Acquire);
                    self.debounce.demand(self.now());
                }
                () = signal.wake.notified() => self.hear(),
                () = timer.sleep(self.deadline().saturating_sub(self.now())) => {}
            }
            if let Some(turn) = self.poll.turn(self.now()) {
                self.take_turn(turn).await?;
            }
            let change = if self.is_due() { self.look().await? } else { None };
            let change = change.or_else(|| self.tell());
            if let Some(change) = change
                && changes.send(change).await.is_err()
            {
                return Ok(());
            }
        }
    }

    /// What there is to tell without any text.
    fn tell(&mut self) -> Option<Change> {
        let notices = mem::take(&mut self.field.as_mut()?.notices);
        let occasion = Occasion::Notice;
        let reloads = self.reloads;
        (!notices.is_empty()).then(|| Change { occasion, reloads, notices, edits: Vec::new() })
    }

    /// Since the start.
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn deadline(&self) -> Duration {
        self.look_deadline().map_or(self.poll.deadline(), |due| due.min(self.poll.deadline()))
    }

    /// When to look: when a change is quiet; if none is pending, when an empty or missing file starts to count.
    fn look_deadline(&self) -> Option<Duration> {
        self.debounce.deadline().or(self.settles)
    }

    fn is_due(&self) -> bool {
        self.look_deadline().is_some_and(|due| due <= self.now())
    }

    fn hear(&mut self) {
        let heard = self.signal.take();
        if let Some(field) = &mut self.field {
            field.moved |= heard.moved;
        }
        if let Some(touch) = heard.touch {
            self.debounce.touch(touch, self.now());
        }
    }

    /// Does something with the field on a thread beside: a file system may take as long as it likes.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Field) -> T + Send + 'static,
    ) -> Result<T, Broken> {
        let mut field = self.field.take().ok_or(Broken)?;
        let done = beside(move || {
            let outcome = work(&mut field);
            (field, outcome)
        });
        let (field, outcome) = done.await.ok_or(Broken)?;
        self.field = Some(field);
        Ok(outcome)
    }

    /// Looks for changes that nobody announced.
    async fn take_turn(&mut self, turn: Turn) -> Result<(), Broken> {
        // What is pending already has a better idea of when to look.
        let idle = self.debounce.deadline().is_none();
        let (stale, falls_short) = self
            .with(move |field| {
                if turn == Turn::Arm {
                    field.arm();
                }
                (idle && field.is_stale(), field.falls_short())
            })
            .await?;
        if stale {
            self.blind = true;
            self.debounce.touch(Touch::Edit, self.now());
        }
        self.poll.pace(falls_short, self.now());
        Ok(())
    }

    /// Arms, then reads twice what may have changed. Gives what is to be handed on, if anything is.
    async fn look(&mut self) -> Result<Option<Change>, Broken> {
        let thorough = self.occasion != Occasion::Edit;
        let before = (self.occasion == Occasion::Start)
            .then(|| SystemClock.now() - LEFT_ALONE)
            .map(Timestamp::as_nanosecond);
        let (suspects, falls_short) = self
            .with(move |field| (field.scan(Scan { thorough, before }), field.falls_short()))
            .await?;
        self.poll.pace(falls_short, self.now());
        if suspects.iter().flatten().any(Suspect::is_open) {
            let blind = !thorough && (self.blind || falls_short);
            sleep(if blind { BETWEEN_BLIND } else { BETWEEN }).await;
        }
        let found = self.with(|field| field.confirm(suspects)).await?;
        if found.iter().all(Found::is_settled) {
            self.debounce.settled();
        } else if self.debounce.unsettled(self.now()) {
            return Ok(None);
        }
        self.blind = false;
        let (first, now) = (self.occasion == Occasion::Start, self.now());
        let (edits, settles) =
            self.with(move |field| (field.judge(found, first, now), field.deadline())).await?;
        self.settles = settles;
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
        let occasion = mem::replace(&mut self.occasion, Occasion::Edit);
        if occasion == Occasion::Edit && edits.is_empty() {
            return Ok(None);
        }
        if occasion == Occasion::Reload {
            self.reloads = self.asked;
        }
        let notices = self.field.as_mut().map(|field| mem::take(&mut field.notices));
        let (reloads, notices) = (self.reloads, notices.unwrap_or_default());
        Ok(Some(Change { occasion, reloads, notices, edits }))
    }
}
