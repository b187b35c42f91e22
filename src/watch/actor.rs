//! The loop: sleeps until something is heard, asked for or due, then looks and hands on.
use std::mem;
use std::pin::Pin;
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
use super::{Change, Edit, Occasion, Shared};
use crate::clock::{Clock as _, SystemClock};
use crate::unix::beside::{self, beside};

/// Between the two reads of a file whose change was announced. Longer than a tick of the kernel's coarse clock: a
/// write after the second read leaves another stamp than one before the first.
const BETWEEN: Duration = Duration::from_millis(10);
/// Between the two reads of a file whose change was merely found, perhaps in the midst of it.
const BETWEEN_BLIND: Duration = Duration::from_millis(250);
/// For how long a file must have been left alone to be read just once at the start: many ticks of the coarse clock.
const LEFT_ALONE: Duration = Duration::from_millis(100);

/// What was being done panicked, on its thread.
struct Broken;

/// Wakes the actor when it is dropped, be it by a panic.
struct Wake(Option<Arc<Signal>>);

impl Wake {
    fn leave_asleep(mut self) {
        self.0 = None;
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(signal) = &self.0 {
            signal.wake.notify_one();
        }
    }
}

/// What comes of a turn.
type TurnTaken = Pin<Box<dyn Future<Output = Option<(Field, News)>> + Send>>;

/// What a turn has found.
struct News {
    /// Whether a file is not what it was.
    stale: bool,
    /// Whether inotify falls short, where that is news.
    falls_short: Option<bool>,
}

/// What a first look came to.
enum Looked {
    /// All was settled by it: what is to be handed on, and when an empty or missing file starts to count as such.
    Once(Vec<Edit>, Option<Duration>),
    /// What must be looked at again.
    Open(Vec<Vec<Suspect>>),
}

impl Looked {
    /// Looks; with it whether inotify falls short.
    fn of(field: &mut Field, scan: Scan, first: bool, now: Duration) -> (Self, bool) {
        let suspects = field.scan(scan);
        let falls_short = field.falls_short();
        if suspects.iter().flatten().any(Suspect::is_open) {
            return (Looked::Open(suspects), falls_short);
        }
        let found = field.confirm(suspects);
        let edits = field.judge(found, first, now);
        (Looked::Once(edits, field.deadline()), falls_short)
    }
}

pub(super) struct Actor {
    /// Away while something is done with it beside.
    field: Option<Field>,
    /// The turn that is being taken beside, or has been: the field comes back with it.
    turn: Option<TurnTaken>,
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
    /// The hash of a whole text that was just put into a file.
    written: Option<u64>,
    origin: Instant,
}

impl Actor {
    pub(super) fn new(
        field: Field,
        signal: Arc<Signal>,
        shared: Arc<Shared>,
        slow: Duration,
        written: Option<u64>,
    ) -> Self {
        Actor {
            field: Some(field),
            turn: None,
            shared,
            signal,
            debounce: Debounce::default(),
            poll: Poll::new(slow, Duration::ZERO),
            occasion: Occasion::Start,
            asked: 0,
            reloads: 0,
            blind: false,
            settles: None,
            written,
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
            let mut heard = false;
            tokio::select! {
                biased;
                () = changes.closed() => return Ok(()),
                () = shared.reload.notified(), if self.occasion != Occasion::Start => {
                    self.occasion = Occasion::Reload;
                    self.asked = shared.reloads.load(Ordering::Acquire);
                    self.debounce.demand(self.now());
                }
                () = signal.wake.notified() => heard = true,
                () = timer.sleep(self.deadline().saturating_sub(self.now())) => {}
            }
            self.end_turn().await?;
            if heard {
                self.hear();
            }
            let change = if self.is_due() { self.look().await? } else { None };
            let change = change.or_else(|| self.tell());
            if let Some(change) = change
                && changes.send(change).await.is_err()
            {
                return Ok(());
            }
            if let Some(turn) = self.poll.turn(self.now()) {
                self.begin_turn(turn)?;
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

    /// Begins to look for changes that nobody announced, beside. Only if something is found are we woken for it;
    /// otherwise what has come of it is taken over when we wake up anyway.
    fn begin_turn(&mut self, turn: Turn) -> Result<(), Broken> {
        // What is pending already has a better idea of when to look.
        let idle = self.debounce.deadline().is_none();
        let mut field = self.field.take().ok_or(Broken)?;
        let before = field.falls_short();
        self.poll.pace(before, self.now());
        let wake = Wake(Some(Arc::clone(&self.signal)));
        self.turn = Some(Box::pin(beside::begin(move || {
            if turn == Turn::Arm {
                field.arm();
            }
            let falls_short = Some(field.falls_short()).filter(|&now| now != before);
            let news = News { stale: idle && field.is_stale(), falls_short };
            if !news.stale && falls_short.is_none() && field.notices.is_empty() {
                wake.leave_asleep();
            }
            (field, news)
        })));
        Ok(())
    }

    /// Takes over what has come of a turn, if one was begun.
    async fn end_turn(&mut self) -> Result<(), Broken> {
        let Some(turn) = self.turn.take() else { return Ok(()) };
        let (field, News { stale, falls_short }) = turn.await.ok_or(Broken)?;
        self.field = Some(field);
        if stale {
            self.blind = true;
            self.debounce.touch(Touch::Edit, self.now());
        }
        if let Some(falls_short) = falls_short {
            self.poll.pace(falls_short, self.now());
        }
        Ok(())
    }

    /// Arms, then reads twice what may have changed. Gives what is to be handed on, if anything is.
    async fn look(&mut self) -> Result<Option<Change>, Broken> {
        let thorough = self.occasion != Occasion::Edit;
        let before = (self.occasion == Occasion::Start)
            .then(|| SystemClock.now() - LEFT_ALONE)
            .map(Timestamp::as_nanosecond);
        let scan = Scan { thorough, before, written: self.written.take() };
        let (first, now) = (self.occasion == Occasion::Start, self.now());
        let looked = self.with(move |field| Looked::of(field, scan, first, now));
        let (looked, falls_short) = looked.await?;
        self.poll.pace(falls_short, self.now());
        let (edits, settles) = match looked {
            Looked::Once(edits, settles) => {
                self.debounce.settled();
                (edits, settles)
            }
            Looked::Open(suspects) => {
                let blind = !thorough && (self.blind || falls_short);
                sleep(if blind { BETWEEN_BLIND } else { BETWEEN }).await;
                let found = self.with(|field| field.confirm(suspects)).await?;
                if found.iter().all(Found::is_settled) {
                    self.debounce.settled();
                } else if self.debounce.unsettled(self.now()) {
                    return Ok(None);
                }
                let now = self.now();
                self.with(move |field| (field.judge(found, first, now), field.deadline())).await?
            }
        };
        self.blind = false;
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

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::watch::notice::Notice;

    fn actor() -> Actor {
        let signal = Arc::new(Signal::default());
        let field = Field::new(Vec::new(), Arc::clone(&signal));
        Actor::new(field, signal, Arc::default(), Duration::from_secs(1), None)
    }

    /// Takes a turn to its end, and tells whether it would have woken the actor.
    async fn is_woken(actor: &mut Actor) -> bool {
        actor.begin_turn(Turn::Stamps).ok().unwrap();
        actor.end_turn().await.ok().unwrap();
        // Whoever wakes does so before the outcome is there.
        timeout(Duration::ZERO, actor.signal.wake.notified()).await.is_ok()
    }

    #[tokio::test]
    async fn a_turn_that_finds_nothing_wakes_nobody() {
        let mut actor = actor();
        assert!(!is_woken(&mut actor).await);
        assert!(!is_woken(&mut actor).await, "the next one neither");
    }

    #[tokio::test]
    async fn a_turn_that_has_something_to_tell_wakes_the_actor() {
        let mut actor = actor();
        actor.field.as_mut().unwrap().notices.push(Notice::Announced);
        assert!(is_woken(&mut actor).await);
        assert!(actor.tell().is_some());
        assert!(!is_woken(&mut actor).await);
    }

    #[tokio::test]
    async fn a_turn_that_breaks_wakes_the_actor() {
        let signal = Arc::new(Signal::default());
        let wake = Wake(Some(Arc::clone(&signal)));
        let broken = beside::begin(move || {
            let _wake = wake;
            panic!("asked for");
        });
        assert_eq!(broken.await, None::<()>);
        assert!(timeout(Duration::ZERO, signal.wake.notified()).await.is_ok());
    }
}
