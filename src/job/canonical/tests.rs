use super::*;

fn mark(line: &str) -> Option<String> {
    let mut mark = Vec::new();
    append_mark(&mut mark, line.as_bytes(), None).then(|| String::from_utf8(mark).unwrap())
}

fn fields(text: &str) -> Option<String> {
    mark(&format!("{text} u x")).map(|mark| mark.trim_end_matches(",u,x").to_owned())
}

#[test]
fn the_worked_examples_of_the_service_keep_their_ids() {
    for (line, id) in [
        (
            "17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly",
            "crondServiceTask-f509aaa41ac7a97b",
        ),
        ("0 9-17 * * MON-FRI deploy /opt/bin/report", "crondServiceTask-ab4c5755e0e6d841"),
        ("@weekly root /bin/special", "crondServiceTask-3b674b428ec17298"),
        ("0 0 * * 7 root /bin/special", "crondServiceTask-3b674b428ec17298"),
        ("* * * * * root 中文 命令 --名=值", "crondServiceTask-9cb1e91f38f046cc"),
    ] {
        let canonical = Canonical::of_line(line.as_bytes(), None).unwrap();
        assert_eq!(canonical.id.to_string(), id, "{line}");
        assert_eq!(JobId::of_mark(mark(line).unwrap().as_bytes()), canonical.id, "{line}");
    }
}

#[test]
fn lists_are_sorted_under_the_inconsistent_order() {
    for (typed, cached, hashed) in [
        ("30,0,15", "0,15,30", "0,15,30"),
        ("1,1,2", "1,1,2", "1,1,2"),
        ("50,10-40/10", "10-40/10,50", "10-40/10,50"),
        ("30-59/3,0-29/2", "0-29/2,30-59/3", "0-29/2,30-59/3"),
        ("*,5", "5,*", "*,5"),
        ("5,*", "*,5", "5,*"),
        ("*/10,5,15-20", "5,*/10,15-20", "*/10,5,15-20"),
        ("5,*/10,15-20", "*/10,5,15-20", "5,*/10,15-20"),
        // python-crontab 3.4.0 renders this one as *,53,*,7-54, then *,7-54,53,*, then 53,*,*,7-54.
        ("7-54,*,53,*", "53,*,*,7-54", "*,7-54,53,*"),
    ] {
        let line = format!("{typed} * * * * u x");
        assert_eq!(Canonical::of_line(line.as_bytes(), None).unwrap().fields[0], cached);
        assert_eq!(mark(&line).unwrap(), format!("{hashed},*,*,*,*,u,x"));
    }
}

#[test]
fn a_seven_is_sunday_in_the_services_own_way() {
    for (typed, canonical) in [
        ("7", "0"),
        ("1-7", "*"),
        ("5-7", "0,5-6"),
        ("7-7", "0,*"),
        ("1-7/2", "*/2"),
        ("*/7", "0"),
        ("1-5/7", "0"),
        ("SUN-SAT", "*"),
        ("MON-MON", "MON-MON"),
    ] {
        assert_eq!(fields(&format!("* * * * {typed}")).unwrap(), format!("*,*,*,*,{canonical}"));
    }
}

#[test]
fn a_number_before_a_name_is_compared_and_a_name_before_a_number_is_a_crash() {
    assert_eq!(fields("* * * * 1,mon").unwrap(), "*,*,*,*,1,mon");
    assert_eq!(fields("* * * * mon,1"), None);
    assert_eq!(fields("* * * * 1-FRI").unwrap(), "*,*,*,*,1-FRI");
    assert_eq!(fields("* * * * MON-5"), None);
    assert_eq!(fields("* * * * mon-7"), None);
}

#[test]
fn random_ranges_stay_random() {
    for (typed, canonical) in
        [("0~59", "~"), ("~", "~"), ("~/5", "~/5"), ("0~30", "0~30"), ("5~5/2", "5/2")]
    {
        assert_eq!(fields(&format!("{typed} * * * *")).unwrap(), format!("{canonical},*,*,*,*"));
    }
    assert_eq!(fields("~30 * * * *"), None);
}

#[test]
fn where_the_service_finds_no_job_there_is_none() {
    for line in [
        "5/10 * * * * root x",
        "40-10 * * * * root x",
        "*/60 * * * * root x",
        "*/1/2 * * * * root x",
        "* * L * * root x",
        "* * ? * * root x",
        "* * * * 5#2 root x",
        "* * * * fri-sun root x",
        "@every 5m root x",
        "@daily root echo a#b",
        "@daily # root x",
        "-* * * * * root x",
        "* * * * * root",
        "* * * * *",
        "# * * * * * root x",
        "",
    ] {
        assert_eq!(mark(line), None, "{line}");
    }
}

#[test]
fn a_comment_is_cut_and_a_percent_ends_the_command() {
    assert_eq!(mark("* * * * * root a 'b #c' d").unwrap(), "*,*,*,*,*,root,a 'b");
    assert_eq!(mark("* * * * * root a#b  # c").unwrap(), "*,*,*,*,*,root,a#b");
    assert_eq!(mark(r"* * * * * root a \% \\% b % c").unwrap(), r"*,*,*,*,*,root,a % \% b");
    assert_eq!(mark("* * * * * # comment here").unwrap(), "*,*,*,*,*,#,comment here");
}

#[test]
fn a_users_table_hashes_as_if_it_had_a_user_column() {
    let system = Canonical::of_line(b"5 4 * * 1-5 app /bin/x # y", None);
    let user = Canonical::of_line(b"5 4 * * 1-5 /bin/x # y", Some(b"app"));
    assert!(user.is_some());
    assert_eq!(system, user);
    let special = Canonical::of_line(b"@daily app /bin/x", None);
    assert_eq!(special, Canonical::of_line(b"@daily /bin/x", Some(b"app")));
    assert_eq!(Canonical::of_line(b"* * * * * # x", Some(b"app")), None);
}

#[test]
fn bytes_that_are_not_utf8_stay_as_they_are() {
    let mut mark = Vec::new();
    assert!(append_mark(&mut mark, b"* * * * * root echo \xe9\xff ", None));
    assert_eq!(mark, b"*,*,*,*,*,root,echo \xe9\xff");
}

#[test]
fn a_commented_line_reads_as_the_line_under_its_comment() {
    let plain = Canonical::of_line(b"5 4 * * * root /bin/disabled", None);
    for comment in ["# 5 4 * * * root /bin/disabled", "##5 4 * * * root /bin/disabled"] {
        assert_eq!(Canonical::of_comment(comment.as_bytes()), plain);
    }
    assert_eq!(Canonical::of_comment(b"# just prose with many words here"), None);
}

#[test]
fn an_entry_the_service_cannot_read_has_its_tokens_for_a_mark() {
    let mut mark = Vec::new();
    append_mark_as_typed(&mut mark, b"@every 5m", b"root", br"x \% y%z");
    assert_eq!(mark, b"@every,5m,root,x % y");
}

#[test]
fn a_word_after_an_at_sign_may_be_a_minute() {
    assert_eq!(mark("@5 root x").unwrap(), "5,*,*,*,*,root,x");
    assert_eq!(mark("@Hourly root x").unwrap(), "0,*,*,*,*,root,x");
    assert_eq!(mark("@WEE\u{212a}LY root x").unwrap(), "0,0,*,*,0,root,x");
    assert_eq!(mark("@5- root x"), None);
}
