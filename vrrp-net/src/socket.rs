//! The raw socket that advertisements go through: one per interface and family, never one per virtual router.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use etherparse::{IpNumber, Ipv4Header};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use vrrp_core::wire::{PROTOCOL, TTL};
use vrrp_core::{Family, IfIndex};

use crate::error::{Capability, Error};

/// The largest advertisement over IPv4, VRRPv2 with 255 addresses: 8 octets, 4 each, 8 of authentication.
pub const MAX_ADVERT_LEN: usize = 8 + 4 * 255 + 8;

/// Room for the largest advertisement behind the longest IPv4 header, and one octet more: a datagram that fills it was
/// cut.
pub const MAX_DATAGRAM_LEN: usize = 60 + MAX_ADVERT_LEN + 1;

/// Type of service CS6, network control: advertisements must get through a congested link (RFC 9568 §2.5).
const NETWORK_CONTROL: u8 = 0xc0;

/// A non-blocking raw socket for VRRP over IPv4 on one interface: joined to 224.0.0.18, hearing that interface only,
/// never itself.
#[derive(Debug)]
pub struct AdvertSocket {
    socket: Socket,
}

impl AdvertSocket {
    /// Opens the socket on the interface with this name and index.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] without `CAP_NET_RAW`; [`Error::Io`] with what the kernel refused.
    pub fn open(name: &str, interface: IfIndex) -> Result<Self, Error> {
        let step = |what: &str| format!("open a VRRP socket on {name}: {what}");
        let Ipv4Group(group) = Ipv4Group::VRRP;
        let kind = Type::RAW.nonblocking().cloexec();
        let socket = Socket::new(Domain::IPV4, kind, Some(Protocol::from(i32::from(PROTOCOL))))
            .map_err(|source| Error::privileged(step("raw socket"), Capability::NetRaw, source))?;
        let index = InterfaceIndexOrAddress::Index(interface.get());
        let options = [
            ("bind to the interface", socket.bind_device(Some(name.as_bytes()))),
            ("hear joined groups only", socket.set_multicast_all_v4(false)),
            ("join 224.0.0.18", socket.join_multicast_v4_n(&group, &index)),
            ("no loopback of our own", socket.set_multicast_loop_v4(false)),
            ("own IP header", socket.set_header_included_v4(true)),
            ("priority of network control", socket.set_priority(6)),
        ];
        for (what, result) in options {
            result.map_err(|source| Error::privileged(step(what), Capability::NetRaw, source))?;
        }
        Ok(Self { socket })
    }

    /// Sends one advertisement with TTL 255 (RFC 9568 §5.1.1.3).
    ///
    /// # Errors
    /// What the kernel said; `InvalidInput` if the payload is too long or the addresses are not IPv4.
    pub fn send(&self, source: IpAddr, destination: IpAddr, payload: &[u8]) -> std::io::Result<()> {
        let (IpAddr::V4(source), IpAddr::V4(target)) = (source, destination) else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let mut datagram = [0; Ipv4Header::MIN_LEN + MAX_ADVERT_LEN];
        let datagram =
            datagram.get_mut(..Ipv4Header::MIN_LEN + payload.len()).ok_or(std::io::ErrorKind::InvalidInput)?;
        let (header, body) = datagram.split_at_mut(Ipv4Header::MIN_LEN);
        header.copy_from_slice(&ipv4_header(source, target, payload.len())?);
        body.copy_from_slice(payload);
        self.socket.send_to(datagram, &SocketAddr::new(destination, 0).into()).map(drop)
    }

    /// Receives one datagram, IP header included, or `None` if none is waiting.
    ///
    /// A length equal to the buffer's means that it was cut: give [`MAX_DATAGRAM_LEN`] octets.
    ///
    /// # Errors
    /// What the kernel said, for instance that the interface went down; the socket goes on working.
    pub fn receive(&self, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
        match (&self.socket).read(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for AdvertSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The group that IPv4 advertisements go to.
struct Ipv4Group(Ipv4Addr);

impl Ipv4Group {
    const VRRP: Self = match Family::V4.group() {
        IpAddr::V4(group) => Self(group),
        IpAddr::V6(_) => panic!("the IPv4 group is an IPv4 address"),
    };
}

/// The header of an advertisement. Identification and checksum are left for the kernel to fill in (`raw(7)`).
fn ipv4_header(source: Ipv4Addr, target: Ipv4Addr, len: usize) -> std::io::Result<[u8; Ipv4Header::MIN_LEN]> {
    let len = u16::try_from(len).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let mut header = Ipv4Header::new(len, TTL, IpNumber(PROTOCOL), source.octets(), target.octets())
        .map_err(|_| std::io::ErrorKind::InvalidInput)?;
    header.dont_fragment = false;
    let mut octets = [0; Ipv4Header::MIN_LEN];
    octets.copy_from_slice(&header.to_bytes());
    // The type of service is two fields in newer terms; this is their one octet.
    octets[1] = NETWORK_CONTROL;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tx_01_tx_03_tx_13_the_header_says_ttl_255_protocol_112_network_control() {
        let header = ipv4_header(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(224, 0, 0, 18), 12).unwrap();
        assert_eq!(header[..10], [0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, 112]);
        assert_eq!(header[12..], [192, 0, 2, 1, 224, 0, 0, 18]);
    }
}
