//! RFC 3768 (VRRPv2) where it differs from RFC 9568.

mod common;

use common::{RIVAL_ABOVE, RIVAL_BELOW, Router, advert, centiseconds, millis, priority};
use core::net::IpAddr;
use core::time::Duration;
use vrrp_core::Action::Announce;
use vrrp_core::timers::{active_down_interval, skew_time};
use vrrp_core::wire::{Authentication, Discard, Envelope, Expected, InternetChecksum, Packet};
use vrrp_core::{Event, Family, Interval, Params, Preempt, Priority, Role, Timer, Version, Vrid};

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

#[test]
fn au_06_a_router_without_a_password_takes_type_0_alone() {
    let addresses = [IpAddr::from([192, 0, 2, 100])];
    let vrid = Vrid::new(51).unwrap();
    let mut expected = Expected::new(Version::V2, vrid);
    expected.addresses = &addresses;
    assert_eq!(expected.authentication, Authentication::None, "unless one is configured");
    let envelope = Envelope { source: RIVAL_ABOVE, destination: Family::V4.group(), ttl: Some(255) };
    let receive = |auth_type: u8| {
        let mut octets = [0x21, 51, 100, 1, auth_type, 1, 0, 0, 192, 0, 2, 100, 0, 0, 0, 0, 0, 0, 0, 0];
        let field = InternetChecksum::new().with(&octets).field();
        octets[6..8].copy_from_slice(&field);
        Packet::parse(&envelope, &octets).unwrap().accept(&envelope, &expected)
    };
    assert!(receive(0).is_ok());
    for auth_type in 1..=255 {
        let discard = if auth_type <= 2 { Discard::AuthTypeMismatch } else { Discard::AuthType(auth_type) };
        assert_eq!(receive(auth_type), Err(discard));
    }
}

#[test]
fn au_08_the_machine_of_v2_is_that_of_v3() {
    // Every role and every claim: the same actions and deadlines, since all advertise each second.
    let v3 = Version::V3(Family::V4);
    for make in [Router::backup as fn(Params) -> Router, Router::active] {
        for preempt in [Preempt::Immediately, Preempt::Never] {
            for value in [0, 1, 99, 100, 101, 255] {
                for source in [RIVAL_BELOW, RIVAL_ABOVE] {
                    let after = |version| {
                        let mut router = make(common::params(version).with_preempt(preempt));
                        let now = router.now() + Duration::from_millis(500);
                        let actions = router.handle_at(now, Event::Advert(advert(source, value)));
                        (actions, router.state(), router.deadline())
                    };
                    assert_eq!(after(Version::V2), after(v3), "{value} from {source}");
                }
            }
        }
    }
}

#[test]
fn au_08_sm_20_by_default_an_active_answers_a_losing_rival_at_once_as_in_v3() {
    let mut router = Router::active(common::params(Version::V2));
    for losing in [advert(RIVAL_ABOVE, 99), advert(RIVAL_BELOW, 100)] {
        let (now, before) = (router.now() + Duration::from_millis(300), router.deadline());
        let answer = [router.sends(100), Announce];
        router.expect_at(now, Event::Advert(losing), &answer);
        assert_eq!((router.role(), router.deadline()), (Role::Active, before));
        router.run(before.unwrap().0);
    }
}

#[test]
fn au_08_accept_mode_holds_in_v2_too_which_has_none_of_its_own() {
    for accept in [true, false] {
        let params = common::params(Version::V2).with_accept_mode(accept);
        assert_eq!(params.accepts_packets(), accept);
        assert!(params.with_priority(Priority::OWNER).accepts_packets());
    }
}

#[test]
fn au_08_sm_20_an_active_can_be_told_to_discard_a_losing_rival_in_silence() {
    let mut router = Router::active(common::params(Version::V2).with_answer_rivals(false));
    for losing in [advert(RIVAL_ABOVE, 99), advert(RIVAL_BELOW, 100)] {
        let before = router.deadline();
        router.expect_at(router.now(), Event::Advert(losing), &[]);
        assert_eq!((router.role(), router.deadline()), (Role::Active, before));
    }
}
