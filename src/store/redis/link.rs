//! A connection that is made when it is needed, and made anew when it broke.
//!
//! The library's connection manager waits and tries again on its own, seconds long, and knows no sentinels. Here one call
//! makes one attempt, and whoever has put the question decides whether it is put again.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult};
use tokio::sync::Mutex;

use super::error;
use super::target::Target;
use crate::store::StoreError;

/// How long connecting may take, greeting and password included.
const CONNECTING: Duration = Duration::from_secs(2);

/// A connection, or what it takes to make one.
pub(super) struct Link {
    target: Result<Mutex<Line>, StoreError>,
    config: AsyncConnectionConfig,
}

struct Line {
    target: Target,
    open: Option<Open>,
    /// How many connections were made.
    count: u64,
}

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
        let target =
            Target::parse(url).map(|target| Mutex::new(Line { target, open: None, count: 0 }));
        Link { target, config }
    }

    /// The connection, made if there is none.
    ///
    /// # Errors
    /// The server cannot be reached, or does not take us.
    pub(super) async fn open(&self) -> Result<Open, StoreError> {
        let link = self.target.as_ref().map_err(Clone::clone)?;
        let mut link = link.lock().await;
        if let Some(open) = &link.open {
            return Ok(open.clone());
        }
        let mut connection = link
            .target
            .connect(&self.config, CONNECTING)
            .await
            .map_err(|error| error::told(&error))?;
        let about: RedisResult<String> =
            redis::cmd("INFO").arg("server").query_async(&mut connection).await;
        let about = about.map_err(|error| error::told(&error))?;
        let incarnation = about.lines().find_map(|line| line.strip_prefix("run_id:"));
        let incarnation = incarnation.map(|id| id.trim().to_owned()).ok_or_else(|| {
            StoreError::Refused(
                "it does not tell its run_id: it is no Redis, or none that is like it".to_owned(),
            )
        })?;
        link.count += 1;
        let open = Open { connection, incarnation, number: link.count };
        link.open = Some(open.clone());
        Ok(open)
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
