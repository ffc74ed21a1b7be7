//! What an address is made of, besides the address itself.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use vrrp_core::VirtualAddr;

use crate::error::Error;

/// For how long the kernel may take an address as the source of new connections. IPv4 does not look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Preferred {
    /// As long as the address is valid, so that it does not change its nature before its end.
    #[default]
    WhileValid,
    /// Never: the kernel calls the address deprecated.
    Never,
    /// This many seconds, at most the lifetime.
    Seconds(u32),
}

/// How far an address is valid (`enum rt_scope_t`, linux/rtnetlink.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// In this site (200).
    Site,
    /// On this link (253).
    Link,
    /// On this host (254).
    Host,
    /// Another number.
    Other(u8),
}

impl Scope {
    pub(super) const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Global,
            200 => Self::Site,
            253 => Self::Link,
            254 => Self::Host,
            other => Self::Other(other),
        }
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Global => 0,
            Self::Site => 200,
            Self::Link => 253,
            Self::Host => 254,
            Self::Other(number) => number,
        }
    }

    /// What the address itself says.
    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) if v4.is_link_local() => Self::Link,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Self::Link,
            IpAddr::V4(_) | IpAddr::V6(_) => Self::Global,
        }
    }
}

/// The broadcast address of an IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Broadcast {
    /// None.
    #[default]
    None,
    /// The last address of the prefix; none for /31 and /32 (RFC 3021).
    Auto,
    /// This one.
    Explicit(Ipv4Addr),
}

impl Broadcast {
    /// The broadcast address that an address with this prefix gets.
    pub(super) fn address(self, address: VirtualAddr) -> Option<Ipv4Addr> {
        match (self, address.address()) {
            (Self::None, _) => None,
            (Self::Explicit(broadcast), _) => Some(broadcast),
            (Self::Auto, IpAddr::V4(v4)) if address.prefix_len() < 31 => {
                let hosts = u32::MAX.checked_shr(u32::from(address.prefix_len())).unwrap_or(0);
                Some(Ipv4Addr::from_bits(v4.to_bits() | hosts))
            }
            (Self::Auto, _) => None,
        }
    }
}

/// The label of an IPv4 address: 1 to 15 octets, such as `eth0:vip`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label {
    octets: [u8; 15],
    length: u8,
}

impl Label {
    /// The label as a text.
    pub fn as_str(&self) -> &str {
        let octets = self.octets.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(octets).unwrap_or_default()
    }
}

impl FromStr for Label {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut octets = [0; 15];
        match (octets.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(room), Ok(length @ 1..)) if !text.contains('\0') => {
                room.copy_from_slice(text.as_bytes());
                Ok(Self { octets, length })
            }
            _ => Err(Error::BadName { name: text.to_owned(), what: "label of an address" }),
        }
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_automatic_broadcast_address_is_the_last_of_the_prefix() {
        let broadcast = |text: &str| Broadcast::Auto.address(text.parse().unwrap()).map(|it| it.to_string());
        assert_eq!(broadcast("192.0.2.100/24").as_deref(), Some("192.0.2.255"));
        assert_eq!(broadcast("10.1.2.3/8").as_deref(), Some("10.255.255.255"));
        assert_eq!(broadcast("192.0.2.100/30").as_deref(), Some("192.0.2.103"));
        assert_eq!((broadcast("192.0.2.100/31"), broadcast("192.0.2.100/32")), (None, None));
        assert_eq!(broadcast("2001:db8::1/64"), None);
    }

    #[test]
    fn a_label_has_1_to_15_octets() {
        let label = |text: &str| text.parse::<Label>().map(|label| label.to_string());
        assert_eq!(label("eth0:vip").unwrap(), "eth0:vip");
        assert_eq!(label("123456789012345").unwrap().len(), 15);
        for bad in ["", "1234567890123456", "a\0b"] {
            let error = label(bad).unwrap_err().to_string();
            assert!(error.contains("1 to 15 octets"), "{error}");
        }
    }
}
