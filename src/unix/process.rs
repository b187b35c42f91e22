//! Processes: finding and signalling those of a session, and what children inherit.

use std::collections::BTreeSet;
use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

/// A process that belongs to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The session: the pid of the process that began it.
    pub session: Pid,
    /// Its process group.
    pub group: Pid,
    /// The process.
    pub pid: Pid,
}

/// The living processes of these sessions, zombies left out; one pass over `/proc`.
///
/// A process that starts another while this looks may hide it: ask again until nothing is left. Without
/// `/proc` there are none.
#[must_use]
pub fn members(sessions: &BTreeSet<Pid>) -> Vec<Member> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| {
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            let (group, session) = group_and_session(&stat)?;
            let pid = Pid::from_raw(pid);
            sessions.contains(&session).then_some(Member { session, group, pid })
        })
        .collect()
}

/// The group and the session in the text of `/proc/PID/stat`; none for a zombie.
fn group_and_session(stat: &[u8]) -> Option<(Pid, Pid)> {
    // The program's name stands in brackets, and may itself contain any byte.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    let mut number = || fields.next()?.parse().ok().map(Pid::from_raw);
    let _parent = number()?;
    Some((number()?, number()?))
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
    use nix::unistd::{getpgrp, getsid};

    use super::*;

    #[test]
    fn a_session_is_read_from_behind_the_name_whatever_the_name_is() {
        let cases = [
            (&b""[..], None),
            (b"7 (sh) S 1 7 7 0 -1 4194560", Some((7, 7))),
            (b"8 (a) b) S) R 7 8 6 0 -1", Some((8, 6))),
            (b"9 (\xff \n) D 7 9 5 0", Some((9, 5))),
            (b"9 (gone) Z 7 9 5 0", None),
            (b"9 (cut) S 7", None),
        ];
        for (stat, expected) in cases {
            let raw = |(group, session): (Pid, Pid)| (group.as_raw(), session.as_raw());
            assert_eq!(group_and_session(stat).map(raw), expected, "{stat:?}");
        }
    }

    #[test]
    fn this_process_is_a_member_of_its_own_session() {
        let session = getsid(None).unwrap();
        let here = Member { session, group: getpgrp(), pid: Pid::this() };
        assert!(members(&BTreeSet::from([session])).contains(&here));
        assert!(!members(&BTreeSet::from([Pid::from_raw(i32::MAX)])).contains(&here));
    }

    #[test]
    fn a_process_exists_and_a_number_beyond_all_pids_does_not() {
        assert!(exists(Pid::this()));
        assert!(exists(Pid::from_raw(1)));
        assert!(!exists(Pid::from_raw(i32::MAX)));
        assert!(!signal(Pid::from_raw(i32::MAX), Signal::SIGTERM));
    }
}
