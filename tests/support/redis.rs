//! A real redis-server for a test: in a folder of its own, ended with the test, to be killed, paused and emptied at will.
//!
//! Test binaries take it in by its path, with `#[path = "../support/redis.rs"]`, and with `expect(dead_code)` where they do not need all of it.
//! Its own commands go through a socket in the folder, so that they work whatever is asked of the clients.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long anything may take before a test fails; nothing takes that long when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes an authority and a certificate for 127.0.0.1 and localhost in the folder `$1`.
const CERTIFICATES: &str = r#"
set -e
cd "$1"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj '/CN=authority of a test' \
  -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.crt
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout redis.key -out redis.csr
printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n' > extensions
openssl x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out redis.crt
"#;

/// A server to be started.
#[derive(Default)]
pub struct Setup {
    password: Option<String>,
    tls: bool,
    durable: bool,
    arguments: Vec<String>,
}

/// A server that runs, or did; killed when dropped.
pub struct Redis {
    setup: Setup,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Nil,
    Status(String),
    Error(String),
    Number(i64),
    Bytes(Vec<u8>),
    List(Vec<Reply>),
}

impl Setup {
    /// Asks every client for this password.
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Speaks TLS alone on its port, with a certificate that [`Redis::authority`] signed.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Writes each change to disk before it answers, so that a kill loses nothing; otherwise a kill loses all.
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Refuses to hold more, such as `3mb`; an empty server needs about one.
    pub fn maxmemory(self, size: &str) -> Self {
        self.argument("maxmemory", size).argument("maxmemory-policy", "noeviction")
    }

    /// Makes it a read-only replica of another, which has no password and no TLS.
    pub fn replica_of(self, other: &Redis) -> Self {
        self.argument("replicaof", &format!("127.0.0.1 {}", other.port))
            .argument("repl-diskless-sync-delay", "0")
    }

    /// Adds a line of redis.conf.
    pub fn argument(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Starts it and waits until it answers; none where it is not installed, which CI must have.
    pub fn start(self) -> Option<Redis> {
        for program in ["redis-server", "openssl"] {
            if !is_installed(program) {
                let reason =
                    format!("skipped: {program} is not installed, tests/tools.sh test does it");
                assert!(std::env::var_os("CI").is_none(), "{reason}");
                println!("{reason}");
                return None;
            }
        }
        let folder = TempDir::new().expect("a temporary folder");
        if self.tls {
            let mut script = Command::new("sh");
            script.args(["-c", CERTIFICATES, "sh"]).arg(folder.path());
            let output = script.output().expect("a shell");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let mut redis = Redis { setup: self, folder, port: 0, child: None };
        // A port that was free may be taken until the server has it.
        for _ in 0..5 {
            redis.port = free_port();
            if redis.launch() {
                return Some(redis);
            }
        }
        panic!("redis-server does not start: {}", redis.log());
    }
}

impl Redis {
    /// A server without password, TLS and persistence, once it answers; none where it is not installed.
    pub fn start() -> Option<Self> {
        Redis::setup().start()
    }

    /// A server to be described.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of database 0 on its port, with scheme and password as it was set up.
    pub fn url(&self) -> String {
        let scheme = if self.setup.tls { "rediss" } else { "redis" };
        let password = self.setup.password.as_ref().map(|password| format!(":{password}@"));
        format!("{scheme}://{}127.0.0.1:{}/0", password.unwrap_or_default(), self.port)
    }

    /// The URL of its socket, without the password.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The certificate of the authority that signed its own, if it speaks TLS.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Its process; it must run.
    pub fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("the server runs");
        Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Ends it at once, as a power cut would; connections to it are refused from then on.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on the same port after [`Redis::kill`], and waits until it answers; what it holds is what it had on disk.
    pub fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        while !self.launch() {
            assert!(Instant::now() < deadline, "redis-server does not start again: {}", self.log());
        }
    }

    /// Stops its process: connections are accepted, and nothing is answered.
    pub fn pause(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("the server is there");
    }

    /// Lets it go on after [`Redis::pause`].
    pub fn resume(&self) {
        kill(self.pid(), Signal::SIGCONT).expect("the server is there");
    }

    /// Forgets everything.
    pub fn flush(&self) {
        assert_eq!(self.command(["FLUSHALL", "SYNC"]), Reply::Status("OK".into()));
    }

    /// Changes a setting while it runs, such as `maxmemory`.
    pub fn set_config(&self, name: &str, value: &str) {
        assert_eq!(self.command(["CONFIG", "SET", name, value]), Reply::Status("OK".into()));
    }

    /// The bytes at a key of database 0.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.command(["GET", key]) {
            Reply::Nil => None,
            Reply::Bytes(bytes) => Some(bytes),
            other => panic!("{key} holds {other:?}"),
        }
    }

    /// Writes bytes to a key of database 0.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) {
        let words = [b"SET".as_slice(), key.as_bytes(), value.as_ref()];
        assert_eq!(self.command(words), Reply::Status("OK".into()));
    }

    /// The keys of database 0, sorted.
    pub fn keys(&self) -> Vec<String> {
        let Reply::List(keys) = self.command(["KEYS", "*"]) else { panic!("no list of keys") };
        let text = |key| match key {
            Reply::Bytes(key) => String::from_utf8(key).expect("a key is text"),
            other => panic!("{other:?} is no key"),
        };
        let mut keys: Vec<_> = keys.into_iter().map(text).collect();
        keys.sort();
        keys
    }

    /// Sends one command and returns its answer; a server that does not answer fails the test.
    pub fn command<W: AsRef<[u8]>>(&self, words: impl IntoIterator<Item = W>) -> Reply {
        self.try_command(words).expect("the server answers")
    }

    /// Sends one command; fails where the server is not there, or does not answer in time.
    pub fn try_command<W: AsRef<[u8]>>(
        &self,
        words: impl IntoIterator<Item = W>,
    ) -> std::io::Result<Reply> {
        let stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        if let Some(password) = &self.setup.password {
            send(stream.get_mut(), ["AUTH", password])?;
            read_reply(&mut stream)?;
        }
        send(stream.get_mut(), words)?;
        read_reply(&mut stream)
    }

    /// Copies what a [durable](Setup::durable) server has written down, each change in its order, into a folder, for people to
    /// look at.
    pub fn keep_history(&self, folder: &Path) {
        let files = std::fs::read_dir(self.folder.path().join("appendonlydir"));
        for file in files.into_iter().flatten().flatten() {
            let _ = std::fs::copy(file.path(), folder.join(file.file_name()));
        }
    }

    /// Starts the process; says no where it ends instead of answering.
    fn launch(&mut self) -> bool {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--unixsocket", "socket", "--dir"]);
        command.arg(self.folder.path());
        if self.setup.tls {
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            command.args(["--tls-cert-file", "redis.crt", "--tls-key-file", "redis.key"]);
            command.args(["--tls-ca-cert-file", "ca.crt"]);
        } else {
            command.args(["--port", &port]);
        }
        if let Some(password) = &self.setup.password {
            command.args(["--requirepass", password]);
        }
        if self.setup.durable {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        command.args(&self.setup.arguments).current_dir(self.folder.path());
        let child =
            command.stdin(Stdio::null()).stderr(log.try_clone().expect("a log")).stdout(log);
        self.child = Some(child.spawn().expect("redis-server starts"));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.try_command(["PING"]).is_ok_and(|reply| reply == Reply::Status("PONG".into())) {
                return true;
            }
            if self
                .child
                .as_mut()
                .is_some_and(|child| child.try_wait().is_ok_and(|end| end.is_some()))
            {
                self.child = None;
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.kill();
        false
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
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

fn send<W: AsRef<[u8]>>(
    stream: &mut UnixStream,
    words: impl IntoIterator<Item = W>,
) -> std::io::Result<()> {
    let words: Vec<W> = words.into_iter().collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in &words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    stream.write_all(&bytes)
}

fn read_reply(stream: &mut impl BufRead) -> std::io::Result<Reply> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at(1);
    let number = || rest.parse::<i64>().expect("a number");
    Ok(match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Number(number()),
        "$" | "*" if number() < 0 => Reply::Nil,
        "$" => {
            let length = usize::try_from(number()).expect("a length");
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(length);
            Reply::Bytes(bytes)
        }
        "*" => Reply::List((0..number()).map(|_| read_reply(stream)).collect::<Result<_, _>>()?),
        _ => panic!("{line:?} is no reply"),
    })
}
