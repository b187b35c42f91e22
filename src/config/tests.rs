use std::os::unix::fs::symlink;

use clap::Parser as _;

use super::*;
use crate::args::Cli;
use crate::crontab::{Compat, Format};
use crate::watch::{Names, Shape, Trust};

fn host() -> Host {
    Host {
        user: "alice".into(),
        uid: 1000,
        pid: 7,
        home: Some("/home/alice".into()),
        state_home: None,
        runtime_dir: None,
        tz: None,
        variables: Vec::new(),
        localtime: "/nonexistent/localtime".into(),
    }
}

fn daemon_args(arguments: &[&str]) -> DaemonArgs {
    let arguments = std::iter::once("cronkeep").chain(arguments.iter().copied());
    Cli::try_parse_from(arguments).unwrap().daemon
}

fn config(arguments: &[&str]) -> Config {
    Config::new(&daemon_args(arguments), &host()).unwrap()
}

fn read_as(arguments: &[&str]) -> (Format, String) {
    let config = config(arguments);
    let spec = &config.sources[0];
    let dialect = spec.dialect(&spec.place.path);
    (dialect.format, dialect.user.to_string())
}

#[test]
fn without_a_name_the_systems_crontabs_are_run() {
    let config = config(&["--cron-d-names", "cronie"]);
    let places: Vec<_> = config.sources.iter().map(|spec| &spec.place).collect();
    let told: Vec<_> = places.iter().map(|place| (place.shape, place.names, place.trust)).collect();
    assert_eq!(
        told,
        [
            (Shape::File, Names::Cronie, Trust::System),
            (Shape::Folder, Names::Cronie, Trust::System),
            (Shape::Folder, Names::Users, Trust::Spool),
            (Shape::Folder, Names::Users, Trust::Spool),
        ]
    );
    let paths: Vec<_> = places.iter().map(|place| place.path.to_str().unwrap()).collect();
    assert_eq!(
        paths,
        ["/etc/crontab", "/etc/cron.d", "/var/spool/cron/crontabs", "/var/spool/cron"]
    );
    assert!(config.sources.iter().all(|spec| !spec.named));
    let job = config.sources[1].dialect("/etc/cron.d/job".as_ref());
    assert_eq!(job.format, Format::System);
    let bobs = config.sources[2].dialect("/var/spool/cron/crontabs/bob".as_ref());
    assert_eq!((bobs.format, &*bobs.user), (Format::User, "bob"));
}

#[test]
fn row_69_the_rule_for_names_can_be_chosen() {
    let names = |rule| config(&["--cron-d-names", rule]).sources[1].place.names;
    assert_eq!((names("debian"), names("cronie")), (Names::Debian, Names::Cronie));
}

#[test]
fn permissive_takes_all_but_keeps_what_was_named() {
    let trusts = |arguments: &[&str]| -> Vec<Trust> {
        config(arguments).sources.iter().map(|spec| spec.place.trust).collect()
    };
    assert_eq!(trusts(&["--permissive"]), [Trust::Any; 4]);
    assert_eq!(trusts(&["--permissive", "jobs"]), [Trust::Named]);
}

#[test]
fn a_default_directory_that_is_named_keeps_its_rules() {
    let rules = |path| {
        let place = config(&["--cron-d-names", "debian", path]).sources[0].place.clone();
        (place.shape, place.names, place.trust)
    };
    assert_eq!(rules("/var/spool/cron/"), (Shape::Folder, Names::Users, Trust::Spool));
    assert_eq!(rules("/etc/cron.d"), (Shape::Folder, Names::Debian, Trust::System));
    assert_eq!(rules("/etc/cron.d/job"), (Shape::Either, Names::Cronie, Trust::Named));
    assert_eq!(rules("/config"), (Shape::Either, Names::Cronie, Trust::Named));
}

#[test]
fn a_command_reads_every_crontab_of_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b", "a.cron", "c~", ".d"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    std::fs::create_dir(folder.path().join("e")).unwrap();
    let reading = daemon_args(&[]).reading;
    let found = sources(&[folder.path().to_owned()], &reading, &host());
    let names: Vec<_> = found.iter().map(|spec| spec.path.file_name().unwrap()).collect();
    assert_eq!(names, ["a.cron", "b"]);
    let itself = sources(&[folder.path().join("b")], &reading, &host());
    assert!(itself.iter().all(|spec| spec.named));
    assert!(found.iter().all(|spec| !spec.named && spec.trust == Trust::Named));
}

#[test]
fn a_file_below_etc_has_a_user_column() {
    assert_eq!(read_as(&["/etc/cron.d/x"]).0, Format::System);
    assert_eq!(read_as(&["/etcetera/x"]).0, Format::User);
    assert_eq!(read_as(&["/etc/../tmp/x"]).0, Format::User);
    assert_eq!(read_as(&["--format", "user", "/etc/cron.d/x"]).0, Format::User);
}

#[test]
fn a_file_in_a_spool_is_the_table_of_its_name() {
    let (format, user) = read_as(&["/var/spool/cron/crontabs/bob"]);
    assert_eq!((format, user.as_str()), (Format::User, "bob"));
    assert_eq!(read_as(&["/var/spool/cron/carol"]).1, "carol");
    let spec = &config(&["/var/spool/cron/carol"]).sources[0];
    assert!(spec.dialect(&spec.place.path).is_limited());
}

#[test]
fn the_tables_of_a_spool_are_their_users_whoever_is_named() {
    for arguments in [&["--user", "root"][..], &["--user", "root", "/var/spool/cron"]] {
        let config = config(arguments);
        let spool = config.sources.last().unwrap();
        let dialect = spool.dialect(&spool.place.path.join("carol"));
        assert_eq!((&*dialect.user, dialect.is_limited()), ("carol", true), "{arguments:?}");
    }
    assert_eq!(read_as(&["--user", "bob", "/var/spool/cron/carol"]).1, "bob");
}

#[test]
fn any_other_file_belongs_to_the_daemons_user() {
    assert_eq!(read_as(&["jobs"]), (Format::User, "alice".into()));
    assert_eq!(read_as(&["--user", "bob", "jobs"]), (Format::User, "bob".into()));
    assert_eq!(read_as(&["--format", "system", "jobs"]).0, Format::System);
}

#[test]
fn the_options_reach_every_dialect() {
    let config = config(&["--strict", "--compat", "supercronic", "a", "b", "./a"]);
    assert!(config.warnings.contains(&"./a is named twice; it is read once".to_owned()));
    for source in &config.sources {
        let dialect = source.dialect(&source.place.path);
        assert!(dialect.strict);
        assert_eq!(dialect.compat, Compat::Supercronic);
    }
}

#[test]
fn the_daemon_reads_no_standard_input() {
    assert!(Config::new(&daemon_args(&["-"]), &host()).is_err());
}

#[test]
fn jobs_are_ended_by_pid_1_and_left_by_any_other() {
    let on_stop = |arguments: &[&str], pid| {
        Config::new(&daemon_args(arguments), &Host { pid, ..host() }).unwrap().on_stop
    };
    assert_eq!(on_stop(&[], 1), OnStop::End);
    assert_eq!(on_stop(&[], 2), OnStop::Leave);
    assert_eq!(on_stop(&["--on-stop", "leave"], 1), OnStop::Leave);
}

#[test]
fn the_stop_grace_is_eight_seconds() {
    assert_eq!(config(&[]).stop_grace, Duration::from_secs(8));
    assert_eq!(config(&["--stop-grace", "1m30s"]).stop_grace, Duration::from_secs(90));
}

fn zone_of(option: Option<&str>, tz: Option<&str>) -> Result<String, ZoneError> {
    let host = Host { tz: tz.map(Into::into), ..host() };
    default_zone(option, &host).map(|found| found.zone.name().to_owned())
}

#[test]
fn the_option_wins_over_the_variable() {
    assert_eq!(zone_of(Some("Europe/Berlin"), Some("Asia/Tokyo")).unwrap(), "Europe/Berlin");
    assert_eq!(zone_of(None, Some("Asia/Tokyo")).unwrap(), "Asia/Tokyo");
}

#[test]
fn the_variable_is_read_as_tzset_reads_it() {
    assert_eq!(zone_of(None, Some(":Asia/Tokyo")).unwrap(), "Asia/Tokyo");
    assert_eq!(zone_of(None, Some("")).unwrap(), "UTC");
    assert_eq!(zone_of(None, Some("/usr/share/zoneinfo/Asia/Tokyo")).unwrap(), "Asia/Tokyo");
    assert!(matches!(zone_of(None, Some("/nonexistent/x")), Err(ZoneError::File { .. })));
}

#[test]
fn a_zone_that_does_not_exist_is_an_error_that_names_it() {
    let error = zone_of(Some("Europe/Berln"), None).unwrap_err().to_string();
    assert!(error.starts_with("--tz: ") && error.contains("Europe/Berln"), "{error}");
    assert!(zone_of(None, Some("Nowhere/Land")).is_err());
}

#[test]
fn the_local_zone_is_the_name_in_the_link() {
    let folder = tempfile::tempdir().unwrap();
    let localtime = folder.path().join("localtime");
    symlink("../usr/share/zoneinfo/America/New_York", &localtime).unwrap();
    let found = default_zone(None, &Host { localtime, ..host() }).unwrap();
    assert_eq!(found.zone.name(), "America/New_York");
    assert_eq!(found.warning, None);
}

#[test]
fn without_a_local_zone_it_is_utc_with_a_warning() {
    let found = default_zone(None, &host()).unwrap();
    assert_eq!(found.zone, Zone::utc());
    assert!(found.warning.unwrap().contains("/nonexistent/localtime"));
}

#[test]
fn bytes_that_are_no_zone_are_utc_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let localtime = folder.path().join("localtime");
    std::fs::write(&localtime, "not a zone").unwrap();
    let found = default_zone(None, &Host { localtime, ..host() }).unwrap();
    assert_eq!(found.zone, Zone::utc());
    assert!(found.warning.is_some());
}

#[test]
fn what_replicas_share_is_warned_of_where_nothing_is_shared() {
    let warnings = |arguments: &[&str]| {
        let arguments = [&["--tz=UTC"], arguments].concat();
        config(&arguments).warnings.join("\n")
    };
    let about = " says nothing here: it is about a store that replicas share";
    let told = warnings(&["--local", "--when-store-down=hold"]);
    assert!(told.contains(&format!("--local{about}")), "{told}");
    assert!(told.contains(&format!("--when-store-down{about}")), "{told}");
    assert_eq!(warnings(&["--when-store-down=auto"]), "");
    let shared = ["--store=rediss://host", "--namespace=x", "--local", "--when-store-down=run"];
    assert_eq!(warnings(&shared), "");
}

#[test]
fn a_store_that_can_never_be_used_ends_the_start() {
    for (url, part) in [
        ("redis://host/xx", "/DATABASE"),
        ("redis+sentinel://host", "/MASTER"),
        ("redis+cluster://host", "name one server"),
        ("redis://host/0?pass=x", ":PASSWORD@HOST"),
    ] {
        let args = daemon_args(&[&format!("--store={url}"), "--namespace=x"]);
        let told = Config::new(&args, &host()).expect_err(url).to_string();
        assert!(told.starts_with("--store: ") && told.contains(part), "{told}");
    }
}

#[test]
fn a_state_directory_names_the_store_in_it() {
    let choice = |arguments: &[&str]| config(arguments).store.choice;
    assert_eq!(choice(&[]), StoreChoice::Nobody);
    assert_eq!(choice(&["--state-dir=/x"]), StoreChoice::StateDir);
    assert_eq!(choice(&["--state-dir=/x", "--store=memory:"]), StoreChoice::Store);
    let args = DaemonArgs { state_dir_by_environment: true, ..daemon_args(&["--state-dir=/x"]) };
    let store = Config::new(&args, &host()).unwrap().store;
    assert_eq!(store.choice, StoreChoice::Nobody, "an image has named it to all daemons");
    assert_eq!(store.address, crate::store::Address::Sqlite("/x/cronkeep.db".into()));
}
