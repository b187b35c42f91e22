//! The daemon's store: who speaks to it, how it stands.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::{Config, StoreChoice};
use crate::event::{Bus, Event};
use crate::store::open::{Access, Opening, open_sealed};
use crate::store::redis::Redis;
use crate::store::seal::Seal;
use crate::store::sqlite::Sqlite;
use crate::store::{Address, Handle, Standing, Store, Tell};
use crate::unix::identity::hostname;

/// The store, and what was told of it.
pub(super) struct Keeper {
    handle: Handle,
    outlook: Outlook,
    bus: Bus,
    /// Whether it was told that it is away.
    told: bool,
}

/// How the store stands, for those who ask.
#[derive(Debug, Clone)]
pub(super) struct Outlook {
    /// Which, without secrets.
    name: Arc<str>,
    /// Why it is not the one that would have been taken.
    forgone: Option<Arc<str>>,
    standing: watch::Receiver<Standing>,
}

/// What signs what is kept, if the options name a key.
///
/// # Errors
/// It cannot be had.
pub(super) fn seal_of(config: &Config) -> anyhow::Result<Option<Seal>> {
    let seal = config.store.key.as_ref().map(|path| {
        Seal::from_file(path, &config.store.namespace)
            .with_context(|| format!("--store-key {}", path.display()))
    });
    seal.transpose()
}

impl Keeper {
    /// Starts the thread that waits for the store; nothing is asked of it yet. A file that is not locked yet, since its
    /// directory is missing, is when it is opened.
    ///
    /// # Errors
    /// The key that the options name cannot be had, or the system has no thread left.
    pub(super) fn start(
        config: &Config,
        is_locked: bool,
        clock: Arc<dyn Clock>,
        bus: Bus,
    ) -> anyhow::Result<Self> {
        let seal = seal_of(config)?;
        let address = config.store.address.clone();
        let name = address.to_string().into();
        let told = bus.clone();
        let tell: Tell = Arc::new(move |text| {
            told.publish(Event::Notice { file: None, text, warning: true });
        });
        let opening = Opening {
            address,
            namespace: config.store.namespace.clone(),
            access: match config.store.choice {
                _ if config.shadow => Access::Read,
                StoreChoice::Store => Access::Owned,
                StoreChoice::Nobody | StoreChoice::StateDir => Access::Default,
            },
            clock: Arc::clone(&clock),
            tell: Arc::clone(&tell),
        };
        let careless = super::fault("careless-starts-").is_some();
        let local = (config.store.local && !config.shadow).then(hostname);
        let open = move || match (&opening.address, &local) {
            (Address::Redis(url), _) if careless => {
                Arc::new(Redis::new(url, &opening.namespace).careless()) as Arc<dyn Store>
            }
            (Address::Redis(url), Some(name)) => {
                let redis = Redis::new(url, &opening.namespace).sealed(seal, opening.tell);
                Arc::new(redis.local(name))
            }
            (Address::Sqlite(_), _) if !is_locked && opening.access != Access::Read => {
                Arc::new(Sqlite::new(opening).sealed(seal).locking())
            }
            _ => open_sealed(opening, seal),
        };
        let handle = Handle::start(open, clock, tell).context("failed to start the store")?;
        let forgone = config.store.forgone.as_deref().map(Into::into);
        let outlook = Outlook { name, forgone, standing: handle.standing() };
        Ok(Keeper { handle, outlook, bus, told: false })
    }

    /// Who speaks to it.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// How it stands, now and later.
    pub(super) fn outlook(&self) -> Outlook {
        self.outlook.clone()
    }

    /// Waits until it stands otherwise than before. Loses nothing when it is dropped unfinished.
    pub(super) async fn turned(&mut self) {
        if self.outlook.standing.changed().await.is_err() {
            // Its thread has ended, and nothing will be heard of it any more.
            std::future::pending::<()>().await;
        }
    }

    /// Tells that it went away, or came back.
    pub(super) fn tell(&mut self) {
        let store = self.outlook.name.to_string();
        let reason = match &*self.outlook.standing.borrow_and_update() {
            Standing::Down { error, .. } | Standing::Strained { error } => Some(error.to_string()),
            Standing::Unknown | Standing::Up => None,
        };
        match reason {
            Some(reason) if !self.told => self.bus.publish(Event::StoreDown { store, reason }),
            None if self.told => self.bus.publish(Event::StoreUp { store }),
            _ => return,
        }
        self.told = !self.told;
    }
}

impl Outlook {
    /// Which store it is, without secrets.
    pub(super) fn name(&self) -> String {
        self.name.to_string()
    }

    /// What is wrong with it, if anything is.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Down { error, waiting, .. } => {
                let waiting = match waiting {
                    0 => String::new(),
                    1 => "; 1 write waits for it".to_owned(),
                    more => format!("; {more} writes wait for it"),
                };
                Some(format!("the store {} is away: {error}{waiting}", self.name))
            }
            Standing::Strained { error } => Some(format!(
                "the store {} does not take all that is to be kept: {error}",
                self.name
            )),
            Standing::Unknown | Standing::Up => self.forgone.as_deref().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;
    use jiff::Timestamp;

    #[test]
    fn a_store_that_is_away_is_a_trouble_that_names_what_waits() {
        let (sender, standing) = watch::channel(Standing::Unknown);
        let outlook = Outlook { name: "redis://host".into(), forgone: None, standing };
        assert_eq!(outlook.trouble(), None);
        let away = |waiting| Standing::Down {
            since: Timestamp::UNIX_EPOCH,
            error: StoreError::Down("connection refused".to_owned()),
            waiting,
        };
        for (waiting, end) in
            [(0, ""), (1, "; 1 write waits for it"), (2, "; 2 writes wait for it")]
        {
            sender.send_replace(away(waiting));
            let wanted = format!("the store redis://host is away: connection refused{end}");
            assert_eq!(outlook.trouble(), Some(wanted));
        }
        sender.send_replace(Standing::Up);
        assert_eq!(outlook.trouble(), None);
    }
}
