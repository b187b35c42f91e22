use super::*;

const USERS: [&str; 2] = ["root", "app"];

fn row(text: &str) -> Row {
    let mut words = text.splitn(7, ' ').map(str::to_owned);
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

fn add(file: &str, rows: &[Row]) -> Seeded {
    let is_user = |user: &str| USERS.contains(&user);
    add_rows(file.as_bytes(), rows, &Dialect::system(), &is_user)
}

fn text(seeded: &Seeded) -> String {
    String::from_utf8(seeded.text.clone()).unwrap()
}

#[test]
fn rows_that_the_file_lacks_are_added_with_the_services_tag() {
    let file = "SHELL=/bin/sh\n17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n#";
    let rows = [
        row("17 * * * * root cd / && run-parts --report /etc/cron.hourly"),
        row("0 9-17 * * MON-FRI app /opt/bin/report"),
        row("0 0 * * 0 root /bin/special"),
        row("0 9-17 * * MON-FRI app /opt/bin/report"),
        row("5 4 * * * root date +%H%M"),
    ];
    let seeded = add(file, &rows);
    assert_eq!(
        text(&seeded),
        format!(
            "{file}

0 9-17 * * MON-FRI app /opt/bin/report # crond service crondServiceTask-d11e3dd8c8f924c0
@weekly root /bin/special # crond service crondServiceTask-3b674b428ec17298
5 4 * * * root date +\\%H\\%M # crond service crondServiceTask-b240ee4d4232fe1e
"
        )
    );
    assert_eq!((seeded.added, seeded.known, seeded.disabled.len()), (3, 2, 0));
    assert_eq!(seeded.refused, []);
}

#[test]
fn a_second_time_adds_nothing() {
    let rows = [
        row("0 1 * * * root x"),
        row("* * * * * root y"),
        row("5 * * * * root commented out"),
        row("0 2 * * * nobody z"),
    ];
    let once = add("# 5 * * * * root commented out\n", &rows);
    assert_eq!((once.added, once.disabled.len(), &once.strangers[..]), (2, 2, &[4][..]));
    let twice = add(&text(&once), &rows);
    assert_eq!(text(&twice), text(&once));
    assert_eq!((twice.added, twice.known), (0, 4));
}

#[test]
fn rows_of_comments_and_of_reboot_are_added_as_comments() {
    let file = "# Example:\n# * 5 * * * root  cleanup   # when needed\n0 1 * * * root x\n";
    let seeded = add(file, &[row("* 5 * * * root cleanup"), row("* * * * * root at-boot")]);
    let doubts: Vec<_> = seeded.disabled.iter().map(|disabled| disabled.doubt).collect();
    assert_eq!(doubts, [Doubt::Commented, Doubt::EveryMinute]);
    let result = text(&seeded);
    let added: Vec<&str> = result.strip_prefix(file).unwrap().lines().collect();
    assert!(added[0].starts_with("# * 5 * * * root cleanup # crond service "), "{}", added[0]);
    assert!(added[1].starts_with("# * * * * * root at-boot # crond service "), "{}", added[1]);
    let disabled: Vec<&[u8]> = seeded.disabled.iter().map(|disabled| &disabled.line[..]).collect();
    assert_eq!(disabled, [added[0].as_bytes(), added[1].as_bytes()]);
    assert_eq!(parse_entries(&result), 1);
}

fn parse_entries(text: &str) -> usize {
    let dialect = Dialect::system();
    parse(&Source { name: "-".into(), bytes: text.into(), dialect }).entries().count()
}

#[test]
fn a_reboot_line_of_the_file_is_not_added_as_one_of_each_minute() {
    let file = "@reboot root at-boot\n";
    let seeded = add(file, &[row("* * * * * root at-boot")]);
    assert_eq!((text(&seeded).as_str(), seeded.known), (file, 1));
}

#[test]
fn bad_rows_are_refused_one_by_one_and_the_rest_is_added() {
    let control = [
        row("0 1 * * * root x\n* * * * * root evil"),
        row("0 1 * * * root x\r"),
        row("0 1 * * * ro\u{7f}ot x"),
        row("0 1 * * * root \u{1b}[2J"),
        row("0 1 * * * root x\u{85}y"),
        row("0\t 1 * * * root x"),
    ];
    let unfaithful = [
        row("* * * * * root"),
        row("60 1 * * * root x"),
        row("00 1 * * * root x"),
        row("0 1 * * fri-sun root x"),
        row("0 1 * * * root x # y"),
        row("0 1 * * * root x "),
        row("0 1 * * * root  x"),
        row("0 1 * * * root x\\"),
        row("0 1 * * * root a\\%b"),
        row("0 1 * * * root -q x"),
        row("0 1 * * * root x\u{2028}y"),
        row("A=1 1 * * * root x"),
        row("# 1 * * * root x"),
        row("@every 1 * * * root x"),
        ["0 1", "*", "*", "*", "*", "root", "x"].map(str::to_owned),
        ["", "", "", "", "", "", ""].map(str::to_owned),
    ];
    let long = row(&format!("0 1 * * * root {}", "x".repeat(10 << 20)));
    let good = row("0 3 * * * app ok");
    let mut rows = control.to_vec();
    rows.extend(unfaithful.iter().cloned());
    rows.extend([long, good]);
    let seeded = add("", &rows);
    for (place, refusal) in &seeded.refused {
        let shown: String = format!("{:?}", rows[place - 1]).chars().take(80).collect();
        let wanted = match place - 1 {
            at if at < control.len() => Refusal::Control,
            at if at < control.len() + unfaithful.len() => Refusal::Unfaithful,
            _ => Refusal::TooLong((10 << 20) + 16),
        };
        assert_eq!(*refusal, wanted, "{shown}");
    }
    assert_eq!(seeded.refused.len(), rows.len() - 1);
    assert_eq!(seeded.added, 1);
    assert!(text(&seeded).starts_with("0 3 * * * app ok # crond service "));
}

#[test]
fn a_users_crontab_takes_only_that_users_rows() {
    let rows = [row("0 1 * * * app x"), row("0 1 * * * root x")];
    let seeded = add_rows(b"", &rows, &Dialect::user("app"), &|_| true);
    let wanted = Refusal::OtherUser { row: "root".to_owned(), crontab: "app".to_owned() };
    assert_eq!(seeded.refused, [(2, wanted)]);
    assert!(seeded.text.starts_with(b"0 1 * * * x # crond service "));
}

#[test]
fn rows_do_not_make_other_lines_unreadable() {
    let file = "CRONKEEP_FIELDS=6\n0 0 1 * * * root own\n";
    let seeded = add(file, &[row("0 1 * * * root x"), row("* * * * * root y")]);
    assert_eq!(seeded.refused, [(1, Refusal::Spoils)]);
    assert_eq!((seeded.added, seeded.disabled.len()), (0, 1));
    assert_eq!(text(&seeded).lines().count(), 3);
}

#[test]
fn each_user_is_looked_up_once() {
    let rows: Vec<Row> = (0..100).map(|at| row(&format!("0 1 * * * app x{at}"))).collect();
    let asked = std::cell::Cell::new(0);
    let is_user = |_: &str| {
        asked.set(asked.get() + 1);
        true
    };
    let seeded = add_rows(b"", &rows, &Dialect::system(), &is_user);
    assert_eq!((seeded.added, asked.get()), (100, 1));
}

#[test]
fn lines_end_as_the_others_of_the_file_do() {
    let seeded = add("# a\r\n0 2 * * * root y\r\n", &[row("0 1 * * * root x")]);
    let result = text(&seeded);
    assert!(result.ends_with("\r\n") && result.matches("\r\n").count() == 3, "{result:?}");
}

/// The service caches `5,*` of `*,5`, and gives them different ids: the file has the job nevertheless.
#[test]
fn a_row_is_known_by_the_line_that_it_was_made_of_though_its_id_is_another() {
    for line in ["*,5 * * * * root x", "*/10,5,15-20 * * * * root x", "0 0 * * 1 root x"] {
        let source = |text: &str| Source {
            name: "-".into(),
            bytes: text.as_bytes().to_vec(),
            dialect: Dialect::system(),
        };
        let file = format!("{line}\n");
        let read = source(&file);
        let made = crate::store::legacy::rows(&[(&read, &parse(&read))]);
        let made = [made[0].1.0.clone()];
        let seeded = add(&file, &made);
        assert_eq!((seeded.added, seeded.known, &seeded.refused[..]), (0, 1, &[][..]), "{line}");
        let once = add("", &made);
        assert_eq!((once.added, &once.refused[..]), (1, &[][..]), "{line}");
        let twice = add(&text(&once), &made);
        assert_eq!((twice.added, twice.known), (0, 1), "{line}: {}", text(&once));
    }
}
