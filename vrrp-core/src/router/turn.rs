//! What an event leads to: the step of one virtual router, and what follows from it for its sync group.

use core::time::Duration;

use crate::{
    Action, Actions, Alarm, Cause, Event, Fault, Initialize, Instant, Phase, Priority, Role, State, VirtualRouter,
    step, sync_group,
};

use super::{RouterId, VrrpRouter};

/// Least time between two alarms of one kind from one virtual router.
const ALARM_PERIOD: Duration = Duration::from_secs(60);

impl VrrpRouter {
    /// Gives one virtual router an event. Unknown ids are ignored: it may have been removed meanwhile.
    ///
    /// What can only be done together is for the whole sync group, whichever member it is given to:
    /// [`Event::Timeout`], [`Event::HandOver`], [`Event::StepDown`]. [`Event::Confirm`] takes effect when every member
    /// that claims the role was confirmed; one [`Event::Refuse`] ends the claim of all. [`Fault::Group`] is no
    /// caller's to tell.
    pub fn handle_event(&mut self, now: Instant, id: RouterId, event: Event) {
        let Some(entry) = self.slot(id) else { return };
        match (event, entry.group) {
            (Event::Timeout, _) => self.fire(now, id),
            // It is not there: see `set_primary_address`.
            (Event::Recovered(Fault::PrimaryAddress), _) if entry.router.params().primary_address().is_none() => {}
            (Event::Fault(Fault::Group) | Event::Recovered(Fault::Group), _) => {}
            (Event::HandOver(_) | Event::StepDown, Some(group)) => {
                for member in self.members(group) {
                    self.apply(now, member, event);
                }
            }
            (Event::Confirm(claim), Some(group)) => self.confirm_together(now, group, id, claim),
            (
                Event::Startup
                | Event::Shutdown
                | Event::Advert(_)
                | Event::Fault(_)
                | Event::Recovered(_)
                | Event::Reconfigured
                | Event::Confirm(_)
                | Event::Refuse(_)
                | Event::HandOver(_)
                | Event::StepDown,
                Some(_) | None,
            ) => self.apply(now, id, event),
        }
    }

    /// Fires every deadline that has come. Call it after the datagrams that are waiting; early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, slot)) = self.deadlines.next()
            && at <= now
        {
            match self.slots.get_mut(slot).and_then(Option::as_mut) {
                Some(entry) => {
                    let id = RouterId { slot, generation: entry.generation };
                    // A Backup that waits for the rest of its sync group is not late.
                    if entry.group.is_none() || entry.router.state().role() != Role::Backup {
                        entry.fired(now, at);
                    }
                    self.fire(now, id);
                }
                None => self.deadlines.set(slot, None),
            }
        }
    }

    /// As [`handle_timeout`](Self::handle_timeout), and lets those Actives go along whose next advertisement is due within a
    /// hundredth of their interval: thousands of virtual routers then cost few wake-ups. Each keeps its own times, so that
    /// the mean of its intervals is exact.
    pub fn handle_timeout_together(&mut self, now: Instant) {
        self.handle_timeout(now);
        while let Some((at, slot)) = self.deadlines.next() {
            let Some(entry) = self.slots.get(slot).and_then(Option::as_ref) else { return };
            let State::Active(active) = entry.router.state() else { return };
            let early = entry.router.params().advert_interval().as_duration() / 100;
            // Anything else that this role waits for has its own time.
            let is_advert = active.phase == Phase::Advertising && active.advert_at == at;
            if at > now + early || !is_advert || active.election_at.is_some_and(|election| election <= at) {
                return;
            }
            let id = RouterId { slot, generation: entry.generation };
            // As if it were that time.
            self.apply(at, id, Event::Timeout);
        }
    }

    /// Those whose deadline has come: whom [`handle_timeout`](Self::handle_timeout) changes, besides the other members of
    /// their sync groups.
    #[cfg(feature = "sim")]
    pub(crate) fn due(&self, now: Instant) -> impl Iterator<Item = RouterId> + '_ {
        let generation = |slot: usize| self.slots.get(slot)?.as_ref().map(|entry| entry.generation);
        self.deadlines.due(now).filter_map(move |slot| Some(RouterId { slot, generation: generation(slot)? }))
    }

    /// A deadline may have come. A Backup in a sync group goes only with the whole group.
    fn fire(&mut self, now: Instant, id: RouterId) {
        let Some(entry) = self.slot(id) else { return };
        let (State::Backup(backup), Some(group)) = (entry.router.state(), entry.group) else {
            return self.apply(now, id, Event::Timeout);
        };
        if now < backup.down_at {
            return self.deadlines.set(id.slot, Some(backup.down_at));
        }
        if sync_group::may_promote(now, self.member_states(group)) {
            return self.promote_together(now, group);
        }
        // Asked again when another member's time comes. What still is so after another Active_Down_Interval is not the
        // gap between the advertisements of two members.
        let wait = entry.router.params().active_down_interval(backup.active_adver_interval);
        let again = backup.down_at + wait;
        if now < again {
            return self.deadlines.set(id.slot, Some(again));
        }
        self.deadlines.set(id.slot, Some(now + wait));
        if sync_group::hears_an_active(now, self.member_states(group)) {
            self.raise(now, id, Alarm::PartialView);
        }
    }

    pub(super) fn apply(&mut self, now: Instant, id: RouterId, event: Event) {
        if let Some(entry) = self.slot_mut(id) {
            let actions = match (entry.group, entry.router.state()) {
                (Some(_), State::Initialize(initialize)) if entry.router.params().priority().is_owner() => {
                    start_watching(&mut entry.router, initialize, now, event)
                }
                (Some(_) | None, _) => entry.router.handle_event(now, event),
            };
            self.queue(now, id, actions);
        }
    }

    /// Takes over what a step led to: its actions, its deadline, and what follows for its sync group.
    pub(super) fn queue(&mut self, now: Instant, id: RouterId, actions: Actions) {
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
                    if let Some(entry) = self.slot_mut(id) {
                        entry.enter(now, change);
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
                self.leave_together(now, group, id, change);
            }
        }
        if transition.is_some() || faults_changed {
            self.follow_group(now, group);
        }
    }

    /// Raises an alarm, unless one of its kind was raised a short while ago.
    pub(super) fn raise(&mut self, now: Instant, id: RouterId, alarm: Alarm) {
        let Some(entry) = self.slot_mut(id) else { return };
        let Some(last) = entry.rest.alarmed.get_mut(alarm.kind()) else { return };
        if last.is_none_or(|last| now >= last + ALARM_PERIOD) {
            *last = Some(now);
            self.actions.push_back((id, Action::Alarm(alarm)));
        }
    }
}

/// Whether a router takes the role with this, or claims it.
pub(super) fn is_promotion(action: Action) -> bool {
    match action {
        Action::Transition(change) => matches!(change.to, Role::Claimant | Role::Active),
        Action::SendAdvert(_)
        | Action::InstallAddresses
        | Action::RemoveAddresses
        | Action::Announce
        | Action::Prepare(_)
        | Action::Alarm(_) => false,
    }
}

/// As the step of an owner, which would be Active from the start (RFC 9568 §6.4.1 (105)). In a sync group it starts as a
/// Backup whose time has come instead, and goes with the group.
fn start_watching(router: &mut VirtualRouter, initialize: Initialize, now: Instant, event: Event) -> Actions {
    let params = *router.params();
    let like_others = params.with_priority(Priority::DEFAULT);
    let step = step(&like_others, State::Initialize(initialize), now, event);
    let state = match step.state {
        State::Backup(backup) => State::Backup(crate::Backup { down_at: now, ..backup }),
        other @ (State::Initialize(_) | State::Claimant(_) | State::Active(_)) => other,
    };
    *router = VirtualRouter::resume(params, state);
    step.actions
}
