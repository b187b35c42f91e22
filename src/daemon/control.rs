//! Answers what clients ask over the control socket.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::broker;
use super::outbox::Drawer;
use super::recover::Concerns;
use super::standing::{Standing, Standings, fault_text};
use super::store::Outlook;
use super::{Daemon, feed};
use crate::clock::{Clock, Waker};
use crate::config::Config;
use crate::control::shape::{
    Health, JobCounts, Listing, RunObject, SourceObject, Status, instant_in,
};
use crate::control::socket::for_everybody;
use crate::control::{self, Access, Find, Refusal, Request, Requests, Server, Socket, Switched};
use crate::courier::{Permission, Publishing};
use crate::event::{Bus, Event, Fire, Run, Trigger};
use crate::executor::{Handle, Place, State};
use crate::job::{Job, JobKey, JobTable};
use crate::replica::Held;
use crate::schedule::{Due, Zone};
use crate::scheduler::Pulse;
use crate::sink::recent::Recent;
use crate::sink::seen::Seen;
use crate::store;
use crate::unix::Account;
use crate::unix::identity::hostname;

/// How long a part of the daemon may take to say that it lives.
const ALIVE: Duration = Duration::from_secs(1);
/// How long clients may take over their last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How far an instant may have passed before it counts as overdue.
const LATE: SignedDuration = SignedDuration::from_secs(5);

/// The sockets, and who waits at them.
pub(super) struct Control {
    requests: mpsc::Receiver<Request>,
    /// How many clients wait for what becomes of their messages.
    under_way: watch::Receiver<usize>,
    // Dropped, they end, and the sockets are removed.
    _serving: JoinSet<Infallible>,
}

impl Control {
    /// Opens the sockets. Where that fails, the daemon goes on without: the schedule matters more.
    ///
    /// With a `permission`, those whom it is given can publish by the socket that everybody may ask.
    pub(super) async fn start(
        config: &Config,
        account: &Account,
        bus: &Bus,
        permission: Option<Permission>,
    ) -> Self {
        let (requests, receiver) = Requests::channel();
        let under_way = requests.under_way();
        let mut serving = JoinSet::new();
        let refused = |error: control::socket::BindError| {
            let text = format!(
                "nobody can control this daemon, nor ask for its health: {error} (--control PATH puts the socket \
                 elsewhere, such as on a tmpfs)"
            );
            bus.publish(Event::Notice { file: None, text, warning: true });
        };
        match Socket::bind(&config.control, 0o600).await {
            Err(error) => refused(error),
            Ok(socket) => {
                let ways = requests.clone();
                let routes = move || control::route::routes(ways.clone());
                serving.spawn(Server::new(socket, Access::Owner(account.uid), routes).run());
                // Only root can put a table into the spool for somebody else.
                if account.uid == 0 {
                    match Socket::bind(&for_everybody(&config.control), 0o666).await {
                        Err(error) => {
                            let text = format!(
                                "users other than root do not reach this daemon, neither by crontab nor to publish: {error}"
                            );
                            bus.publish(Event::Notice { file: None, text, warning: true });
                        }
                        Ok(socket) => {
                            let (zone, ways) = (config.zone.clone(), requests.clone());
                            let others = permission.filter(Permission::is_given_to_others);
                            let routes = move || {
                                let tables = super::crontab::routes(&zone);
                                match &others {
                                    Some(others) => {
                                        tables.merge(super::publish::routes(&ways, others))
                                    }
                                    None => tables,
                                }
                            };
                            serving.spawn(Server::new(socket, Access::Everybody, routes).run());
                        }
                    }
                }
            }
        }
        Control { requests: receiver, under_way, _serving: serving }
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            // No socket is open, so nobody will ask.
            None => std::future::pending().await,
        }
    }

    /// Refuses every request from now on.
    pub(super) fn close(&mut self) {
        self.requests.close();
        while self.requests.try_recv().is_ok() {}
    }

    /// Waits until all who handed a message over have their answer, a moment at most.
    pub(super) async fn answered(&mut self) {
        let _ = timeout(LAST_ANSWERS, self.under_way.wait_for(|count| *count == 0)).await;
    }
}

/// What answers are made of; a clone answers on its own, so that no client holds up the daemon.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tables: watch::Receiver<Arc<JobTable>>,
    pub(super) standings: watch::Receiver<Arc<Standings>>,
    pub(super) executor: Handle,
    pub(super) seen: Seen,
    pub(super) recent: Recent,
    pub(super) pulse: Pulse,
    pub(super) waker: Waker,
    pub(super) about: Arc<About>,
    pub(super) store: Outlook,
    /// The replicas that live, where the schedule is shared.
    pub(super) replicas: Option<watch::Receiver<Vec<store::Beat>>>,
    /// What is due and held, where the schedule is shared.
    pub(super) held: Option<watch::Receiver<Option<Held>>>,
    pub(super) kept: store::Handle,
    pub(super) concerns: watch::Receiver<Concerns>,
    /// Who publishes messages, and how the broker stands, where there is one.
    pub(super) publishing: Option<Publishing>,
    /// Which ids were given to messages of programs.
    pub(super) given: super::publish::Given,
    pub(super) broker: Option<broker::Outlook>,
    /// What waits in the outbox.
    pub(super) drawer: Option<Drawer>,
}

/// What does not change while the daemon runs.
pub(super) struct About {
    pub(super) started: Timestamp,
    /// Elapsed time at the start.
    pub(super) since: Duration,
    pub(super) zone: Zone,
    pub(super) user: String,
    /// Whether nothing is run.
    pub(super) shadow: bool,
}

impl About {
    /// To be called at the start.
    pub(super) fn new(config: &Config, account: &Account, clock: &dyn Clock) -> Self {
        About {
            started: clock.now(),
            since: clock.monotonic(),
            zone: config.zone.clone(),
            user: account.name.clone(),
            shadow: config.shadow,
        }
    }
}

impl Daemon {
    /// Answers a request, beside whatever else is to do.
    pub(super) fn answer(&mut self, request: Request) {
        if let Request::Reload(reply) = request {
            self.notify.reloading(self.watcher.reload());
            let _ = reply.send(());
            return;
        }
        tokio::spawn(self.desk.clone().answer(request));
    }
}

impl Desk {
    pub(super) async fn answer(self, request: Request) {
        let request = if self.about.shadow { refuse(request) } else { Some(request) };
        let Some(request) = request else { return };
        // Whoever has lost interest need not be told.
        match request {
            Request::Jobs(reply) => {
                let table = self.table();
                let _ = reply.send(self.listing(table).await);
            }
            Request::Job(text, reply) => {
                let answer = match self.find(&text) {
                    Err(refusal) => Err(refusal),
                    Ok(job) => {
                        let table = self.table().only(|other| other.key == job.key);
                        Ok(self.listing(Arc::new(table)).await)
                    }
                };
                let _ = reply.send(answer);
            }
            Request::Runs(reply) => {
                let state = self.executor.state().await;
                let active = state.running.iter().rev().map(RunObject::active);
                let ended = self.seen.ended();
                let _ = reply.send(active.chain(ended.iter().map(RunObject::ended)).collect());
            }
            Request::Status(reply) => {
                let _ = reply.send(self.status().await);
            }
            Request::Health(reply) => {
                let _ = reply.send(self.health().await.0);
            }
            Request::Run { job, wait, reply } => {
                let answer = match self.find(&job) {
                    Err(refusal) => Err(refusal),
                    Ok(job) => feed::run(&self.executor, self.manual(job), wait).await,
                };
                let _ = reply.send(answer);
            }
            Request::Pause(text, reply) => {
                let _ = reply.send(self.switch(&text, true).await);
            }
            Request::Resume(text, reply) => {
                let _ = reply.send(self.switch(&text, false).await);
            }
            Request::Stop(text, reply) => {
                let _ = reply.send(self.stop(&text).await);
            }
            Request::Logs { what, follow, reply } => {
                let of = self.find(&what).map(|job| job.key);
                let state = self.executor.state().await;
                let _ = reply.send(feed::logs(&self.recent, &what, of, &state.running, follow));
            }
            Request::Publish { publication, user, reply } => {
                let _ = reply.send(self.publish(*publication, user.as_deref()).await);
            }
            Request::Outbox(meant, reply) => drop(reply.send(self.letters(meant).await)),
            Request::Drop { meant, uid, reply } => {
                let _ = reply.send(self.discard(meant, uid).await);
            }
            // The daemon's own.
            Request::Reload(_) => {}
        }
    }

    fn table(&self) -> Arc<JobTable> {
        Arc::clone(&self.tables.borrow())
    }

    fn find(&self, text: &str) -> Result<Arc<Job>, Refusal> {
        control::find::job(&self.table(), text)
    }

    /// A fire that somebody asked for.
    fn manual(&self, job: Arc<Job>) -> Fire {
        let now = self.clock.now();
        let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let due = Due { at, civil: job.zone().civil(at) };
        Fire { job, due, trigger: Trigger::Manual, generation: 0 }
    }

    async fn listing(&self, table: Arc<JobTable>) -> Listing {
        let state = self.executor.state().await;
        let paused = state.paused.into_iter().collect();
        let last = self.executor.last_ends().await;
        let recorded = super::last::recorded(&self.kept, &table, &last).await;
        Listing { table, now: self.clock.now(), last, recorded, paused, shadow: self.about.shadow }
    }

    async fn switch(&self, text: &str, pause: bool) -> Result<Switched, Refusal> {
        let job = self.find(text)?;
        let (key, label) = (job.key.to_string(), job.label());
        let changed =
            if pause { self.executor.pause(job).await } else { self.executor.resume(job).await };
        Ok(Switched { key, label, paused: pause, changed })
    }

    async fn stop(&self, text: &str) -> Result<RunObject, Refusal> {
        let state = self.executor.state().await;
        let runs = runs_of(&state);
        let run = match control::find::run(&runs, text, |run| run.id) {
            Find::One(run) => run,
            Find::None => return Err(control::find::no_run(text, &self.table())),
            Find::Several => return Err(control::find::several_runs(text)),
        };
        if self.executor.end(run.id).await {
            Ok(RunObject::of(run))
        } else {
            Err(control::find::no_run(text, &self.table()))
        }
    }

    pub(super) async fn status(&self) -> Status {
        let (health, state) = self.health().await;
        let state = state.unwrap_or_default();
        let rules = self.about.zone.rules();
        let loaded = self.seen.loaded();
        let elapsed = self.clock.monotonic().saturating_sub(self.about.since);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            user: self.about.user.clone(),
            started: instant_in(self.about.started, rules),
            uptime_s: elapsed.as_secs(),
            tz: self.about.zone.name().to_owned(),
            sources: self.sources(),
            watch: if self.standings.borrow().polling.is_some() { "poll" } else { "inotify" }
                .to_owned(),
            jobs: JobCounts {
                total: self.table().len(),
                refused: loaded.map_or(0, |loaded| loaded.refused),
                paused: self.paused(&state),
            },
            active: state.running.iter().map(RunObject::active).collect(),
            waiting: waiting(&state),
            store: self.store.name(),
            broker: self.broker.as_ref().map_or_else(|| "none".to_owned(), broker::Outlook::name),
            broker_standing: self.broker.as_ref().map(|broker| broker.broker(&self.about.zone)),
            outbox: self.broker.as_ref().map(|broker| broker.outbox(&self.about.zone)),
            replicas: self.replicas(),
            held: self.held().map_or(0, |held| held.count),
            orphans: state.orphans,
            next: self.pulse.next().map(|at| instant_in(at, rules)),
            health,
        }
    }

    /// The replicas that live, this one first.
    fn replicas(&self) -> Vec<String> {
        let alive = self.replicas.as_ref().map(|replicas| replicas.borrow().clone());
        let names = alive.into_iter().flatten().map(|beat| beat.lease.replica);
        let names: Vec<String> = names.collect();
        if names.is_empty() { vec![hostname()] } else { names }
    }

    /// What is due and held, if anything is.
    fn held(&self) -> Option<Held> {
        self.held.as_ref().and_then(|held| held.borrow().clone())
    }

    /// How many jobs are paused; a pause outlives its job.
    fn paused(&self, state: &State) -> usize {
        let table = self.table();
        let paused: HashSet<JobKey> = state.paused.iter().copied().collect();
        if paused.is_empty() {
            return 0;
        }
        table.jobs().iter().filter(|job| paused.contains(&job.key)).count()
    }

    /// The crontabs that are known of.
    fn sources(&self) -> Vec<SourceObject> {
        let (now, rules) = (self.clock.now(), self.about.zone.rules());
        let age = |at: Timestamp| u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
        let object = |standing: &Standing| SourceObject {
            file: standing.file.to_string(),
            hash: standing.hash.map(|hash| format!("{hash:016x}")),
            loaded: standing.loaded.map(|at| instant_in(at, rules)),
            age_s: standing.loaded.map(age),
            errors: standing.errors,
            warnings: standing.warnings,
            faults: standing.faults.iter().map(fault_text).collect(),
            trouble: standing.trouble.clone(),
        };
        self.standings.borrow().files.iter().map(object).collect()
    }

    /// Whether schedules are kept, and what the executor is at, if it answers.
    async fn health(&self) -> (Health, Option<State>) {
        let mut reasons = Vec::new();
        let (scheduler, state) =
            tokio::join!(timeout(ALIVE, self.ping()), timeout(ALIVE, self.executor.state()));
        let now = self.clock.now();
        if scheduler.is_err() {
            reasons.push("the scheduler does not answer".to_owned());
        } else if let Some(next) = self.pulse.next().filter(|next| now.duration_since(*next) > LATE)
        {
            let next = instant_in(next, self.about.zone.rules());
            reasons.push(format!("what was due at {next} has not been started"));
        }
        if state.is_err() {
            reasons.push("the executor does not answer".to_owned());
        }
        let healthy = reasons.is_empty();
        let serious = reasons.len();
        reasons.extend(self.degraded());
        (Health { healthy, degraded: reasons.len() > serious, reasons }, state.ok())
    }

    /// Waits for the scheduler's answer, if there is a scheduler.
    async fn ping(&self) {
        if !self.about.shadow {
            self.pulse.ping(&self.waker).await;
        }
    }

    /// What needs a look, though schedules are kept.
    fn degraded(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        match self.seen.loaded() {
            None => reasons.push("no crontab is loaded yet".to_owned()),
            Some(loaded) if loaded.files.is_empty() => {
                reasons.push("no crontab is loaded yet".to_owned());
            }
            Some(loaded) if loaded.errors > 0 => {
                reasons.push(self.standings.borrow().errors_text(loaded.errors));
            }
            Some(_) => {}
        }
        let standings = self.standings.borrow();
        let troubled = standings.files.iter().filter_map(|standing| {
            let trouble = standing.trouble.as_ref()?;
            Some(format!("{} {trouble}", standing.file))
        });
        reasons.extend(troubled);
        reasons.extend(self.store.trouble());
        reasons.extend(self.broker.iter().flat_map(|broker| broker.troubles(self.clock.now())));
        reasons.extend(self.drawer.as_ref().and_then(Drawer::trouble));
        reasons.extend(self.held().map(|Held { count, reason }| match count {
            1 => format!("1 fire is held: {reason}"),
            count => format!("{count} fires are held: {reason}"),
        }));
        reasons.extend(self.concerns.borrow().iter().cloned());
        reasons
    }
}

/// Refuses what a shadow does not do; gives back what it does.
fn refuse(request: Request) -> Option<Request> {
    let message = "this daemon is a shadow (--shadow): it runs nothing";
    let refusal = Refusal::new(StatusCode::CONFLICT, "shadow", message)
        .help("start it without --shadow once the Python service has ended");
    // Whoever has lost interest need not be told.
    match request {
        Request::Outbox(_, reply) => drop(reply.send(Err(refusal))),
        Request::Drop { reply, .. } => drop(reply.send(Err(refusal))),
        Request::Run { reply, .. } => drop(reply.send(Err(refusal))),
        Request::Pause(_, reply) | Request::Resume(_, reply) => drop(reply.send(Err(refusal))),
        Request::Stop(_, reply) => drop(reply.send(Err(refusal))),
        Request::Publish { reply, .. } => drop(reply.send(Err(refusal))),
        other => return Some(other),
    }
    None
}

/// Every run that has not ended for good.
fn runs_of(state: &State) -> Vec<Arc<Run>> {
    let running = state.running.iter().map(|started| &started.run);
    let resting = state.resting.iter().map(|rest| &rest.run);
    let waiting = state.waiting.iter().map(|waits| &waits.run);
    running.chain(&state.starting).chain(resting).chain(waiting).cloned().collect()
}

/// The runs without a process, with what each waits for.
fn waiting(state: &State) -> Vec<RunObject> {
    let object = |run: &Run, reason: &str| RunObject {
        reason: Some(reason.to_owned()),
        ..RunObject::of(run)
    };
    let starting = state.starting.iter().map(|run| object(run, "is being started"));
    let resting = state.resting.iter().map(|rest| object(&rest.run, "waits for its next attempt"));
    let waiting = state.waiting.iter().map(|waits| {
        let reason = match waits.place {
            Place::Held => "waits for an earlier run of its job",
            Place::Backlog => "waits to be caught up",
            Place::Line => "waits for its turn among all runs",
        };
        object(&waits.run, reason)
    });
    starting.chain(resting).chain(waiting).collect()
}
