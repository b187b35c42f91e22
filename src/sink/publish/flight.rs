//! Messages that are under way: sent, and not answered yet.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use super::queue::Letter;
use crate::broker::{Answer, Delivery};

/// Messages under way, in the order in which they were sent.
#[derive(Default)]
pub(super) struct Flight(VecDeque<Sent>);

struct Sent {
    letter: Letter,
    answer: Answer,
    /// What became of it, where one before it has no answer yet.
    delivery: Option<Delivery>,
}

impl Flight {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A message was sent.
    pub(super) fn add(&mut self, letter: Letter, answer: Answer) {
        self.0.push_back(Sent { letter, answer, delivery: None });
    }

    /// Waits for the answer to the oldest message, which is under way no more then; for ever where there is none. Dropping
    /// the future loses nothing.
    pub(super) async fn landed(&mut self) -> (Letter, Delivery) {
        poll_fn(|context| {
            // All of them: whether a message gets on may depend on somebody asking for its answer.
            for sent in self.0.iter_mut().filter(|sent| sent.delivery.is_none()) {
                if let Poll::Ready(delivery) = sent.answer.as_mut().poll(context) {
                    sent.delivery = Some(delivery);
                }
            }
            if self.0.front().is_none_or(|sent| sent.delivery.is_none()) {
                return Poll::Pending;
            }
            match self.0.pop_front() {
                Some(Sent { letter, delivery: Some(delivery), .. }) => {
                    Poll::Ready((letter, delivery))
                }
                _ => Poll::Pending,
            }
        })
        .await
    }
}
