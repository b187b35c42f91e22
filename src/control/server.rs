//! Connections: who is at the other end, how many there may be, how long each may take.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::task::{AbortHandle, JoinSet};

use super::Socket;
use super::request::{Refusal, UnderWay};

/// Connections of one socket at a time.
const MOST: usize = 64;
/// Of these, those of one user, but for root.
const MOST_OF_ONE: usize = 16;
/// How long a client may take to send the head of its request.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last, unless it is asked to follow something.
const WHOLE: Duration = Duration::from_secs(30);
/// The most bytes that the head of a request may have.
const HEAD_BYTES: usize = 16 << 10;
/// The pause after a connection could not be accepted, for want of descriptors as a rule.
const PAUSE: Duration = Duration::from_secs(1);

/// Who is at the other end of a connection, as the kernel told when it was made; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's main group.
    pub gid: u32,
    /// The process, where it is known.
    pub pid: Option<i32>,
}

/// Whom a socket serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Root, and the user of this number.
    Owner(u32),
    /// Everybody; the routes look at the [`Peer`].
    Everybody,
}

impl Access {
    fn permits(self, peer: Peer) -> bool {
        match self {
            Access::Owner(uid) => peer.uid == 0 || peer.uid == uid,
            Access::Everybody => true,
        }
    }
}

/// A mark on a request: whoever answers it can have its connection last for as long as the client listens.
#[derive(Debug, Clone, Default)]
pub struct Lasting {
    is_set: Arc<AtomicBool>,
    held: Arc<Mutex<Option<UnderWay>>>,
}

impl Lasting {
    /// Lifts the deadline of the connection.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
    }

    /// Holds the mark of an answer that the daemon waits for, until the connection has ended.
    pub fn hold(&self, mark: UnderWay) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
    }

    fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Relaxed)
    }
}

/// Makes the routes of a request.
type Routes = Arc<dyn Fn() -> Router + Send + Sync>;

/// Serves one socket.
pub struct Server {
    socket: Socket,
    access: Access,
    routes: Routes,
    open: VecDeque<Open>,
}

/// A connection.
struct Open {
    task: AbortHandle,
    peer: Peer,
    /// Whether the head of a request has come.
    asked: Arc<AtomicBool>,
}

impl Server {
    /// Serves `routes`, which are made anew for each request: nothing of them is kept while there is none, and who asks
    /// for nothing costs nothing.
    #[must_use]
    pub fn new(
        socket: Socket,
        access: Access,
        routes: impl Fn() -> Router + Send + Sync + 'static,
    ) -> Self {
        Server { socket, access, routes: Arc::new(routes), open: VecDeque::new() }
    }

    /// Serves until it is dropped, and every connection with it.
    pub async fn run(mut self) -> Infallible {
        let mut tasks = JoinSet::new();
        loop {
            let Ok((stream, _)) = self.socket.listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            while tasks.try_join_next().is_some() {}
            self.open.retain(|open| !open.task.is_finished());
            if self.open.is_empty() {
                self.open.shrink_to_fit();
            }
            let Ok(found) = stream.peer_cred() else { continue };
            let peer = Peer { uid: found.uid(), gid: found.gid(), pid: found.pid() };
            let asked = Arc::<AtomicBool>::default();
            let routes = if !self.access.permits(peer) {
                refusing(Refusal::forbidden())
            } else if self.make_room(peer) {
                Arc::clone(&self.routes)
            } else {
                refusing(Refusal::busy())
            };
            let task = tasks.spawn(serve(stream, routes, peer, Arc::clone(&asked)));
            self.open.push_back(Open { task, peer, asked });
        }
    }

    /// Makes room for one more connection of `peer`: where there is none, the oldest that has not asked for anything
    /// gives way. False if all of them have.
    fn make_room(&mut self, peer: Peer) -> bool {
        let of_peer = self.open.iter().filter(|open| open.peer.uid == peer.uid).count();
        let too_many_of_one =
            self.access == Access::Everybody && peer.uid != 0 && of_peer >= MOST_OF_ONE;
        if !too_many_of_one && self.open.len() < MOST {
            return true;
        }
        let gives_way = |open: &Open| {
            !open.asked.load(Ordering::Relaxed) && (!too_many_of_one || open.peer.uid == peer.uid)
        };
        let Some(place) = self.open.iter().position(gives_way) else { return false };
        if let Some(open) = self.open.remove(place) {
            open.task.abort();
        }
        true
    }
}

/// Routes that refuse everything.
fn refusing(refusal: Refusal) -> Routes {
    Arc::new(move || {
        let refusal = refusal.clone();
        Router::new().fallback(move || std::future::ready(refusal.into_response()))
    })
}

/// Answers one request, within the deadlines.
async fn serve(stream: UnixStream, routes: Routes, peer: Peer, asked: Arc<AtomicBool>) {
    let lasting = Lasting::default();
    let mark = lasting.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(mark.clone());
        TowerToHyperService::new(routes()).call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let deadline = async {
        tokio::time::sleep(WHOLE).await;
        if lasting.is_set() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // Whatever a client does wrong is its own trouble.
        _ = connection => {}
        () = deadline => {}
    }
}

/// What is answered where no route fits.
pub(super) async fn nothing_here() -> Response {
    let message = "there is nothing of that name";
    Refusal::new(StatusCode::NOT_FOUND, "unknown", message).into_response()
}
