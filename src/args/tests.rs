use super::*;

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    let arguments = std::iter::once("cronkeep").chain(arguments.iter().copied());
    Cli::read(arguments.map(OsString::from), |_| false)
}

#[test]
fn the_table_of_options_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn a_path_alone_is_a_crontab_of_the_daemon() {
    let cli = parse(&["examples/tour.crontab", "b"]).unwrap();
    assert!(cli.command.is_none());
    assert_eq!(cli.daemon.crontabs.len(), 2);
}

#[test]
fn a_crontab_named_like_a_command_is_given_with_its_folder() {
    assert_eq!(parse(&["./check"]).unwrap().daemon.crontabs, [PathBuf::from("./check")]);
    assert!(matches!(parse(&["check"]).unwrap().command, Some(Command::Check(_))));
}

#[test]
fn a_command_behind_options_or_crontabs_is_no_file_to_wait_for() {
    for arguments in [&["--strict", "check", "jobs"][..], &["jobs", "next"], &["--", "man"]] {
        let error = parse(arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("comes first"), "{error}");
    }
}

#[test]
fn a_line_of_standard_input_can_be_explained_and_a_mistyped_option_cannot() {
    for arguments in [&["explain", "-:1"][..], &["explain", "--tz", "UTC", "-:1"]] {
        assert!(parse(arguments).is_ok(), "{arguments:?}");
    }
    for arguments in [&["explain", "--jsno"][..], &["explain", "-x"], &["explain", "-"]] {
        assert_eq!(parse(arguments).unwrap_err().exit_code(), 2, "{arguments:?}");
    }
}

#[test]
fn json_and_sarif_exclude_each_other() {
    assert_eq!(parse(&["check", "--json", "--sarif"]).unwrap_err().exit_code(), 2);
}

#[test]
fn a_batch_takes_its_questions_from_its_lines_alone() {
    assert!(parse(&["next", "--batch", "-"]).is_ok());
    assert_eq!(parse(&["next", "--batch", "-", "--count", "3"]).unwrap_err().exit_code(), 2);
}

#[test]
fn every_option_of_the_daemon_has_its_variable() {
    let command = Cli::command();
    let options = command.get_arguments().filter(|arg| !arg.is_positional());
    for option in options {
        let long = option.get_long().unwrap();
        let name = format!("CRONKEEP_{}", long.to_uppercase().replace('-', "_"));
        assert_eq!(option.get_env(), Some(OsStr::new(&name)), "--{long}");
    }
}

#[test]
fn every_command_shows_an_example() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("cronkeep"), "{}", command.get_name());
    }
}

#[test]
fn an_empty_variable_is_no_value() {
    let command = without_empty_variables(Cli::command(), &|name| name == "CRONKEEP_TZ");
    let variable = |name: &str| {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name)).unwrap();
        arg.get_env().is_some()
    };
    assert!(!variable("tz") && variable("user"));
}
