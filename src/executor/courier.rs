//! Runs without a process here: somebody carries them out for us.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::event::{Cause, Ended, Outcome, Run, Stream, Usage};
use crate::job::Job;

/// An attempt that is being carried out; dropping it ends the attempt, as far as that can be.
pub type Carrying = Pin<Box<dyn Future<Output = Carried> + Send>>;

/// Whoever carries out runs without a process here.
pub trait Courier: Send + Sync + fmt::Debug {
    /// Whether it carries out the runs of this job. Asked in the path of a fire, for every job: it must be quick.
    fn takes(&self, job: &Job) -> bool;

    /// Carries an attempt out. What it would print goes to `lines`.
    fn carry(&self, run: Arc<Run>, lines: Lines) -> Carrying;

    /// An attempt has ended like this before it was carried out; its carrying is dropped next.
    fn ended(&self, _end: &Ended) {}
}

/// Where an attempt was carried out, if not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elsewhere {
    /// The worker's name.
    pub worker: Arc<str>,
    /// From start to end, as it has measured; none: it has not told, and the time since the sending stands for it.
    pub duration: Option<Duration>,
}

/// What came of an attempt that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where the outcome alone does not tell.
    pub cause: Option<Cause>,
    /// What it used elsewhere.
    pub usage: Usage,
    /// Who did it; none: whoever carries it out for us has done it here, or nobody has begun.
    pub elsewhere: Option<Elsewhere>,
}

impl Carried {
    /// What came of one that was carried out here.
    #[must_use]
    pub fn here(outcome: Outcome, cause: Option<Cause>) -> Self {
        Carried { outcome, cause, usage: Usage::default(), elsewhere: None }
    }
}

/// Where an attempt's lines go, without their ends. Nothing is made ready for them before there is one: most attempts have none.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Way>);

/// The way of an attempt's lines.
#[derive(Debug)]
struct Way {
    sender: OnceLock<mpsc::Sender<Handed>>,
    /// Who is to have the other end, once there is one.
    reader: Mutex<Option<oneshot::Sender<mpsc::Receiver<Handed>>>>,
}

/// A line, where it goes, and what is missing in its place; boxed, since room for several is made.
pub(super) type Handed = Box<(Stream, Vec<u8>, (u64, u64))>;

/// Lines that may wait to be told before whoever tells them has to wait.
const WAITING: usize = 16;

impl Lines {
    /// The way of an attempt's lines, and where they will come from once there is one.
    pub(super) fn new() -> (Self, oneshot::Receiver<mpsc::Receiver<Handed>>) {
        let (reader, lines) = oneshot::channel();
        let way = Way { sender: OnceLock::new(), reader: Mutex::new(Some(reader)) };
        (Lines(Arc::new(way)), lines)
    }

    /// Tells a line; waits while there is no room for it.
    pub async fn tell(&self, stream: Stream, line: impl Into<Vec<u8>>) {
        self.tell_or_count(stream, line, (0, 0)).await;
    }

    /// Tells a line, or one in whose place so many lines, and bytes with their ends, are missing; waits while there is no room
    /// for it.
    pub async fn tell_or_count(
        &self,
        stream: Stream,
        line: impl Into<Vec<u8>>,
        left_out: (u64, u64),
    ) {
        let sender = self.0.sender.get_or_init(|| {
            let (sender, lines) = mpsc::channel(WAITING);
            let reader = self.0.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Without an executor nobody reads it.
            let _ = reader.map(|reader| reader.send(lines));
            sender
        });
        let _ = sender.send(Box::new((stream, line.into(), left_out))).await;
    }
}
