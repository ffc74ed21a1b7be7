//! Many clients of one listening socket, none of whom can hold up or fill the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{Timespec, epoll};

/// Clients at a time. One more, and the one that has been there for longest goes.
const MOST_CLIENTS: usize = 32;
/// Octets of a message.
const MOST_IN: usize = 16 * 1024;
/// Octets that wait for a client that does not read. The status of 4,000 virtual routers fits.
const MOST_OUT: usize = 32 * 1024 * 1024;
/// Reads and writes of one client in a turn.
const MOST_STEPS: usize = 8;
/// The number under which the listening socket is watched.
const LISTENER: u64 = 0;

/// A client, for as long as it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Client(u64);

/// Where one message ends: the octets of the message, and those up to the next.
pub(super) type Complete = fn(&[u8]) -> Option<(usize, usize)>;

/// A message is a line.
pub(super) fn line(input: &[u8]) -> Option<(usize, usize)> {
    input.iter().position(|octet| *octet == b'\n').map(|end| (end, end + 1))
}

/// A message is the head of an HTTP request: everything up to an empty line.
pub(super) fn head(input: &[u8]) -> Option<(usize, usize)> {
    let ends = |end: &[u8]| input.windows(end.len()).position(|part| part == end).map(|at| at + end.len());
    ends(b"\r\n\r\n").or_else(|| ends(b"\n\n")).map(|end| (end, end))
}

/// A listening socket with its clients, behind one descriptor.
#[derive(Debug)]
pub(super) struct Server {
    poll: OwnedFd,
    listener: Listener,
    connections: BTreeMap<Client, Connection>,
    /// Those to be looked at by [`flush`](Self::flush).
    touched: BTreeSet<Client>,
    next: u64,
    /// The file goes with the server.
    _place: Option<Place>,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// The socket's file, which goes with it if it is still that.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    inode: u64,
}

#[derive(Debug)]
struct Connection {
    stream: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    /// No more is read from it, and it goes once it has the output.
    ending: bool,
}

impl Server {
    /// Listens at a path, for the user of this process alone.
    pub(super) fn at_path(path: &Path) -> io::Result<Self> {
        let at =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {}: {error}", path.display()));
        let is_socket = |path: &Path| path.symlink_metadata().is_ok_and(|it| it.file_type().is_socket());
        if is_socket(path) {
            match UnixStream::connect(path) {
                Ok(_) => {
                    return Err(at(io::Error::new(ErrorKind::AddrInUse, "another process does: name another path")));
                }
                // Of a process that has died.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(at)?,
                Err(error) => return Err(at(error)),
            }
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(at)?;
        }
        // Nobody else may connect, at no time: it gets its name once its mode is right.
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let listener = UnixListener::bind(&draft).map_err(at)?;
        let place = || {
            std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
            std::fs::rename(&draft, path)?;
            std::fs::symlink_metadata(path)
        };
        let inode = match place() {
            Ok(metadata) => metadata.ino(),
            Err(error) => {
                let _ = std::fs::remove_file(&draft);
                return Err(at(error));
            }
        };
        listener.set_nonblocking(true).map_err(at)?;
        Self::new(Listener::Unix(listener), Some(Place { path: path.to_owned(), inode }))
    }

    /// Listens at a TCP port.
    pub(super) fn at_address(address: SocketAddr) -> io::Result<Self> {
        let at = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"));
        let listener = TcpListener::bind(address).map_err(at)?;
        listener.set_nonblocking(true).map_err(at)?;
        Self::new(Listener::Tcp(listener), None)
    }

    fn new(listener: Listener, place: Option<Place>) -> io::Result<Self> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        let (connections, touched) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { poll, listener, connections, touched, next: LISTENER + 1, _place: place })
    }

    /// Takes new clients in and reads what they say: the messages that are complete, in order.
    pub(super) fn process(&mut self, complete: Complete) -> io::Result<Vec<(Client, Vec<u8>)>> {
        let mut events = Vec::with_capacity(MOST_CLIENTS + 1);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&at_once)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut messages = Vec::new();
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept()?,
                number => self.turn(Client(number), complete, &mut messages),
            }
        }
        Ok(messages)
    }

    /// Gives a client something to read, with the next [`flush`](Self::flush).
    pub(super) fn send(&mut self, client: Client, octets: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&client) {
            connection.output.extend_from_slice(octets);
            self.touched.insert(client);
        }
    }

    /// Lets a client go once it has what was sent.
    pub(super) fn end(&mut self, client: Client) {
        if let Some(connection) = self.connections.get_mut(&client) {
            connection.ending = true;
            self.touched.insert(client);
        }
    }

    /// Writes what clients take now; the rest waits for them. One that lets too much wait is dropped.
    pub(super) fn flush(&mut self) {
        for client in std::mem::take(&mut self.touched) {
            self.settle(client);
        }
    }

    /// Whether a client is still there.
    pub(super) fn has(&self, client: Client) -> bool {
        self.connections.contains_key(&client)
    }

    fn accept(&mut self) -> io::Result<()> {
        let stream = match &self.listener {
            Listener::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                Ok(OwnedFd::from(stream))
            }),
            Listener::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                Ok(OwnedFd::from(stream))
            }),
        };
        // One that is gone again, or no descriptor is left: nothing that the daemon ends for.
        let Ok(stream) = stream else { return Ok(()) };
        if self.connections.len() >= MOST_CLIENTS {
            self.connections.pop_first();
        }
        let client = Client(self.next);
        self.next += 1;
        epoll::add(&self.poll, &stream, epoll::EventData::new_u64(client.0), epoll::EventFlags::IN)?;
        let connection = Connection { stream, input: Vec::new(), output: Vec::new(), ending: false };
        self.connections.insert(client, connection);
        Ok(())
    }

    /// Reads what a client says.
    fn turn(&mut self, client: Client, complete: Complete, messages: &mut Vec<(Client, Vec<u8>)>) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        if !connection.ending {
            // One that says no more may still want to hear.
            connection.ending = !connection.read();
            let mut start = 0;
            while let Some((end, next)) = connection.input.get(start..).and_then(complete) {
                messages.push((client, connection.input[start..start + end].to_vec()));
                start += next;
            }
            connection.input.drain(..start);
        }
        // What has no end within bounds is no message.
        if connection.input.len() < MOST_IN {
            self.touched.insert(client);
        } else {
            self.connections.remove(&client);
        }
    }

    /// Writes what can be written, and waits for room for the rest; drops a client that is done, gone or hopeless.
    fn settle(&mut self, client: Client) {
        let Some(connection) = self.connections.get_mut(&client) else { return };
        let alive = connection.write() && connection.output.len() <= MOST_OUT;
        let waits = !connection.output.is_empty();
        let done = connection.ending && !waits;
        let input = if connection.ending { epoll::EventFlags::empty() } else { epoll::EventFlags::IN };
        let output = if waits { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
        let data = epoll::EventData::new_u64(client.0);
        let watched = epoll::modify(&self.poll, &connection.stream, data, input | output).is_ok();
        if !alive || done || !watched {
            self.connections.remove(&client);
        }
    }
}

impl Connection {
    /// Whether there may be more to come.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        for _ in 0..MOST_STEPS {
            match rustix::io::read(&self.stream, &mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Whether the client is still there.
    fn write(&mut self) -> bool {
        let mut written = 0;
        let mut alive = true;
        for _ in 0..MOST_STEPS {
            let Some(rest) = self.output.get(written..).filter(|rest| !rest.is_empty()) else { break };
            // A socket whose other end is gone must not end this process by a signal.
            match rustix::net::send(&self.stream, rest, rustix::net::SendFlags::NOSIGNAL) {
                Ok(length) => written += length,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => break,
                Err(_) => {
                    alive = false;
                    break;
                }
            }
        }
        self.output.drain(..written);
        alive
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(listener) => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
