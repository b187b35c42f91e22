//! Runs of an earlier life of the daemon: those whose process lives count as running until it is gone, the others are lost.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::life::{Life, Phase};
use super::start::Report;
use super::tree::VARIABLE;
use crate::event::{Event, Fire, Run, RunId, Started};
use crate::job::Job;
use crate::schedule::Zone;
use crate::store::record::RecordedOutcome;
use crate::store::{RunRecord, Write};
use crate::unix::process::{self, Member};
use crate::unix::{Pid, Witness};

/// Why nothing is known of an end.
const UNOBSERVED: &str = "ended unobserved";
const WHILE_IT_RAN: &str = "the daemon died while it ran";
const BEFORE_ITS_START: &str = "the daemon died between its record and its start";

/// How often it is looked for a process that the system does not let us wait for.
const LOOK: Duration = Duration::from_secs(1);

/// A process: its number, and its start in clock ticks since boot.
type Process = (Pid, u64);

impl Core {
    /// Takes over the runs that an earlier life has recorded as started and not as ended.
    pub(super) fn take_open(&mut self, mut records: Vec<RunRecord>, zone: &Zone) {
        // What is alive in this life is no run of an earlier one.
        records.retain(|record| !self.lives.contains_key(&record.run));
        // What was started without a process here has none, though a worker of this host may have one of that name.
        let unknown =
            records.iter().filter(|record| record.process.is_none() && record.started.is_none());
        let found = find(&unknown.map(|record| record.run.to_string()).collect());
        for record in records {
            let known = record.process.map(|(pid, since)| (Pid::from_raw(pid), since));
            let process = known.or_else(|| found.get(&record.run.to_string()).copied());
            let alive = process.and_then(|process| witness(process, record.run));
            if let Some((process, witness)) = alive {
                self.adopt(record, process, witness, zone);
            } else {
                let is_known = record.process.is_some() || record.started.is_some();
                self.lose(record, if is_known { WHILE_IT_RAN } else { BEFORE_ITS_START });
            }
        }
    }

    /// Counts a run as running until its process has ended.
    fn adopt(
        &mut self,
        record: RunRecord,
        process: Process,
        witness: Option<Witness>,
        zone: &Zone,
    ) {
        let id = record.run;
        let table = Arc::clone(&self.tables.borrow());
        let job = table.jobs().iter().find(|job| job.key == record.key).cloned();
        let job = job.unwrap_or_else(|| Arc::new(Job::remembered(record.key, &record.name, zone)));
        if let Some(ledger) = &self.ledger {
            ledger.note_adopted(&record, process);
        }
        let fire = Fire { job, due: record.due, trigger: record.trigger, generation: 0 };
        let run = Arc::new(Run { id, fire, attempt: record.attempt });
        let at = record.started.or(record.queued).unwrap_or_else(|| id.at());
        let (pid, since) = (Some(process.0.as_raw()), Some(process.1));
        let started = Started { run: Arc::clone(&run), pid, since, at };
        self.admission.adopt(record.key, id);
        let mut life = Life::new(run);
        life.phase = Phase::Running(started);
        self.lives.insert(id, life);
        self.survivors.insert(id, record);
        let reports = self.starts.reports();
        tokio::spawn(async move {
            match witness {
                Some(witness) => witness.ended().await,
                None => {
                    while process::since(process.0) == Some(process.1) {
                        tokio::time::sleep(LOOK).await;
                    }
                }
            }
            // Without an executor nobody waits for it.
            let _ = reports.send(Report::Gone(id));
        });
    }

    /// The process of a survivor has ended.
    pub(super) fn survivor_gone(&mut self, id: RunId) {
        let Some(record) = self.survivors.remove(&id) else { return };
        let Some(life) = self.lives.remove(&id) else { return };
        let cause = life.ending.as_ref().and_then(|ending| ending.cause);
        let key = record.key;
        match cause {
            Some(cause) => self.lose(record, &format!("{UNOBSERVED}, {cause}")),
            None => self.lose(record, UNOBSERVED),
        }
        self.admission.leave(key, id, false);
        // Who waits for its end learns that nobody knows it.
        self.waits.remove(&id);
    }

    /// Tells that nobody saw the end of a run.
    fn lose(&mut self, mut record: RunRecord, reason: &str) {
        self.bus.publish(Event::RunLost {
            key: record.key,
            name: record.name.clone(),
            run: record.run,
            due: record.due,
            reason: reason.to_owned(),
        });
        record.outcome = Some(RecordedOutcome::Lost);
        record.reason = Some(reason.to_owned());
        // When those of an earlier life ended is not known.
        record.ended =
            (reason != WHILE_IT_RAN && reason != BEFORE_ITS_START).then(|| self.clock.now());
        record.process = None;
        if let Some(ledger) = &self.ledger {
            ledger.store.write(Write::Run(Arc::new(record)));
        }
    }
}

/// The processes that began a session and were started as these runs.
fn find(runs: &HashSet<String>) -> HashMap<String, Process> {
    if runs.is_empty() {
        return HashMap::new();
    }
    let main = |member: &Member| member.session == member.pid;
    let named = |member: Member| {
        let run = String::from_utf8(process::variable(member.pid, VARIABLE)?).ok()?;
        runs.contains(&run).then_some((run, (member.pid, member.since)))
    };
    process::all().into_iter().filter(main).filter_map(named).collect()
}

/// Watches the process of a run; none if it has ended, or its number is another's by now.
fn witness((pid, since): Process, run: RunId) -> Option<(Process, Option<Witness>)> {
    // Before it is looked at: what is found to be it then is what is watched.
    let witness = Witness::of(pid).ok();
    let is_it = process::since(pid) == Some(since)
        && process::variable(pid, VARIABLE).is_none_or(|found| found == run.to_string().as_bytes());
    is_it.then_some(((pid, since), witness))
}
