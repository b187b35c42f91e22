//! Signals as one stream.

use std::io;
use std::os::unix::net::UnixStream;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use signal_hook::iterator::backend::{Pending, SignalDelivery};
use signal_hook::iterator::exfiltrator::SignalOnly;
use tokio::net::UnixStream as Readable;

/// The signals that steer the daemon.
pub const CONTROL: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Has the kernel keep the signals that steer the daemon until a stream of [`Signals`] receives them. As PID 1 a signal
/// without a handler is dropped, unless it is blocked; elsewhere they would lose their default effect, which ends a
/// program that hangs in its start.
///
/// # Errors
/// None that a thread which exists would see.
pub fn hold_back() -> io::Result<()> {
    Ok(CONTROL.into_iter().collect::<SigSet>().thread_block()?)
}

/// Does something while no signal that steers the daemon is delivered to this thread; threads that it starts leave them to
/// others for good. So may a thread be started before all [`Signals`] are received.
pub fn sheltered<T>(work: impl FnOnce() -> T) -> T {
    let held: SigSet = CONTROL.into_iter().collect();
    // Neither fails on a thread that exists.
    let before = held.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let done = work();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    done
}

/// Signals that arrive from now on, one after the other.
///
/// From its creation on, none of them has its default effect any more, and as PID 1 the kernel delivers them, which it
/// does not without a handler. A signal that comes while nobody waits is kept; several of one kind that come before
/// they are looked at count as one, as with every Unix signal. There may be several streams, even of the same signals.
#[derive(Debug)]
pub struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    pending: Pending<SignalOnly>,
    readable: Readable,
}

impl Signals {
    /// Begins to receive `signals`, also those that were [held back](hold_back) or that whoever started the program left
    /// blocked. Needs to be called inside a tokio runtime, and on the only thread: one that comes meanwhile is held back
    /// on this thread alone.
    ///
    /// # Errors
    /// No descriptor is left, or one of the signals cannot be received (`SIGKILL`, `SIGSTOP`).
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let refused = |signal: &&Signal| matches!(signal, Signal::SIGKILL | Signal::SIGSTOP);
        if let Some(signal) = signals.iter().find(refused) {
            let text = format!("{signal} cannot be received");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        let readable = Readable::from_std(read.try_clone()?)?;
        let numbers = signals.iter().map(|&signal| signal as i32);
        // Between the kernel's knowing a handler and the handler's knowing what to do, a signal would be lost.
        let held: SigSet = signals.iter().copied().collect();
        held.thread_block()?;
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, numbers);
        held.thread_unblock()?;
        let mut delivery = delivery?;
        super::spawn::handlers_changed();
        let pending = delivery.pending();
        Ok(Signals { delivery, pending, readable })
    }

    /// The signals that tell of children: just `SIGCHLD`.
    ///
    /// # Errors
    /// As [`new`](Signals::new).
    pub fn of_children() -> io::Result<Self> {
        Signals::new(&[Signal::SIGCHLD])
    }

    /// The next signal. Dropping the future loses none.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn next(&mut self) -> io::Result<Signal> {
        loop {
            for number in self.pending.by_ref() {
                if let Ok(signal) = Signal::try_from(number) {
                    return Ok(signal);
                }
            }
            self.readable.readable().await?;
            // Emptied first: a signal that comes in between makes it readable anew.
            while self.readable.try_read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
            self.pending = self.delivery.pending();
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn a_thread_that_is_started_in_shelter_leaves_signals_to_others() {
        let before = SigSet::thread_get_mask().unwrap();
        let mask = || SigSet::thread_get_mask().unwrap();
        let inside = sheltered(|| std::thread::spawn(mask)).join().unwrap();
        assert!(CONTROL.iter().all(|&signal| inside.contains(signal)));
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }

    #[tokio::test]
    async fn a_signal_that_comes_while_nobody_waits_is_kept() {
        let mut signals = Signals::new(&[Signal::SIGUSR2, Signal::SIGWINCH]).unwrap();
        raise(Signal::SIGUSR2).unwrap();
        assert_eq!(signals.next().await.unwrap(), Signal::SIGUSR2);
        raise(Signal::SIGWINCH).unwrap();
        assert_eq!(signals.next().await.unwrap(), Signal::SIGWINCH);
    }

    #[tokio::test]
    async fn different_signals_at_once_all_arrive() {
        let mut signals = Signals::new(&[Signal::SIGURG, Signal::SIGIO]).unwrap();
        raise(Signal::SIGIO).unwrap();
        raise(Signal::SIGURG).unwrap();
        let mut seen = [signals.next().await.unwrap(), signals.next().await.unwrap()];
        seen.sort_unstable();
        assert_eq!(seen, [Signal::SIGURG, Signal::SIGIO]);
    }

    #[tokio::test]
    async fn a_signal_given_up_on_is_told_to_the_next_who_asks() {
        let mut signals = Signals::new(&[Signal::SIGPROF]).unwrap();
        {
            let mut next = Box::pin(signals.next());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(next.as_mut().poll(&mut context).is_pending());
            raise(Signal::SIGPROF).unwrap();
        }
        assert_eq!(signals.next().await.unwrap(), Signal::SIGPROF);
    }

    #[tokio::test]
    async fn a_signal_that_was_held_back_arrives() {
        [Signal::SIGVTALRM].into_iter().collect::<SigSet>().thread_block().unwrap();
        raise(Signal::SIGVTALRM).unwrap();
        let mut signals = Signals::new(&[Signal::SIGVTALRM]).unwrap();
        assert_eq!(signals.next().await.unwrap(), Signal::SIGVTALRM);
        raise(Signal::SIGVTALRM).unwrap();
        assert_eq!(signals.next().await.unwrap(), Signal::SIGVTALRM);
    }

    #[tokio::test]
    async fn what_cannot_be_received_is_refused() {
        assert!(Signals::new(&[Signal::SIGKILL]).is_err());
    }
}
