//! Sync groups: virtual routers that are one election.

use alloc::vec::Vec;

use crate::{Event, Fault, Instant, State, sync_group};

use super::{ConfigError, RouterId, VrrpRouter};

/// Virtual routers that are one election.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) members: Vec<RouterId>,
}

/// Names a sync group of a [`VrrpRouter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(usize);

impl VrrpRouter {
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

    /// A member gave up the role: the others do too.
    pub(super) fn leave_together(&mut self, now: Instant, group: usize, first: RouterId) {
        for id in self.members(group) {
            if id != first && self.state(id).is_some_and(sync_group::claims) {
                self.apply(now, id, Event::StepDown);
            }
        }
    }
}
