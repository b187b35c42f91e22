//! The process of a node: how it is started, and how it answers.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::{Rabbit, erlang};

/// How long anything may take before a test fails; nothing takes that long when all is well: a start needs four seconds.
const PATIENCE: Duration = Duration::from_secs(240);

/// What answers in the node: reads expressions, a line each, and writes what they come to.
const ANSWERER: &str = r#"
Answer = fun Answer() ->
  case io:get_line(standard_io, "") of
    Line when is_list(Line) ->
      Text = try
        {ok, Tokens, _} = erl_scan:string(Line),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Expressions, []),
        io_lib:format("~0p", [Value])
      catch Class:Reason:Stack -> io_lib:format("failed: ~0p", [{Class, Reason, Stack}]) end,
      io:put_chars(standard_io, ["\1", Text, "\n"]),
      Answer();
    _ -> erlang:halt(0, [{flush, false}])
  end
end,
spawn(Answer).
"#;

/// The process of a node.
pub(super) struct Node {
    pub(super) child: Child,
    pub(super) questions: ChildStdin,
    answers: Receiver<String>,
}

impl Node {
    /// The next answer; none when the node has ended.
    pub(super) fn answer(&mut self) -> Option<String> {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.child.kill();
                panic!("the node does not answer within {PATIENCE:?}")
            }
        }
    }
}

impl Rabbit {
    /// Starts the process, and waits until it answers.
    pub(super) fn launch(&self) {
        let folder = self.folder.path();
        let errors = std::fs::File::create(folder.join("errors")).expect("a file");
        let mut command = Command::new("erl");
        // Who runs the tests is nobody of this node, and this host's settings are not meant for it.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RABBITMQ_") {
                command.env_remove(name);
            }
        }
        for (name, file) in [
            ("RABBITMQ_CONF_ENV_FILE", "no-such-file"),
            ("RABBITMQ_CONFIG_FILE", "no-such-file"),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "no-such-file"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_MNESIA_BASE", "data"),
            ("RABBITMQ_MNESIA_DIR", "data/node"),
            ("RABBITMQ_LOG_BASE", "."),
            ("RABBITMQ_LOGS", "log"),
            ("RABBITMQ_PID_FILE", "pid"),
            ("RABBITMQ_GENERATED_CONFIG_DIR", "config"),
            ("RABBITMQ_PLUGINS_EXPAND_DIR", "expanded"),
            ("HOME", "."),
        ] {
            command.env(name, folder.join(file));
        }
        let name = format!("rabbit{}@localhost", self.port);
        command.env("RABBITMQ_NODENAME", &name);
        command.env("RABBITMQ_PLUGINS_DIR", folder.join("lib"));
        command.env("ERL_LIBS", folder.join("lib"));
        // No title for a terminal's window, and no dump of a node that was harmed on purpose.
        command.env("TERM", "dumb").env("ERL_CRASH_DUMP_SECONDS", "0");
        command.args(["-noshell", "+W", "w", "+S", "1", "+SDio", "1", "+sbwt", "none", "+B", "i"]);
        command.args(["-sname", &name, "-setcookie", "test", "-boot", "start_sasl"]);
        // The node is alone: nobody need find it.
        command.args(["-start_epmd", "false", "-erl_epmd_port", &free_port().to_string()]);
        command.args(["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]);
        command.args(["-kernel", "prevent_overlapping_partitions", "false"]);
        command.args(["-sasl", "sasl_error_logger", "false"]);
        for (name, value) in self.settings() {
            command.args(["-rabbit", name, &value]);
        }
        command.args(["-eval", &ANSWERER.replace('\n', " "), "-s", "rabbit", "boot"]);
        command.args(["-eval", "io:put_chars(standard_io, \"\\1booted\\n\")."]);
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("erl starts");
        let (sender, answers) = channel();
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                // What has none of these is RabbitMQ's greeting.
                if let Some((_, answer)) = line.split_once('\x01')
                    && sender.send(answer.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let questions = child.stdin.take().expect("a pipe");
        let mut node = Node { child, questions, answers };
        let answer = node.answer();
        assert_eq!(answer.as_deref(), Some("booted"), "RabbitMQ does not start: {}", self.log());
        *self.node() = Some(node);
        assert_eq!(self.ask("rabbit:is_running()"), "true");
    }

    /// What distinguishes it from a node as it is installed.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("tcp_listeners", format!("[{{\"127.0.0.1\",{}}}]", self.port)),
            ("loopback_users", "[]".to_owned()),
            (
                "log",
                "[{console,[{enabled,false}]},{file,[{file,\"log\"},{level,info}]}]".to_owned(),
            ),
            // A test's host may be as full as it likes.
            ("disk_free_limit", "1".to_owned()),
            ("vm_memory_high_watermark", "0.9".to_owned()),
            ("handshake_timeout", "60000".to_owned()),
        ];
        if let Some(seconds) = self.setup.heartbeat {
            settings.push(("heartbeat", seconds.to_string()));
        }
        if self.setup.tls {
            let file = |name| erlang::path(&self.folder.path().join(name));
            let wants = self.setup.wants_certificate;
            let verify = if wants { "verify_peer" } else { "verify_none" };
            settings.push(("ssl_listeners", format!("[{{\"127.0.0.1\",{}}}]", self.tls_port)));
            settings.push((
                "ssl_options",
                format!(
                    "[{{cacertfile,{}}},{{certfile,{}}},{{keyfile,{}}},{{verify,{verify}}},{{fail_if_no_peer_cert,{wants}}}]",
                    file("ca.crt"),
                    file("localhost.crt"),
                    file("localhost.key"),
                ),
            ));
        }
        settings
    }
}

/// Where RabbitMQ is installed.
pub(super) fn home() -> Option<PathBuf> {
    let parent = Path::new("/usr/lib/rabbitmq/lib");
    let folders = std::fs::read_dir(parent).ok()?.filter_map(Result::ok).map(|item| item.path());
    folders.filter(|folder| folder.join("plugins").is_dir()).max()
}

/// Makes a folder of the libraries that a node without plugins needs: it reads all that it finds, which takes its time.
pub(super) fn link_libraries(home: &Path, folder: &Path) {
    std::fs::create_dir(folder).expect("a folder");
    for item in std::fs::read_dir(home.join("plugins")).expect("libraries") {
        let path = item.expect("a library").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.starts_with("rabbitmq_") || name.starts_with("rabbitmq_prelaunch") {
            std::os::unix::fs::symlink(&path, folder.join(&name)).expect("a link");
        }
    }
}

pub(super) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}
