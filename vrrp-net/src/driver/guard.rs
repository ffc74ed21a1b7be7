//! What a [`Guardian`] is to do if this process dies: kept in step with what the virtual routers do.

use std::os::fd::AsFd;

use vrrp_core::{Instant, Role, RouterId};

use super::event::DriverEvent;
use super::{Driver, GUARDIAN};
use crate::error::Error;
use crate::guardian::{Farewell, Guardian, Removal};
use crate::interface::Interface;
use crate::sys;

/// The guardian, and what it was told.
#[derive(Debug)]
pub(super) struct Guarded {
    guardian: Guardian,
    /// Slots that were used and are free again.
    free: Vec<usize>,
    next: usize,
    farewell: Farewell,
}

impl Driver {
    /// Has a guardian look after every virtual router of this driver, now and later: if this process dies, however it
    /// dies, the guardian removes the addresses and resigns. See [`guardian`](crate::guardian) for when it acts.
    ///
    /// The driver releases the addresses before it dismisses the guardian, so that a clean stop stays silent. If the
    /// guardian dies, [`DriverEvent::GuardianLost`] says so, and another can be given.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be watched; what [`Guardian::arm`] gives.
    pub fn set_guardian(&mut self, guardian: Guardian) -> Result<(), Error> {
        self.epoll.add(guardian.as_fd(), GUARDIAN).map_err(|error| Error::io("watch the guardian", error))?;
        self.managed.values_mut().for_each(|managed| managed.slot = None);
        self.guarded = Some(Guarded { guardian, free: Vec::new(), next: 0, farewell: Farewell::new() });
        let ids: Vec<RouterId> = self.managed.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.arm_guardian(id))
    }

    /// Whether there is a guardian.
    pub fn has_guardian(&self) -> bool {
        self.guarded.is_some()
    }

    /// The guardian is gone.
    pub(super) fn guardian_ended(&mut self) {
        if self.guarded.as_ref().is_some_and(|guarded| !guarded.guardian.is_alive()) {
            self.guarded = None;
            self.managed.values_mut().for_each(|managed| managed.slot = None);
            self.events.push(DriverEvent::GuardianLost);
        }
    }

    /// Before an advertisement of an Active is sent: the guardian must be able to undo what follows from it, and with
    /// signatures what it would say must be newer.
    pub(super) fn guard(&mut self, id: RouterId) {
        let Some(guarded) = &mut self.guarded else { return };
        if self.router.state(id).is_none_or(|state| state.role() != Role::Active) {
            return;
        }
        let Some(managed) = self.managed.get(&id) else { return };
        let stale = managed.slot.is_none() || managed.rearm || managed.is_signed();
        let result = match managed.slot {
            Some(slot) if !stale => {
                let until = self
                    .router
                    .params(id)
                    .map(|params| sys::boottime_now() + params.active_down_interval(params.advert_interval()));
                guarded.guardian.extend(slot, until)
            }
            Some(_) | None => self.arm_guardian(id),
        };
        if let Err(error) = result {
            self.events.push(DriverEvent::NotGuarded { router: id, error });
        }
    }

    fn arm_guardian(&mut self, id: RouterId) -> Result<(), Error> {
        if self.guarded.is_none() || self.router.state(id).is_none_or(|state| state.role() != Role::Active) {
            return Ok(());
        }
        let stale = self.managed.get(&id).is_some_and(|managed| managed.slot.is_none() || managed.rearm);
        let paths = if stale { self.guarded_paths(id) } else { Vec::new() };
        let places = self.own_places(id);
        let (Some(guarded), Some(managed)) = (&mut self.guarded, self.managed.get_mut(&id)) else { return Ok(()) };
        let index_of = |token: u64| self.interfaces.get(&token).and_then(Interface::index);
        // Not from the interface with the virtual MAC address, which has no address left by then: over IPv6 nothing is
        // sent without one.
        let Some(interface) = index_of(managed.interface) else { return Ok(()) };
        let until: Option<Instant> = self
            .router
            .params(id)
            .map(|params| sys::boottime_now() + params.active_down_interval(params.advert_interval()));
        guarded.farewell.clear();
        let peers = if managed.config.addressing.is_unicast() {
            managed.config.addressing.sources().unwrap_or_default()
        } else {
            &[]
        };
        let ttl = managed.config.addressing.ttl().sent();
        guarded.farewell.resign(&mut self.router, id, interface, peers, ttl)?;
        guarded.farewell.expire(until);
        let slot = match managed.slot {
            // Only what is signed changes with each advertisement.
            Some(slot) if !managed.rearm => return guarded.guardian.renew(slot, &guarded.farewell),
            Some(slot) => slot,
            None => guarded.free.pop().unwrap_or_else(|| {
                guarded.next += 1;
                guarded.next - 1
            }),
        };
        let mut removal = Removal::new();
        paths.iter().for_each(|path| removal.path(path));
        for place in places {
            if let Some(interface) = index_of(place.interface) {
                removal.address(interface, place.address);
            }
        }
        if managed.virtual_mac.is_some()
            && let Some(made) = index_of(managed.sender)
        {
            removal.link(made);
        }
        managed.slot = Some(slot);
        managed.rearm = false;
        guarded.guardian.arm(slot, &removal, &guarded.farewell)
    }

    /// The addresses are gone: there is nothing to undo.
    pub(super) fn unguard(&mut self, id: RouterId) {
        if let (Some(guarded), Some(managed)) = (&mut self.guarded, self.managed.get_mut(&id))
            && let Some(slot) = managed.slot.take()
        {
            guarded.guardian.disarm(slot);
            guarded.free.push(slot);
        }
    }
}
