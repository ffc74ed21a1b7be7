//! A TCP connection as a check. In a thread: the look-up of a name cannot be hurried.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

/// How many may be under way at once: a name server that does not answer holds them for long.
const MOST: usize = 64;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// A connection that is being made.
#[derive(Debug)]
pub(super) struct Probe {
    stream: UnixStream,
    /// Why it failed, as far as that was said.
    words: Vec<u8>,
}

/// One that counts.
struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Probe {
    pub(super) fn start(host: String, port: u16, timeout: Duration) -> anyhow::Result<Self> {
        if UNDER_WAY.fetch_add(1, Ordering::Relaxed) >= MOST {
            UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
            anyhow::bail!("{MOST} connections are under way: does the name server answer?");
        }
        let place = Place;
        let (ours, mut theirs) = UnixStream::pair().context("cannot make a pipe")?;
        ours.set_nonblocking(true).context("cannot make a pipe")?;
        let connect = move || {
            let _place = place;
            let words = connect(&host, port, timeout).err().unwrap_or_default();
            // Nobody may want to know any more.
            let _ = theirs.write_all(words.as_bytes());
        };
        std::thread::Builder::new().name("vrrp-connect".to_owned()).spawn(connect).context("cannot start a thread")?;
        Ok(Self { stream: ours, words: Vec::new() })
    }

    /// `None` while it is under way; then why it failed, or that it did not.
    pub(super) fn result(&mut self) -> Option<Option<String>> {
        // What was read before it would block is kept.
        match self.stream.read_to_end(&mut self.words) {
            Ok(_) if self.words.is_empty() => Some(None),
            Ok(_) => Some(Some(String::from_utf8_lossy(&self.words).into_owned())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(Some(error.to_string())),
        }
    }
}

impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn connect(host: &str, port: u16, timeout: Duration) -> Result<(), String> {
    let end = Instant::now() + timeout;
    let mut failure = format!("{host}: no address");
    for address in (host, port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))? {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(()),
            Err(error) => failure = format!("{address}: {error}"),
        }
    }
    Err(failure)
}
