//! VRRP on Linux, from inside your process.
#![deny(unsafe_code)]

mod config;
mod driver;
mod error;
pub mod frame;
mod interface;
#[cfg(feature = "lab")]
pub mod lab;
mod lease;
mod link_socket;
pub mod netlink;
mod socket;
#[allow(unsafe_code)]
#[allow(dead_code)] // until the driver uses all of it
mod sys;

pub use config::RouterConfig;
pub use driver::{ADDRESS_MARK, Driver, DriverEvent};
pub use error::{Capability, Error};
pub use lease::Lease;
pub use link_socket::LinkSocket;
pub use socket::{AdvertSocket, MAX_ADVERT_LEN, MAX_DATAGRAM_LEN};
pub use vrrp_core;

/// Now, on the clock that everything here is timed by: `CLOCK_BOOTTIME`, which goes on while the host is suspended.
pub fn now() -> vrrp_core::Instant {
    sys::boottime_now()
}
