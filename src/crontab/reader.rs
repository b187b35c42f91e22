//! From lines to a crontab: what holds from one line to the next.

mod review;
mod scope;

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr_iter;

use super::directive::{self, Options, Searches};
use super::entry::{self, Draft, Known, Seconds};
use super::grammar::{self, Shape};
use super::hash::Seeded;
use super::line;
use super::remark::{near_directive, remarks};
use super::setting::Environment;
use super::{
    Code, Crontab, Dialect, Entry, Fault, FieldCount, Line, LineKind, Mistake, Source, Text, When,
};
use crate::schedule::{Schedule, Zone};
use review::Sums;

/// The most entries that a spool table may have (cronie's `MAX_TAB_ENTRIES`).
const MOST_ENTRIES: usize = 10_000;
/// The most settings that a spool table may have (cronie's `MAX_TAB_ENVS`).
const MOST_SETTINGS: usize = 1_000;

/// How many option sets are remembered, so that entries that say the same share one.
const REMEMBERED: usize = 16;

/// Reads a crontab line by line.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    dialect: &'a Dialect,
    has_nul: bool,
    lines: Vec<Line>,
    faults: Vec<Fault>,
    environment: Environment,
    options: Arc<Options>,
    zone: Option<Zone>,
    fields: Option<FieldCount>,
    random_delay: u16,
    pending: Option<Box<Pending>>,
    /// Text of the last plain comment above, with only comments since.
    comment: Option<Range<usize>>,
    owner: Text,
    users: HashMap<&'a [u8], Text, Seeded>,
    seed: Seeded,
    sums: Sums,
    /// The first line that ended with a carriage return.
    returns: Option<usize>,
    last_user: Text,
    known: Known<'a>,
    merged: Vec<Arc<Options>>,
    entries: usize,
    settings: usize,
    /// Places in `lines` with a weekday where a sixth field would stand.
    weekdays: Vec<(usize, Range<usize>)>,
    seconds: bool,
    judged: Option<(usize, Range<usize>)>,
    is_related: bool,
    /// Places in `lines` with a name, and where the name stands.
    named: Vec<(usize, Place)>,
    searches: Searches,
}

/// Directives that wait for their entry.
#[derive(Default)]
struct Pending {
    options: Options,
    name: Option<Place>,
    blocks: bool,
    /// Where each stands in `lines`.
    lines: Vec<usize>,
}

/// A range of bytes of the file, and the line it is in.
#[derive(Debug, Clone)]
struct Place {
    number: u32,
    line: Range<usize>,
    /// In bytes of the line.
    span: Range<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        let seed = Seeded::random();
        Reader {
            bytes: &source.bytes,
            dialect: &source.dialect,
            has_nul: source.bytes.contains(&0),
            lines: Vec::new(),
            faults: Vec::new(),
            environment: Environment::default(),
            options: Arc::default(),
            zone: None,
            fields: None,
            random_delay: 0,
            pending: None,
            comment: None,
            owner: Text::from(source.dialect.user.as_ref()),
            users: HashMap::with_hasher(seed),
            seed,
            sums: Sums::default(),
            returns: None,
            last_user: Text::from(""),
            known: Known::with_hasher(seed),
            merged: Vec::new(),
            entries: 0,
            settings: 0,
            weekdays: Vec::new(),
            seconds: false,
            judged: None,
            is_related: false,
            named: Vec::new(),
            searches: Searches::default(),
        }
    }

    pub(super) fn read(mut self) -> Crontab {
        // One more where the last line has no end.
        let count = memchr_iter(b'\n', self.bytes).count() + 1;
        self.lines.reserve_exact(count);
        self.sums = Sums::of_lines(count);
        let mut ended = true;
        for (number, line) in (1..).zip(line::physical(self.bytes)) {
            if line.returns && self.returns.is_none() {
                self.returns = Some(self.lines.len());
            }
            ended = line.ended;
            let kind = self.line(number, line.span.clone());
            self.lines.push(Line { number, span: line.span.clone(), kind });
        }
        self.orphan();
        self.judge_weekdays();
        self.compare_names();
        self.find_duplicates();
        self.look_at_bytes(ended);
        self.faults.sort_by_key(|fault| (fault.line, fault.column));
        let over = self.entries > MOST_ENTRIES || self.settings > MOST_SETTINGS;
        let accepted = !(self.dialect.is_limited() && over
            || self.dialect.strict && self.faults.iter().any(Fault::is_error));
        let is_related = self.is_related;
        Crontab { lines: self.lines, faults: self.faults, accepted, is_related }
    }

    fn line(&mut self, number: u32, span: Range<usize>) -> LineKind {
        let text = &self.bytes[span.clone()];
        let shape = grammar::shape(text);
        if matches!(shape, Shape::Blank | Shape::Setting { .. }) {
            self.orphan();
        }
        if self.has_nul
            && matches!(shape, Shape::Setting { .. } | Shape::Entry)
            && let Some(at) = text.iter().position(|&byte| byte == 0)
        {
            let mistake = Mistake::new(Code::E015, at..at + 1, "there is a NUL byte in the line")
                .with_help("write the file as plain text; UTF-16 is not read");
            self.fault(number, text, mistake);
            self.forget();
            return LineKind::Error;
        }
        match shape {
            Shape::Blank => {
                self.comment = None;
                LineKind::Blank
            }
            Shape::Comment(behind) => {
                if let Some(mistake) = near_directive(&text[behind.clone()]) {
                    self.fault(number, text, mistake.shifted(behind.start));
                }
                if let Some(comment) =
                    prose(self.bytes, span.start + behind.start..span.start + behind.end)
                {
                    self.comment = Some(comment);
                }
                LineKind::Comment
            }
            Shape::Directive(options) => {
                self.directive(number, span, options.start);
                LineKind::Directive
            }
            Shape::Setting { name, value } => {
                self.comment = None;
                self.setting(number, text, name, value)
            }
            Shape::Entry => self.entry(number, span),
        }
    }

    fn fault(&mut self, line: u32, text: &[u8], mistake: Mistake) {
        self.faults.push(mistake.on_line(line, text));
    }

    /// Drops what comments above said: their line is taken.
    fn forget(&mut self) {
        self.comment = None;
        self.pending = None;
    }

    /// Reports the directives that no entry follows.
    fn orphan(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        for index in pending.lines {
            let line = &self.lines[index];
            let text = &self.bytes[line.span.clone()];
            let span = grammar::remainder(text, 0);
            let mistake = Mistake::new(Code::E032, span, "no entry follows the directive")
                .with_help("write it directly above its entry, with only comments between");
            self.faults.push(mistake.on_line(line.number, text));
        }
    }

    fn directive(&mut self, number: u32, span: Range<usize>, from: usize) {
        let text = &self.bytes[span.clone()];
        let said = directive::read(text, from, &mut self.searches);
        for mistake in said.mistakes {
            self.fault(number, text, mistake);
        }
        let pending = self.pending.get_or_insert_default();
        let above = std::mem::take(&mut pending.options);
        pending.options = said.options.or(&above);
        if let Some(name) = said.name {
            pending.name = Some(Place { number, line: span, span: name });
        }
        pending.blocks |= said.blocks;
        if !said.is_empty {
            pending.lines.push(self.lines.len());
        }
    }

    fn entry(&mut self, number: u32, span: Range<usize>) -> LineKind {
        let bytes = self.bytes;
        let text = &bytes[span.clone()];
        let fields = self.fields.unwrap_or(self.dialect.fields);
        let mut draft = match entry::read(text, self.dialect, fields, &mut self.known) {
            Ok(draft) => draft,
            Err(mistakes) => {
                for mistake in mistakes {
                    self.fault(number, text, mistake);
                }
                self.forget();
                return LineKind::Error;
            }
        };
        self.entries += 1;
        if self.entries == MOST_ENTRIES + 1 && self.dialect.is_limited() {
            let message = format!("the file has more than {MOST_ENTRIES} entries");
            self.fault(number, text, Mistake::new(Code::E017, 0..text.len(), message));
        }
        for doubt in remarks(text, &draft, self.dialect) {
            self.fault(number, text, doubt);
        }
        for doubt in std::mem::take(&mut draft.doubts) {
            self.fault(number, text, doubt);
        }
        let index = self.lines.len();
        self.seconds |= draft.timing.seconds != Seconds::None;
        if draft.timing.seconds == Seconds::Judged && self.judged.is_none() {
            self.judged = Some((index, draft.schedule()));
        }
        if let Some(weekday) = draft.weekday() {
            self.weekdays.push((index, weekday));
        }
        let pending = self.pending.take();
        if let Some(pending) = &pending {
            if pending.blocks {
                self.comment = None;
                return LineKind::Error;
            }
            if let Some(place) = pending.name.clone() {
                self.named.push((index, place));
            }
        }
        LineKind::Entry(Box::new(self.finish(number, span, &draft, pending)))
    }

    /// Adds to what the line says what the lines above say.
    fn finish(
        &mut self,
        number: u32,
        span: Range<usize>,
        draft: &Draft,
        pending: Option<Box<Pending>>,
    ) -> Entry {
        let bytes = self.bytes;
        let text = &bytes[span.clone()];
        let user = match &draft.user {
            None => self.owner.clone(),
            Some(user) => self.user(&text[user.clone()]),
        };
        let options = match pending {
            None => self.options.clone(),
            Some(pending) => self.options_with(*pending),
        };
        let timing = &*draft.timing;
        let command = &text[draft.command.clone()];
        let sum = self.seed.hash_one((command, timing.text.as_bytes()));
        self.sums.push(sum, self.lines.len());
        self.is_related |=
            options.name.is_some() || matches!(&*timing.when, When::Fixed(Schedule::After(_)));
        let shifted = |range: &Range<usize>| span.start + range.start..span.start + range.end;
        Entry {
            line: number,
            schedule_span: shifted(&draft.schedule()),
            command_span: shifted(&draft.command),
            schedule_text: timing.text.clone(),
            when: timing.when.clone(),
            flags: draft.flags,
            user,
            command: Text::from(command),
            settings: self.environment.of(command),
            zone: options.tz.clone().or_else(|| self.zone.clone()),
            options,
            random_delay: self.random_delay,
            description: self.comment.take().map(|comment| Text::from(&bytes[comment])),
        }
    }

    /// The name of a user; entries of one user share it.
    fn user(&mut self, name: &'a [u8]) -> Text {
        if self.last_user.as_bytes() != name {
            let user = self.users.entry(name).or_insert_with_key(|name| Text::from(*name));
            self.last_user = user.clone();
        }
        self.last_user.clone()
    }

    fn options_with(&mut self, pending: Pending) -> Arc<Options> {
        if pending.lines.is_empty() {
            return self.options.clone();
        }
        let options = pending.options.or(&self.options);
        if let Some(same) = self.merged.iter().find(|have| ***have == options) {
            return same.clone();
        }
        let options = Arc::new(options);
        if self.merged.len() == REMEMBERED {
            self.merged.remove(0);
        }
        self.merged.push(options.clone());
        options
    }
}

/// The words of a comment, unless it is a rule, a heading of columns, or an entry that was commented out.
fn prose(bytes: &[u8], span: Range<usize>) -> Option<Range<usize>> {
    let edge = |byte: &u8| matches!(byte, b' ' | b'\t' | b'#');
    let text = &bytes[span.clone()];
    let start = span.start + text.iter().position(|byte| !edge(byte))?;
    let end = span.start + text.iter().rposition(|byte| !edge(byte))? + 1;
    let text = &bytes[start..end];
    let mut words = text.split(|&byte| grammar::is_blank(byte)).filter(|word| !word.is_empty());
    let columns = words
        .clone()
        .take(2)
        .all(|word| word.iter().all(|byte| byte.is_ascii_digit() || b"*,-/~".contains(byte)));
    let first = words.next();
    let heading = [&b"m"[..], b"min", b"minute"].iter().any(|name| first == Some(*name));
    let letters = text.iter().any(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii());
    (letters && !columns && !heading && text[0] != b'@').then_some(start..end)
}
