//! Who may have messages published by the daemon.

use crate::unix::Account;

/// Who may have messages published by the daemon, over its connection and with its password: root, the daemon's own user, and
/// those that `--publish-users` names.
#[derive(Debug, Clone)]
pub struct Permission {
    account: Account,
    users: Vec<String>,
}

impl Permission {
    /// That of a daemon that runs as `account`.
    #[must_use]
    pub fn new(account: Account, users: Vec<String>) -> Self {
        Permission { account, users }
    }

    /// Whether a user may, by name.
    #[must_use]
    pub fn is_given(&self, user: &[u8]) -> bool {
        user == b"root"
            || self.account.is(user)
            || self.users.iter().any(|known| known.as_bytes() == user)
    }

    /// Whether somebody beside root and the daemon's own user may.
    #[must_use]
    pub fn is_given_to_others(&self) -> bool {
        !self.users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_the_daemons_own_user_and_those_that_are_named_may_publish() {
        let account = Account { uid: 1000, name: "cron".to_owned(), ..Account::current() };
        let permission = Permission::new(account, vec!["alice".to_owned(), "bob".to_owned()]);
        for (user, may) in [
            ("root", true),
            ("cron", true),
            ("alice", true),
            ("bob", true),
            ("eve", false),
            ("ALICE", false),
            ("alice,bob", false),
            ("", false),
        ] {
            assert_eq!(permission.is_given(user.as_bytes()), may, "{user}");
        }
    }
}
