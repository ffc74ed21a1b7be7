//! A VRRP Router: many virtual routers, one stream of actions, one deadline (feature `alloc`).

mod config;
mod groups;
mod receive;
mod send;
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
use crate::wire::ChecksumForm;
use crate::{
    Action, Actions, Alarm, Cause, Counters, Discards, Event, Family, Fault, Faults, IfIndex, Instant, Params, Role,
    State, VirtualRouter, Vrid, sync_group,
};

use self::config::check;
pub use self::config::{AdvertError, ConfigError, VirtualRouterConfig};
use self::groups::Group;
pub use self::groups::GroupId;
pub use self::send::Outgoing;

/// Names one virtual router of a [`VrrpRouter`] for as long as it is there; never reused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId {
    slot: usize,
    generation: u64,
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

    /// Gives one virtual router an event. Unknown ids are ignored: it may have been removed meanwhile.
    pub fn handle_event(&mut self, now: Instant, id: RouterId, event: Event) {
        self.apply(now, id, event);
    }

    /// Takes over what came of everything that is tracked for a virtual router.
    pub fn set_assessment(&mut self, now: Instant, id: RouterId, assessment: Assessment) {
        let Some(entry) = self.slot_mut(id) else { return };
        let params = entry.router.params().with_effective_priority(assessment.priority);
        if params != *entry.router.params() {
            entry.config.params = params;
            let actions = entry.router.set_effective_priority(now, assessment.priority);
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

impl Slot {
    fn family(&self) -> Family {
        self.router.params().version().family()
    }

    fn key(&self) -> Option<Key> {
        Some((self.interface?, self.family(), self.config.vrid))
    }
}
