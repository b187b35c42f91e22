//! A real RabbitMQ for a test: a node of its own, to be killed, paused and blocked at will.
//!
//! Test binaries take it in by its path, with `#[path = "../support/rabbit.rs"]`, and with `expect(dead_code)` where they do not need all of it.
//! The node is asked through its standard input, in Erlang: that works whatever is asked of its clients, and is much faster than rabbitmqctl.
//! It ends when its standard input does, so that it never outlives the test; there is no epmd.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long anything may take before a test fails; nothing takes that long when all is well: a start needs four seconds.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// Makes an authority and a certificate for 127.0.0.1 and localhost in the folder `$1`, and one for a client.
const CERTIFICATES: &str = r#"
set -e
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=authority of a test' \
  -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt
for name in localhost client; do
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
  printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n' > extensions
  openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out $name.crt
done
"#;

/// A node to be started.
#[derive(Default)]
pub struct Setup {
    tls: bool,
    wants_certificate: bool,
    heartbeat: Option<u16>,
}

/// A node that runs, or did; ended when dropped.
pub struct Rabbit {
    setup: Setup,
    folder: TempDir,
    port: u16,
    tls_port: u16,
    node: Mutex<Option<Node>>,
    vhosts: AtomicU32,
}

/// Its process.
struct Node {
    child: Child,
    questions: ChildStdin,
    answers: Receiver<String>,
}

/// A virtual host of a node, for one test: nothing in it meets another test.
pub struct Vhost<'a> {
    rabbit: &'a Rabbit,
    name: String,
}

/// A message that was taken out of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    pub id: String,
    pub exchange: String,
    pub routing_key: String,
    pub body: Vec<u8>,
    pub redelivered: bool,
    /// Its properties as Erlang writes them: `{'P_basic',<<"text/plain">>,…}`, headers with their types on the wire.
    pub properties: String,
}

/// A node that one test has to itself; nobody waits for it on the thread that has it.
pub struct Victim(MutexGuard<'static, Rabbit>);

/// The node that the tests of this binary share; none where RabbitMQ is not installed, which CI must have.
pub fn shared() -> Option<&'static Rabbit> {
    static SHARED: OnceLock<Option<Rabbit>> = OnceLock::new();
    SHARED.get_or_init(Rabbit::start).as_ref()
}

/// A second node of this binary, for tests that kill, pause or block it: one at a time.
pub fn victim() -> Option<Victim> {
    static VICTIM: OnceLock<Option<Mutex<Rabbit>>> = OnceLock::new();
    let victim = VICTIM.get_or_init(|| Rabbit::start().map(Mutex::new)).as_ref()?;
    let victim = victim.lock().unwrap_or_else(PoisonError::into_inner);
    // A test that failed may have left it in any state.
    victim.mend();
    Some(Victim(victim))
}

impl Deref for Victim {
    type Target = Rabbit;

    fn deref(&self) -> &Rabbit {
        &self.0
    }
}

impl Setup {
    /// Has it speak TLS, too, with a certificate that [`Rabbit::authority`] signed.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Has it ask clients that speak TLS for a certificate.
    pub fn wants_certificate(mut self) -> Self {
        self.wants_certificate = true;
        self.tls()
    }

    /// Has it want heartbeats so often, in seconds.
    pub fn heartbeat(mut self, seconds: u16) -> Self {
        self.heartbeat = Some(seconds);
        self
    }

    /// Starts it and waits until it answers; none where RabbitMQ is not installed, which CI must have.
    pub fn start(self) -> Option<Rabbit> {
        let home = home();
        let is_there = home.is_some() && is_installed("erl") && is_installed("openssl");
        let Some(home) = home.filter(|_| is_there) else {
            let reason =
                "skipped: rabbitmq-server or openssl is not installed, tests/tools.sh test does it";
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            println!("{reason}");
            return None;
        };
        let folder = TempDir::new().expect("a temporary folder");
        if self.tls {
            let mut script = Command::new("sh");
            script.args(["-c", CERTIFICATES, "sh"]).arg(folder.path());
            let output = script.output().expect("a shell");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        std::fs::write(folder.path().join("plugins"), "[].\n").expect("a list of plugins");
        link_libraries(&home, &folder.path().join("lib"));
        let rabbit = Rabbit {
            setup: self,
            folder,
            port: free_port(),
            tls_port: free_port(),
            node: Mutex::new(None),
            vhosts: AtomicU32::new(0),
        };
        rabbit.launch();
        Some(rabbit)
    }
}

impl Rabbit {
    /// A node that speaks no TLS, once it answers; none where RabbitMQ is not installed.
    pub fn start() -> Option<Self> {
        Rabbit::setup().start()
    }

    /// A node to be described.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its port on 127.0.0.1 for TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The URL of its default virtual host, with user and password.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// A virtual host of its own for a test, in which `guest` may do everything.
    pub fn vhost(&self) -> Vhost<'_> {
        let number = self.vhosts.fetch_add(1, Ordering::Relaxed);
        let name = format!("test/{number}");
        let asked = format!("rabbit_vhost:add({}, <<\"test\">>)", binary(&name));
        assert_eq!(self.ask(&asked), "ok");
        let vhost = Vhost { rabbit: self, name };
        vhost.allow("guest", ".*", ".*", ".*");
        vhost
    }

    /// Adds a user, who may do nothing.
    pub fn add_user(&self, name: &str, password: &str) {
        let (name, password) = (binary(name), binary(password));
        let asked =
            format!("rabbit_auth_backend_internal:add_user({name}, {password}, <<\"test\">>)");
        assert_eq!(self.ask(&asked), "ok");
    }

    /// The certificate of the authority that signed its own, if it speaks TLS.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// A certificate for a client, and its key.
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.path().join("client.crt"), self.folder.path().join("client.key"))
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        let read =
            |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("{}{}", read("log"), read("errors"))
    }

    /// Its process; it must run.
    pub fn pid(&self) -> Pid {
        let node = self.node();
        let node = node.as_ref().expect("the node runs");
        Pid::from_raw(i32::try_from(node.child.id()).expect("a process id"))
    }

    /// Ends it at once, as a power cut would; connections to it are refused from then on.
    pub fn kill(&self) {
        if let Some(mut node) = self.node().take() {
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }

    /// Starts it again on the same port after [`Rabbit::kill`], and waits until it answers; what is durable is there again.
    pub fn restart(&self) {
        self.kill();
        self.launch();
    }

    /// Stops its process: connections are accepted, and nothing is answered, not even [`Rabbit::ask`].
    pub fn pause(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("the node is there");
    }

    /// Lets it go on after [`Rabbit::pause`].
    pub fn resume(&self) {
        kill(self.pid(), Signal::SIGCONT).expect("the node is there");
    }

    /// Has it take nothing more, as if its memory were full: it tells each client once that has something to publish.
    pub fn block(&self) {
        let asked = "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})";
        assert_eq!(self.ask(asked), "ok");
    }

    /// Ends [`Rabbit::block`].
    pub fn unblock(&self) {
        let asked = "rabbit_alarm:clear_alarm({resource_limit, memory, node()})";
        assert_eq!(self.ask(asked), "ok");
    }

    /// How many connections it has, in all virtual hosts, that are open.
    pub fn connections(&self) -> usize {
        self.ask("length(rabbit_networking:connections())").parse().expect("a number")
    }

    /// Ends all connections, as an operator may.
    pub fn close_connections(&self) {
        // One may be gone before its turn has come.
        let asked = "[catch rabbit_networking:close_connection(Pid, \"closed by a test\") \
                     || Pid <- rabbit_networking:connections()], ok";
        assert_eq!(self.ask(asked), "ok");
    }

    /// What an Erlang expression comes to in the node.
    pub fn ask(&self, expression: &str) -> String {
        let mut node = self.node();
        let node = node.as_mut().expect("the node runs");
        writeln!(node.questions, "{}.", expression.replace('\n', " ")).expect("the node reads");
        let answer = node.answer();
        let answer = answer.unwrap_or_else(|| panic!("the node is gone: {}", self.log()));
        assert!(!answer.starts_with("failed: "), "{expression}: {answer}");
        answer
    }

    fn node(&self) -> MutexGuard<'_, Option<Node>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it run, take messages and answer.
    fn mend(&self) {
        if self.node().is_none() {
            self.launch();
        }
        self.resume();
        self.unblock();
        self.close_connections();
        while self.connections() > 0 {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Starts the process, and waits until it answers.
    fn launch(&self) {
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
            let file = |name| erlang(&self.folder.path().join(name));
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

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Node {
    /// The next answer; none when the node has ended.
    fn answer(&mut self) -> Option<String> {
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

impl Vhost<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> String {
        self.url_of("guest", "guest")
    }

    /// Its URL for another user.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let path = self.name.replace('/', "%2F");
        format!("amqp://{user}:{password}@127.0.0.1:{}/{path}", self.rabbit.port)
    }

    /// Its URL for TLS, without parameters.
    pub fn tls_url(&self) -> String {
        let path = self.name.replace('/', "%2F");
        format!("amqps://guest:guest@127.0.0.1:{}/{path}", self.rabbit.tls_port)
    }

    /// Lets a user configure, write and read what the patterns say.
    pub fn allow(&self, user: &str, configure: &str, write: &str, read: &str) {
        let (user, vhost) = (binary(user), binary(&self.name));
        let patterns = [configure, write, read].map(binary).join(", ");
        let asked = format!(
            "rabbit_auth_backend_internal:set_permissions({user}, {vhost}, {patterns}, <<\"test\">>)"
        );
        assert_eq!(self.rabbit.ask(&asked), "ok");
    }

    /// Declares a durable queue with arguments as Erlang writes them: `{<<"x-max-length">>, long, 1}`.
    pub fn declare_queue(&self, name: &str, arguments: &str) {
        let declare = format!(
            "{{'queue.declare', 0, {}, false, true, false, false, false, [{arguments}]}}",
            binary(name)
        );
        self.call(&declare);
    }

    /// Declares a durable exchange of a type such as `topic`.
    pub fn declare_exchange(&self, name: &str, kind: &str) {
        let declare = format!(
            "{{'exchange.declare', 0, {}, {}, false, true, false, false, false, []}}",
            binary(name),
            binary(kind)
        );
        self.call(&declare);
    }

    /// Binds a queue to an exchange.
    pub fn bind(&self, queue: &str, exchange: &str, routing_key: &str) {
        let [queue, exchange, key] = [queue, exchange, routing_key].map(binary);
        self.call(&format!("{{'queue.bind', 0, {queue}, {exchange}, {key}, false, []}}"));
    }

    /// Deletes a queue with all that is in it.
    pub fn delete_queue(&self, name: &str) {
        self.call(&format!("{{'queue.delete', 0, {}, false, false, false}}", binary(name)));
    }

    /// How many messages a queue holds that nobody has taken.
    pub fn depth(&self, queue: &str) -> usize {
        let declare = format!(
            "{{'queue.declare', 0, {}, true, false, false, false, false, []}}",
            binary(queue)
        );
        self.inside(&format!(
            "begin {{'queue.declare_ok', _, Count, _}} = amqp_channel:call(Channel, {declare}), Count end"
        ))
        .parse()
        .expect("a number")
    }

    /// A number that a queue tells of itself: `messages_unacknowledged`, `consumers`.
    pub fn count(&self, queue: &str, what: &str) -> usize {
        let found = self.rabbit.ask(&format!(
            "begin {{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r({}, queue, {})), \
             [{{_, Count}}] = rabbit_amqqueue:info(Queue, [{what}]), Count end",
            binary(&self.name),
            binary(queue)
        ));
        found.parse().expect("a number")
    }

    /// Puts a message into a queue; properties as Erlang writes them: `#{message_id => <<"1">>}`, headers with types.
    pub fn put(&self, queue: &str, body: &[u8], properties: &str) {
        let fields = [
            "content_type",
            "content_encoding",
            "headers",
            "delivery_mode",
            "priority",
            "correlation_id",
            "reply_to",
            "expiration",
            "message_id",
            "timestamp",
            "type",
            "user_id",
            "app_id",
            "cluster_id",
        ];
        let fields: String = fields.iter().fold(String::new(), |mut text, field| {
            let _ = write!(text, ", maps:get({field}, Given, undefined)");
            text
        });
        self.inside(&format!(
            "begin Given = {properties}, amqp_channel:call(Channel, \
             {{'basic.publish', 0, <<>>, {queue}, false, false}}, \
             {{amqp_msg, {{'P_basic'{fields}}}, {body}}}) end",
            queue = binary(queue),
            body = bytes(body),
        ));
    }

    /// Takes all messages out of a queue.
    pub fn drain(&self, queue: &str) -> Vec<Drained> {
        let text = self.inside(&format!(
            r#"begin
                 Encode = fun(Field) -> base64:encode(iolist_to_binary(Field)) end,
                 Take = fun Take(Taken) ->
                   case amqp_channel:call(Channel, {{'basic.get', 0, {}, true}}) of
                     {{'basic.get_empty', _}} -> lists:reverse(Taken);
                     {{{{'basic.get_ok', _, Again, Exchange, Key, _}}, {{amqp_msg, Properties, Body}}}} ->
                       Id = case element(10, Properties) of undefined -> <<>>; Text -> Text end,
                       Fields = [Id, Exchange, Key, Body, atom_to_binary(Again), io_lib:format("~0p", [Properties])],
                       Take([lists:join(" ", [Encode(Field) || Field <- Fields]) | Taken])
                   end
                 end,
                 iolist_to_binary(lists:join(",", Take([])))
               end"#,
            binary(queue)
        ));
        let text = text.trim_start_matches("<<\"").trim_end_matches("\">>");
        if text == "<<>>" {
            return Vec::new();
        }
        text.split(',').map(Drained::read).collect()
    }

    /// Calls a method on a channel.
    fn call(&self, method: &str) {
        self.inside(&format!("amqp_channel:call(Channel, {method})"));
    }

    /// What an expression comes to that has a `Channel` in this virtual host, in the node itself.
    fn inside(&self, expression: &str) -> String {
        self.rabbit.ask(&format!(
            "begin {{ok, Connection}} = amqp_connection:start({{amqp_params_direct, <<\"guest\">>, none, {}, node(), \
             {{amqp_adapter_info, undefined, undefined, undefined, undefined, <<\"test\">>, {{'Direct', {{0,9,1}}}}, []}}, []}}), \
             {{ok, Channel}} = amqp_connection:open_channel(Connection), \
             try {expression} after amqp_connection:close(Connection) end end",
            binary(&self.name)
        ))
    }
}

impl Drained {
    fn read(line: &str) -> Self {
        let fields: Vec<Vec<u8>> = line.split(' ').map(unbase64).collect();
        let text = |place: usize| String::from_utf8_lossy(&fields[place]).into_owned();
        Drained {
            id: text(0),
            exchange: text(1),
            routing_key: text(2),
            body: fields[3].clone(),
            redelivered: text(4) == "true",
            properties: text(5),
        }
    }
}

/// Where RabbitMQ is installed.
fn home() -> Option<PathBuf> {
    let parent = Path::new("/usr/lib/rabbitmq/lib");
    let folders = std::fs::read_dir(parent).ok()?.filter_map(Result::ok).map(|item| item.path());
    folders.filter(|folder| folder.join("plugins").is_dir()).max()
}

/// Makes a folder of the libraries that a node without plugins needs: it reads all that it finds, which takes its time.
fn link_libraries(home: &Path, folder: &Path) {
    std::fs::create_dir(folder).expect("a folder");
    for item in std::fs::read_dir(home.join("plugins")).expect("libraries") {
        let path = item.expect("a library").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.starts_with("rabbitmq_") || name.starts_with("rabbitmq_prelaunch") {
            std::os::unix::fs::symlink(&path, folder.join(&name)).expect("a link");
        }
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// A text as an Erlang binary.
fn binary(text: &str) -> String {
    bytes(text.as_bytes())
}

fn bytes(bytes: &[u8]) -> String {
    let numbers: Vec<_> = bytes.iter().map(ToString::to_string).collect();
    format!("<<{}>>", numbers.join(","))
}

/// A path as an Erlang string.
fn erlang(path: &Path) -> String {
    format!("{:?}", path.to_str().expect("a path of a test is text"))
}

fn unbase64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{text:?} is not base64"),
    };
    let digits: Vec<u32> = text.bytes().filter(|byte| *byte != b'=').map(digit).collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let number =
            group.iter().fold(0, |number, digit| number << 6 | digit) << (6 * (4 - group.len()));
        bytes.extend(number.to_be_bytes()[1..group.len()].iter());
    }
    bytes
}
