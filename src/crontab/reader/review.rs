//! What can only be said when the whole file is read.
use std::collections::HashMap;
use std::sync::Arc;

use super::Reader;
use crate::crontab::field::quote;
use crate::crontab::grammar;
use crate::crontab::line;
use crate::crontab::{Code, Entry, LineKind, Mistake};

/// Sums of what entries say, and where in the list of lines they stand, in one number each: the place below the sum.
#[derive(Default)]
pub(super) struct Sums {
    all: Vec<u64>,
    /// How many bits a place takes.
    bits: u32,
}

impl Sums {
    /// Of a file with so many lines at most.
    pub(super) fn of_lines(count: usize) -> Self {
        let all = Vec::with_capacity(count);
        Sums { all, bits: usize::BITS - count.leading_zeros() }
    }

    pub(super) fn push(&mut self, sum: u64, place: usize) {
        self.all.push(sum << self.bits | place as u64);
    }

    /// The places of each set of entries that may say the same, in order.
    fn alike(&mut self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        self.all.sort_unstable();
        let bits = self.bits;
        let equal = self.all.chunk_by(move |one, other| one >> bits == other >> bits);
        let place =
            move |number: &u64| usize::try_from(number & !(u64::MAX << bits)).unwrap_or(usize::MAX);
        equal.filter(|equal| equal.len() > 1).map(move |equal| equal.iter().map(place))
    }
}

impl Reader<'_> {
    /// Decides what a weekday's name in the sixth place is, now that the whole file is known.
    pub(super) fn judge_weekdays(&mut self) {
        if let Some((index, span)) = self.judged.take() {
            let line = &self.lines[index];
            let text = &self.bytes[line.span.clone()];
            let schedule = &text[span.clone()];
            let words =
                || schedule.split(|&byte| grammar::is_blank(byte)).filter(|w| !w.is_empty());
            let count = words().count();
            let year = if count == 7 { " and a year" } else { "" };
            let spelled = quote(&words().collect::<Vec<_>>().join(&b' '));
            let message = format!("{spelled} is read with seconds{year}");
            let mistake = Mistake::new(Code::W002, span, message).with_help(format!(
                "write CRONKEEP_FIELDS={count} above to confirm, or CRONKEEP_FIELDS=5 if the command begins with a number",
            ));
            self.faults.push(mistake.on_line(line.number, text));
        }
        for (index, span) in std::mem::take(&mut self.weekdays) {
            let line = &mut self.lines[index];
            let text = &self.bytes[line.span.clone()];
            let word = quote(&text[span.clone()]);
            let mistake = if self.seconds {
                line.kind = LineKind::Error;
                let message = format!("{word} is a command, or the day of the week of six fields");
                Mistake::new(Code::E022, span, message).with_help(
                    "write CRONKEEP_FIELDS=6 above if the line begins with seconds, else CRONKEEP_FIELDS=5",
                )
            } else {
                let message = format!("{word} is the command: the line is read with five fields");
                Mistake::new(Code::W003, span, message)
                    .with_help("write CRONKEEP_FIELDS=6 above if the line begins with seconds")
            };
            self.faults.push(mistake.on_line(line.number, text));
        }
    }

    /// A user's names are unique: the later entry loses its name.
    pub(super) fn compare_names(&mut self) {
        let mut taken: HashMap<(Vec<u8>, Arc<str>), u32> = HashMap::new();
        for (index, place) in std::mem::take(&mut self.named) {
            let LineKind::Entry(entry) = &mut self.lines[index].kind else { continue };
            let Some(name) = entry.options.name.clone() else { continue };
            let key = (entry.user.as_bytes().to_vec(), name.clone());
            let Some(line) = taken.get(&key) else {
                taken.insert(key, entry.line);
                continue;
            };
            Arc::make_mut(&mut entry.options).name = None;
            let message = format!("the entry on line {line} is already called {name}");
            let mistake = Mistake::new(Code::E035, place.span, message)
                .with_help("give each entry of a user a name of its own");
            self.faults.push(mistake.on_line(place.number, &self.bytes[place.line]));
        }
    }

    /// Compares entries whose sums are equal: those above, first come first.
    pub(super) fn find_duplicates(&mut self) {
        for alike in self.sums.alike() {
            let mut firsts: Vec<&Entry> = Vec::new();
            for index in alike {
                let line = &self.lines[index];
                let LineKind::Entry(entry) = &line.kind else { continue };
                let Some(first) = firsts.iter().find(|first| is_spelled_alike(first, entry)) else {
                    firsts.push(entry);
                    continue;
                };
                if is_set_alike(first, entry) {
                    let text = &self.bytes[line.span.clone()];
                    let message = format!("the same entry stands on line {}: both run", first.line);
                    let mistake = Mistake::new(Code::W016, grammar::remainder(text, 0), message)
                        .with_help("leave one of them out");
                    self.faults.push(mistake.on_line(line.number, text));
                }
            }
        }
    }

    /// What is wrong with the file as a whole: one fault each, where it is seen first.
    pub(super) fn look_at_bytes(&mut self, last_is_ended: bool) {
        let mut warn = |index: usize, mistake: Mistake| {
            let line = &self.lines[index];
            self.faults.push(mistake.on_line(line.number, &self.bytes[line.span.clone()]));
        };
        if line::has_mark(self.bytes) && !self.lines.is_empty() {
            let message = "the file begins with a byte order mark; it is left out";
            warn(0, Mistake::new(Code::W014, 0..0, message).with_help("save the file without it"));
        }
        if let Some(index) = self.returns {
            let end = self.lines[index].span.len();
            let message = "lines end with a carriage return; it is left out";
            let help = "save the file with Unix line ends";
            warn(index, Mistake::new(Code::W013, end..end, message).with_help(help));
        }
        if let Err(error) = str::from_utf8(self.bytes) {
            let at = error.valid_up_to();
            let index = self.lines.partition_point(|line| line.span.end <= at);
            if let Some(line) = self.lines.get(index) {
                let from = at.saturating_sub(line.span.start);
                let bytes = self.bytes[at..].iter().take_while(|byte| !byte.is_ascii()).count();
                let message = "the file is not UTF-8; its bytes are passed on as they are";
                warn(index, Mistake::new(Code::W012, from..from + bytes, message));
            }
        }
        let last = self.lines.last().filter(|line| {
            matches!(line.kind, LineKind::Entry(_) | LineKind::Setting(_) | LineKind::Error)
        });
        if let Some(line) = last.filter(|_| !last_is_ended) {
            let end = line.span.len();
            let message = "the last line has no line end; the file may be cut off";
            let help = "end the last line with a newline: cron itself drops it otherwise";
            let index = self.lines.len() - 1;
            warn(index, Mistake::new(Code::W015, end..end, message).with_help(help));
        }
    }
}

/// Whether two entries run the same command at the same times as the same user.
fn is_spelled_alike(one: &Entry, other: &Entry) -> bool {
    one.command == other.command
        && one.schedule_text == other.schedule_text
        && one.user == other.user
}

/// Whether what stands above two entries makes no difference between them.
fn is_set_alike(one: &Entry, other: &Entry) -> bool {
    one.options == other.options
        && one.zone == other.zone
        && (Arc::ptr_eq(&one.settings, &other.settings) || one.settings == other.settings)
}
