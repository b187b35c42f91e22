//! `cronkeep worker`: puts the worker's rooms together, follows the signals, ends in order.

mod health;

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};

use health::Outlook;

use super::Console;
use crate::args::WorkerArgs;
use crate::broker::{Broker, Consuming, Options, Publish as _, Queue, Standing};
use crate::clock::{Clock, SystemClock};
use crate::config::WorkerConfig;
use crate::event::{Bus, Event};
use crate::executor::{Executor, Host};
use crate::exit::ExitCode;
use crate::message::signature::Key;
use crate::sink::log::{self, Style};
use crate::store::redis::Redis;
use crate::store::seal::read_key;
use crate::store::sqlite::Orders;
use crate::telemetry;
use crate::unix::{self, Account, Signal, Signals};
use crate::worker::{ANSWER, Memory, Settings, Urgency, Work, Worker};

/// How long the last lines of the log may take at the end, should nobody read them.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How long they may take as long as somebody reads them.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How much of the host's name is part of a worker's.
const NAME: usize = 64;

/// Carries orders out until a signal ends it.
///
/// # Errors
/// A key that cannot be used; something that it cannot do without is not to be had.
pub(super) fn run(args: &WorkerArgs, console: &Console<'_>) -> anyhow::Result<ExitCode> {
    if std::process::id() == 1 {
        unix::signals::hold_back().context("failed to hold back signals")?;
    }
    let config = WorkerConfig::new(args, console.host)?;
    let key = config.key.as_deref().map(key).transpose()?;
    telemetry::init(config.log, &config.zone, None)?;
    unix::spawn::seal_descriptors()
        .context("failed to seal the descriptors that were inherited")?;
    unix::process::set_umask(0o022);
    unix::memory::return_large_blocks();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("failed to start the runtime")?;
    let (told, all_told) = std_mpsc::sync_channel(1);
    let code = runtime.block_on(serve(config, key, told));
    runtime.shutdown_timeout(LAST_LINES);
    // The log's thread drops its end when it has written everything; a reader that stopped reading must not keep us.
    let begun = SystemClock.monotonic();
    while all_told.recv_timeout(LAST_LINES).is_ok()
        && SystemClock.monotonic().saturating_sub(begun) < LAST_WORDS
    {}
    code
}

/// The key in a file.
fn key(path: &Path) -> anyhow::Result<Arc<Key>> {
    let bytes = read_key(path).with_context(|| format!("--key {}", path.display()))?;
    Ok(Arc::new(Key::new(&bytes)?))
}

async fn serve(
    mut config: WorkerConfig,
    key: Option<Arc<Key>>,
    told: std_mpsc::SyncSender<()>,
) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Signals first: one that comes while the rest starts is kept.
    let signals = Signals::new(&unix::signals::CONTROL).context("failed to receive signals")?;
    let mut bus = Bus::builder();
    let log_events = bus.subscribe_bounded();
    let events = bus.subscribe();
    let bus = bus.build();
    let style = Style {
        format: config.log.format,
        syslog: None,
        passthrough: false,
        zone: config.zone.clone(),
    };
    log::spawn(log_events, style, Arc::clone(&clock), told).context("failed to start the log")?;
    let host = Host {
        clean_env: true,
        env_allow: config.env_allow.clone(),
        always_shell: config.always_shell,
        descriptors: unix::limit::raise_descriptors(),
        ..Host::new(Account::current(), std::env::vars_os())
    };
    // Nothing fires here: what runs was fired by others.
    let (_fires, fired) = mpsc::unbounded_channel();
    let (executor, handle) = Executor::new(host, Arc::clone(&clock), bus.clone(), fired)
        .context("failed to start the executor")?;
    tokio::spawn(executor.run());
    let orders = orders(&mut config)?;
    let settings = Settings {
        name: name().into(),
        queue: config.queue.clone(),
        key,
        users: config.users.clone(),
        longest: config.timeout,
        stop_grace: config.stop_grace,
        answer: answer(),
    };
    let (worker, signed) = (settings.name.to_string(), settings.key.is_some());
    let version = env!("CARGO_PKG_VERSION");
    bus.publish(Event::WorkerStarted { version, queue: config.queue.clone(), worker, signed });
    for text in std::mem::take(&mut config.warnings) {
        bus.publish(Event::Notice { file: None, text, warning: true });
    }
    let name = config.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let options = Options::of_host(&unix::identity::hostname());
    let broker = Broker::start(config.addresses, options);
    let queue = Queue::Named { name: config.queue.clone(), prefetch: config.prefetch };
    let deliveries = broker.consume(queue);
    let answers = broker.consume(Queue::Reply);
    let outlook = Outlook {
        broker: name.into(),
        queue: config.queue.into(),
        standing: broker.standing(),
        consuming: deliveries.consuming(),
        answering: answers.consuming(),
    };
    tokio::spawn(tell(bus.clone(), outlook.clone()));
    let listening = match &config.listening {
        Some(listening) => health::listen(listening, config.uid, &bus, outlook).await,
        None => None,
    };
    let (urgency, urged) = watch::channel(Urgency::None);
    let leaving = broker.clone();
    let told = (bus.clone(), events);
    let known = (orders, answers.reply_queue());
    let worker = Worker::new(settings, Arc::new(broker), handle, told, clock, known);
    let obeying = tokio::spawn(obey(signals, bus.clone(), urgency));
    let Work { done, refused, killed } = worker.follow(deliveries, answers, urged).await;
    leaving.close(LAST_WORDS).await;
    obeying.abort();
    if let Some(listening) = listening {
        listening.abort();
    }
    bus.publish(Event::WorkerStopped { done, refused, killed });
    Ok(if killed == 0 { ExitCode::Success } else { ExitCode::Failure })
}

/// What says which orders were taken; where its file cannot be written, for this life alone.
fn orders(config: &mut WorkerConfig) -> anyhow::Result<Memory> {
    if let Some((url, namespace)) = &config.store {
        return Ok(Memory::Shared(Arc::new(Redis::new(url, namespace))));
    }
    let opened = Orders::open(Some(&config.orders)).or_else(|error| {
        config.warnings.push(format!(
            "{error}: which orders were taken is forgotten when this worker ends, and one that is sent again then is \
             carried out again (--state-dir)"
        ));
        Orders::open(None).context("failed to keep in memory which orders were taken")
    });
    Ok(Memory::of_file(opened?))
}

/// How long senders may take to answer; a test may have more patience, where builds have debug assertions.
fn answer() -> Duration {
    if !cfg!(debug_assertions) {
        return ANSWER;
    }
    let asked = std::env::var("CRONKEEP_TEST_FAULT").ok();
    let asked = asked.and_then(|fault| fault.strip_prefix("worker-answer-ms-")?.parse().ok());
    asked.map_or(ANSWER, Duration::from_millis)
}

/// The worker's name: the host's, and a part that is new with each start.
fn name() -> String {
    let mut host = unix::identity::hostname();
    host.retain(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter));
    host.truncate(NAME);
    format!("{host}-{:08x}", RandomState::new().hash_one(std::process::id()) & 0xffff_ffff)
}

/// Tells how the broker and the queue stand, whenever that has changed.
async fn tell(bus: Bus, outlook: Outlook) {
    let Outlook { broker, queue, mut standing, mut consuming, mut answering } = outlook;
    let mut was_up = None;
    loop {
        let broker = broker.to_string();
        tokio::select! {
            changed = standing.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = standing.borrow_and_update().clone();
                let is_up = matches!(now, Standing::Up { .. });
                if was_up.replace(is_up) == Some(is_up) {
                    continue;
                }
                match now {
                    Standing::Up { .. } => bus.publish(Event::BrokerUp { broker }),
                    Standing::Blocked { reason, .. } => {
                        bus.publish(Event::BrokerBlocked { broker, reason });
                    }
                    Standing::Down { reason, .. } => {
                        bus.publish(Event::BrokerDown { broker, reason });
                    }
                    Standing::Unknown => {}
                }
            }
            Ok(()) = answering.changed() => {
                let now = answering.borrow_and_update().clone();
                if let Consuming::Waiting { reason } = now && was_up == Some(true) {
                    let text = format!("what senders answer cannot be heard: {reason}");
                    bus.publish(Event::Notice { file: None, text, warning: true });
                }
            }
            changed = consuming.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = consuming.borrow_and_update().clone();
                if let Consuming::Waiting { reason } = now && was_up == Some(true) {
                    let text = format!("nothing is read from the queue {queue}: {reason}");
                    bus.publish(Event::Notice { file: None, text, warning: true });
                }
            }
        }
    }
}

/// Says how urgently signals ask the worker to stop.
async fn obey(mut signals: Signals, bus: Bus, urgency: watch::Sender<Urgency>) {
    while let Ok(signal) = signals.next().await {
        let before = *urgency.borrow();
        let (asked, action) = match signal {
            Signal::SIGTERM | Signal::SIGINT if before == Urgency::None => {
                (Urgency::Graceful, "stop")
            }
            Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT => (Urgency::AtOnce, "kill"),
            _ => (before, "none: a worker has nothing to reload"),
        };
        bus.publish(Event::Signal { name: signal.as_str(), action });
        if asked > before {
            urgency.send_replace(asked);
        }
    }
}
