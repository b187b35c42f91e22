//! The settings in force at a line, as lines that can be written again.
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::crontab::{Setting, Text};

/// Moves the schedule, and is a variable of the job's environment.
const CRON_TZ: &[u8] = b"CRON_TZ";
/// Moves the schedule only; the nearer of the two holds.
const ZONE: &[u8] = b"CRONKEEP_TZ";

/// Whether hardly a command runs where the variable is empty: it is not given so for want of none.
pub(super) fn is_permanent(name: &Text) -> bool {
    matches!(name.as_bytes(), b"PATH" | b"HOME")
}

/// What `NAME=value` lines above a line say to it.
///
/// The zone of the schedule stands under `CRONKEEP_TZ`, whichever of the two names gave it. Names whose empty value
/// takes them back are not in it when they are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Ambient(BTreeMap<Text, Text>);

/// How the value that a job had is given to it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spelling {
    /// By this line.
    Line(Vec<u8>),
    /// By this line, which is not quite the same: the variable is empty, where it was not there.
    Empty(Vec<u8>),
    /// Not at all: to have it empty would be worse than to have it.
    Impossible,
}

impl Ambient {
    pub(super) fn get(&self, name: &Text) -> Option<&Text> {
        self.0.get(name)
    }

    /// A setting line comes by.
    pub(super) fn set(ambient: &mut Rc<Self>, setting: &Setting) {
        for name in names_of(&setting.name) {
            Self::put(ambient, &name, value_of(setting));
        }
    }

    /// A line that could not be read comes by; whether it was meant as a setting. Such a one is as if it were not set.
    pub(super) fn refuse(ambient: &mut Rc<Self>, line: &[u8]) -> bool {
        let Some(names) = refused(line) else { return false };
        for name in names {
            Self::put(ambient, &name, None);
        }
        true
    }

    /// Copies only what is shared, and only for a change.
    pub(super) fn put(ambient: &mut Rc<Self>, name: &Text, value: Option<&Text>) {
        if ambient.get(name) == value {
            return;
        }
        let map = &mut Rc::make_mut(ambient).0;
        match value {
            Some(value) => map.insert(name.clone(), value.clone()),
            None => map.remove(name),
        };
    }

    /// The names to be looked at where `wanted` is to be in force: `CRON_TZ` first, and after it the zone, which it moves.
    pub(super) fn names_to_set(&self, wanted: &Self) -> Vec<Text> {
        let mut names = self.differences(wanted);
        let zone = Text::from(ZONE);
        if names.first().is_some_and(|name| name.as_bytes() == CRON_TZ) && !names.contains(&zone) {
            names.push(zone);
        }
        names
    }

    /// The names on which two differ, `CRON_TZ` before the zone that it gives.
    pub(super) fn differences(&self, other: &Self) -> Vec<Text> {
        let mut names: Vec<Text> = self
            .0
            .iter()
            .filter(|(name, value)| other.get(name) != Some(value))
            .map(|(name, _)| name.clone())
            .chain(other.0.keys().filter(|name| self.get(name).is_none()).cloned())
            .collect();
        names.sort_by_key(|name| (name.as_bytes() != CRON_TZ, name.clone()));
        names
    }
}

/// The names that a setting takes back which could not be read; none if the line was not meant as one.
pub(super) fn refused(line: &[u8]) -> Option<Vec<Text>> {
    let equals = line.iter().position(|&byte| byte == b'=')?;
    let name = line[..equals].trim_ascii();
    let name = name.strip_prefix(b"\"").and_then(|n| n.strip_suffix(b"\"")).unwrap_or(name);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if name.is_empty() || !name.iter().all(is_name) {
        return None;
    }
    let name = Text::from(name);
    Some(if resets(&name) { names_of(&name) } else { Vec::new() })
}

/// The names under which a setting is in force.
pub(super) fn names_of(name: &Text) -> Vec<Text> {
    let mut names = vec![name.clone()];
    if name.as_bytes() == CRON_TZ {
        names.push(Text::from(ZONE));
    }
    names
}

/// The value that a setting gives, if it gives one.
pub(super) fn value_of(setting: &Setting) -> Option<&Text> {
    Some(&setting.value).filter(|value| !value.is_empty() || !resets(&setting.name))
}

/// Whether an empty value of the name is the same as none.
pub(super) fn resets(name: &Text) -> bool {
    let name = name.as_bytes();
    name.starts_with(b"CRONKEEP_") || name == CRON_TZ || name == b"RANDOM_DELAY"
}

/// How a job of `user` is given `value` where something else is in force.
///
/// No line takes a variable back. Where there is a value that means the same as none, it is written; else the empty one,
/// but for those that are permanent.
pub(super) fn spelling(name: &Text, value: Option<&Text>, user: &[u8]) -> Spelling {
    if let Some(value) = value {
        return Spelling::Line(line(name.as_bytes(), value.as_bytes()));
    }
    let Some(value) = stand_in(name, user) else { return Spelling::Impossible };
    let line = line(name.as_bytes(), value.as_bytes());
    if value.is_empty() && !resets(name) { Spelling::Empty(line) } else { Spelling::Line(line) }
}

/// The value that a job of `user` has for want of none.
pub(super) fn stand_in(name: &Text, user: &[u8]) -> Option<Text> {
    match name.as_bytes() {
        _ if is_permanent(name) => None,
        b"SHELL" => Some(Text::from("/bin/sh")),
        b"MAILTO" => Some(Text::from(user)),
        _ => Some(Text::from("")),
    }
}

/// The line that says so; quoted where it would be read otherwise without.
pub(super) fn line(name: &[u8], value: &[u8]) -> Vec<u8> {
    let odd_name = name.is_empty()
        || name.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | b'"' | b'\'' | b'#'));
    let odd_value = value != value.trim_ascii() || matches!(value, [b'"' | b'\'', ..]);
    [&quoted(name, odd_name)[..], b"=", &quoted(value, odd_value || value.is_empty())].concat()
}

/// Text with the quotes around it that do not stand in it.
fn quoted(text: &[u8], needed: bool) -> Vec<u8> {
    if !needed {
        return text.to_vec();
    }
    let quote: &[u8] = if text.contains(&b'"') { b"'" } else { b"\"" };
    [quote, text, quote].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, LineKind, Source, parse};

    fn read(line: &[u8]) -> Setting {
        let source = Source { name: "-".into(), bytes: line.to_vec(), dialect: Dialect::system() };
        match parse(&source).lines.remove(0).kind {
            LineKind::Setting(setting) => setting,
            other => panic!("{:?} is {other:?}", String::from_utf8_lossy(line)),
        }
    }

    fn after(lines: &[&str]) -> Rc<Ambient> {
        let mut ambient = Rc::new(Ambient::default());
        for line in lines {
            Ambient::set(&mut ambient, &read(line.as_bytes()));
        }
        ambient
    }

    #[test]
    fn a_setting_is_written_so_that_it_reads_back() {
        for (name, value) in [
            ("A", "b"),
            ("A", ""),
            ("A", " b "),
            ("A", "it's"),
            ("A", "\"b\""),
            ("A", "'b' \""),
            ("A b", "c"),
            ("", "c"),
            ("A'", "c d"),
            ("#A", "c"),
            ("A", "\u{e9}=%#"),
        ] {
            let setting = Setting { name: name.into(), value: value.into() };
            if value.starts_with('\'') && value.contains('"') {
                continue;
            }
            assert_eq!(read(&line(name.as_bytes(), value.as_bytes())), setting);
        }
    }

    #[test]
    fn the_nearer_of_the_two_zones_holds() {
        let zone = |lines: &[&str]| after(lines).get(&Text::from(ZONE)).map(Text::to_string);
        assert_eq!(zone(&["CRON_TZ=UTC"]).as_deref(), Some("UTC"));
        assert_eq!(zone(&["CRON_TZ=UTC", "CRONKEEP_TZ=Asia/Tokyo"]).as_deref(), Some("Asia/Tokyo"));
        assert_eq!(zone(&["CRONKEEP_TZ=Asia/Tokyo", "CRON_TZ="]), None);
        assert_eq!(after(&["CRON_TZ=UTC", "CRON_TZ="]), Rc::default());
    }

    #[test]
    fn a_refused_setting_is_as_if_it_were_not_set() {
        let mut ambient = after(&["CRON_TZ=UTC", "CRONKEEP_TIMEOUT=5m", "A=1"]);
        assert!(Ambient::refuse(&mut ambient, b"CRON_TZ=Mars/X"));
        assert!(Ambient::refuse(&mut ambient, b" CRONKEEP_TIMEOUT = 5"));
        assert_eq!(ambient, after(&["A=1"]));
        assert!(!Ambient::refuse(&mut ambient, b"61 * * * * root A=1 x"));
        assert!(!Ambient::refuse(&mut ambient, b"61 * * * * root x"));
    }

    #[test]
    fn what_was_not_set_is_given_as_well_as_can_be() {
        let without = |name: &str| spelling(&name.into(), None, b"app");
        assert_eq!(without("SHELL"), Spelling::Line(b"SHELL=/bin/sh".to_vec()));
        assert_eq!(without("MAILTO"), Spelling::Line(b"MAILTO=app".to_vec()));
        assert_eq!(without("CRONKEEP_TIMEOUT"), Spelling::Line(b"CRONKEEP_TIMEOUT=\"\"".to_vec()));
        assert_eq!(without("PATH"), Spelling::Impossible);
        assert_eq!(without("A"), Spelling::Empty(b"A=\"\"".to_vec()));
    }

    #[test]
    fn differences_name_the_variable_before_the_zone() {
        let names: Vec<String> = after(&["CRON_TZ=UTC", "B=1", "A=1"])
            .differences(&after(&["B=2", "C=1"]))
            .iter()
            .map(Text::to_string)
            .collect();
        assert_eq!(names, ["CRON_TZ", "A", "B", "C", "CRONKEEP_TZ"]);
    }
}
