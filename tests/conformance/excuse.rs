//! The one table of rules by which we deviate from a vector, each decided in the design of the language.
//!
//! A rule sees the vector and the line, never what we made of it. `docs/compatibility.md` shows the same
//! table with the number of cases that each rule excuses; the two are compared.

use serde_json::Value;

use crate::plain::{Field, Line};
use crate::{dst, plain};

/// One comparison: a vector, or one line of a parse vector.
pub struct Case<'a> {
    /// The vectors' file, such as `parse.jsonl`.
    pub file: &'static str,
    /// The vector as it stands in its file.
    pub vector: &'a Value,
    /// The line's number and bytes, where the comparison is about one line of a crontab.
    pub line: Option<(u64, &'a [u8])>,
}

impl Case<'_> {
    /// Whether the vector carries a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.vector["tags"].as_array().is_some_and(|tags| tags.iter().any(|have| have == tag))
    }

    /// Whether it is about a crontab as a whole.
    fn is_whole_file(&self) -> bool {
        self.is_of_crontab() && self.line.is_none()
    }

    fn is_of_crontab(&self) -> bool {
        matches!(self.file, "parse.jsonl" | "corpus")
    }

    fn expects(&self, key: &str, value: bool) -> bool {
        self.vector["expect"][key] == value
    }

    fn flavour(&self) -> &str {
        self.vector["flavour"].as_str().unwrap_or_default()
    }

    /// The text of the line that it is about.
    fn line_of_crontab(&self) -> Option<&str> {
        let (_, text) = self.line.filter(|_| self.is_of_crontab())?;
        str::from_utf8(text).ok()
    }

    /// Whether it is about the first line of a crontab.
    fn begins_file(&self) -> bool {
        self.line.is_some_and(|(number, _)| number == 1)
    }

    /// What cronie made of the line.
    fn expected(&self) -> &Value {
        let index = self.line.and_then(|(number, _)| usize::try_from(number).ok()).unwrap_or(0);
        match index.checked_sub(1).filter(|_| self.is_of_crontab()) {
            Some(index) => &self.vector["expect"]["lines"][index],
            None => &Value::Null,
        }
    }

    /// Whether cronie made such a line of it.
    fn says(&self, kind: &str) -> bool {
        self.expected()["kind"] == kind
    }

    /// Whether a `-` before the time fields, if there is one, may stand there: it is for the tables of root.
    fn is_allowed(&self) -> bool {
        let text = self.line_of_crontab().unwrap_or_default();
        self.flavour() != "user" || !text.trim_start_matches([' ', '\t']).starts_with('-')
    }

    /// The line's tokens, where cronie made an entry or an error of it.
    fn entry_line(&self) -> Option<Line<'_>> {
        let text = self.line_of_crontab().filter(|_| self.says("entry") || self.says("error"))?;
        Some(Line::of(text, self.flavour()))
    }

    /// Whether any of the five fields, with its place, is so.
    fn any_field(&self, is: impl Fn(usize, Field) -> bool) -> bool {
        let fields = self.entry_line().and_then(|line| line.fields());
        fields.is_some_and(|fields| (1..).zip(fields).any(|(place, field)| is(place, field)))
    }

    /// Whether all five fields are good in our language, and one is so.
    fn good_field(&self, is: impl Fn(Field) -> bool) -> bool {
        self.entry_line().is_some_and(|line| line.is_good())
            && self.any_field(|_, field| is(field))
            && !is_ambiguous(self)
    }
}

/// Why, and for which cases, our answer is not the vector's.
pub struct Rule {
    /// A few words, as in docs/compatibility.md.
    pub name: &'static str,
    /// The decision, as in docs/compatibility.md.
    pub reason: &'static str,
    /// Whether the case falls under the rule.
    pub applies: fn(&Case) -> bool,
}

/// Every rule. The first that applies counts.
pub const RULES: &[Rule] = &[
    Rule {
        name: "commentary limit",
        reason: "comments and blank lines are not limited",
        applies: |case| {
            case.is_whole_file()
                && case.expects("loaded", false)
                && longest_commentary(case) > 32_768
        },
    },
    Rule {
        name: "carriage return alone",
        reason: "a line that is only carriage returns is blank",
        applies: |case| {
            case.says("error")
                && case.line_of_crontab().is_some_and(|text| {
                    text.ends_with('\r') && plain::unmarked(text, case.begins_file()).is_empty()
                })
        },
    },
    Rule {
        name: "carriage return",
        reason: "carriage returns at the end of a line are left out",
        applies: |case| {
            let ended = case.line_of_crontab().is_some_and(|text| text.ends_with('\r'));
            let text = case.vector["text"].as_str().unwrap_or_default();
            case.says("entry") && ended || case.file == "run.jsonl" && text.contains("\r\n")
        },
    },
    Rule {
        name: "byte order mark",
        reason: "a byte order mark at the beginning of the file is left out",
        applies: |case| {
            let marked = |text: &str| text.starts_with('\u{feff}');
            let first = case.begins_file();
            let text = case.line_of_crontab().unwrap_or_default();
            let inherited = case.expected()["env"]
                .as_array()
                .is_some_and(|settings| settings.iter().filter_map(Value::as_str).any(marked));
            inherited
                || first
                    && marked(text)
                    && (!case.says("error") || {
                        let rest =
                            text.trim_start_matches('\u{feff}').trim_start_matches([' ', '\t']);
                        rest.is_empty()
                            || rest.starts_with('#')
                            || is_readable(rest, case.flavour())
                    })
        },
    },
    Rule {
        name: "seconds",
        reason: "six or seven fields that all parse have seconds first and the year last",
        applies: |case| case.entry_line().is_some_and(|line| line.has_seconds()),
    },
    Rule {
        name: "weekday or command",
        reason: "a weekday behind five fields is an error where another line of the file has seconds",
        applies: |case| case.says("entry") && is_ambiguous(case),
    },
    Rule {
        name: "missing newline",
        reason: "the last line runs without its line end, with a warning",
        applies: |case| {
            case.expected()["error"] == "missing newline before EOF"
                && !is_ambiguous(case)
                && case.line_of_crontab().is_some_and(|text| {
                    is_readable(plain::unmarked(text, case.begins_file()), case.flavour())
                })
        },
    },
    Rule {
        name: "over-long line",
        reason: "a command or setting above 131 071 bytes is an error; cronie cuts it off",
        applies: |case| {
            (case.says("entry") || case.says("env"))
                && case.line_of_crontab().is_some_and(|text| is_too_long(text, case.flavour()))
        },
    },
    Rule {
        name: "out of range",
        reason: "a number outside the field's range is an error; it never wraps",
        applies: |case| case.says("entry") && case.any_field(|_, field| field.outside),
    },
    Rule {
        name: "step above 10 000",
        reason: "a step above 10 000 is an error",
        applies: |case| case.says("entry") && case.any_field(|_, field| field.long_step),
    },
    Rule {
        name: "reversed range",
        reason: "a reversed range is an error with a hint, but in the day of the week",
        applies: |case| {
            case.says("entry") && case.any_field(|place, field| field.reversed && place != 5)
        },
    },
    Rule {
        name: "range around the week",
        reason: "any range of weekdays may wrap",
        applies: |case| {
            let days = &case.expected()["dow"];
            // Of a field with a `~`, what is not drawn.
            let days = if days.is_object() { &days["always"] } else { days };
            let expected = days.as_array().map_or(0x7f, |days| {
                days.iter().filter_map(Value::as_u64).fold(0, |bits, day| bits | 1 << (day % 7))
            });
            case.says("entry")
                && case.any_field(|place, field| {
                    place == 5 && field.reversed && field.wrapped != expected
                })
        },
    },
    Rule {
        name: "~ with a step",
        reason: "OpenBSD's ~/n: a start is drawn, then every n-th value",
        applies: |case| case.says("error") && case.good_field(|field| field.stepped_draw),
    },
    Rule {
        name: "L W # ?",
        reason: "the day fields have L, LW, nW, dL, d#n and ?",
        applies: |case| case.says("error") && case.good_field(|field| field.special),
    },
    Rule {
        name: "-q and -s",
        reason: "OpenBSD's options stand before a command as -n does",
        applies: |case| {
            case.expected()["error"] == "bad option"
                && !is_ambiguous(case)
                && case.line_of_crontab().is_some_and(|text| is_readable(text, case.flavour()))
        },
    },
    Rule {
        name: "@every @at @after",
        reason: "these words begin a schedule",
        applies: |case| {
            case.says("error")
                && case.is_allowed()
                && case.entry_line().is_some_and(|line| line.has_schedule_word())
        },
    },
    Rule {
        name: "unknown zone",
        reason: "a CRON_TZ that is no zone is an error of its line",
        applies: |case| {
            let expected = case.expected();
            // It is not handed on to the entries below either.
            let inherited = expected["env"].as_array().is_some_and(|settings| {
                let mut settings = settings.iter().filter_map(Value::as_str);
                settings
                    .any(|text| text.strip_prefix("CRON_TZ=").is_some_and(|zone| !is_zone(zone)))
            });
            inherited
                || case.says("env")
                    && expected["name"] == "CRON_TZ"
                    && !is_zone(expected["value"].as_str().unwrap_or("?"))
        },
    },
    Rule {
        name: "zone of its own",
        reason: "an entry under CRON_TZ follows the rules of the default zone, applied to its own zone",
        applies: |case| case.file == "dst.jsonl" && dst::differs_for_other_zones(case.vector),
    },
    Rule {
        name: "weekdays around the week's end",
        reason: "a range of weekdays may wrap",
        applies: |case| case.file == "next.jsonl" && has_wrapping_weekdays(case.vector),
    },
    Rule {
        name: "reversed range in an expression",
        reason: "a reversed range is an error with a hint, never an empty set or cronie's 0 for 7",
        applies: |case| {
            case.file == "next.jsonl" && (case.has_tag("empty-field") || case.has_tag("zero-end"))
        },
    },
    Rule {
        name: "step without a range",
        reason: "a/n is an error that names the range to write, as in every cron",
        applies: |case| case.file == "ext.jsonl" && has_bare_step(case.vector),
    },
    Rule {
        name: "interval below a second",
        reason: "@every takes at least one second; robfig/cron raises what is less to one",
        applies: |case| case.file == "ext.every.jsonl" && is_below_a_second(case.vector),
    },
    Rule {
        name: "commented-out line",
        reason: "the Python service runs commented lines; a comment is a comment",
        applies: |case| case.file == "job-ids.json" && case.vector["outcome"] == "job-from-comment",
    },
    Rule {
        name: "only the Python service reads it",
        reason: "< and > as limits, digits and blanks beyond ASCII and @ words in capitals are errors, as for cronie",
        applies: |case| case.file == "job-ids.json" && has_foreign_times(case),
    },
    Rule {
        name: "home directory",
        reason: "a job without its home directory runs in / with a warning; cronie does not run it",
        applies: |case| {
            let log = case.vector["expect"]["log"].as_array();
            case.file == "run.jsonl"
                && log.is_some_and(|log| log.iter().any(|line| line[1] == "ERROR chdir failed"))
        },
    },
];

/// Whether a line of a crontab is an entry or a setting in our language.
fn is_readable(text: &str, flavour: &str) -> bool {
    let text = text.trim_end_matches('\r');
    let first = text.trim_start_matches([' ', '\t']);
    if is_too_long(text, flavour) {
        return false;
    }
    let line = Line::of(text, flavour);
    if let Some((name, value)) = plain::setting(first) {
        return name != "CRON_TZ" || is_zone(value);
    }
    let nickname = matches!(
        line.tokens.first().copied(),
        Some(
            "@reboot"
                | "@yearly"
                | "@annually"
                | "@monthly"
                | "@weekly"
                | "@daily"
                | "@midnight"
                | "@hourly"
        )
    );
    // The leading - is for the tables of root.
    let allowed = flavour != "user" || !first.starts_with('-');
    allowed
        && (nickname && line.command(1).is_some()
            || line.is_good()
            || line.has_seconds()
            || line.has_schedule_word())
}

/// Whether a weekday stands behind five good fields, and any line of the crontab is read with seconds.
fn is_ambiguous(case: &Case) -> bool {
    if !case.entry_line().is_some_and(|line| line.has_weekday_behind()) {
        return false;
    }
    let text = case.vector["text"].as_str().unwrap_or_default();
    text.split('\n').enumerate().any(|(index, text)| {
        Line::of(plain::unmarked(text, index == 0), case.flavour()).has_seconds()
    })
}

/// Whether the command or the setting of a line is longer than cronie's buffers.
fn is_too_long(text: &str, flavour: &str) -> bool {
    const LONGEST: usize = 131_071;
    let text = text.trim_end_matches('\r').trim_start_matches([' ', '\t']);
    if text.len() <= LONGEST {
        return false;
    }
    if let Some((name, value)) = plain::setting(text) {
        return name.len() + 1 + value.len() > LONGEST;
    }
    let line = Line::of(text, flavour);
    let command = line.command(if text.trim_start_matches('-').starts_with('@') { 1 } else { 5 });
    command
        .and_then(<[&str]>::first)
        .is_some_and(|first| text.len() - (first.as_ptr().addr() - text.as_ptr().addr()) > LONGEST)
}

/// Whether a value of `CRON_TZ` is a zone, spelled as the files of the time zone database are, or none at all.
fn is_zone(value: &str) -> bool {
    let name = value.strip_prefix(':').unwrap_or(value);
    let database = jiff::tz::TimeZoneDatabase::bundled();
    name.is_empty()
        || database.available().any(|known| known.as_str() == name)
        || database.get(name).is_err() && jiff::tz::TimeZone::posix(name).is_ok()
}

/// The most bytes of comments and blank lines between two other lines of a crontab.
fn longest_commentary(case: &Case) -> usize {
    let (mut longest, mut length) = (0, 0);
    for line in case.vector["text"].as_str().unwrap_or_default().split_inclusive('\n') {
        let text = line.trim_start_matches([' ', '\t']);
        let silent = text.trim_end_matches('\n').is_empty() || text.starts_with('#');
        length = if silent { length + line.len() } else { 0 };
        longest = longest.max(length);
    }
    longest
}

/// Whether the day of the week has a range of numbers that ends below its start, and not at 0.
fn has_wrapping_weekdays(vector: &Value) -> bool {
    let text = vector["expr"].as_str().unwrap_or_default();
    let weekdays = text.split_whitespace().nth(4).unwrap_or_default();
    weekdays.split(',').any(|item| {
        let range = item.split('/').next().and_then(|range| range.split_once('-'));
        let number = |text: &str| text.parse::<u32>().ok();
        let ends = range.and_then(|(low, high)| number(low).zip(number(high)));
        ends.is_some_and(|(low, high)| low > high && high != 0)
    })
}

/// Whether a field has a number with a step and no range.
fn has_bare_step(vector: &Value) -> bool {
    vector["error"] != true
        && vector["expr"].as_str().is_some_and(|text| {
            text.split([' ', ',']).any(|item| {
                item.split_once('/').is_some_and(|(first, _)| first.parse::<u32>().is_ok())
            })
        })
}

/// Whether robfig/cron makes a second of a duration that is less: negative, zero, or in units below a second.
fn is_below_a_second(vector: &Value) -> bool {
    let text = vector["expr"].as_str().unwrap_or_default();
    let value = text.trim_start_matches("@every ");
    let small = ["ns", "us", "ms"].iter().any(|unit| {
        value.strip_suffix(unit).is_some_and(|number| number.parse::<u32>().is_ok_and(|n| n < 1000))
    });
    vector["seconds"] == 1 && (value.starts_with('-') || value == "0" || small)
}

/// Whether the time fields have characters, or the @ word has letters, that cronie does not know.
fn has_foreign_times(case: &Case) -> bool {
    let line = case.vector["line"].as_str().filter(|_| case.vector["id"].is_string());
    let line = line.unwrap_or_default().trim_start();
    let foreign = |character: char| !character.is_ascii() || matches!(character, '<' | '>');
    match line.strip_prefix('@') {
        Some(word) => {
            let word = word.split_whitespace().next().unwrap_or_default();
            word.chars().any(|character| character.is_ascii_uppercase())
        }
        None => line
            .split([' ', '\t'])
            .filter(|token| !token.is_empty())
            .take(5)
            .any(|token| token.contains(foreign)),
    }
}
