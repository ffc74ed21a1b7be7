//! The vectors that were built from the RFCs.

use super::*;

/// The router that the verdict of this vector is meant for.
fn router_for(id: &str, datagram: &[u8]) -> Router {
    let version = match id {
        _ if datagram[0] >> 4 == 6 => V3_IPV6,
        // CARP calls itself version 2; M-06 is a VRRPv2 packet at a VRRPv3 instance.
        "M-45" => Version::V2,
        "M-06" => V3_IPV4,
        _ if datagram.get(usize::from(datagram[0] & 0x0f) * 4).is_some_and(|octet| octet >> 4 == 2) => Version::V2,
        _ => V3_IPV4,
    };
    let base = Router::new(version);
    let listed = || Router { addresses: list_in(datagram), ..base.clone() };
    match id {
        "V2-04" => Router { password: Some("1234".into()), ..listed() },
        "V2-05" => Router { password: Some("secret12".into()), ..listed() },
        "V2-09" => Router { interval: seconds(255), ..listed() },
        "V2-10" => Router { vrid: 255, ..listed() },
        "V3-4-09M" | "V3-4-09P" | "V3-4-09Q" => Router { unicast_peers: Some(vec![address("192.0.2.2")]), ..listed() },
        _ if id.starts_with('V') => listed(),
        "M-21" | "M-22" => Router { password: Some("1234".into()), ..base },
        // Only their order is wrong, and only where that matters.
        "M-27" | "M-44" => Router { strict_address_list: true, ..listed() },
        _ => base,
    }
}

/// What an accepted vector gives besides, where that is not "nothing to note, the packet's own interval".
fn check_accepted(id: &str, router: &Router, datagram: &[u8], Accepted { advert, notes, .. }: Accepted) {
    assert_eq!(advert.source, split(datagram).unwrap().0.source, "{id}");
    let (priority, interval) = match id {
        "V2-02" | "V3-4-02M" | "V3-4-02P" | "V3-6-04" | "M-31" | "M-40" => (255, router.interval),
        "V2-03" | "V3-4-03M" | "V3-4-03P" | "V3-6-03" => (0, router.interval),
        "V2-04" | "V2-05" => (150, router.interval),
        "V3-4-04M" | "V3-4-04P" | "V3-6-05" => (100, centiseconds(1)),
        "V3-4-05M" | "V3-4-05P" | "V3-6-06" => (100, centiseconds(4095)),
        "M-32" | "M-32P" => (100, centiseconds(200)),
        _ => (100, router.interval),
    };
    assert_eq!((advert.priority, advert.interval), (Priority::from_wire(priority), interval), "{id}");

    let Notes { interval_differs, address_list, first_not_link_local, checksum_form, .. } = notes;
    assert_eq!(interval_differs, interval != router.interval, "{id}");
    let differing = ["M-29", "M-29P", "M-31"].contains(&id);
    assert_eq!(address_list, if differing { AddressListMatch::Disjoint } else { AddressListMatch::Same }, "{id}");
    assert!(!first_not_link_local, "{id}");
    let form = match router.version {
        Version::V2 | V3_IPV6 => None,
        V3_IPV4 if id.ends_with('P') => Some(ChecksumForm::PseudoHeader),
        V3_IPV4 => Some(ChecksumForm::MessageOnly),
    };
    assert_eq!(checksum_form, form, "{id}");

    // PF-21: encode(decode(b)) = b, but for what is ignored on receipt (V2-11: authentication data, V3-4-08: the
    // reserved nibble) and the second way to write a checksum of zero (V3-4-10F).
    let payload = split(datagram).unwrap().1;
    let again = emit_again(datagram, router);
    let same = !["V2-11", "V3-4-08M", "V3-4-08P", "V3-4-10F"].contains(&id);
    assert_eq!(again == payload, same, "{id}: {again:02x?}");
}

#[test]
fn every_rfc_vector_gets_its_verdict() {
    let (mut accepted, mut dropped) = (0, 0);
    for vector in vectors(RFC) {
        let id = text(&vector, "id");
        let datagram = octets(text(&vector, "ip"));
        let pdu = octets(text(&vector, "pdu"));
        assert!(datagram.ends_with(&pdu), "{id}");
        let router = router_for(id, &datagram);
        let result = router.receive(&datagram);
        Verdict::of(text(&vector, "verdict")).check(id, result);
        match result {
            Ok(result) => {
                check_accepted(id, &router, &datagram, result);
                accepted += 1;
            }
            Err(_) => dropped += 1,
        }
    }
    assert_eq!((accepted, dropped), (45, 49));
}

/// The datagram of the RFC vector `id`.
fn rfc(id: &str) -> Vec<u8> {
    let vectors = vectors(RFC);
    let vector = vectors.iter().find(|vector| text(vector, "id") == id);
    octets(text(vector.unwrap_or_else(|| panic!("no vector {id}")), "ip"))
}

/// The exact discard of vectors whose verdict text leaves it open.
#[test]
fn rx_04_rx_19_rx_27_vectors_name_what_was_wrong() {
    let discard = |id: &str| router_for(id, &rfc(id)).receive(&rfc(id)).unwrap_err();
    let length = |expected, got| Discard::Length { expected, got };
    assert_eq!(discard("M-09"), Discard::TooShort);
    assert_eq!(discard("M-39"), Discard::TooShort);
    assert_eq!(discard("M-10"), length(20, 12));
    assert_eq!(discard("M-17"), length(12, 16));
    assert_eq!(discard("M-18"), length(20, 12));
    assert_eq!(discard("M-38"), length(24, 28));
    assert_eq!(discard("M-43"), length(40, 24));
    assert_eq!(discard("M-45"), length(44, 36));
    assert_eq!(discard("M-46"), length(12, 40));
    assert_eq!(discard("M-19"), Discard::AuthTypeMismatch);
    assert_eq!(discard("M-20"), Discard::AuthType(7));
    assert_eq!(discard("M-23"), Discard::Interval(200));
    assert_eq!(discard("M-24"), Discard::Interval(0));
    assert_eq!(discard("M-34"), Discard::SelfReceived);
    assert_eq!(discard("M-35"), Discard::Source(address("0.0.0.0")));
    assert_eq!(discard("M-37"), Discard::Source(address("2001:db8::2")));
    // At a VRRPv3 instance, where it would be a version error as well: the length comes first.
    assert_eq!(Router::new(V3_IPV4).receive(&rfc("M-45")), Err(length(44, 36)));
}

/// Where a verdict has an "if": the other branch.
#[test]
fn vectors_with_a_condition_get_the_other_verdict_too() {
    let receive = |id: &str, change: fn(Router) -> Router| {
        let datagram = rfc(id);
        change(router_for(id, &datagram)).receive(&datagram)
    };
    let open = |router| Router { password: None, ..router };
    assert_eq!(receive("V2-04", open), Err(Discard::AuthTypeMismatch));
    assert_eq!(receive("V2-05", open), Err(Discard::AuthTypeMismatch));
    assert_eq!(receive("M-21", open), Err(Discard::AuthTypeMismatch));
    let closed = |router| Router { password: Some("1234".into()), ..router };
    assert_eq!(receive("V2-01", closed), Err(Discard::AuthTypeMismatch));
    assert_eq!(receive("V2-05", closed), Err(Discard::AuthFailure));
    assert_eq!(receive("M-19", closed), Err(Discard::AuthTypeMismatch));
    let one_second = |router| Router { interval: Interval::DEFAULT, ..router };
    assert_eq!(receive("V2-09", one_second), Err(Discard::Interval(25_500)));

    // M-06, the other way round.
    assert_eq!(receive("V3-4-01M", |_| Router::new(Version::V2)), Err(Discard::Version(3)));

    // Unicast packets at a multicast instance, multicast packets at a unicast one, and a sender who is no peer.
    let multicast = |router| Router { unicast_peers: None, ..router };
    assert_eq!(receive("V3-4-09M", multicast), Err(Discard::Destination));
    assert_eq!(receive("V3-4-09P", multicast), Err(Discard::Destination));
    let unicast = |router| Router { unicast_peers: Some(vec![address("192.0.2.2")]), ..router };
    assert_eq!(receive("V3-4-01M", unicast), Err(Discard::Destination));
    let stranger = |router| Router { unicast_peers: Some(vec![address("192.0.2.77")]), ..router };
    assert_eq!(receive("V3-4-09M", stranger), Err(Discard::NotPeer));

    // RX-11, lenient: accepted and counted.
    let lenient = |router| Router { strict_address_list: false, ..router };
    for id in ["M-27", "M-44"] {
        let notes = receive(id, lenient).unwrap().notes;
        assert!(notes.first_not_link_local && notes.is_address_list_error(), "{id}");
        assert_eq!(notes.address_list, AddressListMatch::Same, "{id}");
    }

    // A strict address list does not drop one that merely differs.
    assert!(receive("M-29", |router| Router { strict_address_list: true, ..router }).is_ok());
}

#[test]
fn pf_11_strict_9568_drops_exactly_the_pseudo_header_vectors() {
    let mut dropped = 0;
    for vector in vectors(RFC) {
        let (id, datagram) = (text(&vector, "id"), octets(text(&vector, "ip")));
        let router = router_for(id, &datagram);
        let Ok(accepted) = router.receive(&datagram) else { continue };
        let strict = Router { checksum: ChecksumAcceptance::MessageOnly, ..router }.receive(&datagram);
        if accepted.notes.checksum_form == Some(ChecksumForm::PseudoHeader) {
            assert_eq!(strict, Err(Discard::Checksum), "{id}");
            dropped += 1;
        } else {
            assert_eq!(strict, Ok(accepted), "{id}");
        }
    }
    assert_eq!(dropped, 11);
}
