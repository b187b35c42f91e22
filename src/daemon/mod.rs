//! The daemon: puts the rooms together, follows the signals, ends in order.
//!
//! Receives a [`Config`], hands on an [`ExitCode`]. Layer 9, the last of it: wiring only.

mod background;
mod broker;
mod control;
mod crontab;
mod feed;
mod last;
mod lock;
mod notify;
mod outbox;
mod publish;
mod reading;
mod reboot;
mod recover;
mod reload;
mod replica;
mod restore;
mod resume;
mod shadow;
mod shutdown;
mod signal;
mod standing;
mod store;
mod surroundings;
mod touch;
mod worker;

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task;
use tokio::time::timeout;

use crate::clock::{Clock, SystemClock, Waker};
use crate::config::{Config, Mail};
use crate::courier;
use crate::event::{Bus, Event};
use crate::executor::mail::{Post, SENDMAIL, Via};
use crate::executor::{Executor, Handle, Host};
use crate::exit::ExitCode;
use crate::job::JobTable;
use crate::scheduler::{Fault, Pulse, Scheduler};
use crate::sink::hook::{Hooks, Patience, Permission};
use crate::sink::keep::Keep;
use crate::sink::log::{self, Style};
use crate::sink::recent::Recent;
use crate::sink::seen::Seen;
use crate::sink::syslog::Syslog;
use crate::unix::{self, Account, Signals};
use crate::watch::Watcher;
use background::PidFile;
pub use background::{Launch, PID_FILE};
use broker::{Beside, Mailing};
use control::{About, Control, Desk};
use lock::Locks;
use notify::Notify;
use outbox::Drawer;
use reading::{Ahead, Defaults};
use reboot::Reboot;
use recover::Recovery;
use reload::{News, Reload};
use replica::Replicas;
use restore::Back;
use resume::{Resume, States};
use store::Keeper;

/// How long the last lines of the log may take at the end, should nobody read them.
const LAST_LINES: Duration = Duration::from_millis(500);
/// How long the last writes to the store may take.
const LAST_WRITES: Duration = Duration::from_secs(1);
/// How long they may take as long as somebody reads them.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// Something that it cannot do without is not to be had: a thread, a descriptor.
pub fn run(mut config: Config, launch: Launch) -> anyhow::Result<ExitCode> {
    if std::process::id() == 1 {
        unix::signals::hold_back().context("failed to hold back signals")?;
    }
    unix::memory::keep_large_blocks();
    // As soon as it is known what: it takes as long as all the rest. The thread leaves signals to those that are received.
    let reading = (!config.shadow)
        .then(|| unix::signals::sheltered(|| Ahead::begin(&config.sources, Defaults::of(&config))));
    // Who runs nothing and writes nothing is in nobody's way.
    let locks = if config.shadow { Locks::default() } else { Locks::take(&mut config)? };
    let Launch { pending, output, pid_file, warnings } = launch;
    config.warnings.extend(warnings);
    let pid_file = pid_file.filter(|_| !config.shadow);
    let pid_file = pid_file.map(|path| PidFile::write(&path, &mut config.warnings)).transpose()?;
    config.warnings.extend(surroundings::missing(Path::new("/")));
    unix::spawn::seal_descriptors()
        .context("failed to seal the descriptors that were inherited")?;
    unix::process::set_umask(0o022);
    if config.subreaper {
        unix::process::adopt_orphans().context("failed to adopt orphans")?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("failed to start the runtime")?;
    let (told, all_told) = std_mpsc::sync_channel(1);
    let reading = reading.flatten();
    let outside = Outside { notify: Notify::new(pending), locks, output, reading };
    let code = if config.shadow {
        runtime.block_on(shadow::serve(config, outside, told))
    } else {
        runtime.block_on(serve(config, outside, told))
    };
    // On a thread of its own: neither the watch's last word with inotify's thread, however busy that one is, nor a disk or
    // a user database that does not answer must keep us.
    let end = move || runtime.shutdown_timeout(LAST_LINES);
    let ending = std::thread::Builder::new().name("ending".into()).spawn(end);
    drop(pid_file);
    // The log's thread drops its end when it has written everything; a reader that stopped reading must not keep us.
    let begun = SystemClock.monotonic();
    while all_told.recv_timeout(LAST_LINES).is_ok()
        && SystemClock.monotonic().saturating_sub(begun) < LAST_WORDS
    {}
    drop(ending);
    code
}

/// What ties the daemon to those outside.
struct Outside {
    notify: Notify,
    locks: Locks,
    output: Option<Arc<Syslog>>,
    /// The crontab that is being read already.
    reading: Option<Ahead>,
}

/// What the daemon's task waits on.
struct Daemon {
    config: Config,
    clock: Arc<dyn Clock>,
    bus: Bus,
    signals: Signals,
    watcher: Watcher,
    /// Away while a change is taken over.
    reload: Option<Reload>,
    reboot: Reboot,
    /// Shared, so that a thread that hangs does not keep the scheduler from ending.
    tables: Arc<watch::Sender<Arc<JobTable>>>,
    waker: Waker,
    executor: Handle,
    notify: Notify,
    locks: Locks,
    control: Control,
    desk: Desk,
    /// Where state outlives the daemon.
    store: Keeper,
    /// Where messages go, if anywhere.
    mailing: Option<Mailing>,
    /// What has runs carried out elsewhere.
    workers: Option<courier::Workers>,
    /// What the store says of earlier lives, if it does not in time.
    late: mpsc::UnboundedReceiver<States>,
    recovery: Recovery,
}

async fn serve(
    config: Config,
    outside: Outside,
    told: std_mpsc::SyncSender<()>,
) -> anyhow::Result<ExitCode> {
    let Outside { notify, locks, output, reading } = outside;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Signals first: one that comes while the rest starts is kept.
    let signals = Signals::new(&unix::signals::CONTROL).context("failed to receive signals")?;
    let mut bus = Bus::builder();
    let events = bus.subscribe_bounded();
    let hook_events = bus.subscribe();
    let seen_events = bus.subscribe();
    let published = config.broker.events.clone().map(|exchange| (exchange, bus.subscribe()));
    let bus = bus.build();
    let (seen, recent) = (Seen::default(), Recent::default());
    let style = Style {
        format: config.log.format,
        syslog: output,
        passthrough: config.passthrough,
        zone: config.zone.clone(),
    };
    let account = Account::current();
    let permission = Permission { account: account.clone(), everybody: config.allow_user_hooks };
    let replica = unix::identity::hostname();
    let hooks = Hooks::new(permission, replica, bus.clone(), Patience::default(), told.clone());
    let hooks = tokio::spawn(hooks.follow(hook_events));
    log::spawn(events, style, Arc::clone(&clock), told).context("failed to start the log")?;

    let store = Keeper::start(&config, locks.has_store(), Arc::clone(&clock), bus.clone())?;
    let kept = store.handle().clone();
    let replica = replica::name(&config);
    let keep = Keep::new(kept.clone(), Arc::clone(&clock), Arc::clone(&replica));
    let keeping = tokio::spawn(seen.clone().keep(recent.clone(), keep, seen_events));
    let (fire_sender, fires) = mpsc::unbounded_channel();
    let reboot = Reboot::new(fire_sender.clone(), bus.clone(), clock.now(), &config.state_dir);
    let host = Host {
        clean_env: config.clean_env,
        env_allow: config.env_allow.clone(),
        always_shell: config.always_shell,
        control: control_of(&config),
        descriptors: unix::limit::raise_descriptors(),
        post: Arc::new(post(&config)),
        ..Host::new(account.clone(), std::env::vars_os())
    };
    let (ahead, announced) = mpsc::unbounded_channel();
    let (executor, handle) = Executor::new(host, Arc::clone(&clock), bus.clone(), fires)
        .context("failed to start the executor")?;
    let (tables, table) = watch::channel(Arc::default());
    let tables = Arc::new(tables);
    let executor = executor.with_limit(config.max_jobs).with_tables(table.clone());
    let executor = executor.with_announcements(announced);
    let (ledger, entrance) = replica::ledger(&config, &kept, &replica, &fire_sender);
    let mut executor = executor.with_ledger(ledger);
    let beside = Beside {
        store: &kept,
        replica: &replica,
        entrance: entrance.as_ref(),
        clock: &clock,
        bus: &bus,
    };
    let mailing = Mailing::start(&config, &beside)?;
    let broker = mailing.as_ref().map(Mailing::broker);
    let events_out = mailing
        .as_ref()
        .zip(published)
        .map(|(mailing, (exchange, events))| mailing.publish_events(exchange, &beside, events));
    let publishing = mailing.as_ref().map(|mailing| mailing.publishing(&config, &account, &beside));
    let sending = publishing.as_ref().map(|publishing| publishing.outbox.clone());
    let drawer = Drawer::new(&config, &beside, sending);
    let mut workers = None;
    if let (Some(publishing), Some(mailing)) = (&publishing, &mailing) {
        let ways = (publishing.outbox.clone(), mailing.broker(), mailing.reports());
        let sending = worker::start(&config, ways, publishing.permission.clone(), &bus, &clock)?;
        let desk = courier::Desk::new(publishing.clone(), sending.clone());
        executor = executor.with_courier(Arc::new(desk));
        workers = Some(sending);
    }
    let executing = tokio::spawn(executor.run());
    // Read before anything is written over it; what is alive counts before the first fire is judged.
    kept.hold();
    let (in_time, states) = std_mpsc::sync_channel(1);
    let (later, late) = mpsc::unbounded_channel();
    let (handed_out, snapshot) = oneshot::channel();
    let back = Back::new(&config);
    let restoring = restore::restore(back, kept.clone(), handle.clone(), in_time, later, snapshot);
    let (resuming, settling) = (workers.clone(), workers.clone());
    tokio::spawn(async move {
        restoring.await;
        if let Some(workers) = resuming {
            workers.resume();
        }
    });

    if !matches!(config.store.address, crate::store::Address::Memory) {
        let (settling, again) = (touch::SETTLING, touch::AGAIN);
        tokio::spawn(touch::touch(kept.clone(), tables.subscribe(), settling, again));
    }
    let replicas = entrance.map(|entrance| {
        Replicas::start(entrance, &kept, &clock, &bus, tables.subscribe(), &handle)
    });
    let fire_sender = replicas.as_ref().map_or(fire_sender, |replicas| replicas.fires.clone());

    let passed = replicas.as_ref().map(|replicas| replicas.passed.clone());
    let alarm = clock.alarm().context("failed to make a timer")?;
    let waker = alarm.waker();
    let pulse = Pulse::default();
    let going = Arc::default();
    let resume = Resume::new(
        kept.clone(),
        bus.clone(),
        (fire_sender.clone(), passed.clone()),
        Arc::clone(&going),
        states,
    );
    let scheduler = Scheduler {
        clock: Arc::clone(&clock),
        alarm,
        tables: table,
        origin: going,
        fires: fire_sender,
        missed: passed,
        ahead: Some(ahead),
        bus: bus.clone(),
        pulse: pulse.clone(),
        fault: injected_fault(),
    };
    let scheduler = scheduler.spawn().context("failed to start the scheduler")?;

    bus.publish(Event::Started {
        version: env!("CARGO_PKG_VERSION"),
        zone: config.zone.name().to_owned(),
    });
    for warning in &config.warnings {
        bus.publish(Event::Notice { file: None, text: warning.clone(), warning: true });
    }
    // Before the watch reads them: each crontab is loaded once.
    let mut recovery = Recovery::start(&config, kept.clone(), bus.clone(), handed_out).await?;
    let written = recovery.take_written();
    let hash = written.as_ref().and_then(|written| written.hash);
    let reading = written.map_or(reading, |written| written.ahead);
    let places = config.sources.iter().map(|source| source.place.clone());
    let watcher = Watcher::start_after(places, hash).context("failed to watch the crontabs")?;
    // Its first look has a thread of its own, while the sockets are made here.
    tokio::task::yield_now().await;
    let permission = publishing.as_ref().map(|publishing| publishing.permission.clone());
    let control = Control::start(&config, &account, &bus, permission).await;
    let about = Arc::new(About::new(&config, &account, &*clock));
    let reload = Reload::new(&config, account, bus.clone(), resume).with(reading);
    let desk = Desk {
        standings: reload.standings(),
        clock: Arc::clone(&clock),
        tables: tables.subscribe(),
        executor: handle.clone(),
        seen,
        recent,
        pulse,
        waker: waker.clone(),
        given: publish::Given::since(about.started),
        about,
        store: store.outlook(),
        replicas: replicas.as_ref().map(|replicas| replicas.alive.clone()),
        held: replicas.as_ref().map(|replicas| replicas.held.clone()),
        kept: kept.clone(),
        concerns: recovery.concerns(),
        publishing,
        broker: mailing.as_ref().map(Mailing::outlook),
        drawer: Some(drawer),
    };
    let executor = handle;
    let daemon = Daemon {
        config,
        clock,
        bus,
        signals,
        watcher,
        reload: Some(reload),
        reboot,
        tables,
        waker,
        executor,
        control,
        desk,
        store,
        mailing,
        workers,
        late,
        recovery,
        notify,
        locks,
    };
    let code = daemon.follow(scheduler, executing).await?;
    // Both end with the last event; requests that are under way by then have the time of the last lines.
    let _ = timeout(LAST_LINES, hooks).await;
    let _ = timeout(LAST_LINES, keeping).await;
    if let Some(events_out) = events_out {
        let _ = timeout(LAST_WRITES, events_out).await;
    }
    if let Some(broker) = broker {
        broker.close(broker::LEAVING).await;
    }
    if let Some(workers) = settling {
        let _ = timeout(LAST_WRITES, workers.settled()).await;
    }
    kept.flush(LAST_WRITES).await;
    if let Some(replicas) = replicas {
        replicas.leave().await;
    }
    Ok(code)
}

impl Daemon {
    /// Follows edits and signals until one of them ends the daemon.
    async fn follow(
        mut self,
        scheduler: JoinHandle<()>,
        mut executing: task::JoinHandle<()>,
    ) -> anyhow::Result<ExitCode> {
        let (mut taking, mut reloads) = (None, 0);
        loop {
            tokio::select! {
                signal = self.signals.next() => {
                    let signal = signal.context("failed to receive signals")?;
                    if self.obey(signal).await {
                        // An edit that is being taken over is kept, too.
                        if let Some(taking) = taking
                            && let Ok(Some(reload)) = timeout(LAST_WORDS, taking).await
                        {
                            self.recovery.offer(&reload);
                        }
                        return Ok(self.shut_down(scheduler).await);
                    }
                }
                change = self.watcher.next(), if self.reload.is_some() => {
                    let mut change = change.context("the watch of the crontabs ended")?;
                    if let Some(reload) = self.reload.take() {
                        self.recovery.amend(&mut change);
                        reloads = change.reloads;
                        taking = Some(self.take(reload, News::Change(change)));
                    }
                }
                change = self.recovery.next(), if self.reload.is_some() => {
                    let Some(change) = change else {
                        self.watcher.reload();
                        continue;
                    };
                    if let Some(reload) = self.reload.take() {
                        taking = Some(self.take(reload, News::Change(change)));
                    }
                }
                Some(states) = self.late.recv(), if self.reload.is_some() => {
                    if let Some(reload) = self.reload.take() {
                        taking = Some(self.take(reload, News::Past(states)));
                    }
                }
                taken = async { taking.as_mut()?.await }, if taking.is_some() => {
                    taking = None;
                    let reload = taken.context("taking over a crontab failed")?;
                    self.recovery.offer(&reload);
                    self.reload = Some(reload);
                    self.reboot.loaded(&self.tables.borrow());
                    self.notify.loaded(self.tables.borrow().len(), reloads);
                    if let Err(error) = self.locks.take_more() {
                        let text = format!("{error:#}: its tables are run twice");
                        self.bus.publish(Event::Notice { file: None, text, warning: true });
                    }
                }
                request = self.control.next() => self.answer(request),
                () = self.store.turned() => self.store.tell(),
                () = broker::turned(&mut self.mailing) => broker::tell(&mut self.mailing),
                // Without it nothing runs: better to end, and be started anew, than to seem well.
                ended = &mut executing => {
                    ended.context("the executor failed")?;
                    anyhow::bail!("the executor ended");
                }
            }
        }
    }
}

/// What takes mails, as the options say.
fn post(config: &Config) -> Post {
    let via = match &config.mail {
        Mail::Off => Via::Off,
        Mail::Sendmail => CString::new(SENDMAIL).map_or(Via::Off, Via::Sendmail),
        Mail::Command(line) => Via::command(line).unwrap_or_default(),
    };
    Post::new(via, config.passthrough)
}

/// The control socket as jobs are told of it: where its clients would not look for it.
fn control_of(config: &Config) -> Option<Vec<u8>> {
    let path = config.is_control_named.then(|| std::path::absolute(&config.control))?;
    Some(path.unwrap_or_else(|_| config.control.clone()).into_os_string().into_vec())
}

/// The fault that a test asks for.
fn injected_fault() -> Option<Fault> {
    let after = fault("scheduler-panic-after-")?;
    usize::try_from(after).ok().map(Fault::PanicAfter)
}

/// The number of the fault with this name that a test asks for; builds without debug assertions know of none.
fn fault(name: &str) -> Option<u64> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let asked = std::env::var("CRONKEEP_TEST_FAULT").ok()?;
    asked.split(',').find_map(|fault| fault.strip_prefix(name)?.parse().ok())
}
