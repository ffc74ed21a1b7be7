//! One address, and how it is put on the host.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use vrrp_core::{IfIndex, ValueError, VirtualAddr};

use super::RouterConfig;
use crate::netlink::{AddressRequest, Broadcast, Label, Preferred, Scope};

/// The prefix length of link-local addresses (RFC 4291 §2.5.6).
const LINK_LOCAL_PREFIX: u8 = 64;

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
    scope: Option<Scope>,
    label: Option<Label>,
    broadcast: Broadcast,
    metric: Option<u32>,
    prefix_route: Option<bool>,
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

    /// Valid as far as this, IPv4 only; unless set as the address itself says.
    pub fn with_scope(self, scope: Scope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// With this label, IPv4 only.
    pub fn with_label(self, label: Label) -> Self {
        Self { label: Some(label), ..self }
    }

    /// With this broadcast address, IPv4 only; none unless set.
    pub fn with_broadcast(self, broadcast: Broadcast) -> Self {
        Self { broadcast, ..self }
    }

    /// With this metric of the route to its prefix.
    pub fn with_metric(self, metric: u32) -> Self {
        Self { metric: Some(metric), ..self }
    }

    /// With or without a route to its prefix. Unless set with one, except on an interface with a virtual MAC address.
    pub fn with_prefix_route(self, prefix_route: bool) -> Self {
        Self { prefix_route: Some(prefix_route), ..self }
    }

    /// Whether it is the virtual router's own interface with a virtual MAC address that it goes to.
    fn is_on_virtual_mac(&self, router: &RouterConfig) -> bool {
        router.virtual_mac.is_some() && self.interface().is_none_or(|name| name == router.interface)
    }

    fn is_link_local(&self) -> bool {
        matches!(self.address.address(), IpAddr::V6(address) if address.is_unicast_link_local())
    }

    /// The address with the prefix length that it gets.
    pub(crate) fn installed(&self, router: &RouterConfig) -> VirtualAddr {
        let alone = self.address.prefix_len() == 128 && self.prefix_route != Some(false);
        if !alone || !self.is_link_local() || !self.is_on_virtual_mac(router) {
            return self.address;
        }
        VirtualAddr::new(self.address.address(), LINK_LOCAL_PREFIX).unwrap_or(self.address)
    }

    /// What to ask of the kernel.
    pub(crate) fn request(&self, interface: IfIndex, router: &RouterConfig) -> AddressRequest {
        let installed = self.installed(router);
        AddressRequest {
            scope: self.scope,
            label: self.label,
            broadcast: self.broadcast,
            metric: self.metric,
            // The parent has the route already; only what is link-local is nowhere else.
            prefix_route: self.prefix_route.unwrap_or(!self.is_on_virtual_mac(router) || self.is_link_local()),
            preferred: if installed.prefix_len() == 128 { Preferred::Never } else { Preferred::WhileValid },
            ..AddressRequest::new(interface, installed)
        }
    }

    /// What to ask of the kernel for one that stays whatever the roles are.
    pub(crate) fn lasting_request(&self, interface: IfIndex) -> AddressRequest {
        AddressRequest {
            scope: self.scope,
            label: self.label,
            broadcast: self.broadcast,
            metric: self.metric,
            prefix_route: self.prefix_route.unwrap_or(true),
            ..AddressRequest::new(interface, self.address)
        }
    }

    /// The address with its prefix length, as configured.
    ///
    /// A link-local one of 128 bits on an interface with a virtual MAC address is installed with 64, unless
    /// [`with_prefix_route(false)`](Self::with_prefix_route) says otherwise: without a route to `fe80::/64` there the answers to
    /// neighbors that use link-local addresses have nowhere to go.
    ///
    /// An IPv6 address of 128 bits is not taken as the source of new connections, as with keepalived: being alone it would
    /// be the best match for whatever is near it, such as the real servers of a load balancer, which hold it too.
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
        Self {
            address,
            interface: None,
            advertised: true,
            scope: None,
            label: None,
            broadcast: Broadcast::None,
            metric: None,
            prefix_route: None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_alone_is_no_source_of_new_connections() {
        let router = RouterConfig::new("eth0", vrrp_core::Vrid::new(51).unwrap(), Vec::new());
        let preferred = |text: &str| {
            let address: Address = text.parse().unwrap();
            address.request(IfIndex::new(7).unwrap(), &router).preferred
        };
        assert_eq!(preferred("2001:db8::100/128"), Preferred::Never);
        assert_eq!(preferred("2001:db8::100/64"), Preferred::WhileValid);
        assert_eq!(preferred("192.0.2.100/32"), Preferred::WhileValid);
    }
}
