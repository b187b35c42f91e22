//! Any two histories of edits from any crontab: the merge against a count by hand, and its laws.
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::crontab::{Crontab, Entry, LineKind, Source, Text, parse};
use crate::job::JobId;
use crate::store::recovery::Content;

/// A line of a crontab as somebody thinks of it.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Blank,
    Remark(u8),
    Setting(u8, u8),
    Broken(u8),
    Job(Model),
}

#[derive(Debug, Clone, PartialEq)]
struct Model {
    command: u8,
    input: Option<u8>,
    timeout: Option<u8>,
    description: Option<u8>,
    is_comment: bool,
}

#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, Piece),
    Remove(Index),
    Move(Index, Index),
    Copy(Index, Index),
    Command(Index, u8),
    Input(Index, Option<u8>),
    Timeout(Index, Option<u8>),
    Description(Index, Option<u8>),
    CommentOut(Index),
    Value(Index, u8),
}

fn model() -> impl Strategy<Value = Model> {
    let some = |most: u8| proptest::option::weighted(0.3, 0..most);
    (0..9u8, some(3), some(3), some(4), proptest::bool::weighted(0.1)).prop_map(
        |(command, input, timeout, description, is_comment)| Model {
            command,
            input,
            timeout,
            description,
            is_comment,
        },
    )
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        1 => Just(Piece::Blank),
        1 => (0..3u8).prop_map(Piece::Remark),
        2 => (0..6u8, 0..4u8).prop_map(|(name, value)| Piece::Setting(name, value)),
        1 => (0..3u8).prop_map(Piece::Broken),
        6 => model().prop_map(Piece::Job),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let some = |most: u8| proptest::option::of(0..most);
    prop_oneof![
        3 => (at(), piece()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        3 => at().prop_map(Edit::Remove),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Move(from, to)),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Copy(from, to)),
        1 => (at(), 0..9u8).prop_map(|(at, command)| Edit::Command(at, command)),
        1 => (at(), some(3)).prop_map(|(at, input)| Edit::Input(at, input)),
        1 => (at(), some(3)).prop_map(|(at, timeout)| Edit::Timeout(at, timeout)),
        1 => (at(), some(4)).prop_map(|(at, text)| Edit::Description(at, text)),
        1 => at().prop_map(Edit::CommentOut),
        2 => (at(), 0..4u8).prop_map(|(at, value)| Edit::Value(at, value)),
    ]
}

fn apply(pieces: &[Piece], edits: &[Edit]) -> Vec<Piece> {
    let mut pieces = pieces.to_vec();
    for edit in edits {
        let job = |pieces: &mut Vec<Piece>, at: &Index, change: &dyn Fn(&mut Model)| {
            let mut jobs: Vec<&mut Model> = pieces
                .iter_mut()
                .filter_map(|piece| match piece {
                    Piece::Job(model) => Some(model),
                    _ => None,
                })
                .collect();
            if !jobs.is_empty() {
                let at = at.index(jobs.len());
                change(jobs[at]);
            }
        };
        match edit {
            Edit::Insert(at, piece) => pieces.insert(at.index(pieces.len() + 1), piece.clone()),
            Edit::Remove(at) if !pieces.is_empty() => drop(pieces.remove(at.index(pieces.len()))),
            Edit::Move(from, to) if !pieces.is_empty() => {
                let piece = pieces.remove(from.index(pieces.len()));
                pieces.insert(to.index(pieces.len() + 1), piece);
            }
            Edit::Copy(from, to) if !pieces.is_empty() => {
                let piece = pieces[from.index(pieces.len())].clone();
                pieces.insert(to.index(pieces.len() + 1), piece);
            }
            Edit::Command(at, command) => job(&mut pieces, at, &|job| job.command = *command),
            Edit::Input(at, input) => job(&mut pieces, at, &|job| job.input = *input),
            Edit::Timeout(at, timeout) => job(&mut pieces, at, &|job| job.timeout = *timeout),
            Edit::Description(at, text) => job(&mut pieces, at, &|job| job.description = *text),
            Edit::CommentOut(at) => job(&mut pieces, at, &|job| job.is_comment = true),
            Edit::Value(at, value) => {
                let mut settings: Vec<&mut u8> = pieces
                    .iter_mut()
                    .filter_map(|piece| match piece {
                        Piece::Setting(_, value) => Some(value),
                        _ => None,
                    })
                    .collect();
                if !settings.is_empty() {
                    let at = at.index(settings.len());
                    *settings[at] = *value;
                }
            }
            Edit::Remove(_) | Edit::Move(..) | Edit::Copy(..) => {}
        }
    }
    pieces
}

const NAMES: [&str; 6] = ["A", "B", "PATH", "MAILTO", "SHELL", "CRON_TZ"];

fn text(pieces: &[Piece], ending: &str, is_ended: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Blank => lines.push(String::new()),
            Piece::Remark(what) => lines.push(format!("# Remark {what}")),
            Piece::Setting(5, value) => {
                let zone = ["", "UTC", "Asia/Tokyo", "Mars/X"][usize::from(*value)];
                lines.push(format!("CRON_TZ={zone}"));
            }
            Piece::Setting(name, value) => {
                let name = NAMES[usize::from(*name)];
                let value =
                    ["", "one", "' two '", "3=#%", stand_in(name, "app")][usize::from(*value)];
                lines.push(format!("{name}={value}"));
            }
            Piece::Broken(what) => lines.push(format!("61 * * * * root broken {what}")),
            Piece::Job(job) => {
                lines.extend(job.description.map(|what| format!("#  About {what} ")));
                let (mark, sign) = if job.is_comment { ("#", "# ") } else { ("", "") };
                lines.extend(
                    job.timeout
                        .map(|minutes| format!("{mark}# cronkeep: timeout={}m", minutes + 1)),
                );
                let input = job.input.map_or_else(String::new, |input| format!("%in{input}"));
                let (minute, user) =
                    (job.command % 2, ["root", "app", "web"][usize::from(job.command % 3)]);
                let command = job.command;
                lines.push(format!("{sign}{minute} 1 * * * {user} run {command}{input}"));
            }
        }
    }
    let mut text = lines.join(ending);
    if is_ended && !text.is_empty() {
        text.push_str(ending);
    }
    text.into_bytes()
}

/// Two histories, and where they began, of a few jobs below settings that often have what comes nearest to none.
fn bare_histories() -> impl Strategy<Value = [Content; 3]> {
    let setting = || {
        let value = prop_oneof![Just(0_u8), Just(1), Just(2), Just(4)];
        (prop_oneof![Just(0_u8), Just(1), Just(3), Just(4)], value)
            .prop_map(|(name, value)| Piece::Setting(name, value))
    };
    let job = || {
        (0..4u8).prop_map(|command| {
            Piece::Job(Model {
                command: 1 + 3 * command,
                input: None,
                timeout: None,
                description: None,
                is_comment: false,
            })
        })
    };
    let piece = move || prop_oneof![setting(), job()];
    let at = any::<Index>;
    let edit = move || {
        prop_oneof![
            3 => (at(), piece()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
            3 => at().prop_map(Edit::Remove),
            1 => (at(), at()).prop_map(|(from, to)| Edit::Move(from, to)),
            3 => (at(), prop_oneof![Just(0_u8), Just(1), Just(4)])
                .prop_map(|(at, value)| Edit::Value(at, value)),
        ]
    };
    let edits = move || proptest::collection::vec(edit(), 0..4);
    let rest = proptest::collection::vec(piece(), 0..5);
    let first = (prop_oneof![Just(0_u8), Just(1), Just(3), Just(4)], job());
    (first, rest, edits(), edits()).prop_map(|((name, job), rest, ours, theirs)| {
        // The file lacks what the ancestor has as none, and the snapshot has another.
        let above = |value: Option<u8>, edits: &[Edit]| {
            let first = value.map(|value| Piece::Setting(name, value));
            let base: Vec<Piece> =
                first.into_iter().chain([job.clone()]).chain(rest.clone()).collect();
            Content::from(text(&apply(&base, edits), "\n", true))
        };
        [above(None, &ours), above(Some(1), &theirs), above(Some(4), &[])]
    })
}

/// What a job of a user has for want of none.
fn stand_in<'a>(name: &str, user: &'a str) -> &'a str {
    match name {
        "MAILTO" => user,
        "SHELL" => "/bin/sh",
        _ => "",
    }
}

/// Three crontabs: two histories, and where they began.
fn histories() -> impl Strategy<Value = [Content; 3]> {
    (
        proptest::collection::vec(piece(), 0..10),
        proptest::collection::vec(edit(), 0..6),
        proptest::collection::vec(edit(), 0..6),
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.8),
    )
        .prop_map(|(base, ours, theirs, returns, is_ended)| {
            let ending = if returns { "\r\n" } else { "\n" };
            [
                Content::from(text(&apply(&base, &ours), ending, is_ended)),
                Content::from(text(&apply(&base, &theirs), "\n", true)),
                Content::from(text(&base, "\n", true)),
            ]
        })
}

/// What an entry is by itself and by what stands above it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    line: String,
    description: Option<Text>,
    timeout: Option<std::time::Duration>,
    settings: BTreeMap<String, String>,
    zone: bool,
}

fn read(bytes: &[u8]) -> Crontab {
    let dialect = Dialect::system();
    parse(&Source { name: "-".into(), bytes: bytes.to_vec(), dialect })
}

/// The entries, by id.
fn seen(bytes: &[u8]) -> BTreeMap<JobId, Vec<Seen>> {
    let dialect = Dialect::system();
    let crontab = read(bytes);
    let mut all: BTreeMap<JobId, Vec<Seen>> = BTreeMap::new();
    for line in &crontab.lines {
        let LineKind::Entry(entry) = &line.kind else { continue };
        let text = &bytes[line.span.clone()];
        let id = JobId::of_entry(text, entry, &dialect);
        all.entry(id).or_default().push(Seen::of(text, entry));
    }
    all
}

impl Seen {
    fn of(line: &[u8], entry: &Entry) -> Self {
        let settings = entry.settings.0.iter();
        let settings = settings
            .map(|setting| (setting.name.to_string(), setting.value.to_string()))
            .filter(|(name, value)| name != "CRON_TZ" || !value.is_empty());
        Seen {
            line: String::from_utf8_lossy(line).into_owned(),
            description: entry.description.clone(),
            timeout: entry.options.timeout,
            settings: settings.collect(),
            zone: entry.zone.is_some(),
        }
    }

    /// Whether this is `wanted` as nearly as a crontab can say it.
    fn is(&self, wanted: &Seen, may_lack: bool, instead: &BTreeMap<&str, String>) -> bool {
        let user = self.line.split(' ').nth(5).unwrap_or_default();
        let settings =
            NAMES.iter().all(|name| match (self.settings.get(*name), wanted.settings.get(*name)) {
                (have, want) if have == want => true,
                (Some(have), None) if instead.get(name) == Some(have) => true,
                (Some(_), None) if *name == "PATH" => may_lack,
                (Some(have), None) if *name == "MAILTO" => may_lack && have == user,
                (Some(have), None) if *name == "SHELL" => may_lack && have == "/bin/sh",
                (Some(have), None) => may_lack && have.is_empty(),
                _ => false,
            });
        settings
            && self.zone == wanted.zone
            && (&self.line, &self.description, &self.timeout)
                == (&wanted.line, &wanted.description, &wanted.timeout)
    }
}

fn chosen<T: PartialEq + Clone>(file: &T, stored: &T, ancestor: &T) -> T {
    if file == ancestor { stored.clone() } else { file.clone() }
}

/// A job that all three have, part by part.
fn three_way(file: &Seen, stored: &Seen, ancestor: &Seen) -> Seen {
    let mut settings = BTreeMap::new();
    for name in NAMES {
        let values = [file, stored, ancestor].map(|seen| seen.settings.get(name).cloned());
        let [of_file, of_stored, of_ancestor] = &values;
        let stays = name == "PATH" && of_stored.is_none();
        let of_stored = if stays { of_ancestor } else { of_stored };
        if let Some(value) = chosen(of_file, of_stored, of_ancestor) {
            settings.insert(name.to_owned(), value);
        }
    }
    Seen {
        line: chosen(&file.line, &stored.line, &ancestor.line),
        description: chosen(&file.description, &stored.description, &ancestor.description),
        timeout: chosen(&file.timeout, &stored.timeout, &ancestor.timeout),
        zone: settings.contains_key("CRON_TZ"),
        settings,
    }
}

/// What a job may have of the snapshot though it has none in the file: what both sides changed from as good as none.
fn instead(three: [&[Seen]; 3]) -> BTreeMap<&'static str, String> {
    let [[file], [stored], [ancestor]] = three else { return BTreeMap::new() };
    let user = file.line.split(' ').nth(5).unwrap_or_default();
    let names = NAMES.into_iter().filter(|name| {
        !file.settings.contains_key(*name)
            && ancestor.settings.get(*name).is_some_and(|value| value == stand_in(name, user))
    });
    names.filter_map(|name| Some((name, stored.settings.get(name)?.clone()))).collect()
}

/// How many of some equal lines there are to be.
fn count(file: usize, stored: usize, ancestor: usize) -> usize {
    match (file.cmp(&ancestor) as i8, stored.cmp(&ancestor) as i8) {
        (-1, 1) | (1, -1) | (_, 0) => file,
        (_, 1) => file.max(stored),
        _ => file.min(stored),
    }
}

/// The entries that are to be in the result: each with whether something may be empty in it that was not there.
fn wanted(three: [&[Seen]; 3]) -> Vec<(Seen, bool)> {
    match three {
        [[file], [stored], [ancestor]] => vec![(three_way(file, stored, ancestor), true)],
        [[file], [], [ancestor]] if file.line == ancestor.line => vec![],
        [[file], [] | [_], [] | [_]] => vec![(file.clone(), false)],
        [[], [stored], []] => vec![(stored.clone(), true)],
        [[], [] | [_], [] | [_]] => vec![],
        _ => unreachable!("others are counted"),
    }
}

fn check(result: &[u8], texts: &[Content; 3]) -> Result<(), TestCaseError> {
    let all = texts.each_ref().map(|text| seen(&text.0));
    let mut result = seen(result);
    let mut ids: Vec<JobId> = all.iter().flat_map(|seen| seen.keys().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let three = all.each_ref().map(|seen| seen.get(&id).map_or(&[][..], Vec::as_slice));
        let found = result.remove(&id).unwrap_or_default();
        if three.iter().all(|entries| entries.len() <= 1) {
            let wanted = wanted(three);
            prop_assert_eq!(found.len(), wanted.len(), "{:?} of {:?}", found, wanted);
            for (found, (wanted, may_lack)) in found.iter().zip(&wanted) {
                let instead = instead(three);
                prop_assert!(
                    found.is(wanted, *may_lack, &instead),
                    "{:?} is not {:?}",
                    found,
                    wanted
                );
            }
            continue;
        }
        let mut lines: Vec<&str> =
            three.iter().flat_map(|entries| entries.iter().map(|e| e.line.as_str())).collect();
        lines.sort_unstable();
        lines.dedup();
        let times = |entries: &[Seen], line| entries.iter().filter(|e| e.line == line).count();
        let mut total = 0;
        for line in lines {
            let [file, stored, ancestor] = three.map(|entries| times(entries, line));
            let wanted = count(file, stored, ancestor);
            prop_assert_eq!(times(&found, line), wanted, "{}", line);
            total += wanted;
        }
        prop_assert_eq!(found.len(), total);
    }
    prop_assert!(result.is_empty(), "from nowhere: {:?}", result);
    Ok(())
}

/// The remarks of the file are in the result, in their order.
fn keeps_remarks(file: &[u8], result: &[u8]) -> bool {
    let lines = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().map(str::to_owned).collect()
    };
    let (before, after) = (lines(file), lines(result));
    let mut after = after.iter();
    before.iter().filter(|line| line.starts_with("# Remark")).all(|line| after.any(|o| o == line))
}

fn merges(texts: &[Content; 3]) -> Result<(), TestCaseError> {
    let dialect = Dialect::system();
    let [file, stored, ancestor] = texts.each_ref().map(|text| &text.0);
    let result = merge_jobs(file, stored, ancestor, &dialect);
    check(&result.text, texts)?;
    let again = merge_jobs(&result.text, stored, ancestor, &dialect);
    prop_assert_eq!(
        String::from_utf8_lossy(&again.text),
        String::from_utf8_lossy(&result.text),
        "merged again"
    );
    // What was merged is the snapshot now; nothing moves any more.
    let settled = merge_jobs(&result.text, &result.text, stored, &dialect);
    prop_assert_eq!(&settled.text, &result.text);
    prop_assert!(keeps_remarks(file, &result.text) || result.changed > 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_job_is_doubled_lost_or_raised_from_the_dead(texts in histories()) {
        merges(&texts)?;
    }

    #[test]
    fn what_comes_nearest_to_none_is_merged_as_it_is_when_it_is_merged_again(texts in bare_histories()) {
        merges(&texts)?;
    }

    #[test]
    fn a_side_without_edits_changes_nothing(texts in histories()) {
        let [file, stored, _] = texts.each_ref().map(|text| &*text.0);
        let dialect = Dialect::system();
        for ancestor in [stored, file] {
            let result = merge_jobs(file, ancestor, ancestor, &dialect);
            prop_assert_eq!(&result.text, file);
            prop_assert!(result.warnings.is_empty());
        }
        let same = merge_jobs(file, file, stored, &dialect);
        prop_assert_eq!(&same.text, file);
        let forward = merge(file, stored, file, &dialect);
        prop_assert_eq!(&forward.text, stored);
        let jobs = merge_jobs(file, stored, file, &dialect);
        let ids = |bytes: &[u8]| {
            let seen = seen(bytes);
            seen.iter().map(|(id, entries)| (*id, entries.len())).collect::<Vec<_>>()
        };
        // Where a line changed its input only, several with one id are told apart by their lines all the same.
        prop_assert_eq!(ids(&jobs.text), ids(stored));
    }
}
