//! What an earlier life of the daemon has left behind: pauses, runs without an end.

use std::time::Duration;

use tokio::sync::watch;

use crate::config::{Config, StoreConfig};
use crate::executor::{self, Conditions, Ledger, Restored, WhenDown};
use crate::schedule::Zone;
use crate::store::{Handle, Lease, Loaded, Standing};

/// How long the store may take to record starts before they are made all the same.
const START: Duration = Duration::from_millis(250);
/// How long the first start may have to wait for what the store has kept.
const LOAD: Duration = Duration::from_secs(2);
/// How long the store may take to tell it later.
const LATE_LOAD: Duration = Duration::from_secs(30);

/// Where starts are recorded by a daemon that shares its schedule with nobody.
pub(super) fn ledger(store: &Handle, replica: &str) -> Ledger {
    let lease = Lease { replica: replica.to_owned(), fencing: 0 };
    let conditions = Conditions { lease, within: START, when_down: WhenDown::Run };
    // Nothing changes them.
    Ledger::new(store.clone(), watch::channel(conditions).1)
}

/// Gives the executor what the store has kept, before anything is due; later if the store does not answer now.
pub(super) async fn restore(config: &Config, store: &Handle, executor: &executor::Handle) {
    let (store, executor) = (store.clone(), executor.clone());
    let back = Back { zone: config.zone.clone(), is_ours: is_ours(&config.store) };
    if let Ok(loaded) = store.load(LOAD).await {
        return executor.restore(back.of(loaded)).await;
    }
    tokio::spawn(async move {
        let mut standing = store.standing();
        loop {
            // Without its thread nothing will be heard of the store.
            if standing.wait_for(|standing| *standing == Standing::Up).await.is_err() {
                return;
            }
            if let Ok(loaded) = store.load(LATE_LOAD).await {
                return executor.restore(back.of(loaded)).await;
            }
        }
    });
}

/// Whether the runs that a store has kept are those of this daemon alone. Those of others may live on other hosts.
fn is_ours(store: &StoreConfig) -> bool {
    !store.address.is_shared()
}

/// How what was kept is given back.
struct Back {
    zone: Zone,
    is_ours: bool,
}

impl Back {
    fn of(self, loaded: Loaded) -> Restored {
        let paused = loaded.jobs.iter().filter(|(_, state)| state.paused).map(|(key, _)| *key);
        let paused = paused.collect();
        Restored {
            open: if self.is_ours { loaded.open } else { Vec::new() },
            paused,
            zone: self.zone,
        }
    }
}
