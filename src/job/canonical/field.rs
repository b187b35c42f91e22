//! One time field in python-crontab's canonical form.
use super::python::number;
use super::sort::sort;

/// What a field may hold.
pub(super) struct Field {
    min: u32,
    max: u32,
    /// Three-letter names, the first of them for `min`.
    names: &'static [&'static str],
}

/// Minute, hour, day of month, month, day of week.
pub(super) const FIELDS: [Field; 5] = [
    Field { min: 0, max: 59, names: &[] },
    Field { min: 0, max: 23, names: &[] },
    Field { min: 1, max: 31, names: &[] },
    Field {
        min: 1,
        max: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// Which of the texts that python-crontab makes of one field.
///
/// It sorts a list in place each time it renders it, and its order is inconsistent: where a list mixes
/// numbers with ranges that hold them, each rendering may differ from the one before. The vectors hash the
/// second. What the service caches is the third: it renders for the id, for its queue, and for the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rendering {
    /// The third, as a rule equal to the first: the row in the cache.
    Cached,
    /// The second: what the id is made of.
    Hashed,
}

/// The day of week that is Sunday under another number.
const SEVEN: u32 = 7;

/// A number, or a name as typed.
#[derive(Clone, Copy, PartialEq)]
enum Value<'a> {
    Number(u32),
    Name(u32, &'a [u8]),
}

/// An item of a list.
#[derive(Clone, Copy)]
enum Item<'a> {
    One(Value<'a>),
    Range(Range<'a>),
}

/// `from-to/step`, or `from~to/step`.
#[derive(Clone, Copy)]
struct Range<'a> {
    from: Value<'a>,
    to: Value<'a>,
    step: u32,
    random: bool,
}

impl Value<'_> {
    fn number(self) -> u32 {
        match self {
            Value::Number(number) | Value::Name(number, _) => number,
        }
    }

    fn append(self, out: &mut Vec<u8>) {
        match self {
            Value::Number(number) => append_number(number, out),
            Value::Name(_, text) => out.extend_from_slice(text),
        }
    }
}

impl Item<'_> {
    /// Python's `int(item)`.
    fn number(self) -> u32 {
        match self {
            Item::One(value) => value.number(),
            Item::Range(range) => range.from.number(),
        }
    }

    /// Python's `self < other`; a number is not comparable to a name, and asks a range for its end.
    fn is_less(self, other: Item) -> Option<bool> {
        match (self, other) {
            (Item::One(Value::Number(_)), Item::One(Value::Name(..))) => None,
            (Item::One(Value::Number(number)), Item::Range(range)) => {
                Some(range.to.number() > number)
            }
            _ => Some(self.number() < other.number()),
        }
    }
}

impl Field {
    /// Appends the canonical form of `text`; none where the line is no job for the Python service.
    pub(super) fn append_canonical(
        &self,
        text: &[u8],
        rendering: Rendering,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        match text {
            b"*" => {
                out.push(b'*');
                return Some(());
            }
            digits if digits.len() <= 2 && digits.iter().all(u8::is_ascii_digit) => {
                append_number(self.item_value(digits)?.number(), out);
                return Some(());
            }
            _ => {}
        }
        let mut items = Vec::with_capacity(4);
        for part in text.split(|&byte| byte == b',') {
            self.read_part(part, &mut items)?;
        }
        if items.len() > 1 {
            let times = if rendering == Rendering::Hashed { 2 } else { 3 };
            for _ in 0..times {
                sort(&mut items, Item::is_less)?;
            }
        }
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match item {
                Item::One(value) => value.append(out),
                Item::Range(range) => self.append_range(range, out),
            }
        }
        Some(())
    }

    fn read_part<'a>(&self, part: &'a [u8], items: &mut Vec<Item<'a>>) -> Option<()> {
        let follows_something =
            |sign: u8| part.iter().position(|&byte| byte == sign).is_some_and(|at| at > 0);
        if follows_something(b'/')
            || follows_something(b'-')
            || part.contains(&b'~')
            || part == b"*"
        {
            self.read_range(part, items)
        } else {
            items.push(Item::One(self.item_value(part)?));
            Some(())
        }
    }

    fn read_range<'a>(&self, part: &'a [u8], items: &mut Vec<Item<'a>>) -> Option<()> {
        let mut text = part;
        let mut step = 1;
        if let Some((before, after)) = split_once(part, b'/') {
            text = before;
            match self.value(after)? {
                Value::Number(SEVEN) if self.is_weekday() => text = b"0-0",
                Value::Number(number) if number >= 1 => step = number,
                _ => return None,
            }
        }
        if matches!(text, b"*" | b"~") {
            let (from, to) = (Value::Number(self.min), Value::Number(self.max));
            items.push(Item::Range(Range { from, to, step, random: text == b"~" }));
            return Some(());
        }
        let (from, to, random) = match (split_once(text, b'-'), split_once(text, b'~')) {
            (Some((from, to)), _) => (from, to, false),
            (None, Some((from, to))) if !text.contains(&b'-') => (from, to, true),
            _ => return None,
        };
        let mut from = self.item_value(from)?;
        let mut to = self.value(to)?;
        if self.is_weekday() && to == Value::Number(SEVEN) {
            if from == Value::Number(1) {
                from = Value::Number(0);
            } else {
                items.push(Item::One(Value::Number(0)));
            }
            to = Value::Number(6);
        }
        if Item::One(to).is_less(Item::One(from))? {
            return None;
        }
        items.push(Item::Range(Range { from, to, step, random }));
        Some(())
    }

    /// A value of a list or the start of a range, where 7 is Sunday.
    fn item_value<'a>(&self, text: &'a [u8]) -> Option<Value<'a>> {
        match self.value(text)? {
            Value::Number(SEVEN) if self.is_weekday() => Some(Value::Number(0)),
            value => Some(value),
        }
    }

    /// A value within the field's limits; in the day of week also 7, which the caller must treat.
    fn value<'a>(&self, text: &'a [u8]) -> Option<Value<'a>> {
        match text {
            b"<" => return Some(Value::Number(self.min)),
            b">" => return Some(Value::Number(self.max)),
            _ => {}
        }
        if let Some(number) = number(text) {
            let legal =
                (self.min..=self.max).contains(&number) || (self.is_weekday() && number == SEVEN);
            return legal.then_some(Value::Number(number));
        }
        let place =
            self.names.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(text))?;
        Some(Value::Name(self.min + u32::try_from(place).ok()?, text))
    }

    fn is_weekday(&self) -> bool {
        self.max == 6
    }

    fn append_range(&self, range: Range, out: &mut Vec<u8>) {
        let Range { from, to, step, random } = range;
        if from.number() <= self.min && to.number() >= self.max {
            out.push(if random { b'~' } else { b'*' });
        } else {
            from.append(out);
            // Python compares two names by identity: mon-mon keeps both, 1-1 does not.
            let same = matches!((from, to), (Value::Number(a), Value::Number(b)) if a == b);
            if !same {
                out.push(if random { b'~' } else { b'-' });
                to.append(out);
            }
        }
        if step != 1 {
            out.push(b'/');
            append_number(step, out);
        }
    }
}

/// The parts before and after `sign`, if it occurs exactly once.
fn split_once(text: &[u8], sign: u8) -> Option<(&[u8], &[u8])> {
    let mut parts = text.split(|&byte| byte == sign);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(before), Some(after), None) => Some((before, after)),
        _ => None,
    }
}

/// Appends a number below 100 in decimal.
fn append_number(number: u32, out: &mut Vec<u8>) {
    let digit = |value: u32| b'0' + u8::try_from(value % 10).unwrap_or_default();
    if number >= 10 {
        out.push(digit(number / 10));
    }
    out.push(digit(number));
}
