//! `next --batch`: one question a line, one answer a line, in order.

use std::io::{self, BufRead, BufReader, Read, Write};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::stamp::{Stamper, has_seconds};
use super::timeline::{Timeline, Track, from_inclusive};
use super::{read_instant, seed_of};
use crate::crontab::directive::{Refusal as Refused, Searches, zone as read_zone};
use crate::crontab::render::FaultObject;
use crate::crontab::{Code, Compat, Fault, FieldCount, expression};
use crate::schedule::{Cursor, Schedule, Zone};

/// How many zones are kept from one question to the next.
const MAX_ZONES: usize = 1000;

/// What a question may look like.
const FORMS: &str = "write {\"expr\":…,\"tz\":…,\"after\":…,\"count\":…} or \
     {\"entries\":[…],\"tz\":…,\"from\":…,\"until\":…}";

/// A question: `{"expr","tz","after","count"}` or `{"entries","tz","cron_tz","from","until"}`.
#[derive(Debug, Deserialize)]
struct Question {
    expr: Option<String>,
    entries: Option<Vec<String>>,
    tz: Option<String>,
    cron_tz: Option<Vec<Option<String>>>,
    after: Option<String>,
    from: Option<String>,
    until: Option<String>,
    count: Option<usize>,
    fields: Option<u8>,
    compat: Option<String>,
}

/// Why a question has no answer.
enum Refusal {
    /// The question itself is wrong.
    Request { column: u32, message: String },
    /// A text in it is wrong: the entry's index, if it is an entry's.
    Fault { fault: Fault, entry: Option<usize> },
}

/// Defaults for what a question leaves out.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The zone.
    pub zone: Zone,
    /// Where fires begin.
    pub now: Timestamp,
    /// Whose habits hold.
    pub compat: Compat,
}

/// Answers every line of `input`; ends quietly with the input.
///
/// An answer is flushed once no further question waits in the buffer, so a program may ask and read in turn.
///
/// # Errors
/// Reading or writing failed.
pub fn answer_all(
    input: &mut dyn Read,
    defaults: &Defaults,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut zones = Zones::default();
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        if input.buffer().is_empty() {
            out.flush()?;
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        number += 1;
        zones.shrink();
        answer(&line, number, defaults, &mut zones, out)?;
    }
}

/// Answers one question.
fn answer(
    line: &[u8],
    number: u32,
    defaults: &Defaults,
    zones: &mut Zones,
    out: &mut dyn Write,
) -> io::Result<()> {
    let outcome = serde_json::from_slice::<Question>(line)
        .map_err(|_| malformed(line))
        .and_then(|question| Plan::new(&question, defaults, zones));
    match outcome {
        Ok(plan) => plan.write(zones, out),
        Err(refusal) => write_refusal(&refusal, number, out),
    }
}

/// Why a line is no question, in words.
fn malformed(line: &[u8]) -> Refusal {
    let request = |column, message: &str| Refusal::Request { column, message: message.to_owned() };
    if line.trim_ascii().is_empty() {
        return request(1, "the line is empty");
    }
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(error) => {
            let column = u32::try_from(error.column()).unwrap_or(u32::MAX).max(1);
            return request(column, "the line is not JSON");
        }
    };
    let Value::Object(fields) = value else {
        return request(1, "the line is not a JSON object");
    };
    let text = |value: &Value| value.is_string() || value.is_null();
    let wanted = |name: &str, value: &Value| match name {
        "expr" | "tz" | "after" | "from" | "until" | "compat" => {
            (!text(value)).then_some("is not a string")
        }
        "entries" => {
            let texts = value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
            (!texts && !value.is_null()).then_some("is not a list of strings")
        }
        "cron_tz" => {
            let texts = value.as_array().is_some_and(|list| list.iter().all(text));
            (!texts && !value.is_null()).then_some("is not a list of strings and nulls")
        }
        "count" => (!value.is_u64() && !value.is_null()).then_some("is not a whole number"),
        "fields" => (!value.is_null()).then_some("is not 5, 6 or 7"),
        _ => None,
    };
    let wrong = |(name, value): (&String, &Value)| {
        let fits = name == "fields" && value.as_u64().is_some_and(|count| count <= 255);
        wanted(name, value).filter(|_| !fits).map(|what| format!("{name} {what}"))
    };
    match fields.iter().find_map(wrong) {
        Some(message) => Refusal::Request { column: 1, message },
        None => request(1, "a name stands in the object twice"),
    }
}

fn write_refusal(refusal: &Refusal, line: u32, out: &mut dyn Write) -> io::Result<()> {
    let request;
    let (fault, entry) = match refusal {
        Refusal::Request { column, message } => {
            request = request_fault(line, *column, message);
            (&request, None)
        }
        Refusal::Fault { fault, entry } => (fault, *entry),
    };
    out.write_all(b"{\"error\":")?;
    serde_json::to_writer(&mut *out, &FaultObject::from(fault))?;
    writeln!(out, ",\"entry\":{}}}", entry.map_or("null".to_owned(), |entry| entry.to_string()))
}

/// The fault of a line that is no question; `line` and `column` are those of the batch.
fn request_fault(line: u32, column: u32, message: &str) -> Fault {
    Fault {
        code: Code::E050,
        line,
        column,
        end_column: column,
        message: message.to_owned(),
        help: Some(FORMS.to_owned()),
    }
}

/// The fault of a zone that does not exist; it is placed in the name itself.
fn unknown_zone(name: &str, refusal: Refused) -> Fault {
    refusal.at(Code::E021, 0..name.len(), &mut Searches::default()).on_line(1, name.as_bytes())
}

/// A question whose texts are all understood.
struct Plan {
    /// Each schedule with the index of its zone.
    schedules: Vec<(Schedule, usize)>,
    anchor: Timestamp,
    cursor: Cursor,
    until: Option<Timestamp>,
    count: Option<usize>,
}

impl Plan {
    fn new(question: &Question, defaults: &Defaults, zones: &mut Zones) -> Result<Self, Refusal> {
        let wrong = |message: &str| Refusal::Request { column: 1, message: message.to_owned() };
        let texts: Vec<&str> = match (&question.expr, &question.entries) {
            (Some(expr), None) => vec![expr],
            (None, Some(entries)) => entries.iter().map(String::as_str).collect(),
            _ => return Err(wrong("a question has either expr or entries")),
        };
        let begins = question.from.is_some() || question.after.is_some();
        let ends = question.until.is_some() || question.count.is_some();
        if question.entries.is_some() && !(begins && ends) {
            return Err(wrong("entries need from and until"));
        }
        let fields = match question.fields {
            None => FieldCount::Auto,
            Some(5) => FieldCount::Five,
            Some(6) => FieldCount::Six,
            Some(7) => FieldCount::Seven,
            Some(_) => return Err(wrong("fields is not 5, 6 or 7")),
        };
        let compat = match question.compat.as_deref() {
            None => defaults.compat,
            Some("supercronic") => Compat::Supercronic,
            Some(_) => return Err(wrong("compat is not supercronic")),
        };
        let default = match question.tz.as_deref() {
            Some(name) => zones.index(name, None)?,
            None => zones.index_of(&defaults.zone),
        };
        let overrides = question.cron_tz.as_deref().unwrap_or_default();
        if !overrides.is_empty() && overrides.len() != texts.len() {
            return Err(wrong("cron_tz has not one value for each entry"));
        }
        let mut schedules = Vec::with_capacity(texts.len());
        for (index, text) in texts.into_iter().enumerate() {
            let expression =
                expression::parse(text.as_bytes(), fields, compat).map_err(|wrong| {
                    Refusal::Fault { fault: wrong.on_line(1, text.as_bytes()), entry: Some(index) }
                })?;
            let zone = match overrides.get(index).and_then(Option::as_deref) {
                Some(name) if !name.is_empty() => zones.index(name, Some(index))?,
                _ => default,
            };
            schedules.push((expression.when.resolve(seed_of(&expression)), zone));
        }
        let instant = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => read_instant(text, &zones.zones[default])
                .map(Some)
                .map_err(|error| wrong(&format!("{name}: {error}"))),
        };
        let after = instant("after", &question.after)?;
        let from = instant("from", &question.from)?;
        let until = instant("until", &question.until)?;
        let anchor = after.or(from).unwrap_or(defaults.now);
        let cursor = match (after, from) {
            (Some(_), Some(_)) => return Err(wrong("a question has either after or from")),
            (None, Some(from)) => from_inclusive(from),
            (after, None) => Cursor::Instant(after.unwrap_or(defaults.now)),
        };
        let count = question.count.or(if until.is_some() { None } else { Some(1) });
        Ok(Plan { schedules, anchor, cursor, until, count })
    }

    fn write(&self, zones: &mut Zones, out: &mut dyn Write) -> io::Result<()> {
        let Zones { zones, stampers } = zones;
        let timeline = Timeline::new(self.schedules.iter().map(|(schedule, zone)| Track {
            schedule,
            zone: &zones[*zone],
            anchor: self.anchor,
            cursor: self.cursor,
            until: self.until,
        }));
        out.write_all(b"{\"fires\":[")?;
        let mut first = true;
        for (index, due) in timeline.take(self.count.unwrap_or(usize::MAX)) {
            let (schedule, zone) = &self.schedules[index];
            out.write_all(if first { b"[" } else { b",[" })?;
            first = false;
            write!(out, "{index},")?;
            stampers[*zone].write_due(due, has_seconds(schedule), out)?;
            out.write_all(b"]")?;
        }
        out.write_all(b"]}\n")
    }
}

/// The zones that questions have named, each once: what a zone has learnt of its changes serves the next question.
#[derive(Default)]
struct Zones {
    zones: Vec<Zone>,
    stampers: Vec<Stamper>,
}

impl Zones {
    /// Forgets the zones if they are more than there are in the world: names can be made up without end.
    fn shrink(&mut self) {
        if self.zones.len() > MAX_ZONES {
            *self = Zones::default();
        }
    }

    fn index_of(&mut self, zone: &Zone) -> usize {
        let known = self.zones.iter().position(|known| known == zone);
        known.unwrap_or_else(|| {
            self.zones.push(zone.clone());
            self.stampers.push(Stamper::new(zone));
            self.zones.len() - 1
        })
    }

    fn index(&mut self, name: &str, entry: Option<usize>) -> Result<usize, Refusal> {
        if let Some(index) = self.zones.iter().position(|zone| zone.name() == name) {
            return Ok(index);
        }
        let zone = read_zone(name)
            .map_err(|refused| Refusal::Fault { fault: unknown_zone(name, refused), entry })?;
        Ok(self.index_of(&zone))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ask(lines: &[u8]) -> Vec<Value> {
        let defaults = Defaults {
            zone: Zone::utc(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            compat: Compat::Cronkeep,
        };
        let mut out = Vec::new();
        answer_all(&mut &lines[..], &defaults, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn ask_one(question: &Value) -> Value {
        let mut answers = ask(question.to_string().as_bytes());
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    #[test]
    fn an_expression_fires_strictly_after() {
        let answer = ask_one(&json!({
            "expr": "0 * * * *", "tz": "UTC", "after": "2026-05-01T10:00:00Z", "count": 2
        }));
        assert_eq!(
            answer,
            json!({"fires": [
                [0, "2026-05-01T11:00:00+00:00", "2026-05-01T11:00"],
                [0, "2026-05-01T12:00:00+00:00", "2026-05-01T12:00"],
            ]})
        );
    }

    #[test]
    fn left_out_are_now_one_and_the_default_zone() {
        let answer = ask_one(&json!({"expr": "30 1 * * *"}));
        assert_eq!(
            answer,
            json!({"fires": [[0, "2026-01-01T01:30:00+00:00", "2026-01-01T01:30"]]})
        );
    }

    #[test]
    fn entries_fire_from_inclusive_until_exclusive_in_the_order_of_time() {
        let answer = ask_one(&json!({
            "entries": ["0 12 * * *", "0 */6 * * *"], "tz": "UTC",
            "from": "2026-05-01T06:00:00Z", "until": "2026-05-01T18:00:00Z"
        }));
        assert_eq!(
            answer,
            json!({"fires": [
                [1, "2026-05-01T06:00:00+00:00", "2026-05-01T06:00"],
                [0, "2026-05-01T12:00:00+00:00", "2026-05-01T12:00"],
                [1, "2026-05-01T12:00:00+00:00", "2026-05-01T12:00"],
            ]})
        );
    }

    #[test]
    fn an_entry_has_its_own_zone_and_its_offset() {
        let answer = ask_one(&json!({
            "entries": ["0 9 * * *", "0 9 * * *"], "tz": "UTC", "cron_tz": [null, "Asia/Tokyo"],
            "from": "2026-05-01T00:00:00Z", "until": "2026-05-02T00:00:00Z"
        }));
        assert_eq!(
            answer,
            json!({"fires": [
                [1, "2026-05-01T09:00:00+09:00", "2026-05-01T09:00"],
                [0, "2026-05-01T09:00:00+00:00", "2026-05-01T09:00"],
            ]})
        );
    }

    #[test]
    fn the_minute_that_was_skipped_is_told() {
        let answer = ask_one(&json!({
            "entries": ["30 2 * * *"], "tz": "Europe/Berlin",
            "from": "2026-03-29T00:00:00+01:00", "until": "2026-03-30T00:00:00+02:00"
        }));
        assert_eq!(
            answer,
            json!({"fires": [[0, "2026-03-29T03:00:00+02:00", "2026-03-29T02:30"]]})
        );
    }

    #[test]
    fn what_never_fires_has_an_empty_answer() {
        for expr in ["@reboot", "0 0 31 2 *"] {
            assert_eq!(ask_one(&json!({"expr": expr, "count": 5})), json!({"fires": []}));
        }
    }

    #[test]
    fn a_wrong_entry_is_answered_with_its_fault_and_its_index() {
        let answer = ask_one(&json!({
            "entries": ["* * * * *", "61 * * * *"], "from": "2026-01-01", "count": 1
        }));
        assert_eq!(answer["entry"], 1);
        assert_eq!(answer["error"]["code"], "E001");
        assert_eq!(answer["error"]["severity"], "error");
        assert_eq!(answer["error"]["column"], 1);
    }

    #[test]
    fn a_wrong_zone_is_a_fault() {
        let answer = ask_one(&json!({"expr": "@daily", "tz": "Mars/Base"}));
        assert_eq!(answer["error"]["code"], "E021");
        assert_eq!(answer["error"]["message"], "Mars/Base is not a time zone");
        assert!(answer["error"]["help"].as_str().unwrap().contains("Europe/Berlin"));
        assert_eq!(answer["entry"], Value::Null);
    }

    #[test]
    fn a_wrong_request_is_told_in_words_with_both_forms() {
        for (line, message) in [
            ("", "the line is empty"),
            ("{nonsense", "the line is not JSON"),
            ("[]", "the line is not a JSON object"),
            ("{}", "a question has either expr or entries"),
            (r#"{"expr":5}"#, "expr is not a string"),
            (r#"{"expr":"@daily","count":-1}"#, "count is not a whole number"),
            (r#"{"expr":"@daily","fields":"6"}"#, "fields is not 5, 6 or 7"),
            (r#"{"expr":"@daily","fields":9}"#, "fields is not 5, 6 or 7"),
            (r#"{"expr":"@daily","fields":900}"#, "fields is not 5, 6 or 7"),
            (r#"{"entries":"@daily"}"#, "entries is not a list of strings"),
            (r#"{"entries":[],"cron_tz":[1]}"#, "cron_tz is not a list of strings and nulls"),
            (r#"{"entries":["@daily"]}"#, "entries need from and until"),
            (r#"{"entries":["@daily"],"count":1}"#, "entries need from and until"),
            (r#"{"expr":"@daily","expr":"@daily"}"#, "a name stands in the object twice"),
        ] {
            let answers = ask(format!("{line}\n").as_bytes());
            let error = &answers[0]["error"];
            assert_eq!((&error["code"], &error["message"]), (&json!("E050"), &json!(message)));
            let help = error["help"].as_str().unwrap();
            assert!(help.contains("\"expr\"") && help.contains("\"entries\""), "{help}");
        }
    }

    #[test]
    fn a_line_that_is_no_question_does_not_end_the_batch() {
        let answers = ask(b"{nonsense\n\n\xff\xfe\n[]\n{}\n{\"expr\":\"@daily\"}");
        assert_eq!(answers.len(), 6);
        for (index, answer) in answers[..5].iter().enumerate() {
            assert_eq!(answer["error"]["line"], index + 1, "{answer}");
            assert_eq!(answer["entry"], Value::Null);
        }
        assert_eq!(answers[5]["fires"][0][1], "2026-01-02T00:00:00+00:00");
    }

    #[test]
    fn seconds_are_told_where_the_schedule_has_them() {
        let answer = ask_one(&json!({"expr": "15 0 0 * * *", "fields": 6, "tz": "UTC"}));
        assert_eq!(
            answer,
            json!({"fires": [[0, "2026-01-01T00:00:15+00:00", "2026-01-01T00:00:15"]]})
        );
    }
}
