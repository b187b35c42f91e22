//! Messages that clients hand to the daemon: who may, and what becomes of them.
//!
//! Root and the daemon's own user come by the control socket. Those that `--publish-users` names come by the socket that
//! everybody may ask, where the kernel tells who asks; they cannot take the id of somebody else's message, which would keep
//! that one from being sent.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::post;
use jiff::Timestamp;
use nix::unistd::{Uid, User};
use tokio::task::spawn_blocking;

use super::control::Desk;
use crate::control::publish::{Attempt, NO_BROKER, Publication, Published, TAKEN};
use crate::control::route::{PUBLISH, hand_over};
use crate::control::server::Lasting;
use crate::control::{Peer, Refusal, Requests};
use crate::courier::{CONFIRM, Permission, Publishing, settled, words_of};
use crate::event::RunId;
use crate::job::{Job, Lookup, Policy};
use crate::outbox::{Letter, Refused};

/// So many ids are known that tries of runs have given their messages; the oldest are forgotten, of runs that ended long ago as
/// a rule.
const KNOWN: usize = 4096;

/// The ids that the tries of runs have given their messages. A command may publish the same thing twice: these are two
/// messages, and the second is not taken for the first one sent again.
#[derive(Debug, Clone, Default)]
pub(super) struct Given(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    all: HashSet<(Attempt, String)>,
    in_order: VecDeque<(Attempt, String)>,
}

impl Given {
    /// Notes that a try of a run has given a message this id; false where it had done so before.
    fn note(&self, attempt: Attempt, id: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = (attempt, id.to_owned());
        if !known.all.insert(one.clone()) {
            return false;
        }
        known.in_order.push_back(one);
        if known.in_order.len() > KNOWN
            && let Some(oldest) = known.in_order.pop_front()
        {
            known.all.remove(&oldest);
        }
        true
    }
}

/// The route by which users hand messages over who may not control the daemon.
pub(super) fn routes(requests: &Requests, permission: &Permission) -> Router {
    let (requests, permission) = (requests.clone(), permission.clone());
    let taken = move |Extension(peer): Extension<Peer>,
                      Extension(lasting): Extension<Lasting>,
                      body: Body| async move {
        // Before anything of it is read.
        match user_of(peer, &permission).await {
            Ok(user) => hand_over(&requests, Some(user), &lasting, body).await,
            Err(refusal) => refusal.into_response(),
        }
    };
    Router::new().route(PUBLISH, post(taken))
}

/// The name of the user at the other end, if they may publish.
async fn user_of(peer: Peer, permission: &Permission) -> Result<String, Refusal> {
    let forbidden = |message: String| Refusal::new(StatusCode::FORBIDDEN, "forbidden", message);
    let found = spawn_blocking(move || User::from_uid(Uid::from_raw(peer.uid))).await;
    let user = found.ok().and_then(Result::ok).flatten();
    let number = peer.uid;
    let user =
        user.ok_or_else(|| forbidden(format!("the user database does not know number {number}")))?;
    if permission.is_given(user.name.as_bytes()) {
        return Ok(user.name);
    }
    let message = format!("{} may not publish through this daemon", user.name);
    Err(forbidden(message).help("--publish-users names those who may"))
}

impl Desk {
    /// Sends a message that `user` has handed over; none: somebody who controls the daemon.
    pub(super) async fn publish(
        &self,
        publication: Publication,
        user: Option<&str>,
    ) -> Result<Published, Refusal> {
        let Some(Publishing { outbox, clock, .. }) = &self.publishing else {
            let refusal =
                Refusal::new(StatusCode::CONFLICT, NO_BROKER, "this daemon has no broker");
            return Err(refusal.help("--amqp names one"));
        };
        let attempt = publication.attempt.clone();
        let job = publication.job_id.as_deref().and_then(|id| self.job_of(id, user));
        let message = publication.into_message();
        if user.is_some() && !is_free(&message.id, job.as_deref()) {
            let text = format!("the id {:?} is not yours to give", message.id);
            return Err(Refusal::new(StatusCode::FORBIDDEN, "forbidden", text));
        }
        if let Some(attempt) = attempt
            && !self.given.note(attempt, &message.id)
        {
            let text = format!("this try of the run has published a message {:?}", message.id);
            return Err(Refusal::new(StatusCode::CONFLICT, TAKEN, text));
        }
        let day = clock.now().saturating_add(Policy::default().expires);
        let expires = message.properties.expires.unwrap_or(day.unwrap_or(Timestamp::MAX));
        let run = message.properties.correlation_id.as_deref().filter(|_| job.is_some());
        let run = run.and_then(|run| run.parse().ok());
        let message_id = message.id.clone();
        let job = job.map(|job| (job.key, job.label().into()));
        let fate = outbox
            .accept(Letter { message, job, run, expires })
            .await
            .map_err(|refused| refusal(&refused))?;
        let delivery = settled(fate.next(CONFIRM).await, expires, clock.now());
        let (result, words) = (delivery.name().to_owned(), words_of(&delivery));
        Ok(Published { result, words, message_id })
    }

    /// The job with this id, if it is one of the user's.
    fn job_of(&self, id: &str, user: Option<&str>) -> Option<Arc<Job>> {
        let table = Arc::clone(&self.tables.borrow());
        let Lookup::One(job) = table.find(id) else { return None };
        let is_theirs = user.is_none_or(|user| job.user().as_bytes() == user.as_bytes());
        is_theirs.then(|| Arc::clone(job))
    }
}

/// Whether nobody else's message can have this id: it is that of a run, or of an instant of this job.
fn is_free(id: &str, job: Option<&Job>) -> bool {
    let of_job =
        |job: &Job| id.strip_prefix(&job.key.to_string()).is_some_and(|rest| rest.starts_with(':'));
    let run = id.split_once(':').map_or(id, |(run, _)| run);
    run.parse::<RunId>().is_ok() || job.is_some_and(of_job)
}

/// Why a message is not taken, for a client.
fn refusal(refused: &Refused) -> Refusal {
    let (status, error) = match refused {
        Refused::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, "full"),
        Refused::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "large"),
        Refused::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
        Refused::Stopping => return Refusal::stopping().help("the message was not accepted"),
    };
    Refusal::new(status, error, refused.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_given_once_by_a_try_of_a_run_and_again_by_the_next() {
        let given = Given::default();
        let attempt = |number| Attempt { run: "r".to_owned(), number };
        assert!(given.note(attempt(1), "a") && given.note(attempt(1), "b"));
        assert!(!given.note(attempt(1), "a"));
        assert!(given.note(attempt(2), "a"), "it is sent again");
        for number in 0..KNOWN {
            assert!(given.note(attempt(3), &number.to_string()));
        }
        let known = given.0.lock().unwrap();
        assert_eq!((known.all.len(), known.in_order.len()), (KNOWN, KNOWN));
    }
}
