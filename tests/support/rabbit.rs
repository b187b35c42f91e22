//! A real RabbitMQ for a test: a node of its own, to be killed, paused and blocked at will.
//!
//! Test binaries take it in by its path, with `#[path = "../support/rabbit.rs"]`, and with `expect(dead_code)` where they do not need all of it.
//! The node is asked through its standard input, in Erlang: that works whatever is asked of its clients, and is much faster than rabbitmqctl.
//! It ends when its standard input does, so that it never outlives the test; there is no epmd.

#[path = "rabbit/erlang.rs"]
mod erlang;
#[path = "rabbit/node.rs"]
mod node;
#[path = "rabbit/vhost.rs"]
pub mod vhost;

use std::io::Write as _;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use self::erlang::binary;
use self::node::{Node, free_port, home, is_installed, link_libraries};
pub use self::vhost::Vhost;

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
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.kill();
    }
}
