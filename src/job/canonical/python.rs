//! What Python calls white space, a line break and a digit, over bytes that need not be UTF-8.

/// The length of the white space character that `text` begins with, 0 if it begins with none (`str.isspace`).
#[inline]
pub(super) fn space_at(text: &[u8]) -> usize {
    match text {
        [b' ' | b'\t'..=b'\r' | 0x1c..=0x1f, ..] => 1,
        [0xc2, 0x85 | 0xa0, ..] => 2,
        [0xe1, 0x9a, 0x80, ..]
        | [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf, ..]
        | [0xe2, 0x81, 0x9f, ..]
        | [0xe3, 0x80, 0x80, ..] => 3,
        _ => 0,
    }
}

/// `text` without the white space at its start.
#[inline]
pub(super) fn skip_space(mut text: &[u8]) -> &[u8] {
    loop {
        match space_at(text) {
            0 => return text,
            length => text = &text[length..],
        }
    }
}

/// `text` without the white space at its end.
pub(super) fn trim_end(mut text: &[u8]) -> &[u8] {
    'shorter: loop {
        if let [.., b'!'..=b'~'] = text {
            return text;
        }
        for length in 1..=3.min(text.len()) {
            let at = text.len() - length;
            if space_at(&text[at..]) == length {
                text = &text[..at];
                continue 'shorter;
            }
        }
        return text;
    }
}

/// `text` without outer white space (`str.strip`).
pub(super) fn trim(text: &[u8]) -> &[u8] {
    trim_end(skip_space(text))
}

/// The first word of `text` and what follows the white space after it; none if no white space follows a word.
pub(super) fn split_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = skip_space(text);
    let end = next_space(text)?;
    let rest = skip_space(&text[end..]);
    (end > 0 && !rest.is_empty()).then_some((&text[..end], rest))
}

/// Where the first white space of `text` begins.
#[inline]
pub(super) fn next_space(text: &[u8]) -> Option<usize> {
    // Most bytes are neither below a blank nor beyond ASCII, and need one look.
    let mut bytes = text.iter().enumerate();
    bytes.find_map(|(at, &byte)| {
        let candidate = byte <= b' ' || byte >= 0x80;
        (candidate && space_at(&text[at..]) > 0).then_some(at)
    })
}

/// `text` up to its first line break: Python's codecs break a file where `str.splitlines` does, not only at a newline.
#[inline]
pub(super) fn first_line(text: &[u8]) -> &[u8] {
    let breaks = |at: &usize| {
        matches!(
            &text[*at..],
            [b'\n'..=b'\r' | 0x1c..=0x1e, ..] | [0xc2, 0x85, ..] | [0xe2, 0x80, 0xa8 | 0xa9, ..]
        )
    };
    // Hardly any line has a byte that could be part of one.
    if text.iter().all(|byte| (b' '..0x80).contains(byte)) {
        return text;
    }
    (0..text.len()).find(breaks).map_or(text, |end| &text[..end])
}

/// The number that `text` spells in decimal digits of any script, as `int` reads it; saturates.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    if text.iter().all(u8::is_ascii_digit) {
        return Some(text.iter().fold(0, |sum, &byte| push_digit(sum, u32::from(byte - b'0'))));
    }
    std::str::from_utf8(text)
        .ok()?
        .chars()
        .try_fold(0, |sum, character| Some(push_digit(sum, decimal_digit(character)?)))
}

fn push_digit(sum: u32, digit: u32) -> u32 {
    sum.saturating_mul(10).saturating_add(digit)
}

/// The value of a decimal digit (Unicode category Nd).
fn decimal_digit(character: char) -> Option<u32> {
    let code = u32::from(character);
    let script = ZEROS.partition_point(|&zero| zero <= code);
    let digit = code - ZEROS.get(script.checked_sub(1)?)?;
    (digit < 10).then_some(digit)
}

/// The zero of every script with decimal digits, in order (Unicode 14, the version of `CPython` 3.11).
#[rustfmt::skip]
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
    0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
    0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066,
    0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950,
    0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
    0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_of_any_width_is_trimmed_on_both_sides() {
        assert_eq!(trim("\u{3000}\u{85} a b\u{a0}\u{2028}\t\x1f".as_bytes()), b"a b");
        assert_eq!(trim(b"\xff \xff "), b"\xff \xff");
        assert_eq!(trim(" \t".as_bytes()), b"");
    }

    #[test]
    fn a_zero_width_space_and_a_byte_order_mark_are_no_white_space() {
        assert_eq!(space_at("\u{200b}".as_bytes()), 0);
        assert_eq!(space_at("\u{feff}".as_bytes()), 0);
    }

    #[test]
    fn digits_of_any_script_make_a_number() {
        assert_eq!(number("٣".as_bytes()), Some(3));
        assert_eq!(number("1߉५".as_bytes()), Some(195));
        assert_eq!(number("0𝟟".as_bytes()), Some(7));
        assert_eq!(number("²".as_bytes()), None);
        assert_eq!(number("Ⅷ".as_bytes()), None);
        assert_eq!(number(b"+5"), None);
        assert_eq!(number(b""), None);
    }

    #[test]
    fn a_number_beyond_every_field_does_not_wrap() {
        assert_eq!(number(b"4294967297"), Some(u32::MAX));
    }

    #[test]
    fn a_form_feed_ends_the_line() {
        assert_eq!(first_line(b"a\x0cb"), b"a");
        assert_eq!(first_line("a\u{2028}b".as_bytes()), b"a");
        assert_eq!(first_line(b"a\tb\x1f"), b"a\tb\x1f");
    }
}
