//! Throwaway networks for tests: hosts, switches and cables on this machine, with its real kernel, gone when you are.
//!
//! Each host is a network namespace; processes run in it, sockets can be opened in it from outside, and its cables
//! can be pulled. Nothing of the machine's own network is touched, and no other program is needed: not `ip`, not
//! `ping`. Root can make a lab, and so can everybody else where the system allows user namespaces.
//!
//! ```
//! use vrrp_net::lab::{Lab, LabError};
//!
//! # fn main() -> Result<(), LabError> {
//! # if Lab::available().is_err() { return Ok(()); }
//! let lab = Lab::new()?;
//! let lan = lab.bridge("lan")?;
//! let (a, b) = (lab.host("a")?, lab.host("b")?);
//! let a0 = a.attach(&lan, "eth0", &["192.0.2.1/24"])?;
//! let b0 = b.attach(&lan, "eth0", &["192.0.2.2/24"])?;
//!
//! // A program of yours, inside: killed with the lab at the latest.
//! let mut program = a.spawn("sleep", ["60"])?;
//!
//! // Is the other host there, and which interface answers?
//! let pinger = a.ping("192.0.2.2".parse().unwrap(), std::time::Duration::from_millis(10))?;
//! let reply = pinger.wait_for(std::time::Duration::from_secs(2), |reply| reply.received_at.is_some());
//! assert_eq!(reply.unwrap().mac, Some(b0.mac()));
//!
//! a0.cut()?; // pull the cable
//! assert!(!a.link("eth0")?.carrier);
//! a0.heal()?;
//! program.kill()?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it cleans up
//!
//! The namespaces hang on file descriptors of the calling process, so the kernel removes them whichever way it ends.
//! Processes in the lab are in a process group led by a small child, `vrrp-lab-warden`, which waits for the calling
//! process to end (panic, Ctrl-C, `kill -9`) and then kills all of them, also those that left the group. Dropping the
//! [`Lab`] does the same at once.
//!
//! # Many labs
//!
//! Labs do not see each other: many can run in parallel threads of one test program, with the same names and addresses.

mod bridge;
mod capture;
mod error;
mod host;
mod namespace;
mod pinger;
mod process;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock};

pub use self::bridge::{Bridge, Interface};
pub use self::capture::{Capture, Frame};
pub use self::error::LabError;
pub use self::host::Host;
use self::namespace::Room;
pub use self::pinger::{Pinger, Reply, longest_gap};
pub use self::process::Process;
use crate::error::Error;
use crate::sys::lab::{MOST_NAMESPACES, Namespaces, Warden, kill_processes_in, namespace_number};

/// A network of its own on this machine. Dropping it kills every process in it.
///
/// [`Host`]s, [`Bridge`]s and [`Interface`]s of a dropped lab still answer questions, but no process can be started.
#[derive(Debug)]
pub struct Lab {
    ground: Arc<Ground>,
}

/// What the parts of a lab share.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The user namespace that owns the lab's network namespaces, if the caller's own lacks the privileges.
    user: Option<Arc<OwnedFd>>,
    /// The network namespace of the bridges.
    switch: Room,
    /// The process group of the lab's processes.
    group: i32,
    warden: Mutex<Option<Warden>>,
    /// Whether the lab was dropped: no process starts in it any more.
    closed: Arc<AtomicBool>,
    /// Those of all hosts, kept open as long as anything is killed by their numbers.
    namespaces: Mutex<Vec<Arc<Namespaces>>>,
    hosts: Mutex<Vec<String>>,
    ports: AtomicU32,
}

impl Lab {
    /// An empty lab.
    ///
    /// # Errors
    /// [`LabError::NotAllowed`], if this process is not root and the system does not let others make namespaces: it
    /// says what is in the way, and what to do.
    pub fn new() -> Result<Self, LabError> {
        // Root's way may still be closed, in a container; then the other one may be open.
        if namespace::privileged()
            && let Ok(lab) = Self::with_user_namespace(None)
        {
            return Ok(lab);
        }
        Self::unprivileged()
    }

    /// An empty lab in a user namespace, even if this process is root: what [`new`](Self::new) makes for others.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn unprivileged() -> Result<Self, LabError> {
        Self::with_user_namespace(Some(Arc::new(namespace::new_user_namespace()?)))
    }

    /// Whether a lab can be made here, so that a test can be skipped otherwise.
    ///
    /// # Errors
    /// What [`new`](Self::new) would fail with.
    pub fn available() -> Result<(), LabError> {
        Self::new().map(drop)
    }

    fn with_user_namespace(user: Option<Arc<OwnedFd>>) -> Result<Self, LabError> {
        let warden = Warden::start().map_err(|error| LabError::io("start the lab's warden", error))?;
        let switch = Room::new(user.as_ref(), &namespace::SWITCH_SETTINGS)?;
        let watched = warden.watch(switch.namespaces.network.as_fd());
        watched.map_err(|error| LabError::io("tell the lab's warden", error))?;
        let ground = Ground {
            group: warden.group(),
            namespaces: Mutex::new(vec![Arc::clone(&switch.namespaces)]),
            warden: Mutex::new(Some(warden)),
            closed: Arc::default(),
            user,
            switch,
            hosts: Mutex::default(),
            ports: AtomicU32::new(0),
        };
        Ok(Self { ground: Arc::new(ground) })
    }

    /// A new switch: a bridge without spanning tree, delays or multicast snooping.
    ///
    /// # Errors
    /// [`LabError::Network`] if the name is taken or is no interface name.
    pub fn bridge(&self, name: &str) -> Result<Bridge, LabError> {
        Bridge::new(&self.ground, name)
    }

    /// A new host. It has a loopback interface only, until it is [attached](Host::attach).
    ///
    /// IPv6 duplicate address detection is off in it, so that addresses can be used at once.
    ///
    /// # Errors
    /// [`LabError::HostExists`] if the lab has one of this name.
    pub fn host(&self, name: &str) -> Result<Host, LabError> {
        Host::new(&self.ground, name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.ground.kill_processes();
    }
}

impl Ground {
    /// Make room for one more host.
    fn admit(&self, name: &str) -> Result<(usize, Room), LabError> {
        let mut hosts = lock(&self.hosts);
        if hosts.iter().any(|host| host == name) {
            return Err(LabError::HostExists(name.to_owned()));
        }
        // The warden remembers so many, the switch's being one of them.
        if hosts.len() + 1 >= MOST_NAMESPACES {
            return Err(LabError::TooManyHosts(MOST_NAMESPACES - 1));
        }
        let room = Room::new(self.user.as_ref(), &namespace::HOST_SETTINGS)?;
        if let Some(warden) = &*lock(&self.warden) {
            let watched = warden.watch(room.namespaces.network.as_fd());
            watched.map_err(|error| LabError::io("tell the lab's warden", error))?;
        }
        lock(&self.namespaces).push(Arc::clone(&room.namespaces));
        hosts.push(name.to_owned());
        Ok((hosts.len(), room))
    }

    /// A number that no other port of the lab's bridges has.
    fn next_port(&self) -> u32 {
        self.ports.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Kill every process of the lab, and return when they are gone.
    fn kill_processes(&self) {
        self.closed.store(true, Ordering::Relaxed);
        // The warden kills its group and itself, and looks for those that left the group.
        drop(lock(&self.warden).take());
        // If someone has killed the warden before, nobody has done it.
        let namespaces = lock(&self.namespaces);
        let numbers: Vec<u64> = namespaces.iter().filter_map(|it| namespace_number(it.network.as_fd())).collect();
        let patience = Clock::now() + Duration::from_secs(5);
        while kill_processes_in(&numbers) > 0 && Clock::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The lock, also if a thread panicked while it held it: there is nothing here that it could have left half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Try until `done` says so, at most this long. Returns whether it did.
fn wait_until(limit: Duration, mut done: impl FnMut() -> Result<bool, Error>) -> Result<bool, Error> {
    let patience = Clock::now() + limit;
    loop {
        if done()? {
            return Ok(true);
        }
        if Clock::now() >= patience {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
