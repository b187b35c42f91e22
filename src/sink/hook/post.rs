//! Sends requests, on a thread for each server, and warns of those that fail.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, Thread};
use std::time::Duration;

use ureq::http::{StatusCode, Uri};
use ureq::{Agent, Error};

use crate::event::{Bus, Event};

/// The delay before another attempt while the daemon ends, at most.
const HURRIED: Duration = Duration::from_millis(50);

/// Servers that are talked to side by side; more share a thread.
const THREADS: usize = 8;
/// Requests that wait for one thread.
const WAITING: usize = 128;
/// Different warnings that are remembered, so that each is told once.
const REMEMBERED: usize = 1_000;

/// How long a server may take, and how often it is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one attempt, from the name's look-up to the end of the answer.
    pub timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// From one attempt to the next; doubled each time.
    pub delay: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { timeout: Duration::from_secs(10), retries: 2, delay: Duration::from_secs(1) }
    }
}

/// What goes to a server.
#[derive(Debug)]
pub(super) struct Request {
    /// The job's label, for warnings.
    pub(super) job: String,
    pub(super) url: String,
    pub(super) body: Body,
}

/// What a request carries.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing: a GET.
    None,
    /// A POST of output.
    Text(Vec<u8>),
    /// A POST of a report.
    Json(String),
}

impl Body {
    pub(super) fn text(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() { Body::None } else { Body::Text(bytes) }
    }
}

/// Hands requests to the threads.
#[derive(Debug)]
pub(super) struct Posts {
    threads: [Option<(SyncSender<Request>, Thread)>; THREADS],
    /// Whether the daemon is about to end: what waits has no time for delays.
    hurried: Arc<AtomicBool>,
    bus: Bus,
    patience: Patience,
    done: SyncSender<()>,
    told: Warned,
}

impl Posts {
    pub(super) fn new(bus: Bus, patience: Patience, done: SyncSender<()>) -> Self {
        let hurried = Arc::default();
        Posts { threads: Default::default(), hurried, bus, patience, done, told: Warned::default() }
    }

    /// From now on whoever did not answer well is asked again at once: a server's other requests wait behind that one, and
    /// the daemon ends soon.
    pub(super) fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
        for (_, thread) in self.threads.iter().flatten() {
            thread.unpark();
        }
    }

    /// Hands a request to the thread of its server. Never blocks; where too many wait, it is dropped with a warning.
    pub(super) fn send(&mut self, request: Request) {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(server(&request.url));
        let place = usize::from(hash.to_le_bytes()[0]) % THREADS;
        let (job, shown) = (request.job.clone(), server(&request.url));
        let (thread, _) = match &self.threads[place] {
            Some(thread) => thread,
            None => match self.spawn() {
                Ok(thread) => self.threads[place].insert(thread),
                Err(error) => {
                    return self.told.warn(&self.bus, &job, &shown, &format!("no thread: {error}"));
                }
            },
        };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = thread.try_send(request)
        {
            self.told.warn(&self.bus, &job, &shown, "too many requests wait for it");
        }
    }

    fn spawn(&self) -> std::io::Result<(SyncSender<Request>, Thread)> {
        let (sender, requests) = sync_channel(WAITING);
        let (bus, patience, done) = (self.bus.clone(), self.patience, self.done.clone());
        let hurried = Arc::clone(&self.hurried);
        let worker = thread::Builder::new().name("hook".into()).spawn(move || {
            work(&requests, &bus, patience, &hurried);
            drop(done);
        })?;
        Ok((sender, worker.thread().clone()))
    }
}

/// Answers requests until the last sender is gone.
fn work(requests: &Receiver<Request>, bus: &Bus, patience: Patience, hurried: &AtomicBool) {
    let mut told = Warned::default();
    let (plain, secure) = (agent(patience, false), agent(patience, true));
    while let Ok(request) = requests.recv() {
        let is_secure = request.url.get(..6).is_some_and(|url| url.eq_ignore_ascii_case("https:"));
        let agent = if is_secure { &secure } else { &plain };
        let mut delay = patience.delay;
        for left in (0..=patience.retries).rev() {
            match ask(agent, &request) {
                Ok(()) => break,
                Err(refusal) if left == 0 || !refusal.may_pass => {
                    told.warn(bus, &request.job, &server(&request.url), &refusal.reason);
                    break;
                }
                // The end comes soon, but a server that was asked too often is not to be asked at once.
                Err(_) if hurried.load(Ordering::Acquire) => {
                    thread::park_timeout(delay.min(HURRIED));
                }
                Err(_) => thread::park_timeout(delay),
            }
            delay *= 2;
        }
    }
}

/// An agent that takes the answer's status as it is; a `secure` one never leaves TLS, whatever a redirect says.
fn agent(patience: Patience, secure: bool) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(patience.timeout))
        .https_only(secure)
        .http_status_as_error(false)
        .max_redirects(3)
        .max_idle_connections_per_host(1)
        .user_agent(concat!("cronkeep/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Why a server was not told.
struct Refusal {
    /// Without any part of the URL.
    reason: String,
    /// Whether it makes sense to ask again.
    may_pass: bool,
}

fn ask(agent: &Agent, request: &Request) -> Result<(), Refusal> {
    let answer = match &request.body {
        Body::None => agent.get(&request.url).call(),
        Body::Text(bytes) => agent
            .post(&request.url)
            .header("content-type", "text/plain; charset=utf-8")
            .send(&bytes[..]),
        Body::Json(text) => {
            agent.post(&request.url).header("content-type", "application/json").send(text)
        }
    };
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let status = answer.status();
            let soon = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
            let may_pass = !status.is_client_error() || soon.contains(&status);
            Err(Refusal { reason: format!("it answered {}", status.as_u16()), may_pass })
        }
        Err(error) => Err(refusal(&error)),
    }
}

/// The words of an error that may repeat a URL are not repeated.
fn refusal(error: &Error) -> Refusal {
    let (reason, may_pass) = match error {
        Error::Timeout(_) => ("it did not answer in time".to_owned(), true),
        Error::Io(error) => (error.to_string(), true),
        Error::HostNotFound => ("the host is not known".to_owned(), true),
        Error::ConnectionFailed => ("no connection".to_owned(), true),
        Error::Tls(what) => (format!("TLS: {what}"), false),
        Error::Rustls(error) => (format!("TLS: {error}"), false),
        Error::TooManyRedirects => ("too many redirects".to_owned(), false),
        Error::RequireHttpsOnly(_) => ("it redirects to a URL without TLS".to_owned(), false),
        Error::BadUri(_) | Error::Http(_) => ("the URL cannot be used".to_owned(), false),
        _ => ("the exchange failed".to_owned(), true),
    };
    Refusal { reason, may_pass }
}

/// What a warning shows of a URL: scheme, host and port. The rest may be a secret.
fn server(url: &str) -> String {
    let Ok(url) = url.parse::<Uri>() else { return "a URL".to_owned() };
    let (scheme, host) = (url.scheme_str().unwrap_or("http"), url.host().unwrap_or("?"));
    match url.port() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// Tells each warning once.
#[derive(Debug, Default)]
struct Warned(HashSet<String>);

impl Warned {
    fn warn(&mut self, bus: &Bus, job: &str, server: &str, reason: &str) {
        let text = format!("hook of {job}: {server} was not told: {reason}");
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        if self.0.insert(text.clone()) {
            bus.publish(Event::Notice { file: None, text, warning: true });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_shows_neither_password_nor_path_nor_query() {
        assert_eq!(
            server("https://me:secret@hc.example:8443/uuid?token=x"),
            "https://hc.example:8443"
        );
        assert_eq!(server("http://[::1]/x"), "http://[::1]");
        assert_eq!(server("http://me:se cret@x/"), "a URL");
    }
}
