//! `cronkeep next --batch`, and the vectors through it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use cronkeep::crontab::{Compat, FieldCount, expression};
use cronkeep::job::id::expression_seed;
use cronkeep::schedule::Zone;
use jiff::Timestamp;
use serde_json::{Value, json};
use snapbox::cmd::cargo_bin;

use crate::{cronkeep, folder_with, objects, vectors};

/// The answers to questions asked in one batch.
fn ask(questions: &[Value]) -> Vec<Value> {
    let text: Vec<String> = questions.iter().map(Value::to_string).collect();
    let outcome = cronkeep(&["next", "--batch", "-"]).stdin(text.join("\n")).assert().success();
    let answers = objects(&outcome);
    assert_eq!(answers.len(), questions.len());
    answers
}

#[test]
fn questions_are_answered_in_order_and_errors_do_not_end_them() {
    let text = "{\"expr\":\"@daily\",\"after\":\"2026-01-01T00:00:00Z\",\"count\":1}\nnonsense\n\
                {\"expr\":\"x\"}\n{\"expr\":\"@reboot\"}\n";
    let folder = folder_with("questions", text.as_bytes());
    let outcome =
        cronkeep(&["next", "--batch", "questions"]).current_dir(folder.path()).assert().success();
    let answers = objects(&outcome);
    assert_eq!(answers.len(), 4);
    let fire = json!([0, "2026-01-02T00:00:00+00:00", "2026-01-02T00:00"]);
    assert_eq!(answers[0], json!({"fires": [fire]}));
    assert_eq!((&answers[1]["error"]["line"], &answers[1]["entry"]), (&json!(2), &Value::Null));
    assert_eq!((&answers[2]["error"]["line"], &answers[2]["entry"]), (&json!(1), &json!(0)));
    assert_eq!(answers[3], json!({"fires": []}));
}

#[test]
fn a_program_may_ask_and_read_in_turn() {
    let mut command = std::process::Command::new(cargo_bin!("cronkeep"));
    command.args(["next", "--batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut questions = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..3 {
        questions.write_all(b"{\"expr\":\"@hourly\"}\n").unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"fires\":[[0,"), "{answer}");
    }
    drop(questions);
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn a_sample_of_the_vectors_fires_the_same_through_the_program() {
    let sample: Vec<Value> = vectors::sample("next.jsonl", 7);
    let questions: Vec<Value> = sample
        .iter()
        .map(|vector| {
            json!({"expr": vector["expr"], "tz": vector["tz"], "after": vector["after"], "count": 5})
        })
        .collect();
    let mut met = 0;
    for (vector, answer) in sample.iter().zip(ask(&questions)) {
        let text = vector["expr"].as_str().unwrap();
        let Ok(expression) = expression::parse(text.as_bytes(), FieldCount::Auto, Compat::Cronkeep)
        else {
            assert!(answer.get("error").is_some(), "{}", vector["id"]);
            continue;
        };
        let schedule = expression.when.resolve(expression_seed(expression.text.as_bytes()));
        let zone = Zone::named(vector["tz"].as_str().unwrap()).unwrap();
        let after: Timestamp = vector["after"].as_str().unwrap().parse().unwrap();
        let ours: Vec<Timestamp> =
            schedule.fires(&zone, after, after).take(5).map(|due| due.at).collect();
        assert_eq!(instants(&answer), ours, "{}", vector["id"]);
        let theirs: Vec<Timestamp> = vector["next"]
            .as_array()
            .unwrap()
            .iter()
            .map(|at| at.as_str().unwrap().parse().unwrap())
            .collect();
        met += usize::from(ours == theirs);
    }
    assert!(met * 100 >= sample.len() * 95, "{met} of {} agree", sample.len());
}

#[test]
fn a_sample_of_the_clock_changes_fires_the_same_through_the_program() {
    let plain = |vector: &Value| {
        let tags = vector["tags"].as_array().unwrap();
        !tags.iter().any(|tag| tag == "isdst-quirk" || tag == "cron_tz")
    };
    let sample: Vec<Value> = vectors::sample("dst.jsonl", 3).into_iter().filter(plain).collect();
    let questions: Vec<Value> = sample
        .iter()
        .map(|vector| {
            json!({
                "entries": vector["entries"], "tz": vector["tz"],
                "from": vector["from"], "until": vector["to"]
            })
        })
        .collect();
    let mut compared = 0;
    for (vector, answer) in sample.iter().zip(ask(&questions)) {
        let fires = vector.get("fires_unthrottled").unwrap_or(&vector["fires"]);
        assert_eq!(set_of(&answer["fires"]), set_of_vector(fires, vector), "{}", vector["id"]);
        compared += 1;
    }
    assert!(compared > 20, "only {compared} vectors were compared");
}

fn instant(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).expect("an instant")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn instants(answer: &Value) -> Vec<Timestamp> {
    list(&answer["fires"]).iter().map(|fire| instant(&fire[1])).collect()
}

/// Entry, minute of the instant, wall-clock minute: of our answer.
fn set_of(fires: &Value) -> Vec<(u64, i64, String)> {
    let row = |fire: &Value| {
        let entry = fire[0].as_u64().expect("an index");
        (entry, instant(&fire[1]).as_second() / 60, fire[2].to_string())
    };
    let mut set: Vec<_> = list(fires).iter().map(row).collect();
    set.sort();
    set
}

/// The same of a vector, which ends inclusive of its last minute.
fn set_of_vector(fires: &Value, vector: &Value) -> Vec<(u64, i64, String)> {
    let to = instant(&vector["to"]).as_second() / 60;
    let mut set = set_of(fires);
    set.retain(|(_, minute, _)| *minute < to);
    set
}
