//! Signed advertisements, against keepalived 2.4.3: every vector whose verdict a live one gave, and the rules behind
//! them. The sender's sequence rules are tested beside them, in `src/hmac.rs`; what the code covers in `src/wire/hmac.rs`.
#![cfg(feature = "auth-hmac")]

#[path = "../deviations/mod.rs"]
mod deviations;
mod hostile;
mod router;
mod rules;
mod vectors;

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

fn trailer_of(from: u8, payload: &[u8]) -> Trailer {
    Packet::parse_signed(&envelope(host(from)), payload).unwrap().trailer().unwrap()
}
