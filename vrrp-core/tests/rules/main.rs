//! Rows of `CONFORMANCE.md` that take a whole VRRP Router: datagrams in; actions, octets and counters out.
#![cfg(feature = "alloc")]

#[path = "../common/mod.rs"]
mod common;
mod config;
mod machine;
mod management;
mod receive;
mod send;

use core::net::IpAddr;

use serde_json::Value;
use vrrp_core::wire::{Authentication, Discard, Envelope, Password};
use vrrp_core::{
    Action, Event, Family, IfIndex, Instant, Params, Role, RouterId, State, Version, VirtualRouterConfig, Vrid,
    VrrpRouter,
};

const V3: Version = Version::V3(Family::V4);
const V3_IPV6: Version = Version::V3(Family::V6);

const VECTORS: &str = include_str!("../vectors/rfc_vectors.json");

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interface() -> IfIndex {
    IfIndex::new(2).unwrap()
}

/// The router that the vectors are written for: VRID 51 at 192.0.2.1 or fe80::ff:fe00:a, for 192.0.2.100 or fe80::100.
fn config(version: Version) -> VirtualRouterConfig {
    let (primary, virtual_address) = match version.family() {
        Family::V4 => ("192.0.2.1", "192.0.2.100"),
        Family::V6 => ("fe80::ff:fe00:a", "fe80::100"),
    };
    let params = Params::new(version).with_primary_address(Some(address(primary))).unwrap();
    VirtualRouterConfig::new(Vrid::new(51).unwrap(), params, [address(virtual_address)])
}

fn with_password(text: &str) -> VirtualRouterConfig {
    let mut config = config(Version::V2);
    config.authentication = Authentication::SimpleText(Password::new(text).unwrap());
    config
}

fn with_params(mut config: VirtualRouterConfig, params: Params) -> VirtualRouterConfig {
    config.params = params;
    config
}

fn with_addresses(mut config: VirtualRouterConfig, addresses: &[IpAddr]) -> VirtualRouterConfig {
    config.addresses = addresses.to_vec();
    config
}

/// A VRRP Router with one virtual router.
struct Host {
    router: VrrpRouter,
    id: RouterId,
}

impl Host {
    /// Added, but not started.
    fn new(config: VirtualRouterConfig) -> Self {
        let mut router = VrrpRouter::new();
        let id = router.add(interface(), config).unwrap();
        Self { router, id }
    }

    /// Started at 0; an owner is Active then, everybody else Backup.
    fn started(config: VirtualRouterConfig) -> Self {
        let mut host = Self::new(config);
        host.router.handle_event(Instant::ZERO, host.id, Event::Startup);
        host.actions();
        host
    }

    /// Started at 0, and Active since nobody was heard.
    fn active(config: VirtualRouterConfig) -> Self {
        let mut host = Self::started(config);
        if host.role() == Role::Backup {
            let now = host.router.poll_timeout().unwrap();
            host.router.handle_timeout(now);
            host.actions();
        }
        assert_eq!(host.role(), Role::Active);
        host
    }

    /// An IP datagram, as a raw socket gives it.
    fn hear(&mut self, now: Instant, datagram: &[u8]) -> Result<RouterId, Discard> {
        if datagram[0] >> 4 == 6 {
            let ip = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&datagram[at..at + 16]).unwrap());
            let envelope = Envelope { source: ip(8), destination: ip(24), ttl: Some(datagram[7]) };
            return self.router.handle_datagram(now, interface(), &envelope, &datagram[40..]);
        }
        match Envelope::split_ipv4(datagram) {
            Ok((envelope, payload)) => self.router.handle_datagram(now, interface(), &envelope, payload),
            Err(discard) => {
                self.router.count_undecodable(discard);
                Err(discard)
            }
        }
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.router.poll_action()).map(|(_, action)| action).collect()
    }

    fn state(&self) -> State {
        self.router.state(self.id).unwrap()
    }

    fn role(&self) -> Role {
        self.state().role()
    }
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Every vector as (id, IP datagram, VRRP message).
fn vectors() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let text = |vector: &Value, field: &str| vector[field].as_str().unwrap().to_owned();
    let parts = |vector| (text(vector, "id"), octets(&text(vector, "ip")), octets(&text(vector, "pdu")));
    vectors.iter().map(parts).collect()
}

/// The datagram of one vector.
fn vector(id: &str) -> Vec<u8> {
    vectors().into_iter().find(|(other, ..)| other == id).unwrap_or_else(|| panic!("no vector {id}")).1
}

/// The message of one vector.
fn message(id: &str) -> Vec<u8> {
    vectors().into_iter().find(|(other, ..)| other == id).unwrap_or_else(|| panic!("no vector {id}")).2
}

/// The router that a malformed vector arrives at.
fn config_for(id: &str, datagram: &[u8]) -> VirtualRouterConfig {
    let payload = if datagram[0] >> 4 == 6 { 40 } else { usize::from(datagram[0] & 0x0f) * 4 };
    match id {
        "M-21" | "M-22" => with_password("1234"),
        // A VRRPv2 packet at a VRRPv3 router.
        "M-06" => config(V3),
        _ if datagram[0] >> 4 == 6 => config(V3_IPV6),
        _ if datagram.get(payload).is_some_and(|octet| octet >> 4 == 2) => config(Version::V2),
        _ => config(V3),
    }
}
