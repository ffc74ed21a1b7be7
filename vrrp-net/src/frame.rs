//! The frames that tell hosts on the link where a virtual address is.

use std::net::Ipv4Addr;

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header};

/// Octets of a gratuitous ARP with its Ethernet header, without padding or checksum.
pub const GRATUITOUS_ARP_LEN: usize = 42;

/// A gratuitous ARP: a broadcast request whose sender and target protocol address are both `address` (RFC 9568 §6.4.1,
/// RFC 5227 §3).
///
/// `mac` is where the address is from now on. With a virtual router MAC the target hardware address is that MAC too
/// (errata 7947 and 7949); with the MAC of an interface it is zero, as RFC 5227 §2.3 has it.
pub fn gratuitous_arp(mac: [u8; 6], address: Ipv4Addr) -> [u8; GRATUITOUS_ARP_LEN] {
    let target_mac = if is_virtual_router_mac(mac) { mac } else { [0; 6] };
    let ethernet = Ethernet2Header { source: mac, destination: [0xff; 6], ether_type: EtherType::ARP };
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
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

/// Whether `mac` is one that RFC 9568 §7.3 sets aside for virtual routers.
fn is_virtual_router_mac(mac: [u8; 6]) -> bool {
    matches!(mac, [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(frame: &[u8]) -> String {
        frame.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn an_03_a_gratuitous_arp_from_an_interface_is_vector_a_02() {
        let frame = gratuitous_arp([2, 0, 0, 0, 0, 0x0a], Ipv4Addr::new(192, 0, 2, 100));
        assert_eq!(hex(&frame), "ffffffffffff02000000000a0806000108000604000102000000000ac0000264000000000000c0000264");
    }

    #[test]
    fn an_03_a_gratuitous_arp_from_a_virtual_mac_is_vector_a_01() {
        let frame = gratuitous_arp([0, 0, 0x5e, 0, 1, 0x33], Ipv4Addr::new(192, 0, 2, 100));
        assert_eq!(hex(&frame), "ffffffffffff00005e0001330806000108000604000100005e000133c000026400005e000133c0000264");
    }
}
