//! The neighbor cache: what ARP and IPv6 neighbor discovery have found out.

use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use vrrp_core::IfIndex;

use super::Netlink;
use super::attribute::{Attributes, Message, u16_at, u32_at};
use crate::error::Error;

/// An entry of the neighbor cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Neighbor {
    /// The neighbor's address.
    pub address: IpAddr,
    /// The MAC address it is thought to have; `None` while that is asked for, or if nobody answered.
    pub mac: Option<[u8; 6]>,
}

impl Netlink {
    /// The neighbor cache of an interface: what ARP and IPv6 neighbor discovery have found out.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Io`].
    pub fn neighbors(&mut self, interface: IfIndex) -> Result<Vec<Neighbor>, Error> {
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        self.dump(&request, "list neighbors", |message| {
            if message.kind == RTM_NEWNEIGH { parse_neighbor(message, interface) } else { None }
        })
    }
}

// linux/rtnetlink.h, linux/neighbour.h
const RTM_NEWNEIGH: u16 = 28;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// The entry states in which there is no MAC address: incomplete, failed, none needed.
const NUD_WITHOUT_MAC: u16 = 0x01 | 0x20 | 0x40;

/// From the payload of an `RTM_NEWNEIGH`: `struct ndmsg`, then attributes.
fn parse_neighbor(message: &Message<'_>, interface: IfIndex) -> Option<Neighbor> {
    if u32_at(message.payload, 4)? != interface.get() {
        return None;
    }
    let state = u16_at(message.payload, 8)?;
    let attributes = Attributes(message.payload.get(12..)?);
    let address = attributes.into_iter().find(|attribute| attribute.kind == NDA_DST)?.address()?;
    let mac = attributes.into_iter().find(|attribute| attribute.kind == NDA_LLADDR).and_then(|mac| mac.mac());
    Some(Neighbor { address, mac: mac.filter(|_| state & NUD_WITHOUT_MAC == 0) })
}
