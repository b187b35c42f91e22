//! How fast a run may print and still have every line told.

use tokio::time::Instant;

/// What a line costs beside its bytes: telling it takes as long as these would.
const LINE: u64 = 100;

/// How much of one run's output is told; a line counts 100 bytes more than it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes at once.
    pub burst: u64,
    /// Bytes a second after that.
    pub per_second: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes a second after that: a run that lasts for weeks is never silenced.
    pub trickle: u64,
}

impl Default for Bounds {
    /// 10 MiB at once, 1 MiB a second after that; 64 MiB in all, 16 KiB a second after that.
    fn default() -> Self {
        Bounds { burst: 10 << 20, per_second: 1 << 20, total: 64 << 20, trickle: 16 << 10 }
    }
}

/// Decides which lines of a run are told.
///
/// Once a line was refused all are, until there is room for a second's worth: a few long stretches read better than
/// single lines with gaps between them.
#[derive(Debug)]
pub struct Meter {
    /// None before the first line: most runs are silent.
    buckets: Option<[Bucket; 2]>,
    bounds: Bounds,
    shut: bool,
}

impl Meter {
    /// Nothing told yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Meter { buckets: None, bounds, shut: false }
    }

    /// Whether a line of `length` bytes is told at `now` (monotonic).
    pub fn admits(&mut self, length: usize, now: Instant) -> bool {
        let cost = length as u64 + LINE;
        let shut = self.shut;
        let buckets = self.filled(now);
        let has_room = |bucket: &Bucket| {
            // A line above the whole burst would never have room.
            let wanted = if shut { bucket.rate.max(cost) } else { cost };
            bucket.level >= wanted.min(bucket.capacity)
        };
        let admitted = buckets.iter().all(has_room);
        if admitted {
            for bucket in buckets {
                bucket.level = bucket.level.saturating_sub(cost);
            }
        }
        self.shut = !admitted;
        admitted
    }

    /// Whether, after a line was refused, there is room for a second's worth of them at `now` (monotonic).
    pub fn has_room(&mut self, now: Instant) -> bool {
        self.filled(now).iter().all(|bucket| bucket.level >= bucket.rate.min(bucket.capacity))
    }

    fn filled(&mut self, now: Instant) -> &mut [Bucket; 2] {
        let Bounds { burst, per_second, total, trickle } = self.bounds;
        let buckets = self.buckets.get_or_insert_with(|| {
            [Bucket::full(burst, per_second, now), Bucket::full(total, trickle, now)]
        });
        for bucket in &mut *buckets {
            bucket.fill(now);
        }
        buckets
    }
}

#[derive(Debug)]
struct Bucket {
    level: u64,
    capacity: u64,
    /// A second.
    rate: u64,
    /// When it was filled last.
    at: Instant,
}

impl Bucket {
    fn full(capacity: u64, rate: u64, at: Instant) -> Self {
        Bucket { level: capacity, capacity, rate, at }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let more = passed.saturating_mul(self.rate) / 1000;
        // What is less than a byte is not lost: the next call counts from the same instant.
        if more > 0 {
            self.level = self.level.saturating_add(more).min(self.capacity);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: Bounds = Bounds { burst: 10_000, per_second: 1_000, total: 50_000, trickle: 500 };

    /// How many lines of 100 bytes, 200 with what a line costs, are told at once.
    fn told(meter: &mut Meter, now: Instant) -> usize {
        (0..10_000).take_while(|_| meter.admits(100, now)).count()
    }

    #[test]
    fn a_burst_is_told_and_then_so_much_a_second() {
        let mut meter = Meter::new(BOUNDS);
        let start = Instant::now();
        assert_eq!(told(&mut meter, start), 50);
        assert_eq!(told(&mut meter, start + Duration::from_millis(900)), 0);
        assert_eq!(told(&mut meter, start + Duration::from_secs(1)), 5);
        assert_eq!(told(&mut meter, start + Duration::from_secs(60)), 50);
    }

    #[test]
    fn after_the_total_a_trickle_is_left() {
        let mut meter = Meter::new(BOUNDS);
        let start = Instant::now();
        let mut lines = 0;
        for second in 0..100 {
            lines += told(&mut meter, start + Duration::from_secs(second));
        }
        // The total and the trickle of the time: 99 500.
        assert!((490..=498).contains(&lines), "{lines}");
        let second = |second| start + Duration::from_secs(second);
        let late: usize = (100..200).map(|after| told(&mut meter, second(after))).sum();
        assert!((245..=255).contains(&late), "{late}");
    }

    #[test]
    fn a_line_above_the_burst_is_told_when_there_is_all_the_room_there_can_be() {
        let mut meter = Meter::new(BOUNDS);
        let start = Instant::now();
        assert!(meter.admits(100_000, start));
        assert!(!meter.admits(1, start));
    }

    #[test]
    fn time_that_brings_less_than_a_byte_is_not_lost() {
        let mut meter = Meter::new(BOUNDS);
        let start = Instant::now();
        told(&mut meter, start);
        let tries = (0..=1000).map(|ms| start + Duration::from_millis(ms));
        assert_eq!(tries.filter(|&now| meter.admits(100, now)).count(), 1);
    }
}
