//! The frames that tell hosts on the link where a virtual address is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header, IpDscp, IpNumber, Ipv4Header};
use vrrp_core::wire::{InternetChecksum, PROTOCOL};

/// Octets of a gratuitous ARP with its Ethernet header, without padding or checksum.
pub const GRATUITOUS_ARP_LEN: usize = 42;

/// Octets of an unsolicited neighbor advertisement with its Ethernet and IPv6 headers.
pub const NEIGHBOR_ADVERT_LEN: usize = 86;

/// Which of its two forms a gratuitous ARP has. Hosts must take both (RFC 5944 §4.6); some take one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ArpForm {
    /// A request, as RFC 9568 §6.4.1 wants it.
    #[default]
    Request,
    /// A reply that nobody asked for.
    Reply,
}

/// A gratuitous ARP: a broadcast whose sender and target protocol address are both `address` (RFC 9568 §6.4.1, RFC 5227 §3).
///
/// `mac` is where the address is from now on. In a request the target hardware address is that MAC too if it is a virtual
/// router's (errata 7947 and 7949), and zero if it is an interface's, as RFC 5227 §2.3 has it. In a reply it is always
/// that MAC (RFC 5944 §4.6).
pub fn gratuitous_arp(form: ArpForm, mac: [u8; 6], address: Ipv4Addr) -> [u8; GRATUITOUS_ARP_LEN] {
    let (operation, target_mac) = match form {
        ArpForm::Request if is_virtual_router_mac(mac) => (ArpOperation::REQUEST, mac),
        ArpForm::Request => (ArpOperation::REQUEST, [0; 6]),
        ArpForm::Reply => (ArpOperation::REPLY, mac),
    };
    let ethernet = Ethernet2Header { source: mac, destination: [0xff; 6], ether_type: EtherType::ARP };
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        operation,
        &mac,
        &address.octets(),
        &target_mac,
        &address.octets(),
    )
    .expect("a hardware address of 6 octets and two protocol addresses of 4");
    let mut frame = [0; GRATUITOUS_ARP_LEN];
    let (header, body) = frame.split_at_mut(Ethernet2Header::LEN);
    header.copy_from_slice(&ethernet.to_bytes());
    body.copy_from_slice(&arp.to_bytes());
    frame
}

/// An unsolicited neighbor advertisement to all nodes, ff02::1, from `address` itself: flags Router and Override, not
/// Solicited, hop limit 255, and `mac` as the target link-layer address (RFC 9568 §6.4.1, RFC 4861 §4.4 and §7.2.6).
pub fn neighbor_advert(mac: [u8; 6], address: Ipv6Addr) -> [u8; NEIGHBOR_ADVERT_LEN] {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const ICMPV6: u8 = 58;
    /// Type 136, code 0, no checksum yet, Router and Override; then the target; then option 2 of 8 octets.
    const MESSAGE_LEN: usize = 32;
    const TARGET: usize = 8;
    const OPTION: usize = 24;

    let mut message = [0; MESSAGE_LEN];
    message[..5].copy_from_slice(&[136, 0, 0, 0, 0xa0]);
    message[TARGET..OPTION].copy_from_slice(&address.octets());
    message[OPTION..OPTION + 2].copy_from_slice(&[2, 1]);
    message[OPTION + 2..].copy_from_slice(&mac);
    let sum = InternetChecksum::pseudo_header(address.into(), ALL_NODES.into(), ICMPV6, MESSAGE_LEN).with(&message);
    message[2..4].copy_from_slice(&sum.field());

    let ethernet = Ethernet2Header { source: mac, destination: [0x33, 0x33, 0, 0, 0, 1], ether_type: EtherType::IPV6 };
    let mut frame = [0; NEIGHBOR_ADVERT_LEN];
    frame[..14].copy_from_slice(&ethernet.to_bytes());
    // Version 6, payload length, next header, hop limit.
    frame[14..22].copy_from_slice(&[0x60, 0, 0, 0, 0, 32, ICMPV6, 255]);
    frame[22..38].copy_from_slice(&address.octets());
    frame[38..54].copy_from_slice(&ALL_NODES.octets());
    frame[54..].copy_from_slice(&message);
    frame
}

/// The announcement of an address of either family, in a buffer of the caller's. Returns its octets.
pub(crate) fn announcement(
    form: ArpForm,
    mac: [u8; 6],
    address: IpAddr,
    buffer: &mut [u8; NEIGHBOR_ADVERT_LEN],
) -> &[u8] {
    match address {
        IpAddr::V4(address) => {
            let (frame, _) = buffer.split_at_mut(GRATUITOUS_ARP_LEN);
            frame.copy_from_slice(&gratuitous_arp(form, mac, address));
            frame
        }
        IpAddr::V6(address) => {
            *buffer = neighbor_advert(mac, address);
            buffer
        }
    }
}

/// Octets of the Ethernet and IP headers of an advertisement to its group, of either family.
pub(crate) const MOST_HEADERS: usize = Ethernet2Header::LEN + 40;

/// The Ethernet and IP headers of an advertisement with a payload of `length` octets to a multicast group, in a
/// buffer of the caller's. Nothing if its addresses are of two families, or it goes elsewhere, or it is too long.
pub(crate) fn advert_headers(
    mac: [u8; 6],
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    length: usize,
    identification: u16,
    buffer: &mut [u8; MOST_HEADERS],
) -> Option<&[u8]> {
    let length = u16::try_from(length).ok()?;
    if !destination.is_multicast() {
        return None;
    }
    let (ethernet, ip) = buffer.split_at_mut(Ethernet2Header::LEN);
    let (ether_type, group_mac) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(group)) => {
            let mut header = Ipv4Header::new(length, ttl, IpNumber(PROTOCOL), source.octets(), group.octets()).ok()?;
            header.dont_fragment = false;
            header.identification = identification;
            // Network control (RFC 9568 §2.5).
            header.dscp = IpDscp::CS6;
            header.header_checksum = header.calc_header_checksum();
            ip.get_mut(..Ipv4Header::MIN_LEN)?.copy_from_slice(&header.to_bytes());
            let [_, b, c, d] = group.octets();
            (EtherType::IPV4, [0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        (IpAddr::V6(source), IpAddr::V6(group)) => {
            let [high, low] = length.to_be_bytes();
            // Version 6, network control, payload length, next header, hop limit.
            ip.get_mut(..8)?.copy_from_slice(&[0x6c, 0, 0, 0, high, low, PROTOCOL, ttl]);
            ip.get_mut(8..24)?.copy_from_slice(&source.octets());
            ip.get_mut(24..40)?.copy_from_slice(&group.octets());
            let [.., a, b, c, d] = group.octets();
            (EtherType::IPV6, [0x33, 0x33, a, b, c, d])
        }
        (IpAddr::V4(_) | IpAddr::V6(_), _) => return None,
    };
    let header = Ethernet2Header { source: mac, destination: group_mac, ether_type };
    ethernet.copy_from_slice(&header.to_bytes());
    let end = if ether_type == EtherType::IPV4 { Ethernet2Header::LEN + Ipv4Header::MIN_LEN } else { MOST_HEADERS };
    buffer.get(..end)
}

/// Whether `mac` is one that RFC 9568 §7.3 sets aside for virtual routers.
fn is_virtual_router_mac(mac: [u8; 6]) -> bool {
    matches!(mac, [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _])
}

#[cfg(test)]
mod tests {
    use vrrp_core::Family;

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    #[test]
    fn tx_01_tx_03_tx_13_an_advert_over_ipv4_has_ttl_255_protocol_112_network_control_and_the_groups_mac() {
        let (source, mut buffer) = ([192, 0, 2, 1].into(), [0; MOST_HEADERS]);
        let headers = advert_headers(MAC, source, Family::V4.group(), 255, 12, 7, &mut buffer).unwrap();
        assert_eq!(headers[..14], [0x01, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 1, 8, 0]);
        assert_eq!(headers[14..24], [0x45, 0xc0, 0, 32, 0, 7, 0, 0, 255, 112]);
        assert_eq!(headers[26..], [192, 0, 2, 1, 224, 0, 0, 18]);
        assert_eq!(InternetChecksum::new().with(&headers[14..]).field(), [0, 0], "the header checksum");
    }

    #[test]
    fn an_advert_over_ipv6_has_hop_limit_255_protocol_112_network_control_and_the_groups_mac() {
        let source: IpAddr = "fe80::1".parse().unwrap();
        let mut buffer = [0; MOST_HEADERS];
        let headers = advert_headers(MAC, source, Family::V6.group(), 255, 24, 7, &mut buffer).unwrap();
        assert_eq!(headers[..14], [0x33, 0x33, 0, 0, 0, 0x12, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
        assert_eq!(headers[14..22], [0x6c, 0, 0, 0, 0, 24, 112, 255]);
        assert_eq!((headers.len(), headers[22], headers[38]), (MOST_HEADERS, 0xfe, 0xff));
    }

    #[test]
    fn what_does_not_go_to_the_group_or_is_too_long_has_no_headers() {
        let (source, mut buffer) = ([192, 0, 2, 1].into(), [0; MOST_HEADERS]);
        assert_eq!(advert_headers(MAC, source, [192, 0, 2, 2].into(), 255, 12, 0, &mut buffer), None);
        assert_eq!(advert_headers(MAC, source, Family::V6.group(), 255, 12, 0, &mut buffer), None);
        assert_eq!(advert_headers(MAC, source, Family::V4.group(), 255, 65_535, 0, &mut buffer), None);
    }
}
