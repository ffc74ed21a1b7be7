//! Numbers that nobody can foresee at the start: delays, DNS numbers, what a ping carries.

use std::time::Duration;

/// SplitMix64 (Steele, Lea, Flood 2014), seeded by the kernel.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        let mut seed = [0; 8];
        let filled = rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::NONBLOCK);
        if filled != Ok(seed.len()) {
            // A host that has just booted: the time since then differs enough.
            seed = super::now().as_nanos().to_ne_bytes();
        }
        Self(u64::from_ne_bytes(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn number(&mut self) -> u16 {
        let [a, b, ..] = self.next().to_ne_bytes();
        u16::from_ne_bytes([a, b])
    }

    pub(super) fn octets(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_ne_bytes()
    }

    /// Anything from zero to this, both included.
    pub(super) fn below(&mut self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.next() % nanos.saturating_add(1).max(1))
    }
}
