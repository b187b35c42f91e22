//! Numbers and lists in words.

use std::ops::Range;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const WEEK: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

pub(super) const ORDINALS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

/// The bits of `mask` in `range`, in order.
pub(super) fn bits(mask: u64, range: Range<u32>) -> Vec<u32> {
    range.filter(|bit| mask & 1 << bit != 0).collect()
}

/// `1st`, `2nd`, `13th`.
pub(super) fn ordinal(number: u32) -> String {
    let suffix = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
}

/// The values in words, three or more in a row as `a to c`.
pub(super) fn runs(values: &[u32], word: impl Fn(u32) -> String) -> Vec<String> {
    let mut parts = Vec::new();
    for run in values.chunk_by(|one, next| one + 1 == *next) {
        match run {
            [first, _, .., last] if run.len() > 2 => {
                parts.push(format!("{} to {}", word(*first), word(*last)));
            }
            _ => parts.extend(run.iter().map(|&value| word(value))),
        }
    }
    parts
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn joined(parts: &[String]) -> String {
    match parts {
        [] => "no time".to_owned(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
