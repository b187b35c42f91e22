//! Values as Python shows them.

use super::json::Json;

/// So many letters are shown, as Celery does: whoever watches wants to know what a task is about.
const LONGEST: usize = 1024;

/// A tuple of these values.
pub(super) fn tuple(items: &[Json]) -> String {
    let mut text = Text::default();
    text.push("(");
    text.list(items);
    text.push(if items.len() == 1 { ",)" } else { ")" });
    text.text
}

/// A dictionary.
pub(super) fn dict(items: &[(String, Json)]) -> String {
    let mut text = Text::default();
    text.dict(items);
    text.text
}

/// A text that grows no further once it is long enough.
#[derive(Default)]
struct Text {
    text: String,
    is_full: bool,
}

impl Text {
    fn push(&mut self, text: &str) {
        if self.is_full {
            return;
        }
        let room = LONGEST - self.text.len();
        if text.len() <= room {
            self.text.push_str(text);
            return;
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        self.text.push_str("...");
        self.is_full = true;
    }

    fn value(&mut self, value: &Json) {
        match value {
            Json::Null => self.push("None"),
            Json::Bool(true) => self.push("True"),
            Json::Bool(false) => self.push("False"),
            Json::Number(digits) => self.number(digits),
            Json::Text(text) => self.string(text),
            Json::List(items) => {
                self.push("[");
                self.list(items);
                self.push("]");
            }
            Json::Table(items) => self.dict(items),
        }
    }

    /// An integer has any number of digits; another number is the nearest that a float can be.
    fn number(&mut self, digits: &str) {
        match digits.parse::<f64>() {
            Ok(number) if digits.contains(['.', 'e', 'E']) => self.push(&float(number)),
            _ if digits == "-0" => self.push("0"),
            _ => self.push(digits),
        }
    }

    fn list(&mut self, items: &[Json]) {
        for (place, item) in items.iter().enumerate() {
            if self.is_full {
                return;
            }
            if place > 0 {
                self.push(", ");
            }
            self.value(item);
        }
    }

    fn dict(&mut self, items: &[(String, Json)]) {
        self.push("{");
        for (place, (name, value)) in items.iter().enumerate() {
            if self.is_full {
                return;
            }
            if place > 0 {
                self.push(", ");
            }
            self.string(name);
            self.push(": ");
            self.value(value);
        }
        self.push("}");
    }

    fn string(&mut self, text: &str) {
        let quote = if text.contains('\'') && !text.contains('"') { "\"" } else { "'" };
        self.push(quote);
        for letter in text.chars() {
            if self.is_full {
                return;
            }
            match letter {
                '\\' => self.push("\\\\"),
                '\n' => self.push("\\n"),
                '\r' => self.push("\\r"),
                '\t' => self.push("\\t"),
                '\'' if quote == "'" => self.push("\\'"),
                _ if is_printable(letter) => self.push(letter.encode_utf8(&mut [0; 4])),
                _ => self.push(&match u32::from(letter) {
                    code @ ..=0xff => format!("\\x{code:02x}"),
                    code @ ..=0xffff => format!("\\u{code:04x}"),
                    code => format!("\\U{code:08x}"),
                }),
            }
        }
        self.push(quote);
    }
}

/// Whether a letter is shown as it is, as near as Rust's own table of such letters comes.
fn is_printable(letter: char) -> bool {
    letter == '"' || letter == '\'' || !letter.escape_debug().to_string().starts_with('\\')
}

/// The shortest text that reads back as the number; an exponent has a sign and two digits.
fn float(number: f64) -> String {
    let text = format!("{number:?}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        match Json::read(json).unwrap() {
            Json::List(items) => tuple(&items),
            Json::Table(items) => dict(&items),
            _ => unreachable!("the cases are arrays and objects"),
        }
    }

    #[test]
    fn values_are_shown_as_python_shows_them() {
        for (json, python) in [
            ("[]", "()"),
            ("{}", "{}"),
            ("[1]", "(1,)"),
            ("[1, -2.5, 1e29, 1e-7, 0.1]", "(1, -2.5, 1e+29, 1e-07, 0.1)"),
            ("[null, true, false, [], {}]", "(None, True, False, [], {})"),
            ("[1E400, -0, -0.0, 1e5]", "(inf, 0, -0.0, 100000.0)"),
            ("[123456789012345678901234567890]", "(123456789012345678901234567890,)"),
            (r#"{"command": "echo hi"}"#, "{'command': 'echo hi'}"),
            (r#"["it's", "\"", "'\""]"#, r#"("it's", '"', '\'"')"#),
            (r#"["\\ \n\r\t\u0000\u007f\u0085é\u200b"]"#, r"('\\ \n\r\t\x00\x7f\x85é\u200b',)"),
            ("[\"\u{1f600}\u{e0001}\"]", "('\u{1f600}\\U000e0001',)"),
            (r#"{"a": [{"b": "c"}]}"#, "{'a': [{'b': 'c'}]}"),
        ] {
            assert_eq!(shown(json), python, "{json}");
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        for text in ["x".repeat(5000), "é".repeat(5000), "\n".repeat(5000)] {
            let shown = tuple(&[Json::Text(text)]);
            assert!(shown.ends_with("...") && shown.len() < LONGEST + 8, "{}", shown.len());
        }
        let many = vec![Json::Null; 100_000];
        assert!(tuple(&many).len() < LONGEST + 8);
    }
}
