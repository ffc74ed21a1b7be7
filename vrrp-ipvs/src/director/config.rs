//! What a director is to do, as plain data.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::model::{
    self, Destination, Forwarding, ModelError, Persistence, PersistenceEngine, Protocol, Scheduler, SchedulerFlags,
    Service, ServiceId, SyncDaemon, SyncState, Table,
};
use crate::service::{self, Family, Frontend, Group, ServiceError, Whom};

/// The virtual servers of a director, and how it keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Config {
    /// What it balances.
    pub virtual_servers: Vec<VirtualServer>,
    /// What is in the kernel's table while the virtual addresses are not here.
    pub standby: Standby,
    /// How long the connections of a server that leaves the table may go on; it takes no new ones. Default: 0, it is
    /// removed at once. A director that empties its table for [`Standby::Cold`] does not wait for any.
    pub drain: Duration,
    /// How often the kernel's table is compared with the wanted one although nothing has happened: by then what another
    /// program did to it is undone. Default: 10 s; at least 100 ms.
    pub inspect: Duration,
    /// The synchronisation daemons; `None` leaves alone what runs.
    pub sync: Option<Sync>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            virtual_servers: Vec::new(),
            standby: Standby::Warm,
            drain: Duration::ZERO,
            inspect: Duration::from_secs(10),
            sync: None,
        }
    }
}

/// What is in the kernel's table while the virtual addresses are not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Standby {
    /// The same as while they are: the first packet after a takeover is balanced.
    #[default]
    Warm,
    /// Nothing: needed where a director is a real server of the other, whose packets it would balance once more.
    Cold,
}

/// Synchronisation daemons, of which one runs: the one that sends while the virtual addresses are here, else the one that
/// receives. Connections go on after a takeover then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Sync {
    /// The interface that their multicast packets use.
    pub interface: String,
    /// The same on all directors of a pair, and on no other ones: 1 to 255.
    pub sync_id: u8,
    /// As in [`SyncDaemon::max_length`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub max_length: Option<u16>,
    /// As in [`SyncDaemon::group`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub group: Option<IpAddr>,
    /// As in [`SyncDaemon::port`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub port: Option<u16>,
    /// As in [`SyncDaemon::ttl`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub ttl: Option<u8>,
}

impl Sync {
    /// With the kernel's own settings.
    pub fn new(interface: impl Into<String>, sync_id: u8) -> Self {
        Self { interface: interface.into(), sync_id, max_length: None, group: None, port: None, ttl: None }
    }

    pub(super) fn daemon(&self, state: SyncState) -> SyncDaemon {
        let Self { max_length, group, port, ttl, .. } = *self;
        SyncDaemon { max_length, group, port, ttl, ..SyncDaemon::new(state, &self.interface, self.sync_id) }
    }
}

/// A virtual server: where clients reach it, how it balances, and whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct VirtualServer {
    /// Its name in events and errors; no two have the same.
    pub name: String,
    /// Where clients reach it: addresses with ports, ranges of them, firewall marks.
    pub frontends: Group,
    /// The protocol of its addresses. Default: TCP.
    #[cfg_attr(feature = "serde", serde(default = "tcp"))]
    pub protocol: Protocol,
    /// How a server is chosen. Default: `rr`.
    #[cfg_attr(feature = "serde", serde(default))]
    pub scheduler: Scheduler,
    /// What else the scheduler is told.
    #[cfg_attr(feature = "serde", serde(default))]
    pub scheduler_flags: SchedulerFlags,
    /// Whether a client keeps its server, and how long.
    #[cfg_attr(feature = "serde", serde(default))]
    pub persistence: Option<Persistence>,
    /// What else than the address tells clients apart.
    #[cfg_attr(feature = "serde", serde(default))]
    pub engine: Option<PersistenceEngine>,
    /// Every UDP packet is a connection of its own.
    #[cfg_attr(feature = "serde", serde(default))]
    pub one_packet: bool,
    /// How packets get to its servers. Default: masquerading (NAT).
    #[cfg_attr(feature = "serde", serde(default))]
    pub forwarding: Forwarding,
    /// Its servers with their checks, the sorry server and the quorum.
    pub pool: service::VirtualServer,
    /// Servers of the pool, the sorry server among them, that differ from the others.
    #[cfg_attr(feature = "serde", serde(default))]
    pub exceptions: Vec<Exception>,
}

#[cfg(feature = "serde")]
const fn tcp() -> Protocol {
    Protocol::Tcp
}

/// A server that is reached in another way than the others of its pool, or takes a limited number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Exception {
    /// Which one.
    pub server: SocketAddr,
    /// How packets get there; `None`: as to the others.
    #[cfg_attr(feature = "serde", serde(default))]
    pub forwarding: Option<Forwarding>,
    /// As in [`Destination::upper_threshold`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub upper_threshold: u32,
    /// As in [`Destination::lower_threshold`].
    #[cfg_attr(feature = "serde", serde(default))]
    pub lower_threshold: u32,
}

/// A director that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The kernel's table would be read all the time.
    #[error("inspect {0:?} is too short: at least {SHORTEST_INSPECTION:?}")]
    Inspect(Duration),
    /// The kernel takes no such daemon, or would mix up the connections of all pairs.
    #[error("sync: {0}")]
    Sync(&'static str),
    /// Two virtual servers of one name.
    #[error("virtual server {0:?} is there twice: give each a name of its own")]
    NameTwice(String),
    /// Nobody could reach it.
    #[error("virtual server {0:?} has no address and no firewall mark: give it one in frontends")]
    NoFrontend(String),
    /// A firewall mark that packets without one have.
    #[error("virtual server {0:?}: firewall mark 0 is not 1..=4294967295")]
    Mark(String),
    /// An exception from nothing.
    #[error("virtual server {name:?}: the exception {server} is none of its servers")]
    Exception {
        /// Which virtual server.
        name: String,
        /// What is not among its servers.
        server: SocketAddr,
    },
    /// Its pool makes no sense.
    #[error("virtual server {name:?}: {error}")]
    Pool {
        /// Which virtual server.
        name: String,
        /// What is wrong.
        error: ServiceError,
    },
    /// No kernel could hold it.
    #[error("virtual server {name:?}: {error}")]
    Model {
        /// Which virtual server.
        name: String,
        /// What is wrong.
        error: ModelError,
    },
}

const SHORTEST_INSPECTION: Duration = Duration::from_millis(100);

/// Octets of an interface's name (`IFNAMSIZ` without its end).
const LONGEST_INTERFACE: usize = 15;

impl Config {
    /// Whether it makes sense. Checks are looked at when they are [started](super::Director::new).
    ///
    /// # Errors
    /// [`ConfigError`] says what does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.full_table().map(|_| ())
    }

    /// The table with every server in it: what a director may touch.
    pub(super) fn full_table(&self) -> Result<Table, ConfigError> {
        if self.inspect < SHORTEST_INSPECTION {
            return Err(ConfigError::Inspect(self.inspect));
        }
        if let Some(sync) = &self.sync {
            if sync.sync_id == 0 {
                return Err(ConfigError::Sync("sync_id 0 is not 1..=255"));
            }
            if sync.interface.is_empty() || sync.interface.len() > LONGEST_INTERFACE {
                return Err(ConfigError::Sync("the interface's name has not 1 to 15 octets"));
            }
        }
        let mut names = std::collections::BTreeSet::new();
        let mut table = Table::default();
        for server in &self.virtual_servers {
            if !names.insert(&server.name) {
                return Err(ConfigError::NameTwice(server.name.clone()));
            }
            server.check()?;
            let everybody = server.everybody();
            for id in server.services()? {
                let wanted = server.wanted(id, &everybody);
                table.insert(wanted).map_err(|error| ConfigError::Model { name: server.name.clone(), error })?;
            }
        }
        Ok(table)
    }
}

impl VirtualServer {
    /// One of TCP that takes turns (`rr`) by masquerading.
    pub fn new(name: impl Into<String>, frontends: Group, pool: service::VirtualServer) -> Self {
        Self {
            name: name.into(),
            frontends,
            protocol: Protocol::Tcp,
            scheduler: Scheduler::default(),
            scheduler_flags: SchedulerFlags::default(),
            persistence: None,
            engine: None,
            one_packet: false,
            forwarding: Forwarding::default(),
            pool,
            exceptions: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name.clone();
        self.pool.validate().map_err(|error| ConfigError::Pool { name: name(), error })?;
        let everybody = self.everybody();
        for &Exception { server, .. } in &self.exceptions {
            if !everybody.iter().any(|one| one.address == server) {
                return Err(ConfigError::Exception { name: name(), server });
            }
        }
        Ok(())
    }

    /// Its services in the kernel, one at least.
    pub(super) fn services(&self) -> Result<Vec<ServiceId>, ConfigError> {
        let service = |frontend| match frontend {
            Frontend::Address(address, port) => Ok(ServiceId::Address { protocol: self.protocol, address, port }),
            Frontend::Mark(mark, family) => {
                let family = match family {
                    Family::Inet => model::Family::V4,
                    Family::Inet6 => model::Family::V6,
                };
                let mark = NonZeroU32::new(mark).ok_or_else(|| ConfigError::Mark(self.name.clone()))?;
                Ok(ServiceId::fwmark(family, mark))
            }
        };
        let services: Vec<ServiceId> = self.frontends.frontends().into_iter().map(service).collect::<Result<_, _>>()?;
        if services.is_empty() { Err(ConfigError::NoFrontend(self.name.clone())) } else { Ok(services) }
    }

    /// One of its services with these servers.
    pub(super) fn wanted(&self, id: ServiceId, servers: &[service::Destination]) -> model::VirtualServer {
        let service = Service {
            id,
            scheduler: self.scheduler.clone(),
            scheduler_flags: self.scheduler_flags,
            persistence: self.persistence,
            engine: self.engine.clone(),
            one_packet: self.one_packet,
        };
        let destinations = servers.iter().map(|server| self.destination(server)).collect();
        model::VirtualServer { service, destinations }
    }

    fn destination(&self, server: &service::Destination) -> Destination {
        let exception = self.exceptions.iter().find(|exception| exception.server == server.address);
        Destination {
            id: server.address.into(),
            forwarding: exception.and_then(|exception| exception.forwarding).unwrap_or(self.forwarding),
            weight: server.weight,
            upper_threshold: exception.map_or(0, |exception| exception.upper_threshold),
            lower_threshold: exception.map_or(0, |exception| exception.lower_threshold),
        }
    }

    /// All its servers and the sorry server.
    fn everybody(&self) -> Vec<service::Destination> {
        let servers = self.pool.servers.iter().enumerate();
        let servers = servers.map(|(index, server)| (Whom::Server(index), server.address, server.weight));
        let sorry = self.pool.sorry_server.map(|sorry| (Whom::Sorry, sorry.address, 1));
        servers.chain(sorry).map(|(whom, address, weight)| service::Destination { whom, address, weight }).collect()
    }
}
