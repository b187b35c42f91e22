//! The only place that reads a clock.
//!
//! Hands out the wall clock, elapsed time, and alarms on which a thread sleeps until an instant of the wall clock.
//! [`SystemClock`] is the host's; [`ManualClock`] moves when it is told to, for tests. Layer 0.
//!
//! An alarm has no time-out of its own: a thread that waits for nothing is not woken at all, and still learns at once
//! that the wall clock was set.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::clock_gettime;

/// What tells the time.
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Time elapsed since some fixed moment: never goes back, does not see the wall clock being set, and counts
    /// while the host is suspended.
    fn monotonic(&self) -> Duration;

    /// A new alarm on this clock.
    ///
    /// # Errors
    /// The system has no descriptor left.
    fn alarm(&self) -> io::Result<Box<dyn Alarm>>;
}

/// What a thread sleeps on.
pub trait Alarm: Send {
    /// Blocks until the wall clock reads `at` or later, the wall clock is set, or a [`Waker`] of this alarm is
    /// used; without `at`, until one of the latter two.
    ///
    /// A wake-up or a step that happened since the last call ends this one at once. Several at a time are told one
    /// after the other, a step first.
    fn wait_until(&mut self, at: Option<Timestamp>) -> Wake;

    /// Something with which other threads end [`wait_until`](Alarm::wait_until).
    fn waker(&self) -> Waker;
}

/// Why a thread was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wake {
    /// The instant has come.
    Due,
    /// The wall clock was set.
    Stepped,
    /// Somebody used the [`Waker`].
    Woken,
}

/// Ends an alarm's wait from another thread; any number of uses before a wait end just that one.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// Ends the wait, or the next one if nobody waits. Never blocks.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// The host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that others take")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
    }

    fn alarm(&self) -> io::Result<Box<dyn Alarm>> {
        Ok(Box::new(Timer::new()?))
    }
}

/// An alarm on the host's wall clock.
///
/// A timerfd with an absolute time: exact to some 40 µs, where a time-out of poll(2) would be late by 0.1 % of its length.
#[derive(Debug)]
pub struct Timer {
    timer: TimerFd,
    wakes: Arc<EventFd>,
}

impl Timer {
    /// A timer for which nothing is due.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let timer = Timer {
            timer: TimerFd::new(
                ClockId::CLOCK_REALTIME,
                TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
            )?,
            wakes: Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?),
        };
        timer.arm(None)?;
        Ok(timer)
    }

    /// `ECANCELED` if the wall clock was set since the timer was last read; it is armed even so.
    fn arm(&self, at: Option<Timestamp>) -> nix::Result<()> {
        let at = at.unwrap_or(Timestamp::MAX);
        let since_epoch = Duration::try_from(at.duration_since(Timestamp::UNIX_EPOCH))
            .unwrap_or_default()
            // Zero would disarm.
            .max(Duration::from_nanos(1));
        self.timer.set(
            Expiration::OneShot(TimeSpec::from_duration(since_epoch)),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
        )
    }
}

impl Alarm for Timer {
    fn wait_until(&mut self, at: Option<Timestamp>) -> Wake {
        match self.arm(at) {
            Ok(()) => {}
            Err(Errno::ECANCELED) => return Wake::Stepped,
            Err(error) => unreachable!("a timer takes every instant after the epoch: {error}"),
        }
        loop {
            let mut sources = [
                PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.wakes.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut sources, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => unreachable!("two open descriptors can be polled: {error}"),
            }
            match nix::unistd::read(&self.timer, &mut [0; 8]) {
                Ok(_) => return Wake::Due,
                Err(Errno::ECANCELED) => return Wake::Stepped,
                Err(_) => {}
            }
            if self.wakes.read().is_ok() {
                return Wake::Woken;
            }
        }
    }

    fn waker(&self) -> Waker {
        let wakes = Arc::clone(&self.wakes);
        Waker(Arc::new(move || {
            // It only fails when 2^64 wake-ups wait: the sleeper is woken already.
            let _ = wakes.write(1);
        }))
    }
}

/// A clock that stands still until it is moved.
///
/// Clones show the same time. Threads that sleep on its alarms are woken as the host's clock would wake them.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    elapsed: Duration,
    steps: u64,
    alarms: BTreeMap<u64, Sleeper>,
    alarms_made: u64,
}

/// What one alarm waits for.
#[derive(Debug, Clone, Copy, Default)]
struct Sleeper {
    asleep: bool,
    until: Option<Timestamp>,
    steps_seen: u64,
    woken: bool,
}

impl Sleeper {
    fn wake(&self, now: Timestamp, steps: u64) -> Option<Wake> {
        if self.steps_seen != steps {
            Some(Wake::Stepped)
        } else if self.until.is_some_and(|until| until <= now) {
            Some(Wake::Due)
        } else if self.woken {
            Some(Wake::Woken)
        } else {
            None
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ManualClock {
    /// A clock that reads `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        ManualClock(Arc::new(Shared {
            state: Mutex::new(State {
                now,
                elapsed: Duration::ZERO,
                steps: 0,
                alarms: BTreeMap::new(),
                alarms_made: 0,
            }),
            changed: Condvar::new(),
        }))
    }

    /// Lets `span` pass, on both clocks.
    pub fn advance(&self, span: Duration) {
        let mut state = self.0.state();
        state.elapsed += span;
        let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        state.now = state.now.saturating_add(span).unwrap_or(Timestamp::MAX);
        self.0.changed.notify_all();
    }

    /// Sets the wall clock, forward or back; no time passes.
    pub fn step(&self, to: Timestamp) {
        let mut state = self.0.state();
        state.now = to;
        state.steps += 1;
        self.0.changed.notify_all();
    }

    /// Lets `span` pass unseen, then sets the wall clock: sleepers learn of both at once.
    pub fn pass_and_step(&self, span: Duration, to: Timestamp) {
        let mut state = self.0.state();
        state.elapsed += span;
        state.now = to;
        state.steps += 1;
        self.0.changed.notify_all();
    }

    /// Blocks until every alarm sleeps with nothing to wake it; returns the first instant one of them sleeps for.
    ///
    /// A thread that makes its alarm later than this is called is not waited for, unless it makes the only one.
    #[must_use]
    pub fn wait_until_asleep(&self) -> Option<Timestamp> {
        let mut state = self.0.state();
        loop {
            let (now, steps) = (state.now, state.steps);
            let settled = |alarm: &Sleeper| alarm.asleep && alarm.wake(now, steps).is_none();
            if !state.alarms.is_empty() && state.alarms.values().all(settled) {
                return state.alarms.values().filter_map(|alarm| alarm.until).min();
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.state().now
    }

    fn monotonic(&self) -> Duration {
        self.0.state().elapsed
    }

    fn alarm(&self) -> io::Result<Box<dyn Alarm>> {
        let mut state = self.0.state();
        let id = state.alarms_made;
        state.alarms_made += 1;
        let alarm = Sleeper { steps_seen: state.steps, ..Sleeper::default() };
        state.alarms.insert(id, alarm);
        Ok(Box::new(ManualAlarm { id, shared: Arc::clone(&self.0) }))
    }
}

/// An alarm on a [`ManualClock`].
#[derive(Debug)]
struct ManualAlarm {
    id: u64,
    shared: Arc<Shared>,
}

impl Alarm for ManualAlarm {
    fn wait_until(&mut self, at: Option<Timestamp>) -> Wake {
        let mut state = self.shared.state();
        loop {
            let (now, steps) = (state.now, state.steps);
            let alarm = state.alarms.entry(self.id).or_default();
            alarm.until = at;
            if let Some(wake) = alarm.wake(now, steps) {
                alarm.asleep = false;
                match wake {
                    Wake::Stepped => alarm.steps_seen = steps,
                    Wake::Woken => alarm.woken = false,
                    Wake::Due => {}
                }
                return wake;
            }
            alarm.asleep = true;
            self.shared.changed.notify_all();
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn waker(&self) -> Waker {
        let (id, shared) = (self.id, Arc::clone(&self.shared));
        Waker(Arc::new(move || {
            if let Some(alarm) = shared.state().alarms.get_mut(&id) {
                alarm.woken = true;
            }
            shared.changed.notify_all();
        }))
    }
}

impl Drop for ManualAlarm {
    fn drop(&mut self) {
        self.shared.state().alarms.remove(&self.id);
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A thread that tells each wake-up of its alarm and waits anew, until it is dropped.
    fn watch(
        clock: &impl Clock,
        until: Option<Timestamp>,
        waits: usize,
    ) -> (Waker, mpsc::Receiver<Wake>, thread::JoinHandle<()>) {
        let mut alarm = clock.alarm().unwrap();
        let waker = alarm.waker();
        let (told, reasons) = mpsc::channel();
        let thread = thread::spawn(move || {
            for _ in 0..waits {
                told.send(alarm.wait_until(until)).unwrap();
            }
        });
        (waker, reasons, thread)
    }

    #[test]
    fn a_timer_wakes_at_the_instant_and_not_before() {
        let clock = SystemClock;
        let until = clock.now() + SignedDuration::from_millis(30);
        let mut alarm = clock.alarm().unwrap();
        assert_eq!(alarm.wait_until(Some(until)), Wake::Due);
        assert!(clock.now() >= until);
    }

    #[test]
    fn a_timer_is_due_at_once_for_an_instant_that_has_passed() {
        let mut timer = Timer::new().unwrap();
        for passed in [Timestamp::MIN, Timestamp::UNIX_EPOCH, at(1)] {
            assert_eq!(timer.wait_until(Some(passed)), Wake::Due);
        }
    }

    #[test]
    fn a_timer_without_an_instant_wakes_when_it_is_woken() {
        let (waker, reasons, thread) = watch(&SystemClock, None, 1);
        waker.wake();
        assert_eq!(reasons.recv().unwrap(), Wake::Woken);
        thread.join().unwrap();
    }

    #[test]
    fn wakers_used_before_a_wait_end_one_wait() {
        let mut timer = Timer::new().unwrap();
        timer.waker().wake();
        timer.waker().wake();
        assert_eq!(timer.wait_until(None), Wake::Woken);
        let soon = SystemClock.now() + SignedDuration::from_millis(5);
        assert_eq!(timer.wait_until(Some(soon)), Wake::Due);
    }

    #[test]
    fn a_wake_up_that_loses_to_a_due_instant_is_told_next() {
        let mut timer = Timer::new().unwrap();
        timer.waker().wake();
        assert_eq!(timer.wait_until(Some(at(1))), Wake::Due);
        assert_eq!(timer.wait_until(None), Wake::Woken);
    }

    #[test]
    fn elapsed_time_never_goes_back() {
        let first = SystemClock.monotonic();
        assert!(first > Duration::ZERO);
        assert!(SystemClock.monotonic() >= first);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(at(100));
        assert_eq!((clock.now(), clock.monotonic()), (at(100), Duration::ZERO));
        clock.advance(Duration::from_secs(5));
        assert_eq!((clock.now(), clock.monotonic()), (at(105), Duration::from_secs(5)));
        clock.step(at(50));
        assert_eq!((clock.now(), clock.monotonic()), (at(50), Duration::from_secs(5)));
    }

    #[test]
    fn advancing_a_manual_clock_wakes_the_sleeper_when_its_instant_has_come() {
        let clock = ManualClock::new(at(100));
        let (_waker, reasons, thread) = watch(&clock, Some(at(110)), 1);
        assert_eq!(clock.wait_until_asleep(), Some(at(110)));
        clock.advance(Duration::from_secs(9));
        assert_eq!(clock.wait_until_asleep(), Some(at(110)));
        assert!(reasons.try_recv().is_err());
        clock.advance(Duration::from_secs(1));
        assert_eq!(reasons.recv().unwrap(), Wake::Due);
        thread.join().unwrap();
    }

    #[test]
    fn a_step_wakes_a_sleeper_that_waits_for_nothing() {
        let clock = ManualClock::new(at(100));
        let (waker, reasons, thread) = watch(&clock, None, 2);
        assert_eq!(clock.wait_until_asleep(), None);
        clock.step(at(90));
        assert_eq!(reasons.recv().unwrap(), Wake::Stepped);
        assert_eq!(clock.wait_until_asleep(), None);
        waker.wake();
        assert_eq!(reasons.recv().unwrap(), Wake::Woken);
        thread.join().unwrap();
    }

    #[test]
    fn a_sleeper_with_a_step_a_due_instant_and_a_waker_is_told_all_three() {
        let clock = ManualClock::new(at(100));
        let mut alarm = clock.alarm().unwrap();
        alarm.waker().wake();
        clock.step(at(200));
        assert_eq!(alarm.wait_until(Some(at(150))), Wake::Stepped);
        assert_eq!(alarm.wait_until(Some(at(150))), Wake::Due);
        assert_eq!(alarm.wait_until(None), Wake::Woken);
    }
}
