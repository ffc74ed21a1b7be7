//! The driver: a [`VrrpRouter`] bound to the kernel, behind one file descriptor.

mod accept;
mod addresses;
mod announce;
mod conflict;
mod election;
mod event;
mod guard;
mod links;
mod managed;
mod memberships;
mod paths;
mod receive;
mod reconfigure;
mod reservation;
mod seat;
mod status;
mod track;
mod transmit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use vrrp_core::{Event, Fault, IfIndex, Instant, Params, RouterId, VrrpRouter};

use self::announce::{Announcing, Unannounced};
use self::election::AWAKE_BEFORE_TAKEOVER;
pub use self::event::DriverEvent;
use self::guard::Guarded;
use self::managed::{Chore, Managed, Seat};
use self::paths::StaticPaths;
use self::receive::Intake;
use self::reconfigure::router_config;
pub use self::status::{
    AddressStatus, DriverStatus, LastAdvert, LastTransition, PathStatus, RouterCounters, RouterStatus,
};
use self::transmit::Outbox;
use crate::config::check_paths;
use crate::error::{Capability, Error};
use crate::interface::Interface;
use crate::netlink::{DropTable, Monitor, Netlink};
use crate::sysctl::Settings;
use crate::tracking::HostView;
use crate::{Descriptors, LinkSocket, ReceiveBuffer, RouterConfig, VirtualMacs, descriptors, sys};

/// The mark on the addresses that this crate installs (`IFA_PROTO`): VRRP's IP protocol number.
pub const ADDRESS_MARK: u8 = vrrp_core::wire::PROTOCOL;

/// The mark on the routes and rules that this crate installs (`rtm_protocol`, `FRA_PROTOCOL`): the same number, which no
/// program of linux/rtnetlink.h has. keepalived's is 18.
pub const PATH_MARK: u8 = ADDRESS_MARK;

/// The mark on the addresses that stay whatever the roles are (`IFA_PROTO`): another one, since they can be advertised from.
pub const STATIC_MARK: u8 = ADDRESS_MARK + 1;

/// Epoll tokens.
const TIMER: u64 = 0;
const MONITOR: u64 = 1;
const COMMANDS: u64 = 2;
const GUARDIAN: u64 = 3;
const INTAKE: u64 = 4;

/// Tokens of the sockets among themselves, and of interfaces, begin here.
const FIRST_INTERFACE: u64 = 4;

/// For each family one for advertisements, and then one for claims of addresses.
const SOCKETS_PER_INTERFACE: u64 = 4;

/// Where those for claims start.
const WATCHES: u64 = 2;

/// Runs virtual routers on this host's interfaces. One descriptor, no thread, no callback.
///
/// Watch [`as_fd`](AsFd::as_fd) for reading in any event loop, and call [`process`](Self::process) when it is readable;
/// the timers are inside. Nothing else has to be called. Dropping it releases every address, as
/// [`shutdown`](Self::shutdown) does; a process that dies without that leaves them to their [`Lease`](crate::Lease).
#[derive(Debug)]
pub struct Driver {
    epoll: sys::Epoll,
    intake: Intake,
    timer: sys::Timer,
    /// When the timer goes off, if it is set.
    armed: Option<Instant>,
    monitor: Monitor,
    netlink: Netlink,
    link_socket: LinkSocket,
    /// Sockets that were handed in and are not used yet.
    spares: Vec<OwnedFd>,
    router: VrrpRouter,
    /// By epoll token.
    interfaces: BTreeMap<u64, Interface>,
    next_token: u64,
    managed: BTreeMap<RouterId, Managed>,
    /// Which virtual router has an address on an interface.
    owners: BTreeMap<(u64, IpAddr), RouterId>,
    chores: BTreeSet<(Instant, Chore)>,
    /// How many changes of addresses are asked for in one turn.
    batch: usize,
    /// Those for which the kernel has something to do.
    busy: VecDeque<RouterId>,
    /// Announcements that are under way.
    announcing: VecDeque<Announcing>,
    /// Their packets, and those of addresses that have just been installed.
    unannounced: VecDeque<Unannounced>,
    /// Until when the queue for them is taken to be full.
    full_until: Option<Instant>,
    /// Until when nothing is announced on an interface.
    quiet: BTreeMap<u64, Instant>,
    /// When another host last claimed an address.
    conflicts: BTreeMap<(u64, IpAddr), Instant>,
    events: Vec<DriverEvent>,
    receive_buffer: ReceiveBuffer,
    outbox: Outbox,
    /// Interfaces whose sockets do not let in yet what they should.
    unfiltered: BTreeSet<u64>,
    guarded: Option<Guarded>,
    virtual_macs: Option<VirtualMacs>,
    settings: Settings,
    /// What comes in for addresses that are not accepted is dropped there.
    drop_table: Option<DropTable>,
    /// What stays whatever the roles are.
    statics: StaticPaths,
    /// The names of interfaces and whether they are up, as far as was heard.
    path_links: BTreeMap<IfIndex, (String, bool)>,
    /// When they are tried again that could not be added.
    paths_due: Option<Instant>,
    /// Whether routes and rules are watched that are to be on this host.
    watches_routes: bool,
    watches_rules: bool,
    /// Interfaces on which the kernel does not delete addresses together.
    kept_apart: BTreeSet<IfIndex>,
    /// What virtual routers track of this host.
    view: HostView,
    /// How often the groups of all interfaces are joined anew.
    membership_refresh: Option<Duration>,
}

impl Driver {
    /// A driver without virtual routers.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] unless the process has `CAP_NET_RAW` and `CAP_NET_ADMIN`; [`Error::Io`] if it has no
    /// descriptors left.
    pub fn new() -> Result<Self, Error> {
        Self::with_sockets(LinkSocket::open()?, Vec::new())
    }

    /// A driver without virtual routers, with sockets that were opened beforehand. It opens others only for interfaces and
    /// families that there are none for.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] unless the process has `CAP_NET_ADMIN`; [`Error::Io`] if it has no descriptors left.
    pub fn with_descriptors(descriptors: Descriptors) -> Result<Self, Error> {
        Self::with_sockets(descriptors.link_socket, descriptors.sockets)
    }

    /// Copies of the sockets, to be passed on to a successor that takes over from this process. Each advertisement goes to
    /// one of those who read, so only one of the two may run.
    ///
    /// # Errors
    /// [`Error::Io`] if the process has no descriptors left.
    pub fn descriptors(&self) -> Result<Descriptors, Error> {
        let own = self.interfaces.values().flat_map(Interface::descriptors);
        descriptors::copies(&self.link_socket, own, &self.spares)
            .map_err(|error| Error::io("copy the driver's sockets", error))
    }

    fn with_sockets(link_socket: LinkSocket, spares: Vec<OwnedFd>) -> Result<Self, Error> {
        if !Capability::NetAdmin.is_effective() {
            let operation = "change the addresses of interfaces".to_owned();
            return Err(Error::MissingCapability { operation, capability: Capability::NetAdmin });
        }
        let opened = |error| Error::io("open the driver's descriptors", error);
        let (epoll, timer) = (sys::Epoll::new().map_err(opened)?, sys::Timer::new().map_err(opened)?);
        let monitor = Monitor::open()?;
        epoll.add_edge(timer.as_fd(), TIMER).map_err(opened)?;
        epoll.add(monitor.as_fd(), MONITOR).map_err(opened)?;
        let intake = Intake::new().map_err(opened)?;
        epoll.add(intake.sockets.as_fd(), INTAKE).map_err(opened)?;
        Ok(Self {
            epoll,
            intake,
            timer,
            armed: None,
            monitor,
            netlink: Netlink::open()?,
            link_socket,
            spares,
            router: VrrpRouter::new(),
            interfaces: BTreeMap::new(),
            next_token: FIRST_INTERFACE,
            managed: BTreeMap::new(),
            owners: BTreeMap::new(),
            chores: BTreeSet::new(),
            batch: addresses::LARGEST_BATCH,
            busy: VecDeque::new(),
            announcing: VecDeque::new(),
            unannounced: VecDeque::new(),
            full_until: None,
            quiet: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            events: Vec::new(),
            receive_buffer: ReceiveBuffer::new(),
            outbox: Outbox::new(),
            unfiltered: BTreeSet::new(),
            guarded: None,
            virtual_macs: None,
            settings: Settings::new(),
            drop_table: None,
            statics: StaticPaths::default(),
            path_links: BTreeMap::new(),
            paths_due: None,
            watches_routes: false,
            watches_rules: false,
            kept_apart: BTreeSet::new(),
            view: HostView::new(),
            membership_refresh: Some(memberships::REFRESH),
        })
    }

    /// Adds a virtual router and starts it. An interface that is down or has no address is no error: the router takes
    /// part once it can.
    ///
    /// What follows is done by the next [`process`](Self::process), for all that were added before it together; the
    /// descriptor is readable at once.
    ///
    /// Its addresses that are on the interface already were left there by a process that died, and are removed; unless
    /// this host is their owner (priority 255).
    ///
    /// If another process of this host (another driver) runs this virtual router already, it waits until that one has ended:
    /// [`DriverEvent::RunByAnother`]. With a virtual MAC address it cannot wait: that is [`Error::RunByAnother`].
    ///
    /// # Errors
    /// [`Error::UnknownInterface`], [`Error::Config`], [`Error::OwnAddress`], [`Error::AddressTaken`], [`Error::Route`],
    /// [`Error::Rule`] and what opening
    /// sockets can give; nothing is left behind.
    pub fn add(&mut self, config: RouterConfig) -> Result<RouterId, Error> {
        let params = config.params().map_err(|error| Error::Config(error.into()))?;
        check_paths(&config.routes, &config.rules)?;
        let now = sys::boottime_now();
        let reservation = if config.virtual_mac.is_some() { reservation::reserve(&config)? } else { None };
        let id = match self.register(now, &config, params) {
            Ok((id, seat)) => {
                self.enlist(id, Managed { reservation, ..Managed::new(config, seat) });
                id
            }
            Err(error) => {
                self.close_unused_interfaces();
                return Err(error);
            }
        };
        let token = self.managed.get(&id).map(|managed| managed.interface).unwrap_or_default();
        self.update_primary_address(now, token, id);
        if let Err(error) = self.join_group(id).and_then(|()| self.follow_sources(id)).and_then(|()| self.watch_paths())
        {
            self.remove(id)?;
            return Err(error);
        }
        if self.managed.len() == 1 {
            self.schedule_rejoining(now);
        }
        // Once for all that are added together.
        self.unfiltered.insert(token);
        if let Some(params) = self.router.params(id) {
            self.intake.keep_up_with(params.advert_interval().as_duration());
        }
        self.keep_addresses_apart(id);
        if self.interfaces.get(&token).is_some_and(|interface| !interface.reported_usable) {
            self.router.handle_event(now, id, Event::Fault(Fault::Link));
        }
        self.start(now, id);
        // One that has gone off for an earlier one is not read before the next turn.
        if self.armed.is_none_or(|armed| armed > now) {
            self.arm_at(now, now)?;
        }
        Ok(id)
    }

    /// Gives a checked configuration to the protocol.
    fn register(&mut self, now: Instant, config: &RouterConfig, params: Params) -> Result<(RouterId, Seat), Error> {
        let seat = self.take_seat(config)?;
        self.check_places(config, &seat.places, None)?;
        let interface = self.interfaces.get(&seat.interface);
        let mtu = interface.and_then(|interface| interface.link.as_ref()).map_or(1500, |link| link.mtu);
        let index = interface.and_then(Interface::index);
        if index.is_none() {
            // It is in use by other virtual routers but gone at present, or was never there.
            if !config.may_be_absent {
                self.netlink.link_by_name(&config.interface)?;
            }
            self.check_absent(config)?;
        }
        let id = self.router.add(index, router_config(config, params, mtu))?;
        #[cfg(feature = "auth-hmac")]
        if let Some(hmac) = &config.hmac {
            self.tell_time(now);
            if let Err(error) = self.router.set_hmac(id, Some(hmac.clone())) {
                self.router.remove(now, id);
                return Err(error.into());
            }
        }
        let _ = now;
        Ok((id, seat))
    }

    /// The protocol compares those that have an interface. Those that wait for one of the same name will have the same.
    fn check_absent(&self, config: &RouterConfig) -> Result<(), Error> {
        let place = |config: &RouterConfig| (config.interface.clone(), config.vrid, config.family());
        match self.managed.values().any(|managed| place(&managed.config) == place(config)) {
            true => Err(Error::DuplicateRouter { vrid: config.vrid, interface: config.interface.clone() }),
            false => Ok(()),
        }
    }

    fn enlist(&mut self, id: RouterId, managed: Managed) {
        if let Some(interface) = self.interfaces.get_mut(&managed.interface) {
            interface.routers.insert(id);
        }
        for place in &managed.places {
            self.owners.insert((place.interface, place.address.address()), id);
        }
        self.managed.insert(id, managed);
    }

    /// Takes a virtual router out: its addresses are removed, and the others are told so that the next one takes over
    /// within its Skew_Time. Does nothing if it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn remove(&mut self, id: RouterId) -> Result<(), Error> {
        let now = sys::boottime_now();
        self.router.handle_event(now, id, Event::Shutdown);
        self.finish_all()?;
        self.router.remove(now, id);
        if let Some(managed) = self.managed.remove(&id) {
            if let Some(interface) = self.interfaces.get_mut(&managed.interface) {
                interface.routers.remove(&id);
            }
            for place in &managed.places {
                self.owners.remove(&(place.interface, place.address.address()));
            }
            if let Err(error) = self.set_up_sockets(managed.interface) {
                self.interface_failed(managed.interface, error);
            }
            drop(managed);
            self.unfollow();
            self.close_unused_interfaces();
        }
        self.finish_turn()
    }

    /// Takes every virtual router out, as [`remove`](Self::remove), and returns the last events.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn shutdown(mut self) -> Result<Vec<DriverEvent>, Error> {
        self.leave_all()?;
        Ok(std::mem::take(&mut self.events))
    }

    /// Does what is due: reads what has arrived, fires timers, carries out what follows. Returns what happened, in
    /// order. Call it when the descriptor is readable; at other times it does nothing.
    ///
    /// The work of one call is bounded. What was not done makes the descriptor readable again at once. When a Backup has not
    /// heard its Active for all but the last 0.3 ms of Active_Down_Interval, a call lasts until then: to sleep and wake up would
    /// take as long, and there may be nobody who has the addresses. So it does for the last 0.3 ms of an election that an Active
    /// has called.
    ///
    /// # Errors
    /// [`Error::Io`] if a descriptor of the driver itself fails; a fault of one virtual router is an event.
    pub fn process(&mut self) -> Result<Vec<DriverEvent>, Error> {
        #[cfg(feature = "auth-hmac")]
        self.tell_time(sys::boottime_now());
        self.set_filters();
        // Adverts come before timers: a process that was held up must read what happened before it acts on a timer.
        self.read_ready()?;
        let now = self.stay_awake_for_takeover()?;
        self.router.handle_timeout_together(now);
        // Advertisements first: what follows may keep the kernel busy for a while.
        self.perform();
        self.do_chores(now);
        if self.carry_out() {
            // The kernel tells of what it did at once: not with a wake-up of its own.
            self.read_changes()?;
            self.perform();
        }
        let events = std::mem::take(&mut self.events);
        self.arm(sys::boottime_now())?;
        Ok(events)
    }

    /// Waits until there is something to [`process`](Self::process), at most `timeout` (`None`: for ever). For programs
    /// without an event loop of their own. Returns early when a signal arrives.
    ///
    /// # Errors
    /// [`Error::Io`] if the descriptor fails.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.epoll.wait_readable(timeout).map(drop).map_err(|error| Error::io("wait for the driver", error))
    }

    /// Whether there is something to [`process`](Self::process) now.
    ///
    /// # Errors
    /// [`Error::Io`] if the descriptor fails.
    pub fn is_readable(&self) -> Result<bool, Error> {
        self.epoll.wait_readable(Some(Duration::ZERO)).map_err(|error| Error::io("look at the driver", error))
    }

    /// Makes the descriptor readable while this one is, which somebody else reads.
    pub(crate) fn watch_commands(&self, commands: BorrowedFd<'_>) -> std::io::Result<()> {
        self.epoll.add(commands, COMMANDS)
    }

    /// The protocol's view: states, parameters, counters.
    pub fn router(&self) -> &VrrpRouter {
        &self.router
    }

    /// The configuration of a virtual router.
    pub fn config(&self, id: RouterId) -> Option<&RouterConfig> {
        self.managed.get(&id).map(|managed| &managed.config)
    }

    /// Signatures carry the time of day.
    #[cfg(feature = "auth-hmac")]
    fn tell_time(&mut self, now: Instant) {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.router.set_wall_clock(now, vrrp_core::hmac::WallClock::from(since_epoch));
    }

    /// Carries out what the protocol wants done, and sets the timer for what it wants next: at once, if something happened
    /// that the application has to be told of.
    fn finish_turn(&mut self) -> Result<(), Error> {
        self.carry_out();
        self.arm(sys::boottime_now())
    }

    /// Whether the kernel was asked for something.
    fn carry_out(&mut self) -> bool {
        self.set_filters();
        self.perform();
        let changed = self.change_addresses();
        // What came of that.
        self.perform();
        self.announce_some(sys::boottime_now());
        changed
    }

    /// As [`finish_turn`](Self::finish_turn), until nothing is left to ask of the kernel.
    fn finish_all(&mut self) -> Result<(), Error> {
        self.finish_turn()?;
        self.depart_all();
        while self.has_todo() {
            self.finish_turn()?;
        }
        Ok(())
    }

    /// Whether the kernel has still to be asked for something.
    fn has_todo(&self) -> bool {
        !self.busy.is_empty() || !self.statics.todo.is_empty()
    }

    /// Sets the timer. One that goes off too early costs less than to set it again with each advertisement heard.
    fn arm(&mut self, now: Instant) -> Result<(), Error> {
        let at_once = (self.has_todo() || !self.events.is_empty()).then_some(now);
        let chore = self.chores.first().map(|(at, _)| *at);
        let takeover = self.router.poll_takeover().map(|at| at - AWAKE_BEFORE_TAKEOVER);
        let others = [chore, at_once, self.next_announcement(now), self.intake.next_look(), takeover];
        let next = others.into_iter().chain([self.router.poll_timeout()]).flatten().min();
        match next {
            Some(next) => self.arm_at(now, next),
            None => Ok(()),
        }
    }

    fn arm_at(&mut self, now: Instant, next: Instant) -> Result<(), Error> {
        // Unless it would very soon.
        let is_soon = |armed: Instant| armed.since(now) < next.since(armed) / 4;
        if self.armed.is_some_and(|armed| armed > now && armed <= next && !is_soon(armed)) {
            return Ok(());
        }
        // One that has passed meanwhile makes the descriptor readable at once.
        self.timer.arm(Some(next)).map_err(|error| Error::io("set the driver's timer", error))?;
        self.armed = Some(next);
        Ok(())
    }

    fn do_chores(&mut self, now: Instant) {
        while let Some((at, chore)) = self.chores.first().copied()
            && at <= now
        {
            self.chores.pop_first();
            match chore {
                Chore::RenewLease(id, since) if self.is_installed(id, since) => self.renew_lease(id),
                Chore::AnnounceAgain(id, since) if self.is_installed(id, since) => self.announce_again(id),
                Chore::AnnounceOnceMore(id, since) if self.is_installed(id, since) => self.announce_once_more(id),
                Chore::AnnounceAfterRival(id, since) => self.announce_after_rival(id, since),
                Chore::RefreshAnnouncements(id, since) if self.is_installed(id, since) => self.refresh(now, id, since),
                Chore::Depart(id) => self.depart(id),
                Chore::Resend(id) => self.resend(id),
                Chore::Start(id) => self.start(now, id),
                Chore::LinkUp(token) => self.link_is_up(now, token),
                Chore::Attach(token) => self.attach_again(now, token),
                Chore::Rejoin(token) => self.rejoin_next(now, token),
                Chore::CheckPaths => self.retry_paths(now),
                // The addresses of that time are gone.
                Chore::RenewLease(..)
                | Chore::AnnounceAgain(..)
                | Chore::AnnounceOnceMore(..)
                | Chore::RefreshAnnouncements(..) => {}
            }
        }
    }

    fn is_installed(&self, id: RouterId, since: Instant) -> bool {
        self.managed.get(&id).is_some_and(|managed| managed.installed == Some(since))
    }

    fn leave_all(&mut self) -> Result<(), Error> {
        let now = sys::boottime_now();
        for id in self.managed.keys() {
            self.router.handle_event(now, *id, Event::Shutdown);
        }
        let result = self.finish_all();
        self.remove_statics();
        let result = result.and(self.finish_all());
        self.release_settings();
        result
    }
}

impl AsFd for Driver {
    /// The descriptor to watch for reading. It stays the same for the driver's whole life.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl AsRawFd for Driver {
    /// As [`as_fd`](AsFd::as_fd), for event loops that take bare numbers.
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.as_fd().as_raw_fd()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Nobody is left to tell; what cannot be removed ends with its lease.
        let _ = self.leave_all();
    }
}
