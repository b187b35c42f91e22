//! `crontab` for users who may not write to the spool: the routes of the socket that everybody may ask.
//!
//! The kernel tells who asks. They get their own table and nothing else, if cron.allow and cron.deny let them; what they
//! send is judged here again, whoever sent it.

use std::path::Path;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use nix::unistd::{Uid, User};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::clock::{Clock as _, SystemClock};
use crate::command::crontab::spool::Spool;
use crate::command::crontab::tables::{MOST_SENT, TARGET};
use crate::command::crontab::verdict::Verdict;
use crate::command::crontab::{allow, denial};
use crate::control::{Peer, Refusal};
use crate::schedule::Zone;

/// The most lines that one may have: as many entries as may be (10 000), each with a comment, a directive and a blank.
const MOST_LINES: usize = 40_000;

/// Tables are judged one after the other: each takes memory, and anybody may send one.
static JUDGE: Semaphore = Semaphore::const_new(1);

/// The routes; `zone` is the daemon's.
pub(super) fn routes(zone: &Zone) -> Router {
    let zone = zone.clone();
    let put = move |Extension(peer): Extension<Peer>, body: Bytes| async move {
        if body.split(|&byte| byte == b'\n').count() > MOST_LINES {
            let message = format!("the table has more than {MOST_LINES} lines");
            return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "large", message).into_response();
        }
        let turn = JUDGE.acquire().await;
        at_work(peer, move |spool, user| {
            // Until it is done, whether the client waits for it or not.
            let _turn = turn;
            install(spool, user, &zone, body.to_vec())
        })
        .await
    };
    let methods = get(|Extension(peer): Extension<Peer>| at_work(peer, list))
        .put(put)
        .delete(|Extension(peer): Extension<Peer>| at_work(peer, remove));
    Router::new()
        .route(TARGET, methods)
        .layer(DefaultBodyLimit::max(MOST_SENT))
        .fallback(|| std::future::ready(nothing_here()))
}

fn nothing_here() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "unknown", "this socket serves /crontab, your own table")
}

/// Does `work` for the user at the other end, on a thread where the disk may take its time.
async fn at_work(
    peer: Peer,
    work: impl FnOnce(&Spool, &User) -> Result<Response, Refusal> + Send + 'static,
) -> Response {
    let done = spawn_blocking(move || {
        let user = user_of(peer)?;
        let spool = Spool::open().map_err(|error| failed(&error))?;
        work(&spool, &user)
    });
    match done.await {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => refusal.into_response(),
        Err(error) => failed(&error).into_response(),
    }
}

/// The user at the other end, if they may have a table.
fn user_of(peer: Peer) -> Result<User, Refusal> {
    let forbidden = |message: String| Refusal::new(StatusCode::FORBIDDEN, "forbidden", message);
    let found = User::from_uid(Uid::from_raw(peer.uid)).map_err(|errno| failed(&errno))?;
    let user = found
        .ok_or_else(|| forbidden(format!("the user database does not know number {}", peer.uid)))?;
    let lists = allow::LISTS.map(Path::new);
    if allow::is_allowed(&user.name, peer.uid, lists).map_err(|error| failed(&error))? {
        Ok(user)
    } else {
        Err(forbidden(denial(&user.name)))
    }
}

fn list(spool: &Spool, user: &User) -> Result<Response, Refusal> {
    match spool.read(&user.name).map_err(|error| failed(&error))? {
        Some(bytes) => Ok(bytes.into_response()),
        None => Err(none(user)),
    }
}

fn remove(spool: &Spool, user: &User) -> Result<Response, Refusal> {
    if spool.remove(&user.name).map_err(|error| failed(&error))? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(none(user))
    }
}

fn install(spool: &Spool, user: &User, zone: &Zone, bytes: Vec<u8>) -> Result<Response, Refusal> {
    let verdict = Verdict::of("-", bytes, &user.name, zone, SystemClock.now());
    if !verdict.passes() {
        let mut words = Vec::new();
        verdict.tell(false, false, &mut words).map_err(|error| failed(&error))?;
        let words = String::from_utf8_lossy(&words).into_owned();
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", words));
    }
    spool
        .install(&user.name, user.uid.as_raw(), verdict.bytes())
        .map_err(|error| failed(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn none(user: &User) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "none", format!("no crontab for {}", user.name))
}

fn failed(error: &dyn std::fmt::Display) -> Refusal {
    let message = format!("the daemon failed to do it: {error}");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
}
