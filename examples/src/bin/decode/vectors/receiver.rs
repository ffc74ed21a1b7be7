//! Vectors with the configuration of a receiver, packets that come first, and the verdict of keepalived.

use std::net::IpAddr;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use vrrp_core::hmac::{AntiReplay, Authenticator, Config, Key, KeyId, Keys, Mode, WallClock, Window};
use vrrp_core::wire::{Authentication, ChecksumAcceptance, Discard, Expected, Packet, Password, TtlPolicy};
use vrrp_core::{Family, Interval, Version, Vrid};

use super::stated::Stated;
use super::{Outcome, octets, split, words};
use crate::fields::Fields;

#[derive(Deserialize)]
pub(crate) struct Vector {
    name: String,
    #[serde(flatten)]
    packet: Arrival,
    ip_version: u8,
    vrrp_version: u8,
    vrid: u64,
    dst: IpAddr,
    #[serde(default)]
    transport: Transport,
    peers: Option<Vec<IpAddr>>,
    #[serde(default)]
    auth: Password_,
    #[serde(default)]
    keys: Vec<NumberedKey>,
    /// `off`: no `auth_hmac`.
    #[serde(default = "off")]
    mode: String,
    #[serde(default)]
    anti_replay: Freshness,
    time_window: Option<u64>,
    #[serde(default = "second")]
    receiver_advert_centisec: u64,
    /// Whether the receiver takes VRRPv3 checksums over IPv4 without the pseudo-header.
    v3_checksum_as_v2: Option<bool>,
    /// What comes first.
    #[serde(default)]
    prior: Vec<Arrival>,
}

/// A packet, when it comes, and what is to come of it.
#[derive(Deserialize)]
struct Arrival {
    ip_packet_hex: String,
    now_unix_sec: Option<u64>,
    expect: String,
}

#[derive(Clone, Copy, Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Transport {
    #[default]
    Multicast,
    Unicast,
}

#[derive(Clone, Copy, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Freshness {
    #[default]
    Time,
    Monotonic,
}

#[derive(Deserialize, Default)]
struct Password_ {
    password: Option<String>,
}

#[derive(Deserialize)]
struct NumberedKey {
    id: u64,
    hex: String,
}

/// keepalived does not look at the TTL of unicast advertisements, nor at what kind of IPv6 address they come from.
const ANY_TTL: TtlPolicy = TtlPolicy::Routed { min: 1, max: 255, send: 255 };

fn off() -> String {
    "off".into()
}

fn second() -> u64 {
    100
}

pub(crate) fn run(vector: Vector) -> anyhow::Result<(String, Outcome)> {
    let mut receiver = Receiver::new(&vector)?;
    for (n, prior) in vector.prior.iter().enumerate() {
        let result = receiver.receive(prior)?;
        if !Stated::read(&prior.expect)?.agrees(result) {
            let (ours, got) = words(result);
            let outcome =
                Outcome::new(&vector.name, &prior.expect, false, ours, format!("{got} for packet {} before it", n + 1));
            return Ok((vector.name, outcome));
        }
    }
    let result = receiver.receive(&vector.packet)?;
    let (ours, got) = words(result);
    let agrees = Stated::read(&vector.packet.expect)?.agrees(result);
    let outcome = Outcome::new(&vector.name, &vector.packet.expect, agrees, ours, got);
    Ok((vector.name, outcome))
}

struct Receiver<'v> {
    vector: &'v Vector,
    version: Version,
    vrid: Vrid,
    interval: Interval,
    authentication: Authentication,
    hmac: Option<Authenticator>,
}

impl<'v> Receiver<'v> {
    fn new(vector: &'v Vector) -> anyhow::Result<Self> {
        let version = match (vector.vrrp_version, vector.ip_version) {
            (2, 4) => Version::V2,
            (3, 4) => Version::V3(Family::V4),
            (2 | 3, 6) => Version::V3(Family::V6),
            (vrrp, ip) => bail!("vrrp_version {vrrp} and ip_version {ip} are not 2 or 3 and 4 or 6"),
        };
        let authentication = match &vector.auth.password {
            Some(password) => Authentication::SimpleText(Password::truncated(password)?),
            None => Authentication::None,
        };
        Ok(Self {
            vector,
            version,
            vrid: Vrid::try_from(vector.vrid)?,
            interval: Interval::from_centiseconds(vector.receiver_advert_centisec)?,
            authentication,
            hmac: vector.hmac()?.map(Authenticator::new),
        })
    }

    fn receive(&mut self, arrival: &Arrival) -> anyhow::Result<Result<(), Discard>> {
        let datagram = octets("ip_packet_hex", &arrival.ip_packet_hex)?;
        Ok(self.receive_datagram(&datagram, WallClock::new(arrival.now_unix_sec.unwrap_or_default(), 0)))
    }

    fn receive_datagram(&mut self, datagram: &[u8], now: WallClock) -> Result<(), Discard> {
        let (envelope, payload) = split(datagram)?;
        // The vectors do not state the receiver's list: that of the packet.
        let addresses = Fields::read(self.version.family(), payload).map(|fields| fields.addresses).unwrap_or_default();
        let mut expected = Expected::new(self.version, self.vrid);
        expected.interval = self.interval;
        expected.authentication = self.authentication;
        expected.addresses = &addresses;
        expected.checksum = self.vector.checksum();
        let peers = self.vector.peers.as_deref();
        if self.vector.transport == Transport::Unicast {
            expected.destination = self.vector.dst;
            expected.primary = Some(self.vector.dst);
            expected.peers = Some(peers.unwrap_or_default());
            expected.ttl = ANY_TTL;
        }
        match &mut self.hmac {
            None => {
                let packet = Packet::parse_with(&envelope, payload, expected.ttl)?;
                packet.accept(&envelope, &expected).map(|_| ())
            }
            Some(hmac) => {
                let received = hmac.receive(now, &envelope, payload, &expected)?;
                hmac.commit(received.pending);
                Ok(())
            }
        }
    }
}

impl Vector {
    /// keepalived's receiver takes the pseudo-header alone, or with its option, which makes it verify nothing, anything.
    fn checksum(&self) -> ChecksumAcceptance {
        match self.v3_checksum_as_v2 {
            Some(false) => ChecksumAcceptance::PseudoHeader,
            Some(true) | None => ChecksumAcceptance::Either,
        }
    }

    fn hmac(&self) -> anyhow::Result<Option<Config>> {
        let mode = match &*self.mode {
            "off" => return Ok(None),
            "enforce" => Mode::Enforce,
            "permissive" => Mode::Permissive,
            "receive-only" => Mode::ReceiveOnly,
            other => bail!("mode {other:?} is none of off, enforce, permissive, receive-only"),
        };
        ensure!(!self.keys.is_empty(), "mode {:?} needs keys", self.mode);
        let mut keys: Option<Keys> = None;
        for NumberedKey { id, hex } in &self.keys {
            let (id, key) = (KeyId::try_from(*id)?, Key::from_hex(hex)?);
            keys = Some(match keys {
                None => Keys::new(id, key),
                Some(keys) => keys.with(id, key)?,
            });
        }
        let keys = keys.context("no keys")?;
        let anti_replay = match (self.anti_replay, self.time_window) {
            (Freshness::Monotonic, _) => AntiReplay::Monotonic,
            (Freshness::Time, Some(seconds)) => AntiReplay::Time(Window::new(seconds)?),
            (Freshness::Time, None) => {
                AntiReplay::Time(Window::for_interval(Interval::from_centiseconds(self.receiver_advert_centisec)?))
            }
        };
        Ok(Some(Config { keys, mode, anti_replay }))
    }
}
