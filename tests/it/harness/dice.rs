//! Pseudo-random numbers (SplitMix64): the same for a seed on every machine.

/// Throws the same numbers for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of_seed(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number from 0 to below `sides`.
    pub(crate) fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let sides = u64::try_from(sides).unwrap();
        usize::try_from((z ^ (z >> 31)) % sides).unwrap()
    }
}
