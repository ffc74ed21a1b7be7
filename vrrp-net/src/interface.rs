//! One interface that virtual routers run on, as the driver sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use vrrp_core::{Family, IfIndex, Instant, RouterId, VirtualAddr};

use crate::descriptors::{Use, take_spare};
use crate::driver::ADDRESS_MARK;
use crate::error::Error;
use crate::filter::{Plausible, ReceiveFilter};
use crate::netlink::{InterfaceAddress, Link, Netlink};
use crate::socket::AdvertSocket;
use crate::watch::AddressWatch;

/// An interface that went down more often than this in [`FLAP_WINDOW`] is held down for a while.
const FLAPS_ALLOWED: u32 = 3;
const FLAP_WINDOW: Duration = Duration::from_secs(10);
const SHORTEST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(30);

/// An interface by name. It may vanish and come back, also with another index.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) name: String,
    /// As the kernel last described it; `None` while it does not exist.
    pub(crate) link: Option<Link>,
    /// Of IPv4 and IPv6: open as long as the interface exists and some virtual router of the family is on it.
    pub(crate) sockets: [Option<AdvertSocket>; 2],
    /// Of IPv4 and IPv6: open as long as the interface exists and an address of the family is watched on it.
    watches: [Option<AddressWatch>; 2],
    /// The multicast groups that the sockets have joined.
    pub(crate) groups: BTreeSet<IpAddr>,
    /// The virtual routers that advertise on it.
    pub(crate) routers: BTreeSet<RouterId>,
    /// Whether those were told that they can use it.
    pub(crate) reported_usable: bool,
    /// Whether it was told of that it cannot be used.
    pub(crate) failing: bool,
    /// By address and prefix length, each with its place in the kernel's order.
    addresses: BTreeMap<(IpAddr, u8), (u64, InterfaceAddress)>,
    next_place: u64,
    flaps: u32,
    last_down: Option<Instant>,
}

impl Interface {
    /// Opens the interface with this name.
    pub(crate) fn open(netlink: &mut Netlink, name: &str) -> Result<Self, Error> {
        let mut interface = Self::absent(name);
        interface.refresh(netlink)?;
        interface.reported_usable = interface.is_usable();
        Ok(interface)
    }

    /// One that may come.
    pub(crate) fn absent(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            link: None,
            sockets: [None, None],
            watches: [None, None],
            groups: BTreeSet::new(),
            routers: BTreeSet::new(),
            reported_usable: false,
            failing: false,
            addresses: BTreeMap::new(),
            next_place: 0,
            flaps: 0,
            last_down: None,
        }
    }

    /// Reads everything anew. If the interface is another one than before, the socket of the old one is closed.
    pub(crate) fn refresh(&mut self, netlink: &mut Netlink) -> Result<(), Error> {
        let link = netlink.link_by_name(&self.name)?;
        if self.index() != Some(link.index) {
            self.sockets = [None, None];
            self.watches = [None, None];
            self.groups.clear();
        }
        self.link = Some(link);
        self.reread_addresses(netlink)
    }

    /// Reads the addresses anew.
    pub(crate) fn reread_addresses(&mut self, netlink: &mut Netlink) -> Result<(), Error> {
        if let Some(index) = self.index() {
            let addresses = netlink.addresses(Some(index))?;
            self.addresses.clear();
            addresses.into_iter().for_each(|address| {
                self.address_is_there(address);
            });
        }
        Ok(())
    }

    /// The socket of a family.
    pub(crate) fn socket(&self, family: Family) -> Option<&AdvertSocket> {
        self.sockets.get(family_number(family))?.as_ref()
    }

    /// Opens the socket of a family, or takes one of `spares`, unless it is open. Whether it was not.
    pub(crate) fn open_socket(&mut self, family: Family, spares: &mut Vec<OwnedFd>) -> Result<bool, Error> {
        let index = self.index();
        match (self.sockets.get_mut(family_number(family)), index) {
            (Some(place @ None), Some(index)) => {
                // Nothing is let in until it is known what for.
                let nothing = ReceiveFilter::from(Plausible::new([], []));
                *place = Some(match take_spare(spares, &self.name, Use::Adverts(family)) {
                    Some(spare) => AdvertSocket::from_fd(spare, &self.name, index, &nothing)?,
                    None => AdvertSocket::open(&self.name, index, family, &nothing)?,
                });
                Ok(true)
            }
            (Some(Some(_)) | None, _) | (Some(None), None) => Ok(false),
        }
    }

    /// What hears claims of a family.
    pub(crate) fn watch(&self, family: Family) -> Option<&AddressWatch> {
        self.watches.get(family_number(family))?.as_ref()
    }

    /// Opens it, unless it is open or there is nothing to hear: only an Ethernet has MAC addresses. Whether it was not.
    pub(crate) fn open_watch(&mut self, family: Family, spares: &mut Vec<OwnedFd>) -> Result<bool, Error> {
        let index = self.mac().and(self.index());
        match (self.watches.get_mut(family_number(family)), index) {
            (Some(place @ None), Some(index)) => {
                let spare = take_spare(spares, &self.name, Use::Watch(family));
                *place = Some(AddressWatch::open(&self.name, index, family, spare)?);
                Ok(true)
            }
            (Some(Some(_)) | None, _) | (Some(None), None) => Ok(false),
        }
    }

    /// Every socket on it.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let adverts = self.sockets.iter().flatten().map(AsFd::as_fd);
        adverts.chain(self.watches.iter().flatten().map(AsFd::as_fd))
    }

    pub(crate) fn close_watch(&mut self, family: Family) {
        if let Some(watch) = self.watches.get_mut(family_number(family)) {
            *watch = None;
        }
    }

    /// Forgets an interface that does not exist any more.
    pub(crate) fn close(&mut self) {
        self.link = None;
        self.sockets = [None, None];
        self.watches = [None, None];
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

    /// Takes note that it went down.
    pub(crate) fn went_down(&mut self, now: Instant) {
        let recent = self.last_down.is_some_and(|last| now < last + FLAP_WINDOW + self.hold());
        self.flaps = if recent { self.flaps.saturating_add(1) } else { 1 };
        self.last_down = Some(now);
    }

    /// How long it must stay up before it is used again: not at all, unless it went down often of late. Each time longer.
    pub(crate) fn hold(&self) -> Duration {
        match self.flaps.checked_sub(FLAPS_ALLOWED) {
            Some(excess) if excess > 0 => (SHORTEST_HOLD * 2_u32.saturating_pow((excess - 1).min(8))).min(LONGEST_HOLD),
            Some(_) | None => Duration::ZERO,
        }
    }

    /// Takes note of an address. Whether it was not known.
    pub(crate) fn address_is_there(&mut self, address: InterfaceAddress) -> bool {
        let key = (address.address, address.prefix_len);
        match self.addresses.get_mut(&key) {
            Some((_, known)) => {
                // What it is good for may have changed: duplicate address detection ends like this.
                let same = known.tentative == address.tentative && known.duplicate == address.duplicate;
                *known = address;
                !same
            }
            None => {
                self.addresses.insert(key, (self.next_place, address));
                self.next_place += 1;
                true
            }
        }
    }

    /// Takes note that an address is gone. Whether it was known.
    pub(crate) fn address_is_gone(&mut self, address: &InterfaceAddress) -> bool {
        self.addresses.remove(&(address.address, address.prefix_len)).is_some()
    }

    /// Whether it has this address with this prefix length.
    pub(crate) fn has(&self, address: VirtualAddr) -> bool {
        self.addresses.contains_key(&(address.address(), address.prefix_len()))
    }

    /// This address with this prefix length, as the kernel last described it.
    pub(crate) fn known(&self, address: VirtualAddr) -> Option<&InterfaceAddress> {
        self.addresses.get(&(address.address(), address.prefix_len())).map(|(_, known)| known)
    }

    /// Whether it has this address from elsewhere than from this crate.
    pub(crate) fn has_of_its_own(&self, address: IpAddr) -> bool {
        self.with_address(address).any(|known| known.protocol != Some(ADDRESS_MARK))
    }

    /// This address where this crate has put it, with the prefix lengths that it has here.
    pub(crate) fn marked(&self, address: IpAddr) -> impl Iterator<Item = VirtualAddr> + '_ {
        let ours = self.with_address(address).filter(|known| known.protocol == Some(ADDRESS_MARK));
        ours.filter_map(|known| VirtualAddr::new(known.address, known.prefix_len).ok())
    }

    fn with_address(&self, address: IpAddr) -> impl Iterator<Item = &InterfaceAddress> {
        self.addresses.range((address, 0)..=(address, u8::MAX)).map(|(_, (_, known))| known)
    }

    /// Whether this address, which somebody else put there for ever, is the only one of its family beside virtual ones.
    pub(crate) fn has_only(&self, address: IpAddr) -> bool {
        let known = self.addresses.values().map(|(_, known)| known);
        let own = known.filter(|known| known.protocol != Some(ADDRESS_MARK));
        let mut family = own.filter(|known| Family::of(known.address) == Family::of(address));
        family.next().is_some_and(|known| known.address == address && known.lifetime.is_none())
            && family.next().is_none()
    }

    /// An address that could be advertised from (`wanted`, or any), but for duplicate address detection.
    pub(crate) fn unready(&self, family: Family, wanted: Option<IpAddr>) -> Option<&InterfaceAddress> {
        let link_local = |address| match address {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        self.addresses.values().map(|(_, known)| known).find(|known| {
            let is_it = wanted.is_none_or(|wanted| wanted == known.address);
            let unready = known.tentative || known.duplicate;
            is_it && unready && Family::of(known.address) == family && link_local(known.address)
        })
    }

    /// The address to advertise from: the first one of the family that is not `excluded`, over IPv6 a link-local one
    /// (RFC 9568 §5.1.1.1, §5.1.2.1). An address in use stays in use as long as it is there.
    pub(crate) fn primary_address(
        &self,
        family: Family,
        current: Option<IpAddr>,
        excluded: impl Fn(&InterfaceAddress) -> bool,
    ) -> Option<IpAddr> {
        let eligible = |known: &InterfaceAddress| {
            let link_local = match known.address {
                IpAddr::V4(_) => true,
                IpAddr::V6(address) => address.is_unicast_link_local(),
            };
            let usable = !known.tentative && !known.duplicate && link_local;
            Family::of(known.address) == family && usable && !excluded(known)
        };
        if let Some(current) = current
            && self.with_address(current).any(eligible)
        {
            return Some(current);
        }
        let all = self.addresses.values().filter(|(_, known)| eligible(known));
        all.min_by_key(|(place, known)| (known.secondary, *place)).map(|(_, known)| known.address)
    }
}

/// The place of a family in a list of two.
pub(crate) const fn family_number(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface() -> Interface {
        let mut netlink = Netlink::open().unwrap();
        Interface::open(&mut netlink, "lo").unwrap()
    }

    #[test]
    fn an_interface_that_goes_down_again_and_again_is_held_down_longer_each_time() {
        let mut interface = interface();
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let holds: Vec<u64> = (1..=8)
            .map(|n| {
                interface.went_down(at(n * 100));
                interface.hold().as_secs()
            })
            .collect();
        assert_eq!(holds, [0, 0, 0, 1, 2, 4, 8, 16]);
        interface.went_down(at(3_600_000));
        assert_eq!(interface.hold(), Duration::ZERO, "a long quiet time is a new beginning");
    }
}
