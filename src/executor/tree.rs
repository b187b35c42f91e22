//! Finding every process of a run, however far it has gone from it.
//!
//! A process belongs to a run if it is in the session that the run's main process began, if its parent belongs to the run, or
//! if it was started with the run's `CRONKEEP_RUN_ID`: the last finds those that forked twice and began a session of their own.
//! Only a process that did both and has emptied its environment, while nobody looked, gets away.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::event::RunId;
use crate::unix::process::{self, Member};
use crate::unix::{Pid, Signal};

/// The variable that tells to which run a process belongs.
pub(super) const VARIABLE: &str = "CRONKEEP_RUN_ID";

/// What is known of one run's processes.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    run: String,
    /// The main process, which began the run's session.
    main: Pid,
    /// Whether the main process is waited for: until then its number is nobody else's.
    main_is_ours: bool,
    /// Those found last, by pid, with their start.
    members: HashMap<Pid, Member>,
}

impl Tree {
    /// The tree of a run whose main process has not been reaped.
    #[must_use]
    pub(super) fn new(run: RunId, main: Pid) -> Self {
        Tree { run: run.to_string(), main, main_is_ours: true, members: HashMap::new() }
    }

    /// The main process was reaped: its number may come to be another's.
    pub(super) fn lose_main(&mut self) {
        self.main_is_ours = false;
    }

    /// Whether nothing was found when it was last looked.
    #[must_use]
    pub(super) fn is_gone(&self) -> bool {
        !self.main_is_ours && self.members.is_empty()
    }

    /// How many processes were found last.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Signals each process that was found last: by groups where the whole group is the run's, so that none escapes by
    /// forking.
    pub(super) fn signal(&self, signal: Signal) {
        let mut groups = BTreeSet::new();
        // Without /proc nothing is found, but the main process still leads its group.
        if self.main_is_ours {
            groups.insert(self.main);
        }
        for member in self.members.values() {
            if member.session == self.main || self.members.contains_key(&member.group) {
                groups.insert(member.group);
            } else {
                process::signal(member.pid, signal);
            }
        }
        for group in groups {
            process::signal_group(group, signal);
        }
    }
}

/// Looks for the processes of many runs in one pass.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// Processes whose environment was read, and whose run it named. Cleared when nothing is looked for any more.
    read: HashMap<(Pid, u64), Option<String>>,
}

impl Census {
    /// Brings `trees` up to date.
    pub(super) fn look<'a>(&mut self, trees: impl IntoIterator<Item = &'a mut Tree>) {
        let mut trees: Vec<&mut Tree> = trees.into_iter().collect();
        if trees.is_empty() {
            return;
        }
        let all = process::all();
        let alive: HashSet<_> = all.iter().map(|member| (member.pid, member.since)).collect();
        self.read.retain(|known, _| alive.contains(known));
        let owners = owners(&trees, &all, |member| {
            let read = self.read.entry((member.pid, member.since));
            read.or_insert_with(|| {
                let value = process::variable(member.pid, VARIABLE)?;
                String::from_utf8(value).ok()
            })
            .clone()
        });
        for tree in &mut trees {
            tree.members.clear();
        }
        for member in all {
            if let Some(&owner) = owners.get(&member.pid) {
                trees[owner].members.insert(member.pid, member);
            }
        }
    }

    /// Forgets what was read.
    pub(super) fn forget(&mut self) {
        self.read = HashMap::new();
    }
}

/// Which of `trees`, by place, each process belongs to.
fn owners(
    trees: &[&mut Tree],
    all: &[Member],
    mut run_of: impl FnMut(&Member) -> Option<String>,
) -> HashMap<Pid, usize> {
    let mut sessions = HashMap::new();
    let mut runs = HashMap::new();
    let mut known = HashMap::new();
    // A session's number stays taken as long as one of its processes lives.
    let mut kept = HashSet::new();
    for (place, tree) in trees.iter().enumerate() {
        sessions.insert(tree.main, place);
        runs.insert(tree.run.as_str(), place);
        known.extend(tree.members.values().map(|member| ((member.pid, member.since), place)));
        if tree.main_is_ours {
            kept.insert(place);
        }
    }
    let mut owners = HashMap::new();
    for member in all {
        if let Some(&place) = known.get(&(member.pid, member.since)) {
            owners.insert(member.pid, place);
            if member.session == trees[place].main {
                kept.insert(place);
            }
        }
    }
    let ourselves = Pid::this();
    for member in all.iter().filter(|member| member.pid != ourselves && member.pid.as_raw() != 1) {
        if owners.contains_key(&member.pid) {
            continue;
        }
        let by_session = sessions.get(&member.session).filter(|place| kept.contains(*place));
        let place = by_session
            .copied()
            .or_else(|| run_of(member).and_then(|run| runs.get(run.as_str()).copied()));
        if let Some(place) = place {
            owners.insert(member.pid, place);
        }
    }
    // A child may stand before its parent.
    loop {
        let found: Vec<(Pid, usize)> = all
            .iter()
            .filter(|member| !owners.contains_key(&member.pid) && member.pid != ourselves)
            .filter_map(|member| Some((member.pid, *owners.get(&member.parent)?)))
            .collect();
        if found.is_empty() {
            return owners;
        }
        owners.extend(found);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn run(number: u128) -> RunId {
        RunId::new(Timestamp::UNIX_EPOCH, number)
    }

    fn tree(number: u128, main: i32) -> Tree {
        Tree::new(run(number), Pid::from_raw(main))
    }

    /// A process: pid, parent, session; its group is its session, its start its pid.
    fn member(pid: i32, parent: i32, session: i32) -> Member {
        let [pid, parent, session] = [pid, parent, session].map(Pid::from_raw);
        let since = u64::try_from(pid.as_raw()).unwrap();
        Member { session, group: session, pid, parent, since }
    }

    fn owned(trees: &mut [Tree], all: &[Member], run_of: &[(i32, u128)]) -> Vec<(i32, usize)> {
        let trees: Vec<&mut Tree> = trees.iter_mut().collect();
        let found = owners(&trees, all, |member| {
            let named = run_of.iter().find(|(pid, _)| *pid == member.pid.as_raw());
            named.map(|(_, number)| run(*number).to_string())
        });
        let mut found: Vec<_> = found.into_iter().map(|(pid, at)| (pid.as_raw(), at)).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn session_parent_and_variable_each_find_a_process() {
        let mut trees = [tree(1, 100), tree(2, 200)];
        let all = [
            member(104, 103, 900),
            member(100, 50, 100),
            member(101, 1, 100),
            member(102, 100, 102),
            member(103, 102, 103),
            member(200, 50, 200),
            member(300, 1, 300),
            member(400, 1, 400),
        ];
        let expected = [(100, 0), (101, 0), (102, 0), (103, 0), (104, 0), (200, 1), (300, 1)];
        assert_eq!(owned(&mut trees, &all, &[(300, 2), (400, 7)]), expected);
    }

    #[test]
    fn a_session_whose_number_was_given_to_another_is_not_the_runs() {
        let mut lost = tree(1, 100);
        lost.lose_main();
        let stranger = member(100, 1, 100);
        assert!(owned(&mut [lost.clone()], &[stranger], &[]).is_empty());
        // As long as one that was known lives, it is the same session.
        let mut kept = lost;
        let child = member(101, 1, 100);
        kept.members.insert(child.pid, child);
        let newer = member(102, 1, 100);
        assert_eq!(owned(&mut [kept.clone()], &[child, newer], &[]), [(101, 0), (102, 0)]);
        let reused = Member { since: 9_999, ..child };
        assert!(owned(&mut [kept], &[reused, newer], &[]).is_empty());
    }

    #[test]
    fn neither_we_nor_init_belong_to_a_run() {
        let ours = Pid::this().as_raw();
        let mut trees = [tree(1, 100)];
        let all = [member(1, 0, 1), member(ours, 100, ours)];
        assert!(owned(&mut trees, &all, &[(1, 1), (ours, 1)]).is_empty());
    }
}
