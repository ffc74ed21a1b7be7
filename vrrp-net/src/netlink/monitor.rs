//! What anyone changes about links, addresses and routes, as it happens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::NLM_F_REPLACE;
use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_ROUTE;
use vrrp_core::IfIndex;

use super::address::{InterfaceAddress, RTM_DELADDR, RTM_NEWADDR};
use super::attribute::{Attributes, Message, Messages};
use super::link::{self, Link, RTM_DELLINK, RTM_NEWLINK};
use super::route::{RTM_DELROUTE, RTM_NEWROUTE, Route};
use super::rule::{FRA_PRIORITY, FRA_PROTOCOL, RTM_DELRULE};
use super::{BUFFER, receive_from_kernel};
use crate::error::Error;
use crate::sys;

/// The groups of linux/rtnetlink.h: `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];
/// `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV6_ROUTE`.
const ROUTE_GROUPS: [u32; 2] = [7, 11];
/// `RTNLGRP_IPV4_RULE`, `RTNLGRP_IPV6_RULE`.
const RULE_GROUPS: [u32; 2] = [8, 19];
/// Octets of unread messages that are kept: about a thousand changes.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// A subscription to the changes of links and addresses in one network namespace, and of routes if
/// [asked for](Self::watch_routes).
///
/// Non-blocking: watch [`as_fd`](AsFd::as_fd) for reading, then [`read`](Self::read). It needs no privilege. Subscribe
/// first and list afterwards: then no change falls in between.
#[derive(Debug)]
pub struct Monitor {
    /// Never cloned: the clone would close our descriptor.
    socket: netlink_sys::Socket,
    buffer: Vec<u8>,
}

/// A change that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// An interface is new, or something about it changed: this is how it now is. Repeats are common.
    Link(Link),
    /// An interface is gone, or has moved to another namespace.
    LinkRemoved {
        /// The number it had.
        index: IfIndex,
        /// The name it had.
        name: String,
    },
    /// Beside [`Link`](Self::Link): another port of a bond carries an interface now, or its driver asks for the like, so that
    /// switches have to learn anew where it is and what it listens to (`IFLA_EVENT`).
    LinkMoved(IfIndex),
    /// An address is new, or something about it changed: this is how it now is.
    Address(InterfaceAddress),
    /// An address is gone: this is how it was.
    AddressRemoved(InterfaceAddress),
    /// A route is new, or something about it changed: this is how it now is.
    Route {
        /// The route.
        route: Route,
        /// Whether it took the place of the one with the same destination, table, metric and type of service.
        replaces: bool,
    },
    /// A route was deleted: this is how it was. The kernel does not tell of each IPv4 route that goes with its interface
    /// or its source address.
    RouteRemoved(Route),
    /// A rule of the routing policy was deleted.
    RuleRemoved {
        /// Its place among the others.
        priority: u32,
        /// Who had set it (`RTPROT_*`).
        protocol: u8,
    },
    /// Changes were lost, because they came faster than they were read: list links, addresses and routes anew.
    Overrun,
}

impl Monitor {
    /// Subscribe in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Io`] if the process has no descriptor left, or a sandbox forbids netlink.
    pub fn open() -> Result<Self, Error> {
        netlink_sys::Socket::new(NETLINK_ROUTE).and_then(Self::subscribe).map_err(|error| Error::io(SUBSCRIBE, error))
    }

    /// Subscribe through a `NETLINK_ROUTE` socket that was made elsewhere, for example inside a network namespace.
    ///
    /// # Errors
    /// [`Error::Io`] if `fd` is not a netlink socket, or is bound already.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        Self::subscribe(sys::netlink_socket(fd)).map_err(|error| Error::io(SUBSCRIBE, error))
    }

    fn subscribe(mut socket: netlink_sys::Socket) -> io::Result<Self> {
        socket.set_non_blocking(true)?;
        // A smaller buffer works too: overruns are reported.
        let _ = sys::set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER);
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self { socket, buffer: vec![0; BUFFER] })
    }

    /// Tell of routes too, from now on. On a host with a routing daemon there can be very many.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn watch_routes(&mut self) -> Result<(), Error> {
        let subscribed = ROUTE_GROUPS.into_iter().try_for_each(|group| self.socket.add_membership(group));
        subscribed.map_err(|error| Error::io(SUBSCRIBE, error))
    }

    /// Tell of routes no more.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn ignore_routes(&mut self) -> Result<(), Error> {
        let left = ROUTE_GROUPS.into_iter().try_for_each(|group| self.socket.drop_membership(group));
        left.map_err(|error| Error::io("leave the netlink groups of routes", error))
    }

    /// Tell of rules that are deleted too, from now on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn watch_rules(&mut self) -> Result<(), Error> {
        let subscribed = RULE_GROUPS.into_iter().try_for_each(|group| self.socket.add_membership(group));
        subscribed.map_err(|error| Error::io(SUBSCRIBE, error))
    }

    /// Keep this many octets of unread messages, instead of a mebibyte; the kernel has its own minimum.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<(), Error> {
        sys::set_receive_buffer(self.socket.as_fd(), bytes)
            .map_err(|error| Error::io(format!("set the monitor's receive buffer to {bytes}"), error))
    }

    /// The changes in the next messages, of which at most `limit` are read; empty if there are none.
    ///
    /// A message is one change, or now and then a few. If [`Change::Overrun`] is among them, what follows it is
    /// newer than the loss, and still true.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&mut self, limit: usize) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        for _ in 0..limit {
            match receive_from_kernel(&self.socket, &mut self.buffer) {
                Ok(length) => {
                    let datagram = self.buffer.get(..length).unwrap_or_default();
                    changes.extend(Messages(datagram).flat_map(|message| Change::all(&message)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // With no memory at present what is read next may not be all either.
                Err(error) if matches!(error.raw_os_error(), Some(sys::ENOBUFS | sys::ENOMEM)) => {
                    changes.push(Change::Overrun);
                }
                Err(error) => return Err(Error::io("read changes from netlink", error)),
            }
        }
        Ok(changes)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const SUBSCRIBE: &str = "subscribe to netlink changes";

impl Change {
    fn all(message: &Message<'_>) -> impl Iterator<Item = Self> + use<> {
        let moved = if message.kind == RTM_NEWLINK { link::moved(message) } else { None };
        Self::parse(message).into_iter().chain(moved.map(Self::LinkMoved))
    }

    fn parse(message: &Message<'_>) -> Option<Self> {
        match message.kind {
            RTM_NEWLINK => Link::parse(message).map(Self::Link),
            RTM_DELLINK => Link::parse(message).map(|link| Self::LinkRemoved { index: link.index, name: link.name }),
            RTM_NEWADDR => InterfaceAddress::parse(message).map(Self::Address),
            RTM_DELADDR => InterfaceAddress::parse(message).map(Self::AddressRemoved),
            RTM_NEWROUTE => {
                Route::parse(message).map(|route| Self::Route { route, replaces: message.flags & NLM_F_REPLACE != 0 })
            }
            RTM_DELROUTE => Route::parse(message).map(Self::RouteRemoved),
            RTM_DELRULE => {
                // Behind struct fib_rule_hdr.
                let attributes = Attributes(message.payload.get(12..)?);
                let find = |kind| attributes.into_iter().find(|attribute| attribute.kind == kind);
                let priority = find(FRA_PRIORITY).and_then(|it| it.u32()).unwrap_or(0);
                let protocol = find(FRA_PROTOCOL).and_then(|it| it.u8()).unwrap_or(0);
                Some(Self::RuleRemoved { priority, protocol })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_with_nothing_to_say_does_not_block() {
        let mut monitor = Monitor::open().unwrap();
        monitor.read(1000).unwrap();
    }
}
