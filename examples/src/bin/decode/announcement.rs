//! Where an address is: ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861 §4.3, §4.4).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{ArpEthIpv4Packet, ArpOperation, ArpPacketSlice, IpNumber, Ipv6Slice};
use vrrp_core::wire::InternetChecksum;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

/// An ARP packet, or a neighbour solicitation or advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// ARP of IPv4 over Ethernet.
    Arp(ArpEthIpv4Packet),
    /// Neighbour discovery.
    Neighbour(Neighbour),
}

/// A neighbour solicitation or advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// Whether it asks.
    pub(crate) solicitation: bool,
    /// The flags router, solicited and override of an advertisement.
    pub(crate) flags: [bool; 3],
    /// The address that it is about.
    pub(crate) target: Ipv6Addr,
    /// The link-layer address option: of who asks, or of the target.
    pub(crate) mac: Option<[u8; 6]>,
    /// Whether the checksum verifies.
    pub(crate) checksum_verifies: bool,
}

impl Announcement {
    /// Of what follows the Ethernet header.
    pub(crate) fn of_arp(packet: &[u8]) -> Option<Self> {
        let packet = ArpPacketSlice::from_slice(packet).ok()?.to_packet();
        ArpEthIpv4Packet::try_from(packet).ok().map(Self::Arp)
    }

    /// Of an IPv6 datagram.
    pub(crate) fn of_neighbour_discovery(datagram: &[u8]) -> Option<Self> {
        let sliced = Ipv6Slice::from_slice(datagram).ok()?;
        let (header, message) = (sliced.header(), sliced.payload().payload);
        let (&[kind, _, _, _, flags, _, _, _], rest) = message.split_first_chunk::<8>()?;
        let (target, options) = rest.split_first_chunk::<16>()?;
        let (solicitation, wanted) = match kind {
            SOLICITATION => (true, 1),
            ADVERTISEMENT => (false, 2),
            _ => return None,
        };
        let (source, destination) = (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
        let sum = InternetChecksum::pseudo_header(source, destination, IpNumber::IPV6_ICMP.0, message.len());
        Some(Self::Neighbour(Neighbour {
            solicitation,
            flags: [0x80, 0x40, 0x20].map(|bit| !solicitation && flags & bit != 0),
            target: Ipv6Addr::from(*target),
            mac: link_layer_address(options, wanted),
            checksum_verifies: sum.with(message).verifies(),
        }))
    }

    /// Whether it tells all hosts on the link unasked where an address is: what an Active sends.
    pub(crate) fn is_unsolicited(&self) -> bool {
        match self {
            Self::Arp(arp) => is_gratuitous(arp),
            Self::Neighbour(neighbour) => !neighbour.solicitation && !neighbour.flags[1],
        }
    }
}

pub(crate) fn is_gratuitous(arp: &ArpEthIpv4Packet) -> bool {
    arp.sender_ipv4 == arp.target_ipv4
}

/// The link-layer address in the option of this type, if it is one of Ethernet.
fn link_layer_address(mut options: &[u8], wanted: u8) -> Option<[u8; 6]> {
    while let Some((&[kind, length, ref mac @ ..], _)) = options.split_first_chunk::<8>() {
        if kind == wanted && length == 1 {
            return Some(*mac);
        }
        options = options.get(usize::from(length.max(1)) * 8..)?;
    }
    None
}

/// In the words of tshark.
impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arp(arp) => arp_words(arp, f),
            Self::Neighbour(Neighbour { solicitation, flags, target, mac, checksum_verifies }) => {
                let by = mac.map(|mac| Mac(mac).to_string());
                if *solicitation {
                    write!(f, "Neighbor Solicitation for {target}")?;
                    by.map_or(Ok(()), |mac| write!(f, " from {mac}"))?;
                } else {
                    let set = ["rtr", "sol", "ovr"].into_iter().zip(flags).filter(|(_, set)| **set);
                    let names: Vec<_> = set.map(|(name, _)| name).collect();
                    write!(f, "Neighbor Advertisement {target} ({})", names.join(", "))?;
                    by.map_or(Ok(()), |mac| write!(f, " is at {mac}"))?;
                }
                if *checksum_verifies { Ok(()) } else { f.write_str(" [the checksum does not verify]") }
            }
        }
    }
}

fn arp_words(arp: &ArpEthIpv4Packet, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (sender, target) = (Ipv4Addr::from(arp.sender_ipv4), Ipv4Addr::from(arp.target_ipv4));
    match arp.operation {
        ArpOperation::REQUEST if is_gratuitous(arp) && arp.target_mac == [0; 6] => {
            write!(f, "ARP Announcement for {sender}")
        }
        ArpOperation::REQUEST if is_gratuitous(arp) => write!(f, "Gratuitous ARP for {sender} (Request)"),
        ArpOperation::REPLY if is_gratuitous(arp) => write!(f, "Gratuitous ARP for {sender} (Reply)"),
        ArpOperation::REQUEST => write!(f, "Who has {target}? Tell {sender}"),
        ArpOperation::REPLY => write!(f, "{sender} is at {}", Mac(arp.sender_mac)),
        ArpOperation(other) => write!(f, "ARP operation {other} for {target} from {sender}"),
    }
}

struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
