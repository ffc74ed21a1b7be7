//! The packet socket that announcements go through: whole Ethernet frames, one socket for all interfaces.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use vrrp_core::IfIndex;

use crate::error::{Capability, Error};
use crate::frame::{self, ArpForm, NEIGHBOR_ADVERT_LEN};
use crate::sys;

/// Sends frames; receives nothing.
#[derive(Debug)]
pub struct LinkSocket {
    socket: OwnedFd,
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
        Ok(Self { socket: fd })
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
