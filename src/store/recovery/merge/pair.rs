//! Which jobs of three crontabs are the same, and which of them are to be in the fourth.
//!
//! A job is its id. Most ids occur once in each crontab at most. Where one occurs more often, entries of that id are told
//! apart by their lines; equal lines are counted. What stands above equal lines is merged only if it is the same for all of
//! them in each crontab, and their number too; else it stays as the file has it.

use std::collections::{HashMap, HashSet, VecDeque};

use super::table::{Job, Surroundings, Table};
use super::warning::{Warning, Warnings};
use crate::job::JobId;

/// What becomes of a job of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays: the snapshot does not know it.
    Own,
    /// It stays, and the snapshot has it too, and the ancestor perhaps: places among their jobs.
    Shared(usize, Option<usize>),
    /// The ancestor has it, and the snapshot does not have it any more.
    Removed,
}

/// What becomes of all jobs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pairs {
    /// Of each job of the file.
    pub(super) fates: Vec<Fate>,
    /// The jobs of the snapshot that are added, in its order.
    pub(super) added: Vec<usize>,
}

/// The three crontabs of a merge.
pub(super) struct Three<'a> {
    pub(super) file: &'a Table,
    pub(super) stored: &'a Table,
    pub(super) ancestor: &'a Table,
}

/// Places among the jobs of the file, the snapshot and the ancestor.
#[derive(Debug, Default)]
struct Group {
    file: Vec<usize>,
    stored: Vec<usize>,
    ancestor: Vec<usize>,
}

impl Group {
    fn is_single(&self) -> bool {
        self.file.len() <= 1 && self.stored.len() <= 1 && self.ancestor.len() <= 1
    }
}

/// Sorts places of jobs into groups by what `key` says of them; groups stand in the order of their first job.
fn groups<'a, K: std::hash::Hash + Eq>(
    three: &Three<'a>,
    places: &Group,
    key: impl Fn(&'a Table, &'a Job) -> K,
) -> Vec<Group> {
    let mut known: HashMap<K, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (table, places, list) in [
        (three.file, &places.file, (|group| &mut group.file) as fn(&mut Group) -> &mut Vec<usize>),
        (three.stored, &places.stored, |group| &mut group.stored),
        (three.ancestor, &places.ancestor, |group| &mut group.ancestor),
    ] {
        for &place in places {
            let at = *known.entry(key(table, &table.jobs[place])).or_insert(groups.len());
            if at == groups.len() {
                groups.push(Group::default());
            }
            list(&mut groups[at]).push(place);
        }
    }
    groups
}

/// Decides what becomes of each job.
pub(super) fn pair(three: &Three<'_>, warnings: &mut Warnings) -> Pairs {
    let all = Group {
        file: (0..three.file.jobs.len()).collect(),
        stored: (0..three.stored.jobs.len()).collect(),
        ancestor: (0..three.ancestor.jobs.len()).collect(),
    };
    let mut pairs = Pairs { fates: vec![Fate::Own; three.file.jobs.len()], added: Vec::new() };
    for group in groups(three, &all, |_, job| job.id) {
        if group.is_single() {
            single(three, &group, &mut pairs, warnings);
            continue;
        }
        if let Some((edited, left)) = edited_alike(three, &group) {
            let ancestor = group.ancestor.first().copied();
            pairs.fates[edited] = Fate::Shared(group.stored[0], ancestor);
            pairs.fates[left] = Fate::Removed;
            continue;
        }
        for equal in groups(three, &group, |table, job| table.text(job.place).trim_ascii()) {
            several(three, &equal, &mut pairs, warnings);
        }
    }
    pairs.added.sort_unstable();
    pairs
}

/// The job of the file that the snapshot has in the place of the ancestor's, where the file has both: the new line, and beside
/// it the one of the ancestor. Once that is gone nothing tells this from an edit of both sides, so it is merged as one.
fn edited_alike(three: &Three<'_>, group: &Group) -> Option<(usize, usize)> {
    let (&[one, other], &[stored], &[ancestor]) = (&*group.file, &*group.stored, &*group.ancestor)
    else {
        return None;
    };
    let line =
        |table: &'_ Table, place: usize| table.text(table.jobs[place].place).trim_ascii().to_vec();
    let wanted = (line(three.stored, stored), line(three.ancestor, ancestor));
    let is = |new, old| (line(three.file, new), line(three.file, old)) == wanted;
    match (wanted.0 != wanted.1, is(one, other), is(other, one)) {
        (true, true, _) => Some((one, other)),
        (true, _, true) => Some((other, one)),
        _ => None,
    }
}

/// A job that each crontab has once at most.
fn single(three: &Three<'_>, group: &Group, pairs: &mut Pairs, warnings: &mut Warnings) {
    let first = |list: &Vec<usize>| list.first().copied();
    match (first(&group.file), first(&group.stored), first(&group.ancestor)) {
        (Some(file), Some(stored), None) if is_another(three, file, stored) => {
            pairs.added.push(stored);
        }
        (Some(file), Some(stored), ancestor) => {
            pairs.fates[file] = Fate::Shared(stored, ancestor);
        }
        (Some(file), None, Some(ancestor)) => {
            let now = &three.file.jobs[file];
            let line = |table: &Table, job: &Job| table.text(job.place).trim_ascii().to_vec();
            if line(three.file, now) == line(three.ancestor, &three.ancestor.jobs[ancestor]) {
                pairs.fates[file] = Fate::Removed;
            } else {
                warnings.push(Warning::Kept { job: now.id, file: shown(three.file, now) });
            }
        }
        (None, Some(stored), None) => pairs.added.push(stored),
        (None, Some(stored), Some(ancestor)) => {
            let (now, then) = (&three.stored.jobs[stored], &three.ancestor.jobs[ancestor]);
            let changed = three.stored.text(now.place) != three.ancestor.text(then.place)
                || three.stored.directives(now) != three.ancestor.directives(then);
            if changed {
                warnings.push(Warning::Gone { job: now.id, stored: shown(three.stored, now) });
            }
        }
        (Some(_), None, None) | (None, None, _) => {}
    }
}

/// Whether two new entries only share the id: they are due at other times.
fn is_another(three: &Three<'_>, file: usize, stored: usize) -> bool {
    let file = three.file.when(&three.file.jobs[file]);
    let stored = three.stored.when(&three.stored.jobs[stored]);
    file.zip(stored).is_some_and(|(file, stored)| file != stored)
}

/// Equal lines, of which one crontab at least has several with that id.
fn several(three: &Three<'_>, group: &Group, pairs: &mut Pairs, warnings: &mut Warnings) {
    let (file, stored, ancestor) = (group.file.len(), group.stored.len(), group.ancestor.len());
    let wanted = match (file.cmp(&ancestor), stored.cmp(&ancestor)) {
        (std::cmp::Ordering::Less, std::cmp::Ordering::Greater)
        | (std::cmp::Ordering::Greater, std::cmp::Ordering::Less) => {
            let (job, line) = group.file.first().map_or_else(
                || (&three.stored.jobs[group.stored[0]], three.stored),
                |&first| (&three.file.jobs[first], three.file),
            );
            let line = shown(line, job);
            warnings.push(Warning::Copies { job: job.id, line, file, stored });
            file
        }
        (_, std::cmp::Ordering::Equal) => file,
        (_, std::cmp::Ordering::Greater) => file.max(stored),
        (_, std::cmp::Ordering::Less) => file.min(stored),
    };
    // Where what stands above them differs, nothing tells which of them is which.
    let all = [
        (three.file, &group.file),
        (three.stored, &group.stored),
        (three.ancestor, &group.ancestor),
    ];
    let same = file == stored && stored == ancestor && all.into_iter().all(is_uniform);
    let alike = aligned(all[0], all[1]);
    let before: HashSet<_> = surroundings(all[2]).collect();
    let mut unpaired = file.saturating_sub(wanted);
    for (at, &place) in group.file.iter().enumerate().rev() {
        pairs.fates[place] = match alike.get(&place) {
            Some(&stored) if same => Fate::Shared(stored, group.ancestor.get(at).copied()),
            Some(&stored) => {
                let job = &three.stored.jobs[stored];
                let changed = !before.contains(&three.stored.surroundings(job));
                if changed { Fate::Shared(stored, None) } else { Fate::Own }
            }
            None if unpaired > 0 => {
                unpaired -= 1;
                Fate::Removed
            }
            None => Fate::Own,
        };
    }
    let known: HashSet<usize> = alike.into_values().collect();
    let new = group.stored.iter().filter(|place| !known.contains(place));
    pairs.added.extend(new.take(wanted.saturating_sub(file)));
}

/// Some jobs of a table.
type Places<'a> = (&'a Table, &'a Vec<usize>);

fn surroundings((table, places): Places<'_>) -> impl Iterator<Item = Surroundings<'_>> {
    places.iter().map(|&place| table.surroundings(&table.jobs[place]))
}

/// Whether the same stands above each of them.
fn is_uniform(places: Places<'_>) -> bool {
    let mut all = surroundings(places);
    let first = all.next();
    all.all(|other| Some(other) == first)
}

/// Pairs equal lines of two tables: first those above which the same stands, then the others in their order.
fn aligned(one: Places<'_>, other: Places<'_>) -> HashMap<usize, usize> {
    let mut alike: HashMap<_, VecDeque<usize>> = HashMap::new();
    for (&place, above) in other.1.iter().zip(surroundings(other)) {
        alike.entry(above).or_default().push_back(place);
    }
    let mut pairs = HashMap::new();
    for (&place, above) in one.1.iter().zip(surroundings(one)) {
        if let Some(found) = alike.get_mut(&above).and_then(VecDeque::pop_front) {
            pairs.insert(place, found);
        }
    }
    let taken: HashSet<usize> = pairs.values().copied().collect();
    let mut left = other.1.iter().filter(|place| !taken.contains(place));
    for &place in one.1 {
        if pairs.contains_key(&place) {
            continue;
        }
        let Some(&next) = left.next() else { break };
        pairs.insert(place, next);
    }
    pairs
}

/// A job's line as a warning shows it.
pub(super) fn shown(table: &Table, job: &Job) -> String {
    super::warning::shown(table.text(job.place))
}

/// How often each id occurs that is to be in the result, and how often as an entry that can be read.
pub(in crate::store::recovery) type Census = HashMap<JobId, (usize, usize)>;

/// Counts jobs.
pub(in crate::store::recovery) fn census(jobs: impl IntoIterator<Item = (JobId, bool)>) -> Census {
    let mut census = Census::new();
    for (id, is_entry) in jobs {
        let (all, entries) = census.entry(id).or_default();
        *all += 1;
        *entries += usize::from(is_entry);
    }
    census
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::Dialect;

    /// The lines that result, by name: `x` is a job, `x2` the same id with other input, `y` another job.
    fn outcome(file: &str, stored: &str, ancestor: &str) -> (String, usize) {
        let line = |name: &str| match name.split_at(1) {
            (job, "") => format!("0 2 * * * root {job}\n"),
            (job, input) => format!("0 2 * * * root {job}%{input}\n"),
        };
        let table = |names: &str| {
            let text: String = names.split_whitespace().map(line).collect();
            Table::of(text.as_bytes(), &Dialect::system())
        };
        let (file, stored, ancestor) = (table(file), table(stored), table(ancestor));
        let three = Three { file: &file, stored: &stored, ancestor: &ancestor };
        let mut warnings = Warnings::default();
        let pairs = pair(&three, &mut warnings);
        let name = |table: &Table, at: usize| {
            let text = String::from_utf8_lossy(table.text(table.jobs[at].place)).replace('%', "");
            text.rsplit(' ').next().unwrap_or_default().to_owned()
        };
        let mut names: Vec<String> = (0..file.jobs.len())
            .filter(|&at| pairs.fates[at] != Fate::Removed)
            .map(|at| match pairs.fates[at] {
                Fate::Shared(other, _) if name(&stored, other) != name(&file, at) => {
                    format!("{}~{}", name(&file, at), name(&stored, other))
                }
                _ => name(&file, at),
            })
            .collect();
        names.extend(pairs.added.iter().map(|&at| format!("+{}", name(&stored, at))));
        (names.join(" "), warnings.list.len())
    }

    #[test]
    fn jobs_that_one_side_added_or_removed_are_in_or_out() {
        for (file, stored, ancestor, result, warned) in [
            ("x y", "x z", "x", "x y +z", 0),
            ("x y", "x", "x y", "x", 0),
            ("x", "x y", "x y", "x", 0),
            ("x y", "x y", "x", "x y", 0),
            ("", "x", "", "+x", 0),
            ("", "x2", "x", "", 1),
            ("x2", "", "x", "x2", 1),
            ("x2", "x3", "x", "x2~x3", 0),
        ] {
            assert_eq!(
                outcome(file, stored, ancestor),
                (result.to_owned(), warned),
                "{file} | {stored} | {ancestor}"
            );
        }
    }

    #[test]
    fn equal_lines_are_counted() {
        for (file, stored, ancestor, result, warned) in [
            ("x", "x x", "x", "x +x", 0),
            ("x x", "x", "x x", "x", 0),
            ("x x", "x x", "x", "x x", 0),
            ("x x x", "x x", "x", "x x x", 0),
            ("", "x", "x x", "", 0),
            // One side takes away, the other adds: the file holds, and that is told.
            ("", "x x", "x", "", 1),
            ("x x", "", "x", "x x", 1),
        ] {
            assert_eq!(
                outcome(file, stored, ancestor),
                (result.to_owned(), warned),
                "{file} | {stored} | {ancestor}"
            );
        }
    }

    #[test]
    fn lines_that_share_an_id_are_told_apart_where_there_are_several() {
        for (file, stored, ancestor, result) in [
            ("", "x x2", "x", "+x2"),
            ("x2", "x x2", "x", "x2"),
            ("x x2", "x2", "x", "x2"),
            ("x x2", "", "x", "x2"),
            ("x2", "", "x", "x2"),
            ("x x2", "x x3", "x x2", "x +x3"),
        ] {
            assert_eq!(outcome(file, stored, ancestor).0, result, "{file} | {stored} | {ancestor}");
        }
    }

    #[test]
    fn two_new_schedules_with_one_id_are_two_jobs() {
        let of = |text: &str| Table::of(text.as_bytes(), &Dialect::system());
        let (file, stored, ancestor) =
            (of("1,2 3 * * * root x\n"), of("1 2,3 * * * root x\n"), of(""));
        assert_eq!(file.jobs[0].id, stored.jobs[0].id);
        let three = Three { file: &file, stored: &stored, ancestor: &ancestor };
        let pairs = pair(&three, &mut Warnings::default());
        assert_eq!(pairs, Pairs { fates: vec![Fate::Own], added: vec![0] });
    }
}
