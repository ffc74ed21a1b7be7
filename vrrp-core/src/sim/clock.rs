//! A node's own clock: off by an offset, faster or slower by some millionths, and it may stop.

use crate::Instant;

const MILLION: u64 = 1_000_000;

/// Maps the time of the simulation to that of one node and back, in integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// When the rate last changed, in the time of the simulation and of the node.
    world: Instant,
    own: Instant,
    /// Own microseconds in a second of the simulation; 0 while the clock stands.
    rate: u64,
    /// The rate to go on with.
    drifted: u64,
}

impl Clock {
    pub(super) const fn new(offset: Instant) -> Self {
        Self { world: Instant::ZERO, own: offset, rate: MILLION, drifted: MILLION }
    }

    /// What the clock shows at `now`.
    pub(super) fn own(&self, now: Instant) -> Instant {
        let passed = now.as_nanos().saturating_sub(self.world.as_nanos());
        let passed = if self.rate == MILLION { passed } else { scale(passed, self.rate, MILLION) };
        Instant::from_nanos(self.own.as_nanos().saturating_add(passed))
    }

    /// The first moment at which the clock shows `own` or more; `None` while it stands.
    pub(super) fn world(&self, own: Instant) -> Option<Instant> {
        let passed = own.as_nanos().saturating_sub(self.own.as_nanos());
        let passed = match self.rate {
            0 => return None,
            MILLION => passed,
            // Rounded up: the clock must have come so far.
            rate => scale(passed, MILLION, rate).saturating_add(1),
        };
        Some(Instant::from_nanos(self.world.as_nanos().saturating_add(passed)))
    }

    /// Goes `ppm` millionths too fast from `now` on; at most half or one and a half times the true speed.
    pub(super) fn drift(&mut self, now: Instant, ppm: i32) {
        let ppm = ppm.clamp(-500_000, 500_000);
        self.drifted = MILLION.saturating_add_signed(i64::from(ppm));
        self.set(now, self.drifted);
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.set(now, 0);
    }

    pub(super) fn go_on(&mut self, now: Instant) {
        self.set(now, self.drifted);
    }

    fn set(&mut self, now: Instant, rate: u64) {
        *self = Self { world: now, own: self.own(now), rate, ..*self };
    }
}

/// `value * by / of`, rounded down.
fn scale(value: u64, by: u64, of: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(by) / u128::from(of)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_come_on_the_nodes_clock_when_it_fires_and_not_before() {
        for ppm in [-500_000, -200, -1, 0, 1, 150, 500_000] {
            let mut clock = Clock::new(Instant::from_millis(77));
            clock.drift(Instant::from_millis(5), ppm);
            for nanos in [0, 1, 999_999_999, 3_609_375_000, 86_400_000_000_001] {
                let own = Instant::from_nanos(77_000_000 + 5_000_000 + nanos);
                let world = clock.world(own).unwrap();
                assert!(clock.own(world) >= own, "{ppm} ppm");
                assert!(clock.own(world).as_nanos() - own.as_nanos() <= 3);
            }
        }
    }

    #[test]
    fn a_clock_that_stands_comes_to_no_deadline_and_goes_on_where_it_stood() {
        let mut clock = Clock::new(Instant::ZERO);
        clock.stop(Instant::from_millis(10));
        assert_eq!(clock.world(Instant::from_millis(11)), None);
        clock.go_on(Instant::from_millis(500));
        assert_eq!(clock.own(Instant::from_millis(501)), Instant::from_millis(11));
    }
}
