//! Signed advertisements, against keepalived 2.4.3: every vector whose verdict a live one gave, and the rules behind
//! them. The sender's sequence rules are tested beside them, in `src/hmac.rs`; what the code covers in `src/wire/hmac.rs`.
#![cfg(feature = "auth-hmac")]

mod deviations;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use vrrp_core::hmac::{
    AntiReplay, Authenticator, Config, Key, KeyId, Keys, Mode, Received, Sequence, Signer, Trailer, WallClock, Window,
};
use vrrp_core::wire::{
    Authentication, ChecksumAcceptance, ChecksumForm, Discard, Envelope, Expected, InternetChecksum, Packet, Password,
    Reason, Repr, TtlPolicy,
};
use vrrp_core::{
    Action, Alarm, Claim, ConfigError, Event, Family, IfIndex, Instant, Interval, Params, Priority, RouterId, Version,
    VirtualRouterConfig, Vrid, VrrpRouter,
};

const VECTORS: &str = include_str!("vectors/auth_hmac_vectors.json");

const V3_IPV4: Version = Version::V3(Family::V4);
const V3_IPV6: Version = Version::V3(Family::V6);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn octets(hex: &str) -> Vec<u8> {
    assert_eq!(hex.len() % 2, 0);
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key_id(value: u8) -> KeyId {
    KeyId::new(value).unwrap()
}

/// What a raw socket gives: over IPv4 the datagram; over IPv6 the payload, and the addresses and hop limit beside it.
fn split(datagram: &[u8]) -> Result<(Envelope, &[u8]), Discard> {
    if datagram[0] >> 4 == 4 {
        return Envelope::split_ipv4(datagram);
    }
    let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&datagram[at..at + 16]).unwrap());
    let envelope = Envelope { source: ip(8), destination: ip(24), ttl: Some(datagram[7]) };
    Ok((envelope, &datagram[40..]))
}

/// The list in a payload that need not be a valid one, as far as it goes.
fn list_in(payload: &[u8], family: Family) -> Vec<IpAddr> {
    let addresses = payload[8..].chunks_exact(family.address_len()).take(usize::from(payload[3]));
    addresses
        .map(|octets| match <[u8; 4]>::try_from(octets) {
            Ok(octets) => IpAddr::from(octets),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(octets).unwrap()),
        })
        .collect()
}

/// A vector, read.
struct Vector {
    json: Value,
    name: String,
    datagram: Vec<u8>,
    version: Version,
    /// `None`: no `auth_hmac`.
    config: Option<Config>,
}

impl Vector {
    fn all() -> Vec<Self> {
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        vectors.into_iter().map(Self::read).collect()
    }

    fn named(name: &str) -> Self {
        Self::all().into_iter().find(|vector| vector.name == name).unwrap_or_else(|| panic!("no vector {name}"))
    }

    fn read(json: Value) -> Self {
        let version = match (json["vrrp_version"].as_u64(), json["ip_version"].as_u64()) {
            (Some(2), Some(4)) => Version::V2,
            (Some(3), Some(4)) => V3_IPV4,
            (Some(2 | 3), Some(6)) => V3_IPV6,
            other => panic!("{other:?}"),
        };
        let mode = match json["mode"].as_str().unwrap() {
            "enforce" => Some(Mode::Enforce),
            "permissive" => Some(Mode::Permissive),
            "receive-only" => Some(Mode::ReceiveOnly),
            "off" => None,
            other => panic!("{other}"),
        };
        let anti_replay = match json["anti_replay"].as_str().unwrap() {
            "time" => AntiReplay::Time(Window::new(json["time_window"].as_u64().unwrap()).unwrap()),
            "monotonic" => AntiReplay::Monotonic,
            other => panic!("{other}"),
        };
        let keys = json["keys"].as_array().unwrap().iter().map(|key| {
            (
                KeyId::try_from(key["id"].as_u64().unwrap()).unwrap(),
                Key::from_hex(key["hex"].as_str().unwrap()).unwrap(),
            )
        });
        let keys = keys.fold(None, |keys: Option<Keys>, (id, key)| match keys {
            None => Some(Keys::new(id, key)),
            Some(keys) => Some(keys.with(id, key).unwrap()),
        });
        Self {
            name: json["name"].as_str().unwrap().into(),
            datagram: octets(json["ip_packet_hex"].as_str().unwrap()),
            version,
            config: mode.map(|mode| Config { keys: keys.unwrap(), mode, anti_replay }),
            json,
        }
    }

    fn is_unicast(&self) -> bool {
        self.json["transport"] == "unicast"
    }

    fn now(&self) -> WallClock {
        WallClock::new(self.json["now_unix_sec"].as_u64().unwrap(), 0)
    }

    fn expect(&self) -> &str {
        self.json["expect"].as_str().unwrap()
    }

    /// The packets that come first, with the receiver's clock and keepalived's verdict.
    fn prior(&self) -> Vec<(Vec<u8>, WallClock, &str)> {
        let field = |prior: &Value, name: &str| prior[name].as_u64().unwrap();
        let prior = self.json["prior"].as_array().unwrap().iter();
        prior
            .map(|prior| {
                let datagram = octets(prior["ip_packet_hex"].as_str().unwrap());
                (datagram, WallClock::new(field(prior, "now_unix_sec"), 0), prior["expect"].as_str().unwrap())
            })
            .collect()
    }
}

/// The router that receives a vector.
struct Receiver<'v> {
    vector: &'v Vector,
    hmac: Option<Authenticator>,
    checksum: ChecksumAcceptance,
    /// That of unicast; multicast is always strict.
    ttl: TtlPolicy,
}

impl<'v> Receiver<'v> {
    fn new(vector: &'v Vector) -> Self {
        Self {
            vector,
            hmac: vector.config.clone().map(Authenticator::new),
            // keepalived's default, and its option, with which it verifies nothing.
            checksum: match vector.json["v3_checksum_as_v2"].as_bool().unwrap() {
                false => ChecksumAcceptance::PseudoHeader,
                true => ChecksumAcceptance::Either,
            },
            // In unicast it looks at neither the TTL nor the kind of IPv6 address.
            ttl: TtlPolicy::Routed { min: 1, max: 255, send: 255 },
        }
    }

    fn receive(&mut self, datagram: &[u8], wall: WallClock) -> Result<(), Discard> {
        let Vector { json, version, .. } = self.vector;
        let (envelope, payload) = split(datagram)?;
        let addresses = list_in(payload, version.family());
        let mut expected = Expected::new(*version, Vrid::try_from(json["vrid"].as_u64().unwrap()).unwrap());
        expected.interval = Interval::from_centiseconds(json["receiver_advert_centisec"].as_u64().unwrap()).unwrap();
        expected.addresses = &addresses;
        expected.checksum = self.checksum;
        let peers: Vec<IpAddr> = json["peers"]
            .as_array()
            .map_or(&[][..], |peers| peers)
            .iter()
            .map(|peer| address(peer.as_str().unwrap()))
            .collect();
        if self.vector.is_unicast() {
            expected.destination = address(json["dst"].as_str().unwrap());
            expected.primary = Some(expected.destination);
            expected.peers = Some(&peers);
            expected.ttl = self.ttl;
        }
        match &mut self.hmac {
            None => {
                let packet = Packet::parse_with(&envelope, payload, expected.ttl)?;
                packet.accept(&envelope, &expected).map(|_| ())
            }
            Some(hmac) => {
                let Received { pending, .. } = hmac.receive(wall, &envelope, payload, &expected)?;
                hmac.commit(pending);
                Ok(())
            }
        }
    }

    /// Feeds what comes first, then the vector itself.
    fn run(&mut self) -> Result<(), Discard> {
        for (datagram, wall, _) in self.vector.prior() {
            let _ = self.receive(&datagram, wall);
        }
        self.receive(&self.vector.datagram, self.vector.now())
    }
}

/// Whether this is what keepalived's verdict calls for.
fn agrees(expect: &str, result: Result<(), Discard>) -> bool {
    let reason = result.map_err(Discard::reason);
    match expect {
        "accept" => reason == Ok(()),
        "reject:missing" => reason == Err(Reason::AuthExtMissing),
        "reject:malformed" => reason == Err(Reason::AuthExtMalformed),
        "reject:unknown_key" => reason == Err(Reason::AuthExtUnknownKey),
        "reject:invalid_hmac" => reason == Err(Reason::AuthExtInvalidHmac),
        "reject:stale" => reason == Err(Reason::AuthExtStale),
        "reject:replay" => reason == Err(Reason::AuthExtReplay),
        "reject:unknown_source" => reason == Err(Reason::NotPeer),
        "reject:length" => reason == Err(Reason::Length),
        "reject:ttl" => reason == Err(Reason::Ttl),
        "reject:authtype" => reason == Err(Reason::AuthTypeMismatch),
        "reject:checksum" | "kernel_drop:checksum" => reason == Err(Reason::Checksum),
        "ignore:vrid" => reason == Err(Reason::Vrid),
        "drop:advert_interval" => reason == Err(Reason::Interval),
        other => panic!("unknown verdict {other:?}"),
    }
}

/// Our verdict where it is not keepalived's, and why.
fn deviation(name: &str) -> Option<Result<(), Reason>> {
    match name {
        // What was rejected for its checksum is no advertisement: it does not move the mark (AUTH_HMAC 13.1).
        "flip-v3ip4-checksum-then-original" => Some(Ok(())),
        // Surplus octets within the IP payload are never padding (13.3, RX-05). Over there they make a signed advert an
        // unsigned one, which the migration modes accept.
        "trunc-14" | "trunc-14-permissive" | "trunc-26" | "trunc-26-permissive" | "extra-2" | "extra-2-permissive" => {
            Some(Err(Reason::Length))
        }
        // There are 16 marks, not 4 (13.6): the sender that keepalived has forgotten is still known here.
        "mcast-table-replay-refreshes-lru" => Some(Err(Reason::AuthExtReplay)),
        // There is no VRRPv2 over IPv6.
        "cap-v2-ip6-oddity" => Some(Err(Reason::Version)),
        _ => None,
    }
}

#[test]
fn every_vector_gets_keepaliveds_verdict_or_a_reasoned_one() {
    let (mut all, mut deviating, mut verdicts) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
    for vector in Vector::all() {
        let (mut receiver, name) = (Receiver::new(&vector), &vector.name);
        all.insert(name.clone());
        for (n, (datagram, wall, expect)) in vector.prior().into_iter().enumerate() {
            let result = receiver.receive(&datagram, wall);
            assert!(agrees(expect, result), "{name}, packet {n} before it: {expect}, got {result:?}");
        }
        let result = receiver.receive(&vector.datagram, vector.now());
        match deviation(name) {
            Some(ours) => {
                assert_eq!(result.map_err(Discard::reason), ours, "{name}");
                assert!(!agrees(vector.expect(), result), "{name} does not deviate");
                deviating.insert(name.clone());
            }
            None => {
                assert!(agrees(vector.expect(), result), "{name}: {} expected, got {result:?}", vector.expect());
            }
        }
        *verdicts.entry(result.map_or_else(|discard| discard.reason().name(), |()| "accept")).or_insert(0) += 1;
    }
    assert_eq!((all.len(), deviating.len()), (149, 9));
    deviations::check_listed(&all, &deviating);
    let expected = [
        ("accept", 41),
        ("auth-ext-invalid-hmac", 29),
        ("auth-ext-malformed", 8),
        ("auth-ext-missing", 5),
        ("auth-ext-replay", 16),
        ("auth-ext-stale", 10),
        ("auth-ext-unknown-key", 3),
        ("auth-type-mismatch", 1),
        ("checksum", 3),
        ("interval", 1),
        ("ip-ttl", 1),
        ("length", 27),
        ("not-peer", 2),
        ("version", 1),
        ("vrid", 1),
    ];
    assert_eq!(verdicts, BTreeMap::from(expected));
}

/// With the strict checksum of RFC 9568, which is keepalived's `v3_checksum_as_v2` if that verified anything.
#[test]
fn the_strict_checksum_is_checked_after_the_signature() {
    let strict = |name: &str| {
        let vector = Vector::named(name);
        Receiver { checksum: ChecksumAcceptance::MessageOnly, ..Receiver::new(&vector) }.run()
    };
    assert_eq!(strict("cap-v3-ip4-checksum-as-v2"), Ok(()));
    assert_eq!(strict("cap-v3-ip4-default-checksum-at-v2csum-receiver"), Err(Discard::Checksum));
    assert_eq!(strict("flip-v3ip4-priority"), Err(Discard::AuthExtInvalidHmac));
}

/// What a router does that is not told to do as keepalived: both checksum forms (PF-11), and in unicast too TTL 255 and
/// over IPv6 a link-local source (RX-01, RX-25, UC-05).
#[test]
fn by_default_a_router_is_stricter_than_keepalived_but_for_the_checksum() {
    let mut others = Vec::new();
    for vector in Vector::all() {
        let keepalived = Receiver::new(&vector).run().map_err(Discard::reason);
        let receiver = Receiver::new(&vector);
        let result = Receiver { checksum: ChecksumAcceptance::Either, ttl: TtlPolicy::Strict, ..receiver }.run();
        let result = result.map_err(Discard::reason);
        if result != keepalived {
            others.push((vector.name.clone(), result));
        }
    }
    let expected = [
        ("cap-v3-ip4-checksum-as-v2-at-default-receiver", Ok(())),
        ("cap-v3-ip4-ucast-ttl64", Err(Reason::Ttl)),
        ("cap-v3-ip6-ucast-peer2", Err(Reason::Source)),
    ];
    others.sort();
    assert_eq!(others, expected.map(|(name, result)| (name.to_owned(), result)));
}

/// The particulars of discards, where there are any.
#[test]
fn a_discard_names_what_was_wrong() {
    let result = |name: &str| Receiver::new(&Vector::named(name)).run();
    assert_eq!(result("fresh-v3ip4-window5-age+6"), Err(Discard::AuthExtStale { age: 6, window: 5 }));
    assert_eq!(result("fresh-v3ip4-window5-age-6"), Err(Discard::AuthExtStale { age: -6, window: 5 }));
    assert_eq!(result("mode-enforce-unknown-key"), Err(Discard::AuthExtUnknownKey(9)));
    assert_eq!(result("flip-v3ip6-keyid"), Err(Discard::AuthExtUnknownKey(0)));
    assert_eq!(
        Discard::AuthExtStale { age: 6, window: 5 }.to_string(),
        "signed 6 s ago by our clock, which is not within 5 s: set the clocks of both hosts"
    );
}

/// Written anew from the fields, with the key and the sequence of the trailer: the same octets.
#[test]
fn what_keepalived_signed_is_signed_to_the_same_octets() {
    let (mut captured, mut others) = (0, 0);
    for vector in Vector::all() {
        let Ok((envelope, payload)) = split(&vector.datagram) else { continue };
        // Not covered, and to be 255 here.
        let envelope = Envelope { ttl: Some(255), ..envelope };
        let Ok(packet) = Packet::parse_signed(&envelope, payload) else { continue };
        let Some(trailer) = packet.trailer() else { continue };
        let name = &vector.name;
        let keys = vector.config.as_ref().map(|config| &config.keys);
        let key = keys.and_then(|keys| Some((KeyId::new(trailer.key_id()).ok()?, keys)));
        let Some((key_id, key)) = key.and_then(|(id, keys)| Some((id, keys.get(id)?))) else { continue };
        if !packet.is_signed_by(envelope.source, key) || packet.auth_data().is_some_and(|data| *data != [0; 8]) {
            continue;
        }
        if packet.auth_type().is_some_and(|kind| kind != 0) || !trailer.is_well_formed() {
            continue;
        }
        let addresses: Vec<IpAddr> = packet.addresses().collect();
        let repr = Repr {
            version: packet.version(),
            vrid: packet.vrid().unwrap(),
            priority: packet.priority(),
            interval: packet.interval().unwrap(),
            authentication: Authentication::None,
            addresses: &addresses,
        };
        let signer = Signer { key_id, key, sequence: trailer.sequence() };
        let form = packet.checksum_form().unwrap_or(ChecksumForm::MessageOnly);
        let mut buffer = [0xaa; Repr::MAX_SIGNED_LEN];
        let len = repr.emit_signed(envelope.source, envelope.destination, form, signer, &mut buffer).unwrap();
        assert_eq!(buffer[..len], *payload, "{name}");
        // No octet more is touched, and no octet less suffices.
        assert!(buffer[len..].iter().all(|octet| *octet == 0xaa), "{name}");
        let mut small = vec![0; len - 1];
        assert!(repr.emit_signed(envelope.source, envelope.destination, form, signer, &mut small).is_err());
        match vector.json["source"].as_str() {
            Some("captured") => captured += 1,
            _ => others += 1,
        }
    }
    // Of 21 captured one is unsigned, one has another key than the receiver, one is VRRPv2 over IPv6, and one comes from
    // a global IPv6 address, which this crate neither sends nor accepts; its code is checked in `src/wire/hmac.rs`.
    assert_eq!((captured, others), (17, 44));
}

// What follows has a network of its own: routers whose addresses end in their number.

const NOW: u64 = 1_795_173_240;

fn key(octet: u8) -> Key {
    Key::new(&[octet; 32]).unwrap()
}

fn keys() -> Keys {
    Keys::new(key_id(1), key(1))
}

fn config(mode: Mode) -> Config {
    Config { mode, ..Config::new(keys(), Interval::DEFAULT) }
}

fn monotonic() -> Config {
    Config { anti_replay: AntiReplay::Monotonic, ..config(Mode::Enforce) }
}

fn wall(seconds: u64) -> WallClock {
    WallClock::new(seconds, 0)
}

fn host(host: u8) -> IpAddr {
    [192, 0, 2, host].into()
}

fn vrid(value: u8) -> Vrid {
    Vrid::new(value).unwrap()
}

fn envelope(source: IpAddr) -> Envelope {
    Envelope { source, destination: Family::of(source).group(), ttl: Some(255) }
}

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));

/// An advertisement for 192.0.2.100 from this host, signed if there is a signer.
fn advert(from: u8, signer: Option<Signer<'_>>) -> Vec<u8> {
    let repr = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(V3_IPV4, vrid(51), &[VIP]) };
    let (Envelope { source, destination, .. }, form) = (envelope(host(from)), ChecksumForm::PseudoHeader);
    let mut buffer = [0; Repr::MAX_SIGNED_LEN];
    let len = match signer {
        Some(signer) => repr.emit_signed(source, destination, form, signer, &mut buffer).unwrap(),
        None => repr.emit(source, destination, form, &mut buffer).unwrap(),
    };
    buffer[..len].to_vec()
}

fn signed_with(from: u8, id: u8, key: &Key, sequence: Sequence) -> Vec<u8> {
    advert(from, Some(Signer { key_id: key_id(id), key, sequence }))
}

/// Signed with key 1 at this second.
fn signed(from: u8, seconds: u64) -> Vec<u8> {
    signed_with(from, 1, &key(1), Sequence::at(wall(seconds)))
}

/// Hands an advertisement in and commits it.
fn receive(hmac: &mut Authenticator, now: u64, from: u8, payload: &[u8]) -> Result<(), Reason> {
    let mut expected = Expected::new(V3_IPV4, vrid(51));
    expected.addresses = &[VIP];
    match hmac.receive(wall(now), &envelope(host(from)), payload, &expected) {
        Ok(Received { pending, .. }) => {
            hmac.commit(pending);
            Ok(())
        }
        Err(discard) => Err(discard.reason()),
    }
}

fn with<'e>(mut expected: Expected<'e>, change: impl FnOnce(&mut Expected<'e>)) -> Expected<'e> {
    change(&mut expected);
    expected
}

/// AUTH_HMAC 7, the whole table.
#[test]
fn each_mode_accepts_and_signs_what_the_table_says() {
    let malformed = {
        let mut octets = signed(2, NOW);
        octets[12] = 2;
        octets
    };
    let forged = {
        let mut octets = signed(2, NOW);
        *octets.last_mut().unwrap() ^= 1;
        octets
    };
    let unknown = signed_with(2, 9, &key(1), Sequence::at(wall(NOW)));
    for (mode, unsigned, signs) in [
        (Mode::Enforce, Err(Reason::AuthExtMissing), true),
        (Mode::Permissive, Ok(()), true),
        (Mode::ReceiveOnly, Ok(()), false),
    ] {
        let mut hmac = Authenticator::new(config(mode));
        assert_eq!(receive(&mut hmac, NOW, 2, &advert(2, None)), unsigned, "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Ok(()), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Err(Reason::AuthExtReplay), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &malformed), Err(Reason::AuthExtMalformed), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &unknown), Err(Reason::AuthExtUnknownKey), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &forged), Err(Reason::AuthExtInvalidHmac), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW - 6)), Err(Reason::AuthExtStale), "{mode:?}");
        assert_eq!(receive(&mut hmac, NOW, 2, &advert(2, None)), unsigned, "{mode:?}");

        let repr = Repr::new(V3_IPV4, vrid(51), &[VIP]);
        let (mut buffer, stamp) = ([0; 100], hmac.stamp(wall(NOW)));
        let form = ChecksumForm::PseudoHeader;
        let len = hmac.emit(stamp, &repr, host(1), Family::V4.group(), form, &mut buffer).unwrap();
        assert_eq!(len, if signs { 12 + Trailer::LEN } else { 12 }, "{mode:?}");
    }
    // Without it: signed ones are a length error, whatever is in the trailer.
    for payload in [&signed(2, NOW), &malformed, &forged, &unknown] {
        assert_eq!(Packet::parse(&envelope(host(2)), payload), Err(Discard::Length { expected: 12, got: 40 }));
    }
}

#[test]
fn keys_are_changed_without_a_gap() {
    let (old, new) = (key(1), key(2));
    let at = |n| Sequence::at(wall(NOW)).to_bits() + n;
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    let hear = |hmac: &mut Authenticator, id: u8, key: &Key, n: u64| {
        receive(hmac, NOW, 2, &signed_with(2, id, key, Sequence::from_bits(at(n))))
    };
    let signs_with = |hmac: &mut Authenticator| {
        let (repr, stamp) = (Repr::new(V3_IPV4, vrid(51), &[VIP]), hmac.stamp(wall(NOW)));
        let mut buffer = [0; 100];
        let form = ChecksumForm::PseudoHeader;
        let len = hmac.emit(stamp, &repr, host(1), Family::V4.group(), form, &mut buffer).unwrap();
        Packet::parse_signed(&envelope(host(1)), &buffer[..len]).unwrap().trailer().unwrap().key_id()
    };
    assert_eq!(hear(&mut hmac, 1, &old, 1), Ok(()));
    assert_eq!(hear(&mut hmac, 2, &new, 2), Err(Reason::AuthExtUnknownKey));
    assert_eq!(signs_with(&mut hmac), 1);

    let keys = keys().with(key_id(2), new.clone()).unwrap();
    hmac.reconfigure(Config { keys: keys.clone(), ..config(Mode::Enforce) });
    assert_eq!((hear(&mut hmac, 1, &old, 3), hear(&mut hmac, 2, &new, 4)), (Ok(()), Ok(())));
    // The right key under the wrong number, and the mark is the sender's, not the key's.
    assert_eq!(hear(&mut hmac, 2, &old, 5), Err(Reason::AuthExtInvalidHmac));
    assert_eq!(hear(&mut hmac, 1, &old, 4), Err(Reason::AuthExtReplay));
    assert_eq!(signs_with(&mut hmac), 1);

    let keys = keys.activate(key_id(2)).unwrap();
    hmac.reconfigure(Config { keys: keys.clone(), ..config(Mode::Enforce) });
    assert_eq!(hear(&mut hmac, 1, &old, 6), Ok(()));
    assert_eq!(signs_with(&mut hmac), 2);

    hmac.reconfigure(Config { keys: keys.without(key_id(1)).unwrap(), ..config(Mode::Enforce) });
    assert_eq!(hear(&mut hmac, 1, &old, 7), Err(Reason::AuthExtUnknownKey));
    assert_eq!(hear(&mut hmac, 2, &new, 8), Ok(()));
}

/// AUTH_HMAC 13.1: one packet for each check that comes after the signature.
#[test]
fn what_fails_a_later_check_does_not_move_the_mark() {
    let mut expected = Expected::new(V3_IPV4, vrid(51));
    expected.addresses = &[VIP];
    let payload = signed(2, NOW);
    let wrong_checksum = {
        let mut octets = payload.clone();
        octets[7] ^= 1;
        octets
    };
    let strict = with(expected, |expected| expected.checksum = ChecksumAcceptance::MessageOnly);
    let echo = with(expected, |expected| expected.primary = Some(host(2)));
    let elsewhere = with(expected, |expected| expected.destination = host(1));
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    for (expected, payload, discard) in [
        (&expected, &wrong_checksum, Discard::Checksum),
        (&strict, &payload, Discard::Checksum),
        (&echo, &payload, Discard::SelfReceived),
        (&elsewhere, &payload, Discard::Destination),
    ] {
        assert_eq!(hmac.receive(wall(NOW), &envelope(host(2)), payload, expected), Err(discard));
    }
    assert_eq!(receive(&mut hmac, NOW, 2, &payload), Ok(()));
    assert_eq!(receive(&mut hmac, NOW, 2, &payload), Err(Reason::AuthExtReplay));

    // VRRPv2: the interval, and the list of addresses.
    let repr = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(Version::V2, vrid(51), &[VIP]) };
    let signer = Signer { key_id: key_id(1), key: &key(1), sequence: Sequence::at(wall(NOW)) };
    let mut buffer = [0; 100];
    let form = ChecksumForm::MessageOnly;
    let len = repr.emit_signed(host(3), Family::V4.group(), form, signer, &mut buffer).unwrap();
    let mut expected = Expected::new(Version::V2, vrid(51));
    expected.addresses = &[VIP];
    let slow = with(expected, |expected| expected.interval = Interval::from_seconds(2).unwrap());
    let list = with(expected, |expected| expected.addresses = &[]);
    for (expected, discard) in [(&slow, Discard::Interval(100)), (&list, Discard::AddressList)] {
        assert_eq!(hmac.receive(wall(NOW), &envelope(host(3)), &buffer[..len], expected), Err(discard));
    }
    let received = hmac.receive(wall(NOW), &envelope(host(3)), &buffer[..len], &expected).unwrap();
    // Not committed: as if it had not been received.
    assert_eq!(hmac.receive(wall(NOW), &envelope(host(3)), &buffer[..len], &expected), Ok(received));
    hmac.commit(received.pending);
    let again = hmac.receive(wall(NOW), &envelope(host(3)), &buffer[..len], &expected);
    assert_eq!(again, Err(Discard::AuthExtReplay));
}

#[test]
fn each_sender_has_its_own_mark() {
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    for from in 1..=16 {
        assert_eq!(receive(&mut hmac, NOW, from, &signed(from, NOW - 3)), Ok(()));
    }
    for from in 1..=16 {
        assert_eq!(receive(&mut hmac, NOW, from, &signed(from, NOW - 3)), Err(Reason::AuthExtReplay));
    }
    // The 17th takes the place of the first, which can be replayed then: a limit, and why there are 16.
    assert_eq!(receive(&mut hmac, NOW, 17, &signed(17, NOW)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW - 3)), Err(Reason::AuthExtReplay));
    assert_eq!(receive(&mut hmac, NOW, 1, &signed(1, NOW - 3)), Ok(()));
}

#[test]
fn by_time_marks_out_of_the_window_give_way_to_new_senders() {
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    // The last one heard is the only old one: the next to be evicted all the same.
    for from in 2..=16 {
        assert_eq!(receive(&mut hmac, NOW, from, &signed(from, NOW)), Ok(()));
    }
    assert_eq!(receive(&mut hmac, NOW, 1, &signed(1, NOW - 5)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW + 1, 17, &signed(17, NOW + 1)), Ok(()));
    for from in 2..=16 {
        assert_eq!(receive(&mut hmac, NOW + 1, from, &signed(from, NOW)), Err(Reason::AuthExtReplay), "{from}");
    }
    assert_eq!(receive(&mut hmac, NOW + 1, 1, &signed(1, NOW - 5)), Err(Reason::AuthExtStale));
}

#[test]
fn a_receiver_whose_clock_was_set_back_recovers() {
    let mut hmac = Authenticator::new(config(Mode::Enforce));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW + 5)), Ok(()));
    // The mark is ahead, but within the window.
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Err(Reason::AuthExtReplay));
    // A second more and it is forgotten; committing sets it back.
    assert_eq!(receive(&mut hmac, NOW - 1, 2, &signed(2, NOW - 1)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW - 1, 2, &signed(2, NOW - 1)), Err(Reason::AuthExtReplay));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Ok(()));
}

#[test]
fn monotonic_marks_never_expire() {
    let mut hmac = Authenticator::new(monotonic());
    // The first may be of any age.
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW - 31_536_000)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW - 31_536_001)), Err(Reason::AuthExtReplay));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW + 100_000)), Ok(()));
    assert_eq!(receive(&mut hmac, NOW, 2, &signed(2, NOW)), Err(Reason::AuthExtReplay));
}

/// AUTH_HMAC 8, "Sender" and "Receiver" together: no advertisement is lost to a clock, except as documented.
#[test]
fn a_receiver_follows_a_sender_whose_clock_is_set() {
    let form = ChecksumForm::PseudoHeader;
    let repr = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(V3_IPV4, vrid(51), &[VIP]) };
    let run = |config: &Config, clocks: &[(u64, u64)]| -> Vec<Result<(), Reason>> {
        let (mut sender, mut receiver) = (Authenticator::new(config.clone()), Authenticator::new(config.clone()));
        let hear = |(sends, receives): &(u64, u64)| {
            let (mut buffer, stamp) = ([0; 100], sender.stamp(wall(*sends)));
            let len = sender.emit(stamp, &repr, host(2), Family::V4.group(), form, &mut buffer).unwrap();
            receive(&mut receiver, *receives, 2, &buffer[..len])
        };
        clocks.iter().map(hear).collect()
    };
    let enforce = config(Mode::Enforce);
    // Back by 3 s: frozen, but later each time.
    assert_eq!(run(&enforce, &[(NOW, NOW), (NOW - 3, NOW), (NOW - 2, NOW + 1), (NOW + 1, NOW + 4)]), [Ok(()); 4]);
    // From 10 s ahead back to the right time: rejected while it was ahead, accepted at once then.
    let ahead = [Err(Reason::AuthExtStale), Ok(()), Ok(())];
    assert_eq!(run(&enforce, &[(NOW + 10, NOW), (NOW + 1, NOW + 1), (NOW + 2, NOW + 2)]), ahead);
    // Both clocks an hour ahead, and set right together.
    assert_eq!(run(&enforce, &[(NOW + 3_600, NOW + 3_600), (NOW, NOW), (NOW + 1, NOW + 1)]), [Ok(()); 3]);
    // Across 2038 and 2106, and started after 2038.
    for border in [1 << 31, 1 << 32] {
        for config in [&enforce, &monotonic()] {
            let clocks = [(border - 2, border - 2), (border - 1, border + 1), (border + 1, border + 1)];
            assert_eq!(run(config, &clocks), [Ok(()); 3], "{border}");
            assert_eq!(run(config, &[(border + 5, border + 5), (border + 6, border + 6)]), [Ok(()); 2], "{border}");
        }
    }
}

#[test]
fn a_skewed_clock_shows_before_it_hurts() {
    let hmac = Authenticator::new(config(Mode::Enforce));
    let mut expected = Expected::new(V3_IPV4, vrid(51));
    expected.addresses = &[VIP];
    for (skew, skewed) in [(0, false), (2, false), (3, true), (5, true)] {
        for sent in [NOW - skew, NOW + skew] {
            let received = hmac.receive(wall(NOW), &envelope(host(2)), &signed(2, sent), &expected).unwrap();
            assert_eq!(received.pending.is_skewed(), skewed, "{skew}");
            assert!(received.pending.is_signed());
        }
    }
}

/// keepalived lets unsigned ones of strangers pass in the migration modes (AUTH_HMAC 13.7); we have a list of peers.
#[test]
fn an_unsigned_stranger_is_no_peer_in_any_mode() {
    for (mode, reason) in [
        (Mode::Enforce, Reason::AuthExtMissing),
        (Mode::Permissive, Reason::NotPeer),
        (Mode::ReceiveOnly, Reason::NotPeer),
    ] {
        let hmac = Authenticator::new(config(mode));
        let peers = [host(3)];
        let mut expected = Expected::new(V3_IPV4, vrid(51));
        expected.peers = Some(&peers);
        let result = hmac.receive(wall(NOW), &envelope(host(2)), &advert(2, None), &expected);
        assert_eq!(result.map_err(Discard::reason), Err(reason), "{mode:?}");
    }
}

// Through the whole VRRP Router.

const ETH0: u32 = 2;

fn millis(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn interface() -> IfIndex {
    IfIndex::new(ETH0).unwrap()
}

fn router_config(id: u8, version: Version, own: u8) -> VirtualRouterConfig {
    let params = Params::new(version).with_primary_address(Some(host(own))).unwrap();
    VirtualRouterConfig::new(vrid(id), params, [VIP])
}

/// A host with one virtual router that has keys and was started at 0, when it was [`NOW`].
fn router(own: u8, config: Config) -> (VrrpRouter, RouterId) {
    let mut router = VrrpRouter::new();
    let id = router.add(interface(), router_config(51, V3_IPV4, own)).unwrap();
    router.set_wall_clock(Instant::ZERO, wall(NOW));
    router.set_hmac(id, Some(config)).unwrap();
    router.handle_event(Instant::ZERO, id, Event::Startup);
    (router, id)
}

fn claim() -> Claim {
    Claim { priority: Some(Priority::DEFAULT), interval: Interval::DEFAULT }
}

fn trailer_of(from: u8, payload: &[u8]) -> Trailer {
    Packet::parse_signed(&envelope(host(from)), payload).unwrap().trailer().unwrap()
}

/// What a router sends when it is told to, and the alarms it raises on the way.
fn poll(router: &mut VrrpRouter) -> (Vec<Vec<u8>>, Vec<Alarm>) {
    let (mut sent, mut alarms) = (Vec::new(), Vec::new());
    while let Some((id, action)) = router.poll_action() {
        match action {
            Action::SendAdvert(claim) => {
                let mut buffer = [0; Repr::MAX_SIGNED_LEN];
                let outgoing = router.build_advert(id, claim, &mut buffer).unwrap();
                sent.push(buffer[..outgoing.len].to_vec());
            }
            Action::Alarm(alarm) => alarms.push(alarm),
            _ => {}
        }
    }
    (sent, alarms)
}

#[test]
fn two_routers_hear_each_other_and_a_stranger_is_not_heard() {
    let (mut active, active_id) = router(1, config(Mode::Enforce));
    let (mut backup, backup_id) = router(2, config(Mode::Enforce));
    let mut heard = 0;
    for turn in 0..=100 {
        let now = millis(3_700 + turn * 100);
        active.handle_timeout(now);
        for payload in poll(&mut active).0 {
            assert_eq!(payload.len(), 12 + Trailer::LEN);
            assert_eq!(backup.handle_datagram(now, interface(), &envelope(host(1)), &payload), Ok(backup_id));
            let replay = backup.handle_datagram(now, interface(), &envelope(host(1)), &payload);
            assert_eq!(replay, Err(Discard::AuthExtReplay));
            heard += 1;
        }
        if turn % 10 == 0 {
            let stranger = backup.handle_datagram(now, interface(), &envelope(host(9)), &advert(9, None));
            assert_eq!(stranger, Err(Discard::AuthExtMissing));
        }
        backup.handle_timeout(now);
        assert!(poll(&mut backup).0.is_empty());
    }
    assert_eq!(active.state(active_id).unwrap().role(), vrrp_core::Role::Active);
    assert_eq!(backup.state(backup_id).unwrap().role(), vrrp_core::Role::Backup);
    let counters = backup.counters(backup_id).unwrap();
    assert_eq!((heard, counters.adverts_received), (11, 11));
    assert_eq!(counters.discards.count(Reason::AuthExtReplay), 11);
    assert_eq!(counters.discards.count(Reason::AuthExtMissing), 11);
    assert_eq!(backup.discards().total(), 22);
    assert_eq!((counters.adverts_unsigned, counters.clock_skewed), (0, 0));
}

#[test]
fn a_rejected_peer_is_an_alarm() {
    let (mut router, _) = router(1, config(Mode::Enforce));
    let mut alarm = |at: u64, payload: &[u8]| {
        router.handle_datagram(millis(at), interface(), &envelope(host(2)), payload).unwrap_err();
        poll(&mut router).1
    };
    let rejected = |reason| vec![Alarm::RejectedPeer(host(2), reason)];
    assert_eq!(alarm(1, &advert(2, None)), rejected(Reason::AuthExtMissing));
    assert_eq!(alarm(2, &signed(2, NOW - 60)), []);
    assert_eq!(alarm(60_001, &signed(2, NOW)), rejected(Reason::AuthExtStale));
    assert_eq!(
        alarm(120_001, &signed_with(2, 1, &key(3), Sequence::at(wall(NOW + 120)))),
        rejected(Reason::AuthExtInvalidHmac)
    );
}

#[test]
fn the_wall_clock_goes_on_from_when_it_was_told() {
    let (mut router, id) = router(1, config(Mode::Enforce));
    let mut hear =
        |at: u64, sent: u64| router.handle_datagram(millis(at), interface(), &envelope(host(2)), &signed(2, sent));
    assert_eq!(hear(100_900, NOW + 95), Ok(id));
    assert_eq!(hear(101_000, NOW + 95), Err(Discard::AuthExtStale { age: 6, window: 5 }));
    // Told anew: it was an hour off.
    router.set_wall_clock(millis(101_000), wall(NOW + 3_600));
    let mut hear =
        |at: u64, sent: u64| router.handle_datagram(millis(at), interface(), &envelope(host(2)), &signed(2, sent));
    assert_eq!(hear(102_000, NOW + 3_601), Ok(id));
    // What is sent has the time of what happened last, and one sequence each.
    router.handle_event(millis(102_500), id, Event::Recovered(vrrp_core::Fault::Link));
    let build = |router: &mut VrrpRouter| {
        let mut buffer = [0; 100];
        let outgoing = router.build_advert(id, claim(), &mut buffer).unwrap();
        trailer_of(1, &buffer[..outgoing.len]).sequence()
    };
    let first = build(&mut router);
    assert_eq!(first, Sequence::at(WallClock::new(NOW + 3_601, 500_000_000)));
    assert_eq!(build(&mut router), first.next());
    router.set_wall_clock(millis(102_600), wall(NOW));
    assert_eq!(build(&mut router), Sequence::at(wall(NOW)));
}

#[test]
fn all_copies_of_an_advertisement_have_one_trailer() {
    let (mut router, id) = router(1, config(Mode::Enforce));
    let mut trailers = Vec::new();
    for round in 0..2 {
        let mut buffer = [0; 100];
        let outgoing = router.build_advert(id, claim(), &mut buffer).unwrap();
        let trailer = trailer_of(1, &buffer[..outgoing.len]);
        for peer in 2..5 {
            let mut copy = [0; 100];
            let outgoing = router.build_copy(id, claim(), host(peer), &mut copy).unwrap();
            assert_eq!(outgoing.destination, host(peer));
            let envelope = Envelope { destination: host(peer), ..envelope(host(1)) };
            let packet = Packet::parse_signed(&envelope, &copy[..outgoing.len]).unwrap();
            assert_eq!(packet.trailer(), Some(trailer), "{round}");
            // Only the checksum differs, which covers the destination.
            assert!(copy[..6] == buffer[..6] && copy[6..8] != buffer[6..8] && copy[8..] == buffer[8..]);
        }
        trailers.push(trailer.sequence());
    }
    assert!(trailers[1].is_after(trailers[0]));
    // A copy of nothing is an advertisement of its own.
    let (mut router, id) = self::router(1, config(Mode::Enforce));
    let mut buffer = [0; 100];
    let outgoing = router.build_copy(id, claim(), Family::V4.group(), &mut buffer).unwrap();
    assert!(trailer_of(1, &buffer[..outgoing.len]).is_well_formed());
}

#[test]
fn virtual_routers_with_and_without_keys_live_side_by_side() {
    let (mut router, with_keys) = router(1, config(Mode::Enforce));
    let without = router.add(interface(), router_config(52, V3_IPV4, 1)).unwrap();
    router.handle_event(Instant::ZERO, without, Event::Startup);
    let to_52 = |payload: Vec<u8>| {
        let mut payload = payload;
        payload[1] = 52;
        payload[6..8].fill(0);
        let sum = InternetChecksum::new().with(&payload[..12]).field();
        payload[6..8].copy_from_slice(&sum);
        payload
    };
    let mut hear = |payload: &[u8]| router.handle_datagram(millis(1), interface(), &envelope(host(2)), payload);
    assert_eq!(hear(&signed(2, NOW)), Ok(with_keys));
    assert_eq!(hear(&to_52(advert(2, None))), Ok(without));
    assert_eq!(hear(&to_52(signed(2, NOW))), Err(Discard::Length { expected: 12, got: 40 }));
    // Nor is a trailer of use to a VRID that is not here.
    let mut elsewhere = signed(2, NOW);
    elsewhere[1] = 53;
    assert_eq!(hear(&elsewhere), Err(Discard::Length { expected: 12, got: 40 }));
    assert_eq!(router.hmac(with_keys), Some(&config(Mode::Enforce)));
    assert_eq!(router.hmac(without), None);
    let mut buffer = [0; 100];
    assert_eq!(router.build_advert(without, claim(), &mut buffer).unwrap().len, 12);
    assert_eq!(router.build_advert(with_keys, claim(), &mut buffer).unwrap().len, 40);
}

#[test]
fn reconfiguration_keeps_the_marks_and_the_sequence() {
    let (mut router, id) = router(1, config(Mode::Permissive));
    let hear = |router: &mut VrrpRouter, payload: &[u8]| {
        router.handle_datagram(millis(1), interface(), &envelope(host(2)), payload).map_err(Discard::reason)
    };
    let build = |router: &mut VrrpRouter| {
        let mut buffer = [0; 100];
        let outgoing = router.build_advert(id, claim(), &mut buffer).unwrap();
        trailer_of(1, &buffer[..outgoing.len]).sequence()
    };
    assert_eq!(hear(&mut router, &advert(2, None)), Ok(id));
    assert_eq!(router.counters(id).unwrap().adverts_unsigned, 1);
    assert_eq!(hear(&mut router, &signed(2, NOW + 3)), Ok(id));
    assert_eq!(router.counters(id).unwrap().clock_skewed, 1);
    let first = build(&mut router);

    let keys = keys().with(key_id(2), key(2)).unwrap();
    router.set_hmac(id, Some(Config { keys, ..config(Mode::Enforce) })).unwrap();
    router.set_params(millis(1), id, Params::new(V3_IPV4)).unwrap();
    assert_eq!(hear(&mut router, &signed(2, NOW + 3)), Err(Reason::AuthExtReplay));
    assert_eq!(hear(&mut router, &advert(2, None)), Err(Reason::AuthExtMissing));
    assert_eq!(build(&mut router), first.next());

    // Taken away, it is gone.
    router.set_hmac(id, None).unwrap();
    assert_eq!(hear(&mut router, &advert(2, None)), Ok(id));
    assert_eq!(hear(&mut router, &signed(2, NOW)), Err(Reason::Length));
}

#[test]
fn what_cannot_work_is_refused_with_the_way_out() {
    let mut router = VrrpRouter::new();
    let plain = router.add(interface(), router_config(51, V3_IPV4, 1)).unwrap();
    let password = Authentication::SimpleText(Password::new("secret").unwrap());
    let with_password = router_config(52, Version::V2, 1).with_authentication(password);
    let with_password = router.add(interface(), with_password).unwrap();
    let refused = |router: &mut VrrpRouter, id| router.set_hmac(id, Some(config(Mode::Enforce))).unwrap_err();
    assert_eq!(refused(&mut router, plain), ConfigError::NoWallClock(vrid(51)));
    assert_eq!(
        refused(&mut router, plain).to_string(),
        "virtual router 51 cannot sign without the time of day: call set_wall_clock first"
    );
    router.set_wall_clock(Instant::ZERO, wall(NOW));
    assert_eq!(refused(&mut router, with_password), ConfigError::PasswordAndHmac(vrid(52)));
    assert_eq!(router.hmac(with_password), None);
    router.remove(Instant::ZERO, plain);
    assert_eq!(refused(&mut router, plain), ConfigError::Unknown);
    assert_eq!(router.hmac(plain), None);
}

/// Knuth's linear congruential generator: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn octet(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0.to_be_bytes()[0]
    }

    fn below(&mut self, end: usize) -> usize {
        (usize::from(self.octet()) << 8 | usize::from(self.octet())) % end
    }
}

#[test]
fn any_flipped_bit_of_a_signed_advertisement_is_noticed() {
    let (key, ipv6) = (key(1), address("fe80::2"));
    let signer = Signer { key_id: key_id(1), key: &key, sequence: Sequence::at(wall(NOW)) };
    let hmac = Authenticator::new(config(Mode::Enforce));
    let mut flipped = BTreeMap::new();
    for (version, source, vip) in
        [(Version::V2, host(2), VIP), (V3_IPV4, host(2), VIP), (V3_IPV6, ipv6, address("fe80::100"))]
    {
        let (envelope, addresses) = (envelope(source), [vip]);
        let repr = Repr { priority: Some(Priority::DEFAULT), ..Repr::new(version, vrid(51), &addresses) };
        let (mut buffer, form) = ([0; 100], ChecksumForm::PseudoHeader);
        let len = repr.emit_signed(source, envelope.destination, form, signer, &mut buffer).unwrap();
        let mut expected = Expected::new(version, vrid(51));
        expected.addresses = &addresses;
        assert!(hmac.receive(wall(NOW), &envelope, &buffer[..len], &expected).is_ok());
        for bit in 0..len * 8 {
            let mut octets = buffer;
            octets[bit / 8] ^= 0x80 >> (bit % 8);
            let discard = hmac.receive(wall(NOW), &envelope, &octets[..len], &expected).unwrap_err();
            *flipped.entry(discard.reason()).or_insert(0) += 1;
            // With a key or without, there is no way to make an unsigned one of it.
            assert!(Packet::parse(&envelope, &octets[..len]).is_err());
        }
    }
    // The version can turn into the other one, whose length is another; version and type nibble, count: 4 + 4 + 8 bits.
    assert_eq!(flipped.values().sum::<usize>(), (48 + 40 + 52) * 8);
    assert_eq!(flipped[&Reason::Checksum], 3 * 16);
    assert_eq!(flipped[&Reason::AuthExtMalformed], 3 * 24);
    assert_eq!(flipped[&Reason::AuthExtUnknownKey], 3 * 8);
}

#[test]
fn arbitrary_octets_never_panic_and_are_never_believed() {
    let mut random = Random(7);
    let originals: Vec<Vec<u8>> = Vector::all().into_iter().map(|vector| vector.datagram).collect();
    let (mut enforcing, mut permissive) =
        (Authenticator::new(config(Mode::Enforce)), Authenticator::new(config(Mode::Permissive)));
    let (mut trailers, mut unsigned) = (0, 0);
    for round in 0..60_000_u64 {
        let mut datagram = match round % 3 {
            0 => (0..random.below(100)).map(|_| random.octet()).collect(),
            _ => originals[random.below(originals.len())].clone(),
        };
        for _ in 0..random.below(3) {
            match (random.below(5), datagram.len()) {
                (_, 0) => datagram.push(random.octet()),
                (0, len) => datagram.truncate(random.below(len)),
                (1, _) => datagram.extend([0; 28]),
                (_, len) => datagram[random.below(len)] ^= 1 << random.below(8),
            }
        }
        let envelopes = [envelope(host(2)), envelope(address("fe80::2"))];
        let whole = envelopes.iter().map(|envelope| (*envelope, &datagram[..]));
        let inner = (datagram.len() > 40).then(|| split(&datagram).ok()).flatten();
        let ipv4 = Envelope::split_ipv4(&datagram).ok();
        for (envelope, payload) in whole.chain(inner).chain(ipv4) {
            if let Ok(packet) = Packet::parse_signed(&envelope, payload)
                && let Some(trailer) = packet.trailer()
            {
                assert!(!format!("{packet} {packet:?} {trailer:?} {}", trailer.sequence()).is_empty());
                assert!(!packet.is_signed_by(envelope.source, &key(1)));
                trailers += 1;
            }
            let now = WallClock::new(round << 22, u32::from(random.octet()) << 24);
            for version in [Version::V2, V3_IPV4, V3_IPV6] {
                let mut expected = Expected::new(version, vrid(51));
                expected.destination = envelope.destination;
                // None of them is signed with this key.
                assert!(enforcing.receive(now, &envelope, payload, &expected).is_err());
                if let Ok(received) = permissive.receive(now, &envelope, payload, &expected) {
                    assert!(!received.pending.is_signed());
                    permissive.commit(received.pending);
                    unsigned += 1;
                }
            }
            let stamp = enforcing.stamp(now);
            assert_eq!(enforcing.last_stamp(), Some(stamp));
        }
    }
    assert!(trailers > 10_000 && unsigned > 100, "{trailers} and {unsigned}: this test has become blind");
}

#[test]
fn sequences_of_one_sender_only_grow_whatever_its_clock_does() {
    let mut random = Random(8);
    for anti_replay in [AntiReplay::Monotonic, AntiReplay::Time(Window::new(300).unwrap())] {
        let mut sender = Authenticator::new(Config { anti_replay, ..config(Mode::Enforce) });
        let (mut time, mut last) = (Duration::from_secs(NOW), None);
        for _ in 0..20_000 {
            // Up to 255 s on, or back as far as the window reaches.
            let step = Duration::from_millis(u64::from(random.octet()) * 1_000 / (1 + u64::from(random.octet())));
            let behind = last.is_some_and(|last: Sequence| last.age(WallClock::from(time - step)) < -300);
            time = if random.octet() < 100 && !behind { time - step } else { time + step };
            let stamp = sender.stamp(WallClock::from(time));
            let (mut buffer, repr) = ([0; 100], Repr::new(V3_IPV4, vrid(51), &[VIP]));
            let form = ChecksumForm::MessageOnly;
            let len = sender.emit(stamp, &repr, host(2), Family::V4.group(), form, &mut buffer).unwrap();
            let sequence = trailer_of(2, &buffer[..len]).sequence();
            assert!(last.is_none_or(|last| sequence.is_after(last)), "{last:?} {sequence}");
            last = Some(sequence);
        }
    }
}
