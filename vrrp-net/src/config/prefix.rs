//! A network: an address and the bits of it that count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use vrrp_core::Family;

/// A network: an address and how many of its bits count; the others are zero.
///
/// ```
/// use vrrp_net::Prefix;
///
/// let network: Prefix = "198.51.100.0/24".parse()?;
/// let host: Prefix = "2001:db8::1".parse()?;
/// assert_eq!((network.prefix_len(), host.prefix_len()), (24, 128));
/// assert_eq!(Prefix::masking("198.51.100.7".parse().unwrap(), 24)?, network);
/// # Ok::<(), vrrp_net::PrefixError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// What is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// A text that is neither an address nor one with a length behind it.
    #[error("{0:?} is no network: write it as 192.0.2.0/24, 2001:db8::/32 or a single address")]
    Text(String),
    /// More bits than an address has.
    #[error("{address}/{length}: the length of a prefix of {address} is 0..={most}")]
    Length {
        /// The address.
        address: IpAddr,
        /// The length.
        length: u8,
        /// The longest there is.
        most: u8,
    },
    /// Bits that do not count are set.
    #[error("{address}/{length} has bits set behind its prefix: the network is {network}")]
    HostBits {
        /// The address.
        address: IpAddr,
        /// The length.
        length: u8,
        /// The network that it is in.
        network: Prefix,
    },
}

impl Prefix {
    /// Every IPv4 address: the destination of the default route.
    pub const DEFAULT_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };
    /// Every IPv6 address: the destination of the default route.
    pub const DEFAULT_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), length: 0 };

    /// The network `address`/`length`.
    ///
    /// # Errors
    /// [`PrefixError::Length`]; [`PrefixError::HostBits`] if bits behind the prefix are set, as the kernel has it.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let network = Self::masking(address, length)?;
        if network.address == address {
            return Ok(network);
        }
        Err(PrefixError::HostBits { address, length, network })
    }

    /// The network that `address` is in: bits behind the prefix are cleared.
    ///
    /// # Errors
    /// [`PrefixError::Length`].
    pub fn masking(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        let most = most(address);
        if length > most {
            return Err(PrefixError::Length { address, length, most });
        }
        let gone = u32::from(most - length);
        let address = match address {
            IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(gone).unwrap_or(0)).into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(gone).unwrap_or(0)).into(),
        };
        Ok(Self { address, length })
    }

    /// The first address of it.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits count.
    pub const fn prefix_len(self) -> u8 {
        self.length
    }

    /// Its family.
    pub fn family(self) -> Family {
        Family::of(self.address)
    }
}

const fn most(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// This one address.
impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self { address, length: most(address) }
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let wrong = || PrefixError::Text(text.to_owned());
        match text.split_once('/') {
            None => text.parse::<IpAddr>().map(Self::from).map_err(|_| wrong()),
            Some((address, length)) => {
                Self::new(address.parse().map_err(|_| wrong())?, length.parse().map_err(|_| wrong())?)
            }
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_no_bits_behind_its_prefix() {
        for text in ["192.0.2.0/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "192.0.2.1/32", "fe80::1/128"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("192.0.2.1".parse::<Prefix>().unwrap().to_string(), "192.0.2.1/32");
        let error = "192.0.2.1/24".parse::<Prefix>().unwrap_err().to_string();
        assert_eq!(error, "192.0.2.1/24 has bits set behind its prefix: the network is 192.0.2.0/24");
        let error = "2001:db8::1/129".parse::<Prefix>().unwrap_err().to_string();
        assert!(error.ends_with("is 0..=128"), "{error}");
        for text in ["", "default", "192.0.2.0/", "192.0.2.0/x", "/24", "192.0.2.0/256"] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError::Text(text.to_owned())));
        }
    }

    #[test]
    fn the_whole_of_each_family_is_a_network() {
        assert_eq!("0.0.0.0/0".parse(), Ok(Prefix::DEFAULT_V4));
        assert_eq!("::/0".parse(), Ok(Prefix::DEFAULT_V6));
        assert_eq!(Prefix::masking("203.0.113.9".parse().unwrap(), 0), Ok(Prefix::DEFAULT_V4));
    }
}
