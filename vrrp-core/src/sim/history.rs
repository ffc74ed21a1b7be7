//! What happened to each virtual router, for programs: to draw it, or to measure it. The [trace](Sim::trace) says more, in
//! words.

use alloc::vec::Vec;

use super::node::{MemberId, Node, Process};
use super::{NodeId, Sim};
use crate::{Claim, Instant, Priority, Role};

/// Something that happened to a virtual router of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When, by the clock of the simulation.
    pub at: Instant,
    /// To which virtual router.
    pub whom: MemberId,
    /// What.
    pub what: Happening,
}

/// What can happen to a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// The process it is in is like this from now on.
    Process(ProcessState),
    /// It has this role from now on. After [`ProcessState::Gone`] it has none.
    Role(Role),
    /// It sends an advertisement.
    Sends {
        /// `None`: it resigns.
        priority: Option<Priority>,
        /// Whether the advertisement leaves the node.
        leaves: bool,
    },
    /// The kernel of its node has its addresses from now on, or has them no more.
    Holds(bool),
}

/// How the process of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProcessState {
    /// There is none: it was not started, has died, or its host has no power.
    Gone,
    /// It runs.
    Running,
    /// It is held up, or its whole host is.
    HeldUp,
}

#[derive(Clone, Debug, Default)]
pub(super) struct History {
    recorded: bool,
    moments: Vec<Moment>,
}

impl Sim {
    /// Records from now on what happens, for [`history`](Self::history). It costs memory for each advertisement.
    pub fn record(&mut self) {
        self.history.recorded = true;
    }

    /// What happened since it is [recorded](Self::record), in order.
    pub fn history(&self) -> &[Moment] {
        &self.history.moments
    }

    pub(super) fn remember(&mut self, whom: MemberId, what: Happening) {
        if self.history.recorded {
            self.history.moments.push(Moment { at: self.now, whom, what });
        }
    }

    pub(super) fn remember_sent(&mut self, whom: MemberId, claim: Claim, leaves: bool) {
        self.remember(whom, Happening::Sends { priority: claim.priority, leaves });
    }

    /// That the kernel has the addresses, or not, if it was not so before.
    pub(super) fn remember_held(&mut self, whom: MemberId, held: bool) {
        if self.holds(whom) != held {
            self.remember(whom, Happening::Holds(held));
        }
    }

    /// How the process of a node is, for each of its virtual routers.
    pub(super) fn remember_process(&mut self, node: NodeId) {
        let Some(entry) = self.nodes.get(node.0).filter(|_| self.history.recorded) else { return };
        let state = process_state(entry);
        for index in 0..entry.members.len() {
            self.remember(MemberId { node: node.0, index }, Happening::Process(state));
        }
    }
}

fn process_state(node: &Node) -> ProcessState {
    match node.process {
        Process::Gone => ProcessState::Gone,
        Process::Running => ProcessState::Running,
        Process::Stalled | Process::Frozen => ProcessState::HeldUp,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::sim::Setup;
    use crate::{Family, Params, Version};

    #[test]
    fn what_is_recorded_is_what_happened_in_order() {
        let mut sim = Sim::new(1);
        let lan = sim.lan("lan", Default::default());
        let node = sim.node("a");
        let member = sim.add(node, lan, Setup::new(Params::new(Version::V3(Family::V4)))).unwrap();
        sim.start(node);
        assert_eq!(sim.history(), [], "nothing was recorded yet");
        sim.crash(node);
        sim.record();
        sim.start(node);
        sim.run_for(Duration::from_secs(4));
        sim.fail_sends(node, true);
        sim.run_for(Duration::from_secs(1));
        sim.stall(node, Duration::from_millis(100));
        sim.run_for(Duration::from_millis(200));
        sim.power_off(node);
        let sends = |leaves| Happening::Sends { priority: Some(Priority::DEFAULT), leaves };
        let what: Vec<Happening> = sim.history().iter().map(|moment| moment.what).collect();
        let expected = [
            Happening::Process(ProcessState::Running),
            Happening::Role(Role::Backup),
            sends(true),
            Happening::Holds(true),
            Happening::Role(Role::Active),
            sends(false),
            Happening::Process(ProcessState::HeldUp),
            Happening::Process(ProcessState::Running),
            Happening::Process(ProcessState::Gone),
            Happening::Holds(false),
        ];
        assert_eq!(what, expected);
        assert!(sim.history().iter().all(|moment| moment.whom == member));
        assert!(sim.history().is_sorted_by_key(|moment| moment.at));
    }
}
