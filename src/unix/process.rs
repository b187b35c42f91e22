//! Processes: finding and signalling them, and what children inherit.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

/// A living process, as `/proc/PID/stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The session: the pid of the process that began it.
    pub session: Pid,
    /// Its process group.
    pub group: Pid,
    /// The process.
    pub pid: Pid,
    /// Who started it, or has adopted it since.
    pub parent: Pid,
    /// When it was started, in clock ticks since the host's: with the pid, it names one process for ever.
    pub since: u64,
}

/// The living processes, zombies left out; one pass over `/proc`.
///
/// A process that starts another while this looks may hide it: ask again until nothing is left. Without
/// `/proc` there are none.
#[must_use]
pub fn all() -> Vec<Member> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| stat(Pid::from_raw(pid)))
        .collect()
}

/// The living processes of these sessions; see [`all`].
#[must_use]
pub fn members(sessions: &BTreeSet<Pid>) -> Vec<Member> {
    let mut all = all();
    all.retain(|member| sessions.contains(&member.session));
    all
}

/// When a process was started ([`Member::since`]); none if it has ended.
#[must_use]
pub fn since(pid: Pid) -> Option<u64> {
    stat(pid).map(|member| member.since)
}

/// The clock tick in which an instant lies, as [`Member::since`] counts them, of the time since the host's start that
/// `CLOCK_BOOTTIME` tells; none where a tick is no whole number of nanoseconds.
#[must_use]
pub fn tick_of(since_start: Duration) -> Option<u64> {
    static LENGTH: OnceLock<Option<u128>> = OnceLock::new();
    let length = LENGTH.get_or_init(|| {
        // SAFETY: it only asks for a number.
        #[expect(unsafe_code, reason = "sysconf has no safe wrapper among what is compiled in")]
        let a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        let a_second = u128::try_from(a_second).ok().filter(|&ticks| ticks > 0)?;
        let second = Duration::from_secs(1).as_nanos();
        second.is_multiple_of(a_second).then_some(second / a_second)
    });
    u64::try_from(since_start.as_nanos() / (*length)?).ok()
}

/// What `/proc/PID/stat` says; none for a zombie, and where there is none.
fn stat(pid: Pid) -> Option<Member> {
    // It is shorter, and the system gives all of it at once.
    let mut text = [0; 1024];
    let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut text).ok()?;
    member(pid, &text[..length])
}

/// What the text of `/proc/PID/stat` says; none for a zombie.
fn member(pid: Pid, stat: &[u8]) -> Option<Member> {
    // The program's name stands in brackets, and may itself contain any byte.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    let mut number = || fields.next()?.parse().ok().map(Pid::from_raw);
    let (parent, group, session) = (number()?, number()?, number()?);
    // The 22nd field, and the sixth was the last.
    let since = fields.nth(15)?.parse().ok()?;
    Some(Member { session, group, pid, parent, since })
}

/// The value of a variable in the environment that a process was started with; none if it lacks it, or may not be
/// looked into.
#[must_use]
pub fn variable(pid: Pid, name: &str) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    value_of(&environment, name).map(<[u8]>::to_vec)
}

fn value_of<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    environment
        .split(|&byte| byte == 0)
        .find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Makes this process adopt orphans among its descendants, as PID 1 does anyway.
///
/// # Errors
/// The kernel does not know of it.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Signals every process of the PID namespace but this one, which must be PID 1; whether there was one.
#[expect(clippy::must_use_candidate, reason = "they may have ended by themselves")]
pub fn signal_all_as_init(signal: Signal) -> bool {
    Pid::this().as_raw() == 1 && kill(Pid::from_raw(-1), signal).is_ok()
}

/// Signals one process; whether there was one that may be signalled.
#[expect(clippy::must_use_candidate, reason = "it may have ended by itself")]
pub fn signal(pid: Pid, signal: Signal) -> bool {
    kill(pid, signal).is_ok()
}

/// Signals every process of a group at once; whether there was one that may be signalled.
#[expect(clippy::must_use_candidate, reason = "they may have ended by themselves")]
pub fn signal_group(group: Pid, signal: Signal) -> bool {
    killpg(group, signal).is_ok()
}

/// Sets which permissions the files of this process and its children lack, unless they ask again.
pub fn set_umask(lacking: u32) {
    umask(Mode::from_bits_truncate(lacking));
}

/// Whether the process exists, be it as a zombie.
#[must_use]
pub fn exists(pid: Pid) -> bool {
    // EPERM: somebody else's, but there.
    matches!(kill(pid, None), Ok(()) | Err(Errno::EPERM))
}

#[cfg(test)]
mod tests {
    use nix::unistd::{getpgrp, getppid, getsid};

    use super::*;

    #[test]
    fn a_process_is_read_from_behind_its_name_whatever_the_name_is() {
        let rest = "0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 9 9";
        let cases = [
            ("", None),
            ("7 (sh) S 1 7 7 ", Some((1, 7, 7))),
            ("7 (a) b) S) R 5 8 6 ", Some((5, 8, 6))),
            ("7 (\u{fffd} \n) D 7 9 5 ", Some((7, 9, 5))),
            ("7 (gone) Z 7 9 5 ", None),
        ];
        for (head, expected) in cases {
            let found = member(Pid::from_raw(7), format!("{head}{rest}").as_bytes());
            let raw = found.map(|found| {
                assert_eq!((found.pid.as_raw(), found.since), (7, 4711));
                (found.parent.as_raw(), found.group.as_raw(), found.session.as_raw())
            });
            assert_eq!(raw, expected, "{head:?}");
        }
        assert_eq!(member(Pid::from_raw(9), b"9 (cut) S 7 9 9 0 -1"), None);
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environment = b"AB=1\0B=2=3\0C\0D=\0";
        let value = |name| value_of(environment, name);
        assert_eq!(value("B"), Some(&b"2=3"[..]));
        assert_eq!((value("C"), value("D"), value("A")), (None, Some(&b""[..]), None));
        assert!(variable(Pid::from_raw(i32::MAX), "PATH").is_none());
    }

    #[test]
    fn this_process_is_a_member_of_its_own_session() {
        let session = getsid(None).unwrap();
        let found = members(&BTreeSet::from([session]));
        let here = found.iter().find(|member| member.pid == Pid::this()).unwrap();
        assert_eq!((here.group, here.parent), (getpgrp(), getppid()));
        assert!(!members(&BTreeSet::from([Pid::from_raw(i32::MAX)])).contains(here));
    }

    #[test]
    fn a_process_exists_and_a_number_beyond_all_pids_does_not() {
        assert!(exists(Pid::this()));
        assert!(exists(Pid::from_raw(1)));
        assert!(!exists(Pid::from_raw(i32::MAX)));
        assert!(!signal(Pid::from_raw(i32::MAX), Signal::SIGTERM));
    }
}
