//! A VRRP Router: many virtual routers, one stream of actions, one deadline (feature `alloc`).

#[cfg(feature = "auth-hmac")]
mod signed;

#[cfg(feature = "auth-hmac")]
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::queue::DeadlineQueue;
use crate::track::Assessment;
use crate::types::is_host_address;
use crate::wire::{
    Accepted, AddressListMatch, Authentication, ChecksumForm, ChecksumPolicy, Discard, EmitError, Envelope, Expected,
    Packet, Reason, Repr,
};
use crate::{
    Action, Actions, Alarm, Cause, Claim, Counters, Discards, Event, Family, Fault, Faults, IfIndex, Instant, Params,
    ParamsError, Role, State, Version, VirtualRouter, Vrid, sync_group,
};

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
    /// A virtual router is in one sync group at most.
    #[error("virtual router {0} is in another sync group already")]
    OtherGroup(Vrid),
    /// VRRPv3 has no authentication field (RFC 9568 §9).
    #[error("virtual router {0} has a password, but {1} carries none: leave it out, or use VRRPv2")]
    Authentication(Vrid, Version),
    /// With `auth_hmac` VRRPv2 has no password: keepalived sends none then, and drops ours.
    #[error("virtual router {0} has a password and auth_hmac: leave one of them out")]
    PasswordAndHmac(Vrid),
    /// Signatures carry the time of day.
    #[error("virtual router {0} cannot sign without the time of day: call set_wall_clock first")]
    NoWallClock(Vrid),
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
    groups: Vec<Option<Group>>,
    #[cfg(feature = "auth-hmac")]
    clock: signed::Clock,
}

/// Virtual routers that are one election.
#[derive(Clone, Debug)]
struct Group {
    members: Vec<RouterId>,
}

/// Names a sync group of a [`VrrpRouter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(usize);

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
    /// The sync group that it is a member of.
    group: Option<usize>,
    /// Its faults as the sync group last saw them.
    faults: Faults,
    /// When an alarm of each kind was last raised.
    alarmed: [Option<Instant>; Alarm::KINDS],
    #[cfg(feature = "auth-hmac")]
    hmac: Option<Box<crate::hmac::Authenticator>>,
}

/// Least time between two alarms of one kind from one virtual router.
const ALARM_PERIOD: Duration = Duration::from_secs(60);

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
            group: None,
            faults: Faults::NONE,
            alarmed: [None; Alarm::KINDS],
            #[cfg(feature = "auth-hmac")]
            hmac: None,
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
    pub fn remove(&mut self, now: Instant, id: RouterId) -> Option<VirtualRouterConfig> {
        self.slot(id)?;
        let entry = self.slots.get_mut(id.slot)?.take()?;
        if let Some(number) = entry.group
            && let Some(group) = self.groups.get_mut(number).and_then(Option::as_mut)
        {
            group.members.retain(|member| *member != id);
            // Those that waited for it are asked again, and its faults are no longer theirs.
            for member in group.members.clone() {
                let due = self.slot(member).and_then(|entry| entry.router.poll_timeout());
                self.deadlines.set(member.slot, due);
            }
            self.follow_group(now, number);
        }
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
        #[cfg(feature = "auth-hmac")]
        if let Some(result) = self.accept_signed(now, interface, envelope, payload) {
            return result;
        }
        let packet = Packet::parse(envelope, payload)?;
        let unknown = Discard::Vrid(packet.vrid_octet());
        let vrid = packet.vrid().ok_or(unknown)?;
        let slot = *self.by_key.get(&(interface, Family::of(envelope.source), vrid)).ok_or(unknown)?;
        let entry = self.slots.get_mut(slot).and_then(Option::as_mut).ok_or(unknown)?;
        let id = RouterId { slot, generation: entry.generation };
        let result = packet.accept(envelope, &entry.expected());
        self.take(now, id, envelope.source, result)
    }

    /// Takes over what came of the checks of one virtual router.
    fn take(
        &mut self,
        now: Instant,
        id: RouterId,
        source: IpAddr,
        result: Result<Accepted, Discard>,
    ) -> Result<RouterId, Discard> {
        match result {
            Ok(accepted) => {
                if let Some(entry) = self.slot_mut(id) {
                    entry.note(&accepted);
                }
                if accepted.notes.address_list == AddressListMatch::Disjoint {
                    self.raise(now, id, Alarm::VridClash(source));
                }
                self.apply(now, id, Event::Advert(accepted.advert));
                Ok(id)
            }
            Err(discard) => {
                if let Some(alarm) = alarm_of(source, discard) {
                    self.raise(now, id, alarm);
                }
                Err(discard)
            }
        }
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

    /// Makes virtual routers one election: they take over only together, and if one cannot serve or loses, all leave.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`] if one is not there; [`ConfigError::OtherGroup`] if one is in a group already.
    pub fn add_group(&mut self, now: Instant, members: &[RouterId]) -> Result<GroupId, ConfigError> {
        for id in members {
            let entry = self.slot(*id).ok_or(ConfigError::Unknown)?;
            if entry.group.is_some() {
                return Err(ConfigError::OtherGroup(entry.config.vrid));
            }
        }
        let group = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        let entry = Some(Group { members: members.to_vec() });
        match self.groups.get_mut(group) {
            Some(place) => *place = entry,
            None => self.groups.push(entry),
        }
        for id in members {
            if let Some(entry) = self.slot_mut(*id) {
                entry.group = Some(group);
            }
        }
        self.follow_group(now, group);
        Ok(GroupId(group))
    }

    /// Makes the members of a group elections of their own again.
    pub fn remove_group(&mut self, now: Instant, group: GroupId) {
        let Some(Group { members }) = self.groups.get_mut(group.0).and_then(Option::take) else { return };
        for id in members {
            if let Some(entry) = self.slot_mut(id) {
                entry.group = None;
            }
            self.apply(now, id, Event::Recovered(Fault::Group));
        }
    }

    /// Takes over what came of everything that is tracked for a virtual router.
    pub fn set_assessment(&mut self, now: Instant, id: RouterId, assessment: Assessment) {
        let Some(entry) = self.slot_mut(id) else { return };
        let params = entry.router.params().with_effective_priority(assessment.priority);
        if params != *entry.router.params() {
            entry.config.params = params;
            let actions = entry.router.set_params(now, params);
            self.queue(now, id, actions);
        }
        let event = match assessment.fault {
            true => Event::Fault(Fault::Tracking),
            false => Event::Recovered(Fault::Tracking),
        };
        self.apply(now, id, event);
    }

    /// Fires every deadline that has come. Call it after the datagrams that are waiting; early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, slot)) = self.deadlines.next()
            && at <= now
        {
            match self.slots.get(slot).and_then(Option::as_ref).map(|entry| entry.generation) {
                Some(generation) => self.fire(now, RouterId { slot, generation }),
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
        self.queue(now, id, actions);
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
        self.queue(now, id, actions);
        Ok(())
    }

    /// Builds the advertisement of [`Action::SendAdvert`] in `buffer`, which 1036 octets suffice for over IPv4 and 4088
    /// over IPv6, each and 28 more for one that is signed.
    ///
    /// # Errors
    /// [`AdvertError`]: what is missing.
    pub fn build_advert(&mut self, id: RouterId, claim: Claim, buffer: &mut [u8]) -> Result<Outgoing, AdvertError> {
        #[cfg(feature = "auth-hmac")]
        self.stamp(id, false)?;
        let entry = self.slot_mut(id).ok_or(AdvertError::Unknown)?;
        let advert = entry.emit(claim, entry.family().group(), buffer)?;
        entry.last_source = Some(advert.source);
        Ok(advert)
    }

    /// Builds one more copy of the advertisement that was built last, for another destination. A receiver takes the
    /// copies for one advertisement: if they are signed, they have one sequence.
    ///
    /// # Errors
    /// [`AdvertError`]: what is missing.
    pub fn build_copy(
        &mut self,
        id: RouterId,
        claim: Claim,
        destination: IpAddr,
        buffer: &mut [u8],
    ) -> Result<Outgoing, AdvertError> {
        #[cfg(feature = "auth-hmac")]
        self.stamp(id, true)?;
        self.slot(id).ok_or(AdvertError::Unknown)?.emit(claim, destination, buffer)
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

    /// A deadline has come. A Backup in a sync group goes only with the whole group.
    fn fire(&mut self, now: Instant, id: RouterId) {
        let Some(entry) = self.slot(id) else { return };
        let group = entry.group.filter(|_| entry.router.state().role() == Role::Backup);
        let Some(group) = group else { return self.apply(now, id, Event::Timeout) };
        if sync_group::may_promote(now, self.member_states(group)) {
            for member in self.members(group) {
                self.apply(now, member, Event::Timeout);
            }
            return;
        }
        // Asked again when another member's time comes, and when this one hears something.
        self.deadlines.set(id.slot, None);
        let partial = sync_group::hears_an_active(self.member_states(group));
        if partial {
            self.raise(now, id, Alarm::PartialView);
        }
    }

    fn members(&self, group: usize) -> Vec<RouterId> {
        self.groups.get(group).and_then(Option::as_ref).map(|group| group.members.clone()).unwrap_or_default()
    }

    fn member_states(&self, group: usize) -> impl Iterator<Item = State> + '_ {
        let members = self.groups.get(group).and_then(Option::as_ref).map(|group| group.members.as_slice());
        members.unwrap_or_default().iter().filter_map(|id| self.state(*id))
    }

    /// Gives the members of a group what follows from each other's state.
    fn follow_group(&mut self, now: Instant, group: usize) {
        let members = self.members(group);
        for id in &members {
            let others = members.iter().filter(|other| *other != id).filter_map(|other| self.state(*other));
            let faulty = others.into_iter().any(sync_group::has_own_fault);
            let known = self.state(*id).is_some_and(|state| state.faults().contains(Fault::Group));
            match (faulty, known) {
                (true, false) => self.apply(now, *id, Event::Fault(Fault::Group)),
                (false, true) => self.apply(now, *id, Event::Recovered(Fault::Group)),
                (true, true) | (false, false) => {}
            }
        }
        // A member that was held is asked again: what held it may be over.
        for id in &members {
            let due = self.slot(*id).and_then(|entry| entry.router.poll_timeout());
            self.deadlines.set(id.slot, due);
        }
    }

    /// A member gave up the role: the others do too.
    fn leave_together(&mut self, now: Instant, group: usize, first: RouterId) {
        for id in self.members(group) {
            if id != first && self.state(id).is_some_and(sync_group::claims) {
                self.apply(now, id, Event::StepDown);
            }
        }
    }

    fn apply(&mut self, now: Instant, id: RouterId, event: Event) {
        if let Some(entry) = self.slot_mut(id) {
            let actions = entry.router.handle_event(now, event);
            self.queue(now, id, actions);
        }
    }

    /// Takes over what a step led to: its actions, its deadline, and what follows for its sync group.
    fn queue(&mut self, now: Instant, id: RouterId, actions: Actions) {
        #[cfg(feature = "auth-hmac")]
        self.clock.tick(now);
        let Some(entry) = self.slots.get_mut(id.slot).and_then(Option::as_mut) else { return };
        self.deadlines.set(id.slot, entry.router.poll_timeout());
        let group = entry.group;
        let faults = entry.router.state().faults();
        let faults_changed = core::mem::replace(&mut entry.faults, faults) != faults;
        let mut transition = None;
        for action in actions {
            match action {
                Action::Alarm(alarm) => self.raise(now, id, alarm),
                Action::Transition(change) => {
                    transition = Some(change);
                    if change.to == Role::Active
                        && let Some(entry) = self.slot_mut(id)
                    {
                        entry.counters.became_active += 1;
                    }
                    self.actions.push_back((id, action));
                }
                Action::SendAdvert(_)
                | Action::InstallAddresses
                | Action::RemoveAddresses
                | Action::Announce
                | Action::Prepare(_) => self.actions.push_back((id, action)),
            }
        }
        let Some(group) = group else { return };
        if let Some(change) = transition {
            let claimed = matches!(change.from, Role::Claimant | Role::Active);
            if claimed && matches!(change.to, Role::Initialize | Role::Backup) && change.cause != Cause::Group {
                self.leave_together(now, group, id);
            }
        }
        if transition.is_some() || faults_changed {
            self.follow_group(now, group);
        }
    }

    /// Raises an alarm, unless one of its kind was raised a short while ago.
    fn raise(&mut self, now: Instant, id: RouterId, alarm: Alarm) {
        let Some(last) = self.slot_mut(id).and_then(|entry| entry.alarmed.get_mut(alarm.kind())) else { return };
        if last.is_none_or(|last| now >= last + ALARM_PERIOD) {
            *last = Some(now);
            self.actions.push_back((id, Action::Alarm(alarm)));
        }
    }
}

/// What a discarded packet for a virtual router of ours may mean, beyond being garbage.
fn alarm_of(source: IpAddr, discard: Discard) -> Option<Alarm> {
    match discard.reason() {
        reason @ (Reason::Version
        | Reason::Checksum
        | Reason::AuthType
        | Reason::AuthTypeMismatch
        | Reason::AuthFailure
        | Reason::AuthExtMissing
        | Reason::AuthExtMalformed
        | Reason::AuthExtStale
        | Reason::AuthExtUnknownKey
        | Reason::AuthExtInvalidHmac
        | Reason::AuthExtReplay
        | Reason::Interval
        | Reason::AddressList) => Some(Alarm::RejectedPeer(source, reason)),
        Reason::SelfReceived => Some(Alarm::SameAddress(source)),
        _ => None,
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
            any_v2_interval: self.router.params().learns_v2_interval(),
            authentication: self.config.authentication,
            addresses: &self.config.addresses,
            primary: self.router.params().primary_address(),
            ..Expected::new(self.router.params().version(), self.config.vrid)
        }
    }

    fn emit(&self, claim: Claim, destination: IpAddr, buffer: &mut [u8]) -> Result<Outgoing, AdvertError> {
        // A router that has just lost its address resigns from it all the same: the others need not wait.
        let last = self.last_source.filter(|_| claim.priority.is_none());
        let source = self.router.params().primary_address().or(last).ok_or(AdvertError::NoPrimaryAddress)?;
        let repr = Repr {
            version: self.router.params().version(),
            vrid: self.config.vrid,
            priority: claim.priority,
            interval: claim.interval,
            authentication: self.config.authentication,
            addresses: &self.config.addresses,
        };
        let len = self.write(&repr, source, destination, buffer)?;
        Ok(Outgoing { interface: self.interface, source, destination, len })
    }

    fn write(
        &self,
        repr: &Repr<'_>,
        source: IpAddr,
        destination: IpAddr,
        buffer: &mut [u8],
    ) -> Result<usize, EmitError> {
        // Whoever gets here has drawn a stamp, if there are keys: see `VrrpRouter::stamp`.
        #[cfg(feature = "auth-hmac")]
        if let Some(hmac) = &self.hmac
            && let Some(stamp) = hmac.last_stamp()
        {
            return hmac.emit(stamp, repr, source, destination, self.checksum_form(), buffer);
        }
        repr.emit(source, destination, self.checksum_form(), buffer)
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
