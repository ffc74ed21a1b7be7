//! What the driver keeps of a virtual router beside the protocol's own state.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use vrrp_core::track::Tracked;
use vrrp_core::{Claim, Instant, RouterId, VirtualAddr};

use super::DriverEvent;
use super::paths::{PathPurpose, PathTodo, Paths};
use super::reservation::Reservation;
use crate::netlink::Path;
use crate::{RouterConfig, VirtualMacInterface};

/// One virtual router of the driver.
#[derive(Debug)]
pub(super) struct Managed {
    pub(super) config: RouterConfig,
    /// The interface that advertisements are heard on.
    pub(super) interface: u64,
    /// The interface that they are sent on: the same, unless there is one with a virtual MAC address.
    pub(super) sender: u64,
    pub(super) virtual_mac: Option<VirtualMacInterface>,
    /// Whether that interface is up.
    pub(super) raised: bool,
    /// Where the guardian knows it, and whether that is out of date.
    pub(super) slot: Option<usize>,
    pub(super) rearm: bool,
    /// How the things are that the application itself tracks.
    pub(super) tracked: Vec<Tracked>,
    /// Where each of its addresses goes.
    pub(super) places: Vec<Place>,
    /// Its routes and rules.
    pub(super) paths: Paths,
    /// Since when the addresses are to be on the host; `None` while they are not.
    pub(super) installed: Option<Instant>,
    /// What the kernel still has to be asked for, in order.
    pub(super) todo: VecDeque<Task>,
    /// Whether the hosts are to be told of each address once it is there.
    pub(super) announce_installed: bool,
    /// What the application is told once `todo` is done.
    pub(super) held: Vec<DriverEvent>,
    /// Advertisements that wait for the removal of the addresses.
    pub(super) deferred: Vec<Claim>,
    /// How often in a row the kernel refused an address.
    pub(super) refusals: u32,
    /// Since when advertisements cannot be sent.
    pub(super) send_failing: Option<Instant>,
    /// How often other programs removed an address, and since when that is counted.
    pub(super) removals: (u32, Instant),
    /// When the application was last told of an address that is here but should not be.
    pub(super) misplaced: Option<Instant>,
    /// Why it has no address to advertise from, as the application was last told.
    pub(super) no_primary_address: Option<String>,
    /// The addresses that incoming packets are dropped for.
    pub(super) dropped: BTreeSet<IpAddr>,
    /// That no other process runs it; and whether one does.
    pub(super) reservation: Option<Reservation>,
    pub(super) run_by_another: bool,
    /// Whether `todo` waits until the successor of a hand-over has announced the addresses.
    pub(super) lingers: bool,
    /// Whether the lease goes on from the end of `todo`.
    pub(super) renews: bool,
    /// When the kernel may take back the addresses that it has; `None`: never.
    pub(super) leased_until: Option<Instant>,
    /// When the pass began that sets all of them.
    pub(super) pass_began: Instant,
    /// What it last cost the kernel to set all addresses, and what it has cost in this pass.
    pub(super) cost: Duration,
    pub(super) spent: Duration,
    /// Whether a second round after a rival is due already.
    pub(super) rival_round: bool,
}

/// Where a virtual router is on the host.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) interface: u64,
    pub(super) sender: u64,
    pub(super) virtual_mac: Option<VirtualMacInterface>,
    pub(super) places: Vec<Place>,
}

/// An address and the interface it is installed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) interface: u64,
    pub(super) address: VirtualAddr,
    /// Its number in the configuration; `None` for what somebody else left.
    pub(super) number: Option<usize>,
}

/// One thing to ask of the kernel.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Address(Todo),
    Path(PathTodo),
}

impl Task {
    /// The interface that an address is on.
    pub(super) fn interface(&self) -> Option<u64> {
        match self {
            Self::Address(todo) => Some(todo.place.interface),
            Self::Path(_) => None,
        }
    }

    /// One that takes a route or a rule away.
    pub(super) fn removes_path(&self) -> bool {
        matches!(self, Self::Path(todo) if todo.purpose == PathPurpose::Remove)
    }
}

/// One address to ask of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Todo {
    pub(super) purpose: Purpose,
    pub(super) place: Place,
}

/// Why an address is set or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It moves here.
    Install,
    /// Its lease is to go on.
    Renew,
    /// Somebody else removed it.
    Restore,
    /// The kernel removed it at the end of its lease.
    Relet,
    /// The other interface that it belongs on is there again.
    Return,
    /// It moves away.
    Remove,
}

impl Managed {
    pub(super) fn new(config: RouterConfig, seat: Seat) -> Self {
        let mut paths = Paths::default();
        paths.replaced(Path::all(&config.routes, &config.rules));
        Self {
            config,
            paths,
            interface: seat.interface,
            sender: seat.sender,
            virtual_mac: seat.virtual_mac,
            raised: false,
            slot: None,
            rearm: false,
            tracked: Vec::new(),
            places: seat.places,
            installed: None,
            todo: VecDeque::new(),
            announce_installed: false,
            held: Vec::new(),
            deferred: Vec::new(),
            refusals: 0,
            send_failing: None,
            removals: (0, Instant::ZERO),
            misplaced: None,
            no_primary_address: None,
            reservation: None,
            run_by_another: false,
            dropped: BTreeSet::new(),
            lingers: false,
            renews: false,
            leased_until: None,
            pass_began: Instant::ZERO,
            cost: Duration::ZERO,
            spent: Duration::ZERO,
            rival_round: false,
        }
    }

    /// Whether its addresses are on their way off the host.
    pub(super) fn is_removing(&self) -> bool {
        self.installed.is_none() && !self.todo.is_empty()
    }

    /// Whether what it sends is signed.
    pub(super) fn is_signed(&self) -> bool {
        #[cfg(feature = "auth-hmac")]
        return self.config.hmac.is_some();
        #[cfg(not(feature = "auth-hmac"))]
        false
    }

    /// Nothing is wanted of the kernel any more but to take away what is not configured any more, nor said once it is done.
    pub(super) fn forget_todo(&mut self) {
        self.todo.retain(Task::removes_path);
        self.announce_installed = false;
        self.held.clear();
    }
}

/// What is due at some instant, apart from the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chore {
    /// The lease of addresses that were installed at this instant.
    RenewLease(RouterId, Instant),
    /// The second round of announcements of addresses that were installed at this instant.
    AnnounceAgain(RouterId, Instant),
    /// One more announcement of addresses that were installed at this instant, for those that never heard the first.
    AnnounceOnceMore(RouterId, Instant),
    /// The second round after a rival.
    AnnounceAfterRival(RouterId, Instant),
    /// The periodic round.
    RefreshAnnouncements(RouterId, Instant),
    /// The removal of addresses that were handed over.
    Depart(RouterId),
    /// An advertisement that could not be sent.
    Resend(RouterId),
    /// The start of one that waits for another process to end.
    Start(RouterId),
    /// Another attempt at an interface that could not be used.
    Attach(u64),
    /// The end of an interface's hold-down.
    LinkUp(u64),
    /// Another attempt at routes, rules and lasting addresses.
    CheckPaths,
    /// The turn of the first interface from here on to join its groups anew.
    Rejoin(u64),
}
