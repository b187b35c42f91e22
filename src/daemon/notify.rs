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
    reloading: bool,
}

impl Notify {
    /// Tells nothing yet; `pending` waits for the first load.
    pub(super) fn new(pending: Option<Pending>) -> Self {
        let moved = pending.is_some();
        Notify { pending, moved, is_ready: false, reloading: false }
    }

    /// Crontabs were taken over, and so many jobs are in force.
    pub(super) fn loaded(&mut self, jobs: usize) {
        let status = match jobs {
            1 => "1 job in force".to_owned(),
            _ => format!("{jobs} jobs in force"),
        };
        let mut state = Vec::new();
        if !self.is_ready && self.moved {
            state.push(NotifyState::MainPid(process::id()));
        }
        if !self.is_ready || self.reloading {
            state.push(NotifyState::Ready);
        }
        state.push(NotifyState::Status(&status));
        tell(&state);
        (self.is_ready, self.reloading) = (true, false);
        if let Some(pending) = self.pending.take() {
            pending.tell();
        }
    }

    /// The crontabs are about to be read again because somebody asked for it.
    pub(super) fn reloading(&mut self) {
        let Ok(now) = NotifyState::monotonic_usec_now() else { return };
        if self.is_ready {
            self.reloading = true;
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
