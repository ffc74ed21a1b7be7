//! Every vector whose verdict a live keepalived 2.4.3 gave.

use super::*;

const VECTORS: &str = include_str!("../vectors/auth_hmac_vectors.json");

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
pub(crate) struct Vector {
    json: Value,
    name: String,
    pub(crate) datagram: Vec<u8>,
    version: Version,
    /// `None`: no `auth_hmac`.
    config: Option<Config>,
}

impl Vector {
    pub(crate) fn all() -> Vec<Self> {
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
    deviations::check_quirks(&all, &deviating, 24);
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
