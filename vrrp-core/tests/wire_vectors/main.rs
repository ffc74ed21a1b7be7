//! Every wire vector: those built from the RFCs, those captured from keepalived, and those whose verdict a live
//! keepalived 2.4.3 gave. Each runs through the whole receive path, for a router configured as the vector says.
//!
//! The vectors are data under `tests/vectors/`; what this file adds is the configuration, and for each vector whose
//! verdict is not the one written there, an entry by id that says why.

#[path = "../deviations/mod.rs"]
mod deviations;
mod hostile;
mod keepalived;
mod rfc;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use serde_json::Value;
use vrrp_core::wire::{
    Accepted, AddressListMatch, Authentication, ChecksumAcceptance, ChecksumForm, Discard, Envelope, Expected, Notes,
    Packet, Password, Reason, Repr, TtlPolicy,
};
use vrrp_core::{Family, Interval, Priority, Version, Vrid};

const RFC: &str = include_str!("../vectors/rfc_vectors.json");
const CAPTURED: &str = include_str!("../vectors/captured.json");
const KEEPALIVED: &str = include_str!("../vectors/keepalived_vectors.json");

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
