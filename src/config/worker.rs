//! The worker, as the options say.

use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use nix::unistd::User;

use super::{
    FoundZone, Host, Located, LogConfig, addresses, default_control, default_state_dir,
    default_zone,
};
use crate::args::WorkerArgs;
use crate::broker;
use crate::exit::UsageError;
use crate::schedule::Zone;
use crate::store::Address;

/// The file in the state directory.
const FILE: &str = "worker.db";

/// What a worker runs by.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The queue that it reads.
    pub queue: String,
    /// The broker's addresses, in the order in which they are tried; at least one.
    pub addresses: Vec<broker::Address>,
    /// The file with the key of orders; none: any order is carried out.
    pub key: Option<PathBuf>,
    /// Users that it runs commands as.
    pub users: Vec<String>,
    /// Names of its environment that commands see.
    pub env_allow: Vec<String>,
    /// How many orders it fetches.
    pub prefetch: u16,
    /// How long a command may take.
    pub timeout: Option<Duration>,
    /// How long commands may go on when it stops.
    pub stop_grace: Duration,
    /// The file that says which orders were taken.
    pub orders: PathBuf,
    /// The URL of the Redis that says so in its place, and the namespace.
    pub store: Option<(String, String)>,
    /// Every command goes through its shell.
    pub always_shell: bool,
    /// Where it is asked for its health; none: nowhere.
    pub listening: Option<Listening>,
    /// The number of the user that it runs as, who may ask beside root.
    pub uid: u32,
    /// The log.
    pub log: LogConfig,
    /// The zone of times in the log.
    pub zone: Zone,
    /// What the log should say at the start.
    pub warnings: Vec<String>,
}

/// Where a worker listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The socket.
    pub path: PathBuf,
    /// Whether the options say so.
    pub is_named: bool,
}

impl Listening {
    /// Where the option says. Else, as the first process of a container, which has no daemon then, where a daemon would:
    /// there the container's engine asks. Elsewhere a variable of the environment is there for a daemon, which must not find
    /// its place taken.
    fn new(args: &WorkerArgs, host: &Host) -> Option<Self> {
        let WorkerArgs { control, control_by_environment, .. } = args;
        match control.clone() {
            Some(path) if !control_by_environment => Some(Listening { path, is_named: true }),
            _ if host.pid != 1 => None,
            found => {
                let path = found.unwrap_or_else(|| default_control(host));
                Some(Listening { path, is_named: false })
            }
        }
    }
}

impl WorkerConfig {
    /// Validates the worker's options.
    ///
    /// # Errors
    /// No broker, a store that is no Redis, no key and not told to do without, a name of a queue or a zone that cannot be.
    pub fn new(args: &WorkerArgs, host: &Host) -> Result<Self, UsageError> {
        let FoundZone { zone, warning } = default_zone(args.tz.as_deref(), host)?;
        let mut warnings: Vec<String> = warning.into_iter().collect();
        let addresses = addresses(args.amqp.as_deref(), &mut warnings)?;
        if addresses.is_empty() {
            let text = "--amqp, CRONKEEP_AMQP or CRONKEEP_AMQP_FILE says where the queue is";
            return Err(UsageError(text.to_owned()));
        }
        if args.queue.is_empty() || args.queue.len() > 255 {
            let text = "--queue: the name of a queue has 1 to 255 bytes";
            return Err(UsageError(text.to_owned()));
        }
        match (&args.key, args.insecure) {
            (None, false) => {
                return Err(UsageError(
                    "--key names the file with the key that orders are signed with: without one, whoever can publish to \
                     the queue could run commands here (--insecure allows that)"
                        .to_owned(),
                ));
            }
            (None, true) => warnings.push(format!(
                "whoever can publish to the queue {} can run commands here: --key has orders signed",
                args.queue
            )),
            (Some(_), _) => {}
        }
        let own = || vec![host.user.clone(), host.uid.to_string()];
        let users = if args.users.is_empty() { own() } else { args.users.clone() };
        warnings.extend(args.users.iter().filter_map(|user| trouble(user, host)));
        let processors = available_parallelism().map_or(1, std::num::NonZero::get);
        let state_dir = args.state_dir.clone().unwrap_or_else(|| default_state_dir(host));
        let (store, namespace) = (args.store.as_deref(), args.namespace.as_deref());
        let located = Located::new(store, namespace, &state_dir, &mut warnings)?;
        let store = match located.address {
            Address::Redis(url) => Some((url, located.namespace)),
            Address::Sqlite(_) | Address::Memory if located.named => {
                let text = "--store: what workers share is a Redis; without it, a file in --state-dir is kept";
                return Err(UsageError(text.to_owned()));
            }
            Address::Sqlite(_) | Address::Memory => None,
        };
        Ok(WorkerConfig {
            queue: args.queue.clone(),
            addresses,
            key: args.key.clone(),
            users,
            env_allow: args.env_allow.clone(),
            prefetch: args.prefetch.unwrap_or(u16::try_from(processors).unwrap_or(1)),
            timeout: args.timeout,
            stop_grace: args.stop_grace,
            orders: state_dir.join(FILE),
            store,
            always_shell: args.always_shell,
            listening: Listening::new(args, host),
            uid: host.uid,
            log: LogConfig { format: args.log_format.into(), level: args.log_level.into() },
            zone,
            warnings,
        })
    }
}

/// Why nothing can be run as a user, who is named; none if it can, or where that cannot be told.
fn trouble(user: &str, host: &Host) -> Option<String> {
    if user == host.user || user == host.uid.to_string() {
        return None;
    }
    let why = if host.uid != 0 {
        format!("only root runs commands as {user}, and we are {}", host.user)
    } else if is_number(user) {
        // A number needs no account.
        return None;
    } else if matches!(User::from_name(user), Ok(None)) {
        format!("this host has no user {user}")
    } else {
        return None;
    };
    Some(format!("--users: {why}: what is sent for him could not start"))
}

/// Whether a name is a user's number, as it is written.
fn is_number(user: &str) -> bool {
    user.parse().is_ok_and(|number: u32| number.to_string() == user)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn config(options: &[&str]) -> Result<WorkerConfig, UsageError> {
        let words = ["cronkeep", "worker", "--tz", "UTC"].iter().chain(options);
        let cli = Cli::try_parse_from(words).unwrap();
        let Some(Command::Worker(args)) = cli.command else { panic!("no worker") };
        let host = Host { user: "alice".to_owned(), uid: 1000, ..Host::of_process() };
        WorkerConfig::new(&args, &host)
    }

    const BROKER: [&str; 4] = ["--queue", "q", "--amqp", "amqp://localhost"];

    fn with(more: &[&str]) -> Result<WorkerConfig, UsageError> {
        config(&[&BROKER, more].concat())
    }

    #[test]
    fn a_worker_without_a_key_has_to_be_told_to_do_without() {
        let told = with(&[]).unwrap_err().to_string();
        assert!(told.contains("--key") && told.contains("--insecure"), "{told}");
        let insecure = with(&["--insecure"]).unwrap();
        assert!(insecure.warnings.iter().any(|text| text.contains("can run commands here")));
        let secure = with(&["--key", "k"]).unwrap();
        assert!(secure.warnings.is_empty(), "{:?}", secure.warnings);
    }

    #[test]
    fn a_worker_listens_where_it_is_told_to_and_for_its_container() {
        let listening = |pid, control: Option<&str>, control_by_environment| {
            let words = ["cronkeep", "worker", "--queue", "q"];
            let cli = Cli::try_parse_from(words).unwrap();
            let Some(Command::Worker(args)) = cli.command else { panic!("no worker") };
            let control = control.map(PathBuf::from);
            let args = WorkerArgs { control, control_by_environment, ..args };
            Listening::new(&args, &Host { uid: 0, pid, ..Host::of_process() })
        };
        let (path, place) = (PathBuf::from("/tmp/w.sock"), Some("/tmp/w.sock"));
        let named = Some(Listening { path: path.clone(), is_named: true });
        assert_eq!(listening(2, place, false), named);
        assert_eq!(listening(1, place, false), named);
        assert_eq!(listening(2, None, false), None);
        assert_eq!(listening(2, place, true), None, "it is a daemon's");
        assert_eq!(listening(1, place, true), Some(Listening { path, is_named: false }));
        let found = listening(1, None, false).unwrap();
        assert!(found.path.ends_with("control.sock") && !found.is_named, "{found:?}");
    }

    #[test]
    fn a_worker_runs_commands_as_its_own_user_unless_others_are_named() {
        assert_eq!(with(&["--insecure"]).unwrap().users, ["alice", "1000"]);
        assert_eq!(with(&["--insecure", "--users", "a,b"]).unwrap().users, ["a", "b"]);
    }

    #[test]
    fn users_as_which_nothing_can_run_here_are_warned_of() {
        let told = |host: &Host, users: &str| {
            let words = ["cronkeep", "worker", "--tz", "UTC", "--insecure", "--users", users];
            let cli = Cli::try_parse_from(words.iter().chain(&BROKER)).unwrap();
            let Some(Command::Worker(args)) = cli.command else { panic!("no worker") };
            let warnings = WorkerConfig::new(&args, host).unwrap().warnings.into_iter();
            warnings.filter(|text| text.starts_with("--users")).collect::<Vec<_>>()
        };
        let root = Host { user: "root".to_owned(), uid: 0, ..Host::of_process() };
        assert_eq!(told(&root, "root,0,3999999999"), [""; 0]);
        let expected =
            "--users: this host has no user nobody-here: what is sent for him could not start";
        assert_eq!(told(&root, "nobody-here,root"), [expected]);
        let alice = Host { user: "alice".to_owned(), uid: 1000, ..root };
        assert_eq!(told(&alice, "alice,1000"), [""; 0]);
        let expected = "--users: only root runs commands as root, and we are alice: what is sent for him could not start";
        assert_eq!(told(&alice, "alice,root"), [expected]);
    }

    #[test]
    fn a_worker_needs_a_broker_and_the_name_of_a_queue() {
        let told = config(&["--queue", "q", "--insecure"]).unwrap_err().to_string();
        assert!(told.contains("--amqp"), "{told}");
        let long = "q".repeat(256);
        for queue in ["", &long] {
            let options = ["--queue", queue, "--amqp", "amqp://h", "--insecure"];
            assert!(config(&options).is_err(), "{queue}");
        }
    }
}
