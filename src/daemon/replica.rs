//! The daemon among its replicas: the gate between scheduler and executor, where the schedule is shared.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::args::WhenStoreDownArg;
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Bus, Event, Fire, Settlement};
use crate::executor::{self, Ledger};
use crate::job::JobTable;
use crate::replica::{Duty, Gate, Held, Leave, Ports, Settings, Silence};
use crate::store::{Beat, Conditions, Handle, Lease, WhenDown};
use crate::unix::identity::hostname;

/// How long the store may take to record starts before they are made all the same.
const START: Duration = Duration::from_millis(250);
/// How long leaving the others may take.
const LEAVING: Duration = Duration::from_secs(3);

/// Whether the schedule is shared with other replicas.
pub(super) fn is_shared(config: &Config) -> bool {
    config.store.address.is_shared() && !config.store.local
}

/// The name of this replica: the host's, and where the schedule is shared a part that is new with each start.
pub(super) fn name(config: &Config) -> Arc<str> {
    let host = hostname();
    if !is_shared(config) {
        return host.into();
    }
    format!("{host}-{:06x}", RandomState::new().hash_one(std::process::id()) & 0xff_ffff).into()
}

/// What the gate is made of before the rooms beside it are there.
pub(super) struct Entrance {
    settled: mpsc::UnboundedReceiver<Settlement>,
    conditions: watch::Sender<Conditions>,
    granted: mpsc::UnboundedSender<Fire>,
    settings: Settings,
    replicas: watch::Sender<Vec<Beat>>,
}

impl Entrance {
    /// The replicas that live, this one first; none before that is known.
    pub(super) fn alive(&self) -> watch::Receiver<Vec<Beat>> {
        self.replicas.subscribe()
    }
}

/// Where starts are recorded; and, where the schedule is shared, what its gate is to be made of.
pub(super) fn ledger(
    config: &Config,
    store: &Handle,
    replica: &Arc<str>,
    granted: &mpsc::UnboundedSender<Fire>,
) -> (Ledger, Option<Entrance>) {
    let shared = is_shared(config);
    let name = replica.to_string();
    let lease = if config.store.local {
        Lease::local(name.clone())
    } else {
        Lease { replica: name.clone(), fencing: 0 }
    };
    let when_down = if shared { WhenDown::Hold } else { WhenDown::Run };
    let (conditions, kept) =
        watch::channel(Conditions { lease, within: START, when_down, until: None });
    let ledger = Ledger::new(store.clone(), kept);
    if !shared {
        // Nothing changes them.
        return (ledger, None);
    }
    let silence = match config.store.when_down {
        WhenStoreDownArg::Auto => Silence::Auto,
        WhenStoreDownArg::Run => Silence::Run,
        WhenStoreDownArg::Hold => Silence::Hold,
    };
    let settings = Settings {
        replica: name,
        host: hostname(),
        zone: config.zone.clone(),
        silence,
        linger: super::fault("replica-linger-").map_or(Duration::ZERO, Duration::from_millis),
    };
    let (told, settled) = mpsc::unbounded_channel();
    let granted = granted.clone();
    let replicas = watch::channel(Vec::new()).0;
    let entrance = Entrance { settled, conditions, granted, settings, replicas };
    (ledger.with_claims(told), Some(entrance))
}

/// The way into the schedule that replicas share.
pub(super) struct Replicas {
    /// Where what is due goes.
    pub(super) fires: mpsc::UnboundedSender<Fire>,
    /// Where is told what passed and was not started here.
    pub(super) passed: mpsc::UnboundedSender<Event>,
    /// The replicas that live, this one first.
    pub(super) alive: watch::Receiver<Vec<Beat>>,
    /// What is due and held.
    pub(super) held: watch::Receiver<Option<Held>>,
    leave: oneshot::Sender<Leave>,
}

impl Replicas {
    /// Starts the gate.
    pub(super) fn start(
        entrance: Entrance,
        store: &Handle,
        clock: &Arc<dyn Clock>,
        bus: &Bus,
        tables: watch::Receiver<Arc<JobTable>>,
        executor: &executor::Handle,
    ) -> Self {
        let (fires, due) = mpsc::unbounded_channel();
        let (passed, not_started) = mpsc::unbounded_channel();
        let (holding, held) = watch::channel(None);
        let (leave, left) = oneshot::channel();
        let Entrance { settled, conditions, granted, settings, replicas } = entrance;
        let alive = replicas.subscribe();
        let (executor, zone) = (executor.clone(), settings.zone.clone());
        let duties = move |duty| match duty {
            Duty::Adopt(runs) => executor.adopt(runs, zone.clone()),
            Duty::Pauses(jobs) => executor.share_pauses(jobs),
            Duty::RecordAlive => executor.record_alive(),
        };
        let ports = Ports {
            clock: Arc::clone(clock),
            store: store.clone(),
            bus: bus.clone(),
            tables,
            fires: due,
            passed: not_started,
            granted,
            settled,
            duties: Box::new(duties),
            conditions,
            replicas,
            held: holding,
            leave: left,
        };
        tokio::spawn(Gate::new(ports, settings).run());
        Replicas { fires, passed, alive, held, leave }
    }

    /// Says that this replica is gone. To be called when nothing is started any more and everything is written.
    pub(super) async fn leave(self) {
        let (reply, gone) = oneshot::channel();
        if self.leave.send(reply).is_ok() {
            // If it takes longer the lease ends by itself.
            let _ = tokio::time::timeout(LEAVING, gone).await;
        }
    }
}
