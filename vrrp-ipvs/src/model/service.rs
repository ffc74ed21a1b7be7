//! A virtual service: what clients connect to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use super::{ModelError, PersistenceEngine, Scheduler};

/// What tells a service from every other one in a kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
pub enum ServiceId {
    /// Packets to an address and a port.
    Address {
        /// The protocol above IP.
        protocol: Protocol,
        /// The virtual address.
        address: IpAddr,
        /// The port; 0 is every port that has no service of its own, and asks for persistence.
        port: u16,
    },
    /// Packets that netfilter has marked.
    Fwmark {
        /// Which IP the packets are of.
        family: Family,
        /// The mark.
        mark: NonZeroU32,
    },
}

impl ServiceId {
    /// A service of TCP.
    pub const fn tcp(address: IpAddr, port: u16) -> Self {
        Self::Address { protocol: Protocol::Tcp, address, port }
    }

    /// A service of UDP.
    pub const fn udp(address: IpAddr, port: u16) -> Self {
        Self::Address { protocol: Protocol::Udp, address, port }
    }

    /// A service of SCTP.
    pub const fn sctp(address: IpAddr, port: u16) -> Self {
        Self::Address { protocol: Protocol::Sctp, address, port }
    }

    /// A service of packets with this mark.
    pub const fn fwmark(family: Family, mark: NonZeroU32) -> Self {
        Self::Fwmark { family, mark }
    }

    /// Which IP its packets are of.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Fwmark { family, .. } => *family,
        }
    }
}

/// `TCP 192.0.2.1:80`, `UDP [2001:db8::1]:53`, `FWM 7`, `FWM 7 IPv6`: as `ipvsadm` shows them.
impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address, port } => {
                write!(f, "{protocol} {}", std::net::SocketAddr::new(*address, *port))
            }
            Self::Fwmark { family: Family::V4, mark } => write!(f, "FWM {mark}"),
            Self::Fwmark { family: Family::V6, mark } => write!(f, "FWM {mark} IPv6"),
        }
    }
}

/// Version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// That of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Bits of an address.
    const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// The protocol of a service. Compare with [`number`](Self::number): `Other(6)` is TCP too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// Another, which the kernel has although it balances none: never made by [`from_number`](Self::from_number) for one
    /// of the above.
    Other(u16),
}

impl Protocol {
    /// Its number in IP's header.
    pub const fn number(self) -> u16 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Other(number) => number,
        }
    }

    /// The protocol with this number.
    pub const fn from_number(number: u16) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            132 => Self::Sctp,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("TCP"),
            Self::Udp => f.write_str("UDP"),
            Self::Sctp => f.write_str("SCTP"),
            Self::Other(number) => write!(f, "protocol {number}"),
        }
    }
}

/// A virtual service and how it distributes connections, without its destinations.
///
/// [`new`](Self::new) gives one that takes turns and forgets its clients; the fields are there to be changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Service {
    /// What clients connect to.
    pub id: ServiceId,
    /// How a destination is chosen.
    #[cfg_attr(feature = "serde", serde(default))]
    pub scheduler: Scheduler,
    /// What else the scheduler is told.
    #[cfg_attr(feature = "serde", serde(default))]
    pub scheduler_flags: SchedulerFlags,
    /// Whether a client keeps its destination, and how long.
    #[cfg_attr(feature = "serde", serde(default))]
    pub persistence: Option<Persistence>,
    /// What else than the address tells clients apart.
    #[cfg_attr(feature = "serde", serde(default))]
    pub engine: Option<PersistenceEngine>,
    /// Every UDP packet is a connection of its own (`IP_VS_SVC_F_ONEPACKET`). With direct routing or a tunnel: by masquerading
    /// the answers would come from the destinations' own addresses.
    #[cfg_attr(feature = "serde", serde(default))]
    pub one_packet: bool,
}

impl Service {
    /// A service that takes turns (`rr`) and forgets its clients.
    pub fn new(id: ServiceId) -> Self {
        Self {
            id,
            scheduler: Scheduler::default(),
            scheduler_flags: SchedulerFlags::default(),
            persistence: None,
            engine: None,
            one_packet: false,
        }
    }

    /// The same with another scheduler.
    #[must_use]
    pub fn with_scheduler(mut self, scheduler: Scheduler) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// The same with persistence.
    #[must_use]
    pub fn with_persistence(mut self, persistence: Persistence) -> Self {
        self.persistence = Some(persistence);
        self
    }

    /// Whether a kernel can hold it.
    ///
    /// # Errors
    /// [`ModelError`] with the field that is wrong.
    pub fn validate(&self) -> Result<(), ModelError> {
        let Some(Persistence { timeout_seconds, granularity }) = self.persistence else { return Ok(()) };
        if !(1..=MAX_PERSISTENCE_SECONDS).contains(&timeout_seconds) {
            return Err(ModelError::PersistenceTimeout { service: self.id, seconds: timeout_seconds });
        }
        let wrong =
            |allowed| Err(ModelError::Granularity { service: self.id, granularity: granularity.to_string(), allowed });
        match (self.id.family(), granularity) {
            (Family::V4, Granularity::Prefix(33..)) => wrong("a prefix of 0 to 32 bits, or a netmask"),
            (Family::V6, Granularity::Prefix(0 | 129..) | Granularity::Netmask(_)) => {
                wrong("a prefix of 1 to 128 bits")
            }
            _ => Ok(()),
        }
    }

    /// The same service in the one form that the kernel's answer is read in, so that two that mean the same are equal.
    #[must_use]
    pub(crate) fn canonical(&self) -> Self {
        let mut service = self.clone();
        service.id = self.id.canonical();
        if let Some(persistence) = &mut service.persistence {
            persistence.granularity = persistence.granularity.canonical(self.id.family());
        }
        service
    }
}

impl ServiceId {
    /// The one form of each: no `Other` that has a name.
    pub(crate) fn canonical(mut self) -> Self {
        if let Self::Address { protocol, .. } = &mut self {
            *protocol = Protocol::from_number(protocol.number());
        }
        self
    }
}

/// The longest persistence, 31 days: what `ipvsadm` takes, and fits the kernel's 32 bits of clock ticks.
const MAX_PERSISTENCE_SECONDS: u32 = 31 * 24 * 60 * 60;

/// A scheduler's own flags (`IP_VS_SVC_F_SCHED1` to `3`).
///
/// Source hash and Maglev hash read the first as fallback and the second as port: see [`HASH_FALLBACK`](Self::HASH_FALLBACK).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
#[allow(missing_docs, reason = "the scheduler gives them their meaning")]
pub struct SchedulerFlags {
    pub flag_1: bool,
    pub flag_2: bool,
    pub flag_3: bool,
}

impl SchedulerFlags {
    /// `sh`, `mh`: take another destination where the hash's own has weight 0 or is overloaded.
    pub const HASH_FALLBACK: Self = Self { flag_1: true, flag_2: false, flag_3: false };
    /// `sh`, `mh`: hash the client's port as well.
    pub const HASH_PORT: Self = Self { flag_1: false, flag_2: true, flag_3: false };

    /// What is set in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            flag_1: self.flag_1 || other.flag_1,
            flag_2: self.flag_2 || other.flag_2,
            flag_3: self.flag_3 || other.flag_3,
        }
    }
}

/// A client comes back to the destination it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Persistence {
    /// How long after its last connection, in seconds: 1 to 2678400 (31 days). `ipvsadm` takes 300 unless told.
    pub timeout_seconds: u32,
    /// Which clients count as one.
    #[cfg_attr(feature = "serde", serde(default))]
    pub granularity: Granularity,
}

/// Which clients count as one for persistence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Granularity {
    /// Each address is a client of its own.
    #[default]
    Host,
    /// Those whose addresses begin with the same bits: 0 to 32 over IPv4 (0: all are one), 1 to 128 over IPv6.
    Prefix(u8),
    /// Those whose IPv4 addresses are equal under this mask, which may have gaps.
    Netmask(Ipv4Addr),
}

impl Granularity {
    /// The one form of each: the host rather than its prefix, a prefix rather than its mask.
    pub(crate) fn canonical(self, family: Family) -> Self {
        let prefix = match self {
            Self::Host => return self,
            Self::Prefix(prefix) => prefix,
            Self::Netmask(mask) => {
                let ones = mask.to_bits().leading_ones();
                match u8::try_from(ones) {
                    Ok(prefix) if ones == mask.to_bits().count_ones() => prefix,
                    _ => return self,
                }
            }
        };
        if prefix == family.bits() { Self::Host } else { Self::Prefix(prefix) }
    }

    /// As the mask of an IPv4 service.
    pub(crate) fn netmask(self) -> Ipv4Addr {
        match self {
            Self::Host => Ipv4Addr::BROADCAST,
            Self::Prefix(prefix) => {
                Ipv4Addr::from_bits(u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0))
            }
            Self::Netmask(mask) => mask,
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Prefix(prefix) => write!(f, "/{prefix}"),
            Self::Netmask(mask) => write!(f, "netmask {mask}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4() -> Service {
        Service::new(ServiceId::tcp("192.0.2.1".parse().unwrap(), 80))
    }

    fn v6() -> Service {
        Service::new(ServiceId::udp("2001:db8::1".parse().unwrap(), 53))
    }

    fn persistence(timeout_seconds: u32, granularity: Granularity) -> Persistence {
        Persistence { timeout_seconds, granularity }
    }

    #[test]
    fn an_id_reads_as_ipvsadm_shows_it() {
        assert_eq!(v4().id.to_string(), "TCP 192.0.2.1:80");
        assert_eq!(v6().id.to_string(), "UDP [2001:db8::1]:53");
        let mark = NonZeroU32::new(7).unwrap();
        assert_eq!(ServiceId::fwmark(Family::V4, mark).to_string(), "FWM 7");
        assert_eq!(ServiceId::fwmark(Family::V6, mark).to_string(), "FWM 7 IPv6");
    }

    #[test]
    fn a_granularity_must_be_of_the_services_family() {
        for (service, right) in [(v4(), 0..=32), (v6(), 1..=128)] {
            for prefix in 0..=u8::MAX {
                let service = service.clone().with_persistence(persistence(60, Granularity::Prefix(prefix)));
                assert_eq!(service.validate().is_ok(), right.contains(&prefix), "{}: /{prefix}", service.id);
            }
        }
        let mask = Granularity::Netmask(Ipv4Addr::new(255, 0, 255, 0));
        assert_eq!(v4().with_persistence(persistence(60, mask)).validate(), Ok(()));
        let error = v6().with_persistence(persistence(60, mask)).validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "UDP [2001:db8::1]:53: netmask 255.0.255.0 is no granularity of its family: a prefix of 1 to 128 bits"
        );
    }

    #[test]
    fn persistence_lasts_a_second_to_a_month() {
        for (seconds, right) in [(0, false), (1, true), (2_678_400, true), (2_678_401, false), (u32::MAX, false)] {
            let service = v4().with_persistence(persistence(seconds, Granularity::Host));
            assert_eq!(service.validate().is_ok(), right, "{seconds} s");
        }
    }

    #[test]
    fn granularities_that_mean_the_same_have_one_form() {
        for prefix in 0..=32 {
            let mask = Granularity::Netmask(Granularity::Prefix(prefix).netmask());
            let canonical = Granularity::Prefix(prefix).canonical(Family::V4);
            assert_eq!(mask.canonical(Family::V4), canonical);
            assert_eq!(canonical.netmask(), Granularity::Prefix(prefix).netmask());
            assert_eq!(canonical == Granularity::Host, prefix == 32);
        }
        assert_eq!(Granularity::Prefix(0).netmask(), Ipv4Addr::UNSPECIFIED);
        assert_eq!(Granularity::Prefix(128).canonical(Family::V6), Granularity::Host);
        let gaps = Granularity::Netmask(Ipv4Addr::new(255, 0, 255, 0));
        assert_eq!(gaps.canonical(Family::V4), gaps);
    }

    #[test]
    fn a_protocol_of_a_number_has_one_form() {
        for number in 0..=u16::MAX {
            assert_eq!(Protocol::from_number(number).number(), number);
        }
        let id = ServiceId::Address { protocol: Protocol::Other(6), address: "192.0.2.1".parse().unwrap(), port: 80 };
        assert_eq!(id.canonical(), v4().id);
    }
}
