//! Linux IPVS, the kernel's layer-4 load balancer, over generic netlink: no `ipvsadm`, no child process.
//!
//! # What works now
//!
//! [`Ipvs::open`] finds IPVS in the running kernel and [`Ipvs::info`] asks it for its version and the size of its
//! connection table. A kernel without IPVS, and a process that may not use it, are errors that say what to do.
//!
//! ```
//! use vrrp_ipvs::{Error, Ipvs};
//!
//! fn report() -> Result<(), Error> {
//!     let info = Ipvs::open()?.info()?;
//!     println!("IPVS {}, {} buckets for connections", info.version, info.connection_table_size);
//!     Ok(())
//! }
//!
//! match report() {
//!     Ok(()) => {}
//!     Err(error @ Error::ModuleMissing) => println!("balancing is off: {error}"),
//!     Err(error) => println!("{error}"),
//! }
//! ```
//!
//! # What comes
//!
//! Virtual servers and their destinations as plain data, a minimal plan from what the kernel has to what you want, and
//! the health checks that decide what you want. None of it is in this version.
//!
//! # What it needs
//!
//! The module `ip_vs`, which most kernels load by themselves at the first [`Ipvs::open`], and `CAP_NET_ADMIN` outside of
//! any user namespace. IPVS has one table per network namespace: an [`Ipvs`] speaks to that of the thread that opened it.
#![forbid(unsafe_code)]

pub mod check;
mod client;
mod error;
mod genl;
pub mod service;

pub use client::{Info, Ipvs, Version};
pub use error::Error;
