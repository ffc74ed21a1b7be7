//! The checks: schedules in virtual time, conversations octet by octet, and the driver with real sockets on loopback.

mod conversations;
mod driver;
mod http;
mod schedule;
mod servers;
mod tls;
