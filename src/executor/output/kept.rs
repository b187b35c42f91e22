//! The beginning and the end of what a run prints, both streams in the order in which they were read.

use std::collections::VecDeque;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::size;
use crate::event::Stream;

/// How much of the beginning is kept where a mail may be due, in bytes.
pub const HEAD: usize = 64 << 10;

/// How much of the end is kept at least, in bytes; up to twice as much is held.
pub const TAIL: usize = 64 << 10;

/// How many changes from one stream to the other the end may hold.
const CHANGES: usize = 1 << 10;

/// How far back the last words of a failed run are searched, in bytes.
const LAST_WORDS: usize = 4 << 10;

/// What is kept of a run's output, and a count of the rest.
#[derive(Debug, Default)]
pub struct Kept {
    /// How much of the beginning is kept.
    wanted: usize,
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Which parts of the tail came from where.
    parts: VecDeque<(Stream, usize)>,
    total: Count,
    /// Line feeds in the head.
    head_lines: u64,
}

/// A number of bytes, and of the line feeds among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Line feeds.
    pub lines: u64,
    /// Bytes, line feeds included.
    pub bytes: u64,
}

impl Count {
    /// Counts `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let lines = memchr_iter(b'\n', bytes).count() as u64;
        Count { lines, bytes: bytes.len() as u64 }
    }

    /// What is less in `other`.
    #[must_use]
    pub fn without(self, other: Count) -> Count {
        Count {
            lines: self.lines.saturating_sub(other.lines),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.lines += other.lines;
        self.bytes += other.bytes;
    }
}

/// `… 123456 lines, 9.1 MB left out …`
impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("… ")?;
        match self.lines {
            0 => {}
            1 => f.write_str("1 line, ")?,
            lines => write!(f, "{lines} lines, ")?,
        }
        write!(f, "{} left out …", size(self.bytes))
    }
}

impl Kept {
    /// Keeps nothing yet; with `head`, the beginning too.
    #[must_use]
    pub fn new(head: bool) -> Self {
        Kept { wanted: if head { HEAD } else { 0 }, ..Kept::default() }
    }

    /// Adds what was read from a stream.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.total += Count::of(bytes);
        let (first, rest) = bytes.split_at(bytes.len().min(self.wanted - self.head.len()));
        if !first.is_empty() {
            self.head_lines += Count::of(first).lines;
            self.head.extend_from_slice(first);
        }
        let rest = &rest[rest.len().saturating_sub(TAIL)..];
        if rest.is_empty() {
            return;
        }
        if self.tail.len() + rest.len() > 2 * TAIL {
            self.cut(self.tail.len() + rest.len() - TAIL);
        }
        self.tail.extend_from_slice(rest);
        match self.parts.back_mut() {
            Some((last, length)) if *last == stream => *length += rest.len(),
            _ => self.parts.push_back((stream, rest.len())),
        }
        if self.parts.len() > CHANGES {
            self.cut(self.parts.iter().take(CHANGES / 4).map(|(_, length)| length).sum());
        }
    }

    /// Drops the first `count` bytes of the tail.
    fn cut(&mut self, count: usize) {
        self.tail.drain(..count);
        let mut left = count;
        while let Some((_, length)) = self.parts.front_mut() {
            if *length > left {
                *length -= left;
                return;
            }
            left -= *length;
            self.parts.pop_front();
        }
    }

    /// How much was printed so far.
    #[must_use]
    pub fn total(&self) -> Count {
        self.total
    }

    /// Whether nothing was printed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total.bytes == 0
    }

    /// Appends the beginning and the end; where something is missing between them, whole lines and a line that says
    /// how much.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let ends = (self.head.len() + self.tail.len()) as u64;
        if self.total.bytes == ends {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(&self.tail);
            return;
        }
        let head = &self.head[..end_of_lines(&self.head).unwrap_or(self.head.len())];
        let tail = &self.tail[start_of_lines(&self.tail).unwrap_or(0)..];
        let mut missing = self.total.without(Count::of(head));
        missing = missing.without(Count::of(tail));
        out.extend_from_slice(head);
        if !head.is_empty() && !head.ends_with(b"\n") {
            out.push(b'\n');
        }
        out.extend_from_slice(missing.to_string().as_bytes());
        out.push(b'\n');
        out.extend_from_slice(tail);
    }

    /// What is kept of that which was pushed after the first `from` bytes, in parts, and whether that is all of it.
    #[must_use]
    pub fn since(&self, from: u64) -> (bool, Vec<(Stream, &[u8])>) {
        let wanted = self.total.bytes.saturating_sub(from);
        let held = self.tail.len() as u64;
        let mut skipped = usize::try_from(held.saturating_sub(wanted)).unwrap_or(self.tail.len());
        let mut rest = &self.tail[..];
        let mut found = Vec::new();
        for &(stream, length) in &self.parts {
            let (part, behind) = rest.split_at(length);
            rest = behind;
            let part = &part[skipped.min(length)..];
            skipped = skipped.saturating_sub(length);
            if !part.is_empty() {
                found.push((stream, part));
            }
        }
        (wanted <= held, found)
    }

    /// Whether the last words say that a device is full.
    ///
    /// Looks at what was last printed on descriptor 2, or on both where they are one pipe.
    #[must_use]
    pub fn says_no_space(&self, merged: bool) -> bool {
        const WORDS: &[u8] = b"No space left on device";
        let last = self.total.bytes.saturating_sub(LAST_WORDS as u64);
        let mut words =
            if self.tail.is_empty() { tail_of(&self.head).to_vec() } else { Vec::new() };
        for (stream, part) in self.since(last).1 {
            if merged || stream == Stream::Stderr {
                words.extend_from_slice(part);
            }
        }
        memmem::find(&words, WORDS).is_some()
    }
}

fn tail_of(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.len().saturating_sub(LAST_WORDS)..]
}

/// Behind the last line feed.
fn end_of_lines(bytes: &[u8]) -> Option<usize> {
    memrchr(b'\n', bytes).map(|place| place + 1)
}

/// Behind the first line feed, unless nothing stands there.
fn start_of_lines(bytes: &[u8]) -> Option<usize> {
    let place = memchr(b'\n', bytes)? + 1;
    (place < bytes.len()).then_some(place)
}

#[cfg(test)]
mod tests;
