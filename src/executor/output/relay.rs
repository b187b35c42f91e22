//! Telling lines that are handed over, instead of read from a pipe, within the bounds of those that are.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Bounds, Count, Kept, Lines, Meter};
use crate::event::{Bus, Event, Line, Run, Stream};

/// Tells the lines of a run and keeps the beginning and the end of them.
#[derive(Debug)]
pub(in crate::executor) struct Relay {
    run: Arc<Run>,
    bus: Bus,
    meter: Meter,
    kept: Kept,
    /// What was handed over and not told; empty between two calls, but for a silence.
    lines: Lines,
    /// How much had been handed over when lines were no longer told, while they are not.
    silent_since: Option<Count>,
}

impl Relay {
    /// Nothing told yet; `head`: the beginning is kept too.
    pub(in crate::executor) fn new(run: Arc<Run>, bus: Bus, bounds: Bounds, head: bool) -> Self {
        let (meter, kept) = (Meter::new(bounds), Kept::new(head));
        Relay { run, bus, meter, kept, lines: Lines::default(), silent_since: None }
    }

    /// What is kept.
    pub(in crate::executor) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Tells a line, or several, without the last end, as soon as there is room on the bus.
    /// `left_out`: what is missing, if the line tells of that.
    pub(in crate::executor) async fn tell(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        left_out: (u64, u64),
    ) {
        let now = Instant::now();
        if self.silent_since.is_some() && self.meter.has_room(now) {
            self.speak_again(stream).await;
        }
        for part in [bytes, b"\n"] {
            self.kept.push(stream, part);
            if self.silent_since.is_none() {
                self.lines.push(part);
            }
        }
        loop {
            let (held, goes_on) = (self.lines.held(), self.lines.goes_on());
            let Some(line) = self.lines.pop() else { return };
            // The end of a line whose beginning was told is short, and belongs to it.
            if !goes_on && !self.meter.admits(line.len(), now) {
                let lines = self.lines.count().lines + 1;
                let left = Count { lines, bytes: held as u64 };
                self.silent_since = Some(self.kept.total().without(left));
                return self.lines.begin_anew(false);
            }
            self.publish(stream, line, left_out).await;
        }
    }

    /// After a silence: tells how much was left out.
    async fn speak_again(&mut self, stream: Stream) {
        if let Some(since) = self.silent_since.take() {
            let missing = self.kept.total().without(since);
            self.publish_missing(stream, missing).await;
        }
    }

    /// After a silence, when nothing follows: tells how much was left out, and the end.
    pub(in crate::executor) async fn finish(&mut self) {
        let Some(since) = self.silent_since.take() else { return };
        let (complete, parts) = self.kept.since(since.bytes);
        let mut missing = self.kept.total().without(since);
        let mut told = Vec::new();
        for (place, (stream, mut part)) in parts.into_iter().enumerate() {
            if !complete && place == 0 {
                part = super::tell::whole_lines(part);
            }
            missing = missing.without(Count::of(part));
            self.lines.push(part);
            while let Some(line) = self.lines.pop() {
                told.push((stream, line));
            }
        }
        if !complete {
            let stream = told.first().map_or(Stream::Stdout, |&(stream, _)| stream);
            self.publish_missing(stream, missing).await;
        }
        for (stream, line) in told {
            self.publish(stream, line, (0, 0)).await;
        }
    }

    /// Publishes what stands for lines that are missing.
    async fn publish_missing(&self, stream: Stream, missing: Count) {
        let left_out = (missing.lines, missing.bytes);
        self.publish(stream, missing.to_string().into_bytes(), left_out).await;
    }

    /// Publishes a line as soon as there is room for it.
    async fn publish(&self, stream: Stream, bytes: Vec<u8>, left_out: (u64, u64)) {
        let permit = self.bus.room_for(bytes.len()).await;
        let run = Arc::clone(&self.run);
        let line = Line { run, stream, bytes, detached: false, left_out, permit };
        self.bus.publish(Event::RunOutput(line));
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::civil::DateTime;
    use tokio::sync::mpsc::UnboundedReceiver;

    use super::*;
    use crate::event::{Fire, RunId, Trigger};
    use crate::job::{Job, JobId, JobKey};
    use crate::schedule::{Due, Zone};

    /// So little that ten short lines are told at once, and one more in 120 ms.
    const BOUNDS: Bounds =
        Bounds { burst: 1_100, per_second: 1_000, total: 1 << 20, trickle: 1 << 20 };

    fn relay() -> (Relay, UnboundedReceiver<Arc<Event>>) {
        let key = JobKey { id: JobId([1; 8]), occurrence: 1 };
        let job = Arc::new(Job::remembered(key, "job", &Zone::utc()));
        let due = Due { at: Timestamp::UNIX_EPOCH, civil: DateTime::ZERO };
        let fire = Fire { job, due, trigger: Trigger::Manual, generation: 0 };
        let run = Arc::new(Run { id: RunId::new(Timestamp::UNIX_EPOCH, 1), fire, attempt: 1 });
        let mut bus = Bus::builder();
        let events = bus.subscribe();
        (Relay::new(run, bus.build(), BOUNDS, false), events)
    }

    fn told(events: &mut UnboundedReceiver<Arc<Event>>) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(event) = events.try_recv() {
            let Event::RunOutput(line) = &*event else { panic!("{event:?}") };
            lines.push(String::from_utf8_lossy(&line.bytes).into_owned());
        }
        lines
    }

    #[tokio::test]
    async fn several_lines_in_one_are_told_one_by_one() {
        let (mut relay, mut events) = relay();
        relay.tell(Stream::Stderr, b"one\ntwo", (0, 0)).await;
        relay.tell(Stream::Stdout, b"", (0, 0)).await;
        relay.finish().await;
        assert_eq!(told(&mut events), ["one", "two", ""]);
        assert_eq!(relay.kept().total(), Count { lines: 3, bytes: 9 });
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_cut() {
        let (mut relay, mut events) = relay();
        relay.tell(Stream::Stdout, &vec![b'x'; 1 << 20], (0, 0)).await;
        relay.tell(Stream::Stdout, b"y", (0, 0)).await;
        relay.finish().await;
        let told = told(&mut events);
        assert!(told[0].ends_with(" [line goes on]"), "{}", told[0].len());
        assert!(told[1].contains("left out"), "{}", told[1]);
        assert_eq!(told.last().unwrap(), "y");
    }

    #[tokio::test]
    async fn who_prints_too_much_is_told_of_at_the_beginning_and_at_the_end() {
        let (mut relay, mut events) = relay();
        let lines: Vec<String> = (0..40_000).map(|number| format!("line {number}")).collect();
        let many = lines.join("\n");
        let relaying = async {
            relay.tell(Stream::Stdout, many.as_bytes(), (0, 0)).await;
            relay.finish().await;
            // With it the bus goes.
            drop(relay);
        };
        let fetching = async {
            let mut told = Vec::new();
            while let Some(event) = events.recv().await {
                let Event::RunOutput(line) = &*event else { panic!("{event:?}") };
                told.push(String::from_utf8_lossy(&line.bytes).into_owned());
            }
            told
        };
        // There is not room for all of it on the bus at once.
        let ((), told) = tokio::join!(relaying, fetching);
        assert_eq!(told[0], "line 0");
        assert_eq!(told.last().unwrap(), "line 39999");
        let gap = told.iter().position(|line| line.starts_with('…')).unwrap();
        assert!((5..=15).contains(&gap), "{gap}");
        let next: usize = told[gap + 1].strip_prefix("line ").unwrap().parse().unwrap();
        let left_out = format!("… {} lines, ", next - gap);
        assert!(told[gap].starts_with(&left_out), "{}: {left_out}", told[gap]);
        assert_eq!(told.len(), gap + 1 + lines.len() - next);
    }

    #[tokio::test]
    async fn after_a_silence_it_is_told_how_much_is_missing() {
        let (mut relay, mut events) = relay();
        for number in 0..20 {
            relay.tell(Stream::Stdout, format!("line {number}").as_bytes(), (0, 0)).await;
        }
        let silent = told(&mut events).len();
        while !relay.meter.has_room(Instant::now()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        relay.tell(Stream::Stdout, b"again", (0, 0)).await;
        relay.finish().await;
        let told = told(&mut events);
        assert!(told[0].starts_with(&format!("… {} lines, ", 20 - silent)), "{told:?}");
        assert_eq!(told[1..], ["again"]);
    }
}
