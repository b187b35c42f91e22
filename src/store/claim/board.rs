//! What the replicas of a namespace agree on, and how claims, starts and beats change it.
//!
//! The scripts of `redis` do the same, call by call; `tests/claims` compares the two, and explores this one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Beat, Claim, Fate, Fire, Generation, Lease, Permission, Start, Verdict};
use crate::event::RunId;
use crate::job::JobKey;
use crate::schedule::Due;
use crate::store::Mark;

/// For how long a replica's runs wait for somebody on its host, once it has died; in milliseconds.
pub const HOST_FIRST: i64 = 30_000;

/// When and where a question is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Moment {
    /// The store's clock, milliseconds since the epoch.
    pub now: i64,
    /// What tells one life of the store's server from the next.
    pub incarnation: String,
}

/// A replica as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Life {
    fencing: u64,
    beat: i64,
    expiry: i64,
    /// It claims nothing before.
    hold: i64,
    host: String,
}

/// What the replicas of a namespace agree on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Board {
    incarnation: Option<String>,
    /// When this life of the server was first noticed.
    returned: i64,
    fence: u64,
    generation: u64,
    /// Whether there may be something that a dead replica left behind.
    sweep: bool,
    /// Whether something that a replica asserted was news to this life of the server.
    forgot: bool,
    replicas: BTreeMap<String, Life>,
    claims: BTreeMap<JobKey, Mark>,
    watermarks: BTreeMap<JobKey, Mark>,
    fires: BTreeMap<JobKey, Vec<Fire>>,
    /// Runs that are recorded as ended: nothing that is said of them later makes them go on.
    ended: BTreeSet<(RunId, u32)>,
    /// Who said last that a run goes on. Another than it is listed as has taken it over, and may not have heard that it did.
    said: BTreeMap<(RunId, u32), String>,
    paused: BTreeSet<JobKey>,
    /// Dues that are owed, and whether they may be claimed though the job is past them: nobody had when they were owed.
    owed: BTreeMap<(JobKey, Due), bool>,
    /// Starts are not compared with claims: a fault, for tests that must find it.
    careless: bool,
}

/// What a beat is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The lease, as it stands now; `fencing` 0 if it has ended.
    pub lease: Lease,
    /// The names of the others that live.
    pub others: Vec<String>,
    /// Whether there are none, for sure.
    pub alone: bool,
    /// Fires that a dead replica claimed.
    pub orphans: Vec<(JobKey, Mark)>,
    /// Runs that a dead replica left, now of the one that asked; told until it has said something of them.
    pub lost: Vec<(RunId, u32)>,
    /// The clock generation.
    pub generation: u64,
}

impl Board {
    /// An empty board on which starts are not compared with claims. Tests see that it leads to doubles.
    #[must_use]
    pub fn careless() -> Self {
        Board { careless: true, ..Board::default() }
    }

    /// The last due of a job that was dealt with.
    #[must_use]
    pub fn watermark(&self, key: JobKey) -> Option<Mark> {
        self.watermarks.get(&key).copied()
    }

    /// Asks for fires; the verdicts stand in the order of the claims.
    pub fn claim(&mut self, moment: &Moment, lease: &Lease, claims: &[Claim]) -> Vec<Verdict> {
        self.notice(moment);
        if lease.is_local() {
            return vec![Verdict::Granted; claims.len()];
        }
        let Some(life) = self.life(lease, moment.now) else {
            return vec![Verdict::Fenced; claims.len()];
        };
        if let Ok(wait @ 1..) = u64::try_from(life.hold - moment.now) {
            let wait = std::time::Duration::from_millis(wait);
            return vec![Verdict::Wait(wait); claims.len()];
        }
        claims.iter().map(|claim| self.claim_one(moment.now, lease, claim)).collect()
    }

    fn claim_one(&mut self, now: i64, lease: &Lease, claim: &Claim) -> Verdict {
        let recorded = self.recorded(claim.key, claim.mark);
        let mut fate = None;
        if let Some((_, was, owner)) = &recorded {
            if owner == lease {
                return verdict(*was);
            }
            if self.life(owner, now).is_some() {
                return Verdict::Belongs(owner.replica.clone());
            }
            let grace = i64::try_from(claim.grace.as_millis()).unwrap_or(i64::MAX);
            if now.saturating_sub(claim.mark.at.as_millisecond()) > grace {
                fate = Some(Fate::Late);
            }
        } else if self.claims.get(&claim.key).is_some_and(|last| *last >= claim.mark)
            && self.owed.get(&(claim.key, claim.mark.due())) != Some(&true)
        {
            return Verdict::Taken;
        }
        let fate = match fate {
            Some(fate) => fate,
            None if self.paused.contains(&claim.key) => Fate::Paused,
            None => match self.room(now, lease, claim) {
                Ok(fate) => fate,
                Err(owner) => return Verdict::Belongs(owner),
            },
        };
        let fires = self.fires.entry(claim.key).or_default();
        if let Some((place, ..)) = recorded {
            fires.remove(place);
        }
        fires.push(Fire::Claimed { mark: claim.mark, fate, lease: lease.clone() });
        raise(&mut self.claims, claim.key, claim.mark);
        if let Some(is_free) = self.owed.get_mut(&(claim.key, claim.mark.due())) {
            *is_free = false;
        }
        verdict(fate)
    }

    /// Whether another run of the job may be: or who decides about it.
    fn room(&self, now: i64, lease: &Lease, claim: &Claim) -> Result<Fate, String> {
        let Some(limit) = claim.instances else { return Ok(Fate::Start) };
        let fires = self.fires.get(&claim.key).map_or(&[][..], Vec::as_slice);
        let mut going = fires.iter().filter_map(|fire| match fire {
            Fire::Claimed { fate: Fate::Start, lease, .. } => {
                self.life(lease, now).map(|_| &lease.replica)
            }
            Fire::Claimed { .. } => None,
            Fire::Started { replica, .. } => self.lives(replica, now).then_some(replica),
        });
        if limit == 1 {
            return match going.next() {
                Some(owner) if *owner != lease.replica => Err(owner.clone()),
                _ => Ok(Fate::Start),
            };
        }
        let is_full = going.count() >= usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(if is_full { Fate::Full } else { Fate::Start })
    }

    /// Asks for runs to be started, in the order of the starts.
    pub fn start(&mut self, moment: &Moment, lease: &Lease, starts: &[Start]) -> Vec<Permission> {
        self.notice(moment);
        if !lease.is_local() && self.life(lease, moment.now).is_none() && !self.careless {
            return vec![Permission::Fenced; starts.len()];
        }
        starts.iter().map(|start| self.start_one(lease, start)).collect()
    }

    fn start_one(&mut self, lease: &Lease, start: &Start) -> Permission {
        let started = Fire::Started {
            run: start.run,
            attempt: start.attempt,
            replica: lease.replica.clone(),
        };
        if self.fires.get(&start.key).is_some_and(|fires| fires.contains(&started)) {
            return Permission::Granted;
        }
        if !lease.is_local() && start.is_claimed() {
            match self.recorded(start.key, start.mark) {
                Some((place, Fate::Start, owner)) if owner == *lease => {
                    self.fires.entry(start.key).or_default().remove(place);
                }
                _ if self.careless => {}
                _ => return Permission::Taken,
            }
        }
        self.list(start.key, start.run, start.attempt, &lease.replica);
        self.owed.remove(&(start.key, start.mark.due()));
        if start.is_due() {
            raise(&mut self.claims, start.key, start.mark);
            raise(&mut self.watermarks, start.key, start.mark);
        }
        Permission::Granted
    }

    /// A run goes on, as its replica says: kept where the store has lost it.
    pub fn going(&mut self, key: JobKey, run: RunId, attempt: u32, replica: &str) {
        self.list(key, run, attempt, replica);
    }

    /// A run has ended, for good: what is heard of it later came late.
    pub fn end(&mut self, key: JobKey, run: RunId, attempt: u32) {
        self.ended.insert((run, attempt));
        self.said.remove(&(run, attempt));
        self.unlist(key, run, attempt);
    }

    /// Lists a run as going, once, and as this replica's; unless it has ended.
    fn list(&mut self, key: JobKey, run: RunId, attempt: u32, replica: &str) {
        if self.ended.contains(&(run, attempt)) {
            return;
        }
        self.unlist(key, run, attempt);
        self.said.insert((run, attempt), replica.to_owned());
        let started = Fire::Started { run, attempt, replica: replica.to_owned() };
        self.fires.entry(key).or_default().push(started);
    }

    fn unlist(&mut self, key: JobKey, run: RunId, attempt: u32) {
        let is_other = |fire: &Fire| !matches!(fire, Fire::Started { run: r, attempt: a, .. } if (*r, *a) == (run, attempt));
        self.keep(key, is_other);
    }

    /// A fire was dealt with, and is not to be started.
    pub fn settle(&mut self, key: JobKey, mark: Mark) {
        raise(&mut self.claims, key, mark);
        raise(&mut self.watermarks, key, mark);
        let is_other = |fire: &Fire| !matches!(fire, Fire::Claimed { mark: of, .. } if *of == mark);
        self.keep(key, is_other);
    }

    /// Puts dues off. They may be claimed, whatever is settled afterwards, unless the job was past them before.
    pub fn owe(&mut self, key: JobKey, due: Due) {
        let last = self.claims.get(&key);
        let is_free = last.is_none_or(|last| due > last.due());
        self.owed.insert((key, due), is_free);
    }

    /// Nothing is owed of a due any more.
    pub fn forgive(&mut self, key: JobKey, due: Due) {
        self.owed.remove(&(key, due));
    }

    fn keep(&mut self, key: JobKey, wanted: impl Fn(&Fire) -> bool) {
        if let Some(fires) = self.fires.get_mut(&key) {
            fires.retain(wanted);
            if fires.is_empty() {
                self.fires.remove(&key);
            }
        }
    }

    /// Makes sure that nothing up to these marks is claimed; answers whether the store had forgotten, in this life of its server,
    /// what somebody asserted.
    pub fn assert_marks(&mut self, moment: &Moment, marks: &[(JobKey, Mark)]) -> bool {
        self.notice(moment);
        for &(key, mark) in marks {
            self.forgot |= self.claims.get(&key).is_none_or(|known| *known < mark);
            raise(&mut self.claims, key, mark);
            raise(&mut self.watermarks, key, mark);
        }
        self.forgot
    }

    /// Pauses a job, or resumes it.
    pub fn pause(&mut self, key: JobKey, is_paused: bool) {
        if is_paused {
            self.paused.insert(key);
        } else {
            self.paused.remove(&key);
        }
    }

    /// A sign of life.
    pub fn beat(&mut self, moment: &Moment, beat: &Beat) -> Heard {
        self.notice(moment);
        let now = moment.now;
        let expiry = i64::try_from(beat.expiry.as_millis()).unwrap_or(i64::MAX / 4);
        let name = &beat.lease.replica;
        let others: Vec<String> =
            self.replicas.keys().filter(|other| *other != name).cloned().collect();
        let others: Vec<String> =
            others.into_iter().filter(|other| self.lives(other, now)).collect();
        let mut lease = beat.lease.clone();
        if lease.fencing == 0 {
            self.fence += 1;
            lease.fencing = self.fence;
            let hold = if !others.is_empty() {
                now + expiry
            } else if beat.alone {
                now
            } else {
                now.max(self.returned + expiry)
            };
            if self.replicas.contains_key(name) {
                self.sweep = true;
            }
            let host = beat.host.clone();
            let life = Life { fencing: lease.fencing, beat: now, expiry, hold, host };
            self.replicas.insert(name.clone(), life);
        } else if self.life(&lease, now).is_none() {
            lease.fencing = 0;
        } else if let Some(life) = self.replicas.get_mut(name) {
            (life.beat, life.expiry) = (now, expiry);
        }
        let (mut orphans, mut lost) = (Vec::new(), Vec::new());
        if beat.leaving {
            if lease.fencing != 0
                && let Some(life) = self.replicas.get_mut(name)
            {
                life.expiry = 0;
            }
            lease.fencing = 0;
        } else if lease.fencing != 0 {
            self.sweep(now, name, &beat.host, expiry, &mut orphans, &mut lost);
        }
        // Just after the server's return those that live may not have said so yet.
        let alone = others.is_empty() && now >= self.returned + expiry;
        Heard { lease, others, alone, orphans, lost, generation: self.generation }
    }

    /// Finds what dead replicas left behind; runs become the replica's that asks.
    fn sweep(
        &mut self,
        now: i64,
        name: &str,
        host: &str,
        expiry: i64,
        orphans: &mut Vec<(JobKey, Mark)>,
        lost: &mut Vec<(RunId, u32)>,
    ) {
        let is_gone = |life: &Life| now >= life.beat + life.expiry + HOST_FIRST;
        let before = self.replicas.len();
        self.replicas.retain(|_, life| !is_gone(life));
        self.sweep |= self.replicas.len() < before;
        let any_dead = self.replicas.values().any(|life| now >= life.beat + life.expiry);
        // Just after the store's return those that live may not have said so yet.
        if !(self.sweep || any_dead) || now < self.returned + expiry {
            return;
        }
        let mut left = false;
        let mut fires = std::mem::take(&mut self.fires);
        for (key, fires) in &mut fires {
            for fire in fires {
                match fire {
                    Fire::Claimed { mark, lease, .. } => {
                        if self.life(lease, now).is_none() {
                            orphans.push((*key, *mark));
                            left = true;
                        }
                    }
                    Fire::Started { run, attempt, replica } if self.lives(replica, now) => {
                        if self.said.get(&(*run, *attempt)) != Some(replica) {
                            left = true;
                            if replica == name {
                                lost.push((*run, *attempt));
                            }
                        }
                    }
                    Fire::Started { run, attempt, replica } => {
                        left = true;
                        if self.replicas.get(replica).is_none_or(|life| life.host == host) {
                            name.clone_into(replica);
                            lost.push((*run, *attempt));
                        }
                    }
                }
            }
        }
        self.fires = fires;
        self.sweep = left;
    }

    /// Asks for a new generation of the clock.
    pub fn step_back(&mut self, moment: &Moment, lease: &Lease, from: u64) -> Generation {
        self.notice(moment);
        let mut others = self.replicas.keys().filter(|name| **name != lease.replica);
        if others.any(|name| self.lives(name, moment.now)) {
            return Generation::Kept(self.generation);
        }
        self.generation = self.generation.max(from) + 1;
        Generation::Opened(self.generation)
    }

    /// A server that begins anew has forgotten who lives, and perhaps more.
    fn notice(&mut self, moment: &Moment) {
        if self.incarnation.as_ref() != Some(&moment.incarnation) {
            self.incarnation = Some(moment.incarnation.clone());
            self.returned = moment.now;
            self.replicas.clear();
            (self.sweep, self.forgot) = (true, false);
        }
    }

    /// The replica with this lease, if the lease has not ended.
    fn life(&self, lease: &Lease, now: i64) -> Option<&Life> {
        let life = self.replicas.get(&lease.replica)?;
        (life.fencing == lease.fencing && now < life.beat + life.expiry).then_some(life)
    }

    fn lives(&self, replica: &str, now: i64) -> bool {
        self.replicas.get(replica).is_some_and(|life| now < life.beat + life.expiry)
    }

    /// The recorded claim of a fire: its place, its fate, its owner.
    fn recorded(&self, key: JobKey, mark: Mark) -> Option<(usize, Fate, Lease)> {
        self.fires.get(&key)?.iter().enumerate().find_map(|(place, fire)| match fire {
            Fire::Claimed { mark: of, fate, lease } if *of == mark => {
                Some((place, *fate, lease.clone()))
            }
            _ => None,
        })
    }
}

fn verdict(fate: Fate) -> Verdict {
    match fate {
        Fate::Start => Verdict::Granted,
        Fate::Full => Verdict::Full,
        Fate::Paused => Verdict::Paused,
        Fate::Late => Verdict::Late,
    }
}

fn raise(marks: &mut BTreeMap<JobKey, Mark>, key: JobKey, mark: Mark) {
    let kept = marks.entry(key).or_insert(mark);
    *kept = mark.max(*kept);
}
