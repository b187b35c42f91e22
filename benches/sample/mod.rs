//! Crontabs to measure with.

use std::fmt::Write as _;

use cronkeep::crontab::{Crontab, Dialect, Source, parse};

/// A user's crontab of `count` once-a-day entries at 1 440 different minutes, each with a command of its own.
pub(crate) fn daily(count: usize) -> String {
    let mut text = String::with_capacity(count * 60);
    for index in 0..count {
        let (minute, hour) = (index % 60, index / 60 % 24);
        writeln!(text, "{minute} {hour} * * * /usr/local/bin/task --id={index:06}").unwrap();
    }
    text
}

/// The text as the crontab of root.
pub(crate) fn source(text: String) -> Source {
    Source { name: "sample".into(), bytes: text.into_bytes(), dialect: Dialect::user("root") }
}

/// A crontab that must be without faults, with its source.
#[expect(clippy::allow_attributes, reason = "an expectation fails in those programs that use it")]
#[allow(dead_code, reason = "one of the programs that share this file needs no table")]
pub(crate) fn read(text: String) -> (Source, Crontab) {
    let source = source(text);
    let crontab = parse(&source);
    assert!(crontab.faults.is_empty(), "{:?}", crontab.faults.first());
    (source, crontab)
}
