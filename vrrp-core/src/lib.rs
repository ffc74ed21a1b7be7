//! VRRP as pure functions of events.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]


pub mod time;
mod types;

pub use time::Instant;
pub use types::{Family, IfIndex, Interval, Priority, ValueError, Version, VirtualAddr, Vrid};
