//! The crash guardian: a small process that resigns for the application when that cannot do it any more.
//!
//! VRRP inside an application means that a crash of the application is the failover. Its peers would notice after
//! Active_Down_Interval, 3.6 s at the usual interval. A [`Guardian`] is a child process that notices at once: it removes
//! the addresses from this host, and then sends the farewell of a planned hand-over, so that a Backup takes over some
//! 10 ms later. All that it needs for that lies ready, in memory that it shares with the application.
//!
//! ```no_run
//! use vrrp_net::guardian::{Farewell, Guardian, Removal};
//! use vrrp_net::vrrp_core::IfIndex;
//!
//! // Early: before threads, large data and secrets are there; after becoming a daemon.
//! let mut guardian = Guardian::spawn()?;
//!
//! // Before the first advertisement and the first address.
//! let eth0 = IfIndex::new(2)?;
//! let mut removal = Removal::new();
//! removal.address(eth0, "192.0.2.100".parse()?);
//! let mut farewell = Farewell::new();
//! farewell.packet(eth0, "192.0.2.1".parse()?, "224.0.0.18".parse()?, 255, &[/* an advertisement */])?;
//! guardian.arm(0, &removal, &farewell)?;
//!
//! // After the release of the addresses.
//! guardian.disarm(0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When it acts, and when it does not
//!
//! | what happens | what the guardian does |
//! |---|---|
//! | `kill -9`, the OOM killer, `abort`, a segmentation fault | acts |
//! | `exit`, or the end of `main`, with something still armed: nobody has released it | acts |
//! | [`dismiss`](Guardian::dismiss), or the `Guardian` is dropped | leaves silently |
//! | it is dropped by a panic with something still armed | acts: whoever was to release it did not |
//! | the application is stopped (`SIGSTOP`, a debugger) or hangs | nothing: that is for the [`Lease`](crate::Lease) |
//! | the application calls `exec` | acts: the new program knows nothing of the addresses |
//! | the application forks, and the child lives on when it dies | acts |
//! | signals for the process group or the terminal | nothing: it blocks all, and is in a session of its own |
//! | the guardian is killed | its descriptor tells the application, which can spawn another |
//! | both are killed | nothing: that is for the lease |
//!
//! A driver that is dropped in a panic releases its addresses by itself, and disarms what it released. So a panic that
//! unwinds is a clean stop, with `panic = "abort"` it is a crash, and both end with the addresses gone.
//!
//! A program that means to go on as another by `exec` dismisses the guardian first, and the new program spawns its own;
//! in between there is the lease. One that becomes a daemon by `fork` does so before it spawns a guardian, because it is
//! the process that spawned it whose death counts.
//!
//! # What delays it
//!
//! The kernel writes the core dump, if there is to be one, before it tells anybody that the process is at its end. Where 10 ms count, have no core dumped (`ulimit -c 0`; systemd: `LimitCORE=0`, and no pipe in
//! `/proc/sys/kernel/core_pattern`). A process that is the first of its container (number 1) takes the whole container
//! along: run it under an init (`docker run --init`). How much memory the application has does not matter: a thread
//! in it, `vrrp-guarded`, does nothing but hold a lock whose holder's death the kernel reports before it frees the memory.
//!
//! # The process
//!
//! It is called `vrrp-guardian`. It is a fork, not a program of its own, so there is nothing to install. It has none of
//! the application's descriptors, gives the application's memory back, keeps `CAP_NET_ADMIN` as its only privilege (what it
//! has to send needs none), and is in the root directory. Where it is allowed to, it is out of the OOM killer's reach
//! (`CAP_SYS_RESOURCE`), cannot be paged out (`CAP_IPC_LOCK`), and runs before others (`CAP_SYS_NICE`).
//! It makes no SIGCHLD, and the application's own `waitpid(-1)` does not see it.
//!
//! systemd sends its signals to the guardian too. `SIGTERM` it does not mind, so that it is there as long as the
//! application stops; with `OOMPolicy=kill`, which kills the whole service, it survives by the above.

mod child;
mod memory;
mod words;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use vrrp_core::Instant;

pub(crate) use self::child::live;
use self::memory::Memory;
pub use self::words::{Farewell, Removal};
use crate::error::{Capability, Error};
use crate::sys::guardian::{self as sys, Descriptors};

/// How long the child may take to get ready, and to leave: a safeguard, not a tuning.
const PATIENCE: Duration = Duration::from_secs(5);
/// Room for packets on their way: those of all virtual routers at once.
const SEND_BUFFER: usize = 4 * 1024 * 1024;
/// `IPPROTO_RAW`: whole packets, with their IP header.
const WHOLE_PACKETS: i32 = 255;

/// A child process that removes addresses and resigns when this process dies. See the [module](self).
///
/// The descriptor that it gives ([`AsFd`]) becomes readable when the child is gone; watch it. Then drop the guardian,
/// spawn another, and arm that.
///
/// Arm before what it is to undo, and disarm after it was undone by yourself: what is not there any more can be removed
/// once more, but what nobody knows of stays.
#[derive(Debug)]
pub struct Guardian {
    memory: Memory,
    control: UnixStream,
    /// Readable when the child has ended; `None` before Linux 5.3.
    ended: Option<OwnedFd>,
    pid: u32,
    /// The process that it guards: a fork of that has a copy of this value, but no say.
    guarded: u32,
}

impl Guardian {
    /// How many slots there are, one for each virtual router: 0 to 8191.
    pub const SLOTS: usize = 8192;

    /// Starts the process. When this returns, it has given up all that was the application's.
    ///
    /// Do it early, while the application is small: a fork takes longer the more memory there is. It is safe in a program
    /// with threads. It acts in the network namespace of the calling thread, and it has the capabilities that this
    /// thread has now: do it before privileges are dropped.
    ///
    /// 256 MiB of address space are reserved (64 MiB on 32-bit machines), and memory is used for what is armed alone:
    /// twice its size, rounded up to a power of two.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] without `CAP_NET_RAW` and `CAP_NET_ADMIN`; [`Error::Io`] if there are no descriptors,
    /// processes or memory left, or the child did not get ready.
    pub fn spawn() -> Result<Self, Error> {
        if !Capability::NetAdmin.is_effective() {
            let operation = "remove addresses when this process dies".to_owned();
            return Err(Error::MissingCapability { operation, capability: Capability::NetAdmin });
        }
        let failed = |what: &'static str| move |error| Error::io(format!("start the guardian: {what}"), error);
        let (control, theirs) = UnixStream::pair().map_err(failed("control socket"))?;
        let guarded = std::process::id();
        let descriptors = Descriptors {
            control: theirs.into(),
            parent: sys::process_descriptor(guarded),
            four: packet_socket(Domain::IPV4)?,
            six: match packet_socket(Domain::IPV6) {
                Ok(socket) => Some(socket),
                // Without IPv6 there are no addresses of it to guard.
                Err(Error::Io { source, .. }) if source.raw_os_error() == Some(crate::sys::EAFNOSUPPORT) => None,
                Err(error) => return Err(error),
            },
            route: Socket::new(Domain::from(crate::sys::AF_NETLINK), Type::RAW, None)
                .map_err(failed("netlink socket"))?
                .into(),
        };
        let mut memory = Memory::new().map_err(failed("shared memory"))?;
        memory.shared.pledge().map_err(failed("thread"))?;
        let pid = sys::fork(&memory.shared, &descriptors).map_err(failed("fork"))?;
        // Now the child's end has no other owner, so that the child's end is an end of file here.
        drop(descriptors);
        let mut guardian = Self { memory, control, ended: sys::process_descriptor(pid), pid, guarded };
        guardian.wait_until_ready().map_err(failed("wait until it is ready"))?;
        Ok(guardian)
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        self.control.set_read_timeout(Some(PATIENCE))?;
        let mut octet = [0];
        self.control.read_exact(&mut octet)?;
        self.control.set_read_timeout(None)?;
        if octet == [sys::READY] { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Has the guardian do this for a virtual router when this process dies: first remove, then say farewell; those with
    /// few addresses before those with many, and one with more than 200 says farewell first.
    ///
    /// It replaces what the slot had, each of the two whole: if the process dies meanwhile, the guardian does what one of
    /// them was before, or what it is now. It costs a copy of both, and nobody is waited for.
    ///
    /// # Errors
    /// [`Error::GuardianSlot`], [`Error::GuardianFull`]; what the slot had is as it was, or one of the two is replaced.
    /// [`Error::Unsupported`] in another process than the one that is guarded.
    pub fn arm(&mut self, slot: usize, removal: &Removal, farewell: &Farewell) -> Result<(), Error> {
        self.check_process()?;
        self.memory.set_removal(slot, removal)?;
        self.memory.set_farewell(slot, farewell)
    }

    /// Replaces the farewell alone. It costs a copy of it, so that it can be done with each advertisement.
    ///
    /// A farewell that is signed must be: a receiver takes it only if it is later than the last advertisement, and fresh.
    /// So build the advertisement and its copies, then the farewell, call this, and then send the advertisement.
    ///
    /// # Errors
    /// As for [`arm`](Self::arm).
    pub fn renew(&mut self, slot: usize, farewell: &Farewell) -> Result<(), Error> {
        self.check_process()?;
        self.memory.set_farewell(slot, farewell)
    }

    /// Sets anew until when the farewell may be said, see [`Farewell::expire`]. It costs one store.
    ///
    /// # Errors
    /// [`Error::GuardianSlot`]; [`Error::Unsupported`] in another process than the one that is guarded.
    pub fn extend(&mut self, slot: usize, until: Option<Instant>) -> Result<(), Error> {
        self.check_process()?;
        self.memory.set_until(slot, until)
    }

    /// Has the guardian do nothing for a virtual router any more.
    pub fn disarm(&mut self, slot: usize) {
        if self.check_process().is_ok() {
            self.memory.clear(slot);
        }
    }

    /// Whether the process is there. It may have been killed; then nothing is guarded.
    pub fn is_alive(&self) -> bool {
        !sys::is_readable(self.as_fd(), Duration::ZERO)
    }

    /// The number of the process, for logs.
    pub fn process_id(&self) -> u32 {
        self.pid
    }

    /// Has the process leave silently, and waits until it has. Dropping does the same, unless it is a panic that drops.
    pub fn dismiss(mut self) {
        self.end(sys::LEAVE);
    }

    fn end(&mut self, word: u8) {
        // The child may be gone already; then this fails, and there is nothing to wait for.
        let _ = self.control.write_all(&[word]);
        // It has been waiting for this, and hears the word first.
        self.memory.shared.take_back();
        if !sys::is_readable(self.as_fd(), PATIENCE) {
            // Somebody has stopped it.
            let _ = sys::kill(self.pid);
            sys::is_readable(self.as_fd(), PATIENCE);
        }
        // Without a process descriptor what is readable is the end of its socket, a moment before its own.
        for _ in 0..1000 {
            if sys::reap(self.pid) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn check_process(&self) -> Result<(), Error> {
        if std::process::id() == self.guarded {
            return Ok(());
        }
        let text = format!("this guardian is for process {}: a fork of it spawns its own", self.guarded);
        Err(Error::Unsupported(text))
    }
}

impl AsFd for Guardian {
    /// Readable when the process is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_ref().map_or_else(|| self.control.as_fd(), AsFd::as_fd)
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // In a fork of the application this is a copy, and its end is none of the guardian's business.
        if self.check_process().is_ok() && !sys::reap(self.pid) {
            let crash = std::thread::panicking() && self.memory.is_armed();
            self.end(if crash { sys::ACT } else { sys::LEAVE });
        }
    }
}

/// A socket for whole packets. It receives none.
fn packet_socket(domain: Domain) -> Result<OwnedFd, Error> {
    let name = if domain == Domain::IPV4 { "IPv4" } else { "IPv6" };
    let failed = |error| Error::privileged(format!("start the guardian: raw {name} socket"), Capability::NetRaw, error);
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(WHOLE_PACKETS))).map_err(failed)?;
    let no_loopback = match domain {
        Domain::IPV4 => socket.set_multicast_loop_v4(false),
        _ => socket.set_multicast_loop_v6(false),
    };
    no_loopback.and_then(|()| socket.set_priority(6)).map_err(failed)?;
    // A smaller one means that the last packets of very many wait for the first.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    Ok(socket.into())
}
