//! What a run's command is given: its arguments and its environment. Pure.
//!
//! The rules are cronie's (`do_command.c`, `env.c`; vectors in `run.jsonl`), except that the daemon's own environment may
//! be passed on, which is what users of containers expect.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use super::mail::{Envelope, Post};
use super::occasion::{message_id, scheduled_at};
use super::plain::{Plain, Search};
use crate::crontab::Origin;
use crate::event::Run;
use crate::job::{Action, Terms};
use crate::message;
use crate::unix::{Account, Limit, Strings};

/// `PATH` where neither the daemon nor the crontab has one; cronie's default.
pub const DEFAULT_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// `SHELL` where the crontab has none.
pub const DEFAULT_SHELL: &str = "/bin/sh";

/// What every run learns of itself, and a publish besides: the id that its message is to have. Nobody else sets these.
pub const ABOUT: [&str; 7] = [
    "CRONKEEP_JOB_ID",
    "CRONKEEP_JOB_NAME",
    "CRONKEEP_RUN_ID",
    "CRONKEEP_SCHEDULED_AT",
    "CRONKEEP_ATTEMPT",
    "CRONKEEP_FIRE_ID",
    "CRONKEEP_MESSAGE_ID",
];

/// What all runs have in common.
#[derive(Debug, Clone)]
pub struct Host {
    /// The daemon's own user.
    pub account: Account,
    /// What may be passed on of the daemon's environment, in its order.
    pub inherited: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether every job gets a clean environment.
    pub clean_env: bool,
    /// Names that a clean environment passes on besides `LANG`, `LC_…` and `TZ`.
    pub env_allow: Vec<String>,
    /// Whether even a plain command goes through its shell.
    pub always_shell: bool,
    /// The limit of descriptors that runs get; none: the daemon's.
    pub descriptors: Option<Limit>,
    /// The control socket, where it is not the one that every client looks for.
    pub control: Option<Vec<u8>>,
    /// How mails are sent.
    pub post: Arc<Post>,
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
        Host {
            account,
            inherited,
            clean_env: false,
            env_allow: Vec::new(),
            always_shell: false,
            descriptors: None,
            control: None,
            post: Arc::default(),
        }
    }

    /// Whether a job of these terms, run as `account`, gets all of the daemon's environment: its own user's, and what
    /// tables of /etc and named ones hold; other users' tables do not.
    fn passes_all_on(&self, terms: &Terms, account: &Account) -> bool {
        !self.clean_env && (terms.origin != Origin::Spool || account.uid == self.account.uid)
    }

    /// Whether even a clean environment has this variable of the daemon's.
    fn is_clean(&self, name: &[u8]) -> bool {
        matches!(name, b"LANG" | b"TZ")
            || name.starts_with(b"LC_")
            || self.env_allow.iter().any(|allowed| allowed.as_bytes() == name)
    }
}

fn is_passed_on(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 3] = [b"CRONKEEP_", b"LISTEN_", b"WATCHDOG_"];
    const NAMES: [&[u8]; 5] = [b"NOTIFY_SOCKET", b"SHELL", b"HOME", b"LOGNAME", b"USER"];
    !NAMES.contains(&name) && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// What all runs of the same terms and user have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `NAME=value` each, no name twice.
    pub environment: Strings,
    /// The program's path, taken as it is.
    pub shell: CString,
    /// Where they run: the resulting `HOME`.
    pub home: CString,
    /// Where commands are found that need no shell; none: all need it.
    search: Option<Search>,
    /// Of mails about what they print; none where mail is off.
    pub envelope: Option<Envelope>,
}

impl Base {
    /// What runs of these terms as `account` have in common; `is_plain` tells whether a shell is a plain one.
    ///
    /// # Errors
    /// Something in it holds a NUL byte; the text says what.
    pub fn new(
        host: &Host,
        terms: &Terms,
        account: &Account,
        is_plain: impl FnOnce(&OsStr) -> bool,
    ) -> Result<Self, String> {
        let variables = Variables::new(host, terms, account);
        let value = |name: &str| variables.get(name).unwrap_or_default();
        let shell = value("SHELL");
        let mut environment = Strings::default();
        for (name, value) in &variables.0 {
            let nul = |_| format!("{} holds a NUL byte", String::from_utf8_lossy(name));
            environment.push(&[name, b"=", value]).map_err(nul)?;
        }
        let mut search = None;
        if !host.always_shell {
            search = Search::new(variables.pairs()).filter(|_| is_plain(OsStr::from_bytes(shell)));
        }
        Ok(Base {
            shell: c_string(shell, "SHELL")?,
            home: c_string(value("HOME"), "HOME")?,
            environment,
            search,
            envelope: Envelope::new(host, terms, account, &variables.pairs()),
        })
    }

    /// The command as it is executed without a shell; none where it needs one.
    pub(super) fn plain(&self, run: &Run) -> Option<Plain> {
        let Action::Shell { command, .. } = &run.fire.job.action;
        self.search.as_ref()?.plain(command.as_bytes())
    }
}

/// The arguments of the shell that carries `run` out.
///
/// # Errors
/// The command holds a NUL byte.
pub fn arguments(shell: &CStr, run: &Run) -> Result<Strings, String> {
    let Action::Shell { command, .. } = &run.fire.job.action;
    let mut arguments = Strings::default();
    for argument in [shell.to_bytes(), b"-c", command.as_bytes()] {
        arguments.push(&[argument]).map_err(|_| "the command holds a NUL byte".to_owned())?;
    }
    Ok(arguments)
}

/// What a run learns of itself, to be added to its environment.
///
/// # Errors
/// The job's name holds a NUL byte.
pub fn about(run: &Run) -> Result<Strings, String> {
    let job = &*run.fire.job;
    let values = [
        job.key.id.to_string(),
        job.label(),
        run.id.to_string(),
        scheduled_at(run),
        run.attempt.to_string(),
        message_id(run),
    ];
    let command = job.action.command().as_bytes();
    // A shell might publish several, and each has an id of its own.
    let is_one_publish = message::is_publish(command) && message::words::words(command).is_some();
    let message = is_one_publish.then(|| values[5].clone());
    let mut about = Strings::default();
    for (name, value) in ABOUT.iter().zip(values.into_iter().chain(message)) {
        about
            .push(&[name.as_bytes(), b"=", value.as_bytes()])
            .map_err(|_| format!("{name} holds a NUL byte"))?;
    }
    Ok(about)
}

fn c_string(bytes: &[u8], what: &str) -> Result<CString, String> {
    CString::new(bytes).map_err(|_| format!("{what} holds a NUL byte"))
}

/// Names and values; a name that is set again keeps its place.
#[derive(Default)]
struct Variables<'a>(Vec<(&'a [u8], Cow<'a, [u8]>)>);

impl<'a> Variables<'a> {
    /// In cronie's order: settings, then the defaults they lack, then who the user is.
    fn new(host: &'a Host, terms: &'a Terms, account: &'a Account) -> Self {
        let mut variables = Variables::default();
        let all = host.passes_all_on(terms, account);
        for (name, value) in &host.inherited {
            if all || host.is_clean(name) {
                variables.set(name, value);
            }
        }
        if let Some(control) = &host.control {
            variables.set(b"CRONKEEP_CONTROL", control);
        }
        for setting in &terms.settings.0 {
            let name = setting.name.as_bytes();
            if !ABOUT.iter().any(|about| about.as_bytes() == name) {
                variables.set(name, setting.value.as_bytes());
            }
        }
        variables.fall_back("SHELL", DEFAULT_SHELL.as_bytes());
        variables.fall_back("HOME", &account.home);
        variables.fall_back("PATH", DEFAULT_PATH.as_bytes());
        variables.set(b"LOGNAME", account.name.as_bytes());
        variables.set(b"USER", account.name.as_bytes());
        variables
    }

    fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(known, _)| *known == name.as_bytes());
        found.map(|(_, value)| &**value)
    }

    fn set(&mut self, name: &'a [u8], value: impl Into<Cow<'a, [u8]>>) {
        let value = value.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(variable) => variable.1 = value,
            None => self.0.push((name, value)),
        }
    }

    fn fall_back(&mut self, name: &'static str, value: &'a [u8]) {
        if self.get(name).is_none() {
            self.0.push((name.as_bytes(), value.into()));
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
        let fire = Fire { job: Arc::new(job), due, trigger: Trigger::Schedule, generation: 0 };
        Run { id: RunId::new(Timestamp::UNIX_EPOCH, 31), fire, attempt: 1 }
    }

    fn base(host: &Host, run: &Run) -> Result<Base, String> {
        Base::new(host, &run.fire.job.terms, &host.account, |_| true)
    }

    fn texts(strings: &Strings) -> Vec<String> {
        strings.iter().map(|text| text.to_str().unwrap().to_owned()).collect()
    }

    /// The environment up to what every run has of its own.
    fn seen(host: &Host, settings: &[(&[u8], &[u8])]) -> Vec<String> {
        texts(&base(host, &run(settings, b"true")).unwrap().environment)
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

    /// What `account` sees of the daemon's environment in a table of this origin.
    fn passed_on(host: &Host, origin: Origin, account: &Account) -> Vec<String> {
        let terms = Terms { origin, ..(*run(&[], b"true").fire.job.terms).clone() };
        let base = Base::new(host, &terms, account, |_| true).unwrap();
        let own = ["SHELL=", "HOME=", "LOGNAME=", "USER="];
        let mut seen = texts(&base.environment);
        seen.retain(|line| !own.iter().any(|name| line.starts_with(name)));
        seen
    }

    #[test]
    fn row_47_another_users_table_gets_a_clean_environment_and_no_other_does() {
        let host =
            host(&[("DB", "x"), ("LANG", "C"), ("LC_TIME", "de"), ("TZ", "UTC"), ("PATH", "/p")]);
        let eve = Account { uid: 1001, name: "eve".into(), ..host.account.clone() };
        let all = ["DB=x", "LANG=C", "LC_TIME=de", "TZ=UTC", "PATH=/p"];
        let clean = ["LANG=C", "LC_TIME=de", "TZ=UTC", &format!("PATH={DEFAULT_PATH}")];
        for origin in [Origin::Named, Origin::System] {
            assert_eq!(passed_on(&host, origin, &eve), all);
        }
        assert_eq!(passed_on(&host, Origin::Spool, &host.account), all);
        assert_eq!(passed_on(&host, Origin::Spool, &eve), clean);
        let host = Host { clean_env: true, ..host };
        for origin in [Origin::Named, Origin::System, Origin::Spool] {
            assert_eq!(passed_on(&host, origin, &host.account), clean);
        }
    }

    #[test]
    fn row_51_names_can_be_allowed_into_a_clean_environment_but_not_the_daemons_secrets() {
        let environment =
            [("BAR", "1"), ("FOO", "2"), ("CRONKEEP_STORE", "s"), ("HOME", "/x"), ("PATH", "/p")];
        let allow = ["BAR", "CRONKEEP_STORE", "HOME", "PATH"].map(str::to_owned).to_vec();
        let host = Host { clean_env: true, env_allow: allow, ..host(&environment) };
        assert_eq!(passed_on(&host, Origin::System, &host.account), ["BAR=1", "PATH=/p"]);
        assert!(seen(&host, &[]).contains(&"HOME=/home/alice".to_owned()));
    }

    #[test]
    fn every_run_learns_what_it_is_a_run_of() {
        let run = run(&[(b"CRONKEEP_ATTEMPT", b"99"), (b"CRONKEEP_OWN", b"kept")], b"true");
        assert_eq!(
            texts(&about(&run).unwrap()),
            [
                "CRONKEEP_JOB_ID=crondServiceTask-abababababababab",
                "CRONKEEP_JOB_NAME=backup",
                "CRONKEEP_RUN_ID=0000000000000000000000000Z",
                "CRONKEEP_SCHEDULED_AT=2023-11-15T00:14:00+02:00",
                "CRONKEEP_ATTEMPT=1",
                "CRONKEEP_FIRE_ID=crondServiceTask-abababababababab#2:1700000040"
            ]
        );
        let mut of_table = texts(&base(&host(&[]), &run).unwrap().environment);
        of_table.retain(|line| line.starts_with("CRONKEEP_"));
        assert_eq!(of_table, ["CRONKEEP_OWN=kept"]);
    }

    #[test]
    fn a_run_learns_where_the_daemon_listens_if_it_is_not_where_everybody_looks() {
        let host = Host { control: Some(b"/srv/c".to_vec()), clean_env: true, ..host(&[]) };
        let has = |settings, line: &str| seen(&host, settings).iter().any(|it| it == line);
        assert!(has(&[], "CRONKEEP_CONTROL=/srv/c"));
        assert!(has(&[(b"CRONKEEP_CONTROL", b"/x")], "CRONKEEP_CONTROL=/x"));
    }

    #[test]
    fn a_publish_learns_the_id_of_its_message_and_other_commands_do_not() {
        let id = |command: &[u8]| {
            let about = texts(&about(&run(&[], command)).unwrap());
            about
                .into_iter()
                .find_map(|line| Some(line.strip_prefix("CRONKEEP_MESSAGE_ID=")?.to_owned()))
        };
        let key = "crondServiceTask-abababababababab#2";
        assert_eq!(id(b"cronkeep publish e k x"), Some(format!("{key}:1700000040")));
        assert_eq!(
            id(b"/bin/cronkeep publish --amqp amqp://x e k x"),
            Some(format!("{key}:1700000040"))
        );
        for command in
            [&b"cronkeep publish e k x; cronkeep publish e k y"[..], b"true", b"cronkeep check"]
        {
            assert_eq!(id(command), None);
        }
    }

    #[test]
    fn the_shell_gets_the_command_as_one_argument() {
        let run = run(&[(b"SHELL", b"bash"), (b"HOME", b"/srv")], b"echo  'a' \xff\n");
        let base = base(&host(&[]), &run).unwrap();
        assert_eq!(base.home.as_c_str(), c"/srv");
        let arguments = arguments(&base.shell, &run).unwrap();
        assert_eq!(arguments.iter().collect::<Vec<_>>(), [c"bash", c"-c", c"echo  'a' \xff\n"]);
        assert_eq!(base.plain(&run), None);
    }

    #[test]
    fn a_plain_command_needs_a_shell_only_where_it_is_asked_for() {
        let plain = |host: &Host, settings| {
            let run = run(settings, b"/bin/ls -l");
            base(host, &run).unwrap().plain(&run).is_some()
        };
        assert!(plain(&host(&[]), &[]));
        assert!(!plain(&host(&[("ENV", "/x")]), &[]));
        assert!(!plain(&host(&[]), &[(b"IFS", b"/")]));
        assert!(!plain(&Host { always_shell: true, ..host(&[]) }, &[]));
    }

    #[test]
    fn a_nul_byte_cannot_be_handed_to_a_process() {
        let error = |settings| base(&host(&[]), &run(settings, b"a")).unwrap_err();
        assert_eq!(error(&[(b"A", b"\0")]), "A holds a NUL byte");
        assert_eq!(error(&[(b"HOME", b"\0")]), "HOME holds a NUL byte");
        let command = arguments(c"sh", &run(&[], b"a\0b"));
        assert_eq!(command.unwrap_err(), "the command holds a NUL byte");
    }
}
