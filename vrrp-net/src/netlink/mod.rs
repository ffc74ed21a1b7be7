//! Links and addresses through `NETLINK_ROUTE`: requests in batches, dumps, and a monitor of changes.
//!
//! [`Netlink`] asks; the kernel works while the request is being sent, and has the answer ready when the send returns. So
//! a request costs microseconds, and nothing here waits for an answer. [`Monitor`] is a separate socket that reports what
//! anyone changes.

mod address;
mod address_parts;
mod attribute;
mod drop_table;
mod left;
mod link;
mod monitor;
mod neighbor;
mod path;
mod reconcile;
mod route;
mod rule;
mod settings;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkMessage,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_ROUTE;

pub use self::address::{AddressChange, AddressRequest, InterfaceAddress};
pub use self::address_parts::{Broadcast, Label, Preferred, Scope};
use self::attribute::{Attributes, Message, Messages, u32_at};
pub(crate) use self::drop_table::DropTable;
pub(crate) use self::left::LeftPath;
pub use self::link::{BridgePortFlags, Link, VethEnd};
pub(crate) use self::link::{indexed, mac_text};
pub use self::monitor::{Change, Monitor};
pub use self::neighbor::Neighbor;
pub(crate) use self::path::{HostChange, Outcome, Path, PathRequest};
pub use self::reconcile::{lost_with, reconcile};
pub use self::route::{NextHop, Route};
pub(crate) use self::settings::InterfaceSettings;
use crate::error::{Capability, Error};
use crate::sys;

/// Requests in one send. Each is answered by one acknowledgement, and more of them than this overflow the socket's
/// receive buffer, so that answers are lost.
const BATCH: usize = 200;
/// Octets read at once: the kernel makes no longer message for a reader of this size.
const BUFFER: usize = 64 * 1024;
/// How often a dump is begun again because the state changed under it.
const DUMP_ATTEMPTS: usize = 5;
/// The kernel's words in an acknowledgement (`NLMSGERR_ATTR_MSG`, linux/netlink.h).
const ACK_MESSAGE: u16 = 1;

/// A socket for requests to the kernel about links, addresses, routes and neighbors.
///
/// Reading needs no privilege; changes need `CAP_NET_ADMIN` in the user namespace that owns the network namespace.
/// It acts on the network namespace that its socket was made in, from whichever thread it is used.
///
/// ```no_run
/// use vrrp_net::netlink::Netlink;
///
/// let mut netlink = Netlink::open()?;
/// for link in netlink.links()? {
///     println!("{} {} {:?}", link.index, link.name, netlink.addresses(Some(link.index))?);
/// }
/// # Ok::<(), vrrp_net::Error>(())
/// ```
#[derive(Debug)]
pub struct Netlink {
    /// Never cloned: the clone would close our descriptor.
    socket: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// A socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::Io`] if the process has no descriptor left, or a sandbox forbids netlink.
    pub fn open() -> Result<Self, Error> {
        let socket = netlink_sys::Socket::new(NETLINK_ROUTE).map_err(|error| Error::io(OPEN, error))?;
        Self::prepare(socket)
    }

    /// A `NETLINK_ROUTE` socket that was made elsewhere: by a privileged parent, or inside a network namespace.
    ///
    /// # Errors
    /// [`Error::Io`] if `fd` is not a netlink socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        Self::prepare(sys::netlink_socket(fd))
    }

    fn prepare(socket: netlink_sys::Socket) -> Result<Self, Error> {
        // Both came with Linux 4.12 or before. Without the first only the kernel's words are missing, without the
        // second the acknowledgements are longer.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        // An answer that is not there when the send returns does not come any more.
        socket.set_non_blocking(true).map_err(|error| Error::io(OPEN, error))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Send one request and wait for its acknowledgement. `operation` names it, with its value.
    pub(crate) fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        operation: impl Fn() -> String,
    ) -> Result<(), Error> {
        self.ask(message, flags)?.into_result(operation)
    }

    /// Send one request and wait for the answer.
    pub(crate) fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> Result<Answer, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        encode(message, flags | NLM_F_ACK, self.sequence, &mut bytes);
        self.send(&bytes)?;
        Ok(self.collect_answers(self.sequence, 1)?.pop().unwrap_or(Answer::Lost))
    }

    /// Send one request that `write` appends, given its sequence number, and wait for the answer.
    pub(crate) fn ask_written(&mut self, write: impl Fn(u32, &mut Vec<u8>)) -> Result<Answer, Error> {
        let answers = self.batch(&[()], |(), sequence, out| write(sequence, out))?;
        Ok(answers.into_iter().next().unwrap_or(Answer::Lost))
    }

    /// Send a question about one thing, which `write` appends, and return what `parse` makes of the reply.
    pub(crate) fn look_up<T>(
        &mut self,
        write: impl Fn(u32, &mut Vec<u8>),
        parse: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<Result<T, Answer>, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let sequence = self.sequence;
        let mut bytes = Vec::new();
        write(sequence, &mut bytes);
        self.send(&bytes)?;
        loop {
            let datagram = match self.receive() {
                Ok(datagram) => datagram,
                Err(error) if error.raw_os_error() == Some(sys::ENOBUFS) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Err(Answer::Lost)),
                Err(error) => return Err(Error::io(RECEIVE, error)),
            };
            for message in Messages(datagram).filter(|message| message.sequence == sequence) {
                if message.kind == NLMSG_ERROR {
                    return Ok(Err(Answer::parse(&message)));
                }
                if let Some(found) = parse(&message) {
                    return Ok(Ok(found));
                }
            }
        }
    }

    /// Send a request for each item, at most [`BATCH`] at once, and collect one answer for each, in their order.
    ///
    /// # Errors
    /// [`Error::Io`] if sending fails altogether; a request that is refused is an answer.
    pub(crate) fn batch<T>(
        &mut self,
        items: &[T],
        encode: impl Fn(&T, u32, &mut Vec<u8>),
    ) -> Result<Vec<Answer>, Error> {
        let mut answers = Vec::with_capacity(items.len());
        for chunk in items.chunks(BATCH) {
            let first = self.sequence.wrapping_add(1);
            let mut requests = Vec::with_capacity(chunk.len() * 96);
            for item in chunk {
                self.sequence = self.sequence.wrapping_add(1);
                encode(item, self.sequence, &mut requests);
            }
            self.send(&requests)?;
            answers.append(&mut self.collect_answers(first, chunk.len())?);
        }
        Ok(answers)
    }

    /// Ask for a list and turn each message of it with `parse` into an item. Starts over if it changed meanwhile.
    pub(crate) fn dump<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        operation: &'static str,
        parse: impl Fn(&Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            items.clear();
            self.sequence = self.sequence.wrapping_add(1);
            let mut bytes = Vec::new();
            encode(request.clone(), NLM_F_DUMP, self.sequence, &mut bytes);
            self.send(&bytes)?;
            if self.collect_dump(operation, &parse, &mut items)? {
                break;
            }
        }
        // A list that changed under every attempt is still a list; the monitor tells what changed.
        Ok(items)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        let kernel = SocketAddr::new(0, 0);
        loop {
            match self.socket.send_to(bytes, &kernel, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("send to netlink", error)),
            }
        }
    }

    fn collect_answers(&mut self, first: u32, count: usize) -> Result<Vec<Answer>, Error> {
        let mut answers = vec![Answer::Lost; count];
        let mut missing = count;
        while missing > 0 {
            let datagram = match self.receive() {
                Ok(datagram) => datagram,
                // Answers were dropped, but those that fitted are still to be read.
                Err(error) if error.raw_os_error() == Some(sys::ENOBUFS) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Error::io(RECEIVE, error)),
            };
            for message in Messages(datagram).filter(|message| message.kind == NLMSG_ERROR) {
                let place = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                if let Some(answer @ Answer::Lost) = answers.get_mut(place) {
                    *answer = Answer::parse(&message);
                    missing -= 1;
                }
            }
        }
        Ok(answers)
    }

    /// Whether the list is complete and consistent.
    fn collect_dump<T>(
        &mut self,
        operation: &'static str,
        parse: impl Fn(&Message<'_>) -> Option<T>,
        items: &mut Vec<T>,
    ) -> Result<bool, Error> {
        let sequence = self.sequence;
        let mut consistent = true;
        loop {
            let datagram = self.receive().map_err(|error| Error::io(operation, error))?;
            for message in Messages(datagram).filter(|message| message.sequence == sequence) {
                consistent &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => {
                        Answer::parse(&message).into_result(|| operation.to_owned())?;
                        return Ok(consistent);
                    }
                    _ => items.extend(parse(&message)),
                }
            }
        }
    }

    /// The next datagram from the kernel.
    fn receive(&mut self) -> io::Result<&[u8]> {
        receive_from_kernel(&self.socket, &mut self.buffer).map(|length| self.buffer.get(..length).unwrap_or_default())
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const OPEN: &str = "open a netlink socket";
const RECEIVE: &str = "receive from netlink";
/// This process has the capability, but not where it counts.
const FOREIGN_NAMESPACE: &str =
    "this network namespace belongs to another user namespace, and CAP_NET_ADMIN is needed in that one";

/// Append a request. Its flags are `flags` and `NLM_F_REQUEST`.
pub(crate) fn encode(message: RouteNetlinkMessage, flags: u16, sequence: u32, out: &mut Vec<u8>) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags | NLM_F_REQUEST;
    message.header.sequence_number = sequence;
    message.finalize();
    let start = out.len();
    out.resize(start + message.buffer_len(), 0);
    message.serialize(&mut out[start..]);
}

/// Receive one datagram that the kernel sent, passing over those of other processes. Returns its length, which is at
/// most that of the buffer.
fn receive_from_kernel(socket: &netlink_sys::Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv_from(&mut &mut *buffer, sys::MSG_TRUNC) {
            Ok((length, _)) if length > buffer.len() => return Err(io::Error::from_raw_os_error(sys::ENOBUFS)),
            Ok((length, sender)) if sender.port_number() == 0 => return Ok(length),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the kernel answered to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was carried out.
    Done,
    /// It was not.
    Refused {
        errno: i32,
        /// The extended acknowledgement.
        words: Option<String>,
    },
    /// No answer came.
    Lost,
}

impl Answer {
    /// From an `NLMSG_ERROR` or `NLMSG_DONE`: an error number, in the former the request's header and, unless the
    /// message is capped, its body, then attributes.
    fn parse(message: &Message<'_>) -> Self {
        let errno = u32_at(message.payload, 0).map_or(0, |code| code.cast_signed().wrapping_neg());
        if errno == 0 {
            return Self::Done;
        }
        let echoed = match message.kind {
            NLMSG_ERROR if message.flags & NLM_F_CAPPED != 0 => 16,
            NLMSG_ERROR => u32_at(message.payload, 4).and_then(|length| usize::try_from(length).ok()).unwrap_or(0),
            _ => 0,
        };
        let start = echoed.saturating_add(4).checked_next_multiple_of(4);
        let tail = start.and_then(|start| message.payload.get(start..)).unwrap_or_default();
        let described = message.flags & NLM_F_ACK_TLVS != 0;
        let words = Attributes(tail).find(|attribute| described && attribute.kind == ACK_MESSAGE);
        Self::Refused { errno, words: words.map(|words| words.text()) }
    }

    /// As the result of `operation`.
    pub(crate) fn into_result(self, operation: impl Fn() -> String) -> Result<(), Error> {
        match self {
            Self::Done => Ok(()),
            Self::Lost => Err(Error::Unanswered { operation: operation() }),
            Self::Refused { errno: sys::EPERM, .. } if !Capability::NetAdmin.is_effective() => {
                Err(Error::MissingCapability { operation: operation(), capability: Capability::NetAdmin })
            }
            Self::Refused { errno, words } => {
                let way_out = (errno == sys::EPERM).then(|| FOREIGN_NAMESPACE.to_owned());
                let source = io::Error::from_raw_os_error(errno);
                Err(Error::Refused { operation: operation(), words, source, way_out })
            }
        }
    }

    /// Whether it was refused with this error number.
    pub(crate) fn is(&self, number: i32) -> bool {
        matches!(self, Self::Refused { errno, .. } if *errno == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(flags: u16, payload: &[u8]) -> Answer {
        Answer::parse(&Message { kind: NLMSG_ERROR, flags, sequence: 1, payload })
    }

    #[test]
    fn the_kernels_words_are_found_behind_the_echoed_request() {
        let errno = (-22_i32).to_ne_bytes();
        let words = [&10_u16.to_ne_bytes()[..], &1_u16.to_ne_bytes(), b"Wrong\0\0\0"].concat();
        let header = [&24_u32.to_ne_bytes()[..], &[0; 12]].concat();
        let expected = Answer::Refused { errno: 22, words: Some("Wrong".to_owned()) };

        let capped = [&errno[..], &header, &words].concat();
        assert_eq!(refusal(NLM_F_CAPPED | NLM_F_ACK_TLVS, &capped), expected);
        let whole = [&errno[..], &header, &[0xaa; 8], &words].concat();
        assert_eq!(refusal(NLM_F_ACK_TLVS, &whole), expected);
        assert_eq!(refusal(NLM_F_CAPPED, &capped), Answer::Refused { errno: 22, words: None });
    }

    #[test]
    fn a_short_answer_does_not_panic() {
        assert_eq!(refusal(0, &[]), Answer::Done);
        assert_eq!(refusal(NLM_F_ACK_TLVS, &(-1_i32).to_ne_bytes()), Answer::Refused { errno: 1, words: None });
        let lying = [(-1_i32).to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
        assert_eq!(refusal(NLM_F_ACK_TLVS, &lying), Answer::Refused { errno: 1, words: None });
        assert_eq!(refusal(0, &i32::MIN.to_ne_bytes()), Answer::Refused { errno: i32::MIN, words: None });
    }

    #[test]
    fn the_loopback_interface_can_be_listed_without_privilege() {
        let mut netlink = Netlink::open().unwrap();
        let loopback = netlink.link_by_name("lo").unwrap();
        assert!(loopback.loopback);
        assert!(netlink.links().unwrap().contains(&netlink.link(loopback.index).unwrap()));
        let error = netlink.link_by_name("nosuch0").unwrap_err().to_string();
        assert!(error.starts_with("no interface \"nosuch0\" (have: ") && error.contains("lo"), "{error}");
    }
}
