//! Linux IPVS, the kernel's layer-4 load balancer, over generic netlink: no `ipvsadm`, no child process.
#![forbid(unsafe_code)]

mod apply;
pub mod check;
mod client;
mod error;
#[cfg(test)]
mod fake;
mod genl;
mod model;
mod plan;
pub mod service;

pub use apply::{Applied, ApplyError, Failure};
pub use client::{Info, Ipvs, Version};
pub use error::Error;
pub use model::{
    Destination, DestinationId, DestinationStatus, Family, Forwarding, Granularity, ModelError, Persistence,
    PersistenceEngine, Protocol, Scheduler, SchedulerFlags, Service, ServiceId, ServiceStatus, Statistics, SyncDaemon,
    SyncState, Table, Timeouts, Tunnel, TunnelChecksum, VirtualServer,
};
pub use plan::{Drains, Operation, Plan, plan};
pub use vrrp_core;
