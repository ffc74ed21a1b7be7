//! Receiving many datagrams with one system call, into memory that is used again.

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use vrrp_core::Family;
use vrrp_core::wire::{Discard, Envelope};

use super::MAX_ADVERT_LEN;
use crate::sys::{Arrival, BATCH, Inbox};

/// Octets of the longest IPv4 header, which comes with the payload. IPv6 headers do not.
const MAX_IPV4_HEADER_LEN: usize = 60;

/// Room for the datagrams of one [`AdvertSocket::receive`](super::AdvertSocket::receive): one for any number of sockets.
#[derive(Debug)]
pub struct ReceiveBuffer {
    inbox: Inbox,
}

impl ReceiveBuffer {
    /// Datagrams that it has room for, each of the largest advertisement's size.
    pub const CAPACITY: usize = BATCH;

    /// An empty one, some 140 kB large.
    pub fn new() -> Self {
        Self { inbox: Inbox::new(MAX_IPV4_HEADER_LEN + MAX_ADVERT_LEN) }
    }

    pub(super) fn fill(&mut self, socket: BorrowedFd<'_>, family: Family) -> io::Result<Datagrams<'_>> {
        let count = self.inbox.fill(socket)?;
        Ok(Datagrams { inbox: &self.inbox, family, next: 0, count })
    }
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self::new()
    }
}

/// Received datagrams, in the order of their arrival: each one's envelope and payload, or why it has none.
///
/// If there are [`ReceiveBuffer::CAPACITY`] of them, more may be waiting.
#[derive(Clone, Debug)]
pub struct Datagrams<'a> {
    inbox: &'a Inbox,
    family: Family,
    next: usize,
    count: usize,
}

impl<'a> Datagrams<'a> {
    /// As the iterator itself, each with how long it had been there when it was read: by the time of day, which somebody may
    /// have set meanwhile; nothing if the kernel did not say.
    pub fn with_wait(mut self) -> impl Iterator<Item = (Duration, Result<(Envelope, &'a [u8]), Discard>)> {
        let family = self.family;
        std::iter::from_fn(move || self.arrival()).map(move |arrival| (arrival.waited, open(family, arrival)))
    }

    fn arrival(&mut self) -> Option<Arrival<'a>> {
        let arrival = self.inbox.get(self.next).filter(|_| self.next < self.count)?;
        self.next += 1;
        Some(arrival)
    }
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = Result<(Envelope, &'a [u8]), Discard>;

    fn next(&mut self) -> Option<Self::Item> {
        self.arrival().map(|arrival| open(self.family, arrival))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Datagrams<'_> {}

/// What is in the datagram is only as good as what the kernel could say of it.
fn open(family: Family, arrival: Arrival<'_>) -> Result<(Envelope, &[u8]), Discard> {
    if arrival.cut {
        return Err(Discard::Truncated);
    }
    match family {
        Family::V4 => Envelope::split_ipv4(arrival.octets),
        Family::V6 => {
            // Both are asked for, so one that is missing was cut off.
            let (Some(destination), Some(hop_limit)) = (arrival.destination, arrival.hop_limit) else {
                return Err(Discard::Ttl(None));
            };
            let (source, destination) = (IpAddr::V6(arrival.source), IpAddr::V6(destination));
            Ok((Envelope { source, destination, ttl: Some(hop_limit) }, arrival.octets))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const ARRIVAL: Arrival<'static> = Arrival {
        octets: &[0x31, 51, 100, 0, 0, 100, 0, 0],
        cut: false,
        source: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2),
        destination: Some(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
        hop_limit: Some(255),
        waited: Duration::ZERO,
    };

    #[test]
    fn an_ipv6_datagram_is_its_payload_and_what_came_beside_it() {
        let (envelope, payload) = open(Family::V6, ARRIVAL).unwrap();
        assert_eq!((envelope.destination, envelope.ttl), (Family::V6.group(), Some(255)));
        assert_eq!((envelope.source, payload), (IpAddr::V6(ARRIVAL.source), ARRIVAL.octets));
    }

    #[test]
    fn rx_21_a_hop_limit_or_destination_that_is_missing_is_a_failure() {
        assert_eq!(open(Family::V6, Arrival { hop_limit: None, ..ARRIVAL }), Err(Discard::Ttl(None)));
        assert_eq!(open(Family::V6, Arrival { destination: None, ..ARRIVAL }), Err(Discard::Ttl(None)));
    }

    #[test]
    fn rx_22_a_datagram_that_was_cut_is_a_failure() {
        for family in [Family::V4, Family::V6] {
            assert_eq!(open(family, Arrival { cut: true, ..ARRIVAL }), Err(Discard::Truncated));
        }
    }
}
