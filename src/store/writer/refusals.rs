//! What the store refused of what it was asked, as long as it does: what else it answers is no help there.

use std::time::Duration;

use tokio::time::Instant;

use super::standing::is_refusal;
use crate::store::StoreError;

/// For so long a refusal counts of what need not be asked again.
const COUNTS: Duration = Duration::from_secs(30);
/// For so long one of the outbox does, which is not asked for anything as long as nobody publishes.
const COUNTS_OF_OUTBOX: Duration = Duration::from_secs(10 * 60);

/// What a question is about, as far as its answer tells more than that the store is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Topic {
    /// Nothing that is told apart.
    Other,
    /// What is kept of crontabs is read.
    Snapshot,
    /// It is put.
    Put,
    /// Fires are claimed.
    Claim,
    /// Runs are started.
    Start,
    /// It is said that a replica lives.
    Beat,
    /// Messages for the broker are kept.
    Post,
    /// They are kept no longer.
    Unpost,
    /// They are taken over.
    Adopt,
    /// They are read.
    Waiting,
}

impl Topic {
    /// Whether it is about crontabs: a store that refuses that may take starts and writes all the same.
    fn is_of_crontabs(self) -> bool {
        matches!(self, Topic::Snapshot | Topic::Put)
    }

    /// Whether it is about messages that wait for the broker: so it is there.
    fn is_of_outbox(self) -> bool {
        matches!(self, Topic::Post | Topic::Unpost | Topic::Adopt | Topic::Waiting)
    }
}

/// What is refused.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Of crontabs: until they are kept, or need not be.
    crontabs: Option<StoreError>,
    /// Of the rest, and when it was: until the same is taken, or was not asked for long.
    others: Vec<(Topic, StoreError, Instant)>,
    /// Of messages for the broker, likewise.
    outbox: Vec<(Topic, StoreError, Instant)>,
}

/// Takes note of what is refused of a topic, if it is; one that did not answer has not said whether it takes it.
fn note_among(
    refusals: &mut Vec<(Topic, StoreError, Instant)>,
    topic: Topic,
    refusal: Option<&StoreError>,
    is_taken: bool,
) {
    if refusal.is_some() || is_taken {
        refusals.retain(|(other, ..)| *other != topic);
        refusals.extend(refusal.map(|error| (topic, error.clone(), Instant::now())));
    }
}

impl Refusals {
    /// Takes note of an answer: whether all that it says is that something of crontabs or of the outbox is refused.
    pub(super) fn note(&mut self, topic: Topic, error: Option<&StoreError>) -> bool {
        let refusal = error.filter(|error| is_refusal(error));
        if topic.is_of_crontabs() {
            // That it is read once does not say that all of it can be.
            if refusal.is_some() || topic == Topic::Put && error.is_none() {
                self.crontabs = refusal.cloned();
            }
            return refusal.is_some();
        }
        if topic.is_of_outbox() {
            note_among(&mut self.outbox, topic, refusal, error.is_none());
            return refusal.is_some();
        }
        if topic != Topic::Other {
            note_among(&mut self.others, topic, refusal, error.is_none());
        }
        false
    }

    /// Says what is refused of crontabs, if anything is; whether that is something else than before.
    pub(super) fn set_crontabs(&mut self, error: Option<StoreError>) -> bool {
        let changes = self.crontabs != error;
        self.crontabs = error;
        changes
    }

    /// Whether claims, starts or signs of life are: one that answers something else is none that is back.
    pub(super) fn has_others(&mut self) -> bool {
        self.others.retain(|(.., at)| at.elapsed() < COUNTS);
        !self.others.is_empty()
    }

    /// What is refused still.
    pub(super) fn trouble(&mut self) -> Option<StoreError> {
        self.has_others();
        self.outbox.retain(|(.., at)| at.elapsed() < COUNTS_OF_OUTBOX);
        let others = self.others.iter().chain(&self.outbox).next().map(|(_, error, _)| error);
        self.crontabs.as_ref().or(others).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> StoreError {
        StoreError::Refused(text.to_owned())
    }

    #[test]
    fn what_is_refused_of_crontabs_is_so_until_a_snapshot_is_put_or_none_is_to_be() {
        let mut refusals = Refusals::default();
        assert!(refusals.note(Topic::Snapshot, Some(&refused("no"))));
        assert!(!refusals.note(Topic::Snapshot, None) && !refusals.note(Topic::Beat, None));
        assert_eq!(refusals.trouble(), Some(refused("no")));
        assert!(!refusals.note(Topic::Put, Some(&StoreError::Down("away".to_owned()))));
        assert_eq!(refusals.trouble(), Some(refused("no")));
        assert!(!refusals.note(Topic::Put, None));
        assert_eq!(refusals.trouble(), None);
        assert!(refusals.set_crontabs(Some(refused("newer"))));
        assert!(!refusals.set_crontabs(Some(refused("newer"))));
        assert!(refusals.set_crontabs(None) && refusals.trouble().is_none());
    }

    #[test]
    fn what_else_is_refused_is_so_until_the_same_is_taken_or_was_not_asked_for_long() {
        let mut refusals = Refusals::default();
        assert!(!refusals.note(Topic::Claim, Some(&refused("full"))));
        refusals.note(Topic::Beat, None);
        refusals.note(Topic::Other, Some(&refused("other")));
        assert_eq!(refusals.trouble(), Some(refused("full")));
        refusals.note(Topic::Claim, None);
        assert!(refusals.trouble().is_none() && !refusals.has_others());
        refusals.note(Topic::Start, Some(&refused("full")));
        assert!(refusals.has_others());
        let at = &mut refusals.others[0].2;
        *at = at.checked_sub(COUNTS).unwrap();
        assert_eq!(refusals.trouble(), None);
    }

    #[test]
    fn what_is_refused_of_messages_strains_and_is_no_reason_to_wait_for_the_store() {
        let mut refusals = Refusals::default();
        assert!(refusals.note(Topic::Post, Some(&refused("no"))));
        assert!(!refusals.note(Topic::Waiting, None) && !refusals.note(Topic::Beat, None));
        assert!(!refusals.note(Topic::Post, Some(&StoreError::Down("away".to_owned()))));
        assert_eq!(refusals.trouble(), Some(refused("no")));
        assert!(!refusals.has_others());
        assert!(!refusals.note(Topic::Post, None));
        assert_eq!(refusals.trouble(), None);
        refusals.note(Topic::Adopt, Some(&refused("no")));
        let at = &mut refusals.outbox[0].2;
        *at = at.checked_sub(COUNTS_OF_OUTBOX).unwrap();
        assert_eq!(refusals.trouble(), None);
    }
}
