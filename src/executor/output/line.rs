//! Cutting a stream into lines.

use memchr::memchr;

use super::Count;

/// The longest line that is kept whole, in bytes.
pub const LONGEST_LINE: usize = 64 << 10;

/// Stands at the end of the first part of a line that was too long.
const MARK: &[u8] = b" [line goes on]";

/// Cuts a stream of bytes into lines, in bounded memory.
///
/// Of a line longer than [`LONGEST_LINE`] the first part is handed out with a mark at its end, and when the line ends
/// a line that says how many bytes were left out. Bytes that are not UTF-8 are kept as they are; the line feed is
/// not part of a line.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Where the current line begins.
    start: usize,
    /// Up to where there is no line feed.
    scanned: usize,
    /// How many bytes of the current line were left out, once its first part is handed out.
    left_out: Option<u64>,
    /// Whether what comes up to the next line feed belongs to a line that nobody wants.
    skipping: bool,
}

impl Lines {
    /// Adds what was read. Take all lines before adding more: that bounds the memory.
    pub fn push(&mut self, mut bytes: &[u8]) {
        if self.skipping {
            let feed = memchr(b'\n', bytes);
            bytes = feed.map_or(&[], |feed| &bytes[feed + 1..]);
            self.skipping = feed.is_none();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes were added and not handed out.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether the next line is what is said in place of the rest of a line that was too long.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.left_out.is_some()
    }

    /// Counts what was added and not handed out.
    #[must_use]
    pub fn count(&self) -> Count {
        Count::of(&self.buffer[self.start..])
    }

    /// Begins anew; with `skip`, behind the next line feed.
    pub fn begin_anew(&mut self, skip: bool) {
        *self = Lines { skipping: skip, ..Lines::default() };
    }

    /// The next line, if one is complete or too long.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let feed = memchr(b'\n', &self.buffer[self.scanned..]);
        let end = feed.map_or(self.buffer.len(), |feed| self.scanned + feed);
        let length = end - self.start;
        if self.left_out.is_none() && length > LONGEST_LINE {
            let head = &self.buffer[self.start..self.start + LONGEST_LINE];
            let line = [head, MARK].concat();
            self.start += LONGEST_LINE;
            self.scanned = self.start;
            self.left_out = Some(0);
            return Some(line);
        }
        if feed.is_some() {
            let line = self.take(end);
            self.start = end + 1;
            self.scanned = self.start;
            return Some(line);
        }
        if let Some(left_out) = &mut self.left_out {
            *left_out += length as u64;
            self.start = end;
        }
        self.scanned = end;
        self.compact();
        None
    }

    /// What stands after the last line feed, at the end of the stream; call it when [`pop`](Lines::pop) has no more.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.len();
        let line = (end > self.start || self.left_out.is_some()).then(|| self.take(end));
        *self = Lines::default();
        line
    }

    /// The current line up to `end`, or what is said in its place.
    fn take(&mut self, end: usize) -> Vec<u8> {
        let rest = &self.buffer[self.start..end];
        match self.left_out.take() {
            None => rest.to_vec(),
            Some(left_out) => {
                let bytes = left_out + rest.len() as u64;
                format!("[{bytes} more bytes of this line left out]").into_bytes()
            }
        }
    }

    /// Drops what was handed out, and the memory with it when nothing is left: most runs are silent.
    fn compact(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer = Vec::new();
        } else {
            self.buffer.drain(..self.start);
        }
        self.scanned -= self.start;
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNK: usize = 16 << 10;

    /// The lines of a stream that arrives in these pieces.
    fn lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut taken = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.pop() {
                taken.push(line);
            }
        }
        taken.extend(lines.finish());
        taken
    }

    #[test]
    fn a_last_line_without_a_line_feed_is_a_line() {
        assert_eq!(lines([&b"a\n\nb"[..]]), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines([&b"a\n"[..]]), [b"a"]);
        assert!(lines([&b""[..]]).is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        assert_eq!(lines([&b"\xff\0\r\n\xfe"[..]]), [&b"\xff\0\r"[..], b"\xfe"]);
    }

    #[test]
    fn a_line_of_the_greatest_length_is_whole() {
        let longest = vec![b'x'; LONGEST_LINE];
        assert_eq!(lines([&longest[..], b"\n", b"next"]), [&longest[..], b"next"]);
        assert_eq!(lines([&longest[..]]), [&longest[..]]);
    }

    #[test]
    fn of_a_line_that_is_too_long_the_beginning_is_told_and_the_rest_counted() {
        let long = vec![b'x'; LONGEST_LINE + 1000];
        let head = [&long[..LONGEST_LINE], MARK].concat();
        let count = b"[1000 more bytes of this line left out]";
        assert_eq!(lines([&long[..], b"\nnext\n"]), [&head[..], count, b"next"]);
        assert_eq!(lines(long.chunks(777)), [&head[..], count]);
    }

    #[test]
    fn memory_stays_bounded_however_long_a_line_is() {
        let mut lines = Lines::default();
        let piece = [b'x'; CHUNK];
        for _ in 0..1000 {
            lines.push(&piece);
            while lines.pop().is_some() {}
            assert!(lines.buffer.capacity() <= 2 * (LONGEST_LINE + CHUNK));
        }
        let left_out = 1000 * CHUNK - LONGEST_LINE;
        let count = format!("[{left_out} more bytes of this line left out]");
        assert_eq!(lines.finish(), Some(count.into_bytes()));
    }

    #[test]
    fn a_silent_run_holds_no_memory() {
        let mut lines = Lines::default();
        lines.push(b"one\ntwo\n");
        while lines.pop().is_some() {}
        assert_eq!(lines.buffer.capacity(), 0);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_stream_arrives(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..400),
            size in 1_usize..50,
        ) {
            let mut expected: Vec<_> = text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            if expected.last().is_some_and(Vec::is_empty) {
                expected.pop();
            }
            prop_assert_eq!(lines(text.chunks(size)), expected);
        }
    }
}
