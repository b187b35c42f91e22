//! What is known of one crontab, and what a new look at it means.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::fingerprint::{Fingerprint, Stamp};
use super::notice::{Notice, Trouble};
use super::read::{Failure, Look, Text};
use super::trust::Remark;

/// How long a file that became empty must stay empty before it counts.
pub(super) const EMPTY: Duration = Duration::from_secs(2);
/// How long a file of a directory must be missing before it is gone: some editors delete, then write.
pub(super) const GONE: Duration = Duration::from_secs(1);

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    /// Its place in the list that was given.
    place: usize,
    /// As typed: what it is reported by.
    pub(super) typed: Arc<Path>,
    /// Whether it stands for itself: what is missing or refused of it keeps its last version.
    keeps: bool,
    /// Whether it is no news that it does not exist yet.
    quiet: bool,
    /// What was last handed on.
    accepted: Option<Fingerprint>,
    /// The stamp at the last look that was judged; `None` when it must be looked at again.
    judged: Option<Stamp>,
    trouble: Option<Trouble>,
    remark: Remark,
    empty_since: Option<Duration>,
    missing_since: Option<Duration>,
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
    /// What was handed on holds no longer; the file is still there.
    Withdrawn,
    /// The file is gone; nothing more will be known of it. Whether it had been handed on.
    Gone(bool),
}

impl Source {
    /// A file of a directory; nothing is known of it yet.
    pub(super) fn of_folder(place: usize, typed: Arc<Path>) -> Self {
        Source {
            place,
            typed,
            keeps: false,
            quiet: true,
            accepted: None,
            judged: None,
            trouble: None,
            remark: Remark::default(),
            empty_since: None,
            missing_since: None,
            mount_checked: None,
            mount_told: false,
        }
    }

    /// A file that stands for itself; `quiet` if it need not exist. Nothing is known of it yet.
    pub(super) fn alone(place: usize, typed: Arc<Path>, quiet: bool) -> Self {
        Source { keeps: true, quiet, ..Source::of_folder(place, typed) }
    }

    /// The file that was last handed on, as (device, inode).
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        self.accepted.map(|fingerprint| (fingerprint.stamp.dev, fingerprint.stamp.ino))
    }

    /// Whether something of it was handed on and holds.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.is_some()
    }

    /// Whether a file of a directory held what one of these holds.
    pub(super) fn is_one_of(&self, others: &[Fingerprint]) -> bool {
        let is_same = |last: Fingerprint| others.iter().any(|other| last.same_content(other));
        !self.keeps && self.accepted.is_some_and(is_same)
    }

    /// Whether it cannot be had, or may not be taken.
    pub(super) fn is_troubled(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether its user does not exist yet.
    pub(super) fn is_orphan(&self) -> bool {
        matches!(&self.trouble, Some(Trouble::Refused(refusal)) if refusal.is_passing())
    }

    /// Whether a file with this stamp (`None`: nothing there) may hold something that was not judged yet.
    pub(super) fn is_stale(&self, stamp: Option<Stamp>) -> bool {
        match stamp {
            None if self.keeps => self.trouble != Some(Trouble::Missing),
            None => self.missing_since.is_none(),
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
            Err(failure) => return self.fail(failure, now, notices),
        };
        self.missing_since = None;
        if let Some(trouble) = self.trouble.take()
            && !self.is_no_news(&trouble)
        {
            let refused = matches!(trouble, Trouble::Refused(_));
            let path = Arc::clone(&self.typed);
            notices.push(Notice::Restored { place: self.place, path, refused });
        }
        if self.remark != text.remark {
            self.remark = text.remark;
            if !text.remark.is_empty() {
                let path = Arc::clone(&self.typed);
                notices.push(Notice::Remark { place: self.place, path, remark: text.remark });
            }
        }
        self.judged = Some(text.fingerprint.stamp).filter(|_| !text.is_passing);
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

    fn fail(&mut self, failure: Failure, now: Duration, notices: &mut Vec<Notice>) -> Verdict {
        let Failure { trouble, stamp } = failure;
        if trouble == Trouble::Missing && !self.keeps {
            self.judged = None;
            self.empty_since = None;
            let since = *self.missing_since.get_or_insert(now);
            // Nobody misses what was never handed on.
            if now < since + GONE && self.accepted.is_some() {
                return Verdict::Same;
            }
            return Verdict::Gone(self.accepted.is_some());
        }
        self.missing_since = None;
        let withdrawn = !self.keeps
            && matches!(trouble, Trouble::Refused(_) | Trouble::NotRegular(_))
            && self.accepted.take().is_some();
        self.degrade(trouble, notices);
        self.judged = stamp;
        if withdrawn { Verdict::Withdrawn } else { Verdict::Same }
    }

    /// Takes note that the file cannot be had.
    pub(super) fn degrade(&mut self, trouble: Trouble, notices: &mut Vec<Notice>) {
        self.judged = None;
        self.empty_since = None;
        if self.trouble.as_ref() == Some(&trouble) {
            return;
        }
        self.trouble = Some(trouble.clone());
        if !self.is_no_news(&trouble) {
            notices.push(Notice::Degraded {
                place: self.place,
                path: Arc::clone(&self.typed),
                trouble,
                kept: self.accepted.is_some(),
            });
        }
    }

    fn is_no_news(&self, trouble: &Trouble) -> bool {
        self.quiet && *trouble == Trouble::Missing && self.accepted.is_none()
    }

    /// When a file that is empty, or missing, starts to count as such.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let gone = self.missing_since.map(|since| since + GONE);
        self.empty_since.map(|since| since + EMPTY).or(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::super::trust::Refusal;
    use super::*;

    const STAMP: Stamp = Stamp { dev: 1, ino: 2, size: 0, mtime_ns: 4, ctime_ns: 5 };

    fn source() -> Source {
        Source::alone(0, Path::new("crontab").into(), false)
    }

    #[expect(clippy::unnecessary_wraps, reason = "a look that succeeded")]
    fn text(bytes: &str) -> Look {
        let fingerprint = Fingerprint::of(STAMP, bytes.as_bytes());
        let (remark, is_whole, is_passing) = (Remark::default(), true, false);
        Ok(Text { bytes: bytes.into(), fingerprint, remark, is_whole, is_passing })
    }

    #[test]
    fn a_file_in_which_a_write_may_hide_is_looked_at_again() {
        for is_passing in [false, true] {
            let mut source = source();
            let look = text("x").map(|text| Text { is_passing, ..text });
            let stamp = look.as_ref().unwrap().fingerprint.stamp;
            judge(&mut source, look, 0);
            assert_eq!(source.is_stale(Some(stamp)), is_passing);
        }
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
            other => panic!("{other:?}"),
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
        let (_, notices) = judge(&mut source, Err(Trouble::Missing.into()), 1);
        assert!(matches!(
            &notices[..],
            [Notice::Degraded { trouble: Trouble::Missing, kept: true, .. }]
        ));
        assert!(judge(&mut source, Err(Trouble::Missing.into()), 2).1.is_empty());
        let (bytes, notices) = judge(&mut source, text("a"), 3);
        assert_eq!(bytes, None, "the same text is in force already");
        assert!(matches!(&notices[..], [Notice::Restored { .. }]));
    }

    #[test]
    fn a_file_of_a_directory_is_gone_after_a_second() {
        let mut source = Source::of_folder(0, Path::new("cron.d/job").into());
        let mut notices = Vec::new();
        let mut look = |look, now| source.judge(look, false, ms(now), &mut notices);
        assert!(matches!(look(text("a"), 0), Verdict::Changed(_)));
        assert!(matches!(look(Err(Trouble::Missing.into()), 100), Verdict::Same));
        assert!(matches!(look(Err(Trouble::Missing.into()), 1_099), Verdict::Same));
        assert!(matches!(look(text("a"), 1_100), Verdict::Same), "back in time");
        assert!(matches!(look(Err(Trouble::Missing.into()), 2_000), Verdict::Same));
        assert!(matches!(look(Err(Trouble::Missing.into()), 3_000), Verdict::Gone(true)));
        assert_eq!(notices, []);
    }

    #[test]
    fn a_file_of_a_directory_that_may_not_be_taken_any_more_is_withdrawn() {
        let mut source = Source::of_folder(0, Path::new("cron.d/job").into());
        let mut notices = Vec::new();
        let refused =
            || Failure { trouble: Trouble::Refused(Refusal::Writable(0o666)), stamp: Some(STAMP) };
        source.judge(text("a"), false, ms(0), &mut notices);
        let verdict = source.judge(Err(refused()), false, ms(1), &mut notices);
        assert!(matches!(verdict, Verdict::Withdrawn));
        assert!(!source.is_stale(Some(STAMP)), "until it changes");
        source.judge(Err(refused()), false, ms(2), &mut notices);
        assert_eq!(notices.len(), 1, "told once: {notices:?}");
        let verdict = source.judge(text("a"), false, ms(3), &mut notices);
        assert!(matches!(verdict, Verdict::Changed(_)));
        assert!(matches!(notices[1], Notice::Restored { refused: true, .. }));
    }

    #[test]
    fn another_trouble_is_told_too() {
        let mut source = source();
        judge(&mut source, Err(Trouble::Missing.into()), 0);
        let (_, notices) = judge(&mut source, Err(Trouble::NotRegular("a directory").into()), 1);
        assert!(matches!(&notices[..], [Notice::Degraded { kept: false, .. }]));
    }

    #[test]
    fn a_missing_file_is_stale_until_it_was_judged_missing() {
        let mut source = source();
        assert!(source.is_stale(None));
        judge(&mut source, Err(Trouble::Missing.into()), 0);
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
        judge(&mut source, Err(Trouble::Unreadable("permission denied".into()).into()), 0);
        assert!(source.is_stale(Some(STAMP)));
    }
}
