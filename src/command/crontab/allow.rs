//! Who may have a table: cron.allow and cron.deny.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// The two lists.
pub const LISTS: [&str; 2] = ["/etc/cron.allow", "/etc/cron.deny"];

/// Whether `user`, with the number `uid`, may use crontab(1).
///
/// Root always may. Where cron.allow exists, who is listed there; else where cron.deny exists, who is not listed there; else
/// everybody, as Debian has it (an empty cron.allow leaves it to root). A name is a whole line, blanks around it aside; the
/// last line counts with or without a newline.
///
/// # Errors
/// A list cannot be read: then nobody knows, and the answer is no.
pub fn is_allowed(user: &str, uid: u32, lists: [&Path; 2]) -> io::Result<bool> {
    if uid == 0 {
        return Ok(true);
    }
    let [allow, deny] = lists;
    if let Some(names) = read(allow)? {
        return Ok(lists_name(&names, user));
    }
    Ok(read(deny)?.is_none_or(|names| !lists_name(&names, user)))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("failed to read {}: {error}", path.display())))
        }
    }
}

fn lists_name(names: &[u8], user: &str) -> bool {
    names.split(|&byte| byte == b'\n').any(|line| line.trim_ascii() == user.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(allow: Option<&str>, deny: Option<&str>, user: &str, uid: u32) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("allow"), folder.path().join("deny")];
        for (path, text) in paths.iter().zip([allow, deny]) {
            if let Some(text) = text {
                fs::write(path, text).unwrap();
            }
        }
        is_allowed(user, uid, [&paths[0], &paths[1]]).unwrap()
    }

    /// Row 116.
    #[test]
    fn allow_wins_over_deny_and_deny_over_nothing() {
        for (allow, deny, may) in [
            (None, None, true),
            (Some("alice\n"), None, true),
            (Some("bob\n"), None, false),
            (Some(""), None, false),
            (Some("alice\n"), Some("alice\n"), true),
            (Some("bob\n"), Some(""), false),
            (None, Some("bob\n"), true),
            (None, Some("alice\n"), false),
            (None, Some(""), true),
        ] {
            assert_eq!(judged(allow, deny, "alice", 1000), may, "{allow:?} {deny:?}");
            assert!(judged(allow, deny, "root", 0), "{allow:?} {deny:?}");
        }
    }

    /// Row 116: cronie and vixie cron overlook it.
    #[test]
    fn the_last_line_counts_without_its_newline() {
        assert!(!judged(None, Some("bob\nalice"), "alice", 1000));
        assert!(judged(Some("bob\nalice"), None, "alice", 1000));
    }

    #[test]
    fn a_name_is_a_whole_line() {
        for text in ["alice2\n", "malice\n", "alice bob\n", "# alice\n", "Alice\n"] {
            assert!(judged(None, Some(text), "alice", 1000), "{text:?}");
        }
        assert!(!judged(None, Some(" alice\r\n"), "alice", 1000));
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error_and_no_yes() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(is_allowed("alice", 1000, [folder.path(), &missing]).is_err());
    }
}
