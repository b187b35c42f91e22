//! What becomes of a letter that was accepted, for whoever waits for it.

use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::broker::{Delivery, Standing};

/// How long a broker may be away before that is the answer.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What becomes of an accepted letter.
#[derive(Debug)]
pub struct Fate {
    answer: oneshot::Receiver<Delivery>,
    standing: watch::Receiver<Standing>,
}

impl Fate {
    pub(super) fn new(
        answer: oneshot::Receiver<Delivery>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        Fate { answer, standing }
    }

    /// What the next try comes to, or why none is made: [`Delivery::Away`] or [`Delivery::Blocked`] once the broker has been
    /// so for 1.5 s, [`Delivery::TimedOut`] where `within` passes before. The letter is kept until it is confirmed or has
    /// expired.
    pub async fn next(self, within: Duration) -> Delivery {
        let Fate { mut answer, mut standing } = self;
        let mut watched = standing.clone();
        tokio::select! {
            biased;
            answer = &mut answer => {
                answer.unwrap_or(Delivery::Stopped)
            }
            why = stays_away(&mut watched) => why,
            () = tokio::time::sleep(within) => {
                why(&standing.borrow_and_update()).unwrap_or(Delivery::TimedOut)
            }
        }
    }
}

/// Why a broker that stands so is sent nothing; none if it is.
fn why(standing: &Standing) -> Option<Delivery> {
    match standing {
        Standing::Up { .. } => None,
        Standing::Unknown => {
            Some(Delivery::Away { reason: "there is no connection yet".to_owned() })
        }
        Standing::Down { reason, .. } => Some(Delivery::Away { reason: reason.clone() }),
        Standing::Blocked { reason, .. } => Some(Delivery::Blocked { reason: reason.clone() }),
    }
}

/// Waits until the broker has taken nothing for a while; why.
async fn stays_away(standing: &mut watch::Receiver<Standing>) -> Delivery {
    loop {
        if standing.wait_for(|standing| why(standing).is_some()).await.is_err() {
            // Nobody tells any more how it stands.
            return std::future::pending().await;
        }
        let is_up = standing.wait_for(|standing| why(standing).is_none());
        if tokio::time::timeout(PATIENCE, is_up).await.is_err()
            && let Some(why) = why(&standing.borrow_and_update())
        {
            return why;
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn block_on<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(test)
    }

    fn down() -> Standing {
        Standing::Down { since: Timestamp::UNIX_EPOCH, reason: "connection refused".to_owned() }
    }

    fn up() -> Standing {
        Standing::Up { address: "amqp://here".to_owned() }
    }

    fn away() -> Delivery {
        Delivery::Away { reason: "connection refused".to_owned() }
    }

    #[test]
    fn an_answer_is_told_whatever_the_broker_does() {
        block_on(async {
            let ((told, answer), (_keep, standing)) = (oneshot::channel(), watch::channel(down()));
            told.send(Delivery::Confirmed).unwrap();
            assert_eq!(Fate::new(answer, standing).next(LONG).await, Delivery::Confirmed);
        });
    }

    #[test]
    fn a_broker_that_stays_away_is_told_before_patience_ends() {
        block_on(async {
            let ((_told, answer), (_keep, standing)) = (oneshot::channel(), watch::channel(down()));
            assert_eq!(Fate::new(answer, standing).next(LONG).await, away());
            let ((_told, answer), (_keep, standing)) = (oneshot::channel(), watch::channel(down()));
            assert_eq!(Fate::new(answer, standing).next(Duration::from_millis(5)).await, away());
            let ((_told, answer), (_keep, standing)) = (oneshot::channel(), watch::channel(up()));
            let brief = Duration::from_millis(5);
            assert_eq!(Fate::new(answer, standing).next(brief).await, Delivery::TimedOut);
        });
    }

    #[test]
    fn one_that_comes_back_at_once_is_waited_for() {
        block_on(async {
            let ((told, answer), (stands, standing)) = (oneshot::channel(), watch::channel(down()));
            let back = async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                stands.send(up()).unwrap();
                tokio::time::sleep(PATIENCE).await;
                told.send(Delivery::Nacked).unwrap();
            };
            let (fate, ()) = tokio::join!(Fate::new(answer, standing).next(LONG), back);
            assert_eq!(fate, Delivery::Nacked);
        });
    }
}
