//! The raw sockets that advertisements go through: one per interface and family, never one per virtual router.

mod receive;
mod v4;
mod v6;

use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};
use vrrp_core::wire::{PROTOCOL, TTL};
use vrrp_core::{Family, IfIndex};

pub use self::receive::{Datagrams, ReceiveBuffer};
use crate::error::{Capability, Error};
use crate::filter::{self, ReceiveFilter};
use crate::sys;

/// The largest advertisement, VRRPv3 with 255 IPv6 addresses: 8 octets, 16 for each, and 28 of an HMAC trailer.
pub const MAX_ADVERT_LEN: usize = 8 + 16 * 255 + 28;

/// `SO_PRIORITY`, which queues sort by: the highest that needs no `CAP_NET_ADMIN` (`socket(7)`).
pub(crate) const PRIORITY: u32 = 6;

/// Type of service and traffic class CS6, network control: advertisements must get through a congested link
/// (RFC 9568 §2.5).
const NETWORK_CONTROL: u8 = 0xc0;

/// Octets of unread datagrams that the kernel keeps: some thousand advertisements, each taken for about 800 octets.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Octets of datagrams that the kernel keeps until the interface has sent them.
const SEND_BUFFER: usize = 1024 * 1024;

/// A non-blocking raw socket for VRRP over one family on one interface, for multicast and unicast virtual routers alike.
///
/// It hears that interface only, and never itself. Until [`join`](Self::join) it hears unicast only, so that it works on
/// interfaces without multicast too.
#[derive(Debug)]
pub struct AdvertSocket {
    socket: Socket,
    family: Family,
    interface: IfIndex,
}

/// An advertisement to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// The source address. It need not be one of the interface: with a virtual MAC it is the parent interface's.
    pub source: IpAddr,
    /// The group, or a peer.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What comes after the IP header.
    pub payload: &'a [u8],
}

impl<'a> Outgoing<'a> {
    /// With TTL 255 (RFC 9568 §5.1.1.3, §5.1.2.3).
    pub const fn new(source: IpAddr, destination: IpAddr, payload: &'a [u8]) -> Self {
        Self { source, destination, ttl: TTL, payload }
    }
}

impl AdvertSocket {
    /// Opens the socket on the interface with this name and index. Nothing reaches it that `filter` would not let
    /// through, not even before this returns.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] without `CAP_NET_RAW`; [`Error::NoIpv6`] if the kernel has none; [`Error::Io`] with
    /// what the kernel refused.
    pub fn open(name: &str, interface: IfIndex, family: Family, filter: &ReceiveFilter) -> Result<Self, Error> {
        let socket = open_raw(family, || format!("open an {} socket for VRRP on {name}", title(family)))?;
        Self::prepare(socket, name, interface, family, filter)
    }

    /// One for no interface yet, which hears nothing.
    pub(crate) fn open_unbound(family: Family) -> Result<OwnedFd, Error> {
        let operation = || format!("open an {} socket for VRRP", title(family));
        let socket = open_raw(family, operation)?;
        sys::attach_filter(socket.as_fd(), &[filter::DROP]).map_err(|error| Error::io(operation(), error))?;
        Ok(socket.into())
    }

    /// Takes over a socket that somebody else has opened, for instance a parent with more privileges:
    /// `socket(AF_INET or AF_INET6, SOCK_RAW, 112)`, or what [`into_fd`](Self::into_fd) gave. Every option is set as
    /// [`open`](Self::open) does; that needs no privilege on Linux 5.7 or later.
    ///
    /// If it is bound to the interface already, what has arrived at it and the group that it has joined are kept.
    ///
    /// # Errors
    /// [`Error::WrongDescriptor`] if it is another kind of socket, is connected, or is bound to an address or
    /// another interface; [`Error::Io`] with what the kernel refused.
    pub fn from_fd(fd: OwnedFd, name: &str, interface: IfIndex, filter: &ReceiveFilter) -> Result<Self, Error> {
        let socket = Socket::from(fd);
        let wrong = |found: String| Error::WrongDescriptor {
            wanted: format!(
                "an unconnected raw socket of protocol {PROTOCOL}, bound to no address, and to {name} or no interface"
            ),
            found,
        };
        let (domain, kind, number) = match (socket.domain(), socket.r#type(), socket.protocol()) {
            (Ok(domain), Ok(kind), Ok(number)) => (domain, kind, number),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return Err(wrong(error.to_string())),
        };
        let family = match domain {
            Domain::IPV4 => Family::V4,
            Domain::IPV6 => Family::V6,
            other => return Err(wrong(format!("a socket of domain {}", i32::from(other)))),
        };
        if kind != Type::RAW || number != Some(protocol()) {
            let number = number.map_or(0, i32::from);
            let kind = i32::from(kind);
            return Err(wrong(format!("an {} socket of type {kind} and protocol {number}", title(family))));
        }
        // The peer of a raw socket cannot be asked for, but being connected gives it an address of its own.
        let local = socket.local_addr().ok().and_then(|it| it.as_socket()).map(|it| it.ip());
        if let Some(local) = local.filter(|it| !it.is_unspecified()) {
            return Err(wrong(format!("a socket that is connected, or bound to {local}")));
        }
        socket.set_nonblocking(true).map_err(|error| Error::io("make a socket non-blocking", error))?;
        Self::prepare(socket, name, interface, family, filter)
    }

    /// Sets every option, whatever was set before.
    fn prepare(
        socket: Socket,
        name: &str,
        interface: IfIndex,
        family: Family,
        filter: &ReceiveFilter,
    ) -> Result<Self, Error> {
        let failed = |what: &str, source| {
            let operation = format!("set up an {} socket for VRRP on {name}: {what}", title(family));
            Error::privileged(operation, Capability::NetRaw, source)
        };
        let bound = socket.device().map_err(|source| failed("read the interface", source))?;
        match bound {
            Some(bound) if bound == name.as_bytes() => {}
            Some(other) => {
                return Err(Error::WrongDescriptor {
                    wanted: format!("a socket that is bound to {name}"),
                    found: format!("one that is bound to {}", String::from_utf8_lossy(&other)),
                });
            }
            None => {
                // Until now it has heard every interface.
                sys::attach_filter(socket.as_fd(), &[filter::DROP]).map_err(|source| failed("close it", source))?;
                socket
                    .bind_device(Some(name.as_bytes()))
                    .map_err(|source| failed("bind it to the interface", source))?;
                empty(&socket).map_err(|source| failed("empty it", source))?;
            }
        }
        let options = match family {
            Family::V4 => v4::set_options(&socket),
            Family::V6 => v6::set_options(&socket),
        };
        options.map_err(|(what, source)| failed(what, source))?;
        sys::ignore_icmp_errors(socket.as_fd(), family.group()).map_err(|source| failed("no ICMP errors", source))?;
        // After the type of service, which would change it.
        socket.set_priority(PRIORITY).map_err(|source| failed("priority of network control", source))?;
        // Without, when a datagram is read counts as when it came.
        let _ = sys::stamp_arrivals(socket.as_fd());
        // Smaller buffers do too, unless there is a flood.
        let _ = sys::set_receive_buffer(socket.as_fd(), RECEIVE_BUFFER);
        let _ = sys::set_send_buffer(socket.as_fd(), SEND_BUFFER);
        let socket = Self { socket, family, interface };
        socket.set_filter(filter)?;
        Ok(socket)
    }

    /// Its family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The interface it is bound to.
    pub fn interface(&self) -> IfIndex {
        self.interface
    }

    /// Hears a multicast group from now on, [`Family::group`] for one. Does nothing if it does already.
    ///
    /// Over IPv6 the kernel gives what is sent to the group to every raw socket, once any program has joined it on this
    /// interface (`raw_v6_match`, net/ipv6/raw.c). A [`Plausible`](filter::Plausible) filter without the group keeps it
    /// from a socket that has not joined; without a filter the protocol drops and counts it.
    ///
    /// # Errors
    /// [`Error::Io`], if the group is of the other family, the interface is gone, or IPv6 is turned off on it.
    pub fn join(&self, group: IpAddr) -> Result<(), Error> {
        let result = match (self.family, group) {
            (Family::V4, IpAddr::V4(group)) => v4::join(&self.socket, group, self.interface),
            (Family::V6, IpAddr::V6(group)) => v6::join(&self.socket, group, self.interface),
            (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => Err(io::ErrorKind::Unsupported.into()),
        };
        result.or_else(|error| match error.raw_os_error() {
            Some(sys::EADDRINUSE) => Ok(()),
            _ => Err(Error::io(format!("join {group} on interface {}", self.interface), error)),
        })
    }

    /// Hears a group no more. Does nothing if it does not.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn leave(&self, group: IpAddr) -> Result<(), Error> {
        let result = match (self.family, group) {
            (Family::V4, IpAddr::V4(group)) => v4::leave(&self.socket, group, self.interface),
            (Family::V6, IpAddr::V6(group)) => v6::leave(&self.socket, group, self.interface),
            (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => Ok(()),
        };
        result.or_else(|error| match error.raw_os_error() {
            // Never joined, or the interface is gone and its groups with it.
            Some(sys::EADDRNOTAVAIL | sys::ENODEV) => Ok(()),
            _ => Err(Error::io(format!("leave {group} on interface {}", self.interface), error)),
        })
    }

    /// Leaves a group and joins it again, so that a switch which has forgotten that it is listened to here learns it anew.
    /// For some microseconds nothing is heard. IGMPv3 and MLDv2 tell the switch of the end of it only: that it is joined.
    ///
    /// # Errors
    /// As [`join`](Self::join): it is not joined then.
    pub fn rejoin(&self, group: IpAddr) -> Result<(), Error> {
        self.leave(group)?;
        self.join(group)
    }

    /// Lets other datagrams through from now on; there is no moment without a filter. What has arrived already stays.
    ///
    /// # Errors
    /// [`Error::Io`], if the one who opened the socket has locked its filter.
    pub fn set_filter(&self, filter: &ReceiveFilter) -> Result<(), Error> {
        sys::attach_filter(self.socket.as_fd(), &filter.program(self.family))
            .map_err(|error| Error::io(format!("attach a filter to a socket on interface {}", self.interface), error))
    }

    /// Takes what has arrived, at most as much as the buffer has room for, with one system call. Nothing may be there.
    ///
    /// # Errors
    /// What the kernel said; the socket goes on working.
    pub fn receive<'a>(&self, buffer: &'a mut ReceiveBuffer) -> io::Result<Datagrams<'a>> {
        buffer.fill(self.socket.as_fd(), self.family)
    }

    /// Sends advertisements, many with one system call: one to several peers, or those of several virtual routers.
    /// Returns how many were sent.
    ///
    /// `failed` is told the place in `adverts` of each that was not sent, in ascending order, and why: what the kernel
    /// said, or `InvalidInput` if the addresses are not of this family or the payload is longer than
    /// [`MAX_ADVERT_LEN`]. One that cannot be sent does not stop the others; but if the queue is full (`WouldBlock`), it
    /// is so for all that follow.
    pub fn send(&self, adverts: &[Outgoing<'_>], failed: impl FnMut(usize, io::Error)) -> usize {
        self.send_each(adverts.len(), |place| adverts.get(place).copied(), failed)
    }

    /// As [`send`](Self::send), for `count` advertisements that are not in one piece of memory.
    pub(crate) fn send_each<'a>(
        &self,
        count: usize,
        advert: impl Fn(usize) -> Option<Outgoing<'a>>,
        mut failed: impl FnMut(usize, io::Error),
    ) -> usize {
        let (mut at, mut total) = (0, 0);
        while at < count {
            let rest = (at..count).map_while(&advert);
            let result = match count - at {
                // Most are alone, and need not pay for the room of many.
                1 => self.send_batch::<1>(rest),
                _ => self.send_batch::<{ sys::BATCH }>(rest),
            };
            match result {
                Ok(sent) => {
                    // Never nothing, so that this ends.
                    at += sent.max(1);
                    total += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    (at..count).for_each(|place| failed(place, io::ErrorKind::WouldBlock.into()));
                    return total;
                }
                Err(error) => {
                    failed(at, error);
                    at += 1;
                }
            }
        }
        total
    }

    /// Sends as many from the start of `adverts`, and at most `ROOM`, as go with one system call. The error is that of the
    /// first one.
    fn send_batch<'a, const ROOM: usize>(&self, adverts: impl Iterator<Item = Outgoing<'a>>) -> io::Result<usize> {
        let mut headers = [[0; v4::HEADER_LEN]; ROOM];
        let mut parcels = [sys::Parcel::EMPTY; ROOM];
        let mut count = 0;
        for ((parcel, header), advert) in parcels.iter_mut().zip(&mut headers).zip(adverts) {
            let made = match (self.family, advert.source, advert.destination) {
                _ if advert.payload.len() > MAX_ADVERT_LEN => None,
                (Family::V4, IpAddr::V4(source), IpAddr::V4(destination)) => {
                    v4::header(source, destination, advert.ttl, advert.payload.len()).map(|octets| {
                        *header = octets;
                        sys::Parcel::ipv4(header, advert.payload, destination)
                    })
                }
                (Family::V6, IpAddr::V6(source), IpAddr::V6(destination)) => {
                    Some(sys::Parcel::ipv6(advert.payload, source, destination, self.interface, advert.ttl))
                }
                (Family::V4 | Family::V6, ..) => None,
            };
            match made {
                Some(made) => *parcel = made,
                None if count == 0 => return Err(io::ErrorKind::InvalidInput.into()),
                // Those before it go first.
                None => break,
            }
            count += 1;
        }
        sys::send_batch(self.socket.as_fd(), parcels.get(..count).unwrap_or_default())
    }

    /// The socket, for [`from_fd`](Self::from_fd) in another process.
    pub fn into_fd(self) -> OwnedFd {
        self.socket.into()
    }
}

impl AsFd for AdvertSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open_raw(family: Family, operation: impl Fn() -> String) -> Result<Socket, Error> {
    let kind = Type::RAW.nonblocking().cloexec();
    Socket::new(domain(family), kind, Some(protocol())).map_err(|source| match source {
        source if family == Family::V6 && source.raw_os_error() == Some(sys::EAFNOSUPPORT) => {
            Error::NoIpv6 { operation: operation() }
        }
        source => Error::privileged(operation(), Capability::NetRaw, source),
    })
}

/// Throws away what has arrived. Only while nothing more can arrive.
fn empty(socket: &Socket) -> io::Result<()> {
    let mut socket = socket;
    loop {
        match socket.read(&mut [0]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A step that failed: what it was for, and what the kernel said.
type Failure = (&'static str, io::Error);

/// The first failure of several steps.
fn first_failure(steps: impl IntoIterator<Item = (&'static str, io::Result<()>)>) -> Result<(), Failure> {
    steps.into_iter().try_for_each(|(what, result)| result.map_err(|error| (what, error)))
}

fn title(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn domain(family: Family) -> Domain {
    match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    }
}

fn protocol() -> Protocol {
    Protocol::from(i32::from(PROTOCOL))
}
