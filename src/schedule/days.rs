//! Day of month and day of week: star bits, OR and AND, `L nL LW nW d#n`.

/// The two day fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Days {
    /// Bit n: day n of the month, 1-31.
    pub dom: u32,
    /// Bit n: day n of the week, 0 (Sunday) to 6.
    pub dow: u8,
    /// The day-of-month field begins with `*` (or is `?`).
    pub dom_star: bool,
    /// The day-of-week field begins with `*` (or is `?`).
    pub dow_star: bool,
    /// `L`, `nL`, `LW`, `nW`, `d#n` items, if any.
    pub special: Option<Box<SpecialDays>>,
}

/// Days that depend on the month at hand.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SpecialDays {}
