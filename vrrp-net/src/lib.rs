//! VRRP on Linux, from inside your process: virtual addresses that move between hosts, behind one file descriptor.
//!
//! [`Driver`] runs virtual routers. Give it a [`RouterConfig`] for each, watch its descriptor in the event loop that you
//! have, call [`Driver::process`] when it is readable, and act on the [`DriverEvent`]s. It starts no thread and calls
//! nobody back; the timers are inside the descriptor.
//!
//! ```no_run
//! use vrrp_net::vrrp_core::{Role, Vrid};
//! use vrrp_net::{Driver, DriverEvent, RouterConfig};
//!
//! let mut driver = Driver::new()?;
//! driver.add(RouterConfig::new("eth0", Vrid::new(51)?, vec!["192.0.2.100".parse()?]))?;
//! loop {
//!     driver.wait(None)?; // or poll, epoll, mio, tokio's AsyncFd on driver.as_fd()
//!     for event in driver.process()? {
//!         if let DriverEvent::Transition { transition, .. } = &event {
//!             println!("{event}; serving: {}", transition.to == Role::Active);
//!         }
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The contract
//!
//! - Call [`Driver::process`] whenever the descriptor is readable, and soon: a process that does not for
//!   Active_Down_Interval (3 to 4 times the interval) loses its roles to its peers. If your loop can stall, give the driver a
//!   [thread](Driver::spawn) of its own, with a real-time priority if the host is busy, or [await](AsyncDriver) it in a task of
//!   its own (feature `tokio`).
//! - `process` does a bounded amount of work, however many packets and addresses wait; what was left makes the descriptor
//!   readable again at once, and so do the events that come of another call. It never waits for anything but
//!   the kernel, and 0.3 ms at most for the moment of a takeover or the end of an election.
//! - An error of `process` is the end: the descriptors of the driver itself have failed. What happens to one virtual router
//!   or interface is a [`DriverEvent`] about that one, and the others go on.
//! - The [`Transition`](DriverEvent::Transition) to Active comes when the addresses are on the host, and the one away from it
//!   when they are gone: it is safe to start and stop serving on it.
//! - [`Driver::reconfigure`] changes everything but the interface, VRID, family and virtual MAC address while it runs; what
//!   stays in the configuration is not touched on the host.
//!
//! # What it does to the host
//!
//! - While it runs, the kernel stamps what it receives with the time of day (`SO_TIMESTAMPNS`), as it does for `ping`.
//! - An Active's addresses are on the interface, announced by gratuitous ARP or unsolicited neighbour advertisements, marked
//!   as VRRP's ([`ADDRESS_MARK`]) and leased ([`Lease`]): if the process dies, the kernel removes them. One that is there at
//!   the start already is taken for what a predecessor left, and removed, unless this host is the addresses' owner.
//! - An address that another program removes is put back; one that is removed again and again is given up.
//! - [Routes](RouterConfig::with_route) and [rules](RouterConfig::with_rule) of an Active come after its addresses and go
//!   before them, are put back when they vanish, and carry a mark ([`PATH_MARK`]). No lease ends them: the guardian removes them
//!   if the process dies, else a successor does, at its start what it is given itself and with
//!   [`Driver::remove_leftovers`] the rest. One that the kernel refuses is no fault. [`Statics`] are there whatever the roles
//!   are, until the driver ends.
//! - Another host that claims an address which is served here, or sent from, is reported and answered
//!   ([`DriverEvent::AddressConflict`]). Before a promotion nobody is asked: that would cost a second.
//! - The VRRP group is joined anew on each interface once a minute, so that a switch that has forgotten who listens hears of it
//!   ([`Driver::set_membership_refresh`]); also, and the addresses are announced, when a bond changes its port.
//! - An interface that goes down, loses its carrier or its address, is renamed or vanishes takes its virtual routers out of
//!   the election; they are back when it is, also with another index ([`RouterConfig::with_link_delay`]).
//!   [`DriverEvent::NoPrimaryAddress`] says what is wrong with one that is up: IPv6 is disabled, duplicate address detection
//!   is under way.
//! - Addresses that the kernel refuses, and advertisements that cannot be sent, take a virtual router out of the election
//!   for a while ([`Params::fault_hold`](vrrp_core::Params::fault_hold)).
//! - `promote_secondaries` is set on interfaces where addresses of one prefix come and go, `arp_ignore` and `arp_announce` on
//!   the parents of [virtual MAC](VirtualMac) interfaces, and all are set back at the end. What a predecessor left of
//!   virtual MAC interfaces, and their parents' settings with them, [`Driver::remove_leftovers`] removes.
//!   `promote_secondaries` stays set after a process that was killed: nothing on the host says that it was not before.
//! - With [`RouterConfig::with_accept_mode`] `false` an nftables table of this process drops what comes in for the addresses;
//!   the kernel removes it with the process.
//! - One process of a host (of its network namespace) runs a virtual router; another one waits until that has ended
//!   ([`DriverEvent::RunByAnother`]). Of a VRRP program other than this crate's it knows nothing.
//!
//! # Privileges
//!
//! `CAP_NET_RAW` for the sockets and `CAP_NET_ADMIN` for the addresses; [`Driver::new`] says which one is missing. Neither
//! needs root: `setcap cap_net_raw,cap_net_admin+ep PROGRAM`. The sockets can also be opened by a parent with more
//! privileges and handed in, as [`Descriptors`]; then `CAP_NET_ADMIN` is enough. A real-time priority needs `CAP_SYS_NICE` or
//! a limit that allows it.
//!
//! # When the process dies
//!
//! The [`guardian`] is a small process that removes the addresses and resigns at once; without it the lease ends, and the
//! peers wait for Active_Down_Interval.
//!
//! # The parts
//!
//! [`AdvertSocket`] with its [`filter`], [`LinkSocket`] with its [`frame`]s, [`VirtualMacs`], [`netlink`], [`sysctl`],
//! [`tracking`]: what the driver is made of, for programs that bind [`vrrp_core`] to the kernel in their own way. With the
//! feature `lab` also hosts, cables and captures for tests.
#![deny(unsafe_code)]
#![deny(missing_docs)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod config;
mod descriptors;
mod driver;
mod error;
pub mod filter;
pub mod frame;
pub mod guardian;
mod interface;
#[cfg(feature = "lab")]
pub mod lab;
mod lease;
mod link_socket;
pub mod netlink;
mod socket;
#[allow(unsafe_code)]
mod sys;
pub mod sysctl;
mod thread;
#[cfg(feature = "tokio")]
mod tokio;
pub mod tracking;
mod vmac;
mod watch;

#[cfg(feature = "tokio")]
pub use crate::tokio::AsyncDriver;
pub use config::{
    Address, Announcements, Hop, Prefix, PrefixError, RouteError, RouteKind, RouteParameter, RouteProblem,
    RouterConfig, RouterPreference, RuleAction, RuleError, RuleProblem, Statics, VirtualMac, VirtualRoute, VirtualRule,
};
pub use descriptors::Descriptors;
pub use driver::{
    ADDRESS_MARK, AddressStatus, Driver, DriverEvent, DriverStatus, LastAdvert, LastTransition, PATH_MARK, PathStatus,
    RouterCounters, RouterStatus, STATIC_MARK,
};
pub use error::{Capability, Error};
pub use guardian::Guardian;
pub use lease::Lease;
pub use link_socket::{Announcement, LinkSocket};
pub use socket::{AdvertSocket, Datagrams, MAX_ADVERT_LEN, Outgoing, ReceiveBuffer};
pub use thread::{DriverThread, ThreadOptions};
pub use vmac::{VirtualMacInterface, VirtualMacs};
pub use vrrp_core;

/// Now, on the clock that everything here is timed by: `CLOCK_BOOTTIME`, which goes on while the host is suspended.
pub fn now() -> vrrp_core::Instant {
    sys::boottime_now()
}
