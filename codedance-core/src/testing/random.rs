//! Randomness that a seed repeats.

/// SplitMix64: small, fast and even, which is all that drawing faults asks for.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Random(u64);

impl Random {
    pub(in crate::testing) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::testing) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, 0 if that is 0.
    pub(in crate::testing) const fn below(&mut self, bound: u64) -> u64 {
        match self.next().checked_rem(bound) {
            Some(number) => number,
            None => 0,
        }
    }

    /// A number from `least` to `most`, both included.
    pub(in crate::testing) const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(in crate::testing) const fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// One of `choices`, which are not empty.
    pub(in crate::testing) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let last = choices.len() as u64 - 1;
        let index = usize::try_from(self.between(0, last)).unwrap_or_default();
        choices[index].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_published_sequence() {
        let mut random = Random::new(1_234_567);
        let drawn = [random.next(), random.next(), random.next()];
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(drawn, published);
        assert_eq!(random.below(0), 0);
    }
}
