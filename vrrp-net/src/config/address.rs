//! One address, and how it is put on the host.

use std::fmt;
use std::str::FromStr;

use vrrp_core::{ValueError, VirtualAddr};

/// An address that moves between hosts, and how it is installed on the one that has it.
///
/// ```
/// use vrrp_net::Address;
///
/// # fn main() -> Result<(), vrrp_net::vrrp_core::ValueError> {
/// let address: Address = "192.0.2.100/24".parse()?;
/// let elsewhere = address.clone().on_interface("eth1").excluded();
/// assert!(address.is_advertised() && !elsewhere.is_advertised());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    address: VirtualAddr,
    interface: Option<String>,
    advertised: bool,
}

impl Address {
    /// On another interface than the advertisements are sent on.
    pub fn on_interface(self, name: impl Into<String>) -> Self {
        Self { interface: Some(name.into()), ..self }
    }

    /// Installed but not advertised: for more addresses than an advertisement holds, or those of the other family.
    pub fn excluded(self) -> Self {
        Self { advertised: false, ..self }
    }

    /// The address with its prefix length.
    pub fn address(&self) -> VirtualAddr {
        self.address
    }

    /// The interface it is installed on, if it is not the virtual router's.
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// Whether peers are told of it.
    pub fn is_advertised(&self) -> bool {
        self.advertised
    }
}

impl From<VirtualAddr> for Address {
    fn from(address: VirtualAddr) -> Self {
        Self { address, interface: None, advertised: true }
    }
}

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse::<VirtualAddr>().map(Self::from)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
