//! Whom runs run as, and what those of the same terms have in common: looked up once in a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::plain;
use super::shell::{Base, Host};
use super::ticket::Ticket;
use crate::clock::Clock;
use crate::job::Terms;
use crate::unix::{Account, NoAccount, Subject};

/// How long an answer of the user database stands: a change holds for a job that is due a minute later (row 56).
const FRESH: Duration = Duration::from_secs(30);

/// How much sooner an answer is renewed for a start that is to come, so that it still stands then.
const AHEAD: Duration = Duration::from_secs(1);

/// How long it stands that there is no such user.
const ABSENT: Duration = Duration::from_secs(1);

/// Bases that are kept at most.
const BASES: usize = 64;

/// A user to run as.
#[derive(Debug)]
pub(super) struct Known {
    pub account: Account,
    /// None: as this process runs.
    pub subject: Option<Subject>,
}

/// The answers of the user database, and what was made of them.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    entries: HashMap<Box<str>, Entry>,
    bases: HashMap<(usize, usize), Kept>,
}

#[derive(Debug)]
enum Entry {
    /// Since then, on the monotonic clock.
    Known(Duration, Result<Arc<Known>, String>),
    /// Somebody is asking; these wait for the answer.
    Asking(Vec<Arc<Ticket>>),
}

/// A base, with what its key is the address of.
#[derive(Debug)]
struct Kept {
    base: Arc<Base>,
    /// Since then, on the monotonic clock.
    since: Duration,
    _terms: Arc<Terms>,
    _known: Arc<Known>,
}

/// What there is to be done about a user.
pub(super) enum Answer {
    /// Nothing: he is known, or known not to be.
    Known(Result<Arc<Known>, String>),
    /// To ask, and to [`put`](Accounts::put) what comes of it.
    Ask,
    /// To leave the ticket, which was put with others that wait for the same answer.
    Wait,
}

impl Accounts {
    /// What is known of the user of `ticket`.
    pub(super) fn get(&mut self, ticket: &Arc<Ticket>, now: Duration) -> Answer {
        let user = ticket.run().fire.job.user().to_string_lossy();
        match self.entries.get_mut(&*user) {
            Some(Entry::Asking(waiting)) => {
                waiting.push(Arc::clone(ticket));
                return Answer::Wait;
            }
            Some(Entry::Known(since, known)) => {
                let stands = if known.is_ok() { FRESH } else { ABSENT };
                if now.saturating_sub(*since) < stands {
                    return Answer::Known(known.clone());
                }
            }
            None => {}
        }
        self.entries.insert(user.into(), Entry::Asking(Vec::new()));
        Answer::Ask
    }

    /// What is known of `user` for a start that is to come in a moment: nobody is left waiting. None: to ask, and to
    /// [`put`](Accounts::put) what comes of it, or somebody does already.
    pub(super) fn foresee(&mut self, user: &str, now: Duration) -> Option<Answer> {
        match self.entries.get(user) {
            Some(Entry::Asking(_)) => return None,
            Some(Entry::Known(since, known))
                if known.is_ok() && now.saturating_sub(*since) + AHEAD < FRESH =>
            {
                return Some(Answer::Known(known.clone()));
            }
            _ => {}
        }
        self.entries.insert(user.into(), Entry::Asking(Vec::new()));
        Some(Answer::Ask)
    }

    /// Keeps an answer; the tickets that have waited for it.
    pub(super) fn put(
        &mut self,
        user: &str,
        known: Result<Arc<Known>, String>,
        now: Duration,
    ) -> Vec<Arc<Ticket>> {
        // Names that no crontab has any more are not kept for ever.
        self.entries.retain(|_, entry| match entry {
            Entry::Known(since, _) => now.saturating_sub(*since) < FRESH,
            Entry::Asking(_) => true,
        });
        match self.entries.insert(user.into(), Entry::Known(now, known)) {
            Some(Entry::Asking(waiting)) => waiting,
            _ => Vec::new(),
        }
    }

    /// What runs of these terms as this user have in common.
    pub(super) fn base(
        &mut self,
        host: &Host,
        terms: &Arc<Terms>,
        known: &Arc<Known>,
        now: Duration,
    ) -> Result<Arc<Base>, String> {
        let key = (Arc::as_ptr(terms).addr(), Arc::as_ptr(known).addr());
        let stands = |kept: &&Kept| now.saturating_sub(kept.since) < FRESH;
        if let Some(kept) = self.bases.get(&key).filter(stands) {
            return Ok(Arc::clone(&kept.base));
        }
        let base = Base::new(host, terms, &known.account, plain::is_plain_shell)?;
        let base = Arc::new(base);
        if self.bases.len() >= BASES {
            self.bases.clear();
        }
        let kept = Kept {
            base: Arc::clone(&base),
            since: now,
            _terms: Arc::clone(terms),
            _known: Arc::clone(known),
        };
        self.bases.insert(key, kept);
        Ok(base)
    }

    /// Drops what a burst of starts had in common.
    pub(super) fn rest(&mut self) {
        self.bases = HashMap::new();
    }
}

/// Asks the user database. May take long, or for ever.
pub(super) fn ask(host: &Host, clock: &dyn Clock, user: &str) -> Result<Arc<Known>, String> {
    let own = &host.account;
    let is_own = own.is(user.as_bytes());
    let as_we_are = || Ok(Arc::new(Known { account: own.clone(), subject: None }));
    if own.uid != 0 {
        if is_own {
            return as_we_are();
        }
        return Err(format!("it belongs to {user}, and we are {}", own.name));
    }
    let today = clock.now().as_second().div_euclid(24 * 60 * 60);
    match Account::lookup(user, today) {
        Ok((account, subject)) => Ok(Arc::new(Known { account, subject: Some(subject) })),
        Err(NoAccount::Unknown) if is_own => as_we_are(),
        Err(NoAccount::Unknown) => Err(format!("unknown user {user}")),
        Err(why) => Err(format!("user {user}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Arc<Known> {
        Arc::new(Known { account: Account::current(), subject: None })
    }

    /// Whether somebody who foresees a start of `user` is to ask at `now`, on the monotonic clock.
    fn asks(accounts: &mut Accounts, user: &str, now: Duration) -> bool {
        matches!(accounts.foresee(user, now), Some(Answer::Ask))
    }

    #[test]
    fn what_is_foreseen_is_asked_once_and_renewed_before_it_falls() {
        let mut accounts = Accounts::default();
        let begun = Duration::from_secs(100);
        assert!(asks(&mut accounts, "alice", begun));
        assert!(accounts.foresee("alice", begun).is_none(), "somebody asks already");
        assert!(accounts.put("alice", Ok(known()), begun).is_empty());
        let late = begun + FRESH.checked_sub(AHEAD).unwrap();
        let just_before = late.checked_sub(Duration::from_millis(1)).unwrap();
        assert!(matches!(accounts.foresee("alice", just_before), Some(Answer::Known(Ok(_)))));
        assert!(asks(&mut accounts, "alice", late));
    }

    #[test]
    fn that_there_is_no_such_user_is_asked_again_for_each_start_to_come() {
        let mut accounts = Accounts::default();
        let now = Duration::from_secs(100);
        assert!(asks(&mut accounts, "bob", now));
        accounts.put("bob", Err("unknown user bob".into()), now);
        assert!(asks(&mut accounts, "bob", now));
    }
}
