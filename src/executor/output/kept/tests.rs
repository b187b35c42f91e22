use proptest::prelude::*;

use super::*;

fn text(kept: &Kept) -> String {
    let mut out = Vec::new();
    kept.write_to(&mut out);
    String::from_utf8(out).unwrap()
}

fn numbered(from: usize, to: usize) -> String {
    (from..to).fold(String::new(), |text, number| text + "line " + &number.to_string() + "\n")
}

#[test]
fn a_little_output_is_kept_as_it_was_read() {
    let mut kept = Kept::new(true);
    for (stream, part) in
        [(Stream::Stdout, "out\n"), (Stream::Stderr, "err\0\r\n"), (Stream::Stdout, "end")]
    {
        kept.push(stream, part.as_bytes());
    }
    assert_eq!(text(&kept), "out\nerr\0\r\nend");
    assert_eq!(kept.total(), Count { lines: 2, bytes: 13 });
}

#[test]
fn of_much_output_whole_lines_at_both_ends_are_kept_and_the_middle_is_counted() {
    let mut kept = Kept::new(true);
    let all = numbered(0, 200_000);
    for chunk in all.as_bytes().chunks(5000) {
        kept.push(Stream::Stdout, chunk);
    }
    let text = text(&kept);
    let (head, rest) = text.split_once('…').unwrap();
    let (count, tail) = rest.split_once("…\n").unwrap();
    assert!(all.starts_with(head) && all.ends_with(tail), "{count}");
    assert!(head.len() > HEAD - 20 && tail.len() > TAIL - 20 && tail.len() <= 2 * TAIL);
    assert!(head.ends_with('\n') && tail.starts_with("line "));
    let lines = 200_000 - head.lines().count() - tail.lines().count();
    let bytes = all.len() - head.len() - tail.len();
    assert_eq!(count, format!(" {lines} lines, {} left out ", size(bytes as u64)));
}

#[test]
fn one_endless_line_is_cut_too() {
    let mut kept = Kept::new(true);
    for _ in 0..100 {
        kept.push(Stream::Stdout, &[b'x'; 10_000]);
    }
    let text = text(&kept);
    assert!(text.starts_with("xxx") && text.ends_with("xxx"), "{}", text.len());
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().nth(1).unwrap().ends_with("kB left out …"));
}

#[test]
fn without_a_beginning_only_the_end_is_kept() {
    let mut kept = Kept::new(false);
    kept.push(Stream::Stdout, numbered(0, 100_000).as_bytes());
    assert!(text(&kept).starts_with("… 9"), "{}", &text(&kept)[..100]);
    assert!(kept.head.capacity() == 0);
}

#[test]
fn memory_stays_bounded_however_often_the_streams_take_turns() {
    let mut kept = Kept::new(true);
    for _ in 0..1_000_000 {
        kept.push(Stream::Stdout, b"o");
        kept.push(Stream::Stderr, b"e");
    }
    assert!(kept.parts.capacity() <= 2 * CHANGES && kept.tail.capacity() <= 4 * TAIL);
    assert_eq!(kept.parts.iter().map(|(_, length)| length).sum::<usize>(), kept.tail.len());
    assert_eq!(kept.total().bytes, 2_000_000);
}

#[test]
fn a_full_device_is_found_in_the_last_words_on_descriptor_two() {
    let words = b"cp: error writing 'x': No space left on device\n";
    let mut kept = Kept::new(false);
    kept.push(Stream::Stdout, words);
    assert!(!kept.says_no_space(false) && kept.says_no_space(true));
    kept.push(Stream::Stderr, words);
    assert!(kept.says_no_space(false));
    kept.push(Stream::Stderr, numbered(0, 1000).as_bytes());
    assert!(!kept.says_no_space(false), "they are not the last words any more");
    let mut kept = Kept::new(true);
    kept.push(Stream::Stdout, words);
    assert!(kept.says_no_space(true), "in the beginning as well");
}

#[test]
fn a_count_is_put_into_words() {
    let words = |lines, bytes| Count { lines, bytes }.to_string();
    assert_eq!(words(123_456, 9_123_456), "… 123456 lines, 9.1 MB left out …");
    assert_eq!(words(1, 5), "… 1 line, 5 bytes left out …");
    assert_eq!(words(0, 1), "… 1 byte left out …");
}

proptest! {
    #[test]
    fn what_came_since_is_the_end_of_what_was_pushed(
        pieces in prop::collection::vec((any::<bool>(), 0..3000_usize), 0..200),
        from in 0..400_000_u64,
    ) {
        let mut kept = Kept::new(false);
        let mut all = Vec::new();
        for (place, &(err, length)) in pieces.iter().enumerate() {
            let byte = u8::try_from(place).unwrap();
            let stream = if err { Stream::Stderr } else { Stream::Stdout };
            kept.push(stream, &vec![byte; length]);
            all.resize(all.len() + length, byte);
        }
        let wanted = &all[all.len().min(usize::try_from(from).unwrap())..];
        let (complete, parts) = kept.since(from);
        let found: Vec<u8> = parts.iter().flat_map(|(_, part)| part.iter().copied()).collect();
        prop_assert!(wanted.ends_with(&found));
        prop_assert_eq!(complete, found.len() == wanted.len());
        prop_assert!(found.len() >= wanted.len().min(TAIL));
        prop_assert_eq!(kept.total().bytes, all.len() as u64);
    }

    #[test]
    fn bytes_and_line_feeds_are_counted(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..2000)) {
        let lines = bytes.split(|&byte| byte == b'\n').count() as u64 - 1;
        prop_assert_eq!(Count::of(&bytes), Count { lines, bytes: bytes.len() as u64 });
    }
}
