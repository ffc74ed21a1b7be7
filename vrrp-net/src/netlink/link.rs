//! Interfaces: listing, and making, changing and deleting virtual ones.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use vrrp_core::IfIndex;

use super::Netlink;
use super::attribute::{Attributes, Message, u32_at};
use crate::error::Error;
use crate::sys;

/// A network interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Its number, which no other interface of the namespace has at the same time.
    pub index: IfIndex,
    /// Its name, which can change.
    pub name: String,
    /// Its Ethernet address; `None` for interfaces without one, such as tunnels.
    pub mac: Option<[u8; 6]>,
    /// Whether it is administratively up (`IFF_UP`).
    pub up: bool,
    /// Whether it is up and can carry traffic (`IFF_RUNNING`). A false [`carrier`](Self::carrier) shows here up to a
    /// second late.
    pub running: bool,
    /// Whether its cable is plugged in (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
    /// Octets of the longest packet.
    pub mtu: u32,
    /// The bridge or bond it is a port of.
    pub master: Option<IfIndex>,
    /// What kind of virtual interface it is: `veth`, `bridge`, `macvlan`, `bond`; `None` for hardware and loopback.
    pub kind: Option<String>,
}

/// One end of a veth pair to be made.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct VethEnd<'a> {
    /// The name it gets, at most 15 octets.
    pub name: &'a str,
    /// The Ethernet address it gets; `None`: a random one.
    pub mac: Option<[u8; 6]>,
    /// The number it gets; `None`: the next free one.
    pub index: Option<IfIndex>,
    /// The network namespace it is made in; `None`: that of the socket.
    pub namespace: Option<BorrowedFd<'a>>,
}

impl<'a> VethEnd<'a> {
    /// An end with this name and nothing else decided.
    pub const fn new(name: &'a str) -> Self {
        Self { name, mac: None, index: None, namespace: None }
    }

    fn message(&self) -> LinkMessage {
        let mut message = named(self.name);
        message.header.index = self.index.map_or(0, IfIndex::get);
        message.attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        message.attributes.extend(self.namespace.map(|fd| LinkAttribute::NetNsFd(fd.as_raw_fd())));
        message
    }
}

/// What a bridge lets through one of its ports: all of it, unless something is to be cut one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BridgePortFlags {
    /// Whether multicast, broadcast, and frames to addresses not yet learned go out of this port.
    pub flood: bool,
    /// Whether the bridge learns which addresses are behind this port.
    pub learning: bool,
    /// Whether frames that come in from addresses not learned are dropped (Linux 5.16).
    pub locked: bool,
}

impl Default for BridgePortFlags {
    fn default() -> Self {
        Self { flood: true, learning: true, locked: false }
    }
}

impl Netlink {
    /// Every interface of the namespace.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Io`].
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        self.dump(&RouteNetlinkMessage::GetLink(request), "list interfaces", |message| {
            if message.kind == RTM_NEWLINK { Link::parse(message) } else { None }
        })
    }

    /// The interface of this name.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`], which lists those there are.
    pub fn link_by_name(&mut self, name: &str) -> Result<Link, Error> {
        self.find(format!("{name:?}"), |link| link.name == name)
    }

    /// The interface with this index.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`], which lists those there are.
    pub fn link(&mut self, index: IfIndex) -> Result<Link, Error> {
        self.find(format!("with index {index}"), |link| link.index == index)
    }

    /// Set an interface administratively up or down.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`].
    pub fn set_up(&mut self, index: IfIndex, up: bool) -> Result<(), Error> {
        let mut message = indexed(index);
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        let direction = if up { "up" } else { "down" };
        self.set(message, || format!("set interface {index} {direction}"))
    }

    /// Give an interface another name; before Linux 6.2 only while it is down.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`].
    pub fn rename(&mut self, index: IfIndex, name: &str) -> Result<(), Error> {
        let mut message = indexed(index);
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.set(message, || format!("rename interface {index} to {name:?}"))
    }

    /// Give an interface another Ethernet address.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`].
    pub fn set_mac(&mut self, index: IfIndex, mac: [u8; 6]) -> Result<(), Error> {
        let mut message = indexed(index);
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
        self.set(message, || format!("set the MAC address of interface {index} to {}", mac_text(mac)))
    }

    /// Make an interface a port of a bridge or bond, or with `None` free it.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`].
    pub fn set_master(&mut self, index: IfIndex, master: Option<IfIndex>) -> Result<(), Error> {
        let mut message = indexed(index);
        message.attributes.push(LinkAttribute::Controller(master.map_or(0, IfIndex::get)));
        self.set(message, || match master {
            Some(master) => format!("make interface {index} a port of interface {master}"),
            None => format!("take interface {index} out of its bridge"),
        })
    }

    /// Change what a bridge lets through this port of it, and forget the addresses it learned there.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`].
    pub fn set_bridge_port(&mut self, port: IfIndex, flags: BridgePortFlags) -> Result<(), Error> {
        let mut message = indexed(port);
        // Kernels before 5.16 pass over the last one.
        let options = vec![
            InfoBridgePort::UnicastFlood(flags.flood),
            InfoBridgePort::MulticastFlood(flags.flood),
            InfoBridgePort::BroadcastFlood(flags.flood),
            InfoBridgePort::Learning(flags.learning),
            InfoBridgePort::Flush,
            InfoBridgePort::Locked(flags.locked),
        ];
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(options)),
        ]));
        self.set(message, || format!("set bridge port {port} to {flags:?}"))
    }

    /// Make a pair of interfaces joined by a virtual cable. Returns the first; the second may be in another namespace.
    ///
    /// # Errors
    /// [`Error::Refused`], for example if a name is taken; [`Error::MissingCapability`].
    pub fn create_veth(&mut self, end: &VethEnd<'_>, peer: &VethEnd<'_>) -> Result<Link, Error> {
        let data = InfoData::Veth(InfoVeth::Peer(peer.message()));
        self.create(end.message(), InfoKind::Veth, data, end.name)
    }

    /// Make a bridge without spanning tree, forwarding delay or multicast snooping: a plain switch.
    ///
    /// # Errors
    /// [`Error::Refused`], for example if the name is taken; [`Error::MissingCapability`].
    pub fn create_bridge(&mut self, name: &str) -> Result<Link, Error> {
        // Spanning tree is off by default, and without it a port forwards at once whatever the delay.
        let data = InfoData::Bridge(vec![InfoBridge::ForwardDelay(0), InfoBridge::MulticastSnooping(false)]);
        self.create(named(name), InfoKind::Bridge, data, name)
    }

    /// Make a macvlan interface over `parent`: another Ethernet address on the same cable (`private` mode: it does not
    /// talk to the parent's other macvlans, but to everything on the wire).
    ///
    /// # Errors
    /// [`Error::Refused`], for example if the name is taken; [`Error::MissingCapability`].
    pub fn create_macvlan(&mut self, name: &str, parent: IfIndex, mac: [u8; 6]) -> Result<Link, Error> {
        let mut message = named(name);
        message.attributes.extend([LinkAttribute::Link(parent.get()), LinkAttribute::Address(mac.to_vec())]);
        let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Private)]);
        self.create(message, InfoKind::MacVlan, data, name)
    }

    /// Delete a virtual interface; of a veth pair the other end goes too.
    ///
    /// # Errors
    /// [`Error::Refused`], for example for hardware; [`Error::MissingCapability`].
    pub fn delete_link(&mut self, index: IfIndex) -> Result<(), Error> {
        self.request(RouteNetlinkMessage::DelLink(indexed(index)), 0, || format!("delete interface {index}"))
    }

    fn find(&mut self, wanted: String, is_it: impl Fn(&Link) -> bool) -> Result<Link, Error> {
        let mut links = self.links()?;
        match links.iter().position(is_it) {
            Some(place) => Ok(links.swap_remove(place)),
            None => Err(Error::UnknownInterface { wanted, have: links.into_iter().map(|link| link.name).collect() }),
        }
    }

    fn set(&mut self, message: LinkMessage, operation: impl Fn() -> String) -> Result<(), Error> {
        let index = message.header.index;
        let answer = self.ask(RouteNetlinkMessage::NewLink(message), 0)?;
        if answer.is(sys::ENODEV) {
            return self.find(format!("with index {index}"), |link| link.index.get() == index).map(drop);
        }
        answer.into_result(operation)
    }

    fn create(&mut self, mut message: LinkMessage, kind: InfoKind, data: InfoData, name: &str) -> Result<Link, Error> {
        let operation = format!("make {kind} interface {name:?}");
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, || operation.clone())?;
        self.link_by_name(name)
    }
}

/// A MAC address as people write it.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

pub(crate) fn indexed(index: IfIndex) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index.get();
    message
}

// linux/rtnetlink.h, linux/if.h, linux/if_link.h
pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_RUNNING: u32 = 0x40;
const IFF_LOWER_UP: u32 = 0x1_0000;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;

impl Link {
    /// From the payload of an `RTM_NEWLINK` or `RTM_DELLINK`: `struct ifinfomsg`, then attributes.
    ///
    /// `None` for a message that is not about the interface itself: a bridge tells of its ports in the same group with
    /// the same type, told apart only by the family `AF_BRIDGE`. A port that leaves its bridge would pass for deleted.
    pub(super) fn parse(message: &Message<'_>) -> Option<Self> {
        let family = *message.payload.first()?;
        if i32::from(family) != sys::AF_UNSPEC {
            return None;
        }
        let flags = u32_at(message.payload, 8)?;
        let mut link = Self {
            index: IfIndex::new(u32_at(message.payload, 4)?).ok()?,
            name: String::new(),
            mac: None,
            up: flags & IFF_UP != 0,
            running: flags & IFF_RUNNING != 0,
            carrier: flags & IFF_LOWER_UP != 0,
            loopback: flags & IFF_LOOPBACK != 0,
            mtu: 0,
            master: None,
            kind: None,
        };
        for attribute in Attributes(message.payload.get(16..)?) {
            match attribute.kind {
                IFLA_ADDRESS => link.mac = attribute.mac(),
                IFLA_IFNAME => link.name = attribute.text(),
                IFLA_MTU => link.mtu = attribute.u32().unwrap_or(0),
                IFLA_MASTER => link.master = attribute.u32().and_then(|index| IfIndex::new(index).ok()),
                IFLA_LINKINFO => {
                    let kind = attribute.nested().find(|nested| nested.kind == IFLA_INFO_KIND);
                    link.kind = kind.map(|kind| kind.text());
                }
                _ => {}
            }
        }
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &[u8]) -> Message<'_> {
        Message { kind: RTM_NEWLINK, flags: 0, sequence: 0, payload }
    }

    #[test]
    fn a_bridges_word_about_a_port_is_not_about_the_interface() {
        let mut payload = [0; 16];
        payload[4] = 7;
        payload[7] = if cfg!(target_endian = "big") { 7 } else { 0 };
        assert!(Link::parse(&message(&payload)).is_some());
        payload[0] = 7; // AF_BRIDGE
        assert_eq!(Link::parse(&message(&payload)), None);
    }

    #[test]
    fn a_message_cut_anywhere_does_not_panic() {
        let mut bytes = Vec::new();
        let mut request = named("eth0");
        request.header.index = 7;
        request.attributes.push(LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]));
        super::super::encode(RouteNetlinkMessage::NewLink(request), 0, 1, &mut bytes);
        let payload = &bytes[16..];
        let link = Link::parse(&message(payload)).unwrap();
        assert_eq!((link.index.get(), link.name.as_str(), link.mac), (7, "eth0", Some([2, 0, 0, 0, 0, 1])));
        for end in 0..payload.len() {
            assert_eq!(Link::parse(&message(&payload[..end])).is_some(), end >= 16);
        }
    }

    #[test]
    fn a_mac_address_is_written_with_colons() {
        assert_eq!(mac_text([0, 0, 0x5e, 0, 1, 51]), "00:00:5e:00:01:33");
    }
}
