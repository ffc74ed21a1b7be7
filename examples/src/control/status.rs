//! How a daemon is, for `vrrpctl` and for monitoring.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use vrrp_ipvs::director;
use vrrp_ipvs::service::{Finding, Whom};
use vrrp_net::RouterStatus;

/// A daemon at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program and its version: `vrrpd 0.1.0`.
    pub program: String,
    /// Its process.
    pub process: u32,
    /// For how long it has run, in seconds.
    pub up_seconds: u64,
    /// Whether a guardian looks after its addresses.
    pub guarded: bool,
    /// Its virtual routers.
    pub routers: Vec<Router>,
    /// Packets that were discarded because they are for none of them, by reason.
    pub discards: Vec<(String, u64)>,
    /// What it watches besides: scripts, files and processes.
    #[serde(default)]
    pub tracked: Vec<Tracked>,
    /// What it balances.
    #[serde(default)]
    pub virtual_servers: Vec<VirtualServer>,
}

/// A virtual router of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Router {
    /// Its name in the configuration.
    pub name: String,
    /// Whether it stays out of the election because somebody said so.
    pub paused: bool,
    /// The rest.
    #[serde(flatten)]
    pub status: RouterStatus,
}

/// A script, file or process that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracked {
    /// Its name in the configuration.
    pub name: String,
    /// `script`, `file` or `process`.
    pub kind: String,
    /// Whether it is well; `None` while that is not known yet.
    pub up: Option<bool>,
    /// What it last said: an exit code, a number, a time-out.
    pub said: String,
}

/// A virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualServer {
    /// Its name in the configuration.
    pub name: String,
    /// Whether enough of its servers serve.
    pub quorum: bool,
    /// Its real servers.
    pub servers: Vec<RealServer>,
    /// Whether the sorry server takes the requests.
    pub sorry: bool,
}

/// A real server of a virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether its checks say that it serves.
    pub up: bool,
    /// Its weight in the kernel's table, or what that would be; 0 while it takes no new connections.
    pub weight: u32,
}

impl VirtualServer {
    /// Of a director's virtual server and where it stands.
    pub fn new(config: &director::VirtualServer, status: &director::VirtualServerStatus) -> Self {
        let weight = |whom| status.destinations.iter().find(|it| it.whom == whom).map_or(0, |it| it.weight);
        let up = |findings: &Vec<Finding>| findings.iter().all(|finding| matches!(finding, Finding::Up(_)));
        let servers = config.pool.servers.iter().enumerate().map(|(number, server)| RealServer {
            address: server.address,
            up: status.state.findings.get(number).is_some_and(up),
            weight: weight(Whom::Server(number)),
        });
        Self {
            name: status.name.clone(),
            quorum: status.state.quorum,
            servers: servers.collect(),
            sorry: weight(Whom::Sorry) > 0,
        }
    }
}
