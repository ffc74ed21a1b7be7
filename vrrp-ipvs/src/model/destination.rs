//! A destination (real server): where a service's connections go.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use super::{Family, ModelError, ServiceId};

/// What tells a destination from the others of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct DestinationId {
    /// Its address.
    pub address: IpAddr,
    /// Its port; with direct routing and tunnels packets keep the port they came for.
    pub port: u16,
}

impl DestinationId {
    /// The destination with this address and port.
    pub const fn new(address: IpAddr, port: u16) -> Self {
        Self { address, port }
    }
}

impl From<SocketAddr> for DestinationId {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip(), address.port())
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`.
impl fmt::Display for DestinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// A destination of a service, and how it is reached.
///
/// [`new`](Self::new) gives one by masquerading with weight 1; the fields are there to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Destination {
    /// Where it is.
    pub id: DestinationId,
    /// How packets get there.
    #[cfg_attr(feature = "serde", serde(default))]
    pub forwarding: Forwarding,
    /// Its share of the connections, up to 2147483647; 0 takes no new ones.
    #[cfg_attr(feature = "serde", serde(default = "one"))]
    pub weight: u32,
    /// With this many connections it takes no new ones; 0: no limit.
    #[cfg_attr(feature = "serde", serde(default))]
    pub upper_threshold: u32,
    /// Once at the upper threshold, it takes new ones again below this many; 0: below three quarters of the upper one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub lower_threshold: u32,
}

#[cfg(feature = "serde")]
const fn one() -> u32 {
    1
}

impl Destination {
    /// A destination by masquerading with weight 1.
    pub const fn new(id: DestinationId) -> Self {
        Self { id, forwarding: Forwarding::Masquerade, weight: 1, upper_threshold: 0, lower_threshold: 0 }
    }

    /// The same, reached in another way.
    #[must_use]
    pub const fn with_forwarding(mut self, forwarding: Forwarding) -> Self {
        self.forwarding = forwarding;
        self
    }

    /// The same with another weight.
    #[must_use]
    pub const fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Whether a kernel can hold it in this service.
    ///
    /// # Errors
    /// [`ModelError`] with the field that is wrong.
    pub fn validate(&self, service: ServiceId) -> Result<(), ModelError> {
        let Self { id: destination, forwarding, weight, upper_threshold: upper, lower_threshold: lower } = *self;
        if i32::try_from(weight).is_err() {
            return Err(ModelError::Weight { service, destination, weight });
        }
        if lower > upper {
            return Err(ModelError::Thresholds { service, destination, lower, upper });
        }
        if Family::of(destination.address) != service.family() && !matches!(forwarding, Forwarding::Tunnel(_)) {
            return Err(ModelError::MixedFamily { service, destination });
        }
        Ok(())
    }

    /// The same in the one form that the kernel's answer is read in.
    #[must_use]
    pub(crate) fn canonical(mut self) -> Self {
        self.forwarding = Forwarding::from_kernel(self.forwarding.number(), self.forwarding.tunnel().encoding());
        self
    }
}

/// How packets get to a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Forwarding {
    /// Addresses and ports are rewritten both ways (NAT): answers must come back through the director.
    #[default]
    #[doc(alias = "nat")]
    Masquerade,
    /// To the director itself.
    Local,
    /// Wrapped into another packet: the destination answers the client itself.
    Tunnel(Tunnel),
    /// Unchanged, to the destination's MAC address: it must hold the virtual address without answering ARP for it, and
    /// answers the client itself.
    #[doc(alias = "dr")]
    Direct,
    /// To the packet's own destination address, past the director (transparent caches).
    Bypass,
    /// Another number, of a later kernel (3 bits).
    Other(u8),
}

impl Forwarding {
    /// `IP_VS_CONN_F_FWD_MASK` and the numbers under it.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Masquerade => 0,
            Self::Local => 1,
            Self::Tunnel(_) => 2,
            Self::Direct => 3,
            Self::Bypass => 4,
            Self::Other(number) => number & 7,
        }
    }

    /// From its number, and what is said about the tunnel, which only matters to one.
    pub(crate) fn from_kernel(number: u8, tunnel: TunnelEncoding) -> Self {
        match number & 7 {
            0 => Self::Masquerade,
            1 => Self::Local,
            2 => Self::Tunnel(Tunnel::from_encoding(tunnel)),
            3 => Self::Direct,
            4 => Self::Bypass,
            other => Self::Other(other),
        }
    }

    /// Its tunnel; IPIP, which is nothing said, for one that has none.
    pub(crate) const fn tunnel(self) -> Tunnel {
        match self {
            Self::Tunnel(tunnel) => tunnel,
            _ => Tunnel::Ipip,
        }
    }
}

/// What packets are wrapped into (`IP_VS_CONN_F_TUNNEL_TYPE_*`).
///
/// Kernels before 5.3 know only IPIP and take the others for it without a word; that shows when it is read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Tunnel {
    /// IP in IP: no header between the two.
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// The UDP port that the destination listens on.
        port: NonZeroU16,
        /// The checksum.
        checksum: TunnelChecksum,
    },
    /// Generic routing encapsulation.
    Gre {
        /// Whether it carries a checksum.
        checksum: bool,
    },
    /// Another type, or flags, of a later kernel.
    Other {
        /// Its type.
        kind: u8,
        /// Its port.
        port: u16,
        /// Its flags.
        flags: u16,
    },
}

/// Checksum of a GUE tunnel (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum TunnelChecksum {
    /// None.
    #[default]
    None,
    /// That of UDP.
    Full,
    /// Offloaded to the destination (remote checksum).
    Remote,
}

/// A tunnel's three attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TunnelEncoding {
    pub(crate) kind: u8,
    pub(crate) port: u16,
    pub(crate) flags: u16,
}

const TUNNEL_IPIP: u8 = 0;
const TUNNEL_GUE: u8 = 1;
const TUNNEL_GRE: u8 = 2;
const FLAG_CHECKSUM: u16 = 1;
const FLAG_REMOTE_CHECKSUM: u16 = 2;

impl Tunnel {
    pub(crate) const fn encoding(self) -> TunnelEncoding {
        match self {
            Self::Ipip => TunnelEncoding { kind: TUNNEL_IPIP, port: 0, flags: 0 },
            Self::Gue { port, checksum } => {
                let flags = match checksum {
                    TunnelChecksum::None => 0,
                    TunnelChecksum::Full => FLAG_CHECKSUM,
                    TunnelChecksum::Remote => FLAG_REMOTE_CHECKSUM,
                };
                TunnelEncoding { kind: TUNNEL_GUE, port: port.get(), flags }
            }
            Self::Gre { checksum } => TunnelEncoding { kind: TUNNEL_GRE, port: 0, flags: if checksum { 1 } else { 0 } },
            Self::Other { kind, port, flags } => TunnelEncoding { kind, port, flags },
        }
    }

    fn from_encoding(TunnelEncoding { kind, port, flags }: TunnelEncoding) -> Self {
        match (kind, NonZeroU16::new(port), flags) {
            (TUNNEL_IPIP, None, 0) => Self::Ipip,
            (TUNNEL_GUE, Some(port), 0) => Self::Gue { port, checksum: TunnelChecksum::None },
            (TUNNEL_GUE, Some(port), FLAG_CHECKSUM) => Self::Gue { port, checksum: TunnelChecksum::Full },
            (TUNNEL_GUE, Some(port), FLAG_REMOTE_CHECKSUM) => Self::Gue { port, checksum: TunnelChecksum::Remote },
            (TUNNEL_GRE, None, 0) => Self::Gre { checksum: false },
            (TUNNEL_GRE, None, FLAG_CHECKSUM) => Self::Gre { checksum: true },
            _ => Self::Other { kind, port, flags },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> ServiceId {
        ServiceId::tcp("192.0.2.1".parse().unwrap(), 80)
    }

    fn destination(address: &str) -> Destination {
        Destination::new(DestinationId::new(address.parse().unwrap(), 8080))
    }

    #[test]
    fn a_weight_fits_the_kernels_signed_number() {
        assert_eq!(destination("192.0.2.2").with_weight(2_147_483_647).validate(service()), Ok(()));
        let error = destination("192.0.2.2").with_weight(2_147_483_648).validate(service()).unwrap_err();
        assert_eq!(error.to_string(), "TCP 192.0.2.1:80: weight 2147483648 of 192.0.2.2:8080 is not 0..=2147483647");
    }

    #[test]
    fn the_lower_threshold_is_not_above_the_upper_one() {
        let mut limited = destination("192.0.2.2");
        (limited.lower_threshold, limited.upper_threshold) = (5, 5);
        assert_eq!(limited.validate(service()), Ok(()));
        limited.upper_threshold = 4;
        assert!(matches!(limited.validate(service()), Err(ModelError::Thresholds { lower: 5, upper: 4, .. })));
    }

    #[test]
    fn only_a_tunnel_reaches_the_other_family() {
        let other = destination("2001:db8::2");
        assert!(matches!(other.validate(service()), Err(ModelError::MixedFamily { .. })));
        assert!(other.with_forwarding(Forwarding::Direct).validate(service()).is_err());
        assert_eq!(other.with_forwarding(Forwarding::Tunnel(Tunnel::Ipip)).validate(service()), Ok(()));
    }

    #[test]
    fn every_encoding_of_a_tunnel_has_one_form() {
        for kind in 0..=4 {
            for port in [0, 1, 6080] {
                for flags in 0..=4 {
                    let encoding = TunnelEncoding { kind, port, flags };
                    let tunnel = Tunnel::from_encoding(encoding);
                    assert_eq!(tunnel.encoding(), encoding);
                    let other = Forwarding::Tunnel(Tunnel::Other { kind, port, flags });
                    let canonical = destination("192.0.2.2").with_forwarding(other).canonical();
                    assert_eq!(canonical.forwarding, Forwarding::Tunnel(tunnel));
                }
            }
        }
    }

    #[test]
    fn every_number_of_forwarding_has_one_form() {
        for number in 0..8 {
            assert_eq!(Forwarding::from_kernel(number, TunnelEncoding::default()).number(), number);
            let canonical = destination("192.0.2.2").with_forwarding(Forwarding::Other(number)).canonical();
            assert_eq!(canonical.forwarding, Forwarding::from_kernel(number, TunnelEncoding::default()));
        }
    }
}
