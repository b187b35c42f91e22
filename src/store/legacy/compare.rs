//! What the Python service runs, and what Cronkeep would run in its place, line by line.
use std::collections::HashMap;
use std::fmt;

use super::Meaning;
use super::row::{Found, Misreading, Row, readings};
use crate::crontab::{Crontab, LineKind, Source};

/// A file beside the rows that the service caches of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Jobs that are the same in both.
    pub same: usize,
    /// What differs: by line, then the rows that no line explains, in the cache's order.
    pub differences: Vec<Difference>,
    /// Jobs that both have and that run otherwise there, by line.
    pub meanings: Vec<(u32, Meaning)>,
}

/// One difference. Lines are those of the file, from 1; rows those of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A job here that the cache lacks: the service has not seen the line yet.
    OnlyHere(u32, Row),
    /// A row that the file does not explain: the line was changed or removed while the service was down.
    OnlyThere(Row),
    /// A row more often in the cache than in the file, whose line stands there: recovery by the service doubles them.
    Again(u32, Row),
    /// The service's own remark on a line: it added the line when it recovered its cache.
    Recovered(u32, Row),
    /// Same schedule and user, other command.
    OtherCommand(u32, Row, Row),
    /// Same user and command, other schedule.
    OtherSchedule(u32, Row, Row),
    /// Same id, other row: the service runs only the first of the two.
    SameId(u32, Row, Row),
    /// A line that is commented out: the service runs it.
    Commented(u32, Row),
    /// A line that is an error here, and why: the service runs it.
    Error(u32, Row, String),
    /// A job here that the service reads as another, the row if it is cached, or not at all.
    Misread(u32, Misreading, Option<Row>),
    /// A line that ends the service's parser though no job is in it: what it caches is gone then.
    Ends(u32, &'static str),
}

impl Difference {
    /// The line of the file, if one explains it.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        match self {
            Difference::OnlyThere(_) => None,
            Difference::OnlyHere(line, ..)
            | Difference::Again(line, ..)
            | Difference::Recovered(line, ..)
            | Difference::OtherCommand(line, ..)
            | Difference::OtherSchedule(line, ..)
            | Difference::SameId(line, ..)
            | Difference::Commented(line, ..)
            | Difference::Error(line, ..)
            | Difference::Misread(line, ..)
            | Difference::Ends(line, _) => Some(*line),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line() {
            write!(f, "line {line}: ")?;
        }
        match self {
            Difference::OnlyHere(_, row) => {
                write!(f, "only here: `{}`; the Python service has not cached it", row.line())
            }
            Difference::OnlyThere(row) => {
                write!(f, "only there: `{}`; no line of the file says it", row.line())
            }
            Difference::Again(_, row) => write!(
                f,
                "`{}` is cached once more than the file says it; the Python service runs it once",
                row.line()
            ),
            Difference::Recovered(_, row) => write!(
                f,
                "`{}` stands above, too: the Python service added it again when it recovered, and runs it once; here \
                 both run",
                row.line()
            ),
            Difference::OtherCommand(_, here, there) => write!(
                f,
                "same schedule, other command: here `{}`, there `{}`",
                here.command(),
                there.command()
            ),
            Difference::OtherSchedule(_, here, there) => write!(
                f,
                "same command, other schedule: here `{}`, there `{}`: {}",
                here.schedule(),
                there.schedule(),
                here.command()
            ),
            Difference::SameId(_, here, there) => write!(
                f,
                "same id, other text: `{}` and `{}` are both {}; the Python service runs the first of them, here both run",
                here.line(),
                there.line(),
                here.id()
            ),
            Difference::Commented(_, row) => write!(
                f,
                "commented out; the Python service runs `{}` all the same, here it does not run",
                row.line()
            ),
            Difference::Error(_, row, why) => {
                write!(f, "an error here ({why}); the Python service runs `{}`", row.line())
            }
            Difference::Misread(_, misreading, row) => {
                write!(f, "{misreading}")?;
                match row {
                    Some(row) => write!(f, "; it runs `{}`", row.line()),
                    None => Ok(()),
                }
            }
            Difference::Ends(_, what) => write!(
                f,
                "{what} ends the Python service's parser: it forgets its cache and sees no further edit"
            ),
        }
    }
}

impl fmt::Display for Misreading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Misreading::Reboot => {
                "@reboot runs once here; the Python service takes it for five stars, each minute"
            }
            Misreading::Fields => {
                "more than five time fields; the Python service takes the sixth for the user"
            }
            Misreading::NoJob => "runs only here; the Python service finds no job in this line",
            Misreading::Ends => {
                "runs only here; a name beside a number ends the Python service's parser"
            }
            Misreading::NotUtf8 => {
                "runs only here; what is not UTF-8 ends the Python service's parser"
            }
        })
    }
}

/// Compares a file with the rows that the service caches of it.
///
/// Every line is matched with an equal row first; what is left is explained, each row by one line at most.
#[must_use]
pub fn compare(source: &Source, crontab: &Crontab, cached: &[Row]) -> Comparison {
    let mut matching = Matching::new(cached);
    let mut here = Vec::new();
    let mut differences: Vec<_> = ends(source, crontab);
    let mut others = Vec::new();
    let mut first_of = HashMap::new();
    let mut meanings = Vec::new();
    let mut same = 0;
    for reading in readings(source, crontab) {
        let (line, row) = (reading.line, reading.row);
        match (reading.found, row) {
            (Found::Same, Some(row)) => {
                let is_tagged = is_tagged(source, crontab, line, &row);
                let earlier = first_of.get(&row).copied();
                first_of.entry(row.clone()).or_insert(line);
                if !matching.take(&row) {
                    here.push((line, row));
                } else if earlier.is_some() && is_tagged {
                    differences.push(Difference::Recovered(line, row));
                } else {
                    same += 1;
                    let place = usize::try_from(line).unwrap_or(usize::MAX).wrapping_sub(1);
                    if let Some(LineKind::Entry(entry)) =
                        crontab.lines.get(place).map(|line| &line.kind)
                    {
                        let all = Meaning::all(&row, entry);
                        meanings.extend(all.into_iter().map(|meaning| (line, meaning)));
                    }
                }
            }
            (found, row) => others.push((line, found, row)),
        }
    }
    // Rows of their own line come first: a comment may say what another line does.
    for (line, found, row) in others {
        let taken = row.filter(|row| matching.take(row));
        differences.extend(match (found, taken) {
            (Found::Misread(misreading), row) => Some(Difference::Misread(line, misreading, row)),
            (Found::Comment, Some(row)) => Some(Difference::Commented(line, row)),
            (Found::Error(why), Some(row)) => Some(Difference::Error(line, row, why)),
            _ => None,
        });
    }
    let left: Vec<&Row> = matching.left();
    differences.extend(explain(here, &left, &first_of));
    differences.sort_by_key(|difference| difference.line().unwrap_or(u32::MAX));
    Comparison { same, differences, meanings }
}

/// What two rows must have in common to be told together.
type Alike = fn(&Row) -> String;

/// How they are told: the line, the row of the file, the row of the cache.
type Told = fn(u32, Row, Row) -> Difference;

/// Explains what is left on both sides: by id, by schedule, by command, at last each by itself.
fn explain(here: Vec<(u32, Row)>, left: &[&Row], first_of: &HashMap<Row, u32>) -> Vec<Difference> {
    let mut taken = vec![false; left.len()];
    let mut differences = Vec::new();
    let mut here: Vec<_> = here.into_iter().map(Some).collect();
    let rounds: [(Alike, Told); 3] = [
        (|row| row.id().to_string(), Difference::SameId),
        (|row| row.0[..6].join("\n"), Difference::OtherCommand),
        (|row| row.0[5..].join("\n"), Difference::OtherSchedule),
    ];
    for (key, make) in rounds {
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        let open = (0..left.len()).rev().filter(|&place| !taken[place]);
        for place in open.filter(|&place| !first_of.contains_key(left[place])) {
            places.entry(key(left[place])).or_default().push(place);
        }
        for slot in &mut here {
            let Some(place) =
                slot.as_ref().and_then(|(_, row)| places.get_mut(&key(row))).and_then(Vec::pop)
            else {
                continue;
            };
            taken[place] = true;
            differences.extend(slot.take().map(|(line, row)| make(line, row, left[place].clone())));
        }
    }
    differences
        .extend(here.into_iter().flatten().map(|(line, row)| Difference::OnlyHere(line, row)));
    let rest = left.iter().zip(taken).filter(|(_, taken)| !taken);
    differences.extend(rest.map(|(&row, _)| match first_of.get(row) {
        Some(&line) => Difference::Again(line, row.clone()),
        None => Difference::OnlyThere(row.clone()),
    }));
    differences
}

/// The cached rows, each to be taken once.
struct Matching<'a> {
    cached: &'a [Row],
    /// Places in `cached`, the first one last.
    places: HashMap<&'a Row, Vec<usize>>,
}

impl<'a> Matching<'a> {
    fn new(cached: &'a [Row]) -> Self {
        let mut places: HashMap<_, Vec<_>> = HashMap::new();
        for (place, row) in cached.iter().enumerate().rev() {
            places.entry(row).or_default().push(place);
        }
        Matching { cached, places }
    }

    fn take(&mut self, row: &Row) -> bool {
        self.places.get_mut(row).is_some_and(|places| places.pop().is_some())
    }

    /// What was not taken, in the cache's order.
    fn left(self) -> Vec<&'a Row> {
        let mut places: Vec<usize> = self.places.into_values().flatten().collect();
        places.sort_unstable();
        places.into_iter().map(|place| &self.cached[place]).collect()
    }
}

/// Whether the line ends in the remark with which the service marks what it recovered.
fn is_tagged(source: &Source, crontab: &Crontab, line: u32, row: &Row) -> bool {
    let place = usize::try_from(line).unwrap_or(usize::MAX).wrapping_sub(1);
    let span = crontab.lines.get(place).map(|line| line.span.clone());
    let text = span.and_then(|span| source.bytes.get(span)).unwrap_or_default();
    text.trim_ascii_end().ends_with(format!("# crond service {}", row.id()).as_bytes())
}

/// The lines without a job that end the service's parser: not UTF-8, or an assignment of nothing, commented or not.
fn ends(source: &Source, crontab: &Crontab) -> Vec<Difference> {
    let end = |line: &crate::crontab::Line| {
        let text = source.bytes.get(line.span.clone()).unwrap_or_default();
        if std::str::from_utf8(text).is_err() {
            return Some(Difference::Ends(line.number, "what is not UTF-8"));
        }
        let sign = text.iter().position(|&byte| byte == b'=')?;
        let is_assignment = !text[..sign].contains(&b' ');
        let is_empty = text[sign + 1..].trim_ascii().is_empty();
        (is_assignment && is_empty)
            .then_some(Difference::Ends(line.number, "an assignment of nothing"))
    };
    let lines = crontab.lines.iter();
    lines.filter(|line| !matches!(line.kind, LineKind::Entry(_))).filter_map(end).collect()
}

#[cfg(test)]
mod tests;
