//! Routes: listing them, and setting static ones.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use vrrp_core::IfIndex;

use super::Netlink;
use super::attribute::{Attribute, Attributes, Message, u16_at, u32_at};
use crate::driver::PATH_MARK;
use crate::error::Error;

/// A route as the kernel has it. Those to a host's own addresses are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Where it leads to: an address and the bits of its prefix that count. With 0 bits it is the default route.
    pub destination: (IpAddr, u8),
    /// The table it is in: 254 is `main`.
    pub table: u32,
    /// Its metric (`RTA_PRIORITY`): of several to the same destination the lowest counts.
    pub metric: u32,
    /// The type of service it is for; 0: any.
    pub type_of_service: u8,
    /// The address that packets take as their source.
    pub source: Option<IpAddr>,
    /// Who set it (`RTPROT_*`): 2 is the kernel, 3 or 4 a person, above 4 a routing daemon.
    pub protocol: u8,
    /// The ways it can take: one, more for a multipath route, none for one that discards.
    pub next_hops: Vec<NextHop>,
    /// Whether it leads somewhere (`RTN_UNICAST`), instead of discarding packets.
    pub unicast: bool,
}

/// One way of a [`Route`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextHop {
    /// The router that packets are given to; `None`: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The interface that they leave through.
    pub interface: Option<IfIndex>,
    /// Whether the kernel says that it leads nowhere at present (`RTNH_F_DEAD`, `RTNH_F_LINKDOWN`).
    pub dead: bool,
}

impl Netlink {
    /// Every route of both families and all tables, apart from those to the host's own addresses.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Io`].
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            routes.extend(self.dump(&RouteNetlinkMessage::GetRoute(message), "list routes", |message| {
                if message.kind == RTM_NEWROUTE { Route::parse(message) } else { None }
            })?);
        }
        Ok(routes)
    }

    /// Send what goes to `destination`, an address and the bits of its prefix that count, through `gateway`. An
    /// existing route to the same destination is replaced. With 0 bits it is the default route.
    ///
    /// # Errors
    /// [`Error::Refused`], for example if no interface reaches the gateway; [`Error::MissingCapability`].
    pub fn set_route(&mut self, destination: (IpAddr, u8), gateway: IpAddr) -> Result<(), Error> {
        let (address, prefix_len) = destination;
        let mut message = RouteMessage::default();
        message.header.address_family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.destination_prefix_length = prefix_len;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        if prefix_len > 0 {
            message.attributes.push(RouteAttribute::Destination(address.into()));
        }
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE, || {
            format!("set the route to {address}/{prefix_len} via {gateway}")
        })
    }
}

// linux/rtnetlink.h
pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_DELROUTE: u16 = 25;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTN_BROADCAST: u8 = 3;
const RTN_ANYCAST: u8 = 4;
const RTN_MULTICAST: u8 = 5;
const RTM_F_CLONED: u32 = 0x200;
const RTNH_F_DEAD: u32 = 1;
const RTNH_F_LINKDOWN: u32 = 16;

impl Route {
    /// From the payload of an `RTM_NEWROUTE` or `RTM_DELROUTE`: `struct rtmsg`, then attributes. `None` for what is no
    /// route of the host to others: its own addresses, broadcast, cached entries.
    pub(super) fn parse(message: &Message<'_>) -> Option<Self> {
        let payload = message.payload;
        let unspecified: IpAddr = match *payload.first()? {
            AF_INET => [0_u8; 4].into(),
            AF_INET6 => [0_u8; 16].into(),
            _ => return None,
        };
        let kind = *payload.get(7)?;
        let flags = u32_at(payload, 8)?;
        // One of this crate is wanted as any other.
        let own = kind == RTN_LOCAL && payload.get(5) == Some(&PATH_MARK);
        let is_address = matches!(kind, RTN_LOCAL | RTN_BROADCAST | RTN_ANYCAST | RTN_MULTICAST) && !own;
        if is_address || flags & RTM_F_CLONED != 0 {
            return None;
        }
        let mut route = Self {
            destination: (unspecified, *payload.get(1)?),
            table: u32::from(*payload.get(4)?),
            metric: 0,
            type_of_service: *payload.get(3)?,
            source: None,
            protocol: *payload.get(5)?,
            next_hops: Vec::new(),
            unicast: kind == RTN_UNICAST,
        };
        let mut hop = NextHop { gateway: None, interface: None, dead: is_dead(flags) };
        for attribute in Attributes(payload.get(12..)?) {
            match attribute.kind {
                RTA_DST => route.destination.0 = attribute.address().unwrap_or(unspecified),
                RTA_PRIORITY => route.metric = attribute.u32().unwrap_or(0),
                RTA_PREFSRC => route.source = attribute.address(),
                RTA_TABLE => route.table = attribute.u32().unwrap_or(route.table),
                RTA_MULTIPATH => route.next_hops = multipath(attribute.value),
                kind => hop.read(kind, &attribute),
            }
        }
        if route.next_hops.is_empty() && hop.interface.is_some() {
            route.next_hops.push(hop);
        }
        Some(route)
    }
}

impl NextHop {
    fn read(&mut self, kind: u16, attribute: &Attribute<'_>) {
        match kind {
            RTA_OIF => self.interface = attribute.u32().and_then(|index| IfIndex::new(index).ok()),
            RTA_GATEWAY => self.gateway = attribute.address(),
            // struct rtvia: the family, then an address of it; IPv4 routes through IPv6 routers have this.
            RTA_VIA => self.gateway = Attribute { kind, value: attribute.value.get(2..).unwrap_or_default() }.address(),
            _ => {}
        }
    }
}

/// A run of `struct rtnexthop`: length, flags, hops, interface, then attributes.
fn multipath(mut bytes: &[u8]) -> Vec<NextHop> {
    let mut hops = Vec::new();
    while let (Some(length), Some(index)) = (u16_at(bytes, 0), u32_at(bytes, 4)) {
        let length = usize::from(length);
        let Some(attributes) = bytes.get(8..length) else { break };
        let flags = bytes.get(2).copied().unwrap_or(0);
        let mut hop = NextHop { gateway: None, interface: IfIndex::new(index).ok(), dead: is_dead(flags.into()) };
        Attributes(attributes).for_each(|attribute| hop.read(attribute.kind, &attribute));
        hops.push(hop);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    hops
}

fn is_dead(flags: u32) -> bool {
    flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute::Writer;

    fn message(kind: u8, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer =
            Writer::begin(&mut bytes, RTM_NEWROUTE, 0, 1, &[AF_INET, 24, 0, 0, 254, 3, 0, kind, 0, 0, 0, 0]);
        fill(&mut writer);
        writer.finish();
        bytes.split_off(16)
    }

    fn parsed(payload: &[u8]) -> Option<Route> {
        Route::parse(&Message { kind: RTM_NEWROUTE, flags: 0, sequence: 1, payload })
    }

    #[test]
    fn a_route_is_read_attribute_by_attribute() {
        let payload = message(RTN_UNICAST, |writer| {
            writer.attribute(999, &[1, 2, 3]);
            writer.address(RTA_DST, "198.51.100.0".parse().unwrap());
            writer.address(RTA_GATEWAY, "192.0.2.254".parse().unwrap());
            writer.attribute(RTA_OIF, &7_u32.to_ne_bytes());
            writer.attribute(RTA_TABLE, &1000_u32.to_ne_bytes());
            writer.attribute(RTA_PRIORITY, &5_u32.to_ne_bytes());
        });
        let route = parsed(&payload).unwrap();
        assert_eq!(route.destination, ("198.51.100.0".parse().unwrap(), 24));
        assert_eq!((route.table, route.metric, route.protocol, route.unicast), (1000, 5, 3, true));
        let hop = NextHop { gateway: "192.0.2.254".parse().ok(), interface: IfIndex::new(7).ok(), dead: false };
        assert_eq!(route.next_hops, [hop]);
        for end in 0..payload.len() {
            let _ = parsed(&payload[..end]);
        }
    }

    #[test]
    fn every_way_of_a_multipath_route_is_read() {
        let mut hops = Vec::new();
        for (flags, index) in [(0, 7_u32), (16, 8)] {
            hops.extend([16_u16.to_ne_bytes(), [flags, 0]].concat());
            hops.extend(index.to_ne_bytes());
            hops.extend([8_u16.to_ne_bytes(), RTA_GATEWAY.to_ne_bytes(), [192, 0], [2, 1]].concat());
        }
        let payload = message(RTN_UNICAST, |writer| writer.attribute(RTA_MULTIPATH, &hops));
        let hops = parsed(&payload).unwrap().next_hops;
        let read: Vec<_> = hops.iter().map(|hop| (hop.interface.map(IfIndex::get), hop.dead)).collect();
        assert_eq!(read, [(Some(7), false), (Some(8), true)]);
        assert!(hops.iter().all(|hop| hop.gateway == "192.0.2.1".parse().ok()));
    }

    #[test]
    fn the_hosts_own_addresses_are_no_routes() {
        assert_eq!(parsed(&message(RTN_LOCAL, |_| {})), None);
        assert!(parsed(&message(6, |_| {})).is_some_and(|route| !route.unicast), "a blackhole is one");
    }
}
