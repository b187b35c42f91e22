//! A line that runs a command.

mod reading;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::DateTime;

use crate::schedule::{Schedule, Zone};

use super::expression::{self, Word};
use super::field::{self, Field, FieldKind, quote};
use super::grammar::{is_blank, remainder, token};
use super::hash::Seeded;
use super::{Code, Dialect, FieldCount, Format, Mistake, Options, Settings, Text, When};
use reading::{Reading, Tokens};

/// The longest command that a shell can be given (the kernel's `MAX_ARG_STRLEN`, cronie's `MAX_COMMAND`).
const LONGEST_COMMAND: usize = 131_071;

/// One parsed line with its settings, options and position.
#[derive(Debug, Clone)]
pub struct Entry {
    /// From 1.
    pub line: u32,
    /// Where the schedule stands, in bytes of the file.
    pub schedule_span: Range<usize>,
    /// Where the command stands, in bytes of the file.
    pub command_span: Range<usize>,
    /// The time fields or `@` word as typed, one blank between the tokens.
    pub schedule_text: Text,
    /// When it is due; shared by entries that are spelled alike.
    pub when: Arc<When>,
    /// What stands before the schedule or the command.
    pub flags: Flags,
    /// Whom it runs as.
    pub user: Text,
    /// The rest of the line, `%` and `\` untouched, trailing blanks kept.
    pub command: Text,
    /// The settings above it that reach the job's environment, in cronie's order.
    pub settings: Arc<Settings>,
    /// What directives and `CRONKEEP_` settings say; shared by entries that say the same.
    pub options: Arc<Options>,
    /// The zone of `CRON_TZ`, `CRONKEEP_TZ` or `tz=`, if one is in force.
    pub zone: Option<Zone>,
    /// `RANDOM_DELAY` above it: the upper bound in minutes, 0 if none.
    pub random_delay: u16,
    /// The plain comment directly above it.
    pub description: Option<Text>,
}

/// Marks on an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags {
    /// Leading `-`, or `-q`: starts and ends are not logged (cronie's `DONT_LOG`).
    pub dont_log: bool,
    /// `-n`: mail and report output only when the run fails (cronie's `MAIL_WHEN_ERR`).
    pub mail_when_err: bool,
    /// `-s`: no second run while one is alive (OpenBSD's `SINGLE_JOB`).
    pub single_job: bool,
}

/// What one line says by itself; spans are in bytes of the line.
#[derive(Debug)]
pub(super) struct Draft {
    /// Where the time part begins.
    at: usize,
    pub(super) timing: Arc<Timing>,
    pub(super) flags: Flags,
    /// The user column, where the format has one.
    pub(super) user: Option<Range<usize>>,
    pub(super) command: Range<usize>,
    /// What may not be meant.
    pub(super) doubts: Vec<Mistake>,
}

impl Draft {
    /// The time part.
    pub(super) fn schedule(&self) -> Range<usize> {
        self.at..self.at + self.timing.length
    }

    /// A weekday's name where the sixth of six fields would stand.
    pub(super) fn weekday(&self) -> Option<Range<usize>> {
        self.timing.weekday.as_ref().map(|range| self.placed(range))
    }

    /// The two day fields, where both are set.
    pub(super) fn days(&self) -> Option<Range<usize>> {
        self.timing.days.as_ref().map(|range| self.placed(range))
    }

    fn placed(&self, range: &Range<usize>) -> Range<usize> {
        self.at + range.start..self.at + range.end
    }
}

/// The time fields read so far that left no doubt: few files have as many schedules as entries.
pub(super) type Known<'a> = HashMap<&'a [u8], Arc<Timing>, Seeded>;

/// Reads one line as an entry (cronie's `load_entry`); `fields` is what holds at that line.
///
/// # Errors
/// Every mistake that can be told apart from those before it.
pub(super) fn read<'a>(
    line: &'a [u8],
    dialect: &Dialect,
    fields: FieldCount,
    known: &mut Known<'a>,
) -> Result<Draft, Vec<Mistake>> {
    let mut at = remainder(line, 0).start;
    let mut flags = Flags::default();
    if line.get(at) == Some(&b'-') {
        if !dialect.privileged {
            let message = "the leading - (do not log) is for root's tables";
            return Err(vec![
                Mistake::new(Code::E020, at..at + 1, message)
                    .with_help("leave it out, or write -q before the command"),
            ]);
        }
        flags.dont_log = true;
        at += 1;
        if line.get(at).is_none_or(|&byte| is_blank(byte)) {
            let message = "a blank stands between - and the minute";
            return Err(vec![
                Mistake::new(Code::E001, at - 1..at, message)
                    .with_help("write - directly before the first field, as in -*/5 * * * *"),
            ]);
        }
    }
    let (timing, doubts) = if line.get(at) == Some(&b'@') {
        (word(line, at).map_err(|mistake| vec![mistake])?, Vec::new())
    } else {
        columns(line, at, dialect, fields, known)?
    };
    let (user, command) = rest(line, at + timing.length, timing.columns, dialect, &mut flags)
        .map_err(|mistake| vec![mistake])?;
    Ok(Draft { at, timing, flags, user, command, doubts })
}

/// The time part of a line; ranges count from its beginning.
#[derive(Debug)]
pub(super) struct Timing {
    length: usize,
    /// With one blank between its tokens.
    pub(super) text: Text,
    pub(super) when: Arc<When>,
    columns: bool,
    /// Whether no year has such a day.
    pub(super) never: bool,
    pub(super) seconds: Seconds,
    weekday: Option<Range<usize>>,
    days: Option<Range<usize>>,
}

/// Whether a line is read with seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seconds {
    /// It has none.
    None,
    /// What holds at the line says so.
    Given,
    /// Because the line looks so: nothing says how many fields there are.
    Judged,
}

/// `@daily`, `@every 90s`.
fn word(line: &[u8], at: usize) -> Result<Arc<Timing>, Mistake> {
    let first = token(line, at);
    let kind = expression::word(&line[first.clone()]).map_err(|m| m.shifted(first.start))?;
    let (schedule, end) = match kind {
        Word::Whole(schedule) => (schedule, first.end),
        needs => {
            let value = token(line, first.end);
            if value.is_empty() {
                let message = format!("{} needs {}", quote(&line[first.clone()]), needs.noun());
                let help = format!("write {}", needs.example());
                return Err(Mistake::new(Code::E010, first, message).with_help(help));
            }
            let schedule = expression::argument(needs, &line[value.clone()])
                .map_err(|mistake| mistake.shifted(value.start))?;
            (schedule, value.end)
        }
    };
    let when = When::Fixed(schedule);
    Ok(Arc::new(Timing {
        length: end - at,
        text: single_blanks(&line[at..end]),
        never: never(&when),
        when: Arc::new(when),
        columns: false,
        seconds: Seconds::None,
        weekday: None,
        days: None,
    }))
}

/// Five, six or seven fields; with them what may not be meant.
fn columns<'a>(
    line: &'a [u8],
    at: usize,
    dialect: &Dialect,
    fields: FieldCount,
    known: &mut Known<'a>,
) -> Result<(Arc<Timing>, Vec<Mistake>), Vec<Mistake>> {
    let mut tokens = Tokens::of(line, at);
    let reading = Reading::of(line, &mut tokens, dialect, fields);
    let end = tokens.ranges[reading.count - 1].end;
    let usual = reading.count == 5 && reading.weekday.is_none();
    if usual && let Some(timing) = known.get(&line[at..end]) {
        return Ok((timing.clone(), Vec::new()));
    }
    let kinds = expression::layout(reading.count, dialect.compat).unwrap_or_default();
    let (mut read, mut doubts, mut mistakes) =
        (Vec::with_capacity(kinds.len()), Vec::new(), Vec::new());
    let mut days: [Option<Range<usize>>; 2] = [None, None];
    for (&kind, range) in kinds.iter().zip(&tokens.ranges) {
        if range.is_empty() {
            let message = format!("the {} is missing", name_of(kind));
            mistakes.push(Mistake::new(kind.code(), line.len()..line.len(), message));
            break;
        }
        match field::parse(kind, &line[range.clone()]) {
            Ok((field, more)) => {
                match kind {
                    FieldKind::DayOfMonth if !field.star => days[0] = Some(range.clone()),
                    FieldKind::DayOfWeek if !field.star => days[1] = Some(range.clone()),
                    _ => {}
                }
                doubts.extend(more.into_iter().map(|doubt| doubt.shifted(range.start)));
                read.push(field);
            }
            Err(mistake) => mistakes.push(mistake.shifted(range.start)),
        }
    }
    if !mistakes.is_empty() {
        return Err(explain(line, at, mistakes));
    }
    let within = |range: Range<usize>| range.start - at..range.end - at;
    let both = match days {
        [Some(dom), Some(dow)] => Some(within(dom.start..dow.end)),
        _ => None,
    };
    let seconds = match read.first() {
        _ if reading.judged => Seconds::Judged,
        Some(Field { kind: FieldKind::Second, .. }) => Seconds::Given,
        _ => Seconds::None,
    };
    let when = When::of(read);
    let timing = Arc::new(Timing {
        length: end - at,
        text: single_blanks(&line[at..end]),
        seconds,
        never: never(&when),
        when: Arc::new(when),
        columns: true,
        weekday: reading.weekday.map(within),
        days: both,
    });
    if usual && doubts.is_empty() {
        known.insert(&line[at..end], timing.clone());
    }
    Ok((timing, doubts))
}

/// Whether no year has such a day.
fn never(when: &When) -> bool {
    let When::Fixed(schedule) = when else { return false };
    let start = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let fires = match schedule {
        Schedule::Calendar(calendar) if calendar.days.special.is_none() => {
            let days = &calendar.days;
            // Where either day counts, weekdays come in every month; and each date sees each weekday.
            !days.is_and()
                || (1..=12).any(|month| {
                    let longest = match month {
                        2 => 29,
                        4 | 6 | 9 | 11 => 30,
                        _ => 31,
                    };
                    calendar.months >> month & 1 == 1
                        && days.dom & (u32::MAX >> (31 - longest)) != 0
                })
        }
        Schedule::Calendar(calendar) => calendar.next_after(start).is_some(),
        Schedule::Extended(extended) => extended.next_after(start).is_some(),
        _ => true,
    };
    !fires
}

/// The tokens of a schedule with one blank between them.
fn single_blanks(schedule: &[u8]) -> Text {
    let double = schedule.contains(&b'\t') || schedule.windows(2).any(|pair| pair == b"  ");
    if !double {
        return Text::from(schedule);
    }
    let mut text = Vec::with_capacity(schedule.len());
    for word in schedule.split(|&byte| is_blank(byte)).filter(|word| !word.is_empty()) {
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
    Text::from(text)
}

fn name_of(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Second => "second",
        FieldKind::Minute => "minute",
        FieldKind::Hour => "hour",
        FieldKind::DayOfMonth => "day of the month",
        FieldKind::Month => "month",
        FieldKind::DayOfWeek => "day of the week",
        FieldKind::Year => "year",
    }
}

/// Says what a line is that is no entry at all: a setting gone wrong, or plain text.
fn explain(line: &[u8], at: usize, mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let first = token(line, at);
    let text = &line[first.clone()];
    let starts_word = matches!(text.first(), Some(b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'"' | b'\''));
    if starts_word
        && mistakes.first().is_some_and(|mistake| mistake.span.start <= first.end)
        && let Some(equals) = line.iter().position(|&byte| byte == b'=')
    {
        let quoted = line[equals..].iter().any(|byte| matches!(byte, b'"' | b'\''));
        let (message, help) = if matches!(text, b"export" | b"set") {
            (format!("{} is a shell's word", quote(text)), "write NAME=value by itself")
        } else if text.contains(&b'=') && quoted {
            (
                format!("the quotes of {} do not match", quote(line[at..].trim_ascii_end())),
                "quote the whole value or nothing: quotes know no escape and nothing may follow them",
            )
        } else {
            (
                format!("{} is neither a setting nor an entry", quote(line[at..].trim_ascii_end())),
                "write NAME=value, or a schedule and a command",
            )
        };
        let end = line.trim_ascii_end().len();
        return vec![Mistake::new(Code::E014, at..end, message).with_help(help)];
    }
    // A line of prose is one mistake, not five; and so is a single word.
    if mistakes.len() > 2 || token(line, first.end).is_empty() {
        mistakes.truncate(1);
    }
    mistakes
}

/// User, options and command.
fn rest(
    line: &[u8],
    from: usize,
    columns: bool,
    dialect: &Dialect,
    flags: &mut Flags,
) -> Result<(Option<Range<usize>>, Range<usize>), Mistake> {
    let mut text = remainder(line, from);
    if text.is_empty() {
        let message = match dialect.format {
            Format::System => "the user and the command are missing",
            Format::User => "the command is missing",
        };
        return Err(Mistake::new(Code::E011, text, message));
    }
    if line[text.start] == b'*' {
        let star = token(line, text.start);
        let message = format!("{} stands where the command begins", quote(&line[star.clone()]));
        let help = if columns {
            "a line has five time fields; with seconds it has six, see CRONKEEP_FIELDS"
        } else {
            "no time fields follow an @ word; a command cannot begin with *"
        };
        return Err(Mistake::new(Code::E011, star, message).with_help(help));
    }
    let user = (dialect.format == Format::System).then(|| token(line, text.start));
    if let Some(user) = &user {
        text = remainder(line, user.end);
        if text.is_empty() {
            let message = format!("no command follows the user {}", quote(&line[user.clone()]));
            return Err(Mistake::new(Code::E011, user.clone(), message)
                .with_help("in a system crontab the user stands before the command: write root"));
        }
    }
    while line.get(text.start) == Some(&b'-') {
        let option = token(line, text.start);
        options(&line[option.clone()], flags).map_err(|mistake| mistake.shifted(option.start))?;
        text = remainder(line, option.end);
        if text.is_empty() {
            let message = format!("no command follows {}", quote(&line[option]));
            return Err(Mistake::new(Code::E011, text, message));
        }
    }
    if text.len() > LONGEST_COMMAND {
        let message = format!("the command has {} bytes, more than {LONGEST_COMMAND}", text.len());
        return Err(
            Mistake::new(Code::E016, text, message).with_help("put it into a script and call that")
        );
    }
    Ok((user, text))
}

/// Reads `-n`, `-q`, `-s` and their combinations (cronie, OpenBSD).
fn options(token: &[u8], flags: &mut Flags) -> Result<(), Mistake> {
    let wrong = |span: Range<usize>, message: String| {
        Mistake::new(Code::E012, span, message).with_help(
            "before a command stand -n (report failures only), -q (do not log) and -s (one run at a time)",
        )
    };
    let letters = &token[1..];
    if letters.is_empty() {
        return Err(wrong(0..1, "- is not an option".to_owned()));
    }
    for (at, letter) in (1..).zip(letters) {
        let mark = match letter {
            b'n' => &mut flags.mail_when_err,
            b'q' => &mut flags.dont_log,
            b's' => &mut flags.single_job,
            _ => {
                return Err(wrong(0..token.len(), format!("{} is not an option", quote(token))));
            }
        };
        // A leading - of the line has set the mark of -q already.
        if *mark && *letter != b'q' {
            let letter = char::from(*letter);
            return Err(wrong(at..at + 1, format!("the option -{letter} is given twice")));
        }
        *mark = true;
    }
    Ok(())
}
