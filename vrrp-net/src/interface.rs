//! One interface that virtual routers run on, as the driver sees it.

use std::net::IpAddr;

use vrrp_core::{Family, IfIndex, VirtualAddr};

use crate::driver::ADDRESS_MARK;
use crate::error::Error;
use crate::filter::ReceiveFilter;
use crate::netlink::{InterfaceAddress, Link, Netlink};
use crate::socket::AdvertSocket;

/// An interface by name. It may vanish and come back, also with another index.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: String,
    /// As the kernel last described it; `None` while it does not exist.
    pub(crate) link: Option<Link>,
    /// Open as long as the interface exists.
    pub(crate) socket: Option<AdvertSocket>,
    addresses: Vec<InterfaceAddress>,
}

impl Interface {
    /// Opens the interface with this name.
    pub(crate) fn open(netlink: &mut Netlink, name: &str) -> Result<Self, Error> {
        let mut interface = Self { name: name.to_owned(), link: None, socket: None, addresses: Vec::new() };
        interface.refresh(netlink)?;
        Ok(interface)
    }

    /// Reads everything anew; the socket too if the interface is another one than before.
    pub(crate) fn refresh(&mut self, netlink: &mut Netlink) -> Result<(), Error> {
        let link = netlink.link_by_name(&self.name)?;
        let addresses = netlink.addresses(Some(link.index))?;
        if self.index() != Some(link.index) {
            let socket = AdvertSocket::open(&self.name, link.index, Family::V4, &ReceiveFilter::Everything)?;
            socket.join()?;
            self.socket = Some(socket);
        }
        self.link = Some(link);
        self.addresses = addresses;
        Ok(())
    }

    /// Reads the addresses anew.
    pub(crate) fn reread_addresses(&mut self, netlink: &mut Netlink) -> Result<(), Error> {
        if let Some(index) = self.index() {
            self.addresses = netlink.addresses(Some(index))?;
        }
        Ok(())
    }

    /// Forgets an interface that does not exist any more.
    pub(crate) fn close(&mut self) {
        self.link = None;
        self.socket = None;
        self.addresses.clear();
    }

    pub(crate) fn index(&self) -> Option<IfIndex> {
        self.link.as_ref().map(|link| link.index)
    }

    pub(crate) fn mac(&self) -> Option<[u8; 6]> {
        self.link.as_ref().and_then(|link| link.mac)
    }

    /// Whether packets can go through it: up, with carrier.
    pub(crate) fn is_usable(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up && link.carrier)
    }

    /// Takes note of an address. Whether it was not known.
    pub(crate) fn address_is_there(&mut self, address: InterfaceAddress) -> bool {
        match self.addresses.iter_mut().find(|known| is_same(known, &address)) {
            Some(known) => {
                *known = address;
                false
            }
            None => {
                self.addresses.push(address);
                true
            }
        }
    }

    /// Takes note that an address is gone. Whether it was known.
    pub(crate) fn address_is_gone(&mut self, address: &InterfaceAddress) -> bool {
        let before = self.addresses.len();
        self.addresses.retain(|known| !is_same(known, address));
        self.addresses.len() != before
    }

    /// Whether it has this address from elsewhere than from this crate.
    pub(crate) fn has_of_its_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|known| known.address == address && known.protocol != Some(ADDRESS_MARK))
    }

    /// Those of `addresses` that this crate has put here, with the prefix lengths that they have here.
    pub(crate) fn marked(&self, addresses: &[VirtualAddr]) -> impl Iterator<Item = VirtualAddr> {
        let is_ours = |known: &&InterfaceAddress| {
            known.protocol == Some(ADDRESS_MARK) && addresses.iter().any(|ours| ours.address() == known.address)
        };
        self.addresses.iter().filter(is_ours).filter_map(|known| VirtualAddr::new(known.address, known.prefix_len).ok())
    }

    /// Whether this address, which somebody else put there for ever, is the only one of its family.
    pub(crate) fn has_only(&self, address: IpAddr) -> bool {
        let mut family = self.addresses.iter().filter(|known| Family::of(known.address) == Family::of(address));
        let is_own = |known: &InterfaceAddress| known.protocol != Some(ADDRESS_MARK) && known.lifetime.is_none();
        family.next().is_some_and(|known| known.address == address && is_own(known)) && family.next().is_none()
    }

    /// The address to advertise from: the first one of the family that is not `excluded`, over IPv6 a link-local one
    /// (RFC 9568 §5.1.1.1, §5.1.2.1). An address in use stays in use as long as it is there.
    pub(crate) fn primary_address(
        &self,
        family: Family,
        current: Option<IpAddr>,
        excluded: impl Fn(&InterfaceAddress) -> bool,
    ) -> Option<IpAddr> {
        let eligible = || {
            self.addresses.iter().filter(|known| {
                let link_local = match known.address {
                    IpAddr::V4(_) => true,
                    IpAddr::V6(address) => address.is_unicast_link_local(),
                };
                let usable = !known.tentative && !known.duplicate && link_local;
                Family::of(known.address) == family && usable && !excluded(known)
            })
        };
        let kept = eligible().find(|known| Some(known.address) == current);
        let first = || eligible().find(|known| !known.secondary).or_else(|| eligible().next());
        kept.or_else(first).map(|known| known.address)
    }
}

fn is_same(one: &InterfaceAddress, other: &InterfaceAddress) -> bool {
    one.address == other.address && one.prefix_len == other.prefix_len
}
