//! A Docker engine on a socket of its own, in process and mount namespaces of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::base;

/// How long anything may take before a test fails; nothing takes that long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The engine that the tests which run at the same time share.
static SHARED: Mutex<Weak<Engine>> = Mutex::new(Weak::new());

/// A running engine; ended, with every container and mount of it, when dropped.
pub(crate) struct Engine {
    process: Child,
    folder: TempDir,
}

/// The engine, or the reason why there is none, which fails where continuous integration could have installed it.
pub(crate) fn engine() -> Option<Arc<Engine>> {
    let lacking = if geteuid().is_root() {
        ["dockerd", "unshare", "busybox", "tar"].into_iter().find(|name| program(name).is_none())
    } else {
        Some("root's rights")
    };
    if let Some(lacking) = lacking {
        let reason = format!("skipped: a Docker engine of the test's own needs {lacking}");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
        eprintln!("{reason}");
        return None;
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    Some(shared.upgrade().unwrap_or_else(|| {
        let engine = Arc::new(Engine::start());
        *shared = Arc::downgrade(&engine);
        engine
    }))
}

/// Where a program of the machine is. The client of the engine's own version comes first: others lack the plugin to build.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

impl Engine {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let log = File::create(path("log")).unwrap();
        let process = Command::new("unshare")
            .args(["--pid", "--mount", "--fork", "--kill-child=KILL", "--mount-proc", "dockerd"])
            .args(["--host", &format!("unix://{}", path("socket")), "--pidfile", &path("pid")])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--cgroup-parent", &format!("/{}", group())])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut engine = Engine { process, folder };
        engine.wait_until_it_answers();
        engine.import_base();
        for target in ["rooted", "rootless", "bare"] {
            engine.build(target);
        }
        engine
    }

    fn wait_until_it_answers(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.client(&["version"]).output().unwrap().status.success() {
            let ended = self.process.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                panic!("dockerd does not answer ({ended:?}):\n{log}");
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Makes a base image of the machine's own programs, as there may be no registry to fetch one from.
    fn import_base(&self) {
        let folder = self.folder.path().join("base");
        base::write(&folder);
        let archive = self.folder.path().join("base.tar").display().to_string();
        let packed = Command::new("tar")
            .args(["--create", "--file", &archive, "--directory"])
            .arg(&folder)
            .arg(".")
            .status()
            .unwrap();
        assert!(packed.success());
        self.docker(&["import", &archive, "base"]);
    }

    /// Builds one stage of the Dockerfile; no stage of it may need a network when the program is given.
    fn build(&self, target: &str) {
        let context = self.folder.path().join("context");
        if !context.exists() {
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            fs::create_dir_all(context.join("packaging")).unwrap();
            fs::copy(base::cronkeep(), context.join("cronkeep")).unwrap();
            let copied = Command::new("cp")
                .args(["--recursive", "--no-dereference"])
                .arg(root.join("packaging/image"))
                .arg(context.join("packaging"))
                .status()
                .unwrap();
            assert!(copied.success());
        }
        let dockerfile = concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile");
        let context = context.display().to_string();
        let tag = format!("cronkeep:{target}");
        let build = ["build", "--network=none", "--file", dockerfile, "--target", target];
        let arguments = ["--build-arg", "PROGRAM=given", "--build-arg", "BASE=base"];
        self.docker(&[&build[..], &arguments[..], &["--tag", &tag, &context][..]].concat());
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut client = Command::new(program("docker").expect("a client comes with dockerd"));
        let socket = self.folder.path().join("socket");
        client
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .env("DOCKER_CONFIG", self.folder.path().join("client"))
            .env("DOCKER_BUILDKIT", "1")
            .args(arguments)
            .stdin(Stdio::null());
        client
    }

    /// Runs the client, which must succeed, and returns what it printed on both streams.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let output = self.try_docker(arguments);
        let text = both(&output);
        assert!(output.status.success(), "docker {arguments:?}: {text}");
        text
    }

    /// Runs the client.
    pub(crate) fn try_docker(&self, arguments: &[&str]) -> Output {
        self.client(arguments).output().unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It takes its containers, their mounts and their control groups with it; the kernel takes what it leaves.
        let inner = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.process.id()));
        for pid in inner.unwrap_or_default().split_whitespace() {
            let _ = Command::new("kill").arg(pid).status();
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The groups of its containers went with them; the one above them, one in each hierarchy, is ours.
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for folder in hierarchies.map(|it| it.path()).chain([PathBuf::from("/sys/fs/cgroup")]) {
            let _ = fs::remove_dir(folder.join(group()));
        }
    }
}

/// The control group above those of the containers.
fn group() -> String {
    format!("cronkeep-test-{}", std::process::id())
}

/// What a program printed, standard output first.
pub(crate) fn both(output: &Output) -> String {
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{stdout}{stderr}")
}
