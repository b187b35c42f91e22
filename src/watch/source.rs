//! What is known of one source, and what a new look at it means.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fingerprint::{Fingerprint, Stamp};
use super::notice::{Notice, Trouble};
use super::read::{Look, Text};

/// How long a file that became empty must stay empty before it counts.
pub(super) const EMPTY: Duration = Duration::from_secs(2);

/// One named file.
#[derive(Debug)]
pub(super) struct Source {
    /// Its place in the list that was given.
    index: usize,
    /// As typed: what it is reported by.
    pub(super) typed: Arc<Path>,
    /// As it is opened.
    pub(super) absolute: PathBuf,
    /// What was last handed on.
    accepted: Option<Fingerprint>,
    /// The stamp at the last look that was judged; `None` when it must be looked at again.
    judged: Option<Stamp>,
    trouble: Option<Trouble>,
    empty_since: Option<Duration>,
    /// The device and inode that were last looked up in the mount table.
    pub(super) mount_checked: Option<(u64, u64)>,
    /// Whether it was said that the file is a mount of its own.
    pub(super) mount_told: bool,
}

/// What a look at a source means.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing to hand on.
    Same,
    /// New text.
    Changed(Text),
}

impl Source {
    /// A source that nothing is known of yet.
    pub(super) fn new(index: usize, typed: Arc<Path>, absolute: PathBuf) -> Self {
        Source {
            index,
            typed,
            absolute,
            accepted: None,
            judged: None,
            trouble: None,
            empty_since: None,
            mount_checked: None,
            mount_told: false,
        }
    }

    /// Its place in the list that was given.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// The file that was last handed on, as (device, inode).
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.accepted.map(|fingerprint| (fingerprint.stamp.dev, fingerprint.stamp.ino))
    }

    /// Whether a file with this stamp (`None`: nothing there) may hold something that was not judged yet.
    pub(super) fn is_stale(&self, stamp: Option<Stamp>) -> bool {
        match stamp {
            None => self.trouble != Some(Trouble::Missing),
            Some(stamp) => self.judged != Some(stamp) || stamp.is_coarse(),
        }
    }

    /// Judges a look that was found equal twice, at the monotonic time `now`. An empty file counts at once if `first`.
    pub(super) fn judge(
        &mut self,
        look: Look,
        first: bool,
        now: Duration,
        notices: &mut Vec<Notice>,
    ) -> Verdict {
        let text = match look {
            Ok(text) => text,
            Err(trouble) => {
                self.degrade(trouble, notices);
                return Verdict::Same;
            }
        };
        if self.trouble.take().is_some() {
            notices.push(Notice::Restored { source: self.index, path: Arc::clone(&self.typed) });
        }
        self.judged = Some(text.fingerprint.stamp);
        if self.accepted.is_some_and(|last| last.same_content(&text.fingerprint)) {
            self.empty_since = None;
            self.accepted = Some(text.fingerprint);
            return Verdict::Same;
        }
        if text.fingerprint.is_empty() && !first {
            let since = *self.empty_since.get_or_insert(now);
            if now < since + EMPTY {
                return Verdict::Same;
            }
        }
        self.empty_since = None;
        self.accepted = Some(text.fingerprint);
        Verdict::Changed(text)
    }

    /// Takes note that the file cannot be had.
    pub(super) fn degrade(&mut self, trouble: Trouble, notices: &mut Vec<Notice>) {
        self.judged = None;
        self.empty_since = None;
        if self.trouble.as_ref() == Some(&trouble) {
            return;
        }
        self.trouble = Some(trouble.clone());
        notices.push(Notice::Degraded {
            source: self.index,
            path: Arc::clone(&self.typed),
            trouble,
            kept: self.accepted.is_some(),
        });
    }

    /// When an empty file starts to count, if it is empty now.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.empty_since.map(|since| since + EMPTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { dev: 1, ino: 2, size: 0, mtime_ns: 4, ctime_ns: 5 };

    fn source() -> Source {
        Source::new(0, Path::new("crontab").into(), "/crontab".into())
    }

    #[expect(clippy::unnecessary_wraps, reason = "a look that succeeded")]
    fn text(bytes: &str) -> Look {
        let fingerprint = Fingerprint::of(STAMP, bytes.as_bytes());
        Ok(Text { bytes: bytes.into(), fingerprint })
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Judges, and gives the bytes handed on and the notices.
    fn judge(source: &mut Source, look: Look, now: u64) -> (Option<Vec<u8>>, Vec<Notice>) {
        let mut notices = Vec::new();
        let bytes = match source.judge(look, false, ms(now), &mut notices) {
            Verdict::Same => None,
            Verdict::Changed(text) => Some(text.bytes),
        };
        (bytes, notices)
    }

    #[test]
    fn new_text_is_handed_on_once() {
        let mut source = source();
        assert_eq!(judge(&mut source, text("a"), 0).0.unwrap(), b"a");
        assert_eq!(judge(&mut source, text("a"), 1).0, None);
        assert_eq!(judge(&mut source, text("b"), 2).0.unwrap(), b"b");
    }

    #[test]
    fn a_file_that_became_empty_counts_after_two_seconds() {
        let mut source = source();
        judge(&mut source, text("a"), 0);
        assert_eq!(judge(&mut source, text(""), 1_000).0, None);
        assert_eq!(source.deadline(), Some(ms(3_000)));
        assert_eq!(judge(&mut source, text(""), 2_999).0, None);
        assert_eq!(judge(&mut source, text(""), 3_000).0.unwrap(), b"");
        assert_eq!(source.deadline(), None);
    }

    #[test]
    fn text_in_between_starts_the_two_seconds_anew() {
        let mut source = source();
        judge(&mut source, text("a"), 0);
        judge(&mut source, text(""), 1_000);
        assert_eq!(judge(&mut source, text("a"), 1_500).0, None);
        assert_eq!(source.deadline(), None);
        judge(&mut source, text(""), 2_500);
        assert_eq!(source.deadline(), Some(ms(4_500)));
    }

    #[test]
    fn a_file_that_is_empty_at_the_start_counts_at_once() {
        let verdict = source().judge(text(""), true, ms(0), &mut Vec::new());
        assert!(matches!(verdict, Verdict::Changed(_)));
    }

    #[test]
    fn missing_is_told_once_and_so_is_the_return() {
        let mut source = source();
        judge(&mut source, text("a"), 0);
        let (_, notices) = judge(&mut source, Err(Trouble::Missing), 1);
        assert!(matches!(
            &notices[..],
            [Notice::Degraded { trouble: Trouble::Missing, kept: true, .. }]
        ));
        assert!(judge(&mut source, Err(Trouble::Missing), 2).1.is_empty());
        let (bytes, notices) = judge(&mut source, text("a"), 3);
        assert_eq!(bytes, None, "the same text is in force already");
        assert!(matches!(&notices[..], [Notice::Restored { .. }]));
    }

    #[test]
    fn another_trouble_is_told_too() {
        let mut source = source();
        judge(&mut source, Err(Trouble::Missing), 0);
        let (_, notices) = judge(&mut source, Err(Trouble::NotRegular("a directory")), 1);
        assert!(matches!(&notices[..], [Notice::Degraded { kept: false, .. }]));
    }

    #[test]
    fn a_missing_file_is_stale_until_it_was_judged_missing() {
        let mut source = source();
        assert!(source.is_stale(None));
        judge(&mut source, Err(Trouble::Missing), 0);
        assert!(!source.is_stale(None));
        assert!(source.is_stale(Some(STAMP)));
    }

    #[test]
    fn a_judged_stamp_is_not_stale() {
        let mut source = source();
        judge(&mut source, text(""), 0);
        assert!(!source.is_stale(Some(STAMP)));
        assert!(source.is_stale(Some(Stamp { mtime_ns: 1, ..STAMP })), "an older mtime too");
        assert!(source.is_stale(Some(Stamp { ino: 3, ..STAMP })));
    }

    #[test]
    fn an_unreadable_file_is_always_looked_at_again() {
        let mut source = source();
        judge(&mut source, Err(Trouble::Unreadable("permission denied".into())), 0);
        assert!(source.is_stale(Some(STAMP)));
    }
}
