//! RFC 3768 (VRRPv2) where it differs from RFC 9568.

mod common;

use common::{RIVAL_ABOVE, Router, advert, centiseconds, millis, priority};
use core::time::Duration;
use vrrp_core::timers::{active_down_interval, skew_time};
use vrrp_core::{Event, Interval, Timer, Version};

#[test]
fn tm_01_skew_time_does_not_depend_on_the_interval() {
    for (value, nanos) in [(100, 609_375_000), (254, 7_812_500), (1, 996_093_750)] {
        for seconds in [1, 7, 255] {
            let interval = Interval::from_seconds(seconds).unwrap();
            assert_eq!(skew_time(Version::V2, priority(value), interval), Duration::from_nanos(nanos));
        }
    }
}

#[test]
fn tm_02_the_down_interval_is_three_intervals_and_skew_time() {
    let down =
        |seconds, value| active_down_interval(Version::V2, priority(value), Interval::from_seconds(seconds).unwrap());
    assert_eq!(down(1, 100), Duration::from_nanos(3_609_375_000));
    assert_eq!(down(255, 1), Duration::from_nanos(765_996_093_750));
}

#[test]
fn au_08_a_v2_backup_keeps_to_its_own_interval() {
    let mut router = Router::backup(common::params(Version::V2));
    let mut heard = advert(RIVAL_ABOVE, 200);
    heard.interval = centiseconds(300);
    router.expect(1000, Event::Advert(heard), &[]);
    assert_eq!(router.deadline(), Some((millis(4609) + Duration::from_micros(375), Timer::ActiveDown)));
}
