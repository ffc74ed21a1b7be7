//! The driver: a [`VrrpRouter`] bound to the kernel, behind one file descriptor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use vrrp_core::wire::{Discard, Envelope};
use vrrp_core::{
    Action, Alarm, Cause, Claim, Event, Family, Fault, Faults, IfIndex, Instant, Params, Priority, Role, RouterId,
    Transition, VirtualAddr, VirtualRouterConfig, VrrpRouter,
};

use crate::error::{Capability, Error};
use crate::interface::Interface;
use crate::netlink::{AddressChange, AddressRequest, Change, Monitor, Netlink};
use crate::socket::{MAX_ADVERT_LEN, MAX_DATAGRAM_LEN};
use crate::{LinkSocket, RouterConfig, sys};

/// The mark on the addresses that this crate installs (`IFA_PROTO`): VRRP's IP protocol number.
pub const ADDRESS_MARK: u8 = vrrp_core::wire::PROTOCOL;

/// Most datagrams that are read from one socket in one turn, so that a flood cannot keep the timers waiting.
const DATAGRAMS_PER_TURN: usize = 256;

/// Most netlink messages that are read in one turn.
const CHANGES_PER_TURN: usize = 256;

/// When the addresses are announced for the second time after a promotion: a switch that was busy with its own
/// failover may have lost the first. keepalived's `garp_master_delay`, with its default.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(5);

/// How long a virtual router stays out after the kernel refused an address; doubled each time in a row.
const FAULT_HOLD: Duration = Duration::from_secs(10);
const LONGEST_FAULT_HOLD: Duration = Duration::from_secs(600);

/// Epoll tokens; interfaces count on from [`FIRST_INTERFACE`].
const TIMER: u64 = 0;
const MONITOR: u64 = 1;
const FIRST_INTERFACE: u64 = 2;

/// Something that the application may want to act on.
#[derive(Debug)]
#[non_exhaustive]
pub enum DriverEvent {
    /// A virtual router changed its role. On the way to Active the addresses are installed when this comes.
    Transition {
        /// Which virtual router.
        router: RouterId,
        /// From where to where, and why.
        transition: Transition,
    },
    /// A virtual router was started but cannot take part yet.
    Waiting {
        /// Which virtual router.
        router: RouterId,
        /// What it waits for the end of.
        faults: Faults,
    },
    /// Something an operator should know.
    Alarm {
        /// Which virtual router.
        router: RouterId,
        /// What it is.
        alarm: Alarm,
    },
    /// The kernel refused an address. If it was one to install, the virtual router leaves the election for a while.
    AddressRefused {
        /// Which virtual router.
        router: RouterId,
        /// The kernel's words, with the address.
        error: Error,
    },
    /// Advertisements cannot be sent; reported once until one can. After Active_Down_Interval the others have taken
    /// over, and the virtual router leaves the election for a while.
    SendFailed {
        /// Which virtual router.
        router: RouterId,
        /// What the kernel said.
        error: Error,
    },
    /// An interface that was created anew cannot be used.
    InterfaceFailed {
        /// Its name.
        interface: String,
        /// What the kernel said.
        error: Error,
    },
}

impl DriverEvent {
    /// The virtual router that it is about, unless it is about a whole interface.
    pub fn router(&self) -> Option<RouterId> {
        match self {
            Self::Transition { router, .. }
            | Self::Waiting { router, .. }
            | Self::Alarm { router, .. }
            | Self::AddressRefused { router, .. }
            | Self::SendFailed { router, .. } => Some(*router),
            Self::InterfaceFailed { .. } => None,
        }
    }
}

/// Says what happened in one line.
impl fmt::Display for DriverEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transition { transition: Transition { from, to, cause }, .. } => {
                write!(f, "{from} -> {to}: {cause}")
            }
            Self::Waiting { faults, .. } => {
                let causes: Vec<String> = faults.iter().map(|fault| Cause::Fault(fault).to_string()).collect();
                write!(f, "cannot take part yet: {}", causes.join(", "))
            }
            Self::Alarm { alarm, .. } => alarm.fmt(f),
            Self::AddressRefused { error, .. } | Self::SendFailed { error, .. } => error.fmt(f),
            Self::InterfaceFailed { interface, error } => write!(f, "{interface} cannot be used: {error}"),
        }
    }
}

/// Runs virtual routers on this host's interfaces. One descriptor, no thread, no callback.
///
/// Watch [`as_fd`](AsFd::as_fd) for reading in any event loop, and call [`process`](Self::process) when it is readable;
/// the timers are inside. Nothing else has to be called. Dropping it releases every address, as
/// [`shutdown`](Self::shutdown) does; a process that dies without that leaves them to their [`Lease`](crate::Lease).
#[derive(Debug)]
pub struct Driver {
    epoll: sys::Epoll,
    timer: sys::Timer,
    monitor: Monitor,
    netlink: Netlink,
    link_socket: LinkSocket,
    router: VrrpRouter,
    /// By epoll token.
    interfaces: BTreeMap<u64, Interface>,
    next_token: u64,
    managed: BTreeMap<RouterId, Managed>,
    chores: BTreeSet<(Instant, RouterId, Chore)>,
    events: Vec<DriverEvent>,
}

/// What the driver keeps of a virtual router beside the protocol's own state.
#[derive(Debug)]
struct Managed {
    config: RouterConfig,
    interface: u64,
    /// Whether the addresses are on the interface, and since when.
    installed: Option<Instant>,
    /// How often in a row the kernel refused an address.
    refusals: u32,
    /// Since when advertisements cannot be sent.
    send_failing: Option<Instant>,
}

/// What is due for a virtual router whose addresses were installed at an instant, apart from the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Chore {
    RenewLease { installed: Instant },
    AnnounceAgain { installed: Instant },
}

impl Driver {
    /// A driver without virtual routers.
    ///
    /// # Errors
    /// [`Error::MissingCapability`] unless the process has `CAP_NET_RAW` and `CAP_NET_ADMIN`; [`Error::Io`] if it has no
    /// descriptors left.
    pub fn new() -> Result<Self, Error> {
        let link_socket = LinkSocket::open()?;
        if !Capability::NetAdmin.is_effective() {
            let operation = "change the addresses of interfaces".to_owned();
            return Err(Error::MissingCapability { operation, capability: Capability::NetAdmin });
        }
        let opened = |error| Error::io("open the driver's descriptors", error);
        let (epoll, timer) = (sys::Epoll::new().map_err(opened)?, sys::Timer::new().map_err(opened)?);
        let monitor = Monitor::open()?;
        epoll.add(timer.as_fd(), TIMER).map_err(opened)?;
        epoll.add(monitor.as_fd(), MONITOR).map_err(opened)?;
        Ok(Self {
            epoll,
            timer,
            monitor,
            netlink: Netlink::open()?,
            link_socket,
            router: VrrpRouter::new(),
            interfaces: BTreeMap::new(),
            next_token: FIRST_INTERFACE,
            managed: BTreeMap::new(),
            chores: BTreeSet::new(),
            events: Vec::new(),
        })
    }

    /// Adds a virtual router and starts it. An interface that is down or has no address is no error: the router takes
    /// part once it can.
    ///
    /// Its addresses that are on the interface already were left there by a process that died, and are removed; unless
    /// this host is their owner (priority 255).
    ///
    /// # Errors
    /// [`Error::UnknownInterface`], [`Error::Config`], [`Error::OwnAddress`], [`Error::AddressTaken`] and what opening sockets can give; nothing is
    /// left behind.
    pub fn add(&mut self, config: RouterConfig) -> Result<RouterId, Error> {
        let params = config.params().map_err(|error| Error::Config(error.into()))?;
        if config.version.family() == Family::V6 {
            let addresses = config.addresses.iter().map(VirtualAddr::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("VRRP over IPv6 ({addresses}) is not there yet: use IPv4 addresses");
            return Err(Error::Unsupported(what));
        }
        let token = self.interface_token(&config.interface)?;
        let id = match self.register(token, &config, params) {
            Ok(id) => id,
            Err(error) => {
                self.close_unused_interface(token);
                return Err(error);
            }
        };
        self.managed.insert(id, Managed { config, interface: token, installed: None, refusals: 0, send_failing: None });
        let now = sys::boottime_now();
        self.update_primary_addresses(now, token);
        if self.interfaces.get(&token).is_some_and(|interface| !interface.is_usable()) {
            self.router.handle_event(now, id, Event::Fault(Fault::Link));
        }
        self.router.handle_event(now, id, Event::Startup);
        let faults = self.router.state(id).map(|state| state.faults()).unwrap_or_default();
        if !faults.is_empty() {
            self.events.push(DriverEvent::Waiting { router: id, faults });
        }
        self.finish_turn()?;
        Ok(id)
    }

    /// Gives a checked configuration to the protocol.
    fn register(&mut self, token: u64, config: &RouterConfig, params: Params) -> Result<RouterId, Error> {
        let interface = self.interfaces.get(&token);
        let index = match interface.and_then(Interface::index) {
            Some(index) => index,
            // It is in use by other virtual routers but gone at present.
            None => self.netlink.link_by_name(&config.interface)?.index,
        };
        if !config.priority.is_owner()
            && let Some(interface) = interface
            && let Some(address) = config.addresses.iter().find(|address| interface.has_only(address.address()))
        {
            let (address, interface) = (address.address(), config.interface.clone());
            return Err(Error::OwnAddress { address, interface });
        }
        let taken = |address: &&VirtualAddr| {
            let same = |other: &VirtualAddr| other.address() == address.address();
            self.managed.values().find(|managed| managed.config.addresses.iter().any(same))
        };
        if let Some((address, other)) = config.addresses.iter().find_map(|address| Some((address, taken(&address)?))) {
            let (address, interface) = (address.address(), other.config.interface.clone());
            return Err(Error::AddressTaken { address, vrid: other.config.vrid, interface });
        }
        let addresses = config.addresses.iter().map(|address| address.address()).collect();
        Ok(self.router.add(
            index,
            VirtualRouterConfig {
                vrid: config.vrid,
                params,
                addresses,
                authentication: config.authentication,
                checksum: config.checksum,
            },
        )?)
    }

    /// Takes a virtual router out: its addresses are removed, and the others are told so that the next one takes over
    /// within its Skew_Time. Does nothing if it is not there.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn remove(&mut self, id: RouterId) -> Result<(), Error> {
        let now = sys::boottime_now();
        self.router.handle_event(now, id, Event::Shutdown);
        self.finish_turn()?;
        self.router.remove(now, id);
        if let Some(managed) = self.managed.remove(&id) {
            self.close_unused_interface(managed.interface);
        }
        Ok(())
    }

    /// Takes every virtual router out, as [`remove`](Self::remove), and returns the last events.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn shutdown(mut self) -> Result<Vec<DriverEvent>, Error> {
        self.leave_all()?;
        Ok(std::mem::take(&mut self.events))
    }

    /// Changes the priority of a virtual router, which keeps its role unless the election says otherwise.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not there; [`Error::Io`] if the timer cannot be set.
    pub fn set_priority(&mut self, id: RouterId, priority: Priority) -> Result<(), Error> {
        let now = sys::boottime_now();
        let params = *self.router.params(id).ok_or(Error::Config(vrrp_core::ConfigError::Unknown))?;
        self.router.set_params(now, id, params.with_priority(priority)).map_err(Error::Config)?;
        if let Some(managed) = self.managed.get_mut(&id) {
            managed.config.priority = priority;
        }
        self.finish_turn()
    }

    /// Tells whether the application can serve. While it cannot, the virtual router is out of the election.
    ///
    /// # Errors
    /// [`Error::Io`] if the timer cannot be set.
    pub fn set_able(&mut self, id: RouterId, able: bool) -> Result<(), Error> {
        let now = sys::boottime_now();
        let event = if able { Event::Recovered(Fault::Application) } else { Event::Fault(Fault::Application) };
        self.router.handle_event(now, id, event);
        self.finish_turn()
    }

    /// Does what is due: reads what has arrived, fires timers, carries out what follows. Returns what happened, in
    /// order. Call it when the descriptor is readable; at other times it does nothing.
    ///
    /// The work of one call is bounded. What was not read makes the descriptor readable again at once.
    ///
    /// # Errors
    /// [`Error::Io`] if a descriptor of the driver itself fails; a fault of one virtual router is an event.
    pub fn process(&mut self) -> Result<Vec<DriverEvent>, Error> {
        self.timer.drain().map_err(|error| Error::io("read the driver's timer", error))?;
        self.read_changes()?;
        // Adverts come before timers: a process that was held up must read what happened before it acts on a timer.
        self.read_adverts();
        let now = sys::boottime_now();
        self.router.handle_timeout(now);
        // Advertisements first: a chore may keep the kernel busy for a while.
        self.perform()?;
        self.do_chores(now);
        self.finish_turn()?;
        Ok(std::mem::take(&mut self.events))
    }

    /// Waits until there is something to [`process`](Self::process), at most `timeout` (`None`: for ever). For programs
    /// without an event loop of their own. Returns early when a signal arrives.
    ///
    /// # Errors
    /// [`Error::Io`] if the descriptor fails.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let mut ready = [sys::Ready::EMPTY; 1];
        self.epoll.wait(&mut ready, timeout).map(drop).map_err(|error| Error::io("wait for the driver", error))
    }

    /// The protocol's view: states, parameters, counters.
    pub fn router(&self) -> &VrrpRouter {
        &self.router
    }

    // Reading

    fn read_adverts(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM_LEN];
        for interface in self.interfaces.values_mut() {
            let (Some(socket), Some(index)) = (&interface.socket, interface.index()) else { continue };
            for _ in 0..DATAGRAMS_PER_TURN {
                let Ok(Some(len)) = socket.receive(&mut buffer) else { break };
                // Where a datagram is counted when it is dropped is the protocol's business, and it has done so.
                match buffer.get(..len).filter(|datagram| datagram.len() < MAX_DATAGRAM_LEN) {
                    Some(datagram) => match Envelope::split_ipv4(datagram) {
                        Ok((envelope, payload)) => {
                            let _ = self.router.handle_datagram(sys::boottime_now(), index, &envelope, payload);
                        }
                        Err(discard) => self.router.count_undecodable(discard),
                    },
                    None => self.router.count_undecodable(Discard::Truncated),
                }
            }
        }
    }

    fn read_changes(&mut self) -> Result<(), Error> {
        let mut changed = BTreeSet::new();
        for change in self.monitor.read(CHANGES_PER_TURN)? {
            let now = sys::boottime_now();
            match change {
                Change::Link(link) => {
                    let tokens: Vec<u64> = self.interfaces.keys().copied().collect();
                    for token in tokens {
                        let Some(interface) = self.interfaces.get_mut(&token) else { continue };
                        if interface.name == link.name && interface.index() != Some(link.index) {
                            self.attach(now, token);
                        } else if interface.name != link.name && interface.index() == Some(link.index) {
                            // It has another name now, so it is no longer the interface that was configured.
                            self.detach(now, token);
                        } else if interface.index() == Some(link.index) {
                            let (was_usable, was_at) = (interface.is_usable(), interface.mac());
                            // What was reported may be older than what was last read: only what is now counts.
                            interface.link = Some(self.netlink.link(link.index).unwrap_or_else(|_| link.clone()));
                            self.report_usability(now, token, was_usable);
                            if self.interfaces.get(&token).and_then(Interface::mac) != was_at {
                                self.announce_all(token);
                            }
                        }
                    }
                }
                Change::LinkRemoved { index, .. } => {
                    if let Some(token) = self.token_of(index) {
                        self.detach(now, token);
                    }
                }
                Change::Address(address) => {
                    if let Some(token) = self.token_of(address.interface)
                        && let Some(interface) = self.interfaces.get_mut(&token)
                        && interface.address_is_there(address)
                    {
                        changed.insert(token);
                    }
                }
                Change::AddressRemoved(address) => {
                    if let Some(token) = self.token_of(address.interface)
                        && let Some(interface) = self.interfaces.get_mut(&token)
                        && interface.address_is_gone(&address)
                    {
                        changed.insert(token);
                    }
                }
                // Not asked for.
                Change::Route { .. } | Change::RouteRemoved(_) => {}
                Change::Overrun => {
                    let tokens: Vec<u64> = self.interfaces.keys().copied().collect();
                    tokens.into_iter().for_each(|token| self.attach(now, token));
                }
            }
        }
        // An address that is replaced is gone for a moment only: what counts is what is there in the end.
        for token in changed {
            if let Some(interface) = self.interfaces.get_mut(&token) {
                // One that cannot be read is gone, which its own message will tell.
                let _ = interface.reread_addresses(&mut self.netlink);
            }
            self.update_primary_addresses(sys::boottime_now(), token);
        }
        Ok(())
    }

    // Interfaces

    fn token_of(&self, index: IfIndex) -> Option<u64> {
        self.interfaces.iter().find(|(_, interface)| interface.index() == Some(index)).map(|(token, _)| *token)
    }

    /// The token of the interface with this name, which is opened if it is not in use yet.
    fn interface_token(&mut self, name: &str) -> Result<u64, Error> {
        if let Some((token, _)) = self.interfaces.iter().find(|(_, interface)| interface.name == name) {
            return Ok(*token);
        }
        let interface = Interface::open(&mut self.netlink, name)?;
        let token = self.next_token;
        if let Some(socket) = &interface.socket {
            self.epoll.add(socket.as_fd(), token).map_err(|error| Error::io("watch a VRRP socket", error))?;
        }
        self.next_token += 1;
        self.interfaces.insert(token, interface);
        Ok(token)
    }

    fn close_unused_interface(&mut self, token: u64) {
        if !self.managed.values().any(|managed| managed.interface == token) {
            self.interfaces.remove(&token);
        }
    }

    /// Takes the interface as it is now: one that has come (back), or one that changes may have been missed of.
    fn attach(&mut self, now: Instant, token: u64) {
        let Some(interface) = self.interfaces.get_mut(&token) else { return };
        let (before, was_usable) = (interface.index(), interface.is_usable());
        let result = interface.refresh(&mut self.netlink).and_then(|()| {
            let index = interface.index();
            if let Some(socket) = &interface.socket
                && index != before
            {
                self.epoll.add(socket.as_fd(), token).map_err(|error| Error::io("watch a VRRP socket", error))?;
            }
            Ok(index)
        });
        match result {
            Ok(index) => {
                let mut was_usable = was_usable;
                if index != before {
                    if was_usable {
                        // The old one went unnoticed, and the addresses with it: nothing of it is left to serve with.
                        self.report(now, token, Event::Fault(Fault::Link));
                        let _ = self.perform();
                        was_usable = false;
                    }
                    self.rebind(token, index);
                }
                self.report_usability(now, token, was_usable);
                self.update_primary_addresses(now, token);
            }
            Err(Error::UnknownInterface { .. }) => self.detach(now, token),
            Err(error) => {
                let interface = interface.name.clone();
                self.events.push(DriverEvent::InterfaceFailed { interface, error });
                self.detach(now, token);
            }
        }
    }

    /// The interface is gone: its routers leave the election until one of its name is there again.
    fn detach(&mut self, now: Instant, token: u64) {
        let Some(interface) = self.interfaces.get_mut(&token) else { return };
        let was_usable = interface.is_usable();
        interface.close();
        self.report_usability(now, token, was_usable);
        // What was on it went with it; what follows must not find another interface at its number.
        let _ = self.perform();
        self.rebind(token, None);
    }

    fn rebind(&mut self, token: u64, index: Option<IfIndex>) {
        for (id, managed) in &mut self.managed {
            if managed.interface == token {
                managed.installed = None;
                // Two names cannot have one number, so there is no other virtual router in the way.
                let _ = self.router.rebind(*id, index);
            }
        }
    }

    fn report_usability(&mut self, now: Instant, token: u64, was_usable: bool) {
        let Some(usable) = self.interfaces.get(&token).map(Interface::is_usable) else { return };
        if usable == was_usable {
            return;
        }
        self.report(now, token, if usable { Event::Recovered(Fault::Link) } else { Event::Fault(Fault::Link) });
    }

    /// Gives an event to every virtual router of an interface.
    fn report(&mut self, now: Instant, token: u64, event: Event) {
        for (id, _) in self.managed.iter().filter(|(_, managed)| managed.interface == token) {
            self.router.handle_event(now, *id, event);
        }
    }

    /// Gives the routers of an interface the address to advertise from.
    fn update_primary_addresses(&mut self, now: Instant, token: u64) {
        let Some(interface) = self.interfaces.get(&token) else { return };
        let on_it = || self.managed.iter().filter(|(_, managed)| managed.interface == token);
        let virtual_addresses: BTreeSet<IpAddr> =
            on_it().flat_map(|(_, managed)| &managed.config.addresses).map(|address| address.address()).collect();
        for (id, managed) in on_it() {
            let current = self.router.params(*id).and_then(|params| params.primary_address());
            let owner = managed.config.priority.is_owner();
            let primary = interface.primary_address(managed.config.version.family(), current, |address| {
                address.protocol == Some(ADDRESS_MARK) || (!owner && virtual_addresses.contains(&address.address))
            });
            if primary != current || current.is_none() {
                // The address is of the router's family, and the router is there.
                let _ = self.router.set_primary_address(now, *id, primary);
            }
        }
    }

    // Doing

    /// Carries out what the protocol wants done, and sets the timer for what it wants next.
    fn finish_turn(&mut self) -> Result<(), Error> {
        self.perform()?;
        let next = [self.router.poll_timeout(), self.chores.first().map(|(at, ..)| *at)];
        // One that has passed meanwhile makes the descriptor readable at once.
        self.timer.arm(next.into_iter().flatten().min()).map_err(|error| Error::io("set the driver's timer", error))
    }

    fn perform(&mut self) -> Result<(), Error> {
        while let Some((id, action)) = self.router.poll_action() {
            match action {
                Action::SendAdvert(claim) => self.send_advert(id, claim),
                Action::InstallAddresses => self.install(id)?,
                Action::RemoveAddresses => self.uninstall(id)?,
                Action::Announce => self.announce(id),
                Action::Transition(transition) => {
                    if let Some(managed) = self.managed.get_mut(&id) {
                        managed.send_failing = None;
                    }
                    self.events.push(DriverEvent::Transition { router: id, transition });
                }
                Action::Alarm(alarm) => self.events.push(DriverEvent::Alarm { router: id, alarm }),
                // Nothing has to be prepared: this driver sets no gate, so no claim waits for the application.
                _ => {}
            }
        }
        Ok(())
    }

    fn send_advert(&mut self, id: RouterId, claim: Claim) {
        let mut buffer = [0; MAX_ADVERT_LEN];
        let Some(managed) = self.managed.get_mut(&id) else { return };
        let result = match self.router.build_advert(id, claim, &mut buffer) {
            Ok(advert) => match self.interfaces.get(&managed.interface).and_then(|i| i.socket.as_ref()) {
                Some(socket) => {
                    let payload = buffer.get(..advert.len).unwrap_or_default();
                    socket.send(advert.source, advert.destination, payload)
                }
                None => Err(std::io::ErrorKind::NetworkDown.into()),
            },
            Err(error) => Err(std::io::Error::other(error)),
        };
        match result {
            Ok(()) => {
                managed.send_failing = None;
                self.router.count_sent(id, claim);
            }
            // A resignation that cannot be sent changes nothing: the others wait for Active_Down_Interval. Nor does the last
            // advertisement of one that has yielded.
            Err(_) if claim.priority.is_none() => {}
            Err(_) if self.router.state(id).is_none_or(|state| state.role() != Role::Active) => {}
            Err(error) => self.send_failed(id, error),
        }
    }

    /// Nobody hears this router. Once the others must have taken over, it leaves the election (fails safe).
    fn send_failed(&mut self, id: RouterId, error: std::io::Error) {
        let now = sys::boottime_now();
        let (Some(managed), Some(params)) = (self.managed.get_mut(&id), self.router.params(id)) else { return };
        match managed.send_failing {
            None => {
                managed.send_failing = Some(now);
                let error = Error::io(format!("send an advertisement on {}", managed.config.interface), error);
                self.events.push(DriverEvent::SendFailed { router: id, error });
            }
            Some(since) if now >= since + params.active_down_interval(params.advert_interval()) => {
                managed.send_failing = None;
                // What would have followed, above all an announcement, must not happen.
                self.router.cancel_actions(id);
                self.router.handle_event(now, id, Event::Fault(Fault::Send));
            }
            Some(_) => {}
        }
    }

    fn install(&mut self, id: RouterId) -> Result<(), Error> {
        let now = sys::boottime_now();
        if self.set_addresses(id)? {
            let Some(managed) = self.managed.get_mut(&id) else { return Ok(()) };
            managed.installed = Some(now);
            managed.refusals = 0;
            self.chores.insert((now + ANNOUNCE_AGAIN, id, Chore::AnnounceAgain { installed: now }));
            self.schedule_renewal(id, now, now);
        } else {
            // What would have followed, above all the announcement, must not happen; what was installed is removed.
            self.router.cancel_actions(id);
            self.back_off(now, id);
            self.router.handle_event(now, id, Event::Fault(Fault::Install));
        }
        Ok(())
    }

    /// Stays out for longer each time: every attempt takes the role from a router that can serve.
    fn back_off(&mut self, now: Instant, id: RouterId) {
        let (Some(managed), Some(params)) = (self.managed.get_mut(&id), self.router.params(id)) else { return };
        let hold = (FAULT_HOLD * 2_u32.saturating_pow(managed.refusals.min(16))).min(LONGEST_FAULT_HOLD);
        managed.refusals = managed.refusals.saturating_add(1);
        // The router is there, and nothing else changes.
        let _ = self.router.set_params(now, id, params.with_fault_hold(hold));
    }

    /// Puts the addresses on the interface, or renews them. Whether all are there.
    fn set_addresses(&mut self, id: RouterId) -> Result<bool, Error> {
        let (Some(managed), Some(params), Some(interface)) =
            (self.managed.get(&id), self.router.params(id), self.router.interface(id))
        else {
            return Ok(false);
        };
        let down_interval = params.active_down_interval(params.advert_interval());
        let lifetime = managed.config.lease.lifetime(down_interval).map(std::num::NonZeroU32::get);
        let changes: Vec<AddressChange> = self
            .own_addresses(managed)
            .map(|address| {
                let protocol = Some(ADDRESS_MARK);
                AddressChange::Set(AddressRequest { lifetime, protocol, ..AddressRequest::new(interface, address) })
            })
            .collect();
        self.change_addresses(id, &changes)
    }

    fn uninstall(&mut self, id: RouterId) -> Result<(), Error> {
        let (Some(managed), Some(interface)) = (self.managed.get(&id), self.router.interface(id)) else {
            return Ok(());
        };
        // Also what a predecessor left with another prefix length.
        let left = self.interfaces.get(&managed.interface).map(|i| i.marked(managed.config.addresses()));
        let addresses: BTreeSet<VirtualAddr> = self.own_addresses(managed).chain(left.into_iter().flatten()).collect();
        let changes: Vec<AddressChange> =
            addresses.into_iter().map(|address| AddressChange::Remove { interface, address }).collect();
        self.change_addresses(id, &changes)?;
        if let Some(managed) = self.managed.get_mut(&id) {
            managed.installed = None;
        }
        Ok(())
    }

    /// The addresses that are ours to install and remove: all but those that an address owner has as its own.
    fn own_addresses<'a>(&'a self, managed: &'a Managed) -> impl Iterator<Item = VirtualAddr> + 'a {
        let interface = self.interfaces.get(&managed.interface);
        let owner = managed.config.priority.is_owner();
        managed.config.addresses.iter().copied().filter(move |address| {
            !owner || !interface.is_some_and(|interface| interface.has_of_its_own(address.address()))
        })
    }

    /// Whether every change was carried out; each refusal is an event.
    fn change_addresses(&mut self, id: RouterId, changes: &[AddressChange]) -> Result<bool, Error> {
        let mut all = true;
        for result in self.netlink.change_addresses(changes)? {
            if let Err(error) = result {
                all = false;
                self.events.push(DriverEvent::AddressRefused { router: id, error });
            }
        }
        Ok(all)
    }

    fn announce(&mut self, id: RouterId) {
        let Some(managed) = self.managed.get(&id).filter(|managed| managed.installed.is_some()) else { return };
        let Some(interface) = self.interfaces.get(&managed.interface) else { return };
        let (Some(index), Some(mac)) = (interface.index(), interface.mac()) else { return };
        for address in &managed.config.addresses {
            // Lost announcements are repeated; an interface that cannot send is a fault by other ways.
            let _ = self.link_socket.announce(index, mac, address.address());
        }
    }

    fn announce_all(&mut self, token: u64) {
        let on_it = self.managed.iter().filter(|(_, managed)| managed.interface == token);
        let ids: Vec<RouterId> = on_it.map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.announce(id));
    }

    // Chores

    fn schedule_renewal(&mut self, id: RouterId, now: Instant, installed: Instant) {
        let (Some(managed), Some(params)) = (self.managed.get(&id), self.router.params(id)) else { return };
        if let Some(period) = managed.config.lease.renewal(params.active_down_interval(params.advert_interval())) {
            self.chores.insert((now + period, id, Chore::RenewLease { installed }));
        }
    }

    fn do_chores(&mut self, now: Instant) {
        while let Some((at, id, chore)) = self.chores.first().copied()
            && at <= now
        {
            self.chores.pop_first();
            let installed = self.managed.get(&id).and_then(|managed| managed.installed);
            match chore {
                Chore::RenewLease { installed: since } if installed == Some(since) => match self.set_addresses(id) {
                    Ok(true) => self.schedule_renewal(id, now, since),
                    Ok(false) | Err(_) => self.router.handle_event(now, id, Event::Fault(Fault::Install)),
                },
                Chore::AnnounceAgain { installed: since } if installed == Some(since) => self.announce(id),
                // The addresses of that time are gone.
                Chore::RenewLease { .. } | Chore::AnnounceAgain { .. } => {}
            }
        }
    }

    fn leave_all(&mut self) -> Result<(), Error> {
        let now = sys::boottime_now();
        for id in self.managed.keys() {
            self.router.handle_event(now, *id, Event::Shutdown);
        }
        self.finish_turn()
    }
}

impl AsFd for Driver {
    /// The descriptor to watch for reading. It stays the same for the driver's whole life.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Nobody is left to tell; what cannot be removed ends with its lease.
        let _ = self.leave_all();
    }
}
