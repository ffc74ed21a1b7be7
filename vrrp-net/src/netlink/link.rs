//! Interfaces: listing, and making, changing and deleting virtual ones.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use vrrp_core::IfIndex;

use super::Netlink;
use super::attribute::{Attributes, Message, Writer, u32_at};
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
    /// The interface that it is stacked on (`IFLA_LINK`): a macvlan's parent. Of a veth it is the other end, which may be
    /// in another namespace and mean nothing here.
    pub lower: Option<IfIndex>,
    /// What kind of virtual interface it is: `veth`, `bridge`, `macvlan`, `bond`; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// What somebody wrote down about it (`IFLA_IFALIAS`).
    pub alias: Option<String>,
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
        self.dump(&RouteNetlinkMessage::GetLink(request), "list interfaces", parse_link)
    }

    /// The interface of this name.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`], which lists those there are.
    pub fn link_by_name(&mut self, name: &str) -> Result<Link, Error> {
        match self.look_up(|sequence, out| question(None, Some(name), sequence, out), parse_link)? {
            // Some kernels refuse an empty or too long name otherwise than one that nobody has.
            Err(_) => self.unknown(format!("{name:?}")),
            Ok(link) => Ok(link),
        }
    }

    /// The interface with this index.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`], which lists those there are.
    pub fn link(&mut self, index: IfIndex) -> Result<Link, Error> {
        match self.look_up(|sequence, out| question(Some(index), None, sequence, out), parse_link)? {
            Err(_) => self.unknown(format!("with index {index}")),
            Ok(link) => Ok(link),
        }
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

    /// Make a macvlan interface over `parent`: another Ethernet address on the same cable. It is in `bridge` mode: it
    /// talks to the parent's other macvlans and to everything on the wire, but not to the parent.
    ///
    /// VRRP needs that mode. Advertisements of an Active with a virtual MAC come from the same address that a Backup's
    /// macvlan has, and in `private` mode the kernel gives a frame that seems to come from a macvlan to that macvlan only:
    /// whoever listens on the parent would not hear them.
    ///
    /// # Errors
    /// [`Error::Refused`], for example if the name is taken; [`Error::MissingCapability`].
    pub fn create_macvlan(&mut self, name: &str, parent: IfIndex, mac: [u8; 6]) -> Result<Link, Error> {
        let mut message = named(name);
        message.attributes.extend([LinkAttribute::Link(parent.get()), LinkAttribute::Address(mac.to_vec())]);
        let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
        self.create(message, InfoKind::MacVlan, data, name)
    }

    /// Have an existing macvlan in `bridge` mode.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is none; [`Error::MissingCapability`].
    pub fn set_macvlan_bridging(&mut self, index: IfIndex) -> Result<(), Error> {
        let mut message = indexed(index);
        let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan), LinkInfo::Data(data)]));
        self.set(message, || format!("have macvlan interface {index} in bridge mode"))
    }

    /// Write down something about an interface, at most 255 octets (`IFLA_IFALIAS`).
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`].
    pub fn set_alias(&mut self, index: IfIndex, alias: &str) -> Result<(), Error> {
        let mut message = indexed(index);
        message.attributes.push(LinkAttribute::IfAlias(alias.to_owned()));
        self.set(message, || format!("set the alias of interface {index} to {alias:?}"))
    }

    /// Have the kernel make no IPv6 link-local address for this interface (`addrgenmode none`). Where the kernel has no
    /// IPv6 there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::MissingCapability`].
    pub fn set_no_link_local(&mut self, index: IfIndex) -> Result<(), Error> {
        let answer = self.ask_written(|sequence, out| {
            let mut writer = Writer::begin(out, RTM_NEWLINK, NLM_F_ACK, sequence, &fixed(Some(index)));
            writer.nested(IFLA_AF_SPEC, |writer| {
                writer.nested(AF_INET6, |writer| {
                    writer.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
                });
            });
            writer.finish();
        })?;
        if answer.is(sys::EAFNOSUPPORT) {
            return Ok(());
        }
        answer.into_result(|| format!("have no IPv6 link-local address made for interface {index}"))
    }

    /// Delete a virtual interface; of a veth pair the other end goes too.
    ///
    /// # Errors
    /// [`Error::Refused`], for example for hardware; [`Error::MissingCapability`].
    pub fn delete_link(&mut self, index: IfIndex) -> Result<(), Error> {
        self.request(RouteNetlinkMessage::DelLink(indexed(index)), 0, || format!("delete interface {index}"))
    }

    fn unknown(&mut self, wanted: String) -> Result<Link, Error> {
        Err(Error::UnknownInterface { wanted, have: self.links()?.into_iter().map(|link| link.name).collect() })
    }

    fn set(&mut self, message: LinkMessage, operation: impl Fn() -> String) -> Result<(), Error> {
        let index = message.header.index;
        let answer = self.ask(RouteNetlinkMessage::NewLink(message), 0)?;
        if answer.is(sys::ENODEV) {
            return self.unknown(format!("with index {index}")).map(drop);
        }
        answer.into_result(operation)
    }

    fn create(&mut self, mut message: LinkMessage, kind: InfoKind, data: InfoData, name: &str) -> Result<Link, Error> {
        let operation = format!("make {kind} interface {name:?}");
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]));
        if !is_interface_name(name) {
            return Err(Error::BadName { name: name.to_owned(), what: "name of an interface" });
        }
        let answer = self.ask(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)?;
        let way_out = match &answer {
            answer if answer.is(sys::EEXIST) => Some("the name is taken: delete that interface or choose another name"),
            answer if answer.is(sys::EOPNOTSUPP) => Some("this kernel does not have the kind: load its module"),
            answer if answer.is(sys::EBUSY) => Some(
                "the parent is a port of a bridge or bond, which takes all its frames: use the bridge or bond itself",
            ),
            _ => None,
        };
        let result = answer.into_result(|| operation.clone());
        result.map_err(|error| error.with_way_out(way_out.map(str::to_owned)))?;
        self.link_by_name(name)
    }
}

/// Whether an interface can have this name (`dev_valid_name`, net/core/dev.c).
pub(crate) fn is_interface_name(name: &str) -> bool {
    let bad = |octet: u8| matches!(octet, b'/' | b':' | 0 | b' ' | b'\t'..=b'\r');
    (1..=15).contains(&name.len()) && name != "." && name != ".." && !name.bytes().any(bad)
}

/// Ask for one interface, by its number or its name.
fn question(index: Option<IfIndex>, name: Option<&str>, sequence: u32, out: &mut Vec<u8>) {
    let mut writer = Writer::begin(out, RTM_GETLINK, 0, sequence, &fixed(index));
    writer.attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    if let Some(name) = name {
        writer.text(IFLA_IFNAME, name);
    }
    writer.finish();
}

fn parse_link(message: &Message<'_>) -> Option<Link> {
    if message.kind == RTM_NEWLINK { Link::parse(message) } else { None }
}

/// `struct ifinfomsg`.
pub(super) fn fixed(index: Option<IfIndex>) -> [u8; 16] {
    let [a, b, c, d] = index.map_or(0, IfIndex::get).to_ne_bytes();
    [0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]
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
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_EVENT: u16 = 44;
const IFLA_EVENT_BONDING_FAILOVER: u32 = 3;
const IFLA_EVENT_NOTIFY_PEERS: u32 = 4;
const IFLA_EVENT_IGMP_RESEND: u32 = 5;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const RTM_GETLINK: u16 = 18;
const AF_INET6: u16 = 10;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
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
            lower: None,
            kind: None,
            alias: None,
        };
        for attribute in Attributes(message.payload.get(16..)?) {
            match attribute.kind {
                IFLA_ADDRESS => link.mac = attribute.mac(),
                IFLA_IFNAME => link.name = attribute.text(),
                IFLA_MTU => link.mtu = attribute.u32().unwrap_or(0),
                IFLA_MASTER => link.master = attribute.u32().and_then(|index| IfIndex::new(index).ok()),
                IFLA_LINK => link.lower = attribute.u32().and_then(|index| IfIndex::new(index).ok()),
                IFLA_IFALIAS => link.alias = Some(attribute.text()),
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

/// The interface of a message that says: its switch has to learn anew where it is.
pub(super) fn moved(message: &Message<'_>) -> Option<IfIndex> {
    let link = Link::parse(message)?;
    let mut events =
        Attributes(message.payload.get(16..)?).filter(|it| it.kind == IFLA_EVENT).filter_map(|it| it.u32());
    let tells = |event| matches!(event, IFLA_EVENT_BONDING_FAILOVER | IFLA_EVENT_NOTIFY_PEERS | IFLA_EVENT_IGMP_RESEND);
    events.any(tells).then_some(link.index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel sends it for each event (`rtnl_get_event`, net/core/rtnetlink.c).
    #[test]
    fn a_port_that_takes_over_in_a_bond_is_told_of_by_an_event() {
        for (event, is_told) in [(0, false), (1, false), (2, false), (3, true), (4, true), (5, true), (6, false)] {
            let mut payload = fixed(IfIndex::new(7).ok()).to_vec();
            payload.extend_from_slice(&8_u16.to_ne_bytes());
            payload.extend_from_slice(&IFLA_EVENT.to_ne_bytes());
            payload.extend_from_slice(&u32::to_ne_bytes(event));
            assert_eq!(moved(&message(&payload)).map(IfIndex::get), is_told.then_some(7), "event {event}");
            for end in 0..payload.len() {
                assert_eq!(moved(&message(&payload[..end])), None, "cut");
            }
        }
        assert_eq!(moved(&message(&fixed(IfIndex::new(7).ok()))), None, "no event");
    }

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
    fn interface_names_are_those_that_the_kernel_takes() {
        for good in ["eth0", "vrrp.51", "123456789012345", "a-b@c"] {
            assert!(is_interface_name(good), "{good:?}");
        }
        for bad in ["", ".", "..", "1234567890123456", "a/b", "eth0:1", "a b", "a\tb", "a\0b"] {
            assert!(!is_interface_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_mac_address_is_written_with_colons() {
        assert_eq!(mac_text([0, 0, 0x5e, 0, 1, 51]), "00:00:5e:00:01:33");
    }
}
