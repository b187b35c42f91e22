//! Crontabs are recovered: what the rules decide is done.

use std::collections::HashMap;

use nix::unistd::User;

use super::found::{Found, Ground};
use super::keep::Stored;
use super::marker::new_instance;
use super::{FromMemory, Recovered, hash_of};
use crate::daemon::standing::Key;
use crate::store::recovery::table::{Legacy, recover, snapshot_after};
use crate::store::recovery::{Case, Decision, Kinship, Mode, Notice, Row, Snapshot};

/// What a recovery came to.
pub(super) struct Outcome {
    /// What the store is to hold, if that is not what it holds already.
    pub(super) snapshot: Option<Snapshot>,
    /// What the markers are to say once it does, where that is something new.
    pub(super) kinships: Vec<(Key, Kinship)>,
    pub(super) recovered: Recovered,
    /// What is to be told, and whether it is a warning.
    pub(super) notices: Vec<(Key, String, bool)>,
    /// Why the daemon is not in full order.
    pub(super) concerns: HashMap<Key, Vec<String>>,
}

/// Decides about every crontab, and writes those that are to say something else.
pub(super) fn carry_out(ground: &Ground, stored: &Stored, mode: Mode) -> Outcome {
    let paths = stored.snapshot.iter().flat_map(|snapshot| snapshot.files.keys());
    let paths: Vec<&str> = paths.map(String::as_str).collect();
    let mut told = Vec::new();
    let found = ground.find(&paths, &mut told);
    let rows = stored.seed_rows.as_deref().map(rows);
    let legacy = rows.as_ref().and_then(|rows| rows.as_ref().ok());
    let legacy = legacy.map(|rows| Legacy { rows, is_user: &is_user });
    let findings: Vec<_> = found.iter().map(Found::finding).collect();
    let before = stored.snapshot.as_ref();
    let mut decisions = recover(&findings, before, legacy, mode, &mut new_instance);
    let mut outcome = Outcome {
        snapshot: None,
        kinships: Vec::new(),
        recovered: Recovered::default(),
        notices: told.into_iter().map(|(key, text)| (key, text, true)).collect(),
        concerns: HashMap::new(),
    };
    if let Some(Err(reason)) = rows
        && let Some(first) = found.first()
    {
        let text = format!("the jobs that the Python service cached are not recovered: {reason}");
        outcome.notices.push((first.key.clone(), text, true));
    }
    for (found, decision) in found.iter().zip(&mut decisions) {
        outcome.settle(ground, found, decision);
    }
    let after = snapshot_after(before, &decisions);
    if before.is_some_and(|before| *before != after) || before.is_none() && !after.files.is_empty()
    {
        outcome.snapshot = Some(after);
    }
    outcome
}

impl Outcome {
    fn settle(&mut self, ground: &Ground, found: &Found, decision: &mut Decision) {
        let key = &found.key;
        if decision.write {
            if let Err(error) = ground.write(found, decision) {
                *decision = decision.clone().unwritten();
                let text = format!("not written, the recovered jobs run from memory: {error}");
                self.notices.push((key.clone(), text, true));
                if let Some(text) = decision.text.clone() {
                    let memory = FromMemory { key: key.clone(), found: found.text.clone(), text };
                    self.recovered.from_memory.push(memory);
                }
            } else {
                self.notices.push((key.clone(), what(decision.case).to_owned(), false));
            }
        }
        for notice in &decision.notices {
            // That was told with its reason.
            if *notice == Notice::FromMemory {
                continue;
            }
            self.notices.push((key.clone(), notice.to_string(), true));
        }
        self.concern(key, decision);
        let is_kept = decision.snapshot.as_ref().is_some_and(|snapshot| {
            snapshot.text.as_ref().map(|text| &text.0) == decision.text.as_ref()
        });
        if let (true, Some(text)) = (is_kept, &decision.text) {
            self.recovered.kept.insert(key.clone(), hash_of(text));
        }
        if found.kinship.as_ref() != Some(&decision.kinship) && decision.snapshot.is_some() {
            self.kinships.push((key.clone(), decision.kinship.clone()));
        }
    }

    /// Takes note of what somebody has to look at.
    fn concern(&mut self, key: &Key, decision: &Decision) {
        let file = key.1.display();
        let mut concerns = Vec::new();
        if decision.notices.contains(&Notice::FromMemory) {
            concerns.push(format!("{file}: its recovered jobs run from memory"));
        }
        if let (Some(snapshot), Some(text)) = (&decision.snapshot, &decision.text) {
            concerns.extend(undecided(key, snapshot.undecided_in(text).count()));
        }
        if !concerns.is_empty() {
            self.concerns.insert(key.clone(), concerns);
        }
    }
}

/// What is said of lines that somebody has to decide about.
pub(super) fn undecided(key: &Key, lines: usize) -> Option<String> {
    let file = key.1.display();
    match lines {
        0 => None,
        1 => Some(format!("{file}: a recovered line waits, commented out, for a decision")),
        _ => Some(format!("{file}: {lines} recovered lines wait, commented out, for a decision")),
    }
}

fn what(case: Case) -> &'static str {
    match case {
        Case::Merged => "recovered: what was edited in an earlier container is merged in",
        Case::Rows => "recovered: the jobs that the Python service cached are added",
        Case::Restored | Case::Unchanged | Case::First | Case::Accepted => {
            "recovered as it was in an earlier container"
        }
    }
}

fn rows(bytes: &[u8]) -> Result<Vec<Row>, serde_json::Error> {
    serde_json::from_slice(bytes)
}

fn is_user(name: &str) -> bool {
    name == "root" || User::from_name(name).is_ok_and(|user| user.is_some())
}
