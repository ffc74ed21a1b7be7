//! Hears another host on the link claim an address that this host serves.
//!
//! Two hosts that answer for one address are what VRRP is there to prevent, but a host that was given the address by hand
//! sends no advertisement. It does say where it has the address: over IPv4 as the sender of any ARP packet (RFC 5227 §2.4),
//! over IPv6 in neighbor advertisements (RFC 4861 §4.4). Everything else the kernel drops before it wakes this process.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use vrrp_core::{Family, IfIndex};

use crate::error::{Capability, Error};
use crate::filter::{self, Instruction};
use crate::sys;

/// Listens on one interface for claims of one family.
#[derive(Debug)]
pub(crate) struct AddressWatch {
    socket: OwnedFd,
    family: Family,
}

/// That a host says it has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressClaim {
    pub(crate) address: IpAddr,
    /// Where it says the address is.
    pub(crate) mac: [u8; 6],
}

impl AddressWatch {
    /// Hears nothing until it is told [what for](Self::set_addresses). Through `spare`, one that is bound to this interface or
    /// to none, if there is one.
    pub(crate) fn open(name: &str, interface: IfIndex, family: Family, spare: Option<OwnedFd>) -> Result<Self, Error> {
        let socket = match spare {
            Some(spare) => spare,
            None => Self::open_unbound(family)?,
        };
        let bound = match family {
            Family::V4 => sys::bind_packet(socket.as_fd(), interface, sys::ETHERTYPE_ARP),
            // Only who has the capability may bind one again, even to the same interface.
            Family::V6 => match SockRef::from(&socket).device() {
                Ok(Some(device)) if device == name.as_bytes() => Ok(()),
                _ => SockRef::from(&socket).bind_device(Some(name.as_bytes())),
            },
        };
        bound.map_err(|source| failed(name, source))?;
        Ok(Self { socket, family })
    }

    /// For no interface yet: it hears nothing.
    pub(crate) fn open_unbound(family: Family) -> Result<OwnedFd, Error> {
        let opened = match family {
            Family::V4 => sys::packet_socket(0),
            Family::V6 => {
                let kind = Type::RAW.nonblocking().cloexec();
                Socket::new(Domain::IPV6, kind, Some(Protocol::ICMPV6)).map(OwnedFd::from)
            }
        };
        let socket = opened.map_err(|source| failed("an interface", source))?;
        sys::attach_filter(socket.as_fd(), &[filter::DROP]).map_err(|source| failed("an interface", source))?;
        Ok(socket)
    }

    /// From now on claims of these addresses are heard; with very many of them, some of others too.
    pub(crate) fn set_addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<(), Error> {
        let program = program(self.family, addresses);
        sys::attach_filter(self.socket.as_fd(), &program)
            .map_err(|source| Error::io("set the filter for claims", source))
    }

    /// The next claim that has arrived; `None` if none has, or if what has arrived is none.
    pub(crate) fn receive(&self) -> Option<AddressClaim> {
        let mut buffer = [0; 128];
        let length = sys::receive(self.socket.as_fd(), &mut buffer).ok()?;
        let octets = buffer.get(..length)?;
        match self.family {
            Family::V4 => arp_claim(octets),
            Family::V6 => neighbor_claim(octets),
        }
    }
}

impl AsFd for AddressWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn failed(name: &str, source: io::Error) -> Error {
    Error::privileged(format!("listen for claims of addresses on {name}"), Capability::NetRaw, source)
}

/// The sender of an ARP packet, request or reply, in an Ethernet frame (RFC 826).
fn arp_claim(frame: &[u8]) -> Option<AddressClaim> {
    let arp = frame.get(14..42)?;
    // Ethernet, IPv4, their lengths; a request or a reply.
    if arp.get(..6)? != [0, 1, 8, 0, 6, 4] || !matches!(arp.get(6..8)?, [0, 1 | 2]) {
        return None;
    }
    let octets: [u8; 4] = arp.get(14..18)?.try_into().ok()?;
    Some(AddressClaim { address: Ipv4Addr::from(octets).into(), mac: arp.get(8..14)?.try_into().ok()? })
}

/// The target of a neighbor advertisement that says its link-layer address (RFC 4861 §4.4, §4.6.1).
fn neighbor_claim(message: &[u8]) -> Option<AddressClaim> {
    if *message.first()? != NEIGHBOR_ADVERT {
        return None;
    }
    let octets: [u8; 16] = message.get(8..24)?.try_into().ok()?;
    let mut options = message.get(24..)?;
    loop {
        let (kind, length) = (*options.first()?, usize::from(*options.get(1)?) * 8);
        if (kind, length) == (TARGET_LINK_LAYER_ADDRESS, 8) {
            return Some(AddressClaim {
                address: Ipv6Addr::from(octets).into(),
                mac: options.get(2..8)?.try_into().ok()?,
            });
        }
        // An option without length would be the last for ever.
        options = options.get(length.max(1)..)?;
    }
}

const NEIGHBOR_ADVERT: u8 = 136;
const TARGET_LINK_LAYER_ADDRESS: u8 = 2;

/// With more addresses than this the program compares their first bits only, as many as set few enough of them apart.
const MOST_COMPARISONS: usize = 128;

/// Lets through what may be a claim of one of these addresses. Of an IPv6 address the last 32 bits are looked at.
fn program(family: Family, addresses: impl IntoIterator<Item = IpAddr>) -> Vec<Instruction> {
    let words: BTreeSet<u32> = addresses.into_iter().filter(|it| Family::of(*it) == family).map(last_word).collect();
    let (mask, kept) = (0..=32)
        .map(|cut| u32::MAX.checked_shl(cut).unwrap_or_default())
        .map(|mask| (mask, words.iter().map(|word| word & mask).collect::<BTreeSet<u32>>()))
        .find(|(_, kept)| kept.len() <= MOST_COMPARISONS)
        .unwrap_or_default();
    let step = |code, value| Instruction { code, jump_true: 0, jump_false: 0, value };
    let unless = |value| Instruction { code: filter::JUMP_EQUAL, jump_true: 0, jump_false: 1, value };
    let require = |value| Instruction { code: filter::JUMP_EQUAL, jump_true: 1, jump_false: 0, value };
    let mut program = Vec::with_capacity(2 * kept.len() + 8);
    match family {
        // The sender's protocol address, behind the Ethernet header.
        Family::V4 => program.push(step(filter::LOAD_WORD, 28)),
        Family::V6 => {
            program.extend([step(filter::LOAD_BYTE, 0), require(u32::from(NEIGHBOR_ADVERT)), filter::DROP]);
            // From this link: nobody else's packets have the highest hop limit (RFC 4861 §7.1.2).
            program.extend([step(filter::LOAD_BYTE, filter::IPV6_HEADER + 7), require(255), filter::DROP]);
            program.push(step(filter::LOAD_WORD, 20));
        }
    }
    program.push(step(filter::AND, mask));
    program.extend(kept.into_iter().flat_map(|word| [unless(word), filter::ACCEPT]));
    program.push(filter::DROP);
    program
}

fn last_word(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            u32::from_be_bytes([a, b, c, d])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ArpForm, gratuitous_arp, neighbor_advert};

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    #[test]
    fn what_announces_an_address_claims_it() {
        let address = Ipv4Addr::new(192, 0, 2, 100);
        let claim = AddressClaim { address: address.into(), mac: MAC };
        for form in [ArpForm::Request, ArpForm::Reply] {
            assert_eq!(arp_claim(&gratuitous_arp(form, MAC, address)), Some(claim));
        }
        let address: Ipv6Addr = "2001:db8::100".parse().unwrap();
        let claim = AddressClaim { address: address.into(), mac: MAC };
        assert_eq!(neighbor_claim(&neighbor_advert(MAC, address)[54..]), Some(claim));
    }

    #[test]
    fn what_is_cut_short_or_something_else_claims_nothing() {
        let arp = gratuitous_arp(ArpForm::Request, MAC, Ipv4Addr::new(192, 0, 2, 100));
        assert!((0..arp.len()).all(|length| arp_claim(&arp[..length]).is_none()));
        let message = &neighbor_advert(MAC, "2001:db8::100".parse().unwrap())[54..];
        assert!((0..message.len()).all(|length| neighbor_claim(&message[..length]).is_none()));
        let mut endless = [0; 64];
        endless[0] = NEIGHBOR_ADVERT;
        assert_eq!(neighbor_claim(&endless), None);
    }

    #[test]
    fn the_program_stays_short_however_many_addresses_there_are() {
        let many = (0..50_000_u32).map(|number| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number * 3)));
        assert!(program(Family::V4, many).len() <= 2 * MOST_COMPARISONS + 8);
        let one = program(Family::V4, ["192.0.2.100".parse().unwrap()]);
        assert!(one.iter().any(|it| it.code == filter::JUMP_EQUAL && it.value == 0xc000_0264));
    }
}
