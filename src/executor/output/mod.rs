//! What a run prints: read as it comes, told line by line within bounds.

pub mod kept;
pub mod line;
pub mod meter;
mod reader;
mod relay;
mod tell;

pub use kept::{Count, Kept};
pub use line::{LONGEST_LINE, Lines};
pub use meter::{Bounds, Meter};
pub(super) use reader::Reader;
pub(super) use relay::Relay;
pub(super) use tell::{Readers, Teller};

/// A number of bytes for people: three digits at most, and a decimal unit.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} {}", if bytes == 1 { "byte" } else { "bytes" });
    }
    // Tenths of the unit below; rounded down, so that 999 999 does not become 1000.0.
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    match (tenths / 10, tenths % 10) {
        (whole @ 10.., _) | (whole, 0) => format!("{whole} {}", UNITS[unit]),
        (whole, tenth) => format!("{whole}.{tenth} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_short_and_has_a_unit() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1 kB"),
            (9_150, "9.1 kB"),
            (9_150_000, "9.1 MB"),
            (12_345_678, "12 MB"),
            (999_999, "999 kB"),
            (1 << 30, "1 GB"),
            (u64::MAX, "18 EB"),
        ];
        for (bytes, words) in cases {
            assert_eq!(size(bytes), words);
        }
    }
}
