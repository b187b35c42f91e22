//! A second, plain reading of a crontab's line, for the rules of `excuse.rs`.
//!
//! It knows the syntax and shares no code with the library, so that a rule says what a line is and not what
//! we make of it.

/// Least and greatest value of the fields, with seconds first and years last.
const RANGES: [(u64, u64); 7] = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7), (1970, 2099)];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEK: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Places in [`RANGES`].
const MONTH: usize = 4;
const WEEKDAY: usize = 5;

/// What is odd about one field.
#[derive(Debug, Default, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own")]
pub(crate) struct Field {
    /// An item that no cron reads.
    pub(crate) bad: bool,
    /// A number outside the field's range.
    pub(crate) outside: bool,
    /// A step above 10 000.
    pub(crate) long_step: bool,
    /// A range that ends before it begins.
    pub(crate) reversed: bool,
    /// `~` with a step.
    pub(crate) stepped_draw: bool,
    /// `L`, `W`, `#` or `?`.
    pub(crate) special: bool,
    /// The values of plain items, with reversed ranges wrapped around the week.
    pub(crate) wrapped: u64,
}

impl Field {
    /// Whether the field is good in our language.
    pub(crate) fn is_good(self, place: usize) -> bool {
        !self.bad && !self.outside && !self.long_step && (!self.reversed || place == WEEKDAY)
    }
}

fn value(place: usize, word: &str) -> Option<u64> {
    let names: &[&str] = match place {
        MONTH => &MONTHS,
        WEEKDAY => &WEEK,
        _ => &[],
    };
    let spelled = names.iter().position(|name| name.eq_ignore_ascii_case(word));
    let first = u64::from(place == MONTH);
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    match spelled {
        Some(index) => Some(index as u64 + first),
        None if digits => Some(word.parse().unwrap_or(u64::MAX)),
        None => None,
    }
}

/// Reads field `place` (0 for seconds, 6 for years).
pub(crate) fn field(place: usize, text: &str) -> Field {
    let mut field = Field::default();
    let (low, high) = RANGES[place];
    for item in text.split(',') {
        let day = place == 3 || place == WEEKDAY;
        if day && (is_special(place, item) || text == "?") {
            field.special = true;
            continue;
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let draw = range.contains('~');
        let step = match step.map(|step| value(0, step)) {
            None => 1,
            Some(Some(step)) if step > 0 && (range == "*" || draw || range.contains('-')) => step,
            Some(_) => {
                field.bad = true;
                continue;
            }
        };
        field.long_step |= step > 10_000;
        let (from, to) = if range == "*" {
            (Some(low), Some(high))
        } else if let Some((from, to)) = range.split_once(if draw { '~' } else { '-' }) {
            let open = |word: &str, bound| {
                if draw && word.is_empty() { Some(bound) } else { value(place, word) }
            };
            (open(from, low), open(to, high))
        } else {
            (value(place, range), value(place, range))
        };
        let (Some(from), Some(to)) = (from, to) else {
            field.bad = true;
            continue;
        };
        field.outside |= from < low || from > high || to < low || to > high;
        field.stepped_draw |= draw && range.len() < item.len();
        field.bad |= draw && from > to;
        field.reversed |= !draw && from > to;
        if !draw && from <= high && to <= high && place == WEEKDAY {
            let to = if to < from { to + 7 } else { to };
            let values = (from..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX));
            field.wrapped |= values.fold(0, |bits, value| bits | 1 << (value % 7));
        }
    }
    field
}

fn is_special(place: usize, item: &str) -> bool {
    let upper = item.to_ascii_uppercase();
    let (low, high) = RANGES[place];
    let valid = |word: &str| value(place, word).is_some_and(|value| (low..=high).contains(&value));
    match place {
        3 => upper == "L" || upper == "LW" || upper.strip_suffix('W').is_some_and(valid),
        _ => {
            upper.strip_suffix('L').is_some_and(valid)
                || upper.split_once('#').is_some_and(|(day, nth)| {
                    valid(day) && matches!(nth, "1" | "2" | "3" | "4" | "5")
                })
        }
    }
}

/// A line with time fields, as far as it goes.
pub(crate) struct Line<'a> {
    /// The tokens between blanks.
    pub(crate) tokens: Vec<&'a str>,
    /// Whether a user stands before the command.
    pub(crate) system: bool,
}

impl<'a> Line<'a> {
    /// Cuts a line; the leading `-` of a table of root and carriage returns at the end are left out.
    pub(crate) fn of(text: &'a str, flavour: &str) -> Self {
        let text = text.trim_end_matches('\r').trim_start_matches([' ', '\t']);
        let text = if flavour == "user" { text } else { text.strip_prefix('-').unwrap_or(text) };
        let tokens = text.split([' ', '\t']).filter(|token| !token.is_empty()).collect();
        Line { tokens, system: flavour == "system" }
    }

    /// The five fields of cron, each with its place; `None` where there are fewer.
    pub(crate) fn fields(&self) -> Option<[Field; 5]> {
        let tokens: &[&str; 5] =
            self.tokens.first_chunk().filter(|five| !five[0].starts_with('@'))?;
        Some(std::array::from_fn(|index| field(index + 1, tokens[index])))
    }

    /// Whether five fields are good in our language, and a command follows.
    pub(crate) fn is_good(&self) -> bool {
        self.fields().is_some_and(|fields| {
            fields.iter().enumerate().all(|(index, field)| field.is_good(index + 1))
        }) && self.command(5).is_some()
    }

    /// The tokens of the command behind `count` tokens, without good options; `None` if there is none.
    pub(crate) fn command(&self, count: usize) -> Option<&[&'a str]> {
        let first = self.tokens.get(count)?;
        if first.starts_with('*') {
            return None;
        }
        let mut from = count + usize::from(self.system);
        let mut given = String::new();
        while let Some(letters) = self.tokens.get(from)?.strip_prefix('-') {
            given.push_str(letters);
            if letters.is_empty() || !letters.chars().all(|c| "nqs".contains(c)) {
                return None;
            }
            from += 1;
        }
        if given.matches('n').count() > 1 || given.matches('s').count() > 1 {
            return None;
        }
        Some(&self.tokens[from..])
    }

    /// Whether the line begins with `@every`, `@at` or `@after` and what must follow, and has a command.
    pub(crate) fn has_schedule_word(&self) -> bool {
        let [word, value, ..] = self.tokens[..] else { return false };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let good = match word {
            "@every" => {
                let part = value.trim_start_matches(|c: char| c.is_ascii_digit());
                let units = ["s", "m", "h", "d", "w"];
                let one = units.contains(&part) && part.len() < value.len();
                let many = value.bytes().filter(u8::is_ascii_alphabetic).count() > 1
                    && value.starts_with(|c: char| c.is_ascii_digit())
                    && value
                        .split_inclusive(|c: char| c.is_ascii_alphabetic())
                        .all(|part| part.len() > 1 && units.contains(&&part[part.len() - 1..]));
                (one || many) && value.bytes().any(|b| (b'1'..=b'9').contains(&b))
            }
            "@at" => value.split_once(['T', 't']).is_some_and(|(date, time)| {
                let date: Vec<&str> = date.split('-').collect();
                date.len() == 3 && date.iter().all(|part| digits(part)) && time.contains(':')
            }),
            "@after" => {
                let (name, ending) = value.split_once(':').unwrap_or((value, "any"));
                let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                name.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && name.len() <= 64
                    && name.chars().all(legal)
                    && matches!(ending, "success" | "failure" | "any")
            }
            _ => false,
        };
        good && self.command(2).is_some()
    }

    /// Whether six good fields begin the line, with something behind them; `weekday` says whether the sixth
    /// is the bare name of a weekday.
    fn begins_with_six(&self, weekday: bool) -> bool {
        let behind = if self.system { 8 } else { 7 };
        let names = |token: &str| WEEK.iter().any(|name| name.eq_ignore_ascii_case(token));
        self.tokens.len() >= behind
            && (0..6).all(|place| field(place, self.tokens[place]).is_good(place))
            && names(self.tokens[5]) == weekday
    }

    /// Whether a weekday stands behind five good fields, and both readings of the line are good.
    pub(crate) fn has_weekday_behind(&self) -> bool {
        self.begins_with_six(true) && self.is_good() && self.command(6).is_some()
    }

    /// Whether the line has seconds in our language, and is good.
    pub(crate) fn has_seconds(&self) -> bool {
        if !self.begins_with_six(false) {
            return false;
        }
        let year = self.tokens[6];
        let years = year == "*"
            || year.get(..4).is_some_and(|four| value(6, four).is_some())
                && field(6, year).is_good(6);
        self.command(if years { 7 } else { 6 }).is_some()
    }
}

/// A line without carriage returns at its end and outer blanks; the first of a file also without a mark.
pub(crate) fn unmarked(text: &str, first: bool) -> &str {
    let text = text.trim_end_matches('\r');
    let text = if first { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
    text.trim_matches([' ', '\t'])
}

/// Name and value, where a line without leading blanks is a setting (cronie's `load_env`).
pub(crate) fn setting(text: &str) -> Option<(&str, &str)> {
    const SPACES: [char; 6] = [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'];
    let quoted = |text: &str| text.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (name, rest) = match quoted(text) {
        Some(mark) => text[1..].split_once(mark).filter(|(name, _)| !name.contains('='))?,
        None => text.split_at(text.find(|c| SPACES.contains(&c) || c == '=')?),
    };
    let value = rest.trim_start_matches(SPACES).strip_prefix('=')?.trim_start_matches(SPACES);
    match quoted(value) {
        Some(mark) => {
            let (value, rest) = value[1..].split_once(mark)?;
            rest.trim_matches(SPACES).is_empty().then_some((name, value))
        }
        None => Some((name, value.trim_end_matches(SPACES))),
    }
}
