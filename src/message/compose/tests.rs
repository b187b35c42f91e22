use super::*;
use crate::message::celery::task_id;

const KEY: &str = "crondServiceTask-00112233445566ff";

fn fire() -> Occasion {
    let now: Timestamp = "2026-11-21T10:00:00.25Z".parse().unwrap();
    Occasion {
        run: "01K9ZD3F6YQ6B2N9R5T8W1X4VA".to_owned(),
        job_id: Some(KEY.to_owned()),
        job_name: Some("nightly".to_owned()),
        scheduled_at: Some("2026-11-21T12:00:00+02:00".to_owned()),
        attempt: Some(1),
        user: Some("root".to_owned()),
        command: Some("cronkeep publish --json e k".to_owned()),
        schedule: Some("0 12 * * *".to_owned()),
        ..Occasion::new(format!("{KEY}:1795255200"), "web", now)
    }
}

fn read(words: &[&str]) -> Arguments {
    let words: Vec<_> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    Arguments::of_words(&words).unwrap()
}

fn composed(words: &[&str], occasion: &Occasion) -> Result<Message, BadMessage> {
    let arguments = read(words);
    let body = arguments.body(b"");
    compose(&arguments, occasion, body)
}

/// A value as in JSON.
fn written(value: &Value) -> String {
    let all = |values: Vec<String>| values.join(",");
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::List(values) => format!("[{}]", all(values.iter().map(written).collect())),
        Value::Table(pairs) => {
            let pair = |(name, value): &(String, Value)| format!("{name:?}:{}", written(value));
            format!("{{{}}}", all(pairs.iter().map(pair).collect()))
        }
    }
}

/// The properties and headers, one a line, and the body.
fn shown(message: &Message) -> String {
    let head = serde_json::to_value(message).unwrap();
    let mut lines = vec![format!(
        "{:?} {:?} {} mandatory={} persistent={}",
        message.exchange, message.routing_key, message.id, message.mandatory, message.persistent
    )];
    for (name, value) in head["properties"].as_object().unwrap() {
        if !value.is_null() {
            lines.push(format!("{name}: {value}"));
        }
    }
    for (name, value) in &message.headers {
        lines.push(format!("{name} = {}", written(value)));
    }
    lines.push(String::from_utf8_lossy(&message.body).into_owned());
    lines.join("\n")
}

#[test]
fn a_body_is_sent_as_it_is_with_what_it_tells_of_beside_it() {
    let message = composed(&["orders", "daily.close", "{\"day\": 5}\n"], &fire()).unwrap();
    assert_eq!(
        shown(&message),
        r#""orders" "daily.close" crondServiceTask-00112233445566ff:1795255200 mandatory=true persistent=true
content_type: "application/json"
content_encoding: "utf-8"
correlation_id: "01K9ZD3F6YQ6B2N9R5T8W1X4VA"
kind: "cronkeep.fire"
app_id: "cronkeep"
timestamp: "2026-11-21T10:00:00.25Z"
cronkeep-job-id = "crondServiceTask-00112233445566ff"
cronkeep-job-name = "nightly"
cronkeep-scheduled-at = "2026-11-21T12:00:00+02:00"
cronkeep-attempt = 1
cronkeep-host = "web"
{"day": 5}
"#
    );
}

#[test]
fn a_cloud_event_has_its_attributes_as_headers_and_tells_of_the_fire() {
    let message = composed(&["e", "k", "--json"], &fire()).unwrap();
    assert_eq!(
        shown(&message),
        r#""e" "k" crondServiceTask-00112233445566ff:1795255200 mandatory=true persistent=true
content_type: "application/json"
content_encoding: "utf-8"
correlation_id: "01K9ZD3F6YQ6B2N9R5T8W1X4VA"
kind: "cronkeep.fire"
app_id: "cronkeep"
timestamp: "2026-11-21T10:00:00.25Z"
cronkeep-job-id = "crondServiceTask-00112233445566ff"
cronkeep-job-name = "nightly"
cronkeep-scheduled-at = "2026-11-21T12:00:00+02:00"
cronkeep-attempt = 1
cronkeep-host = "web"
cloudEvents_specversion = "1.0"
cloudEvents_id = "crondServiceTask-00112233445566ff:1795255200"
cloudEvents_source = "/cronkeep/web"
cloudEvents_type = "io.cronkeep.job.fired.v1"
cloudEvents_subject = "crondServiceTask-00112233445566ff"
cloudEvents_time = "2026-11-21T12:00:00+02:00"
{"job_id":"crondServiceTask-00112233445566ff","name":"nightly","scheduled_at":"2026-11-21T12:00:00+02:00","fired_at":"2026-11-21T10:00:00.25Z","attempt":1,"user":"root","command":"cronkeep publish --json e k","schedule":"0 12 * * *","host":"web"}"#
    );
}

#[test]
fn a_task_has_everything_that_a_worker_needs() {
    let words = ["--celery", "app.add", "--property", "expires=1h", "", "celery", r#"[1, "it's"]"#];
    let message = composed(&words, &fire()).unwrap();
    let id = task_id(&message.id);
    assert_eq!(
        shown(&message),
        r#""" "celery" crondServiceTask-00112233445566ff:1795255200 mandatory=true persistent=true
content_type: "application/json"
content_encoding: "utf-8"
correlation_id: "ID"
kind: "cronkeep.fire"
app_id: "cronkeep"
timestamp: "2026-11-21T10:00:00.25Z"
expires: "2026-11-21T11:00:00.25Z"
lang = "py"
task = "app.add"
id = "ID"
shadow = null
eta = null
expires = "2026-11-21T11:00:00.250000+00:00"
group = null
group_index = null
retries = 0
timelimit = [null,null]
root_id = "ID"
parent_id = null
argsrepr = "(1, \"it's\")"
kwargsrepr = "{}"
origin = "cronkeep@web"
ignore_result = true
replaced_task_nesting = 0
stamped_headers = null
stamps = {}
cronkeep-job-id = "crondServiceTask-00112233445566ff"
cronkeep-job-name = "nightly"
cronkeep-scheduled-at = "2026-11-21T12:00:00+02:00"
cronkeep-attempt = 1
cronkeep-host = "web"
[[1, "it's"], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]"#
            .replace("ID", &id)
    );
    let result = |words: &[&str]| {
        let message = composed(words, &fire()).unwrap();
        message.headers.iter().find(|(name, _)| name == "ignore_result").unwrap().1.clone()
    };
    assert_eq!(result(&["--celery", "t", "--wait", "", "q"]), Value::Bool(false));
    assert_eq!(result(&["--celery", "t", "", "q"]), Value::Bool(true));
}

#[test]
fn what_is_not_known_is_left_out() {
    let now = Timestamp::UNIX_EPOCH;
    let message = composed(&["e", "k", "x"], &Occasion::new("01X", "web", now)).unwrap();
    let names: Vec<&str> = message.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["cronkeep-host"]);
    assert_eq!(message.properties.correlation_id.as_deref(), Some("01X"));
    let event = composed(&["e", "k", "--json"], &Occasion::new("01X", "web", now)).unwrap();
    let names: Vec<&str> = event.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(!names.contains(&"cloudEvents_subject") && names.contains(&"cloudEvents_time"));
}

#[test]
fn properties_are_set_as_they_are_given() {
    let set = |name_and_value: &str| {
        composed(&["e", "k", "{}", "--property", name_and_value], &fire()).unwrap().properties
    };
    assert_eq!(set("priority=7").priority, Some(7));
    assert_eq!(set("type=a.b").kind.as_deref(), Some("a.b"));
    assert_eq!(set("app-id=a").app_id.as_deref(), Some("a"));
    assert_eq!(set("reply-to=q").reply_to.as_deref(), Some("q"));
    assert_eq!(set("expires=1m").expires.unwrap().to_string(), "2026-11-21T10:01:00.25Z");
    let table = set("content-type=text/csv");
    assert_eq!((table.content_type.as_deref(), table.content_encoding), (Some("text/csv"), None));
    let packed = set("content-encoding=gzip");
    assert_eq!(packed.content_type.as_deref(), Some("application/json"));
    assert_eq!(packed.content_encoding.as_deref(), Some("gzip"));
    let words =
        ["e", "k", "x", "--property", "content-encoding=gzip", "--property", "content-type=a"];
    let both = composed(&words, &fire()).unwrap().properties;
    assert_eq!(
        (both.content_type.as_deref(), both.content_encoding.as_deref()),
        (Some("a"), Some("gzip"))
    );
    let words = ["e", "k", "x", "--property", "header.a=1", "--property", "headers.b=2"];
    let message = composed(&words, &fire()).unwrap();
    assert_eq!(message.headers[5..], [("a".into(), "1".into()), ("b".into(), "2".into())]);
    let typed =
        composed(&["e", "k", "--json", "--property", "type=com.example.x"], &fire()).unwrap();
    assert!(typed.headers.contains(&("cloudEvents_type".into(), "com.example.x".into())));
}

#[test]
fn the_life_of_a_message_is_that_of_its_entry_unless_it_has_its_own() {
    let hour = Some(std::time::Duration::from_secs(3600));
    let occasion = Occasion { expires: hour, ..fire() };
    let of = |words: &[&str]| {
        composed(words, &occasion).unwrap().properties.expires.unwrap().to_string()
    };
    assert_eq!(of(&["e", "k", "x"]), "2026-11-21T11:00:00.25Z");
    assert_eq!(of(&["e", "k", "x", "--property", "expires=1s"]), "2026-11-21T10:00:01.25Z");
    let for_ever = Occasion { expires: Some(std::time::Duration::MAX), ..fire() };
    assert_eq!(composed(&["e", "k", "x"], &for_ever).unwrap().properties.expires, None);
    assert_eq!(composed(&["e", "k", "x"], &fire()).unwrap().properties.expires, None);
}

#[test]
fn what_amqp_has_no_room_for_is_named() {
    let long = "x".repeat(256);
    let bad = |occasion: Occasion| composed(&["e", "k", "x"], &occasion).unwrap_err().to_string();
    assert_eq!(
        bad(Occasion { id: long.clone(), ..fire() }),
        "the message id has 256 bytes, at most 255 fit"
    );
    assert_eq!(
        bad(Occasion { run: long.clone(), ..fire() }),
        "the correlation id has 256 bytes, at most 255 fit"
    );
    let arguments = Arguments { routing_key: long, ..read(&["e", "k", "x"]) };
    let told = compose(&arguments, &fire(), Some(Vec::new())).unwrap_err();
    assert_eq!(told.to_string(), "the routing key has 256 bytes, at most 255 fit");
}

#[test]
fn what_is_no_message_is_refused() {
    assert_eq!(composed(&["e", "k"], &fire()), Err(BadMessage::NoBody));
    let mut twice = read(&["e", "k", "x", "--property", "header.a=1"]);
    twice.properties.push(twice.properties[0].clone());
    let told = compose(&twice, &fire(), Some(Vec::new())).unwrap_err();
    assert_eq!(told, BadMessage::Repeated { header: "a".to_owned() });
    let told =
        compose(&read(&["--celery", "t", "", "q"]), &fire(), Some(b"5".to_vec())).unwrap_err();
    assert!(told.to_string().contains("write it as [5]"), "{told}");
    assert!(composed(&["--celery", "t", "", "q"], &fire()).is_ok());
}
