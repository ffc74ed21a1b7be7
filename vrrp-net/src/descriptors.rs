//! Sockets that somebody with more privileges has opened for the driver.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use socket2::{Domain, Protocol, SockRef};
use vrrp_core::Family;

use crate::error::Error;
use crate::netlink::Netlink;
use crate::socket::AdvertSocket;
use crate::watch::AddressWatch;
use crate::{LinkSocket, filter, sys};

/// Tells the program that is started which of its descriptors these are.
const VARIABLE: &str = "VRRP_NET_DESCRIPTORS";

/// The sockets that a driver cannot open without `CAP_NET_RAW`, opened beforehand: by a parent that has it, or by this
/// process before it gives it up. [`Driver::with_descriptors`](crate::Driver::with_descriptors) then needs `CAP_NET_ADMIN`
/// alone, which the kernel asks for with each change of an address.
///
/// ```no_run
/// use vrrp_net::vrrp_core::Family;
/// use vrrp_net::{Descriptors, Driver};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // The parent:
/// let mut command = std::process::Command::new("/usr/bin/setpriv");
/// command.args(["--reuid=vrrp", "--ambient-caps=+net_admin", "--inh-caps=+net_admin", "/usr/bin/proxy"]);
/// let sockets = Descriptors::open([("eth0", Family::V4)])?.with_spares(Family::V4, 2)?;
/// sockets.pass_to(&mut command);
/// command.spawn()?;
///
/// // The program, at its start:
/// let driver = match Descriptors::inherited()? {
///     Some(sockets) => Driver::with_descriptors(sockets)?,
///     None => Driver::new()?,
/// };
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Descriptors {
    pub(crate) link_socket: LinkSocket,
    /// For advertisements, and to hear who else claims an address: bound to an interface, or to none yet.
    pub(crate) sockets: Vec<OwnedFd>,
}

impl Descriptors {
    /// Keeps every descriptor that this process has, also those that it was started with, from the programs that it starts
    /// after this; but for input, output and errors, which are theirs to redirect. What is opened later by Rust's library, or
    /// by this crate, is kept from them anyhow. Does nothing before Linux 5.11.
    pub fn close_all_on_exec() {
        sys::close_all_on_exec();
    }

    /// Opens what the virtual routers of these families on these interfaces need.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] without `CAP_NET_RAW`; [`Error::UnknownInterface`]; [`Error::NoIpv6`]; [`Error::Io`].
    pub fn open<'a>(interfaces: impl IntoIterator<Item = (&'a str, Family)>) -> Result<Self, Error> {
        let mut descriptors = Self { link_socket: LinkSocket::open()?, sockets: Vec::new() };
        let mut netlink = Netlink::open()?;
        for (name, family) in interfaces {
            let index = netlink.link_by_name(name)?.index;
            let nothing = filter::ReceiveFilter::from(filter::Plausible::new([], []));
            descriptors.sockets.push(AdvertSocket::open(name, index, family, &nothing)?.into_fd());
            descriptors.sockets.push(AddressWatch::open_unbound(family)?);
        }
        Ok(descriptors)
    }

    /// With so many more of a family that are bound to no interface: for interfaces that are not known yet, and for those
    /// that are created anew, since a socket stays with the one that is gone.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn with_spares(mut self, family: Family, count: usize) -> Result<Self, Error> {
        for _ in 0..count {
            self.sockets.push(AdvertSocket::open_unbound(family)?);
            self.sockets.push(AddressWatch::open_unbound(family)?);
        }
        Ok(self)
    }

    /// Takes over sockets in any order: a raw packet socket (`AF_PACKET`, protocol 0), and raw sockets of protocol 112 that are
    /// bound to an interface or to none. For each interface one more packet socket and, over IPv6, a raw one of ICMPv6 hear
    /// whether another host claims an address that is served here; without them nobody does.
    ///
    /// # Errors
    /// [`Error::WrongDescriptor`] if one is something else, or there is no packet socket.
    pub fn from_fds(fds: impl IntoIterator<Item = OwnedFd>) -> Result<Self, Error> {
        let mut link_socket = None;
        let mut sockets = Vec::new();
        for fd in fds {
            match SockRef::from(&fd).domain() {
                Ok(Domain::PACKET) if link_socket.is_none() => link_socket = Some(LinkSocket::from_fd(fd)?),
                Ok(Domain::PACKET | Domain::IPV4 | Domain::IPV6) => sockets.push(fd),
                Ok(other) => return Err(wrong(format!("a socket of domain {}", i32::from(other)))),
                Err(error) => return Err(wrong(error.to_string())),
            }
        }
        match link_socket {
            Some(link_socket) => Ok(Self { link_socket, sockets }),
            None => Err(wrong("no packet socket is among them".to_owned())),
        }
    }

    /// The sockets, to be passed on in another way than by [`pass_to`](Self::pass_to): over a unix socket, for instance.
    pub fn into_fds(self) -> Vec<OwnedFd> {
        std::iter::once(self.link_socket.into_fd()).chain(self.sockets).collect()
    }

    /// Has the program that `command` starts inherit the sockets, to be taken over by [`inherited`](Self::inherited). No
    /// other program does.
    pub fn pass_to(self, command: &mut Command) {
        use std::os::fd::AsRawFd as _;

        let fds = self.into_fds();
        let numbers: Vec<String> = fds.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
        command.env(VARIABLE, numbers.join(","));
        sys::keep_open(command, fds);
    }

    /// The sockets that this program was started with by [`pass_to`](Self::pass_to); `None` if it was not, or has taken them
    /// already. Call it before anything else opens or closes descriptors that it does not know.
    ///
    /// # Errors
    /// [`Error::Io`] if one is not open, for instance because what was started between has closed it;
    /// [`Error::WrongDescriptor`].
    pub fn inherited() -> Result<Option<Self>, Error> {
        let Ok(text) = std::env::var(VARIABLE) else { return Ok(None) };
        let failed = |error| Error::io(format!("take over the descriptors of {VARIABLE}={text:?}"), error);
        let numbers: Result<Vec<i32>, _> = text.split(',').map(str::parse).collect();
        let numbers = numbers.map_err(|error| failed(std::io::Error::other(error)))?;
        let fds = sys::take_inherited(&numbers).map_err(failed)?;
        if fds.is_empty() { Ok(None) } else { Self::from_fds(fds).map(Some) }
    }
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Adverts(Family),
    Watch(Family),
}

/// Takes the socket for an interface out of `spares`, if one is there.
pub(crate) fn take_spare(spares: &mut Vec<OwnedFd>, name: &str, wanted: Use) -> Option<OwnedFd> {
    let vrrp = i32::from(vrrp_core::wire::PROTOCOL);
    let (domain, protocol) = match wanted {
        Use::Adverts(Family::V4) => (Domain::IPV4, Some(vrrp)),
        Use::Adverts(Family::V6) => (Domain::IPV6, Some(vrrp)),
        Use::Watch(Family::V4) => (Domain::PACKET, None),
        Use::Watch(Family::V6) => (Domain::IPV6, Some(i32::from(Protocol::ICMPV6))),
    };
    let fits = |fd: &OwnedFd, bound: Option<&[u8]>| {
        let socket = SockRef::from(fd);
        socket.domain().is_ok_and(|its| its == domain)
            && protocol.is_none_or(|wanted| matches!(socket.protocol(), Ok(Some(its)) if i32::from(its) == wanted))
            && socket.device().is_ok_and(|its| its.as_deref() == bound)
    };
    let place = spares.iter().position(|fd| fits(fd, Some(name.as_bytes())));
    let place = place.or_else(|| spares.iter().position(|fd| fits(fd, None)))?;
    Some(spares.swap_remove(place))
}

/// Copies of the sockets of a driver.
pub(crate) fn copies<'a>(
    link_socket: &LinkSocket,
    own: impl Iterator<Item = BorrowedFd<'a>>,
    spares: &[OwnedFd],
) -> std::io::Result<Descriptors> {
    let own = own.map(|socket| socket.try_clone_to_owned());
    let more = spares.iter().map(OwnedFd::try_clone);
    let link_socket = link_socket.as_fd().try_clone_to_owned()?;
    Ok(Descriptors {
        link_socket: LinkSocket::from_fd(link_socket).map_err(std::io::Error::other)?,
        sockets: own.chain(more).collect::<Result<_, _>>()?,
    })
}

fn wrong(found: String) -> Error {
    Error::WrongDescriptor { wanted: "a raw packet socket or a raw socket of protocol 112".to_owned(), found }
}
