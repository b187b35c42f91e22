//! What is known of one crontab: the text in force, how it stands, what was told of it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::crontab::Fault;

/// A crontab by its place and its path.
pub(super) type Key = (usize, Arc<Path>);

/// A fault as it was told: a hash of what and where, since there may be 100 000.
pub(super) type Told = u64;

/// Faults of one file that are kept to be asked for.
const SHOWN: usize = 5;

/// Files with errors that a text names.
const NAMED: usize = 3;

/// From this size on a text is kept packed.
const LARGE: usize = 16 << 10;

/// How a crontab stands.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    /// Its path.
    pub(super) file: Arc<str>,
    /// Of the text in force; none where no version is.
    pub(super) hash: Option<u64>,
    /// When that text was taken over, wall clock.
    pub(super) loaded: Option<Timestamp>,
    /// Errors in its text.
    pub(super) errors: usize,
    /// Warnings in its text.
    pub(super) warnings: usize,
    /// The first few faults.
    pub(super) faults: Vec<Fault>,
    /// What is wrong with it as a whole, if anything: missing, unreadable, refused.
    pub(super) trouble: Option<String>,
    /// Whether that is because its file cannot be had or may not be taken.
    pub(super) is_away: bool,
    /// Whether it is mounted as a single file, so that a replacement outside stays invisible.
    pub(super) is_mount: bool,
}

/// How all crontabs stand, as it was after the last change.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings {
    /// Those that are known of, in the order in which they are read.
    pub(super) files: Vec<Standing>,
    /// Why edits are found by looking every second, where they are not announced.
    pub(super) polling: Option<String>,
}

/// One crontab as last accepted.
pub(super) struct Accepted {
    pub(super) standing: Standing,
    /// Why its last text is not in force, if that was refused as a whole.
    refusal: Option<&'static str>,
    /// The text in force, to be read again when another crontab changes.
    kept: Kept,
    /// What was told of its text, so that it is not told again.
    pub(super) told: HashSet<Told>,
    /// What was told of the users and commands that it names.
    pub(super) told_of_host: HashSet<Told>,
}

enum Kept {
    Nothing,
    Plain(Box<[u8]>),
    Packed(Box<[u8]>),
}

impl Standing {
    /// Counts the faults, and keeps the first few.
    pub(super) fn note_faults<'a>(&mut self, faults: impl Iterator<Item = &'a Fault>) {
        (self.errors, self.warnings) = (0, 0);
        self.faults.clear();
        for fault in faults {
            let counter = if fault.is_error() { &mut self.errors } else { &mut self.warnings };
            *counter += 1;
            if self.faults.len() < SHOWN {
                self.faults.push(fault.clone());
            }
        }
    }
}

impl Standings {
    /// What is said of `count` errors: where they are, and how to see them. The files are named, since those that the
    /// daemon was given are not those that the command looks at by itself.
    pub(super) fn errors_text(&self, count: usize) -> String {
        let faulty = self.files.iter().filter(|standing| standing.errors > 0);
        let names: Vec<&str> = faulty.map(|standing| &*standing.file).collect();
        let shown: String = names.iter().take(NAMED).flat_map(|name| [" ", name]).collect();
        let (errors, which) = match (count, names.len() > NAMED) {
            (1, _) => ("error", "it"),
            (_, false) => ("errors", "them"),
            (_, true) => ("errors", "the first of them"),
        };
        format!("{count} {errors} in the crontabs; `cronkeep check{shown}` shows {which}")
    }
}

impl Accepted {
    /// A file of which nothing is in force.
    pub(super) fn new(file: Arc<str>) -> Self {
        let standing = Standing {
            file,
            hash: None,
            loaded: None,
            errors: 0,
            warnings: 0,
            faults: Vec::new(),
            trouble: None,
            is_away: false,
            is_mount: false,
        };
        let told = HashSet::new();
        Accepted {
            standing,
            refusal: None,
            kept: Kept::Nothing,
            told,
            told_of_host: HashSet::new(),
        }
    }

    /// A new version comes into force.
    pub(super) fn take(&mut self, hash: u64, now: Timestamp) {
        self.standing.hash = Some(hash);
        self.standing.loaded = Some(now);
        self.refusal = None;
        self.restore();
    }

    /// Its last text is refused as a whole.
    pub(super) fn refuse(&mut self, reason: &'static str) {
        self.refusal = Some(reason);
        self.restore();
    }

    /// Its file can be had, and may be taken.
    pub(super) fn restore(&mut self) {
        self.standing.trouble = self.refusal.map(str::to_owned);
        self.standing.is_away = false;
    }

    /// Nothing of it is in force any more; whether something was.
    pub(super) fn withdraw(&mut self) -> bool {
        self.kept = Kept::Nothing;
        self.refusal = None;
        self.standing.loaded = None;
        self.standing.note_faults([].into_iter());
        self.told = HashSet::new();
        self.told_of_host = HashSet::new();
        self.standing.hash.take().is_some()
    }

    /// Whether a version is in force.
    pub(super) fn is_in_force(&self) -> bool {
        self.standing.hash.is_some()
    }

    /// Whether there is anything to say of it.
    pub(super) fn is_known(&self) -> bool {
        self.is_in_force() || self.standing.trouble.is_some()
    }

    /// Keeps the text in force.
    pub(super) fn keep(&mut self, text: Vec<u8>) {
        self.kept = if text.len() < LARGE {
            Kept::Plain(text.into())
        } else {
            Kept::Packed(lz4_flex::compress_prepend_size(&text).into())
        };
    }

    /// The text in force.
    pub(super) fn text(&self) -> Option<Vec<u8>> {
        match &self.kept {
            Kept::Nothing => None,
            Kept::Plain(text) => Some(text.to_vec()),
            Kept::Packed(packed) => lz4_flex::decompress_size_prepended(packed).ok(),
        }
    }
}

/// A fault in a line of text.
pub(super) fn fault_text(fault: &Fault) -> String {
    format!("line {}: {}", fault.line, fault.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_as_it_was_whatever_its_size() {
        let mut accepted = Accepted::new("x".into());
        for count in [0, 1, 1_000, 100_000] {
            let text = b"* * * * * true\n".repeat(count);
            accepted.take(1, Timestamp::UNIX_EPOCH);
            accepted.keep(text.clone());
            assert_eq!(accepted.text(), Some(text));
        }
        let Kept::Packed(packed) = &accepted.kept else { panic!("not packed") };
        assert!(packed.len() < 20_000, "{} bytes", packed.len());
    }

    #[test]
    fn a_text_that_was_refused_stays_refused_when_its_file_is_back() {
        let mut accepted = Accepted::new("x".into());
        accepted.take(1, Timestamp::UNIX_EPOCH);
        accepted.refuse("refused");
        accepted.standing.trouble = Some("is missing".into());
        accepted.restore();
        assert_eq!(accepted.standing.trouble.as_deref(), Some("refused"));
        accepted.take(2, Timestamp::UNIX_EPOCH);
        assert_eq!(accepted.standing.trouble, None);
    }

    #[test]
    fn errors_are_told_with_the_files_that_have_them() {
        let standing = |name: &str, errors| {
            let mut standing = Accepted::new(name.into()).standing;
            standing.errors = errors;
            standing
        };
        let told = |files: &[(&str, usize)]| {
            let files: Vec<_> =
                files.iter().map(|&(name, errors)| standing(name, errors)).collect();
            let count = files.iter().map(|standing| standing.errors).sum();
            Standings { files, ..Standings::default() }.errors_text(count)
        };
        assert_eq!(
            told(&[("good", 0), ("bad", 1)]),
            "1 error in the crontabs; `cronkeep check bad` shows it"
        );
        assert_eq!(
            told(&[("a", 1), ("b", 2)]),
            "3 errors in the crontabs; `cronkeep check a b` shows them"
        );
        assert_eq!(
            told(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]),
            "4 errors in the crontabs; `cronkeep check a b c` shows the first of them"
        );
    }

    #[test]
    fn what_was_withdrawn_is_in_force_no_more() {
        let mut accepted = Accepted::new("x".into());
        assert!(!accepted.withdraw());
        accepted.take(1, Timestamp::UNIX_EPOCH);
        accepted.keep(b"x".to_vec());
        assert!(accepted.is_in_force() && accepted.withdraw());
        assert!(!accepted.is_known() && accepted.text().is_none());
    }
}
