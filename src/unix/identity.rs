//! Who we are: the user whose jobs run, and the host.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use nix::unistd::{User, getegid, geteuid};

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
            Ok(Some(user)) => Account {
                uid: uid.as_raw(),
                gid: user.gid.as_raw(),
                name: user.name,
                home: user.dir.as_os_str().as_bytes().to_vec(),
                shell: user.shell.as_os_str().as_bytes().to_vec(),
            },
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

    /// Whether `user`, a name or a number in decimal, is this account.
    #[must_use]
    pub fn is(&self, user: &[u8]) -> bool {
        user == self.name.as_bytes() || user == self.uid.to_string().as_bytes()
    }
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
