//! A VRRP Router: many virtual routers, one stream of actions, one deadline (feature `alloc`).

mod addressing;
mod config;
mod groups;
mod places;
mod receive;
mod reconfigure;
mod send;
#[cfg(feature = "auth-hmac")]
mod signed;
mod slot;
mod status;
mod turn;

use crate::queue::DeadlineQueue;
use crate::track::Assessment;
use crate::{Action, Active, Counters, Discards, Event, Fault, IfIndex, Instant, Params, Phase, State};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

pub use self::addressing::Addressing;
use self::config::check;
pub use self::config::{AdvertError, ConfigError, VirtualRouterConfig};
use self::groups::Group;
pub use self::groups::GroupId;
use self::places::{Key, Places};
pub use self::send::Outgoing;
use self::slot::Slot;
pub use self::status::Status;
use self::turn::is_promotion;

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
    places: Places,
    deadlines: DeadlineQueue,
    actions: VecDeque<(RouterId, Action)>,
    discards: Discards,
    generation: u64,
    groups: Vec<Option<Group>>,
    #[cfg(feature = "auth-hmac")]
    clock: signed::Clock,
}

impl VrrpRouter {
    /// A VRRP Router without virtual routers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a virtual router on `interface`; `None`: there is none yet, and [`rebind`](Self::rebind) is to tell of it. It takes
    /// part once it is given [`Event::Startup`].
    ///
    /// # Errors
    /// [`ConfigError`] names what is wrong; nothing is added then.
    pub fn add(
        &mut self,
        interface: impl Into<Option<IfIndex>>,
        config: VirtualRouterConfig,
    ) -> Result<RouterId, ConfigError> {
        let interface = interface.into();
        let mut params = config.params;
        if let Some(source) = config.source {
            params = params.with_primary_address(Some(source))?;
        }
        check(&VirtualRouterConfig { params, ..config.clone() }, false)?;
        let (family, vrid) = (params.version().family(), config.vrid);
        let key = interface.map(|interface| Key::new(interface, family, vrid));
        if let (Some(interface), Some(key)) = (interface, key)
            && self.places.get(key).is_some()
        {
            return Err(ConfigError::Duplicate { interface, vrid, family });
        }
        let slot = self.free.pop().unwrap_or(self.slots.len());
        self.generation += 1;
        let entry = Slot::new(self.generation, interface, params, config);
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some(entry),
            None => self.slots.push(Some(entry)),
        }
        if let Some(key) = key {
            self.places.insert(key, slot);
        }
        Ok(RouterId { slot, generation: self.generation })
    }

    /// Takes a virtual router out, with the actions of it that were not polled yet. To leave the election in an orderly
    /// way give it [`Event::Shutdown`] and carry out its actions first.
    pub fn remove(&mut self, now: Instant, id: RouterId) -> Option<VirtualRouterConfig> {
        self.slot(id)?;
        let entry = self.slots.get_mut(id.slot)?.take()?;
        if let Some(number) = entry.group {
            self.leave_group(now, number, id);
        }
        if let Some(key) = entry.key() {
            self.places.remove(key);
        }
        self.cancel_actions(id);
        self.deadlines.set(id.slot, None);
        self.free.push(id.slot);
        Some(entry.rest.config)
    }

    /// Moves a virtual router to the interface that now has its place: another index after the old one was deleted, or
    /// `None` while there is none. Its role does not change.
    ///
    /// # Errors
    /// [`ConfigError::Duplicate`] if that interface has one of the same VRID and family.
    pub fn rebind(&mut self, id: RouterId, interface: Option<IfIndex>) -> Result<(), ConfigError> {
        let entry = self.slot(id).ok_or(ConfigError::Unknown)?;
        let (before, family, vrid) = (entry.key(), entry.family(), entry.rest.config.vrid);
        if let Some(interface) = interface
            && self.places.get(Key::new(interface, family, vrid)).is_some_and(|slot| slot != id.slot)
        {
            return Err(ConfigError::Duplicate { interface, vrid, family });
        }
        if let Some(key) = before {
            self.places.remove(key);
        }
        if let Some(interface) = interface {
            self.places.insert(Key::new(interface, family, vrid), id.slot);
        }
        if let Some(entry) = self.slot_mut(id) {
            entry.interface = interface;
        }
        Ok(())
    }

    /// Takes over what came of everything that is tracked for a virtual router.
    ///
    /// In a sync group the worst assessment of a member is that of all: what it takes from the priority is taken from that
    /// of each, so that an election is called on every side at once. On one side alone nobody could win it.
    pub fn set_assessment(&mut self, now: Instant, id: RouterId, assessment: Assessment) {
        let Some(entry) = self.slot_mut(id) else { return };
        entry.track(assessment);
        match entry.group {
            Some(group) => self.share_tracking(now, group),
            None => self.add_tracking(now, id, None),
        }
        let event = match assessment.fault {
            true => Event::Fault(Fault::Tracking),
            false => Event::Recovered(Fault::Tracking),
        };
        self.apply(now, id, event);
    }

    /// The next thing to do. Carry them out in this order.
    pub fn poll_action(&mut self) -> Option<(RouterId, Action)> {
        let (id, action) = self.actions.pop_front()?;
        if is_promotion(action)
            && let Some(entry) = self.slot_mut(id)
        {
            entry.promoting = false;
        }
        Some((id, action))
    }

    /// Drops what is still to be done for a virtual router: for a caller that could not carry out one action, before it
    /// gives the [`Event::Fault`] that undoes those before. What would have followed must not happen.
    ///
    /// What a sync group was to do for its other members is dropped by that event.
    pub fn cancel_actions(&mut self, id: RouterId) {
        if let Some(entry) = self.slot_mut(id) {
            entry.promoting = false;
        }
        self.actions.retain(|(other, _)| *other != id);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next. Ask again after every other call.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.deadlines.next().map(|(at, _)| at)
    }

    /// When the next deadline is due, if it decides who is Active: the end of a Backup's wait for its Active
    /// (Active_Down_Timer, §6.4.2), or that of an Active that has called an election. At the first every moment is an outage,
    /// and at the second an equal would speak in the next: a caller may wake up a little before it.
    pub fn poll_takeover(&mut self) -> Option<Instant> {
        let (at, slot) = self.deadlines.next()?;
        match self.slots.get(slot)?.as_ref()?.router.state() {
            State::Backup(_) | State::Active(Active { phase: Phase::Standing(_), .. }) => Some(at),
            _ => None,
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

    /// The configuration of a virtual router: as it was given, without what tracking makes of the priority, and with the
    /// primary address that it has at present.
    pub fn config(&self, id: RouterId) -> Option<&VirtualRouterConfig> {
        self.slot(id).map(|entry| &entry.rest.config)
    }

    /// The interface of a virtual router, if it exists at present.
    pub fn interface(&self, id: RouterId) -> Option<IfIndex> {
        self.slot(id).and_then(|entry| entry.interface)
    }

    /// The counters of a virtual router.
    pub fn counters(&self, id: RouterId) -> Option<&Counters> {
        self.slot(id).map(|entry| &entry.rest.counters)
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
}
