//! Telling what a run prints: line by line while it prints little, else the beginning and the end.

use std::sync::Arc;

use tokio::time::Instant;

use super::reader::CHUNK;
use super::{Bounds, Count, Kept, Meter, Reader};
use crate::event::{Bus, Event, Line, Run, Stream};

/// Our ends of descriptors 1 and 2; where both are one pipe it is the first.
pub(in crate::executor) type Readers = [Option<Reader>; 2];

/// Which stream stands where among [`Readers`].
const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// Tells a run's output and keeps its beginning and end.
#[derive(Debug)]
pub(in crate::executor) struct Teller {
    run: Arc<Run>,
    bus: Bus,
    meter: Meter,
    kept: Kept,
    /// How much had been printed when lines were no longer told, while they are not.
    silent_since: Option<Count>,
}

impl Teller {
    /// Nothing told yet; `head`: the beginning is kept too.
    pub(in crate::executor) fn new(run: Arc<Run>, bus: Bus, bounds: Bounds, head: bool) -> Self {
        Teller { run, bus, meter: Meter::new(bounds), kept: Kept::new(head), silent_since: None }
    }

    /// What is kept.
    pub(in crate::executor) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Tells of something about the run.
    pub(in crate::executor) fn publish(&self, event: Event) {
        self.bus.publish(event);
    }

    /// Reads one stream once, and tells what came as soon as there is room for it on the bus.
    pub(in crate::executor) async fn take(
        &mut self,
        readers: &mut Readers,
        which: usize,
        detached: bool,
    ) {
        self.speak_again(readers, which, detached).await;
        let Some(reader) = &mut readers[which] else { return };
        let count = reader.read(|reader, bytes| self.push(reader, which, bytes));
        self.tell_lines(reader, which, count, detached).await;
        if count == CHUNK {
            // Whoever prints without end must not keep the others waiting.
            tokio::task::yield_now().await;
        }
    }

    /// Reads and tells what waits in the pipes at this moment, as the last words of the run; what stands after the
    /// last line feed counts as a line.
    ///
    /// However fast a background process prints on, this comes to an end.
    pub(in crate::executor) async fn take_last_words(&mut self, readers: &mut Readers) {
        for (which, reader) in readers.iter_mut().enumerate() {
            let Some(reader) = reader else { continue };
            let mut waiting = reader.waiting();
            while waiting > 0 {
                let count =
                    reader.read_now(waiting, |reader, bytes| self.push(reader, which, bytes));
                waiting = if count == 0 { 0 } else { waiting - count };
                self.tell_lines(reader, which, count, false).await;
            }
        }
        self.finish(readers, false).await;
    }

    /// Tells what was read and not told yet, since nothing more belongs to it.
    pub(in crate::executor) async fn finish(&mut self, readers: &mut Readers, detached: bool) {
        self.tell_end(readers, detached).await;
        for (which, reader) in readers.iter_mut().enumerate() {
            let Some(reader) = reader else { continue };
            if let Some(line) = reader.lines.finish() {
                self.tell(line, which, detached).await;
            }
        }
    }

    /// Takes what was just read.
    fn push(&mut self, reader: &mut Reader, which: usize, bytes: &[u8]) {
        self.kept.push(STREAMS[which], bytes);
        if self.silent_since.is_none() {
            reader.lines.push(bytes);
        }
    }

    /// Tells the lines that are complete, of which `count` bytes have just been read.
    async fn tell_lines(
        &mut self,
        reader: &mut Reader,
        which: usize,
        count: usize,
        detached: bool,
    ) {
        if self.silent_since.is_some() {
            return;
        }
        let now = Instant::now();
        let (mut held, mut goes_on) = (reader.lines.held(), reader.lines.goes_on());
        while let Some(line) = reader.lines.pop() {
            // The end of a line whose beginning was told is short, and belongs to it.
            if goes_on || self.meter.admits(line.len(), now) {
                self.tell(line, which, detached).await;
            } else {
                return self.fall_silent(reader, &line, held, count);
            }
            (held, goes_on) = (reader.lines.held(), reader.lines.goes_on());
        }
        if !reader.is_open()
            && let Some(line) = reader.lines.finish()
        {
            self.tell(line, which, detached).await;
        }
    }

    /// Tells nothing from `line` on, with which `held` bytes were left, of which the last `count` at most were just read.
    fn fall_silent(&mut self, reader: &mut Reader, line: &[u8], held: usize, count: usize) {
        let mut left = reader.lines.count();
        // The line and its end.
        left.lines += 1;
        left.bytes = held.min(count) as u64;
        self.silent_since = Some(self.kept.total().without(left));
        // What was read of it before stays where it is: behind it may stand what another stream has told.
        reader.lines.begin_anew(false);
        reader.lines.push(&line[..held.saturating_sub(count).min(line.len())]);
    }

    /// After a silence, if there is room again: tells how much was left out, and goes on with the next line.
    async fn speak_again(&mut self, readers: &mut Readers, which: usize, detached: bool) {
        let Some(since) = self.silent_since.filter(|_| self.meter.has_room(Instant::now())) else {
            return;
        };
        let mut missing = self.kept.total().without(since);
        for reader in readers.iter_mut().flatten() {
            let begun = !reader.at_line_start;
            missing.bytes += reader.lines.held() as u64;
            missing.lines += u64::from(begun);
            reader.lines.begin_anew(begun);
        }
        self.silent_since = None;
        self.tell_missing(missing, which, detached).await;
    }

    /// After a silence, when nothing follows: tells how much was left out, and the end.
    async fn tell_end(&mut self, readers: &mut Readers, detached: bool) {
        let Some(since) = self.silent_since.take() else { return };
        let (complete, parts) = self.kept.since(since.bytes);
        let mut lines = Vec::new();
        let mut missing = self.kept.total().without(since);
        if !complete {
            for reader in readers.iter_mut().flatten() {
                missing.bytes += reader.lines.held() as u64;
                reader.lines.begin_anew(false);
            }
        }
        for (place, (stream, mut part)) in parts.into_iter().enumerate() {
            if !complete && place == 0 {
                part = whole_lines(part);
            }
            missing = missing.without(Count::of(part));
            let which = usize::from(stream == Stream::Stderr);
            let Some(reader) = &mut readers[which] else { continue };
            reader.lines.push(part);
            while let Some(line) = reader.lines.pop() {
                lines.push((which, line));
            }
        }
        if !complete {
            let which = lines.first().map_or(0, |&(which, _)| which);
            self.tell_missing(missing, which, detached).await;
        }
        for (which, line) in lines {
            self.tell(line, which, detached).await;
        }
    }

    /// Publishes a line that was printed.
    async fn tell(&self, bytes: Vec<u8>, which: usize, detached: bool) {
        self.publish_line(bytes, (0, 0), which, detached).await;
    }

    /// Publishes what stands for lines that are missing.
    async fn tell_missing(&self, missing: Count, which: usize, detached: bool) {
        let left_out = (missing.lines, missing.bytes);
        self.publish_line(missing.to_string().into_bytes(), left_out, which, detached).await;
    }

    /// Publishes a line as soon as there is room for it.
    async fn publish_line(
        &self,
        bytes: Vec<u8>,
        left_out: (u64, u64),
        which: usize,
        detached: bool,
    ) {
        let permit = self.bus.room_for(bytes.len()).await;
        let (run, stream) = (Arc::clone(&self.run), STREAMS[which]);
        let line = Line { run, stream, bytes, detached, left_out, permit };
        self.bus.publish(Event::RunOutput(line));
    }
}

/// What stands behind the first line feed; all of it where nothing does.
pub(super) fn whole_lines(bytes: &[u8]) -> &[u8] {
    match memchr::memchr(b'\n', bytes) {
        Some(feed) if feed + 1 < bytes.len() => &bytes[feed + 1..],
        _ => bytes,
    }
}
