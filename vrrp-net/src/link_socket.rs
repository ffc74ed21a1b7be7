//! The packet socket that announcements go through: whole Ethernet frames, one socket for all interfaces.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use vrrp_core::IfIndex;

use crate::error::{Capability, Error};
use crate::frame::{self, ArpForm, MOST_HEADERS, NEIGHBOR_ADVERT_LEN};
use crate::{Outgoing, sys};

/// Octets of frames that the kernel keeps until their interfaces have sent them: some thousands.
const SEND_BUFFER: usize = 4 * 1024 * 1024;

/// Sends frames; receives nothing.
#[derive(Debug)]
pub struct LinkSocket {
    socket: OwnedFd,
    /// Of the next IPv4 datagram.
    identification: AtomicU16,
}

/// That an address is at a MAC from now on, to be told to the hosts on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Announcement {
    /// The interface that the hosts are reached by, which must be an Ethernet: see [`LinkSocket::ethernet_address`].
    pub interface: IfIndex,
    /// Where the address is.
    pub mac: [u8; 6],
    /// The address. IPv4 is announced by gratuitous ARP, IPv6 by an unsolicited neighbor advertisement.
    pub address: IpAddr,
    /// The form of a gratuitous ARP.
    pub arp_form: ArpForm,
}

impl Announcement {
    /// As RFC 9568 §6.4.1 has it: over IPv4 an ARP request.
    pub const fn new(interface: IfIndex, mac: [u8; 6], address: IpAddr) -> Self {
        Self { interface, mac, address, arp_form: ArpForm::Request }
    }
}

impl LinkSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] without `CAP_NET_RAW`.
    pub fn open() -> Result<Self, Error> {
        sys::packet_socket(0)
            .map_err(|source| Error::privileged("open a packet socket", Capability::NetRaw, source))
            .and_then(Self::from_fd)
    }

    /// Takes over a socket that somebody else has opened: `socket(AF_PACKET, SOCK_RAW, 0)`. No privilege is needed.
    ///
    /// # Errors
    /// [`Error::WrongDescriptor`] if it is another kind of socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let socket = socket2::SockRef::from(&fd);
        let (domain, kind) = (socket.domain(), socket.r#type());
        if !matches!((&domain, &kind), (Ok(socket2::Domain::PACKET), Ok(socket2::Type::RAW))) {
            return Err(Error::WrongDescriptor {
                wanted: "a raw packet socket".to_owned(),
                found: match (domain, kind) {
                    (Ok(domain), Ok(kind)) => format!("domain {}, type {}", i32::from(domain), i32::from(kind)),
                    (Err(error), _) | (_, Err(error)) => error.to_string(),
                },
            });
        }
        // Announcements belong to the control of the network; without the priority they are sent all the same.
        let _ = socket.set_priority(crate::socket::PRIORITY);
        // Smaller buffers do too, unless thousands go out at once.
        let _ = sys::set_send_buffer(fd.as_fd(), SEND_BUFFER);
        Ok(Self { socket: fd, identification: AtomicU16::new(1) })
    }

    /// The Ethernet address of an interface.
    ///
    /// # Errors
    /// [`Error::NotEthernet`] for other kinds of links, on which nothing can be announced: tunnels have no neighbors to
    /// tell, the others have addresses of another length. [`Error::Io`] if there is no such interface.
    pub fn ethernet_address(&self, interface: IfIndex) -> Result<[u8; 6], Error> {
        let failed = |error| Error::io(format!("read the hardware address of interface {interface}"), error);
        let name = sys::interface_name(self.socket.as_fd(), interface).map_err(failed)?;
        match sys::hardware_address(self.socket.as_fd(), &name).map_err(failed)? {
            (sys::ARPHRD_ETHER, mac) => Ok(mac),
            (kind, _) => Err(Error::NotEthernet { interface: name, kind }),
        }
    }

    /// Sends announcements, many with one system call, until all are sent or the kernel takes no more.
    ///
    /// Returns how many were sent, and what the kernel said of the next one if it did not take it. If that is
    /// `WouldBlock` or `ENOBUFS` its queue is full: go on a little later with those that are left. Give it no more at once
    /// than the caller's loop can wait for; a frame takes a few microseconds.
    pub fn announce(&self, announcements: impl IntoIterator<Item = Announcement>) -> (usize, Option<io::Error>) {
        let mut announcements = announcements.into_iter();
        let mut frames = [[0; NEIGHBOR_ADVERT_LEN]; sys::BATCH];
        let mut total = 0;
        loop {
            let mut parcels = [sys::Parcel::EMPTY; sys::BATCH];
            let mut count = 0;
            for ((parcel, frame), it) in parcels.iter_mut().zip(&mut frames).zip(&mut announcements) {
                let frame = frame::announcement(it.arp_form, it.mac, it.address, frame);
                *parcel = sys::Parcel::frame(frame, it.interface);
                count += 1;
            }
            let mut rest = parcels.get(..count).unwrap_or_default();
            if rest.is_empty() {
                return (total, None);
            }
            while !rest.is_empty() {
                match sys::send_batch(self.socket.as_fd(), rest) {
                    Ok(sent) => {
                        total += sent;
                        rest = rest.get(sent.max(1)..).unwrap_or_default();
                    }
                    Err(error) => return (total, Some(error)),
                }
            }
        }
    }

    /// Sends advertisements to the groups of their families, whole frames, those of any interfaces together: that is much
    /// cheaper than through the sockets that they are heard on, for which the kernel finds a route for each.
    ///
    /// `failed` is told of each that was not sent, as with [`AdvertSocket::send`](crate::AdvertSocket::send).
    pub(crate) fn send_adverts<'a>(
        &self,
        count: usize,
        advert: impl Fn(usize) -> Option<(IfIndex, [u8; 6], Outgoing<'a>)>,
        mut failed: impl FnMut(usize, io::Error),
    ) {
        let mut at = 0;
        while at < count {
            let result = match count - at {
                1 => self.send_some_adverts::<1>(at, &advert),
                _ => self.send_some_adverts::<{ sys::BATCH }>(at, &advert),
            };
            match result {
                // Never nothing, so that this ends.
                Ok(sent) => at += sent.max(1),
                Err(error) => {
                    failed(at, error);
                    at += 1;
                }
            }
        }
    }

    /// Sends as many as go with one system call. The error is that of the first one.
    fn send_some_adverts<'a, const ROOM: usize>(
        &self,
        from: usize,
        advert: impl Fn(usize) -> Option<(IfIndex, [u8; 6], Outgoing<'a>)>,
    ) -> io::Result<usize> {
        let mut headers = [[0; MOST_HEADERS]; ROOM];
        let mut parcels = [sys::Parcel::EMPTY; ROOM];
        let mut count = 0;
        for ((parcel, header), place) in parcels.iter_mut().zip(&mut headers).zip(from..) {
            let Some((interface, mac, it)) = advert(place) else { break };
            let number = self.identification.fetch_add(1, Ordering::Relaxed);
            let (source, length) = (it.source, it.payload.len());
            let made = frame::advert_headers(mac, source, it.destination, it.ttl, length, number, header);
            let Some(made) = made else { break };
            *parcel = sys::Parcel::frame_in_parts(made, it.payload, interface);
            count += 1;
        }
        match parcels.get(..count) {
            None | Some([]) => Err(io::ErrorKind::InvalidInput.into()),
            Some(parcels) => sys::send_batch(self.socket.as_fd(), parcels),
        }
    }

    /// The socket, for [`from_fd`](Self::from_fd) in another process.
    pub fn into_fd(self) -> OwnedFd {
        self.socket
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
