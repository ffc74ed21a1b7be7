//! What a director says.

use std::fmt;
use std::net::SocketAddr;

use vrrp_core::Role;

use crate::apply::Applied;
use crate::check::{CheckStatus, Failure};
use crate::model::{DestinationId, ServiceId, SyncState};
use crate::service::{Destination, State};

/// Something that the application may want to act on, or to log: its `Display` says it in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[allow(missing_docs, reason = "virtual_server is its name, server where it serves")]
#[non_exhaustive]
pub enum DirectorEvent {
    /// A server serves (again).
    ServerUp { virtual_server: String, server: SocketAddr },
    /// A server does not serve; with what its check found, unless its virtual server ends.
    ServerDown { virtual_server: String, server: SocketAddr, reason: Option<Failure> },
    /// An attempt of a check has failed, and the server still serves. Only of checks that
    /// [say all failures](crate::check::Check::say_all_failures).
    AttemptFailed { virtual_server: String, server: SocketAddr, reason: Failure },
    /// A check cannot be made on this machine: what was last said of the server holds.
    CheckHindered { virtual_server: String, server: SocketAddr, reason: String },
    /// The servers that serve weigh enough together. Said at the start too.
    QuorumUp { virtual_server: String, weight: u64 },
    /// They do not. [`Director::tracked`](super::Director::tracked) has changed.
    QuorumDown { virtual_server: String, weight: u64 },
    /// The sorry server takes the requests.
    SorryIn { virtual_server: String, server: SocketAddr },
    /// It does not take them any more.
    SorryOut { virtual_server: String, server: SocketAddr },
    /// The kernel's table is as wanted, after this much was done to it; or again, after it was not.
    Applied(Applied),
    /// A synchronisation daemon was started.
    SyncStarted(SyncState),
    /// The kernel refused something; it is asked again, after 100 ms, and then ever less often up to the period of
    /// inspection. Said once until it refuses for another reason.
    Refused {
        /// What was refused and why, in the kernel's words.
        reason: String,
    },
}

impl fmt::Display for DirectorEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerUp { virtual_server, server } => write!(f, "{virtual_server}: {server} serves"),
            Self::ServerDown { virtual_server, server, reason: Some(reason) } => {
                write!(f, "{virtual_server}: {server} does not serve: {reason}")
            }
            Self::ServerDown { virtual_server, server, reason: None } => {
                write!(f, "{virtual_server}: {server} is let go")
            }
            Self::AttemptFailed { virtual_server, server, reason } => {
                write!(f, "{virtual_server}: an attempt to reach {server} failed: {reason}")
            }
            Self::CheckHindered { virtual_server, server, reason } => {
                write!(f, "{virtual_server}: {server} cannot be checked: {reason}")
            }
            Self::QuorumUp { virtual_server, weight } => write!(f, "{virtual_server}: quorum gained, weight {weight}"),
            Self::QuorumDown { virtual_server, weight } => write!(f, "{virtual_server}: quorum lost, weight {weight}"),
            Self::SorryIn { virtual_server, server } => write!(f, "{virtual_server}: sorry server {server} takes over"),
            Self::SorryOut { virtual_server, server } => write!(f, "{virtual_server}: sorry server {server} rests"),
            Self::Applied(Applied { operations: 0, .. }) => write!(f, "the kernel's table is as wanted again"),
            Self::Applied(Applied { operations, healed: 0 }) => {
                write!(f, "the kernel's table is as wanted after {operations} operations")
            }
            Self::Applied(Applied { operations, healed }) => write!(
                f,
                "the kernel's table is as wanted after {operations} operations, of which {healed} met changes of others"
            ),
            Self::SyncStarted(SyncState::Master) => write!(f, "connections are told to the other director"),
            Self::SyncStarted(SyncState::Backup) => write!(f, "connections of the other director are taken in"),
            Self::Refused { reason } => write!(f, "the kernel's table is not as wanted: {reason}"),
        }
    }
}

/// A director as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// What it was last told.
    pub role: Role,
    /// Whether the kernel's table was as wanted when it was last read, or has been made so since.
    pub settled: bool,
    /// What the kernel refuses at present, in its words.
    pub refused: Option<String>,
    /// Destinations whose connections are ending.
    pub draining: Vec<(ServiceId, DestinationId)>,
    /// Its virtual servers, in the order of the configuration.
    pub virtual_servers: Vec<VirtualServerStatus>,
}

/// A virtual server as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct VirtualServerStatus {
    /// Its name.
    pub name: String,
    /// Its services in the kernel.
    pub services: Vec<ServiceId>,
    /// What is known of its servers, and the quorum.
    pub state: State,
    /// Whom IPVS should have in its table while this director balances.
    pub destinations: Vec<Destination>,
    /// Its checks, server by server.
    pub checks: Vec<CheckStatus>,
}
