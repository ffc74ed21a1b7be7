//! Sync groups: virtual routers that are one election.
//!
//! All members hold the role, or none does. So a group takes over when every member could by itself, and leaves as soon
//! as one does. When it takes over, its actions are ordered for the whole group: the advertisements of all, then the
//! addresses of all, then the announcements of all, so that no host is led to one side before the other sides serve. If
//! the addresses of one cannot be installed, what was to follow for the others is dropped, and undone.

use alloc::vec::Vec;

use crate::{Action, Cause, Event, Fault, Instant, Role, State, Transition, sync_group};

use super::turn::is_promotion;
use super::{ConfigError, RouterId, VrrpRouter};

/// Virtual routers that are one election.
#[derive(Clone, Debug)]
pub(super) struct Group {
    generation: u64,
    members: Vec<RouterId>,
    /// Whether it is leaving the role at this moment, so that those who leave do not make the others leave again.
    leaving: bool,
}

/// Names a sync group of a [`VrrpRouter`] for as long as it is there; never reused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    number: usize,
    generation: u64,
}

impl VrrpRouter {
    /// Makes virtual routers one election: they take over only together, and if one cannot serve or loses, all leave.
    ///
    /// If only some of them hold the role at present, those give it up with priority 0, and the group stands for election
    /// as one: a part of a group does not serve. An address owner (priority 255) in a group waits for the others, too.
    ///
    /// Give all members the same priority and gate: a group cannot be better on one side than on the other. For the same
    /// reason the worst [assessment](Self::set_assessment) of a member is that of all.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`] if one is not there; [`ConfigError::OtherGroup`] if one is in a group already.
    pub fn add_group(&mut self, now: Instant, members: &[RouterId]) -> Result<GroupId, ConfigError> {
        for id in members {
            let entry = self.slot(*id).ok_or(ConfigError::Unknown)?;
            if entry.group.is_some() {
                return Err(ConfigError::OtherGroup(entry.rest.config.vrid));
            }
        }
        let number = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        self.generation += 1;
        let mut members = members.to_vec();
        members.sort_unstable();
        members.dedup();
        let entry = Some(Group { generation: self.generation, members: members.clone(), leaving: false });
        match self.groups.get_mut(number) {
            Some(place) => *place = entry,
            None => self.groups.push(entry),
        }
        for id in &members {
            if let Some(entry) = self.slot_mut(*id) {
                entry.group = Some(number);
            }
        }
        if !self.member_states(number).all(sync_group::claims) {
            self.step_down(now, number, None, Event::StepDown);
        }
        self.share_tracking(now, number);
        self.follow_group(now, number);
        Ok(GroupId { number, generation: self.generation })
    }

    /// Makes the members of a group elections of their own again: those whose claim is confirmed take the role without
    /// the others. Does nothing if it is not there.
    pub fn remove_group(&mut self, now: Instant, group: GroupId) {
        let place = self.groups.get_mut(group.number);
        let place = place.filter(|place| place.as_ref().is_some_and(|entry| entry.generation == group.generation));
        let Some(Group { members, .. }) = place.and_then(Option::take) else { return };
        for id in members {
            let Some(entry) = self.slot_mut(id) else { continue };
            entry.group = None;
            let confirmed = entry.rest.confirmed.take();
            self.apply(now, id, Event::Recovered(Fault::Group));
            self.add_tracking(now, id, None);
            if let Some(claim) = confirmed {
                self.apply(now, id, Event::Confirm(claim));
            }
        }
    }

    /// Takes a member that is being removed out of its group.
    pub(super) fn leave_group(&mut self, now: Instant, number: usize, id: RouterId) {
        let Some(place) = self.groups.get_mut(number) else { return };
        let Some(group) = place else { return };
        group.members.retain(|member| *member != id);
        if group.members.is_empty() {
            *place = None;
        }
        // Those that waited for it are asked again, and its faults and its weight are no longer theirs.
        self.follow_group(now, number);
        self.share_tracking(now, number);
        self.promote_confirmed(now, number);
    }

    /// Gives all members what the worst of them adds to its priority, at once: an election that is called is called on
    /// every side.
    pub(super) fn share_tracking(&mut self, now: Instant, group: usize) {
        let members = self.members(group);
        let worst = members.iter().filter_map(|id| self.slot(*id)).map(|entry| entry.rest.tracked).min();
        for id in members {
            self.add_tracking(now, id, worst);
        }
    }

    /// Adds `shared` to the configured priority of a virtual router, or what is its own.
    pub(super) fn add_tracking(&mut self, now: Instant, id: RouterId, shared: Option<i16>) {
        let Some(entry) = self.slot_mut(id) else { return };
        entry.rest.added = shared.unwrap_or(entry.rest.tracked);
        let params = *entry.router.params();
        let priority = entry.tracked_priority(params.base_priority());
        if params.with_effective_priority(priority) != params {
            let actions = entry.router.set_effective_priority(now, priority);
            self.queue(now, id, actions);
        }
    }

    pub(super) fn members(&self, group: usize) -> Vec<RouterId> {
        self.groups.get(group).and_then(Option::as_ref).map(|group| group.members.clone()).unwrap_or_default()
    }

    pub(super) fn member_states(&self, group: usize) -> impl Iterator<Item = State> + '_ {
        let members = self.groups.get(group).and_then(Option::as_ref).map(|group| group.members.as_slice());
        members.unwrap_or_default().iter().filter_map(|id| self.state(*id))
    }

    /// Gives the members of a group what follows from each other's state.
    pub(super) fn follow_group(&mut self, now: Instant, group: usize) {
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

    /// Every member can take over: all do.
    pub(super) fn promote_together(&mut self, now: Instant, group: usize) {
        let start = self.actions.len();
        for member in self.members(group) {
            if self.state(member).is_some_and(|state| state.role() == Role::Backup) {
                self.apply(now, member, Event::Timeout);
            }
        }
        self.order_promotion(start);
    }

    /// The application is ready for the claim of one member: when it is for all, they take over.
    pub(super) fn confirm_together(&mut self, now: Instant, group: usize, id: RouterId, claim: Instant) {
        if let Some(entry) = self.slot_mut(id)
            && let State::Claimant(claimant) = entry.router.state()
            && claimant.since == claim
        {
            entry.rest.confirmed = Some(claim);
        }
        self.promote_confirmed(now, group);
    }

    /// If every claim is confirmed, all take over.
    fn promote_confirmed(&mut self, now: Instant, group: usize) {
        let members = self.members(group);
        let waits = |state: State, confirmed| match state {
            State::Claimant(claimant) => confirmed != Some(claimant.since),
            State::Initialize(_) | State::Backup(_) | State::Active(_) => false,
        };
        let slots = || members.iter().filter_map(|member| self.slot(*member));
        if slots().any(|entry| waits(entry.router.state(), entry.rest.confirmed)) {
            return;
        }
        let start = self.actions.len();
        for member in members {
            if let Some(State::Claimant(claimant)) = self.state(member) {
                self.apply(now, member, Event::Confirm(claimant.since));
            }
        }
        self.order_promotion(start);
    }

    /// Orders the actions from `start` on for a whole group: advertise, then install or prepare, then announce.
    fn order_promotion(&mut self, start: usize) {
        let rank = |action: &Action| match action {
            Action::SendAdvert(_) | Action::RemoveAddresses => 0,
            Action::InstallAddresses | Action::Prepare(_) => 1,
            Action::Announce => 2,
            Action::Transition(_) | Action::Alarm(_) => 3,
        };
        if let Some(actions) = self.actions.make_contiguous().get_mut(start..) {
            actions.sort_by_key(|(_, action)| rank(action));
        }
    }

    /// A member gave up the role: the others do too, in the same way.
    pub(super) fn leave_together(&mut self, now: Instant, group: usize, first: RouterId, change: Transition) {
        // After a planned hand-over nobody stays behind who was told to leave.
        let event = match (change.cause, change.to) {
            (Cause::HandedOver(_) | Cause::NoSuccessor, Role::Initialize) => Event::Shutdown,
            _ => Event::StepDown,
        };
        self.step_down(now, group, Some(first), event);
    }

    /// Gives `event`, by which the role is left, to all members that hold it but `first`, which has left it.
    fn step_down(&mut self, now: Instant, group: usize, first: Option<RouterId>, event: Event) {
        let set_leaving = |router: &mut Self, leaving| {
            let group = router.groups.get_mut(group).and_then(Option::as_mut);
            group.is_some_and(|group| core::mem::replace(&mut group.leaving, leaving))
        };
        if set_leaving(self, true) {
            return;
        }
        for id in self.members(group) {
            if Some(id) != first && self.state(id).is_some_and(sync_group::claims) {
                self.drop_promotion(id);
                self.apply(now, id, event);
            }
        }
        set_leaving(self, false);
    }

    /// Drops what is still to be done for a promotion that is taken back, so that no host is led to a router that leaves.
    fn drop_promotion(&mut self, id: RouterId) {
        let promoting = self.slot_mut(id).is_some_and(|entry| core::mem::take(&mut entry.promoting));
        if promoting {
            self.actions.retain(|(other, action)| match action {
                Action::InstallAddresses | Action::Announce | Action::Prepare(_) => *other != id,
                Action::Transition(_) => *other != id || !is_promotion(*action),
                Action::SendAdvert(_) | Action::RemoveAddresses | Action::Alarm(_) => true,
            });
        }
    }
}
