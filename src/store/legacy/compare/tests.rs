use super::*;
use crate::crontab::{self, Dialect};
use crate::store::legacy::rows;

/// The differences in words, and how many jobs are the same; `cached` is a file whose rows are the cache.
fn differences(text: &str, cached: &str) -> (usize, Vec<String>) {
    let source = |text: &str| Source {
        name: "crontab".into(),
        bytes: text.as_bytes().to_vec(),
        dialect: Dialect::system(),
    };
    let there = source(cached);
    let there = rows(&[(&there, &crontab::parse(&there))]);
    let cached: Vec<Row> = there.into_iter().map(|(_, row)| row).collect();
    let source = source(text);
    let Comparison { same, differences, .. } = compare(&source, &crontab::parse(&source), &cached);
    (same, differences.iter().map(ToString::to_string).collect())
}

fn same(text: &str, cached: &str) -> usize {
    let (same, differences) = differences(text, cached);
    assert_eq!(differences, [""; 0]);
    same
}

fn only(text: &str, cached: &str) -> String {
    let (_, mut differences) = differences(text, cached);
    assert_eq!(differences.len(), 1, "{differences:#?}");
    differences.remove(0)
}

#[test]
fn the_same_jobs_in_another_order_are_the_same() {
    assert_eq!(same("", ""), 0);
    let text = "1 * * * * root a\n# a comment\n@daily root b # why\nA=b\n1 * * * * root a\n";
    assert_eq!(same(text, "0 0 * * * root b\n1 * * * * root a\n1 * * * * root a\n"), 3);
}

#[test]
fn a_job_of_one_side_only_is_told() {
    assert_eq!(
        only("1 * * * * root a\n2 * * * * root b\n", "1 * * * * root a\n"),
        "line 2: only here: `2 * * * * root b`; the Python service has not cached it"
    );
    assert_eq!(
        only("1 * * * * root a\n", "1 * * * * root a\n2 * * * * bob b 50\\%\n"),
        "only there: `2 * * * * bob b 50\\%`; no line of the file says it"
    );
}

#[test]
fn a_changed_command_or_schedule_is_told_as_such() {
    assert_eq!(
        only("# x\n1 * * * * root a\n", "1 * * * * root b\n"),
        "line 2: same schedule, other command: here `a`, there `b`"
    );
    assert_eq!(
        only("1 * * * * root a\n", "2 * * * * root a\n"),
        "line 1: same command, other schedule: here `1 * * * *`, there `2 * * * *`: a"
    );
}

#[test]
fn an_id_of_two_texts_is_told() {
    let text = only("1,2 3 * * * root x\n", "1 2,3 * * * root x\n");
    assert!(
        text.starts_with("line 1: same id, other text: `1,2 3 * * * root x` and `1 2,3"),
        "{text}"
    );
    assert!(text.contains("crondServiceTask-"), "{text}");
}

#[test]
fn a_row_that_was_doubled_is_told_beside_its_line() {
    let text = only("\n1 * * * * root a\n", "1 * * * * root a\n1 * * * * root a\n");
    assert!(text.starts_with("line 2: `1 * * * * root a` is cached once more"), "{text}");
    let row = Row(["1", "*", "*", "*", "*", "root", "a"].map(str::to_owned));
    let file = format!("1 * * * * root a\n{}\n", row.recovered_line());
    let text = only(&file, "1 * * * * root a\n1 * * * * root a\n");
    assert!(text.starts_with("line 2: `1 * * * * root a` stands above, too"), "{text}");
    // A line that was recovered and stands alone is like any other.
    assert_eq!(same(&format!("{}\n", row.recovered_line()), "1 * * * * root a\n"), 1);
}

#[test]
fn what_the_service_runs_of_a_comment_or_an_error_is_told_where_it_is_cached() {
    let commented = "# 1 * * * * root a\n";
    assert_eq!(same(commented, ""), 0);
    assert_eq!(
        only(commented, "1 * * * * root a\n"),
        "line 1: commented out; the Python service runs `1 * * * * root a` all the same, here it does not run"
    );
    // The line itself has the first claim on its row.
    assert_eq!(same("# 1 * * * * root a\n1 * * * * root a\n", "1 * * * * root a\n"), 1);
    let text = only("< 1 * * * root a\n", "0 1 * * * root a\n");
    assert!(
        text.starts_with("line 1: an error here (") && text.ends_with("runs `0 1 * * * root a`"),
        "{text}"
    );
}

#[test]
fn what_the_service_misreads_is_told_with_what_it_runs() {
    assert_eq!(
        only("@reboot root a\n", "* * * * * root a\n"),
        "line 1: @reboot runs once here; the Python service takes it for five stars, each minute; it runs \
         `* * * * * root a`"
    );
    assert!(only("@reboot root a\n", "").ends_with("each minute"));
    let text = only("0 5 9 * * 1 root a\n", "0 5 9 * * 1 root a\n");
    assert!(text.contains("takes the sixth for the user"), "{text}");
    assert!(only("@every 5m root a\n", "").contains("finds no job in this line"));
    assert!(only("0 0 * * mon,1 root a\n", "").contains("a name beside a number"));
}

#[test]
fn lines_that_end_the_services_parser_are_told() {
    for line in ["MAILTO=", "MAILTO= ", "#MAILTO="] {
        let text = only(&format!("{line}\n"), "");
        assert!(text.starts_with("line 1: an assignment of nothing ends"), "{text}");
    }
    for line in ["MAILTO=\"\"", "# MAILTO=", "MAILTO =", "A=b"] {
        assert_eq!(same(&format!("{line}\n"), ""), 0, "{line}");
    }
}

#[test]
fn lines_come_in_order_and_rows_without_a_line_last() {
    let text = "1 * * * * root a\n#MAILTO=\n# 2 * * * * root b\n@reboot root c\n";
    let (same, differences) =
        differences(text, "2 * * * * root b\n9 * * * * root z\n8 * * * * root y\n");
    let heads: Vec<&str> = differences.iter().map(|text| &text[..9]).collect();
    assert_eq!(same, 0);
    assert_eq!(
        heads,
        ["line 1: o", "line 2: a", "line 3: c", "line 4: @", "only ther", "only ther"]
    );
    assert!(differences[4].contains("9 * * * * root z"), "{differences:#?}");
}
