//! What an earlier life of the daemon has left behind: pauses, runs without an end.

use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::resume::States;
use crate::config::Config;
use crate::executor::{self, Restored};
use crate::schedule::Zone;
use crate::store::{Handle, Loaded};

/// How long the first start may have to wait for what the store has kept.
const LOAD: Duration = Duration::from_secs(2);
/// How long the first table may wait for that: an answer comes, if only that there is none.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// How long a store on another host may take to hand out the snapshot before it is asked for more.
const SNAPSHOT: Duration = Duration::from_millis(250);
/// The pause before a store that did not answer is asked again, and the longest one.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the store may take to tell it later.
const LATE_LOAD: Duration = Duration::from_secs(30);

/// Asks the store what it has kept. The executor gets its part, then the rest is handed on: to `in_time`, which gets nothing if
/// the store does not answer within a span, else to `late`.
///
/// Nothing is written before it has answered: what it says must be what earlier lives have left behind. The other end
/// of `snapshot` is let go of when it has handed out that, or has not.
pub(super) async fn restore(
    back: Back,
    store: Handle,
    executor: executor::Handle,
    in_time: mpsc::SyncSender<Option<States>>,
    late: UnboundedSender<States>,
    snapshot: oneshot::Receiver<()>,
) {
    if !back.is_ours {
        // A server works off one question after another: the crontabs come first, and are read and written meanwhile.
        let _ = timeout(SNAPSHOT, snapshot).await;
    }
    if let Ok(loaded) = store.load(LOAD).await {
        let states = back.give(loaded, &executor).await;
        store.go_on();
        // Whoever has lost interest is about to end.
        let _ = in_time.send(Some(states));
        return;
    }
    let _ = in_time.send(None);
    let mut pause = PAUSE;
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        if let Ok(loaded) = store.load(LATE_LOAD).await {
            let states = back.give(loaded, &executor).await;
            store.go_on();
            let _ = late.send(states);
            return;
        }
    }
}

/// How what was kept is given back.
pub(super) struct Back {
    zone: Zone,
    /// Whether the runs that a store has kept, and what is owed, are those of this daemon alone. Those of others may live on
    /// other hosts.
    is_ours: bool,
}

impl Back {
    /// As the options say.
    pub(super) fn new(config: &Config) -> Self {
        Back { zone: config.zone.clone(), is_ours: !config.store.address.is_shared() }
    }

    async fn give(&self, loaded: Loaded, executor: &executor::Handle) -> States {
        let Loaded { mut jobs, open } = loaded;
        if !self.is_ours {
            for state in jobs.values_mut() {
                state.owed.clear();
            }
        }
        let paused = jobs.iter().filter(|(_, state)| state.paused).map(|(key, _)| *key).collect();
        let open = if self.is_ours { open } else { Vec::new() };
        executor.restore(Restored { open, paused, zone: self.zone.clone() }).await;
        jobs
    }
}
