//! Static routes: what a host needs to reach past its own network.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Netlink;
use crate::error::Error;

impl Netlink {
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
