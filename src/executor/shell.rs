//! What a run's shell is given: its arguments and its environment. Pure.
//!
//! The rules are cronie's (`do_command.c`, `env.c`; vectors in `run.jsonl`), except that the daemon's own environment may
//! be passed on, which is what users of containers expect.

use std::borrow::Cow;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

use crate::event::Run;
use crate::job::Action;
use crate::unix::Account;

/// `PATH` where neither the daemon nor the crontab has one; cronie's default.
pub const DEFAULT_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// `SHELL` where the crontab has none.
pub const DEFAULT_SHELL: &str = "/bin/sh";

/// What all runs have in common.
#[derive(Debug, Clone)]
pub struct Host {
    /// The user all of them run as.
    pub account: Account,
    /// What is passed on of the daemon's environment, in its order.
    pub inherited: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A run made ready for exec(3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// `SHELL`, `-c` and the command; the first is also the program's path, taken as it is.
    pub arguments: [CString; 3],
    /// `NAME=value` each, no name twice.
    pub environment: Vec<CString>,
    /// Where it is to run: the resulting `HOME`.
    pub home: CString,
}

impl Host {
    /// The current user, and of `environment` (the daemon's own) what jobs may see.
    ///
    /// Not passed on: what is meant for the daemon alone (`CRONKEEP_…`, `NOTIFY_SOCKET`, `LISTEN_…`, `WATCHDOG_…`) and what
    /// every job has a value of its own for (`SHELL`, `HOME`, `LOGNAME`, `USER`).
    pub fn new(
        account: Account,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let inherited = environment
            .into_iter()
            .map(|(name, value)| (name.into_vec(), value.into_vec()))
            .filter(|(name, _)| is_passed_on(name))
            .collect();
        Host { account, inherited }
    }
}

fn is_passed_on(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 3] = [b"CRONKEEP_", b"LISTEN_", b"WATCHDOG_"];
    const NAMES: [&[u8]; 5] = [b"NOTIFY_SOCKET", b"SHELL", b"HOME", b"LOGNAME", b"USER"];
    !NAMES.contains(&name) && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl Launch {
    /// Makes `run` ready.
    ///
    /// # Errors
    /// Something in it holds a NUL byte; the text says what.
    pub fn new(host: &Host, run: &Run) -> Result<Self, String> {
        let job = &*run.fire.job;
        let Action::Shell { command, .. } = &job.action;
        let environment = environment(host, run);
        let value = |name: &str| environment.get(name).unwrap_or_default();
        Ok(Launch {
            arguments: [
                c_string(value("SHELL"), "SHELL")?,
                c_string(b"-c", "-c")?,
                c_string(command.as_bytes(), "the command")?,
            ],
            home: c_string(value("HOME"), "HOME")?,
            environment: environment
                .variables
                .iter()
                .map(|(name, value)| {
                    let text = [*name, b"=", value].concat();
                    CString::new(text)
                        .map_err(|_| format!("{} holds a NUL byte", String::from_utf8_lossy(name)))
                })
                .collect::<Result<_, _>>()?,
        })
    }
}

fn c_string(bytes: &[u8], what: &str) -> Result<CString, String> {
    CString::new(bytes).map_err(|_| format!("{what} holds a NUL byte"))
}

/// A run's environment, in cronie's order: settings, then the defaults they lack, then who we are, then the run.
fn environment<'a>(host: &'a Host, run: &'a Run) -> Variables<'a> {
    let job = &*run.fire.job;
    let mut variables = Variables::default();
    for (name, value) in &host.inherited {
        variables.set(name, value);
    }
    for setting in &job.settings().0 {
        variables.set(setting.name.as_bytes(), setting.value.as_bytes());
    }
    variables.fall_back("SHELL", DEFAULT_SHELL.as_bytes());
    variables.fall_back("HOME", &host.account.home);
    variables.fall_back("PATH", DEFAULT_PATH.as_bytes());
    variables.set(b"LOGNAME", host.account.name.as_bytes());
    variables.set(b"USER", host.account.name.as_bytes());
    let at = run.fire.due.at;
    let offset = job.zone().rules().to_offset(at);
    let about = [
        ("CRONKEEP_JOB_ID", job.key.id.to_string()),
        ("CRONKEEP_JOB_NAME", job.label()),
        ("CRONKEEP_RUN_ID", run.id.to_string()),
        ("CRONKEEP_SCHEDULED_AT", at.display_with_offset(offset).to_string()),
        ("CRONKEEP_ATTEMPT", run.attempt.to_string()),
    ];
    for (name, value) in about {
        variables.set(name.as_bytes(), value.into_bytes());
    }
    variables
}

/// Names and values; a name that is set again keeps its place.
#[derive(Default)]
struct Variables<'a> {
    variables: Vec<(&'a [u8], Cow<'a, [u8]>)>,
}

impl<'a> Variables<'a> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.variables.iter().find(|(known, _)| *known == name.as_bytes());
        found.map(|(_, value)| &**value)
    }

    fn set(&mut self, name: &'a [u8], value: impl Into<Cow<'a, [u8]>>) {
        let value = value.into();
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some(variable) => variable.1 = value,
            None => self.variables.push((name, value)),
        }
    }

    fn fall_back(&mut self, name: &'static str, value: &'a [u8]) {
        if self.get(name).is_none() {
            self.variables.push((name.as_bytes(), value.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use jiff::civil::date;
    use jiff::tz::{Offset, TimeZone};

    use super::*;
    use crate::crontab::{Flags, Origin, Setting, Settings};
    use crate::event::{Fire, RunId, Trigger};
    use crate::job::{Job, JobId, JobKey, Naming, Policy, Terms, Timing};
    use crate::schedule::{Due, Schedule, Zone};

    fn host(environment: &[(&str, &str)]) -> Host {
        let account = Account {
            uid: 1000,
            gid: 1000,
            name: "alice".into(),
            home: b"/home/alice".to_vec(),
            shell: b"/bin/zsh".to_vec(),
        };
        Host::new(account, environment.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn run(settings: &[(&[u8], &[u8])], command: &[u8]) -> Run {
        let setting = |(name, value): &(&[u8], &[u8])| Setting {
            name: (*name).into(),
            value: (*value).into(),
        };
        let job = Job {
            key: JobKey { id: JobId([0xab; 8]), occurrence: 2 },
            line: 1,
            timing: Arc::new(Timing { schedule: Schedule::Reboot, text: "@reboot".into() }),
            action: Action::Shell { command: command.into(), stdin: None },
            terms: Arc::new(Terms {
                file: "/etc/crontab".into(),
                origin: Origin::System,
                user: "alice".into(),
                zone: Zone::from_rules("far", TimeZone::fixed(Offset::constant(2))),
                settings: Arc::new(Settings(settings.iter().map(setting).collect())),
                policy: Arc::new(Policy::default()),
            }),
            naming: Some(Box::new(Naming { name: Some("backup".into()), description: None })),
            since: Timestamp::UNIX_EPOCH,
            flags: Flags::default(),
        };
        let due = Due {
            at: Timestamp::from_second(1_700_000_040).unwrap(),
            civil: date(2023, 11, 15).at(0, 14, 0, 0),
        };
        let fire = Fire { job: Arc::new(job), due, trigger: Trigger::Schedule };
        Run { id: RunId::new(Timestamp::UNIX_EPOCH, 31), fire, attempt: 1 }
    }

    /// The environment up to what every run has of its own.
    fn seen(host: &Host, settings: &[(&[u8], &[u8])]) -> Vec<String> {
        let run = run(settings, b"true");
        let launch = Launch::new(host, &run).unwrap();
        let text = launch.environment.into_iter().map(|line| line.into_string().unwrap());
        text.take_while(|line| !line.starts_with("CRONKEEP_")).collect()
    }

    #[test]
    fn a_clean_environment_is_cronies_in_cronies_order() {
        let clean = host(&[]);
        assert_eq!(
            seen(&clean, &[]),
            [
                "SHELL=/bin/sh",
                "HOME=/home/alice",
                "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
                "LOGNAME=alice",
                "USER=alice"
            ]
        );
        // run-00280, run-00308 and run-00304 of run.jsonl.
        assert_eq!(
            seen(&clean, &[(b"SHELL", b"/x"), (b"A", b"$HOME/x")])[..3],
            ["SHELL=/x", "A=$HOME/x", "HOME=/home/alice"]
        );
        assert_eq!(
            seen(&clean, &[(b"HOME", b"/tmp"), (b"LOGNAME", b"eve"), (b"PATH", b"")]),
            ["HOME=/tmp", "LOGNAME=alice", "PATH=", "SHELL=/bin/sh", "USER=alice"]
        );
    }

    #[test]
    fn the_daemons_environment_is_passed_on_and_settings_win() {
        let host = host(&[("PATH", "/opt/bin"), ("TZ", "UTC"), ("DB", "one")]);
        assert_eq!(
            seen(&host, &[(b"DB", b"two"), (b"X", b"=a b")]),
            [
                "PATH=/opt/bin",
                "TZ=UTC",
                "DB=two",
                "X==a b",
                "SHELL=/bin/sh",
                "HOME=/home/alice",
                "LOGNAME=alice",
                "USER=alice"
            ]
        );
    }

    #[test]
    fn what_is_meant_for_the_daemon_alone_is_not_passed_on() {
        let host = host(&[
            ("CRONKEEP_STORE", "redis://secret"),
            ("NOTIFY_SOCKET", "/run/notify"),
            ("LISTEN_FDS", "1"),
            ("WATCHDOG_USEC", "5"),
            ("SHELL", "/bin/fish"),
            ("HOME", "/var/lib/daemon"),
            ("USER", "daemon"),
            ("LOGNAME", "daemon"),
            ("LISTENER", "kept"),
        ]);
        assert_eq!(host.inherited, [(b"LISTENER".to_vec(), b"kept".to_vec())]);
    }

    #[test]
    fn every_run_learns_what_it_is_a_run_of() {
        let run = run(&[(b"CRONKEEP_ATTEMPT", b"99")], b"true");
        let launch = Launch::new(&host(&[]), &run).unwrap();
        let mut own: Vec<_> =
            launch.environment.iter().map(|line| line.to_str().unwrap()).collect();
        own.retain(|line| line.starts_with("CRONKEEP_"));
        own.sort_unstable();
        assert_eq!(
            own,
            [
                "CRONKEEP_ATTEMPT=1",
                "CRONKEEP_JOB_ID=crondServiceTask-abababababababab",
                "CRONKEEP_JOB_NAME=backup",
                "CRONKEEP_RUN_ID=0000000000000000000000000Z",
                "CRONKEEP_SCHEDULED_AT=2023-11-15T00:14:00+02:00"
            ]
        );
    }

    #[test]
    fn the_shell_gets_the_command_as_one_argument() {
        let run = run(&[(b"SHELL", b"bash"), (b"HOME", b"/srv")], b"echo  'a' \xff\n");
        let launch = Launch::new(&host(&[]), &run).unwrap();
        assert_eq!(
            launch.arguments,
            [c"bash".into(), c"-c".into(), c"echo  'a' \xff\n".to_owned()]
        );
        assert_eq!(launch.home.as_c_str(), c"/srv");
    }

    #[test]
    fn a_nul_byte_cannot_be_handed_to_a_process() {
        let launch = |run: Run| Launch::new(&host(&[]), &run);
        assert_eq!(launch(run(&[], b"a\0b")).unwrap_err(), "the command holds a NUL byte");
        assert_eq!(launch(run(&[(b"A", b"\0")], b"a")).unwrap_err(), "A holds a NUL byte");
        assert_eq!(launch(run(&[(b"HOME", b"\0")], b"a")).unwrap_err(), "HOME holds a NUL byte");
    }
}
