//! A VRRP Router: many virtual routers, one stream of actions, one deadline (feature `alloc`).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::queue::DeadlineQueue;
use crate::types::is_host_address;
use crate::wire::{
    Accepted, Authentication, ChecksumForm, ChecksumPolicy, Discard, EmitError, Envelope, Expected, Packet, Repr,
};
use crate::{Action, Actions, Claim, Counters, Discards, Event, Family, IfIndex, Instant, Params, ParamsError, Role};
use crate::{State, Version, VirtualRouter, Vrid};

/// One virtual router as [`VrrpRouter::add`] takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRouterConfig {
    /// Its number on the link.
    pub vrid: Vrid,
    /// What the state machine reads.
    pub params: Params,
    /// The addresses to advertise, in this order (RFC 9568 §5.2.9): 1 to 255 of one family.
    pub addresses: Vec<IpAddr>,
    /// Authentication, VRRPv2 only.
    pub authentication: Authentication,
    /// Which checksum to send in VRRPv3 over IPv4.
    pub checksum: ChecksumPolicy,
}

/// A virtual router that cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is nothing to advertise (RFC 9568 §5.2.5).
    #[error("virtual router {0} has no address: give it 1 to 255")]
    NoAddress(Vrid),
    /// The count of addresses is one octet (RFC 9568 §5.2.5).
    #[error("virtual router {0} has {1} addresses: it can advertise 1 to 255")]
    TooManyAddresses(Vrid, usize),
    /// The addresses are of the family of the packets that carry them (RFC 9568 §5.2.9).
    #[error("{address} is no {} address: virtual router {vrid} runs {version}", .version.family())]
    AddressFamily {
        /// The virtual router.
        vrid: Vrid,
        /// Its version.
        version: Version,
        /// The address of the other family.
        address: IpAddr,
    },
    /// Not an address that a host can hold.
    #[error("{1} cannot be an address of virtual router {0}: it must be a unicast address of one host")]
    NotUnicast(Vrid, IpAddr),
    /// An address that stands in the list twice.
    #[error("{1} is given twice to virtual router {0}")]
    DuplicateAddress(Vrid, IpAddr),
    /// The same interface, VRID and family twice (RFC 9568 §6.4: one machine each).
    #[error("virtual router {vrid} for {family} is there already on interface {interface}: use another id")]
    Duplicate {
        /// The interface.
        interface: IfIndex,
        /// The VRID.
        vrid: Vrid,
        /// The family.
        family: Family,
    },
    /// VRRPv3 has no authentication field (RFC 9568 §9).
    #[error("virtual router {0} has a password, but {1} carries none: leave it out, or use VRRPv2")]
    Authentication(Vrid, Version),
    /// The virtual router is not there (any more).
    #[error("no such virtual router: it was removed")]
    Unknown,
    /// Parameters that no router can run with.
    #[error(transparent)]
    Params(#[from] ParamsError),
}

/// An advertisement that cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvertError {
    /// The virtual router is not there (any more).
    #[error("no such virtual router: it was removed")]
    Unknown,
    /// Nothing to send from: the interface has no address.
    #[error("the interface has no address to send advertisements from")]
    NoPrimaryAddress,
    /// The codec refuses, for instance because the buffer is too small.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Names one virtual router of a [`VrrpRouter`] for as long as it is there; never reused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId {
    slot: usize,
    generation: u64,
}

/// Where an advertisement that was built goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The interface to send on; `None` while it does not exist.
    pub interface: Option<IfIndex>,
    /// Source address for the IP header: the checksum may cover it.
    pub source: IpAddr,
    /// Destination address for the IP header.
    pub destination: IpAddr,
    /// Octets written to the buffer.
    pub len: usize,
}

/// Many virtual routers on many interfaces, each its own election (RFC 9568 §6.4).
///
/// The caller's loop: hand in every datagram that is waiting, then [`handle_timeout`](Self::handle_timeout), then carry
/// out what [`poll_action`](Self::poll_action) gives until it is empty, then sleep until
/// [`poll_timeout`](Self::poll_timeout) or the next datagram. An event costs O(log n).
#[derive(Clone, Debug, Default)]
pub struct VrrpRouter {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    by_key: BTreeMap<Key, usize>,
    deadlines: DeadlineQueue,
    actions: VecDeque<(RouterId, Action)>,
    discards: Discards,
    generation: u64,
}

/// What is unique on a host.
type Key = (IfIndex, Family, Vrid);

#[derive(Clone, Debug)]
struct Slot {
    generation: u64,
    interface: Option<IfIndex>,
    router: VirtualRouter,
    config: VirtualRouterConfig,
    /// The form that a peer was last heard to use.
    heard_checksum: Option<ChecksumForm>,
    /// Where the last advertisement was sent from.
    last_source: Option<IpAddr>,
    counters: Counters,
}

impl VrrpRouter {
    /// A VRRP Router without virtual routers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a virtual router on `interface`. It takes part once it is given [`Event::Startup`].
    ///
    /// # Errors
    /// [`ConfigError`] names what is wrong; nothing is added then.
    pub fn add(&mut self, interface: IfIndex, config: VirtualRouterConfig) -> Result<RouterId, ConfigError> {
        check(&config)?;
        let key = (interface, config.params.version().family(), config.vrid);
        if self.by_key.contains_key(&key) {
            return Err(ConfigError::Duplicate { interface, vrid: config.vrid, family: key.1 });
        }
        let slot = self.free.pop().unwrap_or(self.slots.len());
        self.generation += 1;
        let entry = Slot {
            generation: self.generation,
            interface: Some(interface),
            router: VirtualRouter::new(config.params),
            config,
            heard_checksum: None,
            last_source: None,
            counters: Counters::default(),
        };
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some(entry),
            None => self.slots.push(Some(entry)),
        }
        self.by_key.insert(key, slot);
        Ok(RouterId { slot, generation: self.generation })
    }

    /// Takes a virtual router out, with the actions of it that were not polled yet. To leave the election in an orderly
    /// way give it [`Event::Shutdown`] and carry out its actions first.
    pub fn remove(&mut self, id: RouterId) -> Option<VirtualRouterConfig> {
        self.slot(id)?;
        let entry = self.slots.get_mut(id.slot)?.take()?;
        if let Some(key) = entry.key() {
            self.by_key.remove(&key);
        }
        self.cancel_actions(id);
        self.deadlines.set(id.slot, None);
        self.free.push(id.slot);
        Some(entry.config)
    }

    /// Moves a virtual router to the interface that now has its place: another index after the old one was deleted, or
    /// `None` while there is none. Its role does not change.
    ///
    /// # Errors
    /// [`ConfigError::Duplicate`] if that interface has one of the same VRID and family.
    pub fn rebind(&mut self, id: RouterId, interface: Option<IfIndex>) -> Result<(), ConfigError> {
        let entry = self.slot(id).ok_or(ConfigError::Unknown)?;
        let (before, family, vrid) = (entry.key(), entry.family(), entry.config.vrid);
        if let Some(interface) = interface
            && self.by_key.get(&(interface, family, vrid)).is_some_and(|slot| *slot != id.slot)
        {
            return Err(ConfigError::Duplicate { interface, vrid, family });
        }
        if let Some(key) = before {
            self.by_key.remove(&key);
        }
        if let Some(interface) = interface {
            self.by_key.insert((interface, family, vrid), id.slot);
        }
        if let Some(entry) = self.slot_mut(id) {
            entry.interface = interface;
        }
        Ok(())
    }

    /// Hands in a datagram of IP protocol 112 that arrived on `interface`: `payload` without the IP header, and what
    /// that header said. Returns the virtual router that took it.
    ///
    /// # Errors
    /// Why it was dropped (RFC 9568 §7.1). It is counted, and has changed nothing.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        interface: IfIndex,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<RouterId, Discard> {
        self.accept(now, interface, envelope, payload).inspect_err(|discard| {
            self.count_discard(interface, Some(Family::of(envelope.source)), payload, *discard);
        })
    }

    /// Counts a datagram that the caller itself had to drop, for instance because its IP header was nonsense.
    pub fn count_undecodable(&mut self, discard: Discard) {
        self.discards.record(discard);
    }

    fn accept(
        &mut self,
        now: Instant,
        interface: IfIndex,
        envelope: &Envelope,
        payload: &[u8],
    ) -> Result<RouterId, Discard> {
        let packet = Packet::parse(envelope, payload)?;
        let unknown = Discard::Vrid(packet.vrid_octet());
        let vrid = packet.vrid().ok_or(unknown)?;
        let slot = *self.by_key.get(&(interface, Family::of(envelope.source), vrid)).ok_or(unknown)?;
        let entry = self.slots.get_mut(slot).and_then(Option::as_mut).ok_or(unknown)?;
        let id = RouterId { slot, generation: entry.generation };
        let accepted = packet.accept(envelope, &entry.expected())?;
        entry.note(&accepted);
        self.apply(now, id, Event::Advert(accepted.advert));
        Ok(id)
    }

    fn count_discard(&mut self, interface: IfIndex, family: Option<Family>, payload: &[u8], discard: Discard) {
        self.discards.record(discard);
        // Also where the packet says that it belongs, if there is such a virtual router.
        if let (Some(family), Some(vrid)) = (family, payload.get(1).and_then(|octet| Vrid::new(*octet).ok()))
            && let Some(slot) = self.by_key.get(&(interface, family, vrid)).copied()
            && let Some(entry) = self.slots.get_mut(slot).and_then(Option::as_mut)
        {
            entry.counters.discards.record(discard);
        }
    }

    /// Gives one virtual router an event. Unknown ids are ignored: it may have been removed meanwhile.
    pub fn handle_event(&mut self, now: Instant, id: RouterId, event: Event) {
        self.apply(now, id, event);
    }

    /// Fires every deadline that has come. Call it after the datagrams that are waiting; early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, slot)) = self.deadlines.next()
            && at <= now
        {
            match self.slots.get(slot).and_then(Option::as_ref).map(|entry| entry.generation) {
                Some(generation) => self.apply(now, RouterId { slot, generation }, Event::Timeout),
                None => self.deadlines.set(slot, None),
            }
        }
    }

    /// The next thing to do. Carry them out in this order.
    pub fn poll_action(&mut self) -> Option<(RouterId, Action)> {
        self.actions.pop_front()
    }

    /// Drops what is still to be done for a virtual router: for a caller that could not carry out one action, before it
    /// gives the [`Event::Fault`] that undoes those before. What would have followed must not happen.
    pub fn cancel_actions(&mut self, id: RouterId) {
        self.actions.retain(|(other, _)| *other != id);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next. Ask again after every other call.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.deadlines.next().map(|(at, _)| at)
    }

    /// Replaces the parameters of a virtual router without leaving its role. Its primary address stays.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], or [`ConfigError::AddressFamily`] if the version is of the other family.
    pub fn set_params(&mut self, now: Instant, id: RouterId, params: Params) -> Result<(), ConfigError> {
        let entry = self.slot_mut(id).ok_or(ConfigError::Unknown)?;
        let params = params.with_primary_address(entry.router.params().primary_address())?;
        let changed = VirtualRouterConfig { params, ..entry.config.clone() };
        check(&changed)?;
        entry.config = changed;
        let actions = entry.router.set_params(now, params);
        self.queue(id, actions);
        Ok(())
    }

    /// Tells which address of its interface a virtual router can advertise from; without one it leaves the election.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], or [`ConfigError::Params`] if the address is of the other family.
    pub fn set_primary_address(
        &mut self,
        now: Instant,
        id: RouterId,
        address: Option<IpAddr>,
    ) -> Result<(), ConfigError> {
        let entry = self.slot_mut(id).ok_or(ConfigError::Unknown)?;
        let actions = entry.router.set_primary_address(now, address)?;
        self.queue(id, actions);
        Ok(())
    }

    /// Builds the advertisement of [`Action::SendAdvert`] in `buffer`, which 1036 octets suffice for over IPv4 and 4088
    /// over IPv6.
    ///
    /// # Errors
    /// [`AdvertError`]: what is missing.
    pub fn build_advert(&mut self, id: RouterId, claim: Claim, buffer: &mut [u8]) -> Result<Outgoing, AdvertError> {
        let entry = self.slot_mut(id).ok_or(AdvertError::Unknown)?;
        // A router that has just lost its address resigns from it all the same: the others need not wait.
        let last = entry.last_source.filter(|_| claim.priority.is_none());
        let source = entry.router.params().primary_address().or(last).ok_or(AdvertError::NoPrimaryAddress)?;
        let destination = entry.family().group();
        let repr = Repr {
            version: entry.router.params().version(),
            vrid: entry.config.vrid,
            priority: claim.priority,
            interval: claim.interval,
            authentication: entry.config.authentication,
            addresses: &entry.config.addresses,
        };
        let len = repr.emit(source, destination, entry.checksum_form(), buffer)?;
        entry.last_source = Some(source);
        Ok(Outgoing { interface: entry.interface, source, destination, len })
    }

    /// Counts an advertisement that was sent.
    pub fn count_sent(&mut self, id: RouterId, claim: Claim) {
        if let Some(entry) = self.slot_mut(id) {
            entry.counters.adverts_sent += 1;
            entry.counters.resignations_sent += u64::from(claim.priority.is_none());
        }
    }

    /// The ids of all virtual routers, oldest place first.
    pub fn ids(&self) -> impl Iterator<Item = RouterId> + '_ {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, entry)| entry.as_ref().map(|entry| RouterId { slot, generation: entry.generation }))
    }

    /// The state of a virtual router.
    pub fn state(&self, id: RouterId) -> Option<State> {
        self.slot(id).map(|entry| entry.router.state())
    }

    /// The parameters of a virtual router, with its primary address.
    pub fn params(&self, id: RouterId) -> Option<&Params> {
        self.slot(id).map(|entry| entry.router.params())
    }

    /// The configuration of a virtual router.
    pub fn config(&self, id: RouterId) -> Option<&VirtualRouterConfig> {
        self.slot(id).map(|entry| &entry.config)
    }

    /// The interface of a virtual router, if it exists at present.
    pub fn interface(&self, id: RouterId) -> Option<IfIndex> {
        self.slot(id).and_then(|entry| entry.interface)
    }

    /// The counters of a virtual router.
    pub fn counters(&self, id: RouterId) -> Option<&Counters> {
        self.slot(id).map(|entry| &entry.counters)
    }

    /// Every packet that was discarded, also those for no virtual router of ours.
    pub fn discards(&self) -> &Discards {
        &self.discards
    }

    fn slot(&self, id: RouterId) -> Option<&Slot> {
        self.slots.get(id.slot)?.as_ref().filter(|entry| entry.generation == id.generation)
    }

    fn slot_mut(&mut self, id: RouterId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot)?.as_mut().filter(|entry| entry.generation == id.generation)
    }

    fn apply(&mut self, now: Instant, id: RouterId, event: Event) {
        if let Some(entry) = self.slot_mut(id) {
            let actions = entry.router.handle_event(now, event);
            self.queue(id, actions);
        }
    }

    /// Takes over what a step led to: its actions, its deadline.
    fn queue(&mut self, id: RouterId, actions: Actions) {
        let Some(entry) = self.slots.get_mut(id.slot).and_then(Option::as_mut) else { return };
        for action in actions {
            if let Action::Transition(transition) = action
                && transition.to == Role::Active
            {
                entry.counters.became_active += 1;
            }
            self.actions.push_back((id, action));
        }
        self.deadlines.set(id.slot, entry.router.poll_timeout());
    }
}

impl Slot {
    fn family(&self) -> Family {
        self.router.params().version().family()
    }

    fn key(&self) -> Option<Key> {
        Some((self.interface?, self.family(), self.config.vrid))
    }

    fn expected(&self) -> Expected<'_> {
        Expected {
            interval: self.router.params().advert_interval(),
            authentication: self.config.authentication,
            addresses: &self.config.addresses,
            primary: self.router.params().primary_address(),
            ..Expected::new(self.router.params().version(), self.config.vrid)
        }
    }

    /// The form that the next advertisement is sent in.
    fn checksum_form(&self) -> ChecksumForm {
        self.config.checksum.form(self.heard_checksum)
    }

    fn note(&mut self, accepted: &Accepted) {
        self.counters.adverts_received += 1;
        self.counters.resignations_received += u64::from(accepted.advert.priority.is_none());
        self.counters.interval_differs += u64::from(accepted.notes.interval_differs);
        self.counters.address_list_differs += u64::from(accepted.notes.is_address_list_error());
        if let Some(form) = accepted.notes.checksum_form {
            self.counters.other_checksum_form += u64::from(form != self.checksum_form());
            self.heard_checksum = Some(form);
        }
    }
}

/// Whether a virtual router can be run like this.
fn check(config: &VirtualRouterConfig) -> Result<(), ConfigError> {
    let (vrid, version) = (config.vrid, config.params.version());
    if config.addresses.is_empty() {
        return Err(ConfigError::NoAddress(vrid));
    }
    if config.addresses.len() > 255 {
        return Err(ConfigError::TooManyAddresses(vrid, config.addresses.len()));
    }
    for (n, address) in config.addresses.iter().copied().enumerate() {
        if Family::of(address) != version.family() {
            return Err(ConfigError::AddressFamily { vrid, version, address });
        }
        if !is_host_address(address) {
            return Err(ConfigError::NotUnicast(vrid, address));
        }
        if config.addresses.iter().take(n).any(|other| *other == address) {
            return Err(ConfigError::DuplicateAddress(vrid, address));
        }
    }
    match (config.authentication, version) {
        (Authentication::None, _) | (Authentication::SimpleText(_), Version::V2) => Ok(()),
        (Authentication::SimpleText(_), Version::V3(_)) => Err(ConfigError::Authentication(vrid, version)),
    }
}
