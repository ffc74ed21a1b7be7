//! Unicast virtual routers (draft-abinabraham-vrrp-unicast), TTL policies, allow-lists and a source of one's own, through
//! `VrrpRouter`.
#![cfg(feature = "alloc")]

mod common;

use common::{ME, RIVAL_ABOVE, RIVAL_BELOW, millis};
use core::net::IpAddr;
use vrrp_core::wire::{ChecksumForm, Discard, Envelope, Reason, Repr, TtlPolicy};
use vrrp_core::{
    Action, Addressing, Alarm, Claim, ConfigError, Event, Family, Fault, IfIndex, Instant, Interval, Params, Priority,
    Role, RouterId, Version, VirtualRouterConfig, Vrid, VrrpRouter,
};

const V3: Version = Version::V3(Family::V4);
const V3_IPV6: Version = Version::V3(Family::V6);
const ROUTED: TtlPolicy = TtlPolicy::Routed { min: 250, max: 253, send: 255 };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn eth0() -> IfIndex {
    IfIndex::new(2).unwrap()
}

fn vrid(value: u8) -> Vrid {
    Vrid::new(value).unwrap()
}

fn multicast(id: u8) -> VirtualRouterConfig {
    VirtualRouterConfig::new(vrid(id), common::params(V3), [ip("192.0.2.100")])
}

fn unicast(id: u8) -> VirtualRouterConfig {
    multicast(id).with_addressing(Addressing::unicast([RIVAL_ABOVE, RIVAL_BELOW]))
}

fn routed(id: u8) -> VirtualRouterConfig {
    multicast(id).with_addressing(Addressing::unicast_with_ttl([RIVAL_ABOVE], ROUTED))
}

/// A virtual router over IPv6, advertising from `own`.
fn unicast_v6(own: &str, peers: &[&str], ttl: TtlPolicy) -> VirtualRouterConfig {
    let params = Params::new(V3_IPV6).with_primary_address(Some(ip(own))).unwrap();
    let addressing = Addressing::unicast_with_ttl(peers.iter().map(|peer| ip(peer)), ttl);
    VirtualRouterConfig::new(vrid(51), params, [ip("fe80::100")]).with_addressing(addressing)
}

fn from(source: IpAddr, destination: IpAddr) -> Envelope {
    Envelope { source, destination, ttl: Some(255) }
}

/// What arrives of a peer's advertisement for 192.0.2.100.
fn receive(router: &mut VrrpRouter, id: u8, envelope: Envelope) -> Result<RouterId, Discard> {
    let addresses = [ip("192.0.2.100")];
    let repr = Repr { priority: Some(Priority::OWNER), ..Repr::new(V3, vrid(id), &addresses) };
    let mut octets = vec![0; repr.buffer_len()];
    repr.emit(envelope.source, envelope.destination, ChecksumForm::PseudoHeader, &mut octets).unwrap();
    router.handle_datagram(millis(1), eth0(), &envelope, &octets)
}

fn with(config: VirtualRouterConfig) -> (VrrpRouter, RouterId) {
    let mut router = VrrpRouter::new();
    let id = router.add(eth0(), config).unwrap();
    (router, id)
}

fn refused(config: VirtualRouterConfig) -> String {
    let mut router = VrrpRouter::new();
    let error = router.add(eth0(), config).unwrap_err();
    assert_eq!(router.ids().count(), 0);
    error.to_string()
}

fn claim() -> Claim {
    Claim { priority: Some(Priority::DEFAULT), interval: Interval::DEFAULT }
}

/// Every copy of an advertisement, as a driver sends them: where to, with which TTL, and the octets.
fn copies(router: &mut VrrpRouter, id: RouterId) -> Vec<(IpAddr, u8, Vec<u8>)> {
    let (mut buffer, mut copies) = ([0; 64], Vec::new());
    let first = router.build_advert(id, claim(), &mut buffer).unwrap();
    copies.push((first.destination, first.ttl, buffer[..first.len].to_vec()));
    let mut n = 1;
    while let Some(destination) = router.destinations(id).get(n).copied() {
        let copy = router.build_copy(id, claim(), destination, &mut buffer).unwrap();
        copies.push((copy.destination, copy.ttl, buffer[..copy.len].to_vec()));
        n += 1;
    }
    copies
}

#[test]
fn uc_01_a_virtual_router_is_either_multicast_or_unicast() {
    let mut router = VrrpRouter::new();
    let many = router.add(eth0(), multicast(1)).unwrap();
    let few = router.add(eth0(), unicast(2)).unwrap();
    assert_eq!(router.destinations(many), [Family::V4.group()]);
    assert_eq!(router.destinations(few), [RIVAL_ABOVE, RIVAL_BELOW]);
    let gone = router.remove(Instant::ZERO, few).unwrap();
    assert!(gone.addressing.is_unicast());
    assert!(router.destinations(few).is_empty());
}

#[test]
fn uc_02_there_is_a_peer_and_none_is_this_host() {
    let unicast_to = |peers: &[&str]| multicast(51).with_addressing(Addressing::unicast(peers.iter().map(|p| ip(p))));
    assert_eq!(
        refused(unicast_to(&[])),
        "virtual router 51 has an empty list of peers: name one at least, or use multicast from anybody"
    );
    let own = multicast(51).with_addressing(Addressing::unicast([RIVAL_ABOVE, ME]));
    assert_eq!(refused(own), format!("{ME} is this host's own address: take it from the peers of virtual router 51"));
    assert_eq!(refused(unicast_to(&["fe80::1"])), "fe80::1 is no IPv4 address: virtual router 51 runs VRRPv3/IPv4");
    assert_eq!(
        refused(unicast_to(&["224.0.0.18"])),
        "224.0.0.18 cannot be a peer of virtual router 51: it must be a unicast address of one host"
    );
    assert_eq!(
        refused(unicast_to(&["192.0.2.3", "192.0.2.3"])),
        "192.0.2.3 is given twice as a peer of virtual router 51"
    );
}

#[test]
fn uc_02_a_host_that_gets_the_address_of_a_peer_leaves_the_election() {
    let (mut router, id) = with(unicast(51));
    router.handle_event(Instant::ZERO, id, Event::Startup);
    let clash = ConfigError::OwnAddressAsPeer(vrid(51), RIVAL_ABOVE);
    assert_eq!(router.set_primary_address(millis(1), id, Some(RIVAL_ABOVE)), Err(clash));
    assert!(router.state(id).unwrap().faults().contains(Fault::PrimaryAddress));
    router.set_primary_address(millis(2), id, Some(ME)).unwrap();
    assert_eq!(router.state(id).unwrap().role(), Role::Backup);
}

#[test]
fn uc_03_each_peer_gets_one_identical_copy() {
    let third = ip("192.0.2.33");
    let peers = [RIVAL_ABOVE, RIVAL_BELOW, third];
    let (mut router, id) = with(multicast(51).with_addressing(Addressing::unicast(peers)));
    let sent = copies(&mut router, id);
    assert_eq!(sent.iter().map(|(to, ..)| *to).collect::<Vec<_>>(), peers);
    for (to, ttl, octets) in &sent {
        assert_eq!(*ttl, 255);
        // uc_08: only the checksum may differ, over whose pseudo-header is the real destination.
        assert_eq!(octets[..6], sent[0].2[..6]);
        assert_eq!(octets[8..], sent[0].2[8..]);
        let (mut peer, peer_id) = with({
            let params = Params::new(V3).with_primary_address(Some(*to)).unwrap();
            multicast(51).with_params(params).with_addressing(Addressing::unicast([ME]))
        });
        assert_eq!(peer.handle_datagram(millis(1), eth0(), &from(ME, *to), octets), Ok(peer_id));
    }
    // One advertisement, however many copies.
    router.count_sent(id, claim());
    assert_eq!(router.counters(id).unwrap().adverts_sent, 1);
}

#[test]
fn uc_04_only_peers_are_heard() {
    let (mut router, id) = with(unicast(51));
    for peer in [RIVAL_ABOVE, RIVAL_BELOW] {
        assert_eq!(receive(&mut router, 51, from(peer, ME)), Ok(id));
    }
    assert_eq!(receive(&mut router, 51, from(ip("192.0.2.77"), ME)), Err(Discard::NotPeer));
    assert_eq!(router.counters(id).unwrap().discards.count(Reason::NotPeer), 1);
}

#[test]
fn uc_05_the_ttl_is_255_unless_the_peers_are_behind_routers() {
    let (mut router, _) = with(unicast(51));
    let far = |ttl| Envelope { ttl, ..from(RIVAL_ABOVE, ME) };
    for ttl in [Some(254), Some(10), None] {
        assert_eq!(receive(&mut router, 51, far(ttl)), Err(Discard::Ttl(ttl)));
    }
    let (mut router, id) = with(routed(51));
    for ttl in 250..=253 {
        assert_eq!(receive(&mut router, 51, far(Some(ttl))), Ok(id));
    }
    for ttl in [Some(249), Some(254), Some(255), None] {
        assert_eq!(receive(&mut router, 51, far(ttl)), Err(Discard::Ttl(ttl)));
    }
}

#[test]
fn uc_05_the_ttl_that_is_sent_can_be_set() {
    let ttl = TtlPolicy::Routed { min: 60, max: 64, send: 64 };
    let (mut router, id) = with(multicast(51).with_addressing(Addressing::unicast_with_ttl([RIVAL_ABOVE], ttl)));
    assert_eq!(copies(&mut router, id)[0].1, 64);
}

#[test]
fn uc_05_a_ttl_policy_by_which_nothing_arrives_is_refused() {
    for ttl in [TtlPolicy::Routed { min: 9, max: 8, send: 255 }, TtlPolicy::Routed { min: 1, max: 255, send: 0 }] {
        let config = multicast(51).with_addressing(Addressing::unicast_with_ttl([RIVAL_ABOVE], ttl));
        assert!(refused(config).starts_with("virtual router 51 cannot accept a TTL of "));
    }
}

#[test]
fn se_01_a_routed_virtual_router_does_not_open_the_others() {
    let mut router = VrrpRouter::new();
    let open = router.add(eth0(), routed(1)).unwrap();
    router.add(eth0(), unicast(2)).unwrap();
    router.add(eth0(), multicast(3)).unwrap();
    let far = |destination| Envelope { ttl: Some(252), ..from(RIVAL_ABOVE, destination) };
    assert_eq!(receive(&mut router, 1, far(ME)), Ok(open));
    for (id, destination) in [(2, ME), (3, Family::V4.group()), (4, ME)] {
        assert_eq!(receive(&mut router, id, far(destination)), Err(Discard::Ttl(Some(252))), "{id}");
    }
    // The TTL comes before anything that costs work: neither length nor checksum of this one are right.
    let broken = [0x31, 2, 100, 1, 0, 100, 0, 0, 1, 2, 3];
    assert_eq!(router.handle_datagram(millis(1), eth0(), &far(ME), &broken), Err(Discard::Ttl(Some(252))));
}

#[test]
fn uc_06_multicast_and_unicast_do_not_hear_each_other() {
    let (mut router, _) = with(unicast(51));
    assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, Family::V4.group())), Err(Discard::Destination));
    let (mut router, _) = with(multicast(51));
    assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, ME)), Err(Discard::Destination));
}

#[test]
fn uc_06_a_unicast_router_follows_its_own_address() {
    let (mut router, id) = with(unicast(51));
    let other = ip("192.0.2.44");
    router.set_primary_address(millis(1), id, Some(other)).unwrap();
    assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, ME)), Err(Discard::Destination));
    assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, other)), Ok(id));
    // Without one nothing is for it: not what was for the old one, nor what is for the group.
    router.set_primary_address(millis(2), id, None).unwrap();
    for destination in [other, Family::V4.group()] {
        assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, destination)), Err(Discard::Destination));
    }
}

#[test]
fn uc_07_over_ipv6_everybody_is_link_local_unless_routed() {
    with(unicast_v6("fe80::1", &["fe80::2"], TtlPolicy::Strict));
    assert_eq!(
        refused(unicast_v6("fe80::1", &["2001:db8::2"], TtlPolicy::Strict)),
        "2001:db8::2 is not link-local: virtual router 51 needs fe80::/10 unless its peers are behind routers"
    );
    assert_eq!(
        refused(unicast_v6("2001:db8::1", &["fe80::2"], TtlPolicy::Strict)),
        "2001:db8::1 is not link-local: virtual router 51 needs fe80::/10 unless its peers are behind routers"
    );
    let (mut router, id) = with(unicast_v6("2001:db8::1", &["2001:db8:2::2"], ROUTED));
    let addresses = [ip("fe80::100")];
    let repr = Repr { priority: Some(Priority::OWNER), ..Repr::new(V3_IPV6, vrid(51), &addresses) };
    let mut octets = vec![0; repr.buffer_len()];
    let envelope = Envelope { ttl: Some(250), ..from(ip("2001:db8:2::2"), ip("2001:db8::1")) };
    repr.emit(envelope.source, envelope.destination, ChecksumForm::PseudoHeader, &mut octets).unwrap();
    assert_eq!(router.handle_datagram(millis(1), eth0(), &envelope, &octets), Ok(id));
    let (mut strict, _) = with(unicast_v6("fe80::1", &["fe80::2"], TtlPolicy::Strict));
    let result = strict.handle_datagram(millis(1), eth0(), &Envelope { ttl: Some(255), ..envelope }, &octets);
    assert_eq!(result, Err(Discard::Source(envelope.source)));
}

#[test]
fn se_03_a_list_of_allowed_sources_holds_in_multicast_mode_too() {
    let (mut router, id) = with(multicast(51).with_addressing(Addressing::multicast_from([RIVAL_ABOVE])));
    let group = Family::V4.group();
    assert_eq!(router.destinations(id), [group]);
    assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, group)), Ok(id));
    assert_eq!(receive(&mut router, 51, from(RIVAL_BELOW, group)), Err(Discard::NotPeer));
    assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, ME)), Err(Discard::Destination));
    let nobody = multicast(51).with_addressing(Addressing::multicast_from([]));
    assert!(refused(nobody).starts_with("virtual router 51 has an empty list of peers"));
}

#[test]
fn a_router_with_a_source_of_its_own_advertises_from_no_other_address() {
    let source = ip("192.0.2.99");
    let (mut router, id) = with(unicast(51).with_source(source));
    router.handle_event(Instant::ZERO, id, Event::Startup);
    assert_eq!(router.params(id).unwrap().primary_address(), Some(source));
    assert_eq!(router.build_advert(id, claim(), &mut [0; 64]).unwrap().source, source);
    assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, source)), Ok(id));
    // The interface has another address, but not that one.
    router.set_primary_address(millis(2), id, Some(ME)).unwrap();
    assert!(router.state(id).unwrap().faults().contains(Fault::PrimaryAddress));
    router.set_primary_address(millis(3), id, Some(source)).unwrap();
    assert_eq!(router.state(id).unwrap().role(), Role::Backup);
    assert_eq!(
        refused(multicast(51).with_source(ip("0.0.0.0"))),
        "virtual router 51 cannot advertise from 0.0.0.0: it must be a unicast address of one host"
    );
    assert!(refused(multicast(51).with_source(ip("fe80::1"))).contains("is not an IPv4 address"));
}

#[test]
fn pf_20_a_list_that_needs_fragments_is_refused() {
    let addresses = |count: u16| (1..=count).map(|host| IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 1, host]));
    let params = Params::new(V3_IPV6).with_primary_address(Some(ip("fe80::1"))).unwrap();
    with(VirtualRouterConfig::new(vrid(51), params, addresses(90)));
    assert_eq!(
        refused(VirtualRouterConfig::new(vrid(51), params, addresses(91))),
        "virtual router 51 has 91 addresses: 90 fit into an MTU of 1500"
    );
    with(VirtualRouterConfig::new(vrid(51), params, addresses(255)).with_mtu(9000));
    let long = (0..255).map(|host| IpAddr::from([198, 51, 100, host]));
    with(VirtualRouterConfig::new(vrid(51), common::params(Version::V2), long));
}

#[test]
fn uc_10_a_signed_advertisement_for_a_router_without_keys_is_an_alarm() {
    let (mut router, id) = with(multicast(51));
    let addresses = [ip("192.0.2.100")];
    let repr = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(V3, vrid(51), &addresses) };
    let mut octets = vec![0; repr.buffer_len() + 28];
    let group = Family::V4.group();
    let len = repr.emit(RIVAL_ABOVE, group, ChecksumForm::PseudoHeader, &mut octets).unwrap();
    let length = Err(Discard::Length { expected: 12, got: 40 });
    assert_eq!(router.handle_datagram(millis(1), eth0(), &from(RIVAL_ABOVE, group), &octets), length);
    assert_eq!(router.poll_action(), Some((id, Action::Alarm(Alarm::RejectedPeer(RIVAL_ABOVE, Reason::Length)))));
    // Any other length is garbage, and so is one that is not for this router.
    let (mut router, _) = with(multicast(51));
    for octets in [&octets[..len + 27], &[&octets[..], &[0]].concat()] {
        assert!(router.handle_datagram(millis(1), eth0(), &from(RIVAL_ABOVE, group), octets).is_err());
    }
    assert!(router.handle_datagram(millis(1), eth0(), &from(RIVAL_ABOVE, ME), &octets).is_err());
    assert_eq!(router.poll_action(), None);
}

#[test]
fn another_group_than_the_familys_is_the_only_one_that_is_sent_to_and_heard() {
    let group = ip("224.0.100.19");
    let (mut router, id) = with(multicast(51).with_addressing(Addressing::multicast_to(group)));
    assert_eq!(router.destinations(id), [group]);
    assert_eq!(receive(&mut router, 51, from(RIVAL_ABOVE, group)), Ok(id));
    assert!(receive(&mut router, 51, from(RIVAL_ABOVE, Family::V4.group())).is_err());
    let refused = |group| refused(multicast(51).with_addressing(Addressing::multicast_to(ip(group))));
    assert!(refused("192.0.2.9").contains("192.0.2.9 is no multicast group"), "{}", refused("192.0.2.9"));
    assert!(refused("ff02::12").contains("ff02::12"), "of the other family");
}
