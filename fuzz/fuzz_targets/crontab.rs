//! Any bytes are a crontab: no panic, every span in the file, every fault with a place.
#![no_main]

use cronkeep::crontab::{Dialect, LineKind, Source, parse, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for dialect in [Dialect::system(), Dialect::user("alice"), Dialect::user("root")] {
        let source = Source { name: "fuzz".into(), bytes: bytes.to_vec(), dialect };
        let crontab = parse(&source);
        for line in &crontab.lines {
            assert!(line.span.start <= line.span.end && line.span.end <= bytes.len());
            if let LineKind::Entry(entry) = &line.kind {
                assert!(entry.command_span.end <= bytes.len());
                let _ = entry.when.resolve(1);
            }
        }
        for fault in &crontab.faults {
            assert!(fault.line >= 1 && fault.column >= 1 && fault.column <= fault.end_column);
            let _ = render::line("fuzz", fault);
        }
    }
});
