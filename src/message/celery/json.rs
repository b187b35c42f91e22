//! JSON whose numbers stay as they were written: there are integers of any length in Python.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::value::RawValue;

/// So deep may values stand in each other; as deep as the library itself reads them.
const DEEPEST: usize = 127;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// Its digits.
    Number(String),
    Text(String),
    List(Vec<Json>),
    /// Names and values; of a name that is there twice the last value, as Python reads it.
    Table(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// It is no JSON, or is too deep.
    pub(super) fn read(text: &str) -> serde_json::Result<Self> {
        value(serde_json::from_str(text)?, DEEPEST)
    }

    /// A value that was cut out of a text.
    ///
    /// # Errors
    /// It is too deep.
    pub(super) fn of(raw: &RawValue) -> serde_json::Result<Self> {
        value(raw, DEEPEST)
    }

    /// The value of a name, where this is a table.
    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        let Json::Table(values) = self else { return None };
        values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The text, where this is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        let Json::Text(text) = self else { return None };
        Some(text)
    }
}

fn value(raw: &RawValue, depth: usize) -> serde_json::Result<Json> {
    let deeper = || depth.checked_sub(1).ok_or_else(|| de::Error::custom("it is too deep"));
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'"') => Json::Text(serde_json::from_str(text)?),
        Some(b'[') => {
            let depth = deeper()?;
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            Json::List(items.into_iter().map(|item| value(item, depth)).collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let depth = deeper()?;
            let Pairs(pairs) = serde_json::from_str(text)?;
            let pairs = pairs.into_iter().map(|(name, item)| Ok((name, value(item, depth)?)));
            Json::Table(pairs.collect::<serde_json::Result<_>>()?)
        }
        _ => Json::Number(text.to_owned()),
    })
}

/// The names and values of an object, in order.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Vec<(String, &RawValue)> = Vec::new();
                let mut places = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    let known = places.get(&name).and_then(|place: &usize| pairs.get_mut(*place));
                    if let Some(pair) = known {
                        pair.1 = value;
                    } else {
                        places.insert(name.clone(), pairs.len());
                        pairs.push((name, value));
                    }
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// On one line, without blanks.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(is_true) => write!(f, "{is_true}"),
            Json::Number(digits) => f.write_str(digits),
            Json::Text(text) => quoted(text, f),
            Json::List(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    f.write_str(if place > 0 { "," } else { "" })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Json::Table(items) => {
                f.write_str("{")?;
                for (place, (name, item)) in items.iter().enumerate() {
                    f.write_str(if place > 0 { "," } else { "" })?;
                    quoted(name, f)?;
                    f.write_str(":")?;
                    item.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_as_they_were_written() {
        let text = r#"[123456789012345678901234567890, 1.10, -0, 1E400, {"a": [0.1e-7, null]}]"#;
        let told = Json::read(text).unwrap().to_string();
        assert_eq!(told, r#"[123456789012345678901234567890,1.10,-0,1E400,{"a":[0.1e-7,null]}]"#);
    }

    #[test]
    fn texts_are_shown_as_they_are() {
        let told = Json::read("{ \"\\u00fc\\n\" : [ true, false, \"\\\"\" ] }\n").unwrap();
        assert_eq!(told.to_string(), "{\"ü\\n\":[true,false,\"\\\"\"]}");
        assert_eq!(
            told.get("ü\n").map(ToString::to_string).as_deref(),
            Some("[true,false,\"\\\"\"]")
        );
    }

    #[test]
    fn of_a_name_that_is_there_twice_the_last_value_counts() {
        assert_eq!(
            Json::read(r#"{"a": 1, "b": 2, "a": 3}"#).unwrap().to_string(),
            r#"{"a":3,"b":2}"#
        );
    }

    #[test]
    fn what_is_none_or_too_deep_is_refused() {
        for text in ["", "[1", "{a: 1}", "[1] [2]", "[NaN]", "[\"\\ud800\"]", "\u{a0}[]", "[01]"] {
            assert!(Json::read(text).is_err(), "{text}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Json::read(&deep(127)).is_ok());
        assert!(Json::read(&deep(128)).is_err() && Json::read(&deep(100_000)).is_err());
    }
}
