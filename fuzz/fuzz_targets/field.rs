//! Any bytes are a time field: no panic, and what is read selects values in range.
#![no_main]

use cronkeep::crontab::field::{FieldKind, parse};
use libfuzzer_sys::fuzz_target;

const KINDS: [FieldKind; 7] = [
    FieldKind::Second,
    FieldKind::Minute,
    FieldKind::Hour,
    FieldKind::DayOfMonth,
    FieldKind::Month,
    FieldKind::DayOfWeek,
    FieldKind::Year,
];

fuzz_target!(|bytes: &[u8]| {
    for kind in KINDS {
        match parse(kind, bytes) {
            Ok((_, warnings)) => {
                assert!(warnings.iter().all(|warning| warning.span.end <= bytes.len()));
            }
            Err(mistake) => assert!(mistake.span.start <= mistake.span.end),
        }
    }
});
