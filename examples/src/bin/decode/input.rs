//! What some octets are, if nobody says.

use vrrp_core::wire::Envelope;

use crate::content::Content;

/// What the octets given in hexadecimal are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Encapsulation {
    /// Frames or datagrams, by their looks.
    Guess,
    /// VRRP payloads, with what the IP header said.
    Payload(Envelope),
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// All of it is a VRRP payload.
    Payload(Envelope),
    /// A frame or a datagram with this in it.
    Content(Content<'a>),
}

impl Encapsulation {
    /// What these octets are.
    ///
    /// # Errors
    /// What is to be done about it.
    pub(crate) fn find(self, octets: &[u8]) -> Result<Found<'_>, &'static str> {
        match self {
            Self::Payload(envelope) => Ok(Found::Payload(envelope)),
            Self::Guess if is_frame(octets) => Content::of_frame(octets).map(Found::Content),
            Self::Guess => match octets.first().map(|octet| octet >> 4) {
                Some(4 | 6) => Ok(Found::Content(Content::of_datagram(octets))),
                _ => Err("neither an Ethernet frame nor an IP datagram: for a VRRP payload give --source too"),
            },
        }
    }
}

/// Whether there is an Ethernet header with a known type, VLAN tags or not, and what the type says after it. An IP datagram
/// that looks like that would be from 8.0.0.0/16 or a few others, with a third octet that fits as well.
fn is_frame(octets: &[u8]) -> bool {
    let mut rest = octets.get(12..).unwrap_or_default();
    loop {
        let Some((kind, after)) = rest.split_first_chunk::<2>() else { return false };
        let next = after.first().copied().unwrap_or_default();
        match u16::from_be_bytes(*kind) {
            0x0800 => return next >> 4 == 4,
            0x86dd => return next >> 4 == 6,
            0x0806 => return after.starts_with(&[0, 1]),
            0x8100 | 0x88a8 => rest = after.get(2..).unwrap_or_default(),
            _ => return false,
        }
    }
}
