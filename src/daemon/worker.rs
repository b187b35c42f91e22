//! What has runs carried out by workers, as the options say.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::Config;
use crate::courier::{BEAT, Permission, ReportQueue, Signing, Workers};
use crate::event::{Bus, Event};
use crate::message::signature::Key;
use crate::outbox::Outbox;
use crate::store::seal::read_key;

/// The value of `--worker-key` that asks for no signature.
const NONE: &str = "none";

/// What sends orders through `outbox`, and hears of them from `broker`.
///
/// # Errors
/// The key that signs them cannot be had.
pub(super) fn start(
    config: &Config,
    (outbox, broker, queue): (Outbox, Broker, ReportQueue),
    permission: Permission,
    bus: &Bus,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Workers> {
    let signing = match config.broker.worker_key.as_deref() {
        None => Signing::Missing,
        Some(path) if path.as_os_str() == NONE => {
            let text = "what is sent to workers is not signed: none takes it but those that carry out what anybody sends \
                        (--worker-key)"
                .to_owned();
            bus.publish(Event::Notice { file: None, text, warning: true });
            Signing::Not
        }
        Some(path) => Signing::With(key(path)?),
    };
    let beat = super::fault("worker-beat-ms-").map_or(BEAT, Duration::from_millis);
    let told = (bus.clone(), Arc::clone(clock));
    Ok(Workers::new((outbox, broker), signing, permission, (queue, &config.state_dir), told, beat))
}

fn key(path: &Path) -> anyhow::Result<Arc<Key>> {
    let bytes = read_key(path).with_context(|| format!("--worker-key {}", path.display()))?;
    Ok(Arc::new(Key::new(&bytes)?))
}
