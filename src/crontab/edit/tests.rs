use proptest::prelude::*;

use super::*;

fn source(text: &[u8]) -> Source {
    Source { name: "-".into(), bytes: text.to_vec(), dialect: Dialect::system() }
}

fn draft() -> Draft {
    Draft {
        description: Some("Say hello".into()),
        options: vec![("timeout".into(), "10m".into())],
        schedule: "*/5 * * * *".into(),
        user: "app".into(),
        flags: Flags::default(),
        command: "echo hello".into(),
    }
}

/// Applies an edit to a text and gives the outcome as text.
fn edited(text: &str, edit: impl Fn(&Source, &Crontab) -> Result<Vec<u8>, EditError>) -> String {
    let source = source(text.as_bytes());
    String::from_utf8(edit(&source, &parse(&source)).unwrap()).unwrap()
}

const TABLE: &str = "\
SHELL=/bin/sh
# Section

# Dump the database
# cronkeep: name=dump timeout=1h
# cronkeep: retries=2
0 2 * * *\troot  /bin/dump 'a  b'
5 4 * * * root /bin/b
";

#[test]
fn a_replacement_takes_the_place_of_the_whole_block() {
    let after = edited(TABLE, |source, crontab| replace(source, crontab, 7, &draft()));
    assert_eq!(
        after,
        "SHELL=/bin/sh\n# Section\n\n# Say hello\n# cronkeep: timeout=10m\n*/5 * * * * app echo hello\n5 4 * * * root /bin/b\n"
    );
}

#[test]
fn a_deletion_takes_the_block_and_nothing_else() {
    let after = edited(TABLE, |source, crontab| delete(source, crontab, 7));
    assert_eq!(after, "SHELL=/bin/sh\n# Section\n\n5 4 * * * root /bin/b\n");
}

#[test]
fn a_comment_left_behind_does_not_describe_the_next_entry() {
    let text = "# Backups\n# Dump\n0 2 * * * root /bin/a\n5 4 * * * root /bin/b\n";
    let after = edited(text, |source, crontab| delete(source, crontab, 3));
    assert_eq!(after, "# Backups\n\n5 4 * * * root /bin/b\n");
}

#[test]
fn commenting_out_keeps_the_text_under_the_signs() {
    let after = edited(TABLE, |source, crontab| comment_out(source, crontab, 7));
    assert_eq!(
        after,
        "SHELL=/bin/sh\n# Section\n\n# Dump the database\n## cronkeep: name=dump timeout=1h\n## cronkeep: retries=2\n# 0 2 * * *\troot  /bin/dump 'a  b'\n\n5 4 * * * root /bin/b\n"
    );
    let source = source(after.as_bytes());
    let crontab = parse(&source);
    assert!(!crontab.has_errors());
    assert_eq!(crontab.entries().map(|entry| &entry.description).collect::<Vec<_>>(), [&None]);
}

#[test]
fn an_insertion_goes_above_the_block_or_to_the_end() {
    let plain = Draft { description: None, options: vec![], ..draft() };
    let before = edited(TABLE, |s, c| insert(s, c, Place::Before(7), &plain));
    assert!(before.contains("\n\n*/5 * * * * app echo hello\n# Dump the database\n"), "{before}");
    let end = edited(TABLE, |s, c| insert(s, c, Place::End, &plain));
    assert_eq!(end, format!("{TABLE}*/5 * * * * app echo hello\n"));
}

#[test]
fn added_lines_end_as_the_file_does() {
    let plain = Draft { description: None, options: vec![], ..draft() };
    let windows = edited("\u{feff}A=b\r\n", |s, c| insert(s, c, Place::End, &plain));
    assert_eq!(windows, "\u{feff}A=b\r\n*/5 * * * * app echo hello\r\n");
    let open = edited("A=b", |s, c| insert(s, c, Place::End, &plain));
    assert_eq!(open, "A=b\n*/5 * * * * app echo hello\n");
    let empty = edited("", |s, c| insert(s, c, Place::End, &plain));
    assert_eq!(empty, "*/5 * * * * app echo hello\n");
    let last = edited("5 4 * * * root x", |s, c| replace(s, c, 1, &plain));
    assert_eq!(last, "*/5 * * * * app echo hello");
}

#[test]
fn a_line_that_is_no_entry_is_refused() {
    let source = source(TABLE.as_bytes());
    assert_eq!(delete(&source, &parse(&source), 2), Err(EditError::NoEntry(2)));
    assert_eq!(delete(&source, &parse(&source), 99), Err(EditError::NoEntry(99)));
}

#[test]
fn a_draft_that_would_be_read_as_something_else_is_refused() {
    let system = Dialect::system();
    for draft in [
        Draft { command: "x\n* * * * * root evil".into(), ..draft() },
        Draft { description: Some("x\n* * * * * root evil".into()), ..draft() },
        Draft { description: Some("# x".into()), ..draft() },
        Draft { schedule: "# * * * *".into(), ..draft() },
        Draft { schedule: "61 * * * *".into(), ..draft() },
        Draft { user: "a b".into(), ..draft() },
        Draft { command: "-n x".into(), ..draft() },
        Draft { command: "".into(), ..draft() },
        Draft { options: vec![("timeout".into(), "soon".into())], ..draft() },
        Draft { options: vec![("timeout".into(), "1s\n* * * * * root evil".into())], ..draft() },
    ] {
        assert!(draft.lines(&system).is_err(), "{draft:?}");
    }
}

#[test]
fn text_that_is_not_utf8_survives() {
    let latin = b"# caf\xe9\n5 4 * * * root echo \xe9\n* * * * * root y\n";
    let source = source(latin);
    let after = delete(&source, &parse(&source), 3).unwrap();
    assert_eq!(after, b"# caf\xe9\n5 4 * * * root echo \xe9\n");
}

/// What an entry says, wherever it stands.
fn said(entry: &Entry) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        entry.schedule_text.clone(),
        entry.user.clone(),
        entry.command.clone(),
        entry.flags,
        (entry.options.clone(), entry.settings.clone(), entry.zone.clone()),
        entry.description.clone(),
    )
}

fn line_strategy() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"".to_vec()),
        Just(b"# a comment".to_vec()),
        Just(b"#".to_vec()),
        Just(b"# cronkeep: timeout=5s".to_vec()),
        Just(b"  # cronkeep: retries=1".to_vec()),
        Just(b"A=b".to_vec()),
        Just(b"61 * * * * root x".to_vec()),
        Just(b"5 4 * * * root caf\xe9".to_vec()),
        "[1-9] [1-9] \\* \\* [1-5]  (root|app)\t(-n )?[a-z% \\\\]{1,9}x"
            .prop_map(String::into_bytes),
        "@(daily|reboot) root [a-z]{1,5}".prop_map(String::into_bytes),
    ]
}

fn file_strategy() -> impl Strategy<Value = Vec<u8>> {
    (
        proptest::collection::vec(line_strategy(), 1..12),
        prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..])],
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(lines, ending, marked, ended)| {
            let mut bytes = if marked { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
            bytes.extend(lines.join(ending));
            if ended {
                bytes.extend_from_slice(ending);
            }
            bytes
        })
}

proptest! {
    #[test]
    fn an_edit_changes_its_own_entry_and_no_other(
        bytes in file_strategy(),
        choice in any::<prop::sample::Index>(),
        operation in 0..5,
    ) {
        let source = source(&bytes);
        let crontab = parse(&source);
        let entries: Vec<&Entry> = crontab.entries().collect();
        prop_assume!(!entries.is_empty());
        let chosen = choice.index(entries.len());
        let line = entries[chosen].line;
        let draft = draft();
        let after = match operation {
            0 => replace(&source, &crontab, line, &draft),
            1 => delete(&source, &crontab, line),
            2 => comment_out(&source, &crontab, line),
            3 => insert(&source, &crontab, Place::Before(line), &draft),
            _ => insert(&source, &crontab, Place::End, &draft),
        }
        .unwrap();
        let range = block(&source, &crontab, line).unwrap();
        match operation {
            4 => prop_assert!(after.starts_with(&bytes)),
            3 => {
                prop_assert!(after.starts_with(&bytes[..range.start]));
                prop_assert!(after.ends_with(&bytes[range.start..]));
            }
            _ => {
                prop_assert!(after.starts_with(&bytes[..range.start]));
                prop_assert!(after.ends_with(&bytes[range.end..]));
            }
        }
        let mut expected: Vec<_> = entries.iter().map(|entry| Some(said(entry))).collect();
        match operation {
            0 => expected[chosen] = None,
            1 | 2 => drop(expected.remove(chosen)),
            3 => expected.insert(chosen, None),
            _ => expected.push(None),
        }
        let again = parse(&Source { bytes: after, ..source.clone() });
        let found: Vec<&Entry> = again.entries().collect();
        prop_assert_eq!(found.len(), expected.len());
        for (entry, expected) in found.iter().zip(expected) {
            if let Some(expected) = expected {
                prop_assert_eq!(said(entry), expected);
            } else {
                prop_assert_eq!(&entry.command, &draft.command);
                prop_assert_eq!(&entry.description, &draft.description);
                prop_assert!(entry.options.timeout.is_some());
            }
        }
    }

    #[test]
    fn a_written_entry_reads_back_as_it_was(bytes in file_strategy()) {
        let source = source(&bytes);
        for entry in parse(&source).entries() {
            let draft = Draft::of(entry);
            let lines = draft.lines(&source.dialect).unwrap();
            let again = Source { bytes: lines.join(&b'\n'), ..source.clone() };
            let again = parse(&again);
            let read: Vec<Draft> = again.entries().map(Draft::of).collect();
            prop_assert_eq!(read, [draft]);
        }
    }
}
