//! The physical lines of a file, and what is left out of them: byte order mark, line ends, carriage returns.
use std::ops::Range;

/// The UTF-8 form of U+FEFF, which some editors put before the first character.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// One line as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Physical {
    /// Its text, in bytes of the file: without mark, carriage returns and line feed.
    pub(super) span: Range<usize>,
    /// Whether carriage returns were left out at its end.
    pub(super) returns: bool,
    /// Whether a line feed ends it.
    pub(super) ended: bool,
}

/// Whether the file begins with a byte order mark.
pub(super) fn has_mark(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK)
}

/// Every line, in order; a file that ends with a line feed has no line behind it.
pub(super) fn physical(bytes: &[u8]) -> impl Iterator<Item = Physical> + '_ {
    let mut at = if has_mark(bytes) { MARK.len() } else { 0 };
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let found = memchr(rest);
        let length = found.unwrap_or(rest.len());
        let text = &rest[..length];
        let kept = text.iter().rposition(|&byte| byte != b'\r').map_or(0, |last| last + 1);
        let span = at..at + kept;
        at += length + 1;
        Some(Physical { span, returns: kept < length, ended: found.is_some() })
    })
}

/// Where the next line feed is.
#[inline]
fn memchr(bytes: &[u8]) -> Option<usize> {
    // Eight bytes at a time: a file of one long comment is as quick as one of short lines.
    const LANES: u64 = 0x0101_0101_0101_0101;
    let (chunks, _) = bytes.as_chunks::<8>();
    let quick = chunks.iter().position(|chunk| {
        let word = u64::from_ne_bytes(*chunk) ^ (LANES * u64::from(b'\n'));
        word.wrapping_sub(LANES) & !word & (LANES << 7) != 0
    });
    let from = quick.unwrap_or(chunks.len()) * 8;
    bytes[from..].iter().position(|&byte| byte == b'\n').map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8]) -> Vec<(&[u8], bool, bool)> {
        physical(bytes).map(|line| (&bytes[line.span], line.returns, line.ended)).collect()
    }

    #[test]
    fn a_line_ends_at_a_line_feed_and_loses_its_carriage_returns() {
        assert_eq!(
            texts(b"a\r\n\nb\rc\r\r\n\r\nd"),
            [
                (&b"a"[..], true, true),
                (b"", false, true),
                (b"b\rc", true, true),
                (b"", true, true),
                (b"d", false, false),
            ]
        );
        assert_eq!(texts(b""), []);
        assert_eq!(texts(b"\n"), [(&b""[..], false, true)]);
        assert_eq!(texts(b"\r"), [(&b""[..], true, false)]);
    }

    #[test]
    fn the_byte_order_mark_belongs_to_no_line() {
        assert_eq!(
            texts(b"\xef\xbb\xbfa\n\xef\xbb\xbfb"),
            [(&b"a"[..], false, true), (b"\xef\xbb\xbfb", false, false)]
        );
        assert_eq!(texts(b"\xef\xbb\xbf"), []);
        assert_eq!(physical(b"\xef\xbb\xbfa\n").next().map(|line| line.span), Some(3..4));
    }

    #[test]
    fn a_line_feed_is_found_wherever_it_stands() {
        for length in 0..40 {
            let mut bytes = vec![b'\x0b'; length];
            assert_eq!(memchr(&bytes), None);
            bytes.push(b'\n');
            bytes.extend_from_slice(b"\n\x8a\x0a");
            assert_eq!(memchr(&bytes), Some(length));
        }
    }
}
