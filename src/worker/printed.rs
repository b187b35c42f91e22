//! What a run has printed and was not reported yet: bounded, the beginning and the end kept, the middle counted.

use std::collections::VecDeque;

use crate::event::Stream;
use crate::message::Bytes;
use crate::message::report::{News, Printed as Line};

/// How much is reported as it comes, in bytes; what follows is kept for the end.
const FIRST: usize = 1 << 20;

/// How much of the end is kept, in bytes.
const LAST: usize = 64 << 10;

/// How much one report holds, in bytes, unless a single line is longer; written as JSON it may be six times as much.
const BATCH: usize = 64 << 10;

/// What a line costs beside its bytes.
const LINE: usize = 32;

/// What a run has printed and was not reported yet.
#[derive(Debug, Default)]
pub(super) struct Printed {
    /// Goes out as soon as can be.
    waiting: VecDeque<Line>,
    /// How much was taken to go out as soon as can be.
    first: usize,
    /// Each with the lines and bytes that are missing in its place, if it tells of some.
    last: VecDeque<(Line, (u64, u64))>,
    last_bytes: usize,
    /// Lines and bytes between those.
    left_out: (u64, u64),
}

impl Printed {
    /// A line was printed; or it tells of so many lines and bytes that are missing in its place.
    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8], left_out: (u64, u64)) {
        let line = Line(stream == Stream::Stderr, Bytes::from(bytes));
        let size = cost(&line);
        if self.last.is_empty() && self.left_out.0 == 0 && self.first + size <= FIRST {
            self.first += size;
            self.waiting.push_back(line);
            return;
        }
        self.last_bytes += size;
        self.last.push_back((line, left_out));
        while self.last_bytes > LAST
            && let Some((line, told)) = self.last.pop_front()
        {
            self.last_bytes -= cost(&line);
            // What it told of goes with it.
            let (lines, bytes) = if told == (0, 0) { (1, line.1.0.len() as u64 + 1) } else { told };
            self.left_out.0 += lines;
            self.left_out.1 += bytes;
        }
    }

    /// Whether there is something to report now.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// What is reported next; at the `end` also what was kept for that. None: nothing is left.
    pub(super) fn next(&mut self, end: bool) -> Option<News> {
        let mut left_out = (0, 0);
        if self.waiting.is_empty() && end {
            left_out = std::mem::take(&mut self.left_out);
            self.waiting = self.last.drain(..).map(|(line, _)| line).collect();
        }
        let mut lines = Vec::new();
        let mut size = 0;
        while let Some(line) = self.waiting.front() {
            size += cost(line);
            if size > BATCH && !lines.is_empty() {
                break;
            }
            lines.extend(self.waiting.pop_front());
        }
        (!lines.is_empty() || left_out.0 > 0).then_some(News::Output { left_out, lines })
    }
}

fn cost(line: &Line) -> usize {
    line.1.0.len() + LINE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is reported, in order: lines, and counts of those left out.
    fn all(printed: &mut Printed) -> (Vec<Line>, u64) {
        let (mut found, mut left_out) = (Vec::new(), 0);
        while let Some(News::Output { left_out: (lines, _), lines: next }) = printed.next(true) {
            assert!(next.len() == 1 || next.iter().map(cost).sum::<usize>() <= BATCH);
            left_out += lines;
            found.extend(next);
        }
        (found, left_out)
    }

    #[test]
    fn a_little_is_reported_as_it_came() {
        let mut printed = Printed::default();
        assert_eq!(printed.next(true), None);
        printed.push(Stream::Stdout, b"one", (0, 0));
        printed.push(Stream::Stderr, b"\xff", (0, 0));
        assert!(printed.is_waiting());
        let lines = vec![Line(false, "one".into()), Line(true, b"\xff"[..].into())];
        assert_eq!(printed.next(false), Some(News::Output { left_out: (0, 0), lines }));
        assert!(!printed.is_waiting() && printed.next(true).is_none());
    }

    #[test]
    fn of_much_the_beginning_and_the_end_are_kept_and_the_middle_is_counted() {
        let mut printed = Printed::default();
        let line = |number: u32| format!("line {number}");
        for number in 0..100_000 {
            printed.push(Stream::Stdout, line(number).as_bytes(), (0, 0));
        }
        let (lines, left_out) = all(&mut printed);
        assert_eq!(lines.len() as u64 + left_out, 100_000);
        assert!(left_out > 50_000, "{left_out}");
        assert_eq!(lines[0].1, Bytes::from(&*line(0)));
        assert_eq!(lines[lines.len() - 1].1, Bytes::from(&*line(99_999)));
        let size: usize = lines.iter().map(cost).sum();
        assert!(size <= FIRST + LAST, "{size}");
    }

    #[test]
    fn what_a_line_told_to_be_missing_is_counted_where_that_line_is_missing() {
        let mut printed = Printed::default();
        for number in 0..100_000 {
            let left_out = if number == 60_000 { (7_000_000, 9_000_000) } else { (0, 0) };
            printed.push(Stream::Stdout, b"line", left_out);
        }
        let (lines, left_out) = all(&mut printed);
        assert_eq!(lines.len() as u64 + left_out, 99_999 + 7_000_000);
    }

    #[test]
    fn a_line_longer_than_a_report_has_one_of_its_own() {
        let mut printed = Printed::default();
        printed.push(Stream::Stdout, b"short", (0, 0));
        printed.push(Stream::Stdout, &vec![b'x'; BATCH + 1], (0, 0));
        printed.push(Stream::Stdout, b"short", (0, 0));
        let mut sizes = Vec::new();
        while let Some(News::Output { lines, .. }) = printed.next(true) {
            sizes.push(lines.len());
        }
        assert_eq!(sizes, [1, 1, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_line_is_reported_in_order_or_counted(
            lengths in prop::collection::vec(0..60_000usize, 0..40), takes: Vec<bool>,
        ) {
            let mut printed = Printed::default();
            let (mut found, mut left_out) = (Vec::new(), 0);
            let count = lengths.len() as u64;
            for (number, length) in lengths.into_iter().enumerate() {
                let mut line = number.to_string().into_bytes();
                line.resize(line.len() + length, b' ');
                printed.push(Stream::Stdout, &line, (0, 0));
                if takes.get(number).copied().unwrap_or(false)
                    && let Some(News::Output { lines, .. }) = printed.next(false)
                {
                    found.extend(lines);
                }
            }
            let (rest, more) = all(&mut printed);
            found.extend(rest);
            left_out += more;
            prop_assert_eq!(found.len() as u64 + left_out, count);
            let number = |line: &Line| {
                String::from_utf8(line.1.0.clone()).unwrap().trim_end().parse::<u64>().unwrap()
            };
            prop_assert!(found.is_sorted_by(|one, two| number(one) < number(two)));
        }
    }
}
