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
