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
use crate::unix::identity::hostname;

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
    if back.is_remote {
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
    /// Whether the store may be another host's.
    is_remote: bool,
    /// Whose runs, and what is owed, are this daemon's.
    whose: Whose,
}

/// Which of what daemons have left in a store is this one's. Runs of others may live on other hosts.
enum Whose {
    /// All of it.
    All,
    /// What bears this name: others have schedules of their own.
    Named(String),
    /// None: what dead replicas have left is told by those that live.
    None,
}

impl Back {
    /// As the options say.
    pub(super) fn new(config: &Config) -> Self {
        let is_remote = config.store.address.is_shared();
        let whose = match config.store.local {
            _ if !is_remote => Whose::All,
            true => Whose::Named(hostname()),
            false => Whose::None,
        };
        Back { zone: config.zone.clone(), is_remote, whose }
    }

    async fn give(&self, loaded: Loaded, executor: &executor::Handle) -> States {
        let Loaded { mut jobs, mut open } = loaded;
        match &self.whose {
            Whose::All => {}
            // What is owed by others the store has not handed out.
            Whose::Named(name) => open.retain(|record| record.replica == *name),
            Whose::None => {
                open.clear();
                for state in jobs.values_mut() {
                    state.owed.clear();
                }
            }
        }
        let paused = jobs.iter().filter(|(_, state)| state.paused).map(|(key, _)| *key).collect();
        executor.restore(Restored { open, paused, zone: self.zone.clone() }).await;
        jobs
    }
}
