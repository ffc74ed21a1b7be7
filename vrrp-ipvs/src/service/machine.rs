//! The machine: check results and the role in, destinations and events out.

use std::net::SocketAddr;

use super::{HIGHEST_WEIGHT, RealServer, ServiceError, VirtualServer};
use crate::check::{Health, Weight};

/// What happens to a virtual server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It begins, with the virtual address here or not.
    Start(Role),
    /// It ends.
    Stop,
    /// The virtual address came or went.
    Role(Role),
    /// A check found something out.
    Check {
        /// Which server's, from 0.
        server: usize,
        /// Which one of its checks, from 0.
        check: usize,
        /// What.
        finding: Finding,
    },
}

/// Whether the virtual address is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Role {
    /// It is: this director is Active.
    Here,
    /// It is not.
    Elsewhere,
}

/// What a check found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Finding {
    /// The server serves, and should have this weight.
    Up(Option<Weight>),
    /// It does not serve.
    Down,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Action {
    /// A server has begun to serve or ceased to (keepalived's `notify_up` and `notify_down`).
    Server {
        /// Which one, from 0.
        server: usize,
        /// What it is now.
        health: Health,
    },
    /// The quorum is gained (`quorum_up`).
    QuorumUp {
        /// What the servers that serve weigh.
        weight: u64,
    },
    /// The quorum is lost (`quorum_down`).
    QuorumDown {
        /// What the servers that serve weigh.
        weight: u64,
    },
    /// [`Machine::destinations`] differ from before: bring IPVS to them.
    Destinations,
    /// Let all checks rest.
    SuspendChecks,
    /// Let all checks go on.
    ResumeChecks,
}

/// Where a virtual server stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct State {
    /// Whether it was started.
    pub started: bool,
    /// Whether the virtual address is here.
    pub role: Role,
    /// Whether the quorum is there.
    pub quorum: bool,
    /// What each check of each server last found.
    pub findings: Vec<Vec<Finding>>,
}

/// One of whom IPVS should have in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Destination {
    /// Who it is.
    pub whom: Whom,
    /// Where it serves.
    pub address: SocketAddr,
    /// What it should weigh.
    pub weight: u32,
}

/// Who a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Whom {
    /// This real server, from 0.
    Server(usize),
    /// The sorry server.
    Sorry,
}

/// The weight of a sorry server that is needed: it is alone, so any would do.
const SORRY_WEIGHT: u32 = 1;

/// One virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    config: VirtualServer,
    state: State,
}

impl Machine {
    /// One that was not started.
    ///
    /// # Errors
    /// [`ServiceError`] if it makes no sense.
    pub fn new(config: VirtualServer) -> Result<Self, ServiceError> {
        config.validate()?;
        let findings = initial(&config);
        let state = State { started: false, role: Role::Elsewhere, quorum: false, findings };
        Ok(Self { config, state })
    }

    /// What it was made from.
    pub const fn config(&self) -> &VirtualServer {
        &self.config
    }

    /// Where it stands.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Applies `event` and returns what to do, in order. One that names a server or a check that does not exist does
    /// nothing, as any but [`Event::Start`] before the start.
    #[must_use = "actions that are not carried out leave IPVS and state apart"]
    pub fn handle_event(&mut self, event: Event) -> Vec<Action> {
        let before = self.destinations();
        let mut actions = match event {
            Event::Start(role) if !self.state.started => self.start(role),
            Event::Stop if self.state.started => self.stop(),
            Event::Role(role) if self.state.started => self.take_role(role),
            Event::Check { server, check, finding } if self.state.started => self.find(server, check, finding),
            Event::Start(_) | Event::Stop | Event::Role(_) | Event::Check { .. } => Vec::new(),
        };
        if self.destinations() != before {
            actions.push(Action::Destinations);
        }
        actions
    }

    /// Whom IPVS should have in its table: the real servers in their order, then the sorry server. None before the start
    /// and after the stop.
    pub fn destinations(&self) -> Vec<Destination> {
        if !self.state.started {
            return Vec::new();
        }
        let serves = self.state.quorum || self.config.sorry_server.is_none();
        let servers = self.config.servers.iter().enumerate().filter_map(|(index, server)| {
            let weight = match (serves && self.is_up(index), server.inhibit_on_failure) {
                (true, _) => self.weight(index),
                (false, true) => 0,
                (false, false) => return None,
            };
            Some(Destination { whom: Whom::Server(index), address: server.address, weight })
        });
        let sorry = self.config.sorry_server.and_then(|sorry| {
            let weight = match (self.state.quorum, sorry.inhibit) {
                (false, _) => SORRY_WEIGHT,
                (true, true) => 0,
                (true, false) => return None,
            };
            Some(Destination { whom: Whom::Sorry, address: sorry.address, weight })
        });
        servers.chain(sorry).collect()
    }

    /// Whether a server serves: all of its checks say so. False for one that does not exist.
    pub fn is_up(&self, server: usize) -> bool {
        let findings = self.state.findings.get(server);
        findings.is_some_and(|findings| findings.iter().all(|finding| matches!(finding, Finding::Up(_))))
    }

    /// What a server weighs while it serves: what is configured and what its checks add to it or take away.
    pub fn weight(&self, server: usize) -> u32 {
        let configured = self.config.servers.get(server).map_or(0, |server| i64::from(server.weight));
        let change = |finding: &Finding| match finding {
            Finding::Up(Some(Weight::Is(weight))) => i64::from(*weight) - configured,
            Finding::Up(Some(Weight::More(more))) => *more,
            Finding::Up(None) | Finding::Down => 0,
        };
        let changes = self.state.findings.get(server).into_iter().flatten().map(change);
        let weight = changes.fold(configured, i64::saturating_add);
        u32::try_from(weight.clamp(0, i64::from(HIGHEST_WEIGHT))).unwrap_or(HIGHEST_WEIGHT)
    }

    /// What the servers that serve weigh together.
    pub fn total_weight(&self) -> u64 {
        let up = (0..self.config.servers.len()).filter(|server| self.is_up(*server));
        up.map(|server| u64::from(self.weight(server))).sum()
    }

    fn start(&mut self, role: Role) -> Vec<Action> {
        self.state = State { started: true, role, quorum: false, findings: initial(&self.config) };
        let mut actions = Vec::new();
        if self.config.ha_suspend && role == Role::Elsewhere {
            actions.push(Action::SuspendChecks);
        }
        match self.judge_quorum() {
            Some(gained) => actions.push(gained),
            None => actions.push(Action::QuorumDown { weight: self.total_weight() }),
        }
        actions
    }

    fn stop(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.config.omega {
            let up = (0..self.config.servers.len()).filter(|server| self.is_up(*server));
            actions.extend(up.map(|server| Action::Server { server, health: Health::Down }));
            if self.state.quorum {
                actions.push(Action::QuorumDown { weight: 0 });
            }
        }
        self.state.started = false;
        self.state.quorum = false;
        actions
    }

    fn take_role(&mut self, role: Role) -> Vec<Action> {
        let changed = self.state.role != role;
        self.state.role = role;
        match role {
            Role::Here if changed && self.config.ha_suspend => vec![Action::ResumeChecks],
            Role::Elsewhere if changed && self.config.ha_suspend => vec![Action::SuspendChecks],
            Role::Here | Role::Elsewhere => Vec::new(),
        }
    }

    fn find(&mut self, server: usize, check: usize, finding: Finding) -> Vec<Action> {
        let was_up = self.is_up(server);
        let Some(place) = self.state.findings.get_mut(server).and_then(|findings| findings.get_mut(check)) else {
            return Vec::new();
        };
        *place = finding;
        let is_up = self.is_up(server);
        let mut actions = Vec::new();
        if is_up != was_up {
            let health = if is_up { Health::Up } else { Health::Down };
            actions.push(Action::Server { server, health });
        }
        actions.extend(self.judge_quorum());
        actions
    }

    /// Whether the quorum is gained or lost by now.
    fn judge_quorum(&mut self) -> Option<Action> {
        let weight = self.total_weight();
        let VirtualServer { quorum, hysteresis, .. } = self.config;
        let gained = weight >= u64::from(quorum) + u64::from(hysteresis);
        let lost = weight == 0 || weight < u64::from(quorum.saturating_sub(hysteresis));
        match self.state.quorum {
            false if gained => {
                self.state.quorum = true;
                Some(Action::QuorumUp { weight })
            }
            true if lost => {
                self.state.quorum = false;
                Some(Action::QuorumDown { weight })
            }
            true | false => None,
        }
    }
}

/// What is believed of the servers before any check has found something out.
fn initial(config: &VirtualServer) -> Vec<Vec<Finding>> {
    let of_server = |server: &RealServer| {
        let checks = server.checks.iter();
        checks.map(|check| if check.schedule.alpha { Finding::Down } else { Finding::Up(None) }).collect()
    };
    config.servers.iter().map(of_server).collect()
}
