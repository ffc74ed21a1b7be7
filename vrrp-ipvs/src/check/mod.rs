//! wip
pub mod schedule;
pub mod probe;
pub mod tcp;
pub mod smtp;
pub mod dns;
pub mod udp;
pub mod ping;
pub mod command;
pub mod file;
pub mod http;
#[cfg(feature = "tls")]
pub mod tls;
