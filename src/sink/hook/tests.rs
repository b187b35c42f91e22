use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::crontab::{Dialect, Options, Source, parse};
use crate::event::{Cause, Fire, Line, Started, Stream, Trigger, Usage};
use crate::job::JobTable;
use crate::schedule::{Due, Zone};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as a server got it: its first line, and its body.
type Got = (String, String);

/// A web server that answers each connection as told, and hands on what it was asked.
struct Server {
    address: SocketAddr,
    requests: mpsc::Receiver<Got>,
}

impl Server {
    /// Answers with these statuses, one after the other, the last one for ever; 0 is no answer at all.
    fn new(statuses: &'static [u16]) -> Self {
        Self::with_head(statuses, "")
    }

    fn with_head(statuses: &'static [u16], head: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (told, requests) = mpsc::channel();
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for (nth, stream) in listener.incoming().enumerate() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut first = String::new();
                stream.read_line(&mut first).unwrap();
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    stream.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let _ = told.send((first.trim().into(), String::from_utf8(body).unwrap()));
                match statuses[nth.min(statuses.len() - 1)] {
                    0 => hanging.push(stream),
                    status => {
                        let answer = format!(
                            "HTTP/1.1 {status} x\r\n{head}content-length: 0\r\nconnection: close\r\n\r\n"
                        );
                        let _ = stream.get_mut().write_all(answer.as_bytes());
                    }
                }
            }
        });
        Server { address, requests }
    }

    fn get(&self) -> Got {
        self.requests.recv_timeout(PATIENCE).expect("a request")
    }

    /// The first lines of all requests up to now.
    fn rest(&self) -> Vec<String> {
        self.requests.try_iter().map(|(first, _)| first).collect()
    }
}

/// Hooks that follow a bus, and that bus.
struct Wired {
    bus: Bus,
    told: UnboundedReceiver<Arc<Event>>,
    all_done: mpsc::Receiver<()>,
    following: std::thread::JoinHandle<()>,
}

impl Wired {
    fn new(user: &str, everybody: bool) -> Self {
        Self::with_delay(user, everybody, Duration::from_millis(5))
    }

    /// With this long from one attempt to the next.
    fn with_delay(user: &str, everybody: bool, delay: Duration) -> Self {
        let mut bus = Bus::builder();
        let (events, told) = (bus.subscribe(), bus.subscribe());
        let bus = bus.build();
        let account = Account { name: user.into(), ..Account::current() };
        let patience = Patience { timeout: Duration::from_millis(300), retries: 2, delay };
        let (done, all_done) = mpsc::sync_channel(1);
        let permission = Permission { account, everybody };
        let hooks = Hooks::new(permission, "here".into(), bus.clone(), patience, done);
        let following = std::thread::spawn(move || runtime().block_on(hooks.follow(events)));
        Wired { bus, told, all_done, following }
    }

    fn start(&self, run: &Arc<Run>) {
        let at = "2026-01-01T00:00:01Z".parse().unwrap();
        self.bus.publish(Event::RunStarted(Started {
            run: Arc::clone(run),
            pid: Some(1),
            since: None,
            at,
        }));
    }

    fn print(&self, run: &Arc<Run>, line: &str) {
        let permit = runtime().block_on(self.bus.room_for(line.len()));
        self.bus.publish(Event::RunOutput(Line {
            run: Arc::clone(run),
            stream: Stream::Stdout,
            bytes: line.into(),
            detached: false,
            left_out: (0, 0),
            permit,
        }));
    }

    fn end(&self, run: &Arc<Run>, outcome: Outcome, retry: Option<Duration>) {
        self.bus.publish(Event::RunEnded(Ended {
            run: Arc::clone(run),
            outcome,
            cause: None,
            retry,
            at: "2026-01-01T00:00:03.5Z".parse().unwrap(),
            duration: Duration::from_millis(2500),
            worker: None,
            usage: Usage { user: Duration::from_millis(7), ..Usage::default() },
        }));
    }

    /// Ends the daemon, waits until every request is answered or given up, and returns the warnings.
    fn warnings(mut self) -> Vec<String> {
        self.bus.publish(Event::Stopped { killed: 0, left: 0 });
        self.following.join().unwrap();
        let ended = self.all_done.recv_timeout(PATIENCE);
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected), "the threads end");
        std::iter::from_fn(|| self.told.try_recv().ok())
            .filter_map(|event| match &*event {
                Event::Notice { text, warning: true, .. } => Some(text.clone()),
                _ => None,
            })
            .collect()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// A run of the only job of a crontab.
fn run(dialect: Dialect, text: &str, attempt: u32) -> Arc<Run> {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let source = Source { name: "test".into(), bytes: text.as_bytes().to_vec(), dialect };
    let crontab = parse(&source);
    assert!(!crontab.has_errors(), "{:?}", crontab.faults);
    let zone = Zone::named("Europe/Berlin").unwrap();
    let (options, before) = (Options::default(), JobTable::default());
    let (table, _, _) = JobTable::build(&[(&source, &crontab)], &zone, &options, &before, now);
    let job = Arc::clone(&table.jobs()[0]);
    let due = Due { at: now, civil: zone.civil(now) };
    let fire = Fire { job, due, trigger: Trigger::Schedule, generation: 0 };
    Arc::new(Run { id: RunId::new(now, u128::from(attempt)), fire, attempt })
}

fn pinging(address: SocketAddr, attempt: u32) -> Arc<Run> {
    let text = format!("# cronkeep: name=dump ping=http://{address}/uuid\n* * * * * x\n");
    run(Dialect::user("root"), &text, attempt)
}

const DONE: Outcome = Outcome::Succeeded { exit: 0 };

#[test]
fn a_run_that_succeeds_pings_its_start_and_its_end_with_what_it_printed() {
    let (server, wired) = (Server::new(&[200]), Wired::new("root", false));
    let run = pinging(server.address, 1);
    wired.start(&run);
    assert_eq!(server.get().0, "GET /uuid/start HTTP/1.1");
    wired.print(&run, "one");
    wired.print(&run, "two");
    wired.end(&run, DONE, None);
    assert_eq!(server.get(), ("POST /uuid HTTP/1.1".into(), "one\ntwo\n".into()));
    assert!(wired.warnings().is_empty());
}

#[test]
fn a_run_that_fails_pings_its_exit_code_or_fail() {
    let (server, wired) = (Server::new(&[200]), Wired::new("root", false));
    for (attempt, outcome, line) in [
        (1, Outcome::Failed { exit: 3 }, "GET /uuid/3 HTTP/1.1"),
        (2, Outcome::Killed { signal: 9 }, "GET /uuid/fail HTTP/1.1"),
        (3, Outcome::TimedOut { exit: None, signal: Some(15) }, "GET /uuid/fail HTTP/1.1"),
        (4, Outcome::CouldNotStart { reason: "no".into() }, "GET /uuid/fail HTTP/1.1"),
    ] {
        wired.end(&pinging(server.address, attempt), outcome, None);
        assert_eq!(server.get().0, line);
    }
    assert!(wired.warnings().is_empty());
}

#[test]
fn a_failure_that_is_tried_again_is_none_yet() {
    let (server, wired) = (Server::new(&[200]), Wired::new("root", false));
    let (first, second) = (pinging(server.address, 1), pinging(server.address, 2));
    wired.start(&first);
    wired.end(&first, Outcome::Failed { exit: 1 }, Some(Duration::from_secs(5)));
    wired.start(&second);
    wired.end(&second, DONE, None);
    assert!(wired.warnings().is_empty());
    assert_eq!(server.rest(), ["GET /uuid/start HTTP/1.1", "GET /uuid HTTP/1.1"]);
}

#[test]
fn the_words_go_before_the_query_of_the_base() {
    assert_eq!(below("https://a/b", "fail"), "https://a/b/fail");
    assert_eq!(below("https://a/b/?x=y#z", "3"), "https://a/b/3?x=y#z");
}

#[test]
fn a_failed_run_is_reported_as_json_and_a_good_one_is_not() {
    let (server, wired) = (Server::new(&[204]), Wired::new("root", false));
    let text = format!(
        "# cronkeep: name=dump on-failure=http://{}/report?a=b\n* * * * * x\n",
        server.address
    );
    let good = run(Dialect::user("root"), &text, 1);
    wired.start(&good);
    wired.end(&good, DONE, None);
    let failed = run(Dialect::user("root"), &text, 2);
    wired.start(&failed);
    wired.print(&failed, "no such database");
    wired.end(&failed, Outcome::Failed { exit: 127 }, None);
    let (line, body) = server.get();
    assert_eq!(line, "POST /report?a=b HTTP/1.1");
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "run": failed.id.to_string(),
        "key": failed.fire.job.key.to_string(),
        "name": "dump",
        "scheduled": "2026-01-01T01:00:00.000+01:00",
        "trigger": "schedule",
        "attempt": 2,
        "queued": null,
        "started": "2026-01-01T01:00:01.000+01:00",
        "ended": "2026-01-01T01:00:03.500+01:00",
        "outcome": "failed",
        "exit": 127,
        "signal": null,
        "reason": Cause::NotFound.to_string(),
        "user_cpu_ms": 7,
        "system_cpu_ms": 0,
        "max_rss_kib": null,
        "replica": "here",
        "output_bytes": 17,
        "output": "no such database\n",
    });
    assert_eq!(report, expected);
    assert!(wired.warnings().is_empty());
    assert!(server.rest().is_empty());
}

#[test]
fn a_server_that_answers_500_is_asked_three_times_and_told_of_once() {
    let (server, wired) = (Server::new(&[500]), Wired::new("root", false));
    for attempt in 1..=2 {
        wired.end(&pinging(server.address, attempt), DONE, None);
    }
    let expected = format!("hook of dump: http://{} was not told: it answered 500", server.address);
    assert_eq!(wired.warnings(), [expected]);
    assert_eq!(server.rest().len(), 6);
}

#[test]
fn at_the_end_of_the_daemon_nothing_waits_for_the_next_attempt_of_another() {
    let server = Server::new(&[500, 500, 500, 200]);
    let wired = Wired::with_delay("root", false, Duration::from_hours(1));
    wired.end(&pinging(server.address, 1), Outcome::Failed { exit: 1 }, None);
    assert_eq!(server.get().0, "GET /uuid/1 HTTP/1.1");
    wired.end(&pinging(server.address, 2), DONE, None);
    wired.bus.publish(Event::Stopping { running: 0 });
    for expected in ["GET /uuid/1 HTTP/1.1", "GET /uuid/1 HTTP/1.1", "GET /uuid HTTP/1.1"] {
        assert_eq!(server.get().0, expected);
    }
    assert_eq!(wired.warnings().len(), 1);
}

#[test]
fn a_server_that_recovers_is_told_and_a_404_is_final() {
    let (server, wired) = (Server::new(&[503, 200, 404]), Wired::new("root", false));
    let run = pinging(server.address, 2);
    wired.end(&run, DONE, None);
    wired.end(&run, DONE, None);
    assert_eq!(wired.warnings().len(), 1);
    assert_eq!(server.rest().len(), 3);
}

#[test]
fn a_server_that_hangs_holds_up_no_other() {
    let (hanging, server, wired) =
        (Server::new(&[0]), Server::new(&[200]), Wired::new("root", false));
    wired.end(&pinging(hanging.address, 1), DONE, None);
    hanging.get();
    wired.end(&pinging(server.address, 1), DONE, None);
    assert_eq!(server.get().0, "GET /uuid HTTP/1.1");
    let warnings = wired.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with("it did not answer in time"), "{warnings:?}");
}

#[test]
fn nobody_who_listens_is_a_warning_without_the_secrets_of_the_url() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wired = Wired::new("root", false);
    let text = format!("# cronkeep: ping=http://me:secret@{address}/uuid\n* * * * * x\n");
    wired.end(&run(Dialect::user("root"), &text, 1), DONE, None);
    let warnings = wired.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains(&format!("http://{address} was not told: ")), "{warnings:?}");
    assert!(!warnings[0].contains("secret") && !warnings[0].contains("uuid"), "{warnings:?}");
}

#[test]
fn a_redirect_to_another_scheme_is_not_followed() {
    let server = Server::with_head(&[302], "location: file:///etc/passwd\r\n");
    let wired = Wired::new("root", false);
    wired.end(&pinging(server.address, 1), DONE, None);
    assert_eq!(wired.warnings().len(), 1);
    server.get();
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut server, port)) = tls_server(folder.path()) else { return };
    let wired = Wired::new("root", false);
    let text = format!("# cronkeep: ping=https://127.0.0.1:{port}/uuid\n* * * * * x\n");
    wired.end(&run(Dialect::user("root"), &text, 1), DONE, None);
    let warnings = wired.warnings();
    let _ = server.kill();
    #[expect(clippy::disallowed_methods, reason = "no reaper runs here")]
    let _ = server.wait();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("certificate") || warnings[0].contains("TLS"), "{warnings:?}");
}

/// `openssl s_server` with a certificate of its own making, and its port; none where there is no openssl.
fn tls_server(folder: &std::path::Path) -> Option<(std::process::Child, u16)> {
    let (key, certificate) = (folder.join("key"), folder.join("certificate"));
    #[expect(clippy::disallowed_methods, reason = "no reaper runs here")]
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    if !made.as_ref().is_ok_and(|made| made.status.success()) {
        println!("skipped: openssl is not there: {made:?}");
        assert!(std::env::var_os("CI").is_none(), "openssl can be installed");
        return None;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = std::process::Command::new("openssl")
        .args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}"), "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&certificate)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ACCEPT") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "openssl listens");
    }
    Some((server, port))
}

#[test]
fn tables_of_other_users_have_no_hooks_unless_they_are_allowed() {
    let (server, wired) = (Server::new(&[200]), Wired::new("daemon", false));
    let text = format!("# cronkeep: ping=http://{}/uuid\n* * * * * x\n", server.address);
    let spool = |user| Dialect { origin: Origin::Spool, ..Dialect::user(user) };
    let other = run(spool("alice"), &text, 2);
    wired.end(&other, DONE, None);
    for user in ["root", "daemon"] {
        wired.end(&run(spool(user), &text, 2), DONE, None);
        server.get();
    }
    let named = Dialect { origin: Origin::Named, ..Dialect::user("alice") };
    wired.end(&run(named, &text, 2), DONE, None);
    server.get();
    assert!(wired.warnings().is_empty());
    assert!(server.rest().is_empty());

    let account = Account { name: "daemon".into(), ..Account::current() };
    let mut permission = Permission { account, everybody: false };
    let job = &other.fire.job;
    let refusals = permission.refusals([job].into_iter());
    let [(file, told)] = &refusals[..] else { panic!("{refusals:?}") };
    assert_eq!(&**file, "test");
    assert!(told.starts_with("test:2: ping and on-failure are not for the tables of alice"));
    let told = permission.refusals(std::iter::repeat_n(job, 9));
    assert_eq!(told.len(), 1, "one of each file and user");
    assert!(told[0].1.starts_with("test:2,2,2,2,2 and 4 more lines: ping"), "{told:?}");
    permission.everybody = true;
    assert!(permission.refusals([job].into_iter()).is_empty());
}

#[test]
fn jobs_without_hooks_start_no_thread() {
    let wired = Wired::new("root", false);
    let run = run(Dialect::user("root"), "* * * * * x\n", 1);
    wired.start(&run);
    wired.print(&run, "x");
    wired.end(&run, Outcome::Failed { exit: 1 }, None);
    assert!(wired.warnings().is_empty());
}
