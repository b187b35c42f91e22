//! Answers who asks whether the worker is well, at a control socket where there is one.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker::{Consuming, Standing};
use crate::config::Listening;
use crate::control::request::OF_WORKER;
use crate::control::shape::Health;
use crate::control::{Access, Refusal, Server, Socket};
use crate::event::{Bus, Event};

/// What a worker depends on.
#[derive(Debug, Clone)]
pub(super) struct Outlook {
    /// The broker's addresses, without secrets.
    pub(super) broker: Arc<str>,
    /// The queue that is read.
    pub(super) queue: Arc<str>,
    pub(super) standing: watch::Receiver<Standing>,
    /// How the subscription to the queue stands.
    pub(super) consuming: watch::Receiver<Consuming>,
    /// How the one to the answers of senders does.
    pub(super) answering: watch::Receiver<Consuming>,
}

impl Outlook {
    /// How it stands: degraded, with the reason, where no order comes in.
    fn health(&self) -> Health {
        let mut reasons = Vec::new();
        match &*self.standing.borrow() {
            Standing::Unknown => {
                reasons.push(format!("the broker {} has not answered yet", self.broker));
            }
            Standing::Down { reason, .. } => {
                reasons.push(format!("the broker {} is away: {reason}", self.broker));
            }
            Standing::Blocked { reason, .. } => {
                reasons.push(format!("the broker {} takes nothing: {reason}", self.broker));
            }
            Standing::Up { .. } => {}
        }
        // Where the broker is away nothing else can be expected.
        if reasons.is_empty() {
            if let Consuming::Waiting { reason } = &*self.consuming.borrow() {
                reasons.push(format!("nothing is read from the queue {}: {reason}", self.queue));
            }
            if let Consuming::Waiting { reason } = &*self.answering.borrow() {
                reasons.push(format!("what senders answer cannot be heard: {reason}"));
            }
        }
        Health { healthy: true, degraded: !reasons.is_empty(), reasons }
    }

    fn routes(self) -> Router {
        let ready = self.clone();
        let healthz = move || std::future::ready(Json(self.health()).into_response());
        let readyz = move || std::future::ready(readiness(&ready.health()));
        Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .fallback(|| std::future::ready(nothing_else()))
    }
}

fn readiness(health: &Health) -> Response {
    let status = if health.degraded { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, Json(health)).into_response()
}

fn nothing_else() -> Response {
    let message = "a worker listens here, which keeps no schedule";
    Refusal::new(StatusCode::NOT_FOUND, OF_WORKER, message)
        .help("ask it for its `health`; --control names a daemon's socket")
        .into_response()
}

/// Listens, until what is returned is aborted. Where that fails the worker goes on without: what it carries out matters more.
pub(super) async fn listen(
    listening: &Listening,
    uid: u32,
    bus: &Bus,
    outlook: Outlook,
) -> Option<JoinHandle<Infallible>> {
    match Socket::bind(&listening.path, 0o600).await {
        Ok(socket) => {
            let routes = move || outlook.clone().routes();
            Some(tokio::spawn(Server::new(socket, Access::Owner(uid), routes).run()))
        }
        Err(error) => {
            let text = format!(
                "nobody can ask for this worker's health: {error} (--control PATH puts the socket elsewhere, such as on a \
                 tmpfs)"
            );
            bus.publish(Event::Notice { file: None, text, warning: listening.is_named });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn reasons(standing: Standing, consuming: Consuming, answering: Consuming) -> Vec<String> {
        let outlook = Outlook {
            broker: "amqp://host".into(),
            queue: "heavy".into(),
            standing: watch::channel(standing).1,
            consuming: watch::channel(consuming).1,
            answering: watch::channel(answering).1,
        };
        let health = outlook.health();
        assert!(health.healthy);
        assert_eq!(health.degraded, !health.reasons.is_empty());
        health.reasons
    }

    fn waiting(reason: &str) -> Consuming {
        Consuming::Waiting { reason: reason.to_owned() }
    }

    fn up() -> Standing {
        Standing::Up { address: "amqp://host".to_owned() }
    }

    #[test]
    fn a_worker_is_healthy_while_it_reads_its_queue() {
        assert_eq!(reasons(up(), Consuming::On, Consuming::On), [""; 0]);
    }

    #[test]
    fn what_keeps_orders_away_is_told_once() {
        let since = Timestamp::UNIX_EPOCH;
        let away = Standing::Down { since, reason: "refused".to_owned() };
        let told = reasons(away, waiting("no connection"), waiting("no connection"));
        assert_eq!(told, ["the broker amqp://host is away: refused"]);
        let full = Standing::Blocked { since, reason: "low on disk".to_owned() };
        let told = reasons(full, Consuming::On, Consuming::On);
        assert_eq!(told, ["the broker amqp://host takes nothing: low on disk"]);
        let told = reasons(Standing::Unknown, waiting(""), waiting(""));
        assert_eq!(told, ["the broker amqp://host has not answered yet"]);
        let told = reasons(up(), waiting("there is no such queue"), Consuming::On);
        assert_eq!(told, ["nothing is read from the queue heavy: there is no such queue"]);
        let told = reasons(up(), Consuming::On, waiting("not permitted"));
        assert_eq!(told, ["what senders answer cannot be heard: not permitted"]);
    }
}
