use super::*;
use crate::crontab::{Code, Fault, Mistake};

fn fault_in(line: &[u8], span: std::ops::Range<usize>) -> Fault {
    Mistake::new(Code::E002, span, "hour 24 is above 23")
        .with_help("write a number from 0 to 23")
        .on_line(1, line)
}

#[test]
fn a_caret_stands_under_the_mistake() {
    let text = b"0 24 * * * root x";
    assert_eq!(
        caret("/etc/crontab", &Lines::of(text), &fault_in(text, 2..4), false),
        "\
error[E002]: hour 24 is above 23
 --> /etc/crontab:1:3
  |
1 | 0 24 * * * root x
  |   ^^
  |
  = help: write a number from 0 to 23"
    );
}

#[test]
fn a_mistake_of_no_width_has_one_caret() {
    let text = b"0 24 *";
    let shown = caret("-", &Lines::of(text), &fault_in(text, 6..6), false);
    assert!(shown.contains("1 | 0 24 *\n  |       ^\n"), "{shown}");
}

#[test]
fn a_long_line_is_shown_around_the_mistake() {
    let text = format!("0 {} 24 {}\n", "x".repeat(300), "y".repeat(300));
    let fault = fault_in(text.as_bytes(), 303..305);
    let shown = caret("-", &Lines::of(text.as_bytes()), &fault, false);
    assert!(shown.lines().all(|line| line.chars().count() <= 140), "{shown}");
    assert!(shown.contains("x 24 y") && shown.contains(" --> -:1:304\n"), "{shown}");
}

#[test]
fn the_second_line_of_a_windows_file_is_found() {
    let fault = Fault { line: 2, ..fault_in(b"0 24", 2..4) };
    let shown = caret("-", &Lines::of(b"\xef\xbb\xbf# x\r\n0 24\r\n"), &fault, false);
    assert!(shown.contains("2 | 0 24\n"), "{shown}");
}

#[test]
fn each_line_of_a_file_is_found() {
    for text in ["a\nb\r\n\nc", "a\n", "\n\n", "a", ""] {
        let lines = Lines::of(text.as_bytes());
        for (index, line) in text.split('\n').enumerate() {
            let line = line.trim_end_matches('\r');
            let fault = Fault { line: u32::try_from(index + 1).unwrap(), ..fault_in(b"", 0..0) };
            let shown = caret("-", &lines, &fault, false);
            let row = format!("{} | {line}", index + 1);
            assert!(shown.lines().any(|shown| shown == row.trim_end()), "{row:?} in {shown}");
        }
    }
}

#[test]
fn a_line_that_does_not_exist_shows_nothing() {
    let fault = Fault { line: 9, ..fault_in(b"0 24", 2..4) };
    assert!(caret("-", &Lines::of(b"x\n"), &fault, false).contains("-:9:"));
}

#[test]
fn no_character_of_a_crontab_acts_on_a_terminal() {
    let text = "0 \x1b[2J\u{9b}31m\u{202e}\x07\x7f é * * * root x".as_bytes();
    let fault = Fault { message: "bad \x1b]0;x\x07".to_owned(), ..fault_in(text, 2..6) };
    for shown in [caret("a\x1b[0m", &Lines::of(text), &fault, false), line("a\x1b[0m", &fault)] {
        let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!shown.contains(acts), "{shown:?}");
    }
    assert!(caret("-", &Lines::of(text), &fault, false).contains("␛[2J"));
}

#[test]
fn colour_is_there_only_if_wanted() {
    let text = b"0 24 * * * root x";
    let fault = fault_in(text, 2..4);
    assert!(caret("-", &Lines::of(text), &fault, true).contains('\x1b'));
    assert!(!caret("-", &Lines::of(text), &fault, false).contains('\x1b'));
}

#[test]
fn a_byte_that_is_not_utf8_is_one_column() {
    let text = b"\xff\xff 24";
    let shown = caret("-", &Lines::of(text), &fault_in(text, 3..5), false);
    assert!(shown.contains("\u{fffd}\u{fffd} 24\n  |    ^^"), "{shown}");
}

#[test]
fn one_line_says_it_all() {
    let fault = fault_in(b"0 24", 2..4);
    assert_eq!(
        line("/etc/crontab", &fault),
        "/etc/crontab:1:3: error[E002]: hour 24 is above 23 (help: write a number from 0 to 23)"
    );
}

#[test]
fn the_json_object_has_its_stable_keys_in_order() {
    let fault = fault_in(b"0 24", 2..4);
    assert_eq!(
        serde_json::to_string(&FaultObject::from(&fault)).unwrap(),
        r#"{"severity":"error","code":"E002","line":1,"column":3,"end_column":5,"message":"hour 24 is above 23","help":"write a number from 0 to 23"}"#
    );
    let plain = Fault { help: None, ..fault };
    assert!(
        serde_json::to_string(&FaultObject::from(&plain)).unwrap().ends_with(r#""help":null}"#)
    );
}

#[test]
fn a_sarif_result_points_into_its_file_and_to_its_rule() {
    let faults = [fault_in(b"0 24", 2..4)];
    let log = sarif([("/etc/cron.d/a b", &faults[..]), ("-", &[])], &[]);
    let run = &log["runs"][0];
    let result = &run["results"][0];
    assert_eq!(log["version"], "2.1.0");
    assert_eq!(run["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(result["ruleId"], "E002");
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "E002");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "file:///etc/cron.d/a%20b");
    let region = &place["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&1.into(), &3.into()));
    assert_eq!(region["endColumn"], 5);
}

#[test]
fn a_sarif_run_names_the_files_that_it_could_not_read() {
    let unread = [("/a b".to_owned(), "no such file".to_owned())];
    let run = &sarif([], &unread)["runs"][0];
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let told = &invocation["toolExecutionNotifications"][0];
    assert_eq!(
        (&told["level"], &told["message"]["text"]),
        (&"error".into(), &"no such file".into())
    );
    let place = &told["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(place["uri"], "file:///a%20b");
    assert!(sarif([], &[])["runs"][0].get("invocations").is_none());
}
