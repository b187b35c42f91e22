//! What is written behind, and what runs printed.

use redis::ScriptInvocation;

use super::beat::milliseconds;
use super::{FIELD, Redis, due_word, form, job_word, replica_word, script};
use crate::event::RunId;
use crate::store::pause::Pauses;
use crate::store::{Output, RunRecord, StoreError, Write};

impl Redis {
    pub(super) async fn write_all(&self, batch: Vec<Write>) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.rest.carried(batch.iter().map(size).sum());
        // Without signs of life nobody asks for it.
        let known = self.local.is_none().then_some(&self.known);
        if let Some(known) = known {
            known.begin(&batch);
        }
        let answer = self.call::<i64>(&self.rest, &script::WRITE, |call| {
            self.add_bounds(call);
            call.arg(milliseconds(self.bounds.forgotten).max(1)).arg(self.bounds.jobs);
            for write in &batch {
                self.add(call, write);
            }
        });
        let answer = answer.await;
        if let Some(known) = known {
            known.end(&batch);
        }
        answer.map(drop)
    }

    fn add(&self, call: &mut ScriptInvocation<'_>, write: &Write) {
        match (write, &self.local) {
            (Write::Owe(key, owed), Some(owner)) => {
                let due = format!("{} {owner}", due_word(owed.due));
                call.arg("owe").arg(job_word(*key)).arg(due).arg(owed.trigger.name());
            }
            (Write::Settle(key, due), Some(owner)) => {
                let due = format!("{} {owner}", due_word(*due));
                call.arg("settle").arg(job_word(*key)).arg(due);
            }
            _ => add(call, write, &self.pauses),
        }
    }

    pub(super) fn add_bounds(&self, call: &mut ScriptInvocation<'_>) {
        let age = milliseconds(self.bounds.age).max(1);
        call.arg(self.bounds.runs).arg(age).arg(self.bounds.output);
    }

    pub(super) async fn output_of(&self, run: RunId) -> Result<Option<Output>, StoreError> {
        let key = self.key(&format!("output:{run}"));
        let (bytes,): (Option<Vec<u8>>,) = self.read(redis::pipe().get(&key)).await?;
        bytes.map(|bytes| Output::unpack(&bytes)).transpose()
    }
}

/// What a write takes on its way, about.
fn size(write: &Write) -> usize {
    match write {
        Write::Since(keys, _) => keys.len() * FIELD,
        Write::Output(_, output) => {
            output.head.iter().chain(&output.tail).map(|line| line.bytes.len()).sum()
        }
        _ => FIELD,
    }
}

fn add(call: &mut ScriptInvocation<'_>, write: &Write, pauses: &Pauses) {
    match write {
        Write::Since(keys, since) => {
            for key in keys {
                call.arg("since").arg(job_word(*key)).arg(since.to_string());
            }
        }
        Write::Mark(key, mark) | Write::Release(key, mark) => {
            call.arg("mark").arg(job_word(*key)).arg(mark.to_string());
        }
        Write::Owe(key, owed) => {
            call.arg("owe").arg(job_word(*key)).arg(due_word(owed.due)).arg(owed.trigger.name());
        }
        Write::Settle(key, due) => {
            call.arg("settle").arg(job_word(*key)).arg(due_word(*due));
        }
        Write::Pause(key) => {
            call.arg("pause").arg(job_word(*key)).arg(pauses.word(*key).unwrap_or_default());
        }
        Write::Resume(key) => {
            call.arg("resume").arg(job_word(*key));
        }
        Write::Run(record) => add_run(call, record),
        Write::Output(run, output) => {
            call.arg("output").arg(run.to_string()).arg(output.pack());
        }
    }
}

fn add_run(call: &mut ScriptInvocation<'_>, record: &RunRecord) {
    let is_open = record.outcome.is_none() && record.ended.is_none();
    call.arg(if is_open { "open" } else { "run" }).arg(job_word(record.key));
    call.arg(format!("{} {:010}", record.run, record.attempt));
    call.arg(replica_word(&record.replica)).arg(form::json(record));
}
