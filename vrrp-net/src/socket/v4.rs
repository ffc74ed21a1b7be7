//! What is particular to VRRP over IPv4: the socket gives and takes whole datagrams, header included.

use std::io;
use std::net::Ipv4Addr;

use etherparse::{IpNumber, Ipv4Header};
use socket2::{InterfaceIndexOrAddress, Socket};
use vrrp_core::IfIndex;
use vrrp_core::wire::PROTOCOL;

use super::{Failure, NETWORK_CONTROL, first_failure};

pub(super) const HEADER_LEN: usize = Ipv4Header::MIN_LEN;

pub(super) fn set_options(socket: &Socket) -> Result<(), Failure> {
    first_failure([
        ("hear joined groups only", socket.set_multicast_all_v4(false)),
        ("no loopback of our own", socket.set_multicast_loop_v4(false)),
        // Source and TTL are then each advertisement's own, also to unicast peers, and also a source that the interface
        // does not have.
        ("own IP header", socket.set_header_included_v4(true)),
    ])
}

pub(super) fn join(socket: &Socket, group: Ipv4Addr, interface: IfIndex) -> io::Result<()> {
    socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface.get()))
}

pub(super) fn leave(socket: &Socket, group: Ipv4Addr, interface: IfIndex) -> io::Result<()> {
    socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface.get()))
}

/// The header of an advertisement with a payload of `length` octets, if that fits. Identification and checksum are left
/// for the kernel to fill in (`raw(7)`).
pub(super) fn header(source: Ipv4Addr, target: Ipv4Addr, ttl: u8, length: usize) -> Option<[u8; HEADER_LEN]> {
    let length = u16::try_from(length).ok()?;
    let mut header = Ipv4Header::new(length, ttl, IpNumber(PROTOCOL), source.octets(), target.octets()).ok()?;
    header.dont_fragment = false;
    let mut octets = [0; HEADER_LEN];
    octets.copy_from_slice(&header.to_bytes());
    // The type of service is two fields in newer terms; this is their one octet.
    octets[1] = NETWORK_CONTROL;
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tx_01_tx_03_tx_13_the_header_says_ttl_255_protocol_112_network_control() {
        let header = header(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(224, 0, 0, 18), 255, 12).unwrap();
        assert_eq!(header[..10], [0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, 112]);
        assert_eq!(header[12..], [192, 0, 2, 1, 224, 0, 0, 18]);
    }

    #[test]
    fn a_payload_that_no_datagram_can_hold_has_no_header() {
        let length = usize::from(u16::MAX);
        assert_eq!(header(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 255, length), None);
    }
}
