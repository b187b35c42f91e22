//! Hashing short runs of bytes quickly: a file may have 100 000 entries.
use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashers that fold eight bytes at a time into a secret start: the crontab's author does not know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeded(u64);

impl Seeded {
    /// A start that is always the same, for hashes that are compared from one reading to the next.
    pub(crate) const FIXED: Self = Seeded(0x2545_f491_4f6c_dd1d);

    /// A start that differs from one crontab to the next.
    pub(crate) fn random() -> Self {
        Seeded(RandomState::new().hash_one(0))
    }

    /// The hash of a long run of bytes: four sums beside each other, since each step of one waits for the step before.
    pub(crate) fn hash_long(self, bytes: &[u8]) -> u64 {
        let [mut one, mut two, mut three, mut four] =
            [0, 1, 2, 3].map(|lane| Fold(self.0.wrapping_add(lane)));
        let (words, end) = bytes.as_chunks::<8>();
        let (blocks, rest) = words.as_chunks::<4>();
        for [a, b, c, d] in blocks {
            one.mix(u64::from_le_bytes(*a));
            two.mix(u64::from_le_bytes(*b));
            three.mix(u64::from_le_bytes(*c));
            four.mix(u64::from_le_bytes(*d));
        }
        let mut sum = self.build_hasher();
        for Fold(lane) in [one, two, three, four] {
            sum.mix(lane);
        }
        for word in rest {
            sum.mix(u64::from_le_bytes(*word));
        }
        sum.write(end);
        sum.mix(bytes.len() as u64);
        sum.finish()
    }
}

impl Default for Seeded {
    fn default() -> Self {
        Seeded::random()
    }
}

impl BuildHasher for Seeded {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold(self.0)
    }
}

/// See [`Seeded`].
pub(crate) struct Fold(u64);

impl Fold {
    #[inline]
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        let high = u64::try_from(product >> 64).unwrap_or(0);
        let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0);
        self.0 = (low ^ high).rotate_left(23);
    }
}

impl Hasher for Fold {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last));
        self.mix(bytes.len() as u64);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.mix(number as u64);
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_long_run_is_told_from_any_other_by_each_byte_and_by_its_length() {
        let mut seen = HashSet::new();
        for length in 0..100 {
            let mut bytes = vec![0; length];
            assert!(seen.insert(Seeded::FIXED.hash_long(&bytes)), "{length} zeros");
            for at in 0..length {
                bytes[at] = 1;
                assert!(seen.insert(Seeded::FIXED.hash_long(&bytes)), "{length} bytes, {at}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn a_long_run_is_told_from_one_with_two_words_exchanged() {
        let words: Vec<u8> = (0..64).map(|at| at / 8).collect();
        for (one, other) in (0..8).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let mut bytes = words.clone();
            for at in 0..8 {
                bytes.swap(8 * one + at, 8 * other + at);
            }
            assert_ne!(Seeded::FIXED.hash_long(&bytes), Seeded::FIXED.hash_long(&words));
        }
    }
}
