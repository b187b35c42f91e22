//! Any bytes.
use proptest::prelude::*;

use super::*;

fn anything() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        "[ \t*/0-9,~a-zL#?@=%-]{0,12}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            "\n",
            "\r\n",
            "* * * * * ",
            "0 0 5 * * ",
            "@every ",
            "# cronkeep: ",
            "CRONKEEP_",
            "CRON_TZ=",
            "timeout=",
            "name=a ",
            "root ",
            "\u{feff}",
            "\"",
            "mon",
            "2030",
            "-n ",
            "A=",
            "\u{e9}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_a_crontab(bytes in anything(), shape in 0..4u8) {
        let dialect = match shape {
            0 => Dialect::system(),
            1 => Dialect { strict: true, ..Dialect::spool("alice") },
            2 => Dialect { compat: Compat::Supercronic, ..Dialect::user("root") },
            _ => Dialect { fields: FieldCount::Six, ..Dialect::user("bob") },
        };
        let crontab = read(&bytes, dialect);
        // The lines cover the file: only a mark, line feeds and carriage returns lie between them.
        let mut end = if line::has_mark(&bytes) { 3 } else { 0 };
        for (number, line) in (1..).zip(&crontab.lines) {
            prop_assert_eq!(line.number, number);
            prop_assert!(bytes[end..line.span.start].iter().all(|byte| b"\r\n".contains(byte)));
            prop_assert!(!bytes[line.span.clone()].contains(&b'\n'));
            end = line.span.end;
            if let LineKind::Entry(entry) = &line.kind {
                prop_assert_eq!(entry.line, number);
                prop_assert!(line.span.start <= entry.schedule_span.start);
                prop_assert!(entry.schedule_span.end < entry.command_span.start);
                prop_assert_eq!(entry.command_span.end, line.span.end);
                prop_assert_eq!(&bytes[entry.command_span.clone()], entry.command.as_bytes());
                prop_assert!(!entry.command.is_empty());
            }
        }
        prop_assert!(bytes[end.min(bytes.len())..].iter().all(|byte| b"\r\n".contains(byte)));
        let mut last = (0, 0);
        for fault in &crontab.faults {
            prop_assert!(last <= (fault.line, fault.column), "faults are in file order");
            last = (fault.line, fault.column);
            let line = &crontab.lines[fault.line as usize - 1];
            prop_assert!(fault.column >= 1 && fault.end_column >= fault.column);
            prop_assert!(fault.end_column as usize <= line.span.len() + 1);
            prop_assert!(!fault.message.is_empty() && !fault.message.ends_with('.'));
        }
        for line in crontab.lines.iter().filter(|line| matches!(line.kind, LineKind::Error)) {
            let told = crontab.faults.iter().any(|fault| fault.is_error() && fault.line <= line.number);
            prop_assert!(told, "a line that does not count has a fault");
        }
    }
}
