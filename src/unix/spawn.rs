//! Starting a child without copying the daemon.

use std::ffi::{CStr, CString, c_char, c_int, c_short};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::unistd::Pid;

/// What to start, and what it sees.
#[derive(Debug)]
pub struct Command<'a> {
    /// The program's file; not looked up in `PATH`. A relative path starts at [`cwd`](Command::cwd).
    pub program: &'a CStr,
    /// Its arguments, its own name first.
    pub arguments: &'a [CString],
    /// Its whole environment, `NAME=value` each.
    pub environment: &'a [CString],
    /// Its working directory.
    pub cwd: &'a CStr,
    /// Its descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Its descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Its descriptor 2.
    pub stderr: BorrowedFd<'a>,
}

/// Starts a child in a session of its own, with default signals, an empty signal mask, and no descriptor above 2
/// that is not inheritable (see [`seal_descriptors`]). Umask and limits are the daemon's.
///
/// `posix_spawn(3)`, which glibc does as vfork(2) would: the cost does not grow with the daemon's memory. The calling thread
/// waits until the child has executed its program.
///
/// # Errors
/// Whatever kept the program from being executed: a missing working directory or program, too long an
/// environment, no process left. There is no child then.
pub fn spawn(command: &Command<'_>) -> io::Result<Pid> {
    // A source among 0 to 2 could be overwritten before it is copied to its place.
    let streams = [
        Source::above_standard(command.stdin)?,
        Source::above_standard(command.stdout)?,
        Source::above_standard(command.stderr)?,
    ];
    let mut actions = FileActions::new()?;
    for (target, stream) in (0..).zip(&streams) {
        actions.dup2(stream.raw(), target)?;
    }
    actions.chdir(command.cwd)?;
    let attributes = Attributes::new()?;
    let arguments = pointers(command.arguments);
    let environment = pointers(command.environment);
    let mut pid: libc::pid_t = 0;
    // SAFETY: the program and every argument are NUL-terminated strings that `command` keeps alive, both lists
    // end in a null pointer, the attributes and actions are initialised, and posix_spawn writes none of them.
    #[expect(unsafe_code, reason = "posix_spawn has no safe wrapper that changes the directory")]
    let error = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            command.program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            arguments.as_ptr(),
            environment.as_ptr(),
        )
    };
    check(error)?;
    Ok(Pid::from_raw(pid))
}

/// Keeps every descriptor above 2 that this process was started with from its children.
///
/// Whatever the daemon opens itself is closed on exec(3) from the beginning; this is for what a container runtime or
/// an init left open. Call it once, before anything is started.
///
/// # Errors
/// Neither `close_range(2)` nor `/proc/self/fd` is there.
pub fn seal_descriptors() -> io::Result<()> {
    // SAFETY: it only sets a flag on descriptors; all values are valid arguments.
    #[expect(unsafe_code, reason = "close_range has no safe wrapper")]
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(descriptor) = name.to_str().and_then(|name| name.parse::<c_int>().ok()) else {
            continue;
        };
        if descriptor > 2 {
            // SAFETY: it only sets a flag; a descriptor closed meanwhile yields EBADF, which changes nothing.
            #[expect(unsafe_code, reason = "descriptors that nobody here owns")]
            unsafe {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC)
            };
        }
    }
    Ok(())
}

/// Turns an error number, which `posix_spawn` and its kin return, into a result.
fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// The list that exec(3) wants: a pointer to each string, and a null pointer.
fn pointers(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// A descriptor to be given to the child.
enum Source<'a> {
    Given(BorrowedFd<'a>),
    Copied(OwnedFd),
}

impl<'a> Source<'a> {
    fn above_standard(descriptor: BorrowedFd<'a>) -> io::Result<Self> {
        if descriptor.as_raw_fd() > 2 {
            Ok(Source::Given(descriptor))
        } else {
            // std copies to the lowest free descriptor from 3 on.
            descriptor.try_clone_to_owned().map(Source::Copied)
        }
    }

    fn raw(&self) -> c_int {
        match self {
            Source::Given(descriptor) => descriptor.as_raw_fd(),
            Source::Copied(descriptor) => descriptor.as_raw_fd(),
        }
    }
}

/// What the child does before it executes its program.
struct FileActions(libc::posix_spawn_file_actions_t);

#[expect(unsafe_code, reason = "posix_spawn's actions, with no safe wrapper for chdir")]
impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the call initialises what it points to, or fails.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: it did not fail.
        Ok(FileActions(unsafe { actions.assume_init() }))
    }

    fn dup2(&mut self, from: c_int, to: c_int) -> io::Result<()> {
        // SAFETY: the actions are initialised; the numbers are only stored.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }

    fn chdir(&mut self, directory: &CStr) -> io::Result<()> {
        // SAFETY: the actions are initialised; the path is NUL-terminated and copied.
        check(unsafe {
            libc::posix_spawn_file_actions_addchdir_np(&raw mut self.0, directory.as_ptr())
        })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: the actions are initialised, and nobody uses them afterwards.
        #[expect(unsafe_code, reason = "frees what init allocated")]
        unsafe {
            libc::posix_spawn_file_actions_destroy(&raw mut self.0)
        };
    }
}

/// How the child differs from the daemon.
struct Attributes(libc::posix_spawnattr_t);

#[expect(unsafe_code, reason = "posix_spawn's attributes; nix leaves out SETSID")]
impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the call initialises what it points to, or fails.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: it did not fail.
        let mut attributes = Attributes(unsafe { attributes.assume_init() });
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: a set is plain bits, any of which are valid; it is written before it is read, the attributes are
        // initialised, and all is copied.
        unsafe {
            // sigfillset leaves out two signals that the C library keeps to itself, and the child would ignore them.
            set.as_mut_ptr().write_bytes(u8::MAX, 1);
            check(libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, set.as_ptr()))?;
            libc::sigemptyset(set.as_mut_ptr());
            check(libc::posix_spawnattr_setsigmask(&raw mut attributes.0, set.as_ptr()))?;
            check(libc::posix_spawnattr_setflags(&raw mut attributes.0, FLAGS))?;
        }
        Ok(attributes)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "flags of a short, which libc types as int")]
const FLAGS: c_short = libc::POSIX_SPAWN_SETSID as c_short
    | libc::POSIX_SPAWN_SETSIGDEF as c_short
    | libc::POSIX_SPAWN_SETSIGMASK as c_short;

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the attributes are initialised, and nobody uses them afterwards.
        #[expect(unsafe_code, reason = "frees what init allocated")]
        unsafe {
            libc::posix_spawnattr_destroy(&raw mut self.0)
        };
    }
}
