//! `VrrpRouter`: many virtual routers, datagrams in, ordered actions out.
#![cfg(feature = "alloc")]

mod common;

use common::{RIVAL_ABOVE, centiseconds, millis, priority};
use core::net::IpAddr;
use core::time::Duration;
use vrrp_core::track::Assessment;
use vrrp_core::wire::{Authentication, ChecksumForm, Discard, Envelope, Password, Reason, Repr};
use vrrp_core::{
    Action, AdvertError, ConfigError, Event, Family, Fault, IfIndex, Instant, Params, Preempt, Role, RouterId, Version,
    VirtualRouterConfig, Vrid, VrrpRouter,
};

const V3: Version = Version::V3(Family::V4);

fn interface(index: u32) -> IfIndex {
    IfIndex::new(index).unwrap()
}

fn vrid(value: u8) -> Vrid {
    Vrid::new(value).unwrap()
}

fn config(id: u8, version: Version) -> VirtualRouterConfig {
    let address: IpAddr = match version.family() {
        Family::V4 => "192.0.2.100".parse().unwrap(),
        Family::V6 => "fe80::100".parse().unwrap(),
    };
    VirtualRouterConfig::new(vrid(id), common::params(version), [address])
}

fn envelope(source: IpAddr) -> Envelope {
    Envelope { source, destination: Family::of(source).group(), ttl: Some(255) }
}

/// An advertisement for 192.0.2.100 as a peer sends it.
fn packet(id: u8, value: u8, form: ChecksumForm) -> Vec<u8> {
    let addresses = ["192.0.2.100".parse().unwrap()];
    let repr = Repr { priority: vrrp_core::Priority::from_wire(value), ..Repr::new(V3, vrid(id), &addresses) };
    let mut buffer = vec![0; repr.buffer_len()];
    repr.emit(RIVAL_ABOVE, Family::V4.group(), form, &mut buffer).unwrap();
    buffer
}

fn actions(router: &mut VrrpRouter) -> Vec<(RouterId, Action)> {
    std::iter::from_fn(|| router.poll_action()).collect()
}

fn role(router: &VrrpRouter, id: RouterId) -> Role {
    router.state(id).unwrap().role()
}

/// Runs alone until `until`, dropping the actions.
fn run(router: &mut VrrpRouter, until: Instant) {
    while let Some(now) = router.poll_timeout().filter(|at| *at <= until) {
        router.handle_timeout(now);
        actions(router);
    }
}

#[test]
fn a_takeover_is_the_deadline_of_a_backup_or_of_an_active_that_has_called_an_election() {
    let mut router = VrrpRouter::new();
    assert_eq!(router.poll_takeover(), None);
    let params = common::params(V3).with_preempt(Preempt::Never);
    let config = VirtualRouterConfig::new(vrid(51), params, ["192.0.2.100".parse().unwrap()]);
    let id = router.add(interface(2), config).unwrap();
    assert_eq!(router.poll_takeover(), None);
    router.handle_event(Instant::ZERO, id, Event::Startup);
    let down_at = router.poll_timeout();
    assert!(down_at.is_some());
    assert_eq!(router.poll_takeover(), down_at);
    run(&mut router, millis(5000));
    assert_eq!(role(&router, id), Role::Active);
    assert!(router.poll_timeout().is_some());
    assert_eq!(router.poll_takeover(), None);
    let called = millis(5100);
    router.set_assessment(called, id, Assessment { priority: priority(50), fault: false });
    assert!(router.poll_takeover().is_some_and(|at| at > called));
    assert_eq!(router.poll_takeover(), router.poll_timeout());
}

#[test]
fn a_backup_counts_from_when_an_advertisement_came_but_not_from_before_its_timer_was_set() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    let wait = router.poll_takeover().unwrap().since(Instant::ZERO);
    let mut hear = |now, waited| {
        let payload = packet(51, 200, ChecksumForm::PseudoHeader);
        let waited = Duration::from_millis(waited);
        router.handle_waiting_datagram(now, waited, interface(2), &envelope(RIVAL_ABOVE), &payload).unwrap();
        router.poll_takeover()
    };
    assert_eq!(hear(millis(100), 4), Some(millis(96) + wait));
    assert_eq!(hear(millis(200), 0), Some(millis(200) + wait));
    // Those that have waited together, in another order than that of their times.
    assert_eq!(hear(millis(201), 4), Some(millis(200) + wait));
}

#[test]
fn claims_that_waited_are_answered_together() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    run(&mut router, millis(5000));
    assert_eq!(role(&router, id), Role::Active);
    let mut answers = 0;
    for waited in [9, 6, 3, 0].map(Duration::from_millis) {
        let payload = packet(51, 50, ChecksumForm::PseudoHeader);
        let (now, from) = (millis(5500), envelope(RIVAL_ABOVE));
        router.handle_waiting_datagram(now, waited, interface(2), &from, &payload).unwrap();
        answers += actions(&mut router).iter().filter(|(_, action)| matches!(action, Action::SendAdvert(_))).count();
    }
    assert_eq!(answers, 1);
}

#[test]
fn sm_29_the_two_families_of_a_vrid_are_independent() {
    let mut router = VrrpRouter::new();
    let v4 = router.add(interface(2), config(51, V3)).unwrap();
    let v6 = router.add(interface(2), config(51, Version::V3(Family::V6))).unwrap();
    for id in [v4, v6] {
        router.handle_event(Instant::ZERO, id, Event::Startup);
    }
    run(&mut router, millis(5000));
    router.handle_event(millis(5000), v4, Event::Shutdown);
    assert_eq!((role(&router, v4), role(&router, v6)), (Role::Initialize, Role::Active));
}

#[test]
fn rx_07_a_datagram_reaches_only_the_router_of_its_interface_vrid_and_family() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    let other = router.add(interface(3), config(52, V3)).unwrap();
    let datagram = packet(51, 200, ChecksumForm::PseudoHeader);
    assert_eq!(router.handle_datagram(millis(1), interface(2), &envelope(RIVAL_ABOVE), &datagram), Ok(id));
    let wrong = router.handle_datagram(millis(1), interface(3), &envelope(RIVAL_ABOVE), &datagram);
    assert_eq!(wrong, Err(Discard::Vrid(51)));
    assert_eq!(router.discards().count(Reason::Vrid), 1);
    assert_eq!(router.counters(id).unwrap().adverts_received, 1);
    assert_eq!(router.counters(other).unwrap().adverts_received, 0);
}

#[test]
fn rx_20_a_discarded_datagram_changes_one_counter_and_nothing_else() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    actions(&mut router);
    let before = (router.state(id), router.poll_timeout());
    let mut datagram = packet(51, 200, ChecksumForm::PseudoHeader);
    datagram[2] ^= 1;
    let discarded = router.handle_datagram(millis(1), interface(2), &envelope(RIVAL_ABOVE), &datagram);
    assert_eq!(discarded, Err(Discard::Checksum));
    assert_eq!((router.state(id), router.poll_timeout()), before);
    assert_eq!(actions(&mut router), []);
    // mg_03: both views count it: the router that the packet names, and the whole.
    assert_eq!(router.discards().count(Reason::Checksum), 1);
    assert_eq!(router.discards().total(), 1);
    assert_eq!(router.counters(id).unwrap().discards.count(Reason::Checksum), 1);
    assert_eq!(router.counters(id).unwrap().discards.total(), 1);
}

#[test]
fn pf_11_auto_sends_the_checksum_form_that_was_last_heard() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    let sent = |router: &mut VrrpRouter| {
        let mut buffer = [0; 64];
        let claim = vrrp_core::Claim { priority: Some(priority(100)), interval: centiseconds(100) };
        router.build_advert(id, claim, &mut buffer).unwrap();
        u16::from_be_bytes([buffer[6], buffer[7]])
    };
    let pseudo_header = sent(&mut router);
    for (form, counted) in [(ChecksumForm::MessageOnly, 1), (ChecksumForm::MessageOnly, 1)] {
        let datagram = packet(51, 200, form);
        router.handle_datagram(millis(1), interface(2), &envelope(RIVAL_ABOVE), &datagram).unwrap();
        assert_eq!(router.counters(id).unwrap().other_checksum_form, counted);
        assert_ne!(sent(&mut router), pseudo_header);
    }
    let datagram = packet(51, 200, ChecksumForm::PseudoHeader);
    router.handle_datagram(millis(2), interface(2), &envelope(RIVAL_ABOVE), &datagram).unwrap();
    assert_eq!(sent(&mut router), pseudo_header);
}

#[test]
fn what_is_built_is_what_a_peer_accepts() {
    for version in [Version::V2, V3, Version::V3(Family::V6)] {
        let mut router = VrrpRouter::new();
        let mut settings = config(51, version);
        if version == Version::V2 {
            settings.authentication = Authentication::SimpleText(Password::new("secret").unwrap());
        }
        let id = router.add(interface(2), settings.clone()).unwrap();
        let claim = vrrp_core::Claim { priority: Some(priority(100)), interval: centiseconds(100) };
        let mut buffer = [0; 1500];
        let advert = router.build_advert(id, claim, &mut buffer).unwrap();
        assert_eq!(advert.interface, Some(interface(2)));

        let mut peer = VrrpRouter::new();
        let elsewhere: IpAddr = if version.family() == Family::V4 { RIVAL_ABOVE } else { "fe80::b".parse().unwrap() };
        settings.params = settings.params.with_primary_address(Some(elsewhere)).unwrap();
        let peer_id = peer.add(interface(7), settings).unwrap();
        let heard = Envelope { source: advert.source, destination: advert.destination, ttl: Some(255) };
        assert_eq!(peer.handle_datagram(millis(1), interface(7), &heard, &buffer[..advert.len]), Ok(peer_id));
        let counters = peer.counters(peer_id).unwrap();
        assert_eq!((counters.interval_differs, counters.address_list_differs), (0, 0));
    }
}

#[test]
fn a_router_without_an_address_leaves_the_election_and_cannot_build_an_advertisement() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    run(&mut router, millis(5000));
    assert_eq!(role(&router, id), Role::Active);
    router.set_primary_address(millis(6000), id, None).unwrap();
    assert_eq!(role(&router, id), Role::Initialize);
    let claim = vrrp_core::Claim { priority: None, interval: centiseconds(100) };
    assert_eq!(router.build_advert(id, claim, &mut [0; 64]), Err(AdvertError::NoPrimaryAddress));
    // tx_04: the next one comes from the new address.
    router.set_primary_address(millis(7000), id, Some("192.0.2.77".parse().unwrap())).unwrap();
    assert_eq!(role(&router, id), Role::Backup);
    assert_eq!(router.build_advert(id, claim, &mut [0; 64]).unwrap().source, "192.0.2.77".parse::<IpAddr>().unwrap());
}

#[test]
fn a_router_that_loses_its_address_resigns_from_it() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    let claim = vrrp_core::Claim { priority: Some(priority(100)), interval: centiseconds(100) };
    router.build_advert(id, claim, &mut [0; 64]).unwrap();
    router.set_primary_address(millis(1), id, None).unwrap();
    let resignation = vrrp_core::Claim { priority: None, ..claim };
    assert_eq!(router.build_advert(id, resignation, &mut [0; 64]).unwrap().source, common::ME);
    assert_eq!(router.build_advert(id, claim, &mut [0; 64]), Err(AdvertError::NoPrimaryAddress));
}

#[test]
fn a_router_that_cannot_run_is_refused_and_nothing_is_added() {
    let mut router = VrrpRouter::new();
    let mut refused = |change: &dyn Fn(&mut VirtualRouterConfig), text: &str| {
        let mut settings = config(51, V3);
        change(&mut settings);
        assert_eq!(router.add(interface(2), settings).unwrap_err().to_string(), text);
        assert_eq!(router.ids().count(), 0);
    };
    refused(&|c| c.addresses.clear(), "virtual router 51 has no address: give it 1 to 255");
    refused(
        &|c| c.addresses = (0..=255).map(|n| IpAddr::from([10, 0, 0, n])).collect(),
        "virtual router 51 has 256 addresses: it can advertise 1 to 255",
    );
    // pf_14
    refused(
        &|c| c.addresses.push("fe80::1".parse().unwrap()),
        "fe80::1 is no IPv4 address: virtual router 51 runs VRRPv3/IPv4",
    );
    refused(
        &|c| c.addresses.push("224.0.0.1".parse().unwrap()),
        "224.0.0.1 cannot be an address of virtual router 51: it must be a unicast address of one host",
    );
    refused(&|c| c.addresses.push(c.addresses[0]), "192.0.2.100 is given twice to virtual router 51");
    // au_07
    refused(
        &|c| c.authentication = Authentication::SimpleText(Password::new("x").unwrap()),
        "virtual router 51 has a password, but VRRPv3/IPv4 carries none: leave it out, or use VRRPv2",
    );
}

#[test]
fn the_same_vrid_twice_on_an_interface_is_refused() {
    let mut router = VrrpRouter::new();
    let first = router.add(interface(2), config(51, V3)).unwrap();
    let refused = ConfigError::Duplicate { interface: interface(2), vrid: vrid(51), family: Family::V4 };
    assert_eq!(router.add(interface(2), config(51, V3)), Err(refused));
    let second = router.add(interface(3), config(51, V3)).unwrap();
    assert_eq!(router.rebind(second, Some(interface(2))), Err(refused));
    router.remove(Instant::ZERO, first).unwrap();
    assert_eq!(router.rebind(second, Some(interface(2))), Ok(()));
    assert_eq!(router.interface(second), Some(interface(2)));
}

#[test]
fn an_id_of_a_removed_router_names_nothing_ever_again() {
    let mut router = VrrpRouter::new();
    let old = router.add(interface(2), config(51, V3)).unwrap();
    router.handle_event(Instant::ZERO, old, Event::Startup);
    assert!(router.remove(Instant::ZERO, old).is_some());
    assert_eq!((router.poll_action(), router.poll_timeout()), (None, None));
    let new = router.add(interface(2), config(51, V3)).unwrap();
    assert_ne!(old, new);
    router.handle_event(Instant::ZERO, old, Event::Startup);
    assert_eq!(role(&router, new), Role::Initialize);
    assert_eq!(router.state(old), None);
    assert!(router.remove(Instant::ZERO, old).is_none());
}

#[test]
fn a_router_whose_interface_is_gone_hears_nothing_until_it_is_rebound() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    router.rebind(id, None).unwrap();
    let datagram = packet(51, 200, ChecksumForm::PseudoHeader);
    let heard = router.handle_datagram(millis(1), interface(2), &envelope(RIVAL_ABOVE), &datagram);
    assert_eq!(heard, Err(Discard::Vrid(51)));
    router.rebind(id, Some(interface(9))).unwrap();
    assert_eq!(router.handle_datagram(millis(1), interface(9), &envelope(RIVAL_ABOVE), &datagram), Ok(id));
}

#[test]
fn counters_tell_transitions_and_resignations() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    let resignation = packet(51, 0, ChecksumForm::PseudoHeader);
    router.handle_datagram(millis(1), interface(2), &envelope(RIVAL_ABOVE), &resignation).unwrap();
    run(&mut router, millis(5000));
    router.handle_event(millis(5000), id, Event::Fault(Fault::Link));
    for (id, action) in actions(&mut router) {
        if let Action::SendAdvert(claim) = action {
            router.count_sent(id, claim);
        }
    }
    let counters = router.counters(id).unwrap();
    assert_eq!((counters.became_active, counters.resignations_received, counters.resignations_sent), (1, 1, 1));
}

#[test]
fn addresses_that_cannot_be_installed_are_never_reported_as_held() {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(2), config(51, V3)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    actions(&mut router);
    let now = router.poll_timeout().unwrap();
    router.handle_timeout(now);
    while router.poll_action().unwrap().1 != Action::InstallAddresses {}
    router.cancel_actions(id);
    router.handle_event(now, id, Event::Fault(Fault::Install));
    let left: Vec<Action> = actions(&mut router).into_iter().map(|(_, action)| action).collect();
    assert_eq!(left[0], Action::RemoveAddresses);
    assert!(left.iter().all(|action| !matches!(action, Action::Transition(t) if t.to == Role::Active)));
}

#[test]
fn ten_thousand_routers_fire_in_the_order_of_their_deadlines() {
    let mut router = VrrpRouter::new();
    for index in 1..=40 {
        for id in 1..=250 {
            let params = common::params(V3).with_priority(priority(id));
            let id = router.add(interface(index), config(id, V3).with_params(params)).unwrap();
            router.handle_event(Instant::ZERO, id, Event::Startup);
        }
    }
    actions(&mut router);
    let mut last = (Instant::ZERO, 255);
    for _ in 0..250 {
        let now = router.poll_timeout().unwrap();
        assert!(now > last.0);
        router.handle_timeout(now);
        let promoted: Vec<RouterId> = actions(&mut router)
            .into_iter()
            .filter(|(_, action)| matches!(action, Action::Transition(t) if t.to == Role::Active))
            .map(|(id, _)| id)
            .collect();
        assert_eq!(promoted.len(), 40);
        let value = router.params(promoted[0]).map(Params::priority).unwrap().get();
        assert!(value < last.1);
        last = (now, value);
        if value > 200 {
            continue;
        }
        break;
    }
}
