//! The receive path (RFC 9568 §7.1): what is dropped changes one counter and nothing else.

use std::collections::BTreeSet;

use vrrp_core::wire::{ChecksumAcceptance, ChecksumPolicy, Discard, Envelope, Expected, Packet, Reason};
use vrrp_core::{Action, Alarm, Claim, Counters, Family, Instant, Interval, Priority, Role, State, Vrid, VrrpRouter};

use crate::common::millis;
use crate::{Host, V3, V3_IPV6, address, config, config_for, interface, message, vector, vectors, with_addresses};

/// Those that only a router with a strict address list drops (DESIGN: accepted and counted otherwise).
const STRICT_ONLY: [&str; 2] = ["M-27", "M-44"];

/// Every malformed or unacceptable vector that is dropped, with the reason.
fn dropped() -> Vec<(String, Vec<u8>, Discard)> {
    let malformed = vectors().into_iter().filter(|(id, ..)| id.starts_with("M-") && !STRICT_ONLY.contains(&&**id));
    malformed
        .filter_map(|(id, datagram, _)| {
            let discard = Host::started(config_for(&id, &datagram)).hear(millis(1), &datagram).err()?;
            Some((id, datagram, discard))
        })
        .collect()
}

#[test]
fn rx_13_rx_20_every_malformed_vector_is_told_with_its_reason_and_changes_one_counter_and_nothing_else() {
    let dropped = dropped();
    for (id, datagram, discard) in &dropped {
        for mut host in [Host::started(config_for(id, datagram)), Host::active(config_for(id, datagram))] {
            let (state, due) = (host.state(), host.router.poll_timeout());
            let now = due.unwrap() - core::time::Duration::from_millis(300);
            let params = *host.router.params(host.id).unwrap();
            assert_eq!(host.hear(now, datagram), Err(*discard), "{id}");
            // What is logged.
            assert!(!discard.to_string().is_empty());
            // State, timers, what was learned.
            assert_eq!((host.state(), host.router.poll_timeout()), (state, due), "{id}");
            assert_eq!(*host.router.params(host.id).unwrap(), params, "{id}");
            // One counter.
            let discards = *host.router.discards();
            assert_eq!((discards.total(), discards.count(discard.reason())), (1, 1), "{id}");
            let mut counters = *host.router.counters(host.id).unwrap();
            assert!(counters.discards.total() <= 1, "{id}");
            (counters.discards, counters.became_active) = Default::default();
            assert_eq!(counters, Counters::default(), "{id}");
            // The management is told, at most; nothing is done.
            assert!(host.actions().iter().all(|action| matches!(action, Action::Alarm(_))), "{id}");
        }
    }
    assert_eq!(dropped.len(), 46);
}

/// The other two ways: reasons that these vectors do not reach are tested where their cause can be made.
#[test]
fn rx_13_the_vectors_reach_every_reason_that_needs_no_further_configuration() {
    let mut reached: BTreeSet<Reason> = dropped().into_iter().map(|(_, _, discard)| discard.reason()).collect();
    // A header that is cut, one that contradicts itself, another protocol.
    let datagram = vector("V3-4-01M");
    let broken = |at: usize, octet: u8| {
        let mut datagram = datagram.clone();
        datagram[at] = octet;
        datagram
    };
    for datagram in [datagram[..30].to_vec(), broken(0, 0x44), broken(9, 51)] {
        reached.insert(Host::started(config(V3)).hear(millis(1), &datagram).unwrap_err().reason());
    }
    let elsewhere: BTreeSet<Reason> = Reason::ALL.into_iter().filter(|reason| !reached.contains(reason)).collect();
    let expected = [
        // With a list of peers.
        Reason::NotPeer,
        // With keys: tests/auth_hmac/.
        Reason::AuthExtMissing,
        Reason::AuthExtMalformed,
        Reason::AuthExtStale,
        Reason::AuthExtUnknownKey,
        Reason::AuthExtInvalidHmac,
        Reason::AuthExtReplay,
    ];
    assert_eq!(elsewhere, BTreeSet::from(expected));
}

#[test]
fn rx_08_rx_09_an_owner_listens_to_another_owner_and_the_higher_address_stays() {
    let mut owner = config(V3);
    owner.params = owner.params.with_priority(Priority::OWNER);
    // M-40 comes from 192.0.2.2: above 192.0.2.1, below 192.0.2.3.
    let rival = address("192.0.2.2");
    let mut host = Host::active(owner.clone());
    assert_eq!(host.hear(millis(100), &vector("M-40")), Ok(host.id));
    assert_eq!(host.role(), Role::Backup);
    assert!(host.actions().contains(&Action::Alarm(Alarm::SecondOwner(rival))));
    owner.params = owner.params.with_primary_address(Some(address("192.0.2.3"))).unwrap();
    let mut host = Host::active(owner);
    assert_eq!(host.hear(millis(100), &vector("M-40")), Ok(host.id));
    assert_eq!(host.role(), Role::Active);
    assert!(host.actions().contains(&Action::Alarm(Alarm::SecondOwner(rival))));
}

#[test]
fn rx_10_a_count_of_zero_is_dropped_in_both_families_and_counted_with_the_lengths() {
    for (version, id) in [(V3, "M-11"), (V3, "M-11P"), (V3_IPV6, "M-42")] {
        assert_eq!(Host::started(config(version)).hear(millis(1), &vector(id)), Err(Discard::CountZero), "{id}");
    }
    assert_eq!(Reason::CountZero.rfc8347_counter(), Some("packet-length-errors"));
}

#[test]
fn rx_11_a_strict_router_drops_a_list_over_ipv6_that_starts_otherwise_and_has_none_itself() {
    // M-44: an intact advertisement whose list starts with a global address.
    let list = [address("fe80::100"), address("2001:db8::100")];
    let lenient = with_addresses(config(V3_IPV6), &list);
    let strict = || lenient.clone().with_strict_address_list(true);
    for id in ["M-27", "M-44"] {
        let datagram = vector(id);
        let mut host = Host::started(lenient.clone());
        assert!(host.hear(millis(1), &datagram).is_ok(), "{id}");
        assert_eq!(host.router.counters(host.id).unwrap().address_list_differs, 1, "{id}");
        let mut host = Host::started(strict());
        let before = (host.state(), host.router.poll_timeout());
        assert_eq!(host.hear(millis(1), &datagram), Err(Discard::AddressList), "{id}");
        assert_eq!((host.state(), host.router.poll_timeout()), before, "{id}");
    }
    let reversed = with_addresses(strict(), &[list[1], list[0]]);
    assert_eq!(
        VrrpRouter::new().add(interface(), reversed).unwrap_err().to_string(),
        "2001:db8::100 is the first address of virtual router 51, but not link-local: put one of fe80::/10 first, or accept all lists"
    );
}

#[test]
fn pf_11_a_router_that_accepts_one_checksum_alone_sends_that() {
    let (message_only, pseudo_header) = (vector("V3-4-01M"), vector("V3-4-01P"));
    let mut host = Host::started(config(V3));
    assert!(host.hear(millis(1), &message_only).is_ok() && host.hear(millis(2), &pseudo_header).is_ok());
    for (accepted, its, other, other_policy) in [
        (ChecksumAcceptance::MessageOnly, &message_only, &pseudo_header, ChecksumPolicy::PseudoHeader),
        (ChecksumAcceptance::PseudoHeader, &pseudo_header, &message_only, ChecksumPolicy::MessageOnly),
    ] {
        let strict = || config(V3).with_accepted_checksum(accepted);
        let mut host = Host::started(strict());
        let before = (host.state(), host.router.poll_timeout());
        assert_eq!(host.hear(millis(1), other), Err(Discard::Checksum));
        assert_eq!((host.state(), host.router.poll_timeout()), before);
        // A peer that has the other form will be Active beside it.
        let peer = address("192.0.2.2");
        assert_eq!(host.actions(), [Action::Alarm(Alarm::RejectedPeer(peer, Reason::Checksum))]);
        // Two like it must understand each other, also before either has heard anybody.
        let claim = Claim { priority: Some(Priority::DEFAULT), interval: Interval::DEFAULT };
        let mut buffer = [0; 64];
        let sent = host.router.build_advert(host.id, claim, &mut buffer).unwrap();
        let envelope = Envelope { source: sent.source, destination: sent.destination, ttl: Some(255) };
        let primary = config(V3).params.with_primary_address(Some(peer)).unwrap();
        let mut like_it = Host::started(strict().with_params(primary));
        let heard = like_it.router.handle_datagram(millis(1), interface(), &envelope, &buffer[..sent.len]);
        assert_eq!(heard, Ok(like_it.id));
        assert!(host.hear(millis(2), its).is_ok());
        let contradiction = strict().with_checksum(other_policy);
        assert_eq!(
            VrrpRouter::new().add(interface(), contradiction).unwrap_err().to_string(),
            "virtual router 51 sends the checksum that it does not accept: send the one it accepts, or accept both"
        );
    }
}

#[test]
fn rx_12_an_interval_of_zero_is_dropped_and_the_timer_of_a_backup_keeps_its_time() {
    for (version, id, valid) in [(V3, "M-16", "V3-4-01M"), (V3, "M-16P", "V3-4-01P"), (V3_IPV6, "M-41", "V3-6-01")] {
        let mut host = Host::started(config(version));
        host.hear(millis(1000), &vector(valid)).unwrap();
        host.actions();
        let (state, due) = (host.state(), host.router.poll_timeout());
        // keepalived takes it for an Active_Down_Interval of nothing, and promotes itself within milliseconds.
        assert_eq!(host.hear(millis(1500), &vector(id)), Err(Discard::Interval(0)), "{id}");
        assert_eq!((host.state(), host.router.poll_timeout()), (state, due), "{id}");
        host.router.handle_timeout(millis(1600));
        let told = host.actions();
        let alarmed = matches!(told[..], [Action::Alarm(Alarm::RejectedPeer(_, Reason::Interval))]);
        assert!(host.role() == Role::Backup && alarmed, "{id}: {told:?}");
        assert_eq!(host.router.counters(host.id).unwrap().discards.count(Reason::Interval), 1);
    }
    assert_eq!(Reason::Interval.rfc8347_counter(), Some("interval-errors"));
}

#[test]
fn rx_14_ten_thousand_bad_packets_in_a_second_are_counted_exactly_and_raise_one_alarm() {
    let mut host = Host::started(config(V3));
    // One that is garbage, and one of a router that speaks VRRPv2.
    let datagrams = [vector("M-12"), vector("M-06")];
    for n in 0..10_000 {
        let now = Instant::from_nanos(n * 100_000);
        let datagram = if n % 2 == 0 { &datagrams[0] } else { &datagrams[1] };
        assert!(host.hear(now, datagram).is_err());
    }
    assert_eq!(host.actions(), [Action::Alarm(Alarm::RejectedPeer(address("192.0.2.2"), Reason::Version))]);
    for reason in [Reason::Checksum, Reason::Version] {
        assert_eq!(host.router.discards().count(reason), 5_000);
        assert_eq!(host.router.counters(host.id).unwrap().discards.count(reason), 5_000);
    }
}

#[test]
fn rx_15_v3_counts_another_interval_and_goes_on() {
    let mut host = Host::started(config(V3));
    assert_eq!(host.hear(millis(1), &vector("M-32")), Ok(host.id));
    let counters = host.router.counters(host.id).unwrap();
    assert_eq!((counters.interval_differs, counters.adverts_received, counters.discards.total()), (1, 1, 0));
    let State::Backup(backup) = host.state() else { panic!("not a Backup") };
    assert_eq!(backup.active_adver_interval, Interval::from_centiseconds(200).unwrap());
}

#[test]
fn rx_16_v3_counts_another_address_list_and_goes_on() {
    let mut host = Host::started(config(V3));
    assert_eq!(host.hear(millis(1), &vector("M-29")), Ok(host.id));
    let counters = host.router.counters(host.id).unwrap();
    assert_eq!((counters.address_list_differs, counters.adverts_received, counters.discards.total()), (1, 1, 0));
}

#[test]
fn rx_22_a_datagram_that_was_cut_is_dropped_and_counted_with_the_lengths() {
    let datagram = vector("V3-4-01M");
    for len in 20..datagram.len() {
        let mut host = Host::started(config(V3));
        assert_eq!(host.hear(millis(1), &datagram[..len]), Err(Discard::Truncated), "{len} octets");
        assert_eq!(host.router.discards().count(Reason::Truncated), 1);
    }
    assert_eq!(Reason::Truncated.rfc8347_counter(), Some("packet-length-errors"));
}

#[test]
fn rx_26_before_startup_an_advertisement_is_no_error_and_leads_to_nothing() {
    let mut host = Host::new(config(V3));
    assert_eq!(host.hear(millis(1), &vector("V3-4-01M")), Ok(host.id));
    assert_eq!((host.state(), host.actions()), (State::new(), vec![]));
    assert_eq!((host.router.discards().total(), host.router.poll_timeout()), (0, None));
}

#[test]
fn tm_13_advertisements_that_wait_are_read_before_a_timer_that_is_due() {
    let advert = vector("V3-4-01M");
    let late = millis(10_000);
    let mut host = Host::started(config(V3));
    host.hear(millis(1000), &advert).unwrap();
    assert!(host.router.poll_timeout().unwrap() < late);
    host.actions();
    host.hear(late, &advert).unwrap();
    host.router.handle_timeout(late);
    let told = host.actions();
    assert_eq!(host.role(), Role::Backup);
    assert!(told.iter().all(|action| matches!(action, Action::Alarm(Alarm::EqualPriority(_)))), "{told:?}");
    // Without reading first it would have taken over from a healthy Active.
    let mut host = Host::started(config(V3));
    host.hear(millis(1000), &advert).unwrap();
    host.router.handle_timeout(late);
    assert_eq!(host.role(), Role::Active);
}

#[test]
fn se_01_the_ttl_is_checked_before_anything_of_the_message_but_that_it_is_there() {
    let envelope = Envelope { source: address("192.0.2.2"), destination: Family::V4.group(), ttl: Some(254) };
    for octets in [vec![0xff; 8], vec![0; 65_535], message("V3-4-01M"), message("M-04"), message("M-12")] {
        assert_eq!(Packet::parse(&envelope, &octets), Err(Discard::Ttl(Some(254))));
    }
}

#[test]
fn se_03_a_list_of_senders_holds_in_multicast_mode_too() {
    let (octets, listed) = (message("V3-4-01M"), [address("192.0.2.2")]);
    let envelope = Envelope { source: listed[0], destination: Family::V4.group(), ttl: Some(255) };
    let addresses = [address("192.0.2.100")];
    let mut expected = Expected::new(V3, Vrid::new(51).unwrap());
    expected.addresses = &addresses;
    expected.peers = Some(&listed);
    let accept = |envelope: &Envelope| Packet::parse(envelope, &octets).unwrap().accept(envelope, &expected);
    assert!(accept(&envelope).is_ok());
    assert_eq!(accept(&Envelope { source: address("192.0.2.3"), ..envelope }), Err(Discard::NotPeer));
}

#[test]
fn uc_10_a_trailer_is_a_wrong_length_for_a_router_without_keys() {
    let mut host = Host::started(config(V3));
    assert_eq!(host.hear(millis(1), &vector("M-46")), Err(Discard::Length { expected: 12, got: 40 }));
}
