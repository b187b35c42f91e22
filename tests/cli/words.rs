//! The words of a command are those that the shells of this machine make of it.
#![expect(clippy::disallowed_methods, reason = "a test waits for its programs, as any parent does")]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Command, Stdio};

use cronkeep::message::words::words;
use proptest::prelude::*;

/// What means something to a shell, and what surrounds it.
static PIECES: [&[u8]; 44] = [
    b"a",
    b"b",
    b" ",
    b" ",
    b"\t",
    b"'",
    b"'",
    b"'",
    b"\"",
    b"\"",
    b"\"",
    b"\\",
    b"\\",
    b"$",
    b"$a",
    b"${a}",
    b"`",
    b"*",
    b"?",
    b"[a]",
    b"~",
    b"#",
    b"{",
    b"}",
    b"{a,b}",
    b"{1..2}",
    b",",
    b".",
    b"=",
    b"!",
    b":",
    b"-",
    b"%",
    b"^",
    b"\r",
    b"\x0b",
    b"\x01",
    b"\x7f",
    b"\x81",
    b"\xff",
    "é".as_bytes(),
    b"if",
    b"\n",
    b";",
];

/// The shells that this machine has: a POSIX one always.
fn shells() -> Vec<&'static [&'static str]> {
    let all: [&[&str]; 4] =
        [&["/bin/sh"], &["/usr/bin/dash"], &["/usr/bin/bash"], &["/usr/bin/busybox", "sh"]];
    all.into_iter().filter(|shell| std::path::Path::new(shell[0]).exists()).collect()
}

/// What a shell makes of each text, as the words of a command that does nothing.
fn expanded(shell: &[&str], texts: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    let mut script = Vec::new();
    for text in texts {
        script.extend_from_slice(b"set -- ");
        script.extend_from_slice(text);
        script.extend_from_slice(b"\nprintf '%s\\0' \"$#\" \"$@\"\n");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .arg("-c")
        .arg(OsString::from_vec(script))
        .env_clear()
        .env("PATH", "/nonexistent")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{shell:?}: {output:?}");
    let mut parts = output.stdout.split(|&byte| byte == 0).map(<[u8]>::to_vec);
    let mut found = Vec::new();
    for _ in texts {
        let count = parts.next().expect("a count");
        let count: usize = String::from_utf8(count).expect("a number").parse().expect("a number");
        found.push(parts.by_ref().take(count).collect());
    }
    found
}

/// A word as somebody might write it, in one of three ways.
fn quoted(word: &[u8], way: u8) -> Vec<u8> {
    let mut text = Vec::new();
    match way {
        0 => {
            text.push(b'\'');
            for &byte in word {
                if byte == b'\'' { text.extend_from_slice(b"'\\''") } else { text.push(byte) }
            }
            text.push(b'\'');
        }
        1 => {
            text.push(b'"');
            for &byte in word {
                if b"$`\"\\".contains(&byte) {
                    text.push(b'\\');
                }
                text.push(byte);
            }
            text.push(b'"');
        }
        _ => {
            for &byte in word {
                // A newline cannot be written so.
                if byte == b'\n' {
                    text.extend_from_slice(b"'\n'");
                } else {
                    text.extend([b'\\', byte]);
                }
            }
            if word.is_empty() {
                text.extend_from_slice(b"''");
            }
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Many texts in one shell: a start costs more than they do.
    #[test]
    fn where_there_are_words_every_shell_makes_the_same(
        texts in prop::collection::vec(prop::collection::vec(prop::sample::select(&PIECES[..]), 0..10), 400),
    ) {
        let texts: Vec<Vec<u8>> = texts.into_iter().map(|pieces| pieces.concat()).collect();
        let (texts, expected): (Vec<_>, Vec<_>) =
            texts.into_iter().filter_map(|text| words(&text).map(|words| (text, words))).unzip();
        prop_assert!(texts.len() > 20, "hardly a text has words");
        for shell in shells() {
            for ((text, expected), found) in texts.iter().zip(&expected).zip(expanded(shell, &texts)) {
                prop_assert_eq!(expected, &found, "{:?} of {}", shell, String::from_utf8_lossy(text));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_quoted_is_read_as_it_was(
        given in prop::collection::vec((prop::collection::vec(1..=u8::MAX, 0..12), 0..3_u8), 0..6),
    ) {
        let text: Vec<Vec<u8>> = given.iter().map(|(word, way)| quoted(word, *way)).collect();
        let given: Vec<Vec<u8>> = given.into_iter().map(|(word, _)| word).collect();
        prop_assert_eq!(words(&text.join(&b' ')), Some(given));
    }

    #[test]
    fn any_bytes_are_words_or_none(text in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Some(words) = words(&text) {
            prop_assert!(words.iter().flatten().all(|&byte| byte != 0));
        }
    }
}
