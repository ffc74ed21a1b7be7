//! What all daemons share: virtual routers, what they track, who is notified, and the loop around it.

pub mod config;
