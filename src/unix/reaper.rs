//! The one place that waits for children.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::Pid;

/// Knows the children and tells which ended, for the whole process.
///
/// Every child is waited for here, orphans that init adopts included; nothing else may wait. With each child that was
/// [adopted](Reaper::adopt) goes a `T`, which comes back with its end. A child may end before whoever started it has told
/// of it: such an end comes back without a `T`, and is to be kept until it is clear whose it is.
#[derive(Debug)]
pub struct Reaper<T> {
    children: HashMap<Pid, T>,
    orphans: u64,
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
    /// The largest resident set of any one process, KiB.
    pub max_rss_kib: u64,
}

impl<T> Default for Reaper<T> {
    fn default() -> Self {
        Reaper { children: HashMap::new(), orphans: 0 }
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
        let ended = wait_any()?;
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

/// wait4(2) for any child, without waiting.
fn wait_any() -> Option<Ended> {
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
        return Some(Ended {
            pid: Pid::from_raw(pid),
            status: decode(status),
            usage: used(&usage),
        });
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
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
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
    fn times_are_seconds_and_microseconds() {
        let time = libc::timeval { tv_sec: 2, tv_usec: 5 };
        assert_eq!(span(time), Duration::from_micros(2_000_005));
    }
}
