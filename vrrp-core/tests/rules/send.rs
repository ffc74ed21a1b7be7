//! The transmit path (RFC 9568 §5, §7.2): octets, addresses, order.

use vrrp_core::wire::{ChecksumForm, Envelope, Expected, Packet, Repr};
use vrrp_core::{
    Action, AdvertError, Claim, Event, Fault, Interval, Priority, Role, Version, VirtualRouterConfig, Vrid,
};

use crate::common::{millis, priority};
use crate::{Host, V3, V3_IPV6, address, config, message, vector, with_addresses, with_params, with_password};

const CLAIM: Claim = Claim { priority: Some(Priority::DEFAULT), interval: Interval::DEFAULT };

impl Host {
    /// What it would send now.
    fn message(&mut self, claim: Claim) -> Vec<u8> {
        let mut buffer = [0xaa; Repr::MAX_LEN];
        let advert = self.router.build_advert(self.id, claim, &mut buffer).unwrap();
        buffer[..advert.len].to_vec()
    }
}

#[test]
fn pf_01_the_version_is_the_high_nibble_of_the_first_octet() {
    for (version, first) in [(Version::V2, 0x21), (V3, 0x31), (V3_IPV6, 0x31)] {
        assert_eq!(Host::new(config(version)).message(CLAIM)[0], first);
    }
}

#[test]
fn tx_06_what_is_built_is_the_golden_message() {
    let peer = |config: VirtualRouterConfig, source: &str| {
        let params = config.params.with_primary_address(Some(address(source))).unwrap();
        Host::new(with_params(config, params))
    };
    assert_eq!(peer(config(Version::V2), "192.0.2.2").message(CLAIM), message("V2-01"));
    assert_eq!(peer(config(V3_IPV6), "fe80::ff:fe00:b").message(CLAIM), message("V3-6-01"));
    let resignation = Claim { priority: None, ..CLAIM };
    assert_eq!(peer(config(Version::V2), "192.0.2.2").message(resignation), message("V2-03"));
    let addresses = ["192.0.2.100", "192.0.2.101", "192.0.2.102"].map(address);
    let authenticated = with_addresses(with_password("1234"), &addresses);
    let claim = Claim { priority: Some(priority(150)), ..CLAIM };
    assert_eq!(peer(authenticated, "192.0.2.2").message(claim), message("V2-04"));

    // Over VRRPv3 and IPv4 with the pseudo-header, until a peer is heard that leaves it out.
    let mut host = peer(config(V3), "192.0.2.3");
    let mut expected = message("V3-4-01P");
    let list = [address("192.0.2.100")];
    let with_source = |source: &str| {
        let repr = Repr { priority: CLAIM.priority, ..Repr::new(V3, Vrid::new(51).unwrap(), &list) };
        let mut buffer = [0; 12];
        repr.emit(address(source), address("224.0.0.18"), ChecksumForm::PseudoHeader, &mut buffer).unwrap();
        buffer
    };
    assert_eq!(with_source("192.0.2.2")[..], expected);
    expected[6..8].copy_from_slice(&with_source("192.0.2.3")[6..8]);
    assert_eq!(host.message(CLAIM), expected);
    host.hear(millis(1), &vector("V3-4-01M")).unwrap();
    assert_eq!(host.message(CLAIM), message("V3-4-01M"));
}

#[test]
fn pf_15_an_ipv6_list_is_sent_in_its_order_and_a_strict_peer_wants_a_link_local_address_first() {
    let envelope = Envelope { source: address("fe80::ff:fe00:a"), destination: address("ff02::12"), ttl: Some(255) };
    for (list, strict) in [(["fe80::100", "2001:db8::100"], true), (["2001:db8::100", "fe80::100"], false)] {
        let addresses = list.map(address);
        // Accepted as it is: keepalived peers may have such a list, and ours has to be theirs.
        let mut host = Host::new(with_addresses(config(V3_IPV6), &addresses));
        let octets = host.message(CLAIM);
        let packet = Packet::parse(&envelope, &octets).unwrap();
        assert!(packet.addresses().eq(addresses));
        let mut expected = Expected::new(V3_IPV6, Vrid::new(51).unwrap());
        (expected.addresses, expected.strict_address_list) = (&addresses, true);
        assert_eq!(packet.accept(&envelope, &expected).is_ok(), strict, "{list:?}");
    }
}

#[test]
fn pf_16_addresses_are_advertised_in_the_configured_order_also_after_a_reload() {
    let addresses = ["192.0.2.102", "192.0.2.100", "192.0.2.101"].map(address);
    let mut host = Host::new(with_addresses(config(V3), &addresses));
    let envelope = Envelope { source: address("192.0.2.1"), destination: address("224.0.0.18"), ttl: Some(255) };
    for value in [100, 150] {
        let params = config(V3).params.with_priority(priority(value));
        host.router.set_params(millis(1), host.id, params).unwrap();
        let octets = host.message(CLAIM);
        assert!(Packet::parse(&envelope, &octets).unwrap().addresses().eq(addresses));
    }
}

#[test]
fn pf_20_how_many_addresses_fit_a_packet_of_1500_octets() {
    let ipv6 = vec![address("fe80::100"); 92];
    let packet = |count: usize| 40 + Repr::new(V3_IPV6, Vrid::new(51).unwrap(), &ipv6[..count]).buffer_len();
    assert_eq!((packet(90), packet(91)), (1488, 1504));
    // A trailer of `auth_hmac` takes 28 more.
    assert_eq!((packet(89) + 28, packet(90) + 28), (1500, 1516));
    let ipv4 = vec![address("192.0.2.100"); 255];
    let message = |version| Repr::new(version, Vrid::new(51).unwrap(), &ipv4).buffer_len();
    assert_eq!((message(Version::V2), message(V3)), (1036, 1028));
}

#[test]
fn tx_02_advertisements_go_to_the_group() {
    for (version, group) in [(Version::V2, "224.0.0.18"), (V3, "224.0.0.18"), (V3_IPV6, "ff02::12")] {
        let mut host = Host::new(config(version));
        let advert = host.router.build_advert(host.id, CLAIM, &mut [0; 64]).unwrap();
        assert_eq!((advert.destination, advert.interface), (address(group), Some(crate::interface())));
    }
}

#[test]
fn tx_04_advertisements_come_from_the_primary_address_and_follow_it() {
    for (version, before, after) in [
        (V3, "192.0.2.1", "192.0.2.77"),
        (V3_IPV6, "fe80::ff:fe00:a", "fe80::77"),
        (Version::V2, "192.0.2.1", "192.0.2.77"),
    ] {
        let mut host = Host::active(config(version));
        let source = |host: &mut Host| host.router.build_advert(host.id, CLAIM, &mut [0; 64]).unwrap().source;
        assert_eq!(source(&mut host), address(before));
        host.router.set_primary_address(millis(4000), host.id, Some(address(after))).unwrap();
        assert_eq!((host.role(), host.actions()), (Role::Active, vec![]), "it keeps its role");
        assert_eq!(source(&mut host), address(after));
    }
}

#[test]
fn tx_11_without_an_address_to_send_from_a_router_is_out_of_the_election() {
    let mut host = Host::active(config(V3_IPV6));
    host.router.set_primary_address(millis(4000), host.id, None).unwrap();
    assert_eq!((host.role(), host.router.poll_timeout()), (Role::Initialize, None));
    let actions = host.actions();
    assert_eq!(actions[0], Action::RemoveAddresses);
    // Nothing to send from: not even when it is asked to.
    assert_eq!(host.router.build_advert(host.id, CLAIM, &mut [0; 64]), Err(AdvertError::NoPrimaryAddress));
    host.router.handle_timeout(millis(60_000));
    assert_eq!(host.actions(), []);
    // One that never had an address does not become Active.
    let params = vrrp_core::Params::new(V3_IPV6).with_priority(Priority::OWNER);
    let mut host = Host::new(with_params(config(V3_IPV6), params));
    host.router.handle_event(millis(0), host.id, Event::Fault(Fault::PrimaryAddress));
    host.router.handle_event(millis(0), host.id, Event::Startup);
    assert_eq!((host.role(), host.actions()), (Role::Initialize, vec![]));
    host.router.set_primary_address(millis(1), host.id, Some(address("fe80::1"))).unwrap();
    assert_eq!(host.role(), Role::Active);
}

#[test]
fn tx_04_tx_11_an_ipv6_router_whose_interface_has_no_link_local_address_is_out_of_the_election() {
    let global = address("2001:db8::1");
    let told = "2001:db8::1 is not link-local: virtual router 51 needs fe80::/10 unless its peers are behind routers";
    // Peers would drop what comes from it: as if there were none.
    let mut host = Host::active(config(V3_IPV6));
    host.message(CLAIM);
    let refused = host.router.set_primary_address(millis(4000), host.id, Some(global)).unwrap_err();
    assert_eq!(refused.to_string(), told);
    assert!(host.state().faults().contains(Fault::PrimaryAddress));
    let actions = host.actions();
    let resignation = Claim { priority: None, ..CLAIM };
    assert_eq!(actions[..2], [Action::RemoveAddresses, Action::SendAdvert(resignation)]);
    // It resigns from the address that it had, and says no more.
    let resigned = host.router.build_advert(host.id, resignation, &mut [0; 64]).unwrap();
    assert_eq!(resigned.source, address("fe80::ff:fe00:a"));
    assert_eq!(host.router.build_advert(host.id, CLAIM, &mut [0; 64]), Err(AdvertError::NoPrimaryAddress));
    assert_eq!((host.role(), host.router.poll_timeout()), (Role::Initialize, None));
    host.router.set_primary_address(millis(5000), host.id, Some(address("fe80::77"))).unwrap();
    assert_eq!(host.role(), Role::Backup);
    // Nor can one be configured with it, in either mode.
    let params = vrrp_core::Params::new(V3_IPV6).with_primary_address(Some(global)).unwrap();
    let mut router = vrrp_core::VrrpRouter::new();
    let configured = with_params(config(V3_IPV6), params);
    assert_eq!(router.add(crate::interface(), configured).unwrap_err().to_string(), told);
    assert_eq!(router.add(crate::interface(), config(V3_IPV6).with_source(global)).unwrap_err().to_string(), told);
}

#[test]
fn iv_01_one_version_at_a_time_and_the_other_one_is_dropped_until_the_version_is_changed_live() {
    let mut host = Host::active(config(Version::V2));
    assert!(host.hear(millis(4000), &vector("V3-4-03M")).is_err());
    assert_eq!(host.message(CLAIM), message("V2-01"), "VRRPv2 alone");
    host.actions();
    // The way from one version to the other: when the last VRRPv2 peer is gone, without leaving the role.
    host.router.set_params(millis(4100), host.id, config(V3).params).unwrap();
    assert_eq!((host.role(), host.actions()), (Role::Active, vec![]));
    assert_eq!(host.message(CLAIM)[0], 0x31);
    assert!(host.hear(millis(4200), &vector("V3-4-03M")).is_ok());
    assert!(host.hear(millis(4200), &vector("V2-03")).is_err());
}
