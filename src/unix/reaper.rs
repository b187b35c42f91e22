//! The one place that waits for children.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::memory;

/// How far apart two figures of the same memory may be, KiB: the kernel counts pages for each core, and adds up late.
const BLUR: u64 = 1 << 10;

/// Knows the children and tells which ended, for the whole process.
///
/// Every child is waited for here, orphans that init adopts included; nothing else may wait. With each child that was
/// [adopted](Reaper::adopt) goes a `T`, which comes back with its end. A child may end before whoever started it has told
/// of it: such an end comes back without a `T`, and is to be kept until it is clear whose it is.
#[derive(Debug)]
pub struct Reaper<T> {
    children: HashMap<Pid, T>,
    orphans: u64,
    floor: Floor,
}

/// A child that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The child. The number may belong to another process from now on.
    pub pid: Pid,
    /// How it ended.
    pub status: Status,
    /// What it used, children it waited for included.
    pub usage: Usage,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It exited with this code.
    Exited(u8),
    /// This signal ended it.
    Signalled(i32),
}

/// What a child used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time in user mode.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
    /// The largest resident set of any one process, KiB, children it waited for included; none: not known.
    ///
    /// The kernel hands a process that executes a program the peak of the memory that it leaves, and a child of ours leaves
    /// ours: what wait4(2) tells is never below our own peak, and is the child's only where it is above that.
    pub max_rss_kib: Option<u64>,
}

impl<T> Default for Reaper<T> {
    fn default() -> Self {
        Reaper { children: HashMap::new(), orphans: 0, floor: Floor::default() }
    }
}

impl<T> Reaper<T> {
    /// Keeps what belongs to a child, which was not reaped yet.
    pub fn adopt(&mut self, pid: Pid, what: T) {
        self.children.insert(pid, what);
    }

    /// The next child that has ended, if one has, and what belongs to it; never blocks.
    ///
    /// Signals coalesce, so call it until there is none, after each SIGCHLD.
    pub fn reap(&mut self) -> Option<(Ended, Option<T>)> {
        let (pid, status, usage) = wait_any()?;
        let mut usage = used(&usage);
        usage.max_rss_kib =
            usage.max_rss_kib.filter(|&kib| self.floor.is_below(kib, memory::peak_kib));
        let ended = Ended { pid, status, usage };
        Some((ended, self.children.remove(&ended.pid)))
    }

    /// What belongs to a child that was reaped, and adopted only after.
    pub fn take(&mut self, pid: Pid) -> Option<T> {
        self.children.remove(&pid)
    }

    /// Counts a process that was reaped and that nobody here had started.
    pub fn count_orphan(&mut self) {
        self.orphans += 1;
    }

    /// The living children and what each belongs to, in no order.
    #[must_use]
    pub fn children(&self) -> impl ExactSizeIterator<Item = (Pid, &T)> {
        self.children.iter().map(|(&pid, what)| (pid, what))
    }

    /// How many processes were reaped that nobody here started.
    #[must_use]
    pub fn orphans(&self) -> u64 {
        self.orphans
    }
}

/// Up to which size what wait4(2) tells of a child may be our own memory.
#[derive(Debug, Default)]
struct Floor {
    /// Our own peak when it was last read, KiB. It never falls.
    peak: u64,
}

impl Floor {
    /// Whether a size, KiB, is a child's own. `peak` reads our peak; it is asked only where it may have grown.
    fn is_below(&mut self, kib: u64, peak: impl FnOnce() -> Option<u64>) -> bool {
        let is_above = |floor: u64| kib > floor.saturating_add(BLUR);
        if is_above(self.peak) {
            // Where it cannot be read nobody knows whose this size is.
            let Some(peak) = peak() else { return false };
            self.peak = self.peak.max(peak);
        }
        is_above(self.peak)
    }
}

/// wait4(2) for any child, without waiting.
fn wait_any() -> Option<(Pid, Status, libc::rusage)> {
    loop {
        let mut status: libc::c_int = 0;
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: both pointers lead to memory of the right type, which lives until the call returns.
        #[expect(unsafe_code, reason = "neither nix nor std tells what a child used")]
        let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
        if pid == -1 && Errno::last() == Errno::EINTR {
            continue;
        }
        if pid <= 0 {
            return None;
        }
        // SAFETY: all zeroes is a valid rusage, and wait4 fills it in for a child that ended.
        #[expect(unsafe_code, reason = "the usage that wait4 has written")]
        let usage = unsafe { usage.assume_init() };
        return Some((Pid::from_raw(pid), decode(status), usage));
    }
}

fn decode(status: libc::c_int) -> Status {
    if libc::WIFSIGNALED(status) {
        Status::Signalled(libc::WTERMSIG(status))
    } else {
        Status::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    }
}

fn used(usage: &libc::rusage) -> Usage {
    Usage {
        user: span(usage.ru_utime),
        system: span(usage.ru_stime),
        max_rss_kib: u64::try_from(usage.ru_maxrss).ok(),
    }
}

fn span(time: libc::timeval) -> Duration {
    let part = |value| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_is_an_exit_code_or_a_signal() {
        assert_eq!(decode(0), Status::Exited(0));
        assert_eq!(decode(0xff00), Status::Exited(255));
        assert_eq!(decode(9), Status::Signalled(9));
        assert_eq!(decode(0x0b | 0x80), Status::Signalled(11), "with a core dump");
    }

    #[test]
    fn a_size_is_a_childs_where_it_is_above_our_own_and_that_is_read_only_where_it_may_have_grown()
    {
        let mut floor = Floor::default();
        let unread = || unreachable!("it is known");
        assert!(!floor.is_below(6_000, || Some(6_000)), "what the kernel hands down");
        assert!(!floor.is_below(6_000, unread));
        assert!(!floor.is_below(6_000 + BLUR, unread), "nor where the figures differ a little");
        assert!(floor.is_below(9_000, || Some(6_100)));
        assert!(!floor.is_below(9_000, || Some(9_000)), "we have grown");
        assert!(!floor.is_below(9_000, unread));
        assert!(floor.is_below(90_000, || Some(7_000)), "above what was read once");
        assert!(!floor.is_below(9_000, unread), "it has not fallen for that");
        assert!(!floor.is_below(90_000, || None), "without an answer nothing is known");
        assert!(floor.is_below(90_000, || Some(9_000)), "of this child alone");
    }

    #[test]
    fn times_are_seconds_and_microseconds() {
        let time = libc::timeval { tv_sec: 2, tv_usec: 5 };
        assert_eq!(span(time), Duration::from_micros(2_000_005));
    }
}
