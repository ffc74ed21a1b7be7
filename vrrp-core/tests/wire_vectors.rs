//! Every wire vector: those built from the RFCs, those captured from keepalived, and those whose verdict a live
//! keepalived 2.4.3 gave. Each runs through the whole receive path, for a router configured as the vector says.
//!
//! The vectors are data under `tests/vectors/`; what this file adds is the configuration, and for each vector whose
//! verdict is not the one written there, an entry by id that says why.

mod deviations;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;
use vrrp_core::wire::{
    Accepted, AddressListMatch, Authentication, ChecksumAcceptance, ChecksumForm, Discard, Envelope, Expected, Notes,
    Packet, Password, Reason, Repr, TtlPolicy,
};
use vrrp_core::{Family, Interval, Priority, Version, Vrid};

const RFC: &str = include_str!("vectors/rfc_vectors.json");
const CAPTURED: &str = include_str!("vectors/captured.json");
const KEEPALIVED: &str = include_str!("vectors/keepalived_vectors.json");

const V3_IPV4: Version = Version::V3(Family::V4);
const V3_IPV6: Version = Version::V3(Family::V6);

/// The configuration of the router that receives.
#[derive(Clone, Debug)]
struct Router {
    version: Version,
    vrid: u8,
    interval: Interval,
    password: Option<String>,
    addresses: Vec<IpAddr>,
    primary: IpAddr,
    unicast_peers: Option<Vec<IpAddr>>,
    checksum: ChecksumAcceptance,
    strict_address_list: bool,
    ttl: TtlPolicy,
}

impl Router {
    /// The instance of VECTORS.md: 192.0.2.1 or fe80::ff:fe00:a, VRID 51, 192.0.2.100 or fe80::100, 1 s, multicast.
    fn new(version: Version) -> Self {
        let (primary, vip) = match version.family() {
            Family::V4 => ("192.0.2.1", "192.0.2.100"),
            Family::V6 => ("fe80::ff:fe00:a", "fe80::100"),
        };
        Self {
            version,
            vrid: 51,
            interval: Interval::DEFAULT,
            password: None,
            addresses: vec![address(vip)],
            primary: address(primary),
            unicast_peers: None,
            checksum: ChecksumAcceptance::Either,
            strict_address_list: false,
            ttl: TtlPolicy::Strict,
        }
    }

    fn authentication(&self) -> Authentication {
        match &self.password {
            Some(password) => Authentication::SimpleText(Password::truncated(password).unwrap()),
            None => Authentication::None,
        }
    }

    fn receive(&self, datagram: &[u8]) -> Result<Accepted, Discard> {
        let (envelope, payload) = split(datagram)?;
        let packet = Packet::parse_with(&envelope, payload, self.ttl)?;
        let mut expected = Expected::new(self.version, Vrid::new(self.vrid).unwrap());
        expected.interval = self.interval;
        expected.authentication = self.authentication();
        expected.addresses = &self.addresses;
        expected.primary = Some(self.primary);
        expected.checksum = self.checksum;
        expected.strict_address_list = self.strict_address_list;
        if let Some(peers) = &self.unicast_peers {
            expected.destination = self.primary;
            expected.peers = Some(peers);
        }
        packet.accept(&envelope, &expected)
    }
}

/// What a raw socket gives: over IPv4 the datagram; over IPv6 the payload, and the addresses and hop limit beside it.
fn split(datagram: &[u8]) -> Result<(Envelope, &[u8]), Discard> {
    if datagram[0] >> 4 == 4 {
        return Envelope::split_ipv4(datagram);
    }
    assert_eq!(datagram[6], 112, "next header");
    let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&datagram[at..at + 16]).unwrap());
    let envelope = Envelope { source: ip(8), destination: ip(24), ttl: Some(datagram[7]) };
    Ok((envelope, &datagram[40..]))
}

/// The list in a datagram that need not be a valid one, as far as it goes.
fn list_in(datagram: &[u8]) -> Vec<IpAddr> {
    let (header, len) = match datagram[0] >> 4 {
        4 => (usize::from(datagram[0] & 0x0f) * 4, 4),
        _ => (40, 16),
    };
    let count = usize::from(datagram[header + 3]);
    let addresses = datagram[header + 8..].chunks_exact(len).take(count);
    addresses
        .map(|octets| match <[u8; 4]>::try_from(octets) {
            Ok(octets) => IpAddr::from(octets),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(octets).unwrap()),
        })
        .collect()
}

/// Emits what was received: the same octets must come out (PF-21).
fn emit_again(datagram: &[u8], router: &Router) -> Vec<u8> {
    let (envelope, payload) = split(datagram).unwrap();
    let packet = Packet::parse_with(&envelope, payload, router.ttl).unwrap();
    let addresses: Vec<IpAddr> = packet.addresses().collect();
    let repr = Repr {
        version: packet.version(),
        vrid: packet.vrid().unwrap(),
        priority: packet.priority(),
        interval: packet.interval().unwrap(),
        authentication: router.authentication(),
        addresses: &addresses,
    };
    let mut buffer = [0xaa; Repr::MAX_LEN];
    let form = packet.checksum_form().unwrap_or(ChecksumForm::MessageOnly);
    let len = repr.emit(envelope.source, envelope.destination, form, &mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn octets(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn vectors(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap()
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} is not text in {vector}"))
}

fn seconds(value: u64) -> Interval {
    Interval::from_seconds(value).unwrap()
}

fn centiseconds(value: u64) -> Interval {
    Interval::from_centiseconds(value).unwrap()
}

/// What the verdict column of VECTORS.md calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop(&'static [Reason]),
}

impl Verdict {
    fn of(text: &str) -> Self {
        const DROPS: [(&str, &[Reason]); 15] = [
            ("drop: ip-ttl", &[Reason::Ttl]),
            ("drop: version", &[Reason::Version]),
            ("drop: type", &[Reason::Type]),
            ("drop: packet-length", &[Reason::TooShort, Reason::Length]),
            ("drop: count-zero", &[Reason::CountZero]),
            ("drop: checksum", &[Reason::Checksum]),
            ("drop(checksum)", &[Reason::Checksum]),
            ("drop: interval", &[Reason::Interval]),
            ("drop: auth-type", &[Reason::AuthType, Reason::AuthTypeMismatch]),
            ("drop: auth (", &[Reason::AuthFailure]),
            ("drop: vrid", &[Reason::Vrid]),
            ("drop: address", &[Reason::AddressList]),
            ("drop: fragment", &[Reason::Fragment]),
            ("drop: s", &[Reason::SelfReceived, Reason::Source]),
            ("drop: destination", &[Reason::Destination]),
        ];
        if text.starts_with("accept") || text.starts_with("as above, interop profile") {
            return Self::Accept;
        }
        let found = DROPS.iter().find(|(prefix, _)| text.starts_with(prefix));
        Self::Drop(found.unwrap_or_else(|| panic!("unknown verdict {text:?}")).1)
    }

    #[track_caller]
    fn check(self, id: &str, result: Result<Accepted, Discard>) {
        match (self, result) {
            (Self::Accept, Ok(_)) => {}
            (Self::Drop(reasons), Err(discard)) if reasons.contains(&discard.reason()) => {}
            (verdict, result) => panic!("{id}: {verdict:?} expected, got {result:?}"),
        }
    }
}

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
}

/// Knuth's linear congruential generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn octet(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        let number = u32::from_be_bytes([self.octet(), self.octet(), self.octet(), self.octet()]);
        usize::try_from(number).unwrap() % end
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.octet()).collect()
    }
}

/// Reads everything there is to read of a datagram, through every kind of router.
fn read_everything(datagram: &[u8], envelopes: &[Envelope]) -> usize {
    let mut parsed = 0;
    let split = Envelope::split_ipv4(datagram).ok();
    for (envelope, payload) in envelopes.iter().map(|envelope| (*envelope, datagram)).chain(split) {
        let Ok(packet) = Packet::parse(&envelope, payload) else { continue };
        parsed += 1;
        assert_eq!(packet.addresses().count(), usize::from(packet.count()));
        assert_eq!(packet.addresses().len(), usize::from(packet.count()));
        assert!(!format!("{packet} {packet:?}").is_empty());
        let addresses: Vec<IpAddr> = packet.addresses().collect();
        assert!(packet.count() == 0 || packet.compare_addresses(&addresses) == AddressListMatch::Same);
        for version in [Version::V2, V3_IPV4, V3_IPV6] {
            let mut expected = Expected::new(version, packet.vrid().unwrap_or(Vrid::new(1).unwrap()));
            expected.addresses = &addresses;
            expected.interval = packet.interval().unwrap_or_default();
            expected.destination = envelope.destination;
            let result = packet.accept(&envelope, &expected);
            assert!(result.is_err() || (version == packet.version() && packet.interval().is_some()));
        }
    }
    parsed
}

fn envelopes() -> [Envelope; 2] {
    let ipv4 = Envelope { source: address("192.0.2.2"), destination: Family::V4.group(), ttl: Some(255) };
    let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2).into();
    [ipv4, Envelope { source, destination: Family::V6.group(), ttl: Some(255) }]
}

#[test]
fn pf_22_arbitrary_octets_never_panic() {
    let mut random = Random(1);
    for round in 0..60_000 {
        let len = random.below(if round % 100 == 0 { 65_536 } else { 64 });
        let mut datagram = random.octets(len);
        // Half of them get a plausible start, or hardly any would come past the first check.
        if let (0, [first, _, _, count, ..]) = (round % 2, &mut datagram[..]) {
            *first = [0x45, 0x46, 0x21, 0x31][random.below(4)];
            *count %= 5;
        }
        read_everything(&datagram, &envelopes());
    }
}

#[test]
fn pf_22_mutated_packets_never_panic() {
    let mut random = Random(2);
    let originals: Vec<Vec<u8>> = vectors(RFC).iter().map(|vector| octets(text(vector, "ip"))).collect();
    let payloads: Vec<Vec<u8>> = vectors(RFC).iter().map(|vector| octets(text(vector, "pdu"))).collect();
    let mut parsed = 0;
    for original in originals.iter().chain(&payloads) {
        for _ in 0..400 {
            let mut datagram = original.clone();
            for _ in 0..random.below(3) {
                match (random.below(4), datagram.len()) {
                    (_, 0) => datagram.push(random.octet()),
                    (0, len) => datagram.truncate(random.below(len)),
                    (1, _) => datagram.push(random.octet()),
                    (_, len) => datagram[random.below(len.min(64))] ^= 1 << random.below(8),
                }
            }
            parsed += read_everything(&datagram, &envelopes());
        }
    }
    assert!(parsed > 5_000, "only {parsed} of the mutants came through: this test has become blind");
}

#[test]
fn pf_08_any_flipped_bit_is_noticed() {
    let [ipv4, ipv6] = envelopes();
    let vips = [[192, 0, 2, 100].into(), [192, 0, 2, 101].into()];
    let vips6 = [address("fe80::100"), address("2001:db8::100")];
    let mut flipped = 0;
    for (version, envelope, addresses) in [(Version::V2, ipv4, vips), (V3_IPV4, ipv4, vips), (V3_IPV6, ipv6, vips6)] {
        let repr = Repr::new(version, Vrid::new(51).unwrap(), &addresses);
        let mut buffer = [0; 64];
        let len = repr.emit(envelope.source, envelope.destination, ChecksumForm::PseudoHeader, &mut buffer).unwrap();
        assert!(Packet::parse(&envelope, &buffer[..len]).is_ok());
        for bit in 0..len * 8 {
            let mut octets = buffer;
            octets[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(Packet::parse(&envelope, &octets[..len]).is_err(), "{version} bit {bit}");
            flipped += 1;
        }
    }
    assert_eq!(flipped, (24 + 16 + 40) * 8);
}

#[test]
fn pf_21_what_is_emitted_is_parsed_to_the_same_fields() {
    let mut random = Random(3);
    for round in 0..20_000 {
        let version = [Version::V2, V3_IPV4, V3_IPV6][round % 3];
        let [ipv4, ipv6] = envelopes();
        let envelope = if version == V3_IPV6 { ipv6 } else { ipv4 };
        let count = 1 + random.below(if round % 50 == 0 { 255 } else { 4 });
        let addresses: Vec<IpAddr> = (0..count)
            .map(|_| match version.family() {
                Family::V4 => IpAddr::from(<[u8; 4]>::try_from(random.octets(4)).unwrap()),
                Family::V6 => IpAddr::from(<[u8; 16]>::try_from(random.octets(16)).unwrap()),
            })
            .collect();
        let password = random.octets(1 + round % 8);
        let (interval, authentication) = match version {
            Version::V2 if round % 2 == 0 => {
                let seconds = seconds(1 + u64::from(random.octet()) % 255);
                (seconds, Authentication::SimpleText(Password::new(&password).unwrap()))
            }
            Version::V2 => (seconds(1 + u64::from(random.octet()) % 255), Authentication::None),
            Version::V3(_) => (centiseconds(1 + u64::try_from(random.below(4095)).unwrap()), Authentication::None),
        };
        let vrid = Vrid::new(random.octet().max(1)).unwrap();
        let priority = Priority::from_wire(random.octet());
        let repr = Repr { version, vrid, priority, interval, authentication, addresses: &addresses };
        let form = [ChecksumForm::MessageOnly, ChecksumForm::PseudoHeader][random.below(2)];

        let mut buffer = [0xaa; Repr::MAX_LEN];
        let len = repr.emit(envelope.source, envelope.destination, form, &mut buffer).unwrap();
        let packet = Packet::parse(&envelope, &buffer[..len]).unwrap();
        assert_eq!(packet.version(), version);
        assert_eq!(packet.vrid(), Some(vrid));
        assert_eq!(packet.priority(), priority);
        assert_eq!(packet.interval(), Some(interval));
        assert_eq!(packet.checksum_form(), (version == V3_IPV4).then_some(form));
        assert!(packet.addresses().eq(addresses.iter().copied()));

        let mut expected = Expected::new(version, vrid);
        expected.interval = interval;
        expected.authentication = authentication;
        expected.addresses = &addresses;
        let accepted = packet.accept(&envelope, &expected).unwrap();
        assert_eq!(accepted.advert.source, envelope.source);
        assert_eq!((accepted.advert.priority, accepted.advert.interval), (priority, interval));
        assert_eq!(accepted.notes.address_list, AddressListMatch::Same);
    }
}
