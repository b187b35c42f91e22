//! Going to the background, with somebody in the foreground who knows whether it worked.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

/// Which of the two processes this is after [`detach`].
#[derive(Debug)]
pub enum Side {
    /// The one that was called: the other is up, or has ended for the reason that it gave, if it gave one.
    Caller(Result<(), String>),
    /// The one in the background.
    Background(Pending, Complaint),
}

/// Whoever called waits to be told that the process in the background is up.
#[derive(Debug)]
pub struct Pending {
    caller: Arc<File>,
}

/// Where the process in the background says why it did not come up.
#[derive(Debug)]
pub struct Complaint {
    caller: Arc<File>,
}

/// What a caller is told when all is well: no text begins with it.
const UP: u8 = 0;

/// Forks: the child gets a session of its own, `/` as its directory and `/dev/null` as its standard streams, and the
/// caller waits for it to be up or to complain.
///
/// To be called before any thread is started.
///
/// # Errors
/// No process or descriptor is left.
pub fn detach() -> io::Result<Side> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: there is one thread, as the contract says, so the child may do whatever the caller might.
    #[expect(unsafe_code, reason = "fork is how a process gets to the background")]
    let forked = unsafe { fork() }?;
    match forked {
        ForkResult::Parent { .. } => {
            drop(write);
            let mut read = File::from(read);
            let mut first = [0];
            if read.read(&mut first)? == 1 && first[0] == UP {
                return Ok(Side::Caller(Ok(())));
            }
            let mut reason = first.iter().copied().filter(|&byte| byte != 0).collect();
            read.read_to_end(&mut reason)?;
            Ok(Side::Caller(Err(String::from_utf8_lossy(&reason).into_owned())))
        }
        ForkResult::Child => {
            drop(read);
            setsid()?;
            chdir("/")?;
            // At once: what is started later must not keep the caller's streams open. An image may lack it.
            if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
                dup2_stdin(&null)?;
                dup2_stdout(&null)?;
                dup2_stderr(&null)?;
            }
            let caller = Arc::new(File::from(write));
            Ok(Side::Background(Pending { caller: Arc::clone(&caller) }, Complaint { caller }))
        }
    }
}

impl Pending {
    /// Tells the caller that all is well.
    pub fn tell(self) {
        // A caller that was killed meanwhile has nothing to learn.
        let _ = (&*self.caller).write_all(&[UP]);
    }
}

impl Complaint {
    /// Tells the caller why it did not come up; nothing happens if it was told otherwise before.
    pub fn tell(self, reason: &str) {
        let _ = (&*self.caller).write_all(reason.as_bytes());
    }
}
