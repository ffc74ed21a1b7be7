//! An attempt under way: its socket or its program.

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Stdio};

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::Shared;
use super::random::Random;
use crate::check::command::{Command, End};
use crate::check::dns::DnsExchange;
use crate::check::http::HttpExchange;
use crate::check::ping::{PingExchange, without_ip_header};
use crate::check::smtp::SmtpExchange;
use crate::check::tcp::TcpExchange;
#[cfg(feature = "tls")]
use crate::check::tls::TlsExchange;
use crate::check::udp::UdpExchange;
use crate::check::{Check, Exchange, Failure, Prepared, Progress, Stage, Verdict};

/// An attempt under way.
#[derive(Debug)]
pub(super) enum Attempt {
    /// A conversation.
    Conversation(Conversation),
    /// A program that runs.
    Program {
        /// Itself.
        child: Child,
        /// What becomes readable when it ends.
        pidfd: OwnedFd,
    },
}

/// What came of doing something for an attempt.
pub(super) enum Opened {
    /// It waits for the kernel.
    Pending,
    /// Its connection is made: to be told to the schedule, and then [`Attempt::converse_on`].
    Connected,
    /// What the conversation says.
    Over(Progress),
}

/// Why an attempt cannot go on.
pub(super) enum Trouble {
    /// Because of the server, or the way to it.
    Server(Failure),
    /// Because of this machine.
    Ours(String),
}

pub(super) struct Conversation {
    exchange: Box<dyn Exchange + Send>,
    carrier: Carrier,
    socket: Option<Socket>,
    connected: bool,
    /// What could not be sent yet.
    unsent: Vec<u8>,
    interest: EventFlags,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { carrier, connected, .. } = self;
        f.debug_struct("Conversation").field("carrier", carrier).field("connected", connected).finish_non_exhaustive()
    }
}

/// What carries a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Stream,
    Datagrams,
    /// The kernel's sockets for pings, or raw ones where those are not allowed, which for IPv4 give the IP header too.
    Icmp {
        header: bool,
    },
}

impl Attempt {
    /// A conversation that has no socket yet.
    pub(super) fn converse(prepared: &Prepared, check: &Check, random: &mut Random) -> Result<Self, Trouble> {
        let (exchange, carrier): (Box<dyn Exchange + Send>, _) = match prepared {
            Prepared::Tcp => (Box::new(TcpExchange), Carrier::Stream),
            Prepared::Http(requests) => (Box::new(HttpExchange::new(requests.clone())), Carrier::Stream),
            #[cfg(feature = "tls")]
            Prepared::Https(requests, client) => {
                (Box::new(TlsExchange::new(client.clone(), HttpExchange::new(requests.clone()))), Carrier::Stream)
            }
            Prepared::Smtp(smtp) => (Box::new(SmtpExchange::new(smtp)), Carrier::Stream),
            Prepared::Dns(question) => {
                (Box::new(DnsExchange::new(question.clone(), random.number())), Carrier::Datagrams)
            }
            Prepared::Udp(udp) => (Box::new(UdpExchange::new(udp, random.octets())), Carrier::Datagrams),
            Prepared::Ping => {
                let exchange = PingExchange::new(check.target.is_ipv6(), random.number(), random.octets());
                (Box::new(exchange), Carrier::Icmp { header: false })
            }
            Prepared::Command(_) | Prepared::File(_) | Prepared::Application => {
                return Err(Trouble::Ours("there is nobody to talk to".into()));
            }
        };
        Ok(Self::Conversation(Conversation {
            exchange,
            carrier,
            socket: None,
            connected: false,
            unsent: Vec::new(),
            interest: EventFlags::empty(),
        }))
    }

    /// Starts a program, in a process group of its own.
    pub(super) fn run(command: &Command) -> Result<Child, Trouble> {
        let mut program = std::process::Command::new(&command.program);
        program.args(&command.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        program.process_group(0);
        if let Some(group) = command.group {
            program.gid(group);
        }
        if let Some(user) = command.user {
            program.uid(user);
        }
        program.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory => {
                Trouble::Server(Failure::NotRun(error.to_string()))
            }
            _ => Trouble::Ours(format!("run {}: {error}", command.program.display())),
        })
    }

    /// If it is a program, how it ended, if it has.
    pub(super) fn end_of_program(&mut self) -> Option<Option<End>> {
        let Self::Program { child, .. } = self else { return None };
        let status = child.try_wait().ok().flatten();
        Some(status.map(|status| match (status.code(), status.signal()) {
            (Some(code), _) => End::Exit(code),
            (None, signal) => End::Signal(signal.unwrap_or_default()),
        }))
    }

    /// The time for it is over.
    pub(super) fn expired(&mut self) -> Verdict {
        match self {
            Self::Conversation(conversation) => conversation.exchange.expired(conversation.connected),
            Self::Program { .. } => Err(Failure::TimedOut(Stage::Reply)),
        }
    }

    /// Makes a connection, or another one.
    pub(super) fn open(&mut self, shared: &mut Shared, id: u64, check: &Check) -> Result<Opened, Trouble> {
        match self {
            Self::Conversation(conversation) => conversation.open(shared, id, check),
            Self::Program { .. } => Ok(Opened::Pending),
        }
    }

    /// The kernel has something for it.
    pub(super) fn ready(&mut self, shared: &mut Shared, id: u64) -> Result<Opened, Trouble> {
        match self {
            Self::Conversation(conversation) => conversation.ready(shared, id),
            Self::Program { .. } => Ok(Opened::Pending),
        }
    }

    /// Begins to talk.
    pub(super) fn converse_on(&mut self, shared: &mut Shared, id: u64) -> Result<Opened, Trouble> {
        match self {
            Self::Conversation(conversation) => conversation.begin(shared, id),
            Self::Program { .. } => Ok(Opened::Pending),
        }
    }

    /// Closes what is open. A program that still runs is killed.
    pub(super) fn close(self, shared: &mut Shared) {
        match self {
            // Closing the socket takes it out of the epoll set: nobody else has it.
            Self::Conversation(_) => {}
            Self::Program { child, pidfd } => shared.reaper.kill(&shared.epoll, child, pidfd),
        }
    }
}

impl Conversation {
    fn open(&mut self, shared: &mut Shared, id: u64, check: &Check) -> Result<Opened, Trouble> {
        self.socket = None;
        self.connected = false;
        self.unsent.clear();
        let socket = self.bound_socket(check)?;
        let target = match self.carrier {
            Carrier::Icmp { .. } => std::net::SocketAddr::new(check.target.ip(), 0),
            Carrier::Stream | Carrier::Datagrams => check.target,
        };
        let target = match (target, check.target) {
            // A link-local address keeps its scope.
            (std::net::SocketAddr::V6(mut target), std::net::SocketAddr::V6(whole)) => {
                target.set_scope_id(whole.scope_id());
                std::net::SocketAddr::V6(target)
            }
            (target, _) => target,
        };
        let (interest, opened) = match socket.connect(&target.into()) {
            Ok(()) => (EventFlags::IN, Opened::Connected),
            Err(error) if is(&error, Errno::INPROGRESS) => (EventFlags::OUT, Opened::Pending),
            Err(error) => return Err(of_connecting(&error)),
        };
        epoll::add(&shared.epoll, &socket, epoll::EventData::new_u64(id), interest)
            .map_err(|error| Trouble::Ours(format!("watch a socket: {error}")))?;
        self.interest = interest;
        self.socket = Some(socket);
        Ok(opened)
    }

    /// A socket that comes from where the check says. All that can go wrong here is this machine's trouble.
    fn bound_socket(&mut self, check: &Check) -> Result<Socket, Trouble> {
        let ours = |operation: String| move |error: io::Error| Trouble::Ours(format!("{operation}: {error}"));
        let domain = if check.target.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        let new = |kind: Type, protocol| Socket::new(domain, kind.nonblocking().cloexec(), Some(protocol));
        let icmp = if check.target.is_ipv6() { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
        let socket = match self.carrier {
            Carrier::Stream => new(Type::STREAM, Protocol::TCP),
            Carrier::Datagrams => new(Type::DGRAM, Protocol::UDP),
            // Sockets for pings are for the groups that net.ipv4.ping_group_range names; raw ones for CAP_NET_RAW.
            Carrier::Icmp { .. } => {
                new(Type::DGRAM, icmp).inspect(|_| self.carrier = Carrier::Icmp { header: false }).or_else(|_| {
                    self.carrier = Carrier::Icmp { header: check.target.is_ipv4() };
                    new(Type::RAW, icmp)
                })
            }
        };
        let socket = socket.map_err(ours(match self.carrier {
            Carrier::Icmp { .. } => "open an ICMP socket (CAP_NET_RAW, or net.ipv4.ping_group_range)".into(),
            Carrier::Stream | Carrier::Datagrams => "open a socket".into(),
        }))?;
        let origin = &check.origin;
        if let Some(mark) = origin.fwmark {
            socket.set_mark(mark).map_err(ours(format!("set fwmark {mark} (CAP_NET_ADMIN)")))?;
        }
        if let Some(interface) = &origin.interface {
            let bound = socket.bind_device(Some(interface.as_bytes()));
            bound.map_err(ours(format!("bind to interface {interface:?}")))?;
        }
        if origin.address.is_some() || origin.port.is_some() {
            let any: std::net::IpAddr = if check.target.is_ipv6() {
                std::net::Ipv6Addr::UNSPECIFIED.into()
            } else {
                std::net::Ipv4Addr::UNSPECIFIED.into()
            };
            let address = std::net::SocketAddr::new(origin.address.unwrap_or(any), origin.port.unwrap_or(0));
            if origin.port.is_some() {
                // The last connection from there may not be forgotten yet.
                socket.set_reuse_address(true).map_err(ours("set SO_REUSEADDR".into()))?;
            }
            socket.bind(&address.into()).map_err(ours(format!("bind to {address}")))?;
        }
        Ok(socket)
    }

    fn ready(&mut self, shared: &mut Shared, id: u64) -> Result<Opened, Trouble> {
        let Some(socket) = &self.socket else { return Ok(Opened::Pending) };
        if !self.connected && self.carrier == Carrier::Stream {
            return match socket.take_error() {
                Ok(None) => Ok(Opened::Connected),
                Ok(Some(error)) | Err(error) => Err(of_connecting(&error)),
            };
        }
        if !self.unsent.is_empty() {
            self.flush(shared, id)?;
        }
        self.receive(shared, id)
    }

    /// The connection is there: says the first words.
    fn begin(&mut self, shared: &mut Shared, id: u64) -> Result<Opened, Trouble> {
        self.connected = true;
        let mut output = std::mem::take(&mut shared.output);
        output.clear();
        let progress = self.exchange.opened(&mut output);
        let first = self.carrier != Carrier::Stream;
        let sent = self.say(&progress, &output, first, shared, id);
        shared.output = output;
        sent.map(|()| Opened::Over(progress))
    }

    /// One read, and what the conversation makes of it. More is read in the next turn.
    fn receive(&mut self, shared: &mut Shared, id: u64) -> Result<Opened, Trouble> {
        let Some(socket) = &self.socket else { return Ok(Opened::Pending) };
        let mut reader: &Socket = socket;
        let length = match reader.read(&mut shared.input) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(Opened::Pending);
            }
            Err(error) => return Err(Trouble::Server(Failure::Connection(error.to_string()))),
        };
        let input = shared.input.get(..length).unwrap_or_default();
        let mut output = std::mem::take(&mut shared.output);
        output.clear();
        let progress = match self.carrier {
            Carrier::Stream if length == 0 => match self.exchange.ended() {
                // It has nothing to add, and nothing more will come.
                Progress::Pending => Progress::failed(Failure::Ended),
                progress => progress,
            },
            Carrier::Icmp { header: true } => self.exchange.received(without_ip_header(input), &mut output),
            Carrier::Stream | Carrier::Datagrams | Carrier::Icmp { header: false } => {
                self.exchange.received(input, &mut output)
            }
        };
        let sent = self.say(&progress, &output, false, shared, id);
        shared.output = output;
        sent.map(|()| Opened::Over(progress))
    }

    /// Sends what the conversation says; also nothing at all, if that is a datagram.
    fn say(
        &mut self,
        progress: &Progress,
        output: &[u8],
        datagram: bool,
        shared: &Shared,
        id: u64,
    ) -> Result<(), Trouble> {
        self.unsent.extend_from_slice(output);
        if *progress != Progress::Pending {
            // Its last words, if there are any (an alert of TLS): nobody waits for them.
            if let Some(socket) = self.socket.as_ref().filter(|_| !self.unsent.is_empty()) {
                let _ = socket.send_with_flags(&self.unsent, MSG_NOSIGNAL);
            }
            return Ok(());
        }
        if self.unsent.is_empty() && !datagram { self.watch(shared, id) } else { self.flush(shared, id) }
    }

    /// Sends what was not sent yet, as far as the kernel takes it.
    fn flush(&mut self, shared: &Shared, id: u64) -> Result<(), Trouble> {
        let Some(socket) = &self.socket else { return Ok(()) };
        loop {
            match socket.send_with_flags(&self.unsent, MSG_NOSIGNAL) {
                Ok(sent) => {
                    self.unsent.drain(..sent.min(self.unsent.len()));
                    if self.unsent.is_empty() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is(&error, Errno::NOBUFS) || is(&error, Errno::NOMEM) || is(&error, Errno::PERM) => {
                    return Err(Trouble::Ours(format!("send: {error}")));
                }
                // What the server said before it ended the connection still counts: reading tells.
                Err(error) if self.carrier == Carrier::Stream && is(&error, Errno::PIPE) => {
                    self.unsent.clear();
                    break;
                }
                Err(error) => return Err(Trouble::Server(Failure::Connection(error.to_string()))),
            }
        }
        self.watch(shared, id)
    }

    /// Watches the socket for what is waited for.
    fn watch(&mut self, shared: &Shared, id: u64) -> Result<(), Trouble> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let interest = if self.unsent.is_empty() { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
        if interest != self.interest {
            epoll::modify(&shared.epoll, socket, epoll::EventData::new_u64(id), interest)
                .map_err(|error| Trouble::Ours(format!("watch a socket: {error}")))?;
            self.interest = interest;
        }
        Ok(())
    }
}

/// asm-generic/socket: no signal if the other end is gone.
const MSG_NOSIGNAL: i32 = 0x4000;

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Whose trouble it is that a connection cannot be made: this machine's if it has run out of something or may not.
fn of_connecting(error: &io::Error) -> Trouble {
    let ours = [
        Errno::ADDRNOTAVAIL,
        Errno::ADDRINUSE,
        Errno::AGAIN,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::PERM,
        Errno::ACCESS,
        Errno::AFNOSUPPORT,
        Errno::INVAL,
    ];
    if ours.into_iter().any(|errno| is(error, errno)) {
        Trouble::Ours(format!("connect: {error}"))
    } else {
        Trouble::Server(Failure::Connection(error.to_string()))
    }
}
