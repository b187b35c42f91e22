//! Messages that come again and again: told once, then counted.

use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;

/// How many messages are remembered.
const REMEMBERED: usize = 32;

/// After how long a message that still comes is told anew.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Remembers the last messages that a broken crontab, or a broken host, may cause again and again.
///
/// What is news is never held back: a message about a crontab is told again once something else has been told
/// of that crontab that puts an end to it (a load, or a notice that is no warning).
#[derive(Debug, Default)]
pub(super) struct Repeated(Vec<Known>);

/// How often a message came again since it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repeats {
    /// The message.
    pub text: String,
    /// More than zero.
    pub count: u64,
}

#[derive(Debug)]
struct Known {
    file: Option<Arc<str>>,
    text: String,
    rejects: bool,
    more: u64,
    /// On the monotonic clock.
    told: Duration,
}

impl Repeated {
    /// Whether `event` is to be told, at `now` on the monotonic clock, and what is to be said of others before it.
    pub(super) fn judge(&mut self, event: &Event, now: Duration) -> (bool, Vec<Repeats>) {
        match event {
            Event::Notice { file, text, warning: true } => {
                self.add(file.as_ref(), text, false, now)
            }
            Event::Rejected { file, reason } => self.add(Some(file), reason, true, now),
            Event::Notice { file: Some(file), warning: false, .. } => {
                (true, self.forget(|known| known.file.as_ref() == Some(file)))
            }
            Event::Loaded(loaded) => (
                true,
                self.forget(|known| {
                    known.rejects
                        && known.file.as_ref().is_some_and(|file| loaded.files.contains(file))
                }),
            ),
            _ => (true, Vec::new()),
        }
    }

    /// Forgets everything; what is still to be said.
    pub(super) fn drain(&mut self) -> Vec<Repeats> {
        self.forget(|_| true)
    }

    fn add(
        &mut self,
        file: Option<&Arc<str>>,
        text: &str,
        rejects: bool,
        now: Duration,
    ) -> (bool, Vec<Repeats>) {
        let is_it = |known: &Known| known.file.as_ref() == file && known.text == text;
        if let Some(known) = self.0.iter_mut().find(|known| is_it(known)) {
            if now.saturating_sub(known.told) < STALE {
                known.more += 1;
                return (false, Vec::new());
            }
            known.told = now;
            let count = std::mem::take(&mut known.more);
            return (true, repeats(text, count).into_iter().collect());
        }
        let mut said = Vec::new();
        if self.0.len() >= REMEMBERED {
            let oldest = self.0.remove(0);
            said.extend(repeats(&oldest.text, oldest.more));
        }
        let (file, text) = (file.cloned(), text.to_owned());
        self.0.push(Known { file, text, rejects, more: 0, told: now });
        (true, said)
    }

    fn forget(&mut self, which: impl Fn(&Known) -> bool) -> Vec<Repeats> {
        let gone = self.0.extract_if(.., |known| which(known));
        gone.filter_map(|known| repeats(&known.text, known.more)).collect()
    }
}

fn repeats(text: &str, count: u64) -> Option<Repeats> {
    (count > 0).then(|| Repeats { text: text.to_owned(), count })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::event::Loaded;

    const NOW: Duration = Duration::from_secs(1000);

    fn notice(file: &str, text: &str, warning: bool) -> Event {
        Event::Notice { file: Some(file.into()), text: text.into(), warning }
    }

    fn rejected(file: &str) -> Event {
        Event::Rejected { file: file.into(), reason: "too large".into() }
    }

    fn loaded(file: &str) -> Event {
        Event::Loaded(Loaded {
            files: vec![file.into()],
            jobs: 0,
            refused: 0,
            added: 0,
            changed: 0,
            removed: 0,
            unchanged: 0,
            errors: 0,
            warnings: 0,
            at: Timestamp::UNIX_EPOCH,
        })
    }

    fn said(text: &str, count: u64) -> Vec<Repeats> {
        vec![Repeats { text: text.into(), count }]
    }

    #[test]
    fn messages_that_take_turns_are_each_told_once() {
        let mut repeated = Repeated::default();
        for turn in 0..10 {
            for file in ["a", "b"] {
                let (told, before) = repeated.judge(&notice(file, "broken", true), NOW);
                assert_eq!((told, before), (turn == 0, Vec::new()));
            }
        }
        assert_eq!(repeated.drain(), [said("broken", 9), said("broken", 9)].concat());
        assert!(repeated.drain().is_empty());
    }

    #[test]
    fn a_message_that_is_true_again_is_told_again() {
        let mut repeated = Repeated::default();
        assert!(repeated.judge(&notice("a", "is gone", true), NOW).0);
        assert!(!repeated.judge(&notice("a", "is gone", true), NOW).0);
        assert_eq!(repeated.judge(&notice("a", "is back", false), NOW), (true, said("is gone", 1)));
        assert!(repeated.judge(&notice("a", "is gone", true), NOW).0);
        assert!(repeated.judge(&rejected("a"), NOW).0);
        assert!(repeated.judge(&loaded("b"), NOW).0 && !repeated.judge(&rejected("a"), NOW).0);
        assert!(repeated.judge(&loaded("a"), NOW).0 && repeated.judge(&rejected("a"), NOW).0);
    }

    #[test]
    fn a_message_that_still_comes_after_an_hour_is_told_with_its_count() {
        let mut repeated = Repeated::default();
        for _ in 0..60 {
            repeated.judge(&notice("a", "broken", true), NOW);
        }
        let later = repeated.judge(&notice("a", "broken", true), NOW + STALE);
        assert_eq!(later, (true, said("broken", 59)));
        assert!(!repeated.judge(&notice("a", "broken", true), NOW + STALE).0);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_no_count_is_lost() {
        let mut repeated = Repeated::default();
        let mut counted = 0;
        for number in 0..1000 {
            let event = notice("a", &format!("{number}"), true);
            for _ in 0..3 {
                counted +=
                    repeated.judge(&event, NOW).1.iter().map(|repeats| repeats.count).sum::<u64>();
            }
        }
        assert_eq!(repeated.0.len(), REMEMBERED);
        counted += repeated.drain().iter().map(|repeats| repeats.count).sum::<u64>();
        assert_eq!(counted, 2000);
    }
}
