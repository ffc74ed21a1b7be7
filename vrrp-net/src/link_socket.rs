//! The packet socket that announcements go through: whole Ethernet frames, one socket for all interfaces.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use vrrp_core::IfIndex;

use crate::error::{Capability, Error};
use crate::{frame, sys};

/// Sends frames; receives nothing.
#[derive(Debug)]
pub struct LinkSocket {
    socket: OwnedFd,
}

impl LinkSocket {
    /// Opens the socket.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] without `CAP_NET_RAW`.
    pub fn open() -> Result<Self, Error> {
        sys::packet_socket(0)
            .map(|socket| Self { socket })
            .map_err(|source| Error::privileged("open a packet socket", Capability::NetRaw, source))
    }

    /// Tells the hosts on `interface` that `address` is at `mac` from now on (RFC 9568 §6.4.2).
    ///
    /// # Errors
    /// What the kernel said; `Unsupported` for an IPv6 address, which takes neighbour advertisements.
    pub fn announce(&self, interface: IfIndex, mac: [u8; 6], address: IpAddr) -> std::io::Result<()> {
        match address {
            IpAddr::V4(address) => {
                sys::send_frame(self.socket.as_fd(), interface, &frame::gratuitous_arp(mac, address))
            }
            IpAddr::V6(_) => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }
}
