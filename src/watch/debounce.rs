//! When a change is quiet enough to be looked at: pure, on made-up times.
use std::time::Duration;

/// How long our own paths must have been quiet before the first of two readings; the second comes 10 ms later, so that
/// text is handed on 100 ms after the last change.
pub(super) const QUIET: Duration = Duration::from_millis(90);
/// How long a writer that keeps the file open may pause before the file is looked at all the same.
pub(super) const HELD: Duration = Duration::from_secs(1);
/// How long a file that keeps changing is waited for, from its first change.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long noise alone (events that may not be ours) can put a look off.
pub(super) const NOISE: Duration = Duration::from_secs(1);

/// What was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Touch {
    /// One of our own paths changed; no writer is known to hold it open.
    Edit,
    /// One of our own paths changed, and a writer still has it open.
    Writing,
    /// Something may have changed: events were lost, or could not be told apart.
    Noise,
}

/// Gathers touches until the paths are quiet.
///
/// Times are monotonic, since any one origin. The owner sleeps until [`deadline`](Self::deadline), looks, and
/// answers with [`settled`](Self::settled) or [`unsettled`](Self::unsettled).
#[derive(Debug, Default)]
pub(super) struct Debounce {
    pending: Option<Pending>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    first: Duration,
    due: Duration,
    own: bool,
}

impl Debounce {
    /// Takes note of a touch at `now`.
    pub(super) fn touch(&mut self, touch: Touch, now: Duration) {
        let (first, own) = self.pending.map_or((now, false), |p| (p.first, p.own));
        let due = match touch {
            Touch::Edit => (now + QUIET).min(first + PATIENCE),
            Touch::Writing => (now + HELD).min(first + PATIENCE),
            // Noise never moves what an edit of ours has set.
            Touch::Noise if own => return,
            Touch::Noise => (now + QUIET).min(first + NOISE),
        };
        self.pending = Some(Pending { first, due, own: own || touch != Touch::Noise });
    }

    /// Makes a look due at once, whatever is going on.
    pub(super) fn demand(&mut self, now: Duration) {
        let first = self.pending.map_or(now, |pending| pending.first);
        self.pending = Some(Pending { first, due: now, own: true });
    }

    /// When to look next, if anything is pending.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.pending.map(|pending| pending.due)
    }

    /// The look found files that hold still: nothing is pending any more.
    pub(super) fn settled(&mut self) {
        self.pending = None;
    }

    /// The look found a file that still changes. Says whether to look again; `false` when patience is at an end, and
    /// nothing is pending any more.
    pub(super) fn unsettled(&mut self, now: Duration) -> bool {
        let first = self.pending.map_or(now, |pending| pending.first);
        if now >= first + PATIENCE {
            self.pending = None;
            return false;
        }
        self.pending = Some(Pending { first, due: (now + QUIET).min(first + PATIENCE), own: true });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn nothing_is_due_before_anything_happened() {
        assert_eq!(Debounce::default().deadline(), None);
    }

    #[test]
    fn an_edit_is_due_when_it_was_quiet_for_long_enough() {
        let mut debounce = Debounce::default();
        debounce.touch(Touch::Edit, ms(500));
        assert_eq!(debounce.deadline(), Some(ms(500) + QUIET));
    }

    #[test]
    fn each_edit_starts_the_quiet_anew() {
        let mut debounce = Debounce::default();
        for at in (0..=900).step_by(75) {
            debounce.touch(Touch::Edit, ms(at));
        }
        assert_eq!(debounce.deadline(), Some(ms(900) + QUIET));
    }

    #[test]
    fn edits_without_end_are_waited_for_five_seconds() {
        let mut debounce = Debounce::default();
        for at in (1_000..6_000).step_by(50) {
            debounce.touch(Touch::Edit, ms(at));
            assert!(debounce.deadline().unwrap() > ms(at));
        }
        assert_eq!(debounce.deadline(), Some(ms(6_000)));
    }

    #[test]
    fn a_writer_that_pauses_is_waited_for_a_second() {
        let mut debounce = Debounce::default();
        debounce.touch(Touch::Writing, ms(0));
        assert_eq!(debounce.deadline(), Some(ms(1_000)));
        debounce.touch(Touch::Writing, ms(700));
        assert_eq!(debounce.deadline(), Some(ms(1_700)));
        debounce.touch(Touch::Edit, ms(800));
        assert_eq!(debounce.deadline(), Some(ms(800) + QUIET), "closed: the usual quiet");
    }

    #[test]
    fn noise_alone_is_looked_at_within_a_second() {
        let mut debounce = Debounce::default();
        for at in 0..1_000 {
            debounce.touch(Touch::Noise, ms(at));
        }
        assert_eq!(debounce.deadline(), Some(ms(1_000)));
    }

    #[test]
    fn noise_never_delays_an_edit() {
        let mut debounce = Debounce::default();
        debounce.touch(Touch::Edit, ms(0));
        for at in 1..100 {
            debounce.touch(Touch::Noise, ms(at));
        }
        assert_eq!(debounce.deadline(), Some(QUIET));
    }

    #[test]
    fn a_demand_is_due_at_once_even_amid_writing() {
        let mut debounce = Debounce::default();
        debounce.touch(Touch::Writing, ms(0));
        debounce.demand(ms(10));
        assert_eq!(debounce.deadline(), Some(ms(10)));
    }

    #[test]
    fn an_unsettled_file_is_looked_at_again_until_patience_ends() {
        let mut debounce = Debounce::default();
        debounce.touch(Touch::Edit, ms(0));
        assert!(debounce.unsettled(ms(100)));
        assert_eq!(debounce.deadline(), Some(ms(100) + QUIET));
        assert!(debounce.unsettled(ms(4_950)));
        assert_eq!(debounce.deadline(), Some(ms(5_000)));
        assert!(!debounce.unsettled(ms(5_000)));
        assert_eq!(debounce.deadline(), None);
    }

    #[test]
    fn settling_forgets_the_first_touch() {
        let mut debounce = Debounce::default();
        debounce.touch(Touch::Edit, ms(0));
        debounce.settled();
        debounce.touch(Touch::Edit, ms(9_000));
        assert_eq!(debounce.deadline(), Some(ms(9_000) + QUIET));
    }

    proptest! {
        #[test]
        fn a_look_is_never_due_later_than_patience_after_the_first_touch(
            steps in prop::collection::vec((0u64..400, 0u8..3), 1..200)
        ) {
            let mut debounce = Debounce::default();
            let (mut now, mut first) = (0, None);
            for (step, kind) in steps {
                now += step;
                if debounce.deadline().is_some_and(|due| due <= ms(now)) {
                    debounce.settled();
                    first = None;
                }
                let touch = [Touch::Edit, Touch::Writing, Touch::Noise][usize::from(kind)];
                debounce.touch(touch, ms(now));
                let first = *first.get_or_insert(now);
                let due = debounce.deadline().unwrap();
                prop_assert!(due <= ms(first) + PATIENCE);
                prop_assert!(due > ms(now));
            }
        }
    }
}
