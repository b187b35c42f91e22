//! Messages that clients hand to the daemon: who may, and what becomes of them.
//!
//! Root and the daemon's own user come by the control socket. Those that `--publish-users` names come by the socket that
//! everybody may ask, where the kernel tells who asks; they cannot take the id of somebody else's message, which would keep
//! that one from being sent.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
use crate::control::publish::{Attempt, NO_BROKER, Publication, Published, TAKEN, UNSURE};
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
/// messages, and the second is not taken for the first one sent again. Of runs that may have published what is not known
/// here, those that began before this life of the daemon among them, nothing is taken for a message sent again.
#[derive(Debug, Clone)]
pub(super) struct Given(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    /// Runs that began before are not known in full.
    since: Timestamp,
    /// Nor are those up to this one: something of them was forgotten.
    forgotten: Option<RunId>,
    all: HashSet<(Attempt, String)>,
    in_order: VecDeque<(Attempt, String)>,
}

/// Whether a try of a run may give a message an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    /// It has given it to none.
    New,
    /// It has given it to another.
    Taken,
    /// It may have: that is not known.
    Unsure,
}

impl Given {
    /// Knows all that runs publish that begin after this instant, wall clock.
    pub(super) fn since(since: Timestamp) -> Self {
        let (all, in_order) = (HashSet::new(), VecDeque::new());
        Given(Arc::new(Mutex::new(Known { since, forgotten: None, all, in_order })))
    }

    /// Notes that a try of a run gives a message this id, where it is certain that it has not done so before.
    fn note(&self, attempt: &Attempt, id: &str, now: Timestamp) -> Note {
        let mut known = self.known();
        let one = (attempt.clone(), id.to_owned());
        if known.all.contains(&one) {
            return Note::Taken;
        }
        // One that is yet to begin is of a clock that was set back, or not a run's.
        let is_known = |run: &RunId| {
            (known.since..=now).contains(&run.at())
                && known.forgotten.is_none_or(|forgotten| *run > forgotten)
        };
        if !attempt.run.parse().is_ok_and(|run| is_known(&run)) {
            return Note::Unsure;
        }
        known.all.insert(one.clone());
        known.in_order.push_back(one);
        if known.in_order.len() > KNOWN
            && let Some(oldest) = known.in_order.pop_front()
        {
            known.forgotten = known.forgotten.max(oldest.0.run.parse().ok());
            known.all.remove(&oldest);
        }
        Note::New
    }

    /// Takes a note back: the message was not accepted.
    fn take_back(&self, attempt: Attempt, id: String) {
        let mut known = self.known();
        let one = (attempt, id);
        if known.all.remove(&one) {
            known.in_order.retain(|other| *other != one);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        if let Some(attempt) = &attempt {
            let error = match self.given.note(attempt, &message.id, clock.now()) {
                Note::New => None,
                Note::Taken => Some((TAKEN, "has")),
                Note::Unsure => Some((UNSURE, "may have")),
            };
            if let Some((error, has)) = error {
                let text =
                    format!("this try of the run {has} published a message {:?}", message.id);
                return Err(Refusal::new(StatusCode::CONFLICT, error, text));
            }
        }
        let day = clock.now().saturating_add(Policy::default().expires);
        let expires = message.properties.expires.unwrap_or(day.unwrap_or(Timestamp::MAX));
        let run = message.properties.correlation_id.as_deref().filter(|_| job.is_some());
        let run = run.and_then(|run| run.parse().ok());
        let message_id = message.id.clone();
        let job = job.map(|job| (job.key, job.label().into()));
        let fate = match outbox.accept(Letter { message, job, run, expires }).await {
            Ok(fate) => fate,
            Err(refused) => {
                if let Some(attempt) = attempt {
                    self.given.take_back(attempt, message_id);
                }
                return Err(refusal(&refused));
            }
        };
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

    /// The first try of the run that began in this second.
    fn attempt(second: i64) -> Attempt {
        let run = RunId::new(at(second), 7);
        Attempt { run: run.to_string(), number: 1 }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_id_is_given_once_by_a_try_of_a_run_and_again_by_the_next() {
        let given = Given::since(at(10));
        let note = |attempt: &Attempt, id: &str| given.note(attempt, id, at(20));
        let (first, again) = (attempt(11), attempt(12));
        assert_eq!((note(&first, "a"), note(&first, "b")), (Note::New, Note::New));
        assert_eq!(note(&first, "a"), Note::Taken);
        assert_eq!(note(&again, "a"), Note::New, "it is sent again");
        assert_eq!(note(&Attempt { number: 2, ..first.clone() }, "a"), Note::New);
        // What was not accepted was not published.
        given.take_back(first.clone(), "a".to_owned());
        assert_eq!((note(&first, "a"), note(&first, "a")), (Note::New, Note::Taken));
    }

    #[test]
    fn what_a_run_has_published_unseen_is_not_guessed() {
        let given = Given::since(at(10));
        for run in [attempt(9), attempt(21), Attempt { run: "r".to_owned(), number: 1 }] {
            assert_eq!(given.note(&run, "a", at(20)), Note::Unsure, "{run:?}");
        }
        // The run whose oldest is forgotten, and all before it.
        assert_eq!(given.note(&attempt(12), "a", at(20)), Note::New);
        for number in 0..KNOWN {
            let noted = given.note(&attempt(13), &number.to_string(), at(20));
            assert_eq!(noted, Note::New, "{number}");
        }
        let wanted = [(11, Note::Unsure), (12, Note::Unsure), (13, Note::New)];
        for (second, wanted) in wanted {
            assert_eq!(given.note(&attempt(second), "a", at(20)), wanted, "{second}");
        }
        let known = given.known();
        assert_eq!((known.all.len(), known.in_order.len()), (KNOWN, KNOWN));
    }
}
