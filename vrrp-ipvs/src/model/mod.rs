//! What IPVS balances, as plain data: services, the destinations behind them, and what the kernel counted.
//!
//! Nothing here talks to a kernel. [`Table`] is what you want, [`ServiceStatus`] what there is; [`plan`](crate::plan())
//! tells the difference.

mod destination;
mod error;
mod name;
mod service;
mod status;
mod table;

pub(crate) use destination::TunnelEncoding;
pub use destination::{Destination, DestinationId, Forwarding, Tunnel, TunnelChecksum};
pub use error::ModelError;
pub use name::{PersistenceEngine, Scheduler};
pub use service::{Family, Granularity, Persistence, Protocol, SchedulerFlags, Service, ServiceId};
pub use status::{DestinationStatus, ServiceStatus, Statistics, SyncDaemon, SyncState, Timeouts};
pub use table::{Table, VirtualServer};
