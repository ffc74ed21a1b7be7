//! What keepalived sent, and the vectors whose verdict a live keepalived 2.4.3 gave.

use super::*;

/// The IP datagram of a captured Ethernet frame, if it carries VRRP or the AH that keepalived wraps it in.
fn vrrp_frame(frame: &[u8]) -> Option<&[u8]> {
    let (ethertype, datagram) = (&frame[12..14], &frame[14..]);
    match ethertype {
        [0x08, 0x00] => [112, 51].contains(&datagram[9]).then_some(datagram),
        [0x86, 0xdd] => (datagram[6] == 112).then_some(datagram),
        _ => None,
    }
}

#[test]
fn every_captured_advertisement_of_keepalived_gets_its_verdict() {
    let mut seen = BTreeMap::new();
    for vector in vectors(CAPTURED) {
        let frame = octets(text(&vector, "hex"));
        let Some(datagram) = vrrp_frame(&frame) else { continue };
        let id = text(&vector, "id").to_owned();
        let version = match &*id {
            "K-01" | "K-02" | "K-03" | "K-04" | "K-05" => Version::V2,
            "K-09" => V3_IPV6,
            _ => V3_IPV4,
        };
        let base = Router::new(version);
        // They were sent by the host that receives in the other vectors.
        let primary = address(if version == V3_IPV6 { "fe80::ff:fe00:b" } else { "192.0.2.2" });
        let router = Router {
            primary,
            addresses: list_in(datagram),
            // K-04: keepalived cuts a password to 8 octets; `Password::truncated` does the same.
            password: match &*id {
                "K-03" => Some("1234".into()),
                "K-04" => Some("secret1234567".into()),
                _ => None,
            },
            unicast_peers: (id == "K-08").then(|| vec![address("192.0.2.1")]),
            interval: if id == "K-10" { centiseconds(50) } else { Interval::DEFAULT },
            ..base
        };
        let result = router.receive(datagram);
        if let Ok(accepted) = result {
            assert_eq!(emit_again(datagram, &router), split(datagram).unwrap().1, "{id}");
            assert!(!accepted.notes.is_address_list_error() && !accepted.notes.interval_differs, "{id}");
        }
        let brief =
            result.map(|accepted| (accepted.advert.priority.map_or(0, Priority::get), accepted.notes.checksum_form));
        seen.insert(id, brief);
    }
    let (message_only, pseudo) = (Some(ChecksumForm::MessageOnly), Some(ChecksumForm::PseudoHeader));
    let expected = [
        ("K-01", Ok((150, None))),
        ("K-02", Ok((0, None))),
        ("K-03", Ok((150, None))),
        ("K-04", Ok((150, None))),
        // RFC 2338 authentication type 2, which later RFCs removed: IP protocol 51.
        ("K-05", Err(Discard::Protocol(51))),
        ("K-06", Ok((150, pseudo))),
        ("K-07", Ok((150, message_only))),
        ("K-08", Ok((150, pseudo))),
        ("K-09", Ok((150, None))),
        ("K-10", Ok((150, pseudo))),
        // The `auth_hmac` trailer of 28 octets, to a router without it.
        ("K-11", Err(Discard::Length { expected: 12, got: 40 })),
    ];
    assert_eq!(seen, expected.into_iter().map(|(id, verdict)| (id.to_owned(), verdict)).collect());
}

/// Our verdict where it is not keepalived's.
fn deviation(name: &str) -> Option<Result<(), Discard>> {
    match name {
        // RFC 2338 type 2 is IP protocol 51, which no socket of ours receives, whatever keepalived makes of it.
        _ if name.starts_with("v2-ah-") || name.starts_with("neg-v2-ah-") => Some(Err(Discard::Protocol(51))),
        // Over there an instance with AH does not see protocol 112. Here it is one with a password, which drops type 0.
        "neg-v2-none-at-ah" => Some(Err(Discard::AuthTypeMismatch)),
        // The pseudo-header of keepalived 1.3.6 and older: 224.0.0.18 in a unicast packet (VECTORS.md, form Q).
        "v3-ip4-ucast-old-checksum" => Some(Err(Discard::Checksum)),
        // There is no VRRPv2 over IPv6.
        "v2-over-ip6-keepalived-oddity" => Some(Err(Discard::Version(2))),
        // RX-05: surplus octets within the IP payload are a length error; keepalived lets two pass as padding.
        "neg-v3-ip4-extra-2-padding" => Some(Err(Discard::Length { expected: 16, got: 18 })),
        // What keepalived never sees, because of how its socket is bound or because the kernel dropped it.
        "neg-v3-ip4-mcast-packet-sent-unicast" => Some(Err(Discard::Destination)),
        "neg-v3-ip6-checksum" => Some(Err(Discard::Checksum)),
        _ => None,
    }
}

#[test]
fn every_keepalived_vector_gets_keepaliveds_verdict_or_a_reasoned_one() {
    let (mut all, mut deviating) = (BTreeSet::new(), BTreeSet::new());
    for vector in vectors(KEEPALIVED) {
        let name = text(&vector, "name");
        all.insert(name.to_owned());
        let datagram = octets(text(&vector, "ip_packet_hex"));
        let version = match (vector["vrrp_version"].as_u64(), vector["ip_version"].as_u64()) {
            (Some(2), Some(4)) => Version::V2,
            (Some(3), Some(4)) => V3_IPV4,
            (Some(2 | 3), Some(6)) => V3_IPV6,
            other => panic!("{name}: {other:?}"),
        };
        let peers = vector["peers"].as_array();
        let peers = peers.map(|peers| peers.iter().map(|peer| address(peer.as_str().unwrap())).collect());
        let destination = address(text(&vector, "dst"));
        let is_ah = datagram[0] >> 4 == 4 && datagram[9] == 51;
        let router = Router {
            vrid: u8::try_from(vector["vrid"].as_u64().unwrap()).unwrap(),
            interval: centiseconds(vector["receiver_advert_centisec"].as_u64().unwrap()),
            password: vector["auth"]["password"].as_str().map(Into::into),
            addresses: if is_ah { Vec::new() } else { list_in(&datagram) },
            primary: if destination.is_multicast() { address("192.0.2.12") } else { destination },
            unicast_peers: peers,
            // keepalived's default, and its option, with which it verifies nothing.
            checksum: match vector["v3_checksum_as_v2"].as_bool().unwrap() {
                false => ChecksumAcceptance::PseudoHeader,
                true => ChecksumAcceptance::Either,
            },
            // In unicast it looks at neither the TTL nor the kind of IPv6 address.
            ttl: match destination.is_multicast() {
                true => TtlPolicy::Strict,
                false => TtlPolicy::Routed { min: 1, max: 255, send: 255 },
            },
            ..Router::new(version)
        };
        let result = router.receive(&datagram);
        // Unless it is told to do as keepalived, a router here takes both forms (PF-11) and is strict about the rest (RX-01,
        // RX-25, UC-05, UC-07).
        let by_default = Router { checksum: ChecksumAcceptance::Either, ttl: TtlPolicy::Strict, ..router.clone() }
            .receive(&datagram);
        match name {
            "v3-ip4-checksum-as-v2-at-default" => assert!(by_default.is_ok(), "{name}"),
            "v3-ip6-ucast-peer1" | "v3-ip6-ucast-peer2" => {
                assert_eq!(by_default, Err(Discard::Source(address("2001:db8::11"))), "{name}");
            }
            _ => assert_eq!(by_default, result, "{name}"),
        }
        match (deviation(name), text(&vector, "expect")) {
            (Some(ours), stated) => {
                assert_eq!(result.map(|_| ()), ours, "{name}");
                // Neither here nor there is it an advertisement.
                let alike = ours.is_err() && ["not_seen", "kernel_drop:checksum"].contains(&stated);
                if !alike {
                    deviating.insert(name.to_owned());
                }
                continue;
            }
            (None, "accept") => Verdict::Accept.check(name, result),
            (None, "reject:auth_failure") => Verdict::Drop(&[Reason::AuthFailure]).check(name, result),
            (None, "reject:authtype") => {
                Verdict::Drop(&[Reason::AuthType, Reason::AuthTypeMismatch]).check(name, result);
            }
            (None, "drop:advert_interval") => Verdict::Drop(&[Reason::Interval]).check(name, result),
            (None, "reject:checksum") => Verdict::Drop(&[Reason::Checksum]).check(name, result),
            (None, "reject:ttl") => Verdict::Drop(&[Reason::Ttl]).check(name, result),
            (None, "reject:length") => Verdict::Drop(&[Reason::Length]).check(name, result),
            (None, "reject:type") => Verdict::Drop(&[Reason::Type]).check(name, result),
            (None, "reject:version") => Verdict::Drop(&[Reason::Version]).check(name, result),
            (None, other) => panic!("{name}: unknown verdict {other:?}"),
        }
        if let Ok(accepted) = result {
            assert_eq!(accepted.notes.interval_differs, name == "v3-ip4-advert-mismatch", "{name}");
            let ignored = ["neg-v2-nonzero-authdata", "neg-v3-ip4-reserved-nibble"].contains(&name);
            assert_eq!(emit_again(&datagram, &router) == split(&datagram).unwrap().1, !ignored, "{name}");
        }
        // With `v3_checksum_as_v2` keepalived verifies nothing. Strict, the same setting here, still does.
        if name == "v3-ip4-default-at-checksum-as-v2" {
            let strict = Router { checksum: ChecksumAcceptance::MessageOnly, ..router }.receive(&datagram);
            assert_eq!(strict, Err(Discard::Checksum));
        }
    }
    assert_eq!((all.len(), deviating.len()), (49, 12));
    deviations::check_listed(&all, &deviating);
    deviations::check_quirks(&all, &deviating, 4);
}
