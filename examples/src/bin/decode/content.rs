//! From a frame or a datagram to what VRRP has to do with: an advertisement, or the announcement of an address.

use std::net::IpAddr;

use etherparse::{EtherType, Ethernet2HeaderSlice, IpNumber, Ipv6ExtensionSlice, Ipv6Slice, SingleVlanHeaderSlice};
use vrrp_core::wire::{Discard, Envelope, PROTOCOL};

use crate::announcement::Announcement;

/// The IP protocol that keepalived's `auth_type AH` wraps VRRPv2 in (RFC 2338 §5.3.6.3).
const AH: u8 = IpNumber::AUTHENTICATION_HEADER.0;

/// What is in a frame or a datagram.
#[derive(Clone, Debug)]
pub(crate) enum Content<'a> {
    /// The payload of a VRRP datagram.
    Vrrp {
        /// What the IP header says.
        envelope: Envelope,
        /// What follows it.
        payload: &'a [u8],
    },
    /// Something that no VRRP socket would deliver.
    Discarded(Discard),
    /// An ARP packet, or a neighbour discovery message.
    Announcement(Announcement),
}

impl<'a> Content<'a> {
    /// Of an Ethernet frame, with or without VLAN tags.
    ///
    /// # Errors
    /// What the frame has instead.
    pub(crate) fn of_frame(frame: &'a [u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "the frame is shorter than its headers";
        let header = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| SHORT)?;
        let (mut kind, mut rest) = (header.ether_type(), frame.get(header.slice().len()..).unwrap_or_default());
        while matches!(kind, EtherType::VLAN_TAGGED_FRAME | EtherType::PROVIDER_BRIDGING) {
            let tag = SingleVlanHeaderSlice::from_slice(rest).map_err(|_| SHORT)?;
            (kind, rest) = (tag.ether_type(), rest.get(tag.slice().len()..).unwrap_or_default());
        }
        Self::of_packet(kind, rest)
    }

    /// Of what a frame of this type carries.
    ///
    /// # Errors
    /// What it has instead.
    pub(crate) fn of_packet(kind: EtherType, packet: &'a [u8]) -> Result<Self, &'static str> {
        match kind {
            EtherType::IPV4 | EtherType::IPV6 => Ok(Self::of_datagram(packet)),
            EtherType::ARP => {
                Announcement::of_arp(packet).map(Self::Announcement).ok_or("the frame has no ARP of IPv4 over Ethernet")
            }
            _ => Err("the frame has neither IP nor ARP"),
        }
    }

    /// Of an IP datagram.
    pub(crate) fn of_datagram(datagram: &'a [u8]) -> Self {
        let is_ipv6 = datagram.first().is_some_and(|octet| octet >> 4 == 6);
        let split = if is_ipv6 { split_ipv6(datagram) } else { Envelope::split_ipv4(datagram) };
        match split {
            Ok((envelope, payload)) => Self::Vrrp { envelope, payload },
            Err(Discard::Protocol(number)) if number == IpNumber::IPV6_ICMP.0 => {
                let announcement = Announcement::of_neighbour_discovery(datagram);
                announcement.map_or(Self::Discarded(Discard::Protocol(number)), Self::Announcement)
            }
            Err(discard) => Self::Discarded(discard),
        }
    }

    /// Whether it belongs to VRRP: in a capture there is much else.
    pub(crate) fn is_vrrp(&self) -> bool {
        match self {
            Self::Vrrp { .. } => true,
            Self::Discarded(Discard::Protocol(number)) => *number == AH,
            // Of which protocol it would have been, a header that makes no sense does not tell.
            Self::Discarded(Discard::IpHeader) => false,
            Self::Discarded(_) => true,
            Self::Announcement(announcement) => announcement.is_unsolicited(),
        }
    }
}

/// What a raw socket gives of an IPv6 datagram: the payload, and the addresses and hop limit beside it.
fn split_ipv6(datagram: &[u8]) -> Result<(Envelope, &[u8]), Discard> {
    let sliced = Ipv6Slice::from_slice(datagram).map_err(|_| Discard::Truncated)?;
    let (header, payload) = (sliced.header(), sliced.payload());
    if payload.fragmented {
        return Err(Discard::Fragment);
    }
    let mut extensions = sliced.extensions().clone().into_iter();
    if extensions.any(|extension| matches!(extension, Ipv6ExtensionSlice::Authentication(_))) {
        return Err(Discard::Protocol(AH));
    }
    if payload.ip_number.0 != PROTOCOL {
        return Err(Discard::Protocol(payload.ip_number.0));
    }
    let (source, destination) = (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
    Ok((Envelope { source, destination, ttl: Some(header.hop_limit()) }, payload.payload))
}
