//! Any bytes are a cache of the Python service: no panic, and a row that is taken is one line that reads back to it.
#![no_main]

use cronkeep::store::legacy::{dumps, items, loads};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(rows) = loads(bytes) else { return };
    assert_eq!(items(bytes).expect("it was an array").count(), rows.len());
    for row in rows.into_iter().flatten() {
        let line = row.recovered_line();
        assert!(!line.contains(['\n', '\r', '\0']), "{line:?}");
        let text = dumps(std::slice::from_ref(&row));
        assert!(text.is_ascii());
        assert_eq!(loads(text.as_bytes()), Ok(vec![Ok(row)]));
    }
});
