use super::*;

fn source(text: &str) -> Source {
    Source { name: "crontab".into(), bytes: text.as_bytes().to_vec(), dialect: Dialect::system() }
}

fn rows_of(text: &str) -> Vec<String> {
    let source = source(text);
    let crontab = crontab::parse(&source);
    rows(&[(&source, &crontab)])
        .iter()
        .map(|(line, row)| format!("{line}: {}", row.line()))
        .collect()
}

fn found(line: &str) -> Found {
    let source = source(&format!("{line}\n"));
    let crontab = crontab::parse(&source);
    let mut all: Vec<_> = readings(&source, &crontab).collect();
    assert_eq!(all.len(), 1, "{line}: {:?}", crontab.faults);
    all.remove(0).found
}

#[test]
fn the_rows_are_the_five_field_entries_in_canonical_form() {
    let text = "\
SHELL=/bin/bash
# m h dom mon dow user command
17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly
@weekly root /bin/special
30,0 09 * * MON-FRI deploy /opt/bin/report # nightly
0 0 * * * root date +\\%F%input%more
* * * * * root 中文
* * * * * root 中文
";
    assert_eq!(
        rows_of(text),
        [
            "3: 17 * * * * root cd / && run-parts --report /etc/cron.hourly",
            "4: 0 0 * * 0 root /bin/special",
            "5: 0,30 9 * * MON-FRI deploy /opt/bin/report",
            "6: 0 0 * * * root date +\\%F",
            "7: * * * * * root 中文",
            "8: * * * * * root 中文",
        ]
    );
}

#[test]
fn what_the_service_misreads_is_no_row() {
    let text = "\
# 1 1 * * * root commented
@reboot root once
0 5 9 * * 1 root seconds
@every 5m root often
0 0 L * * root last
0 0 * * mon,1 root ends the service
MAILTO=
5 5 * * * root good
";
    assert_eq!(rows_of(text), ["8: 5 5 * * * root good"]);
}

#[test]
fn only_the_first_system_or_named_file_has_rows() {
    let spool = Source { dialect: Dialect::spool("alice"), ..source("1 * * * * spool\n") };
    let named = Source { dialect: Dialect::user("alice"), ..source("2 * * * * named\n") };
    let system = source("3 * * * * root system\n");
    let parsed: Vec<_> = [&spool, &named, &system]
        .map(|source| (source, crontab::parse(source)))
        .into_iter()
        .collect();
    let crontabs: Vec<_> = parsed.iter().map(|(source, crontab)| (*source, crontab)).collect();
    let line = |rows: Rows| rows.into_iter().map(|(_, row)| row.line()).collect::<Vec<_>>();
    assert_eq!(line(rows(&crontabs)), ["2 * * * * alice named"]);
    assert_eq!(line(rows(&crontabs[2..])), ["3 * * * * root system"]);
    assert_eq!(line(rows(&crontabs[..1])), [""; 0]);
    assert_eq!(rows(&[]), []);
}

#[test]
fn what_is_found_in_a_line_is_told_apart() {
    assert_eq!(found("0 0 * * * root x"), Found::Same);
    assert_eq!(found("@reboot root x"), Found::Misread(Misreading::Reboot));
    assert_eq!(found("0 5 9 * * 1 root x"), Found::Misread(Misreading::Fields));
    assert_eq!(found("@every 5m root x"), Found::Misread(Misreading::NoJob));
    assert_eq!(found("0 0 * * fri-sun root x"), Found::Misread(Misreading::NoJob));
    assert_eq!(found("0 0 * * 5L root x"), Found::Misread(Misreading::NoJob));
    for ends in ["mon,1", "MON-5", "1,mon,2", "mon-7"] {
        let line = format!("0 0 * * {ends} root x");
        assert_eq!(found(&line), Found::Misread(Misreading::Ends), "{line}");
    }
    assert_eq!(found("#* * * * * root x"), Found::Comment);
    assert!(matches!(found("< 0 * * * root x"), Found::Error(message) if !message.is_empty()));
}

#[test]
fn a_byte_order_mark_hides_the_first_line_from_the_service() {
    assert_eq!(found("\u{feff}* * * * * root x"), Found::Misread(Misreading::NoJob));
    assert_eq!(rows_of("\u{feff}1 * * * * root x\n2 * * * * root y\n"), ["2: 2 * * * * root y"]);
}

#[test]
fn a_command_that_is_not_utf8_is_no_row() {
    let mut source = source("");
    source.bytes = b"0 0 * * * root \xff\n1 1 * * * root good\n".to_vec();
    let crontab = crontab::parse(&source);
    assert_eq!(rows(&[(&source, &crontab)]).len(), 1);
    let first = readings(&source, &crontab).next().unwrap();
    assert_eq!(first.found, Found::Misread(Misreading::NotUtf8));
}

#[test]
fn a_row_says_its_line_and_the_services_remark() {
    let row =
        Row(["0", "9-17", "*", "*", "MON-FRI", "deploy", "/opt/bin/report +%F"].map(str::to_owned));
    assert_eq!(row.line(), "0 9-17 * * MON-FRI deploy /opt/bin/report +\\%F");
    let source = source(&row.recovered_line());
    let crontab = crontab::parse(&source);
    let read = rows(&[(&source, &crontab)]);
    assert_eq!(read, [(1, row.clone())]);
    assert!(row.recovered_line().ends_with(&format!(" # crond service {}", row.id())));
    assert!(!row.is_each_minute());
}

#[test]
fn a_row_of_an_inconsistent_list_reads_back() {
    for (line, cached) in [("*,5 * * * * root x", "5,*"), ("5,* * * * * root x", "*,5")] {
        let source = source(line);
        let crontab = crontab::parse(&source);
        let (_, row) = rows(&[(&source, &crontab)]).remove(0);
        assert_eq!(row.0[0], cached);
        assert_eq!(row.clone().judged(), Ok(row));
    }
}

#[test]
fn a_row_of_an_unknown_user_is_refused() {
    let row = Row(["0", "9", "*", "*", "*", "nobody-here", "x"].map(str::to_owned));
    assert_eq!(row.clone().of_known_user(|user| user == "nobody-here"), Ok(row.clone()));
    let reason = row.of_known_user(|_| false).unwrap_err();
    assert_eq!(reason.to_string(), "no user \"nobody-here\" here");
}
