//! Users: who we are, whom jobs run as, and what it takes to become them. And the host.

use std::env;
use std::ffi::{CStr, CString, OsString, c_char};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, User, getegid, geteuid, getgrouplist, getgroups, getresgid, getresuid,
};
use thiserror::Error;

use super::child::Become;

/// The main group of a user who is just a number: nobody's.
const NO_GROUP: u32 = 65534;

/// A user as jobs see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The number.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
    /// The name; the number in decimal where the user database does not know it.
    pub name: String,
    /// The home directory's path.
    pub home: Vec<u8>,
    /// The login shell's path; jobs do not use it.
    pub shell: Vec<u8>,
}

impl Account {
    /// The user this process runs as.
    ///
    /// One that the user database does not know (a container started with just a number) is named by its number and
    /// has `HOME` from the environment, or `/`.
    #[must_use]
    pub fn current() -> Self {
        let uid = geteuid();
        // A database that cannot be read, as in an image without /etc/passwd, knows nobody.
        match User::from_uid(uid) {
            Ok(Some(user)) => Account::of(user),
            Ok(None) | Err(_) => Account::unknown(uid.as_raw(), env::var_os("HOME")),
        }
    }

    fn unknown(uid: u32, home: Option<OsString>) -> Self {
        let home = home.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".into());
        Account {
            uid,
            gid: getegid().as_raw(),
            name: uid.to_string(),
            home: home.as_bytes().to_vec(),
            shell: b"/bin/sh".to_vec(),
        }
    }

    /// Looks a user up, and the groups he is in. May take long, or for ever: the user database may be far away.
    ///
    /// A number is the user of that number where nobody has it as a name (row 57); if that one is unknown too, it is taken
    /// as it stands, with the group `nogroup`. `today` is counted in days since 1970.
    ///
    /// # Errors
    /// There is no such user, he has expired, or the database cannot be asked.
    pub fn lookup(name: &str, today: i64) -> Result<(Self, Subject), NoAccount> {
        let number = || name.parse().ok().filter(|number: &u32| number.to_string() == name);
        let mut user = ask(User::from_name(name))?;
        if let (None, Some(number)) = (&user, number()) {
            user = ask(User::from_uid(Uid::from_raw(number)))?;
            if user.is_none() {
                let account = Account { gid: NO_GROUP, ..Account::unknown(number, None) };
                let subject = Subject { uid: number, gid: NO_GROUP, groups: Vec::new() };
                return Ok((account, subject));
            }
        }
        let user = user.ok_or(NoAccount::Unknown)?;
        let entry = CString::new(user.name.as_str()).map_err(|_| NoAccount::Unknown)?;
        if expiry(&entry).is_some_and(|last| today >= last) {
            return Err(NoAccount::Expired);
        }
        let groups = getgrouplist(&entry, user.gid).map_err(NoAccount::Unavailable)?;
        let subject = Subject {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        };
        Ok((Account::of(user), subject))
    }

    fn of(user: User) -> Self {
        Account {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            name: user.name,
            home: user.dir.as_os_str().as_bytes().to_vec(),
            shell: user.shell.as_os_str().as_bytes().to_vec(),
        }
    }

    /// Whether `user`, a name or a number in decimal, is this account.
    #[must_use]
    pub fn is(&self, user: &[u8]) -> bool {
        user == self.name.as_bytes() || user == self.uid.to_string().as_bytes()
    }
}

/// Why there is nobody to run as.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoAccount {
    /// Nobody is called so.
    #[error("unknown user")]
    Unknown,
    /// The account's last day is over (`shadow(5)`).
    #[error("the account has expired")]
    Expired,
    /// The user database cannot be asked.
    #[error("the user database cannot be asked: {}", .0.desc())]
    Unavailable(Errno),
}

/// What the user database answered; one that is not there knows nobody.
fn ask(answer: nix::Result<Option<User>>) -> Result<Option<User>, NoAccount> {
    match answer {
        Ok(user) => Ok(user),
        // What the C libraries say where a file of the database is missing, or knows nothing (getpwnam(3)).
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        Err(errno) => Err(NoAccount::Unavailable(errno)),
    }
}

/// The first day, since 1970, on which an account cannot be used any more; only root can know.
fn expiry(name: &CStr) -> Option<i64> {
    let mut entry = MaybeUninit::<libc::spwd>::uninit();
    let mut buffer: [c_char; 1024] = [0; 1024];
    let mut found = ptr::null_mut();
    // SAFETY: all four are places of the types and sizes that the call wants; the name ends in NUL.
    #[expect(unsafe_code, reason = "getspnam_r has no safe wrapper")]
    let error = unsafe {
        libc::getspnam_r(
            name.as_ptr(),
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        )
    };
    if error != 0 || found.is_null() {
        return None;
    }
    // SAFETY: the call has found an entry, and so written it.
    #[expect(unsafe_code, reason = "the entry that getspnam_r has written")]
    let last = unsafe { entry.assume_init() }.sp_expire;
    (last != -1).then_some(last)
}

/// Whom a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The user.
    pub uid: u32,
    /// The main group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// Whom this process runs as.
#[derive(Debug)]
pub(super) struct Own {
    /// Real, effective and saved.
    uids: Option<[u32; 3]>,
    gids: Option<[u32; 3]>,
    /// Sorted.
    groups: Option<Vec<u32>>,
}

impl Own {
    pub(super) fn of_process() -> Self {
        let uids = getresuid().ok().map(|ids| [ids.real, ids.effective, ids.saved]);
        let gids = getresgid().ok().map(|ids| [ids.real, ids.effective, ids.saved]);
        let groups = getgroups().ok().map(|groups| sorted(groups.into_iter().map(Gid::as_raw)));
        Own {
            uids: uids.map(|ids| ids.map(Uid::as_raw)),
            gids: gids.map(|ids| ids.map(Gid::as_raw)),
            groups,
        }
    }

    /// What there is to be done to become `subject`; nothing where this process is him already.
    pub(super) fn change_to(&self, subject: &Subject) -> Option<Become> {
        let only_groups =
            self.uids == Some([subject.uid; 3]) && self.gids == Some([subject.gid; 3]);
        if only_groups && self.groups == Some(sorted(subject.groups.iter().copied())) {
            return None;
        }
        Some(Become {
            uid: subject.uid,
            gid: subject.gid,
            groups: subject.groups.as_ptr(),
            group_count: subject.groups.len(),
            only_groups,
        })
    }
}

fn sorted(groups: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut groups: Vec<u32> = groups.collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The host's name, as uname(2) tells it; empty if it has none.
#[must_use]
pub fn hostname() -> String {
    nix::sys::utsname::uname()
        .map(|names| names.nodename().to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_account_has_a_name_and_a_home() {
        let account = Account::current();
        assert_eq!(account.uid, geteuid().as_raw());
        assert!(!account.name.is_empty());
        assert!(account.home.starts_with(b"/"));
    }

    #[test]
    fn a_user_without_an_entry_is_named_by_number() {
        let account = Account::unknown(4711, Some("/data".into()));
        assert_eq!((account.name.as_str(), &account.home[..]), ("4711", &b"/data"[..]));
        assert_eq!(Account::unknown(4711, None).home, b"/");
        assert_eq!(Account::unknown(4711, Some(OsString::new())).home, b"/");
    }

    #[test]
    fn an_account_answers_to_its_name_and_its_number() {
        let account = Account { name: "alice".into(), ..Account::unknown(1000, None) };
        assert!(account.is(b"alice") && account.is(b"1000"));
        assert!(!account.is(b"bob") && !account.is(b"01000") && !account.is(b""));
    }

    #[test]
    fn the_host_has_a_name() {
        assert_eq!(Some(hostname()), uname_of_proc());
    }

    fn uname_of_proc() -> Option<String> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim_end().to_owned())
    }
}
