//! Every priority against every interval, compared with exact rational arithmetic.

use core::time::Duration;
use vrrp_core::timers::{active_down_interval, skew_time};
use vrrp_core::{Family, Interval, Priority, Version};

/// `numerator / denominator` seconds in whole nanoseconds, rounded down, in 128 bits.
fn rational(numerator: u128, denominator: u128) -> Duration {
    Duration::from_nanos(u64::try_from(numerator * 1_000_000_000 / denominator).unwrap())
}

#[test]
fn tm_03_tm_04_tm_06_v3_timers_are_exact_for_every_priority_and_interval() {
    for value in 1..=255_u8 {
        let priority = Priority::new(value).unwrap();
        let rest = 256 - u128::from(value);
        for cs in 1..=4095_u64 {
            let interval = Interval::from_centiseconds(cs).unwrap();
            for family in [Family::V4, Family::V6] {
                // Skew_Time = rest / 256 * cs / 100 s; Active_Down_Interval adds 3 * cs / 100 s.
                let wide = u128::from(cs);
                assert_eq!(skew_time(Version::V3(family), priority, interval), rational(rest * wide, 256 * 100));
                assert_eq!(
                    active_down_interval(Version::V3(family), priority, interval),
                    rational((rest + 3 * 256) * wide, 256 * 100)
                );
            }
        }
    }
}

#[test]
fn tm_01_tm_02_v2_timers_are_exact_for_every_priority_and_interval() {
    for value in 1..=255_u8 {
        let priority = Priority::new(value).unwrap();
        let rest = 256 - u128::from(value);
        for seconds in 1..=255_u64 {
            let interval = Interval::from_seconds(seconds).unwrap();
            assert_eq!(skew_time(Version::V2, priority, interval), rational(rest, 256));
            assert_eq!(
                active_down_interval(Version::V2, priority, interval),
                rational(rest + 3 * 256 * u128::from(seconds), 256)
            );
        }
    }
}

#[test]
fn tm_05_a_higher_priority_always_waits_less() {
    for cs in 1..=4095 {
        let interval = Interval::from_centiseconds(cs).unwrap();
        let skew = |value| skew_time(Version::V3(Family::V4), Priority::new(value).unwrap(), interval);
        for value in 1..255 {
            assert!(skew(value) > skew(value + 1), "priorities {value} and {} at {cs} cs", value + 1);
        }
        assert!(skew(255) > Duration::ZERO);
    }
}

#[test]
fn tm_03_tm_04_the_values_of_the_conformance_table() {
    let at = |cs, value| {
        let (interval, priority) = (Interval::from_centiseconds(cs).unwrap(), Priority::new(value).unwrap());
        let version = Version::V3(Family::V4);
        (skew_time(version, priority, interval), active_down_interval(version, priority, interval))
    };
    assert_eq!(at(100, 100), (Duration::from_nanos(609_375_000), Duration::from_nanos(3_609_375_000)));
    assert_eq!(at(100, 150).0, Duration::from_nanos(414_062_500));
    assert_eq!(at(1, 254), (Duration::from_nanos(78_125), Duration::from_nanos(30_078_125)));
    assert_eq!(at(4095, 1), (Duration::from_nanos(40_790_039_062), Duration::from_nanos(163_640_039_062)));
}
