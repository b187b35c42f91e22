//! Crontabs are recovered: what the rules decide is done.

use std::collections::HashMap;
use std::path::Path;

use nix::unistd::User;

use super::found::{Found, Ground};
use super::keep::Stored;
use super::marker::new_instance;
use super::memory::FromMemory;
use super::{Recovered, Written, hash_of};
use crate::crontab::{self, Origin, Source};
use crate::daemon::standing::Key;
use crate::store::legacy::{self, Unreadable, dumps, loads_with_text};
use crate::store::recovery::table::{Legacy, recover, snapshot_after};
use crate::store::recovery::{
    Case, Decision, FileSnapshot, Kinship, Mode, Notice, Row, Snapshot, shown,
};

/// The most refused rows that are told one by one.
const MOST_TOLD: usize = 100;

/// What a recovery came to.
pub(super) struct Outcome {
    /// What the store is to hold, if that is not what it holds already.
    pub(super) snapshot: Option<Snapshot>,
    /// What markers are to say before the store is told anything: what a new container brought along.
    pub(super) marks: Vec<(Key, Kinship)>,
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
    let rows = stored.seed_rows.as_ref().map(|found| match found {
        Ok(bytes) => rows(bytes).map_err(|unreadable| unreadable.to_string()),
        Err(reason) => Err(reason.clone()),
    });
    let legacy = rows.as_ref().and_then(|rows| rows.as_ref().ok());
    let legacy = legacy.map(|cached| Legacy {
        rows: &cached.rows,
        is_user: &is_user,
        is_believed: !stored.is_signed,
    });
    let findings: Vec<_> = found.iter().map(Found::finding).collect();
    let before = stored.snapshot.as_ref();
    let mut decisions = recover(&findings, before, legacy, mode, &mut new_instance);
    if let Some(Ok(cached)) = &rows {
        cached.number(decisions.iter_mut().flat_map(|decision| &mut decision.notices));
    }
    let mut outcome = Outcome {
        snapshot: None,
        marks: Vec::new(),
        kinships: Vec::new(),
        recovered: Recovered::default(),
        notices: told.into_iter().map(|(key, text)| (key, text, true)).collect(),
        concerns: HashMap::new(),
    };
    if let (Some(rows), Some(first)) = (&rows, found.first()) {
        let refused = match rows {
            Ok(cached) => cached.refused.clone(),
            Err(reason) => {
                vec![format!("the jobs that the Python service cached are not recovered: {reason}")]
            }
        };
        let rest = refused.len().saturating_sub(MOST_TOLD);
        let rest = (rest > 0).then(|| format!("{rest} more of the cached jobs are not recovered"));
        let texts = refused.into_iter().take(MOST_TOLD).chain(rest);
        outcome.notices.extend(texts.map(|text| (first.key.clone(), text, true)));
    }
    for (found, decision) in found.iter().zip(&mut decisions) {
        let stored = before.and_then(|before| before.files.get(&found.path));
        outcome.settle(ground, found, decision, stored);
    }
    let after = snapshot_after(before, &decisions);
    if before.is_some_and(|before| *before != after) || before.is_none() && !after.files.is_empty()
    {
        outcome.snapshot = Some(after);
    }
    outcome
}

impl Outcome {
    fn settle(
        &mut self,
        ground: &Ground,
        found: &Found,
        decision: &mut Decision,
        stored: Option<&FileSnapshot>,
    ) {
        let key = &found.key;
        if decision.write {
            if let (None, Some(text)) = (&self.recovered.written, &decision.text) {
                // Whether it can be written or not, it is in force: it is read while the disk is waited for.
                let ahead = ground.read_ahead(key, text);
                self.recovered.written = Some(Written { hash: None, ahead });
            }
            if let Err(error) = ground.write(found, decision, stored) {
                *decision = decision.clone().unwritten();
                let text = format!("not written, the recovered jobs run from memory: {error}");
                self.notices.push((key.clone(), text, true));
                if let Some(text) = decision.text.as_deref().map(<[u8]>::to_vec) {
                    let memory = FromMemory { key: key.clone(), found: found.text.clone(), text };
                    self.recovered.from_memory.push(memory);
                }
            } else {
                self.notices.push((
                    key.clone(),
                    what(decision.case, found.kinship.as_ref()).to_owned(),
                    false,
                ));
                if let Some(written @ Written { hash: None, .. }) = &mut self.recovered.written {
                    written.hash = decision.text.as_deref().map(hash_of);
                }
            }
        } else if found.text.is_some() && found.kinship.is_none() && decision.snapshot.is_some() {
            let kinship = Kinship { common: None, ..decision.kinship.clone() };
            self.marks.push((key.clone(), kinship));
        }
        for notice in &decision.notices {
            // That was told with its reason.
            if *notice == Notice::FromMemory {
                continue;
            }
            self.notices.push((key.clone(), notice.to_string(), true));
        }
        self.concern(key, decision);
        // What the file says is no edit where it is left as it is.
        let is_kept = decision.case == Case::Left
            || decision.snapshot.as_ref().is_some_and(|snapshot| snapshot.text == decision.text);
        if let (true, Some(text)) = (is_kept, &decision.text) {
            self.recovered.kept.insert(key.clone(), hash_of(text));
        }
        let is_new = found.kinship.as_ref() != Some(&decision.kinship) || found.is_cut;
        if is_new && decision.snapshot.is_some() {
            self.kinships.push((key.clone(), decision.kinship.clone()));
        }
    }

    /// Takes note of what somebody has to look at.
    fn concern(&mut self, key: &Key, decision: &Decision) {
        let lines = match (&decision.snapshot, &decision.text) {
            (Some(snapshot), Some(text)) => snapshot.undecided_in(text).count(),
            _ => 0,
        };
        let is_from_memory = decision.notices.contains(&Notice::FromMemory);
        self.concerns.insert(key.clone(), concerns_of(key, is_from_memory, lines));
    }
}

/// What somebody has to look at of a crontab.
pub(super) fn concerns_of(key: &Key, is_from_memory: bool, undecided_lines: usize) -> Vec<String> {
    let from_memory = || format!("{}: its recovered jobs run from memory", key.1.display());
    is_from_memory.then(from_memory).into_iter().chain(undecided(key, undecided_lines)).collect()
}

/// What is said of lines that somebody has to decide about.
fn undecided(key: &Key, lines: usize) -> Option<String> {
    let file = key.1.display();
    match lines {
        0 => None,
        1 => Some(format!("{file}: a recovered line waits, commented out, for a decision")),
        _ => Some(format!("{file}: {lines} recovered lines wait, commented out, for a decision")),
    }
}

fn what(case: Case, before: Option<&Kinship>) -> &'static str {
    match case {
        Case::Merged => "recovered: what was edited in an earlier container is merged in",
        Case::Rows => "recovered: the jobs that the Python service cached are added",
        Case::Since => "recovered: the jobs that the Python service has cached since are added",
        // It has had it before: it is no new container.
        Case::Restored if before.is_some_and(|kinship| kinship.common.is_some()) => {
            "put back as it was kept last"
        }
        Case::Restored | Case::Unchanged | Case::First | Case::Accepted | Case::Left => {
            "recovered as it was in an earlier container"
        }
    }
}

/// What the Python service has cached.
#[derive(Default)]
struct Cached {
    /// The rows that are taken.
    rows: Vec<Row>,
    /// Where each of them stands in the cache, from 1.
    numbers: Vec<usize>,
    /// Why others are not.
    refused: Vec<String>,
}

impl Cached {
    /// Has notices name rows by their places in the cache instead of those among the rows that are taken.
    fn number<'a>(&self, notices: impl Iterator<Item = &'a mut Notice>) {
        for notice in notices {
            if let Notice::Refused { row, .. } | Notice::Stranger { row, .. } = notice
                && let Some(number) = self.numbers.get(*row - 1)
            {
                *row = *number;
            }
        }
    }
}

fn rows(bytes: &[u8]) -> Result<Cached, Unreadable> {
    let mut cached = Cached::default();
    for (number, row) in (1..).zip(loads_with_text(bytes)?) {
        match row {
            Ok(row) => {
                cached.rows.push(row.0);
                cached.numbers.push(number);
            }
            Err((reason, text)) => {
                let text = shown(text);
                cached.refused.push(format!(
                    "row {number} of the cached jobs is not added: {reason}: `{text}`"
                ));
            }
        }
    }
    Ok(cached)
}

/// The rows by which the Python service would recover the first system or named crontab of a snapshot.
pub(super) fn seed_rows(ground: &Ground, snapshot: &Snapshot) -> Option<String> {
    let (path, dialect) = ground.places.iter().find_map(|spec| {
        let absolute = std::path::absolute(&spec.place.path).ok()?;
        let is_of = |path: &&String| {
            let path = Path::new(*path);
            let file = snapshot.files.get_key_value(&*path.to_string_lossy());
            (path == absolute || path.parent() == Some(&absolute))
                && file.is_some_and(|(_, file)| file.text.is_some())
        };
        let path = snapshot.files.keys().find(is_of)?;
        let dialect = spec.dialect(Path::new(path));
        (dialect.origin != Origin::Spool).then_some((path, dialect))
    })?;
    let bytes = snapshot.files.get(path)?.text.as_deref()?.to_vec();
    let source = Source { name: path.as_str().into(), bytes, dialect };
    let crontab = crontab::parse(&source);
    let rows = legacy::rows(&[(&source, &crontab)]);
    Some(dumps(rows.iter().map(|(_, row)| row)))
}

fn is_user(name: &str) -> bool {
    name == "root" || User::from_name(name).is_ok_and(|user| user.is_some())
}
