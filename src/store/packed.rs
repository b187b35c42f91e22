//! What a run printed, as bytes that a store keeps.
//!
//! The first byte says how the rest is packed: 1 not at all, 2 by lz4 with its size before it. The rest is a row of numbers
//! (seven bits a byte, the lowest first, the eighth set if more follow) and bytes: lines left out; lines of the head; of
//! each its marks (1 standard error, 2 detached), its length, its bytes; the same of the tail.

use super::record::OutputLine;
use super::{Output, StoreError};

/// The most that is unpacked, and packed: of more, lines between head and tail are left out.
const LARGEST: usize = 256 << 10;
/// Of which the head may take so much.
const LARGEST_HEAD: usize = 64 << 10;
/// What a line takes beside its bytes, at most.
const LINE: usize = 4;

const PLAIN: u8 = 1;
const LZ4: u8 = 2;
const ERROR: u8 = 1;
const DETACHED: u8 = 2;

impl Output {
    /// Packs it: at most 256 KiB before compression, 64 KiB of them head.
    ///
    /// Of more than that the last lines of the head and the first of the tail are left out, and counted.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let size = |line: &OutputLine| line.bytes.len() + LINE;
        let fitting = |lines: &mut dyn Iterator<Item = &OutputLine>, room: usize| {
            let mut used = 0;
            lines
                .take_while(|line| {
                    used += size(line);
                    used <= room
                })
                .count()
        };
        let head = fitting(&mut self.head.iter(), LARGEST_HEAD);
        let tail = fitting(&mut self.tail.iter().rev(), LARGEST - LARGEST_HEAD - 32);
        let cut = self.head.len() - head + self.tail.len() - tail;
        let mut plain = vec![PLAIN];
        put_number(&mut plain, self.left_out.saturating_add(cut as u64));
        for lines in [&self.head[..head], &self.tail[self.tail.len() - tail..]] {
            put_number(&mut plain, lines.len() as u64);
            for line in lines {
                plain.push(u8::from(line.is_error) * ERROR + u8::from(line.detached) * DETACHED);
                put_number(&mut plain, line.bytes.len() as u64);
                plain.extend_from_slice(&line.bytes);
            }
        }
        let mut packed = lz4_flex::compress_prepend_size(&plain[1..]);
        if packed.len() + 1 >= plain.len() {
            return plain;
        }
        packed.insert(0, LZ4);
        packed
    }

    /// Unpacks what [`pack`](Output::pack) has made; never more than 256 KiB, whatever the bytes say.
    ///
    /// # Errors
    /// The bytes make no sense.
    pub fn unpack(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt("what a run printed cannot be unpacked".to_owned());
        let (&format, body) = bytes.split_first().ok_or_else(corrupt)?;
        match format {
            PLAIN => read(body).ok_or_else(corrupt),
            LZ4 => {
                let size = body.first_chunk().map(|size| u32::from_le_bytes(*size) as usize);
                if size.is_none_or(|size| size > LARGEST) {
                    return Err(corrupt());
                }
                let plain = lz4_flex::decompress_size_prepended(body).map_err(|_| corrupt())?;
                read(&plain).ok_or_else(corrupt)
            }
            _ => Err(corrupt()),
        }
    }
}

fn read(mut body: &[u8]) -> Option<Output> {
    let left_out = take_number(&mut body)?;
    let (head, tail) = (take_lines(&mut body)?, take_lines(&mut body)?);
    body.is_empty().then_some(Output { head, left_out, tail })
}

fn take_lines(body: &mut &[u8]) -> Option<Vec<OutputLine>> {
    let count = usize::try_from(take_number(body)?).ok()?;
    // Each line takes two bytes at least, so that a number alone makes nothing large.
    if count > body.len() / 2 {
        return None;
    }
    let mut lines = Vec::with_capacity(count);
    for _ in 0..count {
        let (&marks, rest) = body.split_first()?;
        *body = rest;
        let length = usize::try_from(take_number(body)?).ok()?;
        let (bytes, rest) = body.split_at_checked(length)?;
        *body = rest;
        let bytes = bytes.to_vec();
        let is_error = marks & ERROR != 0;
        lines.push(OutputLine { is_error, detached: marks & DETACHED != 0, bytes });
    }
    Some(lines)
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(bytes: impl Into<Vec<u8>>) -> OutputLine {
        OutputLine { is_error: false, detached: false, bytes: bytes.into() }
    }

    fn any_line() -> impl Strategy<Value = OutputLine> {
        (any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(is_error, detached, bytes)| OutputLine { is_error, detached, bytes })
    }

    proptest! {
        #[test]
        fn what_is_packed_reads_back(
            head in prop::collection::vec(any_line(), 0..20),
            left_out: u64,
            tail in prop::collection::vec(any_line(), 0..20),
        ) {
            let output = Output { head, left_out, tail };
            prop_assert_eq!(Output::unpack(&output.pack()), Ok(output));
        }

        #[test]
        fn bytes_of_others_are_refused_or_bounded(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for format in [PLAIN, LZ4] {
                let mut bytes = bytes.clone();
                bytes.insert(0, format);
                if let Ok(output) = Output::unpack(&bytes) {
                    prop_assert!(output.head.len() + output.tail.len() <= LARGEST);
                }
            }
        }
    }

    #[test]
    fn text_is_compressed_and_noise_is_not() {
        let text = Output { head: vec![line("the same words "); 100], ..Output::default() };
        let packed = text.pack();
        assert_eq!(packed[0], LZ4);
        assert!(packed.len() < 200, "{}", packed.len());
        let noise = Output { head: vec![line("x")], ..Output::default() };
        assert_eq!(noise.pack(), [PLAIN, 0, 1, 0, 1, b'x', 0]);
    }

    #[test]
    fn of_too_much_both_ends_are_kept_and_the_middle_is_counted() {
        let numbered =
            |from: u32| (from..from + 10_000).map(|n| line(format!("{n:096}"))).collect();
        let output = Output { head: numbered(0), left_out: 5, tail: numbered(50_000) };
        let kept = Output::unpack(&output.pack()).unwrap();
        assert_eq!(kept.head[0], output.head[0]);
        assert_eq!(kept.tail.last(), output.tail.last());
        assert_eq!(kept.left_out, 5 + 20_000 - kept.head.len() as u64 - kept.tail.len() as u64);
        assert!((600..700).contains(&kept.head.len()) && (1_900..2_000).contains(&kept.tail.len()));
    }

    #[test]
    fn a_size_that_is_told_is_not_believed() {
        let mut bomb = vec![LZ4];
        bomb.extend(u32::MAX.to_le_bytes());
        assert!(matches!(Output::unpack(&bomb), Err(StoreError::Corrupt(_))));
        assert!(matches!(Output::unpack(&[]), Err(StoreError::Corrupt(_))));
        assert!(matches!(Output::unpack(&[9, 0, 0, 0]), Err(StoreError::Corrupt(_))));
    }
}
