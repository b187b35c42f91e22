//! The child's side of a start: from clone(2) to exec(3), in the daemon's own memory.
//!
//! Nothing here allocates, locks, panics or calls what is not async-signal-safe: the thread that started the child stands
//! still meanwhile, the others do not. System calls that the C library would carry out for all threads of the daemon
//! (setgroups, setresgid, setresuid) are made directly, and so hold for the child alone.

#![expect(unsafe_code, reason = "a child that shares its parent's memory, and raw system calls")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use super::spawn::Step;

#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
mod number {
    pub(super) use libc::{
        SYS_getresgid, SYS_getresuid, SYS_setgroups, SYS_setresgid, SYS_setresuid,
    };
}

#[cfg(any(target_arch = "x86", target_arch = "arm"))]
mod number {
    // The older calls take 16 bits.
    pub(super) use libc::{
        SYS_getresgid32 as SYS_getresgid, SYS_getresuid32 as SYS_getresuid,
        SYS_setgroups32 as SYS_setgroups, SYS_setresgid32 as SYS_setresgid,
        SYS_setresuid32 as SYS_setresuid,
    };
}

/// The number of signals, and of bytes in the kernel's set of them.
pub(super) const SIGNALS: c_int = 64;
const SET: usize = 8;

/// The kernel's `struct sigaction`, of which only the first word is looked at; larger than any.
type Action = [usize; 8];

/// What the child tells its parent, in memory that both see.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Told {
    /// Where it failed, as a [`Step`]; 0 if nowhere.
    pub step: c_int,
    /// Why.
    pub errno: c_int,
    /// Why the working directory could not be entered; 0 if it was.
    pub cwd: c_int,
}

/// Whom the child becomes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Become {
    pub uid: u32,
    pub gid: u32,
    pub groups: *const u32,
    pub group_count: usize,
    /// The user and the main group are right already, and it is well if the groups cannot be changed.
    pub only_groups: bool,
}

/// All that the child does; every pointer leads to memory that the parent keeps until the child has its own.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Plan {
    pub told: *mut Told,
    /// Descriptors above 2.
    pub streams: [c_int; 3],
    /// The limit of descriptors; null: as it is.
    pub descriptors: *const libc::rlimit64,
    pub umask: libc::mode_t,
    /// Null: nobody else.
    pub identity: *const Become,
    pub cwd: *const c_char,
    /// Signals whose disposition is not the default one.
    pub signals: *const c_int,
    pub signal_count: usize,
    pub program: *const c_char,
    pub arguments: *const *const c_char,
    /// Ends in two null pointers: room for one more.
    pub environment: *mut *const c_char,
    /// Files to execute rather than the program, the first that exists; ends in null. Null: the program.
    pub direct: *const *const c_char,
    pub direct_arguments: *const *const c_char,
    /// Where in the environment `PWD` stands, or its first null pointer.
    pub pwd_at: *mut *const c_char,
    /// `PWD=` and room for a path.
    pub pwd: *mut c_char,
    /// The room for the path, bytes.
    pub pwd_room: usize,
}

/// Where the path begins in `PWD=…`.
pub(super) const PWD: &[u8; 4] = b"PWD=";

/// What clone(2) calls in the child.
///
/// # Safety
/// `plan` leads to a [`Plan`] whose pointers are all as it says, and whoever made it waits.
pub(super) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: by the contract above, which holds for all that follows.
    unsafe {
        let plan = &*plan.cast::<Plan>();
        if let Err((step, errno)) = carry_out(plan) {
            (*plan.told).errno = errno;
            (*plan.told).step = step as c_int;
        }
        libc::_exit(127)
    }
}

type Failed = (Step, c_int);

/// Comes back only if something failed.
unsafe fn carry_out(plan: &Plan) -> Result<(), Failed> {
    // SAFETY: as `run` promises.
    unsafe {
        check(libc::setsid(), Step::Session)?;
        for (to, &from) in (0..).zip(&plan.streams) {
            check(libc::dup2(from, to), Step::Streams)?;
        }
        // A child that hangs from here on must not keep open what others wait for the end of. Where the system does not know
        // the call, they are closed when the program is executed.
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32);
        if !plan.descriptors.is_null() {
            let done = libc::syscall(
                libc::SYS_prlimit64,
                0,
                libc::RLIMIT_NOFILE,
                plan.descriptors,
                ptr::null::<c_void>(),
            );
            check(done, Step::Limits)?;
        }
        libc::umask(plan.umask);
        if !plan.identity.is_null() {
            become_somebody(&*plan.identity)?;
        }
        if libc::chdir(plan.cwd) != 0 {
            (*plan.told).cwd = errno();
            check(libc::chdir(c"/".as_ptr()), Step::Directory)?;
        }
        let default: Action = [0; 8];
        for index in 0..plan.signal_count {
            let signal = *plan.signals.add(index);
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                ptr::null::<Action>(),
                SET,
            );
        }
        set_mask(0);
        if !plan.direct.is_null() {
            execute_directly(plan);
        }
        libc::execve(plan.program, plan.arguments, plan.environment.cast_const());
        Err((Step::Execute, errno()))
    }
}

/// Changes groups, main group and user, in this order, and looks whether it is true.
unsafe fn become_somebody(who: &Become) -> Result<(), Failed> {
    // SAFETY: the list is as long as it says; the others take numbers, or write to the places given.
    unsafe {
        let done = libc::syscall(number::SYS_setgroups, who.group_count, who.groups);
        if who.only_groups {
            return Ok(());
        }
        check(done, Step::Groups)?;
        check(libc::syscall(number::SYS_setresgid, who.gid, who.gid, who.gid), Step::MainGroup)?;
        check(libc::syscall(number::SYS_setresuid, who.uid, who.uid, who.uid), Step::User)?;
        let (mut real, mut effective, mut saved) = (0_u32, 0_u32, 0_u32);
        let places = (&raw mut real, &raw mut effective, &raw mut saved);
        let done = libc::syscall(number::SYS_getresgid, places.0, places.1, places.2);
        check(done, Step::Verify)?;
        if [real, effective, saved] != [who.gid; 3] {
            return Err((Step::Verify, libc::EPERM));
        }
        let done = libc::syscall(number::SYS_getresuid, places.0, places.1, places.2);
        check(done, Step::Verify)?;
        if [real, effective, saved] != [who.uid; 3] {
            return Err((Step::Verify, libc::EPERM));
        }
        // From here on the user may end this process with a signal that leaves its memory behind, and that is the daemon's.
        let done = libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        check(done, Step::Verify)?;
        // A capability that outlived the change would give everything back.
        if who.uid != 0 && libc::syscall(number::SYS_setresuid, u32::MAX, 0, u32::MAX) == 0 {
            return Err((Step::Verify, libc::EPERM));
        }
        Ok(())
    }
}

/// Executes the first of the files that exists; comes back, with the environment as it was, if the shell has to judge.
unsafe fn execute_directly(plan: &Plan) {
    // SAFETY: the list of files ends in null, and so do the arguments and the environment, of which `pwd_at` is a place.
    unsafe {
        let given = *plan.pwd_at;
        if !is_working_directory(given) {
            if !fill_in_pwd(plan) {
                return;
            }
            *plan.pwd_at = plan.pwd;
        }
        let mut file = plan.direct;
        while !(*file).is_null() {
            libc::execve(*file, plan.direct_arguments, plan.environment.cast_const());
            if !matches!(errno(), libc::ENOENT | libc::ENOTDIR) {
                break;
            }
            file = file.add(1);
        }
        *plan.pwd_at = given;
    }
}

/// Whether `PWD=…` is an absolute path to the working directory: then a shell that begins leaves it as it stands.
unsafe fn is_working_directory(pwd: *const c_char) -> bool {
    // SAFETY: it is null or begins with `PWD=` and ends in NUL.
    unsafe {
        if pwd.is_null() || *pwd.add(PWD.len()).cast::<u8>() != b'/' {
            return false;
        }
        let (mut named, mut here) = (zeroed_stat(), zeroed_stat());
        libc::stat(pwd.add(PWD.len()), &raw mut named) == 0
            && libc::stat(c".".as_ptr(), &raw mut here) == 0
            && named.st_dev == here.st_dev
            && named.st_ino == here.st_ino
    }
}

/// Writes the working directory's path behind `PWD=`; false if it has none.
unsafe fn fill_in_pwd(plan: &Plan) -> bool {
    // SAFETY: the buffer has the room it says.
    unsafe {
        let path = plan.pwd.add(PWD.len());
        let got = libc::syscall(libc::SYS_getcwd, path, plan.pwd_room);
        // What cannot be reached from the root comes as `(unreachable)/…`.
        got > 0 && *path.cast::<u8>() == b'/'
    }
}

fn zeroed_stat() -> libc::stat {
    // SAFETY: it is plain numbers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

fn check(result: impl Into<libc::c_long>, step: Step) -> Result<(), Failed> {
    if result.into() == -1 { Err((step, errno())) } else { Ok(()) }
}

fn errno() -> c_int {
    nix::errno::Errno::last_raw()
}

/// Sets which signals the calling thread does not get, and tells which those were. A bit for each, from 1 on.
///
/// Not the C library's: that one keeps two signals of its own from being blocked.
pub(super) fn set_mask(blocked: u64) -> u64 {
    let mut before = 0_u64;
    // SAFETY: both sets are as large as is said.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const blocked,
            &raw mut before,
            SET,
        )
    };
    before
}

/// Whether a signal's disposition is not the default one.
pub(super) fn is_handled_or_ignored(signal: c_int) -> bool {
    let mut action: Action = [0; 8];
    // SAFETY: nothing is set; the place is larger than what is written.
    let done = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, ptr::null::<Action>(), &raw mut action, SET)
    };
    done == 0 && action[0] != libc::SIG_DFL
}
