//! A connection that is made when it is needed, and made anew when it broke.
//!
//! The library's connection manager waits and tries again on its own, seconds long, and knows no sentinels. Here one call
//! makes one attempt, and whoever has put the question decides whether it is put again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error;
use super::target::Target;
use crate::store::StoreError;

/// How long connecting may take, greeting and password included.
const CONNECTING: Duration = Duration::from_secs(2);
/// For how long a connection may rest before it is asked whether it is still there: more than the time between two beats.
const RESTING: Duration = Duration::from_secs(3);
/// How long it may take to say so; a server that is slower than that tells it by what is asked then.
const ECHO: Duration = Duration::from_millis(250);

/// A connection, or what it takes to make one.
pub(super) struct Link {
    target: Result<Mutex<Line>, StoreError>,
    /// Whether the URL says that TLS is spoken.
    is_tls: bool,
    /// Whether the URL leads to a socket on this host.
    is_local: bool,
    config: AsyncConnectionConfig,
    /// Whether the connection has carried so much at once that its buffers are large.
    is_swollen: AtomicBool,
}

/// What is said of a connection that the other side has closed.
const CLOSED: [&str; 4] = ["reset by peer", "broken pipe", "end of file", "terminated"];

struct Line {
    target: Target,
    open: Option<Open>,
    /// When the connection was asked for last.
    used: Instant,
    /// How many connections were made.
    count: u64,
}

/// From so many bytes on a connection that carried them at once is not kept: its buffers never get smaller.
const LARGE: usize = 256 << 10;

/// A connection to one life of a server.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) connection: MultiplexedConnection,
    /// What tells this life of the server from others.
    pub(super) incarnation: String,
    number: u64,
}

impl Link {
    /// Nothing is asked yet. An answer may take so long.
    pub(super) fn new(url: &str, answer: Duration) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(answer));
        let target = Target::parse(url)
            .map(|target| Mutex::new(Line { target, open: None, used: Instant::now(), count: 0 }));
        let (is_tls, is_local) = (url.starts_with("rediss:"), url.contains("unix:"));
        Link { target, is_tls, is_local, config, is_swollen: AtomicBool::new(false) }
    }

    /// From the next connection on an answer may take so long.
    pub(super) fn wait(&mut self, answer: Duration) {
        self.config = self.config.clone().set_response_timeout(Some(answer));
    }

    /// The connection, made if there is none.
    ///
    /// # Errors
    /// The server cannot be reached, or does not take us.
    pub(super) async fn open(&self) -> Result<Open, StoreError> {
        let link = self.target.as_ref().map_err(Clone::clone)?;
        let mut link = link.lock().await;
        if let Some(open) = &link.open {
            let open = open.clone();
            let rested = std::mem::replace(&mut link.used, Instant::now()).elapsed();
            if rested < RESTING || lives(&open).await {
                return Ok(open);
            }
            // A server that went and came meanwhile is none that is away.
            link.open = None;
        }
        let connected = link.target.connect(&self.config, CONNECTING).await;
        let mut connection = connected.map_err(|error| self.hinted(error))?;
        let about: RedisResult<String> =
            redis::cmd("INFO").arg("server").query_async(&mut connection).await;
        let about = about.map_err(|error| self.hinted(error::told(&error)))?;
        if about.lines().any(|line| line.trim_end() == "redis_mode:sentinel") {
            return Err(StoreError::Refused(
                "it is a sentinel, which keeps nothing: redis+sentinel://HOST[:PORT]/MASTER is the address, with the name by \
                 which it knows the master"
                    .to_owned(),
            ));
        }
        let incarnation = about.lines().find_map(|line| line.strip_prefix("run_id:"));
        let incarnation = incarnation.map(|id| id.trim().to_owned()).ok_or_else(|| {
            StoreError::Refused(
                "it does not tell its run_id: it is no Redis, or none that is like it".to_owned(),
            )
        })?;
        link.count += 1;
        let open = Open { connection, incarnation, number: link.count };
        link.open = Some(open.clone());
        link.used = Instant::now();
        Ok(open)
    }

    /// What went wrong at the first words, with what may be the reason.
    fn hinted(&self, error: StoreError) -> StoreError {
        let StoreError::Down(text) = error else { return error };
        // What speaks no TLS waits for more, or closes the connection; so does what speaks nothing else.
        let is_closed = || CLOSED.iter().any(|part| text.contains(part));
        let hint = match self.is_tls {
            true if !text.contains("certificate") => {
                " (where no TLS is spoken, redis:// is the address)"
            }
            false if !self.is_local && is_closed() => {
                " (where TLS is spoken, rediss:// is the address)"
            }
            _ => "",
        };
        StoreError::Down(format!("{text}{hint}"))
    }

    /// Takes note of how much was carried at once.
    pub(super) fn carried(&self, bytes: usize) {
        self.is_swollen.fetch_or(bytes >= LARGE, Ordering::Relaxed);
    }

    /// Whether the connection holds much more memory than it needs.
    pub(super) fn is_swollen(&self) -> bool {
        self.is_swollen.load(Ordering::Relaxed)
    }

    /// Lets go of a connection that holds too much memory: it ends with what is still asked over it, and the next question
    /// makes another one.
    pub(super) fn rest(&self) {
        if self.is_swollen()
            && let Ok(link) = &self.target
            && let Ok(mut link) = link.try_lock()
        {
            link.open = None;
            self.is_swollen.store(false, Ordering::Relaxed);
        }
    }

    /// Whether there is a connection, which may have broken.
    pub(super) async fn is_open(&self) -> bool {
        match &self.target {
            Ok(link) => link.lock().await.open.is_some(),
            Err(_) => false,
        }
    }

    /// Tells what is wrong, and lets go of a connection that is.
    pub(super) async fn failed(&self, open: &Open, error: &redis::RedisError) -> StoreError {
        if error::is_of_connection(error)
            && let Ok(link) = &self.target
        {
            let mut link = link.lock().await;
            if link.open.as_ref().is_some_and(|other| other.number == open.number) {
                link.open = None;
            }
        }
        error::told(error)
    }
}

/// Whether nothing is known to be wrong with a connection.
async fn lives(open: &Open) -> bool {
    let mut connection = open.connection.clone();
    let ping = redis::cmd("PING");
    let answer = tokio::time::timeout(ECHO, ping.query_async::<()>(&mut connection)).await;
    !matches!(answer, Ok(Err(error)) if error::is_of_connection(&error))
}
