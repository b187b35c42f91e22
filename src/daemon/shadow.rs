//! The daemon as a shadow (`--shadow`): it reads what the Python service reads, and tells where the two differ.
//!
//! Runs nothing: there is neither a scheduler nor an executor. Writes nothing: not to the store, not to the crontabs, not to
//! the state directory. It compares at the start, at each accepted edit, and whenever the service has cached something else.

use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::control::{About, Control, Desk};
use super::notify::Notify;
use super::recover::Concerns;
use super::reload::Reload;
use super::resume::Resume;
use super::store::Keeper;
use super::{LAST_LINES, Outside};
use crate::clock::{Alarm, Clock, SystemClock};
use crate::config::Config;
use crate::control::Request;
use crate::crontab::{Crontab, Origin, Source};
use crate::event::{Bus, Event};
use crate::executor::Handle;
use crate::exit::ExitCode;
use crate::job::JobTable;
use crate::scheduler::Pulse;
use crate::sink::log::{self, Style};
use crate::sink::recent::Recent;
use crate::sink::seen::Seen;
use crate::store;
use crate::store::legacy;
use crate::unix::{self, Account, Reaper, Signal, Signals};
use crate::watch::{Change, Occasion, Watcher};

/// How often it is looked whether the service has cached something else.
const EVERY: Duration = Duration::from_secs(5);
/// How long the store may take to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// What the service has cached; nothing as long as the store was not heard of.
type Cached = Option<Option<Arc<[u8]>>>;

/// What a shadow's task waits on.
struct Shadow {
    clock: Arc<dyn Clock>,
    bus: Bus,
    signals: Signals,
    /// Children of others that were left to us as PID 1: we start none.
    orphans: (Signals, Reaper<()>),
    watcher: Watcher,
    /// Away while a change is looked at.
    reload: Option<Reload>,
    tables: Arc<watch::Sender<Arc<JobTable>>>,
    cached: watch::Receiver<Cached>,
    /// What was told last.
    report: Vec<String>,
    concerns: watch::Sender<Concerns>,
    control: Control,
    desk: Desk,
    notify: Notify,
    store: Keeper,
    /// Wakes nobody, and is woken by those who ask for the scheduler.
    _alarm: Box<dyn Alarm>,
}

/// What came of a change.
struct Compared {
    reload: Reload,
    /// The table that was read by the service, and the report on it; none where nothing is to be told.
    report: Option<(Option<Arc<str>>, Vec<String>)>,
    reloads: u64,
}

/// Follows crontabs and rows until a signal ends it.
pub(super) async fn serve(
    config: Config,
    outside: Outside,
    told: std_mpsc::SyncSender<()>,
) -> anyhow::Result<ExitCode> {
    let Outside { notify, output, .. } = outside;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signals = Signals::new(&unix::signals::CONTROL).context("failed to receive signals")?;
    let children = Signals::of_children().context("failed to receive signals")?;
    let mut bus = Bus::builder();
    let events = bus.subscribe_bounded();
    let seen_events = bus.subscribe();
    let bus = bus.build();
    let style = Style {
        format: config.log.format,
        syslog: output,
        passthrough: config.passthrough,
        zone: config.zone.clone(),
    };
    log::spawn(events, style, Arc::clone(&clock), told).context("failed to start the log")?;
    let (seen, recent) = (Seen::default(), Recent::default());
    let seeing = tokio::spawn(see(seen.clone(), seen_events));

    bus.publish(Event::Started {
        version: env!("CARGO_PKG_VERSION"),
        zone: config.zone.name().to_owned(),
    });
    for warning in &config.warnings {
        bus.publish(Event::Notice { file: None, text: warning.clone(), warning: true });
    }
    let text = "a shadow: nothing is run, nothing is written; the jobs are compared with those that the Python service cached";
    bus.publish(Event::Notice { file: None, text: text.to_owned(), warning: false });

    let store = Keeper::start(&config, false, Arc::clone(&clock), bus.clone())
        .context("failed to start the store")?;
    let (sender, cached) = watch::channel(None);
    let looking = tokio::spawn(look(store.handle().clone(), sender));
    let places = config.sources.iter().map(|source| source.place.clone());
    let watcher = Watcher::start(places).context("failed to watch the crontabs")?;
    let account = Account::current();
    let control = Control::start(&config, &account, &bus, None).await;
    let about = Arc::new(About::new(&config, &account, &*clock));
    let resume = Resume::of_shadow(store.handle().clone(), bus.clone());
    let reload = Reload::new(&config, account, bus.clone(), resume);
    let alarm = clock.alarm().context("failed to make a timer")?;
    let (tables, table) = watch::channel(Arc::default());
    let (concerns, concern) = watch::channel(summary("nothing is compared yet"));
    let desk = Desk {
        standings: reload.standings(),
        clock: Arc::clone(&clock),
        tables: table,
        executor: Handle::of_nobody(),
        seen,
        recent,
        pulse: Pulse::default(),
        waker: alarm.waker(),
        given: super::publish::Given::since(about.started),
        about,
        store: store.outlook(),
        kept: store.handle().clone(),
        concerns: concern,
        replicas: None,
        held: None,
        publishing: None,
        broker: None,
        drawer: None,
    };
    let shadow = Shadow {
        clock,
        bus,
        signals,
        orphans: (children, Reaper::default()),
        watcher,
        reload: Some(reload),
        tables: Arc::new(tables),
        cached,
        report: Vec::new(),
        concerns,
        control,
        desk,
        notify,
        store,
        _alarm: alarm,
    };
    let code = shadow.follow().await;
    looking.abort();
    let _ = tokio::time::timeout(LAST_LINES, seeing).await;
    code
}

impl Shadow {
    /// Follows edits, rows and signals until one of the latter ends it.
    async fn follow(mut self) -> anyhow::Result<ExitCode> {
        let mut work: Option<oneshot::Receiver<Option<Compared>>> = None;
        loop {
            tokio::select! {
                signal = self.signals.next() => {
                    let signal = signal.context("failed to receive signals")?;
                    if self.obey(signal) {
                        return Ok(self.end());
                    }
                }
                ended = self.orphans.0.next() => {
                    ended.context("failed to receive signals")?;
                    while self.orphans.1.reap().is_some() {}
                }
                change = self.watcher.next(), if self.reload.is_some() => {
                    let change = change.context("the watch of the crontabs ended")?;
                    work = self.begin(Some(change));
                }
                Ok(()) = self.cached.changed(), if self.reload.is_some() => {
                    work = self.begin(None);
                }
                compared = async { work.as_mut()?.await.ok()? }, if work.is_some() => {
                    work = None;
                    self.tell(compared.context("comparing the crontabs failed")?);
                }
                request = self.control.next() => self.answer(request),
                () = self.store.turned() => self.store.tell(),
            }
        }
    }

    /// Takes over a change, if there is one, and compares, on a thread beside.
    fn begin(&mut self, change: Option<Change>) -> Option<oneshot::Receiver<Option<Compared>>> {
        let mut reload = self.reload.take()?;
        let cached = self.cached.borrow_and_update().clone();
        let (tables, now) = (Arc::clone(&self.tables), self.clock.now());
        let (sender, receiver) = oneshot::channel();
        let work = unix::beside(move || {
            // Where nothing was read yet, there is nothing to compare.
            let mut is_told = !reload.is_empty();
            let mut reloads = 0;
            if let Some(change) = change {
                is_told = change.occasion == Occasion::Start || !change.edits.is_empty();
                reloads = change.reloads;
                reload.take(change, now, |table| {
                    tables.send_replace(table);
                    None
                });
            }
            let report = cached.filter(|_| is_told).map(|cached| {
                let readings = reload.readings();
                let crontabs: Vec<(&Source, &Crontab)> =
                    readings.iter().map(|reading| (&reading.source, &reading.crontab)).collect();
                let first =
                    crontabs.iter().find(|(source, _)| source.dialect.origin != Origin::Spool);
                let file = first.map(|(source, _)| Arc::clone(&source.name));
                (file, legacy::report(&crontabs, cached.as_deref()))
            });
            Compared { reload, report, reloads }
        });
        tokio::spawn(async move {
            // Whoever waited for it has ended.
            let _ = sender.send(work.await);
        });
        Some(receiver)
    }

    /// Tells what differs, unless it was told just so, and how much it is.
    fn tell(&mut self, Compared { reload, report, reloads }: Compared) {
        self.reload = Some(reload);
        self.notify.loaded(self.tables.borrow().len(), reloads);
        let Some((file, lines)) = report else { return };
        let is_new = lines != self.report;
        let Some((sum, findings)) = lines.split_last() else { return };
        let notice = |text: &String, warning| Event::Notice {
            file: file.clone(),
            text: format!("shadow: {text}"),
            warning,
        };
        if is_new {
            for finding in findings {
                self.bus.publish(notice(finding, true));
            }
        }
        self.bus.publish(notice(sum, false));
        self.concerns.send_replace(summary(sum));
        self.report = lines;
    }

    fn answer(&mut self, request: Request) {
        if let Request::Reload(reply) = request {
            self.notify.reloading(self.watcher.reload());
            // Whoever has lost interest need not be told.
            let _ = reply.send(());
            return;
        }
        tokio::spawn(self.desk.clone().answer(request));
    }

    /// Does what a signal asks for; true if that is to end.
    fn obey(&mut self, signal: Signal) -> bool {
        let action = match signal {
            Signal::SIGHUP | Signal::SIGUSR2 => "reload",
            Signal::SIGUSR1 => "dump",
            _ => "stop",
        };
        self.bus.publish(Event::Signal { name: signal.as_str(), action });
        match signal {
            Signal::SIGHUP | Signal::SIGUSR2 => self.notify.reloading(self.watcher.reload()),
            Signal::SIGUSR1 => self.bus.publish(Event::Dump(self.report.clone())),
            _ => return true,
        }
        false
    }

    fn end(mut self) -> ExitCode {
        self.control.close();
        self.bus.publish(Event::Stopping { running: 0 });
        Notify::stopping();
        self.bus.publish(Event::Stopped { killed: 0, left: 0 });
        ExitCode::Success
    }
}

/// What health says of a shadow.
fn summary(text: &str) -> Concerns {
    [format!("a shadow, which runs nothing: {text}")].into()
}

/// Looks what the service has cached, again and again.
async fn look(store: store::Handle, cached: watch::Sender<Cached>) {
    while !cached.is_closed() {
        // What a store that is away held last still counts; that it is away is told by itself.
        if let Ok(found) = store.seed_rows(WITHIN).await {
            let found: Cached = Some(found.map(Arc::from));
            cached.send_if_modified(|known| {
                let is_new = *known != found;
                *known = found;
                is_new
            });
        }
        sleep(EVERY).await;
    }
}

/// Keeps what the last load came to, until the daemon has stopped.
async fn see(seen: Seen, mut events: UnboundedReceiver<Arc<Event>>) {
    while let Some(event) = events.recv().await {
        seen.take(&event);
        if matches!(*event, Event::Stopped { .. }) {
            return;
        }
    }
}
