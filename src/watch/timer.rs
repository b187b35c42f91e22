//! A long sleep that wakes the process once.
//!
//! The runtime's own timers are coarse from afar: a sleep of 20 s wakes the thread three or four times on the way to
//! its end. An idle daemon should not.
use std::fs::File;
use std::future::pending;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

/// From how long a sleep on it pays to use the kernel's timer.
const LONG: Duration = Duration::from_secs(1);

/// A timer of the kernel, or, where there is none to be had, the runtime's.
#[derive(Debug)]
pub(super) struct Timer {
    kernel: Option<Kernel>,
}

#[derive(Debug)]
struct Kernel {
    timer: TimerFd,
    /// The same timer again, as something that the runtime waits on: like a pipe, it is readable when there is news.
    expired: Receiver,
}

impl Timer {
    /// Must be called within a runtime that drives I/O and time.
    pub(super) fn new() -> Self {
        Timer { kernel: Kernel::new().ok() }
    }

    /// Sleeps for `pause`. May be dropped unfinished and called again.
    pub(super) async fn sleep(&self, pause: Duration) {
        match &self.kernel {
            // The runtime's timers round up to the next millisecond.
            _ if pause.is_zero() => {}
            Some(kernel) if pause >= LONG && kernel.set(pause) => kernel.expire().await,
            _ => sleep(pause).await,
        }
    }
}

impl Kernel {
    fn new() -> io::Result<Kernel> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let again = File::from(timer.as_fd().try_clone_to_owned()?);
        Ok(Kernel { timer, expired: Receiver::from_file_unchecked(again)? })
    }

    fn set(&self, pause: Duration) -> bool {
        let once = Expiration::OneShot(TimeSpec::from_duration(pause));
        self.timer.set(once, TimerSetTimeFlags::empty()).is_ok()
    }

    /// Waits until the timer has expired since it was last set.
    async fn expire(&self) {
        loop {
            if self.expired.readable().await.is_err() {
                return pending().await;
            }
            // Readiness may be left over from an earlier sleep; only what can be read counts.
            if self.expired.try_read(&mut [0; 8]).is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    #[tokio::test]
    async fn a_sleep_that_was_dropped_does_not_end_the_next() {
        let timer = Timer::new();
        assert!(timeout(Duration::from_millis(10), timer.sleep(LONG)).await.is_err());
        let begun = Instant::now();
        timer.sleep(LONG + Duration::from_millis(100)).await;
        assert!(begun.elapsed() >= LONG + Duration::from_millis(100));
        let begun = Instant::now();
        timer.sleep(LONG).await;
        assert!(begun.elapsed() >= LONG, "one that ended does not either");
    }

    #[tokio::test]
    async fn no_pause_is_over_at_once() {
        use std::future::Future as _;
        let timer = Timer::new();
        let sleep = std::pin::pin!(timer.sleep(Duration::ZERO));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sleep.poll(&mut context).is_ready());
    }

    #[tokio::test]
    async fn without_a_kernel_timer_the_runtime_sleeps() {
        let begun = Instant::now();
        Timer { kernel: None }.sleep(LONG).await;
        assert!(begun.elapsed() >= LONG);
    }
}
