//! Waiting for the end of a process that is not a child of ours.

#![expect(
    unsafe_code,
    reason = "a system call without a wrapper, and a descriptor that is to stay open"
)]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches one process, whatever becomes of its number.
#[derive(Debug)]
pub struct Witness(AsyncFd<OwnedFd>);

impl Witness {
    /// Watches the process that has this number now. Needs to be called inside a tokio runtime with I/O enabled.
    ///
    /// # Errors
    /// There is none, or the system does not know of this: Linux before 5.3, or a filter of system calls.
    pub fn of(pid: Pid) -> io::Result<Self> {
        // SAFETY: the call takes two numbers, and touches no memory of ours.
        let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        let number = i32::try_from(answer).unwrap_or(-1);
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made, and nobody else knows of it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        // SAFETY: the descriptor is this object's own, and is closed only with it.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
        Ok(Witness(watched))
    }

    /// Waits until the process has ended; at once if it has.
    pub async fn ended(&self) {
        // Where it cannot be waited for it counts as ended.
        let _ = self.0.readable().await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_process_is_seen_by_who_does_not_wait_for_it() {
        let mut command = Command::new("cat");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let witness = Witness::of(pid).unwrap();
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, witness.ended()).await.is_err(), "it lives");
        drop(child.stdin.take());
        witness.ended().await;
        assert!(child.wait().unwrap().success());
        assert!(Witness::of(pid).is_err(), "it is gone");
    }
}
