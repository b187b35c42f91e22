use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::crontab::{Code, Crontab, Dialect, Fault, Options, Source, parse};
use crate::schedule::Zone;

/// Files to build from.
struct Files(Vec<(Source, Crontab)>);

impl Files {
    fn of(texts: &[&str]) -> Self {
        Files::in_dialect(texts, &Dialect::system())
    }

    fn in_dialect(texts: &[&str], dialect: &Dialect) -> Self {
        let file = |(index, text): (usize, &&str)| {
            let source = Source {
                name: format!("/etc/cron.d/{index}").into(),
                bytes: text.as_bytes().to_vec(),
                dialect: dialect.clone(),
            };
            let crontab = parse(&source);
            (source, crontab)
        };
        Files(texts.iter().enumerate().map(file).collect())
    }

    fn build(&self, previous: &JobTable, now: Timestamp) -> (JobTable, Diff, Vec<Fault>) {
        let crontabs: Vec<_> = self.0.iter().map(|(source, crontab)| (source, crontab)).collect();
        let (table, diff, faults) =
            JobTable::build(&crontabs, &Zone::utc(), &Options::default(), previous, now);
        (table, diff, faults.into_iter().map(|(_, fault)| fault).collect())
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn table(text: &str) -> JobTable {
    Files::of(&[text]).build(&JobTable::default(), at(0)).0
}

fn faults(texts: &[&str]) -> Vec<(Code, u32, String)> {
    let (_, _, faults) = Files::of(texts).build(&JobTable::default(), at(0));
    faults.into_iter().map(|fault| (fault.code, fault.line, fault.message)).collect()
}

/// Two tables, one after the other, 1 000 seconds apart.
fn edit(before: &str, after: &str) -> (JobTable, JobTable, Diff) {
    let (first, _, _) = Files::of(&[before]).build(&JobTable::default(), at(1000));
    let (second, diff, _) = Files::of(&[after]).build(&first, at(2000));
    (first, second, diff)
}

#[test]
fn a_job_is_small() {
    // With the two counts of its Arc, its place in the table and in the index: 128 bytes at most.
    assert!(size_of::<Job>() <= 88, "{}", size_of::<Job>());
}

#[test]
fn neighbours_share_what_is_equal() {
    let table = table("A=b\n0 2 * * * root x\n0 2 * * * root y\nA=b\n0 2 * * * root z\n");
    let [x, y, z] = table.jobs() else { panic!("three jobs") };
    for other in [y, z] {
        assert!(Arc::ptr_eq(&x.timing, &other.timing));
        assert!(Arc::ptr_eq(&x.terms, &other.terms));
    }
}

#[test]
fn a_repeated_id_is_numbered_over_all_files() {
    let files = Files::of(&["0 2 * * * root x\n", "0 2 * * * root x # again\n"]);
    let (table, _, _) = files.build(&JobTable::default(), at(0));
    let keys: Vec<_> = table.jobs().iter().map(|job| job.key.occurrence).collect();
    assert_eq!(keys, [1, 2]);
    assert_eq!(table.jobs()[0].key.id, table.jobs()[1].key.id);
    assert_eq!(table.jobs()[1].label(), format!("{}#2", table.jobs()[0].label()));
}

#[test]
fn lines_that_differ_but_share_an_id_are_warned_of_and_equal_ones_are_not() {
    let colliding = faults(&["1,2 3 * * * root x\n1 2,3 * * * root x\n"]);
    assert_eq!(colliding.len(), 1);
    assert_eq!((colliding[0].0, colliding[0].1), (Code::W017, 2));
    assert_eq!(faults(&["1 2 * * * root x\n1  2 * * * root x\n"]), []);
}

#[test]
fn a_name_is_not_asked_for_where_there_is_one() {
    let help = |text: &str| {
        let (_, _, faults) = Files::of(&[text]).build(&JobTable::default(), at(0));
        faults.into_iter().find_map(|fault| fault.help).unwrap()
    };
    assert!(help("0 2 * * * root x%1\n0 2 * * * root x%2\n").contains("give it a name"));
    let named = help("0 2 * * * root x%1\n# cronkeep: name=two\n0 2 * * * root x%2\n");
    assert!(named.ends_with("#2"), "{named}");
}

#[test]
fn an_untouched_job_stays_the_very_same() {
    let (first, second, diff) = edit("0 2 * * * root x\n", "0 2 * * * root x\n1 2 * * * root y\n");
    assert!(Arc::ptr_eq(&first.jobs()[0], &second.jobs()[0]));
    assert_eq!((diff.unchanged, diff.added.len(), diff.removed.len()), (1, 1, 0));
    assert_eq!(second.jobs()[1].since, at(2000));
}

#[test]
fn a_job_that_only_moved_is_unchanged_and_knows_its_new_line() {
    let (_, second, diff) = edit("0 2 * * * root x\n", "\n\n0  2 * * * root x\n");
    assert_eq!((diff.unchanged, diff.is_empty()), (1, true));
    assert_eq!((second.jobs()[0].line, second.jobs()[0].since), (3, at(1000)));
}

#[test]
fn another_setting_option_input_or_name_is_a_change_that_keeps_the_past() {
    for after in [
        "A=b\n0 2 * * * root x\n",
        "# cronkeep: timeout=5s\n0 2 * * * root x\n",
        "# cronkeep: name=x\n0 2 * * * root x\n",
        "# What it does\n0 2 * * * root x\n",
        "0 2 * * * root x%input\n",
    ] {
        let (_, second, diff) = edit("0 2 * * * root x\n", after);
        assert_eq!((diff.changed.len(), diff.unchanged), (1, 0), "{after}");
        assert_eq!(second.jobs()[0].since, at(1000), "{after}");
    }
}

#[test]
fn another_zone_starts_the_job_anew() {
    let (_, second, diff) = edit("0 2 * * * root x\n", "CRON_TZ=Asia/Shanghai\n0 2 * * * root x\n");
    assert_eq!(diff.changed.len(), 1);
    assert_eq!(second.jobs()[0].since, at(2000));
}

#[test]
fn a_schedule_with_the_same_id_but_other_text_starts_anew() {
    let (first, second, diff) = edit("0 0 * * 7 root x\n", "@weekly root x\n");
    assert_eq!(first.jobs()[0].key, second.jobs()[0].key);
    assert_eq!((diff.changed.len(), second.jobs()[0].since), (1, at(2000)));
}

#[test]
fn a_line_that_is_gone_is_removed() {
    let (first, second, diff) = edit("0 2 * * * root x\n1 2 * * * root y\n", "1 2 * * * root y\n");
    assert_eq!(diff.removed, [first.jobs()[0].clone()]);
    assert_eq!(second.len(), 1);
}

#[test]
fn a_name_belongs_to_the_first_entry_that_takes_it() {
    let files = [
        "# cronkeep: name=a\n0 2 * * * root x\n",
        "# cronkeep: timeout=1s name=a\n0 3 * * * root y\n# cronkeep: name=a\n0 3 * * * app y\n",
    ];
    let (table, _, faults) = Files::of(&files).build(&JobTable::default(), at(0));
    let names: Vec<_> = table.jobs().iter().map(|job| job.name().map(|name| &**name)).collect();
    assert_eq!(names, [Some("a"), None, Some("a")]);
    assert_eq!(faults.len(), 1);
    let fault = &faults[0];
    assert_eq!((fault.code, fault.line, fault.column, fault.end_column), (Code::E035, 1, 29, 30));
}

#[test]
fn the_line_that_closes_a_circle_and_those_that_wait_for_it_do_not_run() {
    let text = "\
# cronkeep: name=a
@after c root 1
# cronkeep: name=c
@after b root 3
# cronkeep: name=b
@after a root 2
# cronkeep: name=d
0 2 * * * root 4
@after d root 5
";
    let found = faults(&[text]);
    let codes: Vec<_> = found.iter().map(|fault| (fault.0, fault.1)).collect();
    assert_eq!(codes, [(Code::E036, 6), (Code::E037, 4), (Code::E037, 2)], "{found:?}");
    assert_eq!(table(text).len(), 2);
}

#[test]
fn an_entry_that_waits_for_itself_closes_a_circle() {
    let found = faults(&["# cronkeep: name=a\n@after a root 1\n"]);
    assert_eq!((found.len(), found[0].0, found[0].1), (1, Code::E036, 2));
}

#[test]
fn after_names_a_job_of_the_same_user() {
    let text = "# cronkeep: name=a\n0 2 * * * root x\n@after a app y\n@after a root z\n";
    let found = faults(&[text]);
    assert_eq!((found.len(), found[0].0, found[0].1), (1, Code::E037, 3));
    assert_eq!(table(text).len(), 2);
}

#[test]
fn a_long_chain_is_judged_without_recursion() {
    let mut text = String::new();
    for n in 0..20_000 {
        let before = if n == 0 { "nobody".to_owned() } else { format!("j{}", n - 1) };
        text.extend(["# cronkeep: name=j", &n.to_string(), "\n@after ", &before, " root x\n"]);
    }
    assert_eq!(faults(&[&text]).len(), 20_000);
}

#[test]
fn random_values_are_drawn_from_the_id() {
    let one = table("~ ~ * * * root x\n");
    let two = table("# moved\n\n~ ~ * * * root x\n");
    assert_eq!(one.jobs()[0].schedule(), two.jobs()[0].schedule());
    let other = table("~ ~ * * * root y\n");
    assert_ne!(one.jobs()[0].schedule(), other.jobs()[0].schedule());
}

#[test]
fn a_users_table_gives_the_ids_of_a_system_table() {
    let user = Files::in_dialect(&["0 2 * * 1-5 /bin/x\n@every 5m x\n"], &Dialect::user("app"));
    let (user, _, _) = user.build(&JobTable::default(), at(0));
    let system = table("0 2 * * 1-5 app /bin/x\n@every 5m app x\n");
    let keys = |table: &JobTable| table.jobs().iter().map(|job| job.key).collect::<Vec<_>>();
    assert_eq!(keys(&user), keys(&system));
    assert_eq!(system.jobs()[1].key.id, JobId::of_mark(b"@every,5m,app,x"));
}

#[test]
fn a_file_that_does_not_count_has_no_jobs() {
    let strict = Dialect { strict: true, ..Dialect::system() };
    let files = Files::in_dialect(&["0 2 * * * root x\n61 2 * * * root y\n"], &strict);
    assert!(files.build(&JobTable::default(), at(0)).0.is_empty());
}

#[test]
fn a_job_is_found_by_name_key_and_beginning_of_its_id() {
    let table = table(
        "# cronkeep: name=dump\n0 2 * * * root x\n0 3 * * * root y\n0 3 * * * root y # again\n",
    );
    let [dump, y, again] = table.jobs() else { panic!("three jobs") };
    assert_eq!(table.find("dump"), Lookup::One(dump));
    assert_eq!(table.find(&dump.key.to_string()), Lookup::One(dump));
    assert_eq!(table.find(&dump.key.id.digits()[..6]), Lookup::One(dump));
    assert_eq!(table.find(&dump.key.id.to_string()[..24]), Lookup::One(dump));
    assert_eq!(table.find(&y.key.to_string()), Lookup::One(y));
    assert_eq!(table.find(&again.key.to_string()), Lookup::One(again));
    assert_eq!(table.find(&y.key.id.digits()[..6]), Lookup::Ambiguous(vec![again, y]).sorted());
    assert_eq!(table.find("nothing"), Lookup::None);
    assert_eq!(table.find(""), Lookup::None);
    assert_eq!(table.named_of(b"root", "dump"), Some(dump));
    assert_eq!(table.named_of(b"app", "dump"), None);
}

impl Lookup<'_> {
    fn sorted(mut self) -> Self {
        if let Lookup::Ambiguous(jobs) = &mut self {
            jobs.sort_by_key(|job| job.key);
        }
        self
    }
}

#[test]
fn a_name_of_two_users_is_ambiguous() {
    let table =
        table("# cronkeep: name=a\n0 2 * * * root x\n# cronkeep: name=a\n0 2 * * * app x\n");
    assert!(matches!(table.find("a"), Lookup::Ambiguous(jobs) if jobs.len() == 2));
}

#[test]
fn dues_lie_within_from_and_until() {
    let table = table(
        "# cronkeep: from=2026-01-01T00:00:00Z until=2026-01-01T02:00:00Z\n0 * * * * root x\n",
    );
    let job = &table.jobs()[0];
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let first = job.next_after(at(0)).unwrap();
    assert_eq!(first.at, from);
    let second = job.next_after(first).unwrap();
    assert_eq!(second.at, from + Duration::from_secs(3600));
    assert_eq!(job.next_after(second), None);
    assert_eq!(job.prev_before("2027-01-01T00:00:00Z".parse().unwrap()), Some(second));
    assert_eq!(job.prev_before(from), None);
}

#[test]
fn a_job_that_is_not_enabled_is_never_due() {
    let table = table("# cronkeep: enabled=no\n* * * * * root x\n");
    assert_eq!(table.jobs()[0].next_after(at(0)), None);
    assert_eq!(table.jobs()[0].prev_before(at(1_000_000)), None);
}

#[test]
fn a_label_is_the_name_or_the_digits() {
    let table = table("# cronkeep: name=dump\n0 2 * * * root x\n0 3 * * * root y\n");
    assert_eq!(table.jobs()[0].label(), "dump");
    assert_eq!(table.jobs()[1].label(), table.jobs()[1].key.id.digits());
}

#[test]
fn fires_are_the_dues_one_after_the_other() {
    let table = table("# cronkeep: until=1970-01-01T02:30:00Z\n*/30 * * * * root x\n");
    let fires: Vec<i64> = table.jobs()[0].fires(at(0)).map(|due| due.at.as_second()).collect();
    assert_eq!(fires, [1800, 3600, 5400, 7200]);
}

#[test]
fn a_part_of_a_table_finds_its_own_jobs_only() {
    let table = table("# cronkeep: name=a\n0 2 * * * root x\n0 3 * * * root y\n");
    let part = table.only(|job| job.name().is_none());
    assert_eq!((part.len(), part.find("a")), (1, Lookup::None));
    assert_eq!(part.get(table.jobs()[1].key), Some(&table.jobs()[1]));
}
