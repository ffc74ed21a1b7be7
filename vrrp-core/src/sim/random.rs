//! Numbers that look random and are the same for the same seed, on every machine.

use core::time::Duration;

use crate::time::nanos;

/// One million: chances are given in millionths.
pub(super) const MILLION: u32 = 1_000_000;

/// A small generator (SplitMix64): for tests, not for secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Random(u64);

impl Random {
    /// The generator that `seed` starts.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of `0..bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(scaled >> 64).unwrap_or(0)
    }

    /// Whether something happens whose chance is `millionths` in a million. Takes no number if it is 0.
    pub fn chance(&mut self, millionths: u32) -> bool {
        millionths > 0 && self.below(u64::from(MILLION)) < u64::from(millionths)
    }

    /// A duration of `from..=to`, in nanoseconds.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let (from, to) = (nanos(from), nanos(to));
        Duration::from_nanos(from.saturating_add(self.below(to.saturating_sub(from).saturating_add(1))))
    }

    /// One of `choices`; `None` if there is none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = self.below(u64::try_from(choices.len()).ok()?);
        choices.get(usize::try_from(index).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut random = Random::new(1);
        assert_eq!([random.bits(), random.bits()], [0x910a_2dec_8902_5cc1, 0xbeeb_8da1_658e_ec67]);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut random = Random::new(2);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[usize::try_from(random.below(7)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(random.below(0), 0);
        assert!((0..1000).all(|_| random.chance(MILLION) && !random.chance(0)));
    }
}
