//! Addresses of interfaces, with a lifetime and a mark of whose they are; and the neighbor cache.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use vrrp_core::{Family, IfIndex, VirtualAddr};

use super::attribute::{Attributes, Message, u16_at, u32_at};
use super::{Answer, Netlink};
use crate::error::Error;
use crate::sys;

/// An address to be on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRequest {
    /// The interface.
    pub interface: IfIndex,
    /// The address and its prefix length.
    pub address: VirtualAddr,
    /// Seconds until the kernel removes it, at least 1; `None`: never.
    ///
    /// The kernel is up to about 2 s late with IPv4: it rounds to its own check interval. Setting the address again
    /// restarts the time.
    pub lifetime: Option<u32>,
    /// Whether the kernel shall avoid it as the source of new connections.
    ///
    /// It says so by a preferred lifetime of 0; otherwise that is the same as `lifetime`, so that an address does not
    /// change its nature before its end. IPv4 source selection does not look at it.
    pub deprecated: bool,
    /// The mark that later tells whose address it is (`IFA_PROTO`): 1 to 3 are the kernel's own. Kernels before 5.18
    /// ignore it.
    pub protocol: Option<u8>,
    /// Whether the kernel shall add a route to the prefix over this interface.
    pub prefix_route: bool,
}

impl AddressRequest {
    /// `address` on `interface`: for ever, unmarked, with its route, usable as a source.
    pub const fn new(interface: IfIndex, address: VirtualAddr) -> Self {
        Self { interface, address, lifetime: None, deprecated: false, protocol: None, prefix_route: true }
    }
}

/// A change of the addresses of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressChange {
    /// Add the address, or if it is there set its lifetime and mark anew. IPv6 duplicate address detection is skipped:
    /// the election has settled whose it is.
    Set(AddressRequest),
    /// Remove the address. If it is not there, or its interface is not, that is a success.
    Remove {
        /// The interface.
        interface: IfIndex,
        /// The address, with the prefix length it was added with.
        address: VirtualAddr,
    },
}

/// An address as the kernel has it on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceAddress {
    /// The interface.
    pub interface: IfIndex,
    /// The address.
    pub address: IpAddr,
    /// Bits of its prefix.
    pub prefix_len: u8,
    /// The mark of whose it is (`IFA_PROTO`); `None` if unmarked, or before Linux 5.18.
    pub protocol: Option<u8>,
    /// Seconds until the kernel removes it; `None`: never.
    pub lifetime: Option<u32>,
    /// IPv4: another address of the same prefix came first, and its deletion may take this one along.
    pub secondary: bool,
    /// IPv6: duplicate address detection is not through; it cannot be used yet.
    pub tentative: bool,
    /// IPv6: another host has it; it cannot be used.
    pub duplicate: bool,
    /// Whether the kernel avoids it as the source of new connections.
    pub deprecated: bool,
    /// IPv4: its label, which is the interface's name unless someone gave it another.
    pub label: Option<String>,
}

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
    /// Carry out many changes, at most 200 in one send, and tell for each in its place how it went.
    ///
    /// One that is refused does not stop the others. A lost answer is asked for again, once: every change here can be
    /// made twice.
    ///
    /// # Errors
    /// [`Error::Io`] if nothing could be sent. Inside: [`Error::Refused`], [`Error::MissingCapability`],
    /// [`Error::Unanswered`].
    pub fn change_addresses(&mut self, changes: &[AddressChange]) -> Result<Vec<Result<(), Error>>, Error> {
        let encode = |change: &AddressChange, sequence, out: &mut Vec<u8>| change.encode(NLM_F_ACK, sequence, out);
        let mut answers = self.batch(changes, encode)?;
        for (answer, change) in answers.iter_mut().zip(changes) {
            if *answer == Answer::Lost {
                *answer = self.batch(std::slice::from_ref(change), encode)?.pop().unwrap_or(Answer::Lost);
            }
        }
        Ok(answers.into_iter().zip(changes).map(|(answer, change)| change.result(answer)).collect())
    }

    /// Carry out one change.
    ///
    /// # Errors
    /// As in [`change_addresses`](Self::change_addresses).
    pub fn change_address(&mut self, change: AddressChange) -> Result<(), Error> {
        self.change_addresses(&[change])?.pop().unwrap_or(Ok(()))
    }

    /// The addresses of one interface, or of all.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Io`].
    pub fn addresses(&mut self, interface: Option<IfIndex>) -> Result<Vec<InterfaceAddress>, Error> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        self.dump(&request, "list addresses", |message| {
            let address = if message.kind == RTM_NEWADDR { InterfaceAddress::parse(message) } else { None };
            address.filter(|address| interface.is_none_or(|interface| address.interface == interface))
        })
    }

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

impl AddressChange {
    /// Append the request, with `flags` such as `NLM_F_ACK` besides those it needs.
    pub(crate) fn encode(&self, flags: u16, sequence: u32, out: &mut Vec<u8>) {
        match self {
            Self::Set(request) => {
                let message = RouteNetlinkMessage::NewAddress(request.message());
                super::encode(message, flags | NLM_F_CREATE | NLM_F_REPLACE, sequence, out);
            }
            Self::Remove { interface, address } => {
                let message = RouteNetlinkMessage::DelAddress(message(*interface, *address));
                super::encode(message, flags, sequence, out);
            }
        }
    }

    fn result(&self, answer: Answer) -> Result<(), Error> {
        match self {
            Self::Set(AddressRequest { interface, address, .. }) => {
                answer.into_result(|| format!("set address {address} on interface {interface}"))
            }
            Self::Remove { .. } if answer.is(sys::EADDRNOTAVAIL) || answer.is(sys::ENODEV) => Ok(()),
            Self::Remove { interface, address } => {
                answer.into_result(|| format!("remove address {address} from interface {interface}"))
            }
        }
    }
}

impl AddressRequest {
    fn message(&self) -> AddressMessage {
        let mut message = message(self.interface, self.address);
        let mut flags = AddressFlags::empty();
        flags.set(AddressFlags::Nodad, self.address.family() == Family::V6);
        flags.set(AddressFlags::Noprefixroute, !self.prefix_route);
        // The header has room for the low octet only; the attribute has all of them and takes precedence.
        message.header.flags = AddressHeaderFlags::from_bits_retain(flags.bits().to_le_bytes()[0]);
        message.attributes.push(AddressAttribute::Flags(flags));

        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_valid = self.lifetime.unwrap_or(FOREVER);
        lifetimes.ifa_preferred = if self.deprecated { 0 } else { lifetimes.ifa_valid };
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
        message.attributes.extend(self.protocol.map(|mark| AddressAttribute::Protocol(AddressProtocol::from(mark))));
        message
    }
}

/// The part that adding and removing share.
fn message(interface: IfIndex, address: VirtualAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match address.family() {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    message.header.prefix_len = address.prefix_len();
    message.header.index = interface.get();
    message.header.scope = match address.address() {
        IpAddr::V4(v4) if v4.is_link_local() => AddressScope::Link,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => AddressScope::Link,
        IpAddr::V4(_) | IpAddr::V6(_) => AddressScope::Universe,
    };
    message.attributes.push(AddressAttribute::Local(address.address()));
    message.attributes.push(AddressAttribute::Address(address.address()));
    message
}

// linux/rtnetlink.h, linux/if_addr.h, linux/neighbour.h
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
const RTM_NEWNEIGH: u16 = 28;
const FOREVER: u32 = u32::MAX;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
const IFA_F_SECONDARY: u32 = 0x01;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_DEPRECATED: u32 = 0x20;
const IFA_F_TENTATIVE: u32 = 0x40;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// The entry states in which there is no MAC address: incomplete, failed, none needed.
const NUD_WITHOUT_MAC: u16 = 0x01 | 0x20 | 0x40;

impl InterfaceAddress {
    /// From the payload of an `RTM_NEWADDR` or `RTM_DELADDR`: `struct ifaddrmsg`, then attributes.
    pub(super) fn parse(message: &Message<'_>) -> Option<Self> {
        let (mut address, mut local) = (None, None);
        let (mut protocol, mut lifetime, mut label) = (None, None, None);
        let mut flags = u32::from(*message.payload.get(2)?);
        for attribute in Attributes(message.payload.get(8..)?) {
            match attribute.kind {
                IFA_ADDRESS => address = attribute.address(),
                IFA_LOCAL => local = attribute.address(),
                IFA_LABEL => label = Some(attribute.text()),
                IFA_CACHEINFO => lifetime = u32_at(attribute.value, 4).filter(|seconds| *seconds != FOREVER),
                IFA_FLAGS => flags = attribute.u32().unwrap_or(flags),
                IFA_PROTO => protocol = attribute.u8().filter(|mark| *mark != 0),
                _ => {}
            }
        }
        Some(Self {
            interface: IfIndex::new(u32_at(message.payload, 4)?).ok()?,
            // On a point-to-point interface the other attribute is the peer's address.
            address: local.or(address)?,
            prefix_len: *message.payload.get(1)?,
            protocol,
            lifetime,
            // IPv6 has another meaning for the same bit: a temporary address.
            secondary: flags & IFA_F_SECONDARY != 0 && address.is_some_and(|address| address.is_ipv4()),
            tentative: flags & IFA_F_TENTATIVE != 0,
            duplicate: flags & IFA_F_DADFAILED != 0,
            deprecated: flags & IFA_F_DEPRECATED != 0,
            label,
        })
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> AddressRequest {
        AddressRequest::new(IfIndex::new(7).unwrap(), text.parse().unwrap())
    }

    fn encoded(request: AddressRequest) -> Vec<u8> {
        let mut bytes = Vec::new();
        AddressChange::Set(request).encode(NLM_F_ACK, 1, &mut bytes);
        bytes
    }

    fn parsed(bytes: &[u8]) -> Option<InterfaceAddress> {
        InterfaceAddress::parse(&Message { kind: RTM_NEWADDR, flags: 0, sequence: 1, payload: bytes })
    }

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let asked = AddressRequest { lifetime: Some(5), protocol: Some(112), ..request("192.0.2.100/24") };
        let read = parsed(&encoded(asked)[16..]).unwrap();
        assert_eq!((read.interface, read.address), (asked.interface, asked.address.address()));
        assert_eq!((read.prefix_len, read.lifetime, read.protocol), (24, Some(5), Some(112)));
        assert_eq!(parsed(&encoded(request("2001:db8::1"))[16..]).unwrap().lifetime, None);
    }

    #[test]
    fn ipv6_addresses_skip_duplicate_address_detection() {
        let nodad = |text| u32::from(encoded(request(text))[16 + 2]) & AddressFlags::Nodad.bits() != 0;
        assert!(nodad("2001:db8::1"));
        assert!(!nodad("192.0.2.1"));
    }

    #[test]
    fn an_unknown_attribute_does_not_lose_the_address() {
        let mut bytes = encoded(request("192.0.2.1"))[16..].to_vec();
        bytes.splice(8..8, [&7_u16.to_ne_bytes()[..], &999_u16.to_ne_bytes(), &[1, 2, 3, 0]].concat());
        assert_eq!(parsed(&bytes).unwrap().address, request("192.0.2.1").address.address());
    }

    #[test]
    fn a_message_cut_anywhere_does_not_panic() {
        let bytes = encoded(request("192.0.2.1/24"));
        for end in 16..bytes.len() {
            let _ = parsed(&bytes[16..end]);
        }
        assert_eq!(parsed(&[]), None);
    }
}
