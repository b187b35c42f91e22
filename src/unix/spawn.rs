//! Starting a child without copying the daemon.
//!
//! As vfork(2) does, but for the stack: the child has one of its own, and borrows the daemon's memory until it executes its
//! program; so a start takes as long however large the daemon is. What the child does meanwhile is in `child.rs`. The
//! calling thread waits, however long it takes: only threads that may hang start children.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use nix::errno::Errno;
use nix::unistd::Pid;

use super::child::{self, PWD, Plan, Told};
use super::identity::{Own, Subject};
use super::limit::Limit;
use super::strings::Strings;

/// What files of jobs lack, unless they ask again (row 90).
const UMASK: libc::mode_t = 0o022;

/// The child's stack, without its guard page.
const STACK: usize = 64 << 10;

/// Grows with each handler that is installed.
static HANDLERS: AtomicU64 = AtomicU64::new(0);

/// Says that the disposition of a signal has changed; whoever changes one calls it.
pub(super) fn handlers_changed() {
    HANDLERS.fetch_add(1, Ordering::Release);
}

/// What to start, and what it sees.
#[derive(Debug)]
pub struct Command<'a> {
    /// What is executed rather than the program, where that needs no shell.
    pub direct: Option<Direct<'a>>,
    /// The program's file; not looked up in `PATH`. A relative path starts at [`cwd`](Command::cwd).
    pub program: &'a CStr,
    /// Its arguments, its own name first.
    pub arguments: &'a Strings,
    /// Its whole environment, `NAME=value` each.
    pub environment: [&'a Strings; 2],
    /// Its working directory; `/` where it cannot be entered.
    pub cwd: &'a CStr,
    /// Its descriptors 0 to 2.
    pub streams: [BorrowedFd<'a>; 3],
    /// Whom it runs as; none: as this process.
    pub subject: Option<&'a Subject>,
    /// The limit of descriptors that it gets; none: that of this process.
    pub descriptors: Option<Limit>,
}

/// A program that a shell would do nothing for but execute it.
#[derive(Debug)]
pub struct Direct<'a> {
    /// Where it may be: the first that exists is executed. Whatever goes wrong, the same child executes
    /// [`Command::program`], which then says so.
    pub files: &'a Strings,
    /// Its arguments, its own name first. To the environment `PWD` is added, as a shell would.
    pub arguments: &'a Strings,
}

/// A child that executes its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawned {
    /// The child.
    pub pid: Pid,
    /// Why it is in `/` rather than in its working directory.
    pub astray: Option<Errno>,
}

/// Where a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Step {
    /// Making the process.
    Clone = 1,
    /// Beginning a session.
    Session,
    /// Putting descriptors 0 to 2 in place.
    Streams,
    /// Restoring limits.
    Limits,
    /// Taking the user's groups.
    Groups,
    /// Taking the user's main group.
    MainGroup,
    /// Becoming the user.
    User,
    /// Looking whether it has become the user for good.
    Verify,
    /// Entering even `/`.
    Directory,
    /// Executing the program.
    Execute,
}

impl Step {
    fn from_raw(raw: c_int) -> Self {
        use Step::{
            Clone, Directory, Execute, Groups, Limits, MainGroup, Session, Streams, User, Verify,
        };
        let all =
            [Clone, Session, Streams, Limits, Groups, MainGroup, User, Verify, Directory, Execute];
        all.into_iter().find(|&step| step as c_int == raw).unwrap_or(Clone)
    }

    /// The system call, or what it is for, as it is told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::Clone => "clone",
            Step::Session => "setsid",
            Step::Streams => "dup2",
            Step::Limits => "setrlimit",
            Step::Groups => "setgroups",
            Step::MainGroup => "setgid",
            Step::User => "setuid",
            Step::Verify => "the change of user did not hold",
            Step::Directory => "chdir",
            Step::Execute => "exec",
        }
    }
}

/// No program was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSpawned {
    /// The child, if there was one. It has ended, and somebody has to wait for it.
    pub pid: Option<Pid>,
    /// Where it failed.
    pub step: Step,
    /// Why.
    pub errno: Errno,
}

impl NotSpawned {
    /// Whether it may succeed a moment later: something had run out.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self.step, Step::Clone | Step::Execute) && is_shortage(self.errno)
    }
}

impl fmt::Display for NotSpawned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.step, self.errno) {
            (Step::Clone, Errno::EAGAIN) => f.write_str("no further process: a limit is reached"),
            (Step::Clone, Errno::ENOMEM) => f.write_str("no further process: memory ran out"),
            (step, errno) => write!(f, "{}: {}", step.name(), errno.desc()),
        }
    }
}

impl std::error::Error for NotSpawned {}

/// Whether an error says that something has run out that may be given back.
#[must_use]
pub fn is_shortage(errno: Errno) -> bool {
    matches!(errno, Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE)
}

/// Starts children, one after the other; each thread that does has its own.
#[derive(Debug)]
pub struct Spawner {
    own: Own,
    stack: Mapping,
    /// What the child tells, in memory that it shares even if it has a copy of all else.
    told: Mapping,
    /// `/proc/sys/fs/suid_dumpable`.
    dumpable: Option<File>,
    pwd: Vec<u8>,
    /// Signals whose disposition is not the default one, and when that was looked up.
    signals: Vec<c_int>,
    looked_up: u64,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers are only of use within one call, and the mappings belong to it alone.
#[expect(unsafe_code, reason = "raw pointers kept for their memory only")]
unsafe impl Send for Spawner {}

impl Spawner {
    /// Makes ready to start children.
    ///
    /// # Errors
    /// No memory.
    pub fn new() -> io::Result<Self> {
        let mut pwd = PWD.to_vec();
        pwd.resize(PWD.len() + libc::PATH_MAX.unsigned_abs() as usize, 0);
        Ok(Spawner {
            own: Own::of_process(),
            stack: Mapping::stack()?,
            told: Mapping::new(size_of::<Told>(), libc::MAP_SHARED)?,
            dumpable: File::open("/proc/sys/fs/suid_dumpable").ok(),
            pwd,
            signals: Vec::new(),
            looked_up: u64::MAX,
            pointers: Vec::new(),
        })
    }

    /// Starts a child in a session of its own, with default signals, an empty signal mask, umask 022, and no descriptor
    /// above 2 that is not closed on exec (see [`seal_descriptors`]). Returns when it executes its program.
    ///
    /// `pid` is set as soon as there is a child: another thread may look into it, and end a child that hangs. A child
    /// that is ended before it executes its program counts as started.
    ///
    /// A user and groups that this process has already are not touched, so that no capability is needed for them.
    ///
    /// # Errors
    /// Whatever kept the program from being executed; above all, the identity could not be taken, and not a single
    /// instruction of the program was carried out.
    pub fn spawn(&mut self, command: &Command<'_>, pid: &AtomicI32) -> Result<Spawned, NotSpawned> {
        let failed = |errno| NotSpawned { pid: None, step: Step::Streams, errno };
        // A source among 0 to 2 could be overwritten before it is copied to its place.
        let [stdin, stdout, stderr] = command.streams.map(Source::above_standard);
        let streams = [stdin.map_err(failed)?, stdout.map_err(failed)?, stderr.map_err(failed)?];
        let change = command.subject.and_then(|subject| self.own.change_to(subject));
        self.look_up_signals();

        self.pointers.clear();
        let null = ptr::null();
        for strings in command.environment {
            strings.point(&mut self.pointers);
        }
        let variables = self.pointers.len();
        let pwd_index = command
            .environment
            .iter()
            .flat_map(|strings| strings.iter())
            .position(|variable| variable.to_bytes().starts_with(PWD));
        self.pointers.extend([null, null]);
        let arguments = self.pointers.len();
        command.arguments.point(&mut self.pointers);
        self.pointers.push(null);
        let files = self.pointers.len();
        let mut direct_arguments = files;
        if let Some(direct) = &command.direct {
            direct.files.point(&mut self.pointers);
            self.pointers.push(null);
            direct_arguments = self.pointers.len();
            direct.arguments.point(&mut self.pointers);
            self.pointers.push(null);
        }
        let limit = command.descriptors.map(Limit::raw);
        let base = self.pointers.as_mut_ptr();
        let at = |index: usize| base.wrapping_add(index);
        let told = self.told.start.cast::<Told>();
        let plan = Plan {
            told,
            streams: [streams[0].raw(), streams[1].raw(), streams[2].raw()],
            descriptors: limit.as_ref().map_or(null_of(), ptr::from_ref),
            umask: UMASK,
            identity: change.as_ref().map_or(null_of(), ptr::from_ref),
            cwd: command.cwd.as_ptr(),
            signals: self.signals.as_ptr(),
            signal_count: self.signals.len(),
            program: command.program.as_ptr(),
            arguments: at(arguments).cast_const(),
            environment: base,
            direct: if command.direct.is_some() { at(files).cast_const() } else { null_of() },
            direct_arguments: at(direct_arguments).cast_const(),
            pwd_at: at(pwd_index.unwrap_or(variables)),
            pwd: self.pwd.as_mut_ptr().cast(),
            pwd_room: self.pwd.len() - PWD.len(),
        };
        let shares = change.is_none_or(|who| who.only_groups) || self.may_share();
        // SAFETY: the mapping is large enough, and nobody else has it.
        #[expect(unsafe_code, reason = "memory that the child writes")]
        unsafe {
            told.write_volatile(Told::default());
        };
        let result = self.clone(&plan, shares, pid);
        // SAFETY: as above; the child has ended, or has memory of its own.
        #[expect(unsafe_code, reason = "memory that the child wrote")]
        let told = unsafe { told.read_volatile() };
        let pid = result
            .map_err(|errno| NotSpawned { pid: None, step: Step::Clone, errno })
            .map(Pid::from_raw)?;
        if told.step != 0 {
            let step = Step::from_raw(told.step);
            return Err(NotSpawned { pid: Some(pid), step, errno: Errno::from_raw(told.errno) });
        }
        let astray = (told.cwd != 0).then(|| Errno::from_raw(told.cwd));
        Ok(Spawned { pid, astray })
    }

    /// Has in the caches what a start of `command` by this thread goes through on our side; starts nothing.
    pub fn rehearse(&mut self, command: &Command<'_>) {
        let _ = command.subject.and_then(|subject| self.own.change_to(subject));
        self.look_up_signals();
        let _ = self.may_share();
        self.pointers.clear();
        for strings in command.environment {
            strings.point(&mut self.pointers);
        }
    }

    /// Makes the child and waits until it has ended or executes its program.
    fn clone(&self, plan: &Plan, shares: bool, pid: &AtomicI32) -> Result<libc::pid_t, Errno> {
        let memory = if shares { libc::CLONE_VM } else { 0 };
        let flags = memory | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID | libc::SIGCHLD;
        // No handler of ours may run in the child, and none can before it has put them away.
        let mask = child::set_mask(u64::MAX);
        // SAFETY: the stack is the child's alone and lives on, since this thread waits until the child needs it no more; so
        // do the plan and all that it leads to. `child::run` keeps to what is safe beside the other threads.
        #[expect(unsafe_code, reason = "a child that borrows our memory")]
        let made = unsafe {
            libc::clone(
                child::run,
                self.stack.end(),
                flags,
                ptr::from_ref(plan).cast_mut().cast::<c_void>(),
                pid.as_ptr(),
                ptr::null_mut::<c_void>(),
                ptr::null_mut::<libc::pid_t>(),
            )
        };
        let errno = Errno::last();
        child::set_mask(mask);
        if made == -1 { Err(errno) } else { Ok(made) }
    }

    /// Whether a child that becomes another user may share our memory meanwhile.
    ///
    /// With the change of user the kernel marks the memory as not to be looked at by that user's other processes; unless
    /// `fs.suid_dumpable` is 1, with which it would be theirs to read and write. Where that cannot be read the answer is no.
    fn may_share(&self) -> bool {
        let mut text = [0; 1];
        let read = self.dumpable.as_ref().map(|file| file.read_at(&mut text, 0));
        matches!(read, Some(Ok(1))) && matches!(text[0], b'0' | b'2')
    }

    fn look_up_signals(&mut self) {
        let changed = HANDLERS.load(Ordering::Acquire);
        if self.looked_up != changed {
            self.looked_up = changed;
            self.signals.clear();
            self.signals.extend((1..=child::SIGNALS).filter(|&n| child::is_handled_or_ignored(n)));
        }
    }
}

fn null_of<T>() -> *const T {
    ptr::null()
}

/// Memory of its own, given back when dropped.
#[derive(Debug)]
struct Mapping {
    start: *mut c_void,
    length: usize,
}

#[expect(unsafe_code, reason = "memory from the system")]
impl Mapping {
    fn new(length: usize, sharing: c_int) -> io::Result<Self> {
        // SAFETY: new memory, wherever the system finds room.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                sharing | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { start, length })
    }

    /// A stack below which there is nothing.
    fn stack() -> io::Result<Self> {
        // SAFETY: it only asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).unwrap_or(4096);
        let stack = Mapping::new(STACK + page, libc::MAP_PRIVATE | libc::MAP_STACK)?;
        // SAFETY: the first page of the mapping, which is not in use yet.
        if unsafe { libc::mprotect(stack.start, page, libc::PROT_NONE) } == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(stack)
    }

    fn end(&self) -> *mut c_void {
        self.start.wrapping_byte_add(self.length)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nobody else knows of the mapping.
        #[expect(unsafe_code, reason = "gives the memory back")]
        unsafe {
            libc::munmap(self.start, self.length)
        };
    }
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

/// A descriptor to be given to the child.
enum Source<'a> {
    Given(BorrowedFd<'a>),
    Copied(OwnedFd),
}

impl<'a> Source<'a> {
    fn above_standard(descriptor: BorrowedFd<'a>) -> Result<Self, Errno> {
        if descriptor.as_raw_fd() > 2 {
            Ok(Source::Given(descriptor))
        } else {
            // std copies to the lowest free descriptor from 3 on.
            let copy = descriptor.try_clone_to_owned().map(Source::Copied);
            copy.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
        }
    }

    fn raw(&self) -> c_int {
        match self {
            Source::Given(descriptor) => descriptor.as_raw_fd(),
            Source::Copied(descriptor) => descriptor.as_raw_fd(),
        }
    }
}
