//! Linux IPVS, the kernel's layer-4 load balancer, over generic netlink: no `ipvsadm`, no child process.
//!
//! Say what the kernel is to balance as a [`Table`], read what it does balance with [`Ipvs::services`], let [`plan()`] tell the
//! difference, and have it carried out by [`Ipvs::apply`]:
//!
//! ```
//! use vrrp_ipvs::{Destination, Error, Ipvs, Scheduler, Service, ServiceId, Table, VirtualServer, plan};
//!
//! fn desired() -> Result<Table, Box<dyn std::error::Error>> {
//!     let web = ServiceId::tcp("192.0.2.100".parse()?, 80);
//!     Ok(Table::new([VirtualServer {
//!         service: Service::new(web).with_scheduler(Scheduler::WEIGHTED_ROUND_ROBIN),
//!         destinations: vec![
//!             Destination::new("10.0.0.1:8080".parse::<std::net::SocketAddr>()?.into()).with_weight(3),
//!             Destination::new("10.0.0.2:8080".parse::<std::net::SocketAddr>()?.into()),
//!         ],
//!     }])?)
//! }
//!
//! fn settle(ipvs: &mut Ipvs, desired: &Table) -> Result<(), Box<dyn std::error::Error>> {
//!     let actual = ipvs.services()?;
//!     // Services of other programs stay as they are: only those of the table are ours.
//!     let plan = plan(desired, &actual, |service| desired.contains(service));
//!     for operation in plan.operations() {
//!         println!("{operation}");
//!     }
//!     ipvs.apply(&plan)?;
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let desired = desired()?;
//! # assert_eq!(plan(&desired, &[], |_| true).operations().len(), 3);
//! # if false {
//! match Ipvs::open() {
//!     Ok(mut ipvs) => settle(&mut ipvs, &desired)?,
//!     Err(error @ Error::ModuleMissing) => println!("balancing is off: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # What a plan does and does not
//!
//! It is a pure function, minimal and ordered: what is missing is added before anything is removed, weights and all else
//! change in place, nothing is ever flushed, so connections live on. Applied twice it does nothing the second time;
//! interrupted anywhere, the next one ends it. What another program did between reading and applying is healed, or reported
//! in the kernel's words ([`ApplyError`]).
//!
//! What goes is removed at once with its connections, or is drained first: [`Drains`].
//!
//! # The rest
//!
//! - Every command and attribute of `linux/ip_vs.h`: persistence, scheduler flags, one-packet, tunnels (IPIP, GUE, GRE),
//!   thresholds, marks, statistics, timeouts, synchronisation daemons. Each call of [`Ipvs`] names its own.
//! - [`check`]: health checks, to take a destination out of the table when it fails.
//! - [`director`]: all of it together, with checks, sorry servers and a role in VRRP, behind one descriptor.
//! - Feature `serde`: tables, plans, drains and what the kernel says can be stored and read back.
//!
//! # What it needs
//!
//! The module `ip_vs`, which most kernels load by themselves at the first [`Ipvs::open`], and `CAP_NET_ADMIN` outside of
//! any user namespace. IPVS has one table per network namespace: an [`Ipvs`] speaks to that of the thread that opened it.
#![forbid(unsafe_code)]

mod apply;
pub mod check;
mod client;
pub mod director;
mod error;
#[cfg(test)]
mod fake;
#[cfg(fuzzing)]
pub mod fuzzing;
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

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
