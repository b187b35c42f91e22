//! Telling a sender what comes of his order.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::broker::{Delivery, Publish, Standing};
use crate::message::order::{Refusal, Subject, VERSION};
use crate::message::report::News;
use crate::message::signature::Key;
use crate::message::{Message, Order, Report};

/// How soon a report is sent again that was not confirmed; twice as late each time, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(200);

/// How late at most, and how long the broker's return is waited for before it is tried all the same.
const LONGEST: Duration = Duration::from_secs(5);

/// What comes of telling: an error says why nobody will ever hear it.
pub(super) type Telling = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Tells the sender of one order what comes of it, in order.
pub(super) struct Reporter {
    broker: Arc<dyn Publish>,
    key: Option<Arc<Key>>,
    reply_to: String,
    order: String,
    worker: Arc<str>,
    subject: Subject,
    /// The queue where answers are heard, while there is one.
    answers: watch::Receiver<Option<String>>,
    sequence: u64,
}

impl Reporter {
    /// Nothing told yet.
    pub(super) fn new(
        order: &Order,
        broker: Arc<dyn Publish>,
        key: Option<Arc<Key>>,
        worker: Arc<str>,
        answers: watch::Receiver<Option<String>>,
    ) -> Self {
        Reporter {
            broker,
            key,
            worker,
            answers,
            reply_to: order.reply_to.clone(),
            order: order.id.clone(),
            subject: order.subject.clone(),
            sequence: 0,
        }
    }

    /// Tells it once; none if it is not known whether it was heard.
    ///
    /// # Errors
    /// Nobody will ever hear it, for this reason.
    pub(super) async fn try_tell(&mut self, news: News) -> Option<Result<(), String>> {
        match self.message(news) {
            Ok(message) => judge(&self.broker.publish(message).await),
            Err(refusal) => Some(Err(refusal.to_string())),
        }
    }

    /// Tells it until it is heard, however long the broker is away.
    pub(super) fn tell(&mut self, news: News) -> Telling {
        match self.message(news) {
            Ok(message) => Box::pin(send(Arc::clone(&self.broker), message)),
            Err(refusal) => Box::pin(std::future::ready(Err(refusal.to_string()))),
        }
    }

    /// Waits until answers can be heard.
    pub(super) async fn listen(&mut self) {
        // Without a broker there is nothing to wait for.
        let _ = self.answers.wait_for(Option::is_some).await;
    }

    fn message(&mut self, news: News) -> Result<Arc<Message>, Refusal> {
        let report = Report {
            version: VERSION,
            order: self.order.clone(),
            worker: self.worker.to_string(),
            sequence: self.sequence,
            subject: self.subject.clone(),
            answer_to: self.answers.borrow().clone(),
            news,
        };
        self.sequence += 1;
        Ok(Arc::new(report.message(self.key.as_deref(), &self.reply_to)?))
    }
}

async fn send(broker: Arc<dyn Publish>, message: Arc<Message>) -> Result<(), String> {
    let mut standing = broker.standing();
    let mut delay = SHORTEST;
    loop {
        if let Some(told) = judge(&broker.publish(Arc::clone(&message)).await) {
            return told;
        }
        sleep(delay).await;
        delay = LONGEST.min(delay * 2);
        // It may be that nobody finds out before somebody tries.
        let _ = timeout(LONGEST, is_up(&mut standing)).await;
    }
}

/// What became of a report; none if it may be worth another try.
fn judge(delivery: &Delivery) -> Option<Result<(), String>> {
    match delivery {
        Delivery::Confirmed => Some(Ok(())),
        refusal if refusal.is_refusal() => Some(Err(refusal.to_string())),
        _ => None,
    }
}

async fn is_up(standing: &mut watch::Receiver<Standing>) {
    // Without a broker there is nothing to wait for.
    let _ = standing.wait_for(|standing| matches!(standing, Standing::Up { .. })).await;
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::broker::Answer;

    /// A broker that answers as it was told, and keeps what it was sent.
    struct Scripted {
        answers: Mutex<VecDeque<Delivery>>,
        sent: Mutex<Vec<Arc<Message>>>,
        standing: watch::Sender<Standing>,
    }

    impl Publish for Scripted {
        fn publish(&self, message: Arc<Message>) -> Answer {
            self.sent.lock().unwrap().push(message);
            let answer = self.answers.lock().unwrap().pop_front().expect("an answer");
            Box::pin(std::future::ready(answer))
        }

        fn standing(&self) -> watch::Receiver<Standing> {
            self.standing.subscribe()
        }
    }

    fn scripted(answers: impl IntoIterator<Item = Delivery>) -> (Arc<Scripted>, Reporter) {
        let broker = Arc::new(Scripted {
            answers: Mutex::new(answers.into_iter().collect()),
            sent: Mutex::default(),
            standing: watch::Sender::new(Standing::Up { address: "here".to_owned() }),
        });
        let reporter = Reporter {
            broker: Arc::clone(&broker) as Arc<dyn Publish>,
            key: None,
            reply_to: "back".to_owned(),
            order: "o".to_owned(),
            worker: "w".into(),
            subject: crate::message::order::tests::subject(),
            answers: watch::channel(Some("here".to_owned())).1,
            sequence: 0,
        };
        (broker, reporter)
    }

    fn away() -> Delivery {
        Delivery::Away { reason: "gone".to_owned() }
    }

    #[tokio::test]
    async fn a_report_is_sent_until_it_is_confirmed_and_stays_the_same() {
        let (broker, mut reporter) = scripted([away(), Delivery::Confirmed]);
        assert_eq!(reporter.tell(News::Running).await, Ok(()));
        let sent = broker.sent.lock().unwrap();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], sent[1]);
        assert_eq!((&*sent[0].id, &*sent[0].routing_key), ("o/w/0", "back"));
    }

    #[test]
    fn only_what_the_broker_has_said_is_final() {
        let blocked = Delivery::Blocked { reason: "memory".to_owned() };
        for unsure in [away(), Delivery::TimedOut, Delivery::Nacked, blocked] {
            assert_eq!(judge(&unsure), None, "{unsure:?}");
        }
        assert_eq!(judge(&Delivery::Confirmed), Some(Ok(())));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_report_that_is_returned() {
        let returned = Delivery::Returned { code: 312, text: "NO_ROUTE".to_owned() };
        let (broker, mut reporter) = scripted([returned, away()]);
        let told = reporter.tell(News::Running).await.unwrap_err();
        assert!(told.contains("NO_ROUTE"), "{told}");
        assert_eq!(reporter.try_tell(News::Returned).await, None);
        assert_eq!(broker.sent.lock().unwrap()[1].id, "o/w/1");
    }
}
