use proptest::prelude::*;

use super::*;

fn row(cells: [&str; 7]) -> Row {
    Row(cells.map(str::to_owned))
}

fn report() -> Row {
    row(["0", "9-17", "*", "*", "MON-FRI", "deploy", "/opt/bin/report"])
}

fn load(text: impl AsRef<[u8]>) -> Vec<Result<Row, Reason>> {
    loads(text.as_ref()).expect("an array")
}

/// The JSON of a row whose command is `command`, which is JSON itself.
fn with_command(command: &str) -> String {
    format!(r#"["0", "9-17", "*", "*", "MON-FRI", "deploy", {command}]"#)
}

#[test]
fn the_text_is_pythons() {
    assert_eq!(dumps([]), "[]");
    assert_eq!(
        dumps(&[
            report(),
            row(["*", "*", "*", "*", "*", "root", "echo \"50%\\ a/b\"\t\u{7f}\u{1}"])
        ]),
        "[[\"0\", \"9-17\", \"*\", \"*\", \"MON-FRI\", \"deploy\", \"/opt/bin/report\"], \
         [\"*\", \"*\", \"*\", \"*\", \"*\", \"root\", \"echo \\\"50%\\\\ a/b\\\"\\t\\u007f\\u0001\"]]"
    );
    assert_eq!(
        dumps(&[row(["*", "*", "*", "*", "*", "root", "中 é 🐍\n\r\u{8}\u{c}"])]),
        r#"[["*", "*", "*", "*", "*", "root", "\u4e2d \u00e9 \ud83d\udc0d\n\r\b\f"]]"#
    );
}

#[test]
fn what_was_written_is_read() {
    let rows = [report(), row(["*/5", "*", "*", "*", "*", "root", "date +%F\t\"中 🐍\" \\x"])];
    assert_eq!(load(dumps(&rows)), rows.map(Ok));
    assert_eq!(load(" [ ] \n"), []);
    let compact = with_command("\"/opt/bin/report\"").replace(", ", ",");
    assert_eq!(load(format!("[{compact}]")), [Ok(report())]);
}

#[test]
fn what_is_refused_is_shown_as_it_stands_there() {
    let bad = [
        r#"["4", "4", "*", "*", "*", "root", 5]"#,
        "[cron]",
        r#"["99", "4", "*", "*", "*", "root", "x"]"#,
    ];
    let text = format!("[{} , {}, {}]", bad[0], bad[1], bad[2]);
    let found = loads_with_text(text.as_bytes()).unwrap();
    let shown: Vec<_> = found.into_iter().map(|row| row.unwrap_err().1).collect();
    assert_eq!(shown, bad.map(str::as_bytes));
}

#[test]
fn what_is_no_array_has_no_rows() {
    for text in ["", " ", "null", "{\"a\": [[]]}", "\"[]\"", "cron", "\u{feff}[]"] {
        assert!(matches!(loads(text.as_bytes()), Err(Unreadable::NotAnArray(_))), "{text:?}");
    }
    let error = loads(b"<html>").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the cached rows are not a JSON array: they begin with \"<html>\""
    );
    let long = vec![b'['; MOST_BYTES + 1];
    assert_eq!(loads(&long), Err(Unreadable::TooLong(MOST_BYTES + 1)));
}

/// What is wrong with the first of two items; the second is always taken.
fn refused(item: &str) -> Reason {
    let text = format!("[{item}, {}]", with_command("\"/opt/bin/report\""));
    let mut found = load(&text);
    assert_eq!(found.len(), 2, "{text}: {found:?}");
    assert_eq!(found.pop(), Some(Ok(report())), "{text}");
    found.remove(0).expect_err(&text)
}

#[test]
fn items_that_are_no_rows_are_refused_one_by_one() {
    for (item, why) in [
        ("5", "a number"),
        ("-1.5", "a number"),
        ("null", "null"),
        ("true", "a truth value"),
        ("\"a, ] b\"", "a string"),
        ("{\"a\": [1, {}]}", "an object"),
        ("[]", "0 items"),
        (r#"["0", "9", "*", "*", "*", "root"]"#, "6 items"),
        (r#"["0", "9", "*", "*", "*", "root", "x", "y", null]"#, "9 items"),
        (&with_command("null"), "item 7 is no string"),
        (&with_command("[\"x\"]"), "an array in a row"),
        (&with_command("{\"x\": [1]}"), "an object in a row"),
        (&with_command("1.5"), "item 7 is no string"),
        (&with_command("5"), "item 7 is no string"),
        (&with_command("-5"), "item 7 is no string"),
        (r#"["0", 9, "*", "*", "*", "root", "x"]"#, "item 2 is no string"),
    ] {
        assert_eq!(refused(item), Reason::NotARow(why.to_owned()), "{item}");
    }
}

#[test]
fn items_that_are_no_json_are_refused_one_by_one() {
    for item in [
        "cron",
        "nul",
        "[cron]",
        "['0', '9']",
        "[\"0\" \"9\"]",
        "[\"0\", \"9\",]",
        "\"\\q\"",
        &with_command(r#""\ud83d""#),
        &with_command(r#""\udc0d x""#),
        &with_command(r#""\ud83dx\u0041""#),
        &with_command("\"a\nb\""),
    ] {
        assert!(matches!(refused(item), Reason::NotJson(_)), "{item}");
    }
    let row = with_command("\"x\"");
    let text = [b"[".as_slice(), b"[\"\xff\"]", b", ", row.as_bytes(), b"]"];
    let found = load(text.concat());
    assert!(matches!(found[0], Err(Reason::NotJson(_))) && found[1].is_ok(), "{found:?}");
}

#[test]
fn a_cache_that_was_cut_keeps_the_rows_before_the_cut() {
    let text = dumps(&[report(), report()]);
    for cut in 1..text.len() {
        let found = load(&text[..cut]);
        let whole = found.iter().filter(|row| **row == Ok(report())).count();
        let ends: Vec<_> = text.match_indices("\"]").map(|(at, _)| at + 2).collect();
        assert_eq!(whole, ends.iter().filter(|&&end| end <= cut).count(), "{}", &text[..cut]);
        assert!(found.last().is_some_and(Result::is_err), "{}", &text[..cut]);
    }
    assert!(load(text + "]").last().is_some_and(Result::is_err));
}

#[test]
fn rows_behind_an_open_quote_are_found_again() {
    let row = with_command("\"/opt/bin/report\"");
    let found = load(format!("[[\"0], {row}, {row}]"));
    assert_eq!(found.iter().filter(|row| row.is_ok()).count(), 2, "{found:?}");
}

#[test]
fn control_characters_and_rows_that_read_back_as_others_are_refused() {
    for (json, part, character) in [
        ("\"a\\u0000b\"", "command", '\0'),
        ("\"a\\nb\"", "command", '\n'),
        ("\"a\\u001b[31m\"", "command", '\u{1b}'),
        ("\"a\\u0085b\"", "command", '\u{85}'),
    ] {
        assert_eq!(refused(&with_command(json)), Reason::Control { part, character });
    }
    let item = r#"["0\n", "9", "*", "*", "*", "ro\u0007ot", "x"]"#;
    assert_eq!(refused(item), Reason::Control { part: "schedule", character: '\n' });
    let item = r#"["0", "9", "*", "*", "*", "ro\u0007ot", "x"]"#;
    assert_eq!(refused(item), Reason::Control { part: "user", character: '\u{7}' });
    for item in [
        // Another spelling, another place, another line.
        r#"["00", "9", "*", "*", "*", "root", "x"]"#,
        r#"["0", "9", "*", "*", "0-6", "root", "x"]"#,
        r#"["0 1", "9", "*", "*", "*", "root", "x"]"#,
        r#"["0", "9", "*", "*", "*", "root x", "y"]"#,
        r#"["0", "9", "*", "*", "*", "root", " x"]"#,
        r#"["0", "9", "*", "*", "*", "root", "x # y"]"#,
        r#"["0", "9", "*", "*", "*", "root", "a\u2028b"]"#,
        r#"["0", "9", "*", "*", "mon,1", "root", "x"]"#,
    ] {
        assert!(matches!(refused(item), Reason::Rehash { .. }), "{item}");
    }
    for (item, why) in [
        (r#"["0", "9", "*", "*", "*", "", "x"]"#, "there is no user"),
        (r#"["0", "9", "*", "*", "*", "root", ""]"#, "there is no command"),
        (r#"["@daily", "", "", "", "", "root", "x"]"#, "there is no schedule"),
        (r##"["#0", "9", "*", "*", "*", "root", "x"]"##, "its line is a comment"),
        (r##"["# comment", "", "", "", "", "", ""]"##, "its line is a comment"),
        (r#"["5/2", "9", "*", "*", "*", "root", "x"]"#, "its line is an error: "),
        (r#"["60", "9", "*", "*", "*", "root", "x"]"#, "its line is an error: 60 is not a minute"),
    ] {
        let reason = refused(item).to_string();
        assert!(reason.starts_with(why), "{item}: {reason}");
    }
    let long = with_command(&format!("\"{}\"", "x".repeat(131_072)));
    assert!(matches!(refused(&long), Reason::Faulty(message) if message.contains("131")));
}

#[test]
fn a_row_of_ten_mebibytes_is_refused_and_the_next_one_read() {
    let long = with_command(&format!("\"{}\"", "x".repeat(10 << 20)));
    assert_eq!(refused(&long), Reason::TooLong);
}

#[test]
fn no_more_rows_are_looked_at_than_there_may_be() {
    let found = load(format!("[{}]", "5,".repeat(MOST_ROWS + 10)));
    assert_eq!(found.len(), MOST_ROWS + 1);
    assert_eq!(found.last(), Some(&Err(Reason::TooMany)));
}

#[test]
fn hostile_shapes_take_no_longer_than_their_length() {
    let length = 1 << 18;
    for shape in ["[", "[\"", "[[\"\\\"],", "],[", "[1],[", "{", "[\"x],", "[\"0\",", "\\", "[[],"]
    {
        let text = format!("[{}", shape.repeat(length / shape.len()));
        assert!(loads(text.as_bytes()).unwrap().len() <= MOST_ROWS + 1, "{shape}");
    }
}

proptest! {
    #[test]
    fn every_text_survives(cells in proptest::array::uniform7(any::<String>())) {
        let row = Row(cells);
        let text = dumps(std::slice::from_ref(&row));
        prop_assert!(text.is_ascii());
        let read: Vec<[String; 7]> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read, vec![row.0]);
    }

    #[test]
    fn any_bytes_are_read(bytes in any::<Vec<u8>>()) {
        let text = [b"[", bytes.as_slice(), b"]"].concat();
        for row in load(text).into_iter().flatten() {
            prop_assert!(row.clone().judged().is_ok());
        }
    }
}
