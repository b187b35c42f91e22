//! The gate itself: what it waits on, and in which order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::hold::{Held, Told};
use super::member::{self, Heard, Member, Said};
use super::passed;
use super::peers::{self, Differences};
use super::policy::{FIRST_CONTACT, Silence};
use super::waiting::{Aim, MOST, NOT_IN_TIME, Place, Waiting, Waits};
use crate::clock::Clock;
use crate::event::{Bus, Event, Fire, RunId, Settlement};
use crate::job::{Job, JobKey, JobTable};
use crate::schedule::Zone;
use crate::store::claim::EXPIRY;
use crate::store::{Beat, Conditions, Handle, Mark, Peers, RunRecord, StoreError, Write};

/// Fires that are taken up at once: as many as one question asks for.
const BURST: usize = MOST;
/// How long the end may take to be told to the store, and how long what was granted may take to be started before that.
const LEAVING: Duration = Duration::from_secs(1);

/// What the gate is connected to.
pub struct Ports {
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// The store that is shared.
    pub store: Handle,
    /// Where it tells what it noticed.
    pub bus: Bus,
    /// The jobs in force.
    pub tables: watch::Receiver<Arc<JobTable>>,
    /// What is due.
    pub fires: mpsc::UnboundedReceiver<Fire>,
    /// What passed and is not to be started: [`Event::RunMissed`], [`Event::RunSkipped`]. Told, if nobody started it.
    pub passed: mpsc::UnboundedReceiver<Event>,
    /// Where what is granted goes.
    pub granted: mpsc::UnboundedSender<Fire>,
    /// What became of that.
    pub settled: mpsc::UnboundedReceiver<Settlement>,
    /// What else is to be done.
    pub duties: Box<dyn Fn(Duty) + Send>,
    /// On which conditions what is granted is started.
    pub conditions: watch::Sender<Conditions>,
    /// The replicas that live, this one first.
    pub replicas: watch::Sender<Vec<Beat>>,
    /// What is due and held; nothing: what is due is started.
    pub held: watch::Sender<Option<Held>>,
    /// Closed, or told whom to answer: the daemon ends.
    pub leave: oneshot::Receiver<Leave>,
}

/// Who waits for the last word.
pub type Leave = oneshot::Sender<()>;

/// What a replica is, and how it behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The replica's name: another one with each start of the daemon.
    pub replica: String,
    /// The host's name.
    pub host: String,
    /// The default zone.
    pub zone: Zone,
    /// What is done while the store is silent.
    pub silence: Silence,
    /// How long what is granted is kept before it is handed on: a fault that tests inject.
    pub linger: Duration,
}

/// What a replica has to do beside starting what is due.
#[derive(Debug)]
pub enum Duty {
    /// Another replica has left these runs going, and died.
    Adopt(Vec<RunRecord>),
    /// These jobs are paused, and no others.
    Pauses(Vec<JobKey>),
    /// The store may have lost which runs are going here.
    RecordAlive,
}

/// Has each fire started by one replica.
pub struct Gate {
    pub(super) ports: Ports,
    pub(super) settings: Settings,
    pub(super) member: Member,
    pub(super) waiting: Waiting,
    /// Handed on, and not settled.
    pub(super) out: HashMap<Place, Fire>,
    /// When what has to wait may be claimed, monotonic.
    pub(super) wait_until: Option<Duration>,
    about: Beat,
    table: Arc<JobTable>,
    differences: Differences,
    pub(super) told: Told,
    /// Fires that came again since the clock was set back, and were not started.
    pub(super) suppressed: usize,
    /// Runs of dead replicas that were handed on, and of which the store has not heard that by its last answer.
    adopted: HashSet<(RunId, u32)>,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("member", &self.member).finish_non_exhaustive()
    }
}

/// A sign of life that is under way: when it was sent, and what answers.
type Asked = (Duration, oneshot::Receiver<Said>);

impl Gate {
    /// A gate that has not asked the store for anything yet.
    #[must_use]
    pub fn new(ports: Ports, settings: Settings) -> Self {
        let now = ports.clock.monotonic();
        let about = Beat {
            host: settings.host.clone(),
            zone: settings.zone.name().to_owned(),
            ..Beat::default()
        };
        let member = Member::new(settings.replica.clone(), settings.silence, now);
        let mut gate = Gate {
            ports,
            settings,
            member,
            waiting: Waiting::default(),
            out: HashMap::new(),
            wait_until: None,
            about,
            table: Arc::default(),
            differences: Differences::default(),
            told: Told::default(),
            suppressed: 0,
            adopted: HashSet::new(),
        };
        gate.read_table();
        gate
    }

    /// Decides about fires until the daemon ends.
    pub async fn run(mut self) {
        let mut burst = Vec::new();
        let mut asked: Option<Asked> = None;
        let mut settled_open = true;
        loop {
            if asked.is_none() && self.now() >= self.member.next_beat {
                asked = Some(self.ask());
            }
            let wake = self.wakes_at();
            tokio::select! {
                biased;
                answer = async { (&mut asked.as_mut()?.1).await.ok() }, if asked.is_some() => {
                    let sent = asked.take().map_or(Duration::ZERO, |(sent, _)| sent);
                    self.notice_stop();
                    match answer {
                        Some(Said { forgot, paused_again, answer }) => {
                            self.member.had_forgotten = forgot.unwrap_or(self.member.had_forgotten);
                            self.keep_again(paused_again);
                            self.hear(sent, answer);
                        }
                        None => self.hear(sent, Err(StoreError::Down("its thread has ended".to_owned()))),
                    }
                }
                settlement = self.ports.settled.recv(), if settled_open => match settlement {
                    Some(settlement) => self.settle(settlement),
                    None => settled_open = false,
                },
                leave = &mut self.ports.leave => return self.leave(leave.ok()).await,
                _ = self.ports.fires.recv_many(&mut burst, BURST), if !self.ports.fires.is_closed() || !self.ports.fires.is_empty() => {
                    self.notice_stop();
                    self.take_passed();
                    let now = self.ports.clock.now();
                    for fire in burst.drain(..) {
                        self.take(fire, now);
                    }
                }
                Some(event) = self.ports.passed.recv() => {
                    self.take_event(&event);
                    self.take_passed();
                }
                () = tokio::time::sleep_until(wake) => {
                    self.notice_stop();
                }
            }
            self.turn().await;
        }
    }

    /// Does what can be done now.
    async fn turn(&mut self) {
        let now = self.now();
        if self.wait_until.is_some_and(|until| until <= now) {
            self.wait_until = None;
            self.waiting.wake();
        }
        if self.member.may_claim() {
            let wall = self.ports.clock.now();
            self.waiting.expire(wall, &NOT_IN_TIME.into());
            if self.wait_until.is_none() {
                self.follow_clock().await;
                self.claim().await;
            }
        }
        if self.member.silent.is_some() {
            self.endure();
        }
    }

    /// When something is to be done though nothing happens.
    fn wakes_at(&self) -> Instant {
        let mut next = self.member.next_beat;
        next = self.wait_until.map_or(next, |until| next.min(until));
        let now = self.now();
        if self.member.silent.is_some() && !self.member.has_answered() && !self.waiting.is_empty() {
            let left = FIRST_CONTACT.saturating_sub(self.member.age(now));
            next = if left.is_zero() { next } else { next.min(now + left) };
        }
        let expires = self.waiting.expires().map(|at| at.duration_since(self.ports.clock.now()));
        if let Some(left) = expires.and_then(|left| Duration::try_from(left).ok()) {
            // Just after it.
            next = next.min(now + left + Duration::from_millis(1));
        }
        // An answer that is under way ends the sleep by itself.
        let least = Duration::from_millis(10);
        Instant::now() + next.saturating_sub(now).max(least)
    }

    fn notice_stop(&mut self) {
        let now = self.now();
        if self.member.wake(now, self.ports.clock.now()) {
            self.wait_until = None;
            let conditions = self.member.conditions(now);
            self.ports.conditions.send_replace(conditions);
        }
    }

    /// Sends a sign of life.
    fn ask(&mut self) -> Asked {
        self.read_table();
        let now = self.now();
        let (beat, asserted) = self.member.beat(now, self.about.clone());
        let (reply, answer) = oneshot::channel();
        let store = self.ports.store.clone();
        tokio::spawn(async move {
            // Without a gate nobody wants to know.
            let _ = reply.send(member::say(store, beat, asserted).await);
        });
        (now, answer)
    }

    /// Has kept again what a store has lost with its data, and tells so; `paused` jobs are paused in it already.
    fn keep_again(&self, paused: Option<usize>) {
        let Some(paused) = paused else { return };
        let mut began: BTreeMap<Timestamp, Vec<JobKey>> = BTreeMap::new();
        for job in self.table.jobs() {
            began.entry(job.since).or_default().push(job.key);
        }
        for (since, keys) in began {
            self.ports.store.write(Write::Since(keys, since));
        }
        let paused = match paused {
            0 => "no job was paused".to_owned(),
            1 => "1 job is paused again".to_owned(),
            _ => format!("{paused} jobs are paused again"),
        };
        self.warn(format!(
            "the store has lost its data: {paused}, and since when each job is known is kept again; the history of runs is gone"
        ));
    }

    /// Takes the answer to a sign of life.
    fn hear(&mut self, sent: Duration, answer: Result<Peers, StoreError>) {
        let now = self.now();
        let peers = match answer {
            Ok(peers) => peers,
            Err(error) => return self.fall_silent(error),
        };
        if now.saturating_sub(sent) >= EXPIRY {
            // We were stopped since, and the answer may be old.
            self.member.next_beat = now;
            return;
        }
        let is_first = !self.member.has_answered();
        let heard = self.member.heard(sent, &peers);
        if is_first {
            // Nothing of it was claimed before.
            self.waiting.stamp(self.member.generation);
        }
        self.end_silence();
        self.ports.conditions.send_replace(self.member.conditions(now));
        if heard == Heard::Ended {
            return;
        }
        if heard == Heard::Renewed {
            // A store that has lost our lease may have lost more.
            self.ports.store.doubt();
            (self.ports.duties)(Duty::RecordAlive);
            self.wait_until = None;
            let now = self.ports.clock.now();
            for fire in self.out.values() {
                let waits = Waits::new(fire.clone(), now);
                self.waiting.add(Waits { aim: Aim::Renew, was_granted: true, ..waits });
            }
        }
        (self.ports.duties)(Duty::Pauses(peers.paused));
        self.adopt(peers.lost);
        self.take_orphans(&peers.orphans);
        self.waiting.wake();
        let own = Beat { lease: self.member.lease.clone(), ..self.about.clone() };
        for text in self.differences.compare(&own, &peers.others) {
            self.warn(text);
        }
        let replicas: Vec<Beat> = std::iter::once(own).chain(peers.others).collect();
        self.ports.replicas.send_if_modified(|kept| {
            let changed = *kept != replicas;
            *kept = replicas;
            changed
        });
    }

    /// Hands on what is told for the first time: it is told again until the store has heard what became of it.
    fn adopt(&mut self, mut lost: Vec<RunRecord>) {
        let told = lost.iter().map(|record| (record.run, record.attempt)).collect();
        let before = std::mem::replace(&mut self.adopted, told);
        lost.retain(|record| !before.contains(&(record.run, record.attempt)));
        if !lost.is_empty() {
            (self.ports.duties)(Duty::Adopt(lost));
        }
    }

    fn take_orphans(&mut self, orphans: &[(JobKey, Mark)]) {
        if orphans.is_empty() {
            return;
        }
        let jobs: HashMap<JobKey, &Arc<Job>> =
            self.table.jobs().iter().map(|job| (job.key, job)).collect();
        let now = self.ports.clock.now();
        for &(key, mark) in orphans {
            let place = (mark, key);
            if self.out.contains_key(&place) || self.waiting.knows(&place) {
                continue;
            }
            let waits = if let Some(job) = jobs.get(&key) {
                Waits::new(passed::orphan(job, mark.due(), mark.generation), now)
            } else {
                // Nobody knows what to start.
                let job = Arc::new(Job::remembered(key, &key.digits(), &self.settings.zone));
                let fire = passed::orphan(&job, mark.due(), mark.generation);
                Waits { aim: Aim::Miss(NOT_IN_TIME.into()), ..Waits::new(fire, now) }
            };
            self.waiting.add(Waits { was_others: true, ..waits });
        }
    }

    fn take_passed(&mut self) {
        while let Ok(event) = self.ports.passed.try_recv() {
            self.take_event(&event);
        }
    }

    fn take_event(&mut self, event: &Event) {
        for waits in passed::waits(event) {
            self.wait(waits);
        }
    }

    fn take(&mut self, fire: Fire, now: Timestamp) {
        if fire.trigger.is_of_schedule() {
            self.wait(Waits::new(fire, now));
        } else {
            // Without an executor nothing is started.
            let _ = self.ports.granted.send(fire);
        }
    }

    /// Takes up what comes from the scheduler, which counts generations of the clock on its own.
    fn wait(&mut self, mut waits: Waits) {
        waits.scheduled_in = waits.fire.generation;
        self.member.scheduled_in = self.member.scheduled_in.max(waits.scheduled_in);
        waits.fire.generation = self.member.generation;
        // Taken over meanwhile, and about to be started: the store would grant it once more, and refuse the second start.
        if !self.out.contains_key(&(waits.mark(), waits.fire.job.key)) {
            self.waiting.add(waits);
        }
    }

    /// Takes what became of a fire.
    fn settle(&mut self, settlement: Settlement) {
        match settlement {
            Settlement::Started(fire) => {
                let mark = Mark::of(fire.due, fire.generation);
                self.out.remove(&(mark, fire.job.key));
                self.member.deal(fire.job.key, mark);
            }
            Settlement::Passed(fire) => {
                let mark = Mark::of(fire.due, fire.generation);
                self.out.remove(&(mark, fire.job.key));
                self.member.deal(fire.job.key, mark);
                self.ports.store.write(Write::Release(fire.job.key, mark));
            }
            Settlement::Returned(fire) => self.take_back(fire, Aim::Start),
            Settlement::Ended(fire, run) => self.take_back(fire, Aim::End(run)),
        }
    }

    /// Has what was handed on claimed again.
    fn take_back(&mut self, fire: Fire, aim: Aim) {
        self.out.remove(&(Mark::of(fire.due, fire.generation), fire.job.key));
        let at = fire.due.at;
        self.waiting.add(Waits { aim, was_granted: true, ..Waits::new(fire, at) });
    }

    /// Hands a fire on.
    pub(super) fn hand_on(&mut self, fire: Fire) {
        let mark = Mark::of(fire.due, fire.generation);
        self.out.insert((mark, fire.job.key), fire.clone());
        // Without an executor nothing is started.
        let _ = self.ports.granted.send(fire);
    }

    /// Says that we are gone, once what was granted is settled; what is not is taken over.
    async fn leave(mut self, leave: Option<Leave>) {
        let by = Instant::now() + LEAVING;
        while !self.out.is_empty() {
            match tokio::time::timeout_at(by, self.ports.settled.recv()).await {
                Ok(Some(settlement)) => self.settle(settlement),
                _ => break,
            }
        }
        // What was given up must be by the time at which others look for what we have left.
        while let Ok(settlement) = self.ports.settled.try_recv() {
            self.settle(settlement);
        }
        self.ports.store.flush(by.saturating_duration_since(Instant::now())).await;
        if self.member.lease.fencing != 0 {
            let (beat, _) = self.member.beat(self.now(), self.about.clone());
            // If it is not heard the lease ends by itself.
            let _ = self.ports.store.beat(Beat { leaving: true, ..beat }, LEAVING).await;
        }
        if let Some(leave) = leave {
            // Whoever has lost interest need not be told.
            let _ = leave.send(());
        }
    }

    fn read_table(&mut self) {
        let table = Arc::clone(&self.ports.tables.borrow_and_update());
        if self.about.jobs_hash.is_empty() || !Arc::ptr_eq(&table, &self.table) {
            self.about.jobs_hash = peers::hash(&table);
            self.about.jobs = u64::try_from(table.len()).unwrap_or(u64::MAX);
            self.table = table;
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.ports.clock.monotonic()
    }

    pub(super) fn warn(&self, text: String) {
        self.ports.bus.publish(Event::Notice { file: None, text, warning: true });
    }

    pub(super) fn note(&self, text: String) {
        self.ports.bus.publish(Event::Notice { file: None, text, warning: false });
    }
}

#[cfg(test)]
mod tests;
