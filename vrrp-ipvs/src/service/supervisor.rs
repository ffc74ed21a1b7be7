//! A virtual server with its checks: a [`Machine`] whose findings come from a [`Driver`].

use std::collections::BTreeMap;

use super::{Action, Destination, Event, Finding, Machine, Role, ServiceError, State, VirtualServer};
use crate::check::{CheckEvent, CheckId, Driver, DriverError, Weight};

/// One virtual server, whose checks a [`Driver`] runs; which may run those of others too.
///
/// Give it every event of the driver: it takes what is about its own checks. The actions for checks are carried out
/// already; what is left to do is to bring IPVS to [`destinations`](Self::destinations) and to tell whom it may concern.
#[derive(Debug)]
pub struct Supervisor {
    machine: Machine,
    /// Which server's, and which one of its.
    checks: BTreeMap<CheckId, (usize, usize)>,
}

/// A virtual server that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It makes no sense.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// One of its checks makes no sense, or the driver failed.
    #[error("check {check} of server {server}: {error}")]
    Check {
        /// Which server's, from 0.
        server: usize,
        /// Which one of its, from 0.
        check: usize,
        /// What is wrong.
        error: DriverError,
    },
}

impl Supervisor {
    /// Starts a virtual server with its checks. The actions say what it begins with.
    ///
    /// # Errors
    /// [`StartError`]; then no check of it is left in the driver.
    pub fn start(driver: &mut Driver, config: VirtualServer, role: Role) -> Result<(Self, Vec<Action>), StartError> {
        let machine = Machine::new(config)?;
        let mut supervisor = Self { machine, checks: BTreeMap::new() };
        for (server, real) in supervisor.machine.config().servers.iter().enumerate() {
            for (check, config) in real.checks.iter().enumerate() {
                match driver.add(config.clone()) {
                    Ok(id) => {
                        supervisor.checks.insert(id, (server, check));
                    }
                    Err(error) => {
                        for id in supervisor.checks.keys() {
                            // It was just added.
                            let _ = driver.remove(*id);
                        }
                        return Err(StartError::Check { server, check, error });
                    }
                }
            }
        }
        let actions = supervisor.machine.handle_event(Event::Start(role));
        let actions = supervisor.carry_out(driver, actions);
        Ok((supervisor, actions))
    }

    /// Takes an event of the driver. One of another's check does nothing.
    #[must_use = "actions that are not carried out leave IPVS and state apart"]
    pub fn handle_check(&mut self, event: &CheckEvent) -> Vec<Action> {
        let Some(&(server, check)) = self.checks.get(&event.check()) else { return Vec::new() };
        let up = |weight: &Option<Weight>| Finding::Up(*weight);
        let finding = match event {
            CheckEvent::Up { weight, .. } | CheckEvent::Weight { weight, .. } => up(weight),
            CheckEvent::Down { .. } => Finding::Down,
            // What was last said of the server holds.
            CheckEvent::Hindered { .. } | CheckEvent::AttemptFailed { .. } => return Vec::new(),
        };
        self.machine.handle_event(Event::Check { server, check, finding })
    }

    /// The virtual address came or went: with `ha_suspend` its checks go on or rest.
    #[must_use = "actions that are not carried out leave IPVS and state apart"]
    pub fn set_role(&mut self, driver: &mut Driver, role: Role) -> Vec<Action> {
        let actions = self.machine.handle_event(Event::Role(role));
        self.carry_out(driver, actions)
    }

    /// Ends it and its checks. IPVS should have none of its destinations afterwards.
    #[must_use = "actions that are not carried out leave IPVS and state apart"]
    pub fn stop(mut self, driver: &mut Driver) -> Vec<Action> {
        for id in self.checks.keys() {
            // One that somebody else has removed is gone already.
            let _ = driver.remove(*id);
        }
        self.machine.handle_event(Event::Stop)
    }

    /// Whom IPVS should have in its table.
    pub fn destinations(&self) -> Vec<Destination> {
        self.machine.destinations()
    }

    /// What it was made from.
    pub const fn config(&self) -> &VirtualServer {
        self.machine.config()
    }

    /// Where it stands.
    pub const fn state(&self) -> &State {
        self.machine.state()
    }

    /// Whose a check is: its server's number, and its own among that server's.
    pub(crate) fn place(&self, check: CheckId) -> Option<(usize, usize)> {
        self.checks.get(&check).copied()
    }

    /// Its checks, each with its server's number and its own among that server's.
    pub fn checks(&self) -> impl Iterator<Item = (CheckId, (usize, usize))> + '_ {
        self.checks.iter().map(|(id, place)| (*id, *place))
    }

    /// Does what is about checks; returns the rest.
    fn carry_out(&self, driver: &mut Driver, mut actions: Vec<Action>) -> Vec<Action> {
        actions.retain(|action| {
            let apply = match action {
                Action::SuspendChecks => Driver::suspend,
                Action::ResumeChecks => Driver::resume,
                Action::Server { .. } | Action::QuorumUp { .. } | Action::QuorumDown { .. } | Action::Destinations => {
                    return true;
                }
            };
            for id in self.checks.keys() {
                // One that somebody else has removed does not rest.
                let _ = apply(driver, *id);
            }
            false
        });
        actions
    }
}
