//! `~`: values that are drawn when the job is known.

use crate::schedule::Schedule;

use super::{Field, FieldKind};
use crate::crontab::expression::schedule_of;

/// A `~` item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Draw {
    /// The least value.
    pub low: u16,
    /// The greatest value, above the least.
    pub high: u16,
    /// `~/n` (OpenBSD): a start below the step is drawn, and every n-th value from it on counts.
    pub step: Option<u16>,
}

/// Fields of which some values are drawn later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DrawnFields {
    pub(in crate::crontab) fields: Vec<Field>,
}

impl DrawnFields {
    /// Draws every `~` from `seed`: the same seed always draws the same values.
    #[must_use]
    pub fn resolve(&self, seed: u64) -> Schedule {
        let drawn: Vec<Field> = self.fields.iter().map(|field| field.drawn(seed)).collect();
        schedule_of(&drawn)
    }
}

impl Field {
    /// The field with its `~` items drawn.
    fn drawn(&self, seed: u64) -> Field {
        let mut field = Field { draws: Vec::new(), ..self.clone() };
        for (index, draw) in (0u64..).zip(&self.draws) {
            // Each place draws for itself: `~ ~ * * *` must not tie the minute to the hour.
            let chance = scramble(seed ^ scramble(place(self.kind) << 8 | index));
            let count = u64::from(draw.high - draw.low) + 1;
            let from =
                |choices: u64| draw.low + u16::try_from(chance % choices.max(1)).unwrap_or(0);
            match draw.step {
                None => field.insert(from(count)),
                Some(step) => {
                    field.insert_stepped(from(count.min(u64::from(step))), draw.high, step);
                }
            }
        }
        field
    }
}

fn place(kind: FieldKind) -> u64 {
    match kind {
        FieldKind::Second => 1,
        FieldKind::Minute => 2,
        FieldKind::Hour => 3,
        FieldKind::DayOfMonth => 4,
        FieldKind::Month => 5,
        FieldKind::DayOfWeek => 6,
        FieldKind::Year => 7,
    }
}

/// The finaliser of `SplitMix64`: every bit of the result depends on every bit of the input.
fn scramble(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}
