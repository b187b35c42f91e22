//! Which files of a directory are crontabs, by their names.
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// A rule for the names of a directory's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Hidden, backup and package managers' files are passed over; dots are allowed.
    Cronie,
    /// Those, and whatever has another character than letters, digits, `_` and `-`.
    Debian,
    /// The file's name is its user's; temporary files of `crontab` are passed over without a word.
    Users,
}

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A crontab.
    Crontab,
    /// None, and nobody wants to hear of it.
    Nothing,
    /// None, and why.
    Passed(Passed),
}

/// Why something in a directory is not read, before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Passed {
    /// It begins with a dot.
    Hidden,
    /// It looks like the backup that an editor or a package manager leaves.
    Backup,
    /// Debian's rule allows no such character.
    Character,
    /// It is a symbolic link, and what it leads to is not there.
    Dangling,
}

/// What such files end in: editors' (`~`, `.bak`, `.orig`, `.swp`), administrators' (`.disabled`) and rpm's leavings.
const ENDINGS: [&[u8]; 9] =
    [b"~", b".bak", b".orig", b".swp", b".swx", b".disabled", b".rpmsave", b".rpmorig", b".rpmnew"];

/// What dpkg and ucf put before the kind of their leavings.
const INFIXES: [&[u8]; 2] = [b".dpkg-", b".ucf-"];

/// What the files end in that a recovery keeps beside crontabs.
const OURS: [&[u8]; 4] =
    [b".cronkeep", b".cronkeep.new", b".cronkeep.pending", b".cronkeep.pending.new"];

impl Names {
    /// What `name` means in a directory with this rule (reference rows 68 and 69).
    pub(super) fn meaning(self, name: &OsStr) -> Meaning {
        let name = name.as_bytes();
        if name.starts_with(b"..") {
            // The versions of a ConfigMap, and the link to the current one.
            return Meaning::Nothing;
        }
        if name.starts_with(b".") && OURS.iter().any(|ending| name.ends_with(ending)) {
            return Meaning::Nothing;
        }
        let passed = if name.starts_with(b".") {
            Passed::Hidden
        } else if is_leaving(name) {
            Passed::Backup
        } else if self == Names::Debian && !name.iter().all(|&byte| is_portable(byte)) {
            Passed::Character
        } else if self == Names::Users && name.starts_with(b"tmp.") {
            return Meaning::Nothing;
        } else {
            return Meaning::Crontab;
        };
        if self == Names::Users { Meaning::Nothing } else { Meaning::Passed(passed) }
    }

    /// Whether a file of this name is read.
    #[must_use]
    pub fn takes(self, name: &OsStr) -> bool {
        self.meaning(name) == Meaning::Crontab
    }
}

fn is_leaving(name: &[u8]) -> bool {
    name.starts_with(b"#")
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || INFIXES.iter().any(|infix| name.windows(infix.len()).any(|part| part == *infix))
}

fn is_portable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(names: Names, name: &str) -> Meaning {
        names.meaning(OsStr::new(name))
    }

    #[test]
    fn leavings_are_passed_over_by_either_rule() {
        for names in [Names::Cronie, Names::Debian] {
            for name in ["job.bak", "job~", "#x#", "x.dpkg-dist", "x.ucf-old", "x.rpmsave"] {
                assert_eq!(meaning(names, name), Meaning::Passed(Passed::Backup), "{name}");
            }
            assert_eq!(meaning(names, "x.disabled"), Meaning::Passed(Passed::Backup));
            assert_eq!(meaning(names, ".x"), Meaning::Passed(Passed::Hidden));
            assert_eq!(meaning(names, "job-1_A"), Meaning::Crontab);
        }
    }

    #[test]
    fn a_dot_is_for_debian_what_keeps_a_file_from_being_read() {
        assert_eq!(meaning(Names::Cronie, "my.cron"), Meaning::Crontab);
        assert_eq!(meaning(Names::Debian, "my.cron"), Meaning::Passed(Passed::Character));
        assert_eq!(meaning(Names::Debian, "h\u{fc}"), Meaning::Passed(Passed::Character));
    }

    #[test]
    fn the_versions_of_a_config_map_are_nothing() {
        for names in [Names::Cronie, Names::Debian, Names::Users] {
            assert_eq!(meaning(names, "..data"), Meaning::Nothing);
            assert_eq!(meaning(names, "..2026_11_21_10_00_00.1"), Meaning::Nothing);
        }
    }

    #[test]
    fn users_may_have_dots_and_temporary_files_are_nothing() {
        assert_eq!(meaning(Names::Users, "anna.lena"), Meaning::Crontab);
        for name in ["tmp.Xa8qQ1", "#tmp.host.XXXXXXXXXX", ".cronkeep.4711", "root~"] {
            assert_eq!(meaning(Names::Users, name), Meaning::Nothing, "{name}");
        }
    }
}
