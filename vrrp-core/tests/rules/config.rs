//! Values that no router can run with are refused where they are given, with the value and what would be right.

use core::time::Duration;

use vrrp_core::wire::{Authentication, Password};
use vrrp_core::{
    Family, IfIndex, Interval, Params, Preempt, Priority, ValueError, Version, VirtualAddr, VirtualRouterConfig, Vrid,
    VrrpRouter,
};

use crate::{V3, V3_IPV6, address, config, interface, with_addresses};

/// The message of an error, which must have these words in it.
#[track_caller]
fn names<T: core::fmt::Debug, E: core::fmt::Display>(result: Result<T, E>, words: &[&str]) {
    let Err(error) = result else { panic!("{words:?} was accepted") };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}

#[test]
fn every_value_out_of_its_range_is_refused_with_the_value_and_the_range() {
    names(Vrid::new(0), &["0", "1..=255"]);
    names(Vrid::try_from(256), &["256", "1..=255"]);
    names(Priority::new(0), &["0", "1..=255"]);
    names(Priority::try_from(256), &["256", "1..=255"]);
    names(Interval::from_centiseconds(0), &["0 cs", "1..=4095"]);
    names(Interval::from_centiseconds(4096), &["4096 cs", "1..=4095"]);
    names(Interval::from_seconds(0), &["0 s", "1..=255"]);
    names(Interval::from_seconds(256), &["256 s", "1..=255"]);
    names(Interval::from_duration(Duration::from_millis(15)), &["15ms", "10 ms"]);
    names(IfIndex::new(0), &["0"]);
    names(VirtualAddr::new(address("192.0.2.1"), 33), &["33", "0..=32"]);
    names(VirtualAddr::new(address("2001:db8::1"), 129), &["129", "0..=128"]);
    names(VirtualAddr::host(address("224.0.0.18")), &["224.0.0.18", "unicast"]);
    names("192.0.2".parse::<VirtualAddr>(), &["192.0.2.100/24"]);
    names(Password::new(""), &["empty", "1 to 8"]);
    names(Password::new("123456789"), &["9 octets", "8"]);
    let (long, odd) = (Interval::from_seconds(41).unwrap(), Interval::from_centiseconds(150).unwrap());
    names(Params::new(V3).with_advert_interval(long), &["41 s", "10 ms to 40.95 s"]);
    names(Params::new(Version::V2).with_advert_interval(odd), &["1500 ms", "1 s to 255 s"]);
    names(Params::new(V3).with_primary_address(Some(address("fe80::1"))), &["fe80::1", "IPv4"]);
}

#[track_caller]
fn refused(change: impl FnOnce(&mut VirtualRouterConfig), words: &[&str]) {
    let mut settings = config(V3);
    change(&mut settings);
    let mut router = VrrpRouter::new();
    names(router.add(interface(), settings), words);
    assert_eq!(router.ids().count(), 0, "nothing is added");
}

#[test]
fn pf_05_a_virtual_router_has_1_to_255_addresses() {
    refused(|config| config.addresses.clear(), &["no address", "1 to 255"]);
    let many = || (0..=255).map(|n| [10, 0, 0, n].into()).collect();
    refused(|config| config.addresses = many(), &["256 addresses", "1 to 255"]);
}

#[test]
fn pf_14_the_addresses_of_a_virtual_router_are_of_its_family() {
    refused(|config| config.addresses.push(address("fe80::1")), &["fe80::1", "IPv4"]);
    let mut router = VrrpRouter::new();
    let mixed = with_addresses(config(V3_IPV6), &[address("192.0.2.100")]);
    names(router.add(interface(), mixed), &["192.0.2.100", "IPv6"]);
}

#[test]
fn au_07_a_password_with_v3_is_refused() {
    let password = Authentication::SimpleText(Password::new("1234").unwrap());
    refused(|config| config.authentication = password, &["password", "VRRPv3", "VRRPv2"]);
}

#[test]
fn el_06_a_router_preempts_and_takes_packets_unless_told_otherwise() {
    let params = Params::new(V3);
    assert_eq!(params.preempt(), Preempt::Immediately);
    // Where the RFC has false: an application that moves an address wants to be reached at it.
    assert!(params.accepts_packets());
    assert_eq!(params.priority(), Priority::DEFAULT);
}

#[test]
fn an_14_packets_to_the_addresses_are_taken_by_the_owner_and_with_accept_mode() {
    for version in [Version::V2, V3, Version::V3(Family::V6)] {
        let taken =
            |priority, accept| Params::new(version).with_priority(priority).with_accept_mode(accept).accepts_packets();
        assert!(taken(Priority::OWNER, false) && taken(Priority::OWNER, true));
        assert!(taken(Priority::DEFAULT, true));
        assert!(!taken(Priority::DEFAULT, false), "drop rule");
    }
}

#[test]
fn pf_07_pf_19_the_default_interval_is_one_second() {
    for version in [Version::V2, V3, V3_IPV6] {
        assert_eq!(Params::new(version).advert_interval().as_duration(), Duration::from_secs(1));
    }
    assert_eq!(Interval::from_centiseconds(0), Err(ValueError::Centiseconds(0)));
}
