//! `NAME=value` lines.
use std::collections::HashMap;
use std::sync::Arc;

use super::Text;

/// The longest `NAME=value` that a process can be given (the kernel's `MAX_ARG_STRLEN`, cronie's `MAX_ENVSTR`).
pub(super) const LONGEST: usize = 131_071;

/// One `NAME=value` line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Setting {
    /// Left of the equals sign, quotes removed.
    pub name: Text,
    /// Right of it, quotes and outer blanks removed.
    pub value: Text,
}

/// The settings in force at some line, each name once, in the order in which the names first appeared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Settings(pub Vec<Setting>);

impl Settings {
    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Text> {
        self.0
            .iter()
            .find(|setting| setting.name.as_bytes() == name.as_bytes())
            .map(|setting| &setting.value)
    }

    /// Puts `setting` in the place of the one with the same name, or last (cronie's `env_set`).
    pub fn set(&mut self, setting: Setting) {
        match self.0.iter_mut().find(|have| have.name == setting.name) {
            Some(have) => *have = setting,
            None => self.0.push(setting),
        }
    }

    /// Takes `name` out.
    pub fn unset(&mut self, name: &str) {
        self.0.retain(|setting| setting.name.as_bytes() != name.as_bytes());
    }
}

/// The most names in the environment of a table that is no spool table.
const MOST_NAMES: usize = 1_000;

/// The most settings copied because entries stand between settings; one takes 32 bytes.
const MOST_COPIES: usize = 2_000_000;

/// What jobs get of the settings read so far; entries between two settings share it.
#[derive(Debug, Default)]
pub(super) struct Environment {
    plain: Scope,
    /// With the broker's address, once there is one.
    publisher: Option<Scope>,
    copied: usize,
}

/// Settings with the places of their names.
#[derive(Debug, Default, Clone)]
struct Scope {
    settings: Arc<Settings>,
    places: HashMap<Text, usize>,
    /// A name that was taken out, and its place: it comes back there.
    vacated: Option<(Text, usize)>,
}

impl Scope {
    /// Puts a setting in, and counts the settings that had to be copied for it.
    fn set(&mut self, setting: Setting) -> usize {
        let place = self.places.get(&setting.name).copied();
        if place.is_some_and(|place| self.settings.0[place] == setting) {
            return 0;
        }
        let vacated = self.vacated.take_if(|(name, _)| *name == setting.name);
        let (list, copied) = self.list();
        match (place, vacated) {
            (Some(place), _) => list[place] = setting,
            (None, Some((_, place))) => {
                list.insert(place.min(list.len()), setting);
                return copied + self.find_places();
            }
            (None, None) => {
                let place = list.len();
                list.push(setting.clone());
                self.places.insert(setting.name, place);
            }
        }
        copied
    }

    /// Takes a name out.
    fn unset(&mut self, name: &Text) -> usize {
        let Some(place) = self.places.get(name).copied() else { return 0 };
        let (list, copied) = self.list();
        list.remove(place);
        copied + self.find_places()
    }

    /// Takes a name out, if it is there, and keeps its place for it.
    fn vacate(&mut self, name: &Text) -> usize {
        let place = self.places.get(name).copied();
        if place.is_some() || self.vacated.as_ref().is_none_or(|(have, _)| have != name) {
            self.vacated = Some((name.clone(), place.unwrap_or(self.settings.0.len())));
        }
        self.unset(name)
    }

    fn list(&mut self) -> (&mut Vec<Setting>, usize) {
        let copied = if Arc::strong_count(&self.settings) > 1 { self.settings.0.len() } else { 0 };
        (&mut Arc::make_mut(&mut self.settings).0, copied)
    }

    /// Makes the index anew, which costs as much as a copy.
    fn find_places(&mut self) -> usize {
        self.places.clear();
        let names = self.settings.0.iter().map(|setting| setting.name.clone());
        self.places.extend(names.zip(0..));
        self.places.len()
    }
}

impl Environment {
    /// Whether a table without a spool's limits may set `name` here, so that the environments of all entries
    /// do not grow with the square of the table.
    pub(super) fn has_room_for(&self, name: &Text) -> bool {
        let own = name.as_bytes().strip_prefix(b"CRONKEEP_");
        if own.is_some_and(|option| !option.starts_with(b"AMQP")) {
            return true;
        }
        let places = self.publisher.as_ref().map_or(&self.plain.places, |scope| &scope.places);
        self.copied < MOST_COPIES && (places.len() < MOST_NAMES || places.contains_key(name))
    }

    /// Sets a variable for the entries below.
    pub(super) fn set(&mut self, setting: Setting) {
        if let Some(publisher) = &mut self.publisher {
            self.copied += publisher.set(setting.clone());
        }
        self.copied += self.plain.set(setting);
    }

    /// Takes a variable from the entries below; set again, it stands where it stood.
    pub(super) fn unset(&mut self, name: &str) {
        let name = Text::from(name);
        for scope in [Some(&mut self.plain), self.publisher.as_mut()].into_iter().flatten() {
            self.copied += scope.vacate(&name);
        }
    }

    /// Sets or, with an empty value, takes away what only entries get whose command is cronkeep.
    pub(super) fn set_for_publisher(&mut self, setting: Setting) {
        let publisher = self.publisher.get_or_insert_with(|| self.plain.clone());
        self.copied += if setting.value.is_empty() {
            publisher.unset(&setting.name)
        } else {
            publisher.set(setting)
        };
    }

    /// The environment of an entry with this command.
    pub(super) fn of(&self, command: &[u8]) -> Arc<Settings> {
        match &self.publisher {
            Some(publisher) if is_cronkeep(command) => publisher.settings.clone(),
            _ => self.plain.settings.clone(),
        }
    }
}

/// Whether the first word's file name is `cronkeep`.
fn is_cronkeep(command: &[u8]) -> bool {
    let word = command.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    word.rsplit(|&byte| byte == b'/').next() == Some(b"cronkeep")
}

/// What C's `strtol` makes of a text in base ten, and whether that is all of it; cronie reads `RANDOM_DELAY` so.
pub(super) fn leading_number(text: &[u8]) -> (i64, bool) {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let number = digits[..end].iter().fold(0i64, |number, byte| {
        number.saturating_mul(10).saturating_add(i64::from(byte - b'0'))
    });
    (if negative { -number } else { number }, end > 0 && end == digits.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_name_keeps_its_first_place_and_its_last_value() {
        let mut settings = Settings::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3"), ("a", "4")] {
            settings.set(setting(name, value));
        }
        assert_eq!(settings.0, [setting("A", "3"), setting("B", "2"), setting("a", "4")]);
        assert_eq!(settings.get("A"), Some(&"3".into()));
        settings.unset("B");
        assert_eq!(settings.get("B"), None);
    }

    #[test]
    fn entries_between_two_settings_share_them() {
        let mut environment = Environment::default();
        environment.set(setting("A", "1"));
        let (one, two) = (environment.of(b"x"), environment.of(b"y"));
        assert!(Arc::ptr_eq(&one, &two));
        environment.set(setting("A", "2"));
        assert_eq!(one.get("A"), Some(&"1".into()), "entries above keep what they had");
        assert_eq!(environment.of(b"x").get("A"), Some(&"2".into()));
    }

    #[test]
    fn a_name_taken_out_comes_back_to_its_place() {
        let mut environment = Environment::default();
        let names = |environment: &Environment| {
            let settings = environment.of(b"x");
            settings.0.iter().map(|setting| setting.name.to_string()).collect::<String>()
        };
        environment.unset("Z");
        for name in ["A", "B"] {
            environment.set(setting(name, "1"));
        }
        environment.set(setting("Z", "1"));
        assert_eq!(names(&environment), "ZAB");
        environment.unset("Z");
        environment.unset("Z");
        assert_eq!(names(&environment), "AB");
        environment.set(setting("Z", "2"));
        environment.set(setting("B", "2"));
        assert_eq!(names(&environment), "ZAB");
        assert_eq!(environment.of(b"x").get("B"), Some(&"2".into()));
    }

    #[test]
    fn the_same_value_again_copies_nothing() {
        let mut environment = Environment::default();
        environment.set(setting("A", "1"));
        let before = environment.of(b"x");
        environment.set(setting("A", "1"));
        assert!(Arc::ptr_eq(&before, &environment.of(b"x")));
        assert_eq!(environment.copied, 0);
        environment.set(setting("A", "2"));
        assert_eq!(environment.copied, 1);
    }

    #[test]
    fn only_cronkeep_gets_the_brokers_address() {
        let mut environment = Environment::default();
        environment.set_for_publisher(setting("CRONKEEP_AMQP", "amqp://h"));
        environment.set(setting("A", "1"));
        for command in [&b"cronkeep publish x"[..], b"/usr/bin/cronkeep", b"./cronkeep\tx"] {
            let settings = environment.of(command);
            assert_eq!(settings.get("CRONKEEP_AMQP"), Some(&"amqp://h".into()));
            assert_eq!(settings.get("A"), Some(&"1".into()));
        }
        for command in [&b"cronkeeper"[..], b"echo cronkeep", b"", b"cronkeep/x"] {
            assert_eq!(environment.of(command).get("CRONKEEP_AMQP"), None);
        }
        environment.set_for_publisher(setting("CRONKEEP_AMQP", ""));
        assert_eq!(environment.of(b"cronkeep").get("CRONKEEP_AMQP"), None);
    }

    #[test]
    fn numbers_are_read_as_strtol_reads_them() {
        let cases: &[(&str, i64, bool)] = &[
            ("10", 10, true),
            (" 7", 7, true),
            ("+5", 5, true),
            ("-1", -1, true),
            ("5x", 5, false),
            ("x", 0, false),
            ("", 0, false),
            ("99999999999999999999", i64::MAX, true),
        ];
        for (text, number, whole) in cases {
            assert_eq!(leading_number(text.as_bytes()), (*number, *whole), "{text:?}");
        }
    }
}
