//! The routes of `control.sock`: the HTTP interface, version 1.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::outbox::Meant;
use super::publish::Publication;
use super::request::{Refusal, Request, Requests};
use super::server::{Lasting, Peer, nothing_here};
use super::shape::{Health, Listing};
use super::stream::{Written, lines};

/// Where messages are handed over.
pub const PUBLISH: &str = "/api/v1/publish";

/// The largest message that is read, its body in base64; the outbox may take less.
const LARGEST: usize = 24 << 20;

/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages that are read at a time, of those who control the daemon and of all others: these cannot keep those waiting.
static READING: Semaphore = Semaphore::const_new(2);
static READING_OF_OTHERS: Semaphore = Semaphore::const_new(2);

/// What a query may ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wishes {
    /// Tell of the run's end, too.
    wait: bool,
    /// Go on with what comes.
    follow: bool,
}

/// The routes.
pub fn routes(requests: Requests) -> Router {
    let api = Router::new()
        .route("/jobs", get(jobs))
        .route("/jobs/{job}", get(job))
        .route("/jobs/{job}/run", post(run))
        .route("/jobs/{job}/pause", post(pause))
        .route("/jobs/{job}/resume", post(resume))
        .route("/runs", get(runs))
        .route("/runs/{run}/stop", post(stop))
        .route("/logs/{what}", get(logs))
        .route("/outbox", get(outbox))
        .route("/outbox/drop", post(discard))
        .route("/status", get(status))
        .route("/reload", post(reload));
    let taken = |State(requests): State<Requests>,
                 Extension(lasting): Extension<Lasting>,
                 body: Body| async move {
        hand_over(&requests, None, &lasting, body).await
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .nest("/api/v1", api)
        .route(PUBLISH, post(taken))
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method)
        .with_state(requests)
}

/// Has the message published that `user` hands over; none: somebody who controls the daemon.
///
/// Few are read at a time: each takes memory.
pub async fn hand_over(
    requests: &Requests,
    user: Option<String>,
    lasting: &Lasting,
    body: Body,
) -> Response {
    // As long as the broker may take to answer.
    lasting.set();
    // Whoever waits is told what became of it even where the daemon is stopped.
    lasting.hold(requests.begin());
    let publication = {
        let reading = if user.is_none() { &READING } else { &READING_OF_OTHERS };
        // It is never closed.
        let _turn = reading.acquire().await;
        match timeout(PATIENCE, to_bytes(body, LARGEST)).await {
            Ok(Ok(bytes)) => serde_json::from_slice::<Publication>(&bytes),
            Ok(Err(_)) => {
                let text = "the message did not come to its end, or is larger than may be sent: at most 16 MiB";
                let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "large", text);
                return refusal.into_response();
            }
            Err(_) => {
                let text = "the message did not come to its end in time";
                let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow", text);
                return refusal.into_response();
            }
        }
    };
    let publication = match publication {
        Ok(publication) => Box::new(publication),
        Err(error) => {
            let text = format!("this is no message: {error}");
            return Refusal::new(StatusCode::BAD_REQUEST, "invalid", text).into_response();
        }
    };
    match requests.ask(|reply| Request::Publish { publication, user, reply }).await {
        Ok(Ok(published)) => Json(published).into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(stopping) => stopping.help("the message was not accepted").into_response(),
    }
}

async fn other_method() -> Response {
    let refusal = Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "this is not asked with that method",
    );
    refusal.into_response()
}

type Answer<T> = Result<T, Refusal>;

async fn jobs(State(requests): State<Requests>) -> Answer<Response> {
    Ok(listed(requests.ask(Request::Jobs).await?))
}

async fn job(State(requests): State<Requests>, Path(job): Path<String>) -> Answer<Response> {
    Ok(listed(requests.ask(|reply| Request::Job(job, reply)).await??))
}

/// The jobs of a listing, one object a line, made as the client reads them.
fn listed(listing: Listing) -> Response {
    let listing = Arc::new(listing);
    let places = 0..listing.table.len();
    let write = move |place, out: &mut Vec<u8>| listing.write(place, out);
    lines(Body::new(Written::new(places, write)))
}

async fn outbox(State(requests): State<Requests>, Query(meant): Query<Meant>) -> Answer<Response> {
    let letters = requests.ask(|reply| Request::Outbox(meant, reply)).await??;
    let write = |letter, out: &mut Vec<u8>| {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(out, &letter);
    };
    Ok(lines(Body::new(Written::new(letters.into_iter(), write))))
}

async fn discard(
    State(requests): State<Requests>,
    Query(meant): Query<Meant>,
    Extension(peer): Extension<Peer>,
) -> Answer<Response> {
    let (uid, meant) = (peer.uid, meant.to_drop()?);
    let dropped = requests.ask(|reply| Request::Drop { meant, uid, reply }).await??;
    Ok(Json(dropped).into_response())
}

async fn runs(State(requests): State<Requests>) -> Answer<Response> {
    let runs = requests.ask(Request::Runs).await?;
    let write = |run, out: &mut Vec<u8>| {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(out, &run);
    };
    Ok(lines(Body::new(Written::new(runs.into_iter(), write))))
}

async fn status(State(requests): State<Requests>) -> Answer<Response> {
    Ok(Json(requests.ask(Request::Status).await?).into_response())
}

async fn run(
    State(requests): State<Requests>,
    Path(job): Path<String>,
    Query(Wishes { wait, .. }): Query<Wishes>,
    Extension(lasting): Extension<Lasting>,
) -> Answer<Response> {
    let feed = requests.ask(|reply| Request::Run { job, wait, reply }).await??;
    if wait {
        lasting.set();
    }
    Ok(feed.into_response())
}

async fn pause(State(requests): State<Requests>, Path(job): Path<String>) -> Answer<Response> {
    Ok(Json(requests.ask(|reply| Request::Pause(job, reply)).await??).into_response())
}

async fn resume(State(requests): State<Requests>, Path(job): Path<String>) -> Answer<Response> {
    Ok(Json(requests.ask(|reply| Request::Resume(job, reply)).await??).into_response())
}

async fn stop(State(requests): State<Requests>, Path(run): Path<String>) -> Answer<Response> {
    Ok(Json(requests.ask(|reply| Request::Stop(run, reply)).await??).into_response())
}

async fn reload(State(requests): State<Requests>) -> Answer<Response> {
    requests.ask(Request::Reload).await?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({ "reload": "asked for" }))).into_response())
}

async fn logs(
    State(requests): State<Requests>,
    Path(what): Path<String>,
    Query(Wishes { follow, .. }): Query<Wishes>,
    Extension(lasting): Extension<Lasting>,
) -> Answer<Response> {
    let feed = requests.ask(|reply| Request::Logs { what, follow, reply }).await??;
    if follow {
        lasting.set();
    }
    Ok(feed.into_response())
}

async fn healthz(State(requests): State<Requests>) -> Answer<Response> {
    let health = requests.ask(Request::Health).await?;
    let status = if health.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(told(status, &health))
}

async fn readyz(State(requests): State<Requests>) -> Answer<Response> {
    let health = requests.ask(Request::Health).await?;
    let ready = health.healthy && !health.degraded;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(told(status, &health))
}

fn told(status: StatusCode, health: &Health) -> Response {
    (status, Json(health)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_that_hang_do_not_keep_those_waiting_who_control_the_daemon() {
        let _all = READING_OF_OTHERS.acquire_many(2).await.unwrap();
        let ((requests, _daemon), lasting) = (Requests::channel(), Lasting::default());
        let by = |user| hand_over(&requests, user, &lasting, Body::from("{}"));
        let answer = timeout(PATIENCE, by(None)).await.expect("it is read at once");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let waits = timeout(Duration::from_millis(50), by(Some("alice".to_owned())));
        assert!(waits.await.is_err(), "others wait for their turn");
    }
}
