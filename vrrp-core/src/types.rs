//! The protocol's numbers as checked types: a value that exists is a legal one.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use core::str::FromStr;
use core::time::Duration;

/// A value outside its range. The message names the value and the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// A VRID that is not 1..=255.
    #[error("virtual router id {0} is not 1..=255")]
    Vrid(u64),
    /// A priority that is not 1..=255.
    #[error("priority {0} is not 1..=255 (255: the address owner; default 100)")]
    Priority(u64),
    /// A centisecond interval that VRRPv3 cannot advertise.
    #[error("interval of {0} cs is not 1..=4095 cs (10 ms to 40.95 s)")]
    Centiseconds(u64),
    /// A whole-second interval that VRRPv2 cannot advertise.
    #[error("interval of {0} s is not 1..=255 s")]
    Seconds(u64),
    /// A duration that is not a whole number of centiseconds.
    #[error("interval of {0:?} is not a multiple of 10 ms")]
    Granularity(Duration),
    /// A prefix length longer than the address.
    #[error("prefix length {0} is not 0..={1}")]
    PrefixLength(u8, u8),
    /// An address that no host can hold.
    #[error("{0} cannot be a virtual address: it must be a unicast address of one host")]
    NotUnicast(IpAddr),
    /// Text that is not `ADDRESS` or `ADDRESS/PREFIX`.
    #[error("not an address: write it as 192.0.2.100 or 192.0.2.100/24")]
    AddressSyntax,
    /// An interface index of 0.
    #[error("interface index 0 names no interface")]
    IfIndex,
}

/// Virtual Router Identifier, 1..=255 (RFC 9568 §5.2.3): unique per link and address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// The VRID with this number.
    ///
    /// # Errors
    /// [`ValueError::Vrid`] unless `value` is 1..=255.
    pub const fn new(value: u8) -> Result<Self, ValueError> {
        match NonZeroU8::new(value) {
            Some(value) => Ok(Self(value)),
            None => Err(ValueError::Vrid(0)),
        }
    }

    /// The number, 1..=255.
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// The virtual router MAC address of this VRID: `00-00-5E-00-01-{VRID}` for IPv4, `00-00-5E-00-02-{VRID}` for IPv6
    /// (RFC 9568 §7.3).
    pub const fn virtual_mac(self, family: Family) -> [u8; 6] {
        let block = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        [0x00, 0x00, 0x5e, 0x00, block, self.get()]
    }
}

impl TryFrom<u64> for Vrid {
    type Error = ValueError;

    /// # Errors
    /// [`ValueError::Vrid`] with the whole number, unless it is 1..=255.
    fn try_from(value: u64) -> Result<Self, ValueError> {
        u8::try_from(value).ok().and_then(NonZeroU8::new).map(Self).ok_or(ValueError::Vrid(value))
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Priority of a router in the election, 1..=255; bigger is better (RFC 9568 §5.2.4).
///
/// Priority 0 is not one: on the wire it says that the Active resigns. Where both can stand, `Option<Priority>` is used
/// and `None` is the resignation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Priority(NonZeroU8);

impl Priority {
    /// 255: the router that owns the addresses as its own, real ones (RFC 9568 §5.2.4).
    pub const OWNER: Self = Self(NonZeroU8::MAX);
    /// 100: the default of a router that backs up addresses it does not own (RFC 9568 §5.2.4, §6.1).
    pub const DEFAULT: Self = match NonZeroU8::new(100) {
        Some(value) => Self(value),
        None => Self::OWNER,
    };

    /// The priority with this number.
    ///
    /// # Errors
    /// [`ValueError::Priority`] unless `value` is 1..=255.
    pub const fn new(value: u8) -> Result<Self, ValueError> {
        match NonZeroU8::new(value) {
            Some(value) => Ok(Self(value)),
            None => Err(ValueError::Priority(0)),
        }
    }

    /// The number, 1..=255.
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// Whether this is the address owner's priority, 255 (RFC 9568 §5.2.4).
    pub const fn is_owner(self) -> bool {
        self.get() == u8::MAX
    }

    /// The octet as the wire carries it: 0 is `None`, a resignation (RFC 9568 §5.2.4).
    pub const fn from_wire(octet: u8) -> Option<Self> {
        match NonZeroU8::new(octet) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u64> for Priority {
    type Error = ValueError;

    /// # Errors
    /// [`ValueError::Priority`] with the whole number, unless it is 1..=255.
    fn try_from(value: u64) -> Result<Self, ValueError> {
        u8::try_from(value).ok().and_then(NonZeroU8::new).map(Self).ok_or(ValueError::Priority(value))
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Advertisement interval: a whole number of centiseconds, never 0.
///
/// VRRPv3 can advertise 1..=4095 cs (RFC 9568 §5.2.7), VRRPv2 whole seconds 1..=255 (RFC 3768 §5.3.7). Which of the two
/// holds for a router is checked where its [`Params`](crate::Params) are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(into = "u16", try_from = "u16"))]
pub struct Interval(NonZeroU16);

impl Interval {
    /// One second: the default of both versions (RFC 9568 §6.1, RFC 3768 §6.1).
    pub const DEFAULT: Self = match NonZeroU16::new(100) {
        Some(value) => Self(value),
        None => Self(NonZeroU16::MAX),
    };

    /// One centisecond, 10 ms: the shortest that VRRPv3 can advertise (RFC 9568 §5.2.7).
    pub const SHORTEST: Self = Self(NonZeroU16::MIN);

    /// Twenty centiseconds: the shortest that an Active announces for an election it calls because of priorities.
    ///
    /// Nothing is lost while such an election lasts, since that Active serves on, so it may take longer than a hand-over. Two
    /// Backups one priority apart then fire 780 us apart, and the Active claims the role again 390 us before its equals and
    /// after whoever is better by one. A network keeps that apart, but not a twentieth of it, which is what routers have that
    /// advertise each 10 ms anyway.
    pub const ELECTION: Self = match NonZeroU16::new(20) {
        Some(value) => Self(value),
        None => Self(NonZeroU16::MAX),
    };

    /// An interval that VRRPv3 can advertise.
    ///
    /// # Errors
    /// [`ValueError::Centiseconds`] unless `value`, in hundredths of a second, is 1..=4095 (RFC 9568 §5.2.7).
    pub fn from_centiseconds(value: u64) -> Result<Self, ValueError> {
        match u16::try_from(value).ok().and_then(NonZeroU16::new) {
            Some(cs) if cs.get() <= 4095 => Ok(Self(cs)),
            _ => Err(ValueError::Centiseconds(value)),
        }
    }

    /// An interval that VRRPv2 can advertise, in seconds (RFC 3768 §5.3.7).
    ///
    /// # Errors
    /// [`ValueError::Seconds`] unless `value` is 1..=255.
    pub fn from_seconds(value: u64) -> Result<Self, ValueError> {
        match u16::try_from(value).ok().filter(|seconds| *seconds <= 255).and_then(|s| NonZeroU16::new(s * 100)) {
            Some(cs) => Ok(Self(cs)),
            None => Err(ValueError::Seconds(value)),
        }
    }

    /// The interval of this length: whole seconds up to 255 s, or whole centiseconds up to 40.95 s.
    ///
    /// # Errors
    /// [`ValueError::Granularity`] if it is not a multiple of 10 ms, [`ValueError::Centiseconds`] if it is out of range.
    pub fn from_duration(duration: Duration) -> Result<Self, ValueError> {
        if !duration.subsec_nanos().is_multiple_of(10_000_000) {
            return Err(ValueError::Granularity(duration));
        }
        let hundredths = u64::from(duration.subsec_nanos() / 10_000_000);
        let centiseconds = duration.as_secs().saturating_mul(100).saturating_add(hundredths);
        match Self::from_seconds(duration.as_secs()) {
            Ok(seconds) if duration.subsec_nanos() == 0 => Ok(seconds),
            _ => Self::from_centiseconds(centiseconds),
        }
    }

    /// The length in centiseconds: 1..=4095, or a multiple of 100 up to 25,500.
    pub const fn as_centiseconds(self) -> u16 {
        self.0.get()
    }

    /// The length in whole seconds, if it is 1..=255 of them: what VRRPv2 can carry.
    pub fn as_seconds(self) -> Option<u8> {
        if self.as_centiseconds().is_multiple_of(100) { u8::try_from(self.as_centiseconds() / 100).ok() } else { None }
    }

    /// The length as a duration: exact.
    pub fn as_duration(self) -> Duration {
        Duration::from_nanos(self.as_nanos())
    }

    /// The length in nanoseconds: at most 255 s, so never near the end of a `u64`.
    pub(crate) fn as_nanos(self) -> u64 {
        u64::from(self.as_centiseconds()) * 10_000_000
    }
}

/// From centiseconds, whichever version carries them.
impl TryFrom<u16> for Interval {
    type Error = ValueError;

    /// # Errors
    /// [`ValueError::Centiseconds`] unless either version can carry it.
    fn try_from(centiseconds: u16) -> Result<Self, ValueError> {
        Self::from_duration(Duration::from_millis(u64::from(centiseconds) * 10))
    }
}

impl From<Interval> for u16 {
    fn from(interval: Interval) -> Self {
        interval.as_centiseconds()
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// `1 s`, `250 ms`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_centiseconds() {
            cs if cs % 100 == 0 => write!(f, "{} s", cs / 100),
            cs => write!(f, "{} ms", u32::from(cs) * 10),
        }
    }
}

/// Address family of a virtual router: each has its own election (RFC 9568 §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of this address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The group that advertisements are sent to: 224.0.0.18 or ff02::12 (RFC 9568 §5.1.1.2, §5.1.2.2).
    pub const fn group(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
            Self::V6 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
        }
    }

    /// Octets of an address: 4 or 16 (RFC 9568 §5.2.9).
    pub const fn address_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// Bits of an address: 32 or 128.
    pub const fn max_prefix_len(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Protocol version of a virtual router. There is no VRRPv2 over IPv6, so it cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Version {
    /// VRRPv2, RFC 3768: IPv4, whole seconds, optional simple-text authentication (RFC 2338 §5.3.6.2).
    V2,
    /// VRRPv3, RFC 9568: either family, centiseconds.
    V3(Family),
}

impl Version {
    /// The address family that this version of the protocol runs over here.
    pub const fn family(self) -> Family {
        match self {
            Self::V2 => Family::V4,
            Self::V3(family) => family,
        }
    }

    /// The number in the packet: 2 or 3 (RFC 9568 §5.2.1).
    pub const fn number(self) -> u8 {
        match self {
            Self::V2 => 2,
            Self::V3(_) => 3,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VRRPv{}/{}", self.number(), self.family())
    }
}

/// An address that a virtual router moves between hosts (RFC 9568 §5.2.9), with the prefix length it is installed with,
/// which is not on the wire.
///
/// Without a prefix length it is a host address, `/32` or `/128`: an address that lies alone in its prefix takes no
/// other one along when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualAddr {
    address: IpAddr,
    prefix_len: u8,
}

impl VirtualAddr {
    /// `address` as a host address.
    ///
    /// # Errors
    /// [`ValueError::NotUnicast`] if no host can hold it: unspecified, loopback, multicast, broadcast.
    pub fn host(address: IpAddr) -> Result<Self, ValueError> {
        Self::new(address, Family::of(address).max_prefix_len())
    }

    /// `address` with a prefix length.
    ///
    /// # Errors
    /// As [`host`](Self::host), and [`ValueError::PrefixLength`] if `prefix_len` is longer than the address.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, ValueError> {
        let bits = Family::of(address).max_prefix_len();
        if prefix_len > bits {
            return Err(ValueError::PrefixLength(prefix_len, bits));
        }
        if !is_host_address(address) {
            return Err(ValueError::NotUnicast(address));
        }
        Ok(Self { address, prefix_len })
    }

    /// The address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits, 0..=32 or 0..=128.
    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The family of the address.
    pub const fn family(self) -> Family {
        Family::of(self.address)
    }
}

/// Whether one host can hold and send from this address.
pub(crate) fn is_host_address(address: IpAddr) -> bool {
    let broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast)
}

impl FromStr for VirtualAddr {
    type Err = ValueError;

    /// # Errors
    /// [`ValueError::AddressSyntax`], and those of [`VirtualAddr::new`].
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, prefix_len)) => (address, Some(prefix_len)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| ValueError::AddressSyntax)?;
        match prefix_len {
            Some(text) => Self::new(address, text.trim().parse().map_err(|_| ValueError::AddressSyntax)?),
            None => Self::host(address),
        }
    }
}

impl fmt::Display for VirtualAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for VirtualAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for VirtualAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = VirtualAddr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as 192.0.2.100 or 192.0.2.100/24")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<VirtualAddr, E> {
                text.parse().map_err(|error| E::custom(format_args!("{text:?}: {error}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Index of a network interface, as the kernel numbers it (`if_nametoindex(3)`); never 0.
///
/// Each interface has its own virtual routers (RFC 9568 §6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct IfIndex(NonZeroU32);

impl IfIndex {
    /// The interface with this index.
    ///
    /// # Errors
    /// [`ValueError::IfIndex`] if `value` is 0.
    pub const fn new(value: u32) -> Result<Self, ValueError> {
        match NonZeroU32::new(value) {
            Some(value) => Ok(Self(value)),
            None => Err(ValueError::IfIndex),
        }
    }

    /// The index, 1 or more.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pf_03_vrid_0_is_not_configurable() {
        assert_eq!(Vrid::new(0), Err(ValueError::Vrid(0)));
        assert_eq!(Vrid::try_from(256), Err(ValueError::Vrid(256)));
        assert_eq!(Vrid::try_from(256).unwrap_err().to_string(), "virtual router id 256 is not 1..=255");
        assert_eq!(Vrid::new(255).map(Vrid::get), Ok(255));
    }

    #[test]
    fn an_error_names_the_value_and_the_range() {
        assert_eq!(
            Priority::try_from(256).unwrap_err().to_string(),
            "priority 256 is not 1..=255 (255: the address owner; default 100)"
        );
    }

    #[test]
    fn pf_07_v3_intervals_are_1_to_4095_centiseconds() {
        assert!(Interval::from_centiseconds(0).is_err());
        assert!(Interval::from_centiseconds(4096).is_err());
        assert_eq!(Interval::from_centiseconds(4095).map(Interval::as_centiseconds), Ok(4095));
    }

    #[test]
    fn pf_19_v2_intervals_are_1_to_255_seconds() {
        assert!(Interval::from_seconds(0).is_err());
        assert!(Interval::from_seconds(256).is_err());
        assert_eq!(Interval::from_seconds(255).map(Interval::as_seconds), Ok(Some(255)));
    }

    #[test]
    fn an_interval_from_a_duration_is_exact_or_refused() {
        let parse = |millis| Interval::from_duration(Duration::from_millis(millis));
        assert_eq!(parse(10).map(Interval::as_centiseconds), Ok(1));
        assert_eq!(parse(40_950).map(Interval::as_centiseconds), Ok(4095));
        assert_eq!(parse(255_000).map(Interval::as_seconds), Ok(Some(255)));
        assert_eq!(parse(15), Err(ValueError::Granularity(Duration::from_millis(15))));
        assert_eq!(parse(0), Err(ValueError::Centiseconds(0)));
        assert_eq!(parse(40_960), Err(ValueError::Centiseconds(4096)));
        assert!(Interval::from_duration(Duration::MAX).is_err());
        assert!(Interval::from_duration(Duration::new(u64::MAX, 990_000_000)).is_err());
    }

    #[test]
    fn an_01_an_02_the_virtual_mac_carries_the_vrid() {
        let vrid = Vrid::new(51).unwrap();
        assert_eq!(vrid.virtual_mac(Family::V4), [0x00, 0x00, 0x5e, 0x00, 0x01, 0x33]);
        assert_eq!(vrid.virtual_mac(Family::V6), [0x00, 0x00, 0x5e, 0x00, 0x02, 0x33]);
    }

    #[test]
    fn a_virtual_address_is_parsed_with_or_without_a_prefix() {
        let parse = |text: &str| text.parse::<VirtualAddr>();
        assert_eq!(parse("192.0.2.100").unwrap().to_string(), "192.0.2.100/32");
        assert_eq!(parse("192.0.2.100/24").unwrap().prefix_len(), 24);
        assert_eq!(parse("2001:db8::1").unwrap().prefix_len(), 128);
        assert_eq!(parse("192.0.2.100/33"), Err(ValueError::PrefixLength(33, 32)));
        assert!(matches!(parse("224.0.0.18"), Err(ValueError::NotUnicast(_))));
        assert!(matches!(parse("0.0.0.0/0"), Err(ValueError::NotUnicast(_))));
        assert_eq!(parse("192.0.2/24"), Err(ValueError::AddressSyntax));
        assert_eq!(parse(""), Err(ValueError::AddressSyntax));
    }
}
