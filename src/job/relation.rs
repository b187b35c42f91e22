//! What entries say about each other: names, and `@after`.
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::build::{Candidate, line_of};
use crate::crontab::{Code, Fault, LineKind, Mistake, When};
use crate::schedule::{After, Schedule};

/// Takes names from entries that are not the first to have them, and refuses `@after` entries that lead nowhere
/// or in a circle.
///
/// Of a circle the last line is refused, and those that wait for
/// it find no job. All is judged per user.
pub(super) fn check(candidates: &mut [Candidate], faults: &mut Vec<(Arc<str>, Fault)>) {
    let by_name = drop_taken_names(candidates, faults);
    let predecessors: Vec<Option<usize>> = candidates
        .iter()
        .map(|candidate| {
            let after = after_of(candidate)?;
            by_name.get(&(candidate.entry.user.as_bytes().to_vec(), after.name.clone())).copied()
        })
        .collect();
    refuse_circles(candidates, &predecessors, faults);
    refuse_leading_nowhere(candidates, &predecessors, faults);
}

/// Who bears each user's names.
type Names = HashMap<(Vec<u8>, Arc<str>), usize>;

fn after_of<'a>(candidate: &Candidate<'a>) -> Option<&'a After> {
    match &*candidate.entry.when {
        When::Fixed(Schedule::After(after)) => Some(after),
        _ => None,
    }
}

fn drop_taken_names(candidates: &mut [Candidate], faults: &mut Vec<(Arc<str>, Fault)>) -> Names {
    let mut names = Names::new();
    for index in 0..candidates.len() {
        let candidate = &candidates[index];
        let Some(name) = candidate.entry.options.name.clone() else { continue };
        let bearer = (candidate.entry.user.as_bytes().to_vec(), name.clone());
        let Some(&first) = names.get(&bearer) else {
            names.insert(bearer, index);
            continue;
        };
        let (place, span) = name_in_directive(candidate, &name);
        let owner = &candidates[first];
        let message = format!(
            "the entry on line {} of {} is already called {name}",
            owner.entry.line, owner.source.name
        );
        let mistake = Mistake::new(Code::E035, span, message)
            .with_help("give each entry of a user a name of its own");
        faults.push(candidate.fault(place, mistake));
        candidates[index].nameless = true;
    }
    names
}

/// The line, and the bytes of the file, where a directive above an entry gives it its name.
fn name_in_directive(candidate: &Candidate, name: &str) -> (usize, Range<usize>) {
    let lines = &candidate.crontab.lines;
    let given = format!("name={name}");
    for place in (0..candidate.place).rev() {
        match lines[place].kind {
            LineKind::Directive => {
                let text = line_of(candidate.source, candidate.crontab, place);
                let found = text.windows(given.len()).position(|window| window == given.as_bytes());
                if let Some(at) = found {
                    let start = lines[place].span.start + at + "name=".len();
                    return (place, start..start + name.len());
                }
            }
            LineKind::Comment => {}
            _ => break,
        }
    }
    (candidate.place, candidate.entry.schedule_span.clone())
}

fn refuse_circles(
    candidates: &mut [Candidate],
    predecessors: &[Option<usize>],
    faults: &mut Vec<(Arc<str>, Fault)>,
) {
    // Each entry waits for one other at most: a walk that meets itself has found the only circle on its way.
    let mut walked_by = vec![usize::MAX; predecessors.len()];
    for start in 0..predecessors.len() {
        let mut at = start;
        while walked_by[at] == usize::MAX {
            walked_by[at] = start;
            let Some(next) = predecessors[at] else { break };
            at = next;
        }
        if walked_by[at] != start || predecessors[at].is_none() {
            continue;
        }
        let circle: Vec<usize> =
            std::iter::successors(Some(at), |&here| predecessors[here].filter(|&next| next != at))
                .collect();
        let Some(&closing) = circle.iter().max() else { continue };
        let candidate = &candidates[closing];
        let message = if circle.len() == 1 {
            "the entry waits for its own end".to_owned()
        } else {
            let names: Vec<&str> = circle
                .iter()
                .filter_map(|&index| candidates[index].entry.options.name.as_deref())
                .collect();
            format!("the entries {} wait for each other in a circle", names.join(", "))
        };
        let mistake = Mistake::new(Code::E036, candidate.entry.schedule_span.clone(), message)
            .with_help("give one of them a schedule of its own");
        faults.push(candidate.fault(candidate.place, mistake));
        candidates[closing].refused = true;
    }
}

fn refuse_leading_nowhere(
    candidates: &mut [Candidate],
    predecessors: &[Option<usize>],
    faults: &mut Vec<(Arc<str>, Fault)>,
) {
    let mut judged = vec![false; predecessors.len()];
    for start in 0..predecessors.len() {
        let mut path = Vec::new();
        let mut next = Some(start);
        while let Some(at) = next.filter(|&at| !judged[at]) {
            judged[at] = true;
            path.push(at);
            // What an entry already refused waits for does not matter, and might be this path's start.
            next = predecessors[at].filter(|_| !candidates[at].refused);
        }
        for index in path.into_iter().rev() {
            let candidate = &candidates[index];
            let Some(after) = after_of(candidate).filter(|_| !candidate.refused) else { continue };
            let mistake = |message: String, help: String| {
                Mistake::new(Code::E037, candidate.entry.schedule_span.clone(), message)
                    .with_help(help)
            };
            let (name, user) = (&after.name, &candidate.entry.user);
            let mistake = match predecessors[index] {
                None => mistake(
                    format!("no job of {user} is named {name:?}"),
                    format!("put \"# cronkeep: name={name}\" above the entry that is meant"),
                ),
                Some(before) if candidates[before].refused => mistake(
                    format!("the entry named {name:?} does not run"),
                    format!("mend the error on line {}", candidates[before].entry.line),
                ),
                Some(_) => continue,
            };
            faults.push(candidate.fault(candidate.place, mistake));
            candidates[index].refused = true;
        }
    }
}
