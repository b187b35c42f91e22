//! What becomes of fires while the store is silent, and who is told of it.

use std::time::Duration;

use super::gate::Gate;
use super::policy::Silence;
use super::waiting::HELD;
use crate::event::Event;
use crate::store::{StoreError, WhenDown};

/// Who held something for too long is told so this often at most.
const REMINDER: Duration = Duration::from_secs(60);

/// What is due and held, for those who ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Fires that wait for the store.
    pub count: usize,
    /// Why they do, in words.
    pub reason: String,
}

/// What was told of the silence.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// When it was told last that something was held for too long, monotonic.
    expired: Option<Duration>,
    /// Whether it was told that fires are started without the store.
    free: bool,
    /// What the store said last instead of an answer.
    trouble: Option<StoreError>,
}

impl Gate {
    /// The store has not answered.
    pub(super) fn fall_silent(&mut self, error: StoreError) {
        let now = self.now();
        self.member.fall_silent(now);
        self.told.trouble = Some(error);
    }

    /// The store has answered.
    pub(super) fn end_silence(&mut self) {
        self.told = Told::default();
        self.let_go();
    }

    /// What is done with fires while the store is silent.
    pub(super) fn endure(&mut self) {
        let now = self.now();
        let wall = self.ports.clock.now();
        if let Some(until) = self.member.stopped {
            // Others may have started it and have had no way to tell.
            self.waiting
                .give_up(until, &"this replica was stopped while the store was away".into());
        }
        let conditions = self.member.conditions(now);
        let when_down = conditions.when_down;
        self.ports.conditions.send_replace(conditions);
        match when_down {
            WhenDown::Run => {
                self.let_go();
                let free = self.waiting.release();
                if !free.is_empty() && !std::mem::replace(&mut self.told.free, true) {
                    let text = if self.member.has_answered() {
                        "the store is away: what is due is started without asking other replicas"
                    } else {
                        "the store has not answered since the start: what is due is started without asking other replicas, \
                         which may start it, too"
                    };
                    self.warn(text.to_owned());
                }
                for waits in free {
                    self.hand_on(waits.fire);
                }
            }
            WhenDown::Hold => {
                self.hold();
                let expired = self.waiting.expire(wall, &HELD.into());
                let is_due = self.told.expired.is_none_or(|at| now >= at + REMINDER);
                if expired > 0 && is_due {
                    self.told.expired = Some(now);
                    let what = match expired {
                        1 => "1 fire was held for longer than its grace".to_owned(),
                        _ => format!("{expired} fires were held for longer than their grace"),
                    };
                    self.warn(format!(
                        "the store is away: {what}; what no other replica has started is listed as missed when it answers"
                    ));
                }
            }
        }
    }

    /// Counts what is held; tells that it is when the first fire is.
    fn hold(&mut self) {
        let starts = self.waiting.starts();
        let was_held = self.ports.held.borrow().is_some();
        // What was handed on before waits in the executor.
        let count = starts + self.out.len();
        if count == 0 && !was_held {
            return;
        }
        let reason = self.reason();
        if !was_held {
            self.ports.bus.publish(Event::SchedulerPaused { reason: reason.clone() });
        }
        let held = Some(Held { count, reason });
        self.ports.held.send_if_modified(|kept| {
            let changed = *kept != held;
            *kept = held;
            changed
        });
    }

    /// Holds nothing any more.
    fn let_go(&self) {
        let held = self.ports.held.send_if_modified(|held| held.take().is_some());
        if held {
            self.ports.bus.publish(Event::SchedulerResumed);
        }
    }

    fn reason(&self) -> String {
        let text = match (self.member.has_answered(), self.settings.silence) {
            (true, _) => "the store is away, and other replicas may live",
            (false, Silence::Auto) => {
                "the store has not answered since the start, and other replicas may live: it is waited for, 30 s at most"
            }
            (false, _) => "the store has not answered since the start",
        };
        match &self.told.trouble {
            Some(error) => format!("{text} ({error})"),
            None => text.to_owned(),
        }
    }
}
