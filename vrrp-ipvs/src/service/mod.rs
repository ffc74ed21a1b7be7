//! What checks make of a virtual server: which real servers take requests, with which weight, and when the sorry server
//! does.
//!
//! [`Machine`] is pure: events in, ordered actions out, and the destinations that IPVS should have at any moment. It knows
//! neither sockets nor IPVS nor the time. [`Supervisor`] has a [driver](crate::check::Driver) run its checks. What it decides is what keepalived 2.2.7 does on a real IPVS kernel, which the
//! golden traces under `tests/service` hold; where it differs, this says so:
//!
//! - A server serves while all of its checks say so. What they say about its weight adds up.
//! - The quorum is gained when the weights of the servers that serve reach `quorum + hysteresis`, and lost when they fall
//!   under `quorum - hysteresis`, or to 0.
//! - Without the quorum the sorry server takes all requests, if there is one; if not, the servers that serve still do.
//! - Whether the quorum is there is said at the start in every case. keepalived does not say that it is not, unless there
//!   is a sorry server.

mod group;
mod machine;
mod supervisor;

use std::net::SocketAddr;

pub use self::group::{Family, Frontend, FrontendRange, Group, GroupError};
pub use self::machine::{Action, Destination, Event, Finding, Machine, Role, State, Whom};
pub use self::supervisor::{StartError, Supervisor};
use crate::check::Check;

/// A virtual server, as far as checks matter to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct VirtualServer {
    /// Its real servers.
    pub servers: Vec<RealServer>,
    /// Who takes the requests while the quorum is lost.
    pub sorry_server: Option<SorryServer>,
    /// How much weight the servers that serve must have together. Default: 1.
    pub quorum: u32,
    /// By how much more it must be to gain the quorum, and less to lose it. Less than `quorum`. Default: 0.
    pub hysteresis: u32,
    /// Stopping says that the servers and the quorum are down, for those that act on it. Default: false.
    pub omega: bool,
    /// The checks rest while the virtual address is not here. Default: false.
    pub ha_suspend: bool,
}

impl Default for VirtualServer {
    fn default() -> Self {
        Self { servers: Vec::new(), sorry_server: None, quorum: 1, hysteresis: 0, omega: false, ha_suspend: false }
    }
}

/// One who serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct RealServer {
    /// Where.
    pub address: SocketAddr,
    /// How much of the requests it takes, beside the others. At most 65535, which is what keepalived allows. Default: 1.
    #[cfg_attr(feature = "serde", serde(default = "one"))]
    pub weight: u32,
    /// While it does not serve it stays in the table with weight 0, so that its connections go on. Default: false.
    #[cfg_attr(feature = "serde", serde(default))]
    pub inhibit_on_failure: bool,
    /// What is asked of it. One that has none always serves.
    #[cfg_attr(feature = "serde", serde(default))]
    pub checks: Vec<Check>,
}

#[cfg(feature = "serde")]
const fn one() -> u32 {
    1
}

impl RealServer {
    /// One with weight 1 and no checks.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, weight: 1, inhibit_on_failure: false, checks: Vec::new() }
    }
}

/// One who takes the requests when nobody else can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct SorryServer {
    /// Where.
    pub address: SocketAddr,
    /// While it is not needed it stays in the table with weight 0 (keepalived's `sorry_server_inhibit`). Default: false.
    #[cfg_attr(feature = "serde", serde(default))]
    pub inhibit: bool,
}

/// The highest weight of a server.
pub const HIGHEST_WEIGHT: u32 = 65_535;

/// A virtual server that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// It could be lost at a weight below zero only, which is never.
    #[error("hysteresis {hysteresis} is not below quorum {quorum}")]
    Hysteresis {
        /// What was given.
        hysteresis: u32,
        /// What it must be below.
        quorum: u32,
    },
    /// It would be there with nobody to serve.
    #[error("quorum 0 is not 1 or more")]
    Quorum,
    /// More than the kernel's schedulers and keepalived take.
    #[error("weight {weight} of {address} is not 0..={HIGHEST_WEIGHT}")]
    Weight {
        /// Whose.
        address: SocketAddr,
        /// What was given.
        weight: u32,
    },
    /// IPVS has one destination of each address and port.
    #[error("{0} is there twice")]
    Twice(SocketAddr),
}

impl VirtualServer {
    /// Whether it makes sense. Its checks are looked at when they are [added](crate::check::Driver::add).
    ///
    /// # Errors
    /// [`ServiceError`] says what does not.
    pub fn validate(&self) -> Result<(), ServiceError> {
        if self.quorum == 0 {
            return Err(ServiceError::Quorum);
        }
        if self.hysteresis >= self.quorum {
            return Err(ServiceError::Hysteresis { hysteresis: self.hysteresis, quorum: self.quorum });
        }
        let mut addresses = std::collections::BTreeSet::new();
        for &RealServer { address, weight, .. } in &self.servers {
            if weight > HIGHEST_WEIGHT {
                return Err(ServiceError::Weight { address, weight });
            }
            if !addresses.insert(address) {
                return Err(ServiceError::Twice(address));
            }
        }
        match self.sorry_server {
            Some(sorry) if !addresses.insert(sorry.address) => Err(ServiceError::Twice(sorry.address)),
            Some(_) | None => Ok(()),
        }
    }
}
