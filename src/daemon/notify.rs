//! Whoever waits for the daemon is told how it is: the caller of a crond in the background, and the service manager.

use std::process;

use sd_notify::NotifyState;

use crate::unix::background::Pending;

/// What the outside was told, and has yet to be.
#[derive(Debug)]
pub(super) struct Notify {
    pending: Option<Pending>,
    /// The manager knows another pid: that of the process that was called.
    moved: bool,
    is_ready: bool,
    /// The call for a look that the manager waits for the answer of.
    reloading: Option<u64>,
}

impl Notify {
    /// Tells nothing yet; `pending` waits for the first load.
    pub(super) fn new(pending: Option<Pending>) -> Self {
        let moved = pending.is_some();
        Notify { pending, moved, is_ready: false, reloading: None }
    }

    /// Crontabs were taken over, and so many jobs are in force; so many calls for a look are answered with that.
    pub(super) fn loaded(&mut self, jobs: usize, reloads: u64) {
        self.tell_loaded(jobs, reloads, tell);
        if let Some(pending) = self.pending.take() {
            pending.tell();
        }
    }

    fn tell_loaded(&mut self, jobs: usize, reloads: u64, tell: impl Fn(&[NotifyState<'_>])) {
        let status = match jobs {
            1 => "1 job in force".to_owned(),
            _ => format!("{jobs} jobs in force"),
        };
        let mut state = Vec::new();
        if !self.is_ready && self.moved {
            state.push(NotifyState::MainPid(process::id()));
        }
        // An edit that was found before somebody asked is not what they wait for.
        let is_answer = self.reloading.is_some_and(|asked| reloads >= asked);
        if !self.is_ready || is_answer {
            state.push(NotifyState::Ready);
            self.reloading = None;
        }
        state.push(NotifyState::Status(&status));
        tell(&state);
        self.is_ready = true;
    }

    /// The crontabs are about to be read again because somebody asked for it: the call of this number.
    pub(super) fn reloading(&mut self, asked: u64) {
        self.tell_reloading(asked, tell);
    }

    fn tell_reloading(&mut self, asked: u64, tell: impl Fn(&[NotifyState<'_>])) {
        let Ok(now) = NotifyState::monotonic_usec_now() else { return };
        if self.is_ready {
            self.reloading = Some(asked);
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The daemon is about to end.
    pub(super) fn stopping() {
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }
}

/// Tells the manager that `NOTIFY_SOCKET` names, if there is one.
fn tell(state: &[NotifyState<'_>]) {
    // A manager that cannot be reached is none; the daemon does what it does without one, too.
    let _ = sd_notify::notify(state);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What the manager is told, one text a message.
    #[derive(Default)]
    struct Manager(RefCell<Vec<String>>);

    impl Manager {
        fn hear(&self, state: &[NotifyState<'_>]) {
            let words: Vec<String> = state.iter().map(ToString::to_string).collect();
            self.0.borrow_mut().push(words.join(" "));
        }

        fn told(&self) -> Vec<String> {
            self.0.take()
        }
    }

    #[test]
    fn an_edit_that_was_found_before_a_reload_does_not_end_it() {
        let (mut notify, manager) = (Notify::new(None), Manager::default());
        let hear = |state: &[NotifyState<'_>]| manager.hear(state);
        notify.tell_loaded(1, 0, hear);
        assert_eq!(manager.told(), ["READY=1 STATUS=1 job in force"]);
        notify.tell_reloading(1, hear);
        assert!(manager.told()[0].starts_with("RELOADING=1 MONOTONIC_USEC="));
        notify.tell_loaded(2, 0, hear);
        // Asked again while the first look was under way: the manager waits for the second now.
        notify.tell_reloading(2, hear);
        notify.tell_loaded(3, 1, hear);
        notify.tell_loaded(4, 2, hear);
        notify.tell_loaded(5, 2, hear);
        let told: Vec<String> =
            manager.told().into_iter().filter(|text| !text.starts_with("RELOADING")).collect();
        assert_eq!(
            told,
            [
                "STATUS=2 jobs in force",
                "STATUS=3 jobs in force",
                "READY=1 STATUS=4 jobs in force",
                "STATUS=5 jobs in force"
            ]
        );
    }
}
