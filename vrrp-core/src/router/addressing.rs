//! Where advertisements go, and from whom they are taken.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::types::is_host_address;
use crate::wire::TtlPolicy;
use crate::{Family, Version};

use super::{ConfigError, VirtualRouterConfig};

/// How a virtual router and its peers reach each other: by multicast or by unicast, never both. One that uses the one
/// drops what arrives by the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addressing {
    /// By the group of the family (RFC 9568 §5.1.1.2, §5.1.2.2).
    #[non_exhaustive]
    Multicast {
        /// The group; `None`: that of the family. Another one is not RFC 9568's, but keeps virtual routers apart that have
        /// one VRID on one link (keepalived's `vrrp_mcast_group4`).
        group: Option<IpAddr>,
        /// The only sources that advertisements are taken from; `None`: everybody on the link.
        allowed: Option<Vec<IpAddr>>,
    },
    /// One copy to each peer, and nothing is taken from anybody else (draft-abinabraham-vrrp-unicast).
    #[non_exhaustive]
    Unicast {
        /// The addresses that the peers send from: at least one, and not our own. Over IPv6 they are link-local, unless
        /// the peers are behind routers.
        peers: Vec<IpAddr>,
        /// Which TTL is sent and accepted.
        ttl: TtlPolicy,
    },
}

impl Addressing {
    /// By multicast, from everybody on the link.
    pub const MULTICAST: Self = Self::Multicast { group: None, allowed: None };

    /// By multicast, and taken from these sources only. Somebody on the link can still send with such an address.
    pub fn multicast_from(allowed: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::Multicast { group: None, allowed: Some(allowed.into_iter().collect()) }
    }

    /// By another multicast group than that of the family.
    pub const fn multicast_to(group: IpAddr) -> Self {
        Self::Multicast { group: Some(group), allowed: None }
    }

    /// By unicast, to and from these peers on the link.
    pub fn unicast(peers: impl IntoIterator<Item = IpAddr>) -> Self {
        Self::Unicast { peers: peers.into_iter().collect(), ttl: TtlPolicy::Strict }
    }

    /// By unicast, to and from these peers, which may be behind routers if `ttl` says so: then authenticate them.
    pub fn unicast_with_ttl(peers: impl IntoIterator<Item = IpAddr>, ttl: TtlPolicy) -> Self {
        Self::Unicast { peers: peers.into_iter().collect(), ttl }
    }

    /// The only sources that are accepted, if not all are.
    pub fn sources(&self) -> Option<&[IpAddr]> {
        match self {
            Self::Multicast { allowed, .. } => allowed.as_deref(),
            Self::Unicast { peers, .. } => Some(peers),
        }
    }

    /// Whether it is by unicast.
    pub const fn is_unicast(&self) -> bool {
        match self {
            Self::Multicast { .. } => false,
            Self::Unicast { .. } => true,
        }
    }

    /// Which TTL is sent and accepted.
    pub const fn ttl(&self) -> TtlPolicy {
        match self {
            Self::Multicast { .. } => TtlPolicy::Strict,
            Self::Unicast { ttl, .. } => *ttl,
        }
    }

    /// The group that is sent to and heard; `None` by unicast.
    pub const fn group(&self, family: Family) -> Option<IpAddr> {
        match self {
            Self::Multicast { group: Some(group), .. } => Some(*group),
            Self::Multicast { group: None, .. } => Some(family.group()),
            Self::Unicast { .. } => None,
        }
    }

    /// Where advertisements are sent to: the group of `family`, or each peer.
    pub fn destinations(&self, family: Family) -> &[IpAddr] {
        static GROUPS: [IpAddr; 2] = [Family::V4.group(), Family::V6.group()];
        let [v4, v6] = &GROUPS;
        match (self, family) {
            (Self::Multicast { group: Some(group), .. }, Family::V4 | Family::V6) => core::slice::from_ref(group),
            (Self::Multicast { group: None, .. }, Family::V4) => core::slice::from_ref(v4),
            (Self::Multicast { group: None, .. }, Family::V6) => core::slice::from_ref(v6),
            (Self::Unicast { peers, .. }, Family::V4 | Family::V6) => peers,
        }
    }
}

impl Default for Addressing {
    fn default() -> Self {
        Self::MULTICAST
    }
}

/// Whether a virtual router can be reached like this.
pub(super) fn check_addressing(config: &VirtualRouterConfig) -> Result<(), ConfigError> {
    let (vrid, version) = (config.vrid, config.params.version());
    if config.addressing.sources().is_some_and(<[IpAddr]>::is_empty) {
        return Err(ConfigError::NoPeer(vrid));
    }
    if let TtlPolicy::Routed { min, max, send } = config.addressing.ttl()
        && (min > max || send == 0)
    {
        return Err(ConfigError::Ttl { vrid, min, max, send });
    }
    if let Some(group) = config.addressing.group(version.family()) {
        if Family::of(group) != version.family() {
            return Err(ConfigError::AddressFamily { vrid, version, address: group });
        }
        // An IPv6 group of a larger scope would leave the link (RFC 4291 §2.7).
        let on_link = match group {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => v6.octets()[1] & 0x0f == 2,
        };
        if !group.is_multicast() || !on_link {
            return Err(ConfigError::NotAGroup(vrid, group));
        }
    }
    let sources = config.addressing.sources().unwrap_or_default();
    for (n, address) in sources.iter().copied().enumerate() {
        if Family::of(address) != version.family() {
            return Err(ConfigError::AddressFamily { vrid, version, address });
        }
        if !is_host_address(address) {
            return Err(ConfigError::PeerNotUnicast(vrid, address));
        }
        check_link_local(config, address)?;
        if sources.iter().take(n).any(|other| *other == address) {
            return Err(ConfigError::DuplicatePeer(vrid, address));
        }
    }
    if let Some(source) = config.source {
        if !is_host_address(source) {
            return Err(ConfigError::SourceNotUnicast(vrid, source));
        }
        check_link_local(config, source)?;
    }
    Ok(())
}

/// Whether a virtual router can have this address as its own: it must not be a peer's, and must be one that peers take
/// (RFC 9568 §5.1.2.1: they drop what comes from an IPv6 address that is not link-local).
pub(super) fn check_own_address(config: &VirtualRouterConfig, own: IpAddr) -> Result<(), ConfigError> {
    match &config.addressing {
        Addressing::Unicast { peers, .. } if peers.contains(&own) => {
            Err(ConfigError::OwnAddressAsPeer(config.vrid, own))
        }
        Addressing::Multicast { .. } | Addressing::Unicast { .. } => check_link_local(config, own),
    }
}

/// IPv6 routers advertise from link-local addresses (RFC 9568 §5.1.2.1), unless there are routers between them.
fn check_link_local(config: &VirtualRouterConfig, address: IpAddr) -> Result<(), ConfigError> {
    match (address, config.params.version()) {
        (IpAddr::V6(v6), Version::V3(Family::V6))
            if !v6.is_unicast_link_local() && !config.addressing.ttl().is_routed() =>
        {
            Err(ConfigError::NotLinkLocal(config.vrid, address))
        }
        (IpAddr::V4(_) | IpAddr::V6(_), Version::V2 | Version::V3(_)) => Ok(()),
    }
}
