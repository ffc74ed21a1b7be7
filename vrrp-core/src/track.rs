//! Tracking: what the state of other things does to a router's place in the election (not in the RFC).
//!
//! Pure functions: the application watches its interfaces, routes, checks and files, and hands what came of it to
//! [`VrrpRouter::set_assessment`](crate::VrrpRouter::set_assessment).

use crate::Priority;

/// One thing that is watched, and how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tracked {
    /// What it does to the router.
    pub impact: Impact,
    /// Whether it counts as good while it is down, and as bad while it is up.
    pub inverted: bool,
    /// How it is.
    pub up: bool,
}

/// What a watched thing does to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Impact {
    /// While it is bad, the router is out of the election.
    Fault,
    /// A positive weight is added to the priority while it is good, a negative one while it is bad.
    Weight(i16),
}

/// What comes of all that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Assessment {
    /// The priority to stand with.
    pub priority: Priority,
    /// Whether the router is out of the election.
    pub fault: bool,
}

/// Judges everything that is watched for a router of priority `base`.
///
/// The priority stays within 1..=254: 0 means a resignation, 255 the owner (RFC 9568 §5.2.4). An owner's priority does
/// not change, for it says whose the addresses are; a fault takes an owner out too.
pub fn assess(base: Priority, tracked: impl IntoIterator<Item = Tracked>) -> Assessment {
    let mut priority = i32::from(base.get());
    let mut fault = false;
    for thing in tracked {
        let good = thing.up != thing.inverted;
        match thing.impact {
            Impact::Fault => fault |= !good,
            Impact::Weight(weight) if good == (weight > 0) => priority = priority.saturating_add(i32::from(weight)),
            Impact::Weight(_) => {}
        }
    }
    let clamped = u8::try_from(priority.clamp(1, 254)).ok().and_then(Priority::from_wire);
    match clamped {
        Some(priority) if !base.is_owner() => Assessment { priority, fault },
        Some(_) | None => Assessment { priority: base, fault },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(weight: i16, up: bool) -> Tracked {
        Tracked { impact: Impact::Weight(weight), inverted: false, up }
    }

    fn priority(base: u8, tracked: &[Tracked]) -> u8 {
        assess(Priority::new(base).unwrap(), tracked.iter().copied()).priority.get()
    }

    #[test]
    fn a_positive_weight_counts_while_up_and_a_negative_one_while_down() {
        assert_eq!(priority(100, &[weight(20, true), weight(-30, true)]), 120);
        assert_eq!(priority(100, &[weight(20, false), weight(-30, false)]), 70);
    }

    #[test]
    fn an_inverted_weight_counts_the_other_way_round() {
        let inverted = |weight, up| Tracked { impact: Impact::Weight(weight), inverted: true, up };
        assert_eq!(priority(100, &[inverted(20, false)]), 120);
        assert_eq!(priority(100, &[inverted(-30, true)]), 70);
        assert_eq!(priority(100, &[inverted(20, true), inverted(-30, false)]), 100);
    }

    #[test]
    fn el_02_tracked_priorities_stay_within_1_and_254() {
        assert_eq!(priority(100, &[weight(-253, false)]), 1);
        assert_eq!(priority(100, &[weight(253, true)]), 254);
        assert_eq!(priority(254, &[weight(i16::MAX, true); 300]), 254);
        assert_eq!(priority(1, &[weight(i16::MIN, false); 300]), 1);
        // Only the sum is clamped, so that the order does not matter.
        assert_eq!(priority(200, &[weight(100, true), weight(-150, false)]), 150);
    }

    #[test]
    fn el_01_tracking_neither_lowers_an_owner_nor_makes_one() {
        assert_eq!(priority(255, &[weight(-200, false)]), 255);
        assert_eq!(priority(254, &[weight(1, true)]), 254);
    }

    #[test]
    fn a_bad_thing_without_a_weight_is_a_fault_for_the_owner_too() {
        let check = |inverted, up| Tracked { impact: Impact::Fault, inverted, up };
        for base in [100, 255] {
            let fault = |tracked| assess(Priority::new(base).unwrap(), [tracked]).fault;
            assert!(fault(check(false, false)) && fault(check(true, true)));
            assert!(!fault(check(false, true)) && !fault(check(true, false)));
        }
    }
}
