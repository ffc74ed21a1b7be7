//! A director: virtual servers with their checks, kept in the kernel's IPVS, as its place in a VRRP election asks for.
//!
//! ```no_run
//! use std::os::fd::AsFd;
//!
//! use rustix::event::{PollFd, PollFlags, poll};
//! use vrrp_ipvs::Ipvs;
//! use vrrp_ipvs::check::{Check, Probe};
//! use vrrp_ipvs::director::{Config, Director, VirtualServer};
//! use vrrp_ipvs::service::{self, Group, RealServer};
//! use vrrp_ipvs::vrrp_core::Role;
//!
//! let address = "10.0.0.1:80".parse()?;
//! let real = RealServer { checks: vec![Check::new(address, Probe::Tcp)], ..RealServer::new(address) };
//! let pool = service::VirtualServer { servers: vec![real], ..service::VirtualServer::default() };
//! let web = VirtualServer::new("web", Group(vec!["192.0.2.100 80".parse()?]), pool);
//! let mut director = Director::new(Ipvs::open()?, Config { virtual_servers: vec![web], ..Config::default() })?;
//! director.set_role(Role::Active)?;
//! loop {
//!     poll(&mut [PollFd::new(&director.as_fd(), PollFlags::IN)], None)?;
//!     for event in director.process()? {
//!         println!("{event}"); // web: 10.0.0.1:80 does not serve: connection refused
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # With VRRP
//!
//! - Give [`set_role`](Director::set_role) every role that the virtual router takes. The kernel's table is there at all
//!   times ([`Standby::Warm`]) or only while the addresses are ([`Standby::Cold`]); checks of a pool with `ha_suspend` rest
//!   meanwhile; the synchronisation daemon that sends runs while they are here, else the one that receives.
//! - Give [`tracked`](Director::tracked) to the virtual router after every turn that had an event about a quorum: a
//!   director that has lost one stands behind another that has it.
//!
//! # What it does to the kernel
//!
//! It touches the services of its configuration only; what a killed one has left behind with another configuration stays,
//! unless it is told to [take it over](Director::take_over). It reads the table, plans and applies; what the kernel refuses is
//! tried again, what another program undoes is done again. With another [configuration](Director::reconfigure) the same
//! happens to what has changed. If it dies anywhere, the next one goes on from what is there.
//! Dropping it leaves the table as it is, so that a restart costs no connection; [`shutdown`](Director::shutdown) takes
//! out what is its.

mod config;
mod event;
mod keeper;
mod kernel;
mod reconfigure;
mod timer;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};

use vrrp_core::track::{Impact, Tracked};
use vrrp_core::{Instant, Role};

pub use self::config::{Config, ConfigError, Exception, Standby, Sync, VirtualServer};
pub use self::event::{DirectorEvent, Status, VirtualServerStatus};
use self::keeper::{Daemon, Keeper, Wish};
pub use self::kernel::Kernel;
use self::timer::Timer;
use crate::check::{CheckEvent, CheckId, Driver, DriverError, Health, now};
use crate::client::Ipvs;
use crate::model::{ModelError, ServiceId, SyncState, Table};
use crate::service::{self, Action, Destination, StartError, Supervisor, Whom};

/// Virtual servers, their checks and the kernel's table, behind one descriptor. No thread.
///
/// Watch [`as_fd`](AsFd::as_fd) for reading in any event loop, and call [`process`](Self::process) when it is readable; the
/// timers are inside. Each call does a bounded amount of work, and leaves the descriptor readable if there is more. Only the
/// list of the kernel's services is read as a whole, a single exchange with the kernel, and the destinations of one service are.
#[derive(Debug)]
pub struct Director<K = Ipvs> {
    kernel: K,
    config: Config,
    checks: Driver,
    timer: Timer,
    servers: Vec<Supervised>,
    /// Whose each check is.
    owners: BTreeMap<CheckId, usize>,
    role: Role,
    /// What it may touch. The services of an earlier configuration are in it until they are gone.
    owned: BTreeSet<ServiceId>,
    /// There are some.
    leaving: bool,
    /// An earlier configuration had a synchronisation daemon, which is not stopped yet.
    daemon_leaves: bool,
    /// What the checks make of it: what a director that balances has.
    balanced: Table,
    /// Virtual servers whose destinations differ from those in it.
    changed: BTreeSet<usize>,
    keeper: Keeper,
    events: Vec<DirectorEvent>,
}

/// A virtual server that runs.
#[derive(Debug)]
struct Supervised {
    supervisor: Supervisor,
    services: Vec<ServiceId>,
    /// Whether the sorry server takes the requests.
    sorry: bool,
}

/// A director that cannot be started, or not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectorError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A check of it makes no sense.
    #[error("virtual server {name:?}: {error}")]
    Start {
        /// Which virtual server.
        name: String,
        /// What is wrong.
        error: StartError,
    },
    /// The kernel refused the director's own descriptors.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A table that no kernel could hold; the configuration was found good, so this does not happen.
    #[error(transparent)]
    Model(#[from] ModelError),
}

impl<K: Kernel> Director<K> {
    /// Starts the checks; the role is [`Role::Initialize`]. The kernel's table is first touched by
    /// [`process`](Self::process), for which the descriptor is readable at once.
    ///
    /// # Errors
    /// [`DirectorError`] if the configuration makes no sense, or if the process has no descriptors left.
    pub fn new(kernel: K, config: Config) -> Result<Self, DirectorError> {
        let owned = config.full_table()?.ids().collect();
        let mut checks = Driver::new()?;
        let (mut servers, mut owners, mut begun) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (index, server) in config.virtual_servers.iter().enumerate() {
            let started = Supervisor::start(&mut checks, server.pool.clone(), service::Role::Elsewhere);
            let (supervisor, actions) =
                started.map_err(|error| DirectorError::Start { name: server.name.clone(), error })?;
            owners.extend(supervisor.checks().map(|(check, _)| (check, index)));
            servers.push(Supervised { supervisor, services: server.services()?, sorry: false });
            begun.push(actions);
        }
        let timer = Timer::over(&checks)?;
        let servers_number = servers.len();
        let keeper = Keeper::new(config.drain, config.inspect);
        let mut director = Self {
            kernel,
            config,
            checks,
            timer,
            servers,
            owners,
            role: Role::Initialize,
            owned,
            leaving: false,
            daemon_leaves: false,
            balanced: Table::default(),
            // Also one that begins without a destination is a service.
            changed: (0..servers_number).collect(),
            keeper,
            events: Vec::new(),
        };
        for (index, actions) in begun.into_iter().enumerate() {
            director.act(index, actions, None);
        }
        director.rebuild()?;
        director.arm()?;
        Ok(director)
    }

    /// The virtual router took this role. While it is Active the addresses are here; the table is needed from
    /// [`Role::Claimant`] on.
    ///
    /// # Errors
    /// [`DirectorError::Driver`] if the timer cannot be set.
    pub fn set_role(&mut self, role: Role) -> Result<(), DirectorError> {
        if role == self.role {
            return Ok(());
        }
        self.role = role;
        let here = self.service_role();
        for index in 0..self.servers.len() {
            let actions = match self.servers.get_mut(index) {
                Some(server) => server.supervisor.set_role(&mut self.checks, here),
                None => Vec::new(),
            };
            self.act(index, actions, None);
        }
        self.rebuild()?;
        self.keeper.changed();
        self.arm()
    }

    /// The role that it was last told.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Owns these services too, as if an earlier configuration had had them: what the present one has not is removed from
    /// the kernel, drained if that is wanted, and then not touched any more.
    ///
    /// This is for what a process that was killed has left behind, if this one was started with another configuration: the
    /// kernel does not know whose its services are, so that has to be said. Give the services of the last configuration if
    /// you stored it, or all of [`Ipvs::service_list`] where nobody else has any in this network namespace.
    ///
    /// # Errors
    /// [`DirectorError::Driver`] if the timer cannot be set.
    pub fn take_over(&mut self, services: impl IntoIterator<Item = ServiceId>) -> Result<(), DirectorError> {
        self.owned.extend(services.into_iter().map(ServiceId::canonical));
        self.leaving = true;
        self.keeper.read_anew();
        self.arm()
    }

    /// Does what is due, and says what has happened.
    ///
    /// # Errors
    /// [`DirectorError::Driver`] if its own descriptors fail, which they do not while they are open. What the kernel's IPVS
    /// refuses is an event.
    pub fn process(&mut self) -> Result<Vec<DirectorEvent>, DirectorError> {
        for event in self.checks.process()? {
            self.take(&event);
        }
        self.rebuild()?;
        self.timer.take();
        self.keep(now());
        self.arm()?;
        Ok(std::mem::take(&mut self.events))
    }

    /// What is to be tracked for the virtual router: each virtual server, good while it has its quorum. With
    /// [`Impact::Weight`] a negative weight is what a lost quorum costs of the priority.
    ///
    /// A pool with `ha_suspend` is not checked on a Backup, which then believes what it last knew.
    pub fn tracked(&self, impact: Impact) -> Vec<Tracked> {
        let tracked = |server: &Supervised| Tracked { impact, inverted: false, up: server.supervisor.state().quorum };
        self.servers.iter().map(tracked).collect()
    }

    /// What it was made from.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Everything as it stands, to be shown or stored.
    pub fn status(&self) -> Status {
        let named = self.config.virtual_servers.iter().zip(&self.servers);
        let status = |(config, server): (&VirtualServer, &Supervised)| {
            let mut checks: Vec<_> = server.supervisor.checks().collect();
            checks.sort_by_key(|(_, place)| *place);
            VirtualServerStatus {
                name: config.name.clone(),
                services: server.services.clone(),
                state: server.supervisor.state().clone(),
                destinations: server.supervisor.destinations(),
                checks: checks.into_iter().filter_map(|(check, _)| self.checks.check_status(check)).collect(),
            }
        };
        Status {
            role: self.role,
            settled: self.keeper.is_settled(),
            refused: self.keeper.refused().map(str::to_owned),
            draining: self.keeper.draining().collect(),
            virtual_servers: named.map(status).collect(),
        }
    }

    /// The checks, to [tell](Driver::tell) one of the application's own how its server is.
    pub const fn checks(&mut self) -> &mut Driver {
        &mut self.checks
    }

    /// Ends: no check is made any more, and what it has in the kernel is removed, with a synchronisation daemon. The events
    /// say what of it the kernel refused.
    ///
    /// # Errors
    /// None that [`process`](Self::process) has not.
    pub fn shutdown(mut self) -> Result<Vec<DirectorEvent>, DirectorError> {
        for (index, server) in std::mem::take(&mut self.servers).into_iter().enumerate() {
            let actions = server.supervisor.stop(&mut self.checks);
            self.act(index, actions, None);
        }
        let nothing = Table::default();
        let daemon = if self.config.sync.is_some() || self.daemon_leaves { Daemon::Nobody } else { Daemon::Whichever };
        let wish = Wish { desired: &nothing, owned: &self.owned, at_once: true, daemon };
        self.keeper.changed();
        // Each turn does some of it; one that is refused is not tried again.
        while !self.keeper.is_settled() && self.keeper.poll_timeout() == Instant::ZERO {
            self.events.append(&mut self.keeper.turn(now(), &mut self.kernel, &wish));
        }
        Ok(self.events)
    }

    const fn service_role(&self) -> service::Role {
        match self.role {
            Role::Active => service::Role::Here,
            Role::Initialize | Role::Backup | Role::Claimant => service::Role::Elsewhere,
        }
    }

    /// Brings the kernel a bit closer to what is wanted.
    fn keep(&mut self, now: Instant) {
        if now < self.keeper.poll_timeout() {
            return;
        }
        let nothing = Table::default();
        let balances = match (self.config.standby, self.role) {
            (Standby::Warm, _) | (Standby::Cold, Role::Active | Role::Claimant) => true,
            (Standby::Cold, Role::Initialize | Role::Backup) => false,
        };
        let state = if self.role == Role::Active { SyncState::Master } else { SyncState::Backup };
        let daemon = self.config.sync.as_ref().map(|sync| Daemon::Only(sync.daemon(state)));
        let wish = Wish {
            desired: if balances { &self.balanced } else { &nothing },
            owned: &self.owned,
            at_once: !balances,
            daemon: daemon.unwrap_or(if self.daemon_leaves { Daemon::Nobody } else { Daemon::Whichever }),
        };
        self.events.append(&mut self.keeper.turn(now, &mut self.kernel, &wish));
        if self.leaving && self.keeper.is_settled() && self.keeper.draining().next().is_none() {
            self.forget_what_has_left();
        }
    }

    /// A check has found something out.
    fn take(&mut self, event: &CheckEvent) {
        let Some(&index) = self.owners.get(&event.check()) else { return };
        let Some((config, server)) = self.config.virtual_servers.get(index).zip(self.servers.get_mut(index)) else {
            return;
        };
        let place = server.supervisor.place(event.check());
        if let Some(real) = place.and_then(|(real, _)| config.pool.servers.get(real)) {
            let (virtual_server, server) = (config.name.clone(), real.address);
            self.events.extend(match event.clone() {
                CheckEvent::Hindered { reason, .. } => {
                    Some(DirectorEvent::CheckHindered { virtual_server, server, reason })
                }
                CheckEvent::AttemptFailed { reason, .. } => {
                    Some(DirectorEvent::AttemptFailed { virtual_server, server, reason })
                }
                CheckEvent::Up { .. } | CheckEvent::Down { .. } | CheckEvent::Weight { .. } => None,
            });
        }
        let actions = server.supervisor.handle_check(event);
        self.act(index, actions, Some(event));
    }

    /// Does what a virtual server wants done, `because` of what a check found.
    fn act(&mut self, index: usize, actions: Vec<Action>, because: Option<&CheckEvent>) {
        for action in actions {
            let virtual_server = self.name(index);
            let event = match action {
                Action::Server { server, health } => {
                    let pool = self.config.virtual_servers.get(index).map(|config| &config.pool);
                    let Some(real) = pool.and_then(|pool| pool.servers.get(server)) else { continue };
                    let server = real.address;
                    match (health, because) {
                        (Health::Up, _) => DirectorEvent::ServerUp { virtual_server, server },
                        (Health::Down, Some(CheckEvent::Down { reason, .. })) => {
                            DirectorEvent::ServerDown { virtual_server, server, reason: Some(reason.clone()) }
                        }
                        (Health::Down, _) => DirectorEvent::ServerDown { virtual_server, server, reason: None },
                    }
                }
                Action::QuorumUp { weight } => DirectorEvent::QuorumUp { virtual_server, weight },
                Action::QuorumDown { weight } => DirectorEvent::QuorumDown { virtual_server, weight },
                Action::Destinations => {
                    self.changed.insert(index);
                    continue;
                }
                // Done by the supervisor.
                Action::SuspendChecks | Action::ResumeChecks => continue,
            };
            self.events.push(event);
        }
    }

    /// Brings the table to what the virtual servers say.
    fn rebuild(&mut self) -> Result<(), DirectorError> {
        for index in std::mem::take(&mut self.changed) {
            self.keeper.changed();
            let Some((config, server)) = self.config.virtual_servers.get(index).zip(self.servers.get_mut(index)) else {
                continue;
            };
            let destinations = server.supervisor.destinations();
            for service in &server.services {
                self.balanced.remove(*service);
                self.balanced.insert(config.wanted(*service, &destinations))?;
            }
            let taking = |one: &&Destination| one.whom == Whom::Sorry && one.weight > 0;
            let sorry = destinations.iter().find(taking).map(|one| one.address);
            if sorry.is_some() != server.sorry {
                server.sorry = sorry.is_some();
                let virtual_server = config.name.clone();
                let event = match (sorry, config.pool.sorry_server) {
                    (Some(server), _) => Some(DirectorEvent::SorryIn { virtual_server, server }),
                    (None, Some(sorry)) => Some(DirectorEvent::SorryOut { virtual_server, server: sorry.address }),
                    (None, None) => None,
                };
                self.events.extend(event);
            }
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.config.virtual_servers.get(index).map(|config| config.name.clone()).unwrap_or_default()
    }

    /// Sets the timer for what the kernel's table needs next; for at once if there are events to be told.
    fn arm(&mut self) -> Result<(), DirectorError> {
        let at = if self.events.is_empty() { self.keeper.poll_timeout() } else { Instant::ZERO };
        Ok(self.timer.set(at)?)
    }
}

impl<K> AsFd for Director<K> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
