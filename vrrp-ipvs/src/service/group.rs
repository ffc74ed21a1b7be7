//! Virtual server groups: the addresses, ranges and firewall marks at which one virtual server is reached.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Where clients reach a virtual server: each is a service of IPVS of its own, with the same destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Frontend {
    /// An address, and a port; port 0 is every port, which needs persistence.
    Address(IpAddr, u16),
    /// Packets that the firewall has marked, of this family.
    Mark(u32, Family),
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Family {
    /// IPv4.
    #[default]
    Inet,
    /// IPv6.
    Inet6,
}

/// One line of a group, in the notation of keepalived's `virtual_server_group`:
///
/// ```text
/// 192.0.2.1 80
/// 192.0.2.1-10 80              from .1 to .10, both included
/// 192.0.2.250-192.0.3.10 80
/// 192.0.2.8/29 80              all eight
/// 2001:db8::1-1f 443           the last group, in hexadecimal
/// fwmark 5
/// fwmark 5 inet6
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub enum FrontendRange {
    /// All addresses from the first to the last one, with this port.
    Addresses {
        /// The first one.
        first: IpAddr,
        /// The last one, of the same family and not below it.
        last: IpAddr,
        /// Their port.
        port: u16,
    },
    /// A firewall mark.
    Mark(u32, Family),
}

/// Most addresses of one range: more is a mistake, and each is a service in the kernel.
const LARGEST_RANGE: u128 = 65_536;

/// A line that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line:?} {problem}")]
pub struct GroupError {
    /// The line.
    pub line: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl FrontendRange {
    /// Every service of it, in order.
    pub fn frontends(&self) -> impl Iterator<Item = Frontend> + use<> {
        let this = *self;
        let (first, last) = match this {
            Self::Addresses { first, last, .. } => (number(first), number(last)),
            Self::Mark(..) => (0, 0),
        };
        // Also one that was not made by parsing gives no more.
        let last = last.min(first.saturating_add(LARGEST_RANGE - 1));
        (first..=last).map(move |at| match this {
            Self::Addresses { first, port, .. } => Frontend::Address(address(at, first.is_ipv4()), port),
            Self::Mark(mark, family) => Frontend::Mark(mark, family),
        })
    }
}

impl FromStr for FrontendRange {
    type Err = GroupError;

    fn from_str(line: &str) -> Result<Self, GroupError> {
        let wrong = |problem| GroupError { line: line.to_owned(), problem };
        let words: Vec<&str> = line.split_whitespace().collect();
        let (range, port) = match words.as_slice() {
            ["fwmark", rest @ ..] => {
                let (mark, family) = match rest {
                    [mark] => (mark, Family::Inet),
                    [mark, "inet"] => (mark, Family::Inet),
                    [mark, "inet6"] => (mark, Family::Inet6),
                    _ => return Err(wrong("is no firewall mark: fwmark NUMBER [inet|inet6]")),
                };
                let mark = mark.parse().ok().filter(|mark| *mark > 0);
                return Ok(Self::Mark(mark.ok_or_else(|| wrong("has no firewall mark of 1..=4294967295"))?, family));
            }
            [range] => (*range, 0),
            [range, port] => (*range, port.parse().map_err(|_| wrong("has no port of 0..=65535"))?),
            _ => return Err(wrong("is no address with a port: ADDRESS [PORT], or fwmark NUMBER")),
        };
        let (first, last) = parse_range(range).map_err(wrong)?;
        Ok(Self::Addresses { first, last, port })
    }
}

/// The first and the last address of a range.
fn parse_range(range: &str) -> Result<(IpAddr, IpAddr), &'static str> {
    const NO_ADDRESS: &str = "has no address";
    let (first, last) = if let Some((base, length)) = range.split_once('/') {
        let base: IpAddr = base.parse().map_err(|_| NO_ADDRESS)?;
        let bits: u32 = if base.is_ipv4() { 32 } else { 128 };
        let length: u32 = length.parse().ok().filter(|length| *length <= bits).ok_or("has no prefix length")?;
        // 1 << 128 does not fit, and would be too many anyway.
        let size = 1_u128.checked_shl(bits - length).unwrap_or(u128::MAX);
        let first = number(base) & !(size - 1);
        (address(first, base.is_ipv4()), address(first.saturating_add(size - 1), base.is_ipv4()))
    } else if let Some((first, last)) = range.split_once('-') {
        let first: IpAddr = first.parse().map_err(|_| NO_ADDRESS)?;
        (first, parse_last(first, last).ok_or("has no last address")?)
    } else {
        let only = range.parse().map_err(|_| NO_ADDRESS)?;
        (only, only)
    };
    let (low, high) = (number(first), number(last));
    if first.is_ipv4() != last.is_ipv4() || high < low {
        return Err("ends before it begins");
    }
    if high - low >= LARGEST_RANGE {
        return Err("has more than 65536 addresses");
    }
    Ok((first, last))
}

/// The last address of a range, which may be given by its last part alone.
fn parse_last(first: IpAddr, last: &str) -> Option<IpAddr> {
    if let Ok(whole) = last.parse() {
        return Some(whole);
    }
    Some(match first {
        IpAddr::V4(first) => {
            let [a, b, c, _] = first.octets();
            Ipv4Addr::new(a, b, c, last.parse().ok()?).into()
        }
        IpAddr::V6(first) => {
            let [a, b, c, d, e, f, g, _] = first.segments();
            Ipv6Addr::new(a, b, c, d, e, f, g, u16::from_str_radix(last, 16).ok()?).into()
        }
    })
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(number: u128, v4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if v4 => Ipv4Addr::from(number).into(),
        Ok(_) | Err(_) => Ipv6Addr::from(number).into(),
    }
}

impl fmt::Display for FrontendRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(mark, Family::Inet) => write!(f, "fwmark {mark}"),
            Self::Mark(mark, Family::Inet6) => write!(f, "fwmark {mark} inet6"),
            Self::Addresses { first, last, port } if first == last => write!(f, "{first} {port}"),
            Self::Addresses { first, last, port } => write!(f, "{first}-{last} {port}"),
        }
    }
}

impl TryFrom<String> for FrontendRange {
    type Error = GroupError;

    fn try_from(line: String) -> Result<Self, GroupError> {
        line.parse()
    }
}

impl From<FrontendRange> for String {
    fn from(range: FrontendRange) -> Self {
        range.to_string()
    }
}

/// The places at which one virtual server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Group(pub Vec<FrontendRange>);

impl Group {
    /// Every service of it, once each, in order.
    pub fn frontends(&self) -> Vec<Frontend> {
        let mut seen = std::collections::BTreeSet::new();
        self.0.iter().flat_map(FrontendRange::frontends).filter(|frontend| seen.insert(*frontend)).collect()
    }
}
