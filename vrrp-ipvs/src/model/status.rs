//! What the kernel says: services and destinations with what they counted, timeouts, synchronisation.

use std::net::IpAddr;

use super::{Destination, Service};

/// A service as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ServiceStatus {
    /// What it is set to.
    pub service: Service,
    /// What went through it.
    pub statistics: Statistics,
    /// Its destinations.
    pub destinations: Vec<DestinationStatus>,
}

impl ServiceStatus {
    /// A service that nobody has used yet.
    pub fn new(service: Service, destinations: impl IntoIterator<Item = Destination>) -> Self {
        let destinations = destinations.into_iter().map(DestinationStatus::new).collect();
        Self { service, statistics: Statistics::default(), destinations }
    }
}

/// A destination as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct DestinationStatus {
    /// What it is set to.
    pub destination: Destination,
    /// Established connections.
    pub active_connections: u32,
    /// Connections in any other state, and all of UDP.
    pub inactive_connections: u32,
    /// Clients that would come back to it (persistence).
    pub persistent_connections: u32,
    /// What went through it.
    pub statistics: Statistics,
}

impl DestinationStatus {
    /// A destination that nobody has used yet.
    pub fn new(destination: Destination) -> Self {
        Self {
            destination,
            active_connections: 0,
            inactive_connections: 0,
            persistent_connections: 0,
            statistics: Statistics::default(),
        }
    }

    /// Whether nothing is left that its removal would cut off: no connection in any state, and no client that would come
    /// back to it.
    pub const fn is_idle(&self) -> bool {
        self.active_connections == 0 && self.inactive_connections == 0 && self.persistent_connections == 0
    }
}

/// What went through a service or a destination since it was added or zeroed.
///
/// Kernels from 4.1 on count in 64 bits; earlier ones, whose packets and connections wrap at 2^32, are read as well. Rates
/// are the kernel's estimates over some seconds; all of it lags by up to two seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Statistics {
    /// Connections.
    pub connections: u64,
    /// Packets from clients.
    pub incoming_packets: u64,
    /// Packets to clients; 0 where they do not come back through the director.
    pub outgoing_packets: u64,
    /// Octets from clients.
    pub incoming_octets: u64,
    /// Octets to clients.
    pub outgoing_octets: u64,
    /// Connections a second.
    pub connection_rate: u64,
    /// Packets a second from clients.
    pub incoming_packet_rate: u64,
    /// Packets a second to clients.
    pub outgoing_packet_rate: u64,
    /// Octets a second from clients.
    pub incoming_octet_rate: u64,
    /// Octets a second to clients.
    pub outgoing_octet_rate: u64,
}

/// How long the kernel keeps a connection that is silent, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Timeouts {
    /// An established connection of TCP. The kernel begins with 900.
    pub tcp_seconds: u32,
    /// One of TCP that was closed from one side. The kernel begins with 120.
    pub tcp_fin_seconds: u32,
    /// UDP. The kernel begins with 300.
    pub udp_seconds: u32,
}

/// A thread of the kernel that tells another director of the connections here, or takes in those of another.
///
/// A director can run one of each state. What is `None` is left to the kernel when it is started; it is always there in
/// what is read from a kernel from 4.3 on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct SyncDaemon {
    /// Which of the two.
    pub state: SyncState,
    /// The interface that its multicast packets use, up to 15 octets.
    pub interface: String,
    /// Tells the directors of one pair from others; 0 takes in those of every one. A Master should have one of 1 to 255.
    pub sync_id: u8,
    /// Octets of its packets' UDP payload (`IPVS_DAEMON_ATTR_SYNC_MAXLEN`).
    #[cfg_attr(feature = "serde", serde(default))]
    pub max_length: Option<u16>,
    /// The multicast group. The kernel takes 224.0.0.81.
    #[cfg_attr(feature = "serde", serde(default))]
    pub group: Option<IpAddr>,
    /// The UDP port, or the first of several. The kernel takes 8848.
    #[cfg_attr(feature = "serde", serde(default))]
    pub port: Option<u16>,
    /// Hops that its packets may go. The kernel takes 1.
    #[cfg_attr(feature = "serde", serde(default))]
    pub ttl: Option<u8>,
}

impl SyncDaemon {
    /// One with the kernel's own settings.
    pub fn new(state: SyncState, interface: impl Into<String>, sync_id: u8) -> Self {
        Self { state, interface: interface.into(), sync_id, max_length: None, group: None, port: None, ttl: None }
    }
}

/// What a synchronisation daemon does (`IP_VS_STATE_*`; the words are the kernel's).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum SyncState {
    /// It sends: for the director that balances.
    Master,
    /// It receives: for the one that stands by.
    Backup,
}
