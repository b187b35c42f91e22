//! Going to the background, with somebody in the foreground who knows whether it worked.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

/// Which of the two processes this is after [`detach`].
#[derive(Debug)]
pub enum Side {
    /// The one that was called; the other is up, or has ended with this code, its error told.
    Caller(Result<(), u8>),
    /// The one in the background.
    Background(Pending),
}

/// A process in the background whose caller still waits to be told that it is up.
///
/// Until then errors go where the caller's go. Dropped untold, as when the process ends, the caller takes it for failed.
#[derive(Debug)]
pub struct Pending {
    caller: File,
}

/// Forks: the child gets a session of its own, `/` as its directory and no standard input, and the caller waits for it.
///
/// To be called before any thread is started.
///
/// # Errors
/// No process or descriptor is left.
pub fn detach() -> io::Result<Side> {
    let (read, write) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: there is one thread, as the contract says, so the child may do whatever the caller might.
    #[expect(unsafe_code, reason = "fork is how a process gets to the background")]
    let forked = unsafe { fork() }?;
    match forked {
        ForkResult::Parent { child } => {
            drop(write);
            let mut told = [0];
            if File::from(read).read(&mut told)? == 1 {
                return Ok(Side::Caller(Ok(())));
            }
            let code = match waitpid(child, None)? {
                WaitStatus::Exited(_, code) => u8::try_from(code).unwrap_or(1).max(1),
                _ => 1,
            };
            Ok(Side::Caller(Err(code)))
        }
        ForkResult::Child => {
            drop(read);
            setsid()?;
            chdir("/")?;
            if let Ok(null) = File::open("/dev/null") {
                dup2_stdin(null)?;
            }
            Ok(Side::Background(Pending { caller: File::from(write) }))
        }
    }
}

impl Pending {
    /// Tells the caller that all is well; from now on what is printed goes nowhere.
    pub fn tell(mut self) {
        // An image may lack it; then what nobody reads goes where it went before.
        if let Ok(null) = File::options().write(true).open("/dev/null") {
            let _ = dup2_stdout(&null);
            let _ = dup2_stderr(&null);
        }
        // A caller that was killed meanwhile has nothing to learn.
        let _ = self.caller.write_all(b"1");
    }
}
