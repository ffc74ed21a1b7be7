//! The system calls that no safe crate wraps: the only file of this crate with `unsafe` in it.
//!
//! Sections: descriptors that wait (epoll, timerfd), packet sockets, socket options, sockets that send and receive in
//! batches, the guardian's process, and for the lab the namespaces and processes. Every function here is safe to call;
//! descriptors are owned or borrowed, never bare numbers.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

// The numbers that the rest of the crate needs; nothing else of libc leaves this file.
pub(crate) use libc::{
    AF_NETLINK, AF_UNSPEC, EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EBUSY, EEXIST, EHOSTUNREACH, ENETDOWN,
    ENETUNREACH, ENOBUFS, ENODEV, ENOENT, ENOMEM, EOPNOTSUPP, EPERM, EROFS, ESRCH, MSG_TRUNC,
};
use vrrp_core::{IfIndex, Instant};

use crate::filter::Instruction;

// ---------------------------------------------------------------------------------------------------------------------
// Time, and descriptors that wait
// ---------------------------------------------------------------------------------------------------------------------

/// Now on `CLOCK_BOOTTIME`: monotonic, and it goes on while the host is suspended.
pub(crate) fn boottime_now() -> Instant {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to write to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    // The call fails only for a clock that the kernel does not have, and every kernel since 2.6.39 has this one.
    debug_assert_eq!(result, 0);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Gives the calling thread a real-time priority (`SCHED_RR`, 1 to 99). Threads and processes that it makes have none.
pub(crate) fn set_real_time_priority(priority: u8) -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: libc::c_int::from(priority) };
    // SAFETY: `parameter` is valid for the call; thread 0 is the calling one.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameter) })
}

/// An epoll set: one descriptor that is readable when any of its members is.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Self)
    }

    /// Watch `fd` for reading (level-triggered); [`Ready::token`] will be `token`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN.cast_unsigned(), u64: token };
        // SAFETY: `event` is valid for the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) })
    }

    /// Watch `fd` for reading, edge-triggered: told once each time it becomes readable, whether it is read or not.
    pub(crate) fn add_edge(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLET).cast_unsigned();
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` is valid for the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) })
    }

    /// Watch `fd` no more.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: the kernel reads no event when it removes.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut()) })
    }

    /// Fill `ready` with the members that are ready now. Returns how many.
    pub(crate) fn look(&self, ready: &mut [Ready]) -> io::Result<usize> {
        self.wait(ready, Some(Duration::ZERO))
    }

    /// Wait until a member is ready, at most `timeout`, and leave it so: edges are not taken. Whether one is.
    pub(crate) fn wait_readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut fd = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `fd` is one valid pollfd for the call to write to.
        let count = unsafe { libc::poll(&raw mut fd, 1, timeout.map_or(-1, milliseconds_up)) };
        match check(count.min(0)) {
            Ok(()) => Ok(count > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Wait until a member is ready, at most `timeout` (`None`: forever; zero: only look), and fill `ready` from its
    /// start.
    ///
    /// Returns how many slots were filled; 0 after the timeout or a signal. A timeout is rounded up to milliseconds.
    pub(crate) fn wait(&self, ready: &mut [Ready], timeout: Option<Duration>) -> io::Result<usize> {
        let slots = libc::c_int::try_from(ready.len()).unwrap_or(libc::c_int::MAX);
        let timeout = timeout.map_or(-1, milliseconds_up);
        // SAFETY: `Ready` is a transparent epoll_event, and `slots` is at most the length of the slice.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), ready.as_mut_ptr().cast(), slots, timeout) };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            },
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A member of an [`Epoll`] set that has something to say.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Ready(libc::epoll_event);

impl Ready {
    /// An empty slot for [`Epoll::wait`].
    pub(crate) const EMPTY: Self = Self(libc::epoll_event { events: 0, u64: 0 });

    /// The token that the member was added with.
    pub(crate) const fn token(self) -> u64 {
        self.0.u64
    }
}

/// Has the current tokio runtime watch a driver for reading.
#[cfg(feature = "tokio")]
pub(crate) fn register(driver: crate::Driver) -> io::Result<tokio::io::unix::AsyncFd<crate::Driver>> {
    // SAFETY: a driver owns its descriptor, which stays open and the same as long as the driver lives.
    let registered = unsafe { tokio::io::unix::AsyncFd::register_with_interest(driver, tokio::io::Interest::READABLE) };
    registered.map_err(Into::into)
}

/// A timer on `CLOCK_BOOTTIME`: a descriptor that becomes readable at a given instant.
#[derive(Debug)]
pub(crate) struct Timer(OwnedFd);

impl Timer {
    /// A timer that is not armed.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers; the result is checked before it is owned.
        owned(unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME, flags) }).map(Self)
    }

    /// Become readable at `deadline`, at once if it has passed, or never if `None`. Arming also drains.
    pub(crate) fn arm(&self, deadline: Option<Instant>) -> io::Result<()> {
        let mut setting = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        };
        if let Some(deadline) = deadline.filter(|deadline| *deadline != Instant::FAR_FUTURE) {
            // A value of zero would disarm.
            let nanos = deadline.as_nanos().max(1);
            setting.it_value.tv_sec = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
            setting.it_value.tv_nsec = i64::try_from(nanos % 1_000_000_000).unwrap_or(0);
        }
        let fd = self.0.as_raw_fd();
        // SAFETY: `setting` is a valid itimerspec; the old value is not asked for.
        check(unsafe { libc::timerfd_settime(fd, libc::TFD_TIMER_ABSTIME, &raw const setting, std::ptr::null_mut()) })
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `duration` in milliseconds for poll and epoll: rounded up, so that a wait never ends early and then spins.
fn milliseconds_up(duration: Duration) -> libc::c_int {
    libc::c_int::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
}

// ---------------------------------------------------------------------------------------------------------------------
// Packet sockets
// ---------------------------------------------------------------------------------------------------------------------

/// Every protocol, for [`packet_socket`]: frames this host sends are seen too.
#[cfg(feature = "lab")]
pub(crate) const ETHERTYPE_ALL: u16 = 3;

/// The address resolution protocol (`linux/if_ether.h`).
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;

/// A packet socket of whole frames (`AF_PACKET`, `SOCK_RAW`), non-blocking, closed on exec.
///
/// With an `ethertype` it receives from every interface at once until it is bound; with 0 it receives nothing until
/// [`bind_packet`], so that a filter can be attached in between.
pub(crate) fn packet_socket(ethertype: u16) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; the result is checked before it is owned.
    owned(unsafe { libc::socket(libc::AF_PACKET, kind, libc::c_int::from(ethertype.to_be())) })
}

/// Receive frames of `ethertype` from this interface only.
pub(crate) fn bind_packet(socket: BorrowedFd<'_>, interface: IfIndex, ethertype: u16) -> io::Result<()> {
    let address = link_address(interface, ethertype);
    let length = socklen::<libc::sockaddr_ll>();
    // SAFETY: `address` is a sockaddr_ll of that length, valid for the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })
}

/// Receive one datagram or frame into `buffer`; what does not fit is cut off. Returns its length.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is writable and of the length given.
    byte_count(unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// Have the kernel note when it sees each datagram or frame, for [`Inbox`] and [`receive_stamped`].
pub(crate) fn stamp_arrivals(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on)
}

/// As [`receive`], with how long ago the kernel saw the frame: it may have waited for its reader.
#[cfg(feature = "lab")]
pub(crate) fn receive_stamped(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Duration)> {
    /// Room for a time, aligned for its header.
    #[repr(C, align(8))]
    struct Ancillary([u8; 64]);
    let mut ancillary = Ancillary([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: integers and pointers, for which zero and null are values.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut ancillary).cast();
    message.msg_controllen = size_of::<Ancillary>() as _;
    // SAFETY: the message points to buffers that outlive the call, with their lengths.
    let length = byte_count(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) })?;
    let now = since_epoch();
    // SAFETY: the kernel has filled the ancillary data and set its length; the first header, if any, lies inside of it,
    // and the time is read only if it is long enough for one.
    let seen = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        header.as_ref().and_then(|it| {
            let is_time = (it.cmsg_level, it.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS);
            let whole = it.cmsg_len >= libc::CMSG_LEN(socklen::<libc::timespec>()) as _;
            (is_time && whole).then(|| libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned())
        })
    };
    Ok((length, seen.map_or(Duration::ZERO, |seen| now.saturating_sub(duration(seen)))))
}

/// The time of day, which is the clock of what [`stamp_arrivals`] notes.
fn since_epoch() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

fn duration(time: libc::timespec) -> Duration {
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// Have the interface receive frames for other hosts too, as long as the socket is open.
#[cfg(feature = "lab")]
pub(crate) fn set_promiscuous(socket: BorrowedFd<'_>, interface: IfIndex) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: interface.get().cast_signed(),
        mr_type: u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or_default(),
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

fn link_address(interface: IfIndex, ethertype: u16) -> libc::sockaddr_ll {
    // SAFETY: sockaddr_ll is integers and an array of them, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = interface.get().cast_signed();
    address
}

// ---------------------------------------------------------------------------------------------------------------------
// Socket options, netlink
// ---------------------------------------------------------------------------------------------------------------------

/// A netlink socket that takes `fd` over.
pub(crate) fn netlink_socket(fd: OwnedFd) -> netlink_sys::Socket {
    // SAFETY: the descriptor is owned and given up here, so the socket is its only owner.
    unsafe { netlink_sys::Socket::from_raw_fd(fd.into_raw_fd()) }
}

/// Make room for `bytes` of unread messages: past the system's limit with `CAP_NET_ADMIN`, else up to it.
pub(crate) fn set_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes))
}

/// The process at the other end of a unix socket, as it was when that one began to listen, and its user.
pub(crate) fn peer_credentials(socket: BorrowedFd<'_>) -> io::Result<(i32, u32)> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = socklen::<libc::ucred>();
    // SAFETY: `credentials` is writable for `length` octets during the call, and any octets make a `ucred`.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    })?;
    Ok((credentials.pid, credentials.uid))
}

/// Leaves these descriptors open in the program that `command` starts, under their numbers, and in no other.
pub(crate) fn keep_open(command: &mut std::process::Command, kept: Vec<OwnedFd>) {
    use std::os::unix::process::CommandExt as _;

    let leave_open = move || {
        kept.iter().try_for_each(|fd| {
            // SAFETY: F_SETFD takes an int; the descriptor is open, since the closure owns it.
            check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) })
        })
    };
    // SAFETY: after the fork it only calls fcntl, which is async-signal-safe, and reads memory that is the child's own.
    unsafe { command.pre_exec(leave_open) };
}

/// Takes over descriptors that this program was started with. Only the first call gives any.
pub(crate) fn take_inherited(numbers: &[i32]) -> io::Result<Vec<OwnedFd>> {
    use std::sync::atomic::{AtomicBool, Ordering};

    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Ok(Vec::new());
    }
    for (place, number) in numbers.iter().enumerate() {
        if *number < 3 || numbers.iter().take(place).any(|other| other == number) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: F_SETFD takes an int; it fails if no descriptor has this number.
        check(unsafe { libc::fcntl(*number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    // SAFETY: they are open, each is named once, and whoever started this program named them for this call alone, which is
    // made once.
    Ok(numbers.iter().map(|number| unsafe { OwnedFd::from_raw_fd(*number) }).collect())
}

/// Has every descriptor from 3 on closed in the programs that this process starts. Before Linux 5.11 it does nothing.
pub(crate) fn close_all_on_exec() {
    // SAFETY: no pointers; no descriptor is closed in this process.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// The effective user of this process.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: it has no arguments and cannot fail.
    unsafe { libc::geteuid() }
}

/// `setsockopt` with a plain C value.
fn set_option<T>(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let value: *const T = value;
    // SAFETY: `value` points to a `T`, which is as long as said and valid for the call; the kernel copies it.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.cast(), socklen::<T>()) })
}

// ---------------------------------------------------------------------------------------------------------------------
// Sockets

// ---------------------------------------------------------------------------------------------------------------------
// Guardian
// ---------------------------------------------------------------------------------------------------------------------

pub(crate) mod guardian {
    //! The process behind [`crate::Guardian`]: the memory it shares with its parent, how it is made, and the few things
    //! that it can do.
    //!
    //! The parent may have threads, and one of them may hold any lock at the moment of the fork. So what runs in the child
    //! allocates nothing, takes no lock, cannot panic, and calls the kernel through `libc::syscall` alone: the parent has
    //! just made the fork by it, so that not even the dynamic linker has anything left to do. What it needs is in
    //! [`Given`], on its stack, and in the shared memory; all other memory of the parent it gives back.

    use std::convert::Infallible;
    use std::io;
    use std::mem;
    use std::net::IpAddr;
    use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
    use std::ptr::{self, NonNull};
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::{check, milliseconds_up, owned};
    use crate::guardian::live;

    // ---- Shared memory ----

    /// Zeroed memory that a forked child shares. Pages cost nothing until they are written to.
    #[derive(Debug)]
    pub(crate) struct SharedMemory {
        window: Window,
        pledge: Option<Pledge>,
    }

    /// A thread that holds [`Robust`].
    #[derive(Debug)]
    struct Pledge {
        /// Dropped to end it.
        stop: mpsc::Sender<Infallible>,
        thread: JoinHandle<()>,
        /// The process that has the thread; a fork of it has this value only.
        process: u32,
    }

    /// A robust futex in the shared memory: the kernel marks it and wakes its waiter when the thread that holds it dies.
    ///
    /// It does so before it frees the memory of the process, which takes a quarter of a second for a gigabyte, while
    /// descriptors are closed after that. It must be here, and not in private memory, which the OOM killer takes away first.
    #[repr(C)]
    struct Robust {
        /// `struct robust_list_head` (linux/futex.h): the only entry, where from there its futex is, and none pending.
        first: usize,
        offset: libc::c_long,
        pending: usize,
        /// The entry: the next one, which is the head again.
        entry: usize,
        /// The number of the thread, 0 if none; and the flags of the kernel.
        futex: AtomicU32,
    }

    /// Octets before it, which are for words; and those of words and itself together.
    const ROBUST: usize = 64;
    const HEADER: usize = 128;
    const _: () = assert!(ROBUST + size_of::<Robust>() <= HEADER);

    /// The first word that is not used here, but for the words below 8.
    pub(crate) const FIRST_WORD: usize = HEADER / size_of::<u64>();

    const FUTEX_WAITERS: u32 = 0x8000_0000;
    const FUTEX_OWNER_DIED: u32 = 0x4000_0000;
    const FUTEX_TID: u32 = 0x3fff_ffff;

    /// The same memory for reading. It checks every place, since the one who wrote it may have died of corrupt memory.
    ///
    /// Made by [`SharedMemory::new`] only, and handed only to the child, in which the memory is mapped until its end.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Window {
        start: NonNull<u8>,
        length: usize,
    }

    // SAFETY: it is memory, with nothing that is bound to a thread. It is written to through `&mut` and by single atomic
    // words only.
    unsafe impl Send for SharedMemory {}
    // SAFETY: as above; `&` gives atomic reads only.
    unsafe impl Sync for SharedMemory {}

    impl SharedMemory {
        /// Memory of this many octets.
        pub(crate) fn new(length: usize) -> io::Result<Self> {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            // Miri has no memory that is shared, and no second process to share it with.
            let kind = if cfg!(miri) { libc::MAP_PRIVATE } else { libc::MAP_SHARED | libc::MAP_NORESERVE };
            let kind = kind | libc::MAP_ANONYMOUS;
            // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
            let start = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, -1, 0) };
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
            Ok(Self { window: Window { start, length }, pledge: None })
        }

        /// Start a thread that sleeps until the memory is dropped or [`take_back`](Self::take_back) is called, and whose
        /// death the child notices first of all.
        pub(crate) fn pledge(&mut self) -> io::Result<()> {
            /// The window for the thread.
            struct Sent(Window);
            // SAFETY: it is memory, which the thread uses atomically or before it says that it is ready; and `take_back`
            // waits for its end before the memory goes.
            unsafe impl Send for Sent {}

            let sent = Sent(self.window);
            let (ready, is_ready) = mpsc::channel();
            let (stop, stopped) = mpsc::channel::<Infallible>();
            let thread = std::thread::Builder::new().name("vrrp-guarded".to_owned()).stack_size(64 * 1024);
            // A program that takes its signals by a descriptor has them blocked in every thread of its own.
            let life = move || {
                // All of it, not its field alone.
                let Sent(window) = { sent };
                let restore = hold(&window);
                let _ = ready.send(());
                // Until the sender is dropped: nothing is ever sent.
                let _ = stopped.recv();
                release(&window, restore);
            };
            let thread = with_signals_blocked(|| thread.spawn(life))?;
            self.pledge = Some(Pledge { stop, thread, process: std::process::id() });
            is_ready.recv().map_err(|_| io::ErrorKind::BrokenPipe.into())
        }

        /// End the thread, and have the child go by its descriptors again.
        pub(crate) fn take_back(&mut self) {
            let Some(Pledge { stop, thread, process }) = self.pledge.take() else { return };
            if process == std::process::id() {
                drop(stop);
                let _ = thread.join();
            } else {
                // There is no such thread here.
                mem::forget((stop, thread));
            }
        }

        /// Octets.
        pub(crate) fn len(&self) -> usize {
            self.window.length
        }

        /// The memory as the child sees it. For tests.
        #[cfg(test)]
        pub(crate) fn window(&self) -> Window {
            self.window
        }

        /// Set a word, after everything written before. Returns whether there is such a word.
        pub(crate) fn store(&mut self, word: usize, value: u64) -> bool {
            let atomic = self.window.word(word);
            // SAFETY: `word` gives an aligned place inside of the mapping, which this borrow keeps alive; words are
            // accessed atomically only.
            atomic.map(|it| unsafe { AtomicU64::from_ptr(it) }.store(value, Ordering::Release)).is_some()
        }

        /// Write octets. Returns whether they have room.
        pub(crate) fn write(&mut self, offset: usize, octets: &[u8]) -> bool {
            let place = self.window.place(offset, octets.len());
            // SAFETY: `place` gives as many octets inside of the mapping, which cannot overlap a slice of the program's.
            // The child reads them once a word says so, and never while this process is alive or before that.
            place.map(|to| unsafe { ptr::copy_nonoverlapping(octets.as_ptr(), to, octets.len()) }).is_some()
        }
    }

    impl Drop for SharedMemory {
        fn drop(&mut self) {
            self.take_back();
            // SAFETY: mapped by `new`, and nothing borrows it any more: windows live in the child, which has a mapping of
            // its own.
            unsafe { libc::munmap(self.window.start.as_ptr().cast(), self.window.length) };
        }
    }

    /// Have the calling thread hold the futex. Returns what [`release`] needs.
    fn hold(window: &Window) -> (usize, usize) {
        let (robust, mut head, mut length) = (window.robust(), 0_usize, 0_usize);
        // SAFETY: nobody else writes to this part of the memory, which is aligned and has room for it (see `HEADER`) and
        // outlives this thread. The kernel reads it at the thread's end. The C library has a list of its own for
        // each thread, empty for this one, which is put back at the end.
        unsafe {
            libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut length);
            (*robust).first = (&raw const (*robust).entry).addr();
            (*robust).entry = (&raw const (*robust).first).addr();
            (*robust).offset = (mem::offset_of!(Robust, futex) - mem::offset_of!(Robust, entry)) as libc::c_long;
            let own = size_of::<[usize; 3]>();
            if libc::syscall(libc::SYS_set_robust_list, robust, own) == 0
                && let Some(futex) = window.futex()
            {
                let thread = u32::try_from(libc::syscall(libc::SYS_gettid)).unwrap_or(0);
                futex.store(thread & FUTEX_TID, Ordering::Release);
            }
        }
        (head, length)
    }

    /// Have the calling thread give the futex back, and wake who waits for it.
    fn release(window: &Window, (head, length): (usize, usize)) {
        let Some(futex) = window.futex() else { return };
        futex.store(0, Ordering::Release);
        // SAFETY: the list is the C library's own of this thread, and the futex is in the mapping.
        unsafe {
            libc::syscall(libc::SYS_set_robust_list, head, length);
            libc::syscall(libc::SYS_futex, futex.as_ptr(), libc::FUTEX_WAKE, 1);
        }
    }

    impl Window {
        /// The word at this place, 0 if there is none.
        pub(crate) fn load(&self, word: usize) -> u64 {
            // SAFETY: an aligned place inside of the mapping, which is there as long as windows are; see the type.
            self.word(word).map_or(0, |it| unsafe { AtomicU64::from_ptr(it) }.load(Ordering::Acquire))
        }

        /// A copy of these octets; `None` if they are not all inside.
        pub(crate) fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
            // SAFETY: as many octets inside of the mapping, and of any alignment; the writer is dead or waits.
            self.place(offset, N).map(|from| unsafe { from.cast::<[u8; N]>().read_unaligned() })
        }

        /// Null if there is no room for it, which cannot be.
        fn robust(&self) -> *mut Robust {
            self.place(ROBUST, size_of::<Robust>()).map_or(ptr::null_mut(), <*mut u8>::cast)
        }

        /// The futex, atomically.
        fn futex(&self) -> Option<&AtomicU32> {
            let robust = NonNull::new(self.robust())?;
            // SAFETY: an aligned place inside of the mapping, which is there as long as windows are; see the type. The futex
            // is accessed atomically only.
            Some(unsafe { AtomicU32::from_ptr(&raw mut (*robust.as_ptr()).futex as *mut u32) })
        }

        fn word(&self, word: usize) -> Option<*mut u64> {
            // The mapping begins at a page, so that words are aligned.
            self.place(word.checked_mul(size_of::<u64>())?, size_of::<u64>()).map(<*mut u8>::cast)
        }

        fn place(&self, offset: usize, length: usize) -> Option<*mut u8> {
            let inside = offset.checked_add(length).is_some_and(|end| end <= self.length);
            // SAFETY: the offset is inside of the mapping.
            if inside { Some(unsafe { self.start.as_ptr().add(offset) }) } else { None }
        }
    }

    // ---- The parent's side ----

    /// Descriptors that the child is to have, and no others.
    #[derive(Debug)]
    pub(crate) struct Descriptors {
        /// A connected socket, the other end of which the parent has.
        pub(crate) control: OwnedFd,
        /// Readable when the parent is dead; `None` before Linux 5.3.
        pub(crate) parent: Option<OwnedFd>,
        /// Sends whole IPv4 packets.
        pub(crate) four: OwnedFd,
        /// Sends whole IPv6 packets; `None` on a host without IPv6.
        pub(crate) six: Option<OwnedFd>,
        /// A `NETLINK_ROUTE` socket.
        pub(crate) route: OwnedFd,
    }

    /// What the child knows: numbers and the window, nothing that points elsewhere.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Given {
        pub(crate) memory: Window,
        control: libc::c_int,
        parent: libc::c_int,
        four: libc::c_int,
        six: libc::c_int,
        route: libc::c_int,
        /// The above, in order; those that are missing first.
        kept: [libc::c_int; 5],
        /// Where the program's arguments are, which `ps` shows, and their octets.
        arguments: (usize, usize),
    }

    /// A descriptor that becomes readable when the process ends, also as long as others have its pipes open.
    ///
    /// `None` if the kernel has no such thing (before 5.3), or a sandbox forbids it.
    pub(crate) fn process_descriptor(pid: u32) -> Option<OwnedFd> {
        // SAFETY: no pointers; the result is checked before it is owned. It is closed on exec by nature.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        owned(libc::c_int::try_from(fd).unwrap_or(-1)).ok()
    }

    /// Fork a child that settles down, says so by one octet on its control socket, lives as [`crate::guardian`] has it, and
    /// ends. Returns its number. It sends no SIGCHLD, and only [`reap`] sees it: the program's own waiting for children does
    /// not.
    pub(crate) fn fork(memory: &SharedMemory, with: &Descriptors) -> io::Result<u32> {
        let number = |fd: &Option<OwnedFd>| fd.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let (control, parent) = (with.control.as_raw_fd(), number(&with.parent));
        let (four, six, route) = (with.four.as_raw_fd(), number(&with.six), with.route.as_raw_fd());
        let mut kept = [control, parent, four, six, route];
        kept.sort_unstable();
        let given = Given { memory: memory.window, control, parent, four, six, route, kept, arguments: arguments() };
        // From here on no handler of the program runs in the child: blocked is blocked for good there.
        with_signals_blocked(|| {
            // SAFETY: all arguments of clone are 0, in whichever order this architecture has them: a fork without a signal
            // at its end. The child, `live` included, does what the module says, on a copy of this stack, and never
            // returns.
            let pid = unsafe { libc::syscall(libc::SYS_clone, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize) };
            if pid == 0 {
                // SAFETY: this is the child.
                unsafe { settle(&given) };
                live(&given);
                loop {
                    // SAFETY: no pointers.
                    unsafe { libc::syscall(libc::SYS_exit_group, 0) };
                }
            }
            u32::try_from(pid).map_err(|_| io::Error::last_os_error())
        })
    }

    /// Do something that starts a thread or a process, which is then to get no signals.
    fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
        // SAFETY: the sets are integers, for which zero is a value, and valid to write to and to read.
        unsafe {
            let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let started = start();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
            started
        }
    }

    /// Whether the descriptor is readable, or its other end gone, within `limit`.
    pub(crate) fn is_readable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
        let started = std::time::Instant::now();
        loop {
            let mut polled = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            let left = limit.saturating_sub(started.elapsed());
            // SAFETY: one pollfd, valid for the call.
            match unsafe { libc::poll(&raw mut polled, 1, milliseconds_up(left)) } {
                -1 if errno() == libc::EINTR && !left.is_zero() => {}
                count => return count > 0,
            }
        }
    }

    /// End a child at once.
    pub(crate) fn kill(pid: u32) -> io::Result<()> {
        // SAFETY: no pointers.
        check(unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) })
    }

    /// Take the leavings of a child that has ended. Returns whether nothing is left of it.
    pub(crate) fn reap(pid: u32) -> bool {
        // SAFETY: the status is not asked for.
        unsafe { libc::waitpid(pid.cast_signed(), ptr::null_mut(), libc::WNOHANG | libc::__WALL) != 0 }
    }

    /// Where the kernel shows the program's arguments from, and how many octets: `arg_start`, `arg_end` in proc(5).
    fn arguments() -> (usize, usize) {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name may have anything in it. After it comes field 3; those wanted are 48 and 49.
        let fields = text.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_ascii_whitespace().skip(45).map_while(|field| field.parse::<usize>().ok());
        match (fields.next(), fields.next()) {
            (Some(start), Some(end)) if start != 0 => (start, end.saturating_sub(start)),
            _ => (0, 0),
        }
    }

    // ---- The child's side ----

    const NAME: &std::ffi::CStr = c"vrrp-guardian";

    /// What the child heard.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Wake {
        /// The parent is dead, or says that it will be.
        Act,
        /// The parent stops in an orderly way.
        Leave,
    }

    /// The octets on the control socket.
    pub(crate) const READY: u8 = b'r';
    pub(crate) const LEAVE: u8 = b'l';
    pub(crate) const ACT: u8 = b'a';

    /// Wait for the end of the parent or its word.
    ///
    /// Each of three ways is needed. The futex tells before the memory of a dead process is freed. A program that calls
    /// exec goes on, but what it ran does not: without the futex the socket tells, which is closed on exec. A child that
    /// the program forked keeps the socket open: then the process descriptor tells.
    pub(crate) fn wait(given: &Given) -> Wake {
        loop {
            let futex = given.memory.futex();
            let held = futex.map_or(0, |futex| futex.load(Ordering::Acquire));
            let died = held & FUTEX_OWNER_DIED != 0;
            let (at_once, forever) = (libc::timespec { tv_sec: 0, tv_nsec: 0 }, ptr::null());
            let limit = if held == 0 || held == FUTEX_WAITERS { forever } else { &raw const at_once };
            let watch = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            let mut polled = [watch(given.control), watch(given.parent)];
            // SAFETY: two pollfd, and a time or none, valid for the call; no mask is given. The number -1 is ignored.
            let found = unsafe { libc::syscall(libc::SYS_ppoll, polled.as_mut_ptr(), 2, limit, ptr::null::<u8>(), 8) };
            // The word first: a parent that said it and ended at once said it.
            match hear(given.control) {
                Some(wake) => return wake,
                None if died || polled[1].revents != 0 => return Wake::Act,
                None if found < 0 => pause(),
                None => {}
            }
            if let Some(futex) = futex.filter(|_| !limit.is_null()) {
                sleep_on(futex);
            }
        }
    }

    /// Wait until the thread that holds the futex dies or releases it, or for some seconds: then the descriptors are
    /// looked at once more.
    fn sleep_on(futex: &AtomicU32) {
        let before = futex.fetch_or(FUTEX_WAITERS, Ordering::AcqRel);
        if before & FUTEX_OWNER_DIED != 0 || before & FUTEX_TID == 0 {
            return;
        }
        let (expected, limit) = (before | FUTEX_WAITERS, libc::timespec { tv_sec: 5, tv_nsec: 0 });
        // SAFETY: the futex is in memory that is mapped for good, and the time is valid for the call.
        let woken =
            unsafe { libc::syscall(libc::SYS_futex, futex.as_ptr(), libc::FUTEX_WAIT, expected, &raw const limit) };
        if woken < 0 && !matches!(errno(), libc::EAGAIN | libc::ETIMEDOUT | libc::EINTR) {
            pause();
        }
    }

    fn hear(control: libc::c_int) -> Option<Wake> {
        let mut octet = 0_u8;
        // SAFETY: one octet, valid to write to; the sender is not asked for.
        let length = unsafe {
            let (flags, nobody) = (libc::MSG_DONTWAIT, ptr::null_mut::<u8>());
            libc::syscall(libc::SYS_recvfrom, control, &raw mut octet, 1_usize, flags, nobody, nobody)
        };
        match (length, octet) {
            (1, LEAVE) => Some(Wake::Leave),
            (1, ACT) | (0, _) => Some(Wake::Act),
            (1, _) => None,
            _ if matches!(errno(), libc::EAGAIN | libc::EINTR) => None,
            // The other end is gone with something unread.
            _ => Some(Wake::Act),
        }
    }

    /// Have the kernel carry out netlink requests from the shared memory. It has done so when this returns; its answers
    /// are not read.
    pub(crate) fn send_requests(given: &Given, offset: usize, length: usize) {
        let Some(requests) = given.memory.place(offset, length) else { return };
        // SAFETY: sockaddr_nl is integers, for which zero is a value, here: the kernel.
        let mut kernel: libc::sockaddr_nl = unsafe { mem::zeroed() };
        kernel.nl_family = 16; // AF_NETLINK
        for _ in 0..ATTEMPTS {
            // SAFETY: the requests are readable for their length, and the address for its own.
            let sent = unsafe {
                let (to, size) = (&raw const kernel, size_of::<libc::sockaddr_nl>());
                libc::syscall(libc::SYS_sendto, given.route, requests, length, libc::MSG_NOSIGNAL, to, size)
            };
            if sent >= 0 || !matches!(errno(), libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN | libc::EINTR) {
                return;
            }
            pause();
        }
    }

    /// Send a whole IP packet from the shared memory out of an interface.
    pub(crate) fn send_packet(given: &Given, interface: u32, destination: IpAddr, offset: usize, length: usize) {
        /// Room for one control message, aligned for its header.
        #[repr(C, align(8))]
        struct Control([u8; 64]);

        let Some(packet) = given.memory.place(offset, length) else { return };
        let mut part = libc::iovec { iov_base: packet.cast(), iov_len: length };
        // SAFETY: these are integers, arrays of them and pointers, for which zero is a value.
        let (mut message, mut v4, mut v6, mut on4, mut on6): (
            libc::msghdr,
            libc::sockaddr_in,
            libc::sockaddr_in6,
            libc::in_pktinfo,
            libc::in6_pktinfo,
        ) = unsafe { mem::zeroed() };
        let mut control = Control([0; 64]);
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        let (socket, level, kind, info, size): (_, _, _, *const u8, _) = match destination {
            IpAddr::V4(destination) => {
                v4.sin_family = 2; // AF_INET
                v4.sin_addr.s_addr = u32::from_ne_bytes(destination.octets());
                on4.ipi_ifindex = interface.cast_signed();
                message.msg_name = (&raw mut v4).cast();
                message.msg_namelen = super::socklen::<libc::sockaddr_in>();
                let info = (&raw const on4).cast();
                (given.four, libc::IPPROTO_IP, libc::IP_PKTINFO, info, size_of::<libc::in_pktinfo>())
            }
            IpAddr::V6(destination) => {
                v6.sin6_family = 10; // AF_INET6
                v6.sin6_addr.s6_addr = destination.octets();
                v6.sin6_scope_id = interface;
                on6.ipi6_ifindex = interface as _;
                message.msg_name = (&raw mut v6).cast();
                message.msg_namelen = super::socklen::<libc::sockaddr_in6>();
                let info = (&raw const on6).cast();
                (given.six, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info, size_of::<libc::in6_pktinfo>())
            }
        };
        // SAFETY: the control room is larger than either message and aligned for its header, which lies at its start; all
        // that the message points to outlives the calls and is as long as it says.
        unsafe {
            let data = libc::c_uint::try_from(size).unwrap_or(0);
            message.msg_controllen = libc::CMSG_SPACE(data) as _;
            let header = message.msg_control.cast::<libc::cmsghdr>();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(data) as _;
            ptr::copy_nonoverlapping(info, libc::CMSG_DATA(header), size);
            for _ in 0..ATTEMPTS {
                let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
                let sent = libc::syscall(libc::SYS_sendmsg, socket, &raw const message, flags);
                if sent >= 0 || !matches!(errno(), libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN | libc::EINTR) {
                    return;
                }
                pause();
            }
        }
    }

    /// Now on `CLOCK_BOOTTIME` in nanoseconds, as [`super::boottime_now`].
    pub(crate) fn now() -> u64 {
        // SAFETY: a timespec is integers, and valid for the call to write to.
        let time = unsafe {
            let mut time: libc::timespec = mem::zeroed();
            libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_BOOTTIME, &raw mut time);
            time
        };
        let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    }

    /// How often something is tried that the kernel has no room for, a millisecond apart.
    const ATTEMPTS: u32 = 20;

    /// A millisecond.
    fn pause() {
        sleep(1_000_000);
    }

    /// Time for others to take in what was sent.
    pub(crate) fn rest() {
        sleep(1_250_000);
    }

    /// Nanoseconds, less than a second of them.
    fn sleep(nanos: libc::c_long) {
        let time = libc::timespec { tv_sec: 0, tv_nsec: nanos };
        // SAFETY: the time is valid for the call; what is left of it is not asked for.
        unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, ptr::null_mut::<libc::timespec>()) };
    }

    /// Become what this process is for: a guardian that has nothing of its parent but what it was given.
    ///
    /// What is not allowed (without privileges most of the middle part is not) is left: it makes the guardian harder to
    /// kill or quicker, not right or wrong.
    ///
    /// # Safety
    /// For the forked child only.
    unsafe fn settle(given: &Given) {
        // SAFETY: the texts are C strings, the other pointers are to values on this stack of the type that the call takes.
        // Descriptors and memory are given up that nobody in this process uses.
        unsafe {
            // Signals of a terminal or for the program's group are not for this process.
            libc::syscall(libc::SYS_setsid);
            libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, NAME.as_ptr(), 0, 0, 0);
            let (start, length) = given.arguments;
            let mut name = NAME.to_bytes().iter();
            for place in 0..length {
                // Volatile, because to Rust there is nothing at this address.
                let to = ptr::with_exposed_provenance_mut::<u8>(start.wrapping_add(place));
                to.write_volatile(name.next().copied().unwrap_or(0));
            }
            libc::syscall(libc::SYS_chdir, c"/".as_ptr());

            close_others(&given.kept);
            // The memory that a host gains by killing this is nothing against what it loses.
            // Without CAP_SYS_RESOURCE it stays what it was; but then there is nothing to gain either, see `forget`.
            write_file(c"/proc/self/oom_score_adj", b"-1000");
            forget(given);
            libc::syscall(libc::SYS_mlockall, libc::MCL_CURRENT | libc::MCL_ONFAULT);
            // It sleeps all its life and runs for some milliseconds: on a host that is overloaded, at once.
            let priority = libc::sched_param { sched_priority: 1 };
            if libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &raw const priority) != 0 {
                libc::syscall(libc::SYS_setpriority, 0, 0, -20);
            }
            keep_one_capability();
            let octet = READY;
            libc::syscall(libc::SYS_write, given.control, &raw const octet, 1_usize);
        }
    }

    /// Keep the privilege to change addresses, and no other: the sockets are open.
    fn keep_one_capability() {
        // struct __user_cap_header_struct and __user_cap_data_struct of linux/capability.h, version 3.
        const CAP_NET_ADMIN: u32 = 1 << 12;
        let header = [0x2008_0522_u32, 0];
        let sets = [CAP_NET_ADMIN, CAP_NET_ADMIN, 0, 0, 0, 0];
        // SAFETY: both are as long as the kernel reads.
        unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    }

    /// Close every descriptor but these, which are in order; those below 0 do not exist.
    fn close_others(kept: &[libc::c_int]) {
        let mut first = 0;
        let kept_ones = kept.iter().filter_map(|fd| libc::c_uint::try_from(*fd).ok());
        for fd in kept_ones.map(Some).chain(Some(None)) {
            let last = fd.map_or(Some(libc::c_uint::MAX), |fd| fd.checked_sub(1));
            if let Some(last) = last.filter(|last| first <= *last) {
                // SAFETY: no pointers; nobody in this process uses these descriptors.
                if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } != 0 {
                    // Before Linux 5.9.
                    close_listed(kept);
                    return;
                }
            }
            first = fd.map_or(first, |fd| fd.saturating_add(1));
        }
    }

    /// The same by /proc: a loop up to the limit can take minutes where the limit is a billion.
    fn close_listed(kept: &[libc::c_int]) {
        /// A buffer for directory entries, aligned as the kernel writes them.
        #[repr(align(8))]
        struct Entries([u8; 1024]);

        // SAFETY: no pointers; nobody in this process uses these descriptors.
        let close = |fd: libc::c_int| unsafe {
            libc::syscall(libc::SYS_close, fd);
        };
        let Some(directory) = open(c"/proc/self/fd", libc::O_RDONLY) else {
            (0..65_536).filter(|fd| !kept.contains(fd)).for_each(close);
            return;
        };
        let mut entries = Entries([0; 1024]);
        loop {
            let (buffer, room) = (entries.0.as_mut_ptr(), entries.0.len());
            // SAFETY: the buffer is writable for its length.
            let length = unsafe { libc::syscall(libc::SYS_getdents64, directory, buffer, room) };
            let Some(mut rest) = usize::try_from(length).ok().and_then(|length| entries.0.get(..length)) else { break };
            if rest.is_empty() {
                break;
            }
            // struct linux_dirent64: the length of the entry at octet 16, its name from octet 19, ended by a NUL.
            while let Some(&[low, high]) = rest.get(16..18).and_then(|field| field.first_chunk()) {
                let digits = rest.get(19..).and_then(|name| name.split(|octet| *octet == 0).next()).unwrap_or_default();
                let fd = number(digits, 10).and_then(|fd| libc::c_int::try_from(fd).ok());
                if let Some(fd) = fd.filter(|fd| *fd != directory && !kept.contains(fd)) {
                    close(fd);
                }
                rest = rest.get(usize::from(u16::from_ne_bytes([low, high])).max(1)..).unwrap_or_default();
            }
        }
        close(directory);
    }

    /// Give back the memory that was the parent's: so that its secrets do not live on in here, its pages are not copied
    /// when it writes to them, and the host, short of memory, finds nothing here to gain.
    ///
    /// The pages of private memory without a file become zero. Left are the stack that this runs on, the variables of the
    /// thread (errno), and the arguments.
    fn forget(given: &Given) {
        let here = 0_u8;
        // SAFETY: the C library returns the address of a variable of this thread.
        let thread = unsafe { libc::__errno_location() };
        let needed = [(&raw const here).addr(), thread.addr(), given.arguments.0];
        let Some(maps) = open(c"/proc/self/maps", libc::O_RDONLY) else { return };
        let mut text = [0_u8; 2048];
        let (mut filled, mut skipping) = (0_usize, false);
        while let Some(room) = text.get_mut(filled..) {
            // SAFETY: the room is writable for its length.
            let length = unsafe { libc::syscall(libc::SYS_read, maps, room.as_mut_ptr(), room.len()) };
            let Some(length) = usize::try_from(length).ok().filter(|length| *length > 0) else { break };
            filled = filled.saturating_add(length);
            while let Some(end) = text.iter().take(filled).position(|octet| *octet == b'\n') {
                let line = text.get(..end).unwrap_or_default();
                if let Some((start, size)) = Some(line).filter(|_| !skipping).and_then(|line| anonymous(line, &needed))
                {
                    // SAFETY: nothing in this process reads that memory any more; it stays mapped, as zeros.
                    unsafe { libc::syscall(libc::SYS_madvise, start, size, libc::MADV_DONTNEED) };
                }
                skipping = false;
                let rest = end.saturating_add(1);
                text.copy_within(rest..filled, 0);
                filled = filled.saturating_sub(rest);
            }
            if filled == text.len() {
                // The start of a line longer than any without a file: a path.
                (filled, skipping) = (0, true);
            }
        }
        // SAFETY: opened above, and not used any more.
        unsafe { libc::syscall(libc::SYS_close, maps) };
    }

    /// Start and size of a mapping by its line of `/proc/PID/maps`, if it is private, without a file, and none of the
    /// addresses lies in it.
    fn anonymous(line: &[u8], needed: &[usize]) -> Option<(usize, usize)> {
        let mut fields = line.split(|octet| *octet == b' ');
        let mut range = fields.next()?.split(|octet| *octet == b'-');
        let (start, end) = (number(range.next()?, 16)?, number(range.next()?, 16)?);
        let private = fields.next()? == b"rw-p";
        let inode = fields.nth(2)?;
        let spared = needed.iter().any(|address| (start..end).contains(address));
        if private && inode == b"0" && !spared { Some((start, end.checked_sub(start)?)) } else { None }
    }

    /// A number in digits of this base.
    fn number(digits: &[u8], base: usize) -> Option<usize> {
        if digits.is_empty() {
            return None;
        }
        digits.iter().try_fold(0_usize, |number, digit| {
            let digit = match digit {
                b'0'..=b'9' => digit.wrapping_sub(b'0'),
                b'a'..=b'f' => digit.wrapping_sub(b'a').wrapping_add(10),
                _ => return None,
            };
            let digit = Some(usize::from(digit)).filter(|digit| *digit < base)?;
            number.checked_mul(base)?.checked_add(digit)
        })
    }

    fn write_file(path: &std::ffi::CStr, text: &[u8]) {
        let Some(fd) = open(path, libc::O_WRONLY) else { return };
        // SAFETY: the text is readable for its length; the descriptor is closed once.
        unsafe {
            libc::syscall(libc::SYS_write, fd, text.as_ptr(), text.len());
            libc::syscall(libc::SYS_close, fd);
        }
    }

    fn open(path: &std::ffi::CStr, access: libc::c_int) -> Option<libc::c_int> {
        // SAFETY: the path is a C string.
        let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), access | libc::O_CLOEXEC) };
        libc::c_int::try_from(fd).ok().filter(|fd| *fd >= 0)
    }

    /// The number of the error that the last call ended with.
    fn errno() -> i32 {
        // SAFETY: the C library returns a pointer to a variable of this thread.
        unsafe { *libc::__errno_location() }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn shared_memory_is_checked_at_its_ends() {
            let mut memory = SharedMemory::new(4096).unwrap();
            assert!(memory.store(511, 7) && !memory.store(512, 7) && !memory.store(usize::MAX, 7));
            assert!(memory.write(4090, &[1; 6]) && !memory.write(4091, &[1; 6]) && !memory.write(usize::MAX, &[1]));
            let window = memory.window;
            assert_eq!((window.load(510), window.load(512), window.load(usize::MAX)), (0, 0, 0));
            assert_eq!(window.octets::<6>(4090), Some([1; 6]));
            assert_eq!((window.octets::<6>(4091), window.octets::<6>(usize::MAX)), (None, None));
        }

        #[test]
        fn only_private_memory_without_a_file_is_forgotten() {
            let line = b"7f00a000-7f00c000 rw-p 00000000 00:00 0 ";
            assert_eq!(anonymous(line, &[0x7f00_9fff, 0x7f00_c000]), Some((0x7f00_a000, 0x2000)));
            assert_eq!(anonymous(line, &[0x7f00_a000]), None, "needed");
            assert_eq!(anonymous(line, &[0x7f00_bfff]), None, "needed");
            let others: [&[u8]; 6] = [
                b"7f00a000-7f00c000 rw-s 00000000 00:01 5 /dev/zero (deleted)",
                b"7f00a000-7f00c000 rw-p 00000000 08:01 77 /usr/lib/libc.so.6",
                b"7f00a000-7f00c000 r--p 00000000 00:00 0 [vvar]",
                b"7f00a000-7f00c000",
                b"nonsense",
                b"",
            ];
            for line in others {
                assert_eq!(anonymous(line, &[]), None, "{}", String::from_utf8_lossy(line));
            }
            assert_eq!(anonymous(b"1000-2000 rw-p 00000000 00:00 0 [heap]", &[]), Some((0x1000, 0x1000)));
        }

        #[test]
        fn all_other_descriptors_are_closed_also_before_close_range() {
            let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut kept = [-1, one.as_raw_fd(), other.as_raw_fd()];
            kept.sort_unstable();
            for close in [close_others, close_listed] as [fn(&[libc::c_int]); 2] {
                // SAFETY: the child makes system calls only, and ends; the parent waits for it.
                let status = unsafe {
                    let pid = libc::fork();
                    if pid == 0 {
                        close(&kept);
                        let wrong = (0..4096).any(|fd| (libc::fcntl(fd, libc::F_GETFD) >= 0) != kept.contains(&fd));
                        libc::_exit(i32::from(wrong));
                    }
                    let mut status = -1;
                    libc::waitpid(pid, &raw mut status, 0);
                    status
                };
                assert_eq!(status, 0);
            }
        }

        #[test]
        fn numbers_are_read_whole_or_not_at_all() {
            assert_eq!((number(b"120", 10), number(b"ff", 16), number(b"0", 10)), (Some(120), Some(255), Some(0)));
            assert_eq!((number(b"", 10), number(b"..", 10), number(b"1f", 10)), (None, None, None));
            assert_eq!(number(b"fffffffffffffffff", 16), None);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Helpers
// ---------------------------------------------------------------------------------------------------------------------

/// Most datagrams of one system call.
pub(crate) const BATCH: usize = 32;

/// Room for the ancillary data of one datagram: more than is asked for, since descriptors may be handed in on which
/// somebody has asked for more.
const ANCILLARY_ROOM: usize = 256;

/// Datagrams as they came, in memory that is used again and again.
#[derive(Debug)]
pub(crate) struct Inbox {
    slots: Vec<Slot>,
    /// For each slot this many octets.
    octets: Vec<u8>,
    size: usize,
    filled: usize,
    /// The time of day of that.
    filled_at: Duration,
}

/// What came with a datagram.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Slot {
    ancillary: [u8; ANCILLARY_ROOM],
    ancillary_length: usize,
    source: libc::sockaddr_in6,
    length: usize,
    flags: libc::c_int,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("length", &self.length).field("flags", &self.flags).finish_non_exhaustive()
    }
}

/// One datagram of an [`Inbox`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) octets: &'a [u8],
    /// Whether there was more of it than the inbox has room for.
    pub(crate) cut: bool,
    /// Over IPv6 only.
    pub(crate) source: Ipv6Addr,
    /// Over IPv6 only, if it was asked for and did arrive.
    pub(crate) destination: Option<Ipv6Addr>,
    /// As `destination`.
    pub(crate) hop_limit: Option<u8>,
    /// How long it had been there when the inbox was filled: nothing if it is not known. By the time of day, which somebody
    /// may have set meanwhile.
    pub(crate) waited: Duration,
}

/// What the kernel says of a datagram beside its octets.
#[derive(Clone, Copy, Debug, Default)]
struct Beside {
    destination: Option<Ipv6Addr>,
    hop_limit: Option<u8>,
    /// When it was received, by the time of day.
    stamp: Option<Duration>,
}

impl Inbox {
    /// Room for [`BATCH`] datagrams of at most `size` octets.
    pub(crate) fn new(size: usize) -> Self {
        // SAFETY: a slot is integers and arrays of them, for which zero is a value.
        let slot: Slot = unsafe { mem::zeroed() };
        Self { slots: vec![slot; BATCH], octets: vec![0; BATCH * size], size, filled: 0, filled_at: Duration::ZERO }
    }

    /// Throw away what is in it, and take what has arrived at `socket`. Returns how many datagrams that were.
    pub(crate) fn fill(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.filled = 0;
        // SAFETY: these are integers and pointers, for which zero and null are values.
        let (mut headers, mut parts): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) = unsafe { mem::zeroed() };
        let rooms = self.octets.chunks_exact_mut(self.size).zip(&mut self.slots);
        for ((header, part), (octets, slot)) in headers.iter_mut().zip(&mut parts).zip(rooms) {
            *part = libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: octets.len() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = (&raw mut slot.source).cast();
            header.msg_hdr.msg_namelen = socklen::<libc::sockaddr_in6>();
            header.msg_hdr.msg_control = slot.ancillary.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = slot.ancillary.len();
        }
        let slots = libc::c_uint::try_from(BATCH).unwrap_or_default();
        // SAFETY: there are BATCH headers, and each points to a part, an address and room for ancillary data that belong
        // to it alone, are as long as it says, and outlive the call.
        let count = unsafe {
            let (socket, headers) = (socket.as_raw_fd(), headers.as_mut_ptr());
            libc::recvmmsg(socket, headers, slots, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let Ok(count) = usize::try_from(count) else {
            return match io::Error::last_os_error() {
                error if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
                error => Err(error),
            };
        };
        for (slot, header) in self.slots.iter_mut().zip(&headers).take(count) {
            slot.length = usize::try_from(header.msg_len).unwrap_or(usize::MAX);
            slot.flags = header.msg_hdr.msg_flags;
            slot.ancillary_length = header.msg_hdr.msg_controllen;
        }
        self.filled = count;
        self.filled_at = since_epoch();
        Ok(count)
    }

    /// A datagram that the last [`fill`](Self::fill) has taken.
    pub(crate) fn get(&self, number: usize) -> Option<Arrival<'_>> {
        let slot = self.slots.get(..self.filled)?.get(number)?;
        let start = number * self.size;
        let octets = self.octets.get(start..)?.get(..slot.length.min(self.size))?;
        let Beside { destination, hop_limit, stamp } = slot.beside();
        let waited = stamp.map_or(Duration::ZERO, |stamp| self.filled_at.saturating_sub(stamp));
        let source = Ipv6Addr::from(slot.source.sin6_addr.s6_addr);
        Some(Arrival { octets, cut: slot.flags & MSG_TRUNC != 0, source, destination, hop_limit, waited })
    }
}

impl Slot {
    /// Nothing if any of it was cut off.
    fn beside(&self) -> Beside {
        let mut beside = Beside::default();
        if self.flags & libc::MSG_CTRUNC != 0 {
            return beside;
        }
        // SAFETY: integers and pointers, for which zero and null are values.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_control = self.ancillary.as_ptr().cast_mut().cast();
        header.msg_controllen = self.ancillary_length.min(self.ancillary.len());
        // SAFETY: the header describes the ancillary data, aligned, as the kernel has written it; nothing is written.
        // The macros give null or a control message inside of it, and its data is read only if it is long enough.
        unsafe {
            let mut message = libc::CMSG_FIRSTHDR(&raw const header);
            while let Some(it) = message.as_ref() {
                let length = it.cmsg_len.saturating_sub(ancillary_length(0));
                let data = libc::CMSG_DATA(message);
                match (it.cmsg_level, it.cmsg_type) {
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if length >= size_of::<libc::in6_pktinfo>() => {
                        let information = data.cast::<libc::in6_pktinfo>().read_unaligned();
                        beside.destination = Some(Ipv6Addr::from(information.ipi6_addr.s6_addr));
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) if length >= size_of::<libc::c_int>() => {
                        beside.hop_limit = u8::try_from(data.cast::<libc::c_int>().read_unaligned()).ok();
                    }
                    (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) if length >= size_of::<libc::timespec>() => {
                        beside.stamp = Some(duration(data.cast::<libc::timespec>().read_unaligned()));
                    }
                    _ => {}
                }
                message = libc::CMSG_NXTHDR(&raw const header, message);
            }
        }
        beside
    }
}

/// One datagram or frame to be sent by [`send_batch`].
#[derive(Clone, Copy)]
pub(crate) struct Parcel<'a> {
    /// Sent one after the other.
    parts: [&'a [u8]; 2],
    address: Address,
    ancillary: Ancillary,
}

#[derive(Clone, Copy)]
enum Address {
    Ipv4(libc::sockaddr_in),
    Ipv6(libc::sockaddr_in6),
    Link(libc::sockaddr_ll),
}

/// Source, interface and hop limit of an IPv6 datagram, in the form of the kernel.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Ancillary {
    octets: [u8; 64],
    length: usize,
}

impl Ancillary {
    const NONE: Self = Self { octets: [0; 64], length: 0 };

    fn new(source: Ipv6Addr, interface: IfIndex, hop_limit: u8) -> Self {
        let mut ancillary = Self::NONE;
        // SAFETY: integers and pointers, for which zero and null are values.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_control = ancillary.octets.as_mut_ptr().cast();
        header.msg_controllen = ancillary.octets.len();
        let information =
            libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: source.octets() }, ipi6_ifindex: interface.get() };
        // SAFETY: the header describes the octets, which are aligned and zero, so that the macros give null or a control
        // message inside of them; both messages together take no more than there is, and each is written in full.
        unsafe {
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            write_ancillary(first, libc::IPV6_PKTINFO, information);
            let second = libc::CMSG_NXTHDR(&raw const header, first);
            write_ancillary(second, libc::IPV6_HOPLIMIT, libc::c_int::from(hop_limit));
        }
        ancillary.length = const { ancillary_space::<libc::in6_pktinfo>() + ancillary_space::<libc::c_int>() };
        ancillary
    }
}

// Both control messages have room.
const _: () = assert!(ancillary_space::<libc::in6_pktinfo>() + ancillary_space::<libc::c_int>() <= 64);

/// Octets of a control message with a `T` in it, padded.
const fn ancillary_space<T>() -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "no `try_from` in constants; the size is small")]
    // SAFETY: arithmetic only.
    unsafe {
        libc::CMSG_SPACE(size_of::<T>() as libc::c_uint) as usize
    }
}

/// Octets of a control message with this many octets in it, as its header has them.
fn ancillary_length(octets: u32) -> usize {
    // SAFETY: arithmetic only.
    usize::try_from(unsafe { libc::CMSG_LEN(octets) }).unwrap_or(usize::MAX)
}

/// Write a control message of IPv6.
///
/// # Safety
/// `message` is null, or there is room for a control message with a `T` where it points to.
unsafe fn write_ancillary<T>(message: *mut libc::cmsghdr, kind: libc::c_int, value: T) {
    // SAFETY: the caller has seen to the room.
    unsafe {
        let Some(header) = message.as_mut() else { return };
        header.cmsg_level = libc::IPPROTO_IPV6;
        header.cmsg_type = kind;
        header.cmsg_len = ancillary_length(socklen::<T>());
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(value);
    }
}

impl<'a> Parcel<'a> {
    /// To fill arrays with.
    pub(crate) const EMPTY: Self = {
        // SAFETY: integers and arrays of them, for which zero is a value.
        let address = Address::Link(unsafe { mem::zeroed() });
        Self { parts: [&[], &[]], address, ancillary: Ancillary::NONE }
    };

    /// A datagram for a raw socket that takes the IP header from us.
    pub(crate) fn ipv4(header: &'a [u8], payload: &'a [u8], destination: Ipv4Addr) -> Self {
        // SAFETY: integers and arrays of them, for which zero is a value.
        let mut address: libc::sockaddr_in = unsafe { mem::zeroed() };
        address.sin_family = family(libc::AF_INET);
        address.sin_addr.s_addr = u32::from_ne_bytes(destination.octets());
        Self { parts: [header, payload], address: Address::Ipv4(address), ancillary: Ancillary::NONE }
    }

    /// A datagram for a raw socket whose IP header the kernel writes.
    pub(crate) fn ipv6(
        payload: &'a [u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
        interface: IfIndex,
        hop_limit: u8,
    ) -> Self {
        // SAFETY: integers and arrays of them, for which zero is a value.
        let mut address: libc::sockaddr_in6 = unsafe { mem::zeroed() };
        address.sin6_family = family(libc::AF_INET6);
        address.sin6_addr.s6_addr = destination.octets();
        // Which link a link-local destination is on; of no account for others.
        address.sin6_scope_id = interface.get();
        let ancillary = Ancillary::new(source, interface, hop_limit);
        Self { parts: [payload, &[]], address: Address::Ipv6(address), ancillary }
    }

    /// A whole frame, Ethernet header included, for a packet socket.
    pub(crate) fn frame(frame: &'a [u8], interface: IfIndex) -> Self {
        Self::frame_in_parts(frame, &[], interface)
    }

    /// As [`frame`](Self::frame), of which `start` has the Ethernet header in it.
    pub(crate) fn frame_in_parts(start: &'a [u8], rest: &'a [u8], interface: IfIndex) -> Self {
        let ethertype = start.get(12..14).and_then(|field| field.try_into().ok()).map_or(0, u16::from_be_bytes);
        let address = Address::Link(link_address(interface, ethertype));
        Self { parts: [start, rest], address, ancillary: Ancillary::NONE }
    }
}

/// Send as many of the first [`BATCH`] parcels as the kernel takes. Returns how many these were; the error is that of the
/// first one.
pub(crate) fn send_batch(socket: BorrowedFd<'_>, parcels: &[Parcel<'_>]) -> io::Result<usize> {
    match parcels.len() {
        // Most are alone, and need not pay for the room of many.
        0 | 1 => send_parcels::<1>(socket, parcels),
        _ => send_parcels::<BATCH>(socket, parcels),
    }
}

fn send_parcels<const ROOM: usize>(socket: BorrowedFd<'_>, parcels: &[Parcel<'_>]) -> io::Result<usize> {
    // SAFETY: these are integers and pointers, for which zero and null are values.
    let (mut headers, mut parts): ([libc::mmsghdr; ROOM], [[libc::iovec; 2]; ROOM]) = unsafe { mem::zeroed() };
    for ((header, parts), parcel) in headers.iter_mut().zip(&mut parts).zip(parcels) {
        for (part, octets) in parts.iter_mut().zip(&parcel.parts) {
            *part = libc::iovec { iov_base: octets.as_ptr().cast_mut().cast(), iov_len: octets.len() };
        }
        let (address, length) = match &parcel.address {
            Address::Ipv4(address) => ((&raw const *address).cast(), socklen::<libc::sockaddr_in>()),
            Address::Ipv6(address) => ((&raw const *address).cast(), socklen::<libc::sockaddr_in6>()),
            Address::Link(address) => ((&raw const *address).cast::<libc::c_void>(), socklen::<libc::sockaddr_ll>()),
        };
        header.msg_hdr.msg_iov = parts.as_mut_ptr();
        header.msg_hdr.msg_iovlen = parts.len();
        header.msg_hdr.msg_name = address.cast_mut();
        header.msg_hdr.msg_namelen = length;
        if parcel.ancillary.length > 0 {
            header.msg_hdr.msg_control = parcel.ancillary.octets.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_controllen = parcel.ancillary.length;
        }
    }
    let count = libc::c_uint::try_from(parcels.len().min(ROOM)).unwrap_or_default();
    // SAFETY: there are at least `count` headers, whose parts, addresses and ancillary data are as long as they say and
    // outlive the call; the kernel only reads them, whatever the type of the pointers.
    let sent = unsafe {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, flags)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// The number of a protocol family as addresses have it.
fn family(number: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).unwrap_or_default()
}

/// Have the kernel drop what `program` does not accept, from now on, in place of the program that is there.
pub(crate) fn attach_filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|it| libc::sock_filter { code: it.code, jt: it.jump_true, jf: it.jump_false, k: it.value })
        .collect();
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Make room for `bytes` of what is not sent yet: past the system's limit with `CAP_NET_ADMIN`, else up to it.
pub(crate) fn set_send_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes))
}

/// Do not report what ICMP says of datagrams that were sent.
pub(crate) fn ignore_icmp_errors(socket: BorrowedFd<'_>, address: IpAddr) -> io::Result<()> {
    let (level, name) = match address {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    set_option::<libc::c_int>(socket, level, name, &0)
}

/// Have the destination of IPv6 datagrams reported beside them.
pub(crate) fn report_ipv6_destinations(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option::<libc::c_int>(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &1)
}

/// Have the kernel neither write nor verify a checksum in the payload of an IPv6 raw socket.
pub(crate) fn leave_ipv6_checksum_alone(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option::<libc::c_int>(socket, libc::IPPROTO_IPV6, libc::IPV6_CHECKSUM, &-1)
}

/// The name of an interface, in the network namespace of `socket`.
pub(crate) fn interface_name(socket: BorrowedFd<'_>, interface: IfIndex) -> io::Result<String> {
    let mut request = interface_request();
    request.ifr_ifru.ifru_ifindex = interface.get().cast_signed();
    // SAFETY: `request` is an ifreq that the call reads and writes.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFNAME, &raw mut request) })?;
    let name = request.ifr_name.iter().map(|octet| octet.cast_unsigned()).take_while(|octet| *octet != 0);
    Ok(String::from_utf8_lossy(&name.collect::<Vec<u8>>()).into_owned())
}

/// What kind of link an interface is on (`ARPHRD_*` of `linux/if_arp.h`), and the first six octets of its address there.
pub(crate) fn hardware_address(socket: BorrowedFd<'_>, name: &str) -> io::Result<(u16, [u8; 6])> {
    let mut request = interface_request();
    // The last octet stays zero.
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (slot, octet) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = octet.cast_signed();
    }
    // SAFETY: `request` is an ifreq that the call reads and writes; what it has written is a sockaddr.
    let address = unsafe {
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request))?;
        request.ifr_ifru.ifru_hwaddr
    };
    let mut octets = [0; 6];
    for (slot, octet) in octets.iter_mut().zip(address.sa_data) {
        *slot = octet.cast_unsigned();
    }
    Ok((address.sa_family, octets))
}

/// The kind of link that Ethernet is.
pub(crate) const ARPHRD_ETHER: u16 = libc::ARPHRD_ETHER;

fn interface_request() -> libc::ifreq {
    // SAFETY: integers, arrays of them and a union of such, for which zero is a value.
    unsafe { mem::zeroed() }
}

// ---------------------------------------------------------------------------------------------------------------------
// Helpers
// ---------------------------------------------------------------------------------------------------------------------

/// The result of a call that returns -1 on failure.
fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The result of a call that returns a new descriptor, or -1.
fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    check(result)?;
    // SAFETY: the kernel has just made this descriptor for us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// The result of a call that returns a number of bytes, or -1.
fn byte_count(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The size of a C structure as the socket calls take it.
fn socklen<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX)
}

// ---------------------------------------------------------------------------------------------------------------------
// The lab
// ---------------------------------------------------------------------------------------------------------------------

#[cfg(feature = "lab")]
pub(crate) mod lab {
    //! Namespaces and processes for [`crate::lab`].
    //!
    //! The calling program has threads, so it cannot enter a user namespace itself, and between fork and exec or exit
    //! a child of it may only make async-signal-safe calls: no allocation, no locks, no panics. What a child does is
    //! therefore written down beforehand, in a `Visit` or in the parameters of the warden.

    use std::convert::Infallible;
    use std::ffi::{CStr, CString};
    use std::io;
    use std::mem;
    use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(crate) use libc::{AF_INET, AF_NETLINK, AF_PACKET, IPPROTO_ICMP, SOCK_NONBLOCK, SOCK_RAW};

    use super::check;

    // ---- Namespaces ----

    /// The namespaces of one host of a lab, held open.
    #[derive(Debug)]
    pub(crate) struct Namespaces {
        /// The user namespace that owns the other; `None`: the caller's own, which then has the privileges.
        pub(crate) user: Option<Arc<OwnedFd>>,
        /// The network namespace.
        pub(crate) network: OwnedFd,
    }

    impl Namespaces {
        /// Have `command` start inside, or not at all (`ECANCELED`) if `closed` is set by then.
        pub(crate) fn enter_on_exec(self: &Arc<Self>, command: &mut Command, closed: &Arc<AtomicBool>) {
            let (namespaces, closed) = (Arc::clone(self), Arc::clone(closed));
            // SAFETY: the closure reads a flag, makes two setns calls and reads errno, which is async-signal-safe; it
            // only borrows what it owns, so it drops nothing in the child.
            unsafe {
                command.pre_exec(move || {
                    if closed.load(Ordering::Relaxed) {
                        return Err(io::Error::from_raw_os_error(libc::ECANCELED));
                    }
                    if let Some(user) = &namespaces.user {
                        check(libc::setns(user.as_raw_fd(), libc::CLONE_NEWUSER))?;
                    }
                    check(libc::setns(namespaces.network.as_raw_fd(), libc::CLONE_NEWNET))
                });
            }
        }
    }

    /// The number of the namespace behind `fd`, as `/proc/PID/ns` shows it: it is another one's after this one's end.
    pub(crate) fn namespace_number(fd: BorrowedFd<'_>) -> Option<u64> {
        number_of(fd.as_raw_fd())
    }

    /// As [`namespace_number`]: async-signal-safe.
    fn number_of(fd: libc::c_int) -> Option<u64> {
        // SAFETY: stat is integers, for which zero is a value, and is valid for the call to write to.
        unsafe {
            let mut status: libc::stat = mem::zeroed();
            if libc::fstat(fd, &raw mut status) == 0 { Some(status.st_ino) } else { None }
        }
    }

    /// What a short-lived child does in other namespaces, in the order of the fields. All that it opens comes back.
    #[derive(Debug, Default)]
    pub(crate) struct Visit<'a> {
        /// Enter this user namespace.
        pub(crate) user: Option<BorrowedFd<'a>>,
        /// Enter this network namespace.
        pub(crate) network: Option<BorrowedFd<'a>>,
        /// Make a user namespace with these contents of `uid_map` and `gid_map`, and bring its descriptor back.
        pub(crate) new_user: Option<(&'a [u8], &'a [u8])>,
        /// Make a network namespace, and bring its descriptor back.
        pub(crate) new_network: bool,
        /// Write these files. One that is not there, or may not be written at all, is passed over if it is optional.
        pub(crate) files: &'a [FileWrite],
        /// Open a socket of this domain, type and protocol, and bring it back.
        pub(crate) socket: Option<(i32, i32, i32)>,
    }

    /// A file to be written in a namespace.
    #[derive(Clone, Debug)]
    pub(crate) struct FileWrite {
        pub(crate) path: CString,
        pub(crate) text: Vec<u8>,
        pub(crate) optional: bool,
    }

    /// What a [`Visit`] failed at.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Step {
        Fork,
        EnterUser,
        EnterNetwork,
        NewUser,
        MapIds,
        NewNetwork,
        WriteFile,
        OpenNamespace,
        Socket,
    }

    /// At most this many descriptors come back: a user and a network namespace, and a socket.
    const MOST_FDS: usize = 3;

    impl Visit<'_> {
        const STEPS: [Step; 9] = [
            Step::Fork,
            Step::EnterUser,
            Step::EnterNetwork,
            Step::NewUser,
            Step::MapIds,
            Step::NewNetwork,
            Step::WriteFile,
            Step::OpenNamespace,
            Step::Socket,
        ];

        /// Do it in a forked child, and return the descriptors in the order of the fields.
        pub(crate) fn run(&self) -> Result<Vec<OwnedFd>, (Step, io::Error)> {
            let forked = |error| (Step::Fork, error);
            let (ours, theirs) = socket_pair().map_err(forked)?;
            // SAFETY: the child makes async-signal-safe calls only (see `in_child`, `send_report`) and never returns.
            let child = unsafe {
                fork_with_signals_blocked(|| {
                    let mut fds = Fds::default();
                    let report = match self.in_child(&mut fds) {
                        Ok(()) => [u8::MAX, 0, 0, 0, 0],
                        Err((step, errno)) => {
                            let [a, b, c, d] = errno.to_ne_bytes();
                            [step as u8, a, b, c, d]
                        }
                    };
                    let _ = send_report(theirs.as_raw_fd(), report, &fds);
                    libc::_exit(0)
                })
            };
            let child = child.map_err(forked)?;
            // Ours must be the only copy, so that a child that dies is an end of file.
            drop(theirs);
            let report = receive_report(ours.as_raw_fd());
            reap(child);
            let (report, fds) = report.map_err(|errno| forked(io::Error::from_raw_os_error(errno)))?;
            let received = fds.numbers.iter().take(fds.count);
            // SAFETY: they are new in this process, and this is the only place that takes them.
            let fds: Vec<_> = received.map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) }).collect();
            match report {
                [u8::MAX, ..] => Ok(fds),
                [step, errno @ ..] => {
                    let step = Self::STEPS.get(usize::from(step)).copied().unwrap_or(Step::Fork);
                    Err((step, io::Error::from_raw_os_error(i32::from_ne_bytes(errno))))
                }
            }
        }

        /// # Safety
        /// Async-signal-safe calls only.
        unsafe fn in_child(&self, fds: &mut Fds) -> Result<(), (Step, i32)> {
            let try_at = |step: Step, result: libc::c_int| if result < 0 { Err((step, errno())) } else { Ok(result) };
            // SAFETY: every pointer is to a C string or buffer that outlives the call; descriptors are borrowed or new.
            unsafe {
                if let Some(user) = self.user {
                    try_at(Step::EnterUser, libc::setns(user.as_raw_fd(), libc::CLONE_NEWUSER))?;
                }
                if let Some(network) = self.network {
                    try_at(Step::EnterNetwork, libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET))?;
                }
                if let Some((uid_map, gid_map)) = self.new_user {
                    try_at(Step::NewUser, libc::unshare(libc::CLONE_NEWUSER))?;
                    // Without this the kernel refuses a gid_map to the unprivileged (CVE-2014-8989).
                    write_file(c"/proc/self/setgroups", b"deny").map_err(|errno| (Step::MapIds, errno))?;
                    write_file(c"/proc/self/uid_map", uid_map).map_err(|errno| (Step::MapIds, errno))?;
                    write_file(c"/proc/self/gid_map", gid_map).map_err(|errno| (Step::MapIds, errno))?;
                    fds.push(try_at(Step::OpenNamespace, open_for_reading(c"/proc/self/ns/user"))?);
                }
                if self.new_network {
                    try_at(Step::NewNetwork, libc::unshare(libc::CLONE_NEWNET))?;
                    fds.push(try_at(Step::OpenNamespace, open_for_reading(c"/proc/self/ns/net"))?);
                }
                for file in self.files {
                    match write_file(&file.path, &file.text) {
                        Err(libc::ENOENT | libc::EROFS) if file.optional => {}
                        written => written.map_err(|errno| (Step::WriteFile, errno))?,
                    }
                }
                if let Some((domain, kind, protocol)) = self.socket {
                    fds.push(try_at(Step::Socket, libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol))?);
                }
            }
            Ok(())
        }
    }

    /// Descriptors that a child has opened, in a fixed room because it may not allocate.
    #[derive(Default)]
    struct Fds {
        numbers: [libc::c_int; MOST_FDS],
        count: usize,
    }

    impl Fds {
        fn push(&mut self, fd: libc::c_int) {
            if let Some(slot) = self.numbers.get_mut(self.count) {
                *slot = fd;
                self.count += 1;
            }
        }
    }

    /// Room for the control message that carries [`MOST_FDS`] descriptors.
    #[repr(C)]
    struct Control {
        /// Aligned as the kernel wants it.
        header: libc::cmsghdr,
        room: [u8; 32],
    }

    /// Send a report with descriptors attached: async-signal-safe. Returns whether it was sent.
    fn send_report(socket: libc::c_int, mut report: [u8; 5], fds: &Fds) -> bool {
        // SAFETY: msghdr, cmsghdr and their parts are integers and pointers, for which zero is a value.
        let (mut control, mut message): (Control, libc::msghdr) = unsafe { mem::zeroed() };
        let mut part = libc::iovec { iov_base: report.as_mut_ptr().cast(), iov_len: report.len() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        let bytes = fds.count * size_of::<libc::c_int>();
        // SAFETY: the control room holds a header and MOST_FDS descriptors, `fds.count` is at most that many, and all
        // of it outlives the call.
        unsafe {
            if fds.count > 0 {
                let length = u32::try_from(bytes).unwrap_or_default();
                control.header.cmsg_level = libc::SOL_SOCKET;
                control.header.cmsg_type = libc::SCM_RIGHTS;
                control.header.cmsg_len = libc::CMSG_LEN(length) as _;
                message.msg_control = (&raw mut control).cast();
                message.msg_controllen = libc::CMSG_SPACE(length) as _;
                std::ptr::copy_nonoverlapping(
                    fds.numbers.as_ptr().cast(),
                    libc::CMSG_DATA(&raw const control.header),
                    bytes,
                );
            }
            libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL) >= 0
        }
    }

    /// Receive what [`send_report`] sent: async-signal-safe. An end of file, because the other side died, is an error.
    fn receive_report(socket: libc::c_int) -> Result<([u8; 5], Fds), i32> {
        let (mut report, mut fds) = ([0; 5], Fds::default());
        // SAFETY: as in `send_report`.
        let (mut control, mut message): (Control, libc::msghdr) = unsafe { mem::zeroed() };
        let mut part = libc::iovec { iov_base: report.as_mut_ptr().cast(), iov_len: report.len() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
        let length = loop {
            // SAFETY: the message points to buffers that outlive the call, with their lengths.
            match unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) } {
                -1 if errno() == libc::EINTR => {}
                -1 => return Err(errno()),
                length => break length.cast_unsigned(),
            }
        };
        // SAFETY: the kernel filled the control room and set its length; the first header, if any, lies inside of it,
        // and so do its descriptors.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            if !header.is_null() && (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS
            {
                let bytes = ((*header).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let numbers = libc::CMSG_DATA(header).cast::<libc::c_int>();
                for place in 0..bytes / size_of::<libc::c_int>() {
                    fds.push(numbers.add(place).read_unaligned());
                }
            }
        }
        if length < report.len() { Err(libc::EPIPE) } else { Ok((report, fds)) }
    }

    /// Write a file whole: async-signal-safe. Returns the error number on failure.
    fn write_file(path: &CStr, text: &[u8]) -> Result<(), i32> {
        // SAFETY: the path is a C string and the text is readable for its length; the descriptor is closed once.
        unsafe {
            let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
            if fd < 0 {
                return Err(errno());
            }
            let written = libc::write(fd, text.as_ptr().cast(), text.len());
            let errno = errno();
            libc::close(fd);
            if written < 0 { Err(errno) } else { Ok(()) }
        }
    }

    /// Open a file for reading: async-signal-safe. Returns a descriptor or -1.
    fn open_for_reading(path: &CStr) -> libc::c_int {
        // SAFETY: the path is a C string.
        unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) }
    }

    /// The calling thread's error number: async-signal-safe.
    fn errno() -> i32 {
        // SAFETY: the C library returns a pointer to a variable of this thread.
        unsafe { *libc::__errno_location() }
    }

    // ---- Processes ----

    /// A signal that the lab sends.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Signal {
        Terminate,
        Stop,
        Continue,
    }

    /// Send a signal to a process.
    pub(crate) fn send_signal(pid: i32, signal: Signal) -> io::Result<()> {
        let number = match signal {
            Signal::Terminate => libc::SIGTERM,
            Signal::Stop => libc::SIGSTOP,
            Signal::Continue => libc::SIGCONT,
        };
        // SAFETY: no pointers.
        check(unsafe { libc::kill(pid, number) })
    }

    /// A process that outlives the caller just long enough to clean up behind it: however the caller dies, its end of
    /// the channel closes, and the warden kills every process of its group and of the namespaces it was told of.
    #[derive(Debug)]
    pub(crate) struct Warden {
        pid: libc::pid_t,
        /// Closed on exec, so that no program started in the lab keeps it open.
        channel: Option<OwnedFd>,
    }

    /// The namespaces a warden can remember.
    pub(crate) const MOST_NAMESPACES: usize = 256;

    impl Warden {
        /// Start one. It leads a process group of its own.
        pub(crate) fn start() -> io::Result<Self> {
            let (ours, theirs) = socket_pair()?;
            let theirs_number = theirs.as_raw_fd();
            // SAFETY: the child makes async-signal-safe calls only (see `warden`) and never returns.
            let pid = unsafe { fork_with_signals_blocked(|| warden(theirs_number)) }?;
            // The child does the same; whoever is first, the group exists when this returns.
            // SAFETY: no pointers.
            let _ = unsafe { libc::setpgid(pid, pid) };
            Ok(Self { pid, channel: Some(ours) })
        }

        /// The process group that it leads and will kill.
        pub(crate) fn group(&self) -> i32 {
            self.pid
        }

        /// Have it kill what is in this network namespace, too.
        ///
        /// It keeps the namespace open: otherwise the kernel could give its number to somebody else's as soon as the
        /// caller is dead, and the warden would kill there.
        pub(crate) fn watch(&self, network: BorrowedFd<'_>) -> io::Result<()> {
            let channel = self.channel.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            let mut fds = Fds::default();
            fds.push(network.as_raw_fd());
            if send_report(channel.as_raw_fd(), [0; 5], &fds) { Ok(()) } else { Err(io::Error::last_os_error()) }
        }
    }

    impl Drop for Warden {
        fn drop(&mut self) {
            self.channel = None;
            // It kills its group, itself included.
            reap(self.pid);
        }
    }

    /// The warden's whole life, in a forked child. Every signal is blocked.
    ///
    /// # Safety
    /// For a forked child only: async-signal-safe calls, then the end of the process.
    unsafe fn warden(channel: libc::c_int) -> ! {
        // SAFETY: the name and path are C strings, the buffers are writable for the lengths given, and all descriptors
        // but the channel are given up on purpose: this process has nothing to do with them.
        unsafe {
            libc::setpgid(0, 0);
            libc::prctl(libc::PR_SET_NAME, c"vrrp-lab-warden".as_ptr());
            // Nothing of the caller may live on in here: no socket, no pipe that someone waits on, no directory.
            if channel != 0 {
                libc::dup2(channel, 0);
            }
            close_from(1);
            libc::chdir(c"/".as_ptr());

            let mut namespaces = [0_u64; MOST_NAMESPACES];
            let mut count = 0;
            // Until the end of file: the caller is dead, or has no more use for the lab.
            while let Ok((_, fds)) = receive_report(0) {
                let [network, ..] = fds.numbers;
                if let (Some(slot), Some(number)) = (namespaces.get_mut(count), number_of(network)) {
                    *slot = number;
                    count += 1;
                }
            }
            // A process that is just forking leaves a child behind: look until nobody is found.
            let mut rounds = 0;
            while kill_processes_in(namespaces.get(..count).unwrap_or_default()) > 0 && rounds < 1000 {
                rounds += 1;
                libc::usleep(1000);
            }
            libc::kill(-libc::getpgrp(), libc::SIGKILL);
            libc::_exit(0)
        }
    }

    /// Kill every process in one of these network namespaces, and return how many there were: async-signal-safe.
    pub(crate) fn kill_processes_in(namespaces: &[u64]) -> usize {
        /// A buffer for directory entries, aligned as the kernel writes them.
        #[repr(align(8))]
        struct Entries([u8; 4096]);

        let mut killed = 0;
        let mut entries = Entries([0; 4096]);
        let directory = open_for_reading(c"/proc");
        loop {
            // SAFETY: the buffer is writable for its length.
            let length =
                unsafe { libc::syscall(libc::SYS_getdents64, directory, entries.0.as_mut_ptr(), entries.0.len()) };
            let Some(mut rest) = usize::try_from(length).ok().and_then(|length| entries.0.get(..length)) else { break };
            if rest.is_empty() {
                break;
            }
            // struct linux_dirent64: the length of the entry at octet 16, its name from octet 19, ended by a NUL.
            while let Some(&[low, high]) = rest.get(16..18).and_then(|field| field.first_chunk()) {
                let pid = rest.get(19..).and_then(parse_pid);
                if let Some(pid) =
                    pid.filter(|pid| network_namespace_of(*pid).is_some_and(|it| namespaces.contains(&it)))
                {
                    // SAFETY: no pointers.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                    killed += 1;
                }
                rest = rest.get(usize::from(u16::from_ne_bytes([low, high])).max(1)..).unwrap_or_default();
            }
        }
        // SAFETY: opened above, and not used any more. If that failed, closing -1 does nothing.
        unsafe { libc::close(directory) };
        killed
    }

    /// The number at the start of a directory entry's name, if it is one.
    fn parse_pid(name: &[u8]) -> Option<libc::pid_t> {
        let mut pid: libc::pid_t = 0;
        for (place, octet) in name.iter().enumerate() {
            match octet {
                b'0'..=b'9' => pid = pid.checked_mul(10)?.checked_add(libc::pid_t::from(octet - b'0'))?,
                0 if place > 0 => return Some(pid),
                _ => return None,
            }
        }
        None
    }

    /// The number of the network namespace that a process is in; `None` if it is gone, a zombie, or not ours to know:
    /// async-signal-safe.
    fn network_namespace_of(pid: libc::pid_t) -> Option<u64> {
        // "/proc/", at most ten digits, "/ns/net", NUL.
        let mut path = [0_u8; 24];
        let mut digits = [0_u8; 10];
        let mut count = 0;
        let mut left = pid.cast_unsigned();
        while left > 0 {
            *digits.get_mut(count)? = b'0' + u8::try_from(left % 10).ok()?;
            left /= 10;
            count += 1;
        }
        let text = b"/proc/".iter().chain(digits.get(..count)?.iter().rev()).chain(b"/ns/net");
        for (slot, octet) in path.iter_mut().zip(text) {
            *slot = *octet;
        }
        // SAFETY: stat is integers, for which zero is a value; the path ends with a NUL, and the result can be written
        // to.
        unsafe {
            let mut status: libc::stat = mem::zeroed();
            let result = libc::stat(path.as_ptr().cast(), &raw mut status);
            if result == 0 { Some(status.st_ino) } else { None }
        }
    }

    /// Close every descriptor from this number on: async-signal-safe.
    fn close_from(first: libc::c_uint) {
        // SAFETY: no pointers; the caller is a forked child that uses none of these descriptors any more.
        unsafe {
            if libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) != 0 {
                // Before Linux 5.9.
                let most = libc::c_int::try_from(libc::sysconf(libc::_SC_OPEN_MAX)).unwrap_or(1024);
                for fd in first.cast_signed()..most {
                    libc::close(fd);
                }
            }
        }
    }

    /// Fork; the child runs `child` with every signal blocked, so that no handler of the program runs in it.
    ///
    /// # Safety
    /// `child` may make async-signal-safe calls only: other threads hold locks that nobody will release in the child.
    unsafe fn fork_with_signals_blocked(child: impl FnOnce() -> Infallible) -> io::Result<libc::pid_t> {
        // SAFETY: the sets are valid to write to and to read; the caller answers for what the child does.
        unsafe {
            let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            let pid = libc::fork();
            if pid == 0 {
                child();
            }
            let result = if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) };
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            result
        }
    }

    /// Wait for the end of a child. If the program has waited for it already, there is nothing to do.
    fn reap(pid: libc::pid_t) {
        // SAFETY: the status is not asked for.
        while unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }

    /// Two connected stream sockets, closed on exec.
    fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
        UnixStream::pair().map(|(one, other)| (one.into(), other.into()))
    }

    /// The effective user and group of this process.
    pub(crate) fn user_and_group() -> (u32, u32) {
        // SAFETY: no pointers; these calls cannot fail.
        unsafe { (libc::geteuid(), libc::getegid()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_wakes_the_epoll_set_at_its_instant() {
        let (epoll, timer) = (Epoll::new().unwrap(), Timer::new().unwrap());
        epoll.add_edge(timer.as_fd(), 7).unwrap();
        let mut ready = [Ready::EMPTY; 4];

        assert_eq!(epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap(), 0, "not armed");
        let deadline = boottime_now() + Duration::from_millis(20);
        timer.arm(Some(deadline)).unwrap();
        assert_eq!(epoll.wait(&mut ready, None).unwrap(), 1);
        assert!(boottime_now() >= deadline);
        assert_eq!(ready[0].token(), 7);
        assert_eq!(epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap(), 0, "told once, without being read");

        timer.arm(Some(Instant::ZERO)).unwrap();
        assert!(epoll.wait_readable(None).unwrap(), "a deadline in the past fires at once");
        assert_eq!(epoll.wait(&mut ready, None).unwrap(), 1, "looking from outside takes nothing");
        timer.arm(None).unwrap();
        assert_eq!(epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap(), 0, "disarming drains");
        timer.arm(Some(Instant::FAR_FUTURE)).unwrap();
    }

    #[test]
    fn a_wait_is_rounded_up() {
        assert_eq!(milliseconds_up(Duration::ZERO), 0);
        assert_eq!(milliseconds_up(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds_up(Duration::MAX), libc::c_int::MAX);
    }
}
