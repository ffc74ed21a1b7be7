//! What the IP layer says of a datagram.

use core::net::IpAddr;

use super::{Discard, PROTOCOL};
use crate::Family;
use crate::types::is_host_address;

/// The part of an IP header that VRRP depends on (RFC 9568 §5.1.1, §5.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit; `None` if the socket did not report it, which is a failure and not a pass.
    pub ttl: Option<u8>,
}

impl Envelope {
    /// Splits an IPv4 datagram, as a raw socket delivers it, into its envelope and its payload.
    ///
    /// The payload starts after the header's options and ends with the total length: octets past it are padding of
    /// the frame. The header checksum is the kernel's business.
    ///
    /// # Errors
    /// [`Discard::IpHeader`], [`Discard::Truncated`], [`Discard::Fragment`] or [`Discard::Protocol`].
    pub fn split_ipv4(datagram: &[u8]) -> Result<(Self, &[u8]), Discard> {
        let header = datagram.first_chunk::<20>().ok_or(Discard::IpHeader)?;
        #[rustfmt::skip]
        let [
            version_ihl, _, length_high, length_low,
            _, _, flags_offset_high, offset_low,
            ttl, protocol, _, _,
            s0, s1, s2, s3,
            d0, d1, d2, d3,
        ] = *header;
        let header_len = usize::from(version_ihl & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([length_high, length_low]));
        if version_ihl >> 4 != 4 || header_len < header.len() || total_len < header_len || datagram.len() < header_len {
            return Err(Discard::IpHeader);
        }
        let payload = datagram.get(header_len..total_len).ok_or(Discard::Truncated)?;
        // More Fragments, or a fragment offset (RFC 791 §3.1).
        if u16::from_be_bytes([flags_offset_high, offset_low]) & 0x3fff != 0 {
            return Err(Discard::Fragment);
        }
        if protocol != PROTOCOL {
            return Err(Discard::Protocol(protocol));
        }
        let envelope = Self {
            source: IpAddr::from([s0, s1, s2, s3]),
            destination: IpAddr::from([d0, d1, d2, d3]),
            ttl: Some(ttl),
        };
        Ok((envelope, payload))
    }

    /// The family, if the TTL is known and the addresses can be those of an advertisement. Only one that is `routed` may
    /// come from an IPv6 address that is not link-local.
    pub(super) fn check(&self, routed: bool) -> Result<Family, Discard> {
        let family = Family::of(self.source);
        let link_local = match self.source {
            IpAddr::V4(_) => true,
            IpAddr::V6(source) => routed || source.is_unicast_link_local(),
        };
        if self.ttl.is_none() {
            Err(Discard::Ttl(None))
        } else if !link_local || !is_host_address(self.source) {
            Err(Discard::Source(self.source))
        } else if Family::of(self.destination) != family {
            Err(Discard::Destination)
        } else {
            Ok(family)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// V3-4-01M: 20 octets of header, 12 of payload.
    const DATAGRAM: [u8; 32] = [
        0x45, 0xc0, 0x00, 0x20, 0x00, 0x01, 0x00, 0x00, 0xff, 0x70, 0x18, 0x98, 192, 0, 2, 2, 224, 0, 0, 18, //
        0x31, 0x33, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x02, 192, 0, 2, 100,
    ];

    fn with(changes: &[(usize, u8)]) -> [u8; 32] {
        let mut datagram = DATAGRAM;
        for (at, octet) in changes {
            datagram[*at] = *octet;
        }
        datagram
    }

    fn discard(datagram: &[u8]) -> Discard {
        Envelope::split_ipv4(datagram).unwrap_err()
    }

    #[test]
    fn rx_23_the_payload_starts_after_the_header() {
        let (envelope, payload) = Envelope::split_ipv4(&DATAGRAM).unwrap();
        assert_eq!(envelope.source, IpAddr::from([192, 0, 2, 2]));
        assert_eq!(envelope.destination, Family::V4.group());
        assert_eq!(envelope.ttl, Some(255));
        assert_eq!(payload, &DATAGRAM[20..]);
    }

    #[test]
    fn rx_23_the_payload_starts_after_the_options() {
        let (_, payload) = Envelope::split_ipv4(&with(&[(0, 0x46)])).map(|(e, p)| (e, p.to_vec())).unwrap();
        assert_eq!(payload, DATAGRAM[24..]);
    }

    #[test]
    fn rx_23_a_header_that_contradicts_itself_is_dropped() {
        for len in 0..20 {
            assert_eq!(discard(&DATAGRAM[..len]), Discard::IpHeader);
        }
        assert_eq!(discard(&with(&[(0, 0x44)])), Discard::IpHeader, "IHL 4");
        assert_eq!(discard(&with(&[(0, 0x4f), (3, 60)])), Discard::IpHeader, "IHL 15 on 32 octets");
        assert_eq!(discard(&with(&[(0, 0x65)])), Discard::IpHeader, "version 6");
        assert_eq!(discard(&with(&[(3, 19)])), Discard::IpHeader, "total length within the header");
    }

    #[test]
    fn rx_05_octets_past_the_total_length_are_padding() {
        let frame = [&DATAGRAM[..], &[0; 14]].concat();
        assert_eq!(Envelope::split_ipv4(&frame).unwrap().1, &DATAGRAM[20..]);
    }

    #[test]
    fn rx_23_a_total_length_past_the_datagram_is_truncation() {
        assert_eq!(discard(&DATAGRAM[..31]), Discard::Truncated);
        assert_eq!(discard(&with(&[(2, 0xff), (3, 0xff)])), Discard::Truncated);
    }

    #[test]
    fn rx_23_fragments_are_dropped_and_do_not_fragment_is_not_one() {
        assert_eq!(discard(&with(&[(6, 0x20)])), Discard::Fragment, "more fragments");
        assert_eq!(discard(&with(&[(7, 0x01)])), Discard::Fragment, "offset 8");
        assert_eq!(discard(&with(&[(6, 0x1f)])), Discard::Fragment);
        assert!(Envelope::split_ipv4(&with(&[(6, 0x40)])).is_ok(), "do not fragment");
    }

    #[test]
    fn au_04_the_ah_of_keepalived_is_another_protocol() {
        assert_eq!(discard(&with(&[(9, 51)])), Discard::Protocol(51));
    }

    fn check(source: &str, destination: &str, ttl: Option<u8>) -> Result<Family, Discard> {
        Envelope { source: source.parse().unwrap(), destination: destination.parse().unwrap(), ttl }.check(false)
    }

    #[test]
    fn rx_25_the_source_must_be_one_host() {
        for source in ["0.0.0.0", "127.0.0.1", "224.0.0.18", "255.255.255.255"] {
            assert_eq!(check(source, "224.0.0.18", Some(255)), Err(Discard::Source(source.parse().unwrap())));
        }
        assert_eq!(check("192.0.2.2", "224.0.0.18", Some(255)), Ok(Family::V4));
    }

    #[test]
    fn rx_25_an_ipv6_source_must_be_link_local() {
        for source in ["::", "::1", "ff02::12", "2001:db8::2", "fec0::1", "::ffff:192.0.2.2"] {
            assert_eq!(check(source, "ff02::12", Some(255)), Err(Discard::Source(source.parse().unwrap())));
        }
        assert_eq!(check("fe80::2", "ff02::12", Some(255)), Ok(Family::V6));
    }

    #[test]
    fn addresses_of_two_families_are_no_envelope() {
        assert_eq!(check("192.0.2.2", "ff02::12", Some(255)), Err(Discard::Destination));
    }

    #[test]
    fn rx_21_an_unknown_ttl_is_a_failure() {
        assert_eq!(check("192.0.2.2", "224.0.0.18", None), Err(Discard::Ttl(None)));
    }
}
