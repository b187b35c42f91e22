//! What a client asks the daemon, and how the daemon says no.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use super::outbox::{Dropped, LetterObject, Meant};
use super::publish::{Publication, Published};
use super::shape::{Health, Listing, RunObject, Status};
use super::stream::Feed;

/// Requests that wait for the daemon at a time; those who ask further ones wait themselves.
const WAITING: usize = 16;

/// Where an answer goes; whoever asked may be gone.
pub type Reply<T> = oneshot::Sender<T>;

/// What a client asks the daemon. A job is named as [`JobTable::find`](crate::job::JobTable::find) has it.
#[derive(Debug)]
pub enum Request {
    /// The jobs in force.
    Jobs(Reply<Listing>),
    /// One of them.
    Job(String, Reply<Result<Listing, Refusal>>),
    /// The runs that are alive, then those that ended last, newest first.
    Runs(Reply<Vec<RunObject>>),
    /// Everything about the daemon itself.
    Status(Reply<Status>),
    /// Whether it does its work.
    Health(Reply<Health>),
    /// Run a job now; the answer tells of the run's end, too, where `wait` asks for it.
    Run {
        /// The job.
        job: String,
        /// Whether the feed lasts until the run has ended.
        wait: bool,
        /// What the run is, then how it ended.
        reply: Reply<Result<Feed, Refusal>>,
    },
    /// Start no run of a job until it is resumed; the job, and whether that is new.
    Pause(String, Reply<Result<Switched, Refusal>>),
    /// End a pause; the job, and whether there was one.
    Resume(String, Reply<Result<Switched, Refusal>>),
    /// End a run, named by its id or an unambiguous end of it.
    Stop(String, Reply<Result<RunObject, Refusal>>),
    /// Look at the crontabs now.
    Reload(Reply<()>),
    /// Publish a message.
    Publish {
        /// The message.
        publication: Box<Publication>,
        /// Who asks; none: somebody who controls the daemon.
        user: Option<String>,
        /// What became of it.
        reply: Reply<Result<Published, Refusal>>,
    },
    /// The messages that wait in the outbox.
    Outbox(Meant, Reply<Result<Vec<LetterObject>, Refusal>>),
    /// Send these messages no more.
    Drop {
        /// Which.
        meant: Meant,
        /// The number of the user who asks.
        uid: u32,
        /// What became of them.
        reply: Reply<Result<Dropped, Refusal>>,
    },
    /// What a job or a run printed.
    Logs {
        /// A run's id or its end, or a job.
        what: String,
        /// Whether the feed goes on with what is printed from now on.
        follow: bool,
        /// Lines, as objects.
        reply: Reply<Result<Feed, Refusal>>,
    },
}

/// What a pause or its end came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// The job's key.
    pub key: String,
    /// What people call it.
    pub label: String,
    /// Whether it is paused now.
    pub paused: bool,
    /// Whether that is new.
    pub changed: bool,
}

/// The kind of refusal of a worker, whose socket answers for its health alone.
pub const OF_WORKER: &str = "worker";

/// Why something is not done, as a client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The HTTP status.
    #[serde(skip)]
    pub status: u16,
    /// The kind's stable name.
    pub error: String,
    /// For people.
    pub message: String,
    /// What to do instead, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Refusal {
    /// A refusal of this kind.
    #[must_use]
    pub fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        let (error, message) = (error.to_owned(), message.into());
        Refusal { status: status.as_u16(), error, message, help: None }
    }

    /// The same, with what to do instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn forbidden() -> Self {
        let message = "only root and the daemon's own user may control it";
        Refusal::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(super) fn busy() -> Self {
        let message = "too many clients at once";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).help("try again later")
    }

    /// The daemon answers nothing any more.
    #[must_use]
    pub fn stopping() -> Self {
        let message = "the daemon is about to end";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self)).into_response()
    }
}

/// The way to the daemon.
#[derive(Debug, Clone)]
pub struct Requests {
    asked: mpsc::Sender<Request>,
    under_way: watch::Sender<usize>,
}

/// The mark of an answer that the daemon waits for before it ends.
#[derive(Debug)]
pub struct UnderWay(watch::Sender<usize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Requests {
    /// The way to a daemon, and the daemon's end of it: once that is dropped, every request is refused.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Request>) {
        let (asked, receiver) = mpsc::channel(WAITING);
        (Requests { asked, under_way: watch::Sender::new(0) }, receiver)
    }

    /// A mark of an answer that the daemon waits for before it ends.
    #[must_use]
    pub fn begin(&self) -> UnderWay {
        self.under_way.send_modify(|count| *count += 1);
        UnderWay(self.under_way.clone())
    }

    /// How many answers have such a mark, now and after each change.
    #[must_use]
    pub fn under_way(&self) -> watch::Receiver<usize> {
        self.under_way.subscribe()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The daemon is about to end.
    pub async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.asked.send(request(reply)).await.map_err(|_| Refusal::stopping())?;
        answer.await.map_err(|_| Refusal::stopping())
    }
}
