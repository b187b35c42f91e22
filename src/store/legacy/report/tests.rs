use super::*;
use crate::crontab::{self, Dialect};

fn report_of(text: &str, cache: Option<&[u8]>) -> Vec<String> {
    let source = Source {
        name: "/etc/crontab".into(),
        bytes: text.as_bytes().to_vec(),
        dialect: Dialect::system(),
    };
    report(&[(&source, &crontab::parse(&source))], cache)
}

#[test]
fn a_service_that_agrees_has_one_line() {
    let cache = br#"[["1", "*", "*", "*", "*", "root", "a"]]"#;
    assert_eq!(
        report_of("1 * * * * root a\n", Some(cache)),
        ["/etc/crontab: 1 job is the same, 0 differ, 0 run otherwise"]
    );
}

#[test]
fn every_difference_has_a_line_in_the_order_of_the_file() {
    let cache =
        br#"[["2", "*", "*", "*", "*", "root", "b"], 5, ["1", "*", "*", "*", "1-5", "bob", "a"],
        ["0", "5", "9", "*", "*", "1", "root c"]]"#;
    let text = "# 2 * * * * root b\n1 * * * 1-5 bob a\n0 5 9 * * 1 root c\n";
    let lines = report_of(text, Some(cache));
    let begins = [
        "cached row 2: refused: not seven strings: a number",
        "cached row 4: not to be recovered: its line reads back as another job",
        "/etc/crontab: line 1: commented out;",
        "/etc/crontab: line 2: other days there:",
        "/etc/crontab: line 2: other user there:",
        "/etc/crontab: line 3: more than five time fields;",
        "/etc/crontab: 1 job is the same, 2 differ, 2 run otherwise",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:#?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

#[test]
fn a_cache_that_is_absent_or_unreadable_is_told() {
    let lines = report_of("1 * * * * root a\n", None);
    assert_eq!(lines[0], "the Python service has cached nothing");
    assert!(lines[1].starts_with("/etc/crontab: line 1: only here:"), "{lines:?}");
    assert!(report_of("", Some(b"{}"))[0].starts_with("the cached rows are not a JSON array"));
    assert_eq!(report(&[], None).len(), 1);
}
